//! [`Engine`]: what connections, uplinks and the administrator call.

use std::sync::Arc;
use std::time::Instant;

use super::config::EngineConfig;
use super::core::session::{Attached, Session};
use super::counters::EngineCounters;
use super::message::{Acknowledgement, Closing, Message, OpenError, OpenSession, Round, SubscribeRequest};
use crate::mqtt::{PacketId, TopicFilter};

/// The in-process broker. Shared as `Arc<Engine>`; every method is synchronous and short, and may be called from any thread.
///
/// What a call delivers is in the receivers' outlets when it returns, and `round` names the outlets that want a flush. An [`Attached`]
/// whose session was taken over or has ended makes every call do nothing.
#[derive(Debug)]
pub struct Engine {
    #[expect(dead_code, reason = "the first commit lays down the API")]
    config: EngineConfig,
    counters: EngineCounters,
}

/// A session that was opened.
#[derive(Debug)]
pub struct Opened {
    pub session: Attached,
    /// Session Present of CONNACK: whether earlier state goes on.
    pub session_present: bool,
}

/// What became of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Sessions that a matching Subscription belongs to. 0 → PUBACK or PUBREC may say 0x10 No matching subscribers.
    pub receivers: usize,
}

/// Why a Subscription was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// → 0x97 (3.1.1: 0x80).
    #[error("the session has as many subscriptions as it may")]
    QuotaExceeded,
}

impl Engine {
    /// An engine without sessions. `hasher` carries the seed that keeps clients from choosing colliding names.
    #[must_use]
    pub fn new(config: EngineConfig, hasher: ahash::RandomState) -> Self {
        let _ = hasher;
        Self { config, counters: EngineCounters::default() }
    }

    #[must_use]
    pub fn counters(&self) -> &EngineCounters {
        &self.counters
    }

    /// Opens the session of a client, taking it over from another Network Connection if need be, whose outlet is closed with
    /// 0x8E Session taken over (MQTT 5.0 §3.1.4).
    ///
    /// Nothing is delivered before the first [`Engine::pump`], so that CONNACK can go first.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed then.
    pub fn open(&self, now: Instant, open: OpenSession, round: &mut Round) -> Result<Opened, OpenError> {
        let _ = (now, round);
        Ok(Opened {
            session: Attached { session: Arc::new(Session::new(open.client_id)), generation: 0 },
            session_present: false,
        })
    }

    /// The session's Topic Filters, for judging a kept session anew.
    #[must_use]
    pub fn subscriptions(&self, attached: &Attached) -> Vec<TopicFilter> {
        let _ = attached;
        Vec::new()
    }

    /// Delivers what waits for the session, as far as the outlet and the in-flight window take it: first the unacknowledged messages
    /// of earlier connections (DUP, original order, MQTT 5.0 §4.4), then the queue, then retained messages.
    ///
    /// To be called after CONNACK, after each SUBACK, and whenever the outbox has room again after [`super::Delivered::Full`].
    pub fn pump(&self, now: Instant, attached: &Attached, round: &mut Round) {
        let _ = (now, attached, round);
    }

    /// Delivers `message` to every session with a matching Subscription, and retains it if it says so.
    ///
    /// `from` is the publisher's session, for No Local.
    pub fn publish(
        &self,
        now: Instant,
        from: Option<&Attached>,
        message: &Arc<Message>,
        round: &mut Round,
    ) -> Published {
        let _ = (now, from, message, round);
        Published { receivers: 0 }
    }

    /// Notes an incoming QoS 2 PUBLISH (MQTT 5.0 §4.3.3). True: it is the first of this Packet Identifier and is to be published;
    /// false: a duplicate that gets its PUBREC and nothing else.
    ///
    /// How many may be open is the caller's to hold: see [`Engine::receiving_count`].
    #[must_use]
    pub fn receive(&self, attached: &Attached, packet_id: PacketId) -> bool {
        let _ = (attached, packet_id);
        true
    }

    /// Whether an incoming QoS 2 message with this Packet Identifier waits for its PUBREL.
    #[must_use]
    pub fn is_receiving(&self, attached: &Attached, packet_id: PacketId) -> bool {
        let _ = (attached, packet_id);
        false
    }

    /// Incoming QoS 2 messages that wait for their PUBREL: what Receive Maximum counts, kept across reconnects.
    #[must_use]
    pub fn receiving_count(&self, attached: &Attached) -> usize {
        let _ = attached;
        0
    }

    /// An incoming PUBREL. Says whether its Packet Identifier was known (else PUBCOMP 0x92).
    pub fn release(&self, attached: &Attached, packet_id: PacketId) -> bool {
        let _ = (attached, packet_id);
        true
    }

    /// Makes a Subscription, or replaces the one with the same Topic Filter.
    ///
    /// Its retained messages wait in the session for the next [`Engine::pump`], so that SUBACK can go first.
    ///
    /// # Errors
    /// [`SubscribeError::QuotaExceeded`]; nothing has changed then.
    pub fn subscribe(
        &self,
        now: Instant,
        attached: &Attached,
        request: SubscribeRequest,
    ) -> Result<(), SubscribeError> {
        let _ = (now, attached, request);
        Ok(())
    }

    /// Removes a Subscription. Says whether there was one (else UNSUBACK 0x11).
    pub fn unsubscribe(&self, attached: &Attached, filter: &TopicFilter) -> bool {
        let _ = (attached, filter);
        false
    }

    /// What the client says about an outgoing message; then sends what waited for its place in the window.
    ///
    /// Says whether the Packet Identifier was known in that state (else, for PUBREC, PUBREL 0x92).
    pub fn acknowledge(
        &self,
        now: Instant,
        attached: &Attached,
        packet_id: PacketId,
        acknowledgement: Acknowledgement,
        round: &mut Round,
    ) -> bool {
        let _ = (now, attached, packet_id, acknowledgement, round);
        true
    }

    /// The Network Connection has closed: ends the session or keeps it, and sees to its Will.
    pub fn close(&self, now: Instant, attached: Attached, closing: Closing, round: &mut Round) {
        let _ = (now, attached, closing, round);
    }

    /// Ends sessions whose time has come and publishes delayed Wills. To be called about every 250 ms.
    pub fn tick(&self, now: Instant, round: &mut Round) {
        let _ = (now, round);
    }
}
