//! What waits for one session: bounded in bytes, in the order in which it came.
//!
//! ```text
//! published ──► window free and outbox not full ──► outlet
//!          └──► queue (bytes_max) ── room again ──► outlet
//!                 over the bound: a QoS 1 or 2 message takes the place of the oldest QoS 0 ones,
//!                 then it, or the oldest of its kind, goes, as the rule says
//! ```
//!
//! A message that conflates takes the place of the one of its Topic Name that came last, in the order of the queue as well. At the end it
//! would let a topic that changes faster than the client reads wait for ever behind those that change less; in its place each topic
//! has its turn, with what it says by then. Order within a topic, which is what MQTT 5.0 §4.6 promises, is kept: a message takes the place
//! of none but the last of its topic, and of none that is of the other kind (QoS 0 or above).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
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
    /// The number of what came last on each topic that conflates. Each is that of a message that waits.
    latest: BTreeMap<Topic, u64>,
}

/// How a message is to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) bytes_max: usize,
    pub(crate) rule: QueueFull,
    /// Whether it takes the place of what waits on its topic.
    pub(crate) conflates: bool,
}

/// The front of the queue, taken out.
#[derive(Debug)]
pub(crate) struct Taken {
    number: u64,
    pub(crate) waiting: Waiting,
    is_latest: bool,
}

/// A message by its Topic Name.
#[derive(Debug)]
struct Topic(Arc<Message>);

/// What a push cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) is_kept: bool,
    /// It took the place of another one.
    pub(crate) is_conflated: bool,
    /// QoS 0 messages given up to make room.
    pub(crate) best_effort_given_up: u64,
    /// QoS 1 and 2 messages given up to make room.
    pub(crate) promised_given_up: u64,
}

impl Queue {
    /// Puts `waiting` last, or in the place of another, within `terms`. Nothing is given up for what finds no room all the same; `lose` is
    /// shown what is.
    pub(crate) fn push(&mut self, waiting: Waiting, terms: Terms, mut lose: impl FnMut(&Waiting)) -> Pushed {
        // Of Shared Subscriptions each message is somebody's work.
        let conflates = terms.conflates && waiting.group == 0;
        if conflates && self.replace(&waiting, terms.bytes_max) {
            return Pushed { is_kept: true, is_conflated: true, ..Pushed::default() };
        }
        let bytes = waiting.bytes();
        let mut pushed = Pushed::default();
        let bytes_staying = match (waiting.qos, terms.rule) {
            (QoS::AtMostOnce, QueueFull::DropNewest) => self.bytes(),
            (QoS::AtMostOnce, QueueFull::DropOldest) => self.promised_bytes,
            (_, QueueFull::DropNewest) => self.promised_bytes,
            (_, QueueFull::DropOldest) => 0,
        };
        if bytes_staying + bytes > terms.bytes_max {
            return pushed;
        }
        while self.bytes() + bytes > terms.bytes_max {
            let Some(lost) = self.pop_best_effort().or_else(|| self.pop_promised()) else { break };
            match lost.waiting.qos {
                QoS::AtMostOnce => pushed.best_effort_given_up += 1,
                _ => pushed.promised_given_up += 1,
            }
            lose(&lost.waiting);
        }
        pushed.is_kept = true;
        *self.bytes_of(waiting.qos) += bytes;
        let number = self.next_number;
        self.next_number += 1;
        if conflates {
            self.note_latest(&waiting.message, number);
        }
        self.half_of(waiting.qos).push_back((number, waiting));
        pushed
    }

    /// Puts `waiting` in the place of what came last on its topic. Says whether it could: something is there, of the same kind, and there is
    /// room.
    fn replace(&mut self, waiting: &Waiting, bytes_max: usize) -> bool {
        let Some(&number) = self.latest.get(waiting.message.topic_bytes()) else { return false };
        let total = self.bytes() + waiting.bytes();
        let half = self.half_of(waiting.qos);
        let Ok(index) = half.binary_search_by_key(&number, |(number, _)| *number) else { return false };
        let Some((_, place)) = half.get_mut(index) else { return false };
        let bytes_before = place.bytes();
        if total - bytes_before > bytes_max {
            return false;
        }
        *place = waiting.clone();
        let bytes = self.bytes_of(waiting.qos);
        *bytes = *bytes - bytes_before + waiting.bytes();
        self.note_latest(&waiting.message, number);
        true
    }

    /// Takes the one that came first, for [`Queue::put_back`].
    pub(crate) fn pop(&mut self) -> Option<Taken> {
        if self.best_effort_is_next() { self.pop_best_effort() } else { self.pop_promised() }
    }

    fn pop_best_effort(&mut self) -> Option<Taken> {
        let popped = self.best_effort.pop_front()?;
        self.best_effort_bytes -= popped.1.bytes();
        Some(self.taken(popped))
    }

    fn pop_promised(&mut self) -> Option<Taken> {
        let popped = self.promised.pop_front()?;
        self.promised_bytes -= popped.1.bytes();
        Some(self.taken(popped))
    }

    fn taken(&mut self, (number, waiting): (u64, Waiting)) -> Taken {
        let topic = waiting.message.topic_bytes();
        let is_latest = self.latest.get(topic) == Some(&number);
        if is_latest {
            self.latest.remove(topic);
        }
        Taken { number, waiting, is_latest }
    }

    /// Puts the one of the last [`Queue::pop`] back in front.
    pub(crate) fn put_back(&mut self, taken: Taken) {
        let Taken { number, waiting, is_latest } = taken;
        *self.bytes_of(waiting.qos) += waiting.bytes();
        if is_latest {
            self.note_latest(&waiting.message, number);
        }
        self.half_of(waiting.qos).push_front((number, waiting));
    }

    fn note_latest(&mut self, message: &Arc<Message>, number: u64) {
        // Inserting alone would keep the message that is there as the key, and with it its memory.
        self.latest.remove(message.topic_bytes());
        self.latest.insert(Topic(Arc::clone(message)), number);
    }

    /// Forgets what is not there any more.
    fn forget_gone(&mut self) {
        let (best_effort, promised) = (&self.best_effort, &self.promised);
        self.latest.retain(|_, latest| {
            let has =
                |half: &VecDeque<(u64, Waiting)>| half.binary_search_by_key(latest, |(number, _)| *number).is_ok();
            has(best_effort) || has(promised)
        });
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
        if count > 0 {
            self.forget_gone();
        }
        count
    }

    /// Gives up all QoS 0 messages, as for a session without a Network Connection. Returns them.
    pub(crate) fn give_up_best_effort(&mut self) -> impl Iterator<Item = Waiting> {
        self.best_effort_bytes = 0;
        let given_up = std::mem::take(&mut self.best_effort);
        self.forget_gone();
        given_up.into_iter().map(|(_, waiting)| waiting)
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
        self.forget_gone();
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
        for (topic, latest) in &self.latest {
            let halves = self.best_effort.iter().chain(&self.promised);
            let place = halves.clone().find(|(number, _)| number == latest).expect("what came last waits");
            assert!(Arc::ptr_eq(&place.1.message, &topic.0), "no message is kept for its topic alone");
        }
    }

    pub(crate) fn bytes(&self) -> usize {
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

impl Borrow<[u8]> for Topic {
    fn borrow(&self) -> &[u8] {
        self.0.topic_bytes()
    }
}

impl PartialEq for Topic {
    fn eq(&self, other: &Self) -> bool {
        self.0.topic_bytes() == other.0.topic_bytes()
    }
}

impl Eq for Topic {}

impl Ord for Topic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.topic_bytes().cmp(other.0.topic_bytes())
    }
}

impl PartialOrd for Topic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
