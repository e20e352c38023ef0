//! The `$SYS` topics: named and spelled as mosquitto's, for whoever may read them, and the server's alone.

use serde_json::json;
use tidegate::mqtt::packet::SubscribeOptions;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, JsonClient, Over, Puppet, Server, Setup, mqtt};

/// Grants the user `YS` more than anybody can have: a rule that said so outright would be a fault.
const GENEROUS: &str = r##"
version: 1
roles:
  operator: [ { topic: "#", rw: rw }, { topic: "$S${username}/#", rw: rw } ]
  user: [ { topic: "#", rw: rw } ]
users: { YS: [operator], user: [user] }
"##;

fn setup(interval: &str) -> Setup {
    Setup::new().section("engine", &format!("{{ sys_interval: {interval} }}"))
}

fn log_in(server: &Server, user: &str) -> Client {
    let mut connect = mqtt::connect(Version::V5, user);
    connect.login = mqtt::login(user, "password");
    Client::connect_with(server, Over::Tcp, connect)
}

/// Waits until `topic` is said to be `value`.
fn wait_for(client: &mut Client, topic: &str, value: &str) {
    loop {
        let publish = client.receive_publish();
        if publish.topic.as_deref() == Some(topic) && publish.payload == value.as_bytes() {
            return;
        }
    }
}

#[test]
fn mosquitto_sub_sees_what_it_knows_from_mosquitto() {
    let server = setup("1h").start();
    let mut listener = Puppet::mosquitto_sub(&server, &["-t", "$SYS/#", "-F", "said %t|%r|%q|%p"]);
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < 49 {
        let event =
            listener.wait("a message", |event| event["text"].as_str().is_some_and(|text| text.starts_with("said ")));
        let mut parts = event["text"].as_str().expect("a line").trim_start_matches("said ").splitn(4, '|');
        let mut part = || parts.next().expect("a part").to_owned();
        let (topic, retain, qos, value) = (part(), part(), part(), part());
        assert_eq!((&*retain, &*qos), ("1", "0"), "{topic}");
        assert_eq!(seen.insert(topic.clone(), value), None, "{topic} is told once");
    }
    let told = |topic: &str| seen.get(&format!("$SYS/broker/{topic}")).map_or("nothing", String::as_str);
    assert_eq!(told("version"), concat!("tidegate version ", env!("CARGO_PKG_VERSION")));
    assert_eq!(told("uptime"), "0 seconds");
    for count in
        ["clients/total", "clients/maximum", "retained messages/count", "messages/received", "publish/messages/dropped"]
    {
        assert_eq!(told(count), "0", "{count}");
    }
    for load in ["load/messages/received/1min", "load/publish/sent/5min", "load/connections/15min"] {
        assert_eq!(told(load), "0.00", "{load}");
    }
}

#[test]
fn the_numbers_are_those_of_the_traffic() {
    let server = setup("100ms").start();
    let mut watcher = Client::connect(&server, Over::Tcp, Version::V4, "watcher");
    watcher.subscribe("$SYS/broker/publish/+/received", QoS::AtMostOnce);
    let mut client = Client::connect(&server, Over::Ws, Version::V5, "client");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        client.publish("a", b"ten bytes.", qos, true);
    }
    let mut left = vec![("$SYS/broker/publish/messages/received", "3"), ("$SYS/broker/publish/bytes/received", "30")];
    while !left.is_empty() {
        let publish = watcher.receive_publish();
        left.retain(|&(topic, value)| publish.topic.as_deref() != Some(topic) || publish.payload != value.as_bytes());
    }
    client.subscribe("$share/group/b", QoS::AtMostOnce);
    for (topic, value) in [
        ("$SYS/broker/shared_subscriptions/count", "1"),
        ("$SYS/broker/clients/connected", "2"),
        ("$SYS/broker/clients/maximum", "2"),
        ("$SYS/broker/retained messages/count", "1"),
        ("$SYS/broker/connections/socket/count", "2"),
    ] {
        watcher.subscribe(topic, QoS::AtMostOnce);
        wait_for(&mut watcher, topic, value);
    }
    client.disconnect(ReasonCode::Success);
    wait_for(&mut watcher, "$SYS/broker/clients/connected", "1");
    // What the server says of itself is nobody's message: three were received, one is retained.
    server.wait_for_metric("tidegate_engine_messages_received_total", |count| count == 3.0);
    server.wait_for_metric("tidegate_engine_retained_messages", |count| count == 1.0);
}

#[test]
fn only_what_changes_is_said_again_and_not_as_retained() {
    let server = setup("100ms").start();
    let mut watcher = Client::connect(&server, Over::Tcp, Version::V5, "watcher");
    watcher.subscribe("$SYS/broker/version", QoS::ExactlyOnce);
    assert!(watcher.receive_publish().retain);
    watcher.subscribe("$SYS/broker/uptime", QoS::ExactlyOnce);
    let first = watcher.receive_publish();
    assert_eq!((first.retain, first.qos), (true, QoS::AtMostOnce));
    for _ in 0..2 {
        let next = watcher.receive_publish();
        assert_eq!(
            (next.topic.as_deref(), next.retain),
            (Some("$SYS/broker/uptime"), false),
            "the version is said once"
        );
    }
    // As published, where that is asked for.
    let options = SubscribeOptions { retain_as_published: true, ..SubscribeOptions::default() };
    let mut watcher = Client::connect(&server, Over::Tcp, Version::V5, "other");
    watcher.subscribe_with(&[("$SYS/broker/uptime", options)]);
    for _ in 0..2 {
        assert!(watcher.receive_publish().retain);
    }
}

#[test]
fn wildcards_at_the_front_do_not_see_them() {
    let server = setup("100ms").start();
    let mut everything = Client::connect(&server, Over::Tcp, Version::V5, "everything");
    for filter in ["#", "+/#", "+/broker/uptime", "$share/group/#"] {
        everything.subscribe(filter, QoS::AtMostOnce);
    }
    let mut watcher = Client::connect(&server, Over::Tcp, Version::V5, "watcher");
    watcher.subscribe("$SYS/broker/uptime", QoS::AtMostOnce);
    for _ in 0..2 {
        watcher.receive_publish();
    }
    everything.expect_nothing();
}

#[test]
fn nobody_forges_them_whatever_a_policy_grants() {
    let users = [("YS", "password"), ("user", "password")];
    let server = setup("1h").users(&users).policy(GENEROUS).start();
    let mut operator = log_in(&server, "YS");
    for topic in ["$SYS", "$SYS/broker/version", "$SYS/anything"] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            assert_eq!(operator.publish(topic, b"forged", qos, true), ReasonCode::NotAuthorized, "{topic}");
        }
        assert_eq!(operator.publish(topic, b"", QoS::AtLeastOnce, true), ReasonCode::NotAuthorized, "cleared: {topic}");
        let mut connect = mqtt::connect(Version::V5, "mortal");
        connect.login = mqtt::login("YS", "password");
        connect.will = Some(mqtt::will(topic, "forged", QoS::AtMostOnce, true));
        let (_, answer) = Client::try_connect(&server, Over::Tcp, connect);
        assert_eq!(answer.reason, ReasonCode::NotAuthorized, "a Will to {topic}");
    }
    let mut page = JsonClient::log_in(&server, Over::Ws, "YS", "password");
    page.send(&json!({ "Action": "publish", "Topic": "$SYS/broker/version", "Payload": "forged", "QoS": 1, "Id": 1 }));
    page.expect(&json!({ "Action": "error", "Id": 1 }));

    assert_eq!(operator.subscribe("$SYS/broker/version", QoS::AtMostOnce), ReasonCode::Success);
    let version = operator.receive_publish();
    assert!(version.payload.starts_with(b"tidegate version "), "{version:?}");
    // Whom no rule names them to does not read them either.
    let mut user = log_in(&server, "user");
    for filter in ["$SYS/#", "$SYS/broker/version", "$share/group/$SYS/#"] {
        assert_eq!(user.subscribe(filter, QoS::AtMostOnce), ReasonCode::NotAuthorized, "{filter}");
    }
}

#[test]
fn there_are_none_at_0s() {
    let server = setup("0s").start();
    let mut watcher = Client::connect(&server, Over::Tcp, Version::V5, "watcher");
    assert_eq!(watcher.subscribe("$SYS/#", QoS::AtMostOnce), ReasonCode::Success);
    watcher.send(&Packet::PingReq);
    assert_eq!(watcher.receive(), Packet::PingResp);
}
