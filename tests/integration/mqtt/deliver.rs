//! PUBLISH in both directions and its acknowledgements (MQTT 5.0 §3.3 to §3.7, §4.3, §4.6).

use std::num::{NonZeroU16, NonZeroU32};

use tidegate::mqtt::packet::Ack;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::VERSIONS;
use crate::harness::{Client, Over, Setup, mqtt, payload};

const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

#[test]
fn the_lower_of_both_qos_is_delivered() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Wss, Version::V5, "publisher");
    for version in VERSIONS {
        let mut subscriber = Client::connect(&server, Over::Tcp, version, "subscriber");
        for subscribed in ALL_QOS {
            subscriber.subscribe("t", subscribed);
            for published in ALL_QOS {
                publisher.publish("t", b"x", published, false);
                let message = subscriber.expect_message("t", b"x");
                assert_eq!(message.qos, published.min(subscribed));
                assert!(!message.dup && !message.retain, "{message:?}");
            }
        }
    }
}

#[test]
fn a_message_repeated_before_its_pubrel_is_delivered_once() {
    let server = Setup::new().start();
    for version in VERSIONS {
        let mut subscriber = Client::connect(&server, Over::Tcp, version, "subscriber");
        subscriber.subscribe("once", QoS::ExactlyOnce);
        let mut publisher = Client::connect(&server, Over::Tcp, version, "publisher");
        let mut message = mqtt::publish("once", b"exactly", QoS::ExactlyOnce, false, 7);
        for dup in [false, true, true] {
            message.dup = dup;
            publisher.send(&Packet::Publish(message.clone()));
            assert!(matches!(publisher.receive(), Packet::PubRec(ack) if ack.packet_id.get() == 7), "[MQTT-4.3.3-10]");
        }
        publisher.send(&Packet::PubRel(Ack::new(mqtt::packet_id(7), ReasonCode::Success)));
        assert!(matches!(publisher.receive(), Packet::PubComp(_)));
        // The identifier is free again: the same packet is a new message.
        message.dup = false;
        publisher.send(&Packet::Publish(message));
        assert!(matches!(publisher.receive(), Packet::PubRec(_)));
        subscriber.expect_message("once", b"exactly");
        subscriber.expect_message("once", b"exactly");
        subscriber.expect_nothing();
    }
}

#[test]
fn a_pubrel_for_nothing_is_answered() {
    let server = Setup::new().start();
    let mut client = Client::connect(&server, Over::Tcp, Version::V5, "client");
    client.send(&Packet::PubRel(Ack::new(mqtt::packet_id(9), ReasonCode::Success)));
    match client.receive() {
        Packet::PubComp(ack) => assert_eq!(ack.reason, ReasonCode::PacketIdentifierNotFound),
        other => panic!("{other:?} instead of PUBCOMP"),
    }
    let mut client = Client::connect(&server, Over::Tcp, Version::V4, "client-4");
    client.send(&Packet::PubRel(Ack::new(mqtt::packet_id(9), ReasonCode::Success)));
    assert!(matches!(client.receive(), Packet::PubComp(_)));
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    let server = Setup::new().start();
    for qos in ALL_QOS {
        let mut subscriber = Client::connect(&server, Over::Wss, Version::V5, "subscriber");
        subscriber.subscribe("ordered", qos);
        let mut publisher = Client::connect(&server, Over::Tcp, Version::V4, "publisher");
        for index in 0..300 {
            publisher.publish("ordered", format!("{index}").as_bytes(), qos, false);
        }
        for index in 0..300 {
            subscriber.expect_message("ordered", format!("{index}").as_bytes());
        }
    }
}

#[test]
fn no_more_is_in_flight_than_the_client_said() {
    let server = Setup::new().start();
    let mut connect = mqtt::connect(Version::V5, "narrow");
    connect.properties.receive_maximum = NonZeroU16::new(2);
    let mut subscriber = Client::connect_with(&server, Over::Tcp, connect);
    subscriber.subscribe("n", QoS::AtLeastOnce);
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for index in 0..4 {
        publisher.publish("n", &[index], QoS::AtLeastOnce, false);
    }
    let first = subscriber.receive_publish();
    let second = subscriber.receive_publish();
    subscriber.expect_nothing();
    // QoS 0 is not bounded by it ([MQTT-3.3.4-9] speaks of QoS 1 and 2).
    subscriber.acknowledge(&first);
    assert_eq!(subscriber.expect_message("n", &[2]).qos, QoS::AtLeastOnce);
    assert_eq!(subscriber.expect_message("n", &[3]).qos, QoS::AtLeastOnce);
    subscriber.acknowledge(&second);
    subscriber.expect_nothing();
}

#[test]
fn a_message_too_large_for_a_receiver_is_dropped_for_it_alone() {
    let server = Setup::new().start();
    let mut connect = mqtt::connect(Version::V5, "small");
    connect.properties.maximum_packet_size = NonZeroU32::new(64);
    let mut small = Client::connect_with(&server, Over::Tcp, connect);
    let mut large = Client::connect(&server, Over::Tcp, Version::V5, "large");
    small.subscribe("s", QoS::AtLeastOnce);
    large.subscribe("s", QoS::AtLeastOnce);
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    publisher.publish("s", &payload(100, false), QoS::AtLeastOnce, false);
    publisher.publish("s", b"fits", QoS::AtLeastOnce, false);
    small.expect_message("s", b"fits");
    large.expect_message("s", &payload(100, false));
    large.expect_message("s", b"fits");
}

#[test]
fn a_packet_over_the_limit_is_refused_by_its_length_alone() {
    let server = Setup::new().start();
    for over in [Over::Tcp, Over::Ws] {
        let mut client = Client::connect(&server, over, Version::V5, "huge");
        // PUBLISH, Remaining Length 268,435,455, and nothing behind it.
        client.send_bytes(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
        client.expect_disconnect(ReasonCode::PacketTooLarge);
    }
}

#[test]
fn what_mqtt_5_says_about_a_message_arrives_unchanged_and_in_order() {
    let server = Setup::new().start();
    let mut subscriber = Client::connect(&server, Over::Wss, Version::V5, "subscriber");
    let mut old = Client::connect(&server, Over::Wss, Version::V4, "old");
    subscriber.subscribe("p", QoS::AtMostOnce);
    old.subscribe("p", QoS::AtMostOnce);
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    // Payload Format Indicator, Content Type, Response Topic, Correlation Data, and three User Properties of which two share a name.
    let properties = b"\x01\x01\x03\x00\x04text\x08\x00\x05reply\x09\x00\x02\x00\xff\
        \x26\x00\x01b\x00\x011\x26\x00\x01a\x00\x012\x26\x00\x01b\x00\x013";
    let mut message = mqtt::publish("p", b"payload", QoS::AtMostOnce, false, 0);
    message.properties.forwarded = properties.into();
    publisher.send(&Packet::Publish(message));
    let received = subscriber.expect_message("p", b"payload");
    assert_eq!(&received.properties.forwarded[..], &properties[..]);
    old.expect_message("p", b"payload");
}

#[test]
fn a_topic_alias_stands_for_its_topic() {
    let server = Setup::new().start();
    let (mut client, answer) = Client::try_connect(&server, Over::Tcp, mqtt::connect(Version::V5, "alias"));
    let Some(maximum) = answer.properties.topic_alias_maximum.filter(|&maximum| maximum > 0) else {
        // A server may offer none; then any alias is an error (MQTT 5.0 §3.2.2.3.8).
        let mut message = mqtt::publish("t", b"x", QoS::AtMostOnce, false, 0);
        message.properties.topic_alias = NonZeroU16::new(1);
        client.send(&Packet::Publish(message));
        return client.expect_disconnect(ReasonCode::TopicAliasInvalid);
    };
    client.subscribe("long/topic", QoS::AtMostOnce);
    let mut message = mqtt::publish("long/topic", b"named", QoS::AtMostOnce, false, 0);
    message.properties.topic_alias = NonZeroU16::new(maximum);
    client.send(&Packet::Publish(message.clone()));
    client.expect_message("long/topic", b"named");
    message.topic = None;
    client.send(&Packet::Publish(message.clone()));
    client.expect_message("long/topic", b"named");
    message.properties.topic_alias = NonZeroU16::new(maximum.wrapping_add(1));
    client.send(&Packet::Publish(message));
    client.expect_disconnect(ReasonCode::TopicAliasInvalid);
}

#[test]
fn a_slow_reader_delays_nobody() {
    let server = Setup::new().start();
    let mut stalled = Client::connect(&server, Over::Wss, Version::V4, "stalled");
    let mut reader = Client::connect(&server, Over::Wss, Version::V4, "reader");
    stalled.subscribe("flood", QoS::AtMostOnce);
    reader.subscribe("flood", QoS::AtMostOnce);
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V4, "publisher");
    let block = payload(256 << 10, false);
    // 32 MiB: far more than sockets and the stalled client's outbox take.
    for _ in 0..128 {
        publisher.publish("flood", &block, QoS::AtMostOnce, false);
        reader.expect_message("flood", &block);
    }
    publisher.expect_nothing();
}
