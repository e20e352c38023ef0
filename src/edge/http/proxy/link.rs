//! One connection to a server behind.
//!
//! Nobody drives it but whoever has it: with a task of its own, each request would go from task to task and back, twice. While it is idle
//! it is driven by nobody, and [`Watch`] notices what happens to it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::task::coop::unconstrained;
use tracing::debug;

use super::super::turn::{ROUNDS_MAX, Turn};
use super::body::Upload;
use crate::outgoing::Stream;

/// A connection that carries one exchange after the other.
#[derive(Debug)]
pub(super) struct Link {
    sender: SendRequest<Upload>,
    driver: Driver,
    turn: Arc<Turn>,
    watch: Arc<Watch>,
}

/// Who reads and writes.
#[derive(Debug)]
enum Driver {
    /// Whoever has the link.
    Holder(Box<Connection<TokioIo<Stream>, Upload>>),
    Task,
    /// Nobody: it has ended.
    None,
}

/// What a server may write before its answer begins, and how much of its content waits here.
pub(super) const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Fields in the head of an answer.
const HEADERS_MAX: usize = 256;

impl Link {
    /// A link over `stream`. Once it has ended while idle, `ended` is told.
    pub(super) async fn new(stream: Stream, ended: &Arc<Notify>) -> hyper::Result<Self> {
        let mut builder = Builder::new();
        builder.max_buf_size(BUFFER_BYTES_MAX).max_headers(HEADERS_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let driver = Driver::Holder(Box::new(connection));
        Ok(Self { sender, driver, turn: Turn::new(), watch: Arc::new(Watch::new(ended)) })
    }

    /// Sends a request, and drives the link until it is answered.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
        poll_fn(|cx| {
            self.turn.begin(cx.waker());
            self.poll_behind(cx, |cx| answer.as_mut().poll(cx))
        })
        .await
    }

    /// Polls what comes through the link, and the link itself where that is pending.
    pub(super) fn poll_through<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // To ask for more wakes the link, which is driven at once.
        self.turn.begin(cx.waker());
        match poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.poll_behind(cx, poll),
            ready => {
                self.turn.end();
                ready
            }
        }
    }

    /// Drives the link, whose turn has begun, and then polls what may have come through it.
    fn poll_behind<T>(&mut self, cx: &mut Context<'_>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if matches!(self.driver, Driver::Task) {
            return poll(cx);
        }
        let waker = Waker::from(Arc::clone(&self.turn));
        for _ in 0..ROUNDS_MAX {
            self.turn.take_call();
            self.drive(&mut Context::from_waker(&waker));
            // Nothing comes but by what has just been driven: to be woken by it would be to be polled for nothing.
            let polled = poll(&mut Context::from_waker(Waker::noop()));
            if !self.turn.end() || polled.is_ready() {
                return polled;
            }
            self.turn.begin(cx.waker());
        }
        self.turn.end();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        let Driver::Holder(connection) = &mut self.driver else { return };
        if let Poll::Ready(ended) = Pin::new(connection).poll(cx) {
            if let Err(error) = ended {
                debug!(%error, "Connection to a server behind ended");
            }
            // Whoever waits for something of it hears that by its being dropped.
            self.driver = Driver::None;
        }
    }

    /// Has a task drive the link from now on, to its end, which may be that it speaks another protocol. It will not be idle again.
    pub(super) fn detach(&mut self) {
        if let Driver::Holder(connection) = std::mem::replace(&mut self.driver, Driver::Task) {
            tokio::spawn(async move {
                if let Err(error) = connection.with_upgrades().await {
                    debug!(%error, "Connection to a server behind ended");
                }
            });
        }
    }

    /// Lets go of it after an exchange. Whether it can carry another one.
    pub(super) fn rest(&mut self) -> bool {
        self.watch.has_woken.store(false, Ordering::SeqCst);
        self.is_sound()
    }

    /// Whether it can carry an exchange, as far as is known by now; of what happens later, the watch is told.
    pub(super) fn is_sound(&mut self) -> bool {
        let waker = Waker::from(Arc::clone(&self.watch));
        self.drive(&mut Context::from_waker(&waker));
        matches!(self.driver, Driver::Holder(_)) && self.sender.is_ready()
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Ends it while it is idle as its protocol has it, which takes no waiting.
    pub(super) fn part(self) {
        let Self { sender, driver, .. } = self;
        drop(sender);
        if let Driver::Holder(mut connection) = driver {
            let _ = Pin::new(&mut connection).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// Whether something happens to a connection while it is idle.
#[derive(Debug)]
pub(super) struct Watch {
    is_idle: AtomicBool,
    has_woken: AtomicBool,
    ended: Arc<Notify>,
}

impl Watch {
    fn new(ended: &Arc<Notify>) -> Self {
        Self { is_idle: AtomicBool::new(false), has_woken: AtomicBool::new(false), ended: Arc::clone(ended) }
    }

    /// It is among the idle ones now.
    pub(super) fn begin(&self) {
        self.is_idle.store(true, Ordering::SeqCst);
        // It may have happened before anybody looked.
        if self.has_woken.load(Ordering::SeqCst) {
            self.ended.notify_one();
        }
    }

    pub(super) fn end(&self) {
        self.is_idle.store(false, Ordering::SeqCst);
    }
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_woken.store(true, Ordering::SeqCst);
        if self.is_idle.load(Ordering::SeqCst) {
            self.ended.notify_one();
        }
    }
}
