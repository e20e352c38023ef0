//! When to order; pure.

use std::time::Duration;

/// The longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(6 * 3600);

/// In which second since 1970 a certificate of this life is to be renewed.
///
/// So long before its end as the operator says, or when a third of its life is left if that comes first; later by up to a tenth of that
/// time, as `spread` says, so that not all the world's certificates are renewed in one moment.
pub(super) fn due_s(not_before_s: u64, not_after_s: u64, renew_before: Duration, spread: u8) -> u64 {
    let lifetime_s = not_after_s.saturating_sub(not_before_s);
    let before_s = renew_before.as_secs().min(lifetime_s / 3);
    let later_s = before_s * u64::from(spread) / 255 / 10;
    not_after_s.saturating_sub(before_s) + later_s
}

/// How long to wait after so many failures without a success between.
///
/// Authorities bound failures (Let's Encrypt: five an hour for a name), so the wait doubles from `first`; it is longer by up to a fifth,
/// as `spread` says.
pub(super) fn backoff(first: Duration, failures: u32, spread: u8) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX.max(first));
    doubled + doubled / 5 * u32::from(spread) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: u64 = 86_400;
    const MONTH: Duration = Duration::from_secs(30 * DAY_S);

    #[test]
    fn a_certificate_is_renewed_in_good_time_and_a_short_one_in_the_last_third_of_its_life() {
        assert_eq!(due_s(0, 90 * DAY_S, MONTH, 0), 60 * DAY_S);
        assert_eq!(due_s(0, 90 * DAY_S, MONTH, 255), 63 * DAY_S);
        assert_eq!(due_s(0, 6 * DAY_S, MONTH, 0), 4 * DAY_S);
        assert_eq!(due_s(100, 100, MONTH, 255), 100);
        assert_eq!(due_s(200, 100, MONTH, 255), 100);
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let minutes = |failures, spread| backoff(Duration::from_secs(300), failures, spread).as_secs() / 60;
        assert_eq!([1, 2, 3, 7, 8, 1000].map(|failures| minutes(failures, 0)), [5, 10, 20, 320, 360, 360]);
        assert_eq!(minutes(1, 255), 6);
        assert_eq!(backoff(Duration::from_secs(86_400), 9, 0).as_secs(), 86_400);
    }
}
