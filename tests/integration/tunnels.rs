//! WebSockets of servers behind: each is one connection of its address, and of all, for as long as it lives.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use crate::harness::transport::upgrade_request;
use crate::harness::{Server, Setup, Transport};

/// Agrees to every WebSocket, and holds it as long as its client does.
fn start_behind() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|length| length > 2) {
                    line.clear();
                }
                let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                let _ = stream.get_mut().write_all(agreed.as_bytes());
                // Nothing, up to the end.
                let _ = stream.read_line(&mut line);
            });
        }
    });
    format!("http://{address}")
}

/// This test is the trusted proxy that says whom it brings.
fn start(limits: &str) -> Server {
    Setup::new()
        .listeners(["http://127.0.0.1:0"])
        .section("trusted_proxies", "[127.0.0.1/32]")
        .section("routes", &format!("[{{ path: /, proxy: \"{}\" }}]", start_behind()))
        .section("limits", limits)
        .start()
}

/// A WebSocket to the server behind, asked for by this address; the status that comes back.
fn open(server: &Server, address: &str) -> (Transport, String) {
    let listener = server.address("http");
    let mut transport = Transport::tcp(listener);
    let more = format!("X-Forwarded-For: {address}\r\n");
    transport.write(upgrade_request("/", &listener.to_string(), &more).as_bytes());
    let head = transport.read_head();
    (transport, head.split(' ').nth(1).unwrap_or_default().to_owned())
}

#[test]
fn a_tunnel_is_a_connection_of_its_address_as_long_as_it_lives() {
    let server = start("{ connections_per_address_max: 2, handshaking_per_address_max: 1 }");
    let (first, status) = open(&server, "203.0.113.7");
    assert_eq!(status, "101");
    server.wait_for_metric("tidegate_edge_proxy_tunnels_open", |count| count == 1.0);
    let (_second, status) = open(&server, "203.0.113.7");
    assert_eq!(status, "101", "the first has shaken hands, and leaves room for that");
    server.wait_for_metric("tidegate_edge_proxy_tunnels_open", |count| count == 2.0);
    assert_eq!(open(&server, "203.0.113.7").1, "429");
    assert_eq!(open(&server, "203.0.113.8").1, "101", "nobody else's");
    assert_eq!(server.metric("tidegate_edge_addresses_refused_total{reason=\"open\"}"), 1.0);
    drop(first);
    server.wait_for_metric("tidegate_edge_connections_open", |count| count == 1.0);
    assert_eq!(open(&server, "203.0.113.7").1, "101");
}

#[test]
fn a_tunnel_is_one_of_all_connections_as_long_as_it_lives() {
    let server = start("{ connections_max: 1 }");
    let (tunnel, status) = open(&server, "203.0.113.7");
    assert_eq!(status, "101");
    server.wait_for_metric("tidegate_edge_proxy_tunnels_open", |count| count == 1.0);
    assert_eq!(server.metric("tidegate_edge_connections_open"), 1.0);
    Transport::turned_away(server.address("http"));
    drop(tunnel);
    server.wait_for_metric("tidegate_edge_connections_open", |count| count == 0.0);
    assert_eq!(open(&server, "203.0.113.7").1, "101");
}
