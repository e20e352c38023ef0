//! CONNECT: from the first packet to CONNACK (MQTT 5.0 §3.1, §3.2).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Core, Enhanced, Established, Gate, Output, State, Turn};
use crate::auth::{Credentials, Principal};
use crate::engine::Message;
use crate::engine::message::{OpenError, OpenSession, Outlet, SessionWill};
use crate::mqtt::packet::{ConnAck, Connect, Will};
use crate::mqtt::property::ConnAckProperties;
use crate::mqtt::{ClientId, Packet, ReasonCode, Version};

impl Core {
    pub(super) fn handle_connect(&mut self, mut connect: Box<Connect>, turn: &mut Turn<'_>) {
        if let Some(reason) = refusal_of(&connect) {
            return self.refuse(connect.version, reason, turn);
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
            client_id: connect.client_id.clone(),
            address: self.address,
        }));
        self.state = State::Authenticating(connect);
    }

    /// Opens the session of a client that is known to be `principal`; `proof` is what it is told for its part.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        connect: Connect,
        principal: &Principal,
        proof: Option<Bytes>,
        outlet: &Arc<dyn Outlet>,
        turn: &mut Turn<'_>,
    ) {
        let environment = turn.environment;
        let mut gate = match Gate::new(&environment.policy.load(), principal, &connect.client_id) {
            Ok(gate) => gate,
            Err(error) => {
                tracing::debug!(client_id = %connect.client_id, %error, "identity refused");
                return self.refuse(connect.version, ReasonCode::NotAuthorized, turn);
            }
        };
        if let Some(will) = &connect.will
            && let Err(verdict) = gate.will(will)
        {
            let verdict = gate.describe(verdict);
            tracing::debug!(client_id = %connect.client_id, topic = %will.topic, %verdict, "Will denied");
            return self.refuse(connect.version, ReasonCode::NotAuthorized, turn);
        }
        let expiry_interval_s = session_expiry_s(&connect);
        let request = OpenSession {
            client_id: ClientId::new(&connect.client_id),
            owner: Arc::clone(&principal.username),
            clean_start: connect.clean_start,
            expiry_interval_s,
            receive_maximum: connect.properties.receive_maximum.map_or(u16::MAX, Into::into),
            will: connect.will.as_ref().map(session_will),
            outlet: Arc::clone(outlet),
        };
        let opened = match environment.engine.open(now, request, turn.round) {
            Ok(opened) => opened,
            Err(OpenError::OwnedByAnother) => {
                return self.refuse(connect.version, ReasonCode::ClientIdentifierNotValid, turn);
            }
            Err(OpenError::SessionsFull) => return self.refuse(connect.version, ReasonCode::QuotaExceeded, turn),
        };
        let established = Established {
            session: opened.session,
            gate,
            version: connect.version,
            aliases: Default::default(),
            may_extend_session: expiry_interval_s > 0,
            enhanced: Enhanced::of(&connect, principal),
        };
        if opened.session_present {
            established.rejudge(turn);
        }
        self.state = State::Established(Box::new(established));
        self.accept(connect, opened.session_present, expiry_interval_s, proof, turn);
    }

    fn accept(
        &self,
        connect: Connect,
        session_present: bool,
        expiry_interval_s: u32,
        proof: Option<Bytes>,
        turn: &mut Turn<'_>,
    ) {
        let config = &turn.environment.config;
        super::ConnectionCounters::count(&turn.environment.counters.connected);
        let keep_alive_s = match (config.keep_alive_max_s, connect.version) {
            // Only 5.0 can be told another Keep Alive than it chose.
            (0, _) | (_, Version::V3 | Version::V4) => connect.keep_alive_s,
            (maximum, Version::V5) if connect.keep_alive_s == 0 => maximum,
            (maximum, Version::V5) => connect.keep_alive_s.min(maximum),
        };
        let granted_expiry_s =
            u32::try_from(config.session_expiry_max.as_secs()).unwrap_or(u32::MAX).min(expiry_interval_s);
        let properties = ConnAckProperties {
            session_expiry_interval_s: (granted_expiry_s != expiry_interval_s).then_some(granted_expiry_s),
            receive_maximum: std::num::NonZeroU16::new(config.receive_maximum),
            maximum_packet_size: NonZeroU32::new(config.packet_bytes_max),
            assigned_client_identifier: self.has_assigned_client_id.then(|| connect.client_id.clone()),
            topic_alias_maximum: Some(config.topic_alias_maximum),
            server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            // MQTT 5.0 [MQTT-4.12.0-5]
            authentication_method: connect.properties.authentication_method,
            authentication_data: proof,
            ..Default::default()
        };
        let connack = ConnAck { session_present, reason: ReasonCode::Success, properties };
        turn.outputs.push_back(Output::Send(Packet::ConnAck(Box::new(connack))));
        turn.outputs.push_back(Output::Established { keep_alive_s });
        turn.outputs.push_back(Output::Pump);
    }
}

/// What makes a well-formed CONNECT unacceptable before anybody looks at who it is from.
fn refusal_of(connect: &Connect) -> Option<ReasonCode> {
    let is_anonymous_session = connect.client_id.is_empty();
    match connect.version {
        // 3.1 wants 1 to 23 characters; the upper bound is not held against anybody, as no server of today does.
        Version::V3 if is_anonymous_session => Some(ReasonCode::ClientIdentifierNotValid),
        // MQTT 3.1.1 [MQTT-3.1.3-8]: a session that is to be kept needs a name.
        Version::V4 if is_anonymous_session && !connect.clean_start => Some(ReasonCode::ClientIdentifierNotValid),
        _ => None,
    }
}

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
