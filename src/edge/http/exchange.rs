//! The stream under the HTTP library: strict about where requests begin and end, and aware of how long everything has taken.
//!
//! ```text
//! library  ⇄  ExchangeStream { framing, timing }  ⇄  Transport
//!                                     ⇅
//!                             the task that drives both, and holds the deadline
//! ```
//! The library knows one timeout, for heads, and closes without a word. Deadlines are therefore kept here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{Found, Framing, is_unescaped};
use super::path::escaped;
use crate::edge::transport::Transport;

/// How long the steps of an HTTP connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a head, from its first byte, the first one from the start of the connection.
    pub(crate) head: Duration,
    /// Between two requests, and for an answer to make progress.
    pub(crate) idle: Duration,
}

/// What the stream tells the task that drives it. Only that task locks it.
#[derive(Debug)]
pub(crate) struct Timing {
    patience: Patience,
    head_since: Option<Instant>,
    active: Instant,
    lingering_since: Option<Instant>,
    expired: bool,
    /// Whether it is not this peer who is waited for.
    held: bool,
    /// Whether the connection has had an answer other than 101, and so belongs to a visitor.
    pub(crate) answered: bool,
    /// Whether what follows the last request must not be taken for another one.
    pub(crate) is_last: bool,
    /// Whether the connection ends by a reset, as nothing else says that an answer was cut.
    pub(crate) is_cut: bool,
}

impl Timing {
    pub(crate) fn new(patience: Patience, now: Instant) -> Arc<Mutex<Self>> {
        let head_since = Some(now);
        Arc::new(Mutex::new(Self {
            patience,
            head_since,
            active: now,
            lingering_since: None,
            expired: false,
            held: false,
            answered: false,
            is_last: false,
            is_cut: false,
        }))
    }

    /// When something has to have happened.
    pub(crate) fn deadline(&self) -> Instant {
        if let Some(since) = self.lingering_since {
            return since + LINGER;
        }
        if self.held {
            return self.active + HELD;
        }
        let idle = self.active + self.patience.idle;
        self.head_since.map_or(idle, |since| idle.min(since + self.patience.head))
    }

    /// Stops the clock while somebody else is waited for, who has deadlines of his own.
    pub(crate) fn hold(&mut self) {
        self.held = true;
        self.answered = true;
    }

    /// Lets the clock run again, from the beginning, which is looked up only if it had stopped.
    pub(crate) fn resume(&mut self, now: impl FnOnce() -> Instant) {
        if std::mem::take(&mut self.held) {
            let now = now();
            self.active = now;
            self.head_since = self.head_since.map(|_| now);
        }
    }

    /// Notes that the deadline has passed. `false` if it had before, and it is time to go without a word.
    pub(crate) fn expire(&mut self) -> bool {
        self.lingering_since.is_none() && !std::mem::replace(&mut self.expired, true)
    }

    /// Whether a deadline has passed.
    pub(crate) fn is_expired(&self) -> bool {
        self.expired
    }

    /// Whether it is a head that is being waited for.
    pub(crate) fn awaits_head(&self) -> bool {
        self.head_since.is_some()
    }
}

/// Looked at again after this time, if nothing has happened before.
const HELD: Duration = Duration::from_secs(24 * 3600);

/// The stream the library reads and writes.
#[derive(Debug)]
pub(crate) struct ExchangeStream {
    transport: Transport,
    timing: Arc<Mutex<Timing>>,
    framing: Framing,
    /// How much of [`UNSOUND`] the library has been given; `None` while all heads are sound.
    unsound: Option<usize>,
    /// What has been read and escaped, and not given to the library yet.
    held: Vec<u8>,
    /// Whether there was a violation in the content of a request.
    broken: bool,
    has_written: bool,
    lingered_bytes: usize,
    shut_down: bool,
}

/// What the library reads in place of the first byte that must not be there. No head with a NUL in it is accepted, and after the empty
/// line it answers at once, whatever the peer sends or does not send.
const UNSOUND: &[u8] = b"\0\r\n\r\n";

const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// After the last answer, how long and how much is read and thrown away: closing a socket with unread bytes in it resets the
/// connection, and the answer may be lost on the way (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

impl ExchangeStream {
    pub(crate) fn new(transport: Transport, timing: Arc<Mutex<Timing>>) -> Self {
        let framing = Framing::default();
        Self {
            transport,
            timing,
            framing,
            unsound: None,
            held: Vec::new(),
            broken: false,
            has_written: false,
            lingered_bytes: 0,
            shut_down: false,
        }
    }

    /// The bare transport, and what was read of it and given to nobody.
    pub(crate) fn into_parts(self) -> (Transport, Vec<u8>) {
        (self.transport, self.held)
    }

    /// Looks through what was read from `start` on, and ends it where it is unsound.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        if self.framing.is_opaque() {
            return;
        }
        let found = self.framing.read(&buf.filled()[start..]);
        match found {
            Found::Sound => {}
            Found::Unescaped(index) => self.hold_escaped(buf, start + index),
            Found::Violation(index) => {
                buf.set_filled(start + index);
                if self.framing.in_content() {
                    self.broken = true;
                } else {
                    self.unsound = Some(0);
                    self.give_unsound(buf);
                }
            }
        }
        let mut timing = self.timing.lock();
        let now = Instant::now();
        timing.head_since = match (self.framing.in_head(), timing.head_since) {
            (true, None) => Some(now),
            (true, since) => since,
            (false, _) => {
                timing.active = now;
                None
            }
        };
    }

    /// Takes back what was read from `at` on, with the rest of the target escaped: that may be longer than there is room for.
    fn hold_escaped(&mut self, buf: &mut ReadBuf<'_>, at: usize) {
        let rest = &buf.filled()[at..];
        let target_len = rest.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n')).unwrap_or(rest.len());
        let (target, behind) = rest.split_at(target_len);
        let mut held = Vec::with_capacity(rest.len() + self.held.len() + 16);
        for &byte in target {
            if is_unescaped(byte) { held.extend(escaped(byte)) } else { held.push(byte) }
        }
        held.extend_from_slice(behind);
        held.append(&mut self.held);
        self.held = held;
        buf.set_filled(at);
    }

    fn give_held(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.held.len().min(buf.remaining());
        buf.put_slice(&self.held[..count]);
        self.held.drain(..count);
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    fn give_unsound(&mut self, buf: &mut ReadBuf<'_>) {
        let Some(given) = self.unsound else { return };
        let more = (UNSOUND.len() - given).min(buf.remaining());
        buf.put_slice(&UNSOUND[given..given + more]);
        self.unsound = Some(given + more);
    }

    /// Says why the connection ends, if nobody has been answered on it yet and somebody had begun to ask.
    fn time_out(&mut self, cx: &mut Context<'_>) {
        if self.framing.in_head() && !std::mem::replace(&mut self.has_written, true) {
            // One attempt: the peer has had its time.
            let _ = Pin::new(&mut self.transport).poll_write(cx, REQUEST_TIMEOUT);
            let _ = Pin::new(&mut self.transport).poll_shutdown(cx);
        }
    }

    fn progress(&mut self) {
        self.has_written = true;
        self.timing.lock().active = Instant::now();
    }
}

fn unsound_content() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, UnsoundContent)
}

/// The content of a request is not framed as it has to be.
#[derive(Debug, thiserror::Error)]
#[error("content that is not framed as it has to be")]
pub(crate) struct UnsoundContent;

impl AsyncRead for ExchangeStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.timing.lock().expired {
            self.time_out(cx);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if self.unsound.is_some() {
            self.give_unsound(buf);
            return Poll::Ready(Ok(()));
        }
        if self.broken {
            return Poll::Ready(Err(unsound_content()));
        }
        let start = buf.filled().len();
        loop {
            if self.held.is_empty() {
                ready!(Pin::new(&mut self.transport).poll_read(cx, buf))?;
            } else {
                self.give_held(buf);
            }
            self.inspect(buf, start);
            // What was taken back at once is given escaped.
            if self.held.is_empty() || buf.filled().len() > start {
                break;
            }
        }
        // Nothing read would be the end of the stream, which ends content well where its length is not known.
        let is_broken = self.broken && buf.filled().len() == start;
        Poll::Ready(if is_broken { Err(unsound_content()) } else { Ok(()) })
    }
}

impl AsyncWrite for ExchangeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.transport).poll_write(cx, buf))?;
        self.progress();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.transport).poll_write_vectored(cx, bufs))?;
        self.progress();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
        if self.timing.lock().is_cut {
            self.transport.reset_at_end();
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our direction, then reads the peer's to its end within bounds.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut_down {
            ready!(Pin::new(&mut self.transport).poll_shutdown(cx))?;
            self.shut_down = true;
            let mut timing = self.timing.lock();
            if timing.expired {
                return Poll::Ready(Ok(()));
            }
            timing.lingering_since = Some(Instant::now());
        }
        let mut scratch = [std::mem::MaybeUninit::uninit(); 4096];
        while self.lingered_bytes < LINGER_BYTES {
            let mut buf = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.lingered_bytes += buf.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
