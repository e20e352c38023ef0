//! A coarse timer wheel for things that are many and rarely due, such as a Keep Alive for each connection.
//!
//! Pure: time is handed in. An entry costs its own size in a bucket; activity costs nothing here, because the owner stores when it was
//! last active and, when its entry comes due, inserts it again for the time that is left.

use std::time::{Duration, Instant};

/// Entries by the time they are due, in steps of one granularity.
///
/// An entry is never handed out before its deadline, and at most one granularity and the time between two calls of
/// [`Wheel::advance`] after it.
#[derive(Debug)]
pub struct Wheel<T> {
    start: Instant,
    granularity: Duration,
    /// The step up to which everything due has been handed out.
    step: u64,
    /// An entry of step `s` lies in bucket `s % BUCKETS`, beside those of later turns.
    buckets: Vec<Vec<(u64, T)>>,
    len: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel that counts from `start` in steps of `granularity`, which is at least a millisecond.
    #[must_use]
    pub fn new(start: Instant, granularity: Duration) -> Self {
        let granularity = granularity.max(Duration::from_millis(1));
        Self { start, granularity, step: 0, buckets: (0..BUCKETS).map(|_| Vec::new()).collect(), len: 0 }
    }

    /// Adds an entry that is due at `deadline`; one that lies in the past is due at the next [`Wheel::advance`].
    pub fn insert(&mut self, deadline: Instant, entry: T) {
        let since = deadline.saturating_duration_since(self.start);
        // Rounded up, so that nothing comes early; beyond the current step, whose bucket has been emptied.
        let step = since.as_nanos().div_ceil(self.granularity.as_nanos());
        let step = u64::try_from(step).unwrap_or(u64::MAX).max(self.step + 1);
        self.buckets[bucket_of(step)].push((step, entry));
        self.len += 1;
    }

    /// Takes out every entry that is due at `now`, in the order of their deadlines' steps.
    #[must_use]
    pub fn advance(&mut self, now: Instant) -> Vec<T> {
        let since = now.saturating_duration_since(self.start);
        let target = u64::try_from(since.as_nanos() / self.granularity.as_nanos()).unwrap_or(u64::MAX - 1);
        if target <= self.step {
            return Vec::new();
        }
        let mut due = Vec::new();
        // After a long pause one turn visits every bucket; further turns would find nothing.
        let first = self.step + 1;
        let last = target.min(self.step + BUCKETS);
        for step in first..=last {
            let bucket = &mut self.buckets[bucket_of(step)];
            due.extend(bucket.extract_if(.., |(at, _)| *at <= target));
            // A crowd that came at once is not to leave its bucket large; a few, who come again, find theirs as it was.
            if bucket.capacity() > BUCKET_KEPT_MAX.max(4 * bucket.len()) {
                bucket.shrink_to(BUCKET_KEPT_MAX.max(2 * bucket.len()));
            }
        }
        self.step = target;
        self.len -= due.len();
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Entries in the wheel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Buckets of one turn. A deadline further away than a turn is looked at once a turn.
const BUCKETS: u64 = 512;

/// Entries for which a bucket keeps its memory.
const BUCKET_KEPT_MAX: usize = 32;

fn bucket_of(step: u64) -> usize {
    (step % BUCKETS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_order_and_never_early() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start, Duration::from_millis(250));
        for ms in [900_000, 1000, 250, 1, 251, 128_000, 128_250] {
            wheel.insert(start + Duration::from_millis(ms), ms);
        }

        assert_eq!(wheel.advance(start), Vec::<u64>::new());
        assert_eq!(wheel.advance(start + Duration::from_millis(250)), [250, 1]);
        assert_eq!(wheel.advance(start + Duration::from_millis(499)), Vec::<u64>::new());
        assert_eq!(wheel.advance(start + Duration::from_millis(1000)), [251, 1000]);
        assert_eq!(wheel.advance(start + Duration::from_secs(129)), [128_000, 128_250]);
        assert_eq!(wheel.len(), 1);
        assert_eq!(wheel.advance(start + Duration::from_secs(100_000)), [900_000]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn a_deadline_in_the_past_is_due_next() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start, Duration::from_secs(1));
        assert!(wheel.advance(start + Duration::from_secs(10)).is_empty());

        wheel.insert(start + Duration::from_secs(3), 'a');

        assert!(wheel.advance(start + Duration::from_secs(10)).is_empty());
        assert_eq!(wheel.advance(start + Duration::from_secs(11)), ['a']);
    }

    #[test]
    fn a_crowd_leaves_no_memory_behind() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start, Duration::from_secs(1));
        for number in 0..10_000_u64 {
            wheel.insert(start + Duration::from_secs(3), number);
        }
        assert_eq!(wheel.advance(start + Duration::from_secs(3)).len(), 10_000);
        let kept: usize = wheel.buckets.iter().map(Vec::capacity).sum();
        assert!(kept <= BUCKET_KEPT_MAX, "{kept} entries' memory is kept");
    }

    #[test]
    fn every_entry_comes_out_once_whatever_the_pace() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start, Duration::from_millis(10));
        let mut random = 7_u64;
        let mut now = start;
        let (mut inserted, mut taken) = (0, 0);
        for _ in 0..2_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let deadline = now + Duration::from_millis((random >> 33) % 20_000);
            wheel.insert(deadline, deadline);
            inserted += 1;
            now += Duration::from_millis((random >> 50) % 300);
            for due in wheel.advance(now) {
                assert!(due <= now, "an entry came early");
                taken += 1;
            }
        }
        taken += wheel.advance(now + Duration::from_secs(60)).len();
        assert_eq!(taken, inserted);
    }
}
