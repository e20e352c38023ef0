//! Who is there: the PROXY protocol before everything, X-Forwarded-For within HTTP, and whose word counts.

use super::*;
use crate::edge::config::{ForwardedField, ProxyProtocol};

const LINE: &str = "PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n";

fn trusting(proxy_protocol: ProxyProtocol) -> impl FnOnce(&mut EdgeConfig) {
    move |config| {
        config.trusted_proxies = Network::LOOPBACK.to_vec();
        config.listeners.iter_mut().for_each(|listener| listener.proxy_protocol = proxy_protocol);
    }
}

fn upgrade(fields: &str) -> String {
    format!(
        "GET /mqtt HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n{fields}\r\n"
    )
}

/// Sends `bytes` and returns whom the connection that is handed over is said to come from.
async fn peer_after(edge: &mut Running, scheme: Scheme, bytes: &[u8]) -> String {
    let mut client = edge.connect(scheme).await;
    client.write_all(bytes).await.expect("the edge reads");
    edge.next_accepted().await.peer.to_string()
}

#[tokio::test]
async fn a_trusted_proxy_says_who_is_there_before_tls_and_without() {
    let mut edge = Running::start(&[Scheme::Mqtt, Scheme::Mqtts], trusting(ProxyProtocol::FromTrusted));
    assert_eq!(peer_after(&mut edge, Scheme::Mqtt, LINE.as_bytes()).await, "203.0.113.7:56324");
    let mut client = edge.connect(Scheme::Mqtts).await;
    client.write_all(LINE.as_bytes()).await.expect("the edge reads");
    let connector = tls::client(&edge, &[], &[&rustls::version::TLS13]);
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let _secured = in_time(connector.connect(name, client)).await.expect("TLS begins where the header ends");
    assert_eq!(edge.next_accepted().await.peer.to_string(), "203.0.113.7:56324");
    assert_eq!(read(&edge.counters.proxy_headers_accepted), 2);
}

#[tokio::test]
async fn not_a_byte_behind_the_header_is_lost_however_it_comes() {
    let mut edge = Running::start(&[Scheme::Http], trusting(ProxyProtocol::Required));
    let request = upgrade("");
    let whole = format!("{LINE}{request}");
    for split in [1, 5, 6, LINE.len() - 1, LINE.len(), LINE.len() + 1] {
        let mut client = edge.connect(Scheme::Http).await;
        for part in [&whole[..split], &whole[split..]] {
            client.write_all(part.as_bytes()).await.expect("the edge reads");
            tokio::task::yield_now().await;
        }
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "), "split at {split}");
        assert_eq!(edge.next_accepted().await.peer.to_string(), "203.0.113.7:56324");
    }
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_is_itself() {
    let mut edge = Running::start(&[Scheme::Mqtt], trusting(ProxyProtocol::FromTrusted));
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    assert!(peer_after(&mut edge, Scheme::Mqtt, local).await.starts_with("127.0.0.1:"));
    assert!(peer_after(&mut edge, Scheme::Mqtt, b"PROXY UNKNOWN\r\n").await.starts_with("127.0.0.1:"));
}

/// SECURITY A, "PROXY from anyone": the bytes of whoever is not trusted are the protocol's own.
#[tokio::test]
async fn nobody_else_is_believed() {
    let mut edge = Running::start(&[Scheme::Http, Scheme::Mqtt], |config| {
        trusting(ProxyProtocol::FromTrusted)(config);
        config.trusted_proxies = vec![Network::parse("10.0.0.0/8").expect("a network")];
    });
    let answer = edge.ask(format!("{LINE}GET / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let mut client = edge.connect(Scheme::Mqtt).await;
    client.write_all(LINE.as_bytes()).await.expect("the edge reads");
    let accepted = edge.next_accepted().await;
    assert_eq!(accepted.peer, client.local_addr().expect("it is connected"), "and the line is MQTT's to refuse");
    assert_eq!(read(&edge.counters.proxy_headers_accepted), 0);
}

#[tokio::test]
async fn where_it_is_required_others_are_closed_at_once() {
    let mut edge = Running::start(&[Scheme::Mqtt], |config| {
        trusting(ProxyProtocol::Required)(config);
        config.trusted_proxies = vec![Network::parse("10.0.0.0/8").expect("a network")];
    });
    let mut client = edge.connect(Scheme::Mqtt).await;
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(read(&edge.counters.proxy_headers_untrusted), 1);
    assert!(edge.accepted.try_recv().is_err());
}

#[tokio::test]
async fn a_trusted_proxy_that_sends_no_sound_header_is_closed() {
    let edge = Running::start(&[Scheme::Mqtt], trusting(ProxyProtocol::FromTrusted));
    let overrun = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0F\x01\x02\x03\x04\x01\x02\x03\x04\x00\x01\x00\x01\x04\xFF\xFF";
    for bytes in [b"\x10\x0C\x00\x04MQTT".as_slice(), b"PROXY TCP4 203.0.113.7\r\n", b"\x16\x03\x01", overrun] {
        let mut client = edge.connect(Scheme::Mqtt).await;
        client.write_all(bytes).await.expect("the edge reads");
        assert_eq!(read_to_end(&mut client).await, "");
    }
    assert_eq!(read(&edge.counters.proxy_headers_malformed), 4);
}

/// SECURITY A, "Slowloris": the header has a deadline of its own.
#[tokio::test]
async fn a_header_that_does_not_come_whole_in_time_is_not_waited_for() {
    let edge = Running::start(&[Scheme::Mqtt], |config| {
        trusting(ProxyProtocol::FromTrusted)(config);
        config.limits.proxy_header_timeout = Duration::from_millis(100);
    });
    let mut client = edge.connect(Scheme::Mqtt).await;
    client.write_all(b"PROXY TCP4 203").await.expect("the edge reads");
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(read(&edge.counters.proxy_headers_timed_out), 1);
}

#[tokio::test]
async fn a_websocket_is_its_clients_who_a_trusted_proxy_names() {
    let mut edge = Running::start(&[Scheme::Http], trusting(ProxyProtocol::No));
    let chain = upgrade("X-Forwarded-For: 1.1.1.1, 203.0.113.7, 127.0.0.9\r\nForwarded: for=9.9.9.9\r\n");
    assert_eq!(peer_after(&mut edge, Scheme::Http, chain.as_bytes()).await, "203.0.113.7:0");
    assert!(peer_after(&mut edge, Scheme::Http, upgrade("").as_bytes()).await.starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn forwarded_is_read_where_it_is_the_field() {
    let mut edge = Running::start(&[Scheme::Http], |config| {
        trusting(ProxyProtocol::No)(config);
        config.forwarded_field = ForwardedField::Forwarded;
    });
    let fields = "X-Forwarded-For: 9.9.9.9\r\nForwarded: for=\"[2001:db8::7]:4711\";proto=https\r\n";
    assert_eq!(peer_after(&mut edge, Scheme::Http, upgrade(fields).as_bytes()).await, "[2001:db8::7]:0");
}

/// SECURITY A, "XFF spoof".
#[tokio::test]
async fn whoever_is_not_trusted_speaks_for_nobody() {
    let mut edge = Running::start(&[Scheme::Http], |_| {});
    let spoofed = upgrade("X-Forwarded-For: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\n");
    assert!(peer_after(&mut edge, Scheme::Http, spoofed.as_bytes()).await.starts_with("127.0.0.1:"));
    // A client behind the PROXY protocol is as little trusted as one that comes directly.
    let mut edge = Running::start(&[Scheme::Http], trusting(ProxyProtocol::Required));
    let spoofed = format!("{LINE}{}", upgrade("X-Forwarded-For: 198.51.100.1\r\n"));
    assert_eq!(peer_after(&mut edge, Scheme::Http, spoofed.as_bytes()).await, "203.0.113.7:56324");
    let unknown = format!("PROXY UNKNOWN\r\n{}", upgrade("X-Forwarded-For: 198.51.100.1\r\n"));
    assert!(peer_after(&mut edge, Scheme::Http, unknown.as_bytes()).await.starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn a_page_is_of_the_same_origin_by_the_scheme_that_its_browser_spoke() {
    let edge = Running::start(&[Scheme::Http], trusting(ProxyProtocol::No));
    let status = async |fields: &str| {
        let mut client = edge.connect(Scheme::Http).await;
        client.write_all(upgrade(fields).as_bytes()).await.expect("the edge reads");
        read_head(&mut client).await[9..12].to_owned()
    };
    let origin = "Origin: https://a.example\r\n";
    assert_eq!(status(origin).await, "403");
    assert_eq!(status(&format!("{origin}X-Forwarded-Proto: https\r\n")).await, "101");
    assert_eq!(status(&format!("{origin}X-Forwarded-Proto: http\r\n")).await, "403");
}
