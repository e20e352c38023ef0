//! How much the process carries, and when that is too much: memory that clients make it hold, and how late its tasks run.
//!
//! | file | |
//! |---|---|
//! | `memory` | the account that outboxes, queues and unfinished packets are booked in, and who gives way at which share of it |
//! | `watch` | overloaded or not, from measurements, with hysteresis |
//!
//! Not here: what is measured with a clock (`app`), what giving way means (`engine`, `connection`, `edge`).
//!
//! Invariants: no clock, no task; nothing is booked for a client that reads, so that the account costs the common case one comparison.

mod memory;
mod watch;

pub use memory::{Account, Charge, Pressure};
pub use watch::{Limits, Watch};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The load of the process as all its parts see it.
#[derive(Debug, Default)]
pub struct Load {
    memory: Arc<Account>,
    is_out_of_memory: AtomicBool,
    is_lagging: AtomicBool,
    lag_ms: AtomicU64,
}

/// Of what there is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overload {
    Memory,
    Lag,
}

impl Load {
    #[must_use]
    pub fn new(memory: Arc<Account>) -> Self {
        Self { memory, ..Self::default() }
    }

    #[must_use]
    pub fn memory(&self) -> &Arc<Account> {
        &self.memory
    }

    /// Whether newcomers are to be turned away.
    #[must_use]
    pub fn overload(&self) -> Option<Overload> {
        match (self.is_out_of_memory.load(Ordering::Relaxed), self.is_lagging.load(Ordering::Relaxed)) {
            (true, _) => Some(Overload::Memory),
            (false, true) => Some(Overload::Lag),
            (false, false) => None,
        }
    }

    /// How late a task ran that was due, when that was last measured.
    #[must_use]
    pub fn lag_ms(&self) -> u64 {
        self.lag_ms.load(Ordering::Relaxed)
    }

    /// Measures once more: a task that was due ran so much later.
    pub fn measure(&self, watch: &mut Watch, lag: Duration) {
        self.lag_ms.store(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        watch.observe(lag, self.memory.used());
        self.set(Overload::Memory, watch.is_out_of_memory());
        self.set(Overload::Lag, watch.is_lagging());
    }

    /// Says whether there is too much of `what`.
    pub fn set(&self, what: Overload, is_too_much: bool) {
        let flag = match what {
            Overload::Memory => &self.is_out_of_memory,
            Overload::Lag => &self.is_lagging,
        };
        flag.store(is_too_much, Ordering::Relaxed);
    }
}

impl Overload {
    /// In logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Lag => "lag",
        }
    }
}
