//! Receivers to whom many publish at once: sent to once for all of them.
//!
//! A publisher's task flushes whom it delivered to at the end of its round: without a wait and without another task, which is what a
//! lone message wants. When hundreds of publishers share a receiver, that is a write for each of their rounds. So a link to which
//! somebody else has just written ([`Link`](super::link::Link) judges) is left to gather what the other tasks that are ready have for
//! it, and is flushed when this thread has run out of them, at most some sixty tasks later.
//!
//! "Just" is a matter of what else there is to do: of a thread that came back from sleep for one message nobody waits, of one that
//! has had many tasks to run since then the next ones are likely to have something for the same receivers.

use std::cell::Cell;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::message::Outlet;

/// Bounded by the number of links, as each waits here once at the most.
type Gathering = Mutex<Vec<Arc<dyn Outlet>>>;

thread_local! {
    /// Shared, as the task that flushes may be taken over by another thread.
    static GATHERING: Arc<Gathering> = Arc::default();
    /// The connection whose task this thread runs; 0: none.
    static RUNNING: Cell<u32> = const { Cell::new(0) };
    /// Polls of connections' tasks since this thread last slept.
    static POLLS: Cell<u32> = const { Cell::new(0) };
}

/// Flushes before others have a turn on this thread.
const FLUSHED_AT_ONCE: usize = 128;

/// Polls in a row from which on a thread is taken to have a backlog.
const CROWD_MIN: u32 = 4;

/// Notes that this thread runs the task of connection `key`.
pub(super) fn enter(key: u32) {
    // Keys begin at 0, which means that none is.
    RUNNING.set(key.wrapping_add(1));
    POLLS.set(POLLS.get().saturating_add(1));
}

/// Notes that it no longer does.
pub(super) fn leave() {
    RUNNING.set(0);
}

/// The connection whose task delivers, as a number that is not its key; 0: it is nobody's.
pub(super) fn running() -> u32 {
    RUNNING.get()
}

/// Whether this thread has had a backlog since it last slept.
pub(super) fn is_crowded() -> bool {
    POLLS.get() >= CROWD_MIN
}

/// To be called when a thread of the runtime has nothing left to do. Without, its backlog seems never to end, which costs lone messages a
/// detour.
pub fn thread_sleeps() {
    POLLS.set(0);
}

/// Flushes `outlet` after the tasks that are ready on this thread have had their turn.
pub(super) fn flush_late(outlet: Arc<dyn Outlet>) {
    GATHERING.with(|gathering| {
        let mut waiting = gathering.lock();
        waiting.push(outlet);
        if waiting.len() == 1 {
            tokio::spawn(flush_all(Arc::clone(gathering)));
        }
    });
}

async fn flush_all(gathering: Arc<Gathering>) {
    // Comes back once the queue of ready tasks is empty, or the runtime has had to look at its sockets in between.
    tokio::task::yield_now().await;
    let waiting = mem::take(&mut *gathering.lock());
    for (index, outlet) in waiting.iter().enumerate() {
        if index > 0 && index % FLUSHED_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
        outlet.flush();
    }
}
