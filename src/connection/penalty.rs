//! What failed logins cost: answers that come ever later, then a time in which an address is not listened to.
//!
//! Whose failures cost whom is chosen so that nobody is locked out by another's:
//!
//! - An **address** that has failed more than [`PenaltyConfig::free_failures`] times is refused for a time that doubles with each further
//!   failure, its credentials unseen. That is what ends guessing.
//! - A **user** who has logged in from that address before is let through to be checked all the same: who shares an office's address with
//!   a guesser is not made to wait for it.
//! - A **user name** that fails from anywhere makes its refusals slower, and nothing else: whoever knows the password comes in at once,
//!   however many others guess at it from elsewhere.
//!
//! A login that succeeds takes back what the same user has failed from the same address, and no more: a guesser with an account of its own
//! gains nothing by logging in with it now and then.
//!
//! Pure: time is handed in. All memory is bounded by [`PenaltyConfig::remembered_max`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::address::AddressKey;
use crate::recent::Recent;

/// How failed logins are paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PenaltyConfig {
    /// Failures that cost nothing: people mistype. Count, default 5.
    pub free_failures: u32,
    /// What the first failure beyond costs; each further one costs twice as much as the one before. Default 1 s; zero: nothing is paid.
    pub delay: Duration,
    /// What a failure costs at most. Default 15 min.
    pub delay_max: Duration,
    /// After this time without a failure all are forgotten. Default 1 h.
    pub memory: Duration,
    /// Addresses, user names, and users by address that are remembered, each. Count, default 100,000; some 40 bytes each.
    pub remembered_max: usize,
}

impl Default for PenaltyConfig {
    fn default() -> Self {
        Self {
            free_failures: 5,
            delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(15 * 60),
            memory: Duration::from_secs(3600),
            remembered_max: 100_000,
        }
    }
}

/// Who tries to log in: an address, and a user name if one is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant<'a> {
    pub(super) address: AddressKey,
    pub(super) username: Option<&'a str>,
}

/// What all failures cost, and whom.
#[derive(Debug)]
pub(super) struct Penalties {
    config: ArcSwap<PenaltyConfig>,
    start: Instant,
    hasher: RandomState,
    memory: Mutex<Memory>,
}

/// User names are remembered as hashes: they are secrets now and then, and of any length.
#[derive(Debug)]
struct Memory {
    by_address: Recent<AddressKey, Record>,
    by_username: Recent<u64, Record>,
    by_both: Recent<(AddressKey, u64), Pair>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    failures: u32,
    /// In milliseconds of [`Penalties::start`].
    last_ms: u64,
}

/// A user at an address.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    record: Record,
    /// Whether a login has succeeded here.
    is_known: bool,
}

impl Penalties {
    pub(super) fn new(config: PenaltyConfig, start: Instant, hasher: RandomState) -> Self {
        let max = config.remembered_max;
        let memory = Memory {
            by_address: Recent::new(max, hasher.clone()),
            by_username: Recent::new(max, hasher.clone()),
            by_both: Recent::new(max, hasher.clone()),
        };
        Self { config: ArcSwap::from_pointee(config), start, hasher, memory: Mutex::new(memory) }
    }

    /// Has failures cost something else from here on; those there were are not forgotten.
    pub(super) fn set(&self, config: PenaltyConfig) {
        let mut memory = self.memory.lock();
        memory.by_address.set_max(config.remembered_max);
        memory.by_username.set_max(config.remembered_max);
        memory.by_both.set_max(config.remembered_max);
        self.config.store(Arc::new(config));
    }

    /// How long `claimant` is not to be listened to; zero: it is.
    pub(super) fn left(&self, now: Instant, claimant: Claimant<'_>) -> Duration {
        let now_ms = self.millis(now);
        let mut memory = self.memory.lock();
        let Some(record) = memory.by_address.get_mut(&claimant.address).copied() else { return Duration::ZERO };
        let blocked_until_ms = record.last_ms.saturating_add(millis(self.cost(record, now_ms)));
        let left = Duration::from_millis(blocked_until_ms.saturating_sub(now_ms));
        if left.is_zero() || self.is_known(&mut memory, now_ms, claimant) { Duration::ZERO } else { left }
    }

    /// Notes that `claimant` has failed; returns what that costs.
    pub(super) fn failed(&self, now: Instant, claimant: Claimant<'_>) -> Duration {
        let now_ms = self.millis(now);
        let mut memory = self.memory.lock();
        let by_address = self.count(memory.by_address.touch(claimant.address, |_| false).0, now_ms);
        let Some(username) = self.hash(claimant.username) else { return by_address };
        let pair = memory.by_both.touch((claimant.address, username), |_| false).0;
        self.count(&mut pair.record, now_ms);
        // Whoever fails that often is not the one who was known.
        pair.is_known &= pair.record.failures <= self.config.load().free_failures;
        by_address.max(self.count(memory.by_username.touch(username, |_| false).0, now_ms))
    }

    /// Notes that `claimant` has proven to be who it says.
    pub(super) fn succeeded(&self, now: Instant, claimant: Claimant<'_>) {
        let Some(username) = self.hash(claimant.username) else { return };
        let now_ms = self.millis(now);
        let mut memory = self.memory.lock();
        memory.by_username.remove(&username);
        let pair = memory.by_both.touch((claimant.address, username), |_| false).0;
        let forgiven = if self.is_recent(pair.record, now_ms) { pair.record.failures } else { 0 };
        *pair = Pair { is_known: true, record: Record::default() };
        if let Some(record) = memory.by_address.get_mut(&claimant.address) {
            record.failures = record.failures.saturating_sub(forgiven);
        }
    }

    fn is_known(&self, memory: &mut Memory, now_ms: u64, claimant: Claimant<'_>) -> bool {
        let Some(username) = self.hash(claimant.username) else { return false };
        let Some(pair) = memory.by_both.get_mut(&(claimant.address, username)) else { return false };
        pair.is_known && (pair.record.failures <= self.config.load().free_failures || !self.is_recent(pair.record, now_ms))
    }

    /// One failure more; returns what it costs.
    fn count(&self, record: &mut Record, now_ms: u64) -> Duration {
        let failures = if self.is_recent(*record, now_ms) { record.failures } else { 0 };
        *record = Record { failures: failures.saturating_add(1), last_ms: now_ms };
        self.cost(*record, now_ms)
    }

    fn cost(&self, record: Record, now_ms: u64) -> Duration {
        let beyond = record.failures.saturating_sub(self.config.load().free_failures);
        if beyond == 0 || !self.is_recent(record, now_ms) {
            return Duration::ZERO;
        }
        let factor = 1_u32.checked_shl(beyond - 1).unwrap_or(u32::MAX);
        self.config.load().delay.saturating_mul(factor).min(self.config.load().delay_max)
    }

    fn is_recent(&self, record: Record, now_ms: u64) -> bool {
        now_ms.saturating_sub(record.last_ms) < millis(self.config.load().memory)
    }

    fn hash(&self, username: Option<&str>) -> Option<u64> {
        username.map(|username| self.hasher.hash_one(username))
    }

    fn millis(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.start))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct House {
        penalties: Penalties,
        now: Instant,
    }

    impl House {
        fn new() -> Self {
            let now = Instant::now();
            let config = PenaltyConfig { free_failures: 2, ..Default::default() };
            Self { penalties: Penalties::new(config, now, RandomState::with_seeds(1, 2, 3, 4)), now }
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        /// In seconds.
        fn left(&self, address: u32, username: &str) -> u64 {
            self.penalties.left(self.now, claimant(address, username)).as_secs()
        }

        fn fail(&self, address: u32, username: &str) -> u64 {
            self.penalties.failed(self.now, claimant(address, username)).as_secs()
        }

        fn succeed(&self, address: u32, username: &str) {
            self.penalties.succeeded(self.now, claimant(address, username));
        }
    }

    fn claimant(address: u32, username: &str) -> Claimant<'_> {
        Claimant { address: AddressKey::V4(address), username: (!username.is_empty()).then_some(username) }
    }

    #[test]
    fn each_failure_beyond_the_free_ones_costs_twice_the_one_before() {
        let mut house = House::new();
        let costs: Vec<_> = (0..6).map(|_| house.fail(1, "anna")).collect();
        assert_eq!(costs, [0, 0, 1, 2, 4, 8]);
        assert_eq!(house.left(1, "anna"), 8);
        assert_eq!(house.left(1, "berta"), 8, "it is the address that guesses");
        house.pass(7);
        assert_eq!(house.left(1, "anna"), 1);
        house.pass(1);
        assert_eq!(house.left(1, "anna"), 0);
        assert_eq!((0..40).map(|_| house.fail(1, "anna")).max(), Some(900));
        house.pass(3600);
        assert_eq!((house.left(1, "anna"), house.fail(1, "anna")), (0, 0), "it is forgotten after a time");
    }

    /// Nobody locks another out: not from elsewhere, nor beside somebody who was there before.
    #[test]
    fn a_guesser_locks_nobody_out() {
        let house = House::new();
        house.succeed(1, "anna");
        (0..20).for_each(|_| _ = house.fail(2, "anna"));
        assert!(house.left(2, "anna") > 0);
        assert_eq!(house.left(1, "anna"), 0, "from elsewhere");
        assert_eq!(house.left(3, "anna"), 0, "nor from where she has not been yet");
        // The guesser sits in her own office.
        (0..20).for_each(|at| _ = house.fail(1, &format!("user-{at}")));
        assert!(house.left(1, "berta") > 0);
        assert_eq!(house.left(1, "anna"), 0);
        // But if it guesses at her password there, she is not told from it.
        (0..20).for_each(|_| _ = house.fail(1, "anna"));
        assert!(house.left(1, "anna") > 0);
    }

    #[test]
    fn failing_at_one_user_from_everywhere_makes_refusals_slow_and_no_more() {
        let house = House::new();
        let costs: Vec<_> = (10..16).map(|address| house.fail(address, "anna")).collect();
        assert_eq!(costs, [0, 0, 1, 2, 4, 8]);
        assert_eq!(house.left(16, "anna"), 0);
    }

    #[test]
    fn success_takes_back_what_the_same_user_failed_there() {
        let house = House::new();
        (0..2).for_each(|_| _ = house.fail(1, "anna"));
        house.succeed(1, "anna");
        assert_eq!((house.fail(1, "anna"), house.fail(1, "anna"), house.fail(1, "anna")), (0, 0, 1));
    }

    #[test]
    fn a_guesser_with_an_account_of_its_own_gains_nothing_by_it() {
        let house = House::new();
        for at in 0..6 {
            house.fail(1, &format!("user-{at}"));
            house.succeed(1, "guesser");
        }
        assert!(house.left(1, "user-7") > 0);
    }

    #[test]
    fn without_a_delay_nothing_is_paid() {
        let now = Instant::now();
        let config = PenaltyConfig { delay: Duration::ZERO, ..Default::default() };
        let penalties = Penalties::new(config, now, RandomState::with_seeds(1, 2, 3, 4));
        (0..100).for_each(|_| assert_eq!(penalties.failed(now, claimant(1, "anna")), Duration::ZERO));
        assert_eq!(penalties.left(now, claimant(1, "anna")), Duration::ZERO);
    }
}
