//! Content on its way through: each piece goes on as it comes, and what is cut stays cut.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Version;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use super::super::exchange::{Timing, UnsoundContent};
use super::super::unread;
use super::h2;
use super::headers;
use super::server::Lease;
use crate::edge::EdgeCounters;

/// The content of a request, as a server behind reads it.
#[derive(Debug, Default)]
pub(crate) struct Upload(Option<Box<Sending>>);

#[derive(Debug)]
struct Sending {
    /// Until it is dropped.
    content: Option<Incoming>,
    /// Bytes it may still have.
    left: u64,
    patience: Patience,
    progress: Arc<Progress>,
    version: Version,
    /// Where trailers can go on as well.
    stream: Option<h2::Lease>,
}

/// How far the content of a request has come, for those who wait for the answer.
#[derive(Debug)]
pub(crate) struct Progress {
    ended: AtomicBool,
    state: Mutex<(Instant, Option<UploadFailure>)>,
}

/// Why the content of a request did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UploadFailure {
    #[error("more content than is taken")]
    TooLarge,
    #[error("the content stopped coming")]
    Late,
    #[error("the client broke off")]
    Cut,
    #[error("content that is not framed as it has to be")]
    Unsound,
}

impl Upload {
    /// `content`, as long as it has no more than `bytes_max` and does not stop for `patience`.
    pub(crate) fn new(
        content: Incoming,
        version: Version,
        bytes_max: u64,
        patience: Duration,
    ) -> (Self, Arc<Progress>) {
        let progress = Arc::new(Progress { ended: AtomicBool::new(false), state: Mutex::new((Instant::now(), None)) });
        let (patience, handle) = (Patience::new(patience), Arc::clone(&progress));
        let sending =
            Sending { content: Some(content), left: bytes_max, patience, progress: handle, version, stream: None };
        (Self(Some(Box::new(sending))), progress)
    }

    /// The same on a stream of HTTP/2, whose place is taken until the content has gone.
    pub(super) fn on_stream(mut self, lease: h2::Lease) -> Self {
        if let Some(sending) = &mut self.0 {
            sending.stream = Some(lease);
        }
        self
    }
}

impl Progress {
    /// Whether all of it has been read.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn failure(&self) -> Option<UploadFailure> {
        self.state.lock().1
    }

    /// When anything came last.
    pub(crate) fn moved(&self) -> Instant {
        self.state.lock().0
    }
}

impl Sending {
    fn is_end_stream(&self) -> bool {
        self.content.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFailure>>> {
        let Some(content) = &mut self.content else { return Poll::Ready(None) };
        loop {
            let Poll::Ready(frame) = Pin::new(&mut *content).poll_frame(cx) else {
                ready!(self.patience.poll(cx));
                return Poll::Ready(Some(Err(UploadFailure::Late)));
            };
            self.patience.renew();
            let frame = match frame {
                None if is_taken_back(content, self.version) => {
                    return Poll::Ready(Some(Err(UploadFailure::Cut)));
                }
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(cause(&error)))),
                Some(Ok(frame)) => frame,
            };
            if let Some(data) = frame.data_ref() {
                let left = self.left.checked_sub(data.len() as u64);
                let Some(left) = left else { return Poll::Ready(Some(Err(UploadFailure::TooLarge))) };
                self.left = left;
                return Poll::Ready(Some(Ok(frame)));
            }
            // To HTTP/1.1 trailers are not passed on.
            if let (Some(_), Ok(trailers)) = (&self.stream, frame.into_trailers()) {
                return Poll::Ready(Some(Ok(Frame::trailers(headers::asked_last(trailers)))));
            }
        }
    }
}

/// The answer may come before the end of the content: the server was not reached, wants no more of it, or has seen enough.
impl Drop for Sending {
    fn drop(&mut self) {
        if self.version != Version::HTTP_2 || self.is_end_stream() {
            return;
        }
        if let (Some(content), Ok(runtime)) = (self.content.take(), Handle::try_current()) {
            runtime.spawn(unread::let_it_end(content, unread::LINGER));
        }
    }
}

/// Whether `content` that is over has no end: the library takes a stream that was reset without an error, or as cancelled, for one that
/// has ended well.
fn is_taken_back(content: &Incoming, version: Version) -> bool {
    version == Version::HTTP_2 && !content.is_end_stream()
}

fn cause(error: &hyper::Error) -> UploadFailure {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<UnsoundContent>()) {
            return UploadFailure::Unsound;
        }
        source = error.source();
    }
    UploadFailure::Cut
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadFailure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadFailure>>> {
        let Some(sending) = &mut self.0 else { return Poll::Ready(None) };
        let polled = ready!(sending.poll(cx));
        let progress = &sending.progress;
        match &polled {
            Some(Ok(_)) => progress.state.lock().0 = Instant::now(),
            Some(Err(failure)) => *progress.state.lock() = (Instant::now(), Some(*failure)),
            None => progress.state.lock().0 = Instant::now(),
        }
        let is_last = matches!(&polled, Some(Ok(frame)) if frame.is_trailers());
        if polled.is_none() || is_last || sending.is_end_stream() {
            progress.ended.store(true, Ordering::Release);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|sending| sending.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let content = self.0.as_ref().and_then(|sending| sending.content.as_ref());
        content.map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// The content of an answer, as the client reads it.
pub(crate) struct Download {
    content: Incoming,
    patience: Patience,
    timing: Arc<Mutex<Timing>>,
    counters: Arc<EdgeCounters>,
    /// Goes back when the content has come to its end.
    lease: Option<Lease>,
    version: Version,
    takes_trailers: bool,
    /// Whether the client knows the content's end by the connection's alone.
    ends_with_connection: bool,
    /// What has cut the content, until it is passed on.
    failure: Option<io::Error>,
}

impl Download {
    pub(crate) fn new(
        (content, version): (Incoming, Version),
        patience: Duration,
        timing: Arc<Mutex<Timing>>,
        counters: Arc<EdgeCounters>,
        lease: Lease,
    ) -> Self {
        Self {
            content,
            patience: Patience::new(patience),
            timing,
            counters,
            lease: Some(lease),
            version,
            takes_trailers: false,
            ends_with_connection: false,
            failure: None,
        }
    }

    /// The same with what comes behind it, for a client that has asked for that and can be given it.
    pub(super) fn with_trailers(mut self) -> Self {
        self.takes_trailers = true;
        self
    }

    /// The same for a client of HTTP/1.0, who knows no chunks.
    pub(super) fn without_chunks(mut self) -> Self {
        self.ends_with_connection = self.content.size_hint().exact().is_none();
        self
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    /// Passes the failure on in the next turn: in this one the library sends what came before, which it would drop otherwise.
    fn cut(&mut self, failure: io::Error, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        EdgeCounters::add(&self.counters.proxy_answers_cut);
        self.lease = None;
        self.failure = Some(failure);
        self.timing.lock().is_cut = self.ends_with_connection;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        loop {
            let content = &mut this.content;
            let poll = |cx: &mut Context<'_>| Pin::new(&mut *content).poll_frame(cx);
            let polled = match &mut this.lease {
                Some(lease) => lease.poll_through(cx, poll),
                None => Poll::Ready(None),
            };
            let Poll::Ready(frame) = polled else {
                // It is the server behind who is waited for, not the client.
                this.timing.lock().hold();
                ready!(this.patience.poll(cx));
                return this.cut(io::ErrorKind::TimedOut.into(), cx);
            };
            this.patience.renew();
            this.timing.lock().resume(Instant::now);
            match frame {
                None if is_taken_back(&this.content, this.version) => {
                    return this.cut(io::ErrorKind::UnexpectedEof.into(), cx);
                }
                None => {
                    this.end();
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    return this.cut(io::Error::other(error), cx);
                }
                Some(Ok(mut frame)) if frame.is_trailers() => {
                    let trailers = frame.trailers_mut().filter(|_| this.takes_trailers).map(std::mem::take);
                    if let Some(mut trailers) = trailers {
                        headers::returned_last(&mut trailers);
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                }
                Some(Ok(frame)) if !frame.is_data() => {}
                Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // Nobody asks for an end that is known.
        if self.content.is_end_stream() {
            self.end();
        }
        self.timing.lock().resume(Instant::now);
    }
}

/// How long nothing may come. The timer is made when something is waited for.
#[derive(Debug)]
struct Patience {
    duration: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    is_running: bool,
}

impl Patience {
    fn new(duration: Duration) -> Self {
        Self { duration, sleep: None, is_running: false }
    }

    fn renew(&mut self) {
        self.is_running = false;
    }

    /// Ready when it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.duration)));
        if !std::mem::replace(&mut self.is_running, true) {
            sleep.as_mut().reset(tokio::time::Instant::now() + self.duration);
        }
        sleep.as_mut().poll(cx)
    }
}
