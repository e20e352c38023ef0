//! The configuration as meant: every value resolved, checked and typed.
//!
//! Each section is what one module takes at its construction.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All that the program is told; made by [`load`](super::load) only, so that it holds nothing unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub edge: EdgeConfig,
    pub connection: ConnectionConfig,
    pub engine: EngineConfig,
    pub auth: AuthConfig,
    /// The policy file; `None` allows everything to everybody, which only loopback listeners may.
    pub policy: Option<PathBuf>,
    pub admin: AdminConfig,
    pub log: LogConfig,
}

/// What faces browsers and devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeConfig {
    pub listeners: Vec<ListenerConfig>,
    /// Of every `https` and `mqtts` listener that has none of its own.
    pub tls: TlsConfig,
    /// Of every `http` and `https` listener that has none of its own.
    pub routes: Vec<RouteConfig>,
    /// Of every route with a WebSocket that has none of its own.
    pub origins: OriginRule,
    /// Network Connections of all listeners together, handshakes included.
    pub connections_max: usize,
    /// Connections whose TLS, HTTP or WebSocket handshake is not over.
    pub handshaking_max: usize,
    /// From the first byte awaited to the end of the TLS handshake.
    pub tls_handshake_timeout: Duration,
    /// From the first byte awaited to the end of an HTTP request's head.
    pub http_head_timeout: Duration,
    /// Request line and header fields of one HTTP request.
    pub http_head_bytes_max: usize,
}

/// One socket that accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// As written, for people: `https://0.0.0.0:8443`.
    pub url: String,
    pub scheme: Scheme,
    pub address: SocketAddr,
    /// Instead of [`EdgeConfig::tls`].
    pub tls: Option<TlsConfig>,
    /// Instead of [`EdgeConfig::routes`].
    pub routes: Option<Vec<RouteConfig>>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    Mqtt,
    Mqtts,
}

/// Where a listener's certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// A certificate for loopback names, made in `dir` where it is not there yet.
    Development { dir: PathBuf },
    /// The first is shown to clients that name no server; the others by the server name they hold.
    Files(Vec<CertificateFiles>),
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What is done with requests for one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    pub path: PathMatch,
    pub action: RouteAction,
    /// Instead of [`EdgeConfig::origins`].
    pub origins: Option<OriginRule>,
}

/// Which request paths a route takes. An exact one wins over every prefix, a longer prefix over a shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    Prefix(String),
    Exact(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// MQTT in binary WebSocket messages.
    ServeMqtt,
    /// The JSON Action dialect in WebSocket text messages.
    ServeJson,
    /// The demonstration page.
    Demo,
    /// A directory; `fallback` is the path, beginning with `/`, of the file served where the path names none.
    Files { root: PathBuf, fallback: Option<String> },
    /// A redirection by `status` (301, 302, 303, 307 or 308) to the Location `to`.
    Redirect { to: String, status: u16 },
}

/// Which pages may open a WebSocket (RFC 6455 §10.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginRule {
    /// Only pages of the very host that is asked; a request without Origin is no browser's and passes.
    Same,
    Any,
    /// These origins exactly, such as `https://app.example`; `same` is said by `same`.
    List {
        origins: Vec<String>,
        same: bool,
    },
}

/// What holds for one Network Connection, whatever its dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// From a ready transport to its CONNECT.
    pub connect_timeout: Duration,
    /// Without a sign of life from a JSON client, whose dialect knows no Keep Alive.
    pub idle_timeout: Duration,
    /// Between two WebSocket pings of the server.
    pub ping_interval: Duration,
    /// The longest Keep Alive granted; MQTT 5.0 clients are told (Server Keep Alive).
    pub keep_alive_max: Duration,
    /// What waits in the server for one client to read.
    pub outbox_bytes_max: usize,
    /// One WebSocket message from a client.
    pub message_bytes_max: usize,
    /// One MQTT Control Packet from a client, fixed header included.
    pub packet_bytes_max: u32,
    /// User Properties in one packet.
    pub user_properties_max: usize,
    /// Topic Filters in one SUBSCRIBE or UNSUBSCRIBE.
    pub filters_max: usize,
}

/// The bounds of Session State.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    pub session_expiry_max: Duration,
    /// Of one session.
    pub queue_bytes_max: usize,
    /// QoS 1 and 2 messages on their way to one client, and from one client.
    pub inflight_max: u16,
    pub sessions_max: usize,
    /// Of one session.
    pub subscriptions_max: usize,
    pub retained_messages_max: usize,
    pub retained_bytes_max: usize,
}

/// Who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    pub anonymous: bool,
    pub passwords: Option<PathBuf>,
    /// Password hashes computed at the same time.
    pub hashing_max: usize,
}

/// The operator's own listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `None`: none.
    pub listen: Option<SocketAddr>,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
