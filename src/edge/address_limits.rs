//! What one address may do before anybody has looked at a byte of its: connect so often, hold so many connections, shake hands so many
//! times at once.
//!
//! Pure: time is handed in. Memory is bounded: rates are remembered of [`AddressLimits::remembered_max`] addresses, the least recently seen
//! forgotten first; what is held is known of those alone that hold something, and all of those together are bounded elsewhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::networks::{Network, any_contains};
use crate::connection::{AddressKey, Share, Shares};
use crate::recent::Recent;

/// How much is left to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// New connections a second, on average; 0: any number. Count, default 50.
    pub connects_per_s: u32,
    /// New connections at once, before the average counts. Count, default 500: the browsers of an office that come back together.
    pub connects_burst: u32,
    /// Connections open at a time. Count, default 10,000.
    pub connections_max: u32,
    /// Connections between TCP accept and accepted CONNECT at a time. Count, default 512.
    pub handshaking_max: u32,
    /// Whom none of this concerns. Default: loopback. Trusted proxies are exempt besides, as they speak for many.
    pub exempt: Vec<Network>,
    /// Addresses whose rate is remembered. Count, default 100,000; some 40 bytes each.
    pub remembered_max: usize,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self {
            connects_per_s: 50,
            connects_burst: 500,
            connections_max: 10_000,
            handshaking_max: 512,
            exempt: Network::LOOPBACK.to_vec(),
            remembered_max: 100_000,
        }
    }
}

/// What holds for all addresses, and what each has used of it.
#[derive(Debug)]
pub(crate) struct Addresses {
    terms: ArcSwap<Terms>,
    start: Instant,
    rates: Mutex<Recent<AddressKey, Bucket>>,
    open: Arc<Shares>,
    handshaking: Arc<Shares>,
}

/// What a reload replaces; what is counted is counted on.
#[derive(Debug)]
struct Terms {
    limits: AddressLimits,
    trusted: Vec<Network>,
}

/// A token bucket as the one moment at which it is full again (GCRA), in nanoseconds of [`Addresses::start`].
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: u64,
}

/// What an address holds as long as its connection lives, and as long as it shakes hands.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) open: Share,
    pub(crate) handshaking: Share,
}

/// Why an address may not connect now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// Too often.
    Connects,
    /// Too many connections open.
    Open,
    /// Too many handshakes under way.
    Handshaking,
}

/// What [`Addresses::admit`] answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `None` within: nothing is counted of this address.
    pub(crate) admitted: Result<Option<Admitted>, TooMany>,
    /// How many others' rates had to be forgotten before their time.
    pub(crate) forgotten: usize,
}

impl Addresses {
    pub(crate) fn new(limits: AddressLimits, trusted: Vec<Network>, start: Instant, hasher: &RandomState) -> Self {
        Self {
            rates: Mutex::new(Recent::new(limits.remembered_max, hasher.clone())),
            open: Shares::new(limits.connections_max, hasher.clone()),
            handshaking: Shares::new(limits.handshaking_max, hasher.clone()),
            terms: ArcSwap::from_pointee(Terms { limits, trusted }),
            start,
        }
    }

    /// Has other limits hold from the next connection on. Who is beyond them stays.
    pub(crate) fn set(&self, limits: AddressLimits, trusted: Vec<Network>) {
        self.rates.lock().set_max(limits.remembered_max);
        self.open.set_max(limits.connections_max);
        self.handshaking.set_max(limits.handshaking_max);
        self.terms.store(Arc::new(Terms { limits, trusted }));
    }

    /// Whether none of this concerns `address`.
    pub(crate) fn is_exempt(&self, address: IpAddr) -> bool {
        self.terms.load().exempt(address)
    }

    /// Whether a connection from `address` may be.
    pub(crate) fn admit(&self, now: Instant, address: IpAddr) -> Answer {
        let terms = self.terms.load();
        if terms.exempt(address) {
            return Answer { admitted: Ok(None), forgotten: 0 };
        }
        let key = AddressKey::from(address);
        let (is_in_time, forgotten) = self.takes_token(&terms.limits, now, key);
        let admit = || {
            if !is_in_time {
                return Err(TooMany::Connects);
            }
            let open = self.open.take(key).ok_or(TooMany::Open)?;
            let handshaking = self.handshaking.take(key).ok_or(TooMany::Handshaking)?;
            Ok(Some(Admitted { open, handshaking }))
        };
        Answer { admitted: admit(), forgotten }
    }

    fn takes_token(&self, limits: &AddressLimits, now: Instant, key: AddressKey) -> (bool, usize) {
        if limits.connects_per_s == 0 {
            return (true, 0);
        }
        let interval = NANOS_PER_S / u64::from(limits.connects_per_s);
        let depth = interval.saturating_mul(u64::from(limits.connects_burst.max(1)));
        let now = nanos(now.saturating_duration_since(self.start));
        let mut rates = self.rates.lock();
        let (bucket, forgotten) = rates.touch(key, |bucket| bucket.full_at > now);
        let full_at = bucket.full_at.max(now).saturating_add(interval);
        let is_in_time = full_at - now <= depth;
        if is_in_time {
            bucket.full_at = full_at;
        }
        (is_in_time, forgotten)
    }
}

impl Terms {
    fn exempt(&self, address: IpAddr) -> bool {
        any_contains(&self.limits.exempt, address) || any_contains(&self.trusted, address)
    }
}

const NANOS_PER_S: u64 = 1_000_000_000;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(limits: AddressLimits, start: Instant) -> Addresses {
        let trusted = vec![Network::parse("10.0.0.0/8").expect("a network")];
        Addresses::new(limits, trusted, start, &RandomState::with_seeds(1, 2, 3, 4))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn an_address_connects_in_a_burst_and_then_at_its_rate() {
        let start = Instant::now();
        let addresses =
            addresses(AddressLimits { connects_per_s: 10, connects_burst: 20, ..Default::default() }, start);
        let admitted = |now: Instant, address: &str| addresses.admit(now, ip(address)).admitted.is_ok();
        let count = |now| (0..100).filter(|_| admitted(now, "203.0.113.7")).count();
        assert_eq!(count(start), 20);
        assert!(admitted(start, "203.0.113.8"), "others have their own");
        assert_eq!(count(start + Duration::from_secs(1)), 10);
        assert_eq!(count(start + Duration::from_millis(1050)), 0);
        assert_eq!(count(start + Duration::from_millis(1100)), 1);
        assert_eq!(count(start + Duration::from_secs(3600)), 20, "no more than a burst is saved up");
        // Refused attempts are no debt.
        assert_eq!(count(start + Duration::from_secs(3601)), 10);
    }

    #[test]
    fn an_ipv6_client_has_one_rate_whatever_address_of_its_64_it_takes() {
        let start = Instant::now();
        let addresses = addresses(AddressLimits { connects_per_s: 1, connects_burst: 5, ..Default::default() }, start);
        let admitted = |at: u16| addresses.admit(start, ip(&format!("2001:db8:1:2::{at:x}"))).admitted.is_ok();
        assert_eq!((0..100).filter(|&at| admitted(at)).count(), 5);
    }

    #[test]
    fn what_is_held_is_bounded_and_comes_back() {
        let start = Instant::now();
        let limits = AddressLimits { connections_max: 3, handshaking_max: 2, ..Default::default() };
        let addresses = addresses(limits, start);
        let admit = || addresses.admit(start, ip("203.0.113.7")).admitted;
        let first = admit().expect("there is room").expect("it is counted");
        let second = admit().expect("there is room").expect("it is counted");
        assert_eq!(admit().unwrap_err(), TooMany::Handshaking);
        let (_open, _also_open) = (first.open, second.open);
        drop((first.handshaking, second.handshaking));
        let _third = admit().expect("those two have shaken hands");
        assert_eq!(admit().unwrap_err(), TooMany::Open);
    }

    #[test]
    fn the_exempt_and_the_trusted_are_not_counted() {
        let start = Instant::now();
        let addresses = addresses(AddressLimits { connects_per_s: 1, connects_burst: 1, ..Default::default() }, start);
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.1.2.3"] {
            for _ in 0..10 {
                assert!(matches!(addresses.admit(start, ip(address)).admitted, Ok(None)), "{address}");
            }
        }
        assert!(addresses.rates.lock().is_empty());
    }

    #[test]
    fn other_limits_hold_at_once_and_forget_nothing() {
        let start = Instant::now();
        let limits = AddressLimits { connects_per_s: 1, connects_burst: 10, connections_max: 9, ..Default::default() };
        let addresses = addresses(limits.clone(), start);
        let admit = || addresses.admit(start, ip("203.0.113.7")).admitted;
        let held: Vec<_> = (0..4).map(|_| admit().expect("there is room")).collect();
        addresses.set(AddressLimits { connections_max: 4, ..limits.clone() }, Vec::new());
        assert_eq!(admit().unwrap_err(), TooMany::Open, "those from before count");
        addresses.set(AddressLimits { connects_burst: 5, ..limits.clone() }, Vec::new());
        assert_eq!(admit().unwrap_err(), TooMany::Connects, "five have been used");
        assert!(addresses.admit(start, ip("10.1.2.3")).admitted.is_ok_and(|held| held.is_some()), "trusted no more");
        addresses.set(limits, vec![Network::parse("203.0.113.0/24").expect("a network")]);
        assert!(admit().is_ok_and(|held| held.is_none()));
        drop(held);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let start = Instant::now();
        let addresses = addresses(AddressLimits { connects_per_s: 0, ..Default::default() }, start);
        assert!((0..1000).all(|_| addresses.admit(start, ip("203.0.113.7")).admitted.is_ok()));
    }

    /// However many addresses come, memory is bounded, and who had used its burst up and is forgotten is counted.
    #[test]
    fn a_flood_of_addresses_costs_bounded_memory_and_is_told() {
        let start = Instant::now();
        let addresses = addresses(AddressLimits { remembered_max: 1000, ..Default::default() }, start);
        let mut forgotten = 0;
        for bits in 0..100_000_u32 {
            let answer = addresses.admit(start, IpAddr::V4((0x0B00_0000 + bits).into()));
            assert!(answer.admitted.is_ok());
            forgotten += answer.forgotten;
        }
        let remembered = addresses.rates.lock().len();
        assert!(remembered <= 1000 && remembered + forgotten == 100_000, "{remembered} {forgotten}");
    }
}
