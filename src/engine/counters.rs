//! What the engine counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::message::Message;

/// Plain atomics, read by whoever renders metrics. Those that only grow are totals since the start; the others say so.
#[derive(Debug, Default)]
pub struct EngineCounters {
    /// Messages given to [`super::Engine::publish`], Wills included.
    pub messages_received: AtomicU64,
    /// Messages appended to an outlet for the first time.
    pub deliveries: AtomicU64,
    /// Messages appended again after a reconnect, with DUP.
    pub redeliveries: AtomicU64,
    /// Payload bytes of deliveries and redeliveries.
    pub delivered_bytes: AtomicU64,
    /// Messages put into a session's queue.
    pub queued: AtomicU64,
    /// Messages of Shared Subscriptions that another member got, as the one they were for left.
    pub handed_on: AtomicU64,
    /// QoS 0 messages for sessions without a Network Connection: such are never kept.
    pub dropped_offline: AtomicU64,
    /// QoS 0 messages for a client whose outbox was full.
    pub dropped_outbox_full: AtomicU64,
    /// QoS 0 messages that a full queue gave up, or did not take.
    pub dropped_queue_full_qos_0: AtomicU64,
    /// QoS 1 and 2 messages that a full queue gave up, or did not take.
    pub dropped_queue_full: AtomicU64,
    /// Messages whose place in a queue a newer one of their topic took.
    pub dropped_conflated: AtomicU64,
    /// Messages that a queue lost as it was not to grow, for want of memory.
    pub dropped_memory: AtomicU64,
    /// Network Connections closed as their client was too slow for a message that is not to be lost.
    pub slow_disconnected: AtomicU64,
    /// Messages larger than their receiver accepts.
    pub dropped_too_large: AtomicU64,
    /// Messages whose Message Expiry Interval passed while they waited.
    pub dropped_expired: AtomicU64,
    /// Messages that a closing connection did not take and that no session keeps.
    pub dropped_closed: AtomicU64,
    /// Messages that were still waiting for a session when it ended, and that no other member of a Shared Subscription could get.
    pub dropped_session_ended: AtomicU64,
    /// Messages that a Subscription granted only in part was not shown.
    pub dropped_denied: AtomicU64,
    /// Messages that could not be retained, as `retained_messages_max` or `retained_bytes_max` was reached.
    pub retained_refused: AtomicU64,
    /// Sessions refused, as `sessions_max` was reached.
    pub sessions_refused: AtomicU64,
    /// Sessions that ended because their Session Expiry Interval passed.
    pub sessions_expired: AtomicU64,
    /// Sessions taken over by another Network Connection.
    pub takeovers: AtomicU64,
    /// Subscriptions refused, as `subscriptions_max` or `subscription_bytes_max` was reached.
    pub subscriptions_refused: AtomicU64,
    /// Wills published.
    pub wills_published: AtomicU64,
    /// Times that a session was reviewed, as what its owner may do had changed, or might have.
    pub sessions_reviewed: AtomicU64,
    /// Subscriptions dropped as their owner may no longer have them.
    pub subscriptions_revoked: AtomicU64,
    /// Messages dropped before they were sent, or sent again, as their receiver may no longer have them.
    pub messages_revoked: AtomicU64,
    /// Wills dropped as their owner may no longer publish them.
    pub wills_revoked: AtomicU64,
    /// Sessions at present.
    pub sessions: AtomicU64,
    /// Sessions with a Network Connection at present.
    pub sessions_connected: AtomicU64,
    /// Subscriptions at present.
    pub subscriptions: AtomicU64,
    /// Shared Subscriptions among those.
    pub shared_subscriptions: AtomicU64,
    /// Retained messages at present.
    pub retained_messages: AtomicU64,
    /// Bytes of the retained messages at present.
    pub retained_bytes: AtomicU64,
}

impl EngineCounters {
    /// Adds `count` to `counter`; 0 touches no memory that others write.
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        if count != 0 {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Sets a counter of things present.
    pub(crate) fn set(counter: &AtomicU64, count: u64) {
        counter.store(count, Ordering::Relaxed);
    }

    /// Lowers a counter of things present.
    pub(crate) fn sub(counter: &AtomicU64, count: u64) {
        if count != 0 {
            counter.fetch_sub(count, Ordering::Relaxed);
        }
    }
}

/// Counts of one round, added up here so that it writes to shared memory once, and not once a message or a receiver.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) messages_received: u64,
    pub(crate) deliveries: u64,
    redeliveries: u64,
    delivered_bytes: u64,
    pub(crate) queued: u64,
    pub(crate) handed_on: u64,
    pub(crate) dropped_offline: u64,
    pub(crate) dropped_outbox_full: u64,
    pub(crate) dropped_queue_full_qos_0: u64,
    pub(crate) dropped_queue_full: u64,
    pub(crate) dropped_conflated: u64,
    pub(crate) dropped_memory: u64,
    pub(crate) slow_disconnected: u64,
    pub(crate) dropped_too_large: u64,
    pub(crate) dropped_expired: u64,
    pub(crate) dropped_closed: u64,
    pub(crate) dropped_session_ended: u64,
    pub(crate) dropped_denied: u64,
}

impl Tally {
    /// `message` was appended to an outlet for the first time.
    pub(crate) fn delivered(&mut self, message: &Message) {
        self.deliveries += 1;
        self.delivered_bytes += message.payload().len() as u64;
    }

    /// The same again; `None` where only its PUBREL is left.
    pub(crate) fn redelivered(&mut self, message: Option<&Message>) {
        let Some(message) = message else { return };
        self.redeliveries += 1;
        self.delivered_bytes += message.payload().len() as u64;
    }

    pub(crate) fn add_to(&self, counters: &EngineCounters) {
        for (counter, count) in [
            (&counters.messages_received, self.messages_received),
            (&counters.deliveries, self.deliveries),
            (&counters.redeliveries, self.redeliveries),
            (&counters.delivered_bytes, self.delivered_bytes),
            (&counters.queued, self.queued),
            (&counters.handed_on, self.handed_on),
            (&counters.dropped_offline, self.dropped_offline),
            (&counters.dropped_outbox_full, self.dropped_outbox_full),
            (&counters.dropped_queue_full_qos_0, self.dropped_queue_full_qos_0),
            (&counters.dropped_queue_full, self.dropped_queue_full),
            (&counters.dropped_conflated, self.dropped_conflated),
            (&counters.dropped_memory, self.dropped_memory),
            (&counters.slow_disconnected, self.slow_disconnected),
            (&counters.dropped_too_large, self.dropped_too_large),
            (&counters.dropped_expired, self.dropped_expired),
            (&counters.dropped_closed, self.dropped_closed),
            (&counters.dropped_session_ended, self.dropped_session_ended),
            (&counters.dropped_denied, self.dropped_denied),
        ] {
            EngineCounters::add(counter, count);
        }
    }
}
