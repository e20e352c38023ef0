//! Connections to one server behind: taken, given back, kept while idle, never more than so many.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::body::Upload;
use super::link::Link;
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
    waiting_max: usize,
    /// The one used last is the last.
    idle: Mutex<Vec<Idle>>,
    /// One of the idle ones has ended, or the pool.
    ended: Arc<Notify>,
    is_looked_after: AtomicBool,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

/// A connection for one exchange.
#[derive(Debug)]
pub(crate) struct Lease {
    link: Link,
    /// Whether it has carried an exchange before, and so may have been closed unseen.
    pub(crate) was_used: bool,
    pool: Arc<Pool>,
    permit: OwnedSemaphorePermit,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Exchange,
    /// One that must not be lost because the connection has ended unseen.
    FreshExchange,
    /// A handshake, after which it may be a tunnel.
    Tunnel,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLease {
    #[error("too many exchanges are under way")]
    Busy,
    #[error("{0}")]
    Connect(#[from] OutgoingError),
}

impl Pool {
    pub(crate) fn new(connector: Connector, config: &ProxyConfig) -> Arc<Self> {
        Arc::new(Self {
            connector,
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
            idle_max: config.idle_connections_max,
            waiting_max: config.waiting_max,
            idle: Mutex::default(),
            ended: Arc::default(),
            is_looked_after: AtomicBool::new(false),
            permits: Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        })
    }

    /// How many exchanges more it could take; the more, the less busy it is.
    pub(crate) fn vacancies(&self) -> usize {
        self.permits.available_permits()
    }

    /// A connection: an idle one where that will do for the `purpose`.
    ///
    /// # Errors
    /// The server cannot be connected to, or there is no room for another exchange in time.
    pub(crate) async fn lease(self: &Arc<Self>, purpose: Purpose, counters: &EdgeCounters) -> Result<Lease, NoLease> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => Box::pin(self.permit()).await?,
        };
        let idle = if purpose == Purpose::Exchange { self.take_idle(Instant::now()) } else { None };
        let was_used = idle.is_some();
        let mut link = match idle {
            Some(link) => link,
            // Boxed: few need it, and every request would be as large.
            None => Box::pin(self.open(counters)).await?,
        };
        if purpose == Purpose::Tunnel {
            link.detach();
        }
        Ok(Lease { link, was_used, pool: Arc::clone(self), permit })
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, NoLease> {
        let waiting = Waiting::enter(&self.waiting, self.waiting_max).ok_or(NoLease::Busy)?;
        let permit = tokio::time::timeout(self.connect_timeout, Arc::clone(&self.permits).acquire_owned()).await;
        drop(waiting);
        permit.ok().and_then(Result::ok).ok_or(NoLease::Busy)
    }

    fn take_idle(&self, now: Instant) -> Option<Link> {
        let Idle { link, since } = self.idle.lock().pop()?;
        link.watch().end();
        if now.saturating_duration_since(since) < self.idle_timeout {
            return Some(link);
        }
        // So are the others.
        link.part();
        self.ended.notify_one();
        None
    }

    /// Parts with idle ones that have ended or are too old. When the next one will be too old.
    fn prune(&self, now: Instant) -> Instant {
        let mut idle = self.idle.lock();
        let is_old = |idle: &Idle| now.saturating_duration_since(idle.since) >= self.idle_timeout;
        let pruned: Vec<_> = idle.extract_if(.., |idle| is_old(idle) || !idle.link.is_sound()).collect();
        let oldest = idle.first().map_or(now, |idle| idle.since);
        drop(idle);
        pruned.into_iter().for_each(|idle| idle.link.part());
        oldest + self.idle_timeout
    }

    async fn open(self: &Arc<Self>, counters: &EdgeCounters) -> Result<Link, OutgoingError> {
        let stream = self.connector.connect().await?;
        let link = Link::new(stream, &self.ended).await;
        let link = link.map_err(|error| OutgoingError::Cut(std::io::Error::other(error)))?;
        EdgeCounters::add(&counters.proxy_connections_opened);
        if !self.is_looked_after.swap(true, Ordering::Relaxed) {
            tokio::spawn(look_after(Arc::downgrade(self), Arc::clone(&self.ended), self.idle_timeout));
        }
        Ok(link)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.ended.notify_one();
        self.idle.get_mut().drain(..).for_each(|idle| idle.link.part());
    }
}

/// Looks after the idle connections of a pool as long as there is one.
async fn look_after(pool: Weak<Pool>, ended: Arc<Notify>, idle_timeout: Duration) {
    let mut next = Instant::now() + idle_timeout;
    loop {
        let _ = tokio::time::timeout_at(next.into(), ended.notified()).await;
        let Some(pool) = pool.upgrade() else { return };
        next = pool.prune(Instant::now());
    }
}

impl Lease {
    /// Sends a request, and comes back with the answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        self.link.send(request).await
    }

    /// Polls what comes through the connection, and has that go on where it is pending.
    pub(crate) fn poll_through<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.link.poll_through(cx, poll)
    }

    /// Has the connection go on whether or not anybody reads what comes through it.
    pub(crate) fn detach(&mut self) {
        self.link.detach();
    }

    /// For another exchange; the last one has come to its end on both sides.
    pub(crate) fn give_back(self) {
        let Self { mut link, pool, permit, .. } = self;
        if link.rest() {
            let mut idle = pool.idle.lock();
            if idle.len() < pool.idle_max {
                link.watch().begin();
                idle.push(Idle { link, since: Instant::now() });
            } else {
                drop(idle);
                link.part();
            }
        }
        drop(permit);
    }

    /// What stands for the exchange as long as it lasts, if the connection becomes something else.
    pub(crate) fn into_permit(self) -> OwnedSemaphorePermit {
        self.permit
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
