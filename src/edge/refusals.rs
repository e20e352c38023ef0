//! One line in the log for each refusal, as far as the log bears it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{debug, info};

/// Lets a few lines a second through and says how many it kept back, so that a flood fills neither disk nor log.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    window: Mutex<Option<Window>>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    written: u32,
    withheld: u64,
}

const WINDOW: Duration = Duration::from_secs(1);
const LINES_MAX: u32 = 10;

impl Refusals {
    /// Logs that `peer` was refused for `reason`, at `info` while lines are left in this second, at `debug` beyond.
    pub(crate) fn log(&self, peer: IpAddr, reason: &'static str, detail: &dyn std::fmt::Display) {
        match self.admit(Instant::now()) {
            Some(0) => info!(%peer, reason, %detail, "Connection refused"),
            Some(withheld) => info!(%peer, reason, %detail, withheld, "Connection refused"),
            None => debug!(%peer, reason, %detail, "Connection refused"),
        }
    }

    /// Whether a line may be written, and how many were not since the last one.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock();
        let window = window.get_or_insert(Window { since: now, written: 0, withheld: 0 });
        if now.saturating_duration_since(window.since) >= WINDOW {
            window.since = now;
            window.written = 0;
        }
        if window.written == LINES_MAX {
            window.withheld += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_rather_than_written() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let written = (0..1000).filter(|_| refusals.admit(start).is_some()).count();
        assert_eq!(written, LINES_MAX as usize);
        assert_eq!(refusals.admit(start + WINDOW), Some(990));
        assert_eq!(refusals.admit(start + WINDOW), Some(0));
    }
}
