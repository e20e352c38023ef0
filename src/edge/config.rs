//! What the edge is told: where to listen, with which certificates, what lies under which path, and how much anybody may ask of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use super::acme::{AcmeChallenge, AcmeConfig, ExternalAccount};
pub use super::address_limits::AddressLimits;
use super::networks::Network;
pub use super::server_address::{HttpVersion, SERVER_ADDRESS_FORM, ServerAddress};
use crate::connection::DuplicateClientId;

/// Everything the edge needs to know, resolved and checked.
#[derive(Clone, Debug, Default)]
pub struct EdgeConfig {
    pub listeners: Vec<ListenerConfig>,
    /// For every `https` and `mqtts` listener that says nothing of its own.
    pub tls: TlsConfig,
    /// For every `http` and `https` listener that has none of its own. In any order: an exact path beats every prefix, a longer prefix
    /// beats a shorter one.
    pub routes: Vec<RouteConfig>,
    /// Which pages may open a WebSocket, where a route says nothing of its own.
    pub origins: OriginRule,
    /// Where a request that opens a WebSocket may carry a token. `None` (the default): nowhere, as none is taken.
    pub tokens: Option<TokenSources>,
    /// Whose word on where a connection or a request comes from is believed. Default: nobody's.
    pub trusted_proxies: Vec<Network>,
    /// Where trusted proxies say whom an HTTP request is from.
    pub forwarded_field: ForwardedField,
    pub limits: EdgeLimits,
}

/// The field in which HTTP proxies say whom a request is from. Only one is read, as proxies hand on what they do not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedField {
    /// X-Forwarded-For, and X-Forwarded-Proto and X-Forwarded-Port beside it.
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

/// Whether a PROXY protocol header comes first on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// From nobody.
    #[default]
    No,
    /// From every trusted proxy; others speak for themselves.
    FromTrusted,
    /// From everybody, who therefore has to be a trusted proxy.
    Required,
}

/// Where a request that opens a WebSocket may carry a token, beside `Authorization`, the query and Sec-WebSocket-Protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSources {
    /// The cookie of this name, where the Origin was one of a list.
    pub cookie: Option<String>,
}

impl EdgeConfig {
    /// The routes that `listener` shows: its own, or those that all share.
    #[must_use]
    pub fn routes_of<'a>(&'a self, listener: &'a ListenerConfig) -> &'a [RouteConfig] {
        listener.routes.as_deref().unwrap_or(&self.routes)
    }

    /// How `listener` speaks TLS, if it does.
    #[must_use]
    pub fn tls_of<'a>(&'a self, listener: &'a ListenerConfig) -> Option<&'a TlsConfig> {
        listener.scheme.is_tls().then(|| listener.tls.as_ref().unwrap_or(&self.tls))
    }

    /// What an authority is to issue, if anything.
    #[must_use]
    pub fn acme(&self) -> Option<&AcmeConfig> {
        match &self.tls.certificates {
            CertificateSource::Acme(acme) => Some(acme),
            CertificateSource::Development { .. } | CertificateSource::Files(_) => None,
        }
    }

    /// Every file that a reload of the certificates reads: what to watch for changes.
    #[must_use]
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let own = self.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let mut files: Vec<PathBuf> = own.chain([&self.tls]).flat_map(TlsConfig::files).cloned().collect();
        files.sort();
        files.dedup();
        files
    }
}

/// One address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// As the operator wrote it; names the listener in faults, logs and start-up lines.
    pub url: String,
    pub scheme: Scheme,
    /// Port 0 lets the system choose; `Edge::local_addresses` tells which.
    pub address: SocketAddr,
    /// Instead of [`EdgeConfig::tls`], with all that it takes from there.
    pub tls: Option<TlsConfig>,
    /// Instead of [`EdgeConfig::routes`].
    pub routes: Option<Vec<RouteConfig>>,
    /// What becomes of a client whose Client Identifier is taken, instead of what holds for all.
    pub duplicate_client_id: Option<DuplicateClientId>,
    pub proxy_protocol: ProxyProtocol,
    /// Whether an `http` or `https` listener takes MQTT straight on the stream as well, told apart by ALPN or the first byte.
    pub takes_mqtt: bool,
}

impl ListenerConfig {
    /// A listener with the certificates and routes that all share.
    #[must_use]
    pub fn new(url: impl Into<String>, scheme: Scheme, address: SocketAddr) -> Self {
        Self {
            url: url.into(),
            scheme,
            address,
            tls: None,
            routes: None,
            proxy_protocol: ProxyProtocol::No,
            takes_mqtt: false,
            duplicate_client_id: None,
        }
    }
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 and WebSockets, routed by path.
    Http,
    /// The same over TLS.
    Https,
    /// MQTT straight on TCP.
    Mqtt,
    /// MQTT straight on TLS.
    Mqtts,
}

impl Scheme {
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Mqtts)
    }

    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// As it stands before `://` in a listener's URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
        }
    }
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    pub certificates: CertificateSource,
    /// Whether clients are asked for a certificate. `None` (the default): they are not.
    pub clients: Option<ClientAuthConfig>,
    /// The oldest version spoken. Default 1.2.
    pub version_min: TlsVersion,
    /// What keys are exchanged by, the one that is preferred first. Default: [`KeyExchange::DEFAULT`].
    pub key_exchange: Vec<KeyExchange>,
    /// Tickets sent after a handshake of TLS 1.3, by which a client that comes back saves most of the next one; zero: no session is ever
    /// resumed, by TLS 1.2 neither. Count, default 1.
    pub tickets: usize,
    /// How often the key that tickets are sealed with is replaced; a ticket is good for twice this time at the most. Default 6 h, and not
    /// more.
    pub ticket_rotation: Duration,
    /// Whether HTTP/2 is agreed on with clients that offer it. Default: it is.
    pub http2: bool,
}

impl TlsConfig {
    /// Certificates with everything else by default.
    #[must_use]
    pub fn new(certificates: CertificateSource) -> Self {
        Self {
            certificates,
            clients: None,
            version_min: TlsVersion::V1_2,
            key_exchange: KeyExchange::DEFAULT.to_vec(),
            tickets: 1,
            ticket_rotation: Duration::from_secs(6 * 3600),
            http2: true,
        }
    }

    /// Every file that is named here.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = match &self.certificates {
            CertificateSource::Files(pairs) => pairs.as_slice(),
            // What is issued is looked at by whoever has it issued.
            CertificateSource::Development { .. } | CertificateSource::Acme(_) => &[],
        };
        let of_pairs = pairs.iter().flat_map(|pair| [&pair.certificate, &pair.key].into_iter().chain(&pair.ocsp));
        of_pairs.chain(self.clients.iter().flat_map(|clients| [&clients.authorities].into_iter().chain(&clients.crls)))
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self::new(CertificateSource::Development { directory: PathBuf::from("certs/dev") })
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// A group that keys are exchanged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExchange {
    X25519Mlkem768,
    Secp256r1Mlkem768,
    X25519,
    Secp256r1,
    Secp384r1,
}

impl KeyExchange {
    pub const ALL: [Self; 5] =
        [Self::X25519Mlkem768, Self::Secp256r1Mlkem768, Self::X25519, Self::Secp256r1, Self::Secp384r1];

    /// Hybrid first, so that what is recorded today is not read by a quantum computer later.
    pub const DEFAULT: [Self; 4] = [Self::X25519Mlkem768, Self::X25519, Self::Secp256r1, Self::Secp384r1];

    /// As IANA's registry "TLS Supported Groups" spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X25519Mlkem768 => "X25519MLKEM768",
            Self::Secp256r1Mlkem768 => "SecP256r1MLKEM768",
            Self::X25519 => "x25519",
            Self::Secp256r1 => "secp256r1",
            Self::Secp384r1 => "secp384r1",
        }
    }
}

/// Which client certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthConfig {
    /// The certificates of the authorities that may have signed them, PEM.
    pub authorities: PathBuf,
    /// Whether a client without one is refused.
    pub is_required: bool,
    /// Revocation lists, PEM. If there is any, there must be one of every authority on the way to a client's certificate.
    pub crls: Vec<PathBuf>,
    /// Whether a list counts on when the time has come at which its authority promised the next one.
    pub allows_expired_crls: bool,
}

/// Where the certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// A development certificate for localhost, made in `directory` when there is none that is valid.
    Development { directory: PathBuf },
    /// The operator's own; the client's server name (SNI) chooses, the first one serves all that fit no other.
    Files(Vec<CertificateFiles>),
    /// What an authority issues. As long as there is none yet, a certificate that nobody has signed stands in for it.
    Acme(Box<AcmeConfig>),
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// PKCS #8, PKCS #1 or SEC1.
    pub key: PathBuf,
    /// What the certificate's authority says of it (RFC 6960), DER; sent along with the certificate.
    pub ocsp: Option<PathBuf>,
}

/// What happens under one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// The hosts it is limited to: names in lower case, or `*.example` for every host below `example`. None: every host that has no
    /// route of its own for the path.
    pub hosts: Vec<String>,
    pub path: PathMatch,
    pub action: RouteAction,
    /// Which pages may open a WebSocket here; `None`: as [`EdgeConfig::origins`] says.
    pub origins: Option<OriginRule>,
    /// Which pages of other origins may read the answers; `None`: none, or as a server behind says itself.
    pub cors: Option<CorsConfig>,
    /// Fields of every answer, in the place of those of the same name.
    pub headers: Vec<(String, String)>,
    /// Which answers are made smaller on their way; `None`: none.
    pub compression: Option<CompressionConfig>,
}

impl RouteConfig {
    /// A route that is for every host and does nothing else.
    #[must_use]
    pub fn new(path: PathMatch, action: RouteAction) -> Self {
        Self { hosts: Vec::new(), path, action, origins: None, cors: None, headers: Vec::new(), compression: None }
    }
}

/// Which answers are made smaller on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressionConfig {
    /// Media types in small letters; `text/*` is every text but events.
    pub types: Vec<String>,
    /// Answers known to be shorter go as they are.
    pub bytes_min: u64,
    /// Answers compressed at a time: each takes up to about 2 MiB. Further ones go as they are. Count.
    pub answers_max: usize,
}

impl CompressionConfig {
    /// Whether `text` is a media type, or all of one kind (`text/*`), by the names that can be registered (RFC 6838 §4.2).
    #[must_use]
    pub fn is_type(text: &str) -> bool {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        text.split_once('/').is_some_and(|(kind, name)| is_name(kind) && (name == "*" || is_name(name)))
    }
}

impl Default for CompressionConfig {
    fn default() -> Self {
        let types = [
            "text/*",
            "application/javascript",
            "application/json",
            "application/ld+json",
            "application/manifest+json",
            "application/problem+json",
            "application/geo+json",
            "application/xml",
            "application/xhtml+xml",
            "application/rss+xml",
            "application/atom+xml",
            "application/wasm",
            "image/svg+xml",
        ];
        Self { types: types.map(str::to_owned).to_vec(), bytes_min: 1024, answers_max: 64 }
    }
}

/// What pages of other origins may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsConfig {
    pub origins: OriginRule,
    pub methods: Vec<String>,
    /// Fields of requests; none: whatever is asked for.
    pub headers: Vec<String>,
    /// Fields of answers that pages may read, beside those that every page may.
    pub exposed: Vec<String>,
    /// Whether cookies and certificates go along.
    pub has_credentials: bool,
    /// How long a browser may rely on the answer to its question.
    pub max_age: Duration,
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self {
            origins: OriginRule::Same,
            methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map(str::to_owned).to_vec(),
            headers: Vec::new(),
            exposed: Vec::new(),
            has_credentials: false,
            max_age: Duration::from_secs(600),
        }
    }
}

/// Which request paths a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// Every path that starts with this text, byte for byte as an nginx `location` does: `/ws` also fits `/wsx`.
    Prefix(String),
    /// This path only.
    Exact(String),
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// MQTT in WebSocket messages.
    ServeMqtt,
    /// The JSON Action dialect in WebSocket messages.
    ServeJson,
    /// The demo page that is built in.
    Demo,
    /// Files under `root`; what is not there is answered with the file `fallback` (from `root`), if one is named.
    Files { root: PathBuf, fallback: Option<String> },
    /// An answer of `status` (301, 302, 303, 307 or 308) with Location `to`.
    Redirect { to: String, status: u16 },
    /// What servers behind answer.
    Proxy(Box<ProxyConfig>),
    /// An answer of `status` (200 to 599) with `text` and a newline, to any method.
    Respond { text: String, status: u16 },
}

/// Which servers a route's requests go on to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Who takes the requests, in turn. With a path, the same behind each, it takes the place of what the route's own path takes of a
    /// request's; without, the target goes on byte for byte.
    pub to: Vec<ServerAddress>,
    /// Whose certificates are believed, instead of the system's authorities.
    pub ca: Option<PathBuf>,
    pub host: HostSent,
    pub balance: Balance,
    /// For a connection: name, TCP, TLS; and for room to open it, where `connections_max` are in use.
    pub connect_timeout: Duration,
    /// From the last byte of a request to the head of its answer, and from one piece of the answer to the next.
    pub response_timeout: Duration,
    /// From one piece of a request's content to the next.
    pub body_timeout: Duration,
    /// Content of a request. Bytes; more is answered with 413.
    pub body_bytes_max: u64,
    /// How long neither side of a tunnel may say anything.
    pub tunnel_timeout: Duration,
    /// How long an unused connection is kept. Shorter than the server's own, or it closes under the next request.
    pub idle_timeout: Duration,
    /// Unused connections kept, for each server. Count.
    pub idle_connections_max: usize,
    /// Connections in use, for each server. Count.
    pub connections_max: usize,
    /// Exchanges at a time on one connection, with servers of HTTP/2. Count.
    pub streams_max: usize,
    /// Requests waiting for one of these, for each server; one more is answered with 503. Count.
    pub waiting_max: usize,
    /// Failures after which a server is left alone, where there is another one.
    pub fails_max: u32,
    /// For so long.
    pub out_time: Duration,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            ca: None,
            host: HostSent::Client,
            balance: Balance::RoundRobin,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            body_bytes_max: 1024 * 1024,
            tunnel_timeout: Duration::from_secs(3600),
            idle_timeout: Duration::from_secs(55),
            idle_connections_max: 256,
            connections_max: 1024,
            streams_max: 100,
            waiting_max: 8192,
            fails_max: 1,
            out_time: Duration::from_secs(10),
        }
    }
}

/// Which Host a server behind sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostSent {
    /// The client's.
    Client,
    /// The server's own, from its URL.
    Upstream,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    RoundRobin,
    /// Whoever has the fewest requests under way.
    LeastConnections,
}

/// Which pages may open a WebSocket: judged by the Origin that browsers send and pages cannot change (RFC 6454 §7).
///
/// A request without Origin comes from no page and is let through by every rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OriginRule {
    /// Pages of the very scheme, host and port that the request was sent to.
    #[default]
    Same,
    /// Every page.
    Any,
    /// Pages of exactly these origins, written `https://app.example` or `https://app.example:8443`; `same` among them stands for
    /// [`OriginRule::Same`].
    List(Vec<String>),
}

/// How much peers may ask before they have proven who they are, and how long they may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeLimits {
    /// Connections open at a time, over all listeners; one more is closed at once. Count, default 100,000.
    /// Costs a file descriptor each, and 1 KB (plain) or 9 KB (TLS) while idle.
    pub connections_max: usize,
    /// Connections between TCP accept and accepted CONNECT at a time; one more costs the oldest of them its seat. Count, default 4,096.
    /// Costs up to 50 KB each while its handshake runs.
    pub handshaking_max: usize,
    /// No handshake is shed before this age; until then further connections wait in the listen backlog. Default 2 s: so long a slow machine
    /// takes for all of them when everybody comes back at once.
    pub handshake_age_min: Duration,
    /// From TCP accept to the last byte of a PROXY protocol header. Default 5 s.
    pub proxy_header_timeout: Duration,
    /// From TCP accept, or the PROXY protocol header, to the end of the TLS handshake. Default 10 s.
    pub tls_handshake_timeout: Duration,
    /// From the first moment a request head may come to its last byte. Default 10 s.
    pub http_head_timeout: Duration,
    /// How long an HTTP connection may stay open between two requests, and an answer may make no progress. Default 60 s.
    pub http_idle_timeout: Duration,
    /// Request line and fields together. Bytes, default 32 KiB, at least 8 KiB; more is answered with 431.
    pub http_head_bytes_max: usize,
    /// Fields in a request head. Count, default 100; more is answered with 431.
    pub http_headers_max: usize,
    pub http2: Http2Limits,
    pub addresses: AddressLimits,
    /// How long a peer is silent before the system asks whether it is still there; zero: it does not. Default 60 s.
    pub tcp_keepalive: Duration,
    /// Length of each listen backlog, as far as the system allows (`net.core.somaxconn`). Count, default 4,096.
    pub backlog: u32,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            connections_max: 100_000,
            handshaking_max: 4096,
            handshake_age_min: Duration::from_secs(2),
            proxy_header_timeout: Duration::from_secs(5),
            tls_handshake_timeout: Duration::from_secs(10),
            http_head_timeout: Duration::from_secs(10),
            http_idle_timeout: Duration::from_secs(60),
            http_head_bytes_max: 32 * 1024,
            http_headers_max: 100,
            http2: Http2Limits::default(),
            addresses: AddressLimits::default(),
            tcp_keepalive: Duration::from_secs(60),
            backlog: 4096,
        }
    }
}

/// How much one connection of HTTP/2 may ask. The heads of its requests are held to the limits of any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Requests and WebSockets at a time; one more is refused. Count, default 256.
    pub streams_max: u32,
    /// Content of requests that may wait here, over all of them; one alone takes a quarter of it, or 64 KiB. Bytes, default 1 MiB.
    pub window_bytes: u32,
    /// Frames that neither ask for anything nor bring content, beyond what answers ours: on average, ten times as many at once; more ends
    /// the connection. Count, default 500.
    pub control_frames_per_s: u32,
    /// Requests taken back, on average, ten times as many at once; more ends the connection. Count, default 50.
    pub resets_per_s: u32,
    /// How often a client is asked whether it is still there; zero: never. Default 30 s.
    pub ping_interval: Duration,
    /// For its answer; without, the connection ends. Default 20 s.
    pub ping_timeout: Duration,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams_max: 256,
            window_bytes: 1024 * 1024,
            control_frames_per_s: 500,
            resets_per_s: 50,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
        }
    }
}
