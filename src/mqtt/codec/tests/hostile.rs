//! Known ways to hurt a broker through its decoder, by class; each name tells the class and the products that had it.

use super::table::decoder as decoder_of;
use super::*;
use crate::mqtt::codec::cases;
use crate::mqtt::topic::LEVELS_MAX;

const FIRST_BYTES_OF_ALL_TYPES: [u8; 15] =
    [0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0];

fn client(version: Version) -> Decoder {
    Decoder::with_version(Sender::Client, Limits::default(), version)
}

fn refusal(decoder: &mut Decoder, bytes: &[u8]) -> Violation {
    decoder.decode(bytes).expect_err("refused").violation()
}

/// A packet of this first byte and body.
fn framed(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first_byte];
    encode::fields::vbi(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::fields::vbi(&mut out, bytes.len());
    out.extend_from_slice(bytes);
    out
}

/// mosquitto CVE-2017-7651, CVE-2023-0809; RabbitMQ CVE-2021-22116, EMQX CVE-2021-33175, VerneMQ CVE-2021-33176.
#[test]
fn before_connect_nothing_is_awaited_but_a_small_connect() {
    let limits = Limits { packet_bytes_max: 8 * 1024, ..Limits::default() };
    let mut decoder = Decoder::new(Sender::Client, limits);
    for first_byte in &FIRST_BYTES_OF_ALL_TYPES[1..] {
        assert_eq!(refusal(&mut decoder, &[*first_byte]), Violation::FirstPacketNotConnect, "{first_byte:#x}");
    }
    let error = decoder.decode(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F]).expect_err("256 MiB are claimed");
    assert_eq!(error.violation(), Violation::PacketTooLarge);
    assert_eq!(error.reason(), crate::mqtt::ReasonCode::PacketTooLarge);
    assert_eq!(refusal(&mut decoder, &[0x10, 0xFE, 0x3F]), Violation::PacketTooLarge, "8,193 bytes with the header");
    assert_eq!(decoder.decode(&[0x10, 0xFD, 0x3F]), Ok(None), "8,192 bytes with the header");
    assert_eq!(refusal(&mut decoder, &[0x10, 0x80, 0x80, 0x80, 0x80]), Violation::LengthTooLong);
}

#[test]
fn limits_may_grow_after_connect() {
    let mut decoder = Decoder::new(Sender::Client, Limits { packet_bytes_max: 64, ..Limits::default() });
    let connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";
    assert!(matches!(decoder.decode(connect), Ok(Some((Packet::Connect(_), 15)))));
    assert_eq!(decoder.version(), Some(Version::V4));
    let publish = framed(0x30, &[b"\x00\x01a".as_slice(), &[0; 100]].concat());
    assert_eq!(refusal(&mut decoder, &publish), Violation::PacketTooLarge);
    decoder.set_limits(Limits::default());
    assert!(decoder.decode(&publish).is_ok_and(|decoded| decoded.is_some()));
}

#[test]
fn a_second_connect_does_not_change_the_version() {
    let mut decoder = client(Version::V4);
    let connect = b"\x10\x0d\x00\x04MQTT\x05\x00\x00\x00\x00\x00\x00";
    assert!(matches!(decoder.decode(connect), Ok(Some((Packet::Connect(_), _)))), "the core refuses it");
    assert_eq!(decoder.version(), Some(Version::V4));
}

/// mosquitto 2.0.12 (CPU spent on User Properties), CVE-2023-3592, CVE-2017-7654.
#[test]
fn property_floods_are_refused() {
    let user_properties = b"\x26\x00\x00\x00\x00".repeat(10_000);
    let flood = with_length(&user_properties);
    let in_publish = framed(0x30, &[b"\x00\x01a".as_slice(), &flood].concat());
    assert_eq!(refusal(&mut client(Version::V5), &in_publish), Violation::TooManyUserProperties);
    let in_connect = framed(0x10, &[b"\x00\x04MQTT\x05\x00\x00\x00".as_slice(), &flood, b"\x00\x00"].concat());
    assert_eq!(
        refusal(&mut Decoder::new(Sender::Client, Limits::default()), &in_connect),
        Violation::TooManyUserProperties
    );
    for (first_byte, head) in
        [(0x82, b"\x00\x01".as_slice()), (0xA2, b"\x00\x01"), (0x40, b"\x00\x01\x80"), (0xE0, b"\x04")]
    {
        let packet = framed(first_byte, &[head, &flood, b"\x00\x01a\x00"].concat());
        assert_eq!(refusal(&mut client(Version::V5), &packet), Violation::TooManyUserProperties, "{first_byte:#x}");
    }
    let singletons = with_length(&b"\x01\x01".repeat(10_000));
    let packet = framed(0x30, &[b"\x00\x01a".as_slice(), &singletons].concat());
    assert_eq!(refusal(&mut client(Version::V5), &packet), Violation::PropertyRepeated);
}

/// mosquitto CVE-2017-7654: a Will with properties that it cannot have.
#[test]
fn a_will_with_every_wrong_property_is_refused() {
    let of_a_will = [0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26];
    for id in (0..=u8::MAX).filter(|id| !of_a_will.contains(id)) {
        let properties = with_length(&[id, 0, 1, b'x', 0, 1, b'x']);
        let body =
            [b"\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a".as_slice(), &properties, b"\x00\x01t\x00\x00"].concat();
        let violation = refusal(&mut Decoder::new(Sender::Client, Limits::default()), &framed(0x10, &body));
        let is_expected = matches!(
            violation,
            Violation::PropertyNotAllowed | Violation::UnknownProperty | Violation::LengthNotMinimal
        );
        assert!(is_expected, "{id:#x}: {violation:?}");
    }
}

/// A SUBSCRIBE of many tiny filters costs other codecs twenty times its size.
#[test]
fn filter_floods_are_refused() {
    for (first_byte, filter) in [(0x82, b"\x00\x01a\x00".as_slice()), (0xA2, b"\x00\x01a")] {
        let packet = framed(first_byte, &[b"\x00\x01".as_slice(), &filter.repeat(257)].concat());
        assert_eq!(refusal(&mut client(Version::V4), &packet), Violation::TooManyTopicFilters, "{first_byte:#x}");
        let packet = framed(first_byte, &[b"\x00\x01".as_slice(), &filter.repeat(256)].concat());
        assert!(client(Version::V4).decode(&packet).is_ok(), "{first_byte:#x}");
    }
}

/// mosquitto CVE-2021-28166: CONNACK from a client, a null pointer.
#[test]
fn a_server_refuses_what_only_servers_send() {
    for version in [Version::V3, Version::V4, Version::V5] {
        for first_byte in [0x20, 0x90, 0xB0, 0xD0] {
            assert_eq!(refusal(&mut client(version), &[first_byte]), Violation::WrongDirection, "{first_byte:#x}");
        }
    }
}

/// Every packet type in every version, from either side, with bodies that are empty, short and full of zeros or ones.
#[test]
fn no_packet_type_panics_in_any_state() {
    for sender in [Sender::Client, Sender::Server] {
        for version in [None, Some(Version::V3), Some(Version::V4), Some(Version::V5)] {
            for first_byte in 0..=u8::MAX {
                for body in [&[][..], &[0], &[0, 1], &[0, 1, 0], &[0; 40], &[0xFF; 40]] {
                    let mut decoder = Decoder { version, sender, limits: Limits::default() };
                    let _ = decoder.decode(&framed(first_byte, body));
                }
            }
        }
    }
}

/// mosquitto CVE-2019-11779 (65,400 slashes), CVE-2021-34432 (empty), CVE-2018-12543 (`$x`).
#[test]
fn topics_are_bounded_in_depth() {
    let deep = "/".repeat(65_400);
    let name = [&(deep.len() as u16).to_be_bytes()[..], deep.as_bytes()].concat();
    assert_eq!(refusal(&mut client(Version::V4), &framed(0x30, &name)), Violation::TopicNameTooDeep);
    let subscribe = framed(0x82, &[b"\x00\x01", &name[..], b"\x00"].concat());
    assert_eq!(refusal(&mut client(Version::V4), &subscribe), Violation::TopicFilterTooDeep);
    let deepest = "/".repeat(LEVELS_MAX - 1);
    let name = [&(deepest.len() as u16).to_be_bytes()[..], deepest.as_bytes()].concat();
    assert!(client(Version::V4).decode(&framed(0x30, &name)).is_ok());
    assert!(client(Version::V4).decode(b"\x30\x04\x00\x02$x").is_ok());
}

/// mochi CVE-2024-50948, FlashMQ CVE-2024-42645: any one byte of any packet being another.
#[test]
fn every_packet_with_every_byte_changed_is_refused_or_encodable() {
    for case in cases::all() {
        for index in 0..case.bytes.len() {
            let mut bytes = case.bytes.to_vec();
            for value in 0..=u8::MAX {
                bytes[index] = value;
                let mut decoder = decoder_of(case);
                if let Ok(Some((packet, length))) = decoder.decode(&bytes) {
                    assert!(length <= bytes.len());
                    let version = decoder.version().expect("set by CONNECT or given");
                    encode(&packet, version, &mut Vec::new()).expect(case.name);
                }
            }
        }
    }
}
