//! How many log lines of one kind are written, so that a flood fills neither disk nor log, and how many are not.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets some lines a second through and tells how many it kept back.
#[derive(Debug)]
pub struct Sampler {
    lines_max: u32,
    window: Mutex<Option<Window>>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    written: u32,
    left_out: u64,
}

const WINDOW: Duration = Duration::from_secs(1);

impl Sampler {
    /// At most `lines_max` lines a second.
    #[must_use]
    pub fn new(lines_max: u32) -> Self {
        Self { lines_max, window: Mutex::new(None) }
    }

    /// Whether a line may be written, and how many were not since the last one: the line has to say so.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock();
        let window = window.get_or_insert(Window { since: now, written: 0, left_out: 0 });
        if now.saturating_duration_since(window.since) >= WINDOW {
            window.since = now;
            window.written = 0;
        }
        if window.written >= self.lines_max {
            window.left_out += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.left_out))
    }

    /// How many lines were left out, if no line has said so for a while: the flood may be over. To be called now and then.
    pub fn settle(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock();
        let window = window.as_mut().filter(|window| window.left_out > 0)?;
        (now.saturating_duration_since(window.since) >= 2 * WINDOW).then(|| std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_rather_than_written() {
        let sampler = Sampler::new(10);
        let start = Instant::now();
        let written = (0..1000).filter(|_| sampler.admit(start).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(sampler.settle(start + WINDOW), None);
        assert_eq!(sampler.admit(start + WINDOW), Some(990));
        assert_eq!(sampler.admit(start + WINDOW), Some(0));
    }

    #[test]
    fn what_was_left_out_is_told_even_if_no_line_follows() {
        let sampler = Sampler::new(1);
        let start = Instant::now();
        (0..5).for_each(|_| _ = sampler.admit(start));
        assert_eq!(sampler.settle(start + 2 * WINDOW), Some(4));
        assert_eq!(sampler.settle(start + 3 * WINDOW), None);
        assert_eq!(sampler.admit(start + 3 * WINDOW), Some(0));
    }
}
