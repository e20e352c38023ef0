//! Receivers to whom many publish at once: sent to once for all of them.
//!
//! A publisher's task flushes whom it delivered to at the end of its round: without a wait and without another task, which is what a
//! lone message wants. When hundreds of publishers share a receiver, that is a write for each of their rounds. So a link to which
//! somebody else has just written ([`Link`](super::link::Link) judges) is left to gather what the other tasks that are ready have for
//! it, and is flushed when this thread has run out of them, at most some sixty tasks later.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::message::Outlet;

/// Bounded by the number of links, as each waits here once at the most.
type Gathering = Mutex<Vec<Arc<dyn Outlet>>>;

thread_local! {
    /// Shared, as the task that flushes may be taken over by another thread.
    static GATHERING: Arc<Gathering> = Arc::default();
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
    waiting.iter().for_each(|outlet| outlet.flush());
}
