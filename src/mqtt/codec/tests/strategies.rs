//! Arbitrary packets, each spelled as the encoder spells it: what is optional and says nothing is left out.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::mqtt::codec::{PacketType, Sender, properties, reason_codes};
use crate::mqtt::packet::*;
use crate::mqtt::property::*;
use crate::mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version};

pub(super) fn version() -> impl Strategy<Value = Version> {
    select(vec![Version::V3, Version::V4, Version::V5])
}

pub(super) fn sender() -> impl Strategy<Value = Sender> {
    select(vec![Sender::Client, Sender::Server])
}

/// Any packet that `sender` may send in `version`.
pub(super) fn packet(version: Version, sender: Sender) -> BoxedStrategy<Packet<'static>> {
    let is_v5 = version == Version::V5;
    let ack = |packet_type| ack(packet_type, version, sender);
    let mut packets = vec![
        publish(version, sender).prop_map(Packet::Publish).boxed(),
        ack(PacketType::PubAck).prop_map(Packet::PubAck).boxed(),
        ack(PacketType::PubRec).prop_map(Packet::PubRec).boxed(),
        ack(PacketType::PubRel).prop_map(Packet::PubRel).boxed(),
        ack(PacketType::PubComp).prop_map(Packet::PubComp).boxed(),
        disconnect(version, sender).prop_map(Packet::Disconnect).boxed(),
    ];
    if is_v5 {
        packets.push(auth(sender).prop_map(Packet::Auth).boxed());
    }
    match sender {
        Sender::Client => packets.extend([
            connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))).boxed(),
            subscribe(is_v5).prop_map(Packet::Subscribe).boxed(),
            unsubscribe(is_v5).prop_map(Packet::Unsubscribe).boxed(),
            Just(Packet::PingReq).boxed(),
        ]),
        Sender::Server => packets.extend([
            connack(version).prop_map(|connack| Packet::ConnAck(Box::new(connack))).boxed(),
            suback(is_v5).prop_map(Packet::SubAck).boxed(),
            unsuback(is_v5).prop_map(Packet::UnsubAck).boxed(),
            Just(Packet::PingResp).boxed(),
        ]),
    }
    proptest::strategy::Union::new(packets).boxed()
}

fn text() -> impl Strategy<Value = Box<str>> {
    "[ -~é€😀\u{FEFF}\u{FFFF}]{0,10}".prop_map(Box::from)
}

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..10).prop_map(Bytes::from)
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<PacketId>()
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn identifier() -> impl Strategy<Value = NonZeroU32> {
    (1_u32..=268_435_455).prop_map(|value| NonZeroU32::new(value).expect("not 0"))
}

pub(super) fn topic_name() -> impl Strategy<Value = TopicName<'static>> {
    "[$/a-cé ]{1,12}".prop_map(|text| TopicName::parse(text).expect("no wildcard, not empty"))
}

fn topic_filter(with_shared: bool) -> impl Strategy<Value = TopicFilter> {
    let share = if with_shared { "$share/g/" } else { "" };
    (select(vec!["", share]), vec(select(vec!["", "a", "+", "$b", "é"]), 1..4), any::<bool>()).prop_map(
        |(share, mut levels, has_rest)| {
            if has_rest || levels == [""] {
                levels.push("#");
            }
            TopicFilter::parse(&format!("{share}{}", levels.join("/"))).expect("valid by construction")
        },
    )
}

fn user_properties() -> impl Strategy<Value = UserProperties> {
    vec((text(), text()), 0..3)
}

/// Forwarded properties in any order.
fn forwarded() -> impl Strategy<Value = Vec<u8>> {
    let indicator = any::<bool>().prop_map(|is_utf8| {
        let mut out = Vec::new();
        properties::payload_format_indicator(&mut out, is_utf8);
        out
    });
    let content_type = text().prop_map(|text| built(|out| properties::content_type(out, &text)));
    let response_topic = topic_name().prop_map(|topic| built(|out| properties::response_topic(out, &topic)));
    let correlation = data().prop_map(|data| built(|out| properties::correlation_data(out, &data)));
    let user = || (text(), text()).prop_map(|(name, value)| built(|out| properties::user_property(out, &name, &value)));
    (
        option::of(indicator),
        option::of(content_type),
        option::of(response_topic),
        option::of(correlation),
        option::of(user()),
        option::of(user()),
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].into_iter().flatten().collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(|parts| parts.concat())
}

fn built<E: std::fmt::Debug>(build: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out).expect("short and without U+0000");
    out
}

fn publish(version: Version, sender: Sender) -> impl Strategy<Value = Publish<'static>> {
    let topic = option::weighted(0.8, topic_name());
    let topic = (topic, topic_name()).prop_map(move |(topic, otherwise)| match version {
        Version::V3 | Version::V4 => topic.or(Some(otherwise)),
        Version::V5 => topic,
    });
    (topic, qos(), any::<(bool, bool)>(), packet_id(), publish_properties(version, sender), vec(any::<u8>(), 0..200))
        .prop_map(|(topic, qos, (dup, retain), packet_id, mut properties, payload)| {
            if topic.is_none() && properties.topic_alias.is_none() {
                properties.topic_alias = Some(NonZeroU16::MIN);
            }
            let has_id = qos != QoS::AtMostOnce;
            Publish {
                dup: dup && has_id,
                qos,
                retain,
                topic,
                packet_id: has_id.then_some(packet_id),
                properties,
                payload: payload.into(),
            }
        })
}

fn publish_properties(version: Version, sender: Sender) -> BoxedStrategy<PublishProperties<'static>> {
    if version != Version::V5 {
        return Just(PublishProperties::default()).boxed();
    }
    let identifiers_max = if sender == Sender::Server { 3 } else { 0 };
    (forwarded(), option::of(1..=u32::MAX), option::of(any::<NonZeroU16>()), vec(identifier(), 0..=identifiers_max))
        .prop_map(|(forwarded, message_expiry_interval_s, topic_alias, identifiers)| PublishProperties {
            forwarded: forwarded.into(),
            message_expiry_interval_s,
            topic_alias,
            subscription_identifiers: identifiers.into(),
        })
        .boxed()
}

fn reason(packet_type: PacketType, sender: Sender) -> impl Strategy<Value = ReasonCode> {
    let allowed = ReasonCode::ALL.iter().copied();
    select(allowed.filter(|&reason| reason_codes::is_allowed(packet_type, sender, reason)).collect::<Vec<_>>())
}

fn ack_properties() -> impl Strategy<Value = AckProperties> {
    (option::of(text()), user_properties())
        .prop_map(|(reason_string, user_properties)| AckProperties { reason_string, user_properties })
}

fn ack(packet_type: PacketType, version: Version, sender: Sender) -> BoxedStrategy<Ack> {
    if version != Version::V5 {
        return packet_id().prop_map(|packet_id| Ack::new(packet_id, ReasonCode::Success)).boxed();
    }
    (packet_id(), reason(packet_type, sender), ack_properties())
        .prop_map(|(packet_id, reason, properties)| {
            let properties = (properties != AckProperties::default()).then(|| Box::new(properties));
            Ack { packet_id, reason, properties }
        })
        .boxed()
}

fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let is_v5 = version == Version::V5;
    let login = (option::of(text()), option::of(data()));
    (any::<(bool, bool)>(), any::<u16>(), text(), login, option::of(will(is_v5)), connect_properties(is_v5)).prop_map(
        move |((clean_start, is_bridge), keep_alive_s, client_id, (username, password), will, properties)| Connect {
            version,
            is_bridge: is_bridge && !is_v5,
            clean_start,
            keep_alive_s,
            client_id,
            login: Login { password: password.filter(|_| is_v5 || username.is_some()), username },
            will,
            properties,
        },
    )
}

fn will(is_v5: bool) -> impl Strategy<Value = Will> {
    let properties = if is_v5 {
        (any::<u32>(), option::of(1..=u32::MAX), forwarded())
            .prop_map(|(delay_interval_s, message_expiry_interval_s, forwarded)| WillProperties {
                delay_interval_s,
                message_expiry_interval_s,
                forwarded: forwarded.into(),
            })
            .boxed()
    } else {
        Just(WillProperties::default()).boxed()
    };
    (topic_name(), data(), qos(), any::<bool>(), properties)
        .prop_map(|(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties })
}

fn connect_properties(is_v5: bool) -> BoxedStrategy<ConnectProperties> {
    if !is_v5 {
        return Just(ConnectProperties::default()).boxed();
    }
    let numbers = (
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        option::of(any::<NonZeroU32>()),
        option::of(any::<u16>()),
    );
    let booleans = any::<(Option<bool>, Option<bool>)>();
    (numbers, booleans, user_properties(), option::of(text()), option::of(data()))
        .prop_map(|(numbers, booleans, user_properties, authentication_method, data)| ConnectProperties {
            session_expiry_interval_s: numbers.0,
            receive_maximum: numbers.1,
            maximum_packet_size: numbers.2,
            topic_alias_maximum: numbers.3,
            request_response_information: booleans.0,
            request_problem_information: booleans.1,
            user_properties,
            authentication_data: data.filter(|_| authentication_method.is_some()),
            authentication_method,
        })
        .boxed()
}

fn connack(version: Version) -> BoxedStrategy<ConnAck> {
    let connack = move |session_present, reason, properties| ConnAck {
        session_present: session_present && reason == ReasonCode::Success && version != Version::V3,
        reason,
        properties,
    };
    if version == Version::V5 {
        return (any::<bool>(), reason(PacketType::ConnAck, Sender::Server), connack_properties())
            .prop_map(move |(present, reason, properties)| connack(present, reason, properties))
            .boxed();
    }
    let reasons = vec![
        ReasonCode::Success,
        ReasonCode::UnsupportedProtocolVersion,
        ReasonCode::ClientIdentifierNotValid,
        ReasonCode::ServerUnavailable,
        ReasonCode::BadUserNameOrPassword,
        ReasonCode::NotAuthorized,
    ];
    (any::<bool>(), select(reasons))
        .prop_map(move |(present, reason)| connack(present, reason, ConnAckProperties::default()))
        .boxed()
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties> {
    let numbers = (
        option::of(any::<u32>()),
        option::of(any::<NonZeroU16>()),
        option::of(0_u8..2),
        option::of(any::<NonZeroU32>()),
        option::of(any::<u16>()),
        option::of(any::<u16>()),
    );
    let booleans = any::<[Option<bool>; 4]>();
    let texts = [(); 5].map(|()| option::of(text()));
    (numbers, booleans, texts, user_properties(), option::of(data())).prop_map(
        |(numbers, booleans, texts, user_properties, authentication_data)| {
            let [assigned, reason_string, response_information, server_reference, authentication_method] = texts;
            ConnAckProperties {
                session_expiry_interval_s: numbers.0,
                receive_maximum: numbers.1,
                maximum_qos: numbers.2,
                retain_available: booleans[0],
                maximum_packet_size: numbers.3,
                assigned_client_identifier: assigned,
                topic_alias_maximum: numbers.4,
                reason_string,
                user_properties,
                wildcard_subscription_available: booleans[1],
                subscription_identifiers_available: booleans[2],
                shared_subscription_available: booleans[3],
                server_keep_alive_s: numbers.5,
                response_information,
                server_reference,
                authentication_method,
                authentication_data,
            }
        },
    )
}

fn subscribe(is_v5: bool) -> impl Strategy<Value = Subscribe> {
    let options =
        (qos(), any::<(bool, bool)>(), 0_u8..3).prop_map(move |(maximum_qos, (no_local, published), handling)| {
            if !is_v5 {
                return SubscribeOptions { maximum_qos, ..SubscribeOptions::default() };
            }
            let retain_handling =
                [RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never][usize::from(handling)];
            SubscribeOptions { maximum_qos, no_local, retain_as_published: published, retain_handling }
        });
    let filter = (topic_filter(true), options).prop_map(|(filter, options)| {
        let no_local = options.no_local && filter.share_name().is_none();
        (filter, SubscribeOptions { no_local, ..options })
    });
    (packet_id(), option::of(identifier()), user_properties(), vec(filter, 1..4)).prop_map(
        move |(packet_id, subscription_identifier, user_properties, filters)| {
            let properties = if is_v5 {
                SubscribeProperties { subscription_identifier, user_properties }
            } else {
                SubscribeProperties::default()
            };
            Subscribe { packet_id, properties, filters }
        },
    )
}

fn unsubscribe(is_v5: bool) -> impl Strategy<Value = Unsubscribe> {
    (packet_id(), user_properties(), vec(topic_filter(true), 1..4)).prop_map(
        move |(packet_id, user_properties, filters)| {
            let user_properties = if is_v5 { user_properties } else { Vec::new() };
            Unsubscribe { packet_id, user_properties, filters }
        },
    )
}

fn suback(is_v5: bool) -> BoxedStrategy<SubAck> {
    if is_v5 {
        return (packet_id(), ack_properties(), vec(reason(PacketType::SubAck, Sender::Server), 1..4))
            .prop_map(|(packet_id, properties, reasons)| SubAck { packet_id, properties, reasons })
            .boxed();
    }
    let codes = select(vec![
        ReasonCode::Success,
        ReasonCode::GrantedQoS1,
        ReasonCode::GrantedQoS2,
        ReasonCode::UnspecifiedError,
    ]);
    (packet_id(), vec(codes, 1..4))
        .prop_map(|(packet_id, reasons)| SubAck { packet_id, properties: AckProperties::default(), reasons })
        .boxed()
}

fn unsuback(is_v5: bool) -> BoxedStrategy<SubAck> {
    if !is_v5 {
        let unsuback = |packet_id| SubAck { packet_id, properties: AckProperties::default(), reasons: Vec::new() };
        return packet_id().prop_map(unsuback).boxed();
    }
    (packet_id(), ack_properties(), vec(reason(PacketType::UnsubAck, Sender::Server), 1..4))
        .prop_map(|(packet_id, properties, reasons)| SubAck { packet_id, properties, reasons })
        .boxed()
}

fn disconnect(version: Version, sender: Sender) -> BoxedStrategy<Disconnect> {
    if version != Version::V5 {
        return Just(Disconnect { reason: ReasonCode::Success, properties: DisconnectProperties::default() }).boxed();
    }
    let is_client = sender == Sender::Client;
    (reason(PacketType::Disconnect, sender), option::of(any::<u32>()), ack_properties(), option::of(text()))
        .prop_map(move |(reason, expiry, ack, reference)| Disconnect {
            reason,
            properties: DisconnectProperties {
                session_expiry_interval_s: expiry.filter(|_| is_client),
                reason_string: ack.reason_string,
                user_properties: ack.user_properties,
                server_reference: reference.filter(|_| !is_client),
            },
        })
        .boxed()
}

fn auth(sender: Sender) -> impl Strategy<Value = Auth> {
    (reason(PacketType::Auth, sender), text(), option::of(data()), ack_properties()).prop_map(
        |(reason, method, authentication_data, ack)| Auth {
            reason,
            properties: AuthProperties {
                authentication_method: Some(method),
                authentication_data,
                reason_string: ack.reason_string,
                user_properties: ack.user_properties,
            },
        },
    )
}
