//! Packets built field by field from what the fuzzer says: what can be encoded decodes to itself, and nothing else is
//! written.
#![no_main]

use std::borrow::Cow;
use std::num::{NonZeroU16, NonZeroU32};

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use tidegate::mqtt::codec::{Decoder, Limits, Sender, encode, properties};
use tidegate::mqtt::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Login, Publish, RetainHandling, SubAck, Subscribe, SubscribeOptions,
    Unsubscribe, Will,
};
use tidegate::mqtt::property::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, PublishProperties,
    SubscribeProperties, UserProperties, WillProperties,
};
use tidegate::mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version};

const BEFORE: &[u8] = b"before";

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let Ok(version) = u.choose(&[Version::V3, Version::V4, Version::V5]).copied() else { return };
    while !u.is_empty() {
        let Ok(packet) = packet(&mut u, version) else { return };
        check(&packet, version);
    }
});

fn check(packet: &Packet<'_>, version: Version) {
    let mut bytes = BEFORE.to_vec();
    if encode(packet, version, &mut bytes).is_err() {
        assert_eq!(bytes, BEFORE, "half a packet is left");
        return;
    }
    let bytes = bytes.strip_prefix(BEFORE).expect("encoding appends");
    // One side or the other may send it.
    let limits = Limits { packet_bytes_max: u32::MAX, ..Limits::default() };
    let decode = |sender, bytes| Decoder::with_version(sender, limits, version).decode(bytes);
    let sender = match decode(Sender::Client, bytes) {
        Ok(_) => Sender::Client,
        Err(_) => Sender::Server,
    };
    let (decoded, length) = decode(sender, bytes).expect("what is encoded decodes").expect("whole");
    assert_eq!(length, bytes.len());
    assert_eq!(decode(sender, &bytes[..length - 1]), Ok(None));
    if version == Version::V5 {
        assert_eq!(&decoded, packet);
    }
    let mut again = Vec::new();
    encode(&decoded, version, &mut again).expect("what decodes can be encoded");
    assert_eq!(again, bytes);
}

fn packet(u: &mut Unstructured<'_>, version: Version) -> Result<Packet<'static>> {
    Ok(match u.int_in_range(1..=15)? {
        1 => Packet::Connect(Box::new(connect(u, version)?)),
        2 => Packet::ConnAck(Box::new(connack(u)?)),
        3 => Packet::Publish(publish(u)?),
        4 => Packet::PubAck(ack(u)?),
        5 => Packet::PubRec(ack(u)?),
        6 => Packet::PubRel(ack(u)?),
        7 => Packet::PubComp(ack(u)?),
        8 => Packet::Subscribe(subscribe(u)?),
        9 => Packet::SubAck(suback(u)?),
        10 => Packet::Unsubscribe(unsubscribe(u)?),
        11 => Packet::UnsubAck(suback(u)?),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => Packet::Disconnect(disconnect(u)?),
        _ => Packet::Auth(auth(u)?),
    })
}

fn connect(u: &mut Unstructured<'_>, version: Version) -> Result<Connect> {
    let is_v5 = version == Version::V5;
    let properties = ConnectProperties {
        session_expiry_interval_s: u.arbitrary()?,
        receive_maximum: u.arbitrary()?,
        maximum_packet_size: u.arbitrary()?,
        topic_alias_maximum: u.arbitrary()?,
        request_response_information: u.arbitrary()?,
        request_problem_information: u.arbitrary()?,
        user_properties: user_properties(u)?,
        authentication_method: u.arbitrary()?,
        authentication_data: data(u)?,
    };
    Ok(Connect {
        version,
        is_bridge: u.arbitrary()?,
        clean_start: u.arbitrary()?,
        keep_alive_s: u.arbitrary()?,
        client_id: u.arbitrary()?,
        login: Login { username: u.arbitrary()?, password: data(u)? },
        will: if u.arbitrary()? { Some(will(u)?) } else { None },
        properties: if is_v5 { properties } else { ConnectProperties::default() },
    })
}

fn will(u: &mut Unstructured<'_>) -> Result<Will> {
    Ok(Will {
        topic: topic_name(u)?,
        payload: data(u)?.unwrap_or_default(),
        qos: qos(u)?,
        retain: u.arbitrary()?,
        properties: WillProperties {
            delay_interval_s: u.arbitrary()?,
            message_expiry_interval_s: u.arbitrary()?,
            forwarded: Cow::Owned(forwarded(u)?),
        },
    })
}

fn connack(u: &mut Unstructured<'_>) -> Result<ConnAck> {
    Ok(ConnAck {
        session_present: u.arbitrary()?,
        reason: reason(u)?,
        properties: ConnAckProperties {
            session_expiry_interval_s: u.arbitrary()?,
            receive_maximum: u.arbitrary()?,
            maximum_qos: u.arbitrary()?,
            retain_available: u.arbitrary()?,
            maximum_packet_size: u.arbitrary()?,
            assigned_client_identifier: u.arbitrary()?,
            topic_alias_maximum: u.arbitrary()?,
            reason_string: u.arbitrary()?,
            user_properties: user_properties(u)?,
            wildcard_subscription_available: u.arbitrary()?,
            subscription_identifiers_available: u.arbitrary()?,
            shared_subscription_available: u.arbitrary()?,
            server_keep_alive_s: u.arbitrary()?,
            response_information: u.arbitrary()?,
            server_reference: u.arbitrary()?,
            authentication_method: u.arbitrary()?,
            authentication_data: data(u)?,
        },
    })
}

fn publish(u: &mut Unstructured<'_>) -> Result<Publish<'static>> {
    let qos = qos(u)?;
    let identifiers: Vec<NonZeroU32> = (0..u.int_in_range(0..=3)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
    Ok(Publish {
        dup: u.arbitrary()?,
        qos,
        retain: u.arbitrary()?,
        topic: if u.arbitrary()? { Some(topic_name(u)?) } else { None },
        // At QoS 0 it is for other dialects.
        packet_id: if qos == QoS::AtMostOnce { None } else { u.arbitrary()? },
        properties: PublishProperties {
            forwarded: Cow::Owned(forwarded(u)?),
            message_expiry_interval_s: u.arbitrary()?,
            topic_alias: u.arbitrary::<Option<NonZeroU16>>()?,
            subscription_identifiers: identifiers.into(),
        },
        payload: Cow::Owned(data(u)?.unwrap_or_default()),
    })
}

fn ack(u: &mut Unstructured<'_>) -> Result<Ack> {
    let properties = ack_properties(u)?;
    Ok(Ack {
        packet_id: u.arbitrary::<PacketId>()?,
        reason: reason(u)?,
        properties: (properties != AckProperties::default()).then(|| Box::new(properties)),
    })
}

fn subscribe(u: &mut Unstructured<'_>) -> Result<Subscribe> {
    let mut filters = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let options = SubscribeOptions {
            maximum_qos: qos(u)?,
            no_local: u.arbitrary()?,
            retain_as_published: u.arbitrary()?,
            retain_handling: *u.choose(&[RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never])?,
        };
        filters.push((topic_filter(u)?, options));
    }
    let properties =
        SubscribeProperties { subscription_identifier: u.arbitrary()?, user_properties: user_properties(u)? };
    Ok(Subscribe { packet_id: u.arbitrary()?, properties, filters })
}

fn suback(u: &mut Unstructured<'_>) -> Result<SubAck> {
    let reasons = (0..u.int_in_range(0..=3)?).map(|_| reason(u)).collect::<Result<_>>()?;
    Ok(SubAck { packet_id: u.arbitrary()?, properties: ack_properties(u)?, reasons })
}

fn unsubscribe(u: &mut Unstructured<'_>) -> Result<Unsubscribe> {
    let filters = (0..u.int_in_range(0..=3)?).map(|_| topic_filter(u)).collect::<Result<_>>()?;
    Ok(Unsubscribe { packet_id: u.arbitrary()?, user_properties: user_properties(u)?, filters })
}

fn disconnect(u: &mut Unstructured<'_>) -> Result<Disconnect> {
    Ok(Disconnect {
        reason: reason(u)?,
        properties: DisconnectProperties {
            session_expiry_interval_s: u.arbitrary()?,
            reason_string: u.arbitrary()?,
            user_properties: user_properties(u)?,
            server_reference: u.arbitrary()?,
        },
    })
}

fn auth(u: &mut Unstructured<'_>) -> Result<Auth> {
    let AckProperties { reason_string, user_properties } = ack_properties(u)?;
    let properties = AuthProperties {
        authentication_method: u.arbitrary()?,
        authentication_data: data(u)?,
        reason_string,
        user_properties,
    };
    Ok(Auth { reason: reason(u)?, properties })
}

fn ack_properties(u: &mut Unstructured<'_>) -> Result<AckProperties> {
    Ok(AckProperties { reason_string: u.arbitrary()?, user_properties: user_properties(u)? })
}

fn user_properties(u: &mut Unstructured<'_>) -> Result<UserProperties> {
    (0..u.int_in_range(0..=2)?).map(|_| u.arbitrary()).collect()
}

fn forwarded(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    if u.arbitrary()? {
        properties::payload_format_indicator(&mut out, u.arbitrary()?);
    }
    // A text that cannot be carried is left out by the builder; the packet goes on without it.
    if u.arbitrary()? {
        let _ = properties::content_type(&mut out, u.arbitrary()?);
    }
    if u.arbitrary()? {
        let _ = properties::response_topic(&mut out, &topic_name(u)?);
    }
    for _ in 0..u.int_in_range(0..=2)? {
        let _ = properties::user_property(&mut out, u.arbitrary()?, u.arbitrary()?);
    }
    if u.arbitrary()? {
        let _ = properties::correlation_data(&mut out, u.arbitrary()?);
    }
    Ok(out)
}

fn data<T: From<Vec<u8>>>(u: &mut Unstructured<'_>) -> Result<Option<T>> {
    Ok(u.arbitrary::<Option<Vec<u8>>>()?.map(T::from))
}

fn topic_name(u: &mut Unstructured<'_>) -> Result<TopicName<'static>> {
    let text: String = u.arbitrary()?;
    Ok(TopicName::parse(text).unwrap_or_else(|_| TopicName::parse("topic").expect("valid")))
}

fn topic_filter(u: &mut Unstructured<'_>) -> Result<TopicFilter> {
    let text: &str = u.arbitrary()?;
    Ok(TopicFilter::parse(text).unwrap_or_else(|_| TopicFilter::parse("$share/g/#").expect("valid")))
}

fn qos(u: &mut Unstructured<'_>) -> Result<QoS> {
    u.choose(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]).copied()
}

fn reason(u: &mut Unstructured<'_>) -> Result<ReasonCode> {
    u.choose(ReasonCode::ALL).copied()
}
