//! The operator's own HTTP listener: liveness, readiness, metrics.
//!
//! Not here: anything a client of the broker may reach. Invariant: nothing here waits on the engine or holds up a connection.

use std::net::{Ipv4Addr, SocketAddr};

/// Where operators and their probes look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Default `127.0.0.1:9090`; `None` switches it off. Port 0 lets the system choose.
    pub listen: Option<SocketAddr>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))) }
    }
}
