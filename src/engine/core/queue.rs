//! What waits for one session: bounded in bytes, in the order in which it came.
//!
//! ```text
//! published ──► window free and outbox not full ──► outlet
//!          └──► queue (bytes_max) ── room again ──► outlet
//!                 over the bound: oldest QoS 0 first, then the message that arrives
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::identifiers::Identifiers;
use crate::engine::config::MESSAGE_OVERHEAD_BYTES;
use crate::engine::message::Message;
use crate::mqtt::QoS;

/// A message that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// The number of the Shared Subscription's group that it came by; 0: not shared.
    pub(crate) group: u32,
    pub(crate) identifiers: Identifiers,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.message.size() + MESSAGE_OVERHEAD_BYTES
    }
}

/// The queue: QoS 0 apart from the rest, so that the first can be given up without a search, joined by one numbering.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    best_effort: VecDeque<(u64, Waiting)>,
    promised: VecDeque<(u64, Waiting)>,
    next_number: u64,
    bytes: usize,
}

/// What a push cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) is_kept: bool,
    /// QoS 0 messages given up to make room.
    pub(crate) given_up_count: u64,
}

impl Queue {
    /// Puts `waiting` last, within `bytes_max`.
    pub(crate) fn push(&mut self, waiting: Waiting, bytes_max: usize) -> Pushed {
        let bytes = waiting.bytes();
        let mut given_up_count = 0;
        if waiting.qos != QoS::AtMostOnce && bytes <= bytes_max {
            while self.bytes + bytes > bytes_max
                && let Some((_, oldest)) = self.best_effort.pop_front()
            {
                self.bytes -= oldest.bytes();
                given_up_count += 1;
            }
        }
        let is_kept = self.bytes + bytes <= bytes_max;
        if is_kept {
            self.bytes += bytes;
            let number = self.next_number;
            self.next_number += 1;
            self.half_of(waiting.qos).push_back((number, waiting));
        }
        Pushed { is_kept, given_up_count }
    }

    /// Takes the one that came first, with its number for [`Queue::put_back`].
    pub(crate) fn pop(&mut self) -> Option<(u64, Waiting)> {
        let half = if self.best_effort_is_next() { &mut self.best_effort } else { &mut self.promised };
        let (number, waiting) = half.pop_front()?;
        self.bytes -= waiting.bytes();
        Some((number, waiting))
    }

    /// Puts the one of the last [`Queue::pop`] back in front.
    pub(crate) fn put_back(&mut self, (number, waiting): (u64, Waiting)) {
        self.bytes += waiting.bytes();
        self.half_of(waiting.qos).push_front((number, waiting));
    }

    /// Whether `waiting` fits within `bytes_max` beside what is there.
    pub(crate) fn has_room(&self, message: &Message, bytes_max: usize) -> bool {
        self.bytes + message.size() + MESSAGE_OVERHEAD_BYTES <= bytes_max
    }

    /// Removes what has expired from the front of either half, which is where what waited longest is. Returns how many.
    pub(crate) fn drop_expired(&mut self, now: Instant) -> u64 {
        let mut count = 0;
        for half in [&mut self.best_effort, &mut self.promised] {
            while let Some((_, waiting)) = half.pop_front_if(|(_, waiting)| waiting.message.is_expired(now)) {
                self.bytes -= waiting.bytes();
                count += 1;
            }
        }
        count
    }

    /// Gives up all QoS 0 messages, as for a session without a Network Connection. Returns them.
    pub(crate) fn give_up_best_effort(&mut self) -> impl Iterator<Item = Waiting> {
        self.bytes -= self.best_effort.iter().map(|(_, waiting)| waiting.bytes()).sum::<usize>();
        std::mem::take(&mut self.best_effort).into_iter().map(|(_, waiting)| waiting)
    }

    /// Removes all those that are not to be kept; they are asked for in the order in which they came, QoS 0 before the others.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&Waiting) -> bool) {
        for half in [&mut self.best_effort, &mut self.promised] {
            half.retain(|(_, waiting)| {
                let is_kept = is_kept(waiting);
                self.bytes -= if is_kept { 0 } else { waiting.bytes() };
                is_kept
            });
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.best_effort.iter().chain(&self.promised).map(|(_, waiting)| waiting)
    }

    /// The QoS 1 and 2 messages; QoS 0 was given up before.
    pub(crate) fn into_promised(self) -> impl Iterator<Item = Waiting> {
        self.promised.into_iter().map(|(_, waiting)| waiting)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.best_effort.len() + self.promised.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.best_effort.is_empty() && self.promised.is_empty()
    }

    /// Panics unless the totals are those of the messages.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self, bytes_max: usize) {
        let all = || self.best_effort.iter().chain(&self.promised);
        assert!(!self.is_empty(), "an empty queue is no queue");
        assert_eq!(self.bytes, all().map(|(_, waiting)| waiting.bytes()).sum::<usize>());
        assert!(self.bytes <= bytes_max && all().all(|(number, _)| *number < self.next_number));
        assert!(self.best_effort.iter().is_sorted_by_key(|(number, _)| number));
        assert!(self.promised.iter().is_sorted_by_key(|(number, _)| number));
    }

    fn half_of(&mut self, qos: QoS) -> &mut VecDeque<(u64, Waiting)> {
        if qos == QoS::AtMostOnce { &mut self.best_effort } else { &mut self.promised }
    }

    fn best_effort_is_next(&self) -> bool {
        match (self.best_effort.front(), self.promised.front()) {
            (Some((a, _)), Some((b, _))) => a < b,
            (best_effort, _) => best_effort.is_some(),
        }
    }
}
