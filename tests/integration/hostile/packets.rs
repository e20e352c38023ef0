//! MQTT packets (SECURITY C): the wrong packet, at the wrong time, with the wrong content.

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

/// Faults in packets after CONNECT: version, bytes, and the reason that 5.0 gives.
fn faults() -> Vec<(&'static str, Version, Vec<u8>, ReasonCode)> {
    use ReasonCode::{MalformedPacket, ProtocolError, TopicAliasInvalid, TopicNameInvalid};
    let v5 = |what, bytes: &[u8], reason| (what, Version::V5, bytes.to_vec(), reason);
    let v4 = |what, bytes: &[u8]| (what, Version::V4, bytes.to_vec(), MalformedPacket);
    vec![
        v4("QoS 3", &[0x36, 5, 0, 1, b't', 0, 1]),
        v4("DUP at QoS 0", &[0x38, 3, 0, 1, b't']),
        v4("packet identifier 0", &[0x32, 5, 0, 1, b't', 0, 0]),
        v4("an empty topic", &[0x30, 2, 0, 0]),
        v4("a topic with +", &[0x30, 3, 0, 1, b'+']),
        v4("a topic with #", &[0x30, 4, 0, 2, b'a', b'#']),
        v4("a topic with NUL", &[0x30, 4, 0, 2, b'a', 0]),
        v4("a surrogate", &[0x30, 5, 0, 3, 0xED, 0xA0, 0x80]),
        v4("a topic that runs over the end", &[0x30, 3, 0, 9, b't']),
        v4("reserved flags of PUBREL", &[0x60, 2, 0, 1]),
        v4("reserved flags of SUBSCRIBE", &[0x80, 6, 0, 1, 0, 1, b't', 0]),
        v4("reserved flags of PINGREQ", &[0xC1, 0]),
        v4("PINGREQ with a body", &[0xC0, 1, 0]),
        v4("DISCONNECT with a body", &[0xE0, 1, 0]),
        v4("SUBSCRIBE of nothing", &[0x82, 2, 0, 1]),
        v4("SUBSCRIBE with identifier 0", &[0x82, 6, 0, 0, 0, 1, b't', 0]),
        v4("requested QoS 3", &[0x82, 6, 0, 1, 0, 1, b't', 3]),
        v4("reserved bits of the requested QoS", &[0x82, 6, 0, 1, 0, 1, b't', 0x41]),
        v4("UNSUBSCRIBE of nothing", &[0xA2, 2, 0, 1]),
        v4("a remaining length of five bytes", &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1]),
        v4("PUBACK with a byte too many", &[0x40, 3, 0, 1, 0]),
        v5("QoS 3", &[0x36, 6, 0, 1, b't', 0, 1, 0], MalformedPacket),
        v5("a property list over the end", &[0x30, 4, 0, 1, b't', 9], MalformedPacket),
        v5("an unknown property", &[0x30, 6, 0, 1, b't', 2, 0x7E, 0], MalformedPacket),
        v5("a property of another packet", &[0x30, 9, 0, 1, b't', 5, 0x11, 0, 0, 0, 1], ProtocolError),
        v5("a property twice", &[0x30, 8, 0, 1, b't', 4, 1, 0, 1, 0], ProtocolError),
        v5("payload format 2", &[0x30, 6, 0, 1, b't', 2, 1, 2], ProtocolError),
        v5("topic alias 0", &[0x30, 7, 0, 1, b't', 3, 0x23, 0, 0], TopicAliasInvalid),
        v5("a topic alias nobody set", &[0x30, 6, 0, 0, 3, 0x23, 0, 9], ProtocolError),
        v5("neither topic nor alias", &[0x30, 3, 0, 0, 0], ProtocolError),
        v5("a subscription identifier from a client", &[0x30, 6, 0, 1, b't', 2, 0x0B, 1], ProtocolError),
        v5("a response topic with a wildcard", &[0x30, 8, 0, 1, b't', 4, 8, 0, 1, b'#'], ProtocolError),
        v5("a topic with #", &[0x30, 4, 0, 1, b'#', 0], TopicNameInvalid),
        v5("subscription identifier 0", &[0x82, 9, 0, 1, 2, 0x0B, 0, 0, 1, b't', 0], ProtocolError),
        v5("subscription options 0x40", &[0x82, 7, 0, 1, 0, 0, 1, b't', 0x40], MalformedPacket),
        v5("retain handling 3", &[0x82, 7, 0, 1, 0, 0, 1, b't', 0x30], ProtocolError),
        v5("SUBSCRIBE of nothing", &[0x82, 3, 0, 1, 0], ProtocolError),
        v5("a DISCONNECT that only servers send", &[0xE0, 1, 0x8B], ProtocolError),
        v5("an unknown reason", &[0x40, 3, 0, 1, 0x42], MalformedPacket),
        v5("a property length not minimal", &[0x30, 5, 0, 1, b't', 0x80, 0], MalformedPacket),
    ]
}

#[test]
fn every_fault_ends_the_connection_with_its_reason() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    for (what, version, bytes, reason) in faults() {
        let mut client = Client::connect(&server, Over::Tcp, version, "faulty");
        client.send_bytes(&bytes);
        if version == Version::V5 {
            match client.receive() {
                Packet::Disconnect(disconnect) => {
                    // Where the standard leaves two names for one fault, both are right: a fault of form, or of meaning.
                    let either = [ReasonCode::MalformedPacket, ReasonCode::ProtocolError];
                    let is_right =
                        disconnect.reason == reason || either.contains(&reason) && either.contains(&disconnect.reason);
                    assert!(is_right, "{what}: {disconnect:?}, not {reason:?}");
                }
                other => panic!("{other:?} instead of DISCONNECT for {what}"),
            }
        }
        let ending = client.try_receive();
        assert!(matches!(ending, Err(Ending::Closed(_))), "{what}: {ending:?}");
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn a_malformed_connect_lets_nobody_in() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let connects: [(&str, &[u8]); 16] = [
        ("reserved flag", b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00"),
        ("will QoS without will", b"\x10\x0c\x00\x04MQTT\x04\x0a\x00\x00\x00\x00"),
        ("will retain without will", b"\x10\x0c\x00\x04MQTT\x04\x22\x00\x00\x00\x00"),
        ("will QoS 3", b"\x10\x12\x00\x04MQTT\x04\x1e\x00\x00\x00\x00\x00\x01t\x00\x01x"),
        ("password without user name", b"\x10\x0f\x00\x04MQTT\x04\x42\x00\x00\x00\x00\x00\x01p"),
        ("bytes after the end", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x00x"),
        ("user name missing", b"\x10\x0c\x00\x04MQTT\x04\x82\x00\x00\x00\x00"),
        ("client identifier over the end", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x09"),
        ("NUL in the client identifier", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01\x00"),
        ("client identifier not UTF-8", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01\xff"),
        ("empty", b"\x10\x00"),
        ("flags of the fixed header", b"\x11\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"),
        ("receive maximum 0", b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x00\x00\x00"),
        (
            "session expiry twice",
            b"\x10\x17\x00\x04MQTT\x05\x02\x00\x00\x0a\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01\x00\x00",
        ),
        ("authentication data without method", b"\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x04\x16\x00\x01x\x00\x00"),
        ("wildcard will topic", b"\x10\x13\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x00\x00\x00\x01#\x00\x01x"),
    ];
    for (what, bytes) in connects {
        let mut transport = Transport::tcp(server.address("mqtt"));
        transport.write(bytes);
        let (answer, ending) = transport.read_to_end();
        assert!(matches!(ending, Ending::Closed(_)), "{what}: {ending:?}");
        let let_in = answer.len() >= 4 && answer[0] == 0x20 && answer[3] == 0;
        assert!(!let_in, "{what}: {answer:?}");
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
