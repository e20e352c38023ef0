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

use std::net::SocketAddr;
use std::sync::Arc;

pub use config::{
    CertificateFiles, EdgeConfig, EdgeLimits, ListenerConfig, OriginRule, PathMatch, RouteAction, RouteConfig, Scheme,
    TlsConfig,
};
pub use counters::EdgeCounters;

use crate::connection::Accepted;
use crate::fault::Fault;

/// Takes a connection whose handshakes are over. Called on the connection's task; returns at once.
pub type Handoff = Arc<dyn Fn(Accepted) + Send + Sync>;

/// All listeners, bound.
pub struct Edge {
    listeners: Vec<(ListenerConfig, std::net::TcpListener)>,
}

impl Edge {
    /// Loads certificates, builds routes and binds every listener, so that after it nothing of the configuration can fail.
    ///
    /// # Errors
    /// Every fault there is: certificates that cannot be read or do not fit their keys, routes that contradict each other, addresses
    /// that cannot be bound.
    pub fn bind(config: EdgeConfig, _handoff: Handoff, _counters: Arc<EdgeCounters>) -> Result<Self, Vec<Fault>> {
        let listeners = config
            .listeners
            .into_iter()
            .map(|listener| match std::net::TcpListener::bind(listener.address) {
                Ok(socket) => Ok((listener, socket)),
                Err(error) => Err(vec![Fault::new(&listener.url, "listen", error.to_string(), "a free address")]),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { listeners })
    }

    /// Every listener with the address it has really got, in the order of the configuration.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<(ListenerConfig, SocketAddr)> {
        self.listeners
            .iter()
            .map(|(listener, socket)| (listener.clone(), socket.local_addr().unwrap_or(listener.address)))
            .collect()
    }

    /// Serves until `shutdown` completes; then stops accepting, lets HTTP exchanges under way finish, and returns when the last is over.
    ///
    /// Handed-over connections are not the edge's any more. The caller sets the deadline for the rest by dropping this future.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        shutdown.await;
    }
}
