//! Notices when a server's first words have been understood.
//!
//! The library tells nobody that SETTINGS have come. It reads on once it has understood what came before, and that can be seen from below.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::outgoing::Stream;

/// A stream that tells when what it has given was understood.
#[derive(Debug)]
pub(super) struct Greeted {
    stream: Stream,
    greeting: Arc<Greeting>,
    has_given: bool,
    _permit: OwnedSemaphorePermit,
}

/// See [`Greeted`].
#[derive(Debug, Default)]
pub(super) struct Greeting {
    understood: Notify,
    is_over: AtomicBool,
}

impl Greeted {
    pub(super) fn new(stream: Stream, permit: OwnedSemaphorePermit) -> (Self, Arc<Greeting>) {
        let greeting = Arc::new(Greeting::default());
        (Self { stream, greeting: Arc::clone(&greeting), has_given: false, _permit: permit }, greeting)
    }
}

impl Greeting {
    /// Waits until the reader has come back for more.
    pub(super) async fn more(&self) {
        self.understood.notified().await;
    }

    /// Nobody waits any longer.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Greeted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_given) {
            self.greeting.understood.notify_one();
        }
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.has_given = polled.is_ready() && !self.greeting.is_over.load(Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
