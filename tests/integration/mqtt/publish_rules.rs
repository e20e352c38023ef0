//! What the standard says about PUBLISH and its acknowledgements and `deliver` does not show (MQTT 5.0 §3.3 to §3.7, §4.3, §4.6).

use std::num::NonZeroU16;

use tidegate::mqtt::packet::{Publish, SubscribeOptions};
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::{OVER, VERSIONS, ack, answer, everywhere, forget, kept, let_time_pass, received};
use crate::harness::{Client, Over, Setup, mqtt};

/// The answers to twenty messages sent at once, by their Packet Identifiers.
fn answered(client: &mut Client, count: usize) -> Vec<u16> {
    let identifier = |packet: Packet<'_>| match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => ack.packet_id.get(),
        other => panic!("{other:?} instead of an acknowledgement"),
    };
    (0..count).map(|_| identifier(client.receive())).collect()
}

#[test]
fn every_qos_is_answered_in_its_own_way() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "publisher");
        client.send(&Packet::Publish(mqtt::publish("t", b"x", QoS::AtMostOnce, false, 0)));
        client.expect_nothing();
        for id in [1, 77, 65_535] {
            client.send(&Packet::Publish(mqtt::publish("t", b"x", QoS::AtLeastOnce, false, id)));
            assert!(matches!(client.receive(), Packet::PubAck(ack) if ack.packet_id.get() == id), "[MQTT-3.3.4-1]");
            client.send(&Packet::Publish(mqtt::publish("t", b"x", QoS::ExactlyOnce, false, id)));
            assert!(matches!(client.receive(), Packet::PubRec(ack) if ack.packet_id.get() == id), "[MQTT-4.3.3-8]");
            client.send(&Packet::PubRel(ack(id, ReasonCode::Success)));
            assert!(matches!(client.receive(), Packet::PubComp(ack) if ack.packet_id.get() == id), "[MQTT-4.3.3-11]");
        }
        client.expect_nothing();
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn acknowledgements_keep_the_order_of_what_they_answer() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "publisher");
        // No order of the identifiers themselves.
        let ids: Vec<u16> = (1..=20).map(|index| index * 7 % 23 + 1).collect();
        let all = |packet: &dyn Fn(u16) -> Packet<'static>| -> Vec<u8> {
            ids.iter().flat_map(|&id| mqtt::bytes(&packet(id), version)).collect()
        };
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            client.send_bytes(&all(&|id| Packet::Publish(mqtt::publish("t", b"x", qos, false, id))));
            assert_eq!(answered(&mut client, 20), ids, "{version} over {over:?}: 3.1.1 [MQTT-4.6.0-2], [MQTT-4.6.0-3]");
        }
        client.send_bytes(&all(&|id| Packet::PubRel(ack(id, ReasonCode::Success))));
        assert_eq!(answered(&mut client, 20), ids);
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn releases_keep_the_order_of_the_pubrecs() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "subscriber");
        client.subscribe("t", QoS::ExactlyOnce);
        for index in 0..10 {
            publisher.publish("t", &[index], QoS::ExactlyOnce, false);
        }
        let messages = received(&mut client);
        let order: Vec<_> = [4, 1, 9, 0, 3, 2, 8, 7, 5, 6].iter().map(|&index: &usize| &messages[index]).collect();
        for message in &order {
            answer(&mut client, message, ReasonCode::Success);
        }
        for message in &order {
            match client.receive() {
                Packet::PubRel(ack) => assert_eq!(Some(ack.packet_id), message.packet_id, "3.1.1 [MQTT-4.6.0-4]"),
                other => panic!("{other:?} instead of PUBREL"),
            }
        }
        drop(client);
    }
}

#[test]
fn identifiers_in_flight_are_distinct_and_those_of_the_other_side_do_not_matter() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "subscriber");
        client.subscribe("t", QoS::ExactlyOnce);
        for _ in 0..40 {
            publisher.publish("t", b"x", QoS::ExactlyOnce, false);
        }
        let messages = received(&mut client);
        let mut ids: Vec<_> = messages.iter().filter_map(|message| message.packet_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 40, "[MQTT-2.2.1-4]");
        // Both sides use the same identifiers at the same time; each exchange comes to its own end (MQTT 5.0 §2.2.1).
        for message in &messages {
            let id = message.packet_id.expect("QoS 2").get();
            client.send(&Packet::Publish(mqtt::publish("u", b"y", QoS::ExactlyOnce, false, id)));
            assert!(matches!(client.receive(), Packet::PubRec(ack) if ack.packet_id.get() == id));
            answer(&mut client, message, ReasonCode::Success);
            assert!(matches!(client.receive(), Packet::PubRel(ack) if ack.packet_id.get() == id));
            client.send(&Packet::PubRel(ack(id, ReasonCode::Success)));
            let end = client.receive();
            assert!(
                matches!(&end, Packet::PubComp(ack) if ack.packet_id.get() == id && ack.reason == ReasonCode::Success),
                "{end:?}"
            );
            client.send(&Packet::PubComp(ack(id, ReasonCode::Success)));
        }
        client.expect_nothing();
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn the_publishers_dup_goes_no_further() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "both");
        client.subscribe("t", QoS::ExactlyOnce);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut message = mqtt::publish("t", b"x", qos, false, 5);
            message.dup = true;
            client.send(&Packet::Publish(message));
            let packets = [client.receive(), client.receive()];
            let copy = packets.iter().find_map(|packet| match packet {
                Packet::Publish(publish) => Some(publish),
                _ => None,
            });
            assert!(!copy.expect("its own copy").dup, "[MQTT-3.3.1-3]");
        }
        drop(client);
    }
}

#[test]
fn an_identifier_is_free_once_its_exchange_is_over() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut subscriber = Client::connect(&server, over, version, "subscriber");
        subscriber.subscribe("t", QoS::AtMostOnce);
        let mut publisher = Client::connect(&server, over, version, "publisher");
        for round in 0..3 {
            let mut message = mqtt::publish("t", b"x", QoS::AtLeastOnce, false, 8);
            // After PUBACK even DUP means nothing ([MQTT-4.3.2-5]).
            message.dup = round > 0;
            publisher.send(&Packet::Publish(message));
            assert!(matches!(publisher.receive(), Packet::PubAck(ack) if ack.packet_id.get() == 8));
            subscriber.expect_message("t", b"x");
        }
        subscriber.disconnect(ReasonCode::Success);
        publisher.disconnect(ReasonCode::Success);
    }
}

#[test]
fn a_message_that_was_refused_leaves_its_identifier_free() {
    let policy = "
version: 1
roles: { all: [ { topic: \"open\", rw: rw } ] }
users: { anonymous: [all] }
";
    let server = Setup::new().policy(policy).start();
    for over in OVER {
        let mut client = Client::connect(&server, over, Version::V5, "both");
        client.subscribe("open", QoS::AtMostOnce);
        for _ in 0..2 {
            client.send(&Packet::Publish(mqtt::publish("closed", b"x", QoS::ExactlyOnce, false, 3)));
            let refused = client.receive();
            assert!(matches!(&refused, Packet::PubRec(ack) if ack.reason == ReasonCode::NotAuthorized), "{refused:?}");
        }
        client.send(&Packet::Publish(mqtt::publish("open", b"y", QoS::ExactlyOnce, false, 3)));
        let mut packets = [client.receive(), client.receive()];
        packets.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
        assert!(matches!(&packets[0], Packet::PubRec(ack) if ack.reason == ReasonCode::Success), "[MQTT-4.3.3-9]");
        assert!(matches!(&packets[1], Packet::Publish(publish) if publish.payload == &b"y"[..]));
    }
}

#[test]
fn what_may_not_be_published_before_5_is_acknowledged_and_dropped() {
    let policy = "
version: 1
roles: { all: [ { topic: \"open\", rw: rw }, { topic: \"closed\", rw: r } ] }
users: { anonymous: [all] }
";
    let server = Setup::new().policy(policy).start();
    for version in [Version::V3, Version::V4] {
        for over in OVER {
            let mut client = Client::connect(&server, over, version, "both");
            client.subscribe("closed", QoS::AtMostOnce);
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                client.publish("closed", b"x", qos, true);
            }
            // 3.1.1 [MQTT-3.3.5-2]: it is acknowledged as ever, and nobody gets it.
            client.expect_nothing();
            client.disconnect(ReasonCode::Success);
        }
    }
}

#[test]
fn only_a_retained_message_replaces_one() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut publisher = Client::connect(&server, over, version, "publisher");
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            publisher.publish("r", b"first", QoS::AtLeastOnce, true);
            publisher.publish("r", b"second", qos, true);
            publisher.publish("r", b"live", qos, false);
            publisher.publish("r", b"", qos, false);
            publisher.expect_nothing();
            let mut late = Client::connect(&server, over, version, "late");
            late.subscribe("r", QoS::ExactlyOnce);
            let message = late.expect_message("r", b"second");
            assert!(message.retain && message.qos == qos, "{message:?} ([MQTT-3.3.1-5], [MQTT-3.3.1-8])");
            late.expect_nothing();
            late.disconnect(ReasonCode::Success);
        }
        publisher.publish("r", b"", QoS::AtLeastOnce, true);
        publisher.disconnect(ReasonCode::Success);
    }
}

/// A message of 5.0 that expires.
fn expiring(topic: &str, payload: &'static [u8], qos: QoS, id: u16, seconds: u32) -> Publish<'static> {
    let mut message = mqtt::publish(topic, payload, qos, false, id);
    message.properties.message_expiry_interval_s = Some(seconds);
    message
}

#[test]
fn what_waited_too_long_is_not_delivered_and_the_rest_says_how_long_is_left() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for over in OVER {
        let (mut client, _) = kept(&server, over, Version::V5, "away");
        client.subscribe("e", QoS::AtLeastOnce);
        client.disconnect(ReasonCode::Success);
        for (id, payload, seconds) in [(1, &b"short"[..], 1), (2, b"long", 100)] {
            for retain in [false, true] {
                let mut message = expiring("e", payload, QoS::AtLeastOnce, id, seconds);
                message.retain = retain;
                if retain {
                    message.topic = Some(mqtt::topic_name(&format!("r/{}", String::from_utf8_lossy(payload))));
                }
                publisher.send(&Packet::Publish(message));
                assert!(matches!(publisher.receive(), Packet::PubAck(_)));
            }
        }
        let_time_pass(&server, 2);
        let (mut client, _) = kept(&server, over, Version::V5, "away");
        let message = client.expect_message("e", b"long");
        let left = message.properties.message_expiry_interval_s.expect("it expires");
        assert!((80..=97).contains(&left), "{left} s of 100 are left after three ([MQTT-3.3.2-6])");
        client.expect_nothing();
        client.subscribe("r/+", QoS::AtLeastOnce);
        let message = client.expect_message("r/long", b"long");
        let left = message.properties.message_expiry_interval_s.expect("it expires");
        assert!((80..=97).contains(&left), "{left} s");
        client.expect_nothing();
        client.disconnect(ReasonCode::Success);
        forget(&server, Version::V5, "away");
    }
}

#[test]
fn what_was_begun_is_finished_even_if_it_expires_meanwhile() {
    let server = Setup::new().start();
    for over in OVER {
        let (mut client, _) = kept(&server, over, Version::V5, "slow");
        client.subscribe("e", QoS::ExactlyOnce);
        let mut publisher = Client::connect(&server, over, Version::V5, "publisher");
        publisher.send(&Packet::Publish(expiring("e", b"x", QoS::ExactlyOnce, 6, 1)));
        assert!(matches!(publisher.receive(), Packet::PubRec(ack) if ack.reason == ReasonCode::Success));
        let message = client.receive_publish();
        drop(client);
        let_time_pass(&server, 2);
        // As its receiver: the exchange goes on ([MQTT-4.3.3-13]).
        publisher.send(&Packet::PubRel(ack(6, ReasonCode::Success)));
        let end = publisher.receive();
        assert!(matches!(&end, Packet::PubComp(ack) if ack.reason == ReasonCode::Success), "{end:?}");
        // As its sender: what was sent once is sent again ([MQTT-4.3.3-7]).
        let (mut client, _) = kept(&server, over, Version::V5, "slow");
        let again = client.receive_publish();
        assert!(again.dup && again.packet_id == message.packet_id, "{again:?}");
        client.acknowledge(&again);
        client.expect_nothing();
        client.disconnect(ReasonCode::Success);
        forget(&server, Version::V5, "slow");
    }
}

fn with_alias(topic: Option<&str>, alias: u16) -> Packet<'static> {
    let mut message = mqtt::publish("unused", b"x", QoS::AtMostOnce, false, 0);
    message.topic = topic.map(mqtt::topic_name);
    message.properties.topic_alias = NonZeroU16::new(alias);
    Packet::Publish(message)
}

#[test]
fn every_alias_up_to_the_maximum_is_taken_and_may_be_given_anew() {
    let server = Setup::new().section("limits", "{ topic_aliases_max: 40 }").start();
    for over in OVER {
        let (mut client, answer) = Client::try_connect(&server, over, mqtt::connect(Version::V5, "alias"));
        assert_eq!(answer.properties.topic_alias_maximum, Some(40));
        client.subscribe("#", QoS::AtMostOnce);
        for alias in 1..=40 {
            client.send(&with_alias(Some(&format!("first/{alias}")), alias));
            client.expect_message(&format!("first/{alias}"), b"x");
        }
        for alias in (1..=40).step_by(3) {
            client.send(&with_alias(Some(&format!("second/{alias}")), alias));
            client.expect_message(&format!("second/{alias}"), b"x");
        }
        for alias in 1..=40 {
            client.send(&with_alias(None, alias));
            let which = if alias % 3 == 1 { "second" } else { "first" };
            let message = client.expect_message(&format!("{which}/{alias}"), b"x");
            // The receiver allowed none, so it is sent none ([MQTT-3.1.2-27]).
            assert_eq!(message.properties.topic_alias, None);
        }
        client.send(&with_alias(Some("t"), 41));
        client.expect_disconnect(ReasonCode::TopicAliasInvalid);
    }
}

#[test]
fn aliases_are_forgotten_with_their_connection() {
    let server = Setup::new().start();
    for over in OVER {
        let (mut client, _) = kept(&server, over, Version::V5, "alias");
        client.send(&with_alias(Some("t"), 1));
        client.expect_nothing();
        drop(client);
        let (mut client, _) = kept(&server, over, Version::V5, "alias");
        client.send(&with_alias(None, 1));
        client.expect_disconnect(ReasonCode::ProtocolError);
    }
}

#[test]
fn a_payload_is_bytes_whatever_is_said_about_it() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut subscriber = Client::connect(&server, over, version, "subscriber");
        subscriber.subscribe("t", QoS::AtLeastOnce);
        let mut publisher = Client::connect(&server, over, Version::V5, "publisher");
        // Said to be text, which nobody must check (MQTT 5.0 §3.3.2.3.2), and no text at all.
        for payload in [&b"\xff\xfe\x00\xed\xa0\x80"[..], b""] {
            let mut message = mqtt::publish("t", payload, QoS::AtLeastOnce, false, 1);
            message.properties.forwarded = b"\x01\x01".into();
            publisher.send(&Packet::Publish(message));
            assert!(matches!(publisher.receive(), Packet::PubAck(_)));
            let message = subscriber.expect_message("t", payload);
            let said = if version == Version::V5 { &b"\x01\x01"[..] } else { b"" };
            assert_eq!(&message.properties.forwarded[..], said, "[MQTT-3.3.2-4]");
        }
        publisher.disconnect(ReasonCode::Success);
        subscriber.disconnect(ReasonCode::Success);
    }
}

#[test]
fn what_is_retained_keeps_what_was_said_about_it() {
    let server = Setup::new().start();
    let properties = b"\x03\x00\x04text\x26\x00\x01b\x00\x011\x26\x00\x01a\x00\x012\x26\x00\x01b\x00\x013";
    for over in OVER {
        let mut publisher = Client::connect(&server, over, Version::V5, "publisher");
        let mut message = mqtt::publish("r", b"x", QoS::AtLeastOnce, true, 1);
        message.properties.forwarded = properties.into();
        publisher.send(&Packet::Publish(message));
        assert!(matches!(publisher.receive(), Packet::PubAck(_)));
        let mut late = Client::connect(&server, over, Version::V5, "late");
        late.subscribe("r", QoS::AtLeastOnce);
        assert_eq!(&late.expect_message("r", b"x").properties.forwarded[..], &properties[..], "[MQTT-3.3.2-18]");
    }
}

#[test]
fn the_order_of_one_publisher_holds_for_every_subscriber_and_qos() {
    let server = Setup::new().start();
    let mut subscribers: Vec<_> = everywhere()
        .map(|(version, over)| {
            let mut client = Client::connect(&server, over, version, &format!("{}-{over:?}", version as u8));
            client.subscribe_with(&[("o/+", SubscribeOptions { maximum_qos: QoS::ExactlyOnce, ..Default::default() })]);
            client
        })
        .collect();
    assert_eq!(subscribers.len(), 2 * VERSIONS.len());
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for index in 0..100_u8 {
            publisher.publish("o/t", &[index], qos, false);
        }
        for subscriber in &mut subscribers {
            for index in 0..100 {
                assert_eq!(subscriber.expect_message("o/t", &[index]).qos, qos, "[MQTT-4.6.0-5]");
            }
        }
    }
}

#[test]
fn a_pubrec_for_nothing_is_answered() {
    let server = Setup::new().start();
    for over in OVER {
        let mut client = Client::connect(&server, over, Version::V5, "client");
        client.send(&Packet::PubRec(ack(9, ReasonCode::Success)));
        match client.receive() {
            Packet::PubRel(ack) => assert_eq!(ack.reason, ReasonCode::PacketIdentifierNotFound),
            other => panic!("{other:?} instead of PUBREL"),
        }
        client.expect_nothing();
    }
}
