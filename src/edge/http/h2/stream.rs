//! The stream under the HTTP/2 library: what comes is counted before it is read, and what the peer does not take is noticed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Budget, Frames};
use super::pulse::{Flood, Pulse};
use crate::edge::config::Http2Limits;
use crate::edge::transport::Transport;

/// The stream the library reads and writes.
#[derive(Debug)]
pub(crate) struct FrameStream {
    transport: Transport,
    pulse: Arc<Mutex<Pulse>>,
    frames: Frames,
    control: Budget,
    resets: Budget,
    /// Bytes that were written and have earned nothing yet.
    unpaid: usize,
    /// Whether all that was written were whole frames.
    is_whole: bool,
}

/// A client answers what it reads by frames of its own (WINDOW_UPDATE, PING to measure a line): for so many bytes one is free.
const BYTES_PER_CONTROL: usize = 128;

/// GOAWAY without the last stream's number, ENHANCE_YOUR_CALM (RFC 9113 §6.8, §7).
const GOAWAY_HEAD: [u8; 9] = [0, 0, 8, 7, 0, 0, 0, 0, 0];
const ENHANCE_YOUR_CALM: u32 = 0xB;

impl FrameStream {
    pub(crate) fn new(transport: Transport, pulse: Arc<Mutex<Pulse>>, limits: &Http2Limits, now: Instant) -> Self {
        Self {
            transport,
            pulse,
            frames: Frames::default(),
            control: Budget::new(limits.control_frames_per_s, now),
            resets: Budget::new(limits.resets_per_s, now),
            unpaid: 0,
            is_whole: true,
        }
    }

    fn inspect(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let seen = self.frames.read(bytes);
        let now = Instant::now();
        let flood = if !self.resets.take(now, seen.resets) {
            Some(Flood::Resets)
        } else if !self.control.take(now, seen.control) {
            Some(Flood::Control)
        } else {
            None
        };
        let is_asked = self.frames.stream_max() > 0;
        let mut pulse = self.pulse.lock();
        pulse.heard(now, self.frames.is_amid_head(), is_asked);
        let Some(flood) = flood else { return Ok(()) };
        pulse.flood = Some(flood);
        drop(pulse);
        self.say_goodbye(cx);
        Err(io::Error::new(io::ErrorKind::InvalidData, "more frames than a client has reason to send"))
    }

    /// One attempt: who floods may not read.
    fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        if !self.is_whole {
            return;
        }
        let mut goaway = GOAWAY_HEAD.to_vec();
        goaway.extend(self.frames.stream_max().to_be_bytes());
        goaway.extend(ENHANCE_YOUR_CALM.to_be_bytes());
        let _ = Pin::new(&mut self.transport).poll_write(cx, &goaway);
        let _ = Pin::new(&mut self.transport).poll_flush(cx);
        let _ = Pin::new(&mut self.transport).poll_shutdown(cx);
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        self.pulse.lock().wrote(Instant::now(), written.is_ready());
        if let Poll::Ready(Ok(count)) = written {
            self.is_whole = false;
            self.unpaid += count;
            let earned = self.unpaid / BYTES_PER_CONTROL;
            self.unpaid %= BYTES_PER_CONTROL;
            self.control.earn(u32::try_from(earned).unwrap_or(u32::MAX));
        }
    }
}

impl AsyncRead for FrameStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buf))?;
        let inspected = self.inspect(cx, buf.filled().get(start..).unwrap_or_default());
        if inspected.is_err() {
            buf.set_filled(start);
        }
        Poll::Ready(inspected)
    }
}

impl AsyncWrite for FrameStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write(cx, buf);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    /// The library flushes when it has written whole frames, and only then.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.transport).poll_flush(cx);
        self.pulse.lock().wrote(Instant::now(), flushed.is_ready());
        self.is_whole = flushed.is_ready();
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
