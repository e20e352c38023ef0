//! The servers of a listener as routes by host, and which listeners there are.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Translator;
use super::listens::{Listen, Names, is_host};
use super::locations::closed;
use super::route::{Path, Route};
use super::scope::Scope;
use super::secure::Tls;
use super::tokens::Directive;

/// A `server` block of `http`.
#[derive(Clone, Debug)]
pub(super) struct Server<'a> {
    pub(super) directive: &'a Directive,
    pub(super) scope: Scope<'a>,
    names: Names,
}

/// A listener as it is printed.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) line: u32,
    pub(super) tls: Option<Tls>,
    pub(super) has_proxy_protocol: bool,
    pub(super) routes: Vec<Route>,
}

impl Listener {
    pub(super) fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }
}

impl<'a> Translator<'a> {
    /// All listeners, in the order in which their addresses are written.
    pub(super) fn listeners(&mut self, http: &Scope<'a>) -> Vec<Listener> {
        let mut order: Vec<SocketAddr> = Vec::new();
        let mut by_address: BTreeMap<SocketAddr, Vec<(Listen<'a>, Server<'a>)>> = BTreeMap::new();
        for directive in http.own().iter().filter(|part| part.name == "server") {
            self.book.used(directive);
            let scope = http.within(directive.block());
            let server = Server { directive, names: self.names(directive), scope };
            for listen in self.listens(directive) {
                if !order.contains(&listen.address) {
                    order.push(listen.address);
                }
                by_address.entry(listen.address).or_default().push((listen, server.clone()));
            }
        }
        let is_covered = |address: &SocketAddr| {
            let of_all = order.iter().find(|other| other.ip().is_unspecified() && other.port() == address.port());
            of_all.filter(|other| *other != address && other.is_ipv4() == address.is_ipv4()).copied()
        };
        let mut listeners = Vec::new();
        for address in &order {
            let Some(servers) = by_address.get(address) else { continue };
            if let Some(other) = is_covered(address) {
                for (listen, _) in servers {
                    let why = format!("{other} listens on that address already, and here its routes hold there, too");
                    self.book.note(listen.directive, why, "left out");
                }
                continue;
            }
            listeners.extend(self.listener(*address, servers.clone()));
        }
        listeners
    }

    fn listener(&mut self, address: SocketAddr, mut servers: Vec<(Listen<'a>, Server<'a>)>) -> Option<Listener> {
        let default = servers.iter().position(|(listen, _)| listen.is_default).unwrap_or(0);
        servers[..=default].rotate_right(1);
        let is_tls = servers.iter().any(|(listen, _)| listen.is_tls);
        let has_proxy_protocol = servers.iter().any(|(listen, _)| listen.has_proxy_protocol);
        let first = servers.first()?.0.directive;
        let scopes: Vec<_> = servers.iter().map(|(_, server)| (server.directive, server.scope.clone())).collect();
        let tls = if is_tls { self.tls(&scopes) } else { None };
        if is_tls && tls.is_none() {
            self.book.note(
                first,
                "speaks TLS, and no certificate is named by a file",
                "left out; tls.cert and tls.key are needed",
            );
            return None;
        }
        self.scheme = if is_tls { "https" } else { "http" };
        let servers: Vec<Server<'a>> = servers.into_iter().map(|(_, server)| server).collect();
        let routes = self.routes(&servers, is_tls);
        Some(Listener { address, line: first.place.line, tls, has_proxy_protocol, routes })
    }

    /// The routes of all servers of a listener; those of the first one are for every other host.
    fn routes(&mut self, servers: &[Server<'a>], is_tls: bool) -> Vec<Route> {
        let mut routes = Vec::new();
        let mut taken: Vec<String> = Vec::new();
        let required = servers.first().map(|first| self.clients(&first.scope)).filter(|_| is_tls).unwrap_or_default();
        for (index, server) in servers.iter().enumerate() {
            let is_default = index == 0;
            let mut hosts = server.names.hosts.clone();
            hosts.retain(|host| {
                let is_new = !taken.contains(host);
                if !is_new {
                    let why = format!("another server of this listener has {host} already");
                    self.book.note_as(server.directive, format!("server_name {host}"), why, "left out, as nginx does");
                }
                is_new
            });
            taken.extend(hosts.iter().cloned());
            if hosts.is_empty() && !is_default {
                let why = "it is not the first of its listener, and has no name that a route can have";
                self.book.note_as(server.directive, "server", why, "left out");
                self.consume_all(server.directive.block());
                continue;
            }
            let others = servers.iter().enumerate().filter(|(other, _)| *other != index);
            let of_others: Vec<&String> = others.flat_map(|(_, other)| &other.names.hosts).collect();
            self.server_name = server.names.first.clone();
            let own = if is_tls { self.clients(&server.scope) } else { required.clone() };
            let is_unknown = own.is_required && own.authority.is_none();
            let of_server = if is_unknown || own != required && own.is_required {
                let why = "other servers of this listener do not ask for a certificate, and here one rule holds for a listener";
                self.book.note_as(
                    server.directive,
                    "ssl_verify_client",
                    why,
                    "closed (403), as it would let in whom nginx kept out",
                );
                self.consume_all(server.directive.block());
                vec![(Vec::new(), vec![closed(Path::Prefix("/".to_owned()), server.directive.place.line)])]
            } else {
                self.split(server, &mut hosts, is_default.then_some(&of_others))
            };
            let wildcards: Vec<&str> = of_others.iter().filter_map(|host| host.strip_prefix('*')).collect();
            for (limited, own_routes) in of_server {
                let of_all = limited.is_empty();
                let named = if of_all { hosts.clone() } else { limited };
                if is_default && of_all {
                    routes.extend(own_routes.iter().cloned());
                    // A wildcard of another server would take these names from the one that is for all hosts.
                    let contested: Vec<String> = named
                        .into_iter()
                        .filter(|host| wildcards.iter().any(|suffix| host.ends_with(suffix)))
                        .collect();
                    if !contested.is_empty() {
                        routes.extend(own_routes.into_iter().map(|route| Route { hosts: contested.clone(), ..route }));
                    }
                } else if !named.is_empty() {
                    routes.extend(own_routes.into_iter().map(|route| Route { hosts: named.clone(), ..route }));
                }
            }
        }
        routes
    }

    /// The routes of a server, apart for those of its hosts of which a condition says something else. No hosts: all the others. The one
    /// that has all other hosts is told which are not.
    fn split(
        &mut self,
        server: &Server<'a>,
        hosts: &mut Vec<String>,
        of_others: Option<&Vec<&String>>,
    ) -> Vec<(Vec<String>, Vec<Route>)> {
        let is_own = |hosts: &[String], host: &String| {
            let is_claimed = |others: &&Vec<&String>| {
                others
                    .iter()
                    .any(|other| *other == host || other.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix)))
            };
            hosts.contains(host) || of_others.is_some_and(|others| !is_claimed(&others))
        };
        let mut apart: Vec<(Vec<String>, Vec<Route>)> = Vec::new();
        let mut for_others = None;
        for condition in server.scope.own().iter().filter(|part| part.name == "if") {
            let Some((is_equal, host)) = condition_on_host(condition) else { continue };
            let [answer] = condition.block() else { continue };
            let root = Path::Prefix("/".to_owned());
            let is_answer = matches!(answer.name.as_str(), "return" | "rewrite");
            let mut more = Vec::new();
            if !is_answer {
                continue;
            }
            let scope = server.scope.within(condition.block());
            let Some(route) = self.of_server(&scope, &mut more) else { continue };
            self.book.used(condition);
            let route = Route { path: root, ..route };
            let is_taken = apart.iter().any(|(taken, _)| taken.contains(&host));
            match is_equal {
                true if is_taken => {}
                true if is_own(hosts, &host) => {
                    hosts.retain(|other| *other != host);
                    apart.push((vec![host], vec![route]));
                }
                true => {} // Its requests never come here.
                false => {
                    for_others = Some((host, route));
                    break;
                }
            }
        }
        let main = self.whole(server);
        match for_others {
            None => apart.push((Vec::new(), main)),
            Some((host, route)) => {
                let is_asked = is_own(hosts, &host) && !apart.iter().any(|(taken, _)| taken.contains(&host));
                hosts.retain(|other| *other != host);
                if is_asked {
                    apart.push((vec![host], main));
                }
                apart.push((Vec::new(), vec![route]));
            }
        }
        apart.retain(|(limited, _)| !limited.is_empty() || of_others.is_some() || !hosts.is_empty());
        apart
    }

    fn whole(&mut self, server: &Server<'a>) -> Vec<Route> {
        let mut more = Vec::new();
        if let Some(route) = self.of_server(&server.scope, &mut more) {
            more.push(route);
            self.flatten_unreached(server);
            return more;
        }
        let mut routes = self.locations(server.directive, &server.scope);
        // What a server rewrites goes before its locations.
        routes.retain(|route| !more.iter().any(|other| other.path == route.path));
        more.append(&mut routes);
        let mut seen: Vec<Route> = Vec::new();
        for route in more {
            self.add(&mut seen, route, server.directive);
        }
        seen
    }

    /// Locations behind a `return` of the whole server.
    fn flatten_unreached(&mut self, server: &Server<'a>) {
        for location in server.scope.own().iter().filter(|part| part.name == "location") {
            if !self.book.is_used(location) {
                let scheme = self.scheme;
                self.book.note(
                    location,
                    format!("nginx never comes to it over {scheme}: the server answers everything at once"),
                    "left out",
                );
            }
        }
    }

    pub(super) fn consume_all(&mut self, block: &'a [Directive]) {
        for directive in block {
            self.book.used(directive);
            self.consume_all(directive.block());
        }
    }
}

/// `($host = a.example)`: whether it is to be equal, and to what.
fn condition_on_host(condition: &Directive) -> Option<(bool, String)> {
    let text = condition.args.join(" ");
    let mut words = text.trim_matches(|c| matches!(c, '(' | ')' | ' ')).split_ascii_whitespace();
    let (variable, sign, host) = (words.next()?, words.next()?, words.next()?.to_ascii_lowercase());
    let is_equal = match sign {
        "=" => true,
        "!=" => false,
        _ => return None,
    };
    let is_host_asked = matches!(variable, "$host" | "$http_host") && words.next().is_none();
    (is_host_asked && is_host(&host)).then_some((is_equal, host))
}
