//! Sessions: kept, clean, taken over, and what waits in them (MQTT 5.0 §3.1.2.4, §4.1, §4.4).

use tidegate::mqtt::packet::{Ack, ConnAck};
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::VERSIONS;
use crate::harness::{Client, Over, Server, Setup, mqtt};

/// Connects to a session that is kept for ten minutes (in 3.1 and 3.1.1: for as long as the server keeps any).
fn resume(server: &Server, version: Version, client_id: &str) -> (Client, ConnAck) {
    let mut connect = mqtt::connect(version, client_id);
    connect.clean_start = false;
    connect.properties.session_expiry_interval_s = (version == Version::V5).then_some(600);
    let (client, answer) = Client::try_connect(server, Over::Tcp, connect);
    assert_eq!(answer.reason, ReasonCode::Success, "{answer:?}");
    (client, answer)
}

#[test]
fn a_kept_session_keeps_subscriptions_and_messages() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Wss, Version::V5, "publisher");
    for version in VERSIONS {
        let (mut client, answer) = resume(&server, version, "kept");
        assert!(!answer.session_present);
        client.subscribe("k/+", QoS::ExactlyOnce);
        client.disconnect(ReasonCode::Success);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            publisher.publish("k/x", &[qos as u8], qos, false);
        }
        let (mut client, answer) = resume(&server, version, "kept");
        // MQTT 3.1 has no Session Present flag; its byte is reserved.
        assert_eq!(answer.session_present, version != Version::V3, "{version}");
        client.expect_message("k/x", &[1]);
        client.expect_message("k/x", &[2]);
        publisher.publish("k/y", b"live", QoS::AtLeastOnce, false);
        client.expect_message("k/y", b"live");
        client.disconnect(ReasonCode::Success);

        let (mut client, answer) = Client::try_connect(&server, Over::Tcp, mqtt::connect(version, "kept"));
        assert!(!answer.session_present, "[MQTT-3.2.2-2]");
        publisher.publish("k/x", b"x", QoS::AtLeastOnce, false);
        client.expect_nothing();
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn what_was_not_acknowledged_comes_again_marked_dup() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for version in VERSIONS {
        let (mut client, _) = resume(&server, version, "kept");
        client.subscribe("d", QoS::ExactlyOnce);
        publisher.publish("d", b"one", QoS::AtLeastOnce, false);
        publisher.publish("d", b"two", QoS::ExactlyOnce, false);
        publisher.publish("d", b"three", QoS::ExactlyOnce, false);
        let one = client.receive_publish();
        let two = client.receive_publish();
        let three = client.receive_publish();
        // The third gets as far as PUBREL.
        client.send(&Packet::PubRec(Ack::new(three.packet_id.expect("QoS 2"), ReasonCode::Success)));
        assert!(matches!(client.receive(), Packet::PubRel(_)));
        drop(client);

        let (mut client, _) = resume(&server, version, "kept");
        let mut again = [client.receive(), client.receive(), client.receive()];
        again.sort_by_key(|packet| matches!(packet, Packet::PubRel(_)));
        for (packet, first) in again.iter().zip([&one, &two]) {
            let Packet::Publish(publish) = packet else { panic!("{packet:?} instead of PUBLISH") };
            assert!(publish.dup, "[MQTT-3.3.1-1]");
            assert_eq!((publish.packet_id, &publish.payload), (first.packet_id, &first.payload), "[MQTT-4.4.0-1]");
        }
        assert!(matches!(&again[2], Packet::PubRel(ack) if Some(ack.packet_id) == three.packet_id), "{again:?}");
        client.disconnect(ReasonCode::Success);
        Client::connect(&server, Over::Tcp, version, "kept").disconnect(ReasonCode::Success);
    }
}

#[test]
fn exactly_once_outlives_the_publishers_connection() {
    let server = Setup::new().start();
    let mut subscriber = Client::connect(&server, Over::Tcp, Version::V5, "subscriber");
    subscriber.subscribe("e", QoS::ExactlyOnce);
    for version in VERSIONS {
        let (mut publisher, _) = resume(&server, version, "publisher");
        let mut message = mqtt::publish("e", b"once", QoS::ExactlyOnce, false, 3);
        publisher.send(&Packet::Publish(message.clone()));
        assert!(matches!(publisher.receive(), Packet::PubRec(_)));
        drop(publisher);
        let (mut publisher, _) = resume(&server, version, "publisher");
        message.dup = true;
        publisher.send(&Packet::Publish(message));
        assert!(matches!(publisher.receive(), Packet::PubRec(_)));
        publisher.send(&Packet::PubRel(Ack::new(mqtt::packet_id(3), ReasonCode::Success)));
        assert!(matches!(publisher.receive(), Packet::PubComp(ack) if ack.reason == ReasonCode::Success));
        subscriber.expect_message("e", b"once");
        subscriber.expect_nothing();
        publisher.disconnect(ReasonCode::Success);
        Client::connect(&server, Over::Tcp, version, "publisher").disconnect(ReasonCode::Success);
    }
}

#[test]
fn the_same_identifier_takes_the_session_over() {
    let server = Setup::new().start();
    for version in VERSIONS {
        let (mut first, _) = resume(&server, version, "same");
        first.subscribe("s", QoS::AtLeastOnce);
        let (mut second, answer) = resume(&server, version, "same");
        assert_eq!(answer.session_present, version != Version::V3);
        first.expect_disconnect(ReasonCode::SessionTakenOver);
        second.publish("s", b"x", QoS::AtMostOnce, false);
        second.expect_message("s", b"x");
        second.expect_nothing();
        second.disconnect(ReasonCode::Success);
        Client::connect(&server, Over::Tcp, version, "same").disconnect(ReasonCode::Success);
    }
}

#[test]
fn an_mqtt_5_session_without_expiry_ends_with_its_connection() {
    let server = Setup::new().start();
    let mut connect = mqtt::connect(Version::V5, "brief");
    connect.clean_start = false;
    let client = Client::connect_with(&server, Over::Tcp, connect.clone());
    client.disconnect(ReasonCode::Success);
    let (_, answer) = Client::try_connect(&server, Over::Tcp, connect);
    assert!(!answer.session_present);
}

#[test]
fn a_session_expires_when_its_time_has_come() {
    let server = Setup::new().start();
    let mut connect = mqtt::connect(Version::V5, "one-second");
    connect.clean_start = false;
    connect.properties.session_expiry_interval_s = Some(1);
    Client::connect_with(&server, Over::Tcp, connect.clone()).disconnect(ReasonCode::Success);
    // A clock that needs no sleep: a connection that the server cuts after three seconds.
    let mut tick = mqtt::connect(Version::V5, "tick");
    tick.keep_alive_s = 2;
    Client::connect_with(&server, Over::Tcp, tick).expect_disconnect(ReasonCode::KeepAliveTimeout);
    let (_, answer) = Client::try_connect(&server, Over::Tcp, connect);
    assert!(!answer.session_present, "[MQTT-3.1.2-23]");
}

#[test]
fn the_queue_of_an_absent_client_is_bounded() {
    let server = Setup::new().section("engine", "{ queue_bytes_max: 64KiB }").start();
    let (mut client, _) = resume(&server, Version::V5, "absent");
    client.subscribe("q", QoS::AtLeastOnce);
    client.disconnect(ReasonCode::Success);
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let block = vec![7; 1024];
    for _ in 0..1000 {
        publisher.publish("q", &block, QoS::AtLeastOnce, false);
    }
    let (mut client, _) = resume(&server, Version::V5, "absent");
    publisher.publish("q", b"the end", QoS::AtLeastOnce, false);
    let mut count = 0;
    loop {
        let message = client.receive_publish();
        client.acknowledge(&message);
        if message.payload == &b"the end"[..] {
            break;
        }
        count += 1;
    }
    assert!((32..=64).contains(&count), "{count} KiB waited in a queue of 64 KiB");
}
