//! What the standard says about subscriptions and `subscribe` does not show (MQTT 5.0 §3.8 to §3.11, §4.7, §4.8).

use std::num::NonZeroU32;

use tidegate::mqtt::packet::{SubAck, Subscribe, SubscribeOptions, Unsubscribe};
use tidegate::mqtt::property::SubscribeProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, TopicFilter, Version};

use super::{OVER, answer, everywhere, forget, kept, received};
use crate::harness::{Client, Over, Server, Setup, mqtt};

fn with_qos(maximum_qos: QoS) -> SubscribeOptions {
    SubscribeOptions { maximum_qos, ..SubscribeOptions::default() }
}

fn subscribe_as(client: &mut Client, filter: &str, qos: QoS, identifier: u32) {
    let packet_id = mqtt::packet_id(client.take_packet_id());
    let subscription_identifier = NonZeroU32::new(identifier);
    let properties = SubscribeProperties { subscription_identifier, ..SubscribeProperties::default() };
    let filters = vec![(TopicFilter::parse(filter).expect("a valid filter"), with_qos(qos))];
    client.send(&Packet::Subscribe(Subscribe { packet_id, properties, filters }));
    assert!(matches!(client.receive(), Packet::SubAck(_)));
}

fn unsubscribe(client: &mut Client, id: u16, filters: &[&str]) -> SubAck {
    let filters = filters.iter().map(|text| TopicFilter::parse(text).expect("a valid filter")).collect();
    client.send(&Packet::Unsubscribe(Unsubscribe {
        packet_id: mqtt::packet_id(id),
        user_properties: Vec::new(),
        filters,
    }));
    match client.receive() {
        Packet::UnsubAck(answer) => {
            assert_eq!(answer.packet_id.get(), id, "[MQTT-3.10.4-5]");
            answer
        }
        other => panic!("{other:?} instead of UNSUBACK"),
    }
}

#[test]
fn one_copy_carries_the_identifiers_of_all_that_match() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V4, "publisher");
    for over in OVER {
        let mut client = Client::connect(&server, over, Version::V5, "client");
        subscribe_as(&mut client, "a/#", QoS::AtMostOnce, 1);
        subscribe_as(&mut client, "a/+", QoS::ExactlyOnce, 268_435_455);
        subscribe_as(&mut client, "+/b", QoS::AtLeastOnce, 1);
        subscribe_as(&mut client, "a/c", QoS::AtLeastOnce, 7);
        client.subscribe("#", QoS::AtMostOnce);
        publisher.publish("a/b", b"x", QoS::ExactlyOnce, false);
        let message = client.expect_message("a/b", b"x");
        let mut identifiers: Vec<_> = message.properties.subscription_identifiers.iter().map(|id| id.get()).collect();
        identifiers.sort_unstable();
        identifiers.dedup();
        assert_eq!(identifiers, [1, 268_435_455], "[MQTT-3.3.4-4]");
        assert_eq!(message.qos, QoS::ExactlyOnce, "[MQTT-3.3.4-2]");
        client.expect_nothing();
        // A Subscription made again takes the new identifier, or none.
        client.unsubscribe("#");
        client.subscribe("a/c", QoS::AtLeastOnce);
        subscribe_as(&mut client, "a/#", QoS::AtMostOnce, 9);
        client.unsubscribe("a/+");
        publisher.publish("a/c", b"y", QoS::AtMostOnce, false);
        let message = client.expect_message("a/c", b"y");
        assert_eq!(message.properties.subscription_identifiers[..], [NonZeroU32::new(9).expect("not 0")]);
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn every_subscribe_is_answered_with_its_identifier_and_a_code_for_each_filter() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "client");
        for id in [1, 500, 65_535] {
            let filters = [
                ("a", QoS::ExactlyOnce),
                ("b/+", QoS::AtMostOnce),
                ("c/#", QoS::AtLeastOnce),
                ("$x/y", QoS::AtMostOnce),
            ];
            let filters = filters.map(|(text, qos)| (TopicFilter::parse(text).expect("a valid filter"), with_qos(qos)));
            client.send(&Packet::Subscribe(Subscribe {
                packet_id: mqtt::packet_id(id),
                properties: SubscribeProperties::default(),
                filters: filters.to_vec(),
            }));
            let refusal = match version {
                Version::V5 => ReasonCode::NotAuthorized,
                Version::V4 => ReasonCode::UnspecifiedError,
                // 3.1 has no code for it and can only say a QoS.
                Version::V3 => ReasonCode::Success,
            };
            match client.receive() {
                Packet::SubAck(answer) => {
                    assert_eq!(answer.packet_id.get(), id, "[MQTT-3.8.4-2]");
                    let codes = [ReasonCode::GrantedQoS2, ReasonCode::Success, ReasonCode::GrantedQoS1, refusal];
                    assert_eq!(answer.reasons, codes, "{version} over {over:?}: [MQTT-3.9.3-1]");
                }
                other => panic!("{other:?} instead of SUBACK"),
            }
        }
        client.disconnect(ReasonCode::Success);
    }
}

/// Filters in one packet do what they would do in a packet each, one after the other.
#[test]
fn filters_of_one_packet_take_effect_one_after_the_other() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "client");
        client.publish("r", b"kept", QoS::AtLeastOnce, true);
        let granted = client.subscribe_with(&[("r", with_qos(QoS::ExactlyOnce)), ("r", with_qos(QoS::AtMostOnce))]);
        assert_eq!(granted, [ReasonCode::GrantedQoS2, ReasonCode::Success]);
        // The second replaced the first ([MQTT-3.8.4-5]): retained messages for each or for the last, live ones at the last one's QoS.
        let retained = received(&mut client);
        assert!((1..=2).contains(&retained.len()), "{retained:?}");
        client.publish("r", b"live", QoS::ExactlyOnce, false);
        assert_eq!(client.expect_message("r", b"live").qos, QoS::AtMostOnce);
        client.expect_nothing();
        let unsubscribed = unsubscribe(&mut client, 100, &["r", "r", "never"]);
        if version == Version::V5 {
            let codes = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted, ReasonCode::NoSubscriptionExisted];
            assert_eq!(unsubscribed.reasons, codes, "[MQTT-3.11.3-1]");
        }
        client.publish("r", b"", QoS::AtLeastOnce, true);
        client.expect_nothing();
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn a_subscription_made_again_brings_the_retained_again_and_loses_nothing() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut publisher = Client::connect(&server, over, version, "publisher");
        publisher.publish("r", b"kept", QoS::AtLeastOnce, true);
        let mut client = Client::connect(&server, over, version, "client");
        client.subscribe("r", QoS::AtLeastOnce);
        assert!(client.expect_message("r", b"kept").retain);
        // Messages go on while the Subscription is replaced over and over.
        for index in 0..50_u8 {
            publisher.send(&Packet::Publish(mqtt::publish("r", &[index], QoS::AtMostOnce, false, 0)));
            client.send(&Packet::Subscribe(Subscribe {
                packet_id: mqtt::packet_id(1000 + u16::from(index)),
                properties: SubscribeProperties::default(),
                filters: vec![(TopicFilter::parse("r").expect("a valid filter"), with_qos(QoS::AtLeastOnce))],
            }));
        }
        let (mut live, mut retained, mut answers) = (Vec::new(), 0, 0);
        while live.len() < 50 || retained < 50 || answers < 50 {
            match client.receive() {
                Packet::Publish(publish) if publish.retain => {
                    assert_eq!(publish.payload, &b"kept"[..]);
                    client.acknowledge(&publish);
                    retained += 1;
                }
                Packet::Publish(publish) => live.push(publish.payload[0]),
                Packet::SubAck(_) => answers += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(live, (0..50).collect::<Vec<_>>(), "{version} over {over:?}: [MQTT-3.8.4-4]");
        client.expect_nothing();
        publisher.publish("r", b"", QoS::AtLeastOnce, true);
        client.expect_message("r", b"");
        client.disconnect(ReasonCode::Success);
        publisher.disconnect(ReasonCode::Success);
    }
}

#[test]
fn unsubscribe_compares_filters_character_by_character() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "client");
        for filter in ["a/b", "a/+", "A/#"] {
            client.subscribe(filter, QoS::AtMostOnce);
        }
        // All that match, or are spelled otherwise, are other filters.
        for filter in ["a/#", "#", "+/+", "a/B", "a/b/", "/a/b"] {
            let answer = unsubscribe(&mut client, 50, &[filter]);
            if version == Version::V5 {
                assert_eq!(answer.reasons, [ReasonCode::NoSubscriptionExisted], "{filter} ([MQTT-3.10.4-1])");
            }
        }
        client.publish("a/b", b"x", QoS::AtMostOnce, false);
        client.expect_message("a/b", b"x");
        unsubscribe(&mut client, 51, &["a/+"]);
        client.publish("a/b", b"y", QoS::AtMostOnce, false);
        client.expect_message("a/b", b"y");
        client.publish("a/c", b"z", QoS::AtMostOnce, false);
        unsubscribe(&mut client, 52, &["a/b"]);
        client.publish("a/b", b"z", QoS::AtMostOnce, false);
        client.publish("A/b", b"end", QoS::AtMostOnce, false);
        client.expect_message("A/b", b"end");
        client.expect_nothing();
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn unsubscribing_lets_what_was_begun_come_to_its_end() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for (version, over) in everywhere() {
        let (mut client, _) = kept(&server, over, version, "client");
        client.subscribe("t", QoS::ExactlyOnce);
        publisher.publish("t", b"one", QoS::ExactlyOnce, false);
        publisher.publish("t", b"two", QoS::AtLeastOnce, false);
        let messages = received(&mut client);
        assert_eq!(messages.len(), 2);
        client.unsubscribe("t");
        publisher.publish("t", b"three", QoS::ExactlyOnce, false);
        // New ones have stopped; the old ones are still owed, on this connection and on the next ([MQTT-3.10.4-3]).
        answer(&mut client, &messages[0], ReasonCode::Success);
        assert!(matches!(client.receive(), Packet::PubRel(_)));
        client.expect_nothing();
        drop(client);
        let (mut client, _) = kept(&server, over, version, "client");
        let mut again = [client.receive(), client.receive()];
        again.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
        assert!(matches!(&again[0], Packet::PubRel(ack) if Some(ack.packet_id) == messages[0].packet_id));
        assert!(matches!(&again[1], Packet::Publish(publish) if publish.payload == &b"two"[..]), "{again:?}");
        client.expect_nothing();
        forget(&server, version, "client");
    }
}

#[test]
fn topics_are_compared_as_they_are() {
    let server = Setup::new().start();
    // The same to a reader: composed and decomposed, a ligature, letters of two cases, with and without a byte order mark.
    let topics =
        ["caf\u{e9}", "cafe\u{301}", "\u{fb01}n", "fin", "Fin", "\u{feff}fin", "fin ", "fin/", "//fin", "/fin"];
    for (version, over) in everywhere() {
        let mut publisher = Client::connect(&server, over, version, "publisher");
        for filter in topics {
            let mut client = Client::connect(&server, over, version, "client");
            client.subscribe(filter, QoS::AtMostOnce);
            for topic in topics {
                publisher.publish(topic, b"x", QoS::AtMostOnce, false);
            }
            publisher.expect_nothing();
            client.expect_message(filter, b"x");
            client.expect_nothing();
            client.disconnect(ReasonCode::Success);
        }
        publisher.disconnect(ReasonCode::Success);
    }
}

#[test]
fn a_topic_may_be_as_long_as_its_length_can_say() {
    let server = Setup::new().start();
    let topic = "x".repeat(65_535);
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "long");
        client.subscribe(&topic, QoS::AtMostOnce);
        client.publish(&topic, b"arrived", QoS::AtMostOnce, false);
        client.expect_message(&topic, b"arrived");
        client.disconnect(ReasonCode::Success);
    }
}

fn member(server: &Server, over: Over, client_id: &str, qos: QoS) -> Client {
    let mut client = Client::connect(server, over, Version::V5, client_id);
    client.subscribe("$share/group/s", qos);
    client
}

#[test]
fn each_member_gets_at_the_qos_it_was_granted() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let granted = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let mut members: Vec<_> =
        granted.iter().map(|&qos| member(&server, OVER[qos as usize % 2], &format!("{}", qos as u8), qos)).collect();
    for published in granted {
        for _ in 0..30 {
            publisher.publish("s", b"x", published, false);
        }
        publisher.expect_nothing();
        let mut count = 0;
        for (member, qos) in members.iter_mut().zip(granted) {
            let messages = received(member);
            for message in &messages {
                assert_eq!(message.qos, published.min(qos), "[MQTT-4.8.2-3]");
                member.acknowledge(message);
            }
            assert!(!messages.is_empty(), "everyone has a share");
            count += messages.len();
        }
        assert_eq!(count, 30, "each to one of them");
    }
}

/// Which of the two has it, and the message; the other has nothing.
fn chosen(members: &mut [Client; 2]) -> (usize, tidegate::mqtt::packet::Publish<'static>) {
    let messages = [received(&mut members[0]), received(&mut members[1])];
    match messages {
        [mut one, other] if other.is_empty() && one.len() == 1 => (0, one.remove(0)),
        [other, mut one] if other.is_empty() && one.len() == 1 => (1, one.remove(0)),
        both => panic!("not one to one of them: {both:?}"),
    }
}

#[test]
fn a_qos_2_message_underway_to_a_member_stays_its_own() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for over in OVER {
        let mut members = ["one", "two"].map(|name| {
            let (mut client, _) = kept(&server, over, Version::V5, name);
            client.subscribe("$share/group/s", QoS::ExactlyOnce);
            client
        });
        publisher.publish("s", b"x", QoS::ExactlyOnce, false);
        let (index, message) = chosen(&mut members);
        let [one, two] = members;
        let (chosen, mut other) = if index == 0 { (one, two) } else { (two, one) };
        drop(chosen);
        let (mut again, _) = kept(&server, over, Version::V5, ["one", "two"][index]);
        let repeated = again.receive_publish();
        assert_eq!((repeated.packet_id, repeated.dup), (message.packet_id, true), "[MQTT-4.8.2-4]");
        other.expect_nothing();
        // It is in the hands of one of them already: if that one's session ends, it ends too ([MQTT-4.8.2-5]).
        drop(again);
        forget(&server, Version::V5, ["one", "two"][index]);
        other.expect_nothing();
        forget(&server, Version::V5, ["one", "two"][1 - index]);
    }
}

#[test]
fn what_a_member_refused_goes_to_nobody_else() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for over in OVER {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut members = ["one", "two"].map(|name| member(&server, over, name, qos));
            publisher.publish("s", b"x", qos, false);
            let (index, message) = chosen(&mut members);
            answer(&mut members[index], &message, ReasonCode::ImplementationSpecificError);
            members.iter_mut().for_each(Client::expect_nothing);
            let [one, two] = members;
            let (refused, mut other) = if index == 0 { (one, two) } else { (two, one) };
            refused.disconnect(ReasonCode::Success);
            other.expect_nothing();
            other.disconnect(ReasonCode::Success);
        }
    }
}

#[test]
fn retained_messages_do_not_come_for_a_shared_subscription() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    publisher.publish("s", b"kept", QoS::AtLeastOnce, true);
    for over in OVER {
        // MQTT 5.0 §4.8.2: not even for the first member.
        let mut client = member(&server, over, "only", QoS::AtLeastOnce);
        client.expect_nothing();
        publisher.publish("s", b"live", QoS::AtLeastOnce, true);
        assert!(!client.expect_message("s", b"live").retain);
        client.disconnect(ReasonCode::Success);
    }
}
