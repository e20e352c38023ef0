//! What becomes of a Shared Subscription's messages when a member leaves (MQTT 5.0 §4.8.2): the rest of [`Engine`].
//!
//! | The member | waiting | sent at QoS 1 | sent at QoS 2 |
//! |---|---|---|---|
//! | loses its Network Connection | to a connected member, else they stay | stays | stays |
//! | unsubscribes | to a connected member, else they stay | stays | stays |
//! | has its session end | to any member | to any member | dropped |
//! | may not have it any more ([`super::review`]) | to any member | to any member, if it would be sent again | dropped, if it would be sent again |
//!
//! What was handed on is a message like any other for the one who gets it: it comes without DUP, in that member's own QoS, and behind
//! what already waits there. Waiting QoS 0 messages never stay without a Network Connection.

use std::time::Instant;

use smallvec::SmallVec;

use super::core::flow::Flow;
use super::core::router::{self, Leftover};
use super::core::session::Session;
use super::core::subscribers::{Group, Subscriber};
use super::core::subscriptions::Subscriptions;
use super::handle::Engine;
use super::message::Round;

impl Engine {
    /// Takes out of the queue of `session` what came by one of its Shared Subscriptions, `is_concerned` and has a connected member to go
    /// to.
    ///
    /// Called without any lock held; what is taken is to go to [`Engine::hand_on`].
    pub(super) fn take_shared(&self, session: &Session, is_concerned: impl Fn(&Leftover) -> bool) -> Vec<Leftover> {
        let subscriptions = self.subscriptions.read();
        let mut state = session.lock();
        // Looking for a connected member among many that are away is dear, and mostly all messages are of one group.
        let mut deserted: SmallVec<[u32; 4]> = SmallVec::new();
        state.outgoing.take_shared(|leftover| {
            if !is_concerned(leftover) || deserted.contains(&leftover.group) {
                return false;
            }
            let topic = leftover.message.topic();
            let Some((membership, group)) = subscriptions.matching_group(topic, leftover.group) else { return false };
            let mut others = others(group, session).filter(|member| member.session.is_connected()).peekable();
            if others.peek().is_none() {
                deserted.push(leftover.group);
            }
            others.any(|member| subscriptions.allows(membership, member, topic))
        })
    }

    /// Hands each of `leftovers` to a member of its group.
    pub(super) fn hand_on(&self, now: Instant, leftovers: &[Leftover], round: &mut Round) {
        if leftovers.is_empty() {
            return;
        }
        let mut flow = Flow::new(now, &self.config, &self.memory, &self.counters, round);
        for leftovers in leftovers.chunks(HANDED_ON_AT_ONCE) {
            let subscriptions = self.subscriptions.read();
            for leftover in leftovers {
                router::hand_on(&subscriptions, leftover, &mut flow);
            }
        }
    }
}

/// Whether `leftover`, which `session` may not have any more, can go to another member of its group.
pub(super) fn is_wanted(subscriptions: &Subscriptions, session: &Session, leftover: &Leftover) -> bool {
    let topic = leftover.message.topic();
    subscriptions.matching_group(topic, leftover.group).is_some_and(|(membership, group)| {
        others(group, session).any(|member| subscriptions.allows(membership, member, topic))
    })
}

/// The members of `group` but for `session`.
fn others<'a>(group: &'a Group, session: &Session) -> impl Iterator<Item = &'a Subscriber> + use<'a> {
    let number = session.number();
    group.members.iter().filter(move |member| member.session.number() != number)
}

/// Messages handed on while the Subscriptions are locked against changes.
const HANDED_ON_AT_ONCE: usize = 64;
