//! CONNECT: from the first packet to CONNACK (MQTT 5.0 §3.1, §3.2).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::authentication::TOKEN_TOPIC;
use super::{Core, Enhanced, Environment, Established, Gate, Identity, Output, Problem, State, Turn, Window};
use crate::auth::{Credentials, Principal};
use crate::connection::ConnectionConfig;
use crate::connection::roster::{Newcomer, NoPlace, Presence};
use crate::engine::Message;
use crate::engine::message::{OpenError, OpenSession, Outlet, SessionWill};
use crate::mqtt::codec;
use crate::mqtt::packet::{ConnAck, Connect, Will};
use crate::mqtt::property::ConnAckProperties;
use crate::mqtt::{ClientId, Packet, ReasonCode, TopicFilter, Version};
use crate::policy::Allowance;

impl Core {
    pub(super) fn handle_connect(&mut self, mut connect: Box<Connect>, turn: &mut Turn<'_>) {
        super::ConnectionCounters::count(&turn.environment.counters.connects_received);
        if let Some(problem) = refusal_of(&connect, &turn.environment.config) {
            return self.refuse(connect.version, problem, turn);
        }
        if connect.client_id.is_empty() {
            connect.client_id = format!("auto-{:032x}", (turn.environment.random)()).into();
            self.has_assigned_client_id = true;
        }
        if let Some(method) = connect.properties.authentication_method.clone() {
            return self.begin_exchange(connect, method, turn);
        }
        turn.outputs.push_back(Output::Authenticate(Credentials {
            username: connect.login.username.clone(),
            password: connect.login.password.clone(),
            token: self.token.take(),
            certificate: self.certificate.take(),
            client_id: connect.client_id.clone(),
            address: self.address,
        }));
        self.state = State::Authenticating(connect);
    }

    /// Opens the session of a client that is known to be `principal`; `proof` is what it is told for its part.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        mut connect: Connect,
        principal: &Principal,
        proof: Option<Bytes>,
        outlet: &Arc<dyn Outlet>,
        turn: &mut Turn<'_>,
    ) {
        let environment = turn.environment;
        let entered = bind(principal, &connect.client_id, environment).and_then(|gate| {
            let presence = self.enter(now, &connect, principal, gate.allowance(), environment)?;
            match presence.client_id().as_str() {
                client_id if *client_id == *connect.client_id => Ok((gate, presence)),
                client_id => Ok((bind(principal, client_id, environment)?, presence)),
            }
        });
        let (mut gate, presence) = match entered {
            Ok(entered) => entered,
            Err(problem) => return self.refuse(connect.version, problem, turn),
        };
        if *connect.client_id != *presence.client_id().as_str() {
            connect.client_id = presence.client_id().as_str().into();
            self.has_assigned_client_id = true;
        }
        if let Some(will) = &mut connect.will
            && let Err(refusal) = gate.will(will, environment)
        {
            refusal.count(&environment.counters);
            let words = format!("Will Message: {}", refusal.words());
            let verdict = gate.describe_refusal(&refusal, &will.topic);
            let user = &*principal.username;
            tracing::debug!(client_id = %connect.client_id, user, topic = %will.topic, %verdict, "Will denied");
            return self.refuse(connect.version, Problem::new(ReasonCode::NotAuthorized, words), turn);
        }
        let expiry_interval_s = session_expiry_s(&connect);
        let mut connack = self.connack(&connect, principal, expiry_interval_s, &environment.config);
        connack.properties.user_properties.extend(expiry_told(principal, now));
        connack.properties.authentication_data = proof;
        if !takes(&connect, &connack) {
            // A courtesy, which a server may leave out.
            connack.properties.response_information = None;
        }
        if !takes(&connect, &connack) {
            // What else CONNACK says is what the client must keep to: leaving it out would be a lie.
            let words = "the client's Maximum Packet Size has no room for CONNACK";
            return self.refuse(connect.version, Problem::new(ReasonCode::PacketTooLarge, words), turn);
        }
        let request = OpenSession {
            client_id: presence.client_id().clone(),
            owner: Arc::clone(gate.identity()) as _,
            clean_start: connect.clean_start,
            expiry_interval_s,
            receive_maximum: connect.properties.receive_maximum.map_or(u16::MAX, Into::into),
            will: connect.will.as_ref().map(session_will),
            outlet: Arc::clone(outlet),
        };
        let opened = match environment.engine.open(now, request, turn.round) {
            Ok(opened) => opened,
            Err(OpenError::OwnedByAnother) => {
                let words = "this Client Identifier is not available to this user";
                return self.refuse(connect.version, Problem::new(ReasonCode::ClientIdentifierNotValid, words), turn);
            }
            Err(OpenError::SessionsFull) => {
                let words = "the server holds as many sessions as it may; try again later";
                return self.refuse(connect.version, Problem::new(ReasonCode::QuotaExceeded, words), turn);
            }
        };
        let carried = match opened.session_present {
            true => environment.engine.unreleased(&opened.session),
            false => Vec::new(),
        };
        let established = Established {
            session: opened.session,
            _presence: presence,
            gate,
            version: connect.version,
            aliases: Default::default(),
            window: Window::carrying(carried),
            throttle: None,
            explains: connect.version == Version::V5 && connect.properties.request_problem_information.unwrap_or(true),
            may_extend_session: expiry_interval_s > 0,
            enhanced: Enhanced::of(&connect, principal, self.manner),
        };
        let mut revoked = opened.revoked;
        // A new session has nothing yet, but its owner may have become unwelcome while it was opened.
        if opened.session_present || established.gate.is_out_of_date(&turn.environment.policy) {
            revoked.extend(established.rejudge(now, false, turn).subscriptions);
        }
        self.state = State::Established(Box::new(established));
        connack.session_present = opened.session_present;
        tell_revoked(&revoked, &connect, &mut connack);
        let keep_alive_s = connack.properties.server_keep_alive_s.unwrap_or(connect.keep_alive_s);
        super::ConnectionCounters::count(&environment.counters.connected);
        turn.outputs.push_back(Output::Send(Packet::ConnAck(connack)));
        turn.outputs.push_back(Output::Established { keep_alive_s, expires_at: principal.expires_at });
        if self.manner.is_forgiving {
            turn.outputs.extend(revoked.into_iter().map(Output::Revoked));
        }
        turn.outputs.push_back(Output::Pump);
    }

    /// Takes a place among those who are connected.
    fn enter(
        &self,
        now: Instant,
        connect: &Connect,
        principal: &Principal,
        allowance: Allowance,
        environment: &Environment,
    ) -> Result<Presence, Problem> {
        let config = &environment.config;
        let newcomer = Newcomer {
            owner: &principal.username,
            anonymous_at: self.address.filter(|_| principal.is_anonymous),
            client_id: &connect.client_id,
            duplicates: self.duplicates.unwrap_or(config.duplicate_client_id),
            connections_max: allowance.connections_max.limit_or(config.connections_per_user_max),
        };
        let is_available = |id: &ClientId| environment.engine.is_available(now, id, &principal.username);
        environment.roster.enter(now, newcomer, &config.roster, is_available).map_err(|no_place| {
            tracing::debug!(client_id = %connect.client_id, user = &*principal.username, ?no_place, "CONNECT refused");
            refusal_without_place(no_place, environment)
        })
    }

    /// The CONNACK that lets this client in, to a session of `expiry_interval_s`.
    fn connack(
        &self,
        connect: &Connect,
        principal: &Principal,
        expiry_interval_s: u32,
        config: &ConnectionConfig,
    ) -> Box<ConnAck> {
        let keep_alive_s = granted_keep_alive_s(connect, config);
        let granted_expiry_s =
            u32::try_from(config.session_expiry_max.as_secs()).unwrap_or(u32::MAX).min(expiry_interval_s);
        let asks_where_to_respond = connect.properties.request_response_information == Some(true);
        let template = config.response_information.as_ref().filter(|_| asks_where_to_respond);
        let properties = ConnAckProperties {
            session_expiry_interval_s: (granted_expiry_s != expiry_interval_s).then_some(granted_expiry_s),
            receive_maximum: std::num::NonZeroU16::new(config.receive_maximum),
            maximum_packet_size: NonZeroU32::new(config.packet_bytes_max),
            assigned_client_identifier: self.has_assigned_client_id.then(|| connect.client_id.clone()),
            topic_alias_maximum: Some(config.topic_alias_maximum),
            server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            // MQTT 5.0 [MQTT-4.12.0-5]
            authentication_method: connect.properties.authentication_method.clone(),
            response_information: template.and_then(|template| template.bind(&principal.username, &connect.client_id)),
            ..Default::default()
        };
        Box::new(ConnAck { session_present: false, reason: ReasonCode::Success, properties })
    }
}

/// What the policy lets a client do that is known to be `principal`.
fn bind(principal: &Principal, client_id: &str, environment: &Environment) -> Result<Gate, Problem> {
    Gate::new(Identity::new(principal.clone(), client_id, &environment.policy)).map_err(|error| {
        super::ConnectionCounters::count(&environment.counters.connects_denied);
        tracing::debug!(%client_id, user = &*principal.username, verdict = %error, "CONNECT denied");
        let words = "this user name or Client Identifier cannot stand in a topic, which the server needs it for";
        Problem::new(ReasonCode::NotAuthorized, words)
    })
}

/// What a client is told that cannot have a place, and where it is counted.
///
/// A quota is 3.1.1's return code 3 and not 5: with the same credentials it may go well later.
fn refusal_without_place(no_place: NoPlace, environment: &Environment) -> Problem {
    let counters = &environment.counters;
    let (counter, reason, words) = match no_place {
        NoPlace::UserFull => {
            let words = "this user has as many connections as it may";
            (&counters.connects_refused_user_full, ReasonCode::QuotaExceeded, words)
        }
        NoPlace::InUse => {
            let words = "another connection uses this Client Identifier";
            (&counters.connects_refused_in_use, ReasonCode::ClientIdentifierNotValid, words)
        }
        NoPlace::ClientIdFull => {
            let words = "there are as many connections of this Client Identifier as may be";
            (&counters.connects_refused_client_id_full, ReasonCode::QuotaExceeded, words)
        }
        NoPlace::TakenOverTooOften => {
            let words = "another connection uses this Client Identifier, and it has changed hands too often; use one of your own";
            (&counters.connects_refused_takeovers, ReasonCode::ConnectionRateExceeded, words)
        }
    };
    super::ConnectionCounters::count(counter);
    Problem::new(reason, words)
}

/// How long what proves who the client is will do so: MQTT has no packet that could warn later.
fn expiry_told(principal: &Principal, now: Instant) -> Option<(Box<str>, Box<str>)> {
    let left = principal.expires_at?.saturating_duration_since(now);
    Some((EXPIRY_PROPERTY.into(), left.as_secs().to_string().into()))
}

/// Tells a client that comes back which of its session's Subscriptions it has lost. A courtesy: nothing of it where there is no room.
fn tell_revoked(revoked: &[TopicFilter], connect: &Connect, connack: &mut ConnAck) {
    let properties = &mut connack.properties.user_properties;
    let before = properties.len();
    let told = revoked.iter().take(REVOKED_TOLD_MAX);
    properties.extend(told.map(|filter| (REVOKED_PROPERTY.into(), filter.as_str().into())));
    if !revoked.is_empty() && !takes(connect, connack) {
        connack.properties.user_properties.truncate(before);
    }
}

/// The User Property of CONNACK that names a Subscription which the policy has taken from the session.
const REVOKED_PROPERTY: &str = "revoked";

/// Such User Properties of one CONNACK.
const REVOKED_TOLD_MAX: usize = 32;

/// The User Property of CONNACK that says in how many seconds the client's token expires.
const EXPIRY_PROPERTY: &str = "token-expires-in-s";

/// The Keep Alive that holds. Only 5.0 can be told another one than it chose.
fn granted_keep_alive_s(connect: &Connect, config: &ConnectionConfig) -> u16 {
    match (config.keep_alive_max_s, connect.version) {
        (0, _) | (_, Version::V3 | Version::V4) => connect.keep_alive_s,
        (maximum, Version::V5) if connect.keep_alive_s == 0 => maximum,
        (maximum, Version::V5) => connect.keep_alive_s.min(maximum),
    }
}

/// Whether the client takes a packet as large as `connack` (MQTT 5.0 §3.1.2.11.4).
fn takes(connect: &Connect, connack: &ConnAck) -> bool {
    let Some(maximum) = connect.properties.maximum_packet_size else { return true };
    let mut bytes = Vec::new();
    let encoded = codec::encode(&Packet::ConnAck(Box::new(connack.clone())), connect.version, &mut bytes);
    debug_assert_eq!(encoded, Ok(()));
    bytes.len() <= maximum.get() as usize
}

/// What makes a well-formed CONNECT unacceptable before anybody looks at who it is from.
fn refusal_of(connect: &Connect, config: &ConnectionConfig) -> Option<Problem> {
    if connect.will.as_ref().is_some_and(|will| will.topic.as_str() == TOKEN_TOPIC) {
        return Some(Problem::new(ReasonCode::NotAuthorized, "a Will Message cannot bring a token"));
    }
    let is_anonymous_session = connect.client_id.is_empty();
    match connect.version {
        // MQTT 3.1 §3.1: 1 to 23 characters, and "Identifier Rejected" for any other. Nobody but a 3.1 client is held to it.
        Version::V3 if is_anonymous_session => Some(ReasonCode::ClientIdentifierNotValid.into()),
        Version::V3 if !config.has_long_client_ids && connect.client_id.chars().count() > CLIENT_ID_CHARACTERS_MAX => {
            Some(ReasonCode::ClientIdentifierNotValid.into())
        }
        // MQTT 3.1.1 [MQTT-3.1.3-8]: a session that is to be kept needs a name.
        Version::V4 if is_anonymous_session && !connect.clean_start => {
            Some(ReasonCode::ClientIdentifierNotValid.into())
        }
        _ => None,
    }
}

/// The longest Client Identifier of MQTT 3.1.
const CLIENT_ID_CHARACTERS_MAX: usize = 23;

/// The Session Expiry Interval that a CONNECT stands for; before 5.0, a session that is not clean is kept as long as may be.
fn session_expiry_s(connect: &Connect) -> u32 {
    match connect.version {
        Version::V5 => connect.properties.session_expiry_interval_s.unwrap_or(0),
        Version::V3 | Version::V4 if connect.clean_start => 0,
        Version::V3 | Version::V4 => u32::MAX,
    }
}

fn session_will(will: &Will) -> SessionWill {
    SessionWill {
        message: Arc::new(Message::new(&will.topic, &will.properties.forwarded, &will.payload, will.qos, will.retain)),
        delay_interval_s: will.properties.delay_interval_s,
        message_expiry_interval_s: will.properties.message_expiry_interval_s,
    }
}
