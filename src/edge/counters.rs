//! What the edge has seen, as plain numbers that anybody may read at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start, and gauges where a comment says so.
#[derive(Debug, Default)]
pub struct EdgeCounters {
    /// TCP connections taken from the listen queues.
    pub connections_accepted: AtomicU64,
    /// Gauge: connections open, from accept to close.
    pub connections_open: Arc<AtomicU64>,
    /// Connections closed at once because `connections_max` were open.
    pub connections_refused_full: AtomicU64,
    /// Handshakes ended because they were the oldest when `handshaking_max` were under way.
    pub handshakes_shed: AtomicU64,
    /// Failures of `accept` itself: out of file descriptors or memory.
    pub accept_errors: AtomicU64,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: AtomicU64,
    /// TLS handshakes that failed: foreign protocol, no common version, broken off.
    pub tls_handshakes_failed: AtomicU64,
    /// TLS handshakes that failed because of the client's certificate, or for want of one; and sessions that were not resumed for it.
    pub client_certificates_refused: AtomicU64,
    /// TLS handshakes that brought a certificate of the client, verified.
    pub client_certificates: AtomicU64,
    /// Gauge: the last second in which every certificate of the server is valid, since 1970; zero without any.
    pub certificate_not_after_s: AtomicU64,
    /// TLS handshakes that took longer than `tls_handshake_timeout`.
    pub tls_handshakes_timed_out: AtomicU64,
    /// HTTP requests whose head was whole and sound.
    pub http_requests: AtomicU64,
    /// HTTP connections closed for a head that was malformed or too large.
    pub http_malformed: AtomicU64,
    /// HTTP connections closed because a head did not come in `http_head_timeout`.
    pub http_head_timed_out: AtomicU64,
    /// WebSocket upgrades refused because the Origin may not.
    pub upgrades_refused_origin: AtomicU64,
    /// WebSocket upgrades refused because none of the subprotocols offered is spoken here.
    pub upgrades_refused_subprotocol: AtomicU64,
    /// WebSocket upgrades refused for any other fault in the opening handshake.
    pub upgrades_refused_malformed: AtomicU64,
    /// Connections handed on with every handshake of the edge behind them.
    pub handed_over: AtomicU64,
}

impl EdgeCounters {
    /// Adds one to `counter`.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
