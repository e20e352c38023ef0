//! Connections of HTTP/2 to one server behind, and the streams on them: never more than so many of either.

use std::fmt::Display;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;
use tracing::debug;

use super::super::body::Upload;
use super::super::link::BUFFER_BYTES_MAX;
use super::super::pool::{NoLease, Waiting};
use super::greeting::Greeted;
use crate::edge::EdgeCounters;
use crate::edge::config::ProxyConfig;
use crate::outgoing::{Connector, OutgoingError};

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Pool {
    connector: Connector,
    connect_timeout: Duration,
    idle_timeout: Duration,
    idle_max: usize,
    connections_max: usize,
    /// Held by connections until their last byte, whether they still take streams or not.
    permits: Arc<Semaphore>,
    streams_max: usize,
    waiting_max: usize,
    waiting: AtomicUsize,
    /// Those that take streams. The oldest is the first, and is filled first, so that the others can go when there is less to do.
    open: Mutex<Vec<Arc<Connection>>>,
    /// Connections are opened one at a time: most of those who wait find room on that one.
    opening: tokio::sync::Mutex<()>,
    /// A stream has ended.
    freed: Notify,
}

/// One connection, as those see it who have something to ask.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Upload>,
    streams: AtomicUsize,
    /// What the server takes at a time.
    streams_max: AtomicUsize,
    opens_websockets: AtomicBool,
    was_used: AtomicBool,
    is_retired: AtomicBool,
    idle_since: Mutex<Instant>,
}

/// A place on a connection, given back when the last of its clones goes.
#[derive(Clone, Debug)]
pub(crate) struct Lease(Arc<Stream>);

#[derive(Debug)]
struct Stream {
    connection: Arc<Connection>,
    pool: Arc<Pool>,
    was_used: bool,
}

/// Of each answer, while its client does not take it. A connection has room for that of all its streams, so that a client that stops
/// reading holds up nobody else.
const STREAM_BYTES_MAX: u32 = 128 * 1024;

/// A receiver has to take as much (RFC 9113 §4.2), and a frame is buffered whole.
const FRAME_BYTES_MAX: u32 = 16_384;

impl Pool {
    pub(crate) fn new(connector: Connector, config: &ProxyConfig) -> Arc<Self> {
        Arc::new(Self {
            connector,
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
            idle_max: config.idle_connections_max,
            connections_max: config.connections_max,
            permits: Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS))),
            streams_max: config.streams_max,
            waiting_max: config.waiting_max,
            waiting: AtomicUsize::new(0),
            open: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            freed: Notify::new(),
        })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.connector.upstream().is_tls()
    }

    /// How many exchanges more it could take; the more, the less busy it is.
    pub(crate) fn vacancies(&self) -> usize {
        let used: usize = self.open.lock().iter().map(|connection| connection.streams.load(Ordering::Relaxed)).sum();
        self.connections_max.saturating_mul(self.streams_max).saturating_sub(used)
    }

    /// A place for one exchange.
    ///
    /// # Errors
    /// The server cannot be connected to, does not speak HTTP/2, or there is no room for another exchange in time.
    pub(crate) async fn lease(self: &Arc<Self>, counters: &EdgeCounters) -> Result<Lease, NoLease> {
        if let Some(lease) = self.take() {
            return Ok(lease);
        }
        let _waiting = Waiting::enter(&self.waiting, self.waiting_max()).ok_or(NoLease::Busy)?;
        let deadline = tokio::time::Instant::now() + self.connect_timeout;
        loop {
            let freed = self.freed.notified();
            if let Some(lease) = self.take() {
                return Ok(lease);
            }
            let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
                tokio::select! {
                    biased;
                    () = freed => continue,
                    _ = self.permits.acquire() => continue,
                    () = tokio::time::sleep_until(deadline) => return Err(NoLease::Busy),
                }
            };
            let turn = tokio::select! {
                biased;
                turn = self.opening.lock() => turn,
                () = freed => continue,
                () = tokio::time::sleep_until(deadline) => return Err(OutgoingError::Timeout(self.connect_timeout).into()),
            };
            if let Some(lease) = self.take() {
                return Ok(lease);
            }
            let opened = timeout_at(deadline, self.open(permit, counters)).await;
            opened.unwrap_or(Err(OutgoingError::Timeout(self.connect_timeout)))?;
            drop(turn);
        }
    }

    /// Those who wait for a connection that may still be opened will have room on it, and are not too many.
    fn waiting_max(&self) -> usize {
        let to_come = self.permits.available_permits();
        self.waiting_max.saturating_add(to_come.saturating_mul(self.streams_max))
    }

    /// A place on a connection that is open.
    fn take(self: &Arc<Self>) -> Option<Lease> {
        let mut open = self.open.lock();
        open.retain(|connection| !connection.is_gone());
        let connection = open.iter().find(|connection| connection.has_room(self.streams_max))?;
        connection.streams.fetch_add(1, Ordering::Relaxed);
        let was_used = connection.was_used.swap(true, Ordering::Relaxed);
        Some(Lease(Arc::new(Stream { connection: Arc::clone(connection), pool: Arc::clone(self), was_used })))
    }

    /// Opens a connection, and waits until its server has said what it takes.
    async fn open(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        counters: &EdgeCounters,
    ) -> Result<(), OutgoingError> {
        let stream = self.connector.connect().await?;
        if self.is_tls() && stream.protocol() != Some(b"h2") {
            return Err(no_http2("it has not agreed on it"));
        }
        let (stream, greeting) = Greeted::new(stream, permit);
        let (sender, driver) = self.builder().handshake(TokioIo::new(stream)).await.map_err(no_http2)?;
        let mut driver = Box::pin(driver);
        while driver.current_max_send_streams() == 0 {
            tokio::select! {
                biased;
                ended = &mut driver => return Err(ended.err().map_or_else(|| no_http2("it has closed"), no_http2)),
                () = greeting.more() => {}
            }
        }
        greeting.end();
        let connection = Arc::new(Connection {
            sender,
            streams: AtomicUsize::new(0),
            streams_max: AtomicUsize::new(0),
            opens_websockets: AtomicBool::new(false),
            was_used: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
        });
        connection.learn(&driver);
        EdgeCounters::add(&counters.proxy_connections_opened);
        self.open.lock().push(Arc::clone(&connection));
        tokio::spawn(keep(driver, Arc::downgrade(&connection), Arc::downgrade(self), self.idle_timeout));
        Ok(())
    }

    /// Every default is replaced, or confirmed, on purpose.
    fn builder(&self) -> Builder<TokioExecutor> {
        let streams_max = u32::try_from(self.streams_max).unwrap_or(u32::MAX);
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            // None, until SETTINGS say how many.
            .initial_max_send_streams(0)
            .initial_stream_window_size(STREAM_BYTES_MAX)
            .initial_connection_window_size(STREAM_BYTES_MAX.saturating_mul(streams_max).min(WINDOW_BYTES_MAX))
            .max_frame_size(FRAME_BYTES_MAX)
            .max_header_list_size(u32::try_from(BUFFER_BYTES_MAX).unwrap_or(u32::MAX))
            .max_send_buf_size(BUFFER_BYTES_MAX)
            .keep_alive_interval(None);
        builder
    }

    /// Lets go of those that have been idle for too long, or are too many.
    fn prune(&self, now: Instant) {
        let mut idle_count = 0;
        self.open.lock().retain(|connection| {
            if connection.streams.load(Ordering::Relaxed) > 0 {
                return !connection.is_gone();
            }
            idle_count += 1;
            let idle = now.saturating_duration_since(*connection.idle_since.lock());
            !connection.is_gone() && idle < self.idle_timeout && idle_count <= self.idle_max
        });
    }
}

/// RFC 9113 §6.9.1.
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;

fn no_http2(error: impl Display) -> OutgoingError {
    OutgoingError::Malformed(io::Error::new(io::ErrorKind::InvalidData, format!("not of version 2: {error}")))
}

type Driver = http2::Connection<TokioIo<Greeted>, Upload, TokioExecutor>;

impl Connection {
    fn is_gone(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed) || self.sender.is_closed()
    }

    fn has_room(&self, streams_max: usize) -> bool {
        let streams_max = self.streams_max.load(Ordering::Relaxed).min(streams_max);
        self.streams.load(Ordering::Relaxed) < streams_max
    }

    fn learn(&self, driver: &Driver) {
        self.streams_max.store(driver.current_max_send_streams(), Ordering::Relaxed);
        self.opens_websockets.store(driver.is_extended_connect_protocol_enabled(), Ordering::Relaxed);
    }
}

impl Lease {
    /// Sends `request`; what comes back is the head of its answer.
    pub(super) fn send(
        &self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<> {
        self.0.connection.sender.clone().try_send_request(request)
    }

    /// Whether its connection has carried an exchange before, and so may have been closed unseen.
    pub(super) fn was_used(&self) -> bool {
        self.0.was_used
    }

    /// Whether the server opens WebSockets on streams (RFC 8441 §3).
    pub(super) fn opens_websockets(&self) -> bool {
        self.0.connection.opens_websockets.load(Ordering::Relaxed)
    }

    /// Nothing more is asked on its connection, which ends with the exchanges that are on it.
    pub(super) fn retire(&self) {
        self.0.connection.is_retired.store(true, Ordering::Relaxed);
        self.0.pool.prune(Instant::now());
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.connection.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            let now = Instant::now();
            *self.connection.idle_since.lock() = now;
            self.pool.prune(now);
        }
        self.pool.freed.notify_one();
    }
}

/// Drives a connection to its end, and looks after the idle ones of its pool meanwhile.
async fn keep(mut driver: Pin<Box<Driver>>, connection: Weak<Connection>, pool: Weak<Pool>, idle_timeout: Duration) {
    let mut sleep = std::pin::pin!(tokio::time::sleep(idle_timeout));
    loop {
        let ended = std::future::poll_fn(|cx| {
            let polled = driver.as_mut().poll(cx);
            // Whoever asks wakes the driver, so that no number is older than the last request.
            if polled.is_pending()
                && let Some(connection) = connection.upgrade()
            {
                connection.learn(&driver);
            }
            if polled.is_ready() { polled.map(Some) } else { sleep.as_mut().poll(cx).map(|()| None) }
        });
        match ended.await {
            None => sleep.as_mut().reset(tokio::time::Instant::now() + idle_timeout),
            Some(ended) => {
                if let Err(error) = ended {
                    debug!(%error, "Connection to a server behind ended");
                }
                break;
            }
        }
        if let Some(pool) = pool.upgrade() {
            pool.prune(Instant::now());
        }
    }
    if let Some(pool) = pool.upgrade() {
        pool.prune(Instant::now());
        // Whoever waits for room on it may open another one.
        pool.freed.notify_one();
    }
}
