//! Connections to one server behind: taken, given back, kept while idle, never more than so many.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

use super::body::Upload;
use crate::edge::EdgeCounters;
use crate::edge::config::ProxyConfig;
use crate::outgoing::{Connector, OutgoingError, Stream};

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Pool {
    connector: Connector,
    connect_timeout: Duration,
    idle_timeout: Duration,
    idle_max: usize,
    waiting_max: usize,
    /// The one used last is the last.
    idle: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Upload>,
    since: Instant,
}

/// A connection for one exchange.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<Upload>,
    /// Whether it has carried an exchange before, and so may have been closed unseen.
    pub(crate) was_used: bool,
    pool: Arc<Pool>,
    permit: OwnedSemaphorePermit,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLease {
    #[error("too many exchanges are under way")]
    Busy,
    #[error("{0}")]
    Connect(#[from] OutgoingError),
}

/// What a server may write before its answer begins, and how much of its content waits here.
pub(super) const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Fields in the head of an answer.
const HEADERS_MAX: usize = 256;

impl Pool {
    pub(crate) fn new(connector: Connector, config: &ProxyConfig) -> Arc<Self> {
        Arc::new(Self {
            connector,
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
            idle_max: config.idle_connections_max,
            waiting_max: config.waiting_max,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        })
    }

    /// How many exchanges more it could take; the more, the less busy it is.
    pub(crate) fn vacancies(&self) -> usize {
        self.permits.available_permits()
    }

    /// A connection: an idle one, unless a `fresh` one is asked for.
    ///
    /// # Errors
    /// The server cannot be connected to, or there is no room for another exchange in time.
    pub(crate) async fn lease(self: &Arc<Self>, fresh: bool, counters: &EdgeCounters) -> Result<Lease, NoLease> {
        let permit = self.permit().await?;
        let idle = if fresh { None } else { self.take_idle(Instant::now()) };
        let (sender, was_used) = match idle {
            Some(sender) => (sender, true),
            None => (self.open(counters).await?, false),
        };
        Ok(Lease { sender, was_used, pool: Arc::clone(self), permit })
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, NoLease> {
        let permits = Arc::clone(&self.permits);
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = Waiting::enter(&self.waiting, self.waiting_max).ok_or(NoLease::Busy)?;
        let permit = tokio::time::timeout(self.connect_timeout, permits.acquire_owned()).await;
        drop(waiting);
        permit.ok().and_then(Result::ok).ok_or(NoLease::Busy)
    }

    fn take_idle(&self, now: Instant) -> Option<SendRequest<Upload>> {
        let mut idle = self.idle.lock();
        self.prune(&mut idle, now);
        // One that was just given back may still be tidying up.
        let index = idle.iter().rposition(|idle| idle.sender.is_ready())?;
        Some(idle.remove(index).sender)
    }

    fn prune(&self, idle: &mut Vec<Idle>, now: Instant) {
        idle.retain(|idle| !idle.sender.is_closed() && now.saturating_duration_since(idle.since) < self.idle_timeout);
    }

    async fn open(self: &Arc<Self>, counters: &EdgeCounters) -> Result<SendRequest<Upload>, OutgoingError> {
        let stream = self.connector.connect().await?;
        let mut builder = Builder::new();
        builder.max_buf_size(BUFFER_BYTES_MAX).max_headers(HEADERS_MAX);
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| OutgoingError::Cut(std::io::Error::other(error)))?;
        EdgeCounters::add(&counters.proxy_connections_opened);
        tokio::spawn(keep(connection, Arc::downgrade(self), self.idle_timeout));
        Ok(sender)
    }
}

impl Lease {
    /// For another exchange; the last one has come to its end on both sides.
    pub(crate) fn give_back(self) {
        let Self { sender, pool, permit, .. } = self;
        if !sender.is_closed() {
            let now = Instant::now();
            let mut idle = pool.idle.lock();
            if idle.len() >= pool.idle_max {
                pool.prune(&mut idle, now);
            }
            if idle.len() < pool.idle_max {
                idle.push(Idle { sender, since: now });
            }
        }
        drop(permit);
    }

    /// What stands for the exchange as long as it lasts, if the connection becomes something else.
    pub(crate) fn into_permit(self) -> OwnedSemaphorePermit {
        self.permit
    }
}

/// Drives a connection to its end, and looks after the idle ones of its pool meanwhile.
async fn keep(connection: Connection<TokioIo<Stream>, Upload>, pool: Weak<Pool>, idle_timeout: Duration) {
    let mut connection = std::pin::pin!(connection.with_upgrades());
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    debug!(%error, "Connection to a server behind ended");
                }
                return;
            }
            () = tokio::time::sleep(idle_timeout) => {
                if let Some(pool) = pool.upgrade() {
                    pool.prune(&mut pool.idle.lock(), Instant::now());
                }
            }
        }
    }
}

/// A place in a queue, given up on every way out.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    pub(super) fn enter(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) < max {
            return Some(Self(count));
        }
        count.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
