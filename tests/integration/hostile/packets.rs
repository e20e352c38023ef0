//! MQTT packets (SECURITY C): the wrong packet, at the wrong time, with the wrong content.
//!
//! What is wrong with a single packet is shown row by row in `mqtt::table`.

use tidegate::mqtt::packet::Ack;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::{ALLOCATOR_SLACK, unharmed};
use crate::harness::transport::Ending;
use crate::harness::{Client, Over, Server, Setup, Transport, mqtt};

/// A well-formed packet of each type but CONNECT.
fn packet_of_each_type(version: Version) -> Vec<(&'static str, Vec<u8>)> {
    let five = version == Version::V5;
    let with = |bytes: &[u8], properties_at: usize| {
        let mut bytes = bytes.to_vec();
        if five {
            bytes.insert(properties_at, 0);
            bytes[1] += 1;
        }
        bytes
    };
    vec![
        ("type 0", vec![0x00, 0]),
        ("CONNACK", with(&[0x20, 2, 0, 0], 4)),
        ("PUBLISH", with(&[0x30, 4, 0, 1, b't', b'x'], 5)),
        ("PUBACK", vec![0x40, 2, 0, 1]),
        ("PUBREC", vec![0x50, 2, 0, 1]),
        ("PUBREL", vec![0x62, 2, 0, 1]),
        ("PUBCOMP", vec![0x70, 2, 0, 1]),
        ("SUBSCRIBE", with(&[0x82, 6, 0, 1, 0, 1, b't', 0], 4)),
        ("SUBACK", with(&[0x90, 3, 0, 1, 0], 4)),
        ("UNSUBSCRIBE", with(&[0xA2, 5, 0, 1, 0, 1, b't'], 4)),
        ("UNSUBACK", if five { vec![0xB0, 4, 0, 1, 0, 0] } else { vec![0xB0, 2, 0, 1] }),
        ("PINGREQ", vec![0xC0, 0]),
        ("PINGRESP", vec![0xD0, 0]),
        ("DISCONNECT", vec![0xE0, 0]),
        ("AUTH", vec![0xF0, 0]),
    ]
}

#[test]
fn nothing_but_connect_opens() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    for over in [Over::Tcp, Over::Wss] {
        for version in [Version::V4, Version::V5] {
            for (name, bytes) in packet_of_each_type(version) {
                let mut client = Client::open(&server, over, version);
                client.send_bytes(&bytes);
                let ending = client.expect_closed();
                assert!(matches!(ending, Ending::Closed(_)), "{name}: {ending:?} ([MQTT-3.1.0-1])");
            }
        }
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn what_only_a_server_sends_is_a_protocol_error() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    for version in [Version::V4, Version::V5] {
        for (name, bytes) in packet_of_each_type(version) {
            if !["type 0", "CONNACK", "SUBACK", "UNSUBACK", "PINGRESP"].contains(&name) {
                continue;
            }
            let mut client = Client::connect(&server, Over::Tcp, version, "impostor");
            client.send_bytes(&bytes);
            expect_refusal(&mut client, name);
        }
    }
    // AUTH where no authentication method was agreed on (MQTT 5.0 §4.12), and in 3.1.1, which has none.
    for version in [Version::V4, Version::V5] {
        let mut client = Client::connect(&server, Over::Tcp, version, "impostor");
        client.send_bytes(&[0xF0, 0]);
        expect_refusal(&mut client, "AUTH");
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

/// The server must close; in 5.0 it says Malformed Packet or Protocol Error before.
fn expect_refusal(client: &mut Client, what: &str) {
    if client.version() == Version::V5 {
        match client.receive() {
            Packet::Disconnect(disconnect) => assert!(
                [ReasonCode::ProtocolError, ReasonCode::MalformedPacket].contains(&disconnect.reason),
                "{what}: {disconnect:?}"
            ),
            other => panic!("{other:?} instead of DISCONNECT for {what}"),
        }
    }
    client.expect_closed();
}

#[test]
fn acknowledgements_of_nothing_harm_nothing() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    for version in [Version::V4, Version::V5] {
        let mut client = Client::connect(&server, Over::Tcp, version, "eager");
        for id in [1, 2, 77, 65_535] {
            let ack = || Ack::new(mqtt::packet_id(id), ReasonCode::Success);
            client.send(&Packet::PubAck(ack()));
            client.send(&Packet::PubComp(ack()));
        }
        client.expect_nothing();
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn claims_before_connect_hold_little_memory() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    // Each claims a CONNECT of 256 MiB and sends 64 KiB of it, as far as the server takes it.
    let mut liars: Vec<_> = (0..200).map(|_| Transport::tcp(server.address("mqtt"))).collect();
    let mut bytes = b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x04\x02\x00\x00\xff\xff".to_vec();
    bytes.extend([b'a'; 65_536]);
    for liar in &mut liars {
        liar.write(&bytes);
    }
    for liar in &mut liars {
        let (answer, _) = liar.read_to_end();
        assert!(answer.is_empty() || answer[0] == 0x20, "{answer:?}");
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn property_floods_are_refused_and_leave_nothing_behind() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let mut publish = vec![0, 1, b't'];
    let properties = 10_000 * 5;
    publish.extend(variable_byte_integer(properties));
    (0..10_000).for_each(|_| publish.extend([0x26, 0, 0, 0, 0]));
    let mut packet = vec![0x30];
    packet.extend(variable_byte_integer(publish.len()));
    packet.extend(publish);
    for round in 0..50 {
        let mut client = Client::connect(&server, Over::Tcp, Version::V5, &format!("flood-{round}"));
        client.send_bytes(&packet);
        match client.receive() {
            Packet::Disconnect(disconnect) => assert!(disconnect.reason as u8 >= 0x80, "{disconnect:?}"),
            other => panic!("{other:?} instead of DISCONNECT"),
        }
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn strange_topics_are_only_topics() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let mut client = Client::connect(&server, Over::Wss, Version::V5, "strange");
    // U+FEFF is no byte order mark in the middle of a protocol ([MQTT-1.5.4-3]); control characters are only unwise.
    for topic in ["\u{feff}x", "\u{1}", "\u{10ffff}", " ", "//", "é/x", "a b", "\"\\", "%00"] {
        client.subscribe(topic, QoS::AtMostOnce);
        client.publish(topic, topic.as_bytes(), QoS::AtMostOnce, false);
        client.expect_message(topic, topic.as_bytes());
    }
    // What begins with `$` is the server's own: refused, and nothing worse (CVE-2018-12543).
    for topic in ["$", "$x", "$SYS/broker", "$CONTROL/dynamic-security/v1", "$share/g/x"] {
        assert_eq!(client.publish(topic, b"x", QoS::AtLeastOnce, true), ReasonCode::NotAuthorized, "{topic}");
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn deep_topics_are_refused_without_recursion() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    for text in ["/".repeat(65_400), "a/".repeat(30_000), "+/".repeat(20_000), "/".repeat(200)] {
        let mut client = Client::connect(&server, Over::Tcp, Version::V5, "deep");
        let topic = text.replace('+', "x");
        client.send_bytes(&with_topic(0x30, &[], &topic, &[0]));
        match client.receive() {
            Packet::Disconnect(disconnect) => {
                assert_eq!(
                    disconnect.reason,
                    ReasonCode::TopicNameInvalid,
                    "{} bytes of {:?}",
                    topic.len(),
                    &topic[..2]
                );
            }
            other => panic!("{other:?} instead of DISCONNECT"),
        }
        let mut client = Client::connect(&server, Over::Tcp, Version::V5, "deep");
        client.send_bytes(&with_topic(0x82, &[0, 1, 0], &text, &[0]));
        match client.receive() {
            Packet::SubAck(answer) => assert_eq!(answer.reasons, [ReasonCode::TopicFilterInvalid]),
            Packet::Disconnect(disconnect) => assert!(disconnect.reason as u8 >= 0x80),
            other => panic!("{other:?} instead of a refusal"),
        }
    }
    // What is only long is fine.
    let mut client = Client::connect(&server, Over::Tcp, Version::V5, "long");
    let long = "x".repeat(60_000);
    client.subscribe(&long, QoS::AtMostOnce);
    client.publish(&long, b"arrived", QoS::AtMostOnce, false);
    client.expect_message(&long, b"arrived");
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

/// A packet of `before`, a string, `after`.
fn with_topic(first: u8, before: &[u8], topic: &str, after: &[u8]) -> Vec<u8> {
    let length = before.len() + 2 + topic.len() + after.len();
    let mut packet = vec![first];
    packet.extend(variable_byte_integer(length));
    packet.extend_from_slice(before);
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(after);
    packet
}

/// MQTT 5.0 §1.5.5.
fn variable_byte_integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value % 128) as u8;
        value /= 128;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[test]
fn the_same_identifier_a_hundred_thousand_times() {
    let mut server = Setup::new().start();
    let mut subscriber = Client::connect(&server, Over::Tcp, Version::V4, "subscriber");
    subscriber.subscribe("t", QoS::AtMostOnce);
    let before = server.memory_bytes();
    let mut client = Client::connect(&server, Over::Tcp, Version::V4, "stubborn");
    let packet = mqtt::bytes(&Packet::Publish(mqtt::publish("t", b"x", QoS::ExactlyOnce, false, 1)), Version::V4);
    let block = packet.repeat(1000);
    for _ in 0..100 {
        client.send_bytes(&block);
        for _ in 0..1000 {
            assert!(matches!(client.receive(), Packet::PubRec(_)));
        }
    }
    subscriber.expect_message("t", b"x");
    subscriber.expect_nothing();
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn whoever_never_releases_is_stopped_at_the_receive_maximum() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let (mut client, answer) = Client::try_connect(&server, Over::Tcp, mqtt::connect(Version::V5, "hoarder"));
    let maximum = answer.properties.receive_maximum.map_or(65_535, std::num::NonZeroU16::get);
    for id in 1..=maximum {
        client.send(&Packet::Publish(mqtt::publish("t", b"x", QoS::ExactlyOnce, false, id)));
        assert!(matches!(client.receive(), Packet::PubRec(_)));
    }
    client.send(&Packet::Publish(mqtt::publish("t", b"x", QoS::ExactlyOnce, false, maximum + 1)));
    client.expect_disconnect(ReasonCode::ReceiveMaximumExceeded);
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn reconnecting_subscribing_and_publishing_at_once() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let server: &Server = &server;
            scope.spawn(move || {
                for round in 0..40 {
                    let mut connect = mqtt::connect(Version::V5, "everybody");
                    connect.clean_start = round % 3 == 0;
                    connect.properties.session_expiry_interval_s = Some(60);
                    let mut client =
                        Client::open(server, if worker % 2 == 0 { Over::Tcp } else { Over::Ws }, Version::V5);
                    client.send(&Packet::Connect(Box::new(connect)));
                    // SUBSCRIBE to t/# at QoS 1.
                    client.send_bytes(&[0x82, 9, 0, 9, 0, 0, 3, b't', b'/', b'#', 1]);
                    client.send(&Packet::Publish(mqtt::publish("t/x", b"x", QoS::AtLeastOnce, false, 1)));
                    client.send(&Packet::PingReq);
                    // Another worker may take the session over at any point: then the connection ends, and that is right.
                    while let Ok(packet) = client.try_receive() {
                        if packet == Packet::PingResp {
                            break;
                        }
                    }
                }
            });
        }
    });
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}
