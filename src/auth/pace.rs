//! When to try again: spread out, so that many servers that were started together do not come together for ever.

use std::time::Duration;

/// A duration up to a tenth shorter or longer.
pub(super) fn around(duration: Duration) -> Duration {
    duration * 9 / 10 + fraction(duration / 5)
}

/// A duration up to a tenth shorter, where `duration` is a promise.
pub(super) fn up_to(duration: Duration) -> Duration {
    duration - fraction(duration / 10)
}

/// Twice as long for each failure behind the first, from `first` to `most`.
pub(super) fn back_off(first: Duration, most: Duration, failures: u32) -> Duration {
    first.saturating_mul(1 << failures.min(16)).min(most)
}

/// Some of it. A system without entropy spreads nothing.
fn fraction(duration: Duration) -> Duration {
    duration.mul_f64(f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_stays_within_its_bounds() {
        let minute = Duration::from_secs(60);
        for _ in 0..100 {
            assert!((Duration::from_secs(54)..=Duration::from_secs(66)).contains(&around(minute)));
            assert!((Duration::from_secs(54)..=minute).contains(&up_to(minute)));
        }
        assert_eq!(around(Duration::ZERO), Duration::ZERO);
        let pauses =
            [0, 1, 2, 9, u32::MAX].map(|failures| back_off(Duration::from_secs(1), minute, failures).as_secs());
        assert_eq!(pauses, [1, 2, 4, 60, 60]);
    }
}
