//! Retained messages (MQTT 5.0 §3.3.1.3).

use tidegate::mqtt::packet::{RetainHandling, SubscribeOptions};
use tidegate::mqtt::{QoS, Version};

use super::VERSIONS;
use crate::harness::{Client, Over, Setup};

#[test]
fn the_last_retained_message_waits_for_whoever_subscribes() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V4, "publisher");
    publisher.publish("r/1", b"old", QoS::AtLeastOnce, true);
    publisher.publish("r/1", b"new", QoS::AtLeastOnce, true);
    for version in VERSIONS {
        let mut subscriber = Client::connect(&server, Over::Wss, version, "subscriber");
        subscriber.subscribe("r/1", QoS::ExactlyOnce);
        let message = subscriber.expect_message("r/1", b"new");
        assert!(message.retain, "3.1.1 [MQTT-3.3.1-8]");
        assert_eq!(message.qos, QoS::AtLeastOnce);
        subscriber.expect_nothing();
    }
}

#[test]
fn a_live_message_is_not_marked_retained() {
    let server = Setup::new().start();
    let mut subscriber = Client::connect(&server, Over::Tcp, Version::V4, "subscriber");
    subscriber.subscribe("r", QoS::AtMostOnce);
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V4, "publisher");
    publisher.publish("r", b"live", QoS::AtMostOnce, true);
    assert!(!subscriber.expect_message("r", b"live").retain, "[MQTT-3.3.1-12]");
    let mut keeping = Client::connect(&server, Over::Tcp, Version::V5, "keeping");
    keeping.subscribe_with(&[("s", SubscribeOptions { retain_as_published: true, ..SubscribeOptions::default() })]);
    publisher.publish("s", b"live", QoS::AtMostOnce, true);
    assert!(keeping.expect_message("s", b"live").retain, "[MQTT-3.3.1-13]");
}

#[test]
fn an_empty_payload_clears_it_and_is_itself_delivered() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let mut present = Client::connect(&server, Over::Tcp, Version::V5, "present");
    publisher.publish("r", b"x", QoS::AtLeastOnce, true);
    present.subscribe("r", QoS::AtMostOnce);
    present.expect_message("r", b"x");
    publisher.publish("r", b"", QoS::AtLeastOnce, true);
    present.expect_message("r", b"");
    let mut late = Client::connect(&server, Over::Tcp, Version::V5, "late");
    late.subscribe("r", QoS::AtMostOnce);
    late.expect_nothing();
}

#[test]
fn a_wildcard_finds_every_retained_message_but_none_under_a_dollar() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V4, "publisher");
    let topics: Vec<_> = (0..500).map(|index| format!("w/{}/{index}", index % 7)).collect();
    for topic in &topics {
        publisher.publish(topic, topic.as_bytes(), QoS::AtMostOnce, true);
    }
    publisher.publish("$w/hidden", b"x", QoS::AtLeastOnce, true);
    for filter in ["#", "w/+/+", "w/#", "+/+/#"] {
        let mut subscriber = Client::connect(&server, Over::Wss, Version::V4, "subscriber");
        subscriber.subscribe(filter, QoS::AtMostOnce);
        let receive = |_| subscriber.receive_publish().topic.expect("a topic").as_str().to_owned();
        let mut found: Vec<String> = (0..topics.len()).map(receive).collect();
        found.sort();
        let mut expected = topics.clone();
        expected.sort();
        assert_eq!(found, expected, "{filter}");
        subscriber.expect_nothing();
    }
}

#[test]
fn retain_handling_is_obeyed() {
    let server = Setup::new().start();
    let mut client = Client::connect(&server, Over::Tcp, Version::V5, "client");
    client.publish("r", b"x", QoS::AtLeastOnce, true);
    let with = |retain_handling| SubscribeOptions { retain_handling, ..SubscribeOptions::default() };
    client.subscribe_with(&[("r", with(RetainHandling::Never))]);
    client.expect_nothing();
    client.subscribe_with(&[("r", with(RetainHandling::IfNew))]);
    client.expect_nothing();
    client.subscribe_with(&[("r", with(RetainHandling::Always))]);
    client.expect_message("r", b"x");
    client.unsubscribe("r");
    client.subscribe_with(&[("r", with(RetainHandling::IfNew))]);
    client.expect_message("r", b"x");
}
