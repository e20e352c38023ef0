//! Other codecs read what we write and write it again; what we read then is what we wrote.
//!
//! Each oracle is asked only what it gets right. What it loses or orders otherwise is named in one place, so that the
//! list of their faults can be read here.

use bytes::BytesMut;
use proptest::prelude::*;
use rmqtt_codec::{MqttCodec, MqttPacket};
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::strategies::{packet, sender, version};
use super::*;
use crate::mqtt::ReasonCode;
use crate::mqtt::codec::properties::{ForwardedProperty, forwarded};
use crate::mqtt::property::{ConnAckProperties, DisconnectProperties, ForwardedProperties};

/// What `mqttbytes` writes after having read `bytes`.
fn through_mqttbytes(version: Version, bytes: &[u8]) -> Vec<u8> {
    let mut stream = BytesMut::from(bytes);
    let mut out = BytesMut::new();
    match version {
        Version::V3 | Version::V4 => {
            use mqttbytes::v4::Packet as P;
            match mqttbytes::v4::read(&mut stream, bytes.len()).expect("readable") {
                P::Connect(p) => p.write(&mut out),
                P::ConnAck(p) => p.write(&mut out),
                P::Publish(p) => p.write(&mut out),
                P::PubAck(p) => p.write(&mut out),
                P::PubRec(p) => p.write(&mut out),
                P::PubRel(p) => p.write(&mut out),
                P::PubComp(p) => p.write(&mut out),
                P::Subscribe(p) => p.write(&mut out),
                P::SubAck(p) => p.write(&mut out),
                P::Unsubscribe(p) => p.write(&mut out),
                P::UnsubAck(p) => p.write(&mut out),
                P::PingReq => mqttbytes::v4::PingReq.write(&mut out),
                P::PingResp => mqttbytes::v4::PingResp.write(&mut out),
                P::Disconnect => mqttbytes::v4::Disconnect.write(&mut out),
            }
        }
        Version::V5 => {
            use mqttbytes::v5::Packet as P;
            match mqttbytes::v5::read(&mut stream, bytes.len()).expect("readable") {
                P::Connect(p) => p.write(&mut out),
                P::ConnAck(p) => p.write(&mut out),
                P::Publish(p) => p.write(&mut out),
                P::PubAck(p) => p.write(&mut out),
                P::PubRec(p) => p.write(&mut out),
                P::PubRel(p) => p.write(&mut out),
                P::PubComp(p) => p.write(&mut out),
                P::Subscribe(p) => p.write(&mut out),
                P::SubAck(p) => p.write(&mut out),
                P::Unsubscribe(p) => p.write(&mut out),
                P::UnsubAck(p) => p.write(&mut out),
                P::PingReq => mqttbytes::v5::PingReq.write(&mut out),
                P::PingResp => mqttbytes::v5::PingResp.write(&mut out),
                P::Disconnect(p) => p.write(&mut out),
            }
        }
    }
    .expect("writable");
    out.to_vec()
}

/// Whether `mqttbytes` can read and write such a packet at all (MQTTBYTES defects in brackets).
fn is_for_mqttbytes(version: Version, packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Connect(connect) => {
            let login = &connect.login;
            let is_textual = |password: &bytes::Bytes| std::str::from_utf8(password).is_ok() && !password.is_empty();
            // No 3.1 (A04), no bridges (A05), no binary passwords (A06), nothing empty (A07), no password alone (A08).
            version != Version::V3
                && !connect.is_bridge
                && login.password.as_ref().is_none_or(is_textual)
                && login.username.as_ref().map_or(login.password.is_none(), |username| !username.is_empty())
        }
        // The Property Length is left out (A09).
        Packet::ConnAck(connack) => version != Version::V5 || connack.properties != ConnAckProperties::default(),
        // Properties leak into the payload (D01).
        Packet::Publish(publish) => publish.properties.subscription_identifiers.len() < 2,
        // Prints a line each time (E02).
        Packet::Unsubscribe(_) => version != Version::V5,
        // Neither length 0 nor length 1 (A01, A02), nor one reason (A13).
        Packet::Disconnect(disconnect) => {
            version != Version::V5
                || (disconnect.properties != DisconnectProperties::default()
                    && disconnect.reason != ReasonCode::BadAuthenticationMethod)
        }
        // Unknown to it (A03).
        Packet::Auth(_) => false,
        _ => true,
    }
}

/// What `rmqtt-codec` writes after having read `bytes`.
fn through_rmqtt(version: Version, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut codec = match version {
        Version::V3 | Version::V4 => MqttCodec::V3(rmqtt_codec::v3::Codec::new(0)),
        Version::V5 => MqttCodec::V5(rmqtt_codec::v5::Codec::new(0, 0)),
    };
    let mut stream = BytesMut::from(bytes);
    let (packet, _): (MqttPacket, u32) =
        codec.decode(&mut stream).map_err(|error| format!("unreadable: {error}"))?.ok_or("not whole")?;
    let mut out = BytesMut::new();
    codec.encode(packet, &mut out).map_err(|error| format!("not writable: {error}"))?;
    Ok(out.to_vec())
}

/// Whether `rmqtt-codec` can read and write such a packet at all.
fn is_for_rmqtt(version: Version, packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Connect(connect) => {
            // It knows no bridges, writes 3.1 with the level of 3.1.1, and holds to [MQTT-3.1.3-8], which is not the
            // codec's.
            version != Version::V3 && !connect.is_bridge && !connect.client_id.is_empty()
        }
        _ => true,
    }
}

/// The packet without properties that say what their absence says: `rmqtt-codec` does not tell these apart.
fn without_defaults(mut packet: Packet<'_>) -> Packet<'_> {
    match &mut packet {
        Packet::Connect(connect) => {
            let properties = &mut connect.properties;
            properties.session_expiry_interval_s = properties.session_expiry_interval_s.filter(|&seconds| seconds != 0);
            properties.topic_alias_maximum = properties.topic_alias_maximum.filter(|&maximum| maximum != 0);
            properties.request_problem_information = properties.request_problem_information.filter(|&wanted| !wanted);
            properties.request_response_information = properties.request_response_information.filter(|&wanted| wanted);
        }
        Packet::ConnAck(connack) => {
            let properties = &mut connack.properties;
            for available in [
                &mut properties.retain_available,
                &mut properties.wildcard_subscription_available,
                &mut properties.subscription_identifiers_available,
                &mut properties.shared_subscription_available,
            ] {
                *available = available.filter(|&is_available| !is_available);
            }
            properties.topic_alias_maximum = properties.topic_alias_maximum.filter(|&maximum| maximum != 0);
            properties.receive_maximum = properties.receive_maximum.filter(|maximum| maximum.get() != u16::MAX);
        }
        Packet::Publish(publish) => {
            sort(&mut publish.properties.forwarded, |property| *property != ForwardedProperty::PayloadIsUtf8(false));
        }
        _ => {}
    }
    packet
}

/// The packet with what oracles order otherwise in one order.
fn in_one_order(mut packet: Packet<'_>) -> Packet<'_> {
    match &mut packet {
        Packet::Publish(publish) => sort(&mut publish.properties.forwarded, |_| true),
        Packet::Connect(connect) => {
            if let Some(will) = &mut connect.will {
                sort(&mut will.properties.forwarded, |_| true);
            }
        }
        _ => {}
    }
    packet
}

/// Sorts by property, User Properties among themselves as they are.
fn sort(bytes: &mut ForwardedProperties<'_>, is_kept: impl Fn(&ForwardedProperty<'_>) -> bool) {
    let rank = |property: &ForwardedProperty<'_>| match property {
        ForwardedProperty::PayloadIsUtf8(_) => 0,
        ForwardedProperty::ContentType(_) => 1,
        ForwardedProperty::ResponseTopic(_) => 2,
        ForwardedProperty::CorrelationData(_) => 3,
        ForwardedProperty::UserProperty(..) => 4,
    };
    let mut all: Vec<_> = forwarded(bytes).filter(is_kept).collect();
    all.sort_by_key(rank);
    let mut sorted = Vec::new();
    for property in all {
        match property {
            ForwardedProperty::PayloadIsUtf8(is_utf8) => {
                properties::payload_format_indicator(&mut sorted, is_utf8);
                Ok(())
            }
            ForwardedProperty::ContentType(text) => properties::content_type(&mut sorted, text),
            ForwardedProperty::ResponseTopic(text) => {
                properties::response_topic(&mut sorted, &crate::mqtt::TopicName::parse(text).expect("decoded"))
            }
            ForwardedProperty::CorrelationData(data) => properties::correlation_data(&mut sorted, data),
            ForwardedProperty::UserProperty(name, value) => properties::user_property(&mut sorted, name, value),
        }
        .expect("decoded before");
    }
    *bytes = sorted.into();
}

fn any_packet() -> impl Strategy<Value = (Version, Sender, Packet<'static>)> {
    (version(), sender()).prop_flat_map(|(version, sender)| (Just(version), Just(sender), packet(version, sender)))
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    encode(packet, version, &mut out).expect("a packet of the standard");
    out
}

proptest! {
    #[test]
    fn mqttbytes_reads_and_writes_the_same((version, sender, packet) in any_packet()) {
        if !is_for_mqttbytes(version, &packet) {
            return Ok(());
        }
        let bytes = encoded(&packet, version);
        let again = through_mqttbytes(version, &bytes);
        let is_ordered_otherwise = matches!(packet, Packet::Publish(_) | Packet::Connect(_) | Packet::Disconnect(_));
        if version != Version::V5 || !is_ordered_otherwise {
            prop_assert_eq!(&again, &bytes);
        }
        let mut decoder = Decoder::with_version(sender, Limits::default(), version);
        let (decoded, length) = decoder.decode(&again).expect("mqttbytes writes what is legal").expect("whole");
        prop_assert_eq!(length, again.len());
        prop_assert_eq!(in_one_order(decoded), in_one_order(packet));
    }

    #[test]
    fn rmqtt_reads_and_writes_the_same((version, sender, packet) in any_packet()) {
        if !is_for_rmqtt(version, &packet) {
            return Ok(());
        }
        let bytes = encoded(&packet, version);
        let again = through_rmqtt(version, &bytes).map_err(TestCaseError::fail)?;
        let mut decoder = Decoder::with_version(sender, Limits::default(), version);
        let (decoded, length) =
            decoder.decode(&again).map_err(|error| TestCaseError::fail(error.to_string()))?.expect("whole");
        prop_assert_eq!(length, again.len());
        prop_assert_eq!(in_one_order(without_defaults(decoded)), in_one_order(without_defaults(packet)));
    }

    /// The other direction: nothing passes here that another strict codec refuses.
    #[test]
    fn what_rmqtt_refuses_is_refused(
        (version, sender, packet) in any_packet(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&packet, version);
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let mut decoder = Decoder::with_version(sender, Limits::default(), version);
        if let Ok(Some((packet, length))) = decoder.decode(&bytes)
            && is_for_rmqtt(version, &packet)
            && version != Version::V3
        {
            let read = through_rmqtt(version, &bytes[..length]);
            prop_assert!(read.is_ok(), "{read:?}: {packet:?}");
        }
    }
}
