//! What lies under each path, and the answer to each request.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_tungstenite::HyperWebsocket;
use hyper_tungstenite::tungstenite::protocol::WebSocketConfig;
use tracing::debug;

use super::answer::{self, Body};
use super::compression::{Compression, Wish};
use super::cors::{Cors, Grant};
use super::demo;
use super::files::Files;
use super::origin::{Origin, Origins};
use super::path::RequestPath;
use super::proxy::{Kept, Proxy, Reply, Server, Tunnel, Visit};
use super::redirect::Destination;
use super::request::{self as sound, Target};
use super::routes::{Found, Routes};
use super::token;
use super::upgrade::{self, Cause, Checked, Refusal, Requirements};
use crate::connection::{Protocol, Token};
use crate::edge::EdgeCounters;
use crate::edge::config::{OriginRule, PathMatch, RouteAction, RouteConfig, TokenSources};
use crate::fault::Fault;

/// Every route of a listener, ready to answer. Immutable; shared by all its connections.
#[derive(Debug)]
pub(crate) struct Site {
    routes: Routes<Route>,
    /// `None`: no token is looked for.
    tokens: Option<TokenSources>,
}

#[derive(Debug)]
struct Route {
    action: Action,
    origins: Origins,
    cors: Option<Cors>,
    /// Of every answer.
    headers: HeaderMap,
    compression: Option<Compression>,
}

/// What is put on an answer before it goes.
struct Dress<'a> {
    route: &'a Route,
    grant: Grant,
    wish: Option<Wish>,
}

#[derive(Debug)]
enum Action {
    Serve(Protocol),
    /// Whether the path is the page's address as it is written, rather than a folder's without its slash.
    Demo {
        add_slash: bool,
    },
    Files {
        files: Files,
        ends_in_slash: bool,
    },
    Proxy(Box<Proxy>),
    /// To the same path with a slash behind it.
    AddSlash,
    Redirect {
        to: Destination,
        status: StatusCode,
    },
    Respond {
        text: String,
        status: StatusCode,
    },
}

/// What a request comes to.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    /// The connection is something else once the response is sent.
    pub(crate) upgrade: Option<Opening>,
    /// No further request of this connection may be answered.
    pub(crate) is_last: bool,
    /// The content of a request that was answered without a look at it.
    pub(crate) unread: Option<Incoming>,
}

/// What a connection is about to become.
pub(crate) enum Opening {
    /// Ours.
    WebSocket { websocket: HyperWebsocket, protocol: Protocol, token: Option<Token> },
    /// The same, over one stream of HTTP/2.
    Stream { stream: OnUpgrade, protocol: Protocol, token: Option<Token> },
    /// One of a server behind.
    Tunnel(Tunnel),
}

/// The names of MQTT as a subprotocol: RFC 6455's registry has `mqtt`; clients of MQTT 3.1 call it `mqttv3.1`.
const MQTT_SUBPROTOCOLS: &[&str] = &["mqtt", "mqttv3.1"];

/// The name of the JSON dialect, for pages that offer a token as a subprotocol: browsers want one of those they offered to be chosen.
const JSON_SUBPROTOCOLS: &[&str] = &["json"];

impl Site {
    /// What `routes` say, which the configuration calls `key`; `origins` is the rule of those without one of their own. Servers behind
    /// that are among the `kept` are taken from there.
    ///
    /// # Errors
    /// Routes that contradict each other, origins that are none, redirects that lead nowhere.
    pub(crate) fn new(
        routes: &[RouteConfig],
        origins: &OriginRule,
        tokens: Option<&TokenSources>,
        key: &str,
        kept: &Kept,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let written = routes;
        let mut routes = Vec::new();
        for (index, route) in written.iter().enumerate() {
            let key = format!("{key}[{index}]");
            let origins = Origins::new(route.origins.as_ref().unwrap_or(origins)).unwrap_or_else(|unsound| {
                let allowed = "same, any, or origins such as https://app.example:8443, without a path";
                let faulty = |found| Fault::new("", format!("{key}.origins"), format!("`{found}`"), allowed);
                faults.extend(unsound.into_iter().map(faulty));
                Origins::List { same: false, others: Vec::new() }
            });
            let mut keep = |field: &str, found: String, allowed: &str| {
                faults.push(Fault::new("", format!("{key}.{field}"), found, allowed));
            };
            let cors = route.cors.as_ref().map(Cors::new).transpose();
            let cors = cors.unwrap_or_else(|(found, allowed)| {
                keep("cors", found, allowed);
                None
            });
            let headers = fields(&route.headers).unwrap_or_else(|found| {
                keep("headers", found, "names and values of fields, none that frame the answer");
                HeaderMap::new()
            });
            match Action::new(&route.action, &route.path, &key, kept) {
                Ok(action) => {
                    let compression = route.compression.as_ref().map(Compression::new);
                    let built = Route { action, origins, cors, headers, compression };
                    routes.push((route.hosts.clone(), route.path.clone(), built));
                }
                Err(fault) => faults.push(fault),
            }
        }
        routes.extend(implied(written).map(|(route, path)| {
            let origins = Origins::List { same: true, others: Vec::new() };
            // Faults in these have been told above.
            let cors = route.cors.as_ref().and_then(|cors| Cors::new(cors).ok());
            let headers = fields(&route.headers).unwrap_or_default();
            let built = Route { action: Action::AddSlash, origins, cors, headers, compression: None };
            (route.hosts.clone(), path, built)
        }));
        match Routes::new(routes) {
            Ok(routes) if faults.is_empty() => return Ok(Self { routes, tokens: tokens.cloned() }),
            Ok(_) => {}
            Err(twice) => faults.extend(twice.into_iter().map(|path| {
                let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = path;
                Fault::new("", key, format!("two routes for {path}"), "one route a path, or a path of each host")
            })),
        }
        Err(faults)
    }

    /// The servers behind its routes.
    pub(crate) fn servers(&self) -> impl Iterator<Item = Arc<Server>> {
        let proxies = self.routes.all().filter_map(|route| match &route.action {
            Action::Proxy(proxy) => Some(proxy),
            _ => None,
        });
        proxies.flat_map(|proxy| proxy.servers().iter().cloned())
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, mut request: Request<Incoming>, visit: &Visit) -> Answer {
        EdgeCounters::add(&visit.counters.http_requests);
        // `Framing` takes nothing that follows these for a request, so the library must not either.
        let is_old = request.version() < Version::HTTP_11;
        let is_switch = request.headers().contains_key(header::UPGRADE);
        let has_content = sound::has_content(request.headers());
        let (head, body) = request.into_parts();
        let (decision, dress) = self.decide(&head, visit.is_tls).await;
        request = Request::from_parts(head, body);
        // Whoever does not read content leaves it where the next request would be.
        let mut is_last = is_old || is_switch || has_content;
        let mut unread = None;
        let mut response = match decision {
            Decision::Answer(response) => {
                unread = has_content.then(|| request.into_body());
                response
            }
            Decision::Pass(proxy, place) => {
                let passed = proxy.answer(request, (&place.0, place.1), visit).await;
                let Reply { response, tunnel, is_last: is_passed_last } = passed;
                if let Some(tunnel) = tunnel {
                    return Answer { response, upgrade: Some(Opening::Tunnel(tunnel)), is_last: true, unread: None };
                }
                is_last = is_old || is_switch || is_passed_last;
                response
            }
            Decision::Upgrade(protocol, subprotocol, token) => match open(&mut request, subprotocol) {
                Some((response, opened)) => {
                    let upgrade = Some(match opened {
                        Opened::Connection(websocket) => Opening::WebSocket { websocket, protocol, token },
                        Opened::Stream(stream) => Opening::Stream { stream, protocol, token },
                    });
                    return Answer { response, upgrade, is_last: true, unread: None };
                }
                // The library's two checks are among ours.
                None => answer::text(StatusCode::BAD_REQUEST, "This is no WebSocket opening handshake."),
            },
            Decision::Refuse(refusal) => {
                count(&visit.counters, refusal.cause);
                debug!(status = refusal.status.as_u16(), reason = refusal.text, "WebSocket refused");
                refuse(refusal)
            }
        };
        if let Some(dress) = dress {
            response = dress.put_on(response, visit);
        }
        if is_last {
            answer::close_after(&mut response);
        }
        if is_old {
            // To an answer of version 1.1 the library would add `keep-alive`, and mean it.
            *response.version_mut() = Version::HTTP_10;
        }
        Answer { response, upgrade: None, is_last, unread }
    }

    /// What to do, and what to put on the answer.
    async fn decide(&self, head: &request::Parts, is_tls: bool) -> (Decision<'_>, Option<Dress<'_>>) {
        let mut target = match sound::check(head, is_tls) {
            Ok(target) => target,
            Err(reason) => {
                debug!(reason, "Request refused");
                let mut response = answer::text(StatusCode::BAD_REQUEST, reason);
                answer::close_after(&mut response);
                return (Decision::Answer(response), None);
            }
        };
        let Some(path) = target.path.take() else { return (Decision::Answer(options()), None) };
        let host = target.origin.as_ref().map(Origin::host);
        let (route, prefix_len) = match self.routes.find(host, &path) {
            Found::Route(route, prefix_len) => (route, prefix_len),
            Found::Nothing => {
                let response = answer::text(StatusCode::NOT_FOUND, "There is nothing here.");
                return (Decision::Answer(response), None);
            }
            Found::Ambiguous => {
                let text = "The escaped slash in the path can be read in two ways.";
                return (Decision::Answer(answer::text(StatusCode::BAD_REQUEST, text)), None);
            }
        };
        let cors = route.cors.as_ref();
        let grant = cors.map_or(Grant::None, |cors| cors.judge(head, target.origin.as_ref()));
        let decision = match cors.and_then(|cors| cors.preflight(head, &grant)) {
            Some(response) => Decision::Answer(response),
            None => match &route.action {
                Action::Proxy(proxy) => Decision::Pass(proxy, (path, prefix_len)),
                _ => route.decide(head, &target, Place { path: &path, prefix_len }, self.tokens.as_ref()).await,
            },
        };
        let wish = route.compression.is_some().then(|| Wish::of(head));
        (decision, Some(Dress { route, grant, wish }))
    }
}

/// # Errors
/// The first that is no field, or must not be set so.
fn fields(written: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        let shown = || format!("`{name}: {value}`");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| shown())?;
        let value = HeaderValue::from_str(value).map_err(|_| shown())?;
        let is_framing = matches!(
            name,
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION | header::UPGRADE | header::TRAILER
        );
        if is_framing {
            return Err(shown());
        }
        headers.append(name, value);
    }
    Ok(headers)
}

impl Dress<'_> {
    fn put_on(self, mut response: Response<Body>, visit: &Visit) -> Response<Body> {
        let headers = response.headers_mut();
        if let Some(cors) = &self.route.cors {
            cors.tell(headers, self.grant);
        }
        for name in self.route.headers.keys() {
            headers.remove(name);
        }
        for (name, value) in &self.route.headers {
            headers.append(name.clone(), value.clone());
        }
        match self.route.compression.as_ref().zip(self.wish) {
            Some((compression, wish)) => compression.apply(wish, response, visit),
            None => response,
        }
    }
}

enum Decision<'a> {
    Answer(Response<Body>),
    /// On to a server behind, with the path and how much of it the route's own path takes.
    Pass(&'a Proxy, (RequestPath, usize)),
    Upgrade(Protocol, Option<&'static str>, Option<Token>),
    Refuse(Refusal),
}

/// The paths of servers' folders without their slashes, where no route has them, and the folders' routes: as nginx does, they lead to
/// those with.
fn implied(written: &[RouteConfig]) -> impl Iterator<Item = (&RouteConfig, PathMatch)> {
    written.iter().filter_map(|route| {
        let (RouteAction::Proxy(_), PathMatch::Prefix(path)) = (&route.action, &route.path) else { return None };
        let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty())?;
        let shares_host = |other: &RouteConfig| match (other.hosts.as_slice(), route.hosts.as_slice()) {
            ([], []) => true,
            (theirs, ours) => theirs.iter().any(|host| ours.contains(host)),
        };
        let is_taken = written.iter().any(|other| {
            let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = &other.path;
            path == bare && shares_host(other)
        });
        (!is_taken).then(|| (route, PathMatch::Exact(bare.to_owned())))
    })
}

/// A request's path, and how much of it its route's own path takes.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a RequestPath,
    prefix_len: usize,
}

impl Route {
    async fn decide(
        &self,
        head: &request::Parts,
        target: &Target,
        place: Place<'_>,
        tokens: Option<&TokenSources>,
    ) -> Decision<'static> {
        if let Action::Serve(protocol) = self.action {
            let decided = self.decide_websocket(head, target, protocol, tokens);
            return decided.unwrap_or_else(Decision::Refuse);
        }
        Decision::Answer(match content_refused(head) {
            Some(refused) => refused,
            None => self.action.answer(head, target, place).await,
        })
    }

    fn decide_websocket(
        &self,
        head: &request::Parts,
        target: &Target,
        protocol: Protocol,
        tokens: Option<&TokenSources>,
    ) -> Result<Decision<'static>, Refusal> {
        let is_mqtt = protocol == Protocol::MqttWebSocket;
        let subprotocols = if is_mqtt { MQTT_SUBPROTOCOLS } else { JSON_SUBPROTOCOLS };
        let own_origin = target.origin.as_ref();
        let requirements = Requirements { origins: &self.origins, own_origin, subprotocols };
        let Checked { subprotocol, is_listed_origin } = upgrade::check(head, &requirements)?;
        let token = tokens.map_or(Ok(None), |sources| token::presented(head, sources, is_listed_origin))?;
        Ok(Decision::Upgrade(protocol, subprotocol, token))
    }
}

impl Action {
    /// The action of a route that the configuration calls `key`.
    ///
    /// # Errors
    /// The field of the route, what was found in it, and what is allowed.
    fn new(action: &RouteAction, path: &PathMatch, key: &str, kept: &Kept) -> Result<Self, Fault> {
        if let RouteAction::Proxy(config) = action {
            return Proxy::new(config, path, &format!("{key}.proxy"), kept).map(|proxy| Self::Proxy(Box::new(proxy)));
        }
        Self::of_our_own(action, path)
            .map_err(|(field, found, allowed)| Fault::new("", format!("{key}.{field}"), found, allowed))
    }

    fn of_our_own(action: &RouteAction, path: &PathMatch) -> Result<Self, (&'static str, String, &'static str)> {
        let (PathMatch::Exact(path_text) | PathMatch::Prefix(path_text)) = path;
        if !path_text.starts_with('/') {
            return Err(("path", format!("`{path_text}`"), "a path that starts with /"));
        }
        let ends_in_slash = path_text.ends_with('/');
        Ok(match action {
            RouteAction::ServeMqtt => Self::Serve(Protocol::MqttWebSocket),
            RouteAction::ServeJson => Self::Serve(Protocol::JsonWebSocket),
            RouteAction::Proxy(_) => unreachable!("it is not ours"),
            RouteAction::Demo => Self::Demo { add_slash: !ends_in_slash },
            RouteAction::Files { root, fallback } => {
                if !root.is_dir() {
                    return Err(("files", format!("{} is not a folder", root.display()), "a folder that can be read"));
                }
                Self::Files { files: Files::new(root, path_text, fallback.as_deref()), ends_in_slash }
            }
            RouteAction::Redirect { to, status } => {
                let Some(to) = Destination::parse(to) else {
                    let allowed = "a path or an address without control characters, with ${host} and ${target} for what was asked";
                    return Err(("redirect", format!("`{to}`"), allowed));
                };
                let allowed = [301, 302, 303, 307, 308];
                let status = StatusCode::from_u16(*status).ok().filter(|status| allowed.contains(&status.as_u16()));
                let status = status.ok_or(("status", "no redirection".into(), "301, 302, 303, 307 or 308"))?;
                Self::Redirect { to, status }
            }
            RouteAction::Respond { text, status } => {
                let status = StatusCode::from_u16(*status).ok().filter(|status| (200..600).contains(&status.as_u16()));
                let status = status.ok_or(("status", "no status of an answer".into(), "200 to 599"))?;
                Self::Respond { text: text.clone(), status }
            }
        })
    }

    async fn answer(&self, head: &request::Parts, target: &Target, place: Place<'_>) -> Response<Body> {
        match self {
            Self::Redirect { to, status } => {
                return match to.of(target.origin.as_ref().map(Origin::host), &head.uri) {
                    Some(to) => redirect(to, *status),
                    None => answer::text(StatusCode::BAD_REQUEST, "The request names no host."),
                };
            }
            Self::Respond { text, status } => return respond(text, *status),
            Self::AddSlash => return add_slash(&head.uri),
            _ => {}
        }
        if head.method == Method::OPTIONS {
            return options();
        }
        if head.method != Method::GET && head.method != Method::HEAD {
            return method_not_allowed();
        }
        let Some(rest) = place.path.rest(place.prefix_len) else {
            return answer::text(StatusCode::NOT_FOUND, "There is nothing here.");
        };
        match self {
            // Without the slash, the page's own addresses would lead beside it.
            Self::Demo { add_slash: true } if rest.is_empty() => {
                match HeaderValue::from_str(&format!("{}/", head.uri.path())) {
                    Ok(to) => redirect(to, StatusCode::PERMANENT_REDIRECT),
                    Err(_) => answer::text(StatusCode::NOT_FOUND, "There is nothing here."),
                }
            }
            Self::Demo { .. } => demo::answer(rest.trim_start_matches('/'), &head.headers),
            // `/app` is for `/app` and `/app/…`; what else starts with these letters is no file of it.
            Self::Files { ends_in_slash, .. } if !(*ends_in_slash || rest.is_empty() || rest.starts_with('/')) => {
                answer::text(StatusCode::NOT_FOUND, "There is nothing here.")
            }
            Self::Files { files, .. } => files.answer(head, rest).await,
            Self::Serve(_) | Self::Proxy(_) | Self::AddSlash | Self::Redirect { .. } | Self::Respond { .. } => {
                unreachable!("these have been answered")
            }
        }
    }
}

/// A method that may carry content is not allowed anyway; one that may not, must not.
fn content_refused(head: &request::Parts) -> Option<Response<Body>> {
    let refused =
        matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) && sound::has_content(&head.headers);
    refused.then(|| answer::text(StatusCode::BAD_REQUEST, "A request of this method has no content."))
}

fn redirect(to: HeaderValue, status: StatusCode) -> Response<Body> {
    let mut response = answer::text(status, "See the address in Location.");
    answer::set(&mut response, header::LOCATION, to);
    response
}

fn add_slash(uri: &Uri) -> Response<Body> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // Two slashes at the beginning would name a host.
    let path = uri.path().trim_start_matches('/');
    match HeaderValue::from_str(&format!("/{path}/{query}")) {
        Ok(to) => redirect(to, StatusCode::MOVED_PERMANENTLY),
        Err(_) => answer::text(StatusCode::NOT_FOUND, "There is nothing here."),
    }
}

fn respond(text: &str, status: StatusCode) -> Response<Body> {
    match status {
        // These have no content (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => answer::empty(status),
        _ => answer::text(status, text),
    }
}

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

fn options() -> Response<Body> {
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    answer::set(&mut response, header::ALLOW, ALLOWED);
    response
}

fn method_not_allowed() -> Response<Body> {
    let mut response =
        answer::text(StatusCode::METHOD_NOT_ALLOWED, "The methods allowed here are GET, HEAD and OPTIONS.");
    answer::set(&mut response, header::ALLOW, ALLOWED);
    response
}

/// A WebSocket to be.
enum Opened {
    Connection(HyperWebsocket),
    /// Of HTTP/2.
    Stream(OnUpgrade),
}

/// Answers an opening handshake that has been checked.
fn open(request: &mut Request<Incoming>, subprotocol: Option<&'static str>) -> Option<(Response<Body>, Opened)> {
    let (mut response, opened) = if upgrade::is_extended_connect(request.extensions()) {
        // RFC 8441 §5: there is no key to prove anything by, and nothing to switch.
        (answer::empty(StatusCode::OK), Opened::Stream(hyper::upgrade::on(request)))
    } else {
        let (response, websocket) = hyper_tungstenite::upgrade(request, Some(websocket_config())).ok()?;
        let (head, _) = response.into_parts();
        let mut response = answer::empty(head.status);
        *response.headers_mut() = head.headers;
        (response, Opened::Connection(websocket))
    };
    if let Some(subprotocol) = subprotocol {
        answer::set(&mut response, header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    Some((response, opened))
}

/// The stream is taken out of the library's hands before a frame is read; none of its defaults is left standing for all that.
fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(4096)
        .max_write_buffer_size(64 * 1024)
        .max_message_size(Some(2 * 1024 * 1024))
        .max_frame_size(Some(2 * 1024 * 1024))
        .accept_unmasked_frames(false)
}

fn refuse(refusal: Refusal) -> Response<Body> {
    let mut response = answer::text(refusal.status, refusal.text);
    if refusal.status == StatusCode::UPGRADE_REQUIRED {
        answer::set(&mut response, header::UPGRADE, HeaderValue::from_static("websocket"));
        answer::set(&mut response, header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if let Some((name, value)) = refusal.field {
        answer::set(&mut response, name, value);
    }
    response
}

fn count(counters: &EdgeCounters, cause: Cause) {
    let counter: &AtomicU64 = match cause {
        Cause::NoUpgrade => return,
        Cause::Malformed => &counters.upgrades_refused_malformed,
        Cause::Origin => &counters.upgrades_refused_origin,
        Cause::Subprotocol => &counters.upgrades_refused_subprotocol,
    };
    EdgeCounters::add(counter);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::config::{OriginRule, RouteConfig};

    #[test]
    fn every_default_of_the_websocket_library_is_replaced() {
        let WebSocketConfig { read_buffer_size, write_buffer_size, max_write_buffer_size, .. } = websocket_config();
        assert_eq!((read_buffer_size, write_buffer_size, max_write_buffer_size), (4096, 4096, 65_536));
        let WebSocketConfig { max_message_size, max_frame_size, accept_unmasked_frames, .. } = websocket_config();
        assert_eq!((max_message_size, max_frame_size), (Some(2_097_152), Some(2_097_152)));
        assert!(!accept_unmasked_frames);
    }

    #[test]
    fn all_faults_of_the_routes_come_at_once() {
        let route = |path: &str, action| RouteConfig::new(PathMatch::Prefix(path.into()), action);
        let mut routes = vec![
            route("/a", RouteAction::Demo),
            route("/a", RouteAction::ServeMqtt),
            route("b", RouteAction::Demo),
            route("/c", RouteAction::Files { root: "/no/such/folder".into(), fallback: None }),
            route("/d", RouteAction::Redirect { to: "/x\r\nSet-Cookie: y".into(), status: 301 }),
            route("/e", RouteAction::Redirect { to: "/x".into(), status: 200 }),
            route("/f", RouteAction::ServeJson),
        ];
        routes[6].origins = Some(OriginRule::List(vec!["*".into()]));
        let faults =
            Site::new(&routes, &OriginRule::Same, None, "routes", &Kept::default()).expect_err("all is faulty");
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        let expected = [
            "routes[2].path",
            "routes[3].files",
            "routes[4].redirect",
            "routes[5].status",
            "routes[6].origins",
            "routes",
        ];
        assert_eq!(keys, expected);
    }
}
