//! MQTT behind the way in: who is let in, and to what.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use super::super::channel::{Channel, Ended, connect};
use super::super::report::{Report, quoted};
use super::{Place, upgrade};
use crate::mqtt::packet::{ConnAck, Disconnect, Login, RetainHandling, Subscribe, SubscribeOptions};
use crate::mqtt::property::{DisconnectProperties, SubscribeProperties};
use crate::mqtt::{Packet, ReasonCode, TopicFilter, Version};

/// Opens connections that speak MQTT.
pub(super) struct Speaker<'a> {
    pub(super) place: &'a Place<'a>,
    /// What the upgrade shows as its Origin.
    pub(super) origin: Option<String>,
}

/// How somebody comes in.
pub(super) struct Session {
    pub(super) version: Version,
    pub(super) login: Login,
}

/// Long enough for a few questions.
const KEEP_ALIVE_S: u16 = 60;

impl Speaker<'_> {
    pub(super) fn timeout(&self) -> Duration {
        self.place.terms.timeout
    }

    /// Connects and waits for what CONNECT is answered with.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) fn log_in(&self, session: &Session, keep_alive_s: u16) -> Result<(Channel, ConnAck), Ended> {
        let lost = |error: std::io::Error| Ended::Closed(quoted(&error.to_string()));
        let mut channel = match self.place.target.is_web {
            true => {
                let (head, _, wire) = upgrade::request(self.place, self.origin.clone(), None).map_err(lost)?;
                if head.status != 101 {
                    return Err(Ended::Closed(format!("the upgrade is answered with {}", head.described())));
                }
                Channel::web(wire, head.rest, session.version)
            }
            false => Channel::bare(self.place.open().map_err(lost)?, session.version),
        };
        let deadline = Instant::now() + self.timeout();
        channel.send(&connect(session.version, session.login.clone(), keep_alive_s), deadline)?;
        match channel.receive(deadline)? {
            Packet::ConnAck(connack) => Ok((channel, *connack)),
            _ => Err(Ended::NoMqtt("another packet than CONNACK came first".to_owned())),
        }
    }
}

/// Tries to come in as nobody and, where there is one, by the login; how one does come in.
pub(super) fn check(speaker: &Speaker<'_>, login: Option<Login>, report: &mut Report) -> Option<Session> {
    let (version, nobody) = spoken(speaker, report)?;
    let nobody = as_nobody(speaker, version, nobody, report);
    match login {
        Some(login) => as_somebody(speaker, Session { version, login }, report),
        None => nobody,
    }
}

/// The version that is spoken, with what nobody is answered in it.
fn spoken(speaker: &Speaker<'_>, report: &mut Report) -> Option<(Version, (Channel, ConnAck))> {
    let mut first = None;
    for version in [Version::V5, Version::V4] {
        match speaker.log_in(&Session { version, login: Login::default() }, KEEP_ALIVE_S) {
            Ok((_, connack)) if connack.reason == ReasonCode::UnsupportedProtocolVersion => {}
            Ok(answered) => {
                report.ok("mqtt", format!("MQTT {version} is spoken"));
                return Some((version, answered));
            }
            // A server that does not know 5.0 may as well end the connection.
            Err(ended) => first = first.or(Some(ended)),
        }
    }
    let found = match first {
        Some(Ended::Silent) => "CONNECT gets no answer in time".to_owned(),
        Some(Ended::Closed(how)) => format!("CONNECT gets no answer: {how}"),
        Some(Ended::NoMqtt(what)) => format!("CONNECT is answered by what is no MQTT: {what}"),
        None => "neither MQTT 5.0 nor 3.1.1 is spoken".to_owned(),
    };
    if asks_for_certificate(&found) {
        return no_certificate(found, report);
    }
    let why = "The way there is open, and nobody speaks MQTT at its end.";
    let remedy = "Look whether the broker runs, and whether this port is its listener of the right kind (`protocol \
                  websockets` in mosquitto); then at its log.";
    report.fault("mqtt", found, why, remedy);
    None
}

/// Whether the other side ended TLS for want of a client certificate (RFC 8446 §6.2); with TLS 1.3 that is told after the handshake.
pub(super) fn asks_for_certificate(error: &str) -> bool {
    error.contains("CertificateRequired")
}

pub(super) fn no_certificate<T>(found: String, report: &mut Report) -> Option<T> {
    let why = "Whoever shows no certificate of its own is shut out, and the doctor has none.";
    let remedy = "Nothing, if every client has one; else client_auth: optional (ssl_verify_client optional in nginx).";
    report.fault("client-cert", found, why, remedy);
    None
}

fn as_nobody(
    speaker: &Speaker<'_>,
    version: Version,
    (mut channel, connack): (Channel, ConnAck),
    report: &mut Report,
) -> Option<Session> {
    if connack.reason != ReasonCode::Success {
        report.ok("anonymous", format!("refused: {}", in_words(&connack)));
        return None;
    }
    let all = may_read_all(&mut channel, Instant::now() + speaker.timeout());
    let (found, why) = match all {
        Ok(true) => (
            "whoever comes is let in without a login, and may subscribe to #",
            "Everybody who finds the address reads every message.",
        ),
        Ok(false) => (
            "whoever comes is let in without a login; # is refused",
            "Right for a public service; else everybody who finds the address is inside.",
        ),
        Err(_) => ("whoever comes is let in without a login", "Everybody who finds the address is inside."),
    };
    let remedy = "Ask for a login (allow_anonymous false in mosquitto; auth in Tidegate), and say by a policy who may \
                  read what.";
    report.warning("anonymous", found, why, remedy);
    let goodbye = Disconnect { reason: ReasonCode::Success, properties: DisconnectProperties::default() };
    // Whether it arrives makes no difference.
    let _ = channel.send(&Packet::Disconnect(goodbye), Instant::now() + speaker.timeout());
    Some(Session { version, login: Login::default() })
}

/// Whether a Subscription to everything is granted. What is retained is not asked for; in 3.1.1, that cannot be said.
fn may_read_all(channel: &mut Channel, deadline: Instant) -> Result<bool, Ended> {
    let Ok(filter) = TopicFilter::parse("#") else { return Ok(false) };
    let options = SubscribeOptions { retain_handling: RetainHandling::Never, ..SubscribeOptions::default() };
    let subscribe = Subscribe {
        packet_id: NonZeroU16::MIN,
        properties: SubscribeProperties::default(),
        filters: vec![(filter, options)],
    };
    channel.send(&Packet::Subscribe(subscribe), deadline)?;
    loop {
        // Messages may come first.
        if let Packet::SubAck(suback) = channel.receive(deadline)? {
            return Ok(suback.reasons.first().is_some_and(|reason| !reason.is_failure()));
        }
    }
}

fn as_somebody(speaker: &Speaker<'_>, session: Session, report: &mut Report) -> Option<Session> {
    let name = quoted(session.login.username.as_deref().unwrap_or_default());
    match speaker.log_in(&session, KEEP_ALIVE_S) {
        Ok((_, connack)) if connack.reason == ReasonCode::Success => {
            report.ok("login", format!("{name} is let in"));
            return Some(session);
        }
        Ok((_, connack)) => {
            let found = format!("{name} is refused: {}", in_words(&connack));
            let why = "Clients with this login stay out.";
            report.fault("login", found, why, advice(connack.reason));
        }
        Err(ended) => {
            let found = format!("{name} gets no answer: {ended:?}");
            report.fault("login", found, "Clients with this login stay out.", "Look at the server's log.");
        }
    }
    None
}

fn in_words(connack: &ConnAck) -> String {
    match &connack.properties.reason_string {
        Some(words) => format!("{}: {}", connack.reason, quoted(words)),
        None => connack.reason.to_string(),
    }
}

fn advice(reason: ReasonCode) -> &'static str {
    match reason {
        ReasonCode::BadUserNameOrPassword => "Check name and password against the server's password file.",
        ReasonCode::NotAuthorized => "Check name and password, and what the policy says of that user.",
        ReasonCode::ClientIdentifierNotValid => "The server wants Client Identifiers of a certain form.",
        ReasonCode::ServerUnavailable | ReasonCode::ServerBusy => "Look what the server is busy with.",
        ReasonCode::ConnectionRateExceeded | ReasonCode::Banned => {
            "Too many have failed from this address: wait, or lift the ban."
        }
        ReasonCode::QuotaExceeded => "Too many of its connections are open: raise the limit, or close some.",
        _ => "Look at the server's log.",
    }
}
