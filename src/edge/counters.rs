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
    /// Connections refused because their address connects too often.
    pub addresses_refused_rate: AtomicU64,
    /// Connections refused because their address has too many open.
    pub addresses_refused_open: AtomicU64,
    /// Connections refused because their address has too many handshakes under way.
    pub addresses_refused_handshaking: AtomicU64,
    /// Addresses whose rate was forgotten before its time, for want of room.
    pub addresses_forgotten: AtomicU64,
    /// Handshakes ended because they were the oldest when `handshaking_max` were under way.
    pub handshakes_shed: AtomicU64,
    /// Connections refused as `memory_max` was reached.
    pub refused_memory: AtomicU64,
    /// Connections refused as tasks ran later than `lag_max`.
    pub refused_lag: AtomicU64,
    /// Handshakes ended as `memory_max` was reached.
    pub shed_memory: AtomicU64,
    /// Handshakes ended as tasks ran later than `lag_max`.
    pub shed_lag: AtomicU64,
    /// Failures of `accept` itself: out of file descriptors or memory.
    pub accept_errors: AtomicU64,
    /// PROXY protocol headers that were taken.
    pub proxy_headers_accepted: AtomicU64,
    /// Connections of trusted proxies closed because no sound PROXY protocol header came.
    pub proxy_headers_malformed: AtomicU64,
    /// Connections of trusted proxies closed because the header did not come in `proxy_header_timeout`.
    pub proxy_headers_timed_out: AtomicU64,
    /// Connections closed because only trusted proxies may connect there.
    pub proxy_headers_untrusted: AtomicU64,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: AtomicU64,
    /// TLS handshakes that failed: foreign protocol, no common version, broken off.
    pub tls_handshakes_failed: AtomicU64,
    /// TLS handshakes that failed because of the client's certificate, or for want of one; and sessions that were not resumed for it.
    pub client_certificates_refused: AtomicU64,
    /// Connections ended by a reload, as their client's certificate is no longer accepted.
    pub client_certificates_revoked: AtomicU64,
    /// TLS handshakes that brought a certificate of the client, verified.
    pub client_certificates: AtomicU64,
    /// Gauge: the last second in which every certificate of the server is valid, since 1970; zero without any.
    pub certificate_not_after_s: AtomicU64,
    /// Gauge: when the first revocation list of client certificates is to be replaced, since 1970; zero without any.
    pub crl_next_update_s: AtomicU64,
    /// Certificates that an authority has issued to this process.
    pub acme_issued: AtomicU64,
    /// Attempts to have a certificate issued that failed.
    pub acme_failed: AtomicU64,
    /// Proofs that somebody has come for, by a handshake or a page.
    pub acme_proofs: AtomicU64,
    /// Gauge: when the certificate that an authority has issued expires, since 1970; zero without one.
    pub acme_not_after_s: AtomicU64,
    /// TLS handshakes that took longer than `tls_handshake_timeout`.
    pub tls_handshakes_timed_out: AtomicU64,
    /// HTTP requests whose head was whole and sound.
    pub http_requests: AtomicU64,
    /// HTTP connections closed for a head that was malformed or too large.
    pub http_malformed: AtomicU64,
    /// HTTP connections closed because a head did not come in `http_head_timeout`.
    pub http_head_timed_out: AtomicU64,
    /// Connections of HTTP/2.
    pub http2_connections: AtomicU64,
    /// Gauge: requests and WebSockets of HTTP/2 that are open.
    pub http2_streams_open: AtomicU64,
    /// WebSockets opened on streams of HTTP/2.
    pub http2_websockets: AtomicU64,
    /// Answers cut because their client had no room for them in `http_idle_timeout`.
    pub http2_streams_stalled: AtomicU64,
    /// Connections of HTTP/2 cut because nothing could be written to them in `http_idle_timeout`.
    pub http2_connections_stalled: AtomicU64,
    /// Connections of HTTP/2 ended for too many frames that ask for nothing.
    pub http2_floods_control: AtomicU64,
    /// Connections of HTTP/2 ended for too many requests taken back.
    pub http2_floods_resets: AtomicU64,
    /// Connections of HTTP/2 ended for frames that violate the standard, or a limit that it knows.
    pub http2_violations: AtomicU64,
    /// Answers compressed on their way.
    pub answers_compressed: AtomicU64,
    /// Answers that would have been, if not as many as allowed had been under way.
    pub answers_not_compressed: AtomicU64,
    /// WebSocket upgrades refused because the Origin may not.
    pub upgrades_refused_origin: AtomicU64,
    /// WebSocket upgrades refused because none of the subprotocols offered is spoken here.
    pub upgrades_refused_subprotocol: AtomicU64,
    /// WebSocket upgrades refused for any other fault in the opening handshake.
    pub upgrades_refused_malformed: AtomicU64,
    /// Requests for servers behind.
    pub proxy_requests: AtomicU64,
    /// Requests put to another server, as the first one failed.
    pub proxy_retries: AtomicU64,
    /// Connections opened to servers behind.
    pub proxy_connections_opened: AtomicU64,
    /// Times a server behind was left alone for its failures.
    pub proxy_servers_out: AtomicU64,
    /// Requests refused as `waiting_max` others waited for a server behind, or no connection was free in time.
    pub proxy_refused_busy: AtomicU64,
    /// Requests for servers behind that could not be connected to.
    pub proxy_unreachable: AtomicU64,
    /// Requests to which no answer came in `response_timeout`.
    pub proxy_timed_out: AtomicU64,
    /// Requests whose answer was none, or could be read in two ways.
    pub proxy_unsound_answers: AtomicU64,
    /// Answers that servers behind cut short, or stopped sending.
    pub proxy_answers_cut: AtomicU64,
    /// Requests refused as their content was longer than `body_bytes_max`.
    pub proxy_uploads_too_large: AtomicU64,
    /// Requests whose content broke off, stopped or was malformed.
    pub proxy_uploads_cut: AtomicU64,
    /// WebSockets to servers behind.
    pub proxy_tunnels: AtomicU64,
    /// Gauge: those that are open.
    pub proxy_tunnels_open: AtomicU64,
    /// Those that ended as neither side said anything for `tunnel_timeout`.
    pub proxy_tunnels_timed_out: AtomicU64,
    /// Connections handed on with every handshake of the edge behind them.
    pub handed_over: AtomicU64,
}

impl EdgeCounters {
    /// Adds one to `counter`.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one from `gauge`.
    pub(crate) fn subtract(gauge: &AtomicU64) {
        gauge.fetch_sub(1, Ordering::Relaxed);
    }
}
