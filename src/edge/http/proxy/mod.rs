//! Requests passed on to servers behind, as nginx's `proxy_pass` does.
//!
//! | file | |
//! |---|---|
//! | [`headers`] | which fields go on, and what is said in the place of the others; pure |
//! | [`redirects`] | addresses in answers that name the inner server; pure |
//! | [`health`] | which of several servers to ask; pure |
//! | [`server`] | one server, kept over reloads |
//! | [`pool`] | connections to one server |
//! | [`h2`] | the same for those that speak HTTP/2 |
//! | [`link`] | one of them |
//! | [`body`] | content on its way through, each piece as it comes |
//! | [`tunnel`] | what a WebSocket becomes once the server has agreed |
//!
//! Not here: where requests begin and end (`framing`), how a route is found (`routes`), how a server is connected to (`outgoing`).
//!
//! Invariants: what is cut on one side is cut on the other and never looks complete; nothing is asked twice unless that is harmless or the
//! first time certainly did not arrive; nothing waits without a deadline; a tunnel begins with the server's 101 and not before; no answer
//! of ours names what is behind.

mod body;
mod h2;
mod headers;
mod health;
mod link;
mod pool;
mod redirects;
mod server;
mod tunnel;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request;
use hyper::http::uri::PathAndQuery;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use parking_lot::Mutex;
use smallvec::{SmallVec, smallvec};
use tracing::{debug, info, warn};

use self::body::{Download, Progress, Upload, UploadFailure};
use self::headers::Asker;
pub(crate) use self::headers::Told;
use self::health::Tolerance;
use self::pool::{NoLease, Purpose};
use self::redirects::Redirects;
pub(crate) use self::server::{Kept, Server};
use self::server::{Lease, Link};
pub(crate) use self::tunnel::Tunnel;
use super::answer::{self, Body};
use super::exchange::Timing;
use super::path::RequestPath;
use super::request as sound;
use super::upgrade;
use crate::edge::EdgeCounters;
use crate::edge::config::{Balance, HostSent, HttpVersion, PathMatch, ProxyConfig};
use crate::edge::forwarded::Chain;
use crate::fault::Fault;
use crate::outgoing::{Trust, Upstream};

/// The servers behind a route.
#[derive(Debug)]
pub(crate) struct Proxy {
    servers: Vec<Arc<Server>>,
    /// In the place of what the route's own path takes of a request's; `None`: the target goes on as it came.
    replacement: Option<Box<str>>,
    redirects: Vec<Redirects>,
    turn: AtomicUsize,
    config: ProxyConfig,
}

/// What a request's connection knows of it.
pub(crate) struct Visit {
    /// The client, and the trusted proxies it came through.
    pub(crate) chain: Chain,
    pub(crate) is_tls: bool,
    pub(crate) counters: Arc<EdgeCounters>,
    pub(crate) timing: Arc<Mutex<Timing>>,
    /// What a server behind was last told of the client, over this connection.
    pub(crate) told: Arc<Mutex<Option<Told>>>,
}

/// What the servers behind come to.
pub(crate) struct Reply {
    pub(crate) response: Response<Body>,
    pub(crate) tunnel: Option<Tunnel>,
    /// Where the request ends is not known, or it has not ended.
    pub(crate) is_last: bool,
}

/// A request that is being passed on.
struct Exchange<'a> {
    proxy: &'a Proxy,
    visit: &'a Visit,
    head: &'a request::Parts,
    uri: Uri,
    is_handshake: bool,
    /// If the client shakes hands over HTTP/2, where there is no key: ours for the server, which speaks HTTP/1.1.
    key: Option<String>,
    /// If it has content.
    progress: Option<Arc<Progress>>,
}

/// Why there is no answer to pass on.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    NoLease(#[from] NoLease),
    #[error("no answer in time")]
    Late,
    #[error("{0}")]
    Broken(hyper::Error),
    #[error("{0}")]
    Unsound(&'static str),
    #[error("it opens no WebSockets over HTTP/2")]
    NoWebSockets,
    #[error("the WebSocket has no key")]
    NoKey,
    #[error("{0}")]
    Upload(UploadFailure),
}

impl Proxy {
    /// The proxy of the route for `path`, which the configuration calls `key`. Reads the certificates of authorities; servers that are
    /// among the `kept` are taken from there.
    ///
    /// # Errors
    /// Addresses that lead to different paths, authorities that cannot be read.
    pub(crate) fn new(config: &ProxyConfig, path: &PathMatch, key: &str, kept: &Kept) -> Result<Self, Fault> {
        let targets: Vec<_> = config.to.iter().map(|to| to.url.target().map(PathAndQuery::as_str)).collect();
        let fault = |found: String, allowed| Err(Fault::new("", key, found, allowed));
        let Some(first) = targets.first() else { return fault("no server".into(), "one at least") };
        if targets.iter().any(|target| target != first) {
            return fault("servers with different paths".into(), "the same path behind each, or none");
        }
        if let Some(target) = first.filter(|target| target.contains('?')) {
            return fault(format!("`{target}` has a query"), "a path alone; the client's query goes on");
        }
        let trust_of = |version, protocol: &[u8]| {
            let is_spoken = config.to.iter().any(|to| to.version == version && to.url.upstream().is_tls());
            is_spoken.then(|| Trust::load(config.ca.as_deref(), &[protocol], key)).transpose()
        };
        let (trust, trust_http2) = (trust_of(HttpVersion::Http11, b"http/1.1")?, trust_of(HttpVersion::Http2, b"h2")?);
        let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = path;
        let mut servers = Vec::new();
        let mut redirects = Vec::new();
        for to in &config.to {
            let url = &to.url;
            let host = url.authority().as_str();
            let inner = match url.upstream() {
                Upstream::Https { .. } => format!("https://{host}{}", first.unwrap_or("/")),
                Upstream::Http { .. } | Upstream::Unix(_) => format!("http://{host}{}", first.unwrap_or("/")),
            };
            redirects.push(Redirects::new(inner, first.map_or("/", |_| path.as_str())));
            let Ok(host) = HeaderValue::from_str(host) else { return fault(format!("`{host}`"), "a host") };
            let trust = if to.version == HttpVersion::Http2 { &trust_http2 } else { &trust };
            servers.push(kept.server(to, host, trust.as_ref(), config));
        }
        let replacement = first.map(Into::into);
        Ok(Self { servers, replacement, redirects, turn: AtomicUsize::new(0), config: config.clone() })
    }

    pub(crate) fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Passes a request on, and what comes back.
    pub(crate) async fn answer(
        &self,
        mut request: Request<Incoming>,
        (path, prefix_len): (&RequestPath, usize),
        visit: &Visit,
    ) -> Reply {
        if let Some(refused) = refused_method(&request) {
            return refused;
        }
        EdgeCounters::add(&visit.counters.proxy_requests);
        let handshake = is_handshake(&request).then(|| hyper::upgrade::on(&mut request));
        let (head, content) = request.into_parts();
        let is_last = head.headers.contains_key(header::UPGRADE);
        let Some(uri) = self.target(&head.uri, path, prefix_len) else {
            return Reply::refuse(StatusCode::BAD_REQUEST, "The path is not sound.");
        };
        let upload = match self.upload(&head, content) {
            Ok(upload) => upload,
            Err(failure) => return Failure::Upload(failure).reply(&visit.counters),
        };
        let Some((upload, progress)) = upload else {
            return Reply::refuse(StatusCode::NOT_IMPLEMENTED, "The only transfer coding spoken here is chunked.");
        };
        let _held = Held::new(&visit.timing);
        let is_handshake = handshake.is_some();
        let key = upgrade::is_extended_connect(&head.extensions).then(upgrade::new_key);
        let exchange = Exchange { proxy: self, visit, head: &head, uri, is_handshake, key, progress };
        match exchange.run(upload).await {
            Ok((response, lease)) => exchange.reply(response, lease, handshake, is_last),
            Err(failure) => {
                debug!(%failure, "Nothing to answer with");
                let mut reply = failure.reply(&visit.counters);
                reply.is_last |= is_last || !exchange.has_ended();
                reply
            }
        }
    }

    /// What is asked of the server.
    fn target(&self, uri: &Uri, path: &RequestPath, prefix_len: usize) -> Option<Uri> {
        let Some(replacement) = &self.replacement else { return uri.path_and_query().cloned().map(Uri::from) };
        let mut target = path.replaced(prefix_len, replacement);
        if let Some(query) = uri.query().filter(|query| !query.is_empty()) {
            target.push('?');
            target.push_str(query);
        }
        PathAndQuery::try_from(target).ok().map(Uri::from)
    }

    /// The content as it goes on. `None` within: nobody here can tell where it ends.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn upload(
        &self,
        head: &request::Parts,
        content: Incoming,
    ) -> Result<Option<(Upload, Option<Arc<Progress>>)>, UploadFailure> {
        if !sound::has_content(&head.headers) {
            return Ok(Some((Upload::default(), None)));
        }
        if !sound::is_framed_plainly(&head.headers) {
            return Ok(None);
        }
        let bytes_max = self.config.body_bytes_max;
        let (upload, progress) = Upload::new(content, head.version, bytes_max, self.config.body_timeout);
        if declared(&head.headers).is_some_and(|length| length > bytes_max) {
            return Err(UploadFailure::TooLarge);
        }
        Ok(Some((upload, Some(progress))))
    }

    /// Which servers to try, in this order.
    fn order(&self) -> SmallVec<[usize; 1]> {
        if self.servers.len() == 1 {
            return smallvec![0];
        }
        let now = Instant::now();
        let out: Vec<bool> = self.servers.iter().map(|server| server.health.lock().is_out(now)).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let vacancies = |index: usize| self.servers.get(index).map_or(0, |server| server.link.vacancies());
        let is_by_load = self.config.balance == Balance::LeastConnections;
        health::order(&out, turn, is_by_load.then_some(&vacancies)).into()
    }
}

/// CONNECT would make something else of the connection, TRACE tell a page what it may not know of itself; and what is no method in
/// capital letters might pass for one with a server that does not look at the case.
fn refused_method(request: &Request<Incoming>) -> Option<Reply> {
    let method = request.method();
    if upgrade::is_extended_connect(request.extensions()) {
        return None;
    }
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Some(Reply::refuse(StatusCode::METHOD_NOT_ALLOWED, "This method is not passed on."));
    }
    let is_sound = method.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte));
    (!is_sound).then(|| Reply::refuse(StatusCode::BAD_REQUEST, "This is no method."))
}

/// The opening handshake of a WebSocket; a proxy looks no further into it.
fn is_handshake(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    if upgrade::is_extended_connect(request.extensions()) {
        return true;
    }
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && upgrade::has_token(headers, header::UPGRADE, b"websocket")
        && upgrade::has_token(headers, header::CONNECTION, b"upgrade")
        && !sound::has_content(headers)
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    std::str::from_utf8(headers.get(header::CONTENT_LENGTH)?.as_bytes()).ok()?.parse().ok()
}

impl Exchange<'_> {
    /// Asks one server after the other, as long as that is harmless.
    async fn run(&self, mut upload: Upload) -> Result<(Response<Incoming>, Lease), Failure> {
        let mut last = None;
        let tolerance = self.proxy.tolerance();
        for (attempt, index) in self.proxy.order().into_iter().enumerate() {
            let Some(server) = self.proxy.servers.get(index) else { continue };
            if attempt > 0 {
                EdgeCounters::add(&self.visit.counters.proxy_retries);
            }
            match self.ask(server, &mut upload).await {
                Ok(answered) => {
                    if server.health.lock().succeed() {
                        info!(server = server.name, "Server behind answers again");
                    }
                    return Ok(answered);
                }
                Err((Failure::Upload(failure), _)) => return Err(Failure::Upload(failure)),
                Err((failure, is_harmless)) => {
                    self.note(server, tolerance, &failure);
                    last = Some(failure);
                    if !is_harmless {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or(Failure::Unsound("no server")))
    }

    fn note(&self, server: &Server, tolerance: Tolerance, failure: &Failure) {
        if matches!(failure, Failure::NoLease(NoLease::Busy) | Failure::NoWebSockets) {
            return; // our own limit, or what it never promised
        }
        if server.health.lock().fail(tolerance, Instant::now()) {
            if self.proxy.servers.len() > 1 {
                EdgeCounters::add(&self.visit.counters.proxy_servers_out);
            }
            warn!(server = server.name, error = %failure, "Server behind does not answer");
        }
    }

    /// Asks one server. With a failure: whether asking another one is harmless.
    async fn ask(&self, server: &Server, upload: &mut Upload) -> Result<(Response<Incoming>, Lease), (Failure, bool)> {
        let pool = match &server.link {
            Link::Http1(pool) => pool,
            Link::Http2(pool) => return Box::pin(self.ask_on_stream(server, pool, upload)).await, // boxed, or every request would be as large
        };
        // What may not be sent twice does not go where it may not arrive.
        let mut purpose = if self.is_handshake { Purpose::Tunnel } else { Purpose::Exchange };
        loop {
            let lease = pool.lease(purpose, &self.visit.counters).await;
            let mut lease = lease.map_err(|error| (Failure::NoLease(error), true))?;
            let sent = lease.send(self.request(server, std::mem::take(upload)));
            let failure = match self.in_time(sent).await {
                Some(Ok(response)) => {
                    return match flaw(&response, self.is_handshake).or_else(|| self.unproven(&response)) {
                        None => Ok((response, Lease::Http1(lease))),
                        Some(flaw) => Err((Failure::Unsound(flaw), false)),
                    };
                }
                Some(Err(mut error)) => {
                    if let Some(failure) = self.upload_failure() {
                        return Err((Failure::Upload(failure), false));
                    }
                    // What comes back has not been sent.
                    let unsent = error.take_message().map(Request::into_body);
                    let is_unsent = unsent.is_some();
                    *upload = unsent.unwrap_or_default();
                    // A server that answers, however badly, has not closed before the request came.
                    let is_answered = error.error().is_parse();
                    if lease.was_used && !is_answered && (is_unsent || self.is_harmless_twice()) {
                        purpose = Purpose::FreshExchange;
                        continue;
                    }
                    (Failure::Broken(error.into_error()), is_unsent || self.is_harmless_twice())
                }
                None => (Failure::Late, self.is_harmless_twice()),
            };
            return Err(failure);
        }
    }

    /// What makes the answer to a handshake of our own none.
    fn unproven(&self, response: &Response<Incoming>) -> Option<&'static str> {
        let key = self.key.as_ref()?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // To the client it would say that the WebSocket is open.
            return response.status().is_success().then_some("it opens no WebSocket");
        }
        let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        (accept != Some(upgrade::accept(key).as_bytes())).then_some("it has not read the key of the WebSocket")
    }

    /// Waits for the answer as long as the request makes progress, and then for so long.
    async fn in_time<F: Future>(&self, answer: F) -> Option<F::Output> {
        let patience = self.proxy.config.response_timeout;
        let Some(progress) = &self.progress else {
            return tokio::time::timeout(patience, answer).await.ok();
        };
        let mut answer = std::pin::pin!(answer);
        loop {
            let deadline = progress.moved() + patience;
            if let Ok(answer) = tokio::time::timeout_at(deadline.into(), &mut answer).await {
                return Some(answer);
            }
            if progress.moved() + patience <= Instant::now() {
                return None;
            }
        }
    }

    /// The fields of the client's request that go on, and those that tell of it.
    fn forwarded(&self, server: &Server) -> HeaderMap {
        let host = self.head.headers.get(header::HOST);
        let asker = Asker { chain: &self.visit.chain, is_tls: self.visit.is_tls, host };
        let sent = match self.proxy.config.host {
            HostSent::Client => host.unwrap_or(&server.host),
            HostSent::Upstream => &server.host,
        };
        let mut told = self.visit.told.lock();
        told.take_if(|told| !told.is_of(asker));
        let told = told.get_or_insert_with(|| Told::of(asker));
        headers::forwarded(&self.head.headers, told, sent)
    }

    fn request(&self, server: &Server, upload: Upload) -> Request<Upload> {
        let mut headers = self.forwarded(server);
        if self.is_handshake {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Some(key) = self.key.as_ref().and_then(|key| HeaderValue::from_str(key).ok()) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
        if self.head.headers.contains_key(header::TRANSFER_ENCODING) {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        } else if let Some(length) = declared(&self.head.headers) {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let mut request = Request::new(upload);
        *request.method_mut() = if self.key.is_some() { Method::GET } else { self.head.method.clone() };
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }

    /// Whether the server may well have seen the request before (RFC 9110 §9.2.2), and it can be sent again.
    fn is_harmless_twice(&self) -> bool {
        let method = &self.head.method;
        self.progress.is_none() && !self.is_handshake && (method.is_idempotent() || method == Method::OPTIONS)
    }

    /// Whether all of the request has been read.
    fn has_ended(&self) -> bool {
        self.progress.as_ref().is_none_or(|progress| progress.has_ended())
    }

    fn upload_failure(&self) -> Option<UploadFailure> {
        self.progress.as_ref()?.failure()
    }

    /// The answer as it goes on.
    fn reply(
        &self,
        mut response: Response<Incoming>,
        mut lease: Lease,
        mut handshake: Option<OnUpgrade>,
        is_last: bool,
    ) -> Reply {
        let counters = &self.visit.counters;
        let upstream = hyper::upgrade::on(&mut response);
        let (mut head, content) = response.into_parts();
        let is_stream = matches!(lease, Lease::Http2(_));
        if let Some(client) = handshake.take_if(|_| is_stream && head.status == StatusCode::OK) {
            return self.tunnel_on_stream(head, upstream, client, lease);
        }
        headers::returned(&mut head.headers);
        redirects::rewrite(&mut head.headers, &self.proxy.redirects);
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (head.status, handshake) {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            head.headers.remove(header::CONTENT_LENGTH);
            if self.key.is_some() {
                head.status = StatusCode::OK;
                head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
            }
            let mut response = answer::empty(head.status);
            *response.headers_mut() = head.headers;
            let tunnel = Tunnel {
                client,
                upstream,
                idle_timeout: self.proxy.config.tunnel_timeout,
                counters: Arc::clone(counters),
                _place: lease.into_place(),
            };
            return Reply { response, tunnel: Some(tunnel), is_last: true };
        }
        if !self.has_ended() {
            // The rest of it is not to wait for a client who reads no answer before everything is said.
            lease.detach();
        }
        let (timing, patience) = (Arc::clone(&self.visit.timing), self.proxy.config.response_timeout);
        let mut content = Download::new((content, head.version), patience, timing, Arc::clone(counters), lease);
        if is_stream && self.head.version == Version::HTTP_2 {
            content = content.with_trailers();
        }
        if self.head.version == Version::HTTP_10 {
            content = content.without_chunks();
        }
        let mut response = Response::new(content.boxed_unsync());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Reply { response, tunnel: None, is_last: is_last || !self.has_ended() }
    }
}

/// What cannot be passed on in an answer: what switches protocols unasked, and what two readers may read differently.
fn flaw(response: &Response<Incoming>, is_handshake: bool) -> Option<&'static str> {
    let headers = response.headers();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && !(is_handshake && upgrade::has_token(headers, header::UPGRADE, b"websocket"))
    {
        return Some("it switches to a protocol that nobody asked for");
    }
    if !headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Some("its content is framed twice");
    }
    if !sound::is_framed_plainly(headers) {
        return Some("its transfer coding is not chunked");
    }
    None
}

impl Proxy {
    fn tolerance(&self) -> Tolerance {
        Tolerance { fails_max: self.config.fails_max, out_time: self.config.out_time }
    }
}

impl Failure {
    /// Says what happened as far as it concerns the client, and counts it.
    fn reply(&self, counters: &EdgeCounters) -> Reply {
        let (counter, status, text) = match self {
            Self::NoLease(NoLease::Busy) => (
                &counters.proxy_refused_busy,
                StatusCode::SERVICE_UNAVAILABLE,
                "The server behind this address is busy; try again soon.",
            ),
            Self::NoLease(NoLease::Connect(_)) => (
                &counters.proxy_unreachable,
                StatusCode::BAD_GATEWAY,
                "The server behind this address cannot be reached.",
            ),
            Self::Late => (
                &counters.proxy_timed_out,
                StatusCode::GATEWAY_TIMEOUT,
                "The server behind this address did not answer in time.",
            ),
            Self::NoWebSockets => (
                &counters.proxy_unsound_answers,
                StatusCode::BAD_GATEWAY,
                "The server behind this address opens no WebSockets over HTTP/2.",
            ),
            Self::Broken(_) | Self::Unsound(_) => (
                &counters.proxy_unsound_answers,
                StatusCode::BAD_GATEWAY,
                "The server behind this address gave no sound answer.",
            ),
            Self::Upload(UploadFailure::TooLarge) => (
                &counters.proxy_uploads_too_large,
                StatusCode::PAYLOAD_TOO_LARGE,
                "The content is larger than what is taken here.",
            ),
            Self::Upload(UploadFailure::Late) => {
                (&counters.proxy_uploads_cut, StatusCode::REQUEST_TIMEOUT, "The content did not come in time.")
            }
            Self::NoKey => (&counters.proxy_uploads_cut, StatusCode::BAD_REQUEST, "The WebSocket has no key."),
            Self::Upload(UploadFailure::Cut | UploadFailure::Unsound) => (
                &counters.proxy_uploads_cut,
                StatusCode::BAD_REQUEST,
                "The content is not framed as it has to be, or broken off.",
            ),
        };
        EdgeCounters::add(counter);
        let mut reply = Reply::refuse(status, text);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer::set(&mut reply.response, header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // A client whose content nobody waits for can go on with another request otherwise.
        reply.is_last = matches!(self, Self::Upload(_));
        reply
    }
}

impl Reply {
    fn refuse(status: StatusCode, text: &str) -> Self {
        Self { response: answer::text(status, text), tunnel: None, is_last: true }
    }
}

/// Stops the client's clock while a server is waited for.
struct Held<'a>(&'a Mutex<Timing>);

impl<'a> Held<'a> {
    fn new(timing: &'a Mutex<Timing>) -> Self {
        timing.lock().hold();
        Self(timing)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.lock().resume(Instant::now);
    }
}
