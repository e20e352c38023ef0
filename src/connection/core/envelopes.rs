//! Opening envelopes: what all connections share for it, and what is counted.

use std::fmt;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::ConnectionCounters;
use crate::policy::envelope::{EnvelopeFault, EnvelopeRule, Opened, ReplayWindow, SubjectOf};

/// The clock of the world and what was seen lately: of the process, so that neither another connection nor another policy forgets.
pub struct Envelopes {
    /// Held for one look-up only.
    window: Mutex<ReplayWindow>,
    unix_now_s: fn() -> u64,
    subject_of: Box<SubjectOf>,
}

impl Envelopes {
    /// Remembers at most `messages_max`; `unix_now_s` gives seconds since the epoch, `subject_of` verifies JSON Web Tokens.
    #[must_use]
    pub fn new(messages_max: usize, unix_now_s: fn() -> u64, subject_of: Box<SubjectOf>) -> Self {
        Self { window: Mutex::new(ReplayWindow::new(unix_now_s(), messages_max)), unix_now_s, subject_of }
    }

    /// Opens `payload`, as `rule` asks for it.
    pub(super) fn open(&self, rule: &EnvelopeRule, payload: &[u8]) -> Result<Opened, EnvelopeFault> {
        rule.open(payload, (self.unix_now_s)(), &*self.subject_of)
    }

    /// Notes a message that may go on, and counts it.
    pub(super) fn admit(&self, opened: &Opened, counters: &ConnectionCounters) -> Result<(), EnvelopeFault> {
        let now_s = (self.unix_now_s)();
        let mut window = self.window.lock();
        let admitted = window.admit(opened, now_s);
        counters.envelopes_remembered.store(window.messages_count() as u64, Ordering::Relaxed);
        drop(window);
        if admitted.is_ok() {
            ConnectionCounters::count(&counters.envelopes_verified);
        }
        admitted
    }
}

impl fmt::Debug for Envelopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelopes").field("window", &self.window).finish_non_exhaustive()
    }
}

/// Counts a refused envelope by its reason.
pub(super) fn count(fault: EnvelopeFault, counters: &ConnectionCounters) {
    ConnectionCounters::count(match fault {
        EnvelopeFault::Shape(_) => &counters.envelopes_malformed,
        EnvelopeFault::Token => &counters.envelopes_bad_token,
        EnvelopeFault::Stale => &counters.envelopes_stale,
        EnvelopeFault::Replayed => &counters.envelopes_replayed,
        EnvelopeFault::WindowFull => &counters.envelopes_window_full,
    });
}
