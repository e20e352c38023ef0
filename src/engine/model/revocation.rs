//! What is taken back in a trial: for the time of one review, one Topic Filter or one topic is denied to everybody.

use std::sync::Arc;

use parking_lot::Mutex;

use super::trial::shared_check;
use crate::engine::message::{Grant, Message, Owner, Rights};
use crate::mqtt::{QoS, TopicFilter};

/// What is denied at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Denial {
    /// May not be subscribed to.
    pub(super) filter: Option<&'static str>,
    /// May not be received, nor a Will be published to it. Subscriptions stay as they are.
    pub(super) topic: Option<&'static str>,
}

/// The owners' law.
#[derive(Clone, Debug, Default)]
pub(super) struct Revocations(Arc<Mutex<Denial>>);

impl Revocations {
    pub(super) fn set(&self, denial: Denial) {
        *self.0.lock() = denial;
    }

    /// The owner of the session of `client_id`.
    pub(super) fn owner(&self, client_id: &'static str) -> Arc<dyn Owner> {
        Arc::new(Member { law: self.clone(), client_id })
    }
}

#[derive(Debug)]
struct Member {
    law: Revocations,
    client_id: &'static str,
}

impl Owner for Member {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn name(&self) -> &str {
        "owner"
    }

    fn rights(self: Arc<Self>) -> Option<Box<dyn Rights>> {
        Some(Box::new(Ruling { denial: *self.law.0.lock(), client_id: self.client_id }))
    }
}

#[derive(Debug)]
struct Ruling {
    denial: Denial,
    client_id: &'static str,
}

impl Rights for Ruling {
    fn subscribe(&self, filter: &TopicFilter, maximum_qos: QoS) -> Option<Grant> {
        let check = shared_check(filter.as_str(), self.client_id);
        (self.denial.filter != Some(filter.as_str())).then_some(Grant { maximum_qos, check })
    }

    fn receive(&self, topic: &str) -> bool {
        self.denial.topic != Some(topic)
    }

    fn publish_will(&self, will: &Message) -> bool {
        self.denial.topic != Some(will.topic())
    }
}
