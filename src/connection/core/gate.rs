//! The one place where a connection asks the policy.
//!
//! Every operation of every dialect passes here: PUBLISH, SUBSCRIBE, the Will at CONNECT, and a kept session's Subscriptions when
//! their owner comes back. What a denial looks like to the client is decided by the caller; that it was one is decided here.

use std::sync::Arc;

use crate::auth::Principal;
use crate::engine::message::DeliveryCheck;
use crate::mqtt::packet::Will;
use crate::mqtt::{QoS, TopicFilter};
use crate::policy::{self, Access, BindError, Policy, SubscribeVerdict, Verdict};

/// What one identity may do, as one snapshot of the policy says.
#[derive(Debug)]
pub(super) struct Gate {
    access: Access,
}

impl Gate {
    /// Binds `policy` to who is connected.
    ///
    /// # Errors
    /// The identity cannot stand in a rule's placeholder.
    pub(super) fn new(policy: &Arc<Policy>, principal: &Principal, client_id: &str) -> Result<Self, BindError> {
        Ok(Self { access: policy.bind(principal, client_id)? })
    }

    pub(super) fn publish(&self, topic: &str, qos: QoS, retain: bool, payload: &[u8]) -> Verdict {
        self.access.publish(topic, qos, retain, payload.len())
    }

    pub(super) fn will(&self, will: &Will) -> Verdict {
        self.publish(will.topic.as_str(), will.qos, will.retain, &will.payload)
    }

    pub(super) fn subscribe(&self, filter: &TopicFilter, qos: QoS) -> SubscribeVerdict {
        self.access.subscribe(filter, qos)
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
