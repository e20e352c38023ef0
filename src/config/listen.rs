//! What listeners are written as: URLs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::routes::routes;
use super::tls;
use super::written::{Typed, Written};
use crate::connection::DuplicateClientId;
use crate::edge::{ListenerConfig, Network, ProxyProtocol, Scheme};
use crate::fault::Fault;

const URL_ALLOWED: &str =
    "https, http, mqtts or mqtt, then :// and an IP address or localhost, then a port if it is not the usual one";

/// Reads `listen`.
pub(super) fn listeners(root: &Written, faults: &mut Vec<Fault>) -> Vec<ListenerConfig> {
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    let is_any_trusted = !root.items("trusted_proxies").is_empty();
    for item in root.items("listen") {
        let Some(listener) = listener(item, root.get("tls"), faults) else { continue };
        if let (Some(written), false) =
            (item.get("proxy_protocol"), is_any_trusted || listener.proxy_protocol == ProxyProtocol::No)
        {
            let allowed = "trusted_proxies as well: the networks of those whose header is believed";
            faults.push(written.fault("nobody is trusted to send a PROXY protocol header", allowed));
        }
        let taken = |other: &&ListenerConfig| other.address == listener.address && listener.address.port() != 0;
        if let Some(other) = listeners.iter().find(taken) {
            let found = format!("{} listens on the address of {}", listener.url, other.url);
            faults.push(item.fault(found, "one listener an address"));
        }
        listeners.push(listener);
    }
    if listeners.is_empty() && faults.is_empty() {
        let fault = root.get("listen").map(|listen| listen.fault("an empty list", "one listener at least"));
        faults.extend(fault);
    }
    listeners
}

fn listener(item: &Written, shared_tls: Option<&Written>, faults: &mut Vec<Fault>) -> Option<ListenerConfig> {
    let url = match &item.typed {
        Typed::Section(_) => match item.get("url") {
            Some(url) => url,
            None => {
                faults.push(item.fault("no url", format!("url: {URL_ALLOWED}")));
                return None;
            }
        },
        _ => item,
    };
    let text = url.as_text()?;
    let Some((scheme, address)) = parse_url(text) else {
        faults.push(url.fault(shown(text), URL_ALLOWED));
        return None;
    };
    let own_tls = item.get("tls").filter(|tls| belongs(tls, scheme.is_tls(), "https and mqtts", faults));
    let takes_mqtt = item.get("mqtt").filter(|mqtt| belongs(mqtt, scheme.is_http(), "https and http", faults));
    let own_routes = item.get("routes").filter(|routes| belongs(routes, scheme.is_http(), "http and https", faults));
    Some(ListenerConfig {
        tls: own_tls.zip(shared_tls).and_then(|(own, shared)| tls::own(own, shared, faults)),
        routes: own_routes.map(|_| routes(item, faults)),
        duplicate_client_id: duplicate_client_id(item),
        takes_mqtt: takes_mqtt.is_some_and(|mqtt| mqtt.typed == Typed::Flag(true)),
        proxy_protocol: match item.text("proxy_protocol") {
            Some("required") => ProxyProtocol::Required,
            Some("true") => ProxyProtocol::FromTrusted,
            _ => ProxyProtocol::No,
        },
        ..ListenerConfig::new(text, scheme, address)
    })
}

/// Reads `duplicate_client_id` of a listener or of `mqtt`.
pub(super) fn duplicate_client_id(section: &Written) -> Option<DuplicateClientId> {
    Some(match section.text("duplicate_client_id")? {
        "reject" => DuplicateClientId::Reject,
        "suffix" => DuplicateClientId::Suffix,
        _ => DuplicateClientId::Takeover,
    })
}

/// Names a key of a listener whose scheme has no use for it.
fn belongs(written: &Written, has_use: bool, schemes: &str, faults: &mut Vec<Fault>) -> bool {
    if !has_use {
        faults.push(written.fault("has no effect here", format!("with {schemes} only")));
    }
    has_use
}

/// Reads the list of networks `key`.
pub(super) fn networks(section: &Written, key: &str, faults: &mut Vec<Fault>) -> Vec<Network> {
    let mut networks = Vec::new();
    for item in section.items(key) {
        let Some(text) = item.as_text() else { continue };
        match Network::parse(text) {
            Ok(network) => networks.push(network),
            Err(error) => {
                let allowed = "an IP network such as 10.0.0.0/8 or 2001:db8::/32, or one address";
                faults.push(item.fault(format!("{text:?}: {error}"), allowed));
            }
        }
    }
    networks
}

/// Reads `admin.listen`; `None` within: no such listener.
pub(super) fn admin(admin: &Written, faults: &mut Vec<Fault>) -> Option<SocketAddr> {
    let listen = admin.get("listen")?;
    let text = listen.as_text().filter(|text| *text != "none")?;
    match parse_url(text) {
        Some((Scheme::Http, address)) if is_loopback(&address) || admin.get("token_file").is_some() => Some(address),
        Some((Scheme::Http, _)) => {
            let allowed = "a loopback address, such as http://127.0.0.1:9090, or admin.token_file as well";
            faults.push(listen.fault(format!("{text} is not loopback"), allowed));
            None
        }
        _ => {
            faults.push(listen.fault(shown(text), "http:// and an IP address, such as http://127.0.0.1:9090, or none"));
            None
        }
    }
}

/// Whether only this very machine can reach `address`.
pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// What of a refused URL may be shown: a password in one is a secret even here.
fn shown(text: &str) -> String {
    if text.contains('@') { "a URL with user information".to_owned() } else { format!("{text:?}") }
}

fn parse_url(text: &str) -> Option<(Scheme, SocketAddr)> {
    let (scheme, rest) = text.split_once("://")?;
    let (scheme, port_usual) = match scheme {
        "https" => (Scheme::Https, 443),
        "http" => (Scheme::Http, 80),
        "mqtts" => (Scheme::Mqtts, 8883),
        "mqtt" => (Scheme::Mqtt, 1883),
        _ => return None,
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, parse_port(port)?),
        _ => (authority, port_usual),
    };
    let address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => IpAddr::V6(host.parse().ok()?),
        None if host == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        None => IpAddr::V4(host.parse().ok()?),
    };
    Some((scheme, SocketAddr::new(address, port)))
}

/// Digits only, where the standard library would take a sign too.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        let cases = [
            ("https://0.0.0.0:8443", Some((Scheme::Https, "0.0.0.0:8443"))),
            ("https://127.0.0.1", Some((Scheme::Https, "127.0.0.1:443"))),
            ("http://[::1]:80/", Some((Scheme::Http, "[::1]:80"))),
            ("mqtts://[::]", Some((Scheme::Mqtts, "[::]:8883"))),
            ("mqtt://localhost:0", Some((Scheme::Mqtt, "127.0.0.1:0"))),
            ("", None),
            ("127.0.0.1:80", None),
            ("ws://127.0.0.1:80", None),
            ("HTTPS://127.0.0.1", None),
            ("https://example.org", None),
            ("https://127.0.0.1:", Some((Scheme::Https, ""))),
            ("https://127.0.0.1:+80", None),
            ("https://127.0.0.1:65536", None),
            ("https://127.0.0.1/mqtt", None),
            ("https://u:p@127.0.0.1", None),
            ("https://::1:80", None),
        ];
        for (text, expected) in cases {
            let expected = expected.and_then(|(scheme, address)| Some((scheme, address.parse().ok()?)));
            assert_eq!(parse_url(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_mapped_to_loopback_is_loopback() {
        let loopback = ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"];
        let others = ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"];
        assert!(loopback.iter().all(|text| is_loopback(&text.parse().unwrap())));
        assert!(!others.iter().any(|text| is_loopback(&text.parse().unwrap())));
    }
}
