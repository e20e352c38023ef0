//! Which of several servers to ask, and which to leave alone for a while.
//!
//! Pure: time comes in as an argument.

use std::time::{Duration, Instant};

/// What is known of one server from the exchanges with it.
#[derive(Debug, Default)]
pub(crate) struct Health {
    fails: u32,
    failed: Option<Instant>,
    out_until: Option<Instant>,
}

/// When a server is left alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    /// After so many failures, none further than `out_time` from the next.
    pub(crate) fails_max: u32,
    /// For so long.
    pub(crate) out_time: Duration,
}

impl Health {
    pub(crate) fn is_out(&self, now: Instant) -> bool {
        self.out_until.is_some_and(|until| now < until)
    }

    /// Notes a failure; `true` if the server is out from here on, and was not before.
    pub(crate) fn fail(&mut self, tolerance: Tolerance, now: Instant) -> bool {
        let is_close = self.failed.is_some_and(|failed| now.saturating_duration_since(failed) < tolerance.out_time);
        self.fails = if is_close { self.fails.saturating_add(1) } else { 1 };
        self.failed = Some(now);
        if self.fails < tolerance.fails_max {
            return false;
        }
        let was_out = self.is_out(now);
        self.out_until = Some(now + tolerance.out_time);
        !was_out
    }

    /// Notes an answer; `true` if failures are forgotten by it.
    pub(crate) fn succeed(&mut self) -> bool {
        let had_failed = self.failed.is_some();
        *self = Self::default();
        had_failed
    }
}

/// The servers to try, in this order: those that are in, from the one whose turn it is, then those that are out.
///
/// `vacancies` puts the least busy first; without it they take turns.
pub(crate) fn order(out: &[bool], turn: usize, vacancies: Option<&dyn Fn(usize) -> usize>) -> Vec<usize> {
    let turned = |is_out: bool| {
        let mut indices: Vec<usize> = (0..out.len()).filter(|&index| out[index] == is_out).collect();
        let count = indices.len().max(1);
        indices.rotate_left(turn % count);
        if let Some(vacancies) = vacancies {
            // Stable, so that turns decide among equals.
            indices.sort_by_key(|&index| std::cmp::Reverse(vacancies(index)));
        }
        indices
    };
    let mut order = turned(false);
    order.append(&mut turned(true));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance { fails_max: 2, out_time: Duration::from_secs(10) };

    #[test]
    fn a_server_that_fails_repeatedly_is_left_alone_for_a_while() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut health = Health::default();
        assert!(!health.fail(TOLERANCE, start) && !health.is_out(start));
        assert!(health.fail(TOLERANCE, after(1)) && health.is_out(after(10)) && !health.is_out(after(11)));
        assert!(!health.fail(TOLERANCE, after(2)), "it was out before");
        assert!(health.succeed() && !health.is_out(after(3)));
        assert!(!health.fail(TOLERANCE, after(4)));
        assert!(!health.fail(TOLERANCE, after(14)), "too long ago to count");
        assert!(health.succeed() && !health.succeed());
    }

    #[test]
    fn turns_are_taken_by_those_that_are_in() {
        assert_eq!(order(&[false, false, false], 0, None), [0, 1, 2]);
        assert_eq!(order(&[false, false, false], 4, None), [1, 2, 0]);
        assert_eq!(order(&[false, true, false], 1, None), [2, 0, 1]);
        assert_eq!(order(&[true, true], 1, None), [1, 0], "better than none");
        let vacancies = |index: usize| [5, 9, 9, 10][index];
        assert_eq!(order(&[false, false, false, true], 2, Some(&vacancies)), [2, 1, 0, 3]);
    }
}
