//! The requests of one connection: counted while they are open, and cut when their client stops reading.
//!
//! They run on the connection's own task. With tasks of their own, each answer would be a wake-up and a write for itself; here those that
//! have come by the time of a turn leave in one write.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::time::Sleep;

use super::super::answer::Body;
use super::pulse::Pulse;
use crate::edge::EdgeCounters;

/// Takes what the library has to run for each stream.
#[derive(Clone)]
pub(crate) struct Streams {
    pulse: Arc<Mutex<Pulse>>,
    /// Of the request that the library is about to run: it asks for the answer and runs it at once.
    next: Arc<Mutex<Option<Arc<Pace>>>>,
    /// Begun in this turn of the connection, of which there are no more than it may have open.
    begun: Arc<Mutex<Vec<Running>>>,
    counters: Arc<EdgeCounters>,
}

/// The streams under way.
pub(crate) struct UnderWay {
    begun: Arc<Mutex<Vec<Running>>>,
    running: FuturesUnordered<Running>,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Streams {
    pub(crate) fn new(pulse: Arc<Mutex<Pulse>>, counters: Arc<EdgeCounters>) -> Self {
        Self { pulse, next: Arc::default(), begun: Arc::default(), counters }
    }

    /// A request has come whose answer may make no progress for so long.
    pub(crate) fn begin(&self, patience: Duration) -> Arc<Pace> {
        let pace = Arc::new(Pace { patience, waits_since: Mutex::new(None) });
        *self.next.lock() = Some(Arc::clone(&pace));
        pace
    }

    /// Where those go that are begun.
    pub(crate) fn under_way(&self) -> UnderWay {
        UnderWay { begun: Arc::clone(&self.begun), running: FuturesUnordered::new() }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let open = Open::new(Arc::clone(&self.pulse), Arc::clone(&self.counters));
        let Some(pace) = self.next.lock().take() else {
            // What a WebSocket writes: it is busier than requests, and lives longer.
            tokio::spawn(async move {
                let _open = open;
                stream.await;
            });
            return;
        };
        self.begun.lock().push(Box::pin(async move {
            let mut stream = pin!(stream);
            let mut stall = None;
            // To let go of a stream is to reset it.
            poll_fn(|cx| match stream.as_mut().poll(cx) {
                Poll::Pending => {
                    pace.poll_stalled(&mut stall, cx).map(|()| EdgeCounters::add(&open.counters.http2_streams_stalled))
                }
                ready => ready,
            })
            .await;
        }));
    }
}

impl UnderWay {
    /// Has all that can go on do so.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        self.running.extend(self.begun.lock().drain(..));
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
    }

    /// Whether there are any that have not been polled yet.
    pub(crate) fn have_begun(&self) -> bool {
        !self.begun.lock().is_empty()
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

    /// Ready when the client has had its turn for too long. The timer is made when the client is waited for, which most answers never do.
    fn poll_stalled(&self, stall: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(since) = *self.waits_since.lock() else { return Poll::Pending };
        let until = (since + self.patience).into();
        let sleep = stall.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx)
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
