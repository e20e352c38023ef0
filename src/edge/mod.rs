//! What faces the network: listeners, TLS, HTTP, the WebSocket opening handshake, files and the demo page.
//!
//! The edge takes a TCP connection as far as the first byte of a dialect and hands it over as [`Accepted`]: the bare socket, the bare
//! TLS state, and whatever was read past the last handshake. It answers every HTTP request that is not an upgrade itself.
//!
//! Not here: what the bytes of a dialect mean (`dialect`), who the client is (`auth`), what it may do (`policy`).
//!
//! Invariants: the accept loop awaits no handshake; every step a peer takes part in has a deadline; memory before authentication is
//! bounded by [`EdgeLimits`] whatever peers claim; no header value is trusted to be text; after the hand-over nothing of HTTP is left.

pub mod config;
mod counters;
mod development_certificate;
mod handshake;
mod http;
mod listener;
mod refusals;
mod tls;
mod transport;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

pub use config::{
    CertificateFiles, EdgeConfig, EdgeLimits, ListenerConfig, OriginRule, PathMatch, RouteAction, RouteConfig, Scheme,
    TlsConfig,
};
pub use counters::EdgeCounters;

use self::handshake::Steps;
use self::http::Site;
use self::listener::Listener;
use self::refusals::Refusals;
use self::tls::Tls;
use crate::connection::{Accepted, Handshakes};
use crate::fault::Fault;

/// Takes a connection whose handshakes are over. Called on the connection's task; returns at once.
pub type Handoff = Arc<dyn Fn(Accepted) + Send + Sync>;

/// All listeners, bound, and all they need.
pub struct Edge {
    listeners: Vec<Listener>,
    tls: Tls,
    steps: Arc<Steps>,
}

impl Edge {
    /// Loads certificates, builds routes and binds every listener, so that after it nothing of the configuration can fail.
    ///
    /// # Errors
    /// Every fault there is: certificates that cannot be read or do not fit their keys, routes that contradict each other, addresses
    /// that cannot be bound.
    pub fn bind(config: EdgeConfig, handoff: Handoff, counters: Arc<EdgeCounters>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut keep = |found: Vec<Fault>| faults.extend(found);
        let needs_tls = config.listeners.iter().any(|listener| listener.scheme.is_tls());
        let tls = if needs_tls { Tls::load(&config.tls) } else { Ok(Tls::none()) }.map_err(&mut keep).ok();
        let site = Site::new(&config).map_err(&mut keep).ok();
        let mut listeners = Vec::new();
        for listener in &config.listeners {
            match Listener::bind(listener, config.limits.backlog) {
                Ok(listener) => listeners.push(listener),
                Err(fault) => keep(vec![fault]),
            }
        }
        let (Some(tls), Some(site), true) = (tls, site, faults.is_empty()) else { return Err(faults) };
        let limits = config.limits;
        let handshakes = Handshakes::new(limits.handshaking_max, limits.handshake_age_min);
        let (site, refusals) = (Arc::new(site), Refusals::default());
        let steps = Arc::new(Steps { site, limits, handshakes, handoff, counters, refusals });
        Ok(Self { listeners, tls, steps })
    }

    /// Reads what [`Edge::bind`] would read and builds what it would build, but binds nothing and makes no certificate.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn check(config: &EdgeConfig) -> Result<(), Vec<Fault>> {
        let needs_files = matches!(config.tls, TlsConfig::Files(_));
        let tls = if needs_files { Tls::load(&config.tls).map(drop) } else { Ok(()) };
        let site = Site::new(config).map(drop);
        let faults: Vec<_> = [tls, site].into_iter().filter_map(Result::err).flatten().collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Every listener with the address it has really got, in the order of the configuration.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<(ListenerConfig, SocketAddr)> {
        self.listeners.iter().map(|listener| (listener.config().clone(), listener.local_address())).collect()
    }

    /// The certificate to trust, where a development certificate is in use.
    #[must_use]
    pub fn development_ca(&self) -> Option<&Path> {
        self.tls.development_ca.as_deref()
    }

    /// Serves until `shutdown` completes; then stops accepting, lets HTTP exchanges under way finish, and returns when the last is over.
    ///
    /// Handed-over connections are not the edge's any more. The caller sets the deadline for the rest by dropping this future.
    /// Needs a tokio runtime with IO and time.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (drain, draining) = watch::channel(false);
        for listener in self.listeners {
            let tls = self.tls.config(listener.config().scheme);
            tokio::spawn(listener::accept(listener, tls, Arc::clone(&self.steps), draining.clone()));
        }
        drop(draining);
        shutdown.await;
        drain.send_replace(true);
        drain.closed().await;
    }
}

#[cfg(test)]
mod tests;
