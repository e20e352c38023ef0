//! What routes and Origin rules are written as.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use super::written::{Typed, Written};
use crate::edge::{
    Balance, CompressionConfig, CorsConfig, HostSent, OriginRule, PathMatch, ProxyConfig, RouteAction, RouteConfig,
    SERVER_ADDRESS_FORM, ServerAddress, is_sound_redirect,
};
use crate::fault::Fault;

const ORIGIN_ALLOWED: &str =
    "same, any, or scheme://host with a port if it is not the usual one, such as https://app.example";
const HOST_ALLOWED: &str = "a host name without port, such as app.example, or *. and one";
const REDIRECT_ALLOWED: &str = "a path that begins with /, or an http(s) URL, without spaces; ${host}, and behind a host ${target}, for what was asked";
const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// Reads the list `routes` of `section`.
pub(super) fn routes(section: &Written, faults: &mut Vec<Fault>) -> Vec<RouteConfig> {
    let mut seen = BTreeSet::new();
    let mut routes = Vec::new();
    for item in section.items("routes") {
        let hosts = hosts(item, faults);
        let path = path(item, faults);
        let action = action(item, faults);
        let origins = item.get("origins").and_then(|origins| origin_rule(origins, faults));
        let cors = item.get("cors").and_then(|written| cors(written, faults));
        let headers = fields(item, faults);
        let compression = compression(item, faults);
        if let (Some(PathMatch::Prefix(text) | PathMatch::Exact(text)), place) = (&path, path_value(item)) {
            let is_exact = matches!(path, Some(PathMatch::Exact(_)));
            // Without a host it is for all others, which is a host of its own here.
            let of_hosts = if hosts.is_empty() { vec![String::new()] } else { hosts.clone() };
            let twice: Vec<_> =
                of_hosts.into_iter().filter(|host| !seen.insert((host.clone(), is_exact, text.clone()))).collect();
            if let Some(host) = twice.first() {
                let found = format!("{host}{text} has a route already");
                faults.extend(place.map(|place| place.fault(found, "one route a path")));
            }
        }
        if let (Some(path), Some(action)) = (path, action) {
            misplaced(item, &action, faults);
            let is_websocket = matches!(action, RouteAction::ServeMqtt | RouteAction::ServeJson);
            let origins = origins.or_else(|| cors.as_ref().filter(|_| is_websocket).map(with_same));
            routes.push(RouteConfig { hosts, path, action, origins, cors, headers, compression });
        }
    }
    routes
}

/// Reads a word or a list of origins.
pub(super) fn origin_rule(written: &Written, faults: &mut Vec<Fault>) -> Option<OriginRule> {
    let Typed::List(items) = &written.typed else { return Some(origins_of([written], faults)) };
    if items.is_empty() {
        faults.push(written.fault("an empty list", ORIGIN_ALLOWED));
        return None;
    }
    if let Some(any) = items.iter().find(|item| item.as_text() == Some("any") && items.len() > 1) {
        faults.push(any.fault("any beside others", "any alone, or a list without it"));
    }
    Some(origins_of(items, faults))
}

/// For a WebSocket, which pages of its own origin may open in any case.
fn with_same(cors: &CorsConfig) -> OriginRule {
    match &cors.origins {
        OriginRule::List(list) => OriginRule::List(list.iter().cloned().chain(["same".to_owned()]).collect()),
        rule => rule.clone(),
    }
}

fn cors(written: &Written, faults: &mut Vec<Fault>) -> Option<CorsConfig> {
    let default = CorsConfig::default();
    let Some(origins) = written.get("origins") else {
        faults.push(written.fault("no origins", format!("origins: {ORIGIN_ALLOWED}")));
        return None;
    };
    let has_credentials = written.flag("credentials").unwrap_or(default.has_credentials);
    let origins = origin_rule(origins, faults)?;
    if has_credentials && origins == OriginRule::Any {
        faults.extend(
            written.get("credentials").map(|flag| flag.fault("any page, with credentials", "a list of origins")),
        );
        return None;
    }
    let mut names = |key: &str, default: Vec<String>| {
        let Some(list) = written.get(key) else { return default };
        let items = written.items(key);
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if items.iter().any(|item| !item.as_text().is_some_and(is_name)) {
            faults.push(list.fault("something that is no name", "a list of names"));
        }
        items.iter().filter_map(Written::as_text).map(str::to_owned).collect()
    };
    Some(CorsConfig {
        origins,
        methods: names("methods", default.methods),
        headers: names("headers", default.headers),
        exposed: names("exposed", default.exposed),
        has_credentials,
        max_age: written.duration("max_age").unwrap_or(default.max_age),
    })
}

/// What `compress` says.
fn compression(item: &Written, faults: &mut Vec<Fault>) -> Option<CompressionConfig> {
    let written = item.get("compress")?;
    let default = CompressionConfig::default();
    if let Typed::Flag(is_on) = written.typed {
        return is_on.then_some(default);
    }
    let mut types = Vec::new();
    for item in written.items("types") {
        let text = item.as_text().unwrap_or_default();
        match CompressionConfig::is_type(text) {
            true => types.push(text.to_ascii_lowercase()),
            false => faults.push(item.fault(format!("{text:?}"), "a media type, such as text/html or text/*")),
        }
    }
    Some(CompressionConfig {
        types: if written.get("types").is_some() { types } else { default.types },
        bytes_min: written.size("bytes_min").unwrap_or(default.bytes_min),
        answers_max: written.count("answers_max").map_or(default.answers_max, bounded),
    })
}

/// Fields that every answer of a route has.
fn fields(item: &Written, faults: &mut Vec<Fault>) -> Vec<(String, String)> {
    let framing = ["content-length", "transfer-encoding", "connection", "upgrade", "trailer"];
    let field = |text: &str| {
        let (name, value) = text.split_once(':')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_value = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let is_free = !framing.iter().any(|framing| framing.eq_ignore_ascii_case(name));
        (is_name && is_value && is_free).then(|| (name.to_owned(), value.trim().to_owned()))
    };
    let mut read = Vec::new();
    for written in item.items("headers") {
        match written.as_text().and_then(field) {
            Some(field) => read.push(field),
            None => {
                let allowed = "NAME: VALUE in ASCII, other than those that frame the answer";
                faults.push(written.fault(format!("{:?}", written.as_text().unwrap_or_default()), allowed));
            }
        }
    }
    read
}

fn origins_of<'a>(items: impl IntoIterator<Item = &'a Written>, faults: &mut Vec<Fault>) -> OriginRule {
    let mut origins = Vec::new();
    for item in items {
        let Some(text) = item.as_text() else { continue };
        match text {
            "any" => return OriginRule::Any,
            "same" => origins.push(text.to_owned()),
            _ => match parse_origin(text) {
                Some(origin) => origins.push(origin),
                None => faults.push(item.fault(format!("{text:?}"), ORIGIN_ALLOWED)),
            },
        }
    }
    if origins.iter().all(|origin| origin == "same") { OriginRule::Same } else { OriginRule::List(origins) }
}

fn hosts(item: &Written, faults: &mut Vec<Fault>) -> Vec<String> {
    let Some(written) = item.get("host") else { return Vec::new() };
    let Typed::List(items) = &written.typed else { return host(written, faults).into_iter().collect() };
    if items.is_empty() {
        faults.push(written.fault("an empty list", HOST_ALLOWED));
    }
    items.iter().filter_map(|item| host(item, faults)).collect()
}

/// A host as requests are compared with it: small letters, no dot at its end.
fn host(written: &Written, faults: &mut Vec<Fault>) -> Option<String> {
    let text = written.as_text()?;
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_name = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_address = || name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).and_then(|a| a.parse().ok());
    if name.strip_suffix('.').unwrap_or(name).split('.').all(is_name) {
        return Some(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase());
    }
    match is_address() {
        Some(address) if name == text => {
            let address: Ipv6Addr = address;
            Some(format!("[{address}]"))
        }
        _ => {
            faults.push(written.fault(format!("{text:?}"), HOST_ALLOWED));
            None
        }
    }
}

fn path_value(item: &Written) -> Option<&Written> {
    item.get("path").or_else(|| item.get("exact"))
}

fn path(item: &Written, faults: &mut Vec<Fault>) -> Option<PathMatch> {
    match (item.get("path"), item.get("exact")) {
        (Some(path), None) => url_path(path, faults).map(PathMatch::Prefix),
        (None, Some(exact)) => url_path(exact, faults).map(PathMatch::Exact),
        (Some(_), Some(exact)) => {
            faults.push(exact.fault("path and exact", "one of them"));
            None
        }
        (None, None) => {
            faults.push(item.fault("neither path nor exact", "one of them"));
            None
        }
    }
}

/// The keys of which a route has one.
const ACTIONS: [&str; 5] = ["serve", "files", "proxy", "redirect", "respond"];

fn action(item: &Written, faults: &mut Vec<Fault>) -> Option<RouteAction> {
    let named: Vec<&Written> = ACTIONS.iter().filter_map(|key| item.get(key)).collect();
    let [_] = named[..] else {
        if faults.iter().any(|fault| fault.key.starts_with(&format!("{}.", item.path))) {
            return None; // What was meant to say it is at fault already.
        }
        let found = if named.is_empty() { "nothing that the route does" } else { "several things that the route does" };
        let place = named.last().copied().unwrap_or(item);
        faults.push(place.fault(found, format!("one of {}", ACTIONS.join(", "))));
        return None;
    };
    if let Some(root) = item.path("files") {
        let fallback = item.get("fallback").and_then(|fallback| url_path(fallback, faults));
        return Some(RouteAction::Files { root, fallback });
    }
    if let Some(to) = item.get("redirect") {
        return redirect(item, to, faults);
    }
    if let Some(written) = item.get("proxy") {
        return proxy(written, faults).map(|proxy| RouteAction::Proxy(Box::new(proxy)));
    }
    if let Some(text) = item.text("respond") {
        return respond(item, text, faults);
    }
    match item.text("serve")? {
        "mqtt" => Some(RouteAction::ServeMqtt),
        "json" => Some(RouteAction::ServeJson),
        _ => Some(RouteAction::Demo),
    }
}

fn proxy(written: &Written, faults: &mut Vec<Fault>) -> Option<ProxyConfig> {
    let to = match &written.typed {
        Typed::Section(_) => written.get("to"),
        _ => Some(written),
    };
    let Some(to) = to else {
        faults.push(written.fault("no to", format!("to: {SERVER_ADDRESS_FORM}")));
        return None;
    };
    let items = match &to.typed {
        Typed::List(items) => items.as_slice(),
        _ => std::slice::from_ref(to),
    };
    if items.is_empty() {
        faults.push(to.fault("an empty list", "one server at least"));
    }
    let known = faults.len();
    let servers: Vec<ServerAddress> = items.iter().filter_map(|item| server(item, faults)).collect();
    if let Some(first) = servers.first()
        && let Some(other) = servers.iter().position(|server| server.url.target() != first.url.target())
    {
        let allowed = "the same path behind each, or none";
        faults.extend(items.get(other).map(|item| item.fault("another path than the first server's", allowed)));
    }
    let default = ProxyConfig::default();
    let (duration, count) = (|key| written.duration(key), |key| written.count(key));
    let config = ProxyConfig {
        to: servers,
        ca: written.path("ca"),
        host: match written.text("host") {
            Some("upstream") => HostSent::Upstream,
            _ => default.host,
        },
        balance: match written.text("balance") {
            Some("least_connections") => Balance::LeastConnections,
            _ => default.balance,
        },
        connect_timeout: duration("connect_timeout").unwrap_or(default.connect_timeout),
        response_timeout: duration("response_timeout").unwrap_or(default.response_timeout),
        body_timeout: duration("body_timeout").unwrap_or(default.body_timeout),
        body_bytes_max: written.size("body_bytes_max").unwrap_or(default.body_bytes_max),
        tunnel_timeout: duration("tunnel_timeout").unwrap_or(default.tunnel_timeout),
        idle_timeout: duration("idle_timeout").unwrap_or(default.idle_timeout),
        idle_connections_max: count("idle_connections_max").map_or(default.idle_connections_max, bounded),
        connections_max: count("connections_max").map_or(default.connections_max, bounded),
        streams_max: count("streams_max").map_or(default.streams_max, bounded),
        waiting_max: count("waiting_max").map_or(default.waiting_max, bounded),
        fails_max: count("fails_max").map_or(default.fails_max, bounded),
        out_time: duration("out_time").unwrap_or(default.out_time),
    };
    (faults.len() == known).then_some(config)
}

fn bounded<T: TryFrom<u64>>(count: u64) -> T {
    T::try_from(count).ok().expect("the table's bounds are within the type's")
}

fn server(item: &Written, faults: &mut Vec<Fault>) -> Option<ServerAddress> {
    match ServerAddress::parse(item.as_text()?) {
        Ok(server) if server.url.target().is_none_or(|target| target.query().is_none()) => Some(server),
        Ok(_) => {
            faults.push(item.fault("has a query", "a URL without one; the client's goes on"));
            None
        }
        Err(error) => {
            faults.push(item.fault(error.to_string(), SERVER_ADDRESS_FORM));
            None
        }
    }
}

fn redirect(item: &Written, to: &Written, faults: &mut Vec<Fault>) -> Option<RouteAction> {
    let text = to.as_text()?;
    let is_target = text.starts_with('/') || text.starts_with("https://") || text.starts_with("http://");
    if !is_target || !text.bytes().all(|byte| byte.is_ascii_graphic()) || !is_sound_redirect(text) {
        faults.push(to.fault(format!("{text:?}"), REDIRECT_ALLOWED));
        return None;
    }
    let status = item.count("status").unwrap_or(301);
    match REDIRECT_STATUSES.into_iter().find(|allowed| u64::from(*allowed) == status) {
        Some(status) => Some(RouteAction::Redirect { to: text.to_owned(), status }),
        None => {
            let fault =
                item.get("status").map(|written| written.fault(status.to_string(), "301, 302, 303, 307 or 308"));
            faults.extend(fault);
            None
        }
    }
}

fn respond(item: &Written, text: &str, faults: &mut Vec<Fault>) -> Option<RouteAction> {
    if text.contains(|c: char| c.is_control()) {
        faults.extend(item.get("respond").map(|written| written.fault("several lines", "one line of text")));
        return None;
    }
    let status = item.count("status").and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
    Some(RouteAction::Respond { text: text.to_owned(), status })
}

/// Names the keys of a route that have no effect on what it does.
fn misplaced(item: &Written, action: &RouteAction, faults: &mut Vec<Fault>) {
    let is_websocket = matches!(action, RouteAction::ServeMqtt | RouteAction::ServeJson);
    let rules = [
        ("fallback", matches!(action, RouteAction::Files { .. }), "files"),
        ("status", matches!(action, RouteAction::Redirect { .. } | RouteAction::Respond { .. }), "redirect or respond"),
        ("origins", is_websocket, "serve: mqtt or serve: json"),
        ("compress", !is_websocket, "what answers requests: files, proxy, respond and the like"),
    ];
    for (key, belongs, to) in rules {
        if let Some(written) = item.get(key).filter(|_| !belongs) {
            faults.push(written.fault("has no effect here", format!("with {to} only")));
        }
    }
}

fn url_path(written: &Written, faults: &mut Vec<Fault>) -> Option<String> {
    let text = written.as_text()?;
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte));
    if is_path {
        return Some(text.to_owned());
    }
    faults.push(written.fault(format!("{text:?}"), "a URL path that begins with / and holds no space, ? or #"));
    None
}

/// An origin as browsers write it (RFC 6454 §6.2): small letters, no usual port, no path.
fn parse_origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, None),
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_host = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte))
        && (host.starts_with('[') == host.contains(':'));
    if !is_scheme || !is_host {
        return None;
    }
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let port_usual = match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    match port.filter(|port| Some(*port) != port_usual) {
        Some(port) => Some(format!("{scheme}://{host}:{port}")),
        None => Some(format!("{scheme}://{host}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_become_what_browsers_send() {
        let cases = [
            ("https://App.Example", Some("https://app.example")),
            ("https://app.example:443", Some("https://app.example")),
            ("http://app.example:8080", Some("http://app.example:8080")),
            ("http://[::1]:80", Some("http://[::1]")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("https://app.example/", None),
            ("https://*.example", None),
            ("https://u@app.example", None),
            ("app.example", None),
            ("null", None),
            ("https://", None),
            ("https://app.example:x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_origin(text).as_deref(), expected, "{text:?}");
        }
    }
}
