//! What one call into the engine carries along.

use std::sync::Arc;
use std::time::Instant;

use crate::engine::config::{EngineConfig, WhenFull};
use crate::engine::counters::EngineCounters;
use crate::engine::message::{Message, Round};
use crate::load::Account;

/// The time, the limits, the outlets touched, and what is to be counted.
#[derive(Debug)]
pub(crate) struct Flow<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a EngineConfig,
    pub(crate) memory: &'a Arc<Account>,
    pub(crate) round: &'a mut Round,
    pub(crate) tally: Tally,
    /// What was looked up last: of one message all slow receivers ask the same.
    ruled: Option<(Arc<Message>, WhenFull)>,
}

/// Counts of one call, added up here so that a fan-out writes to shared memory once and not once a receiver.
#[derive(Debug, Default)]
pub(crate) struct Tally {
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

impl<'a> Flow<'a> {
    pub(crate) fn new(now: Instant, config: &'a EngineConfig, memory: &'a Arc<Account>, round: &'a mut Round) -> Self {
        Self { now, config, memory, round, tally: Tally::default(), ruled: None }
    }

    /// What becomes of `message` for a client whose outbox is full.
    pub(crate) fn when_full(&mut self, message: &Arc<Message>) -> WhenFull {
        let slow_clients = &self.config.slow_clients;
        if slow_clients.topics.is_empty() {
            return slow_clients.when_full;
        }
        match &self.ruled {
            Some((ruled, when_full)) if Arc::ptr_eq(ruled, message) => *when_full,
            _ => {
                let when_full = slow_clients.when_full(message.topic());
                self.ruled = Some((Arc::clone(message), when_full));
                when_full
            }
        }
    }
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
