//! What one address may do, before TLS and behind proxies. Loopback counts here as any other address does.

use super::*;
use crate::edge::config::ProxyProtocol;

fn limited(change: impl FnOnce(&mut AddressLimits)) -> impl FnOnce(&mut EdgeConfig) {
    move |config| {
        config.limits.addresses.exempt.clear();
        change(&mut config.limits.addresses);
    }
}

fn few_connects(limits: &mut AddressLimits) {
    (limits.connects_per_s, limits.connects_burst) = (1, 3);
}

/// Whether the edge closes a further connection without a word. The reset may be there before the connection is.
async fn refuses(edge: &Running, scheme: Scheme) -> bool {
    match TcpStream::connect(edge.address(scheme)).await {
        Ok(mut client) => read_to_end(&mut client).await.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// SECURITY A and DEMAND 9: whoever connects too often is refused before TLS.
#[tokio::test]
async fn an_address_that_connects_too_often_is_refused_before_tls() {
    let edge = Running::start(&[Scheme::Mqtts], limited(few_connects));
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(edge.connect(Scheme::Mqtts).await);
    }
    until(|| read(&edge.counters.connections_open) == 3).await;
    // In a second one more is allowed.
    let mut connecting = Vec::new();
    for _ in 0..10 {
        connecting.push(TcpStream::connect(edge.address(Scheme::Mqtts)).await);
    }
    until(|| read(&edge.counters.addresses_refused_rate) >= 5).await;
    assert!(read(&edge.counters.connections_open) <= 8);
    assert_eq!(read(&edge.counters.tls_handshakes_failed), 0, "TLS has not seen them");
}

#[tokio::test]
async fn an_address_holds_so_many_connections_and_no_more() {
    let mut edge = Running::start(&[Scheme::Mqtt], limited(|limits| limits.connections_max = 2));
    let _clients = [edge.connect(Scheme::Mqtt).await, edge.connect(Scheme::Mqtt).await];
    let first = edge.next_accepted().await;
    let _second = edge.next_accepted().await;
    assert!(refuses(&edge, Scheme::Mqtt).await);
    assert_eq!(read(&edge.counters.addresses_refused_open), 1);
    drop(first);
    let _third = edge.connect(Scheme::Mqtt).await;
    edge.next_accepted().await;
}

#[tokio::test]
async fn an_address_shakes_hands_so_many_times_at_once() {
    let mut edge = Running::start(&[Scheme::Mqtt], limited(|limits| limits.handshaking_max = 1));
    let _first = edge.connect(Scheme::Mqtt).await;
    let accepted = edge.next_accepted().await;
    assert!(refuses(&edge, Scheme::Mqtt).await);
    assert_eq!(read(&edge.counters.addresses_refused_handshaking), 1);
    let Accepted { handshake, place: _place, .. } = accepted;
    drop(handshake); // CONNECT is accepted
    let _second = edge.connect(Scheme::Mqtt).await;
    edge.next_accepted().await;
}

#[tokio::test]
async fn behind_the_proxy_protocol_each_client_has_its_own() {
    let mut edge = Running::start(&[Scheme::Mqtt], |config| {
        limited(few_connects)(config);
        config.trusted_proxies = Network::LOOPBACK.to_vec();
        config.listeners[0].proxy_protocol = ProxyProtocol::Required;
    });
    let line = |last: u8| format!("PROXY TCP4 203.0.113.{last} 10.0.0.1 56324 443\r\n");
    let mut kept = Vec::new();
    for last in [1, 1, 1, 2, 3, 4, 5, 6, 7, 8] {
        let mut client = edge.connect(Scheme::Mqtt).await;
        client.write_all(line(last).as_bytes()).await.expect("the edge reads");
        kept.push((client, edge.next_accepted().await));
    }
    let before = read(&edge.counters.addresses_refused_rate);
    let mut refused = Vec::new();
    for _ in 0..5 {
        let mut client = edge.connect(Scheme::Mqtt).await;
        client.write_all(line(1).as_bytes()).await.expect("the edge reads");
        refused.push(client);
    }
    until(|| read(&edge.counters.addresses_refused_rate) >= before + 3).await;
}

#[tokio::test]
async fn behind_an_http_proxy_each_client_has_its_own() {
    let mut edge = Running::start(&[Scheme::Http], |config| {
        limited(|limits| limits.connections_max = 1)(config);
        config.trusted_proxies = Network::LOOPBACK.to_vec();
    });
    let upgrade = |last: u8| {
        format!(
            "GET /mqtt HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: 203.0.113.{last}\r\n\r\n"
        )
    };
    let mut kept = Vec::new();
    for last in [1, 2] {
        let mut client = edge.connect(Scheme::Http).await;
        client.write_all(upgrade(last).as_bytes()).await.expect("the edge reads");
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
        kept.push((client, edge.next_accepted().await));
    }
    let answer = edge.ask(upgrade(1) + &upgrade(3)).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("retry-after: 1"), "{answer}");
    assert_eq!(answers(&answer), 1, "it is the last on its connection: {answer}");
    assert_eq!(read(&edge.counters.addresses_refused_open), 1);
    kept.clear();
    let mut client = edge.connect(Scheme::Http).await;
    client.write_all(upgrade(1).as_bytes()).await.expect("the edge reads");
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "), "its place is free again");
}
