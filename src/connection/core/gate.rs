//! The one place where a connection asks the policy.
//!
//! Every operation of every dialect passes here: PUBLISH, SUBSCRIBE, the Will at CONNECT, and a kept session's Subscriptions when
//! their owner comes back. What a denial looks like to the client is decided by the caller; that it was one is decided here.

use std::fmt;
use std::sync::Arc;

use crate::auth::Principal;
use crate::engine::message::DeliveryCheck;
use crate::mqtt::packet::Will;
use crate::mqtt::{QoS, TopicFilter};
use crate::policy::{self, Access, BindError, Policy, Reason, SubscribeVerdict, Verdict};

/// What one identity may do, as one snapshot of the policy says.
#[derive(Debug)]
pub(super) struct Gate {
    access: Access,
    /// The latest publications that were allowed: nearly everybody publishes to the same few topics again and again.
    allowed: Vec<Allowed>,
    /// Which of `allowed` goes next, when it is full.
    oldest: usize,
}

/// How many allowed publications a connection remembers.
const ALLOWED_MAX: usize = 4;

/// Topics longer than this are not remembered, so that memory stays small whatever a client publishes to.
const ALLOWED_TOPIC_BYTES_MAX: usize = 256;

/// A publication that the policy allowed. Whatever asks for less on the same topic is allowed as well: a lower QoS, no RETAIN, a
/// shorter payload.
#[derive(Debug)]
struct Allowed {
    topic: Box<str>,
    qos: QoS,
    retain: bool,
    payload_bytes: usize,
}

impl Gate {
    /// Binds `policy` to who is connected.
    ///
    /// # Errors
    /// The identity cannot stand in a rule's placeholder.
    pub(super) fn new(policy: &Arc<Policy>, principal: &Principal, client_id: &str) -> Result<Self, BindError> {
        Ok(Self { access: policy.bind(principal, client_id)?, allowed: Vec::new(), oldest: 0 })
    }

    /// # Errors
    /// The verdict that denies it.
    pub(super) fn publish(&mut self, topic: &str, qos: QoS, retain: bool, payload: &[u8]) -> Result<(), Verdict> {
        let payload_bytes = payload.len();
        if self.allowed.iter().any(|allowed| allowed.includes(topic, qos, retain, payload_bytes)) {
            return Ok(());
        }
        let verdict = self.access.publish(topic, qos, retain, payload_bytes);
        if !verdict.allow {
            return Err(verdict);
        }
        if topic.len() <= ALLOWED_TOPIC_BYTES_MAX {
            self.remember(Allowed { topic: topic.into(), qos, retain, payload_bytes });
        }
        Ok(())
    }

    /// A verdict in words, with the rule that made it, for the log.
    pub(super) fn describe(&self, verdict: Verdict) -> impl fmt::Display + '_ {
        self.access.describe(verdict)
    }

    fn remember(&mut self, allowed: Allowed) {
        if let Some(known) = self.allowed.iter_mut().find(|known| known.topic == allowed.topic) {
            *known = allowed;
        } else if self.allowed.len() < ALLOWED_MAX {
            self.allowed.push(allowed);
        } else {
            self.allowed[self.oldest] = allowed;
            self.oldest = (self.oldest + 1) % ALLOWED_MAX;
        }
    }

    /// # Errors
    /// The verdict that denies it.
    pub(super) fn will(&mut self, will: &Will) -> Result<(), Verdict> {
        self.publish(will.topic.as_str(), will.qos, will.retain, &will.payload)
    }

    pub(super) fn subscribe(&self, filter: &TopicFilter, qos: QoS) -> SubscribeVerdict {
        self.access.subscribe(filter, qos)
    }
}

/// What a client is told about a PUBLISH that `verdict` denies: what it may not do, and nothing of what it could.
pub(super) fn denial_of_publish(verdict: Verdict) -> &'static str {
    match verdict.reason {
        Reason::QosTooHigh { .. } => "not authorized to publish to this topic at this QoS",
        Reason::PayloadTooLarge { .. } => "not authorized to publish a payload of this size to this topic",
        Reason::RetainNotAllowed => "not authorized to publish to this topic with RETAIN",
        _ => "not authorized to publish to this topic",
    }
}

impl Allowed {
    fn includes(&self, topic: &str, qos: QoS, retain: bool, payload_bytes: usize) -> bool {
        *self.topic == *topic && qos <= self.qos && retain <= self.retain && payload_bytes <= self.payload_bytes
    }
}

/// The policy's check of a residue, as the engine asks for it at each delivery.
pub(super) fn residue_check(check: policy::DeliveryCheck) -> Arc<dyn DeliveryCheck> {
    Arc::new(Residue(check))
}

#[derive(Debug)]
struct Residue(policy::DeliveryCheck);

impl DeliveryCheck for Residue {
    fn allows(&self, topic: &str) -> bool {
        self.0.allows(topic)
    }
}
