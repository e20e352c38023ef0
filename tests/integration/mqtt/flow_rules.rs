//! What goes on while Receive Maximum is used up, and what Maximum Packet Size counts; for bursts see `flow` (MQTT 5.0 §3.3.4, §4.9).

use std::num::{NonZeroU16, NonZeroU32};

use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::{OVER, ack, answer, everywhere, kept};
use crate::harness::{Client, Over, Setup, mqtt, payload};

#[test]
fn all_else_is_served_while_the_servers_receive_maximum_is_used_up() {
    let server = Setup::new().section("engine", "{ inflight_max: 10 }").start();
    for over in OVER {
        let mut client = Client::connect(&server, over, Version::V5, "full");
        for id in 1..=10 {
            client.send(&Packet::Publish(mqtt::publish("t", b"x", QoS::ExactlyOnce, false, id)));
            assert!(matches!(client.receive(), Packet::PubRec(_)));
        }
        client.expect_nothing();
        client.subscribe("u", QoS::AtMostOnce);
        client.publish("u", b"x", QoS::AtMostOnce, false);
        client.expect_message("u", b"x");
        client.unsubscribe("u");
        // One that is done with makes room for one.
        client.send(&Packet::PubRel(ack(4, ReasonCode::Success)));
        assert!(matches!(client.receive(), Packet::PubComp(_)));
        client.send(&Packet::Publish(mqtt::publish("t", b"x", QoS::ExactlyOnce, false, 11)));
        assert!(matches!(client.receive(), Packet::PubRec(ack) if ack.packet_id.get() == 11));
        client.send(&Packet::Publish(mqtt::publish("t", b"x", QoS::ExactlyOnce, false, 12)));
        client.expect_disconnect(ReasonCode::ReceiveMaximumExceeded);
    }
}

#[test]
fn all_else_is_sent_while_the_clients_receive_maximum_is_used_up() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for over in OVER {
        let mut connect = mqtt::connect(Version::V5, "narrow");
        connect.properties.receive_maximum = NonZeroU16::new(1);
        let mut client = Client::connect_with(&server, over, connect);
        client.subscribe("t", QoS::ExactlyOnce);
        publisher.publish("t", b"one", QoS::ExactlyOnce, false);
        publisher.publish("t", b"two", QoS::ExactlyOnce, false);
        let message = client.receive_publish();
        // PINGRESP, SUBACK, UNSUBACK, PUBACK, PUBREC and PUBCOMP are not held up ([MQTT-3.3.4-10], [MQTT-4.9.0-3]).
        client.expect_nothing();
        client.subscribe("u", QoS::AtLeastOnce);
        client.unsubscribe("u");
        client.publish("v", b"x", QoS::AtLeastOnce, false);
        client.publish("v", b"x", QoS::ExactlyOnce, false);
        // PUBREC ends nothing yet: only PUBCOMP, or a refusal, gives the place back.
        answer(&mut client, &message, ReasonCode::Success);
        let id = message.packet_id.expect("QoS 2").get();
        assert!(matches!(client.receive(), Packet::PubRel(_)));
        client.expect_nothing();
        client.send(&Packet::PubComp(ack(id, ReasonCode::Success)));
        let message = client.receive_publish();
        assert_eq!(message.payload, &b"two"[..]);
        publisher.publish("t", b"three", QoS::ExactlyOnce, false);
        answer(&mut client, &message, ReasonCode::QuotaExceeded);
        client.expect_message("t", b"three");
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn a_message_too_large_counts_as_sent() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for over in OVER {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (mut large, _) = kept(&server, over, Version::V5, "small");
            large.subscribe("s", QoS::ExactlyOnce);
            large.disconnect(ReasonCode::Success);
            // The publisher is answered as ever.
            let reason = publisher.publish("s", &payload(100, false), qos, false);
            assert!(!reason.is_failure(), "{reason:?}");
            if qos != QoS::AtMostOnce {
                publisher.publish("s", b"fits", qos, false);
            }
            let mut connect = mqtt::connect(Version::V5, "small");
            connect.clean_start = false;
            connect.properties.session_expiry_interval_s = Some(600);
            connect.properties.maximum_packet_size = NonZeroU32::new(64);
            connect.properties.receive_maximum = NonZeroU16::new(1);
            let mut small = Client::connect_with(&server, over, connect);
            publisher.publish("s", &payload(100, false), qos, false);
            publisher.publish("s", b"too", qos, false);
            // A window of one: if what is too large had a place in it, nothing could follow ([MQTT-3.1.2-25]).
            if qos != QoS::AtMostOnce {
                small.expect_message("s", b"fits");
            }
            small.expect_message("s", b"too");
            small.expect_nothing();
            small.disconnect(ReasonCode::Success);
            super::forget(&server, Version::V5, "small");
        }
    }
}

#[test]
fn the_servers_maximum_packet_size_is_met_to_the_byte() {
    let server = Setup::new().section("engine", "{ packet_bytes_max: 1KiB }").start();
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "exact");
        client.subscribe("s", QoS::AtMostOnce);
        // PUBLISH: three bytes of fixed header, three of topic, and in 5.0 one of properties.
        let room = 1024 - if version == Version::V5 { 7 } else { 6 };
        client.publish("s", &payload(room, false), QoS::AtMostOnce, false);
        client.expect_message("s", &payload(room, false));
        client.publish("s", &payload(room + 1, false), QoS::AtMostOnce, false);
        client.expect_disconnect(ReasonCode::PacketTooLarge);
    }
}
