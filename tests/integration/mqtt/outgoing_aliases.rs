//! Topic Aliases from the server to a client that takes them (MQTT 5.0 §3.1.2.11.5, §3.3.2.3.4).

use std::collections::HashMap;
use std::num::NonZeroU16;

use tidegate::mqtt::packet::{Connect, Publish};
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Over, Setup, mqtt};

/// A CONNECT that takes Topic Aliases up to `maximum`, for a session that is kept.
fn taking(maximum: u16, client_id: &str) -> Connect {
    let mut connect = mqtt::connect(Version::V5, client_id);
    connect.clean_start = false;
    connect.properties.session_expiry_interval_s = Some(600);
    connect.properties.topic_alias_maximum = Some(maximum);
    connect
}

/// Topic and alias as they were on the wire; the topic is empty where only the alias was sent.
fn spelled(publish: &Publish<'_>) -> (String, Option<u16>) {
    let topic = publish.topic.as_deref().unwrap_or_default().to_owned();
    (topic, publish.properties.topic_alias.map(NonZeroU16::get))
}

fn named(topic: &str, alias: u16) -> (String, Option<u16>) {
    (topic.to_owned(), Some(alias))
}

#[test]
fn a_topic_is_sent_in_full_once() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for over in Over::ALL {
        let mut subscriber = Client::connect_with(&server, over, taking(2, "subscriber"));
        subscriber.subscribe("a/#", QoS::ExactlyOnce);
        let mut spellings = Vec::new();
        for (topic, qos) in [
            ("a/long/way", QoS::AtMostOnce),
            ("a/long/way", QoS::AtLeastOnce),
            ("a/b", QoS::ExactlyOnce),
            ("a/long/way", QoS::ExactlyOnce),
            ("a/c", QoS::AtMostOnce),
            ("a/b", QoS::AtMostOnce),
            ("a/c", QoS::AtLeastOnce),
        ] {
            publisher.publish(topic, b"x", qos, false);
            let message = subscriber.receive_publish();
            subscriber.acknowledge(&message);
            spellings.push(spelled(&message));
        }
        let expected = [
            named("a/long/way", 1),
            named("", 1),
            named("a/b", 2),
            named("", 1),
            // Both are taken: the one that was not used for longest stands for another topic now.
            named("a/c", 2),
            named("a/b", 1),
            named("", 2),
        ];
        assert_eq!(spellings, expected, "{over:?}");
        subscriber.disconnect(ReasonCode::Success);
    }
}

#[test]
fn aliases_are_forgotten_with_the_connection_and_hold_for_what_waited() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let mut subscriber = Client::connect_with(&server, Over::Tcp, taking(9, "subscriber"));
    subscriber.subscribe("t/#", QoS::AtLeastOnce);
    publisher.publish("t/1", b"one", QoS::AtLeastOnce, false);
    publisher.publish("t/1", b"two", QoS::AtLeastOnce, false);
    assert_eq!(spelled(&subscriber.receive_publish()), named("t/1", 1));
    assert_eq!(spelled(&subscriber.receive_publish()), named("", 1));
    drop(subscriber);
    publisher.publish("t/1", b"three", QoS::AtLeastOnce, false);

    let mut subscriber = Client::connect_with(&server, Over::Tcp, taking(9, "subscriber"));
    let again = subscriber.receive_publish();
    assert!(again.dup);
    assert_eq!(spelled(&again), named("t/1", 1), "[MQTT-3.3.2-7]");
    assert_eq!(spelled(&subscriber.receive_publish()), named("", 1), "redelivered");
    assert_eq!(spelled(&subscriber.receive_publish()), named("", 1), "queued");
    drop(subscriber);

    // Whoever takes none gets none, though it did before.
    let mut connect = taking(0, "subscriber");
    connect.properties.topic_alias_maximum = None;
    let mut subscriber = Client::connect_with(&server, Over::Tcp, connect);
    for payload in ["one", "two", "three"] {
        let message = subscriber.expect_message("t/1", payload.as_bytes());
        assert_eq!(message.properties.topic_alias, None, "[MQTT-3.1.2-27]");
    }
}

#[test]
fn retained_messages_are_aliased_too() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    publisher.publish("r/1", b"kept", QoS::AtLeastOnce, true);
    let mut subscriber = Client::connect_with(&server, Over::Wss, taking(1, "subscriber"));
    for expected in [named("r/1", 1), named("", 1)] {
        subscriber.subscribe("r/+", QoS::AtLeastOnce);
        let message = subscriber.receive_publish();
        subscriber.acknowledge(&message);
        assert!(message.retain);
        assert_eq!(spelled(&message), expected);
    }
}

#[test]
fn a_publishers_alias_is_its_own() {
    let server = Setup::new().start();
    let mut plain = Client::connect(&server, Over::Tcp, Version::V5, "plain");
    let mut taker = Client::connect_with(&server, Over::Tcp, taking(5, "taker"));
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for subscriber in [&mut plain, &mut taker] {
        subscriber.subscribe("#", QoS::AtMostOnce);
    }
    let mut message = mqtt::publish("first", b"x", QoS::AtMostOnce, false, 0);
    message.properties.topic_alias = NonZeroU16::new(7);
    publisher.send(&Packet::Publish(message.clone()));
    message.topic = None;
    publisher.send(&Packet::Publish(message));
    for expected in [named("first", 1), named("", 1)] {
        assert_eq!(plain.expect_message("first", b"x").properties.topic_alias, None);
        assert_eq!(spelled(&taker.receive_publish()), expected);
    }
}

#[test]
fn the_server_sets_no_more_than_configured() {
    let server = Setup::new().section("limits", "{ topic_aliases_out_max: 0 }").start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let mut subscriber = Client::connect_with(&server, Over::Tcp, taking(100, "subscriber"));
    subscriber.subscribe("t", QoS::AtMostOnce);
    publisher.publish("t", b"x", QoS::AtMostOnce, false);
    assert_eq!(subscriber.expect_message("t", b"x").properties.topic_alias, None);

    let server = Setup::new().section("limits", "{ topic_aliases_out_max: 3 }").start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let mut subscriber = Client::connect_with(&server, Over::Tcp, taking(u16::MAX, "subscriber"));
    subscriber.subscribe("t/#", QoS::AtMostOnce);
    for round in 0..2 {
        for index in 0..4 {
            publisher.publish(&format!("t/{index}"), b"x", QoS::AtMostOnce, false);
            let message = subscriber.receive_publish();
            // Four topics in turn for three aliases: each time the one that is wanted next has just been given away.
            assert_eq!(spelled(&message), named(&format!("t/{index}"), (round * 4 + index) % 3 + 1));
        }
    }
    server.wait_for_metric("tidegate_connection_topic_aliases_remapped_total", |count| count == 5.0);
}

/// A client that reads slowly: messages find its outbox full and are dropped, and no alias is ever one that it was not told of.
#[test]
fn a_full_outbox_leaves_no_alias_that_the_client_does_not_know() {
    let server = Setup::new().section("limits", "{ outbox_bytes_max: 4KiB, topic_aliases_out_max: 4 }").start();
    let mut slow = Client::connect_with(&server, Over::Tcp, taking(4, "slow"));
    slow.subscribe("t/#", QoS::AtMostOnce);
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let payload = vec![b'x'; 3000];
    for index in 0..20_000_u32 {
        // The payload's first byte says which topic was meant.
        let topic = index.wrapping_mul(2_654_435_761) >> 8 & 7;
        let mut payload = payload.clone();
        payload[0] = topic as u8;
        publisher.publish(&format!("t/{topic}"), &payload, QoS::AtMostOnce, false);
    }
    publisher.expect_nothing();
    server.wait_for_metric("tidegate_engine_dropped_total{reason=\"outbox_full\"}", |count| count > 0.0);
    slow.send(&Packet::PingReq);
    let mut topics = HashMap::new();
    loop {
        match slow.receive() {
            Packet::PingResp => break,
            Packet::Publish(message) => {
                let alias = message.properties.topic_alias.expect("every topic is short");
                assert!(alias.get() <= 4, "[MQTT-3.1.2-26]");
                if let Some(topic) = message.topic.as_deref() {
                    topics.insert(alias, topic.to_owned());
                }
                let topic = topics.get(&alias).expect("an alias that was set before");
                assert_eq!(*topic, format!("t/{}", message.payload[0]));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(topics.len(), 4);
}
