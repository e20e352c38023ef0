//! `proxy_pass` and all about it: the `proxy` of a route.

use std::time::Duration;

use crate::config::units::{format_duration, format_size};
use crate::outgoing::Url;

use super::super::yaml::quoted;
use super::Translator;
use super::route::list;
use super::scope::Scope;
use super::tokens::Directive;
use super::values::{self, Part, parts};

/// Where requests go.
#[derive(Debug)]
pub(super) struct Servers {
    /// As `proxy` has them.
    urls: Vec<String>,
    entries: Vec<(&'static str, String)>,
    /// Whether they are those of an `upstream`.
    is_group: bool,
    is_tls: bool,
}

/// What is known of a proxied location beside its `proxy`.
pub(super) struct Passed {
    pub(super) entry: String,
    pub(super) remark: Option<String>,
}

/// Fields that are said to every server behind, or that no server wants.
const TOLD: [&str; 8] = [
    "x-real-ip",
    "forwarded",
    "upgrade",
    "connection",
    "x-forwarded",
    "x-nginx-proxy",
    "accept-encoding",
    "early-data",
];

/// Variables that say who somebody is.
const IDENTITIES: [&str; 6] = ["ssl_client_", "remote_user", "jwt_", "auth_", "upstream_http_", "oidc_"];

impl<'a> Translator<'a> {
    /// The `proxy` of a location; `rest` is what its route takes of the path beyond the location itself. `uri` is put where `proxy_pass`
    /// has none.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn pass(
        &mut self,
        pass: &'a Directive,
        scope: &Scope<'a>,
        (path, rest): (&str, &str),
        uri: Option<&str>,
    ) -> Result<Passed, String> {
        self.book.used(pass);
        let address = self
            .filled_in(pass.arg(0), scope)
            .ok_or("it holds variables, and servers are named once for all requests")?;
        let mut servers = self.servers(pass, &address, rest, uri)?;
        let is_websocket = self.request_fields(scope, &servers)?;
        let mut entries = Vec::new();
        entries.extend(self.host(scope, &servers).map(|host| ("host", host)));
        if servers.is_tls {
            entries.extend(self.authorities(pass, scope).map(|ca| ("ca", ca)));
        }
        entries.append(&mut servers.entries);
        let read_timeout = self.timeout(scope, "proxy_read_timeout");
        entries.extend(self.timeout(scope, "proxy_connect_timeout").map(|time| ("connect_timeout", bounded(time))));
        entries.extend(read_timeout.map(|time| ("response_timeout", bounded(time))));
        entries.extend(self.timeout(scope, "client_body_timeout").map(|time| ("body_timeout", bounded(time))));
        entries.extend(self.body_size(scope).map(|size| ("body_bytes_max", size)));
        if let Some(time) = read_timeout.filter(|_| is_websocket) {
            let time = time.clamp(Duration::from_secs(1), Duration::from_secs(7 * 86_400));
            entries.push(("tunnel_timeout", format_duration(time)));
        }
        let to = match servers.urls.as_slice() {
            [url] => quoted(url),
            urls => list(urls),
        };
        let entry = if entries.is_empty() {
            to
        } else {
            let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{{ to: {to}, {} }}", entries.join(", "))
        };
        Ok(Passed { entry, remark: is_websocket.then(|| tunnel_remark(path, &servers.urls)) })
    }

    /// A text with what `set` gives its variables, if that is the same for every request; `$request_uri` at its end is what goes on anyway.
    fn filled_in(&mut self, text: &str, scope: &Scope<'a>) -> Option<String> {
        let text = text.strip_suffix("$request_uri").unwrap_or(text);
        let mut filled = String::new();
        let mut has_variables = false;
        for part in parts(text) {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Variable(name) => {
                    has_variables = true;
                    let sets: Vec<_> =
                        scope.everywhere("set").filter(|set| set.arg(0).strip_prefix('$') == Some(name)).collect();
                    let [set] = sets.as_slice() else { return None };
                    if !values::is_plain(set.arg(1)) {
                        return None;
                    }
                    self.book.used(set);
                    filled.push_str(set.arg(1));
                }
            }
        }
        // With variables, a path takes the place of the whole target.
        let has_path =
            filled.split_once("://").is_some_and(|(_, rest)| rest.contains('/') && !rest.starts_with("unix:"));
        (!has_variables || !has_path).then_some(filled)
    }

    fn servers(&mut self, pass: &Directive, address: &str, rest: &str, uri: Option<&str>) -> Result<Servers, String> {
        let (scheme, after) = address.split_once("://").ok_or("it is no http or https URL")?;
        let is_tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(format!("servers of {scheme} are not spoken to")),
        };
        let (host, own_uri) = split_uri(after);
        let target = match (own_uri, uri) {
            (Some(own), _) => format!("{own}{rest}"),
            (None, Some(uri)) => format!("{uri}{rest}"),
            (None, None) => String::new(),
        };
        let group = self.upstreams.iter().find(|upstream| upstream.arg(0) == host).copied();
        let mut servers = match group {
            Some(group) => self.group(group, is_tls),
            None => Servers { urls: vec![url(host, is_tls)?], entries: Vec::new(), is_group: false, is_tls },
        };
        if servers.urls.is_empty() {
            return Err(format!("upstream {host} has no server that can be asked"));
        }
        for url in &mut servers.urls {
            if url.starts_with("unix:") && !target.is_empty() {
                url.push(':');
            }
            url.push_str(&target);
            if target.contains('?') {
                return Err("it has a query, and the client's goes on".to_owned());
            }
            Url::parse(url).map_err(|error| format!("{} is no address here: {error}", pass.arg(0)))?;
        }
        Ok(servers)
    }

    /// The servers of an `upstream`, with what is set for all of them.
    fn group(&mut self, group: &'a Directive, is_tls: bool) -> Servers {
        self.book.used(group);
        let mut servers = Servers { urls: Vec::new(), entries: Vec::new(), is_group: true, is_tls };
        for part in group.block() {
            match part.name.as_str() {
                "server" => self.member(part, is_tls, &mut servers),
                "least_conn" => put(&mut servers, "balance", "least_connections".to_owned()),
                "keepalive" => match part.arg(0).parse::<u32>() {
                    Ok(count) => put(&mut servers, "idle_connections_max", count.min(10_000).to_string()),
                    Err(_) => self.book.note(part, "is no number", "left out"),
                },
                "keepalive_timeout" => match values::duration(part.arg(0)) {
                    Some(time) => put(&mut servers, "idle_timeout", bounded(time)),
                    None => self.book.note(part, "is no time", "left out"),
                },
                "zone" | "keepalive_requests" | "keepalive_time" | "resolver" | "resolver_timeout" => {
                    self.book.used(part)
                }
                "ip_hash" | "hash" | "random" | "sticky" => {
                    self.book.note(part, "a client is not tied to one server", "balance: round_robin, each in turn");
                }
                _ => self.book.note(part, "has no equal among servers", "left out"),
            }
        }
        servers
    }

    fn member(&mut self, server: &'a Directive, is_tls: bool, servers: &mut Servers) {
        for option in server.args.iter().skip(1) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "down" => return self.book.note(server, "takes no requests", "left out"),
                "backup" => {
                    return self.book.note(
                        server,
                        "all servers take their turn",
                        "left out; beside the others it would be asked too",
                    );
                }
                "weight" => self.book.note(server, "each server has the same weight", "as the others"),
                "max_fails" => match value.parse::<u32>() {
                    Ok(fails @ 1..=1000) => put(servers, "fails_max", fails.to_string()),
                    _ => self.book.note(server, "fails_max is from 1 to 1000", "1"),
                },
                "fail_timeout" => match values::duration(value) {
                    Some(time) => put(servers, "out_time", bounded(time)),
                    None => self.book.note(server, "is no time", "left out"),
                },
                "max_conns" => match value.parse::<u32>() {
                    Ok(count @ 1..=1_000_000) => put(servers, "connections_max", count.to_string()),
                    _ => self.book.note(server, "connections_max is from 1 to 1000000", "left out"),
                },
                "resolve" => {}
                _ => self.book.note(server, format!("{option} has no equal"), "left out"),
            }
        }
        match url(server.arg(0), is_tls) {
            Ok(url) => servers.urls.push(url),
            Err(why) => self.book.note(server, why, "left out"),
        }
    }

    /// What of `proxy_set_header` has no equal; whether there is an Upgrade among it.
    ///
    /// # Errors
    /// Why no request may pass: the server behind would believe what the client says of itself.
    fn request_fields(&mut self, scope: &Scope<'a>, servers: &Servers) -> Result<bool, String> {
        let mut is_websocket = false;
        for directive in scope.all("proxy_set_header") {
            self.book.used(directive);
            let (name, value) = (directive.arg(0).to_ascii_lowercase(), directive.arg(1));
            is_websocket |= name == "upgrade" && value == "$http_upgrade";
            if name == "host" || TOLD.contains(&name.as_str()) || name.starts_with("x-forwarded-") {
                continue;
            }
            if value == format!("$http_{}", name.replace('-', "_")) {
                continue; // It goes on as it came.
            }
            let is_identity = parts(value).iter().any(|part| match part {
                Part::Variable(name) => IDENTITIES.iter().any(|identity| name.starts_with(identity)),
                Part::Text(_) => false,
            });
            if is_identity {
                let why = format!("{} said there who somebody is, and here the client would", directive.arg(0));
                self.book.note(
                    directive,
                    "no field of a request is set here",
                    "closed, as the server behind would believe the client",
                );
                return Err(why);
            }
            let why = "no field of a request is set here beside X-Forwarded-…, X-Real-IP and Forwarded";
            self.book.note(directive, why, "left out; what a client says in it goes on");
        }
        let _ = servers;
        Ok(is_websocket)
    }

    fn host(&mut self, scope: &Scope<'a>, servers: &Servers) -> Option<String> {
        let all = scope.all("proxy_set_header");
        let written = all.into_iter().find(|directive| directive.arg(0).eq_ignore_ascii_case("host"));
        let value = written.map_or("$proxy_host", |directive| directive.arg(1));
        match value {
            "$host" | "$http_host" | "$host:$server_port" | "$http_host:$server_port" => return None,
            "$proxy_host" => {}
            literal => {
                let is_own = |url: &String| Url::parse(url).is_ok_and(|url| url.authority().as_str() == literal);
                if let Some(directive) = written.filter(|_| !servers.urls.iter().all(is_own)) {
                    self.book.note(
                        directive,
                        "the server sees the client's Host or its own",
                        "host: upstream, its own",
                    );
                }
                return Some("upstream".to_owned());
            }
        }
        if servers.is_group && written.is_some() {
            let directive = written?;
            self.book.note(
                directive,
                "is the name of the upstream there, and here the server's own address",
                "host: upstream",
            );
        }
        Some("upstream".to_owned())
    }

    fn authorities(&mut self, pass: &'a Directive, scope: &Scope<'a>) -> Option<String> {
        if let Some(directive) = scope.get("proxy_ssl_trusted_certificate") {
            self.book.used(directive);
            return Some(quoted(&self.path(directive.arg(0))));
        }
        let why = "the certificate of an https server is verified always, nginx does not unless told";
        self.book.note(pass, why, "the system's authorities; name others with ca");
        None
    }

    fn timeout(&mut self, scope: &Scope<'a>, name: &str) -> Option<Duration> {
        let directive = scope.get(name)?;
        self.book.used(directive);
        let time = values::duration(directive.arg(0));
        if time.is_none() {
            self.book.note(directive, "is no time", "left out");
        }
        time
    }

    fn body_size(&mut self, scope: &Scope<'a>) -> Option<String> {
        const SIZE_MAX: u64 = 1 << 40;
        let directive = scope.get("client_max_body_size")?;
        self.book.used(directive);
        match values::size(directive.arg(0)) {
            Some(0) => Some(format_size(SIZE_MAX)),
            Some(size) => Some(format_size(size.min(SIZE_MAX))),
            None => {
                self.book.note(directive, "is no size", "left out");
                None
            }
        }
    }
}

fn put(servers: &mut Servers, key: &'static str, value: String) {
    match servers.entries.iter_mut().find(|(known, _)| *known == key) {
        Some((_, known)) => *known = value,
        None => servers.entries.push((key, value)),
    }
}

fn bounded(time: Duration) -> String {
    format_duration(time.clamp(Duration::from_millis(100), Duration::from_secs(86_400)))
}

/// Host and port, and the URI behind; a socket's stands behind a colon.
fn split_uri(after: &str) -> (&str, Option<&str>) {
    if let Some(socket) = after.strip_prefix("unix:") {
        return match socket.split_once(':') {
            Some((path, uri)) => (&after[..5 + path.len()], Some(uri).filter(|uri| !uri.is_empty())),
            None => (after, None),
        };
    }
    match after.find(['/', '?']) {
        Some(at) => (&after[..at], Some(&after[at..])),
        None => (after, None),
    }
}

fn url(host: &str, is_tls: bool) -> Result<String, String> {
    let url = match (host.strip_prefix("unix:"), is_tls) {
        (Some(_), true) => return Err("TLS is not spoken over a socket".to_owned()),
        (Some(_), false) => host.to_owned(),
        (None, true) => format!("https://{host}"),
        (None, false) => format!("http://{host}"),
    };
    match Url::parse(&url) {
        Ok(_) => Ok(url),
        Err(error) => Err(format!("{host:?} is no address here: {error}")),
    }
}

/// What a tunnel may become: MQTT that another broker serves, or something of an application's own.
fn tunnel_remark(path: &str, urls: &[String]) -> String {
    const BROKERS: [&str; 5] = [":9001", ":8083", ":8080/mqtt", ":15675", ":1884"];
    let is_brokers = path.contains("mqtt")
        || urls.iter().any(|url| url.contains("mqtt") || BROKERS.iter().any(|port| url.contains(port)));
    if is_brokers {
        "a WebSocket tunnel; `serve: mqtt` in its place needs no broker behind".to_owned()
    } else {
        "WebSockets are tunnelled; `serve: mqtt` or `serve: json` in its place needs no server behind".to_owned()
    }
}
