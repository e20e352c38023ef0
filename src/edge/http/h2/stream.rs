//! The stream under the HTTP/2 library: what comes is counted before it is read, and what the peer does not take is noticed.
//!
//! The library flushes behind each frame with content. What it writes in one turn of the connection is gathered here, and goes as one
//! write and one TLS record when whoever drives the connection says so.

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
    line: Arc<Mutex<Line>>,
    pulse: Arc<Mutex<Pulse>>,
    frames: Frames,
    control: Budget,
    resets: Budget,
    /// Bytes that were written and have earned nothing yet.
    unpaid: usize,
    /// Whether all that was written were whole frames.
    is_whole: bool,
}

/// The transport, and what is on its way there. Only the connection's task locks it.
#[derive(Debug)]
pub(crate) struct Line {
    transport: Transport,
    pulse: Arc<Mutex<Pulse>>,
    gathered: Vec<u8>,
    /// How much of what was gathered has gone.
    gone: usize,
    is_unflushed: bool,
    /// What is wrong with the transport, for the library to hear.
    failure: Option<io::Error>,
}

/// As much as one TLS record holds (RFC 8446 §5.1).
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// A client answers what it reads by frames of its own (WINDOW_UPDATE, PING to measure a line): for so many bytes one is free.
const BYTES_PER_CONTROL: usize = 128;

/// GOAWAY without the last stream's number, ENHANCE_YOUR_CALM (RFC 9113 §6.8, §7).
const GOAWAY_HEAD: [u8; 9] = [0, 0, 8, 7, 0, 0, 0, 0, 0];
const ENHANCE_YOUR_CALM: u32 = 0xB;

impl FrameStream {
    pub(crate) fn new(transport: Transport, pulse: Arc<Mutex<Pulse>>, limits: &Http2Limits, now: Instant) -> Self {
        let line = Line {
            transport,
            pulse: Arc::clone(&pulse),
            gathered: Vec::new(),
            gone: 0,
            is_unflushed: false,
            failure: None,
        };
        Self {
            line: Arc::new(Mutex::new(line)),
            pulse,
            frames: Frames::default(),
            control: Budget::new(limits.control_frames_per_s, now),
            resets: Budget::new(limits.resets_per_s, now),
            unpaid: 0,
            is_whole: true,
        }
    }

    /// What is to be asked to send after each turn.
    pub(crate) fn line(&self) -> Arc<Mutex<Line>> {
        Arc::clone(&self.line)
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
        let mut line = self.line.lock();
        line.gathered.extend(goaway);
        let _ = line.poll_flush(cx);
        let _ = Pin::new(&mut line.transport).poll_shutdown(cx);
    }
}

impl Line {
    /// Sends what was gathered. If it cannot, the library hears that in the next turn, which comes at once.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            self.failure = Some(error);
            cx.waker().wake_by_ref();
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        if std::mem::take(&mut self.is_unflushed) {
            let flushed = Pin::new(&mut self.transport).poll_flush(cx);
            self.is_unflushed = flushed.is_pending();
            self.pulse.lock().wrote(Instant::now(), flushed.is_ready());
            return flushed;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once the transport has taken all that was gathered.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.gathered.get(self.gone..) {
            let written = Pin::new(&mut self.transport).poll_write(cx, rest);
            let count = ready!(self.wrote(written))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gone += count;
        }
        // Given back, as most connections are quiet most of the time.
        (self.gathered, self.gone) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    fn poll_gather(&mut self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.heard_failure()?;
        let count = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if self.gathered.len() + count > GATHERED_BYTES_MAX {
            ready!(self.poll_empty(cx))?;
            if count > GATHERED_BYTES_MAX {
                let written = Pin::new(&mut self.transport).poll_write_vectored(cx, slices);
                return self.wrote(written);
            }
        }
        self.gathered.reserve(count);
        slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
        Poll::Ready(Ok(count))
    }

    /// Notes whether the peer has taken something.
    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.is_unflushed = true;
        self.pulse.lock().wrote(Instant::now(), written.is_ready());
        written
    }

    fn heard_failure(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl AsyncRead for FrameStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        let mut line = self.line.lock();
        line.heard_failure()?;
        ready!(Pin::new(&mut line.transport).poll_read(cx, buf))?;
        drop(line);
        let inspected = self.inspect(cx, buf.filled().get(start..).unwrap_or_default());
        if inspected.is_err() {
            buf.set_filled(start);
        }
        Poll::Ready(inspected)
    }
}

impl AsyncWrite for FrameStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.line.lock().poll_gather(cx, bufs);
        if let Poll::Ready(Ok(count)) = written {
            self.is_whole = false;
            self.unpaid += count;
            let earned = self.unpaid / BYTES_PER_CONTROL;
            self.unpaid %= BYTES_PER_CONTROL;
            self.control.earn(u32::try_from(earned).unwrap_or(u32::MAX));
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The library flushes when it has written whole frames, and only then. They go at the end of the turn.
    fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_whole = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = self.line.lock();
        ready!(line.poll_flush(cx))?;
        Pin::new(&mut line.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::super::super::exchange::Patience;
    use super::*;

    async fn pair() -> (FrameStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let patience = Patience { head: Duration::from_secs(10), idle: Duration::from_secs(60) };
        let (now, transport) = (Instant::now(), Transport::Plain(accepted.expect("it connects").0));
        let stream = FrameStream::new(transport, Pulse::new(patience, now), &Http2Limits::default(), now);
        (stream, peer.expect("it connects"))
    }

    async fn write(stream: &mut FrameStream, bytes: &[u8]) -> usize {
        let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await.expect("it is taken");
        poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await.expect("it is flushed");
        written
    }

    async fn end_turn(stream: &FrameStream) {
        poll_fn(|cx| {
            stream.line().lock().poll_send(cx);
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_written_in_a_turn_goes_at_its_end() {
        let (mut stream, mut peer) = pair().await;
        assert_eq!(write(&mut stream, b"one ").await, 4);
        assert_eq!(write(&mut stream, b"two").await, 3);
        assert_eq!(stream.line().lock().gathered, b"one two");
        end_turn(&stream).await;
        let mut received = [0; 7];
        peer.read_exact(&mut received).await.expect("it comes");
        assert_eq!(&received, b"one two");
        assert_eq!(stream.line().lock().gathered.capacity(), 0, "given back");
    }

    #[tokio::test]
    async fn what_does_not_fit_goes_behind_what_was_gathered() {
        let (mut stream, mut peer) = pair().await;
        let large = vec![b'x'; GATHERED_BYTES_MAX + 1];
        write(&mut stream, b"first").await;
        let written = write(&mut stream, &large).await;
        assert!(stream.line().lock().gathered.is_empty(), "neither is held back");
        let mut received = vec![0; 5 + written];
        peer.read_exact(&mut received).await.expect("it comes");
        assert!(received.starts_with(b"firstx"));
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_heard_of_in_the_next_turn() {
        let (mut stream, peer) = pair().await;
        socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("it is set");
        drop(peer);
        poll_fn(|cx| match &stream.line().lock().transport {
            Transport::Plain(tcp) => tcp.poll_read_ready(cx),
            Transport::Tls(_) => unreachable!("it is plain"),
        })
        .await
        .expect("the reset is noticed");
        write(&mut stream, b"into the void").await;
        end_turn(&stream).await;
        let mut buffer = [0; 1];
        let mut buffer = ReadBuf::new(&mut buffer);
        let read = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buffer)).await;
        let kind = read.expect_err("it is not the peer's end").kind();
        assert!(matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{kind}");
    }
}
