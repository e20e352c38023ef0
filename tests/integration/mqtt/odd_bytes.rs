//! Bytes at which other brokers were seen to look away: flags, trailing bytes and Reason Codes of short packets, and odd frames.

use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::transport::{BINARY, Ending, PING, PONG};
use crate::harness::{Client, Over, Server, Setup, mqtt};

/// First byte as prescribed, and a body that is well-formed in 5.0 and in 3.1.1.
const SHORT: [(&str, u8, &[u8]); 6] = [
    ("PUBACK", 0x40, &[0, 1]),
    ("PUBREC", 0x50, &[0, 1]),
    ("PUBREL", 0x62, &[0, 1]),
    ("PUBCOMP", 0x70, &[0, 1]),
    ("PINGREQ", 0xC0, &[]),
    ("DISCONNECT", 0xE0, &[]),
];

const BOTH: [Version; 2] = [Version::V4, Version::V5];

/// Sends a packet to which there is but one answer: that it is malformed, or breaks the protocol, and the end.
fn expect_refused(server: &Server, version: Version, first: u8, body: &[u8], reasons: &[ReasonCode], what: &str) {
    let mut client = Client::connect(server, Over::Tcp, version, "odd");
    let mut bytes = vec![first, u8::try_from(body.len()).expect("a short body")];
    bytes.extend_from_slice(body);
    client.send_bytes(&bytes);
    if version == Version::V5 {
        match client.receive() {
            Packet::Disconnect(disconnect) => assert!(reasons.contains(&disconnect.reason), "{what}: {disconnect:?}"),
            other => panic!("{what}: {other:?} instead of DISCONNECT"),
        }
    }
    client.expect_closed();
}

/// [MQTT-2.1.3-1], MQTT 3.1.1 [MQTT-2.2.2-2]
#[test]
fn every_other_flag_of_a_short_packet_is_malformed() {
    let server = Setup::new().start();
    for version in BOTH {
        for (name, first, body) in SHORT {
            for flags in (0..16).filter(|flags| first & 0x0F != *flags) {
                let what = format!("{name} with flags {flags:#x} in {version}");
                let first = first & 0xF0 | flags;
                expect_refused(&server, version, first, body, &[ReasonCode::MalformedPacket], &what);
            }
        }
    }
}

#[test]
fn nothing_may_follow_the_last_field_of_a_short_packet() {
    let server = Setup::new().start();
    for version in BOTH {
        for (name, first, body) in SHORT {
            let tail: &[u8] = match (version, name) {
                (_, "PINGREQ") | (Version::V4, _) => &[0],
                // Reason Code, Property Length 0, and one byte too many.
                _ => &[0, 0, 0],
            };
            let body = [body, tail].concat();
            let what = format!("{name} with a byte too many in {version}");
            expect_refused(&server, version, first, &body, &[ReasonCode::MalformedPacket], &what);
        }
    }
}

/// MQTT 5.0 §2.4 and the tables of each packet: what is not there, or is only the other side's, is a Protocol Error.
#[test]
fn a_reason_code_that_a_packet_does_not_have_is_refused() {
    let server = Setup::new().start();
    let receipts = [0x00, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let known: [(&str, u8, &[u8], &[u8]); 5] = [
        ("PUBACK", 0x40, &[0, 1], &receipts),
        ("PUBREC", 0x50, &[0, 1], &receipts),
        ("PUBREL", 0x62, &[0, 1], &[0x00, 0x92]),
        ("PUBCOMP", 0x70, &[0, 1], &[0x00, 0x92]),
        (
            "DISCONNECT",
            0xE0,
            &[],
            &[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x8C, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99],
        ),
    ];
    for (name, first, body, known) in known {
        for code in (0..=255).filter(|code| !known.contains(code)) {
            let body = [body, &[code]].concat();
            let reasons = [ReasonCode::ProtocolError, ReasonCode::MalformedPacket];
            expect_refused(&server, Version::V5, first, &body, &reasons, &format!("{name} with reason {code:#04x}"));
        }
    }
}

/// MQTT 5.0 [MQTT-6.0.0-1], [MQTT-6.0.0-2]: bytes count, frames do not.
#[test]
fn empty_frames_say_nothing_and_a_ping_may_stand_anywhere() {
    let server = Setup::new().start();
    for over in [Over::Ws, Over::Wss] {
        for version in [Version::V3, Version::V4, Version::V5] {
            let mut client = Client::open(&server, over, version);
            client.transport.write_frame(true, BINARY, &[]);
            let connect = mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(version, "frames"))), version);
            client.transport.write_frame(false, BINARY, &[]);
            let (last, most) = connect.split_last().expect("a CONNECT");
            for (index, byte) in most.iter().enumerate() {
                client.transport.write_frame(false, 0, &[*byte]);
                client.transport.write_frame(true, PING, &[*byte]);
                let pong = client.transport.read_frame().expect("a pong");
                assert_eq!((pong.opcode, pong.payload), (PONG, vec![*byte]));
                // A message has so many empty fragments and no more.
                if index < 10 {
                    client.transport.write_frame(false, 0, &[]);
                }
            }
            client.transport.write_frame(false, 0, &[*last]);
            client.transport.write_frame(true, 0, &[]);
            assert!(matches!(client.receive(), Packet::ConnAck(answer) if answer.reason == ReasonCode::Success));
            client.transport.write_frame(true, BINARY, &[]);
            client.expect_nothing();
            client.subscribe("t", QoS::AtMostOnce);
            client.publish("t", b"x", QoS::AtLeastOnce, false);
            client.expect_message("t", b"x");
        }
    }
}

/// Refused at the header: whoever announces it need not send it, and nothing is set aside for it.
#[test]
fn an_announced_size_is_refused_before_it_is_sent() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    for announced in [2 * 1024 * 1024 + 1_u64, 1 << 30, 1 << 32, 1 << 62] {
        let mut client = Client::connect(&server, Over::Ws, Version::V5, "boaster");
        let mut header = vec![0x82, 0xFF];
        header.extend(announced.to_be_bytes());
        header.extend([0; 4]);
        client.transport.write(&header);
        assert_eq!(client.expect_closed(), Ending::Closed(Some(1009)), "{announced}");
    }
    for over in [Over::Tcp, Over::Ws] {
        for first in [0x30, 0x40, 0x62, 0x82, 0xA2, 0xC0, 0xE0, 0xF0] {
            let mut client = Client::connect(&server, over, Version::V5, "boaster");
            client.send_bytes(&[first, 0xFF, 0xFF, 0xFF, 0x7F]);
            client.expect_disconnect(ReasonCode::PacketTooLarge);
        }
    }
    assert!(server.is_running());
    assert!(server.memory_bytes().saturating_sub(before) < 16 << 20);
}
