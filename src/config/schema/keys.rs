//! The table itself, in the order of the reference file.

use std::time::Duration;

use super::{Key, Kind};
use crate::edge::SERVER_ADDRESS_FORM as SERVER_FORM;

const URL_FORM: &str = "a URL of scheme https, http, mqtts or mqtt with an IP address, such as https://0.0.0.0:8443";
const ADMIN_FORM: &str = "http:// and an IP address, such as http://127.0.0.1:9090, or none";
const NETWORK_FORM: &str = "an IP network such as 10.0.0.0/8 or 2001:db8::/32, or one address";
const PATH_FORM: &str = "a URL path that begins with /";
const RESPONSE_FORM: &str =
    "the beginning of a topic, with ${username} or ${clientid} once a level, such as reply/${clientid}/";
const KEYS_FORM: &str = "a URL such as https://login.example/.well-known/jwks.json";
const URL_FORM_OUTGOING: &str =
    "a URL such as https://auth.example/mqtt, http://127.0.0.1:8000/auth or unix:/run/auth.sock:/auth";
const ORIGIN_FORM: &str = "an origin such as https://app.example, or same, or any";

/// The top level.
pub const ROOT: &[Key] = &[
    Key {
        name: "listen",
        kind: Kind::List(&Kind::OneOf(&[Kind::Text(URL_FORM), Kind::Section(LISTENER)])),
        default: Some(r#"["https://127.0.0.1:8443", "mqtt://127.0.0.1:1883"]"#),
        example: None,
        doc: "Where clients come in. http and https serve the routes below; mqtt and mqtts speak MQTT over TCP and over TLS. \
              Without a port: 80, 443, 1883, 8883; port 0 lets the system choose. \
              An address that is not loopback needs a policy, and passwords, tokens, `auth.http` or `auth.anonymous: true`; https and mqtts there need `tls.cert`.",
    },
    Key {
        name: "tls",
        kind: Kind::Section(TLS),
        default: None,
        example: None,
        doc: "The certificates of https and mqtts listeners, and how they shake hands.",
    },
    Key {
        name: "trusted_proxies",
        kind: Kind::List(&Kind::Text(NETWORK_FORM)),
        default: None,
        example: Some("[10.0.0.0/8]"),
        doc: "Networks of the proxies and load balancers before this server: whose PROXY protocol (see `proxy_protocol` under `listen`), \
              X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Port are believed, and nobody else's. The address found so is what limits, policy \
              and logs see.",
    },
    Key {
        name: "forwarded_field",
        kind: Kind::Word(&["x-forwarded-for", "forwarded"]),
        default: Some("x-forwarded-for"),
        example: None,
        doc: "The field in which trusted proxies say whom an HTTP request is from; it is read from the right, as far as hops are trusted. The other \
              is not looked at, as a proxy may hand it on as the client wrote it.",
    },
    Key {
        name: "routes",
        kind: Kind::List(&Kind::Section(ROUTE)),
        default: Some("[{path: /mqtt, serve: mqtt}, {path: /ws/, serve: json}, {path: /, serve: demo}]"),
        example: None,
        doc: "What http and https listeners do with a request, by its path. The order does not matter: an exact path wins, then the longest prefix.",
    },
    Key {
        name: "websocket",
        kind: Kind::Section(WEBSOCKET),
        default: None,
        example: None,
        doc: "What holds for every WebSocket.",
    },
    Key {
        name: "mqtt",
        kind: Kind::Section(MQTT),
        default: None,
        example: None,
        doc: "What the standard leaves to the server.",
    },
    Key { name: "auth", kind: Kind::Section(AUTH), default: None, example: None, doc: "Who may come in." },
    Key {
        name: "policy",
        kind: Kind::Path,
        default: None,
        example: Some("policy.yaml"),
        doc: "The policy file: who may publish and subscribe to what. Unset, everything is allowed to everybody who comes in, and only loopback listeners start.",
    },
    Key {
        name: "engine",
        kind: Kind::Section(ENGINE),
        default: None,
        example: None,
        doc: "The broker inside: sessions, queues, retained messages.",
    },
    Key {
        name: "slow_clients",
        kind: Kind::Section(SLOW_CLIENTS),
        default: None,
        example: None,
        doc: "What becomes of messages for a client that does not read as fast as they come. What it takes is written at once; what it does not \
              take waits, up to `limits.outbox_bytes_max`; beyond that its outbox is full, and this holds.",
    },
    Key {
        name: "limits",
        kind: Kind::Section(LIMITS),
        default: None,
        example: None,
        doc: "What one connection, and all together, may take of the server.",
    },
    later("uplinks", "Brokers that Tidegate joins its topics with."),
    later("hooks", "Where events are told by HTTP."),
    Key {
        name: "admin",
        kind: Kind::Section(ADMIN),
        default: None,
        example: None,
        doc: "The operator's own listener: /livez, /readyz, /metrics, and the API below /api.",
    },
    Key {
        name: "log",
        kind: Kind::Section(LOG),
        default: None,
        example: None,
        doc: "What is logged, to standard error.",
    },
    Key {
        name: "reload",
        kind: Kind::Section(RELOAD),
        default: None,
        example: None,
        doc: "How changed files are taken while the server runs: this one, the policy, passwords, keys and certificates. SIGHUP has them \
              read at once; a faulty file changes nothing.",
    },
];

const LISTENER: &[Key] = &[
    Key { name: "url", kind: Kind::Text(URL_FORM), default: None, example: None, doc: "Where to listen." },
    Key {
        name: "tls",
        kind: Kind::Section(TLS_OF_LISTENER),
        default: None,
        example: None,
        doc: "What holds for this listener alone. What it leaves out is as under `tls`; `cert` goes with its `key`, and `client_ca` with all about \
              clients.",
    },
    Key {
        name: "routes",
        kind: Kind::List(&Kind::Section(ROUTE)),
        default: None,
        example: None,
        doc: "Routes of this listener alone, instead of all those under `routes`.",
    },
    Key {
        name: "mqtt",
        kind: Kind::Flag,
        default: None,
        example: None,
        doc: "true: this https (or http) listener takes MQTT straight over TLS (or TCP) too, so that one port 443 serves everybody. A client \
              that offers the protocol mqtt by ALPN speaks MQTT; of who offers none, the first byte tells, within `http_head_timeout`.",
    },
    Key {
        name: "duplicate_client_id",
        kind: DUPLICATES,
        default: None,
        example: None,
        doc: "For clients of this listener alone, instead of `mqtt.duplicate_client_id`.",
    },
    Key {
        name: "proxy_protocol",
        kind: Kind::Word(&["true", "false", "required"]),
        default: None,
        example: None,
        doc: "Whether a PROXY protocol header (version 1 or 2) comes first, before TLS. true: trusted proxies send one, others connect directly. \
              required: nobody but trusted proxies may connect.",
    },
];

const TLS: &[Key] = &[
    CERT,
    KEY,
    Key {
        name: "development_dir",
        kind: Kind::Path,
        default: Some("certs/dev"),
        example: Some("../certs/dev"),
        doc: "Where a certificate for localhost is made, and found again, as long as `cert` is unset. Loopback listeners only.",
    },
    OCSP,
    Key {
        name: "acme",
        kind: Kind::Section(ACME),
        default: None,
        example: None,
        doc: "A certificate that an authority such as Let's Encrypt issues and renews, instead of `cert`. Until there is one, a self-signed \
              certificate is shown. What fails is logged, counted and tried again; what is open is never touched.",
    },
    CLIENT_CA,
    CLIENT_AUTH,
    CRL,
    Key { default: Some("refuse"), ..CRL_EXPIRED },
    Key { default: Some("1.2"), ..VERSION_MIN },
    Key { default: Some("[X25519MLKEM768, x25519, secp256r1, secp384r1]"), ..KEY_EXCHANGE },
    Key { default: Some("1"), ..TICKETS },
    Key { default: Some("6h"), ..TICKET_ROTATION },
    Key { default: Some("true"), ..HTTP2 },
];

/// Without defaults: what a listener leaves out is as all share it.
const TLS_OF_LISTENER: &[Key] = &[
    CERT,
    KEY,
    OCSP,
    CLIENT_CA,
    CLIENT_AUTH,
    CRL,
    CRL_EXPIRED,
    VERSION_MIN,
    KEY_EXCHANGE,
    TICKETS,
    TICKET_ROTATION,
    HTTP2,
];

const ACME: &[Key] = &[
    Key {
        name: "domains",
        kind: Kind::List(&Kind::Text("a host name such as app.example")),
        default: None,
        example: Some("[app.example, mqtt.app.example]"),
        doc: "The names that the certificate is for, all of which lead to this server. No wildcards: those are proven by DNS only, which is not \
              done here.",
    },
    Key {
        name: "agree_to_terms",
        kind: Kind::Flag,
        default: Some("false"),
        example: None,
        doc: "Whether you agree to the authority's terms of service. It issues nothing otherwise.",
    },
    Key {
        name: "contact",
        kind: Kind::List(&Kind::Text("a URL such as mailto:ops@app.example")),
        default: None,
        example: Some("[\"mailto:ops@app.example\"]"),
        doc: "Where the authority may write to.",
    },
    Key {
        name: "directory",
        kind: Kind::Text("an https URL such as https://acme-v02.api.letsencrypt.org/directory"),
        default: Some("https://acme-v02.api.letsencrypt.org/directory"),
        example: None,
        doc: "The authority's directory. Authorities bound failures: try things with a staging one first, such as \
              https://acme-staging-v02.api.letsencrypt.org/directory.",
    },
    Key {
        name: "challenge",
        kind: Kind::Word(&["tls-alpn-01", "http-01"]),
        default: Some("tls-alpn-01"),
        example: None,
        doc: "How it is proven that the names lead here: tls-alpn-01 by a handshake on port 443, with an https listener behind it; http-01 by a page on \
              port 80, with an http listener behind it.",
    },
    Key {
        name: "storage",
        kind: Kind::Path,
        default: Some("certs/acme"),
        example: Some("../certs/acme"),
        doc: "The folder in which account, certificate and keys are kept, readable for this process' user alone. Without it each start would \
              order another one.",
    },
    Key {
        name: "ca",
        kind: Kind::Path,
        default: None,
        example: Some("../certs/authority.pem"),
        doc: "Whose certificates are believed of the directory's own server, PEM. Unset, the system's authorities.",
    },
    Key {
        name: "eab",
        kind: Kind::Section(EAB),
        default: None,
        example: None,
        doc: "The account that you have with the authority otherwise (External Account Binding), where it wants one.",
    },
    Key {
        name: "renew_before",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(24 * 365) },
        default: Some("30d"),
        example: None,
        doc: "How long before its end a certificate is renewed; one of a short life when a third of it is left.",
    },
    Key {
        name: "retry",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(24) },
        default: Some("5m"),
        example: None,
        doc: "How long to wait after a failure; twice as long after each further one, up to 6h, and never shorter than the authority asks.",
    },
];

const EAB: &[Key] = &[
    Key {
        name: "kid",
        kind: Kind::Text("the key identifier that the authority has given"),
        default: None,
        example: Some("kid-1"),
        doc: "The key identifier.",
    },
    Key {
        name: "key_file",
        kind: Kind::Path,
        default: None,
        example: Some("eab.key"),
        doc: "The file with the MAC key, in base64url as the authority has given it.",
    },
];

const CERT: Key = Key {
    name: "cert",
    kind: Kind::OneOf(&[Kind::Path, Kind::List(&Kind::Section(PAIR))]),
    default: None,
    example: Some("../certs/server.pem"),
    doc: "The certificate chain, PEM, the server's own first. Or a list of `{cert, key}` pairs: each is shown to clients that ask for \
          a name it holds (of several for one name, the first whose kind of key they know), the first to all others. One that is not valid \
          now is a fault.",
};

const KEY: Key = Key {
    name: "key",
    kind: Kind::Path,
    default: None,
    example: Some("../certs/server.key"),
    doc: "The private key of `cert`, PEM.",
};

const OCSP: Key = Key {
    name: "ocsp",
    kind: Kind::Path,
    default: None,
    example: Some("../certs/server.ocsp"),
    doc: "What the authority of `cert` last said of it: an OCSP response, DER, as `openssl ocsp -respout` writes it. It is sent along with the \
          certificate (stapling) as long as it is not out of date.",
};

const CLIENT_CA: Key = Key {
    name: "client_ca",
    kind: Kind::Path,
    default: None,
    example: Some("../certs/clients.pem"),
    doc: "The authorities that sign clients' certificates, PEM. With it clients are asked for a certificate, and who has shown one is whom it \
          names (`auth.certificates`), unless CONNECT or the request says who it is.",
};

const CLIENT_AUTH: Key = Key {
    name: "client_auth",
    kind: Kind::Word(&["none", "optional", "required"]),
    default: None,
    example: Some("required"),
    doc: "Whether clients must show a certificate (required), may (optional), or are not asked (none). Unset: required with `client_ca`, none \
          without. One that is shown and is not good is refused always.",
};

const CRL: Key = Key {
    name: "crl",
    kind: Kind::OneOf(&[Kind::Path, Kind::List(&Kind::Path)]),
    default: None,
    example: Some("../certs/clients.crl"),
    doc: "What the authorities of clients have revoked: a PEM file, or several. With any, there must be a list of every authority on the way \
          from `client_ca` to a client's certificate, or that is refused.",
};

const CRL_EXPIRED: Key = Key {
    name: "crl_expired",
    kind: Kind::Word(&["refuse", "allow"]),
    default: None,
    example: None,
    doc: "What a list in `crl` is worth after the time at which the next one was to come: refuse all its authority's certificates, or allow \
          what it does not revoke. The log and `tidegate check` tell of it in either case.",
};

const VERSION_MIN: Key = Key {
    name: "version_min",
    kind: Kind::Word(&["1.2", "1.3"]),
    default: None,
    example: None,
    doc: "The oldest version of TLS that is spoken.",
};

const KEY_EXCHANGE: Key = Key {
    name: "key_exchange",
    kind: Kind::List(&Kind::Word(&["X25519MLKEM768", "SecP256r1MLKEM768", "x25519", "secp256r1", "secp384r1"])),
    default: None,
    example: None,
    doc: "The groups that keys are exchanged in, the preferred one first, as IANA names them. Those with MLKEM768 hold against quantum \
          computers too, and need TLS 1.3.",
};

const TICKETS: Key = Key {
    name: "tickets",
    kind: Kind::Count { min: 0, max: 8 },
    default: None,
    example: None,
    doc: "Tickets sent after a handshake of TLS 1.3, by which a client that comes back saves most of the next one; a client that opens several \
          connections at once needs as many. 0: no session is resumed, by TLS 1.2 neither.",
};

const TICKET_ROTATION: Key = Key {
    name: "ticket_rotation",
    kind: Kind::Duration { min: Duration::from_secs(60), max: hours(6) },
    default: None,
    example: None,
    doc: "How often the key that seals tickets is replaced. It lies in memory only; a ticket is good for twice this time at the most.",
};

const HTTP2: Key = Key {
    name: "http2",
    kind: Kind::Flag,
    default: None,
    example: None,
    doc: "Whether HTTP/2 is agreed on (ALPN) with clients of https listeners that offer it: pages, proxying, and WebSockets (RFC 8441), which \
          browsers open on the connection that they have already.",
};

const PAIR: &[Key] = &[
    Key { name: "cert", kind: Kind::Path, default: None, example: None, doc: "The certificate chain, PEM." },
    Key { name: "key", kind: Kind::Path, default: None, example: None, doc: "Its private key, PEM." },
    Key { name: "ocsp", kind: Kind::Path, default: None, example: None, doc: "Its OCSP response, DER." },
];

const ROUTE: &[Key] = &[
    Key {
        name: "path",
        kind: Kind::Text(PATH_FORM),
        default: None,
        example: None,
        doc: "Takes every request whose path begins so, as an nginx location does.",
    },
    Key { name: "exact", kind: Kind::Text(PATH_FORM), default: None, example: None, doc: "Takes this path alone." },
    Key {
        name: "host",
        kind: Kind::OneOf(&[Kind::Text(HOST_FORM), Kind::List(&Kind::Text(HOST_FORM))]),
        default: None,
        example: None,
        doc: "Limits the route to these hosts: names, or `*.example` for all below it. A route of the host itself beats one of a wildcard, \
              and that one without hosts, however long its path; hosts unknown here have the routes without.",
    },
    Key {
        name: "serve",
        kind: Kind::Word(&["mqtt", "json", "demo"]),
        default: None,
        example: None,
        doc: "mqtt: MQTT over WebSocket. json: the JSON Action dialect. demo: the demonstration page.",
    },
    Key { name: "files", kind: Kind::Path, default: None, example: None, doc: "Serves the files of this directory." },
    Key {
        name: "fallback",
        kind: Kind::Text(PATH_FORM),
        default: None,
        example: None,
        doc: "With `files`: the file, from its root, served where there is none of the path asked, for single-page applications.",
    },
    Key {
        name: "proxy",
        kind: Kind::OneOf(&[Kind::Text(SERVER_FORM), Kind::List(&Kind::Text(SERVER_FORM)), Kind::Section(PROXY)]),
        default: None,
        example: None,
        doc: "Passes requests on to the server at this URL (http, https or unix; h2c for HTTP/2 without TLS, h2 for HTTP/2 with it), or to several in turn, as nginx's proxy_pass does: with a \
              path in it, that takes the place of the route's own, and the rest of the path goes on normalised; without, the target goes \
              on byte for byte. WebSockets are tunnelled. Or a mapping:",
    },
    Key {
        name: "redirect",
        kind: Kind::Text("a path or an http(s) URL"),
        default: None,
        example: None,
        doc: "Redirects there. `https://${host}${target}` stands for the host that was asked for, and for its path and query.",
    },
    Key {
        name: "respond",
        kind: Kind::Text("a line of text"),
        default: None,
        example: None,
        doc: "Answers with this text, whatever the method.",
    },
    Key {
        name: "status",
        kind: Kind::Count { min: 200, max: 599 },
        default: None,
        example: None,
        doc: "With `redirect`: 301 unless said; 302, 303, 307, 308. With `respond`: 200 unless said.",
    },
    Key {
        name: "origins",
        kind: ORIGINS,
        default: None,
        example: None,
        doc: "With `serve: mqtt` or `json`: instead of `websocket.origins`.",
    },
    Key {
        name: "cors",
        kind: Kind::Section(CORS),
        default: None,
        example: None,
        doc: "Which pages of other origins may read the answers, errors among them; what a server behind says about it is replaced. With \
              `serve`, its origins may open a WebSocket, beside `same`. A mapping:",
    },
    Key {
        name: "headers",
        kind: Kind::List(&Kind::Text(FIELD_FORM)),
        default: None,
        example: None,
        doc: "Fields of every answer of the route, such as `Strict-Transport-Security: max-age=31536000`, in the place of those of the same name.",
    },
    Key {
        name: "compress",
        kind: Kind::OneOf(&[Kind::Flag, Kind::Section(COMPRESS)]),
        default: Some("false"),
        example: None,
        doc: "Whether answers are compressed on their way (brotli or gzip, as the client takes them): files, proxied ones and others, unless \
              they are already, are parts, or say `Cache-Control: no-transform`. Off, as the length of a compressed page tells something \
              of a secret in it (a token against forged requests) to who can put text of his own beside it (the attack BREACH): switch \
              it on where a page has no such secret, or masks it anew each time. true, or a mapping:",
    },
];

/// The defaults are those of `CompressionConfig`; a test holds the texts against them.
const COMPRESS: &[Key] = &[
    Key {
        name: "types",
        kind: Kind::List(&Kind::Text(MEDIA_TYPE_FORM)),
        default: Some(
            "[text/*, application/javascript, application/json, application/ld+json, application/manifest+json, \
             application/problem+json, application/geo+json, application/xml, application/xhtml+xml, application/rss+xml, \
             application/atom+xml, application/wasm, image/svg+xml]",
        ),
        example: None,
        doc: "Which media types. `text/*` is every text but text/event-stream, which counts where it is named; its events still come at once.",
    },
    Key {
        name: "bytes_min",
        kind: Kind::Size { min: 0, max: 1 << 30 },
        default: Some("1KiB"),
        example: None,
        doc: "Answers known to be shorter go as they are.",
    },
    Key {
        name: "answers_max",
        kind: Kind::Count { min: 1, max: 100_000 },
        default: Some("64"),
        example: None,
        doc: "Answers of the route compressed at a time, each of which takes up to about 2 MiB; further ones go as they are.",
    },
];

const MEDIA_TYPE_FORM: &str = "a media type, such as text/html or text/*";

/// The defaults are those of `ProxyConfig`; a test holds the texts against them.
const PROXY: &[Key] = &[
    Key {
        name: "to",
        kind: Kind::OneOf(&[Kind::Text(SERVER_FORM), Kind::List(&Kind::Text(SERVER_FORM))]),
        default: None,
        example: None,
        doc: "The server, or several.",
    },
    Key {
        name: "host",
        kind: Kind::Word(&["client", "upstream"]),
        default: Some("client"),
        example: None,
        doc: "Which Host the server sees: the client's, or its own from its URL.",
    },
    Key {
        name: "ca",
        kind: Kind::Path,
        default: None,
        example: None,
        doc: "Authorities (PEM) of an https server, instead of the system's. Its certificate is always verified.",
    },
    Key {
        name: "balance",
        kind: Kind::Word(&["round_robin", "least_connections"]),
        default: Some("round_robin"),
        example: None,
        doc: "Whose turn it is among several.",
    },
    Key {
        name: "connect_timeout",
        kind: PROXY_TIMEOUT,
        default: Some("5s"),
        example: None,
        doc: "For a connection (name, TCP, TLS), and for one to become free; then 502 or 503.",
    },
    Key {
        name: "response_timeout",
        kind: PROXY_TIMEOUT,
        default: Some("60s"),
        example: None,
        doc: "From a whole request to the answer's head, then 504; and from one piece of the answer to the next.",
    },
    Key {
        name: "body_timeout",
        kind: PROXY_TIMEOUT,
        default: Some("60s"),
        example: None,
        doc: "From one piece of a request's content to the next; then 408.",
    },
    Key {
        name: "body_bytes_max",
        kind: Kind::Size { min: 0, max: 1 << 40 },
        default: Some("1MiB"),
        example: None,
        doc: "Content of a request; more is answered with 413.",
    },
    Key {
        name: "tunnel_timeout",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(24 * 7) },
        default: Some("1h"),
        example: None,
        doc: "How long neither side of a WebSocket may say anything.",
    },
    Key {
        name: "idle_timeout",
        kind: PROXY_TIMEOUT,
        default: Some("55s"),
        example: None,
        doc: "How long an unused connection is kept; shorter than the server's own.",
    },
    Key {
        name: "idle_connections_max",
        kind: Kind::Count { min: 0, max: 10_000 },
        default: Some("256"),
        example: None,
        doc: "Unused connections kept, for each server.",
    },
    Key {
        name: "connections_max",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        default: Some("1024"),
        example: None,
        doc: "Connections in use, for each server.",
    },
    Key {
        name: "streams_max",
        kind: Kind::Count { min: 1, max: 10_000 },
        default: Some("100"),
        example: None,
        doc: "Requests at a time on one connection of an h2c or h2 server, where it does not say fewer itself.",
    },
    Key {
        name: "waiting_max",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        default: Some("8192"),
        example: None,
        doc: "Requests that wait for one of these; a further one is answered with 503.",
    },
    Key {
        name: "fails_max",
        kind: Kind::Count { min: 1, max: 1_000 },
        default: Some("1"),
        example: None,
        doc: "Failures after which a server is left alone, where there is another. If all are, they are tried nevertheless.",
    },
    Key { name: "out_time", kind: PROXY_TIMEOUT, default: Some("10s"), example: None, doc: "For so long." },
];

/// The defaults are those of `CorsConfig`.
const CORS: &[Key] = &[
    Key {
        name: "origins",
        kind: ORIGINS,
        default: None,
        example: None,
        doc: "Whose pages: a list of exact origins, or `any`.",
    },
    Key {
        name: "methods",
        kind: Kind::List(&Kind::Text("a method")),
        default: Some("[GET, HEAD, POST, PUT, PATCH, DELETE]"),
        example: None,
        doc: "What they may do.",
    },
    Key {
        name: "headers",
        kind: Kind::List(&Kind::Text("the name of a field")),
        default: None,
        example: None,
        doc: "Which fields they may send; whatever they ask for, unless said.",
    },
    Key {
        name: "exposed",
        kind: Kind::List(&Kind::Text("the name of a field")),
        default: None,
        example: None,
        doc: "Which fields of answers they may read, beside the usual ones.",
    },
    Key {
        name: "credentials",
        kind: Kind::Flag,
        default: Some("false"),
        example: None,
        doc: "Whether cookies go along; not with `any`.",
    },
    Key {
        name: "max_age",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(24) },
        default: Some("10m"),
        example: None,
        doc: "How long a browser may rely on what it was told.",
    },
];

const FIELD_FORM: &str = "a field, such as X-Frame-Options: DENY";

const PROXY_TIMEOUT: Kind = Kind::Duration { min: Duration::from_millis(100), max: hours(24) };

const HOST_FORM: &str = "a host name without port, or *. and one";

const ORIGINS: Kind = Kind::OneOf(&[Kind::Text(ORIGIN_FORM), Kind::List(&Kind::Text(ORIGIN_FORM))]);

const WEBSOCKET: &[Key] = &[
    Key {
        name: "origins",
        kind: ORIGINS,
        default: Some("[same]"),
        example: None,
        doc: "Which pages may open one: `same` (pages from the host they connect to), `any`, or a list of exact origins such as \
              https://app.example, which may hold `same` too. What sends no Origin is no browser and passes.",
    },
    Key {
        name: "ping_interval",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(1) },
        default: Some("25s"),
        example: None,
        doc: "How often the server pings, so that proxies which cut what is silent (after 60 s, mostly) keep the connection.",
    },
    Key {
        name: "ping_timeout",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(1) },
        default: Some("50s"),
        example: None,
        doc: "How long nothing may come after a ping before the WebSocket is closed, whatever its Keep Alive: its peer is gone without a word.",
    },
    Key {
        name: "pongs_keep_alive",
        kind: Kind::Flag,
        default: Some("true"),
        example: None,
        doc: "Whether an answered ping counts towards the Keep Alive of MQTT: browsers slow the timers of pages in the background, and \
              answer pings all the same. false: packets alone count, so that a page that hangs is found.",
    },
    Key {
        name: "message_bytes_max",
        kind: Kind::Size { min: 1 << 10, max: 256 << 20 },
        default: Some("2MiB"),
        example: None,
        doc: "The longest message taken from a client, all its frames together; more closes the connection (1009).",
    },
];

const MQTT: &[Key] = &[
    Key {
        name: "response_information",
        kind: Kind::Text(RESPONSE_FORM),
        default: None,
        example: Some("reply/${clientid}/"),
        doc: "What an MQTT 5.0 client that asks for Response Information is told: the beginning of the topics on which it gets its answers. \
              Who cannot stand as one level of a topic is told nothing. It grants nothing: the policy does.",
    },
    Key {
        name: "revoked",
        kind: Kind::Word(&["disconnect", "keep"]),
        default: Some("disconnect"),
        example: None,
        doc: "What becomes of the connection of an MQTT 5.0 client that loses a subscription when the policy is replaced: disconnect ends it \
              with 0x87 and a Reason String that names the Topic Filter, as 5.0 has no other way to tell; with keep the subscription is gone, \
              and nothing is said. JSON clients are told and stay, older clients stay.",
    },
    Key {
        name: "long_client_ids",
        kind: Kind::Flag,
        default: Some("false"),
        example: None,
        doc: "Whether MQTT 3.1 clients may have Client Identifiers of more than 23 characters, which 3.1 refuses (return code 2).",
    },
    Key {
        name: "duplicate_client_id",
        kind: DUPLICATES,
        default: Some("takeover"),
        example: None,
        doc: "What becomes of a client whose Client Identifier another connection of the same user has (another user's is always refused). \
              takeover: it gets the session and the other is closed, as the standard says, but not for ever (`limits.takeovers_max`). \
              reject: it is refused (0x85; return code 2). suffix: it gets a session of its own as ID-2, ID-3 and so on, which MQTT 5.0 \
              clients are told; rules of the policy with ${clientid} mean the one it got.",
    },
];

const DUPLICATES: Kind = Kind::Word(&["takeover", "reject", "suffix"]);

const AUTH: &[Key] = &[
    Key {
        name: "anonymous",
        kind: Kind::Flag,
        default: None,
        example: Some("false"),
        doc: "Whether clients without credentials come in, as `anonymous`. Wrong credentials are refused always; where no method is \
              configured they are ignored. Unset: true as long as no method is configured and all listeners are loopback.",
    },
    Key {
        name: "passwords",
        kind: Kind::Path,
        default: None,
        example: Some("passwords"),
        doc: "The password file: mosquitto_passwd's formats ($6$, $7$), argon2id and SCRAM-SHA-256 verifiers. `tidegate passwd` writes it. \
              As soon as it has a SCRAM-SHA-256 verifier, MQTT 5.0 clients may authenticate by that method, and send no password.",
    },
    Key {
        name: "hashing_max",
        kind: Kind::Count { min: 1, max: 64 },
        default: Some("2"),
        example: None,
        doc: "Passwords hashed at the same time; each takes one core, and up to 20 MiB with argon2id. Further logins wait.",
    },
    Key {
        name: "waiting_max",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        default: Some("512"),
        example: None,
        doc: "Logins that wait for their password to be hashed, and as many for the keys of their token. More are told at once to come again \
              (0x88), as they would wait past `limits.connect_timeout`.",
    },
    Key {
        name: "jwt",
        kind: Kind::Section(JWT),
        default: None,
        example: None,
        doc: "Tokens (JWT) that somebody else signed, by RS256, ES256, EdDSA or HS256. They come as the password of CONNECT, whose user name is \
              then empty or the token's; as Token of the JSON dialect; or with the request that opens a WebSocket: `?token=`, \
              `Authorization: Bearer`, a subprotocol `bearer.TOKEN` beside the real one, or a cookie. What CONNECT says goes before what \
              the request said.",
    },
    Key {
        name: "order",
        kind: Kind::List(&Kind::Word(&["jwt", "certificates", "passwords", "http"])),
        default: Some("[jwt, certificates, passwords, http]"),
        example: None,
        doc: "Which method looks at credentials first, where several are configured and could know them. If none does, they are wrong. What \
              CONNECT says always goes before what the connection brings along; of that, a request's token and a client certificate, the \
              earlier one in this list counts alone.",
    },
    Key {
        name: "certificates",
        kind: Kind::Section(CERTIFICATES),
        default: None,
        example: None,
        doc: "Client certificates (`tls.client_ca`) as what says who a client is that says nothing itself. A connection ends when its \
              certificate does, as with tokens (`jwt.grace`). The policy sees as claims what there is of: subject, subject_cn, subject_o, \
              subject_ou, issuer, serial, fingerprint (SHA-256), san_dns, san_email, san_uri, san_ip; several of a kind are a list.",
    },
    Key {
        name: "penalty",
        kind: Kind::Section(PENALTY),
        default: None,
        example: None,
        doc: "What failed logins by password cost. An address (a /64 of IPv6) that guesses is refused for a while; users who have logged in from \
              it before are not, and nobody is refused for what comes from elsewhere: a user name that many guess at gets slower refusals. \
              `limits.addresses_exempt` are exempt.",
    },
    Key {
        name: "http",
        kind: Kind::Section(AUTH_HTTP),
        default: None,
        example: None,
        doc: "An HTTP server of yours that is asked who a client is, by a POST of JSON: see auth-http.md.",
    },
];

const PENALTY: &[Key] = &[
    Key {
        name: "free_failures",
        kind: Kind::Count { min: 0, max: 10_000 },
        default: Some("5"),
        example: None,
        doc: "Failed logins that cost nothing.",
    },
    Key {
        name: "delay",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(1) },
        default: Some("1s"),
        example: None,
        doc: "What the first failure beyond those costs, each further one twice as much as the one before: for so long the address is refused \
              (0x9F, return code 3) without a look at its credentials. 0s: nothing.",
    },
    Key {
        name: "delay_max",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(24) },
        default: Some("15m"),
        example: None,
        doc: "What a failure costs at most.",
    },
    Key {
        name: "memory",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(24 * 7) },
        default: Some("1h"),
        example: None,
        doc: "After this time without a failure all are forgotten.",
    },
];

const CERTIFICATES: &[Key] = &[Key {
    name: "username",
    kind: Kind::Word(&["subject_cn", "subject", "san_dns", "san_email", "san_uri", "fingerprint", "none"]),
    default: Some("subject_cn"),
    example: None,
    doc: "Which name in a certificate is the username: the common name, the whole subject (RFC 4514), the first alternative name of a kind, \
          or SHA-256 of the certificate in hexadecimal digits. Who has no such name, or two common names, is refused. none: \
          certificates open the connection, and say nothing of who comes.",
}];

const JWT: &[Key] = &[
    Key {
        name: "keys",
        kind: Kind::UrlOrPath(KEYS_FORM),
        default: None,
        example: Some("jwks.json"),
        doc: "The keys, a JWK Set: RSA for RS256, EC P-256 for ES256, OKP Ed25519 for EdDSA, oct for HS256, public halves only; or PEM, public keys of the first three kinds \
              or certificates, whose keys stand for any `kid`. A file, or the URL \
              where the issuer publishes them: https, or http on this machine. Unset, no tokens are taken. They are read again when they may have \
              changed, and faulty ones leave those that were read before. The server starts without the issuer; until keys come, whoever \
              brings a token is told to come again (0x88).",
    },
    Key {
        name: "ca",
        kind: Kind::Path,
        default: None,
        example: Some("../certs/issuer-ca.pem"),
        doc: "With a URL as `keys`: the authority, PEM, that signs the certificate there, instead of those that the system believes.",
    },
    Key {
        name: "timeout",
        kind: Kind::Duration { min: Duration::from_millis(100), max: Duration::from_secs(30) },
        default: Some("5s"),
        example: None,
        doc: "How long fetching the keys from their URL may take.",
    },
    Key {
        name: "stale_max",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(7 * 24) },
        default: Some("1h"),
        example: None,
        doc: "How long the keys of a URL are used after they were last had from there; then whoever brings a token is told to come again (0x88) until \
              they are had once more. A fetch that failed is tried again after one second, then after up to 30.",
    },
    Key {
        name: "keys_bytes_max",
        kind: Kind::Size { min: 1 << 10, max: 16 << 20 },
        default: Some("1MiB"),
        example: None,
        doc: "The longest JWK Set, or PEM.",
    },
    Key {
        name: "audience",
        kind: Kind::Text("the audience as tokens name it"),
        default: None,
        example: Some("tidegate"),
        doc: "What `aud` of a token has to hold. Unset, tokens that name an audience are refused, as they are meant for somebody else.",
    },
    Key {
        name: "issuer",
        kind: Kind::Text("the issuer as tokens name it"),
        default: None,
        example: Some("https://login.example/"),
        doc: "What `iss` of a token has to be, exactly. Unset, whoever holds one of the keys may issue.",
    },
    Key {
        name: "username_claim",
        kind: Kind::Text("the name of a claim"),
        default: Some("sub"),
        example: None,
        doc: "Which claim is the username; where none has that name, dots lead into objects (user.name). All claims that are texts, numbers or true and false, and lists of such, are given to the policy, those within objects by names with dots (realm_access.roles).",
    },
    Key {
        name: "leeway",
        kind: Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(300) },
        default: Some("10s"),
        example: None,
        doc: "How far the issuer's clock may be off, for `exp` and `nbf`. A token without `exp` is refused.",
    },
    Key {
        name: "refresh",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(24) },
        default: None,
        example: Some("10s"),
        doc: "How often the keys are looked at for changes, a tenth sooner or later; unset, 10s for a file, 5m for a URL. And at once when a token \
              names a key that is not there, but once a second at most, and as long as that brings nothing new, every ten seconds at a URL.",
    },
    Key {
        name: "token_bytes_max",
        kind: Kind::Size { min: 256, max: 64 << 10 },
        default: Some("8KiB"),
        example: None,
        doc: "The longest token. `limits.connect_bytes_max` bounds those in CONNECT too, `limits.http_head_bytes_max` those of requests.",
    },
    Key {
        name: "cookie",
        kind: Kind::Text("the name of a cookie"),
        default: None,
        example: Some("session"),
        doc: "The cookie that may hold a token, one for `auth.http` too. It counts only where `origins` lists which pages may connect and the browser said that it is one \
              of them: with `any`, a cookie would let every page act for whoever looks at it.",
    },
    Key {
        name: "warning",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(1) },
        default: Some("60s"),
        example: None,
        doc: "How long before its token expires a JSON client is told (token_expiring), so that it sends a new one with `auth`.",
    },
    Key {
        name: "grace",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(1) },
        default: Some("30s"),
        example: None,
        doc: "How long after its token has expired a connection is closed (0xA0, token_expired) unless a new one came.",
    },
];

const AUTH_HTTP: &[Key] = &[
    Key {
        name: "url",
        kind: Kind::Text(URL_FORM_OUTGOING),
        default: None,
        example: Some("http://127.0.0.1:8000/auth"),
        doc: "Where it is: https, or http or a socket on this machine. Unset, nobody is asked.",
    },
    Key {
        name: "danger_plain_http",
        kind: Kind::Flag,
        default: Some("false"),
        example: None,
        doc: "Whether http:// may lead to another machine. Passwords go there in the clear then, and whoever is on the way can let in anybody.",
    },
    Key {
        name: "ca",
        kind: Kind::Path,
        default: None,
        example: Some("../certs/auth-ca.pem"),
        doc: "The authority, PEM, that signs the certificate there, instead of those that the system believes.",
    },
    Key {
        name: "token_file",
        kind: Kind::Path,
        default: None,
        example: Some("auth-http.token"),
        doc: "A file with a secret that is sent along (`Authorization: Bearer`), so that the server knows who asks.",
    },
    Key {
        name: "timeout",
        kind: Kind::Duration { min: Duration::from_millis(50), max: Duration::from_secs(30) },
        default: Some("2s"),
        example: None,
        doc: "How long a login waits for its answer, for those before it included. Shorter than `limits.connect_timeout`.",
    },
    Key {
        name: "allow_ttl",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(24) },
        default: Some("60s"),
        example: None,
        doc: "How long a yes holds for logins with the very same credentials, Client Identifier and address, up to a tenth less; 0s asks \
              every time.",
    },
    Key {
        name: "deny_ttl",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(1) },
        default: Some("5s"),
        example: None,
        doc: "How long a no holds, up to a tenth less.",
    },
    Key {
        name: "stale_max",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(24) },
        default: Some("5m"),
        example: None,
        doc: "For how much longer a yes holds while the server fails; then such a login is told to come again (0x88), as all others are at once.",
    },
    Key {
        name: "cache_max",
        kind: Kind::Count { min: 0, max: 10_000_000 },
        default: Some("10000"),
        example: None,
        doc: "The most answers that are kept, some 400 bytes each, of yes and of no apart; the oldest gives way.",
    },
    Key {
        name: "requests_max",
        kind: Kind::Count { min: 1, max: 10_000 },
        default: Some("32"),
        example: None,
        doc: "The most requests under way at the same time. Further logins wait; equal ones wait for the same answer.",
    },
    Key {
        name: "waiting_max",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        default: Some("4096"),
        example: None,
        doc: "The most different logins that wait for their answer; more are treated as if the server failed.",
    },
    Key {
        name: "answer_bytes_max",
        kind: Kind::Size { min: 256, max: 16 << 20 },
        default: Some("64KiB"),
        example: None,
        doc: "The longest answer.",
    },
];

const ENGINE: &[Key] = &[
    Key {
        name: "session_expiry_max",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(49_710 * 24) },
        default: Some("7d"),
        example: None,
        doc: "How long a session outlives its connection at most. MQTT 5.0 clients are told; kept sessions of older ones get this.",
    },
    Key {
        name: "sessions_max",
        kind: Kind::Count { min: 1, max: 100_000_000 },
        default: Some("1000000"),
        example: None,
        doc: "Sessions, connected or kept. Further clients are refused (Quota exceeded).",
    },
    Key {
        name: "subscriptions_max",
        kind: Kind::Count { min: 1, max: 10_000_000 },
        default: Some("10000"),
        example: None,
        doc: "Subscriptions of one session.",
    },
    Key {
        name: "subscription_bytes_max",
        kind: Kind::Size { min: 1 << 10, max: 1 << 30 },
        default: Some("1MiB"),
        example: None,
        doc: "Topic Filters of one session's subscriptions, as text.",
    },
    Key {
        name: "queue_bytes_max",
        kind: Kind::Size { min: 1 << 10, max: 4 << 30 },
        default: Some("1MiB"),
        example: None,
        doc: "What waits for one session while its client is away or slow: topic, properties and payload, and 64 bytes for each message. \
              Beyond, messages are dropped and counted: QoS 0 first, oldest first, then as `queue_full` says.",
    },
    Key {
        name: "queue_full",
        kind: Kind::Word(&["drop_newest", "drop_oldest"]),
        default: Some("drop_newest"),
        example: None,
        doc: "Which QoS 1 and 2 messages a full queue loses: drop_newest (the one that arrives) keeps a history without gaps, drop_oldest \
              (what waited longest) the present.",
    },
    Key {
        name: "inflight_max",
        kind: Kind::Count { min: 1, max: 65_535 },
        default: Some("64"),
        example: None,
        doc: "QoS 1 and 2 messages unacknowledged at a time, in each direction of one session (Receive Maximum).",
    },
    Key {
        name: "packet_bytes_max",
        kind: Kind::Size { min: 1 << 10, max: 256 << 20 },
        default: Some("2MiB"),
        example: None,
        doc: "The longest MQTT packet taken from a client (Maximum Packet Size).",
    },
    Key {
        name: "retained_messages_max",
        kind: Kind::Count { min: 0, max: 100_000_000 },
        default: Some("1000000"),
        example: None,
        doc: "Retained messages, one a topic.",
    },
    Key {
        name: "retained_bytes_max",
        kind: Kind::Size { min: 0, max: 1 << 40 },
        default: Some("256MiB"),
        example: None,
        doc: "Topics and payloads of all retained messages together.",
    },
    Key {
        name: "sys_interval",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(24) },
        default: Some("10s"),
        example: None,
        doc: "How often the `$SYS/broker/…` topics are brought up to date, named as mosquitto's: what changed is published, and a new \
              subscriber gets all of them. Where there is a policy, it must grant reading them; no client can write them. 0s: none.",
    },
    later("store", "Where sessions and retained messages outlive the process."),
];

const SLOW_CLIENTS: &[Key] = &[
    Key {
        name: "when_full",
        kind: WHEN_FULL,
        default: Some("drop_newest"),
        example: None,
        doc: "drop_newest: at QoS 0 the message that arrives is dropped. drop_oldest: at QoS 0 it waits in the session's queue \
              (`engine.queue_bytes_max`), and where that is full, the oldest of QoS 0 goes. conflate: as drop_oldest, and of what waits in the \
              queue only the newest message of each topic is kept, in the place of the one before, so that each topic has its turn; at QoS 1 \
              and 2 too, as long as a message was not sent, and while the client is away. A message of a Shared Subscription takes no \
              other's place. disconnect: the client is closed (0x97 Quota exceeded, 1008) rather than miss a message. \
              Everywhere else QoS 1 and 2 wait in the queue, and `engine.queue_full` says which a full one loses.",
    },
    Key {
        name: "topics",
        kind: Kind::List(&Kind::Section(SLOW_TOPIC)),
        default: None,
        example: Some("[{filter: \"prices/#\", when_full: conflate}, {filter: \"alarms/#\", when_full: disconnect}]"),
        doc: "Topics for which something else holds. The first of these whose filter matches decides. At most 256.",
    },
];

const SLOW_TOPIC: &[Key] = &[
    Key {
        name: "filter",
        kind: Kind::Text("a Topic Filter"),
        default: None,
        example: None,
        doc: "A Topic Filter; of topics that begin with $ it matches only those that it names.",
    },
    Key { name: "when_full", kind: WHEN_FULL, default: None, example: None, doc: "As above, for these topics." },
];

const WHEN_FULL: Kind = Kind::Word(&["drop_newest", "drop_oldest", "conflate", "disconnect"]);

const LIMITS: &[Key] = &[
    Key {
        name: "connections_max",
        kind: Kind::Count { min: 1, max: 10_000_000 },
        default: Some("100000"),
        example: None,
        doc: "Connections of all listeners together. The process may need a higher limit of open files for it.",
    },
    Key {
        name: "connections_per_user_max",
        kind: Kind::Count { min: 1, max: 10_000_000 },
        default: None,
        example: Some("100"),
        doc: "Connections of one user at a time; of those who come without credentials, of one address (IPv6: of one /64). `connections_max` \
              of the policy's roles goes before it. Further ones are refused (0x97 Quota exceeded; return code 3); one that takes over \
              another's Client Identifier is none more. Unset: any.",
    },
    Key {
        name: "connections_per_client_id_max",
        kind: Kind::Count { min: 1, max: 1_000 },
        default: Some("8"),
        example: None,
        doc: "With `duplicate_client_id: suffix`: connections of one Client Identifier, with and without suffix. Further ones are refused (0x97).",
    },
    Key {
        name: "takeovers_max",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        default: Some("30"),
        example: None,
        doc: "How often a Client Identifier that is connected may be taken over within `takeovers_window`. Two pages with one Client Identifier, \
              of which each comes back when the other has taken it, would otherwise go on for ever. Beyond it the page that has it keeps it, \
              and the other is refused (0x9F Connection rate exceeded; return code 3).",
    },
    Key {
        name: "takeovers_window",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(24) },
        default: Some("5m"),
        example: None,
        doc: "See `takeovers_max`. Who is refused gets the Client Identifier again after letting it alone for so long, or once it is free.",
    },
    Key {
        name: "takeovers_remembered_max",
        kind: Kind::Count { min: 1, max: 10_000_000 },
        default: Some("10000"),
        example: None,
        doc: "Client Identifiers of which it is remembered how often they changed hands, at about 150 bytes. Those beyond may do so as often as they like.",
    },
    Key {
        name: "memory_max",
        kind: Kind::Size { min: 0, max: 1 << 50 },
        default: None,
        example: Some("1GiB"),
        doc: "Memory that clients make the server hold, all together: what waits for those who do not read, what waits in queues and is in \
              flight, packets that are not whole. Retained messages have `engine.retained_bytes_max`. Before it is reached others give way, \
              each losing by its own rule: from 75% on outboxes of clients that do not read, the largest first; from 85% on the queues of sessions \
              that are away, from 90% on all queues grow no more. Beyond it new connections are refused, and those not let in yet are closed, \
              the newest first, until 5% of it are free; if that takes longer than a second, connections that do not read are cut, the largest \
              first. Unset: half of the memory of the machine, or of its control group. 0B: no limit.",
    },
    Key {
        name: "lag_max",
        kind: Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(60) },
        default: Some("500ms"),
        example: None,
        doc: "How late the server's tasks may run. Three measurements in a row beyond it (one each 100 ms, and as late itself), and new connections are \
              refused and those not let in yet closed, the newest first, until three in a row are below half of it. 0s: never.",
    },
    Key {
        name: "handshaking_max",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        default: Some("4096"),
        example: None,
        doc: "Connections still in their TLS, HTTP or WebSocket handshake; the oldest gives way to a further one.",
    },
    Key {
        name: "handshake_age_min",
        kind: Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(60) },
        default: Some("2s"),
        example: None,
        doc: "No handshake gives way before this age; until then further connections wait in the listen backlog.",
    },
    Key {
        name: "tcp_keepalive",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(2) },
        default: Some("60s"),
        example: None,
        doc: "How long a peer is silent before the system asks whether it is still there (TCP keepalive), which finds those that are gone without \
              a word after about twice that, even where MQTT has no Keep Alive. 0s: it does not ask.",
    },
    Key {
        name: "address_connects_per_s",
        kind: Kind::Count { min: 0, max: 1_000_000 },
        default: Some("50"),
        example: None,
        doc: "New connections of one address a second, on average; more are refused before TLS. An address is one of IPv4, or a /64 of IPv6; \
              behind `trusted_proxies`, the client's. 0: any number.",
    },
    Key {
        name: "address_connects_burst",
        kind: Kind::Count { min: 1, max: 10_000_000 },
        default: Some("500"),
        example: None,
        doc: "New connections of one address at once, before the average counts: all the browsers of an office that come back together.",
    },
    Key {
        name: "connections_per_address_max",
        kind: Kind::Count { min: 1, max: 10_000_000 },
        default: Some("10000"),
        example: None,
        doc: "Connections of one address at a time.",
    },
    Key {
        name: "handshaking_per_address_max",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        default: Some("512"),
        example: None,
        doc: "Connections of one address that are not accepted as clients yet, nor answered as visitors; more are refused before TLS.",
    },
    Key {
        name: "addresses_exempt",
        kind: Kind::List(&Kind::Text(NETWORK_FORM)),
        default: Some("[127.0.0.0/8, \"::1/128\"]"),
        example: None,
        doc: "Networks that no limit of one address concerns. `trusted_proxies` are exempt besides, as they speak for many.",
    },
    Key {
        name: "addresses_remembered_max",
        kind: Kind::Count { min: 2, max: 100_000_000 },
        default: Some("100000"),
        example: None,
        doc: "Addresses whose rates, and whose failed logins, are remembered, at some 40 bytes each; those that were not seen for longest are \
              forgotten for others.",
    },
    Key {
        name: "backlog",
        kind: Kind::Count { min: 1, max: 65_535 },
        default: Some("4096"),
        example: None,
        doc: "Length of each listen backlog, as far as the system allows (net.core.somaxconn).",
    },
    Key {
        name: "proxy_header_timeout",
        kind: HANDSHAKE_TIMEOUT,
        default: Some("5s"),
        example: None,
        doc: "For a whole PROXY protocol header, where one is due.",
    },
    Key {
        name: "tls_handshake_timeout",
        kind: HANDSHAKE_TIMEOUT,
        default: Some("10s"),
        example: None,
        doc: "For a whole TLS handshake, however slowly its bytes come.",
    },
    Key {
        name: "http_head_timeout",
        kind: HANDSHAKE_TIMEOUT,
        default: Some("10s"),
        example: None,
        doc: "For a whole HTTP request head, however slowly its bytes come.",
    },
    Key {
        name: "http_idle_timeout",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(1) },
        default: Some("60s"),
        example: None,
        doc: "How long an HTTP connection stays open between two requests, and an answer may make no progress.",
    },
    Key {
        name: "http_head_bytes_max",
        kind: Kind::Size { min: 8 << 10, max: 1 << 20 },
        default: Some("32KiB"),
        example: None,
        doc: "Request line and header fields of one HTTP request; more is answered with 431.",
    },
    Key {
        name: "http_headers_max",
        kind: Kind::Count { min: 16, max: 10_000 },
        default: Some("100"),
        example: None,
        doc: "Header fields of one HTTP request; more is answered with 431.",
    },
    Key {
        name: "http2_streams_max",
        kind: Kind::Count { min: 1, max: 65_535 },
        default: Some("256"),
        example: None,
        doc: "Requests and WebSockets at a time on one connection of HTTP/2; one more is refused, and browsers wait. A WebSocket also counts \
              wherever a connection does.",
    },
    Key {
        name: "http2_window_bytes",
        kind: Kind::Size { min: 64 << 10, max: 64 << 20 },
        default: Some("1MiB"),
        example: None,
        doc: "What clients may send ahead on one connection of HTTP/2 before it is read; one request alone a quarter of it, or 64KiB.",
    },
    Key {
        name: "http2_control_frames_per_s",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        default: Some("500"),
        example: None,
        doc: "Frames of one connection of HTTP/2 that ask for nothing and bring nothing (SETTINGS, PING, PRIORITY, CONTINUATION, empty DATA, \
              WINDOW_UPDATE beyond one for each 128 bytes it is sent), on average, and ten times as many at once; more ends it.",
    },
    Key {
        name: "http2_resets_per_s",
        kind: Kind::Count { min: 1, max: 1_000_000 },
        default: Some("50"),
        example: None,
        doc: "Requests that one connection of HTTP/2 may take back, on average, and ten times as many at once; more ends it \
              (Rapid Reset, CVE-2023-44487).",
    },
    Key {
        name: "http2_ping_interval",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(1) },
        default: Some("30s"),
        example: None,
        doc: "How often the client of a connection of HTTP/2 is asked whether it is still there; 0s: never.",
    },
    Key {
        name: "http2_ping_timeout",
        kind: HANDSHAKE_TIMEOUT,
        default: Some("20s"),
        example: None,
        doc: "For its answer; without, the connection ends.",
    },
    Key {
        name: "connect_timeout",
        kind: HANDSHAKE_TIMEOUT,
        default: Some("10s"),
        example: None,
        doc: "From a ready transport to the client's CONNECT.",
    },
    Key {
        name: "connect_bytes_max",
        kind: Kind::Size { min: 512, max: 1 << 20 },
        default: Some("8KiB"),
        example: None,
        doc: "The longest packet before a client is authenticated: its CONNECT, the Will in it included.",
    },
    Key {
        name: "idle_timeout",
        kind: Kind::Duration { min: Duration::from_secs(5), max: hours(24) },
        default: Some("75s"),
        example: None,
        doc: "How long a client may be silent where no Keep Alive says so: a JSON client, whose browser answers pings by itself, and a packet begun but not finished.",
    },
    Key {
        name: "close_timeout",
        kind: HANDSHAKE_TIMEOUT,
        default: Some("5s"),
        example: None,
        doc: "How long a closing connection may take to read its last bytes.",
    },
    Key {
        name: "keep_alive_max",
        kind: Kind::Duration { min: Duration::from_secs(5), max: Duration::from_secs(65_535) },
        default: None,
        example: Some("1h"),
        doc: "The longest Keep Alive granted, in whole seconds; MQTT 5.0 clients that ask for more, or for none, are told (Server Keep Alive). \
              Unset: any, and none.",
    },
    Key {
        name: "outbox_bytes_max",
        kind: Kind::Size { min: 4 << 10, max: 1 << 30 },
        default: Some("1MiB"),
        example: None,
        doc: "What waits in the server for one client to read it. Beyond, QoS 1 and 2 go to its queue, and `slow_clients` says what becomes of QoS 0.",
    },
    Key {
        name: "user_properties_max",
        kind: Kind::Count { min: 0, max: 10_000 },
        default: Some("64"),
        example: None,
        doc: "User Properties in one MQTT 5.0 packet.",
    },
    Key {
        name: "filters_max",
        kind: Kind::Count { min: 1, max: 100_000 },
        default: Some("256"),
        example: None,
        doc: "Topic Filters in one SUBSCRIBE or UNSUBSCRIBE.",
    },
    Key {
        name: "topic_aliases_max",
        kind: Kind::Count { min: 0, max: 65_535 },
        default: Some("16"),
        example: None,
        doc: "Topic Aliases that an MQTT 5.0 client may set (Topic Alias Maximum); each keeps one topic.",
    },
    Key {
        name: "topic_aliases_out_max",
        kind: Kind::Count { min: 0, max: 256 },
        default: Some("16"),
        example: None,
        doc: "Topic Aliases that the server sets towards an MQTT 5.0 client that takes any; each keeps one topic, of 1 KiB at the most. When \
              all are taken, the one unused for longest stands for the next topic. 0: topics are always sent in full.",
    },
    Key {
        name: "envelopes_remembered_max",
        kind: Kind::Count { min: 1, max: 100_000_000 },
        default: Some("500000"),
        example: None,
        doc: "Messages in envelopes (`envelope` in the policy) that are remembered, so that none passes twice: each until its timestamp is \
              older than the policy's longest max_age, at about 40 bytes. Beyond it the newest is refused (0x97).",
    },
    Key {
        name: "rate_patience",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(24) },
        default: Some("60s"),
        example: None,
        doc: "Who publishes faster than the policy's messages_per_s or bytes_per_s is read no faster, and nothing is lost. A client whose \
              messages of QoS 0 have been waiting for so long without a break is closed all the same (0x96 Message rate too high, 1008). \
              One that waits for its acknowledgements is never closed for it.",
    },
    Key {
        name: "drain_window",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(1) },
        default: Some("5s"),
        example: None,
        doc: "Over which time at most a stopping server spreads its goodbyes, and tells its clients to come back, so that they do not all \
              do so at once; half of `drain_timeout` if that is less. A few are told at once.",
    },
    Key {
        name: "handover_timeout",
        kind: Kind::Duration { min: Duration::from_secs(1), max: hours(1) },
        default: Some("1m"),
        example: None,
        doc: "How long a successor that SIGUSR2 has started may take until it serves; otherwise it is stopped, and this process serves on.",
    },
    Key {
        name: "drain_timeout",
        kind: Kind::Duration { min: Duration::ZERO, max: hours(1) },
        default: Some("10s"),
        example: None,
        doc: "How long a stopping server waits for its clients to leave, from the first goodbye.",
    },
];

const HANDSHAKE_TIMEOUT: Kind = Kind::Duration { min: Duration::from_millis(100), max: Duration::from_secs(300) };

const ADMIN: &[Key] = &[
    Key {
        name: "listen",
        kind: Kind::Text(ADMIN_FORM),
        default: Some("http://127.0.0.1:9090"),
        example: None,
        doc: "Its address; `none` for no such listener. Loopback only, unless there is a token_file. It speaks no TLS: let only a network of \
              your own reach it.",
    },
    Key {
        name: "token_file",
        kind: Kind::Path,
        default: None,
        example: Some("admin.token"),
        doc: "The file with the token that /api asks for, as `Authorization: Bearer TOKEN`: one line, such as `openssl rand -hex 32` prints. \
              Unset, whoever reaches the address may use it, and only a loopback address is listened on.",
    },
];

const LOG: &[Key] = &[
    Key {
        name: "level",
        kind: Kind::Word(&["error", "warn", "info", "debug", "trace"]),
        default: Some("info"),
        example: None,
        doc: "debug tells of each connection, trace of each packet. Payloads and secrets are never logged.",
    },
    Key {
        name: "format",
        kind: Kind::Word(&["text", "json"]),
        default: Some("text"),
        example: None,
        doc: "For people or for machines.",
    },
];

const RELOAD: &[Key] = &[
    Key {
        name: "watch",
        kind: Kind::Flag,
        default: Some("true"),
        example: None,
        doc: "Whether the folders that hold those files are watched, and the files read when one has other content.",
    },
    Key {
        name: "settle",
        kind: Kind::Duration { min: Duration::from_millis(10), max: Duration::from_secs(60) },
        default: Some("200ms"),
        example: None,
        doc: "How long nothing must happen in those folders before the files are read, so that nothing is read half written. Where something \
              happens all the time, they are read after ten times as long.",
    },
];

const fn later(name: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Later, default: None, example: None, doc }
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3_600)
}
