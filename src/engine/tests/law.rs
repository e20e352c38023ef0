//! What the owners of a test's sessions may do.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::Message;
use crate::engine::message::{DeliveryCheck, Grant, Owner, Rights};
use crate::mqtt::{QoS, TopicFilter, topic};

/// What the owners under it may do; what is not denied is allowed. It may change at any time.
#[derive(Debug)]
pub(crate) struct Law(Mutex<Denials>);

/// What a [`Law`] denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denials {
    /// Topic Filters that may not be subscribed to.
    pub(crate) filters: BTreeSet<&'static str>,
    /// Topics that may not be received or published to. A filter that matches one is granted with a residue.
    pub(crate) topics: BTreeSet<&'static str>,
    /// QoS above this.
    pub(crate) maximum_qos: QoS,
    /// Everything, the session itself included.
    pub(crate) everything: bool,
}

impl Default for Denials {
    fn default() -> Self {
        Self { filters: BTreeSet::new(), topics: BTreeSet::new(), maximum_qos: QoS::ExactlyOnce, everything: false }
    }
}

impl Law {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Denials)) {
        change(&mut self.0.lock());
    }

    /// An owner under this law.
    pub(crate) fn owner(self: &Arc<Self>) -> Arc<dyn Owner> {
        Arc::new(Subject(Arc::clone(self)))
    }
}

#[derive(Debug)]
struct Subject(Arc<Law>);

impl Owner for Subject {
    fn name(&self) -> &str {
        "owner"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn rights(self: Arc<Self>) -> Option<Box<dyn Rights>> {
        let denials = self.0.0.lock().clone();
        (!denials.everything).then(|| Box::new(denials) as Box<dyn Rights>)
    }
}

impl Rights for Denials {
    fn subscribe(&self, filter: &TopicFilter, maximum_qos: QoS) -> Option<Grant> {
        if self.filters.contains(filter.as_str()) {
            return None;
        }
        let has_residue = self.topics.iter().any(|topic| topic::matches(filter.filter(), topic));
        let check = has_residue.then(|| Arc::new(NotTopics(self.topics.clone())) as Arc<dyn DeliveryCheck>);
        Some(Grant { maximum_qos: maximum_qos.min(self.maximum_qos), check })
    }

    fn receive(&self, topic: &str) -> bool {
        !self.topics.contains(topic)
    }

    fn publish_will(&self, will: &Message) -> bool {
        !self.topics.contains(will.topic())
    }
}

#[derive(Debug)]
struct NotTopics(BTreeSet<&'static str>);

impl DeliveryCheck for NotTopics {
    fn allows(&self, topic: &str) -> bool {
        !self.0.contains(topic)
    }
}
