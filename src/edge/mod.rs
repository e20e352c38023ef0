//! What faces the network: listeners, TLS, HTTP, the WebSocket opening handshake, files and the demo page.
//!
//! The edge takes a TCP connection as far as the first byte of a dialect and hands it over as [`Accepted`]: the bare socket, the bare
//! TLS state, whatever was read past the last handshake, and who is there as far as it is believed. It answers every HTTP request that is not an upgrade itself.
//!
//! Not here: what the bytes of a dialect mean (`dialect`), who the client is (`auth`), what it may do (`policy`).
//!
//! Invariants: the accept loop awaits no handshake; every step a peer takes part in has a deadline; memory before authentication is
//! bounded by [`EdgeLimits`] whatever peers claim; no header value is trusted to be text; nobody speaks
//! for another's address but [`EdgeConfig::trusted_proxies`]; after the hand-over nothing of HTTP is left.

pub mod acme;
mod address_limits;
mod certificates;
pub mod config;
mod counters;
mod development_certificate;
mod dispatch;
pub mod forwarded;
mod handshake;
mod http;
mod inherited;
mod introduction;
mod listener;
pub mod networks;
pub mod proxy_protocol;
mod refusals;
mod server_address;
mod shedding;
mod sites;
mod tls;
mod transport;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;

pub use acme::Acme;
pub use certificates::{ListenerCertificates, Renewal};
pub use config::{
    AcmeChallenge, AcmeConfig, AddressLimits, Balance, CertificateFiles, CertificateSource, ClientAuthConfig,
    CompressionConfig, CorsConfig, EdgeConfig, EdgeLimits, ExternalAccount, ForwardedField, HostSent, Http2Limits,
    KeyExchange, ListenerConfig, OriginRule, PathMatch, ProxyConfig, ProxyProtocol, RouteAction, RouteConfig,
    SERVER_ADDRESS_FORM, Scheme, ServerAddress, TlsConfig, TlsVersion, TokenSources,
};
pub use counters::EdgeCounters;
pub use http::RequestPath;
pub(crate) use http::is_sound_redirect;
pub use inherited::Inherited;
pub use networks::{Network, NotNetwork};
pub use sites::{ListenerSites, NewSites};

use self::address_limits::Addresses;
use self::certificates::Loaded;
use self::handshake::{SharedSteps, Steps};
use self::http::Kept;
use self::introduction::Proxies;
use self::listener::Listener;
use self::sites::SharedSite;
use crate::connection::{Accepted, DuplicateClientId, Handshakes};
use crate::fault::Fault;
use crate::load::Load;

/// Takes a connection whose handshakes are over. Called on the connection's task; returns at once.
pub type Handoff = Arc<dyn Fn(Accepted) + Send + Sync>;

/// All listeners, bound, and all they need.
pub struct Edge {
    listeners: Vec<(Listener, Shown)>,
    certificates: ListenerCertificates,
    sites: ListenerSites,
    development_ca: Option<PathBuf>,
    steps: SharedSteps,
    load: Arc<Load>,
}

impl Edge {
    /// Loads certificates, builds routes and binds every listener that is not among the `inherited`, so that after it nothing of the
    /// configuration can fail.
    ///
    /// # Errors
    /// Every fault there is: certificates that cannot be read or do not fit their keys, routes that contradict each other, addresses
    /// that cannot be bound.
    pub fn bind(
        config: EdgeConfig,
        inherited: &Inherited,
        handoff: Handoff,
        counters: Arc<EdgeCounters>,
    ) -> Result<Self, Vec<Fault>> {
        let (mut listeners, mut faults) = (Vec::new(), Vec::new());
        let certificates = Loaded::read(&config, true, SystemTime::now()).map_err(|found| faults.extend(found)).ok();
        let sites = ListenerSites::new(&config).map_err(|found| faults.extend(found)).ok();
        for (index, listener) in config.listeners.iter().enumerate() {
            match Listener::bind(listener, index, &config.limits, inherited) {
                Ok(listener) => listeners.push(listener),
                Err(fault) => faults.push(fault),
            }
        }
        let (Some(loaded), Some(sites), true) = (certificates, sites, faults.is_empty()) else { return Err(faults) };
        let certificates =
            ListenerCertificates::new(&config, &loaded, Arc::clone(&counters)).map_err(|fault| vec![fault])?;
        let shown = config.listeners.iter().enumerate().filter_map(|(index, listener)| {
            let duplicate_client_id = listener.duplicate_client_id;
            Some(Shown { tls: certificates.of(index), site: sites.of(index)?, duplicate_client_id })
        });
        let listeners = listeners.into_iter().zip(shown).collect();
        let development_ca = loaded.development_ca();
        let limits = config.limits;
        let handshakes = Handshakes::new(limits.handshaking_max, limits.handshake_age_min);
        let hasher = ahash::RandomState::new();
        let (exempt, now) = (config.trusted_proxies.clone(), Instant::now());
        let addresses = Arc::new(Addresses::new(limits.addresses.clone(), exempt, now, &hasher));
        let proxies = Proxies { trusted: config.trusted_proxies, field: config.forwarded_field };
        let (refusals, challenges) = (Arc::default(), Arc::default());
        let steps = Steps { limits, proxies, addresses, handshakes, handoff, counters, refusals, challenges };
        let steps = Arc::new(ArcSwap::from_pointee(steps));
        Ok(Self { listeners, certificates, sites, development_ca, steps, load: Arc::default() })
    }

    /// The same, turning newcomers away while `load` is too much.
    #[must_use]
    pub fn under(self, load: Arc<Load>) -> Self {
        Self { load, ..self }
    }

    /// Reads what [`Edge::bind`] would read and builds what it would build, but binds nothing and makes no certificate.
    ///
    /// # Errors
    /// Every fault that was found, and every warning, which would keep nothing from starting.
    pub fn check(config: &EdgeConfig) -> Result<(), Vec<Fault>> {
        let certificates = Loaded::read(config, false, SystemTime::now()).map(Loaded::into_warnings);
        let mut faults = certificates.unwrap_or_else(std::convert::identity);
        faults.extend(sites::build(config, &Kept::default()).err().into_iter().flatten());
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Every listener with the address it has really got, in the order of the configuration.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<(ListenerConfig, SocketAddr)> {
        self.listeners.iter().map(|(listener, _)| (listener.config().clone(), listener.local_address())).collect()
    }

    /// Every listener's socket once more, for the process that takes over.
    ///
    /// # Errors
    /// There are no file descriptors left.
    pub fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        self.listeners.iter().map(|(listener, _)| listener.socket().try_clone().map(Into::into)).collect()
    }

    /// The certificates of all listeners, for whoever is to renew them while the edge runs.
    #[must_use]
    pub fn certificates(&self) -> ListenerCertificates {
        self.certificates.clone()
    }

    /// The routes of all listeners, for whoever is to replace them while the edge runs.
    #[must_use]
    pub fn sites(&self) -> ListenerSites {
        self.sites.clone()
    }

    /// What those who come are held to, for whoever is to replace it while the edge runs.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms(Arc::clone(&self.steps))
    }

    /// What has certificates issued for the listeners here, and proves to authorities that names lead to them.
    #[must_use]
    pub fn acme(&self) -> Acme {
        let steps = self.steps.load();
        Acme { challenges: Arc::clone(&steps.challenges), counters: Arc::clone(&steps.counters) }
    }

    /// The certificate to trust, where a development certificate is in use.
    #[must_use]
    pub fn development_ca(&self) -> Option<&Path> {
        self.development_ca.as_deref()
    }

    /// Serves until `shutdown` completes, and says how to stop; then stops accepting, lets HTTP exchanges under way finish, and returns when the last is over.
    ///
    /// Handed-over connections are not the edge's any more. The caller sets the deadline for the rest by dropping this future.
    /// Needs a tokio runtime with IO and time.
    pub async fn run(self, shutdown: impl Future<Output = Drain> + Send) {
        let (drain, draining) = watch::channel(Drain::Off);
        for (listener, shown) in self.listeners {
            let (steps, load) = (Arc::clone(&self.steps), Arc::clone(&self.load));
            tokio::spawn(listener::accept(listener, shown, steps, load, draining.clone()));
        }
        drop(draining);
        let serving = async {
            drain.send_replace(shutdown.await);
            drain.closed().await;
        };
        // Of what they use there is but one, whatever is reloaded.
        let steps = self.steps.load_full();
        let settling = async {
            loop {
                tokio::time::sleep(SETTLE_INTERVAL).await;
                steps.refusals.settle();
            }
        };
        tokio::select! {
            () = serving => {}
            () = settling => {}
            () = shedding::run(&steps, &self.load) => {}
        }
    }
}

/// What those who come are held to: limits, and whose word on where they come from is believed.
#[derive(Clone)]
pub struct Terms(SharedSteps);

impl Terms {
    /// Has what `config` says hold from the next connection on. Who is there stays as he is, and counts; what a listening socket was given,
    /// [`EdgeLimits::backlog`] and [`EdgeLimits::tcp_keepalive`], stays as well.
    pub fn replace(&self, config: &EdgeConfig) {
        let (limits, trusted) = (config.limits.clone(), config.trusted_proxies.clone());
        let steps = self.0.load();
        steps.addresses.set(limits.addresses.clone(), trusted.clone());
        steps.handshakes.set(limits.handshaking_max, limits.handshake_age_min);
        let proxies = Proxies { trusted, field: config.forwarded_field };
        self.0.store(Arc::new(Steps { limits, proxies, ..Steps::clone(&steps) }));
    }
}

/// How often it is told what was left out of the log.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// How the edge comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// It does not yet.
    Off,
    /// Who has not asked for anything yet is cut.
    Stopping,
    /// Who was accepted is served once: nobody is to notice that another process takes over.
    HandingOver,
}

impl Drain {
    fn is_on(&self) -> bool {
        *self != Self::Off
    }
}

/// What a listener shows to those who come: its certificates, its routes, and its rule for a Client Identifier that is taken.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) tls: Option<tls::Shared>,
    pub(crate) site: SharedSite,
    pub(crate) duplicate_client_id: Option<DuplicateClientId>,
}

#[cfg(test)]
mod tests;
