//! How fast one client may publish: `messages_per_s` and `bytes_per_s` of its roles.
//!
//! Nothing is lost to a rate: a message that is there is taken, and when the rate is used up the socket is not read until there is room
//! for the next. So the client's own sending comes to a stop, by TCP.
//!
//! ```text
//!   account of one rate:   ──now────────────account──│ BURST ahead of now: no further message fits
//!                            what was taken, at exactly the rate, would have been sent until then
//! ```
//!
//! Time is handed in; an idle client has used up nothing, a busy one at most the second that is its burst.

use std::time::{Duration, Instant};

use crate::mqtt::QoS;
use crate::policy::Allowance;

/// How far an account may be ahead of the clock: what a client may send at once after a rest is the rate of one second.
const BURST: Duration = Duration::from_secs(1);

/// The accounts of one connection; see the module.
#[derive(Debug)]
pub(super) struct Throttle {
    allowance: Allowance,
    messages: Option<Account>,
    bytes: Option<Account>,
    /// The last time that reading went on after it was held.
    release: Option<Release>,
    /// Since when a message has been waiting each time that reading went on.
    ahead_since: Option<Instant>,
    /// Whether the client was told that it is too fast, and has not rested since.
    is_told: bool,
}

/// What is to follow from one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// Nothing more is to be read until then.
    pub(super) hold_until: Option<Instant>,
    /// The message had waited, for the first time since the client last rested.
    pub(super) is_first_excess: bool,
    /// For so long messages have been waiting whenever reading went on; zero if none was.
    pub(super) ahead_for: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    per_s: u64,
    spent_until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Release {
    at: Instant,
    /// Whether a message was there already.
    has_found: bool,
}

impl Throttle {
    /// What `allowance` asks for; `None` if it bounds no rate.
    pub(super) fn new(now: Instant, allowance: Allowance) -> Option<Box<Self>> {
        let account = |per_s| Account { per_s, spent_until: now };
        let (messages, bytes) = (allowance.messages_per_s.limit(), allowance.bytes_per_s.limit());
        (messages.is_some() || bytes.is_some()).then(|| {
            Box::new(Self {
                allowance,
                messages: messages.map(account),
                bytes: bytes.map(account),
                release: None,
                ahead_since: None,
                is_told: false,
            })
        })
    }

    /// The same client under another allowance: what it has spent stays spent.
    pub(super) fn under(self, now: Instant, allowance: Allowance) -> Option<Box<Self>> {
        let mut next = Self::new(now, allowance)?;
        for (next, spent) in [(&mut next.messages, self.messages), (&mut next.bytes, self.bytes)] {
            if let (Some(next), Some(spent)) = (next, spent) {
                next.spent_until = spent.spent_until;
            }
        }
        let Self { release, ahead_since, is_told, .. } = self;
        Some(Box::new(Self { release, ahead_since, is_told, ..*next }))
    }

    pub(super) fn is_of(&self, allowance: &Allowance) -> bool {
        self.allowance == *allowance
    }

    /// Takes a message of so many bytes.
    pub(super) fn take(&mut self, now: Instant, bytes: usize, qos: QoS) -> Pace {
        let mut accounts = [self.messages, self.bytes].into_iter().flatten();
        if accounts.all(|account| account.spent_until + BURST <= now) {
            // It has rested.
            (self.ahead_since, self.is_told) = (None, false);
        }
        let has_waited = self.has_waited(now);
        // Whoever waits for acknowledgements goes no faster than they come, however much there is to send.
        if has_waited && (self.ahead_since.is_none() || qos > QoS::AtMostOnce) {
            self.ahead_since = Some(now);
        }
        let was_told = self.is_told;
        self.is_told |= has_waited;
        let ready = [
            self.messages.as_mut().map(|account| account.spend(now, 1, 1)),
            // How long the next one is nobody knows: it may come as long as the account is not ahead of its burst.
            self.bytes.as_mut().map(|account| account.spend(now, bytes as u64, 0)),
        ];
        Pace {
            hold_until: ready.into_iter().flatten().max().filter(|&until| until > now),
            is_first_excess: has_waited && !was_told,
            ahead_for: self.ahead_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
        }
    }

    /// Reading goes on: what had waited is given to [`Self::take`] with this very `now`.
    pub(super) fn release(&mut self, now: Instant) {
        if self.release.replace(Release { at: now, has_found: false }).is_some_and(|earlier| !earlier.has_found) {
            self.ahead_since = None;
        }
    }

    fn has_waited(&mut self, now: Instant) -> bool {
        let Some(release) = &mut self.release else { return false };
        let has_waited = release.at == now;
        release.has_found |= has_waited;
        if !release.has_found {
            self.ahead_since = None;
        }
        has_waited
    }
}

impl Account {
    /// Enters `units`; returns from when on `next` units more may come.
    fn spend(&mut self, now: Instant, units: u64, next: u64) -> Instant {
        self.spent_until = self.spent_until.max(now) + self.time_of(units);
        let ready = self.spent_until + self.time_of(next);
        ready.checked_sub(BURST).unwrap_or(now)
    }

    /// How long `units` take at this rate.
    fn time_of(&self, units: u64) -> Duration {
        let nanos = u128::from(units) * 1_000_000_000 / u128::from(self.per_s.max(1));
        // A packet is far shorter than what would take centuries.
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX >> 4))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::Quota;

    const QOS_0: QoS = QoS::AtMostOnce;

    fn throttle(now: Instant, messages_per_s: Quota, bytes_per_s: Quota) -> Box<Throttle> {
        Throttle::new(now, Allowance { messages_per_s, bytes_per_s, ..Allowance::default() }).unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn who_has_no_rate_has_no_account() {
        let counts = Allowance { subscriptions_max: Quota::AtMost(1), ..Allowance::default() };
        let lifted = Allowance { messages_per_s: Quota::Unlimited, ..Allowance::default() };
        for allowance in [Allowance::default(), counts, lifted] {
            assert!(Throttle::new(Instant::now(), allowance).is_none(), "{allowance:?}");
        }
    }

    #[test]
    fn a_second_of_messages_may_come_at_once_and_then_one_at_a_time() {
        let start = Instant::now();
        let mut throttle = throttle(start, Quota::AtMost(10), Quota::Unsaid);
        for message in 1..10 {
            assert_eq!(throttle.take(start, 0, QOS_0), Pace::default(), "message {message}");
        }
        assert_eq!(throttle.take(start, 0, QOS_0).hold_until, Some(start + ms(100)));
        throttle.release(start + ms(100));
        assert_eq!(throttle.take(start + ms(100), 0, QOS_0).hold_until, Some(start + ms(200)));
        // A rest gives all of it back, and no more.
        let later = start + ms(60_000);
        assert!((1..10).all(|_| throttle.take(later, 0, QOS_0).hold_until.is_none()));
        assert!(throttle.take(later, 0, QOS_0).hold_until.is_some());
    }

    #[test]
    fn bytes_are_paid_for_afterwards() {
        let start = Instant::now();
        let mut throttle = throttle(start, Quota::Unsaid, Quota::AtMost(1000));
        assert_eq!(throttle.take(start, 1000, QOS_0).hold_until, None);
        assert_eq!(throttle.take(start, 500, QOS_0).hold_until, Some(start + ms(500)));
        // However large it is, one message passes, and takes its time.
        assert_eq!(throttle.take(start + ms(500), 10_000, QOS_0).hold_until, Some(start + ms(10_500)));
    }

    #[test]
    fn the_slower_of_two_rates_counts() {
        let start = Instant::now();
        let mut throttle = throttle(start, Quota::AtMost(1), Quota::AtMost(10));
        assert_eq!(throttle.take(start, 1, QOS_0).hold_until, Some(start + ms(1000)));
        assert_eq!(throttle.take(start + ms(1000), 40, QOS_0).hold_until, Some(start + ms(4000)));
    }

    #[test]
    fn only_what_had_waited_is_too_fast_and_it_is_said_once() {
        let start = Instant::now();
        let mut throttle = throttle(start, Quota::AtMost(1), Quota::Unsaid);
        // Hardly less than one a second: held after each, and never too fast.
        for second in 0..5 {
            let now = start + ms(1010 * second);
            let pace = throttle.take(now, 0, QOS_0);
            assert_eq!((pace.is_first_excess, pace.ahead_for), (false, Duration::ZERO), "{second}");
            throttle.release(pace.hold_until.unwrap());
        }
        let mut told = 0;
        let mut now = start + ms(10_000);
        for _ in 0..5 {
            let pace = throttle.take(now, 0, QOS_0);
            told += u32::from(pace.is_first_excess);
            now = pace.hold_until.unwrap();
            throttle.release(now);
        }
        assert_eq!(told, 1);
        // Once it has rested, it may hear it again.
        throttle.take(now + ms(5000), 0, QOS_0);
        throttle.release(now + ms(6000));
        assert!(throttle.take(now + ms(6000), 0, QOS_0).is_first_excess);
    }

    #[test]
    fn being_ahead_lasts_until_nothing_waits_or_acknowledgements_are_waited_for() {
        let start = Instant::now();
        let flood = |seconds: u64, qos| {
            let mut throttle = throttle(start, Quota::AtMost(1), Quota::Unsaid);
            let mut pace = throttle.take(start, 0, qos);
            for _ in 0..seconds {
                let now = pace.hold_until.unwrap();
                throttle.release(now);
                pace = throttle.take(now, 0, qos);
            }
            (throttle, pace)
        };
        let (mut throttle, pace) = flood(61, QOS_0);
        assert_eq!(pace.ahead_for, ms(60_000));
        assert_eq!(flood(61, QoS::AtLeastOnce).1.ahead_for, Duration::ZERO);
        // Reading went on and found nothing.
        let now = pace.hold_until.unwrap();
        throttle.release(now);
        assert_eq!(throttle.take(now + ms(1), 0, QOS_0).ahead_for, Duration::ZERO);
    }

    #[test]
    fn another_allowance_forgives_nothing() {
        let start = Instant::now();
        let mut first = throttle(start, Quota::AtMost(2), Quota::Unsaid);
        first.take(start, 0, QOS_0);
        first.take(start, 0, QOS_0);
        let wider =
            Allowance { messages_per_s: Quota::AtMost(4), bytes_per_s: Quota::AtMost(9), ..Allowance::default() };
        let mut second = first.under(start, wider).unwrap();
        assert!(second.is_of(&wider));
        assert_eq!(second.take(start, 0, QOS_0).hold_until, Some(start + ms(500)));
        assert!(second.under(start, Allowance::default()).is_none());
    }

    proptest! {
        /// Whoever obeys sends, in any span from the start, no more than the rate of that span and of the burst.
        #[test]
        fn no_more_passes_than_the_rate_and_its_burst(rate in 1..500_u64, pauses in prop::collection::vec(0..400_u64, 1..400)) {
            let start = Instant::now();
            let mut throttle = throttle(start, Quota::AtMost(rate), Quota::Unsaid);
            let mut now = start;
            for (passed, pause) in (1_u64..).zip(pauses) {
                let pace = throttle.take(now, 0, QOS_0);
                let span = now.duration_since(start) + BURST;
                prop_assert!(u128::from(passed) <= span.as_millis() * u128::from(rate) / 1000 + 1);
                now = pace.hold_until.unwrap_or(now).max(now + ms(pause));
                throttle.release(now);
            }
        }
    }
}
