//! What the metrics page says: every refusal is counted, and what is gone leaves nothing behind.

use serde_json::json;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::transport::upgrade_request;
use crate::harness::{Client, JsonClient, Over, Setup, Transport, mqtt};

const POLICY: &str = "
version: 1
acl: [ [client, /own, 2] ]
";

#[test]
fn every_refusal_is_counted() {
    let server = Setup::new().users(&[("client", "password")]).policy(POLICY).start();
    let counted = |series: &str| server.wait_for_metric(series, |value| value >= 1.0);

    let mut connect = mqtt::connect(Version::V5, "intruder");
    connect.login = mqtt::login("client", "wrong");
    let _ = Client::try_connect(&server, Over::Tcp, connect);
    counted("tidegate_auth_answers_total{answer=\"bad_credentials\"}");
    counted("tidegate_connection_closed_total{reason=\"Bad User Name or Password\"}");

    let mut connect = mqtt::connect(Version::V5, "client");
    connect.login = mqtt::login("client", "password");
    let mut client = Client::connect_with(&server, Over::Tcp, connect);
    assert_eq!(client.publish("/other", b"x", QoS::AtLeastOnce, false), ReasonCode::NotAuthorized);
    counted("tidegate_connection_denied_total{action=\"publish\"}");
    assert_eq!(client.subscribe("/other", QoS::AtLeastOnce), ReasonCode::NotAuthorized);
    counted("tidegate_connection_denied_total{action=\"subscribe\"}");
    client.send_bytes(&[0x36, 0]);
    client.expect_disconnect(ReasonCode::MalformedPacket);
    counted("tidegate_connection_closed_total{reason=\"Malformed Packet\"}");

    let mut json = JsonClient::log_in(&server, Over::Ws, "client", "password");
    json.send(&json!({ "Action": "dance" }));
    json.expect(&json!({ "Action": "error" }));
    counted("tidegate_connection_json_mistakes_total");

    let host = server.address("http");
    for (more, reason) in [("Origin: http://evil.example\r\n", "origin"), ("Sec-WebSocket-Key: again\r\n", "malformed")]
    {
        let mut transport = Transport::tcp(host);
        transport.write(upgrade_request("/mqtt", &host.to_string(), more).as_bytes());
        transport.read_head();
        counted(&format!("tidegate_edge_upgrades_refused_total{{reason=\"{reason}\"}}"));
    }
    let mut transport = Transport::tcp(server.address("https"));
    transport.write(b"this is no TLS");
    transport.read_to_end();
    counted("tidegate_edge_tls_handshakes_failed_total{reason=\"tls\"}");
}

#[test]
fn what_is_gone_leaves_nothing_behind() {
    let server = Setup::new().start();
    for round in 0..3 {
        let mut clients: Vec<_> = Over::ALL
            .iter()
            .flat_map(|&over| (0..10).map(move |index| (over, format!("{over:?}-{index}"))))
            .map(|(over, name)| Client::connect(&server, over, Version::V5, &name))
            .collect();
        for (index, client) in clients.iter_mut().enumerate() {
            client.subscribe(&format!("gone/{index}/#"), QoS::ExactlyOnce);
            client.publish("elsewhere", b"x", QoS::AtLeastOnce, false);
        }
        server.wait_for_metric("tidegate_connection_open", |value| value == 40.0);
        server.wait_for_metric("tidegate_engine_subscriptions", |value| value == 40.0);
        for (index, client) in clients.into_iter().enumerate() {
            // One half says goodbye, the other vanishes.
            if index % 2 == round % 2 {
                client.disconnect(ReasonCode::Success);
            }
        }
        for gauge in ["tidegate_connection_open", "tidegate_engine_sessions", "tidegate_engine_subscriptions"] {
            server.wait_for_metric(gauge, |value| value == 0.0);
        }
        // The metrics page is itself read over one connection.
        server.wait_for_metric("tidegate_edge_connections_open", |value| value <= 1.0);
    }
}

#[test]
fn a_retained_message_that_was_cleared_takes_no_room() {
    let server = Setup::new().start();
    let mut client = Client::connect(&server, Over::Tcp, Version::V4, "client");
    for payload in [&b"kept"[..], b""] {
        for index in 0..100 {
            client.send(&Packet::Publish(mqtt::publish(&format!("r/{index}"), payload, QoS::AtMostOnce, true, 0)));
        }
        let expected = if payload.is_empty() { 0.0 } else { 100.0 };
        server.wait_for_metric("tidegate_engine_retained_messages", |value| value == expected);
        server.wait_for_metric("tidegate_engine_retained_bytes", |value| (value > 0.0) == (expected > 0.0));
    }
}
