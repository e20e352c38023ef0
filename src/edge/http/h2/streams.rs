//! The streams of one connection: each on a task of its own, counted while it is open, and cut when its client stops reading.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::rt::Executor;
use parking_lot::Mutex;

use super::super::answer::Body;
use super::pulse::Pulse;
use crate::edge::EdgeCounters;

/// Runs what the library has to run for each stream.
#[derive(Clone)]
pub(crate) struct Streams {
    pulse: Arc<Mutex<Pulse>>,
    /// Of the request that the library is about to run: it asks for the answer and runs it at once.
    next: Arc<Mutex<Option<Arc<Pace>>>>,
    counters: Arc<EdgeCounters>,
}

impl Streams {
    pub(crate) fn new(pulse: Arc<Mutex<Pulse>>, counters: Arc<EdgeCounters>) -> Self {
        Self { pulse, next: Arc::default(), counters }
    }

    /// A request has come whose answer may make no progress for so long.
    pub(crate) fn begin(&self, patience: Duration) -> Arc<Pace> {
        let pace = Arc::new(Pace { patience, waits_since: Mutex::new(None) });
        *self.next.lock() = Some(Arc::clone(&pace));
        pace
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let open = Open::new(Arc::clone(&self.pulse), Arc::clone(&self.counters));
        let Some(pace) = self.next.lock().take() else {
            // What a WebSocket writes.
            tokio::spawn(async move {
                let _open = open;
                stream.await;
            });
            return;
        };
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stream => {}
                // To let go of a stream is to reset it.
                () = pace.stalled() => EdgeCounters::add(&open.counters.http2_streams_stalled),
            }
        });
    }
}

/// Counts a stream while it is open.
struct Open {
    pulse: Arc<Mutex<Pulse>>,
    counters: Arc<EdgeCounters>,
}

impl Open {
    fn new(pulse: Arc<Mutex<Pulse>>, counters: Arc<EdgeCounters>) -> Self {
        pulse.lock().begin();
        let gauge: &AtomicU64 = &counters.http2_streams_open;
        EdgeCounters::add(gauge);
        Self { pulse, counters }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.pulse.lock().end(Instant::now());
        EdgeCounters::subtract(&self.counters.http2_streams_open);
    }
}

/// Whose turn it is in one answer: ours, to say something, or the client's, to have room for it.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Duration,
    /// Since when it is the client's.
    waits_since: Mutex<Option<Instant>>,
}

impl Pace {
    /// `body`, watched.
    pub(crate) fn watch(self: &Arc<Self>, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        // The library asks for room before it asks for content.
        self.set(Some(Instant::now()));
        Paced { body, pace: Arc::clone(self) }.boxed_unsync()
    }

    fn set(&self, waits_since: Option<Instant>) {
        *self.waits_since.lock() = waits_since;
    }

    /// Ready when the client has had its turn for too long.
    async fn stalled(&self) {
        loop {
            let since = *self.waits_since.lock();
            let until = since.unwrap_or_else(Instant::now) + self.patience;
            if since.is_some() && until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

struct Paced {
    body: Body,
    pace: Arc<Pace>,
}

impl hyper::body::Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pace.set(None);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.pace.set(Some(Instant::now()));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
