//! A connection that two others talk over: bytes in, the same bytes out, both ways, until one of them is done.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use super::super::exchange::ExchangeStream;
use super::server::Place;
use crate::edge::transport::Transport;
use crate::edge::{Drain, EdgeCounters};
use crate::outgoing::Stream;

/// Two connections that have both switched to another protocol, or are about to.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
    /// How long neither may say anything.
    pub(crate) idle_timeout: Duration,
    pub(crate) counters: Arc<EdgeCounters>,
    pub(crate) _place: Place,
}

/// In each direction; a reader slower than the writer holds it up beyond that.
const BUFFER_BYTES: usize = 16 * 1024;

/// Once one side has said its last, for the other one to say its own.
const PARTING: Duration = Duration::from_secs(10);

/// After this long without a byte the system asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

impl Tunnel {
    /// Carries bytes until one side is done and the other one had its chance to answer, or nothing is said for too long, or `draining`
    /// says so.
    pub(crate) async fn run(mut self, draining: watch::Receiver<Drain>) {
        let Ok((client, upstream)) = tokio::try_join!(&mut self.client, &mut self.upstream) else { return };
        match upstream.downcast::<TokioIo<Stream>>() {
            Ok(Parts { io, read_buf, .. }) => self.meet(client, io.into_inner(), &read_buf, draining).await,
            // A stream of HTTP/2.
            Err(upstream) => self.meet(client, TokioIo::new(upstream), &[], draining).await,
        }
    }

    async fn meet<B>(&self, client: Upgraded, upstream: B, from_upstream: &[u8], draining: watch::Receiver<Drain>)
    where
        B: AsyncRead + AsyncWrite + Unpin,
    {
        match client.downcast::<TokioIo<ExchangeStream>>() {
            Ok(Parts { io: client, read_buf: from_client, .. }) => {
                let (client, held) = client.into_inner().into_parts();
                let from_client = [&from_client[..], &held].concat();
                if let Transport::Plain(tcp) = &client {
                    keep_alive(tcp);
                }
                if let Transport::Tls(tls) = &client {
                    keep_alive(tls.get_ref().0);
                }
                self.carry(client, upstream, Pump::new(&from_client, from_upstream), draining).await;
            }
            // A stream of HTTP/2, whose connection is asked after.
            Err(client) => {
                let pump = Pump::new(&[], from_upstream);
                self.carry(TokioIo::new(client), upstream, pump, draining).await;
            }
        }
    }

    async fn carry<A, B>(&self, mut client: A, mut upstream: B, mut pump: Pump, mut draining: watch::Receiver<Drain>)
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let _open = Open::new(&self.counters);
        let deadline = tokio::time::sleep(self.idle_timeout);
        let mut deadline = std::pin::pin!(deadline);
        let ended = std::future::poll_fn(|cx| {
            let polled = pump.poll(cx, &mut client, &mut upstream);
            if std::mem::take(&mut pump.moved) && !pump.is_parting() {
                deadline.as_mut().reset(Instant::now() + self.idle_timeout);
            }
            if pump.is_parting() && deadline.deadline() > Instant::now() + PARTING {
                deadline.as_mut().reset(Instant::now() + PARTING);
            }
            match polled {
                Poll::Pending => deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
                ended => ended,
            }
        });
        tokio::select! {
            biased;
            _ = draining.wait_for(Drain::is_on) => {}
            ended = ended => {
                if let Err(error) = &ended {
                    debug!(%error, "Tunnel ended");
                    if error.kind() == io::ErrorKind::TimedOut {
                        EdgeCounters::add(&self.counters.proxy_tunnels_timed_out);
                    }
                }
            }
        }
    }
}

/// Counts a tunnel while it is open.
struct Open<'a>(&'a EdgeCounters);

impl<'a> Open<'a> {
    fn new(counters: &'a EdgeCounters) -> Self {
        EdgeCounters::add(&counters.proxy_tunnels);
        EdgeCounters::add(&counters.proxy_tunnels_open);
        Self(counters)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        EdgeCounters::subtract(&self.0.proxy_tunnels_open);
    }
}

fn keep_alive(tcp: &TcpStream) {
    // It finds those that are gone earlier than the idle timeout does; without it they are found later.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&keepalive);
}

/// Both directions.
struct Pump {
    there: Direction,
    back: Direction,
    /// Whether any byte has moved since this was last looked at.
    moved: bool,
}

impl Pump {
    /// With what was read of each side beyond its head.
    fn new(from_client: &[u8], from_upstream: &[u8]) -> Self {
        Self { there: Direction::new(from_client), back: Direction::new(from_upstream), moved: false }
    }

    fn is_parting(&self) -> bool {
        self.there.has_ended || self.back.has_ended
    }

    fn poll<A, B>(&mut self, cx: &mut Context<'_>, client: &mut A, upstream: &mut B) -> Poll<io::Result<()>>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let there = self.there.poll(cx, client, upstream, &mut self.moved)?;
        let back = self.back.poll(cx, upstream, client, &mut self.moved)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// What one side says, on its way to the other.
struct Direction {
    buffer: Vec<u8>,
    written: usize,
    /// Nothing more comes.
    has_ended: bool,
    /// And that has been passed on.
    is_shut: bool,
    needs_flush: bool,
}

impl Direction {
    fn new(early: &[u8]) -> Self {
        Self { buffer: early.to_vec(), written: 0, has_ended: false, is_shut: false, needs_flush: false }
    }

    /// Ready when all has been passed on, the end included.
    fn poll<A, B>(&mut self, cx: &mut Context<'_>, from: &mut A, to: &mut B, moved: &mut bool) -> Poll<io::Result<()>>
    where
        A: AsyncRead + Unpin,
        B: AsyncWrite + Unpin,
    {
        loop {
            while self.written < self.buffer.len() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer[self.written..]))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += count;
                self.needs_flush = true;
                *moved = true;
            }
            if self.has_ended {
                if !self.is_shut {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.is_shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            let polled = self.fill(cx, from);
            if polled.is_pending() && self.needs_flush {
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                self.needs_flush = false;
            }
            ready!(polled)?;
            *moved = true;
        }
    }

    fn fill<A: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, from: &mut A) -> Poll<io::Result<()>> {
        self.buffer.resize(BUFFER_BYTES, 0);
        let mut buffer = ReadBuf::new(&mut self.buffer);
        let polled = Pin::new(from).poll_read(cx, &mut buffer);
        let count = if polled.is_ready() { buffer.filled().len() } else { 0 };
        self.buffer.truncate(count);
        self.written = 0;
        if polled.is_pending() {
            // Those who say nothing cost nothing.
            self.buffer = Vec::new();
        }
        self.has_ended = matches!(polled, Poll::Ready(Ok(()))) && count == 0;
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn carry(early: &'static [u8]) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<io::Result<()>>) {
        let (client, mut near) = duplex(64);
        let (upstream, mut far) = duplex(64);
        let task = tokio::spawn(async move {
            let mut pump = Pump::new(early, b"");
            std::future::poll_fn(|cx| pump.poll(cx, &mut near, &mut far)).await
        });
        (client, upstream, task)
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_so_does_the_end() {
        let (mut client, mut upstream, task) = carry(b"early ");
        client.write_all(b"there").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        upstream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "early there");
        assert!(!task.is_finished(), "the other direction is open");
        upstream.write_all(b"back").await.unwrap();
        upstream.shutdown().await.unwrap();
        heard.clear();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "back");
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn more_than_every_buffer_holds_comes_whole() {
        let (mut client, mut upstream, task) = carry(b"");
        let sent: Vec<u8> = (0..200_000u32).map(|index| (index % 251) as u8).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            client
        });
        let mut heard = Vec::new();
        upstream.read_to_end(&mut heard).await.unwrap();
        assert!(heard == expected);
        drop((writer.await.unwrap(), upstream));
        drop(task.await);
    }
}
