//! Clients by where they come from: what is counted as one address, and how much of something each may hold.
//!
//! A share is a value that travels with what it is for and is given back when dropped, so that no path can forget to.
//! [`admission`](super::admission) counts all addresses together.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ahash::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// What is counted as one address: an IPv4 address (mapped into IPv6 or not), or the /64 that an IPv6 client may take its addresses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressKey {
    V4(u32),
    /// The network half; a household or a server has all of the other half to itself.
    V6(u64),
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// How many of something each address holds; nothing is kept of those that hold none.
#[derive(Debug)]
pub struct Shares {
    max: AtomicU32,
    held_by_address: Mutex<HashMap<AddressKey, u32, RandomState>>,
}

/// One of the things that an address may hold; free again when dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    address: AddressKey,
}

impl Shares {
    /// At most `max` for each address.
    #[must_use]
    pub fn new(max: u32, hasher: RandomState) -> Arc<Self> {
        Arc::new(Self { max: AtomicU32::new(max), held_by_address: Mutex::new(HashMap::with_hasher(hasher)) })
    }

    /// Has another bound hold from the next one on; whoever holds more keeps it.
    pub fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Takes one for `address`, if it holds fewer than it may.
    #[must_use]
    pub fn take(self: &Arc<Self>, address: AddressKey) -> Option<Share> {
        let mut held_by_address = self.held_by_address.lock();
        let held = held_by_address.entry(address).or_default();
        if *held >= self.max.load(Ordering::Relaxed) {
            return None;
        }
        *held += 1;
        Some(Share { shares: Arc::clone(self), address })
    }

    fn give_back(&self, address: AddressKey) {
        let mut held_by_address = self.held_by_address.lock();
        if let Some(held) = held_by_address.get_mut(&address) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                held_by_address.remove(&address);
            }
        }
        // After a flood the table is no larger than what is left of it needs, give or take.
        if held_by_address.capacity() > ADDRESSES_KEPT && held_by_address.len() < held_by_address.capacity() / 8 {
            held_by_address.shrink_to(ADDRESSES_KEPT);
        }
    }
}

/// Below this many addresses the table keeps its memory.
const ADDRESSES_KEPT: usize = 4096;

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.give_back(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AddressKey {
        text.parse::<IpAddr>().expect(text).into()
    }

    #[test]
    fn an_address_is_one_in_ipv4_and_a_64_in_ipv6() {
        assert_eq!(key("203.0.113.7"), key("::ffff:203.0.113.7"));
        assert_ne!(key("203.0.113.7"), key("203.0.113.8"));
        assert_eq!(key("2001:db8:1:2::7"), key("2001:db8:1:2:ffff::"));
        assert_ne!(key("2001:db8:1:2::7"), key("2001:db8:1:3::7"));
    }

    #[test]
    fn each_address_holds_its_own_and_gets_it_back() {
        let shares = Shares::new(2, RandomState::with_seeds(1, 2, 3, 4));
        let held = [shares.take(key("203.0.113.7")), shares.take(key("203.0.113.7"))];
        assert!(held.iter().all(Option::is_some) && shares.take(key("203.0.113.7")).is_none());
        assert!(shares.take(key("203.0.113.8")).is_some());
        drop(held);
        assert!(shares.held_by_address.lock().is_empty());
        assert!(shares.take(key("203.0.113.7")).is_some());
    }
}
