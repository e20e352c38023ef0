//! The bounds on connections that have proven nothing yet: a place among all that are open, and a seat among those still shaking hands.
//!
//! Both are values that travel with the connection and give back what they hold when dropped, so that no path can forget to.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::address::Share;

/// One of the `connections_max` places; free again when dropped.
#[derive(Debug)]
pub struct Place {
    open: Arc<AtomicU64>,
    _share: Option<Share>,
}

impl Place {
    /// Takes a place if fewer than `max` are taken. `open` is the gauge of places taken.
    #[must_use]
    pub fn take(open: &Arc<AtomicU64>, max: u64) -> Option<Self> {
        open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < max).then_some(taken + 1)).ok()?;
        Some(Self { open: Arc::clone(open), _share: None })
    }

    /// The same place, which is one of its address's as well.
    #[must_use]
    pub fn holding(mut self, share: Share) -> Self {
        self._share = Some(share);
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // First, so that who sees the gauge fall finds the address free as well.
        self._share = None;
        self.open.fetch_sub(1, Ordering::Release);
    }
}

/// Everybody who has connected and has not been accepted as a client yet: from TCP accept to CONNECT.
///
/// At most `seats_max` at a time. When all are taken, the one who has been at it longest has to go, but nobody before `age_min`:
/// in a storm of honest clients the oldest are those nearest to being done, and shedding them would help no one.
#[derive(Debug)]
pub struct Handshakes {
    seated: Mutex<Seated>,
    left: Notify,
}

#[derive(Debug)]
struct Seated {
    seats_max: usize,
    age_min: Duration,
    /// In order of arrival; `None` where someone left by himself and the entry has not come to the front yet.
    by_arrival: VecDeque<Option<Seat>>,
    /// The number that `by_arrival[0]` was given.
    first: u64,
    count: usize,
}

#[derive(Debug)]
struct Seat {
    since: Instant,
    ip: IpAddr,
    shed: oneshot::Sender<()>,
}

/// What [`Handshakes::enter`] answers.
#[derive(Debug)]
pub enum Entry {
    /// Seated; `shed` says whether somebody else had to go for it.
    Seated { handshake: Handshake, shed: bool },
    /// Every seat is taken by someone younger than the age at which one may be shed; the oldest comes of age after this long.
    Full { retry_after: Duration },
}

impl Handshakes {
    /// Room for `seats_max` (at least one), none of whom is shed before `age_min`.
    #[must_use]
    pub fn new(seats_max: usize, age_min: Duration) -> Arc<Self> {
        let (by_arrival, first, count) = (VecDeque::new(), 0, 0);
        let seated = Seated { seats_max: seats_max.max(1), age_min, by_arrival, first, count };
        Arc::new(Self { seated: Mutex::new(seated), left: Notify::new() })
    }

    /// Has other bounds hold from the next one on who comes. Nobody leaves for it.
    pub fn set(&self, seats_max: usize, age_min: Duration) {
        let mut seated = self.seated.lock();
        (seated.seats_max, seated.age_min) = (seats_max.max(1), age_min);
    }

    /// Takes a seat for a client from `ip`, at another's cost where it must.
    pub fn enter(self: &Arc<Self>, now: Instant, ip: IpAddr) -> Entry {
        let mut seated = self.seated.lock();
        let mut shed = false;
        if seated.count >= seated.seats_max {
            let age_min = seated.age_min;
            let age = seated.oldest().map_or(age_min, |since| now.saturating_duration_since(since));
            if age < age_min {
                return Entry::Full { retry_after: age_min - age };
            }
            shed = seated.shed_oldest();
        }
        let (sender, receiver) = oneshot::channel();
        let number = seated.first + seated.by_arrival.len() as u64;
        seated.by_arrival.push_back(Some(Seat { since: now, ip, shed: sender }));
        seated.count += 1;
        Entry::Seated {
            handshake: Handshake { handshakes: Arc::clone(self), number, shed: receiver, _share: None },
            shed,
        }
    }

    /// Has the youngest of those seated leave, one in `share` of them and at least one. Returns whence they were, the youngest first.
    pub fn shed_youngest(&self, share: usize) -> Vec<IpAddr> {
        self.seated.lock().shed_youngest(share)
    }

    /// How many are seated.
    #[must_use]
    pub fn count(&self) -> usize {
        self.seated.lock().count
    }

    /// Waits until somebody leaves a seat. Spurious wake-ups are possible: ask [`Handshakes::enter`] again.
    pub async fn left(&self) {
        self.left.notified().await;
    }

    fn leave(&self, number: u64) {
        self.seated.lock().remove(number);
        self.left.notify_one();
    }
}

impl Seated {
    fn oldest(&mut self) -> Option<Instant> {
        self.drop_empty();
        self.by_arrival.front().and_then(Option::as_ref).map(|seat| seat.since)
    }

    fn shed_oldest(&mut self) -> bool {
        self.drop_empty();
        let Some(Some(seat)) = self.by_arrival.pop_front() else { return false };
        self.first += 1;
        self.count -= 1;
        seat.shed.send(()).is_ok()
    }

    fn shed_youngest(&mut self, share: usize) -> Vec<IpAddr> {
        let count = self.count.div_ceil(share.max(1));
        let mut shed = Vec::with_capacity(count);
        let mut entries = self.by_arrival.iter_mut().rev();
        while shed.len() < count
            && let Some(entry) = entries.next()
        {
            let Some(seat) = entry.take() else { continue };
            self.count -= 1;
            // Who has left meanwhile needs no telling.
            if seat.shed.send(()).is_ok() {
                shed.push(seat.ip);
            }
        }
        shed
    }

    fn readdress(&mut self, number: u64, ip: IpAddr) {
        let Some(index) = number.checked_sub(self.first) else { return }; // shed before
        if let Some(Some(seat)) = self.by_arrival.get_mut(index as usize) {
            seat.ip = ip;
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(index) = number.checked_sub(self.first) else { return }; // shed before
        let Some(seat) = self.by_arrival.get_mut(index as usize) else { return };
        if seat.take().is_some() {
            self.count -= 1;
        }
        self.drop_empty();
    }

    /// Keeps the queue no longer than the span between the oldest and the youngest who are still there.
    fn drop_empty(&mut self) {
        while let Some(None) = self.by_arrival.front() {
            self.by_arrival.pop_front();
            self.first += 1;
        }
        if self.by_arrival.is_empty() {
            self.by_arrival.shrink_to(SEATS_KEPT);
        }
    }
}

/// Below this many entries the register keeps its memory.
const SEATS_KEPT: usize = 1024;

/// A seat among those still shaking hands; given up when dropped, which is what a connection does once its CONNECT is accepted.
///
/// As a future it completes when this one has to go: the owner then closes the connection at once, without a word.
#[derive(Debug)]
pub struct Handshake {
    handshakes: Arc<Handshakes>,
    number: u64,
    shed: oneshot::Receiver<()>,
    _share: Option<Share>,
}

impl Handshake {
    /// The same seat, which is one of its address's as well.
    #[must_use]
    pub fn holding(mut self, share: Share) -> Self {
        self._share = Some(share);
        self
    }

    /// Somebody who is believed says that it is for a client from `ip`.
    pub fn speak_for(&self, ip: IpAddr) {
        self.handshakes.seated.lock().readdress(self.number, ip);
    }
}

impl Future for Handshake {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.shed).poll(cx).map(drop)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.handshakes.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_millis(500);
    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn seated(entry: Entry) -> (Handshake, bool) {
        match entry {
            Entry::Seated { handshake, shed } => (handshake, shed),
            Entry::Full { .. } => panic!("no seat"),
        }
    }

    #[test]
    fn places_come_back_when_dropped() {
        let open = Arc::new(AtomicU64::new(0));
        let first = Place::take(&open, 1);
        assert!(first.is_some() && Place::take(&open, 1).is_none());
        drop(first);
        assert!(Place::take(&open, 1).is_some());
        assert_eq!(open.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn the_oldest_is_shed_when_of_age() {
        let handshakes = Handshakes::new(2, AGE);
        let start = Instant::now();
        let (oldest, _) = seated(handshakes.enter(start, IP));
        let (_second, _) = seated(handshakes.enter(start + AGE / 2, IP));
        let Entry::Full { retry_after } = handshakes.enter(start + AGE / 2, IP) else { panic!("shed too early") };
        assert_eq!(retry_after, AGE / 2);
        let (_third, shed) = seated(handshakes.enter(start + AGE, IP));
        assert!(shed);
        oldest.await;
        assert_eq!(handshakes.count(), 2);
    }

    #[tokio::test]
    async fn other_bounds_hold_from_the_next_one_on() {
        let handshakes = Handshakes::new(2, AGE);
        let now = Instant::now();
        let (oldest, _) = seated(handshakes.enter(now, IP));
        let (_second, _) = seated(handshakes.enter(now, IP));
        assert!(matches!(handshakes.enter(now, IP), Entry::Full { .. }));
        handshakes.set(3, AGE);
        let (_third, shed) = seated(handshakes.enter(now, IP));
        assert!(!shed);
        handshakes.set(1, Duration::ZERO);
        assert_eq!(handshakes.count(), 3, "nobody leaves for it");
        let (_fourth, shed) = seated(handshakes.enter(now, IP));
        assert!(shed);
        oldest.await;
    }

    #[test]
    fn seats_left_in_any_order_are_free_again() {
        let handshakes = Handshakes::new(3, AGE);
        let start = Instant::now();
        for _ in 0..10_000 {
            let (first, _) = seated(handshakes.enter(start, IP));
            let (second, _) = seated(handshakes.enter(start, IP));
            let (third, _) = seated(handshakes.enter(start, IP));
            assert!(matches!(handshakes.enter(start, IP), Entry::Full { .. }));
            drop(second);
            drop(third);
            drop(first);
        }
        assert_eq!(handshakes.count(), 0);
        assert!(handshakes.seated.lock().by_arrival.is_empty());
    }

    #[tokio::test]
    async fn the_youngest_are_shed_under_load() {
        let handshakes = Handshakes::new(10, AGE);
        let now = Instant::now();
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let enter = |last| match handshakes.enter(now, ip(last)) {
            Entry::Seated { handshake, .. } => handshake,
            Entry::Full { .. } => panic!("no seat"),
        };
        let mut seats: Vec<_> = (0..6).map(enter).collect();
        drop(seats.remove(4));
        assert_eq!(handshakes.shed_youngest(4), [ip(5), ip(3)], "one in four, rounded up");
        for _ in 0..2 {
            seats.pop().expect("six less one").await;
        }
        assert_eq!(handshakes.count(), 3);
        assert_eq!(handshakes.shed_youngest(4), [ip(2)]);
        assert_eq!(handshakes.shed_youngest(1), [ip(1), ip(0)]);
        assert!(handshakes.shed_youngest(4).is_empty());
        drop(seats);
        assert!(handshakes.seated.lock().by_arrival.is_empty());
    }
}
