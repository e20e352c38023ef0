//! SUBSCRIBE, UNSUBSCRIBE and which topics a filter means (MQTT 5.0 §3.8 to §3.11, §4.7).

use tidegate::mqtt::packet::SubscribeOptions;
use tidegate::mqtt::{QoS, ReasonCode, Version};

use super::VERSIONS;
use crate::harness::{Client, Over, Setup};

#[test]
fn wildcards_mean_what_the_standard_says() {
    // Without a policy everything is allowed but what begins with `$`, which is the server's own unless a rule names it.
    let policy = "
version: 1
roles: { all: [ { topic: \"#\", rw: rw }, { topic: \"$test/#\", rw: rw } ] }
users: { anonymous: [all] }
";
    let server = Setup::new().policy(policy).start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V4, "publisher");
    let topics = [
        "sport",
        "sport/",
        "sport/tennis",
        "sport/tennis/player1",
        "sport/tennis/player1/ranking",
        "/finance",
        "/",
        "$test/x",
        "é/x",
    ];
    // MQTT 5.0 §4.7.1.2, §4.7.1.3, §4.7.2: filter, and the indices of the topics it matches.
    let table: [(&str, &[usize]); 14] = [
        ("#", &[0, 1, 2, 3, 4, 5, 6, 8]),
        ("+", &[0]),
        ("sport/#", &[0, 1, 2, 3, 4]),
        ("sport/+", &[1, 2]),
        ("sport/tennis/+", &[3]),
        ("sport/tennis/#", &[2, 3, 4]),
        ("sport/+/player1", &[3]),
        ("+/+", &[1, 2, 5, 6, 8]),
        ("/+", &[5, 6]),
        ("+/tennis/#", &[2, 3, 4]),
        ("$test/#", &[7]),
        ("$test/+", &[7]),
        ("+/x", &[8]),
        ("é/#", &[8]),
    ];
    for (filter, matches) in table {
        let mut subscriber = Client::connect(&server, Over::Tcp, Version::V5, "subscriber");
        subscriber.subscribe(filter, QoS::AtMostOnce);
        for topic in topics {
            publisher.publish(topic, topic.as_bytes(), QoS::AtMostOnce, false);
        }
        publisher.expect_nothing();
        for &index in matches {
            assert_eq!(subscriber.receive_publish().topic.as_deref(), Some(topics[index]), "for {filter}");
        }
        subscriber.expect_nothing();
    }
}

#[test]
fn overlapping_subscriptions_deliver_once_at_the_highest_qos() {
    let server = Setup::new().start();
    for version in VERSIONS {
        let mut subscriber = Client::connect(&server, Over::Tcp, version, "subscriber");
        for (filter, qos) in [("a/#", QoS::AtMostOnce), ("a/+", QoS::ExactlyOnce), ("a/b", QoS::AtLeastOnce)] {
            subscriber.subscribe(filter, qos);
        }
        let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
        publisher.publish("a/b", b"x", QoS::ExactlyOnce, false);
        assert_eq!(subscriber.expect_message("a/b", b"x").qos, QoS::ExactlyOnce, "[MQTT-3.3.4-2]");
        subscriber.expect_nothing();
    }
}

#[test]
fn one_answer_for_each_filter_in_order() {
    let server = Setup::new().start();
    let mut client = Client::connect(&server, Over::Tcp, Version::V5, "client");
    let with = |maximum_qos| SubscribeOptions { maximum_qos, ..SubscribeOptions::default() };
    let reasons = client.subscribe_with(&[
        ("a", with(QoS::ExactlyOnce)),
        ("b/+", with(QoS::AtMostOnce)),
        ("c/#", with(QoS::AtLeastOnce)),
    ]);
    assert_eq!(reasons, [ReasonCode::GrantedQoS2, ReasonCode::Success, ReasonCode::GrantedQoS1]);
}

#[test]
fn a_subscription_made_again_takes_the_new_options() {
    let server = Setup::new().start();
    let mut client = Client::connect(&server, Over::Tcp, Version::V4, "client");
    client.subscribe("t", QoS::AtMostOnce);
    client.subscribe("t", QoS::ExactlyOnce);
    client.publish("t", b"x", QoS::AtLeastOnce, false);
    assert_eq!(client.expect_message("t", b"x").qos, QoS::AtLeastOnce, "[MQTT-3.8.4-3]");
    client.expect_nothing();
}

#[test]
fn unsubscribing_ends_delivery_and_says_whether_there_was_any() {
    let server = Setup::new().start();
    for version in VERSIONS {
        let mut client = Client::connect(&server, Over::Tcp, version, "client");
        client.subscribe("u/+", QoS::AtMostOnce);
        let reasons = client.unsubscribe("u/+");
        let again = client.unsubscribe("u/+");
        if version == Version::V5 {
            assert_eq!((reasons, again), (vec![ReasonCode::Success], vec![ReasonCode::NoSubscriptionExisted]));
        }
        client.publish("u/x", b"x", QoS::AtMostOnce, false);
        client.expect_nothing();
    }
}

#[test]
fn no_local_spares_the_publisher() {
    let server = Setup::new().start();
    let mut client = Client::connect(&server, Over::Tcp, Version::V5, "client");
    let mut other = Client::connect(&server, Over::Tcp, Version::V5, "other");
    client.subscribe_with(&[("t", SubscribeOptions { no_local: true, ..SubscribeOptions::default() })]);
    client.publish("t", b"mine", QoS::AtMostOnce, false);
    client.expect_nothing();
    other.publish("t", b"theirs", QoS::AtMostOnce, false);
    client.expect_message("t", b"theirs");
}
