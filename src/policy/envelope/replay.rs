//! What was seen within the time in which it could be sent again.

use std::collections::BTreeSet;

use super::{EnvelopeFault, Opened};

/// The most that one message lets go of, so that none waits for long. More than one, so that the window shrinks.
const FORGOTTEN_AT_ONCE: usize = 256;

/// Every message that was let through and could still be fresh. What cannot be in here any more is stale, so that nothing is ever taken
/// for unseen because it was forgotten: not when the clock jumps, not when a policy with a longer `max_age` comes, and not across the
/// start of the process.
#[derive(Debug)]
pub struct ReplayWindow {
    /// By timestamp and digest of what was signed.
    seen: BTreeSet<(u64, u128)>,
    /// Of messages with this timestamp or an earlier one, some may have been forgotten.
    forgotten_until_s: Option<u64>,
    messages_max: usize,
}

impl ReplayWindow {
    /// A window for a process that starts at `now_s`, seconds since the epoch, and remembers at most `messages_max`.
    ///
    /// What an earlier process has seen is unknown here, so whatever was stamped before the start is stale.
    #[must_use]
    pub fn new(now_s: u64, messages_max: usize) -> Self {
        Self { seen: BTreeSet::new(), forgotten_until_s: now_s.checked_sub(1), messages_max }
    }

    /// Notes a message that is verified and allowed.
    ///
    /// # Errors
    /// It was noted before, it may have been, or there is no room to note it.
    pub fn admit(&mut self, opened: &Opened, now_s: u64) -> Result<(), EnvelopeFault> {
        self.forget(opened.keep_s, now_s);
        if self.forgotten_until_s.is_some_and(|until_s| opened.timestamp_s <= until_s) {
            return Err(EnvelopeFault::Stale);
        }
        let message = (opened.timestamp_s, opened.digest);
        if self.seen.contains(&message) {
            return Err(EnvelopeFault::Replayed);
        }
        if self.seen.len() >= self.messages_max {
            return Err(EnvelopeFault::WindowFull);
        }
        self.seen.insert(message);
        Ok(())
    }

    /// How many messages are remembered.
    #[must_use]
    pub fn messages_count(&self) -> usize {
        self.seen.len()
    }

    /// Lets go of what is stale under every entry of the policy.
    fn forget(&mut self, keep_s: u64, now_s: u64) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some(&oldest) = self.seen.first() else { return };
            if oldest.0.saturating_add(keep_s) >= now_s {
                return;
            }
            self.seen.pop_first();
            self.forgotten_until_s = self.forgotten_until_s.max(Some(oldest.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(timestamp_s: u64, digest: u128) -> Opened {
        Opened { client_id: "c".to_owned(), payload: String::new(), timestamp_s, keep_s: 60, digest }
    }

    #[test]
    fn nothing_passes_twice() {
        let mut window = ReplayWindow::new(1_000, 10);
        assert_eq!(window.admit(&message(1_000, 1), 1_000), Ok(()));
        assert_eq!(window.admit(&message(1_000, 2), 1_000), Ok(()));
        for now_s in [1_000, 1_060, 1_000] {
            assert_eq!(window.admit(&message(1_000, 1), now_s), Err(EnvelopeFault::Replayed));
        }
        assert_eq!(window.messages_count(), 2);
    }

    #[test]
    fn what_is_forgotten_is_stale_and_never_new() {
        let mut window = ReplayWindow::new(1_000, 10);
        window.admit(&message(1_000, 1), 1_000).unwrap();
        window.admit(&message(1_030, 2), 1_030).unwrap();
        assert_eq!(window.admit(&message(1_061, 3), 1_061), Ok(()));
        assert_eq!(window.messages_count(), 2, "the first is forgotten");
        // Whatever a clock that jumps back, or a longer max_age, makes of it.
        assert_eq!(window.admit(&message(1_000, 1), 1_000), Err(EnvelopeFault::Stale));
        assert_eq!(window.admit(&Opened { keep_s: 86_400, ..message(1_000, 1) }, 1_061), Err(EnvelopeFault::Stale));
        assert_eq!(window.admit(&message(1_030, 2), 1_000), Err(EnvelopeFault::Replayed));
    }

    #[test]
    fn an_earlier_process_may_have_seen_what_is_older() {
        let mut window = ReplayWindow::new(1_000, 10);
        assert_eq!(window.admit(&message(999, 1), 1_000), Err(EnvelopeFault::Stale));
        assert_eq!(window.admit(&message(1_000, 1), 1_000), Ok(()));
        assert_eq!(ReplayWindow::new(0, 1).admit(&message(0, 1), 0), Ok(()));
    }

    #[test]
    fn a_full_window_refuses_the_newest_and_forgets_nothing() {
        let mut window = ReplayWindow::new(1_000, 3);
        for digest in 0..3 {
            window.admit(&message(1_000, digest), 1_000).unwrap();
        }
        assert_eq!(window.admit(&message(1_001, 9), 1_060), Err(EnvelopeFault::WindowFull));
        for digest in 0..3 {
            assert_eq!(window.admit(&message(1_000, digest), 1_060), Err(EnvelopeFault::Replayed));
        }
        assert_eq!(window.admit(&message(1_001, 9), 1_061), Ok(()));
        assert_eq!(window.messages_count(), 1);
    }

    #[test]
    fn a_full_window_gets_room_by_steps() {
        let messages_max = 4 * FORGOTTEN_AT_ONCE;
        let mut window = ReplayWindow::new(0, messages_max);
        for digest in 0..messages_max {
            window.admit(&message(100, digest as u128), 100).unwrap();
        }
        for (step, digest) in (1..=4).zip(10_000..) {
            assert_eq!(window.admit(&message(1_000, digest), 1_000), Ok(()));
            assert_eq!(window.messages_count(), messages_max - step * FORGOTTEN_AT_ONCE + step);
        }
    }
}
