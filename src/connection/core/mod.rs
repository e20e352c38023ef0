//! The state machine of one Network Connection, for every dialect alike.
//!
//! ```text
//!   AwaitConnect ──CONNECT──▶ Authenticating ──Principal──▶ Established ──▶ Closed
//!        │            └──────▶ Exchanging (AUTH) ────┴──▲       │             ▲
//!        └───────────── fault, refusal ──────────┴── DISCONNECT, fault ──────┘
//! ```
//!
//! Input is a packet, a verdict about credentials, or the end of the transport; output is a list of [`Output`] values in the order in
//! which they must happen. After each input the caller carries out all outputs before it gives the next input.
//!
//! Here a Reason Code is chosen ([`Core::handle_packet`] and the files beside this one) and the policy is asked ([`gate`]). The engine
//! is called directly: it is as free of IO as this is, so a script of packets shows the whole behaviour.
//!
//! Not here: bytes, sockets, timers (Keep Alive is told as a number in [`Output::Established`]).
//!
//! Invariants: no clock, no entropy of its own, no await; nothing a peer sends panics.

mod authentication;
mod connect;
mod dismissal;
mod envelopes;
mod gate;
mod identity;
mod policies;
mod problem;
mod publish;
mod subscribe;
mod throttle;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::auth::{Claimant, ClientCertificate, Credentials, Principal, Proof, Refused, Token};
use crate::engine::message::{Acknowledgement, Closing, Outlet, Round};
use crate::engine::{Attached, Engine, Pumped};
use crate::mqtt::codec::DecodeError;
use crate::mqtt::packet::{Ack, Auth, ConnAck, Connect, Disconnect};
use crate::mqtt::property::{AckProperties, AuthProperties, ConnAckProperties, DisconnectProperties};
use crate::mqtt::{Packet, ReasonCode, TopicFilter, Version};

use super::config::ConnectionConfig;
use super::counters::ConnectionCounters;
use super::roster::{DuplicateClientId, Presence, Roster};
use authentication::{Enhanced, Exchanging};
pub use dismissal::Dismissal;
pub use envelopes::Envelopes;
use gate::Gate;
pub(in crate::connection) use identity::Identity;
pub use policies::Policies;
use problem::Problem;
use publish::{Aliases, Window};
use throttle::Throttle;

/// What a dialect makes of the places in which the dialects differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// A packet out of place costs an answer, not the connection.
    pub is_forgiving: bool,
    /// QoS 2 takes both its handshakes; without, one acknowledgement completes a message at either QoS.
    pub has_qos2_handshake: bool,
}

impl Manner {
    pub const MQTT: Self = Self { is_forgiving: false, has_qos2_handshake: true };
    pub const JSON: Self = Self { is_forgiving: true, has_qos2_handshake: false };
}

/// What must happen after an input, in order.
#[derive(Debug)]
pub enum Output {
    /// Send this packet.
    Send(Packet<'static>),
    /// Find out who this is, then call [`Core::authenticated`]; give no packet meanwhile.
    Authenticate(Credentials),
    /// Judge what the client says of itself, then call [`Core::proven`]; where [`Core::takes_packets`] says no, give no packet meanwhile.
    /// Whatever else was to be judged for this connection is of no interest any more.
    Prove {
        proof: Proof,
        /// Whether the client can be told yes or no and nothing else: while nobody can say, ask again.
        is_patient: bool,
    },
    /// The session is open: from here the outlet takes deliveries, under this Keep Alive; 0: off.
    ///
    /// What proves who the client is ends at `expires_at`, if ever.
    Established { keep_alive_s: u16, expires_at: Option<Instant> },
    /// The same client has proven who it is again, until then, if ever that ends.
    Renewed { expires_at: Option<Instant> },
    /// Tell the client that it has lost the Subscription with this Topic Filter, in a dialect that has words for it.
    Revoked(TopicFilter),
    /// Let the engine send what waits in the session: call [`Core::pump`].
    Pump,
    /// The same, once others have had their turn.
    PumpLater,
    /// Give no packet before then, but call [`Core::released`] first.
    Hold { until: Instant },
    /// Tell the client, where its dialect has words for it, that it sends faster than it may.
    Slowed,
    /// Say goodbye as the dialect does and close the transport. The session is already left.
    Close(ReasonCode),
}

/// What a call to the core works with and does not keep.
pub struct Turn<'a> {
    pub environment: &'a Environment,
    /// Receives the outlets that the engine appended to.
    pub round: &'a mut Round,
    pub outputs: &'a mut VecDeque<Output>,
}

/// What all connections share.
#[derive(Clone, Debug)]
pub struct Environment {
    pub engine: Arc<Engine>,
    pub policy: Arc<Policies>,
    pub config: ConnectionConfig,
    pub counters: Arc<ConnectionCounters>,
    pub envelopes: Arc<Envelopes>,
    /// Who is connected.
    pub roster: Arc<Roster>,
    /// Makes Client Identifiers for those who bring none.
    pub random: fn() -> u128,
}

/// The state machine; see the module.
#[derive(Debug)]
pub struct Core {
    state: State,
    manner: Manner,
    address: Option<IpAddr>,
    /// Of the upgrade request, until CONNECT.
    token: Option<Token>,
    /// Of the listener.
    duplicates: Option<DuplicateClientId>,
    certificate: Option<Arc<ClientCertificate>>,
    /// Whether the Client Identifier is of the server's making and CONNACK must tell it.
    has_assigned_client_id: bool,
}

#[derive(Debug)]
enum State {
    AwaitConnect,
    Authenticating(Box<Connect>),
    Exchanging(Box<Exchanging>),
    Established(Box<Established>),
    Closed,
}

/// What a connection knows once its CONNECT was accepted.
#[derive(Debug)]
struct Established {
    session: Attached,
    /// Given up with the connection.
    _presence: Presence,
    gate: Gate,
    version: Version,
    aliases: Aliases,
    window: Window,
    /// Only where a rate bounds what it publishes.
    throttle: Option<Box<Throttle>>,
    /// Whether acknowledgements that say no say why: 5.0, unless Request Problem Information is 0 (MQTT 5.0 §3.1.2.11.7).
    explains: bool,
    /// Whether DISCONNECT may still set a Session Expiry Interval (MQTT 5.0 §3.14.2.2.2).
    may_extend_session: bool,
    /// Only where CONNECT had an Authentication Method, or a token.
    enhanced: Option<Box<Enhanced>>,
}

impl Core {
    #[must_use]
    pub fn new(manner: Manner, address: Option<IpAddr>) -> Self {
        Self {
            state: State::AwaitConnect,
            manner,
            address,
            token: None,
            certificate: None,
            duplicates: None,
            has_assigned_client_id: false,
        }
    }

    /// The identity of a client whose CONNECT brings no credentials is that of this token or certificate, if there is one.
    #[must_use]
    pub fn with_identity(self, token: Option<Token>, certificate: Option<Arc<ClientCertificate>>) -> Self {
        Self { token, certificate, ..self }
    }

    /// What becomes of the client if its Client Identifier is taken, where that is not as for all.
    #[must_use]
    pub fn with_duplicates(self, duplicates: Option<DuplicateClientId>) -> Self {
        Self { duplicates, ..self }
    }

    /// Whether a packet may be given; if not, [`Self::authenticated`] or [`Self::proven`] is awaited, or all is over.
    #[must_use]
    pub fn takes_packets(&self) -> bool {
        match &self.state {
            State::AwaitConnect | State::Established(_) => true,
            State::Exchanging(exchanging) => exchanging.is_open(),
            State::Authenticating(_) | State::Closed => false,
        }
    }

    /// Whether the next packet must be CONNECT.
    #[must_use]
    pub fn awaits_connect(&self) -> bool {
        matches!(self.state, State::AwaitConnect)
    }

    #[must_use]
    pub fn is_established(&self) -> bool {
        matches!(self.state, State::Established(_))
    }

    /// Takes one packet from the client.
    pub fn handle_packet(&mut self, now: Instant, packet: Packet<'_>, turn: &mut Turn<'_>) {
        match &mut self.state {
            State::Established(established) => {
                if let Err(fault) = established.handle_packet(now, packet, self.manner, turn) {
                    self.end(now, fault, turn);
                }
            }
            State::AwaitConnect => self.handle_first_packet(packet, turn),
            State::Exchanging(_) => self.handle_exchange_packet(packet, turn),
            // The caller holds packets back while credentials are looked at, and drops them after the end.
            State::Authenticating(_) | State::Closed => {}
        }
    }

    fn handle_first_packet(&mut self, packet: Packet<'_>, turn: &mut Turn<'_>) {
        match packet {
            Packet::Connect(connect) => self.handle_connect(connect, turn),
            // MQTT 5.0 [MQTT-3.1.0-1]: the first packet must be CONNECT; there is no version to answer in.
            _ => self.close(ReasonCode::ProtocolError, turn),
        }
    }

    /// Takes a fault that the decoder found.
    pub fn handle_fault(&mut self, now: Instant, fault: &DecodeError, turn: &mut Turn<'_>) {
        let problem = Problem::of_fault(fault, turn.environment.config.packet_bytes_max);
        if let (State::AwaitConnect, Some(version)) = (&self.state, fault.connect_version()) {
            return self.refuse(version, problem, turn);
        }
        if matches!(self.state, State::Exchanging(_)) {
            return self.refuse(Version::V5, problem, turn);
        }
        self.end(now, Ended::Fault(problem), turn);
    }

    /// Takes the outcome of [`Output::Authenticate`].
    pub fn authenticated(
        &mut self,
        now: Instant,
        outcome: Result<Principal, Refused>,
        outlet: &Arc<dyn Outlet>,
        turn: &mut Turn<'_>,
    ) {
        let State::Authenticating(connect) = std::mem::replace(&mut self.state, State::Closed) else {
            return;
        };
        match outcome {
            Ok(principal) => self.admit(now, *connect, &principal, None, outlet, turn),
            Err(refused) => self.refuse(connect.version, refusal_reason(refused), turn),
        }
    }

    /// The other outcome of [`Output::Authenticate`] and [`Output::Prove`]: nobody looks at it, as too many have failed before.
    pub fn turned_away(&mut self, turn: &mut Turn<'_>) {
        let version = match &self.state {
            State::Authenticating(connect) => connect.version,
            State::Exchanging(_) => Version::V5,
            State::AwaitConnect | State::Established(_) | State::Closed => return,
        };
        let words = "too many failed logins from this address; wait before the next one";
        self.refuse(version, Problem::new(ReasonCode::ConnectionRateExceeded, words), turn);
    }

    /// Who the client says that it is, or has proven to be before, if it is one that proves anything.
    #[must_use]
    pub fn claimant(&self) -> Option<Claimant<'_>> {
        let (username, client_id) = match &self.state {
            State::Exchanging(exchanging) => exchanging.claims(),
            State::Established(established) => {
                let enhanced = established.enhanced.as_ref()?;
                (Some(enhanced.username()), established.session.client_id().as_str())
            }
            State::AwaitConnect | State::Authenticating(_) | State::Closed => return None,
        };
        Some(Claimant { username, client_id, address: self.address })
    }

    /// The time of [`Output::Hold`] has come: the packets that waited follow, with this very `now`.
    pub fn released(&mut self, now: Instant) {
        if let State::Established(established) = &mut self.state
            && let Some(throttle) = &mut established.throttle
        {
            throttle.release(now);
        }
    }

    /// Lets the engine send what waits in the session.
    pub fn pump(&mut self, now: Instant, turn: &mut Turn<'_>) {
        let State::Established(established) = &self.state else { return };
        if turn.environment.engine.pump(now, &established.session, turn.round) == Pumped::More {
            turn.outputs.push_back(Output::PumpLater);
        }
    }

    /// Ends the connection for a reason of the server's own: Keep Alive, takeover, shutdown.
    pub fn dismiss(&mut self, now: Instant, dismissal: Dismissal, turn: &mut Turn<'_>) {
        let problem = Problem::from(dismissal);
        // Who has not been let in yet is told in CONNACK, which knows no 0x8B (MQTT 5.0 [MQTT-3.14.0-1], §3.2.2.2).
        let version = match &self.state {
            State::Authenticating(connect) => Some(connect.version),
            State::Exchanging(_) => Some(Version::V5),
            _ => None,
        };
        match version {
            Some(version) if problem.reason == ReasonCode::ServerShuttingDown => {
                self.refuse(version, problem.restated(ReasonCode::ServerUnavailable), turn);
            }
            _ => self.end(now, problem.into(), turn),
        }
    }

    /// The client does not take an answer of that size, even without its Reason String.
    ///
    /// It must not be sent (MQTT 5.0 [MQTT-3.1.2-24]), and the client would wait for it in vain: what is not answered is not over, and
    /// its Packet Identifier never free again. So the connection ends, and says why if that fits (MQTT 5.0 §3.14.2.1, 0x95).
    pub fn answer_too_large(&mut self, now: Instant, turn: &mut Turn<'_>) {
        let words = "an answer is larger than the client's Maximum Packet Size";
        let problem = Problem::new(ReasonCode::PacketTooLarge, words);
        match self.state {
            State::Established(_) => self.end(now, problem.into(), turn),
            // A step of an exchange before CONNACK.
            State::Exchanging(_) => self.refuse(Version::V5, problem, turn),
            // A CONNACK that refuses, or a DISCONNECT: all is over already.
            State::AwaitConnect | State::Authenticating(_) | State::Closed => {}
        }
    }

    /// The transport is gone without a DISCONNECT.
    pub fn transport_lost(&mut self, now: Instant, turn: &mut Turn<'_>) {
        self.leave(now, Closing { publish_will: true, expiry_interval_s: None }, turn);
    }

    fn end(&mut self, now: Instant, ended: Ended, turn: &mut Turn<'_>) {
        match ended {
            Ended::Fault(problem) => {
                let reason = problem.reason;
                let version = match &self.state {
                    State::Established(established) => Some(established.version),
                    _ => None,
                };
                self.leave(now, Closing { publish_will: true, expiry_interval_s: None }, turn);
                // Only 5.0 has a DISCONNECT from the server; the JSON dialect spells it in its own way.
                if version == Some(Version::V5) {
                    // MQTT 5.0 [MQTT-3.1.2-29]: DISCONNECT may say why, even to whoever does not ask.
                    let (reason_string, user_properties) = (problem.reason_string(), problem.user_properties());
                    let properties = DisconnectProperties { reason_string, user_properties, ..Default::default() };
                    turn.outputs.push_back(Output::Send(Packet::Disconnect(Disconnect { reason, properties })));
                }
                turn.environment.counters.count_closed(reason);
                turn.outputs.push_back(Output::Close(reason));
            }
            Ended::ByClient(closing) => {
                self.leave(now, closing, turn);
                turn.outputs.push_back(Output::Close(ReasonCode::Success));
            }
        }
    }

    fn leave(&mut self, now: Instant, closing: Closing, turn: &mut Turn<'_>) {
        if let State::Established(established) = std::mem::replace(&mut self.state, State::Closed) {
            turn.environment.engine.close(now, established.session, closing, turn.round);
        }
    }

    /// Answers a CONNECT with a failure and closes (MQTT 5.0 §3.1.4, 3.1.1 §3.2.2.3).
    ///
    /// Where 3.1 and 3.1.1 have no return code for the reason, closing says it.
    fn refuse(&mut self, version: Version, problem: impl Into<Problem>, turn: &mut Turn<'_>) {
        let problem = problem.into();
        let reason = problem.reason;
        if version == Version::V5 || reason.connack_return_code().is_some() {
            turn.outputs.push_back(Output::Send(failure(&problem)));
        }
        self.close(reason, turn);
    }

    fn close(&mut self, reason: ReasonCode, turn: &mut Turn<'_>) {
        self.state = State::Closed;
        turn.environment.counters.count_closed(reason);
        turn.outputs.push_back(Output::Close(reason));
    }
}

/// Why an established connection is over.
#[derive(Debug)]
enum Ended {
    /// The server ends it, and says this where the version can.
    Fault(Problem),
    /// The client sent DISCONNECT.
    ByClient(Closing),
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Self {
        Self::Fault(problem)
    }
}

impl From<ReasonCode> for Ended {
    fn from(reason: ReasonCode) -> Self {
        Self::Fault(reason.into())
    }
}

impl Established {
    /// The one flat decision of what an established client may send.
    fn handle_packet(
        &mut self,
        now: Instant,
        packet: Packet<'_>,
        manner: Manner,
        turn: &mut Turn<'_>,
    ) -> Result<(), Ended> {
        self.gate.refresh(&turn.environment.policy).map_err(|error| {
            tracing::debug!(client_id = %self.session.client_id(), %error, "identity refused");
            ReasonCode::NotAuthorized
        })?;
        match packet {
            Packet::Publish(publish) => self.handle_publish(now, publish, manner, turn)?,
            Packet::PubRel(ack) => self.handle_release(&ack, turn),
            Packet::PubAck(ack) => {
                let acknowledgement = match manner.has_qos2_handshake {
                    true => Acknowledgement::PubAck,
                    false => Acknowledgement::Complete,
                };
                self.acknowledge(now, &ack, acknowledgement, turn);
            }
            Packet::PubRec(ack) if ack.reason.is_failure() => {
                self.acknowledge(now, &ack, Acknowledgement::PubRecFailed, turn);
            }
            Packet::PubRec(ack) => self.handle_pubrec(now, &ack, turn),
            Packet::PubComp(ack) => self.acknowledge(now, &ack, Acknowledgement::PubComp, turn),
            Packet::Subscribe(subscribe) => self.handle_subscribe(now, subscribe, turn),
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(now, &unsubscribe, turn),
            Packet::PingReq => turn.outputs.push_back(Output::Send(Packet::PingResp)),
            Packet::Disconnect(disconnect) => return Err(self.handle_disconnect(&disconnect)),
            // MQTT 5.0 [MQTT-3.1.0-2]: a second CONNECT is a Protocol Error. A forgiving dialect says so and goes on.
            Packet::Connect(_) if manner.is_forgiving => {
                turn.outputs.push_back(Output::Send(failure(&second_connect())));
            }
            Packet::Auth(auth) if self.enhanced.as_ref().is_some_and(|enhanced| enhanced.takes_auth()) => {
                self.handle_auth(auth, manner, turn)?
            }
            Packet::Auth(_) if manner.is_forgiving => {
                let reason = ReasonCode::BadAuthenticationMethod;
                turn.outputs
                    .push_back(Output::Send(Packet::Auth(Auth { reason, properties: AuthProperties::default() })));
            }
            Packet::Connect(_) => return Err(second_connect().into()),
            // AUTH without an Authentication Method in CONNECT is one as well (MQTT 5.0 §4.12).
            Packet::Auth(_) => {
                let words = "AUTH, although CONNECT had no Authentication Method";
                return Err(Problem::new(ReasonCode::ProtocolError, words).into());
            }
            // The decoder lets no packet through that only a server may send.
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(ReasonCode::ProtocolError.into());
            }
        }
        Ok(())
    }

    fn acknowledge(&self, now: Instant, ack: &Ack, acknowledgement: Acknowledgement, turn: &mut Turn<'_>) {
        // An unknown identifier is a leftover of an earlier connection; the standard asks for no more than to bear it.
        self.is_acknowledged(now, ack, acknowledgement, turn);
    }

    /// Tells the engine, and says whether it knew the identifier.
    fn is_acknowledged(&self, now: Instant, ack: &Ack, acknowledgement: Acknowledgement, turn: &mut Turn<'_>) -> bool {
        let engine = &turn.environment.engine;
        let pumped = engine.acknowledge(now, &self.session, ack.packet_id, acknowledgement, turn.round);
        if pumped == Some(Pumped::More) {
            turn.outputs.push_back(Output::PumpLater);
        }
        pumped.is_some()
    }

    /// PUBREC: the engine sends PUBREL; for an identifier it does not know, PUBREL says so (MQTT 5.0 §4.3.3, 0x92).
    fn handle_pubrec(&self, now: Instant, ack: &Ack, turn: &mut Turn<'_>) {
        if !self.is_acknowledged(now, ack, Acknowledgement::PubRec, turn) {
            let answer = Ack::new(ack.packet_id, ReasonCode::PacketIdentifierNotFound);
            turn.outputs.push_back(Output::Send(Packet::PubRel(answer)));
        }
    }

    /// The properties of an acknowledgement that says no, if it is to say why.
    fn explanation(&self, problem: &Problem) -> AckProperties {
        let reason_string = problem.reason_string().filter(|_| self.explains);
        AckProperties { reason_string, ..Default::default() }
    }

    fn handle_disconnect(&self, disconnect: &Disconnect) -> Ended {
        let expiry_interval_s = disconnect.properties.session_expiry_interval_s;
        if expiry_interval_s.is_some_and(|s| s > 0) && !self.may_extend_session {
            let words = "a Session Expiry Interval in DISCONNECT, although it was 0 in CONNECT";
            return Problem::new(ReasonCode::ProtocolError, words).into();
        }
        Ended::ByClient(Closing { publish_will: disconnect.reason != ReasonCode::Success, expiry_interval_s })
    }
}

/// A CONNACK that refuses. It may say why, even to whoever does not ask (MQTT 5.0 [MQTT-3.1.2-29]).
fn failure(problem: &Problem) -> Packet<'static> {
    let (reason_string, user_properties) = (problem.reason_string(), problem.user_properties());
    let properties = ConnAckProperties { reason_string, user_properties, ..Default::default() };
    Packet::ConnAck(Box::new(ConnAck { session_present: false, reason: problem.reason, properties }))
}

/// MQTT 5.0 [MQTT-3.1.0-2].
fn second_connect() -> Problem {
    Problem::new(ReasonCode::ProtocolError, "a second CONNECT on the same connection")
}

fn refusal_reason(refused: Refused) -> ReasonCode {
    match refused {
        Refused::BadCredentials => ReasonCode::BadUserNameOrPassword,
        Refused::NotAuthorized => ReasonCode::NotAuthorized,
        Refused::Unavailable => ReasonCode::ServerUnavailable,
        Refused::UnknownMethod => ReasonCode::BadAuthenticationMethod,
        Refused::NotProven => ReasonCode::NotAuthorized,
    }
}

#[cfg(test)]
mod tests;
