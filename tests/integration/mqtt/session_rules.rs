//! What the standard says about sessions and redelivery and `keep` does not show (MQTT 5.0 §3.1.2.4, §3.14, §4.1, §4.4).

use tidegate::mqtt::packet::{Ack, Disconnect, Publish};
use tidegate::mqtt::property::DisconnectProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::{OVER, VERSIONS, answer, everywhere, forget, kept, let_time_pass, received};
use crate::harness::transport::Ending;
use crate::harness::{Client, Over, Setup, mqtt};

#[test]
fn a_clean_session_of_3_1_1_ends_with_its_connection() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for version in [Version::V3, Version::V4] {
        for over in OVER {
            let mut client = Client::connect(&server, over, version, "clean");
            client.subscribe("t", QoS::ExactlyOnce);
            publisher.publish("t", b"unacknowledged", QoS::ExactlyOnce, false);
            client.receive_publish();
            client.disconnect(ReasonCode::Success);
            publisher.publish("t", b"x", QoS::ExactlyOnce, false);
            let (mut client, answer) = kept(&server, over, version, "clean");
            assert!(!answer.session_present, "3.1.1 [MQTT-3.1.2-6]");
            client.expect_nothing();
            client.disconnect(ReasonCode::Success);
            forget(&server, version, "clean");
        }
    }
}

#[test]
fn a_clean_start_forgets_what_was_underway() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for (version, over) in everywhere() {
        let (mut client, _) = kept(&server, over, version, "fresh");
        client.subscribe("t", QoS::ExactlyOnce);
        publisher.publish("t", b"x", QoS::ExactlyOnce, false);
        client.receive_publish();
        client.send(&Packet::Publish(mqtt::publish("u", b"y", QoS::ExactlyOnce, false, 9)));
        assert!(matches!(client.receive(), Packet::PubRec(_)));
        drop(client);
        let (mut client, connack) = Client::try_connect(&server, over, mqtt::connect(version, "fresh"));
        assert_eq!((connack.reason, connack.session_present), (ReasonCode::Success, false), "[MQTT-3.2.2-2]");
        client.expect_nothing();
        // The identifier of the old exchange is free.
        client.send(&Packet::PubRel(super::ack(9, ReasonCode::Success)));
        match client.receive() {
            Packet::PubComp(ack) if version == Version::V5 => {
                assert_eq!(ack.reason, ReasonCode::PacketIdentifierNotFound);
            }
            Packet::PubComp(_) => {}
            other => panic!("{other:?} instead of PUBCOMP"),
        }
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn retained_messages_outlive_the_session_they_came_from() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut publisher = Client::connect(&server, over, version, "publisher");
        publisher.publish("r", b"kept", QoS::AtLeastOnce, true);
        publisher.disconnect(ReasonCode::Success);
        let mut late = Client::connect(&server, over, version, "late");
        late.subscribe("r", QoS::AtMostOnce);
        assert!(late.expect_message("r", b"kept").retain, "3.1.1 [MQTT-3.1.2-7]");
        late.publish("r", b"", QoS::AtLeastOnce, true);
        late.expect_message("r", b"");
        late.disconnect(ReasonCode::Success);
    }
}

#[test]
fn disconnect_may_shorten_a_session_but_not_revive_one() {
    let server = Setup::new().start();
    let goodbye = |session_expiry_interval_s| {
        let properties = DisconnectProperties { session_expiry_interval_s, ..DisconnectProperties::default() };
        Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties })
    };
    for over in OVER {
        let (mut client, _) = kept(&server, over, Version::V5, "leaving");
        client.send(&goodbye(Some(0)));
        assert!(matches!(client.try_receive(), Err(Ending::Closed(_))));
        let (client, connack) = kept(&server, over, Version::V5, "leaving");
        assert!(!connack.session_present, "its time was set to 0");
        client.disconnect(ReasonCode::Success);
        let mut client = Client::connect(&server, over, Version::V5, "leaving");
        client.send(&goodbye(Some(10)));
        client.expect_disconnect(ReasonCode::ProtocolError);
    }
}

fn ids(messages: &[Publish<'_>]) -> Vec<(u16, Vec<u8>)> {
    messages.iter().map(|m| (m.packet_id.expect("above QoS 0").get(), m.payload.to_vec())).collect()
}

#[test]
fn what_was_left_comes_again_in_the_order_it_first_came() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for (version, over) in everywhere() {
        let (mut client, _) = kept(&server, over, version, "ordered");
        client.subscribe("o", QoS::ExactlyOnce);
        for index in 0..20 {
            let qos = if index % 3 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            publisher.publish("o", &[index], qos, false);
        }
        let first = received(&mut client);
        assert_eq!(first.len(), 20);
        assert!(first.iter().all(|message| !message.dup), "[MQTT-4.3.2-2]");
        // Some are done with, out of the middle.
        for index in [3, 6, 12] {
            answer(&mut client, &first[index], ReasonCode::Success);
        }
        client.expect_nothing();
        drop(client);
        let (mut client, _) = kept(&server, over, version, "ordered");
        let again = received(&mut client);
        let left: Vec<_> = first.into_iter().enumerate().filter(|(index, _)| ![3, 6, 12].contains(index)).collect();
        let left: Vec<_> = left.into_iter().map(|(_, message)| message).collect();
        assert_eq!(ids(&again), ids(&left), "{version} over {over:?}: [MQTT-4.4.0-1], [MQTT-4.6.0-1]");
        assert!(again.iter().all(|message| message.dup), "[MQTT-3.3.1-1]");
        forget(&server, version, "ordered");
    }
}

#[test]
fn nothing_is_repeated_while_the_connection_lives() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let mut clients: Vec<_> = VERSIONS
        .into_iter()
        .zip(OVER.into_iter().cycle())
        .map(|(version, over)| {
            let mut client = Client::connect(&server, over, version, &format!("patient-{}", version as u8));
            client.subscribe("t", QoS::ExactlyOnce);
            client
        })
        .collect();
    publisher.publish("t", b"one", QoS::AtLeastOnce, false);
    publisher.publish("t", b"two", QoS::ExactlyOnce, false);
    for client in &mut clients {
        let messages = received(client);
        assert_eq!(messages.len(), 2);
        answer(client, &messages[1], ReasonCode::Success);
        assert!(matches!(client.receive(), Packet::PubRel(_)));
    }
    let_time_pass(&server, 2);
    for client in &mut clients {
        client.expect_nothing();
    }
}

#[test]
fn a_pubrel_is_repeated_alone_until_pubcomp() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for (version, over) in everywhere() {
        let (mut client, _) = kept(&server, over, version, "released");
        client.subscribe("t", QoS::ExactlyOnce);
        publisher.publish("t", b"x", QoS::ExactlyOnce, false);
        let message = client.receive_publish();
        answer(&mut client, &message, ReasonCode::Success);
        let id = message.packet_id.expect("QoS 2");
        let release = Packet::PubRel(Ack::new(id, ReasonCode::Success));
        assert_eq!(client.receive(), release);
        drop(client);
        for _ in 0..2 {
            let (mut client, _) = kept(&server, over, version, "released");
            assert_eq!(client.receive(), release, "[MQTT-4.3.3-5]");
            client.expect_nothing();
        }
        let (mut client, _) = kept(&server, over, version, "released");
        assert_eq!(client.receive(), release);
        client.send(&Packet::PubComp(Ack::new(id, ReasonCode::Success)));
        client.expect_nothing();
        drop(client);
        let (mut client, _) = kept(&server, over, version, "released");
        client.expect_nothing();
        client.disconnect(ReasonCode::Success);
        forget(&server, version, "released");
    }
}

#[test]
fn what_its_receiver_refused_is_not_sent_again() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for over in OVER {
        for (qos, reason) in [
            (QoS::AtLeastOnce, ReasonCode::UnspecifiedError),
            (QoS::ExactlyOnce, ReasonCode::QuotaExceeded),
            (QoS::ExactlyOnce, ReasonCode::NotAuthorized),
        ] {
            let (mut client, _) = kept(&server, over, Version::V5, "picky");
            client.subscribe("t", QoS::ExactlyOnce);
            publisher.publish("t", b"unwanted", qos, false);
            let message = client.receive_publish();
            answer(&mut client, &message, reason);
            // A refusal is the end of the exchange: no PUBREL follows ([MQTT-4.3.3-4]).
            client.expect_nothing();
            drop(client);
            let (mut client, _) = kept(&server, over, Version::V5, "picky");
            client.expect_nothing();
            client.disconnect(ReasonCode::Success);
            forget(&server, Version::V5, "picky");
        }
    }
}

#[test]
fn an_expired_session_leaves_nothing() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for over in OVER {
        let mut connect = mqtt::connect(Version::V5, "brief");
        connect.clean_start = false;
        connect.properties.session_expiry_interval_s = Some(1);
        let mut client = Client::connect_with(&server, over, connect.clone());
        client.subscribe("t", QoS::AtLeastOnce);
        drop(client);
        publisher.publish("t", b"x", QoS::AtLeastOnce, false);
        let_time_pass(&server, 2);
        let (mut client, answer) = Client::try_connect(&server, over, connect);
        assert!(!answer.session_present, "[MQTT-4.1.0-2]");
        client.expect_nothing();
        publisher.publish("t", b"x", QoS::AtLeastOnce, false);
        client.expect_nothing();
        client.disconnect(ReasonCode::Success);
        let_time_pass(&server, 2);
    }
}

/// Both exchanges are at their most delicate point when another connection takes the session over.
#[test]
fn exactly_once_survives_a_takeover_in_both_directions() {
    let server = Setup::new().start();
    let mut other = Client::connect(&server, Over::Tcp, Version::V5, "other");
    other.subscribe("from", QoS::ExactlyOnce);
    for (version, over) in everywhere() {
        for newcomer in OVER {
            let (mut first, _) = kept(&server, over, version, "torn");
            first.subscribe("to", QoS::ExactlyOnce);
            let mut sent = mqtt::publish("from", b"up", QoS::ExactlyOnce, false, 5);
            first.send(&Packet::Publish(sent.clone()));
            assert!(matches!(first.receive(), Packet::PubRec(_)));
            other.publish("to", b"received", QoS::ExactlyOnce, false);
            other.publish("to", b"unseen", QoS::ExactlyOnce, false);
            let (received, unseen) = (first.receive_publish(), first.receive_publish());
            answer(&mut first, &received, ReasonCode::Success);
            assert!(matches!(first.receive(), Packet::PubRel(_)));

            let (mut second, _) = kept(&server, newcomer, version, "torn");
            first.expect_disconnect(ReasonCode::SessionTakenOver);
            // Downwards: PUBREL for what was received, the other once more; both under their identifiers.
            let mut again = [second.receive(), second.receive()];
            again.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
            assert!(matches!(&again[0], Packet::PubRel(ack) if Some(ack.packet_id) == received.packet_id), "{again:?}");
            let Packet::Publish(repeated) = &again[1] else { panic!("{again:?}") };
            assert_eq!((repeated.packet_id, repeated.dup), (unseen.packet_id, true));
            second.send(&Packet::PubComp(Ack::new(received.packet_id.expect("QoS 2"), ReasonCode::Success)));
            second.acknowledge(repeated);
            // Upwards: the PUBREC may have been lost with the first connection.
            sent.dup = true;
            second.send(&Packet::Publish(sent));
            assert!(matches!(second.receive(), Packet::PubRec(ack) if ack.reason == ReasonCode::Success));
            second.send(&Packet::PubRel(super::ack(5, ReasonCode::Success)));
            assert!(matches!(second.receive(), Packet::PubComp(ack) if ack.reason == ReasonCode::Success));
            second.expect_nothing();
            other.expect_message("from", b"up");
            other.expect_nothing();
            second.disconnect(ReasonCode::Success);
            forget(&server, version, "torn");
        }
    }
}
