//! Another policy under running connections: what the old one had granted is taken back, and who loses something is told.

use std::fs;

use serde_json::json;
use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, JsonClient, Over, Server, Setup, mqtt};

/// Everybody may use `a`, and `topic`.
fn policy(topic: &str) -> String {
    format!(
        "version: 1\nroles: {{ all: [{{ topic: a, rw: rw }}, {{ topic: \"{topic}\", rw: rw }}] }}\nusers: {{ anonymous: [all] }}\n"
    )
}

fn start(section: Option<&str>) -> Server {
    let setup = Setup::new().policy(&policy("b/#")).section("reload", "{ watch: false }");
    match section {
        Some(mqtt) => setup.section("mqtt", mqtt).start(),
        None => setup.start(),
    }
}

/// Takes `b/#` away, and waits until everybody has been judged.
fn revoke(server: &Server) {
    replace(server, "c");
}

fn replace(server: &Server, topic: &str) {
    fs::write(server.directory().join("policy.yaml"), policy(topic)).expect("a writable file");
    assert!(server.reload());
}

fn kept(version: Version, client_id: &str) -> Connect {
    let mut connect = mqtt::connect(version, client_id);
    connect.clean_start = false;
    connect.properties.session_expiry_interval_s = (version == Version::V5).then_some(600);
    connect
}

#[test]
fn a_json_client_is_told_and_stays() {
    let server = start(None);
    for over in [Over::Ws, Over::Wss] {
        replace(&server, "b/#");
        let mut page = JsonClient::open(&server, over);
        page.subscribe("a");
        page.subscribe("b/#");
        revoke(&server);
        let told = page.expect(&json!({ "Action": "revoked", "Filter": "b/#" }));
        assert!(told.get("Topic").is_none() && told["Reason"].is_string(), "{told}");
        page.publish("b/x", "not any more");
        page.expect(&json!({ "Action": "error", "Code": "denied" }));
        page.publish("a", "still here");
        page.expect(&json!({ "Action": "publish", "Topic": "a", "Payload": "still here" }));
    }
    assert_eq!(server.metric("tidegate_policy_revoked_total{what=\"subscription\"}"), 2.0);
    assert_eq!(server.metric("tidegate_policy_reviews_total"), 3.0);
}

#[test]
fn a_5_0_client_is_told_by_disconnect_and_may_come_back() {
    let server = start(None);
    for over in [Over::Tcp, Over::Wss] {
        replace(&server, "b/#");
        let mut client = Client::connect(&server, over, Version::V5, "c");
        client.subscribe("b/#", QoS::AtLeastOnce);
        let mut unconcerned = Client::connect(&server, over, Version::V5, "other");
        unconcerned.subscribe("a", QoS::AtMostOnce);
        revoke(&server);
        let Packet::Disconnect(disconnect) = client.receive() else { panic!("no DISCONNECT") };
        assert_eq!(disconnect.reason, ReasonCode::NotAuthorized);
        let words = disconnect.properties.reason_string.expect("a Reason String");
        assert!(words.contains("b/#"), "{words}");
        client.expect_closed();
        let mut again = Client::connect(&server, over, Version::V5, "c");
        assert_eq!(again.subscribe("b/#", QoS::AtLeastOnce), ReasonCode::NotAuthorized);
        assert!((again.publish("a", b"x", QoS::AtLeastOnce, false) as u8) < 0x80);
        unconcerned.expect_message("a", b"x");
    }
}

#[test]
fn whoever_is_told_nothing_gets_nothing_more() {
    for (section, version) in [(None, Version::V3), (None, Version::V4), (Some("{ revoked: keep }"), Version::V5)] {
        let server = start(section);
        let mut client = Client::connect(&server, Over::Tcp, version, "c");
        client.subscribe("a", QoS::AtMostOnce);
        client.subscribe("b/#", QoS::AtMostOnce);
        revoke(&server);
        // Whoever may publish there, as the policy goes on to grant it and takes it from nobody.
        replace(&server, "b/#");
        let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "p");
        publisher.publish("b/x", b"lost", QoS::AtLeastOnce, false);
        publisher.publish("a", b"kept", QoS::AtLeastOnce, false);
        client.expect_message("a", b"kept");
        client.expect_nothing();
    }
}

#[test]
fn a_publisher_is_denied_at_once() {
    let server = start(None);
    let mut client = Client::connect(&server, Over::Tcp, Version::V5, "c");
    for _ in 0..2 {
        assert_eq!(client.publish("b/x", b"x", QoS::AtLeastOnce, false), ReasonCode::NoMatchingSubscribers);
    }
    revoke(&server);
    assert_eq!(client.publish("b/x", b"x", QoS::AtLeastOnce, false), ReasonCode::NotAuthorized);
    assert_eq!(client.publish("a", b"x", QoS::AtLeastOnce, false), ReasonCode::NoMatchingSubscribers);
}

#[test]
fn a_durable_session_comes_back_to_what_is_left() {
    for version in [Version::V4, Version::V5] {
        let server = start(None);
        let mut client = Client::connect_with(&server, Over::Tcp, kept(version, "c"));
        client.subscribe("a", QoS::AtLeastOnce);
        client.subscribe("b/#", QoS::AtLeastOnce);
        client.disconnect(ReasonCode::Success);
        server.wait_for_metric("tidegate_engine_sessions_connected", |count| count == 0.0);
        let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "p");
        for topic in ["b/x", "a", "b/y"] {
            publisher.publish(topic, b"queued", QoS::AtLeastOnce, false);
        }
        revoke(&server);
        assert_eq!(server.metric("tidegate_policy_revoked_total{what=\"message\"}"), 2.0);
        assert_eq!(server.metric("tidegate_engine_subscriptions"), 1.0);

        let (mut client, connack) = Client::try_connect(&server, Over::Tcp, kept(version, "c"));
        assert!(connack.session_present);
        let told = connack.properties.user_properties.iter().map(|(name, value)| (&**name, &**value));
        let expected: &[(&str, &str)] = if version == Version::V5 { &[("revoked", "b/#")] } else { &[] };
        assert_eq!(told.collect::<Vec<_>>(), expected);
        let message = client.expect_message("a", b"queued");
        client.acknowledge(&message);
        client.expect_nothing();
    }
}

#[test]
fn a_will_that_may_not_be_published_any_more_is_not() {
    let server = start(None);
    let mut watcher = Client::connect(&server, Over::Tcp, Version::V4, "w");
    watcher.subscribe("a", QoS::AtMostOnce);
    for (topic, is_published) in [("b/will", false), ("a", true)] {
        replace(&server, "b/#");
        let mut connect = mqtt::connect(Version::V5, "mortal");
        connect.will = Some(mqtt::will(topic, "gone", QoS::AtMostOnce, false));
        let mortal = Client::connect_with(&server, Over::Tcp, connect);
        revoke(&server);
        mortal.disconnect(ReasonCode::DisconnectWithWill);
        if is_published {
            watcher.expect_message("a", b"gone");
        } else {
            server.wait_for_metric("tidegate_policy_revoked_total{what=\"will\"}", |count| count == 1.0);
        }
    }
}
