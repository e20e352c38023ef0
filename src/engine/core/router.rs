//! From one message to everyone who is to have it.

use std::num::NonZeroU32;
use std::sync::Arc;

use smallvec::SmallVec;

use super::flow::Flow;
use super::outgoing::{Answer, Offer};
use super::remembered::Remembered;
use super::subscribers::{Group, Subscriber};
use super::subscriptions::{Matched, Membership, NodeId, Subscriptions};
use crate::engine::message::Message;

/// Hands `message` to every session with a matching Subscription, once however many match (MQTT 5.0 §3.3.4), and to one member of each
/// matching group. Returns how many sessions that were.
///
/// `publisher` is the number of the session it comes from, which may have `remembered` where its last message went.
pub(crate) fn route(
    subscriptions: &Subscriptions,
    publisher: Option<u64>,
    remembered: Option<&mut Remembered>,
    message: &Arc<Message>,
    flow: &mut Flow<'_>,
) -> usize {
    let mut matched = Matched::new();
    let matched = match remembered {
        Some(remembered) => remembered.matching(subscriptions, message, &mut matched),
        None => {
            subscriptions.matching(message.topic(), &mut matched);
            &matched
        }
    };
    let router = Router { subscriptions, publisher, message };
    let plain = match matched {
        [] => return 0,
        // One filter cannot overlap with itself.
        [node] => router.fan_out(*node, flow),
        nodes => router.fan_out_overlapping(nodes, flow),
    };
    plain + matched.iter().map(|&node| router.share_out(node, flow)).sum::<usize>()
}

/// A message on its way to a member of a Shared Subscription that did not get it.
#[derive(Clone, Debug)]
pub(crate) struct Leftover {
    /// The number of the group.
    pub(crate) group: u32,
    pub(crate) message: Arc<Message>,
}

/// Hands a message that a member left to another one of its group.
pub(crate) fn hand_on(subscriptions: &Subscriptions, leftover: &Leftover, flow: &mut Flow<'_>) {
    let message = &leftover.message;
    if message.is_expired(flow.now) {
        flow.round.tally.dropped_expired += 1;
        return;
    }
    let router = Router { subscriptions, publisher: None, message };
    let accepted_before = flow.round.tally.deliveries + flow.round.tally.queued;
    let shared = match subscriptions.matching_group(message.topic(), leftover.group) {
        Some((membership, group)) => router.share(membership, group, flow),
        None => Shared::Nobody,
    };
    match shared {
        // Else it was dropped, and counted, where it went.
        Shared::Given => {
            flow.round.tally.handed_on +=
                u64::from(flow.round.tally.deliveries + flow.round.tally.queued > accepted_before)
        }
        Shared::Denied => flow.round.tally.dropped_denied += 1,
        Shared::Nobody => flow.round.tally.dropped_session_ended += 1,
    }
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
            match self.share(Membership { node, group: group.number }, group, flow) {
                Shared::Given => receivers += 1,
                Shared::Denied => flow.round.tally.dropped_denied += 1,
                Shared::Nobody => {}
            }
        }
        receivers
    }

    /// Hands the message to one member of `group`: in turn, but to one that can send it at once before one that has to let it wait,
    /// and to one without a Network Connection only if no other takes it (MQTT 5.0 §4.8.2).
    fn share(&self, membership: Membership, group: &Group, flow: &mut Flow<'_>) -> Shared {
        let may_have = |member: &Subscriber| !self.is_own(member) && self.is_shown(membership, member);
        let members = group.take_turn().enumerate().filter(|(_, member)| may_have(member));
        let connected = members.clone().filter(|(_, member)| member.session.is_connected());
        let mut busy = None;
        for (passed_over, member) in connected.take(ASKED_MAX) {
            match member.session.offer_at_once(flow, &self.offer_to(member, group.number)) {
                Answer::Taken => {
                    group.pass_over(passed_over);
                    return Shared::Given;
                }
                Answer::Busy => busy = busy.or(Some((passed_over, member))),
                Answer::Unable => {}
            }
        }
        for (passed_over, member) in busy.into_iter().chain(members) {
            if member.session.offer(flow, &self.offer_to(member, group.number)) {
                group.pass_over(passed_over);
                return Shared::Given;
            }
        }
        match group.members.iter().all(|member| self.is_shown(membership, member)) {
            true => Shared::Nobody,
            false => Shared::Denied,
        }
    }

    fn is_for(&self, membership: Membership, subscriber: &Subscriber, flow: &mut Flow<'_>) -> bool {
        if self.is_own(subscriber) {
            return false;
        }
        if !self.is_shown(membership, subscriber) {
            flow.round.tally.dropped_denied += 1;
            return false;
        }
        true
    }

    /// Whether the grant of the Subscription reaches as far as this message.
    fn is_shown(&self, membership: Membership, subscriber: &Subscriber) -> bool {
        !subscriber.is_checked() || self.subscriptions.allows(membership, subscriber, self.message.topic())
    }

    /// Whether the message comes from the subscriber, which does not want such.
    fn is_own(&self, subscriber: &Subscriber) -> bool {
        subscriber.no_local() && self.publisher == Some(subscriber.session.number())
    }

    fn deliver(&self, subscriber: &Subscriber, flow: &mut Flow<'_>) {
        subscriber.session.offer(flow, &self.offer_to(subscriber, 0));
    }

    fn offer_to<'b>(&'b self, subscriber: &'b Subscriber, group: u32) -> Offer<'b> {
        Offer {
            message: self.message,
            qos: self.message.qos.min(subscriber.maximum_qos),
            retain: self.message.retain && subscriber.retain_as_published(),
            identifiers: subscriber.identifier.as_slice(),
            group,
        }
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
            group: 0,
        };
        if let Some((_, subscriber)) = subscribers.first() {
            subscriber.session.offer(flow, &offer);
        }
    }
}

/// What became of a message for a Shared Subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shared {
    /// One member has it, or dropped it by its own rule.
    Given,
    /// No member may see it.
    Denied,
    Nobody,
}

/// Connected members asked whether they can send a message at once. As many being busy, it waits for the first of them.
const ASKED_MAX: usize = 16;
