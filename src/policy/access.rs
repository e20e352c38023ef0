//! skeleton
use std::sync::Arc;

use crate::mqtt::{QoS, TopicFilter};

use super::{Policy, Reason, Rule, RuleRef, SubscribeVerdict, Verdict};

/// What one identity may do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access {
    pub(super) policy: Arc<Policy>,
}

/// Judges each delivery of a Subscription that was granted in part.
#[derive(Clone, Debug)]
pub struct DeliveryCheck {
    access: Access,
}

impl Access {
    /// Whether a message with these traits may be published to `topic`, a valid Topic Name.
    pub fn publish(&self, topic: &str, qos: QoS, retain: bool, payload_bytes: usize) -> Verdict {
        let _ = (topic, qos, retain, payload_bytes);
        Verdict::refused(None, Reason::NoGrant)
    }

    /// Whether `filter` may be subscribed to at `qos`.
    pub fn subscribe(&self, filter: &TopicFilter, qos: QoS) -> SubscribeVerdict {
        let _ = (filter, qos);
        SubscribeVerdict::Refused(Verdict::refused(None, Reason::NoGrant))
    }

    /// Whether a message published to `topic`, a valid Topic Name, may be delivered.
    pub fn receive(&self, topic: &str) -> Verdict {
        let _ = topic;
        Verdict::refused(None, Reason::NoGrant)
    }

    /// The rule a verdict of this access names.
    #[must_use]
    pub fn rule(&self, rule: RuleRef) -> &Rule {
        self.policy.rule(rule)
    }
}

impl DeliveryCheck {
    /// Whether a message published to `topic` may be delivered.
    #[must_use]
    pub fn allows(&self, topic: &str) -> bool {
        self.access.receive(topic).allow
    }
}
