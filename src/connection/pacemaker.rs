//! Every deadline of every connection, in one wheel: CONNECT in time, Keep Alive, WebSocket pings, the end of closing.
//!
//! Activity is one store ([`Life::touch`]); only when a deadline that was entered earlier comes up is the link looked at, and then
//! entered again for its true deadline. An idle connection costs an entry of the wheel and nothing else.
//!
//! An entry names a link by its key among [`Links`], and not by a reference: a connection that ends leaves its entries behind, and even a
//! weak one would keep the link's memory until they are due, a minute of comings and goings. A key may be another's by then, which is
//! then looked at once more than it need be.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::link::Link;
use super::links::{LinkKey, Links};
use crate::wheel::Wheel;

/// How often deadlines are looked at, and so how late one may be acted upon.
pub const TICK: Duration = Duration::from_millis(100);

/// The wheel of all links, and the clock they share.
#[derive(Debug)]
pub(super) struct Pacemaker {
    start: Instant,
    wheel: Mutex<Wheel<LinkKey>>,
    /// Links whose client is not read for a while.
    held: Mutex<Wheel<LinkKey>>,
}

impl Pacemaker {
    pub(super) fn new(start: Instant) -> Self {
        let wheel = || Mutex::new(Wheel::new(start, TICK));
        Self { start, wheel: wheel(), held: wheel() }
    }

    /// Milliseconds since the start of the process: what [`Life`] counts in.
    pub(super) fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// Has `link`, which is `key`, looked at when `deadline_ms` comes, in place of whenever it was to be looked at before.
    pub(super) fn watch(&self, key: LinkKey, link: &Link, deadline_ms: u64) {
        link.life.look_ms.store(deadline_ms, Ordering::Relaxed);
        let deadline = self.start + Duration::from_millis(deadline_ms);
        self.wheel.lock().insert(deadline, key);
    }

    /// Has the task of `link`, which is `key`, polled when `until` has come, and its client's silence not counted before.
    pub(super) fn hold(&self, key: LinkKey, link: &Link, until: Instant) {
        link.life.held_ms.store(self.millis(until), Ordering::Relaxed);
        self.held.lock().insert(until, key);
    }

    /// Looks at every link whose deadline has come.
    pub(super) fn tick(&self, now: Instant, links: &Links) {
        let released = self.held.lock().advance(now);
        links.find(&released).iter().for_each(|(_, link)| link.nudge());
        let due = self.wheel.lock().advance(now);
        let now_ms = self.millis(now);
        for (key, link) in links.find(&due) {
            if now_ms < link.life.look_ms.load(Ordering::Relaxed) {
                // An entry that was replaced by a later one, or of a link that had the key before.
                continue;
            }
            if let Some(next_ms) = link.look_after(now_ms) {
                self.watch(key, &link, next_ms);
            }
        }
    }
}

/// When a link was last alive and how long it may be silent; all in milliseconds of [`Pacemaker::millis`].
#[derive(Debug)]
pub(super) struct Life {
    seen_ms: AtomicU64,
    /// `u64::MAX`: as long as it likes.
    silence_max_ms: AtomicU64,
    pinged_ms: AtomicU64,
    /// When the first ping was sent that nothing has followed; `u64::MAX`: something has.
    unanswered_ms: AtomicU64,
    /// Until when nothing of the peer is read, whatever it sends.
    held_ms: AtomicU64,
    /// When the pacemaker looks next.
    look_ms: AtomicU64,
    /// Whether a packet has begun and is not complete.
    is_amid: AtomicBool,
    /// When what proves who the client is ends; `u64::MAX`: never.
    expires_ms: AtomicU64,
    /// Whether the client was told that this comes soon.
    is_warned: AtomicBool,
}

impl Life {
    /// A life that began at `now_ms` and ends after `silence_max` unless something happens.
    pub(super) fn new(now_ms: u64, silence_max: Duration) -> Self {
        Self {
            seen_ms: AtomicU64::new(now_ms),
            silence_max_ms: AtomicU64::new(millis(silence_max)),
            pinged_ms: AtomicU64::new(now_ms),
            unanswered_ms: AtomicU64::new(u64::MAX),
            held_ms: AtomicU64::new(0),
            look_ms: AtomicU64::new(0),
            is_amid: AtomicBool::new(false),
            expires_ms: AtomicU64::new(u64::MAX),
            is_warned: AtomicBool::new(false),
        }
    }

    /// The peer gave a sign of life.
    pub(super) fn touch(&self, now_ms: u64) {
        self.seen_ms.store(now_ms, Ordering::Relaxed);
    }

    /// From now on the peer may be silent this long; `None`: for ever.
    pub(super) fn set_silence_max(&self, now_ms: u64, silence_max: Option<Duration>) {
        self.touch(now_ms);
        self.silence_max_ms.store(silence_max.map_or(u64::MAX, millis), Ordering::Relaxed);
    }

    /// When the silence becomes too long; a packet that was begun must be finished within `packet_max`.
    pub(super) fn deadline_ms(&self, packet_max: Duration) -> u64 {
        let mut silence_max_ms = self.silence_max_ms.load(Ordering::Relaxed);
        if self.is_amid.load(Ordering::Relaxed) {
            silence_max_ms = silence_max_ms.min(millis(packet_max));
        }
        let seen_ms = self.seen_ms.load(Ordering::Relaxed).max(self.held_ms.load(Ordering::Relaxed));
        seen_ms.saturating_add(silence_max_ms)
    }

    /// Notes whether a packet has begun and is not complete.
    pub(super) fn set_amid(&self, is_amid: bool) {
        self.is_amid.store(is_amid, Ordering::Relaxed);
    }

    /// When the next ping is due, if one is sent after each `interval` of silence.
    pub(super) fn ping_due_ms(&self, interval: Duration) -> u64 {
        self.seen_ms
            .load(Ordering::Relaxed)
            .max(self.pinged_ms.load(Ordering::Relaxed))
            .saturating_add(millis(interval))
    }

    /// What proves who the client is ends then.
    pub(super) fn set_expiry(&self, expires_ms: u64) {
        self.is_warned.store(false, Ordering::Relaxed);
        self.expires_ms.store(expires_ms, Ordering::Relaxed);
    }

    /// When what proves who the client is ends, if ever.
    pub(super) fn expires_ms(&self) -> Option<u64> {
        Some(self.expires_ms.load(Ordering::Relaxed)).filter(|&expires_ms| expires_ms != u64::MAX)
    }

    /// When the clock has something to say about that: first to warn, then that it is over.
    pub(super) fn expiry_due_ms(&self, warning: Duration, grace: Duration) -> u64 {
        match self.expires_ms() {
            None => u64::MAX,
            Some(expires_ms) if self.is_warned.load(Ordering::Relaxed) => expires_ms.saturating_add(millis(grace)),
            Some(expires_ms) => expires_ms.saturating_sub(millis(warning)),
        }
    }

    /// Whether it is the first time that this is noted of the present expiry.
    pub(super) fn warn(&self) -> bool {
        !self.is_warned.swap(true, Ordering::Relaxed)
    }

    pub(super) fn pinged(&self, now_ms: u64) {
        self.pinged_ms.store(now_ms, Ordering::Relaxed);
        let _ = self.unanswered_ms.compare_exchange(u64::MAX, now_ms, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Something came from the peer, be it a sign of life for MQTT or not.
    pub(super) fn heard(&self) {
        // Most rounds follow no ping; reading is cheaper than writing what others read.
        if self.unanswered_ms.load(Ordering::Relaxed) != u64::MAX {
            self.unanswered_ms.store(u64::MAX, Ordering::Relaxed);
        }
    }

    /// When pings will have been unanswered for too long, if nothing comes; `u64::MAX`: none is.
    pub(super) fn ping_deadline_ms(&self, timeout: Duration) -> u64 {
        // What answers them is not read while the peer is held back.
        let since_ms = self.unanswered_ms.load(Ordering::Relaxed).max(self.held_ms.load(Ordering::Relaxed));
        since_ms.saturating_add(millis(timeout))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_unanswered_from_the_first_that_nothing_follows() {
        const TIMEOUT: Duration = Duration::from_secs(50);
        let life = Life::new(0, Duration::from_secs(75));
        assert_eq!(life.ping_deadline_ms(TIMEOUT), u64::MAX);
        life.pinged(25_000);
        life.pinged(50_000);
        assert_eq!(life.ping_deadline_ms(TIMEOUT), 75_000);
        life.heard();
        assert_eq!(life.ping_deadline_ms(TIMEOUT), u64::MAX);
        life.pinged(80_000);
        assert_eq!(life.ping_deadline_ms(TIMEOUT), 130_000);
    }

    #[test]
    fn an_expiry_is_warned_of_once_then_due_and_a_later_one_starts_anew() {
        const WARNING: Duration = Duration::from_secs(60);
        const GRACE: Duration = Duration::from_secs(30);
        let life = Life::new(1000, Duration::from_secs(10));
        assert_eq!((life.expires_ms(), life.expiry_due_ms(WARNING, GRACE)), (None, u64::MAX));
        life.set_expiry(100_000);
        assert_eq!(life.expiry_due_ms(WARNING, GRACE), 40_000);
        assert!(life.warn() && !life.warn());
        assert_eq!(life.expiry_due_ms(WARNING, GRACE), 130_000);
        life.set_expiry(400_000);
        assert_eq!((life.expires_ms(), life.expiry_due_ms(WARNING, GRACE)), (Some(400_000), 340_000));
        // A token that lasts no longer than the warning is warned of at once.
        life.set_expiry(1500);
        assert_eq!(life.expiry_due_ms(WARNING, GRACE), 0);
    }
}
