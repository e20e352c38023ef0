//! MQTT and HTTP on one port: who speaks what is told by ALPN, or by the first byte.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::certificates::{Certificates, ClientAuthority};
use crate::harness::transport::Ending;
use crate::harness::{Client, Over, PATIENCE, Server, Setup, Transport, http, mqtt};

fn setup() -> Setup {
    Setup::new()
        .listeners(["{ url: \"https://127.0.0.1:0\", mqtt: true }", "{ url: \"http://127.0.0.1:0\", mqtt: true }"])
        .section("log", "{ level: trace }")
}

fn connect_bytes() -> Vec<u8> {
    mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(Version::V4, "c"))), Version::V4)
}

/// CONNACK of 3.1.1: no Session, Connection Accepted.
const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];

fn tls(server: &Server, protocols: &[&str]) -> Transport {
    let mut config = Certificates::get().client_config_for(rustls::ALL_VERSIONS);
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Transport::tls_with(server.address("https"), Arc::new(config))
}

/// Reads until there are `wanted`, or the stream ends.
fn expect(transport: &mut Transport, wanted: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    while transport.received.len() < wanted.len() {
        assert_eq!(transport.read_more(deadline), None, "before that: {:?}", transport.received);
    }
    assert_eq!(transport.received, wanted);
}

#[test]
fn devices_and_pages_come_in_by_the_same_port() {
    let server = setup().start();
    let authority = server.authority_file();
    let authority = authority.to_str().expect("an ASCII path");
    for (over, more) in [
        (Over::Wss, &["--cafile", authority, "--tls-alpn", "mqtt"][..]),
        (Over::Wss, &["--cafile", authority]),
        (Over::Ws, &[]),
    ] {
        let mut page = Client::connect(&server, over, Version::V5, "page");
        page.subscribe("from/#", QoS::AtLeastOnce);
        for version in ["mqttv31", "mqttv311", "mqttv5"] {
            let port = server.address(over.scheme()).port().to_string();
            let mut command = Command::new("mosquitto_pub");
            command.args(["-h", "localhost", "-p", &port, "-V", version, "-q", "1"]).args(more);
            let output = command.args(["-t", "from/device", "-m", version]).output().expect("mosquitto_pub");
            assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
            let message = page.expect_message("from/device", version.as_bytes());
            page.acknowledge(&message);
        }
    }
    assert_eq!(http::get_tls(server.address("https"), "/").status, 200);
    assert_eq!(http::get(server.address("http"), "/").status, 200);
    // A browser offers ALPN.
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(http::ask(tls(&server, &["http/1.1"]), request).status, 200);
}

#[test]
fn nothing_is_lost_however_the_bytes_come() {
    let server = setup().start();
    for connect in [|server: &Server| tls(server, &[]), |server: &Server| Transport::connect(server, Over::Ws)] {
        let mut slow = connect(&server);
        for byte in connect_bytes() {
            slow.write(&[byte]);
        }
        expect(&mut slow, &ACCEPTED);

        // All at once: CONNECT, PINGREQ twice, DISCONNECT.
        let mut hasty = connect(&server);
        hasty.write(&[connect_bytes(), vec![0xC0, 0, 0xC0, 0, 0xE0, 0]].concat());
        assert_eq!(hasty.read_to_end().0, [&ACCEPTED[..], &[0xD0, 0, 0xD0, 0]].concat());

        let mut visitor = connect(&server);
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        for byte in request {
            visitor.write(&[*byte]);
        }
        let (answer, _) = visitor.read_to_end();
        assert_eq!(http::parse(&answer).status, 200);
    }
}

#[test]
fn what_was_agreed_on_holds_whatever_comes_then() {
    let server = setup().start();
    let mut page = tls(&server, &["http/1.1", "mqtt"]);
    page.write(&connect_bytes());
    assert_eq!(http::parse(&page.read_to_end().0).status, 400);
    let mut device = tls(&server, &["mqtt"]);
    device.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (bytes, _) = device.read_to_end();
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
    // Who is told apart by the first byte and speaks neither is told so in HTTP.
    let mut neither = tls(&server, &[]);
    neither.write(&[0xC0, 0, b'\r', b'\n', b'\r', b'\n']);
    assert_eq!(http::parse(&neither.read_to_end().0).status, 400);
}

#[test]
fn it_is_asked_for() {
    let server = Setup::new().start();
    for over in [Over::Ws, Over::Wss] {
        let mut transport = Transport::connect(&server, over);
        transport.write(&connect_bytes());
        assert_eq!(http::parse(&transport.read_to_end().0).status, 400);
    }
}

#[test]
fn who_says_nothing_or_too_little_is_dropped_in_time() {
    let limits = "{ tls_handshake_timeout: 1s, http_head_timeout: 1s, connect_timeout: 1s }";
    let server = setup().section("limits", limits).start();
    for connect in [
        |server: &Server| tls(server, &[]),
        |server: &Server| tls(server, &["mqtt"]),
        |server: &Server| Transport::connect(server, Over::Ws),
    ] {
        for first in [&[][..], &[0x10], &[0x10, 0x20, 0]] {
            let mut transport = connect(&server);
            transport.write(first);
            let begun = Instant::now();
            let (bytes, _) = transport.read_to_end();
            assert!(bytes.is_empty(), "{bytes:?}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{first:?}: {:?}", begun.elapsed());
        }
    }
    server.wait_for_metric("tidegate_edge_connections_open", |open| open == 0.0);
}

#[test]
fn the_header_of_a_proxy_and_a_clients_certificate_count_here_too() {
    let authority = ClientAuthority::new();
    let server = setup()
        .file("certs/clients.pem", &authority.certificate_pem)
        .section("tls", "{ cert: certs/server.pem, key: certs/server.key, client_ca: certs/clients.pem }")
        .section("trusted_proxies", "[127.0.0.0/8]")
        .section("auth", "{}")
        .listeners([
            "{ url: \"https://127.0.0.1:0\", mqtt: true }",
            "{ url: \"http://127.0.0.1:0\", mqtt: true, proxy_protocol: required }",
        ])
        .start();
    let identity = authority.sign_for(7, "device-7");
    let config = Certificates::get().client_config_with(&identity);
    let transport = Transport::tls_with(server.address("https"), config);
    let connect = mqtt::connect(Version::V5, "c");
    let (_client, connack) = Client::over(transport, Over::Tls, Version::V5).say(connect);
    assert_eq!(connack.reason, ReasonCode::Success);

    // Nobody vouches for who comes by the proxy, so he is refused; it is known who he is.
    let mut brought = Transport::tcp(server.address("http"));
    brought.write(&[b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 80\r\n".to_vec(), connect_bytes()].concat());
    let (bytes, ending) = brought.read_to_end();
    assert_eq!((&bytes[..3], ending), (&[0x20, 2, 0][..], Ending::Closed(None)));
    server.wait_for_line("192.0.2.7");
}
