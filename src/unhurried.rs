//! Work that gives way to messages: done by a thread that takes what time the others leave it.
//!
//! A policy of many rules keeps a core busy for a while, to be read as much as to be freed, and on few cores that is one that messages
//! wait for. Such a thread has the least share of Linux' normal scheduling, a seventieth of that of one which serves, and not none as one
//! of `SCHED_IDLE` would: on a machine that is busy for good, a policy that takes something away has to get its turn all the same.

use std::io;
use std::thread;

use rustix::process::setpriority_process;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// As nice as a thread can be.
const PRIORITY_LEAST: i32 = 19;

/// Has `work` done, with the runtime at hand, and waits for what comes of it.
///
/// # Errors
/// There is no thread to be had, or the work has panicked.
///
/// # Panics
/// Outside of a Tokio runtime.
pub async fn done<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    let runtime = Handle::current();
    start(move || {
        let _context = runtime.enter();
        // Whoever waited may have gone.
        let _ = done.send(work());
    })?;
    result.await.map_err(|_| io::Error::other("it has panicked"))
}

/// Frees `garbage`. Where there is no thread to be had, that is done here and now.
pub fn free(garbage: impl Send + 'static) {
    let _ = start(move || drop(garbage));
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let unhurried = move || {
        // Of Linux' priorities those of a process are each of one thread (setpriority(2)). Without it, the work is done all the same.
        let _ = setpriority_process(None, PRIORITY_LEAST);
        work();
    };
    thread::Builder::new().name("unhurried".to_owned()).spawn(unhurried).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn who_has_work_done_is_told_what_came_of_it_and_keeps_its_own_priority() {
        let before = getpriority_process(None).unwrap();
        let there = done(|| getpriority_process(None).unwrap()).await.unwrap();
        assert_eq!((there, getpriority_process(None).unwrap()), (PRIORITY_LEAST, before));
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        let error = done(|| panic!("as it was told to")).await.unwrap_err();
        assert_eq!(error.to_string(), "it has panicked");
    }

    #[test]
    fn garbage_is_freed_by_a_thread_that_gives_way() {
        struct Garbage(mpsc::Sender<i32>);
        impl Drop for Garbage {
            fn drop(&mut self) {
                self.0.send(getpriority_process(None).unwrap()).unwrap();
            }
        }
        let (freed, priority) = mpsc::channel();
        free(Garbage(freed));
        assert_eq!(priority.recv(), Ok(PRIORITY_LEAST));
    }
}
