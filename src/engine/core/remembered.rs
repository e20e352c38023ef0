//! Where a publisher's last message went: nearly everybody publishes to the same topic again and again, and to find out whom that matches is
//! the dearest part of a lone delivery.

use super::subscriptions::{Matched, NodeId, Subscriptions};
use crate::engine::message::Message;

/// See the module. Used under the turn to publish, so that it has no lock of its own.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    route: Option<Box<Route>>,
    /// The hash of the last topic that was not the route's. Only what comes twice in a row is worth remembering: who never publishes to
    /// a topic again pays for no memory, and who changes between topics does not for making it anew each time.
    passed: u64,
}

#[derive(Debug)]
struct Route {
    topic: Box<[u8]>,
    matched: Matched,
    /// Of the Subscriptions.
    revision: u64,
}

/// Longer topics are not remembered, nor more nodes than lie in [`Matched`] itself: memory stays small whatever a client publishes to.
const TOPIC_BYTES_MAX: usize = 256;

impl Remembered {
    /// The nodes whose Subscriptions `message` matches: remembered, or found anew and put into `found`, which is empty before.
    pub(crate) fn matching<'a>(
        &'a mut self,
        subscriptions: &Subscriptions,
        message: &Message,
        found: &'a mut Matched,
    ) -> &'a [NodeId] {
        let (topic, revision) = (message.topic_bytes(), subscriptions.revision());
        let is_known = |route: &Route| route.revision == revision && *route.topic == *topic;
        if !self.route.as_deref().is_some_and(is_known) {
            subscriptions.matching(message.topic(), found);
            self.learn(subscriptions, topic, found);
            return found;
        }
        self.route.as_deref().map_or(&[], |route| &route.matched)
    }

    fn learn(&mut self, subscriptions: &Subscriptions, topic: &[u8], found: &Matched) {
        if topic.len() > TOPIC_BYTES_MAX || found.spilled() {
            return;
        }
        let revision = subscriptions.revision();
        if let Some(route) = &mut self.route
            && *route.topic == *topic
        {
            (route.matched, route.revision) = (found.clone(), revision);
            return;
        }
        let hash = subscriptions.hash_of_topic(topic);
        if std::mem::replace(&mut self.passed, hash) == hash {
            self.route = Some(Box::new(Route { topic: topic.into(), matched: found.clone(), revision }));
        }
    }
}
