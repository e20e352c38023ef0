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
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

pub use config::{
    Balance, CertificateFiles, CorsConfig, EdgeConfig, EdgeLimits, HostSent, ListenerConfig, OriginRule, PathMatch,
    ProxyConfig, RouteAction, RouteConfig, Scheme, TlsConfig, TokenSources,
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
    listeners: Vec<(Listener, Shown)>,
    development_ca: Option<PathBuf>,
    steps: Arc<Steps>,
}

impl Edge {
    /// Loads certificates, builds routes and binds every listener, so that after it nothing of the configuration can fail.
    ///
    /// # Errors
    /// Every fault there is: certificates that cannot be read or do not fit their keys, routes that contradict each other, addresses
    /// that cannot be bound.
    pub fn bind(config: EdgeConfig, handoff: Handoff, counters: Arc<EdgeCounters>) -> Result<Self, Vec<Fault>> {
        let (mut listeners, mut faults) = (Vec::new(), Vec::new());
        let built = build(&config, Tls::load).map_err(|found| faults.extend(found)).ok();
        for (index, listener) in config.listeners.iter().enumerate() {
            match Listener::bind(listener, index, config.limits.backlog) {
                Ok(listener) => listeners.push(listener),
                Err(fault) => faults.push(fault),
            }
        }
        let (Some((shown, development_ca)), true) = (built, faults.is_empty()) else { return Err(faults) };
        let listeners = listeners.into_iter().zip(shown).collect();
        let limits = config.limits;
        let handshakes = Handshakes::new(limits.handshaking_max, limits.handshake_age_min);
        let steps = Arc::new(Steps { limits, handshakes, handoff, counters, refusals: Refusals::default() });
        Ok(Self { listeners, development_ca, steps })
    }

    /// Reads what [`Edge::bind`] would read and builds what it would build, but binds nothing and makes no certificate.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn check(config: &EdgeConfig) -> Result<(), Vec<Fault>> {
        let load = |tls: &TlsConfig, key: &str| match tls {
            TlsConfig::Files(_) => Tls::load(tls, key),
            TlsConfig::Development { .. } => Ok(Tls::none()),
        };
        build(config, load).map(drop)
    }

    /// Every listener with the address it has really got, in the order of the configuration.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<(ListenerConfig, SocketAddr)> {
        self.listeners.iter().map(|(listener, _)| (listener.config().clone(), listener.local_address())).collect()
    }

    /// The certificate to trust, where a development certificate is in use.
    #[must_use]
    pub fn development_ca(&self) -> Option<&Path> {
        self.development_ca.as_deref()
    }

    /// Serves until `shutdown` completes; then stops accepting, lets HTTP exchanges under way finish, and returns when the last is over.
    ///
    /// Handed-over connections are not the edge's any more. The caller sets the deadline for the rest by dropping this future.
    /// Needs a tokio runtime with IO and time.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let (drain, draining) = watch::channel(false);
        for (listener, shown) in self.listeners {
            tokio::spawn(listener::accept(listener, shown, Arc::clone(&self.steps), draining.clone()));
        }
        drop(draining);
        shutdown.await;
        drain.send_replace(true);
        drain.closed().await;
    }
}

/// What a listener shows to those who come: its certificates and its routes.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) tls: Option<tls::Shared>,
    pub(crate) site: Arc<Site>,
}

/// What each listener shows, in their order, with the authority of the development certificate where that is in use.
fn build(
    config: &EdgeConfig,
    load: impl Fn(&TlsConfig, &str) -> Result<Tls, Vec<Fault>>,
) -> Result<(Vec<Shown>, Option<PathBuf>), Vec<Fault>> {
    let mut faults = Vec::new();
    let mut keep = |found: Vec<Fault>| faults.extend(found);
    let shares_tls = |listener: &ListenerConfig| listener.scheme.is_tls() && listener.tls.is_none();
    // Files that are named must be sound even while no listener shows them.
    let needs_tls = config.listeners.iter().any(shares_tls) || matches!(config.tls, TlsConfig::Files(_));
    let tls = if needs_tls { load(&config.tls, "tls") } else { Ok(Tls::none()) }.map_err(&mut keep).ok();
    let site = |routes: &[RouteConfig], key: &str| {
        Site::new(routes, &config.origins, config.tokens.as_ref(), key).map(Arc::new)
    };
    let shared_site = site(&config.routes, "routes").map_err(&mut keep).ok();
    let mut shown = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let own_tls = listener.tls.as_ref().map(|tls| load(tls, &format!("listen[{index}].tls")));
        let own_site = listener.routes.as_ref().map(|routes| site(routes, &format!("listen[{index}].routes")));
        let own_tls = own_tls.transpose().map_err(&mut keep).ok().flatten();
        let own_site = own_site.transpose().map_err(&mut keep).ok().flatten();
        let certificates = own_tls.as_ref().or(tls.as_ref()).and_then(|tls| tls.config(listener.scheme));
        shown.extend(own_site.or(shared_site.clone()).map(|site| Shown { tls: certificates, site }));
    }
    if faults.is_empty() { Ok((shown, tls.and_then(|tls| tls.development_ca))) } else { Err(faults) }
}

#[cfg(test)]
mod tests;
