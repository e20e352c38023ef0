//! Whether a part of a task has been woken: a connection of the library's, which shares the task with what asks it and hears of it.
//!
//! What one of them hands to the other wakes it. Most of that happens within a turn of the task in which it is polled anyway: without
//! this, every request would cost turns in which nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// What a connection within a task is woken by.
#[derive(Debug)]
pub(crate) struct Turn {
    task: AtomicWaker,
    state: AtomicU8,
}

/// How often a connection that goes on waking itself is polled before others have their turn.
pub(crate) const ROUNDS_MAX: usize = 4;

/// The task is being polled, and will look before it rests.
const UNDER_WAY: u8 = 1;
/// The connection has something to do.
const WOKEN: u8 = 2;

impl Turn {
    /// The connection is to be polled in the first turn.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { task: AtomicWaker::new(), state: AtomicU8::new(WOKEN) })
    }

    /// The task, which `task` wakes, has its turn.
    pub(crate) fn begin(&self, task: &Waker) {
        self.task.register(task);
        self.state.fetch_or(UNDER_WAY, Ordering::AcqRel);
    }

    /// Has the connection be polled in this turn.
    pub(crate) fn call(&self) {
        self.state.fetch_or(WOKEN, Ordering::AcqRel);
    }

    /// Whether the connection is to be polled now.
    pub(crate) fn take_call(&self) -> bool {
        self.state.fetch_and(!WOKEN, Ordering::AcqRel) & WOKEN != 0
    }

    /// The task is about to rest. Whether the connection would be left with something to do.
    pub(crate) fn end(&self) -> bool {
        self.state.fetch_and(!UNDER_WAY, Ordering::AcqRel) & WOKEN != 0
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & UNDER_WAY == 0 {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_task_is_woken_between_its_turns_only() {
        let task = Arc::<Task>::default();
        let (turn, woken) = (Turn::new(), || task.0.load(Ordering::Relaxed));
        let connection = Waker::from(Arc::clone(&turn));
        turn.begin(&Waker::from(Arc::clone(&task)));
        assert!(turn.take_call(), "polled first");
        assert!(!turn.take_call());
        connection.wake_by_ref();
        assert!(turn.take_call());
        assert!(!turn.end());
        assert_eq!(woken(), 0);
        connection.wake_by_ref();
        assert_eq!(woken(), 1);
        turn.begin(&Waker::from(Arc::clone(&task)));
        assert!(turn.take_call());
        turn.call();
        assert!(turn.end(), "it would be left with something to do");
        assert_eq!(woken(), 1);
    }
}
