//! What of a head goes on, and what is said in its place (RFC 9110 §7.6).
//!
//! Pure. Fields that are for one connection stay on it, and so does what only a proxy may say: a client cannot claim to be somebody else
//! by a field of a proxy's.

use std::fmt::Write as _;
use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::super::upgrade;
use crate::edge::forwarded::Chain;

/// Who asked, as the servers behind are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// The client, and the trusted proxies it came through.
    pub(crate) chain: &'a Chain,
    pub(crate) is_tls: bool,
    /// The Host of the request.
    pub(crate) host: Option<&'a HeaderValue>,
}

/// What servers behind are told of a client. Most requests of a connection can be told the same.
#[derive(Debug)]
pub(crate) struct Told {
    chain: Chain,
    is_tls: bool,
    host: Option<HeaderValue>,
    fields: [(HeaderName, Option<HeaderValue>); 6],
}

impl Told {
    pub(crate) fn of(asker: Asker<'_>) -> Self {
        let Asker { chain, is_tls, host } = asker;
        Self { chain: chain.clone(), is_tls, host: host.cloned(), fields: told(asker) }
    }

    pub(crate) fn is_of(&self, asker: Asker<'_>) -> bool {
        self.is_tls == asker.is_tls && self.host.as_ref() == asker.host && self.chain == *asker.chain
    }
}

/// The fields of a request as they go on, and what is told of who asked. `host` takes the place of the client's.
pub(crate) fn forwarded(client: &HeaderMap, told: &Told, host: &HeaderValue) -> HeaderMap {
    let listed = Listed::of(client);
    let mut headers = HeaderMap::with_capacity(client.len() + told.fields.len() + 1);
    headers.insert(header::HOST, host.clone());
    for (name, value) in client {
        if !(stays_here(name) || is_of_request_only(name) || is_proxys(name) || listed.holds(name)) {
            headers.append(name.clone(), value.clone());
        }
    }
    for (name, value) in &told.fields {
        if let Some(value) = value {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers
}

/// The fields of an answer as they go on.
pub(crate) fn returned(upstream: &mut HeaderMap) {
    let listed = Listed::of(upstream);
    let stays = |name: &HeaderName| stays_here(name) || is_of_response_only(name) || listed.holds(name);
    if upstream.keys().any(stays) {
        *upstream = filtered(std::mem::take(upstream), |name| !stays(name));
    }
}

/// The fields behind a request's content as they go on: none that a server might merge into those before it (RFC 9110 §6.5.1).
pub(crate) fn asked_last(client: HeaderMap) -> HeaderMap {
    let stays =
        |name: &HeaderName| stays_here(name) || is_of_request_only(name) || is_proxys(name) || is_end_to_end(name);
    filtered(client, |name| !stays(name))
}

/// The fields behind an answer's content as they go on.
pub(crate) fn returned_last(upstream: &mut HeaderMap) {
    let stays = |name: &HeaderName| stays_here(name) || is_of_response_only(name) || is_end_to_end(name);
    *upstream = filtered(std::mem::take(upstream), |name| !stays(name) && *name != header::SET_COOKIE);
}

/// Those that go on, in their order, which taking the others out one by one would mix up.
fn filtered(headers: HeaderMap, goes_on: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len());
    let mut last = None;
    for (name, value) in headers {
        // A field that is given again comes without its name.
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| goes_on(name)) {
            kept.append(name, value);
        }
    }
    kept
}

/// Fields of one connection, whether Connection lists them or not (RFC 9110 §7.6.1).
fn stays_here(name: &HeaderName) -> bool {
    matches!(*name, header::CONNECTION | header::TE | header::TRAILER | header::TRANSFER_ENCODING | header::UPGRADE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

fn is_of_request_only(name: &HeaderName) -> bool {
    // Host is set anew. Whether to go on is settled here (Expect), and Content-Length follows from the content. `Proxy` is no field, but
    // CGI makes HTTP_PROXY of it. An underscore cannot be told from a hyphen there, nor any other
    // mark with some servers, so X_Forwarded_For or X.Forwarded.For would pass for the right one; nginx drops them too.
    matches!(*name, header::HOST | header::EXPECT | header::CONTENT_LENGTH)
        || name.as_str() == "proxy"
        || !name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// What an application tells nginx.
fn is_of_response_only(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-accel-")
}

/// What only a proxy may say of its client.
fn is_proxys(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || matches!(name.as_str(), "forwarded" | "x-real-ip")
}

fn told(asker: Asker<'_>) -> [(HeaderName, Option<HeaderValue>); 6] {
    let proto = if asker.is_tls { "https" } else { "http" };
    let address = asker.chain.client();
    let mut forwarded = match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    // A Host that has passed the checks holds no quote.
    if let Some(host) = asker.host.and_then(|host| std::str::from_utf8(host.as_bytes()).ok()) {
        let _ = write!(forwarded, ";host=\"{host}\"");
    }
    let _ = write!(forwarded, ";proto={proto}");
    [
        (X_FORWARDED_FOR, HeaderValue::from_str(&asker.chain.x_forwarded_for()).ok()),
        (X_REAL_IP, HeaderValue::from_str(&address.to_string()).ok()),
        (X_FORWARDED_PROTO, Some(HeaderValue::from_static(proto))),
        (X_FORWARDED_HOST, asker.host.cloned()),
        (X_FORWARDED_PORT, asker.chain.port.map(|port| port.get().into())),
        (header::FORWARDED, HeaderValue::from_str(&forwarded).ok()),
    ]
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What Connection lists.
struct Listed(Vec<HeaderName>);

impl Listed {
    fn of(headers: &HeaderMap) -> Self {
        let names = upgrade::items(headers, header::CONNECTION).filter_map(|item| HeaderName::from_bytes(item).ok());
        Self(names.filter(|name| !is_end_to_end(name)).collect())
    }

    fn holds(&self, name: &HeaderName) -> bool {
        self.0.contains(name)
    }
}

/// What nobody on the way may take off by listing it: without it a request would be another one.
fn is_end_to_end(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST
            | header::CONTENT_LENGTH
            | header::CONTENT_TYPE
            | header::CONTENT_ENCODING
            | header::AUTHORIZATION
            | header::COOKIE
            | header::ORIGIN
            | header::CACHE_CONTROL
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::forwarded::{Believed, chain};
    use crate::edge::{ForwardedField, Network};

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        fields.iter().map(field).collect()
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_is_for_one_connection_stays_there() {
        let client = map(&[
            ("host", "app.example"),
            ("connection", "keep-alive, X-Secret, cookie, te"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("x-secret", "1"),
            ("cookie", "a=b"),
            ("accept", "a"),
            ("accept", "b"),
        ]);
        let asker = Asker { chain: &Chain::direct([192, 0, 2, 1].into()), is_tls: true, host: client.get("host") };
        let headers = forwarded(&client, &Told::of(asker), &HeaderValue::from_static("inner"));
        assert_eq!(
            shown(&headers),
            [
                "accept: a",
                "accept: b",
                "cookie: a=b",
                "forwarded: for=192.0.2.1;host=\"app.example\";proto=https",
                "host: inner",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: app.example",
                "x-forwarded-proto: https",
                "x-real-ip: 192.0.2.1",
            ]
        );
    }

    #[test]
    fn trusted_proxies_before_us_are_named_behind_the_client_and_nothing_before_it_is() {
        let client = map(&[
            ("host", "app.example"),
            ("x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.0.0.2"),
            ("x-forwarded-port", "8443"),
        ]);
        let trusted = [Network::parse("10.0.0.0/8").expect("a network")];
        let believed = Believed { trusted: &trusted, field: ForwardedField::XForwardedFor };
        let chain = chain([10, 0, 0, 1].into(), &client, believed);
        let asker = Asker { chain: &chain, is_tls: false, host: client.get("host") };
        let shown = shown(&forwarded(&client, &Told::of(asker), &HeaderValue::from_static("inner")));
        assert!(shown.contains(&"x-forwarded-for: 203.0.113.7, 10.0.0.2, 10.0.0.1".to_owned()), "{shown:?}");
        assert!(shown.contains(&"x-real-ip: 203.0.113.7".to_owned()), "{shown:?}");
        assert!(shown.contains(&"x-forwarded-port: 8443".to_owned()), "{shown:?}");
    }

    #[test]
    fn a_client_cannot_say_what_a_proxy_says() {
        let client = map(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x.forwarded.for", "10.0.0.1"),
            ("x-forwarded-port", "1"),
            ("x-real-ip", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("proxy", "http://evil"),
            ("connection", "x-forwarded-for, forwarded"),
        ]);
        let asker = Asker {
            chain: &Chain::direct("2001:db8::1".parse().expect("an address")),
            is_tls: false,
            host: client.get("host"),
        };
        let headers = forwarded(&client, &Told::of(asker), &HeaderValue::from_static("inner"));
        assert_eq!(
            shown(&headers),
            [
                "forwarded: for=\"[2001:db8::1]\";proto=http",
                "host: inner",
                "x-forwarded-for: 2001:db8::1",
                "x-forwarded-proto: http",
                "x-real-ip: 2001:db8::1",
            ]
        );
    }

    #[test]
    fn an_answer_keeps_what_is_for_the_client() {
        let mut upstream = map(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("x-accel-redirect", "/secret"),
            ("set-cookie", "a=b; Path=/"),
            ("set-cookie", "c=d"),
            ("server", "app"),
            ("x_under", "kept"),
        ]);
        returned(&mut upstream);
        assert_eq!(shown(&upstream), ["server: app", "set-cookie: a=b; Path=/", "set-cookie: c=d", "x_under: kept"]);
    }
}
