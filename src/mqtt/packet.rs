//! MQTT Control Packets (MQTT 5.0 §3), one type for every version and dialect.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::property::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, PublishProperties,
    SubscribeProperties, UserProperties, WillProperties,
};
use super::{PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version};

/// A Control Packet. PUBLISH borrows from the bytes it was decoded from, so that a message costs one copy, not two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Connect(Box<Connect>),
    ConnAck(Box<ConnAck>),
    Publish(Publish<'a>),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe(Subscribe),
    SubAck(SubAck),
    Unsubscribe(Unsubscribe),
    UnsubAck(SubAck),
    PingReq,
    PingResp,
    Disconnect(Disconnect),
    Auth(Auth),
}

impl Packet<'_> {
    /// The same packet, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Packet<'static> {
        match self {
            Self::Publish(publish) => Packet::Publish(publish.into_owned()),
            Self::Connect(connect) => Packet::Connect(connect),
            Self::ConnAck(connack) => Packet::ConnAck(connack),
            Self::PubAck(ack) => Packet::PubAck(ack),
            Self::PubRec(ack) => Packet::PubRec(ack),
            Self::PubRel(ack) => Packet::PubRel(ack),
            Self::PubComp(ack) => Packet::PubComp(ack),
            Self::Subscribe(subscribe) => Packet::Subscribe(subscribe),
            Self::SubAck(suback) => Packet::SubAck(suback),
            Self::Unsubscribe(unsubscribe) => Packet::Unsubscribe(unsubscribe),
            Self::UnsubAck(unsuback) => Packet::UnsubAck(unsuback),
            Self::PingReq => Packet::PingReq,
            Self::PingResp => Packet::PingResp,
            Self::Disconnect(disconnect) => Packet::Disconnect(disconnect),
            Self::Auth(auth) => Packet::Auth(auth),
        }
    }
}

/// A user name and a password of which neither is ever printed in full: `Debug` hides the password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    pub username: Option<Box<str>>,
    /// Binary Data, not text (MQTT 5.0 §3.1.3.6).
    pub password: Option<Bytes>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "(hidden)"))
            .finish()
    }
}

/// MQTT 5.0 §3.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub version: Version,
    /// Whether the version byte had the bridge bit 0x80 set (mosquitto's extension to 3.1 and 3.1.1).
    pub is_bridge: bool,
    /// Clean Start; Clean Session in 3.1 and 3.1.1.
    pub clean_start: bool,
    /// 0 switches Keep Alive off.
    pub keep_alive_s: u16,
    /// May be empty: the server then assigns one, or refuses.
    pub client_id: Box<str>,
    pub login: Login,
    pub will: Option<Will>,
    pub properties: ConnectProperties,
}

/// MQTT 5.0 §3.1.2.5, §3.1.3.2 to §3.1.3.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    pub topic: TopicName<'static>,
    pub payload: Bytes,
    pub qos: QoS,
    pub retain: bool,
    pub properties: WillProperties,
}

/// MQTT 5.0 §3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Always false unless `reason` is success.
    pub session_present: bool,
    /// In 3.1 and 3.1.1 sent as the nearest CONNACK return code, see [`ReasonCode::connack_return_code`].
    pub reason: ReasonCode,
    pub properties: ConnAckProperties,
}

/// MQTT 5.0 §3.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    /// `None`: the topic is the one that the Topic Alias stands for (5.0 only).
    pub topic: Option<TopicName<'a>>,
    /// Present for QoS 1 and 2. At QoS 0 no MQTT packet has one; the JSON dialect sets it where an answer is wanted.
    pub packet_id: Option<PacketId>,
    pub properties: PublishProperties<'a>,
    pub payload: Cow<'a, [u8]>,
}

impl Publish<'_> {
    /// The same packet, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Publish<'static> {
        Publish {
            topic: self.topic.map(TopicName::into_owned),
            properties: self.properties.into_owned(),
            payload: Cow::Owned(self.payload.into_owned()),
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            packet_id: self.packet_id,
        }
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (MQTT 5.0 §3.4 to §3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub packet_id: PacketId,
    /// Not on the wire in 3.1 and 3.1.1, where it decodes as success.
    pub reason: ReasonCode,
    pub properties: Option<Box<AckProperties>>,
}

impl Ack {
    #[must_use]
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, properties: None }
    }
}

/// MQTT 5.0 §3.8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    pub packet_id: PacketId,
    pub properties: SubscribeProperties,
    /// Never empty; in the order of the packet, which is the order of the SUBACK.
    pub filters: Vec<(TopicFilter, SubscribeOptions)>,
}

/// MQTT 5.0 §3.8.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    pub maximum_qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent for a new Subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Always = 0,
    /// Only if the Subscription did not exist before.
    IfNew = 1,
    Never = 2,
}

/// SUBACK or UNSUBACK (MQTT 5.0 §3.9, §3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    pub packet_id: PacketId,
    pub properties: AckProperties,
    /// One a filter, in order. A 3.1.1 UNSUBACK sends none.
    pub reasons: Vec<ReasonCode>,
}

/// MQTT 5.0 §3.10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    pub packet_id: PacketId,
    pub user_properties: UserProperties,
    /// Never empty.
    pub filters: Vec<TopicFilter>,
}

/// MQTT 5.0 §3.14.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Not on the wire in 3.1 and 3.1.1, where it decodes as normal disconnection.
    pub reason: ReasonCode,
    pub properties: DisconnectProperties,
}

/// MQTT 5.0 §3.15.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    pub reason: ReasonCode,
    pub properties: AuthProperties,
}
