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
    /// What was looked up last: of one message all slow receivers ask the same.
    ruled: Option<(Arc<Message>, WhenFull)>,
}

impl<'a> Flow<'a> {
    pub(crate) fn new(
        now: Instant,
        config: &'a EngineConfig,
        memory: &'a Arc<Account>,
        counters: &Arc<EngineCounters>,
        round: &'a mut Round,
    ) -> Self {
        round.count_for(counters);
        Self { now, config, memory, round, ruled: None }
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
