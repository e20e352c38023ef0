//! What one call into the engine carries along.

use std::time::Instant;

use crate::engine::config::EngineConfig;
use crate::engine::counters::EngineCounters;
use crate::engine::message::{Message, Round};

/// The time, the limits, the outlets touched, and what is to be counted.
#[derive(Debug)]
pub(crate) struct Flow<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a EngineConfig,
    pub(crate) round: &'a mut Round,
    pub(crate) tally: Tally,
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
    pub(crate) dropped_too_large: u64,
    pub(crate) dropped_expired: u64,
    pub(crate) dropped_closed: u64,
    pub(crate) dropped_session_ended: u64,
    pub(crate) dropped_denied: u64,
}

impl<'a> Flow<'a> {
    pub(crate) fn new(now: Instant, config: &'a EngineConfig, round: &'a mut Round) -> Self {
        Self { now, config, round, tally: Tally::default() }
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
