//! `listen` and `server_name`: where a server is found, and under which names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Translator;
use super::tokens::Directive;

/// One `listen`.
#[derive(Clone, Debug)]
pub(super) struct Listen<'a> {
    pub(super) directive: &'a Directive,
    pub(super) address: SocketAddr,
    pub(super) is_tls: bool,
    pub(super) is_default: bool,
    pub(super) has_proxy_protocol: bool,
}

/// The names of a server that a route can have.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Small letters; `*.` before those of all below.
    pub(super) hosts: Vec<String>,
    /// The first one that is written.
    pub(super) first: Option<String>,
}

const SILENT: [&str; 13] = [
    "default_server",
    "default",
    "ssl",
    "proxy_protocol",
    "reuseport",
    "deferred",
    "bind",
    "ipv6only=on",
    "backlog",
    "rcvbuf",
    "sndbuf",
    "fastopen",
    "so_keepalive",
];

impl<'a> Translator<'a> {
    /// Where a server listens; port 80 of every address if it does not say.
    pub(super) fn listens(&mut self, server: &'a Directive) -> Vec<Listen<'a>> {
        let written: Vec<&'a Directive> = server.block().iter().filter(|part| part.name == "listen").collect();
        let is_old_ssl = server.block().iter().find(|part| part.name == "ssl");
        is_old_ssl.into_iter().for_each(|part| self.book.used(part));
        let is_tls = is_old_ssl.is_some_and(|part| part.arg(0) == "on");
        if written.is_empty() {
            let address = (Ipv4Addr::UNSPECIFIED, 80).into();
            return vec![Listen { directive: server, address, is_tls, is_default: false, has_proxy_protocol: false }];
        }
        let mut listens = Vec::new();
        for directive in written {
            self.book.used(directive);
            let options: Vec<&str> = directive.args.iter().skip(1).map(String::as_str).collect();
            if options.contains(&"quic") || options.contains(&"http3") {
                self.book.note(directive, "HTTP/3 is not spoken", "left out");
                continue;
            }
            let address = match address(directive.arg(0)) {
                Ok(address) => address,
                Err(why) => {
                    self.book.note(directive, why, "left out; say an IP address and a port");
                    continue;
                }
            };
            for option in &options {
                let name = option.split('=').next().unwrap_or(option);
                match *option {
                    "http2" | "spdy" => {} // `secure` looks after it.
                    "ipv6only=off" => {
                        self.book.note(directive, "[::] is for IPv6 alone", "a listener of its own for 0.0.0.0")
                    }
                    _ if SILENT.contains(&name) || SILENT.contains(option) => {}
                    _ => self.book.note(directive, format!("{option} has no equal"), "left out"),
                }
            }
            let has = |name: &str| options.contains(&name);
            let listen = Listen {
                directive,
                address,
                is_tls: is_tls || has("ssl"),
                is_default: has("default_server") || has("default"),
                has_proxy_protocol: has("proxy_protocol"),
            };
            if has("ipv6only=off") && address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
                let address = (Ipv4Addr::UNSPECIFIED, address.port()).into();
                listens.push(Listen { address, ..listen.clone() });
            }
            listens.push(listen);
        }
        listens
    }

    pub(super) fn names(&mut self, server: &'a Directive) -> Names {
        let mut names = Names::default();
        for directive in server.block().iter().filter(|part| part.name == "server_name") {
            self.book.used(directive);
            for written in &directive.args {
                let name = written.to_ascii_lowercase();
                let mut keep = |host: String| {
                    if !names.hosts.contains(&host) {
                        names.hosts.push(host);
                    }
                };
                match name.strip_prefix('.') {
                    Some(domain) if is_host(domain) => {
                        names.first.get_or_insert_with(|| domain.to_owned());
                        keep(domain.to_owned());
                        keep(format!("*.{domain}"));
                    }
                    _ if matches!(name.as_str(), "" | "_" | "__" | "--") => {}
                    _ if is_host(name.strip_prefix("*.").unwrap_or(&name)) => {
                        names.first.get_or_insert_with(|| name.clone());
                        keep(name.strip_suffix('.').unwrap_or(&name).to_owned());
                    }
                    _ => {
                        let why = "a host is a name, or *. and one";
                        self.book.note_as(directive, format!("server_name {written}"), why, "left out");
                    }
                }
            }
        }
        names
    }
}

pub(super) fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if text.starts_with("unix:") {
        return Err("sockets in the file system are not listened on".to_owned());
    }
    let port = |text: &str| {
        let port = text.parse::<u16>().ok().filter(|port| *port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()));
        port.ok_or_else(|| format!("{text:?} is no port"))
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((Ipv4Addr::UNSPECIFIED, port(text)?).into());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, written)) if !written.contains(']') => (host, port(written)?),
        _ => (text, 80),
    };
    let ip = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| format!("{host} is no address"))?,
        None if host == "*" => Ipv4Addr::UNSPECIFIED.into(),
        None if host == "localhost" => Ipv4Addr::LOCALHOST.into(),
        None => {
            let ip = host.parse::<Ipv4Addr>().map(IpAddr::V4);
            ip.map_err(|_| format!("{host:?} is a name, and names are not looked up"))?
        }
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address() {
        for (text, expected) in [
            ("80", Some("0.0.0.0:80")),
            ("*:8080", Some("0.0.0.0:8080")),
            ("127.0.0.1", Some("127.0.0.1:80")),
            ("[::]:443", Some("[::]:443")),
            ("[::1]", Some("[::1]:80")),
            ("localhost:8000", Some("127.0.0.1:8000")),
            ("unix:/run/x.sock", None),
            ("a.test:80", None),
            ("8000-8010", None),
            ("0", None),
            ("99999", None),
            ("", None),
        ] {
            assert_eq!(address(text).ok().map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
    }
}
