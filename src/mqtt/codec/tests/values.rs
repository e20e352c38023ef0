//! What bytes mean, field by field, and what the hot path borrows.

use std::borrow::Cow;
use std::num::{NonZeroU16, NonZeroU32};

use super::*;
use crate::mqtt::codec::properties::{ForwardedProperty, forwarded, validate_forwarded};
use crate::mqtt::packet::{Publish, RetainHandling};
use crate::mqtt::property::PublishProperties;
use crate::mqtt::{PacketId, QoS, ReasonCode, TopicName};

fn decode(version: Version, sender: Sender, bytes: &[u8]) -> Packet<'_> {
    let mut decoder = Decoder::with_version(sender, Limits::default(), version);
    decoder.decode(bytes).expect("valid").expect("whole").0
}

fn publish(bytes: &[u8]) -> Publish<'_> {
    let Packet::Publish(publish) = decode(Version::V5, Sender::Client, bytes) else { panic!("a PUBLISH") };
    publish
}

#[test]
fn publish_borrows_topic_properties_and_payload() {
    // A Topic Alias, then a Content Type and a User Property side by side.
    let bytes = b"\x32\x1b\x00\x01a\x00\x07\x0f\x23\x00\x05\x03\x00\x02ct\x26\x00\x01k\x00\x01vpayload";
    let bytes = [&bytes[..1], &[bytes.len() as u8 - 2], &bytes[2..]].concat();
    let publish = publish(&bytes);
    assert_eq!(publish.topic, Some(TopicName::parse("a").expect("valid")));
    assert_eq!((publish.qos, publish.packet_id), (QoS::AtLeastOnce, PacketId::new(7)));
    assert_eq!(publish.properties.topic_alias, NonZeroU16::new(5));
    assert!(matches!(publish.properties.forwarded, Cow::Borrowed(b"\x03\x00\x02ct\x26\x00\x01k\x00\x01v")));
    assert!(matches!(publish.payload, Cow::Borrowed(b"payload")));
}

#[test]
fn forwarded_properties_are_copied_only_around_others() {
    let bytes = b"\x30\x17\x00\x01a\x13\x01\x01\x02\x00\x00\x00\x09\x26\x00\x01k\x00\x01v\x09\x00\x02\x01\x02";
    let bytes = [&bytes[..1], &[bytes.len() as u8 - 2], &bytes[2..]].concat();
    let publish = publish(&bytes);
    assert_eq!(publish.properties.message_expiry_interval_s, Some(9));
    assert!(matches!(&publish.properties.forwarded, Cow::Owned(_)));
    let read: Vec<_> = forwarded(&publish.properties.forwarded).collect();
    assert_eq!(
        read,
        [
            ForwardedProperty::PayloadIsUtf8(true),
            ForwardedProperty::UserProperty("k", "v"),
            ForwardedProperty::CorrelationData(&[1, 2])
        ]
    );
}

#[test]
fn connect_of_5_says_all_it_can() {
    let bytes = cases::CONNECT.iter().find(|case| case.name == "CONNECT 5.0, every property").expect("a row").bytes;
    let Packet::Connect(connect) = decode(Version::V5, Sender::Client, bytes) else { panic!("a CONNECT") };
    let properties = &connect.properties;
    assert_eq!((connect.version, connect.clean_start, connect.keep_alive_s), (Version::V5, true, 60));
    assert_eq!(properties.session_expiry_interval_s, Some(10));
    assert_eq!(properties.receive_maximum, NonZeroU16::new(20));
    assert_eq!(properties.maximum_packet_size, NonZeroU32::new(100));
    assert_eq!(properties.topic_alias_maximum, Some(5));
    assert_eq!(properties.request_response_information, Some(true));
    assert_eq!(properties.request_problem_information, Some(false));
    assert_eq!(properties.user_properties, [("k".into(), "v".into())]);
    assert_eq!(properties.authentication_method.as_deref(), Some("m"));
    assert_eq!(properties.authentication_data.as_deref(), Some(&[0xFF][..]));
}

#[test]
fn a_will_and_a_login_say_all_they_can() {
    let row = |name| cases::CONNECT.iter().find(|case| case.name == name).expect("a row").bytes;
    let bytes = row("CONNECT 3.1.1, Will, user name, password");
    let Packet::Connect(connect) = decode(Version::V4, Sender::Client, bytes) else { panic!("a CONNECT") };
    let will = connect.will.as_ref().expect("a Will");
    assert_eq!(
        (will.topic.as_str(), &will.payload[..], will.qos, will.retain),
        ("w/t", &b"W"[..], QoS::AtLeastOnce, true)
    );
    assert_eq!(connect.login.username.as_deref(), Some("u"));
    assert_eq!(connect.login.password.as_deref(), Some(&[0xFF, 0][..]), "a password is binary");
    assert!(!format!("{connect:?}").contains("255"), "and never printed");

    let bytes = row("CONNECT 5.0, Will with every property");
    let Packet::Connect(connect) = decode(Version::V5, Sender::Client, bytes) else { panic!("a CONNECT") };
    let will = connect.will.expect("a Will");
    assert_eq!((will.properties.delay_interval_s, will.properties.message_expiry_interval_s), (5, Some(6)));
    assert_eq!(forwarded(&will.properties.forwarded).count(), 6);
    assert_eq!(validate_forwarded(&will.properties.forwarded), Ok(()));
}

#[test]
fn a_bridge_says_so() {
    let Packet::Connect(connect) =
        decode(Version::V4, Sender::Client, b"\x10\x0d\x00\x04MQTT\x84\x02\x00\x3c\x00\x01a")
    else {
        panic!("a CONNECT")
    };
    assert!(connect.is_bridge && connect.version == Version::V4);
}

#[test]
fn subscribe_says_all_it_can() {
    let bytes = b"\x82\x19\x00\x01\x0a\x0b\x80\x01\x26\x00\x01k\x00\x01v\x00\x01+\x2e\x00\x05$SYS/\x10";
    let Packet::Subscribe(subscribe) = decode(Version::V5, Sender::Client, bytes) else { panic!("a SUBSCRIBE") };
    assert_eq!(subscribe.properties.subscription_identifier, NonZeroU32::new(128));
    let [(plus, options), (sys, sys_options)] = &subscribe.filters[..] else { panic!("two filters") };
    assert_eq!((plus.as_str(), sys.as_str()), ("+", "$SYS/"));
    assert_eq!(options.maximum_qos, QoS::ExactlyOnce);
    assert!(options.no_local && options.retain_as_published && !sys_options.no_local);
    assert_eq!((options.retain_handling, sys_options.retain_handling), (RetainHandling::Never, RetainHandling::IfNew));
}

#[test]
fn versions_before_5_keep_what_they_have_and_drop_the_rest() {
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: true,
        topic: Some(TopicName::parse("a").expect("valid")),
        packet_id: PacketId::new(9),
        properties: PublishProperties {
            forwarded: Cow::Borrowed(b"\x01\x01"),
            message_expiry_interval_s: Some(1),
            topic_alias: NonZeroU16::new(1),
            ..PublishProperties::default()
        },
        payload: Cow::Borrowed(b"!"),
    };
    let mut out = Vec::new();
    encode(&Packet::Publish(publish), Version::V4, &mut out).expect("valid");
    assert_eq!(out, b"\x31\x04\x00\x01a!", "nor a Packet Identifier at QoS 0");
}

#[test]
fn before_5_only_some_reasons_have_a_return_code() {
    let connack = |reason| {
        let mut out = Vec::new();
        let connack = crate::mqtt::packet::ConnAck { session_present: false, reason, properties: Default::default() };
        encode(&Packet::ConnAck(Box::new(connack)), Version::V4, &mut out).map(|()| out)
    };
    assert_eq!(connack(ReasonCode::ServerShuttingDown), Ok(b"\x20\x02\x00\x03".to_vec()));
    assert_eq!(connack(ReasonCode::MalformedPacket), Err(EncodeError::NoReturnCode(ReasonCode::MalformedPacket)));
}

#[test]
fn a_publish_head_is_as_long_as_it_says() {
    let identifiers = [NonZeroU32::MIN, NonZeroU32::new(268_435_455).expect("not 0")];
    for version in [Version::V3, Version::V4, Version::V5] {
        for payload_len in [0, 100, 127, 16_300, 2_097_152] {
            let head = PublishHead {
                version,
                topic: b"a/b",
                qos: QoS::AtLeastOnce,
                retain: false,
                dup: true,
                packet_id: PacketId::new(0xABCD),
                topic_alias: NonZeroU16::new(3),
                message_expiry_interval_s: Some(60),
                subscription_identifiers: &identifiers,
                forwarded: b"\x01\x01",
            };
            let mut out = b"before".to_vec();
            head.write(payload_len, &mut out);
            assert_eq!(out.len() + payload_len - 6, head.packet_len(payload_len));
            out.resize(out.len() + payload_len, b'x');
            let Packet::Publish(publish) = decode_large(version, &out[6..]) else { panic!("a PUBLISH") };
            assert!(publish.dup && publish.payload.len() == payload_len);
            let identifiers_read = &publish.properties.subscription_identifiers[..];
            assert_eq!(identifiers_read, if version == Version::V5 { &identifiers[..] } else { &[] });
        }
    }
}

fn decode_large(version: Version, bytes: &[u8]) -> Packet<'_> {
    let limits = Limits { packet_bytes_max: u32::MAX, ..Limits::default() };
    Decoder::with_version(Sender::Server, limits, version).decode(bytes).expect("valid").expect("whole").0
}

#[test]
fn what_no_packet_can_carry_is_not_built() {
    let mut out = b"\x01\x01".to_vec();
    let long = "x".repeat(65_536);
    assert_eq!(properties::content_type(&mut out, &long), Err(EncodeError::TooLong));
    assert_eq!(properties::correlation_data(&mut out, long.as_bytes()), Err(EncodeError::TooLong));
    assert_eq!(properties::user_property(&mut out, "name", &long), Err(EncodeError::TooLong));
    assert_eq!(properties::user_property(&mut out, "a\0", ""), Err(Violation::NulCharacter.into()));
    assert_eq!(out, b"\x01\x01", "nothing is left behind");
    assert_eq!(validate_forwarded(b"\x23\x00\x05"), Err(Violation::PropertyNotAllowed), "no Topic Alias is forwarded");
    assert_eq!(validate_forwarded(b"\x01\x01\x01\x01"), Err(Violation::PropertyRepeated));
}
