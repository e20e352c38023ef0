//! One server behind: what it takes to reach it, and what is known of it.
//!
//! A reload builds every route anew. Servers that are reached as before are kept: with the connections that are open to them, idle or
//! not, with all that counts against their limits, and with what failed of late.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::header::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::h2;
use super::health::Health;
use super::pool::{self, Pool};
use crate::edge::config::{HttpVersion, ProxyConfig, ServerAddress};
use crate::outgoing::{Connector, Trust, Upstream};

/// A server and the connections to it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) link: Link,
    /// What names it in our own log.
    pub(super) name: String,
    pub(super) host: HeaderValue,
    pub(super) health: Mutex<Health>,
    reach: Reach,
}

/// How a server is spoken to.
#[derive(Debug)]
pub(crate) enum Link {
    Http1(Arc<Pool>),
    Http2(Arc<h2::Pool>),
}

/// What an exchange holds of a server's connections.
#[derive(Debug)]
pub(crate) enum Lease {
    Http1(pool::Lease),
    Http2(h2::Lease),
}

/// What stands for an exchange that has become something else.
#[derive(Debug)]
pub(crate) enum Place {
    Http1 { _permit: OwnedSemaphorePermit },
    Http2 { _lease: h2::Lease },
}

/// All that connections to a server depend on.
#[derive(Debug, PartialEq)]
struct Reach {
    upstream: Upstream,
    version: HttpVersion,
    trust: Option<Trust>,
    /// Without what is about single requests.
    config: ProxyConfig,
}

/// Servers of the routes before, to be taken over by those to come, each by one.
#[derive(Debug, Default)]
pub(crate) struct Kept(RefCell<Vec<Arc<Server>>>);

impl Kept {
    pub(crate) fn new(servers: impl IntoIterator<Item = Arc<Server>>) -> Self {
        Self(RefCell::new(servers.into_iter().collect()))
    }

    /// The server that is reached so: the one that was there, or else a new one.
    pub(super) fn server(
        &self,
        address: &ServerAddress,
        host: HeaderValue,
        trust: Option<&Trust>,
        config: &ProxyConfig,
    ) -> Arc<Server> {
        let upstream = address.url.upstream();
        let (version, trust) = (address.version, trust.filter(|_| upstream.is_tls()).cloned());
        let reach = Reach { upstream: upstream.clone(), version, trust: trust.clone(), config: of_connections(config) };
        let mut kept = self.0.borrow_mut();
        // In their order: where nothing has changed, each route finds its own.
        if let Some(index) = kept.iter().position(|server| server.reach == reach && server.host == host) {
            return kept.remove(index);
        }
        let connector = Connector::new(upstream.clone(), trust, config.connect_timeout);
        let link = match version {
            HttpVersion::Http11 => Link::Http1(Pool::new(connector, config)),
            HttpVersion::Http2 => Link::Http2(h2::Pool::new(connector, config)),
        };
        Arc::new(Server { link, name: address.to_string(), host, health: Mutex::default(), reach })
    }
}

impl Link {
    /// How many exchanges more it could take; the more, the less busy it is.
    pub(super) fn vacancies(&self) -> usize {
        match self {
            Self::Http1(pool) => pool.vacancies(),
            Self::Http2(pool) => pool.vacancies(),
        }
    }
}

impl Lease {
    /// Polls what comes through the connection, and has that go on where it is pending.
    pub(super) fn poll_through<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        match self {
            Self::Http1(lease) => lease.poll_through(cx, poll),
            // A task of its own drives it: others have streams on it as well.
            Self::Http2(_) => poll(cx),
        }
    }

    /// Has the connection go on whether or not anybody reads what comes through it.
    pub(super) fn detach(&mut self) {
        if let Self::Http1(lease) = self {
            lease.detach();
        }
    }

    /// The exchange has come to its end on both sides.
    pub(super) fn give_back(self) {
        if let Self::Http1(lease) = self {
            lease.give_back();
        }
    }

    pub(super) fn into_place(self) -> Place {
        match self {
            Self::Http1(lease) => Place::Http1 { _permit: lease.into_permit() },
            Self::Http2(lease) => Place::Http2 { _lease: lease },
        }
    }
}

/// What of `config` is about connections. What is not named here is taken to be.
fn of_connections(config: &ProxyConfig) -> ProxyConfig {
    let any = ProxyConfig::default();
    ProxyConfig {
        to: Vec::new(),
        // The authorities themselves are compared.
        ca: None,
        host: any.host,
        balance: any.balance,
        response_timeout: any.response_timeout,
        body_timeout: any.body_timeout,
        body_bytes_max: any.body_bytes_max,
        tunnel_timeout: any.tunnel_timeout,
        fails_max: any.fails_max,
        out_time: any.out_time,
        ..config.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn server(kept: &Kept, port: u16, config: &ProxyConfig) -> Arc<Server> {
        let address = ServerAddress::parse(&format!("http://behind:{port}")).expect("a server");
        kept.server(&address, HeaderValue::from_static("behind"), None, config)
    }

    #[test]
    fn a_server_reached_as_before_is_the_same_one() {
        let config = ProxyConfig::default();
        let none = Kept::default();
        let (one, other) = (server(&none, 1, &config), server(&none, 1, &config));
        assert!(!Arc::ptr_eq(&one, &other), "each route has its own limits");
        let kept = Kept::new([Arc::clone(&one), Arc::clone(&other)]);
        let patient = ProxyConfig { response_timeout: Duration::from_secs(1), fails_max: 9, ..config.clone() };
        assert!(Arc::ptr_eq(&server(&kept, 1, &patient), &one), "what is about requests is asked anew each time");
        assert!(Arc::ptr_eq(&server(&kept, 1, &config), &other));
        assert!(!Arc::ptr_eq(&server(&kept, 1, &config), &other), "it has been taken");
    }

    #[test]
    fn a_server_reached_otherwise_is_another_one() {
        let config = ProxyConfig::default();
        let one = server(&Kept::default(), 1, &config);
        let is_kept =
            |port, config: &ProxyConfig| Arc::ptr_eq(&server(&Kept::new([Arc::clone(&one)]), port, config), &one);
        assert!(is_kept(1, &config) && !is_kept(2, &config));
        assert!(!is_kept(1, &ProxyConfig { connections_max: 7, ..config.clone() }));
        assert!(!is_kept(1, &ProxyConfig { idle_timeout: Duration::from_secs(1), ..config.clone() }));
    }
}
