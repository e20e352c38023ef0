//! The memory that clients make the process hold: bytes that wait for those who do not read, for sessions that are away, and of packets
//! that are not whole.
//!
//! ```text
//!  0 %          75 %           85 %           90 %                     100 % of memory_max
//!  ─┬────────────┬──────────────┬──────────────┬─────────────────────────┬─────
//!   │ all is     │ outboxes of  │ queues of    │ queues of connected     │ newcomers are turned away;
//!   │ well       │ slow readers │ sessions that│ sessions grow no more   │ if that lasts, the largest
//!   │            │ get smaller  │ are away     │                         │ outbox is closed
//!   │            │              │ grow no more │                         │
//! ```
//!
//! What grows no more loses by its own rule. A payload that several wait for is booked for each of them, though it is there once: the
//! account may say too much, and never much too little.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is booked, of how much there may be.
#[derive(Debug)]
pub struct Account {
    used: AtomicU64,
    /// `u64::MAX`: without a limit.
    max: AtomicU64,
}

/// Who gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Nobody.
    None,
    /// Outboxes of clients that do not read.
    Readers,
    /// Also queues of sessions without a Network Connection.
    Away,
    /// Also those of sessions with one.
    Queues,
    /// Also newcomers.
    Newcomers,
}

/// What one connection or session has booked. Given back when dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    booked: usize,
}

/// A difference less than this is not booked, so that small messages write to shared memory only now and then.
const QUANTUM: usize = 1024;

const READERS_PERCENT: u64 = 75;
const AWAY_PERCENT: u64 = 85;
const QUEUES_PERCENT: u64 = 90;

/// What is left of the limit of an outbox where queues begin to give way as well: one in so many.
const READERS_SHRINK: u64 = 16;

impl Default for Account {
    /// Without a limit.
    fn default() -> Self {
        Self::new(None)
    }
}

impl Account {
    /// `None`: without a limit.
    #[must_use]
    pub fn new(max: Option<u64>) -> Self {
        Self { used: AtomicU64::new(0), max: AtomicU64::new(max.unwrap_or(u64::MAX)) }
    }

    /// Has another limit hold from here on.
    pub fn set_max(&self, max: Option<u64>) {
        self.max.store(max.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// `None`: no limit.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        Some(self.max.load(Ordering::Relaxed)).filter(|max| *max != u64::MAX)
    }

    #[must_use]
    pub fn pressure(&self) -> Pressure {
        let used = self.used();
        match () {
            () if used >= self.max.load(Ordering::Relaxed) => Pressure::Newcomers,
            () if used >= self.share(QUEUES_PERCENT) => Pressure::Queues,
            () if used >= self.share(AWAY_PERCENT) => Pressure::Away,
            () if used >= self.share(READERS_PERCENT) => Pressure::Readers,
            () => Pressure::None,
        }
    }

    /// How much may wait for a client that does not read, where `limit` is what may otherwise: the less, the more is used, so that the
    /// largest are the first to be full.
    #[must_use]
    pub fn outbox_limit(&self, limit: usize) -> usize {
        let used = self.used();
        let (from, to) = (self.share(READERS_PERCENT), self.share(AWAY_PERCENT));
        if used < from || from >= to {
            return limit;
        }
        let floor = limit as u64 / READERS_SHRINK;
        let left = to.saturating_sub(used);
        let shrunk = u128::from(limit as u64 - floor) * u128::from(left) / u128::from(to - from);
        // No more than `limit`, which is a usize.
        (floor + shrunk as u64) as usize
    }

    /// Books `now` bytes where `before` were booked.
    pub fn rebook(&self, before: usize, now: usize) {
        match now >= before {
            true => self.used.fetch_add((now - before) as u64, Ordering::Relaxed),
            false => self.used.fetch_sub((before - now) as u64, Ordering::Relaxed),
        };
    }

    /// Books `now` bytes in place of `booked`, unless the difference is too small to matter.
    pub fn settle(&self, booked: &mut usize, now: usize) {
        if now == *booked || (now.abs_diff(*booked) < QUANTUM && now != 0) {
            return;
        }
        self.rebook(*booked, now);
        *booked = now;
    }

    fn share(&self, percent: u64) -> u64 {
        self.max().map_or(u64::MAX, |max| (u128::from(max) * u128::from(percent) / 100) as u64)
    }
}

impl Charge {
    #[must_use]
    pub fn new(account: &Arc<Account>) -> Self {
        Self { account: Arc::clone(account), booked: 0 }
    }

    /// Books `bytes` in place of what was booked.
    pub fn set(&mut self, bytes: usize) {
        self.account.settle(&mut self.booked, bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.rebook(self.booked, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(used: u64) -> Account {
        let account = Account::new(Some(1000));
        account.rebook(0, used as usize);
        account
    }

    #[test]
    fn one_after_the_other_gives_way() {
        let cases = [
            (0, Pressure::None),
            (749, Pressure::None),
            (750, Pressure::Readers),
            (850, Pressure::Away),
            (900, Pressure::Queues),
            (999, Pressure::Queues),
            (1000, Pressure::Newcomers),
            (5000, Pressure::Newcomers),
        ];
        for (bytes, pressure) in cases {
            assert_eq!(used(bytes).pressure(), pressure, "{bytes}");
        }
    }

    #[test]
    fn outboxes_shrink_as_memory_goes() {
        let limits = [0, 749, 750, 800, 850, 2000].map(|bytes| used(bytes).outbox_limit(1600));
        assert_eq!(limits, [1600, 1600, 1600, 850, 100, 100]);
        for max in 0..20 {
            let account = Account::new(Some(max));
            account.rebook(0, max as usize);
            assert!(account.outbox_limit(1600) <= 1600, "however small {max}");
        }
    }

    #[test]
    fn without_a_limit_nobody_gives_way() {
        let account = Account::default();
        account.rebook(0, 1 << 40);
        assert_eq!((account.pressure(), account.outbox_limit(7), account.max()), (Pressure::None, 7, None));
    }

    #[test]
    fn another_limit_holds_at_once() {
        let account = used(500);
        assert_eq!(account.pressure(), Pressure::None);
        account.set_max(Some(500));
        assert_eq!((account.pressure(), account.max()), (Pressure::Newcomers, Some(500)));
        account.set_max(None);
        assert_eq!((account.pressure(), account.max()), (Pressure::None, None));
    }

    #[test]
    fn what_is_booked_is_given_back() {
        let account = Arc::new(Account::default());
        let mut charge = Charge::new(&account);
        charge.set(QUANTUM - 1);
        assert_eq!(account.used(), 0, "too little to matter");
        charge.set(10_000);
        charge.set(10_500);
        assert_eq!(account.used(), 10_000);
        charge.set(5_000);
        assert_eq!(account.used(), 5_000);
        charge.set(0);
        assert_eq!(account.used(), 0);
        charge.set(3_000);
        drop(charge);
        assert_eq!(account.used(), 0);
    }
}
