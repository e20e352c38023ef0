//! Limits that change under running connections: they hold for whoever comes, and whoever is there counts and stays.

use serde_json::Value;
use tidegate::mqtt::{QoS, ReasonCode, Version};

use crate::harness::transport::{PING, upgrade_request};
use crate::harness::{Client, Over, Server, Setup, Transport, http, mqtt};
use crate::swap::swap;

fn start(section: &str, yaml: &str) -> Server {
    let setup = Setup::new().listeners(["http://127.0.0.1:0", "mqtt://127.0.0.1:0"]);
    setup.section("reload", "{ watch: false }").section(section, yaml).start()
}

fn assert_still_there(client: &mut Client) {
    assert_eq!(client.publish("t", b"x", QoS::AtLeastOnce, false), ReasonCode::NoMatchingSubscribers);
}

#[test]
fn a_cap_counts_those_who_came_under_another_one() {
    let server = start("limits", "{ connections_max: 2 }");
    let connect = |client_id| Client::connect(&server, Over::Tcp, Version::V5, client_id);
    let [mut first, mut second] = ["first", "second"].map(connect);
    let refused = || {
        let before = server.metric("tidegate_edge_connections_refused_full_total");
        drop(Transport::tcp(server.address("mqtt")));
        server.wait_for_metric("tidegate_edge_connections_refused_full_total", |count| count > before);
    };
    refused();

    assert!(swap(&server, "connections_max: 2", "connections_max: 3"));
    assert!(server.wait_for_line("Reloaded").contains("limits.connections_max"));
    assert!(!server.printed().contains("needs a restart"));
    let mut third = connect("third");
    refused();

    assert!(swap(&server, "connections_max: 3", "connections_max: 1"));
    refused();
    for client in [&mut first, &mut second, &mut third] {
        assert_still_there(client);
    }
}

#[test]
fn a_timeout_is_for_those_who_come_from_then_on() {
    let server = start("limits", "{ connect_timeout: 1m }");
    let early = Transport::tcp(server.address("mqtt"));
    server.wait_for_metric("tidegate_edge_connections_open", |open| open == 1.0);
    assert!(swap(&server, "connect_timeout: 1m", "connect_timeout: 100ms"));
    // It ends, while the one before has not.
    Transport::tcp(server.address("mqtt")).read_to_end();
    let (_, answer) = Client::speak(early, Over::Tcp, mqtt::connect(Version::V5, "early"));
    assert_eq!(answer.reason, ReasonCode::Success);
}

#[test]
fn who_becomes_a_trusted_proxy_is_believed_from_then_on() {
    let server = start("trusted_proxies", "[192.0.2.0/24]");
    let come = |client_id| {
        let mut transport = Transport::tcp(server.address("http"));
        let fields = "Sec-WebSocket-Protocol: mqtt\r\nX-Forwarded-For: 203.0.113.7\r\n";
        transport.write(upgrade_request("/mqtt", "localhost", fields).as_bytes());
        assert!(transport.read_head().starts_with("HTTP/1.1 101 "));
        Client::speak(transport, Over::Ws, mqtt::connect(Version::V5, client_id)).0
    };
    let mut before = come("before");
    assert!(swap(&server, "192.0.2.0/24", "127.0.0.0/8"));
    let _after = come("after");
    let listed = http::get(server.address("admin"), "/api/v1/connections");
    let listed: Value = serde_json::from_str(&listed.body).expect("JSON");
    let address_of = |client_id: &str| {
        let connections = listed["connections"].as_array().expect("a list");
        let found = connections.iter().find(|connection| connection["client_id"] == client_id);
        found.expect("it is connected")["address"].as_str().expect("an address").to_owned()
    };
    assert!(address_of("before").starts_with("127.0.0.1"), "{listed}");
    assert!(address_of("after").starts_with("203.0.113.7"), "{listed}");
    assert_still_there(&mut before);
}

#[test]
fn how_much_memory_there_may_be_changes_at_once() {
    let server = start("limits", "{ memory_max: 64MiB, lag_max: 0s }");
    assert_eq!(server.metric("tidegate_memory_max_bytes"), f64::from(64 << 20));
    assert!(swap(&server, "memory_max: 64MiB", "memory_max: 128MiB"));
    server.wait_for_metric("tidegate_memory_max_bytes", |bytes| bytes == f64::from(128 << 20));
}

#[test]
fn a_page_is_pinged_as_the_settings_say_under_which_it_came() {
    let server = start("websocket", "{ ping_interval: 1m }");
    let mut quiet = Client::connect(&server, Over::Ws, Version::V5, "quiet");
    assert!(swap(&server, "ping_interval: 1m", "ping_interval: 1s"));
    let mut pinged = Client::connect(&server, Over::Ws, Version::V5, "pinged");
    assert_eq!(pinged.transport.read_frame().expect("a ping, not the end").opcode, PING);
    assert_still_there(&mut quiet);
}

#[test]
fn what_a_socket_was_given_needs_a_restart() {
    let server = start("limits", "{ backlog: 100, connections_max: 5 }");
    assert!(swap(&server, "backlog: 100, connections_max: 5", "backlog: 200, connections_max: 6"));
    let line = server.wait_for_line("needs a restart");
    assert!(line.contains("limits.backlog") && !line.contains("connections_max"), "{line}");
}
