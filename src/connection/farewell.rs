//! The goodbye of a stopping server: every client is told when to come back, and not all of them at once.
//!
//! A server that drops ten thousand clients in one moment gets ten thousand TLS handshakes in the next. So the goodbyes are spread over
//! a window, and so is what they say about coming back; both are shorter where there are few.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Connections;
use super::core::Dismissal;
use super::link::Link;
use crate::mqtt::ReasonCode;

/// No client is asked to come back sooner: the server has to be there again.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// Goodbyes need no more time than this for each client, and clients that come back no more than [`RETURN_GAP`].
const GOODBYE_GAP: Duration = Duration::from_millis(1);
const RETURN_GAP: Duration = Duration::from_millis(10);

/// A goodbye under way. Call [`Self::tell`] each [`super::TICK`] until all are gone.
#[derive(Debug)]
pub struct Farewell {
    connections: Connections,
    started: Instant,
    /// Over which the goodbyes are spread.
    window: Duration,
    /// Over which the clients come back.
    return_window: Duration,
    links: Vec<Weak<Link>>,
    told_count: usize,
    /// Whether those who are still on their way in get there first.
    lets_in: bool,
    /// They are told once they are in, or given up.
    on_their_way: Vec<Weak<Link>>,
}

impl Connections {
    /// Begins to say goodbye to every client, within `window_max`.
    ///
    /// Who has not got as far as CONNACK is refused, as there will be nobody; with `lets_in` he gets it and is told then, as another
    /// process serves already and nobody who tries is to be refused.
    #[must_use]
    pub fn begin_farewell(&self, now: Instant, window_max: Duration, lets_in: bool) -> Farewell {
        let links = self.shared.links.close();
        let spread = |gap: Duration| gap.saturating_mul(u32::try_from(links.len()).unwrap_or(u32::MAX)).min(window_max);
        let (window, return_window) = (spread(GOODBYE_GAP), spread(RETURN_GAP));
        Farewell {
            connections: self.clone(),
            started: now,
            window,
            return_window,
            links,
            told_count: 0,
            lets_in,
            on_their_way: Vec::new(),
        }
    }
}

impl Farewell {
    /// Tells those whose turn has come.
    pub fn tell(&mut self, now: Instant) {
        let due_count = due_count(self.links.len(), self.window, now.saturating_duration_since(self.started));
        let mut due = std::mem::take(&mut self.on_their_way);
        due.extend_from_slice(self.links.get(self.told_count..due_count).unwrap_or_default());
        self.told_count = self.told_count.max(due_count);
        // Their handshakes were under way when the server stopped accepting.
        due.append(&mut self.connections.shared.links.take_late());
        for link in due.iter().filter_map(Weak::upgrade) {
            match self.lets_in && link.is_opening() {
                true => self.on_their_way.push(Arc::downgrade(&link)),
                false => link.dismiss(self.goodbye()),
            }
        }
    }

    fn goodbye(&self) -> Dismissal {
        let window_ms = self.return_window.as_millis().max(1);
        let jitter_ms = (self.connections.shared.environment.random)() % window_ms;
        let retry_after = RETRY_AFTER_MIN + Duration::from_millis(u64::try_from(jitter_ms).unwrap_or_default());
        Dismissal { reason: ReasonCode::ServerShuttingDown, retry_after: Some(retry_after), words: None }
    }
}

/// How many of `count` are told after `elapsed`: the first at once, the last at the end of `window`.
fn due_count(count: usize, window: Duration, elapsed: Duration) -> usize {
    if elapsed >= window {
        return count;
    }
    // Less than one of a window that is not zero.
    let share = elapsed.as_secs_f64() / window.as_secs_f64();
    1 + (share * count.saturating_sub(1) as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goodbyes_are_spread_evenly_over_the_window() {
        let due = |count, elapsed_ms| due_count(count, Duration::from_secs(5), Duration::from_millis(elapsed_ms));
        assert_eq!([0, 1000, 2500, 4999, 5000, 60_000].map(|ms| due(1001, ms)), [1, 201, 501, 1000, 1001, 1001]);
        assert_eq!([0, 2500, 5000].map(|ms| due(1, ms)), [1, 1, 1]);
        assert_eq!(due_count(3, Duration::ZERO, Duration::ZERO), 3);
        assert_eq!(due_count(0, Duration::ZERO, Duration::ZERO), 0);
    }
}
