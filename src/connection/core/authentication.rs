//! Enhanced authentication: AUTH before CONNACK, and again in session (MQTT 5.0 §3.15, §4.12).
//!
//! ```text
//!   CONNECT method, data ─▶ Prove ─▶ AUTH 0x18 ─▶ … AUTH 0x18 ─▶ Prove ─▶ CONNACK method, data
//!   AUTH 0x19 ─▶ Prove ─▶ AUTH 0x18 ─▶ … AUTH 0x18 ─▶ Prove ─▶ AUTH 0x00          (ordinary packets go on meanwhile)
//! ```
//!
//! A client that came by a token may send another one before it expires: by AUTH if its CONNECT named the method `token`, as a JSON client
//! by `auth`, and any by a PUBLISH to [`TOKEN_TOPIC`], which goes no further.
//!
//! The method is the authority on who is there. A Password beside it is not looked at, as a method that fails must not be made good by
//! another; a User Name beside it has to be the one that is proven, or client and server would mean different identities.
//!
//! What bounds an exchange: its mechanism fixes the number of steps; before CONNACK the connect timeout and the seat among the handshakes
//! hold on; in session it is one small value.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::problem::Problem;
use super::publish::answer as acknowledge;
use super::{ConnectionCounters, Core, Ended, Established, Gate, Manner, Output, State, Turn, refusal_reason};
use crate::auth::{Exchange, Principal, Proof, Refused, Step, TOKEN_METHOD};
use crate::engine::message::Outlet;
use crate::mqtt::packet::{Ack, Auth, Connect};
use crate::mqtt::property::AuthProperties;
use crate::mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, Version};

/// A client that is proving who it is before it is let in.
#[derive(Debug)]
pub(super) struct Exchanging {
    connect: Box<Connect>,
    method: Box<str>,
    /// `None` while [`Core::proven`] is awaited.
    exchange: Option<Exchange>,
}

/// How an established client proved who it is, and may do so again.
#[derive(Debug)]
pub(super) struct Enhanced {
    /// Of CONNECT; no other is taken (MQTT 5.0 §4.12.1).
    method: Box<str>,
    /// Whether AUTH is taken: not from a client whose CONNECT had its token as a password.
    is_agreed: bool,
    username: Arc<str>,
    renewal: Renewal,
}

#[derive(Debug)]
enum Renewal {
    None,
    /// [`Core::proven`] is awaited.
    Judged(Carrier),
    /// The client is to go on.
    Open(Exchange),
}

/// What a proof came in, and so what answers it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Carrier {
    Auth,
    Publish { packet_id: Option<PacketId>, qos: QoS },
}

/// Where a client of any version publishes a new token. Nothing else is ever published there.
pub(super) const TOKEN_TOPIC: &str = "$tidegate/auth";

impl Exchanging {
    /// Whether the client is to go on.
    pub(super) fn is_open(&self) -> bool {
        self.exchange.is_some()
    }

    pub(super) fn claims(&self) -> (Option<&str>, &str) {
        (self.connect.login.username.as_deref(), &self.connect.client_id)
    }
}

impl Core {
    pub(super) fn begin_exchange(&mut self, mut connect: Box<Connect>, method: Box<str>, turn: &mut Turn<'_>) {
        let data = connect.properties.authentication_data.take();
        let proof = Proof { method: method.clone(), data, exchange: None };
        turn.outputs.push_back(Output::Prove { proof, is_patient: false });
        self.state = State::Exchanging(Box::new(Exchanging { connect, method, exchange: None }));
    }

    /// The one flat decision of what a client may send between a CONNECT with an Authentication Method and CONNACK.
    pub(super) fn handle_exchange_packet(&mut self, packet: Packet<'_>, turn: &mut Turn<'_>) {
        let State::Exchanging(exchanging) = &mut self.state else { return };
        // The caller holds packets back while a proof is judged.
        let Some(exchange) = exchanging.exchange.take() else { return };
        match packet {
            Packet::Auth(auth)
                if auth.reason == ReasonCode::ContinueAuthentication && names(&auth, &exchanging.method) =>
            {
                let proof = go_on(auth, &exchanging.method, Some(exchange));
                turn.outputs.push_back(Output::Prove { proof, is_patient: false });
            }
            Packet::Disconnect(_) => {
                self.state = State::Closed;
                turn.outputs.push_back(Output::Close(ReasonCode::Success));
            }
            // AUTH of another method included (MQTT 5.0 §4.12), and whatever else must not come before CONNACK [MQTT-3.1.2-30]. CONNACK says
            // it, as no DISCONNECT goes out before a CONNACK of success [MQTT-3.14.0-1].
            _ => {
                let words = "before CONNACK only DISCONNECT may come, or AUTH with 0x18 and the Authentication Method of CONNECT (MQTT 5.0 §4.12)";
                self.refuse(Version::V5, Problem::new(ReasonCode::ProtocolError, words), turn);
            }
        }
    }

    /// Takes the outcome of [`Output::Prove`].
    pub fn proven(
        &mut self,
        now: Instant,
        outcome: Result<Step, Refused>,
        outlet: &Arc<dyn Outlet>,
        turn: &mut Turn<'_>,
    ) {
        match &mut self.state {
            State::Exchanging(_) => self.proven_before_connack(now, outcome, outlet, turn),
            State::Established(established) => {
                if let Err(fault) = established.proven_again(now, outcome, self.manner, turn) {
                    self.end(now, fault, turn);
                }
            }
            State::AwaitConnect | State::Authenticating(_) | State::Closed => {}
        }
    }

    fn proven_before_connack(
        &mut self,
        now: Instant,
        outcome: Result<Step, Refused>,
        outlet: &Arc<dyn Outlet>,
        turn: &mut Turn<'_>,
    ) {
        let State::Exchanging(mut exchanging) = std::mem::replace(&mut self.state, State::Closed) else { return };
        let connect = &exchanging.connect;
        match outcome {
            Ok(Step::Continue { exchange, data }) => {
                turn.outputs.push_back(answer(ReasonCode::ContinueAuthentication, &exchanging.method, data));
                exchanging.exchange = Some(exchange);
                self.state = State::Exchanging(exchanging);
            }
            Ok(Step::Proven { principal, .. })
                if connect.login.username.as_deref().is_some_and(|name| *name != *principal.username) =>
            {
                let words = "the User Name is not the one that was proven";
                tracing::debug!(client_id = %connect.client_id, "{words}");
                self.refuse(connect.version, Problem::new(ReasonCode::NotAuthorized, words), turn);
            }
            Ok(Step::Proven { principal, data }) => {
                self.admit(now, *exchanging.connect, &principal, data, outlet, turn);
            }
            Err(refused) => self.refuse(connect.version, refusal_reason(refused), turn),
        }
    }
}

impl Enhanced {
    /// What an established client's AUTH will be held against; `None` if its CONNECT named no method and had no token.
    pub(super) fn of(connect: &Connect, principal: &Principal, manner: Manner) -> Option<Box<Self>> {
        let (method, is_agreed) = match connect.properties.authentication_method.clone() {
            Some(method) => (method, true),
            None if principal.expires_at.is_some() => (TOKEN_METHOD.into(), manner.is_forgiving),
            None => return None,
        };
        let username = Arc::clone(&principal.username);
        Some(Box::new(Self { method, is_agreed, username, renewal: Renewal::None }))
    }

    pub(super) fn takes_auth(&self) -> bool {
        self.is_agreed
    }

    /// Whom the client has proven to be.
    pub(super) fn username(&self) -> &str {
        &self.username
    }
}

/// Notes that `client` has published a token; returns what that takes the place of.
///
/// # Errors
/// What is wrong, if this client has no token to replace or is amid AUTH.
pub(super) fn begin_published(
    client: &mut Option<Box<Enhanced>>,
    packet_id: Option<PacketId>,
    qos: QoS,
    manner: Manner,
) -> Result<Option<Carrier>, &'static str> {
    let Some(enhanced) = client.as_mut().filter(|enhanced| *enhanced.method == *TOKEN_METHOD) else {
        return Err("this client came without a token; there is none to replace");
    };
    let before = match (&enhanced.renewal, manner.is_forgiving) {
        (Renewal::None, _) => None,
        (&Renewal::Judged(before @ Carrier::Publish { .. }), _) | (&Renewal::Judged(before), true) => Some(before),
        _ => return Err("AUTH with another token is under way"),
    };
    enhanced.renewal = Renewal::Judged(Carrier::Publish { packet_id, qos });
    Ok(before)
}

impl Established {
    /// Has a token judged that the client has published to [`TOKEN_TOPIC`], in place of what came in `before`; it is acknowledged then.
    pub(super) fn judge_published(
        &self,
        token: &[u8],
        is_acknowledged: bool,
        before: Option<Carrier>,
        manner: Manner,
        turn: &mut Turn<'_>,
    ) {
        if let Some(before) = before {
            self.answer_failure(before, &superseded(), manner, turn);
        }
        let proof = Proof { method: TOKEN_METHOD.into(), data: Some(Bytes::copy_from_slice(token)), exchange: None };
        let hears_why = manner.is_forgiving || (self.version == Version::V5 && is_acknowledged);
        turn.outputs.push_back(Output::Prove { proof, is_patient: !hears_why });
    }

    /// AUTH from a client whose CONNECT named a method (MQTT 5.0 §4.12.1).
    pub(super) fn handle_auth(&mut self, auth: Auth, manner: Manner, turn: &mut Turn<'_>) -> Result<(), Ended> {
        let enhanced = self.enhanced.as_mut().ok_or(ReasonCode::ProtocolError)?;
        if !names(&auth, &enhanced.method) {
            let words = "AUTH names another Authentication Method than CONNECT did (MQTT 5.0 §4.12.1)";
            return Err(Problem::new(ReasonCode::ProtocolError, words).into());
        }
        let (exchange, before) = match (
            auth.reason,
            std::mem::replace(&mut enhanced.renewal, Renewal::Judged(Carrier::Auth)),
        ) {
            (ReasonCode::ReAuthenticate, Renewal::None) => (None, None),
            (ReasonCode::ReAuthenticate, Renewal::Judged(before)) => (None, Some(before)),
            (ReasonCode::ContinueAuthentication, Renewal::Open(exchange)) => (Some(exchange), None),
            _ => {
                let words = "AUTH begins with 0x19 what is not under way, and goes on with 0x18 with what is (MQTT 5.0 §4.12.1)";
                return Err(Problem::new(ReasonCode::ProtocolError, words).into());
            }
        };
        let proof = go_on(auth, &enhanced.method, exchange);
        match before {
            // AUTH has one answer, to what was said last.
            Some(Carrier::Auth) if !manner.is_forgiving => {}
            Some(before) => self.answer_failure(before, &superseded(), manner, turn),
            None => {}
        }
        turn.outputs.push_back(Output::Prove { proof, is_patient: !manner.is_forgiving });
        Ok(())
    }

    fn proven_again(
        &mut self,
        now: Instant,
        outcome: Result<Step, Refused>,
        manner: Manner,
        turn: &mut Turn<'_>,
    ) -> Result<(), Ended> {
        let Some(enhanced) = &mut self.enhanced else { return Ok(()) };
        let Renewal::Judged(carrier) = std::mem::replace(&mut enhanced.renewal, Renewal::None) else { return Ok(()) };
        let (data, revoked) = match outcome {
            Ok(Step::Continue { exchange, data }) => {
                enhanced.renewal = Renewal::Open(exchange);
                turn.outputs.push_back(answer(ReasonCode::ContinueAuthentication, &enhanced.method, data));
                return Ok(());
            }
            // The session, its Subscriptions and its Will are the owner's.
            Ok(Step::Proven { principal, .. }) if principal.username != enhanced.username => {
                let words = "another identity was proven than the session's";
                tracing::debug!(client_id = %self.session.client_id(), "{words}");
                return self.not_renewed(carrier, Problem::new(ReasonCode::NotAuthorized, words), manner, turn);
            }
            Ok(Step::Proven { principal, data }) => match self.renew(now, &principal, manner, turn) {
                Ok(revoked) => (data, revoked),
                Err(problem) => return self.not_renewed(carrier, problem, manner, turn),
            },
            Err(refused) => return self.not_renewed(carrier, refusal_reason(refused).into(), manner, turn),
        };
        match carrier {
            Carrier::Auth => {
                let method = self.enhanced.as_ref().map_or(TOKEN_METHOD, |enhanced| &enhanced.method);
                turn.outputs.push_back(answer(ReasonCode::Success, method, data));
            }
            Carrier::Publish { packet_id: Some(packet_id), qos } => {
                if qos == QoS::ExactlyOnce && manner.has_qos2_handshake {
                    // One that comes again is the same message, and was judged alike.
                    let _ = turn.environment.engine.receive(&self.session, packet_id);
                }
                acknowledge(Ack::new(packet_id, ReasonCode::Success), qos, manner, turn);
            }
            Carrier::Publish { packet_id: None, .. } => {}
        }
        turn.outputs.extend(revoked.into_iter().map(Output::Revoked));
        Ok(())
    }

    /// From here the client is who it is by a new token, and may do what that says. Returns the Subscriptions that it has lost and is to be
    /// told of once it has its answer; an MQTT client's connection ends by itself, if at all.
    fn renew(
        &mut self,
        now: Instant,
        principal: &Principal,
        manner: Manner,
        turn: &mut Turn<'_>,
    ) -> Result<Vec<TopicFilter>, Problem> {
        if self.enhanced.as_ref().is_none_or(|enhanced| *enhanced.method != *TOKEN_METHOD) {
            // What a password proves again is what it proved before.
            return Ok(Vec::new());
        }
        let client_id = self.session.client_id();
        let identity = self.gate.identity().renewed(principal.clone());
        self.gate = Gate::new(Arc::clone(&identity)).map_err(|error| {
            tracing::debug!(%client_id, %error, "identity refused");
            Problem::from(ReasonCode::NotAuthorized)
        })?;
        turn.environment.engine.set_owner(&self.session, identity);
        let lost = self.rejudge(now, !manner.is_forgiving, turn);
        tracing::debug!(client_id = %self.session.client_id(), "token renewed");
        ConnectionCounters::count(&turn.environment.counters.tokens_renewed);
        turn.outputs.push_back(Output::Renewed { expires_at: principal.expires_at });
        Ok(if manner.is_forgiving { lost.subscriptions } else { Vec::new() })
    }

    /// A proof was not taken. A dialect that forgives goes on, and so does whoever published it: the old token still counts.
    fn not_renewed(
        &self,
        carrier: Carrier,
        problem: Problem,
        manner: Manner,
        turn: &mut Turn<'_>,
    ) -> Result<(), Ended> {
        match carrier {
            // DISCONNECT knows neither 0x88 nor 0x8C (MQTT 5.0 §3.14.2.1).
            Carrier::Auth if !manner.is_forgiving => Err(match problem.reason {
                ReasonCode::ServerUnavailable => problem.restated(ReasonCode::ServerBusy),
                ReasonCode::BadAuthenticationMethod => problem.restated(ReasonCode::NotAuthorized),
                _ => problem,
            }
            .into()),
            carrier => {
                self.answer_failure(carrier, &problem, manner, turn);
                Ok(())
            }
        }
    }

    /// Says what became of a proof, to a client that goes on with its old one.
    fn answer_failure(&self, carrier: Carrier, problem: &Problem, manner: Manner, turn: &mut Turn<'_>) {
        match carrier {
            Carrier::Auth => {
                let Output::Send(Packet::Auth(mut auth)) = answer(problem.reason, TOKEN_METHOD, None) else { return };
                auth.properties.reason_string = problem.reason_string();
                turn.outputs.push_back(Output::Send(Packet::Auth(auth)));
            }
            Carrier::Publish { packet_id: Some(packet_id), qos } => {
                let reason = self.denial_reason(match problem.reason {
                    reason if manner.is_forgiving => reason,
                    // PUBACK and PUBREC have no 0x88, and 0x83 is the one that does not blame the token (MQTT 5.0 §3.4.2.1).
                    ReasonCode::ServerUnavailable | ReasonCode::ImplementationSpecificError => {
                        ReasonCode::ImplementationSpecificError
                    }
                    _ => ReasonCode::NotAuthorized,
                });
                let explains = self.explains && reason.is_failure();
                let properties = explains.then(|| Box::new(self.explanation(problem)));
                acknowledge(Ack { packet_id, reason, properties }, qos, manner, turn);
            }
            Carrier::Publish { packet_id: None, .. } => {}
        }
    }
}

/// What is said about a token that another one has taken the place of.
fn superseded() -> Problem {
    let words = "another token came before this one was judged; that one is judged instead";
    Problem::new(ReasonCode::ImplementationSpecificError, words)
}

fn go_on(auth: Auth, method: &str, exchange: Option<Exchange>) -> Proof {
    Proof { method: method.into(), data: auth.properties.authentication_data, exchange }
}

fn names(auth: &Auth, method: &str) -> bool {
    auth.properties.authentication_method.as_deref() == Some(method)
}

fn answer(reason: ReasonCode, method: &str, data: Option<Bytes>) -> Output {
    let properties = AuthProperties {
        authentication_method: Some(method.into()),
        authentication_data: data,
        ..AuthProperties::default()
    };
    Output::Send(Packet::Auth(Auth { reason, properties }))
}
