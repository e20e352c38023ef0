//! How a connection of HTTP/2 is doing: what it waits for, and since when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::super::exchange::Patience;

/// What the stream and the tasks of one connection tell the task that drives it.
#[derive(Debug)]
pub(crate) struct Pulse {
    patience: Patience,
    /// The client's preface, the first request, or a head that has begun.
    head_since: Option<Instant>,
    /// The peer takes nothing more.
    blocked_since: Option<Instant>,
    active: Instant,
    streams: usize,
    closing_since: Option<Instant>,
    /// Whether the connection has had an answer, and so belongs to a visitor.
    pub(crate) answered: bool,
    /// Why it was ended, if the peer has asked too much.
    pub(crate) flood: Option<Flood>,
}

/// What there was too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    Control,
    Resets,
}

/// Which time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// For the head of a request.
    Head,
    /// For the peer to read.
    Reading,
    /// For another request; the connection may say goodbye.
    Idle,
    /// For the goodbye.
    Goodbye,
}

/// From the goodbye of a connection without requests to its end.
const GOODBYE: Duration = Duration::from_secs(2);

impl Pulse {
    pub(crate) fn new(patience: Patience, now: Instant) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            patience,
            head_since: Some(now),
            blocked_since: None,
            active: now,
            streams: 0,
            closing_since: None,
            answered: false,
            flood: None,
        }))
    }

    /// Notes that bytes came. Until the first request the time for its head runs on.
    pub(crate) fn heard(&mut self, now: Instant, is_amid_head: bool, is_asked: bool) {
        self.active = now;
        match (is_amid_head || !is_asked, self.head_since) {
            (true, None) => self.head_since = Some(now),
            (true, Some(_)) => {}
            (false, _) => self.head_since = None,
        }
    }

    /// Notes whether the peer took what was written.
    pub(crate) fn wrote(&mut self, now: Instant, is_taken: bool) {
        match is_taken {
            true => (self.blocked_since, self.active) = (None, now),
            false => _ = self.blocked_since.get_or_insert(now),
        }
    }

    pub(crate) fn begin(&mut self) {
        self.streams += 1;
    }

    pub(crate) fn end(&mut self, now: Instant) {
        self.streams = self.streams.saturating_sub(1);
        self.active = now;
    }

    /// The first time that will be up, and which one. `None` while requests are under way: they have deadlines of their own.
    pub(crate) fn deadline(&self) -> Option<(Instant, Overdue)> {
        let idle = (self.streams == 0 && self.closing_since.is_none())
            .then(|| (self.active + self.patience.idle, Overdue::Idle));
        let head = self.head_since.map(|since| (since + self.patience.head, Overdue::Head));
        let reading = self.blocked_since.map(|since| (since + self.patience.idle, Overdue::Reading));
        let goodbye = self.closing_since.map(|since| (since + GOODBYE, Overdue::Goodbye));
        [head, reading, idle, goodbye].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Has the connection end once its goodbye is said.
    pub(crate) fn close(&mut self, now: Instant) {
        self.closing_since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { head: Duration::from_secs(10), idle: Duration::from_secs(60) };

    fn due(pulse: &Pulse, start: Instant) -> Option<(u64, Overdue)> {
        pulse.deadline().map(|(at, overdue)| ((at - start).as_secs(), overdue))
    }

    #[test]
    fn each_wait_has_its_end() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let pulse = Pulse::new(PATIENCE, start);
        let mut pulse = pulse.lock();
        pulse.heard(after(1), true, false);
        pulse.heard(after(2), false, false);
        assert_eq!(due(&pulse, start), Some((10, Overdue::Head)), "nothing was asked yet");
        pulse.heard(after(3), false, true);
        assert_eq!(due(&pulse, start), Some((63, Overdue::Idle)));
        pulse.begin();
        assert_eq!(due(&pulse, start), None, "the request has limits of its own");
        pulse.wrote(after(4), false);
        pulse.wrote(after(5), false);
        assert_eq!(due(&pulse, start), Some((64, Overdue::Reading)));
        pulse.wrote(after(6), true);
        pulse.heard(after(7), true, true);
        assert_eq!(due(&pulse, start), Some((17, Overdue::Head)), "another head has begun");
        pulse.heard(after(8), true, true);
        assert_eq!(due(&pulse, start), Some((17, Overdue::Head)), "and drips");
        pulse.heard(after(9), false, true);
        pulse.end(after(20));
        assert_eq!(due(&pulse, start), Some((80, Overdue::Idle)));
        pulse.close(after(80));
        assert_eq!(due(&pulse, start), Some((82, Overdue::Goodbye)));
    }
}
