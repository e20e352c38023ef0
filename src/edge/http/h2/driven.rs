//! The library's connection and the requests on it, which share a task: each is polled for what has woken it, and what they write in one
//! turn goes in one piece.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use super::super::answer::Body;
use super::super::turn::{ROUNDS_MAX, Turn};
use super::stream::{FrameStream, Line};
use super::streams::{Streams, UnderWay};

pub(crate) type Connection<S> = http2::Connection<TokioIo<FrameStream>, S, Streams>;

/// A connection on its way to its end.
pub(crate) struct Driven<'a, S>
where
    S: hyper::service::HttpService<Incoming>,
{
    connection: Pin<&'a mut Connection<S>>,
    requests: UnderWay,
    line: Arc<Mutex<Line>>,
    of_connection: Arc<Turn>,
    of_requests: Arc<Turn>,
}

impl<'a, S> Driven<'a, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(crate) fn new(connection: Pin<&'a mut Connection<S>>, requests: UnderWay, line: Arc<Mutex<Line>>) -> Self {
        Self { connection, requests, line, of_connection: Turn::new(), of_requests: Turn::new() }
    }

    /// Lets whoever has been woken go on. Ready once the connection has ended, and with it the requests.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let library = Waker::from(Arc::clone(&self.of_connection));
        let library = &mut Context::from_waker(&library);
        for _ in 0..ROUNDS_MAX {
            self.of_connection.begin(cx.waker());
            self.of_requests.begin(cx.waker());
            if let Poll::Ready(ended) = self.poll_called(library) {
                return Poll::Ready(ended);
            }
            // By the connection's waker, who is the one to know when there is room again.
            self.line.lock().poll_send(library);
            let (connection_is_left, requests_are_left) = (self.of_connection.end(), self.of_requests.end());
            if !(connection_is_left || requests_are_left) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// First what answers, then what sends the answers; then the requests that it has read.
    fn poll_called(&mut self, library: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        loop {
            if self.of_requests.take_call() {
                let requests = Waker::from(Arc::clone(&self.of_requests));
                self.requests.poll(&mut Context::from_waker(&requests));
            }
            if self.of_connection.take_call()
                && let Poll::Ready(ended) = self.connection.as_mut().poll(library)
            {
                return Poll::Ready(ended);
            }
            if !self.requests.have_begun() {
                return Poll::Pending;
            }
            self.of_requests.call();
        }
    }

    /// Says that no further request will be answered.
    pub(crate) fn leave(&mut self) {
        self.connection.as_mut().graceful_shutdown();
        self.of_connection.call();
    }
}
