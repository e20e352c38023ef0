//! Overloaded or not: a decision from measurements, which neither a moment's delay makes nor a moment's relief undoes.

use std::time::Duration;

/// From where on newcomers are turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In bytes of the account. `None`: never.
    pub memory_max: Option<u64>,
    /// Zero: never.
    pub lag_max: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Watch {
    limits: Limits,
    /// The last measurements of lag, in a ring.
    lags: [Duration; MEASUREMENTS],
    next: usize,
    is_lagging: bool,
    is_out_of_memory: bool,
}

/// So many measurements in a row make a standing lag: one alone may be a pause of the machine, which turning newcomers away does not shorten.
const MEASUREMENTS: usize = 3;

/// Memory must fall so far below its limit, in percent of it, before newcomers are let in again.
const MEMORY_LEFT_PERCENT: u64 = 95;

impl Watch {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, lags: [Duration::ZERO; MEASUREMENTS], next: 0, is_lagging: false, is_out_of_memory: false }
    }

    /// Judges by other limits from the next measurement on.
    pub fn set(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes one measurement of each.
    pub fn observe(&mut self, lag: Duration, memory_used: u64) {
        self.lags[self.next] = lag;
        self.next = (self.next + 1) % MEASUREMENTS;
        self.is_lagging = self.judge_lag();
        self.is_out_of_memory = self.judge_memory(memory_used);
    }

    /// Whether tasks have been running late for a while.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        self.is_lagging
    }

    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.is_out_of_memory
    }

    fn judge_lag(&self) -> bool {
        let max = self.limits.lag_max;
        if max.is_zero() {
            return false;
        }
        match self.is_lagging {
            // Until all are well below.
            true => self.lags.iter().any(|lag| *lag > max / 2),
            false => self.lags.iter().all(|lag| *lag > max),
        }
    }

    fn judge_memory(&self, used: u64) -> bool {
        let Some(max) = self.limits.memory_max else { return false };
        match self.is_out_of_memory {
            true => u128::from(used) * 100 >= u128::from(max) * u128::from(MEMORY_LEFT_PERCENT),
            false => used >= max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is decided after each measurement of lag, in milliseconds.
    fn lagging(lag_max_ms: u64, lags_ms: &[u64]) -> Vec<bool> {
        let mut watch = Watch::new(Limits { memory_max: None, lag_max: Duration::from_millis(lag_max_ms) });
        let decide = |ms: &u64| {
            watch.observe(Duration::from_millis(*ms), u64::MAX);
            assert!(!watch.is_out_of_memory());
            watch.is_lagging()
        };
        lags_ms.iter().map(decide).collect()
    }

    #[test]
    fn only_a_standing_lag_counts() {
        assert_eq!(lagging(500, &[2000, 0, 600, 600, 10]), [false; 5], "pauses");
        assert_eq!(lagging(500, &[501, 501, 501]), [false, false, true]);
        assert_eq!(lagging(500, &[500, 500, 500, 500]), [false; 4], "as much as may be");
        assert_eq!(lagging(0, &[9000; 4]), [false; 4], "switched off");
    }

    #[test]
    fn it_is_over_when_it_is_well_over() {
        let lags = [600, 600, 600, 300, 200, 251, 250, 250, 250, 600, 600, 600];
        let expected = [false, false, true, true, true, true, true, true, false, false, false, true];
        assert_eq!(lagging(500, &lags), expected);
    }

    #[test]
    fn memory_counts_at_once_and_until_some_is_free() {
        let mut watch = Watch::new(Limits { memory_max: Some(1000), lag_max: Duration::ZERO });
        let decisions = [999, 1000, 999, 950, 949, 999, 2000, 0].map(|used| {
            watch.observe(Duration::ZERO, used);
            watch.is_out_of_memory()
        });
        assert_eq!(decisions, [false, true, true, true, false, false, true, false]);
    }
}
