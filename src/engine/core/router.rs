//! From one message to everyone who is to have it.

use std::num::NonZeroU32;
use std::sync::Arc;

use smallvec::SmallVec;

use super::flow::Flow;
use super::outgoing::Offer;
use super::subscribers::{Group, Subscriber};
use super::subscriptions::{Matched, Membership, NodeId, Subscriptions};
use crate::engine::message::Message;

/// Hands `message` to every session with a matching Subscription, once however many match (MQTT 5.0 §3.3.4), and to one member of each
/// matching group. Returns how many sessions that were.
///
/// `publisher` is the number of the session it comes from.
pub(crate) fn route(
    subscriptions: &Subscriptions,
    publisher: Option<u64>,
    message: &Arc<Message>,
    flow: &mut Flow<'_>,
) -> usize {
    let mut matched = Matched::new();
    subscriptions.matching(message.topic(), &mut matched);
    let router = Router { subscriptions, publisher, message };
    let plain = match matched.as_slice() {
        [] => return 0,
        // One filter cannot overlap with itself.
        [node] => router.fan_out(*node, flow),
        nodes => router.fan_out_overlapping(nodes, flow),
    };
    plain + matched.iter().map(|&node| router.share_out(node, flow)).sum::<usize>()
}

struct Router<'a> {
    subscriptions: &'a Subscriptions,
    publisher: Option<u64>,
    message: &'a Arc<Message>,
}

impl<'a> Router<'a> {
    fn fan_out(&self, node: NodeId, flow: &mut Flow<'_>) -> usize {
        let mut receivers = 0;
        for subscriber in self.subscriptions.subscribers(node).plain() {
            if self.is_for(Membership { node, group: 0 }, subscriber, flow) {
                receivers += 1;
                self.deliver(subscriber, flow);
            }
        }
        receivers
    }

    /// As [`Router::fan_out`], where a session may have several matching Subscriptions: it gets the message once, with the highest QoS
    /// and all Subscription Identifiers.
    fn fan_out_overlapping(&self, nodes: &[NodeId], flow: &mut Flow<'_>) -> usize {
        let mut subscribers: SmallVec<[(u64, &'a Subscriber); 32]> = SmallVec::new();
        for &node in nodes {
            for subscriber in self.subscriptions.subscribers(node).plain() {
                if self.is_for(Membership { node, group: 0 }, subscriber, flow) {
                    subscribers.push((subscriber.session.number(), subscriber));
                }
            }
        }
        subscribers.sort_unstable_by_key(|(number, _)| *number);
        let mut receivers = 0;
        for of_one_session in subscribers.chunk_by(|(a, _), (b, _)| a == b) {
            receivers += 1;
            match of_one_session {
                [(_, subscriber)] => self.deliver(subscriber, flow),
                several => self.deliver_merged(several, flow),
            }
        }
        receivers
    }

    fn share_out(&self, node: NodeId, flow: &mut Flow<'_>) -> usize {
        let mut receivers = 0;
        for group in self.subscriptions.subscribers(node).groups() {
            if let Some(member) = self.choose(node, group, flow) {
                receivers += 1;
                self.deliver(member, flow);
            }
        }
        receivers
    }

    fn choose(&self, node: NodeId, group: &'a Group, flow: &mut Flow<'_>) -> Option<&'a Subscriber> {
        let member = group.next_member()?;
        self.is_for(Membership { node, group: group.number }, member, flow).then_some(member)
    }

    fn is_for(&self, membership: Membership, subscriber: &Subscriber, flow: &mut Flow<'_>) -> bool {
        if subscriber.no_local() && self.publisher == Some(subscriber.session.number()) {
            return false;
        }
        if subscriber.is_checked() && !self.subscriptions.allows(membership, subscriber, self.message.topic()) {
            flow.tally.dropped_denied += 1;
            return false;
        }
        true
    }

    fn deliver(&self, subscriber: &Subscriber, flow: &mut Flow<'_>) {
        let offer = Offer {
            message: self.message,
            qos: self.message.qos.min(subscriber.maximum_qos),
            retain: self.message.retain && subscriber.retain_as_published(),
            identifiers: subscriber.identifier.as_slice(),
        };
        subscriber.session.offer(flow, &offer);
    }

    fn deliver_merged(&self, subscribers: &[(u64, &Subscriber)], flow: &mut Flow<'_>) {
        let mut identifiers: SmallVec<[NonZeroU32; 8]> =
            subscribers.iter().filter_map(|(_, subscriber)| subscriber.identifier).collect();
        identifiers.sort_unstable();
        let maximum_qos = subscribers.iter().map(|(_, subscriber)| subscriber.maximum_qos).max().unwrap_or_default();
        let offer = Offer {
            message: self.message,
            qos: self.message.qos.min(maximum_qos),
            retain: self.message.retain && subscribers.iter().any(|(_, subscriber)| subscriber.retain_as_published()),
            identifiers: &identifiers,
        };
        if let Some((_, subscriber)) = subscribers.first() {
            subscriber.session.offer(flow, &offer);
        }
    }
}
