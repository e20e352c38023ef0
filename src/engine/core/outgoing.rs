//! The way of messages to one client: outlet, window, queue and retained messages, in that order of precedence.
//!
//! A message goes to the outlet at once if nothing is before it; else it waits. QoS 0 is kept only where order asks for it: behind
//! messages that wait, and behind retained messages that fill the outbox; and where [`WhenFull`] lets it wait for a client that is
//! merely too slow. To a session without a Network Connection QoS 0 is dropped.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use parking_lot::RwLock;

use super::flow::Flow;
use super::inflight::{Acknowledged, Awaits, InFlight};
use super::queue::{Queue, Terms, Waiting};
use super::retained::{Cursor, Retained, Walk};
use super::router::Leftover;
use super::subscriptions::Membership;
use crate::engine::config::{QueueFull, WhenFull};
use crate::engine::message::{Acknowledgement, Delivered, Delivery, DeliveryCheck, Grant, Message, Outlet};
use crate::load::{Account, Charge, Pressure};
use crate::mqtt::{PacketId, QoS, TopicFilter};

/// A message as one receiver is to see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) message: &'a Arc<Message>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) identifiers: &'a [NonZeroU32],
    /// The number of the Shared Subscription's group that it comes by; 0: not shared.
    pub(crate) group: u32,
}

impl<'a> Offer<'a> {
    fn delivery(&self, packet_id: Option<PacketId>) -> Delivery<'a> {
        Delivery {
            message: self.message,
            qos: self.qos,
            retain: self.retain,
            dup: false,
            packet_id,
            subscription_identifiers: self.identifiers,
        }
    }
}

/// What became of an offer that is not to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is on its way.
    Taken,
    /// It would have to wait, or be dropped for want of room.
    Busy,
    /// There is no Network Connection that takes it, or it is too large for this client.
    Unable,
}

/// Whether [`super::super::Engine::pump`] has more to do that neither the outbox nor the client holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pumped {
    /// Nothing waits, or it waits for room in the outbox or for acknowledgements.
    Done,
    /// It only gave way to others: call again soon, after others had their turn.
    More,
}

/// What is on its way to one client.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) outlet: Option<Arc<dyn Outlet>>,
    pub(crate) pending: Option<Box<Pending>>,
    /// Unacknowledged QoS 1 and 2 messages that the client and the engine allow.
    pub(crate) window: u16,
    /// Whether everything waits for the first pump of this Network Connection, as CONNACK goes first.
    pub(crate) is_held: bool,
    /// Whether the Network Connection was asked to close, as its client is too slow.
    pub(crate) is_too_slow: bool,
}

/// Most sessions never need it: QoS 0 alone leaves no trace here.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) in_flight: InFlight,
    /// Packet Identifiers of incoming QoS 2 messages between PUBLISH and PUBREL, ascending.
    pub(crate) receiving: Vec<PacketId>,
    /// There only while something waits.
    pub(crate) queue: Option<Box<Queue>>,
    pub(crate) backlog: VecDeque<Backlog>,
    /// What is booked of queue and in-flight messages; absent until that is worth it.
    charge: Option<Charge>,
}

/// The retained messages of one new Subscription that are still to be sent.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) membership: Membership,
    pub(crate) filter: TopicFilter,
    pub(crate) maximum_qos: QoS,
    pub(crate) identifier: Option<NonZeroU32>,
    pub(crate) check: Option<Arc<dyn DeliveryCheck>>,
    pub(crate) stored_before: u64,
    pub(crate) cursor: Cursor,
}

/// What does not stay with a session.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// What other members of Shared Subscriptions are to have.
    pub(crate) leftovers: Vec<Leftover>,
    /// How many messages go for good.
    pub(crate) dropped_count: u64,
}

impl Left {
    pub(crate) fn extend(&mut self, other: Self) {
        self.leftovers.extend(other.leftovers);
        self.dropped_count += other.dropped_count;
    }

    /// Adds a message that came by `group`, or one that nobody else is to have.
    fn add(&mut self, group: u32, message: Option<Arc<Message>>) {
        match message.filter(|_| group != 0) {
            Some(message) => self.leftovers.push(Leftover { group, message }),
            None => self.dropped_count += 1,
        }
    }
}

impl Pending {
    fn new() -> Self {
        Self { in_flight: InFlight::new(), receiving: Vec::new(), queue: None, backlog: VecDeque::new(), charge: None }
    }

    fn bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes()) + self.in_flight.bytes()
    }

    /// Parts what ends with the session from what other members of Shared Subscriptions are to have: what was not yet sent, and what was
    /// sent at QoS 1 and is not acknowledged; never what was sent at QoS 2 (MQTT 5.0 §4.8.2, [MQTT-4.8.2-5]).
    pub(crate) fn split(self) -> Left {
        let mut left = Left::default();
        for entry in self.in_flight.into_entries() {
            let message = entry.message.filter(|_| entry.awaits == Awaits::PubAck);
            left.add(entry.group, message);
        }
        for waiting in self.queue.into_iter().flat_map(|queue| queue.into_promised()) {
            left.add(waiting.group, Some(waiting.message));
        }
        left
    }
}

impl Outgoing {
    pub(crate) fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_with(|| Box::new(Pending::new()))
    }

    /// Books what waits and what is in flight. To be called after whatever may have changed that.
    pub(crate) fn book(&mut self, memory: &Arc<Account>) {
        let Some(pending) = &mut self.pending else { return };
        let bytes = pending.bytes();
        match &mut pending.charge {
            Some(charge) => charge.set(bytes),
            None if bytes < BOOKED_MIN => {}
            None => pending.charge.insert(Charge::new(memory)).set(bytes),
        }
    }

    /// The same where it can only have become less.
    fn book_less(&mut self) {
        let Some(pending) = &mut self.pending else { return };
        let bytes = pending.bytes();
        if let Some(charge) = &mut pending.charge {
            charge.set(bytes);
        }
    }

    /// Sends `offer`, lets it wait, or drops it.
    pub(crate) fn offer(&mut self, flow: &mut Flow<'_>, offer: &Offer<'_>) {
        if offer.qos != QoS::AtMostOnce {
            return self.offer_promised(flow, offer);
        }
        let Some(outlet) = &self.outlet else {
            flow.round.tally.dropped_offline += 1;
            return;
        };
        if self.must_wait() {
            return self.enqueue(flow, offer);
        }
        let delivered = outlet.deliver(flow.now, &offer.delivery(None));
        match delivered {
            Delivered::Appended { .. } => {
                flow.round.note(outlet, delivered);
                flow.round.tally.delivered(offer.message);
            }
            Delivered::Full => self.find_full(flow, offer),
            Delivered::TooLarge => flow.round.tally.dropped_too_large += 1,
            Delivered::Closed => flow.round.tally.dropped_closed += 1,
        }
    }

    /// Sends `offer` if nothing is before it and there is room; else nothing has changed, and nothing is counted.
    pub(crate) fn offer_at_once(&mut self, flow: &mut Flow<'_>, offer: &Offer<'_>) -> Answer {
        if self.outlet.is_none() {
            return Answer::Unable;
        }
        if self.must_wait() || (offer.qos != QoS::AtMostOnce && !self.has_window()) {
            return Answer::Busy;
        }
        match self.send(flow, offer) {
            Delivered::Appended { .. } => Answer::Taken,
            Delivered::Full => Answer::Busy,
            Delivered::TooLarge | Delivered::Closed => Answer::Unable,
        }
    }

    fn offer_promised(&mut self, flow: &mut Flow<'_>, offer: &Offer<'_>) {
        if self.outlet.is_none() || self.must_wait() || !self.has_window() {
            return self.enqueue(flow, offer);
        }
        match self.send_promised(flow, offer) {
            Delivered::Appended { .. } => {}
            Delivered::TooLarge => flow.round.tally.dropped_too_large += 1,
            Delivered::Full => self.find_full(flow, offer),
            Delivered::Closed => self.enqueue(flow, offer),
        }
    }

    /// Keeps `offer`, which found the outbox full, or drops it.
    fn find_full(&mut self, flow: &mut Flow<'_>, offer: &Offer<'_>) {
        // Retained messages fill the outbox of whoever subscribes, however fast it reads.
        if self.has_backlog() {
            return self.enqueue(flow, offer);
        }
        match (flow.when_full(offer.message), offer.qos) {
            (WhenFull::DropNewest, QoS::AtMostOnce) => flow.round.tally.dropped_outbox_full += 1,
            (WhenFull::Disconnect, _) => {
                // Once the connection is closed it is dropped, or goes to another member of a Shared Subscription.
                self.enqueue(flow, offer);
                self.close_as_too_slow(flow);
            }
            _ => self.enqueue(flow, offer),
        }
    }

    fn close_as_too_slow(&mut self, flow: &mut Flow<'_>) {
        let Some(outlet) = self.outlet.as_ref().filter(|_| !self.is_too_slow) else { return };
        outlet.close_as_too_slow();
        self.is_too_slow = true;
        flow.round.tally.slow_disconnected += 1;
    }

    /// Sends a QoS 1 or 2 message for the first time; the window has room. Unless it is appended, its Packet Identifier was not used;
    /// what is too large counts as complete, and is the caller's to count.
    fn send_promised(&mut self, flow: &mut Flow<'_>, offer: &Offer<'_>) -> Delivered {
        let pending = self.pending.get_or_insert_with(|| Box::new(Pending::new()));
        let Some(outlet) = &self.outlet else { return Delivered::Closed };
        let packet_id = pending.in_flight.next_id();
        let delivered = outlet.deliver(flow.now, &offer.delivery(Some(packet_id)));
        if let Delivered::Appended { .. } = delivered {
            flow.round.note(outlet, delivered);
            flow.round.tally.delivered(offer.message);
            pending.in_flight.sent(offer);
        }
        delivered
    }

    /// Sends a message of any QoS, as [`Outgoing::send_promised`].
    fn send(&mut self, flow: &mut Flow<'_>, offer: &Offer<'_>) -> Delivered {
        if offer.qos != QoS::AtMostOnce {
            return self.send_promised(flow, offer);
        }
        let Some(outlet) = &self.outlet else { return Delivered::Closed };
        let delivered = outlet.deliver(flow.now, &offer.delivery(None));
        if let Delivered::Appended { .. } = delivered {
            flow.round.note(outlet, delivered);
            flow.round.tally.delivered(offer.message);
        }
        delivered
    }

    fn enqueue(&mut self, flow: &mut Flow<'_>, offer: &Offer<'_>) {
        let when_full = flow.when_full(offer.message);
        let may_grow = match flow.memory.pressure() {
            Pressure::None | Pressure::Readers => true,
            Pressure::Away => self.outlet.is_some(),
            Pressure::Queues | Pressure::Newcomers => false,
        };
        let rule = match (when_full, offer.qos) {
            (WhenFull::DropOldest | WhenFull::Conflate, QoS::AtMostOnce) => QueueFull::DropOldest,
            _ => flow.config.queue_full,
        };
        let pending = self.pending.get_or_insert_with(|| Box::new(Pending::new()));
        let queue = pending.queue.get_or_insert_default();
        let bytes_max = if may_grow { flow.config.queue_bytes_max } else { queue.bytes() };
        if !queue.has_room(offer.message, bytes_max) {
            flow.round.tally.dropped_expired += queue.drop_expired(flow.now);
        }
        let waiting = Waiting {
            message: Arc::clone(offer.message),
            qos: offer.qos,
            retain: offer.retain,
            identifiers: offer.identifiers.into(),
            group: offer.group,
        };
        let terms = Terms { bytes_max, rule, conflates: when_full == WhenFull::Conflate };
        let slow_clients = &flow.config.slow_clients;
        let mut is_too_slow = false;
        let pushed = queue.push(waiting, terms, |lost| {
            is_too_slow |= slow_clients.when_full(lost.message.topic()) == WhenFull::Disconnect;
        });
        if queue.is_empty() {
            pending.queue = None;
        }
        flow.round.tally.queued += u64::from(pushed.is_kept);
        flow.round.tally.dropped_conflated += u64::from(pushed.is_conflated);
        let is_refused_at =
            |is_best_effort: bool| u64::from(!pushed.is_kept && (offer.qos == QoS::AtMostOnce) == is_best_effort);
        let best_effort_lost = pushed.best_effort_given_up + is_refused_at(true);
        let promised_lost = pushed.promised_given_up + is_refused_at(false);
        if may_grow {
            flow.round.tally.dropped_queue_full_qos_0 += best_effort_lost;
            flow.round.tally.dropped_queue_full += promised_lost;
        } else {
            flow.round.tally.dropped_memory += best_effort_lost + promised_lost;
        }
        if is_too_slow || (!pushed.is_kept && when_full == WhenFull::Disconnect) {
            self.close_as_too_slow(flow);
        }
    }

    /// Sends what waits, as far as it goes, looking at no more than `visits_max` retained messages.
    pub(crate) fn pump(&mut self, flow: &mut Flow<'_>, retained: &RwLock<Retained>, visits_max: usize) -> Pumped {
        if self.is_held || self.outlet.is_none() || !self.resend(flow) || !self.drain_queue(flow) {
            return Pumped::Done;
        }
        self.send_backlog(flow, retained, visits_max)
    }

    /// Sends again what earlier Network Connections left unacknowledged (MQTT 5.0 §4.4). Says whether all of it is sent.
    fn resend(&mut self, flow: &mut Flow<'_>) -> bool {
        let (Some(outlet), Some(pending)) = (&self.outlet, &mut self.pending) else { return true };
        while let Some((entry, sent_count)) = pending.in_flight.unsent() {
            let delivered = match &entry.message {
                None => outlet.release(entry.packet_id),
                Some(_) if sent_count >= usize::from(self.window) => return false,
                Some(message) => {
                    let delivery = Delivery {
                        message,
                        qos: entry.awaits.qos(),
                        retain: entry.retain,
                        dup: true,
                        packet_id: Some(entry.packet_id),
                        subscription_identifiers: entry.identifiers.as_slice(),
                    };
                    outlet.deliver(flow.now, &delivery)
                }
            };
            match delivered {
                Delivered::Appended { .. } => {
                    flow.round.note(outlet, delivered);
                    flow.round.tally.redelivered(entry.message.as_deref());
                    pending.in_flight.resent();
                }
                Delivered::TooLarge => {
                    flow.round.tally.dropped_too_large += u64::from(entry.message.is_some());
                    pending.in_flight.give_up_unsent();
                }
                Delivered::Full | Delivered::Closed => return false,
            }
        }
        true
    }

    /// Says whether nothing waits any more.
    fn drain_queue(&mut self, flow: &mut Flow<'_>) -> bool {
        loop {
            let has_window = self.has_window();
            let Some(pending) = &mut self.pending else { return true };
            let Some(queue) = &mut pending.queue else { return true };
            let Some(taken) = queue.pop() else {
                pending.queue = None;
                return true;
            };
            let waiting = &taken.waiting;
            if waiting.message.is_expired(flow.now) {
                flow.round.tally.dropped_expired += 1;
                continue;
            }
            let delivered = if waiting.qos != QoS::AtMostOnce && !has_window {
                Delivered::Full
            } else {
                let offer = Offer {
                    message: &waiting.message,
                    qos: waiting.qos,
                    retain: waiting.retain,
                    identifiers: waiting.identifiers.as_slice(),
                    group: waiting.group,
                };
                self.send(flow, &offer)
            };
            if delivered == Delivered::TooLarge {
                flow.round.tally.dropped_too_large += 1;
            }
            if matches!(delivered, Delivered::Full | Delivered::Closed) {
                if let Some(queue) = self.pending.as_mut().and_then(|pending| pending.queue.as_mut()) {
                    queue.put_back(taken);
                }
                return false;
            }
        }
    }

    /// Sends retained messages, one Subscription after the other.
    fn send_backlog(&mut self, flow: &mut Flow<'_>, retained: &RwLock<Retained>, visits_max: usize) -> Pumped {
        let mut visits_left = visits_max;
        let mut found = Vec::new();
        // The front one is taken out while it is worked on, so that sending may use the rest of `self`.
        while let Some(mut backlog) = self.pending.as_mut().and_then(|pending| pending.backlog.pop_front()) {
            if !backlog.cursor.is_done {
                let walk = Walk {
                    filter: backlog.filter.filter(),
                    stored_before: backlog.stored_before,
                    count_max: self.retained_at_once(backlog.maximum_qos),
                };
                retained.read().walk(&walk, flow.now, &mut backlog.cursor, &mut visits_left, &mut found);
            }
            let is_held_up = !self.send_retained(flow, &mut backlog, &mut found);
            let has_more = is_held_up || !backlog.cursor.is_done;
            if has_more {
                self.pending().backlog.push_front(backlog);
            }
            if is_held_up {
                return Pumped::Done;
            }
            if has_more && visits_left == 0 {
                return Pumped::More;
            }
        }
        Pumped::Done
    }

    /// Retained messages to be looked for: no more than the window takes, where it may be asked, as what finds no room was found in vain.
    fn retained_at_once(&self, maximum_qos: QoS) -> usize {
        if maximum_qos == QoS::AtMostOnce {
            return RETAINED_AT_ONCE;
        }
        let taken = self.pending.as_ref().map_or(0, |pending| pending.in_flight.len());
        usize::from(self.window).saturating_sub(taken).clamp(1, RETAINED_AT_ONCE)
    }

    /// Sends `found`, moving the cursor back to the first that finds no room. Says whether all found room.
    fn send_retained(&mut self, flow: &mut Flow<'_>, backlog: &mut Backlog, found: &mut Vec<Arc<Message>>) -> bool {
        for message in found.drain(..) {
            if backlog.check.as_ref().is_some_and(|check| !check.allows(message.topic())) {
                flow.round.tally.dropped_denied += 1;
                continue;
            }
            let qos = message.qos.min(backlog.maximum_qos);
            let identifiers = backlog.identifier.as_slice();
            let offer = Offer { message: &message, qos, retain: true, identifiers, group: 0 };
            let has_room = qos == QoS::AtMostOnce || self.has_window();
            match if has_room { self.send(flow, &offer) } else { Delivered::Full } {
                Delivered::Appended { .. } => {}
                Delivered::TooLarge => flow.round.tally.dropped_too_large += 1,
                Delivered::Full | Delivered::Closed => {
                    backlog.cursor.go_back_to(&message);
                    return false;
                }
            }
        }
        true
    }

    /// Applies an acknowledgement. Says whether its Packet Identifier was known.
    pub(crate) fn acknowledge(
        &mut self,
        flow: &mut Flow<'_>,
        packet_id: PacketId,
        acknowledgement: Acknowledgement,
    ) -> bool {
        let Some(pending) = &mut self.pending else { return false };
        match pending.in_flight.acknowledge(packet_id, acknowledgement) {
            Acknowledged::Unknown => false,
            Acknowledged::Complete => true,
            Acknowledged::Release => {
                if let Some(outlet) = &self.outlet {
                    flow.round.note(outlet, outlet.release(packet_id));
                }
                true
            }
        }
    }

    /// Takes back the outlet, whose Network Connection is gone; what is promised stays. Returns it and the QoS 0 messages that waited.
    pub(crate) fn disconnect(&mut self) -> (Option<Arc<dyn Outlet>>, Left) {
        let mut left = Left::default();
        if let Some(pending) = &mut self.pending {
            pending.in_flight.disconnected();
            pending.backlog.retain(|backlog| backlog.maximum_qos != QoS::AtMostOnce);
            if let Some(queue) = &mut pending.queue {
                for waiting in queue.give_up_best_effort() {
                    left.add(waiting.group, Some(waiting.message));
                }
            }
            if pending.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
                pending.queue = None;
            }
            if pending.in_flight.is_empty()
                && pending.receiving.is_empty()
                && pending.queue.is_none()
                && pending.backlog.is_empty()
            {
                self.pending = None;
            }
        }
        self.book_less();
        (self.outlet.take(), left)
    }

    /// Takes out of the queue what came by a Shared Subscription and `is_leaving`, in its order.
    pub(crate) fn take_shared(&mut self, mut is_leaving: impl FnMut(&Leftover) -> bool) -> Vec<Leftover> {
        let Some(pending) = &mut self.pending else { return Vec::new() };
        let Some(queue) = &mut pending.queue else { return Vec::new() };
        let mut taken = Vec::new();
        queue.retain(|waiting| {
            if waiting.group == 0 {
                return true;
            }
            let leftover = Leftover { group: waiting.group, message: Arc::clone(&waiting.message) };
            let is_leaving = is_leaving(&leftover);
            taken.extend(is_leaving.then_some(leftover));
            !is_leaving
        });
        if queue.is_empty() {
            pending.queue = None;
        }
        self.book_less();
        taken
    }

    /// The messages that a review has to judge: those in the queue, and those that would be sent again.
    pub(crate) fn unsent_messages(&self) -> Vec<Arc<Message>> {
        let Some(pending) = &self.pending else { return Vec::new() };
        let queued = pending.queue.iter().flat_map(|queue| queue.iter()).map(|waiting| &waiting.message);
        pending.in_flight.unsent_messages().chain(queued).cloned().collect()
    }

    /// Takes out those of [`Outgoing::unsent_messages`] which `is_withdrawn`. `is_wanted` says of one that came by a Shared Subscription
    /// whether another member can have it.
    pub(crate) fn withdraw(
        &mut self,
        mut is_withdrawn: impl FnMut(&Arc<Message>) -> bool,
        is_wanted: impl Fn(&Leftover) -> bool,
    ) -> Left {
        let Some(pending) = &mut self.pending else { return Left::default() };
        let mut withdrawn = pending.in_flight.withdraw_unsent(&mut is_withdrawn);
        if let Some(queue) = &mut pending.queue {
            queue.retain(|waiting| {
                let is_withdrawn = is_withdrawn(&waiting.message);
                withdrawn.extend(is_withdrawn.then(|| (waiting.group, Arc::clone(&waiting.message))));
                !is_withdrawn
            });
        }
        if pending.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            pending.queue = None;
        }
        self.book_less();
        let mut left = Left::default();
        for (group, message) in withdrawn {
            let leftover = Leftover { group, message };
            match group != 0 && is_wanted(&leftover) {
                true => left.leftovers.push(leftover),
                false => left.dropped_count += 1,
            }
        }
        left
    }

    /// Has what is to be sent for the Subscription at `membership` follow how far it is granted, or with `None` not be sent.
    pub(crate) fn regrant_backlog(&mut self, membership: Membership, grant: Option<&Grant>) {
        let Some(pending) = &mut self.pending else { return };
        pending.backlog.retain_mut(|backlog| {
            if backlog.membership != membership {
                return true;
            }
            if let Some(grant) = grant {
                backlog.maximum_qos = grant.maximum_qos;
                backlog.check = grant.check.clone();
            }
            grant.is_some()
        });
    }

    /// Whether something that came by a Shared Subscription waits.
    pub(crate) fn has_shared(&self) -> bool {
        let queue = self.pending.as_ref().and_then(|pending| pending.queue.as_ref());
        queue.is_some_and(|queue| queue.iter().any(|waiting| waiting.group != 0))
    }

    /// Bytes that wait in the queue.
    pub(crate) fn queued_bytes(&self) -> usize {
        let queue = self.pending.as_ref().and_then(|pending| pending.queue.as_ref());
        queue.map_or(0, |queue| queue.bytes())
    }

    /// Whether something is before a message that arrives.
    fn must_wait(&self) -> bool {
        self.is_held
            || self.pending.as_ref().is_some_and(|pending| pending.queue.is_some() || !pending.in_flight.is_all_sent())
    }

    fn has_window(&self) -> bool {
        self.pending.as_ref().is_none_or(|pending| pending.in_flight.len() < usize::from(self.window))
    }

    fn has_backlog(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| !pending.backlog.is_empty())
    }
}

/// Less than this is not worth being booked.
const BOOKED_MIN: usize = 1024;

/// Retained messages taken from the store at once, so that its lock is held briefly.
const RETAINED_AT_ONCE: usize = 64;
