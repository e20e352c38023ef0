//! Outgoing QoS 1 and 2 messages that the client has not yet acknowledged in full (MQTT 5.0 §4.3, §4.4).
//!
//! ```text
//! QoS 1:  sent ─ PubAck ──► gone            QoS 2:  sent ─ PubRec ──► PUBREL sent ─ PubComp ──► gone
//! ```
//! What is withdrawn between two Network Connections goes as if PubAck or PubRec had come: it is never sent again.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::sync::Arc;

use super::identifiers::Identifiers;
use super::outgoing::Offer;
use crate::engine::config::MESSAGE_OVERHEAD_BYTES;
use crate::engine::message::{Acknowledgement, Message};
use crate::mqtt::{PacketId, QoS};

/// The messages in the order in which they were first sent.
#[derive(Debug)]
pub(crate) struct InFlight {
    entries: VecDeque<Entry>,
    /// Of the messages, as a queue counts them.
    bytes: usize,
    /// How many, from the front, were sent on the present Network Connection.
    sent_count: usize,
    next_id: PacketId,
    /// Packet Identifiers from `next_id` on that are known to be free: acknowledgements only free more.
    free_run: u16,
}

/// One message, or what is left of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) packet_id: PacketId,
    pub(crate) awaits: Awaits,
    pub(crate) retain: bool,
    /// The number of the Shared Subscription's group that it came by; 0: not shared.
    pub(crate) group: u32,
    /// Gone once PUBREC has come: only PUBREL is repeated then.
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) identifiers: Identifiers,
}

/// The acknowledgement that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "they are the packets' names")]
pub(crate) enum Awaits {
    PubAck,
    PubRec,
    PubComp,
}

impl Awaits {
    /// What a message of `qos` awaits first.
    pub(crate) fn first(qos: QoS) -> Self {
        if qos == QoS::ExactlyOnce { Self::PubRec } else { Self::PubAck }
    }

    /// The QoS of a message that awaits this.
    pub(crate) fn qos(self) -> QoS {
        if self == Self::PubAck { QoS::AtLeastOnce } else { QoS::ExactlyOnce }
    }
}

/// What an acknowledgement led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The Packet Identifier is not in use, or awaits something else.
    Unknown,
    /// PUBREL is to be sent.
    Release,
    /// The message is complete; its identifier is free.
    Complete,
}

impl InFlight {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, sent_count: 0, next_id: NonZeroU16::MIN, free_run: u16::MAX }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the messages, as a queue counts them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.entries.into_iter()
    }

    #[cfg(any(test, feature = "model"))]
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The Packet Identifier for the next message. Not used up before [`InFlight::sent`].
    pub(crate) fn next_id(&mut self) -> PacketId {
        while self.free_run == 0 {
            // The window is far smaller than the 65,535 identifiers, so one of the next is free.
            let nearest = self.entries.iter().map(|entry| distance_between(self.next_id, entry.packet_id)).min();
            match nearest {
                Some(0) => self.next_id = following(self.next_id),
                Some(run) => self.free_run = run,
                None => self.free_run = u16::MAX,
            }
        }
        self.next_id
    }

    /// Notes that a message was sent with the identifier of [`InFlight::next_id`].
    pub(crate) fn sent(&mut self, offer: &Offer<'_>) {
        self.entries.push_back(Entry {
            packet_id: self.next_id,
            awaits: Awaits::first(offer.qos),
            retain: offer.retain,
            group: offer.group,
            message: Some(Arc::clone(offer.message)),
            identifiers: offer.identifiers.into(),
        });
        self.bytes += bytes_of(offer.message);
        self.sent_count += 1;
        self.next_id = following(self.next_id);
        self.free_run -= 1;
    }

    /// Applies what the client said about `packet_id`.
    pub(crate) fn acknowledge(&mut self, packet_id: PacketId, acknowledgement: Acknowledgement) -> Acknowledged {
        // Clients acknowledge in order, so it is nearly always the first.
        let Some(index) = self.entries.iter().position(|entry| entry.packet_id == packet_id) else {
            return Acknowledged::Unknown;
        };
        let entry = &mut self.entries[index];
        match (acknowledgement, entry.awaits) {
            (Acknowledgement::PubRec, Awaits::PubRec | Awaits::PubComp) => {
                entry.awaits = Awaits::PubComp;
                self.bytes -= entry.message.take().as_ref().map_or(0, bytes_of);
                entry.identifiers = Identifiers::None;
                Acknowledged::Release
            }
            (Acknowledgement::PubAck, Awaits::PubAck)
            | (Acknowledgement::PubRecFailed, Awaits::PubRec)
            | (Acknowledgement::PubComp, Awaits::PubComp)
            | (Acknowledgement::Complete, _) => {
                self.remove(index);
                Acknowledged::Complete
            }
            _ => Acknowledged::Unknown,
        }
    }

    /// The Network Connection is gone: everything is to be sent again on the next.
    pub(crate) fn disconnected(&mut self) {
        self.sent_count = 0;
    }

    /// Whether everything in flight was sent on the present Network Connection.
    pub(crate) fn is_all_sent(&self) -> bool {
        self.sent_count == self.entries.len()
    }

    /// The first that was not yet sent on the present Network Connection, and how many were.
    pub(crate) fn unsent(&self) -> Option<(&Entry, usize)> {
        self.entries.get(self.sent_count).map(|entry| (entry, self.sent_count))
    }

    /// The one of [`InFlight::unsent`] was sent again.
    pub(crate) fn resent(&mut self) {
        self.sent_count += 1;
    }

    /// The one of [`InFlight::unsent`] cannot be sent on this connection and counts as complete.
    pub(crate) fn give_up_unsent(&mut self) {
        self.remove(self.sent_count);
    }

    /// Those with a message that were not yet sent on the present Network Connection, but on an earlier one.
    pub(crate) fn unsent_messages(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.entries.iter().skip(self.sent_count).filter_map(|entry| entry.message.as_ref())
    }

    /// Sees to it that those of [`InFlight::unsent_messages`] which `is_withdrawn` are never sent again. Returns each with its group, or
    /// with 0 where nobody else is to have it.
    ///
    /// At QoS 1 that is all. At QoS 2 the client may hold the Packet Identifier, and would take another message under it for a
    /// repetition: PUBREL goes in place of PUBLISH and frees it on both sides, whether the client has seen the message or not (MQTT 5.0
    /// §3.7.2.1: 0x92 in the PUBCOMP "is not an error during recovery").
    pub(crate) fn withdraw_unsent(
        &mut self,
        mut is_withdrawn: impl FnMut(&Arc<Message>) -> bool,
    ) -> Vec<(u32, Arc<Message>)> {
        let mut withdrawn = Vec::new();
        let mut index = self.sent_count;
        while let Some(entry) = self.entries.get_mut(index) {
            let Some(message) = entry.message.take_if(|message| is_withdrawn(message)) else {
                index += 1;
                continue;
            };
            self.bytes -= bytes_of(&message);
            if entry.awaits == Awaits::PubRec {
                entry.awaits = Awaits::PubComp;
                entry.identifiers = Identifiers::None;
                withdrawn.push((0, message));
                index += 1;
            } else {
                withdrawn.push((entry.group, message));
                self.remove(index);
            }
        }
        withdrawn
    }

    fn remove(&mut self, index: usize) {
        let removed = self.entries.remove(index);
        self.bytes -= removed.and_then(|entry| entry.message).as_ref().map_or(0, bytes_of);
        if index < self.sent_count {
            self.sent_count -= 1;
        }
        if self.entries.is_empty() && self.entries.capacity() > KEPT_CAPACITY_MAX {
            self.entries = VecDeque::new();
        }
    }
}

fn bytes_of(message: &Arc<Message>) -> usize {
    message.size() + MESSAGE_OVERHEAD_BYTES
}

/// An empty window gives its memory back beyond this many places.
const KEPT_CAPACITY_MAX: usize = 16;

/// The identifier after `id`, from 65,535 back to 1.
fn following(id: PacketId) -> PacketId {
    id.checked_add(1).unwrap_or(NonZeroU16::MIN)
}

/// How many steps of [`following`] lead from `from` to `to`.
fn distance_between(from: PacketId, to: PacketId) -> u16 {
    if to >= from { to.get() - from.get() } else { to.get() + (u16::MAX - from.get()) }
}
