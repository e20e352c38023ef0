//! CONNECT and what answers it (MQTT 5.0 §3.1, §3.2; MQTT 3.1.1 §3.1, §3.2).

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::VERSIONS;
use crate::harness::transport::BINARY;
use crate::harness::{Client, Over, Setup, Transport, mqtt, payload};

#[test]
fn every_version_over_every_transport() {
    let server = Setup::new().start();
    for over in Over::ALL {
        for version in VERSIONS {
            let (mut client, answer) = Client::try_connect(&server, over, mqtt::connect(version, "everywhere"));
            assert_eq!(
                (answer.reason, answer.session_present),
                (ReasonCode::Success, false),
                "{version} over {over:?}"
            );
            for (qos, granted) in [
                (QoS::AtMostOnce, ReasonCode::Success),
                (QoS::AtLeastOnce, ReasonCode::GrantedQoS1),
                (QoS::ExactlyOnce, ReasonCode::GrantedQoS2),
            ] {
                assert_eq!(client.subscribe("echo", qos), granted);
                client.publish("echo", b"there and back", QoS::AtMostOnce, false);
                client.expect_message("echo", b"there and back");
            }
            client.disconnect(ReasonCode::Success);
        }
    }
}

#[test]
fn packets_may_be_split_and_joined_at_any_byte() {
    let server = Setup::new().start();
    let mut conversation = mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(Version::V5, "pieces"))), Version::V5);
    conversation.extend([0x82, 9, 0, 1, 0, 0, 3, b'a', b'/', b'b', 1]);
    conversation.extend(mqtt::bytes(
        &Packet::Publish(mqtt::publish("a/b", b"in pieces", QoS::AtLeastOnce, false, 2)),
        Version::V5,
    ));
    for over in [Over::Tcp, Over::Wss] {
        for size in [1, 2, 3, 7, conversation.len()] {
            let mut client = Client::open(&server, over, Version::V5);
            conversation.chunks(size).for_each(|chunk| client.send_bytes(chunk));
            assert!(matches!(client.receive(), Packet::ConnAck(answer) if answer.reason == ReasonCode::Success));
            assert!(matches!(client.receive(), Packet::SubAck(_)));
            // The order of the PUBACK and of the publisher's own copy is the server's to choose.
            let mut answers = [client.receive(), client.receive()];
            answers.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
            assert!(matches!(&answers[0], Packet::PubAck(_)), "{answers:?}");
            assert!(
                matches!(&answers[1], Packet::Publish(publish) if publish.payload == &b"in pieces"[..]),
                "{answers:?}"
            );
        }
    }
}

/// What may not be large before CONNECT may be so right behind it, in the same WebSocket message.
#[test]
fn a_large_packet_may_be_joined_to_connect() {
    let server = Setup::new().start();
    let mut conversation = mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(Version::V5, "eager"))), Version::V5);
    let payload = payload(100_000, false);
    let publish = mqtt::publish("a", &payload, QoS::AtLeastOnce, false, 1);
    conversation.extend(mqtt::bytes(&Packet::Publish(publish), Version::V5));
    for over in [Over::Tcp, Over::Wss] {
        let mut client = Client::open(&server, over, Version::V5);
        client.send_bytes(&conversation);
        assert!(matches!(client.receive(), Packet::ConnAck(answer) if answer.reason == ReasonCode::Success));
        assert!(matches!(client.receive(), Packet::PubAck(_)));
    }
}

#[test]
fn a_fragmented_message_with_a_ping_between_is_one_message() {
    let server = Setup::new().start();
    let mut client = Client::open(&server, Over::Ws, Version::V4);
    let connect = mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(Version::V4, "fragments"))), Version::V4);
    let (first, rest) = connect.split_at(5);
    client.transport.write_frame(false, BINARY, first);
    client.transport.write_frame(true, crate::harness::transport::PING, b"between");
    client.transport.write_frame(false, 0, &[]);
    client.transport.write_frame(true, 0, rest);
    let pong = client.transport.read_frame().expect("a pong");
    assert_eq!((pong.opcode, pong.payload.as_slice()), (crate::harness::transport::PONG, &b"between"[..]));
    assert!(matches!(client.receive(), Packet::ConnAck(answer) if answer.reason == ReasonCode::Success));
}

#[test]
fn mqtt_5_is_told_the_limits_it_must_keep() {
    let server = Setup::new().start();
    let (_, answer) = Client::try_connect(&server, Over::Wss, mqtt::connect(Version::V5, ""));
    let properties = answer.properties;
    assert_eq!(properties.maximum_packet_size, NonZeroU32::new(2 << 20), "packet_bytes_max");
    assert!(properties.receive_maximum.is_some(), "{properties:?}");
    assert!(properties.assigned_client_identifier.is_some_and(|id| id.len() >= 16), "a name nobody can guess");
}

#[test]
fn assigned_client_identifiers_differ() {
    let server = Setup::new().start();
    let assigned = || {
        let (client, answer) = Client::try_connect(&server, Over::Tcp, mqtt::connect(Version::V5, ""));
        (client, answer.properties.assigned_client_identifier.expect("an identifier"))
    };
    let ((_one, first), (_two, second)) = (assigned(), assigned());
    assert_ne!(first, second);
}

#[test]
fn an_empty_identifier_needs_a_clean_session_before_mqtt_5() {
    let server = Setup::new().start();
    let (_, answer) = Client::try_connect(&server, Over::Tcp, mqtt::connect(Version::V4, ""));
    assert_eq!(answer.reason, ReasonCode::Success);
    let mut connect = mqtt::connect(Version::V4, "");
    connect.clean_start = false;
    let (mut client, answer) = Client::try_connect(&server, Over::Tcp, connect);
    assert_eq!(answer.reason, ReasonCode::ClientIdentifierNotValid, "3.1.1 [MQTT-3.1.3-8]");
    client.expect_closed();
}

#[test]
fn an_unknown_version_is_told_so() {
    let server = Setup::new().start();
    for over in [Over::Tcp, Over::Wss] {
        // Nobody can know how a later version spells its CONNACK; return code 1 of 3.1.1 is what all have understood so far.
        let mut client = Client::open(&server, over, Version::V4);
        client.send_bytes(b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x00");
        match client.receive() {
            Packet::ConnAck(answer) => assert_eq!(answer.reason, ReasonCode::UnsupportedProtocolVersion),
            other => panic!("{other:?} instead of CONNACK"),
        }
        client.expect_closed();
    }
}

#[test]
fn another_protocol_name_is_closed_without_a_word() {
    let server = Setup::new().start();
    let mut client = Client::open(&server, Over::Tcp, Version::V4);
    client.send_bytes(b"\x10\x0c\x00\x04AMQP\x04\x02\x00\x00\x00\x00");
    let (answer, _) = client.transport.read_to_end();
    // [MQTT-3.1.2-1] lets a server say 0x84 to it, or nothing.
    assert!(answer.is_empty() || answer.starts_with(&[0x20]), "{answer:?}");
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    let server = Setup::new().start();
    for version in VERSIONS {
        let mut client = Client::connect(&server, Over::Tcp, version, "twice");
        client.send(&Packet::Connect(Box::new(mqtt::connect(version, "twice"))));
        client.expect_disconnect(ReasonCode::ProtocolError);
    }
}

#[test]
fn packets_sent_before_the_connack_are_answered_after_it() {
    let server = Setup::new().start();
    let mut client = Client::open(&server, Over::Tcp, Version::V4);
    let mut bytes = mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(Version::V4, "eager"))), Version::V4);
    bytes.extend(mqtt::bytes(&Packet::PingReq, Version::V4));
    client.send_bytes(&bytes);
    assert!(matches!(client.receive(), Packet::ConnAck(_)));
    assert_eq!(client.receive(), Packet::PingResp);
}

#[test]
fn one_and_a_half_times_the_keep_alive_ends_the_connection() {
    let server = Setup::new().start();
    for (over, version) in [(Over::Tcp, Version::V4), (Over::Tcp, Version::V5), (Over::Wss, Version::V5)] {
        let mut connect = mqtt::connect(version, "sleepy");
        connect.keep_alive_s = 2;
        let start = Instant::now();
        let mut client = Client::connect_with(&server, over, connect);
        client.expect_disconnect(ReasonCode::KeepAliveTimeout);
        let lasted = start.elapsed();
        assert!(lasted >= Duration::from_millis(2900), "{version} over {over:?}: only {lasted:?} ([MQTT-3.1.2-22])");
        assert!(lasted < Duration::from_secs(9), "{version} over {over:?}: {lasted:?}");
    }
}

#[test]
fn the_longest_keep_alive_is_a_keep_alive() {
    let server = Setup::new().start();
    for version in VERSIONS {
        let mut connect = mqtt::connect(version, "patient");
        connect.keep_alive_s = u16::MAX;
        Client::connect_with(&server, Over::Tcp, connect).expect_nothing();
    }
    // Longer than the server allows: 5.0 is told a shorter one and held to that; what 3.1.1 asked for stands.
    let server = Setup::new().section("limits", "{ keep_alive_max: 60s }").start();
    for keep_alive_s in [0, 61, u16::MAX] {
        let mut connect = mqtt::connect(Version::V5, "patient");
        connect.keep_alive_s = keep_alive_s;
        let (_, answer) = Client::try_connect(&server, Over::Tcp, connect);
        assert_eq!(answer.properties.server_keep_alive_s, Some(60), "{keep_alive_s}");
    }
}

#[test]
fn a_client_that_pings_in_time_stays() {
    let server = Setup::new().start();
    let mut connect = mqtt::connect(Version::V4, "awake");
    connect.keep_alive_s = 2;
    let mut client = Client::connect_with(&server, Over::Tcp, connect);
    let mut clock = Client::connect(&server, Over::Tcp, Version::V5, "clock");
    // The clock's own connections tell the time: each is cut after three seconds of silence.
    for round in 0..2 {
        let mut tick = mqtt::connect(Version::V5, &format!("tick-{round}"));
        tick.keep_alive_s = 1;
        let mut ticking = Client::connect_with(&server, Over::Tcp, tick);
        ticking.expect_disconnect(ReasonCode::KeepAliveTimeout);
        client.expect_nothing();
    }
    clock.expect_nothing();
}

#[test]
fn wrong_credentials_are_refused_in_the_words_of_the_version() {
    let server = Setup::new().users(&[("client", "password")]).start();
    for version in VERSIONS {
        for (username, password) in [("client", "wrong"), ("nobody", "password"), ("client", "")] {
            let mut connect = mqtt::connect(version, "intruder");
            connect.login = mqtt::login(username, password);
            let (mut client, answer) = Client::try_connect(&server, Over::Tls, connect);
            assert_eq!(answer.reason, ReasonCode::BadUserNameOrPassword, "{version} {username}");
            assert!(!answer.session_present, "[MQTT-3.2.2-6]");
            client.expect_closed();
        }
        let (mut client, answer) = Client::try_connect(&server, Over::Tls, mqtt::connect(version, "nameless"));
        assert!(
            matches!(answer.reason, ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword),
            "no anonymous clients: {answer:?}"
        );
        client.expect_closed();
        let mut connect = mqtt::connect(version, "welcome");
        connect.login = mqtt::login("client", "password");
        Client::connect_with(&server, Over::Tls, connect);
    }
}

#[test]
fn bytes_after_disconnect_are_not_heard() {
    let server = Setup::new().start();
    let mut listener = Client::connect(&server, Over::Tcp, Version::V4, "listener");
    listener.subscribe("#", QoS::AtMostOnce);
    let mut client = Client::connect(&server, Over::Tcp, Version::V4, "gone");
    let mut bytes = vec![0xE0, 0];
    bytes.extend(mqtt::bytes(&Packet::Publish(mqtt::publish("t", b"late", QoS::AtMostOnce, false, 0)), Version::V4));
    client.send_bytes(&bytes);
    client.expect_closed();
    listener.expect_nothing();
}

#[test]
fn tls_clients_need_not_speak_first_to_each_other() {
    // A handshake whose flights are followed by application data in the same segment: the early bytes must not be lost.
    let server = Setup::new().start();
    let mut client = Client::open(&server, Over::Wss, Version::V5);
    client.send(&Packet::Connect(Box::new(mqtt::connect(Version::V5, "early"))));
    assert!(matches!(client.receive(), Packet::ConnAck(_)));
    let address = server.address("http");
    let mut transport = Transport::tcp(address);
    let mut bytes =
        crate::harness::transport::upgrade_request("/mqtt", &address.to_string(), "Sec-WebSocket-Protocol: mqtt\r\n")
            .into_bytes();
    let connect = mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(Version::V4, "early"))), Version::V4);
    bytes.extend(crate::harness::transport::frame(true, BINARY, &connect));
    transport.write(&bytes);
    assert!(transport.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(transport.read_frame().expect("CONNACK").payload, [0x20, 2, 0, 0]);
}
