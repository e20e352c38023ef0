//! What waits for one session: bounded in bytes, in the order in which it came.
//!
//! ```text
//! published ──► window free and outbox not full ──► outlet
//!          └──► queue (bytes_max) ── room again ──► outlet
//!                 over the bound: a QoS 1 or 2 message takes the place of the oldest QoS 0 ones,
//!                 then it, or the oldest of its kind, goes, as the rule says
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::identifiers::Identifiers;
use crate::engine::config::{MESSAGE_OVERHEAD_BYTES, QueueFull};
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
    best_effort_bytes: usize,
    promised_bytes: usize,
}

/// What a push cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) is_kept: bool,
    /// QoS 0 messages given up to make room.
    pub(crate) best_effort_given_up: u64,
    /// QoS 1 and 2 messages given up to make room.
    pub(crate) promised_given_up: u64,
}

impl Queue {
    /// Puts `waiting` last, within `bytes_max`. Nothing is given up for what finds no room all the same.
    pub(crate) fn push(&mut self, waiting: Waiting, bytes_max: usize, rule: QueueFull) -> Pushed {
        let bytes = waiting.bytes();
        let mut pushed = Pushed::default();
        let bytes_staying = match (waiting.qos, rule) {
            (QoS::AtMostOnce, QueueFull::DropNewest) => self.bytes(),
            (QoS::AtMostOnce, QueueFull::DropOldest) => self.promised_bytes,
            (_, QueueFull::DropNewest) => self.promised_bytes,
            (_, QueueFull::DropOldest) => 0,
        };
        if bytes_staying + bytes > bytes_max {
            return pushed;
        }
        while self.bytes() + bytes > bytes_max {
            if self.pop_best_effort().is_some() {
                pushed.best_effort_given_up += 1;
            } else {
                self.pop_promised();
                pushed.promised_given_up += 1;
            }
        }
        pushed.is_kept = true;
        *self.bytes_of(waiting.qos) += bytes;
        let number = self.next_number;
        self.next_number += 1;
        self.half_of(waiting.qos).push_back((number, waiting));
        pushed
    }

    /// Takes the one that came first, with its number for [`Queue::put_back`].
    pub(crate) fn pop(&mut self) -> Option<(u64, Waiting)> {
        if self.best_effort_is_next() { self.pop_best_effort() } else { self.pop_promised() }
    }

    fn pop_best_effort(&mut self) -> Option<(u64, Waiting)> {
        let popped = self.best_effort.pop_front()?;
        self.best_effort_bytes -= popped.1.bytes();
        Some(popped)
    }

    fn pop_promised(&mut self) -> Option<(u64, Waiting)> {
        let popped = self.promised.pop_front()?;
        self.promised_bytes -= popped.1.bytes();
        Some(popped)
    }

    /// Puts the one of the last [`Queue::pop`] back in front.
    pub(crate) fn put_back(&mut self, (number, waiting): (u64, Waiting)) {
        *self.bytes_of(waiting.qos) += waiting.bytes();
        self.half_of(waiting.qos).push_front((number, waiting));
    }

    /// Whether `message` fits within `bytes_max` beside what is there.
    pub(crate) fn has_room(&self, message: &Message, bytes_max: usize) -> bool {
        self.bytes() + message.size() + MESSAGE_OVERHEAD_BYTES <= bytes_max
    }

    /// Removes what has expired from the front of either half, which is where what waited longest is. Returns how many.
    pub(crate) fn drop_expired(&mut self, now: Instant) -> u64 {
        let mut count = 0;
        for (half, bytes) in self.halves() {
            while let Some((_, waiting)) = half.pop_front_if(|(_, waiting)| waiting.message.is_expired(now)) {
                *bytes -= waiting.bytes();
                count += 1;
            }
        }
        count
    }

    /// Gives up all QoS 0 messages, as for a session without a Network Connection. Returns them.
    pub(crate) fn give_up_best_effort(&mut self) -> impl Iterator<Item = Waiting> {
        self.best_effort_bytes = 0;
        std::mem::take(&mut self.best_effort).into_iter().map(|(_, waiting)| waiting)
    }

    /// Removes all those that are not to be kept; they are asked for in the order in which they came, QoS 0 before the others.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&Waiting) -> bool) {
        for (half, bytes) in self.halves() {
            half.retain(|(_, waiting)| {
                let is_kept = is_kept(waiting);
                *bytes -= if is_kept { 0 } else { waiting.bytes() };
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

    #[cfg(any(test, feature = "model"))]
    pub(crate) fn len(&self) -> usize {
        self.best_effort.len() + self.promised.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.best_effort.is_empty() && self.promised.is_empty()
    }

    /// Panics unless the totals are those of the messages.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn check_invariants(&self, bytes_max: usize) {
        assert!(!self.is_empty(), "an empty queue is no queue");
        assert!(self.bytes() <= bytes_max);
        for (half, bytes) in [(&self.best_effort, self.best_effort_bytes), (&self.promised, self.promised_bytes)] {
            assert_eq!(bytes, half.iter().map(|(_, waiting)| waiting.bytes()).sum::<usize>());
            assert!(half.iter().all(|(number, _)| *number < self.next_number));
            assert!(half.iter().is_sorted_by_key(|(number, _)| number));
        }
    }

    fn bytes(&self) -> usize {
        self.best_effort_bytes + self.promised_bytes
    }

    fn bytes_of(&mut self, qos: QoS) -> &mut usize {
        if qos == QoS::AtMostOnce { &mut self.best_effort_bytes } else { &mut self.promised_bytes }
    }

    fn halves(&mut self) -> [(&mut VecDeque<(u64, Waiting)>, &mut usize); 2] {
        [(&mut self.best_effort, &mut self.best_effort_bytes), (&mut self.promised, &mut self.promised_bytes)]
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
