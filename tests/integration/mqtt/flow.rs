//! What either side may have under way, and how large (MQTT 5.0 §3.1.2.11.3, §3.1.2.11.4, §3.3.4, §4.9).

use std::num::{NonZeroU16, NonZeroU32};

use tidegate::mqtt::packet::Ack;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Over, Setup, mqtt};

/// Fifty PUBLISHes in one write.
fn burst(qos: QoS) -> Vec<u8> {
    let publish = |id| Packet::Publish(mqtt::publish("t", b"x", qos, false, id));
    (1..=50).flat_map(|id| mqtt::bytes(&publish(id), Version::V5)).collect()
}

/// MQTT 5.0 §3.3.4: what counts is how many have no PUBACK or PUBCOMP yet, and a PUBACK is sent before the next packet is looked at.
#[test]
fn a_burst_of_qos_1_is_answered_one_by_one() {
    let server = Setup::new().section("engine", "{ inflight_max: 10 }").start();
    for over in [Over::Tcp, Over::Wss] {
        let (mut client, answer) = Client::try_connect(&server, over, mqtt::connect(Version::V5, "burst"));
        assert_eq!(answer.properties.receive_maximum, NonZeroU16::new(10));
        client.send_bytes(&burst(QoS::AtLeastOnce));
        for id in 1..=50 {
            assert!(matches!(client.receive(), Packet::PubAck(ack) if ack.packet_id.get() == id), "{id}");
        }
        client.expect_nothing();
    }
}

#[test]
fn a_burst_of_qos_2_is_taken_up_to_the_receive_maximum() {
    let server = Setup::new().section("engine", "{ inflight_max: 10 }").start();
    let mut witness = Client::connect(&server, Over::Tcp, Version::V5, "witness");
    witness.subscribe("t", QoS::AtMostOnce);
    for over in [Over::Tcp, Over::Wss] {
        let mut client = Client::connect(&server, over, Version::V5, "burst");
        client.send_bytes(&burst(QoS::ExactlyOnce));
        for id in 1..=10 {
            assert!(matches!(client.receive(), Packet::PubRec(ack) if ack.packet_id.get() == id), "{id}");
            witness.expect_message("t", b"x");
        }
        client.expect_disconnect(ReasonCode::ReceiveMaximumExceeded);
        witness.expect_nothing();
    }
}

/// MQTT 5.0 [MQTT-3.3.4-9]: QoS 1 and 2 count together.
#[test]
fn a_burst_towards_a_client_stops_at_its_receive_maximum() {
    let server = Setup::new().start();
    for over in [Over::Tcp, Over::Wss] {
        let mut connect = mqtt::connect(Version::V5, "narrow");
        connect.properties.receive_maximum = NonZeroU16::new(3);
        let mut narrow = Client::connect_with(&server, over, connect);
        narrow.subscribe("t", QoS::ExactlyOnce);
        let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
        for index in 0..50_u8 {
            let qos = if index % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            publisher.publish("t", &[index], qos, false);
        }
        let mut underway: Vec<_> = (0..3).map(|_| narrow.receive_publish()).collect();
        narrow.expect_nothing();
        // PUBREC makes no room yet: PUBCOMP does.
        let second = underway.remove(1);
        let id = second.packet_id.expect("QoS 2");
        narrow.send(&Packet::PubRec(Ack::new(id, ReasonCode::Success)));
        assert!(matches!(narrow.receive(), Packet::PubRel(ack) if ack.packet_id == id));
        narrow.expect_nothing();
        narrow.send(&Packet::PubComp(Ack::new(id, ReasonCode::Success)));
        underway.push(narrow.receive_publish());
        narrow.expect_nothing();
        let mut payloads = vec![second.payload[0]];
        for index in 0..49 {
            let message = underway.remove(0);
            narrow.acknowledge(&message);
            payloads.push(message.payload[0]);
            if index < 46 {
                underway.push(narrow.receive_publish());
            }
        }
        narrow.expect_nothing();
        payloads.sort_unstable();
        assert_eq!(payloads, (0..50).collect::<Vec<_>>());
    }
}

/// MQTT 5.0 [MQTT-3.1.2-24], [MQTT-3.1.2-25]: dropped for it alone, as if it had been sent; the connection stays.
#[test]
fn what_is_too_large_for_a_client_does_not_exist_for_it() {
    let server = Setup::new().start();
    let mut connect = mqtt::connect(Version::V5, "small");
    connect.properties.maximum_packet_size = NonZeroU32::new(40);
    let mut small = Client::connect_with(&server, Over::Wss, connect);
    let mut large = Client::connect(&server, Over::Tcp, Version::V5, "large");
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    // The fixed header has 2 bytes, the topic 3, the Packet Identifier 2 and the Property Length 1.
    let (fits, too_large) = ([7; 32], [7; 33]);
    publisher.publish("r", &too_large, QoS::AtLeastOnce, true);
    for subscriber in [&mut small, &mut large] {
        subscriber.subscribe("+", QoS::ExactlyOnce);
    }
    large.expect_message("r", &too_large);
    small.expect_nothing();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(publisher.publish("t", &too_large, qos, false), ReasonCode::Success);
        assert_eq!(publisher.publish("t", &fits, qos, false), ReasonCode::Success);
        small.expect_message("t", &fits);
        large.expect_message("t", &too_large);
        large.expect_message("t", &fits);
    }
    small.expect_nothing();
    server.wait_for_metric("tidegate_engine_dropped_total{reason=\"too_large\"}", |count| count == 3.0);
    // Nothing of it is kept for later either: its place in the window is free.
    let id = publisher.publish("t", &fits, QoS::AtLeastOnce, false);
    assert_eq!(id, ReasonCode::Success);
    assert_eq!(small.expect_message("t", &fits).packet_id, NonZeroU16::new(3));
}
