//! The configuration, printed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::config::units::{format_duration, format_size};
use crate::edge::Network;

use super::super::draft::heading;
use super::super::yaml::quoted;
use super::super::{Imported, Note};
use super::Translator;
use super::route::{Route, list};
use super::scope::Scope;
use super::servers::Listener;
use super::tokens::Directive;
use super::values;

/// Puts what is to be told above what is printed.
pub(super) fn finished(body: String, notes: Vec<Note>, origin: &str) -> Imported {
    let remarks =
        ["Its line is beside each route. Paths of files are those of nginx; check that Tidegate may read them."
            .to_owned()];
    Imported { yaml: heading(&format!("{origin}, a configuration of nginx"), &remarks, &notes) + &body, notes }
}

impl<'a> Translator<'a> {
    pub(super) fn print(&mut self, listeners: &[Listener], http: &Scope<'a>, origin: &str) -> String {
        let mut out = String::new();
        let proxies = self.trusted(http);
        let has_header = listeners.iter().any(|listener| listener.has_proxy_protocol);
        let proxies = if proxies.is_empty() && has_header {
            let instead = "trusted_proxies: this machine alone; put the load balancer's network there";
            self.book.remark(origin, "listen … proxy_protocol", "who sends the header is not said", instead);
            vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()]
        } else {
            proxies
        };
        let shared_tls = listeners.iter().find_map(|listener| listener.tls.as_ref());
        // The longest list of routes, over TLS if there is any, is the site; what differs from it, such as a redirect to HTTPS, stands with its listener.
        let site = listeners.iter().max_by_key(|listener| (listener.tls.is_some(), listener.routes.len()));
        let shared: Vec<Route> = site.map(|listener| listener.routes.clone()).unwrap_or_default();
        out.push_str("listen:\n");
        if listeners.is_empty() {
            self.book.remark(
                origin,
                "server",
                "no listener could be printed",
                "a loopback port that the system chooses, so that the file can be checked",
            );
            out.push_str("  - \"http://127.0.0.1:0\"\n");
        }
        for listener in listeners {
            print_listener(&mut out, listener, &shared, shared_tls);
        }
        if let Some(tls) = shared_tls {
            out.push_str("tls:\n");
            for line in tls.print() {
                writeln!(out, "  {line}").expect("a String");
            }
        }
        if !proxies.is_empty() {
            writeln!(out, "trusted_proxies: {}", list(&proxies)).expect("a String");
        }
        print_routes(&mut out, &shared, "");
        let limits = self.limits(http);
        if !limits.is_empty() {
            out.push_str("limits:\n");
            for (key, value) in limits {
                writeln!(out, "  {key}: {value}").expect("a String");
            }
        }
        out
    }

    /// Networks whose word counts, of `http` and of every server.
    fn trusted(&mut self, http: &Scope<'a>) -> Vec<String> {
        let servers = http.own().iter().filter(|part| part.name == "server").flat_map(Directive::block);
        let all: Vec<&'a Directive> = http.own().iter().chain(servers).collect();
        let header = all.iter().find(|part| part.name == "real_ip_header");
        for part in all.iter().filter(|part| part.name == "real_ip_header") {
            self.book.used(part);
            let named = part.arg(0).to_ascii_lowercase();
            if !matches!(named.as_str(), "x-forwarded-for" | "proxy_protocol") {
                self.book.note(
                    part,
                    "the address comes from X-Forwarded-For, Forwarded or a PROXY header",
                    "X-Forwarded-For",
                );
            }
        }
        let mut networks = BTreeSet::new();
        for part in all.iter().filter(|part| part.name == "set_real_ip_from") {
            self.book.used(part);
            match Network::parse(part.arg(0)) {
                Ok(_)
                    if header.is_some_and(|part| {
                        !matches!(part.arg(0).to_ascii_lowercase().as_str(), "x-forwarded-for" | "proxy_protocol")
                    }) =>
                {
                    self.book.note(
                        part,
                        "is trusted for another field",
                        "left out; under trusted_proxies its X-Forwarded-For would count",
                    );
                }
                Ok(_) => {
                    networks.insert(part.arg(0).to_owned());
                }
                Err(_) => self.book.note(part, "is no network", "left out"),
            }
        }
        networks.into_iter().collect()
    }

    fn limits(&mut self, http: &Scope<'a>) -> Vec<(&'static str, String)> {
        let mut limits = Vec::new();
        let servers = http.own().iter().filter(|part| part.name == "server").flat_map(Directive::block);
        let all: Vec<&'a Directive> = http.own().iter().chain(servers).collect();
        for (name, key, min_ms, max_s) in [
            ("client_header_timeout", "http_head_timeout", 100, 300),
            ("keepalive_timeout", "http_idle_timeout", 1000, 3600),
        ] {
            let Some(first) = all.iter().find(|part| part.name == name) else { continue };
            for other in all.iter().filter(|part| part.name == name && part.arg(0) != first.arg(0)) {
                self.book.note(other, format!("one value holds for all here, {name} {}", first.arg(0)), "left out");
            }
            all.iter().filter(|part| part.name == name).for_each(|part| self.book.used(part));
            match values::duration(first.arg(0)) {
                Some(time) if !time.is_zero() => {
                    let given = time.clamp(Duration::from_millis(min_ms), Duration::from_secs(max_s));
                    if given != time {
                        self.book.note(first, format!("limits.{key} has bounds"), format_duration(given));
                    }
                    limits.push((key, format_duration(given)));
                }
                _ => self.book.note(first, "connections are kept for a while always", "left out"),
            }
        }
        if let Some(buffers) = all.iter().find(|part| part.name == "large_client_header_buffers") {
            self.book.used(buffers);
            let count = buffers.arg(0).parse::<u64>().ok();
            match count.zip(values::size(buffers.arg(1))).and_then(|(count, size)| count.checked_mul(size)) {
                Some(bytes) => limits.push(("http_head_bytes_max", format_size(bytes.clamp(8 << 10, 1 << 20)))),
                None => self.book.note(buffers, "is no number and size", "left out"),
            }
        }
        limits
    }
}

fn print_listener(out: &mut String, listener: &Listener, shared: &[Route], shared_tls: Option<&super::secure::Tls>) {
    let url = quoted(&listener.url());
    let own_tls = listener.tls.as_ref().filter(|tls| Some(*tls) != shared_tls);
    let has_own_routes = listener.routes != shared;
    if own_tls.is_none() && !has_own_routes && !listener.has_proxy_protocol {
        writeln!(out, "  - {url}  # line {}", listener.line).expect("a String");
        return;
    }
    writeln!(out, "  - url: {url}  # line {}", listener.line).expect("a String");
    if listener.has_proxy_protocol {
        out.push_str("    proxy_protocol: required\n");
    }
    if let Some(tls) = own_tls {
        out.push_str("    tls:\n");
        for line in own_lines(tls, shared_tls) {
            writeln!(out, "      {line}").expect("a String");
        }
    }
    if has_own_routes {
        print_routes(out, &listener.routes, "    ");
    }
}

/// What a listener says itself, and what it must not have of the others.
fn own_lines(tls: &super::secure::Tls, shared: Option<&super::secure::Tls>) -> Vec<String> {
    let mut lines = tls.print();
    let shared_says = |key: &str| shared.is_some_and(|shared| shared.lines.iter().any(|line| line.starts_with(key)));
    let says = |key: &str| tls.lines.iter().any(|line| line.starts_with(key));
    if shared_says("client_ca") && !says("client_ca") {
        lines.push("client_auth: none".to_owned());
    }
    if shared_says("client_auth: optional") && says("client_ca") && !says("client_auth") {
        lines.push("client_auth: required".to_owned());
    }
    if shared_says("version_min") && !says("version_min") {
        lines.push("version_min: \"1.2\"".to_owned());
    }
    if shared_says("http2: false") && !says("http2") {
        lines.push("http2: true".to_owned());
    }
    lines
}

fn print_routes(out: &mut String, routes: &[Route], indent: &str) {
    if routes.is_empty() {
        writeln!(out, "{indent}routes: []").expect("a String");
        return;
    }
    writeln!(out, "{indent}routes:").expect("a String");
    for route in routes {
        route.print(out, &format!("{indent}  "));
    }
}
