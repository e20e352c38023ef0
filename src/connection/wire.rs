//! How packets are spelled on one connection: its dialect, its version, its framing.

use std::time::{Duration, Instant};

use crate::dialect::json;
use crate::dialect::websocket::{self, BINARY, OpCode, TEXT};
use crate::engine::message::Delivery;
use crate::mqtt::codec::{self, PublishHead};
use crate::mqtt::packet::{Ack, Connect};
use crate::mqtt::{Packet, PacketId, ReasonCode, TopicFilter, Version};

use super::Protocol;
use super::aliases::{Aliases, Choice, What};
use super::outbox::{Outbox, SHARED_BYTES_MIN};

/// The sending half of a dialect.
#[derive(Debug)]
pub(super) struct Wire {
    protocol: Protocol,
    version: Version,
    /// 0: the client takes no Topic Alias, or none are to be set.
    topic_alias_maximum: u16,
    /// `u32::MAX`: any.
    maximum_packet_size: u32,
    /// Absent until a message is sent under one.
    aliases: Option<Box<Aliases>>,
}

/// How a message was appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Appended {
    /// Every alias was taken, so that one stands for another topic now.
    pub(super) is_alias_remapped: bool,
}

/// Why a message was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAppended {
    NoRoom,
    TooLarge,
}

impl Wire {
    /// The wire to whoever has not said yet what it takes.
    pub(super) fn new(protocol: Protocol, version: Version) -> Self {
        Self { protocol, version, topic_alias_maximum: 0, maximum_packet_size: u32::MAX, aliases: None }
    }

    /// The wire to a client that sent `connect`, with at most `aliases_max` Topic Aliases.
    pub(super) fn of_connect(protocol: Protocol, connect: &Connect, aliases_max: u16) -> Self {
        let properties = &connect.properties;
        Self {
            // MQTT 5.0 [MQTT-3.1.2-26], [MQTT-3.1.2-27]: none above the client's maximum, and none if it names no maximum.
            topic_alias_maximum: properties.topic_alias_maximum.unwrap_or(0).min(aliases_max),
            maximum_packet_size: properties.maximum_packet_size.map_or(u32::MAX, Into::into),
            ..Self::new(protocol, connect.version)
        }
    }

    /// Appends a PUBLISH, unless the outbox has no room for it under `limit` or the client does not take its size.
    pub(super) fn append_publish(
        &mut self,
        now: Instant,
        delivery: &Delivery<'_>,
        outbox: &mut Outbox,
        limit: usize,
    ) -> Result<Appended, NotAppended> {
        match self.protocol {
            Protocol::JsonWebSocket => Self::append_json_publish(delivery, outbox, limit),
            Protocol::Mqtt | Protocol::MqttWebSocket => self.append_mqtt_publish(now, delivery, outbox, limit),
        }
    }

    fn append_mqtt_publish(
        &mut self,
        now: Instant,
        delivery: &Delivery<'_>,
        outbox: &mut Outbox,
        limit: usize,
    ) -> Result<Appended, NotAppended> {
        let message = delivery.message;
        let payload_len = message.payload().len();
        let mut head = PublishHead {
            version: self.version,
            topic: message.topic_bytes(),
            qos: delivery.qos,
            retain: delivery.retain,
            dup: delivery.dup,
            packet_id: delivery.packet_id,
            topic_alias: None,
            message_expiry_interval_s: message.expires_at.map(|at| seconds_left(now, at)),
            subscription_identifiers: delivery.subscription_identifiers,
            forwarded: message.properties(),
        };
        let choice = match self.topic_alias_maximum {
            0 => None,
            maximum => self.choose_alias(&mut head, payload_len, maximum),
        };
        let packet_len = head.packet_len(payload_len);
        if !self.takes(packet_len) {
            return Err(NotAppended::TooLarge);
        }
        let frame_len = self.header_len(packet_len) + packet_len;
        if !outbox.has_room(frame_len, limit) {
            return Err(NotAppended::NoRoom);
        }
        let is_shared = payload_len >= SHARED_BYTES_MIN;
        outbox.append_with(if is_shared { frame_len - payload_len } else { frame_len }, |out| {
            self.write_header(packet_len, out);
            head.write(payload_len, out);
            if !is_shared {
                out.extend_from_slice(message.payload());
            }
        });
        if is_shared {
            outbox.append_shared(message.payload_shared());
        }
        let Some(choice) = choice else { return Ok(Appended::default()) };
        if let Some(aliases) = &mut self.aliases {
            aliases.commit(choice, message.topic_bytes());
        }
        Ok(Appended { is_alias_remapped: choice.what == What::Remapped })
    }

    /// Spells the topic of `head` by an alias, unless the client does not take the three bytes more that naming one takes.
    fn choose_alias(&mut self, head: &mut PublishHead<'_>, payload_len: usize, maximum: u16) -> Option<Choice> {
        let topic = head.topic;
        let choice = self.aliases.get_or_insert_default().choose(topic, maximum)?;
        head.topic_alias = Some(choice.alias);
        if choice.what == What::Known {
            head.topic = &[];
        } else if !self.takes(head.packet_len(payload_len)) {
            head.topic_alias = None;
            return None;
        }
        Some(choice)
    }

    /// Whether the client takes a packet of that size.
    fn takes(&self, packet_len: usize) -> bool {
        // u32 fits usize on every target that tokio's sockets run on.
        packet_len <= self.maximum_packet_size as usize
    }

    fn append_json_publish(
        delivery: &Delivery<'_>,
        outbox: &mut Outbox,
        limit: usize,
    ) -> Result<Appended, NotAppended> {
        let text = delivery.message.shared_frame(json::publish_text);
        // All but the closing brace is the same for everybody.
        let shared = text.slice(..text.len().saturating_sub(1));
        let tail = json::delivery_tail(delivery.qos, delivery.packet_id);
        let text_len = shared.len() + tail.len();
        let frame_len = websocket::header_len(text_len) + text_len;
        if !outbox.has_room(frame_len, limit) {
            return Err(NotAppended::NoRoom);
        }
        if shared.len() < SHARED_BYTES_MIN {
            outbox.append_with(frame_len, |out| websocket::write_frame(out, TEXT, &[&shared, &tail]));
            return Ok(Appended::default());
        }
        outbox.append_with(websocket::HEADER_BYTES_MAX, |out| websocket::write_header(out, TEXT, text_len));
        outbox.append_shared(shared);
        outbox.append(&tail);
        Ok(Appended::default())
    }

    /// Appends the PUBREL of an outgoing message. Says whether there is one: a dialect without the second handshake has none.
    pub(super) fn append_release(&self, packet_id: PacketId, outbox: &mut Outbox) -> bool {
        if self.protocol == Protocol::JsonWebSocket {
            return false;
        }
        let release = Packet::PubRel(Ack::new(packet_id, ReasonCode::Success));
        // Its four bytes are fewer than those of a CONNACK, without which nobody is let in.
        let appended = self.append_mqtt(&release, outbox);
        debug_assert_eq!(appended, Ok(()));
        true
    }

    /// Appends that the Subscription with `filter` is gone. Says whether the dialect has words for it.
    pub(super) fn append_revoked(&self, filter: &TopicFilter, outbox: &mut Outbox) -> bool {
        let is_json = self.protocol == Protocol::JsonWebSocket;
        if is_json {
            Self::append_text(&json::revoked(filter.as_str()), outbox);
        }
        is_json
    }

    /// Whether a server can say in this version why it closes.
    pub(super) fn has_disconnect(&self) -> bool {
        self.version == Version::V5
    }

    /// Appends an answer of the MQTT dialect, spelled in place.
    ///
    /// A Reason String and User Properties that would make it larger than the client takes are left out (MQTT 5.0 [MQTT-3.2.2-19],
    /// [MQTT-3.4.2-2] and their like).
    ///
    /// # Errors
    /// It is too large even so, and must not be sent (MQTT 5.0 [MQTT-3.1.2-24]).
    pub(super) fn append_mqtt(&self, packet: &Packet<'_>, outbox: &mut Outbox) -> Result<(), NotAppended> {
        let mut appended = Ok(());
        outbox.append_with(ANSWER_BYTES, |out| {
            appended = self.write_mqtt(packet, out);
            if appended.is_err()
                && let Some(packet) = without_problem_information(packet)
            {
                appended = self.write_mqtt(&packet, out);
            }
        });
        appended
    }

    /// Appends the frame of `packet` to `out`, or leaves `out` as it is.
    fn write_mqtt(&self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), NotAppended> {
        let start = out.len();
        if let Err(error) = codec::encode(packet, self.version, out) {
            // Ours to avoid: the core makes only packets that this version can say.
            tracing::error!(%error, "packet could not be encoded");
            debug_assert!(false, "unencodable packet: {error}");
            return Ok(());
        }
        let packet_len = out.len() - start;
        if !self.takes(packet_len) {
            out.truncate(start);
            return Err(NotAppended::TooLarge);
        }
        // How long the header of a frame is shows only now; answers are short, so that moving one is cheap.
        self.write_header(packet_len, out);
        out[start..].rotate_left(packet_len);
        Ok(())
    }

    /// Appends the warning that the client's token is valid for no longer than `left`. MQTT has no packet for it.
    pub(super) fn append_expiring(&self, left: Duration, outbox: &mut Outbox) {
        if self.protocol == Protocol::JsonWebSocket {
            Self::append_text(&json::token_expiring(left), outbox);
        }
    }

    /// Appends a text message.
    pub(super) fn append_text(text: &[u8], outbox: &mut Outbox) {
        outbox.append_with(text.len() + websocket::HEADER_BYTES_MAX, |out| websocket::write_frame(out, TEXT, &[text]));
    }

    fn header_len(&self, packet_len: usize) -> usize {
        match self.opcode() {
            Some(_) => websocket::header_len(packet_len),
            None => 0,
        }
    }

    fn write_header(&self, packet_len: usize, out: &mut Vec<u8>) {
        if let Some(opcode) = self.opcode() {
            websocket::write_header(out, opcode, packet_len);
        }
    }

    fn opcode(&self) -> Option<OpCode> {
        match self.protocol {
            Protocol::Mqtt => None,
            Protocol::MqttWebSocket => Some(BINARY),
            Protocol::JsonWebSocket => Some(TEXT),
        }
    }
}

/// What most answers have room in.
const ANSWER_BYTES: usize = 16;

/// `packet` without its Reason String and User Properties; `None` if it has neither.
fn without_problem_information(packet: &Packet<'_>) -> Option<Packet<'static>> {
    let mut packet = packet.clone().into_owned();
    let (reason_string, user_properties) = match &mut packet {
        Packet::ConnAck(connack) => (&mut connack.properties.reason_string, &mut connack.properties.user_properties),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            let properties = ack.properties.as_deref_mut()?;
            (&mut properties.reason_string, &mut properties.user_properties)
        }
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => {
            (&mut ack.properties.reason_string, &mut ack.properties.user_properties)
        }
        Packet::Disconnect(disconnect) => {
            (&mut disconnect.properties.reason_string, &mut disconnect.properties.user_properties)
        }
        Packet::Auth(auth) => (&mut auth.properties.reason_string, &mut auth.properties.user_properties),
        _ => return None,
    };
    if reason_string.is_none() && user_properties.is_empty() {
        return None;
    }
    *reason_string = None;
    user_properties.clear();
    Some(packet)
}

/// Whole seconds until `at`, at least one: a message whose time is up is not delivered at all.
fn seconds_left(now: Instant, at: Instant) -> u32 {
    let left = at.saturating_duration_since(now);
    u32::try_from(left.as_secs() + u64::from(left.subsec_nanos() > 0)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::Message;
    use crate::mqtt::codec::{Decoder, Limits, Sender};
    use crate::mqtt::packet::{Login, Publish, SubAck};
    use crate::mqtt::property::{AckProperties, ConnectProperties};
    use crate::mqtt::{QoS, TopicName};

    fn wire(properties: ConnectProperties) -> Wire {
        let connect = Connect {
            version: Version::V5,
            is_bridge: false,
            clean_start: true,
            keep_alive_s: 0,
            client_id: "c".into(),
            login: Login::default(),
            will: None,
            properties,
        };
        Wire::of_connect(Protocol::Mqtt, &connect, 2)
    }

    fn wire_with_aliases(maximum: u16) -> Wire {
        wire(ConnectProperties { topic_alias_maximum: Some(maximum), ..Default::default() })
    }

    fn delivery_of(message: &Arc<Message>) -> Delivery<'_> {
        Delivery {
            message,
            qos: QoS::AtMostOnce,
            retain: false,
            dup: false,
            packet_id: None,
            subscription_identifiers: &[],
        }
    }

    /// Appends a PUBLISH about `topic` to an outbox that has `limit` bytes and no place for a lone frame.
    fn append(wire: &mut Wire, topic: &str, payload: &[u8], limit: usize) -> Result<Publish<'static>, NotAppended> {
        let topic = TopicName::parse(topic).unwrap();
        let message = Arc::new(Message::new(&topic, &[], payload, QoS::AtMostOnce, false));
        let mut outbox = Outbox::default();
        outbox.append(b"x");
        wire.append_publish(Instant::now(), &delivery_of(&message), &mut outbox, limit)?;
        outbox.consume(1);
        let bytes = outbox.front().to_vec();
        let decoder = Decoder::with_version(Sender::Server, Limits::default(), Version::V5);
        match decoder.clone().decode(&bytes) {
            Ok(Some((Packet::Publish(publish), len))) if len == bytes.len() => Ok(publish.into_owned()),
            other => panic!("{other:?}"),
        }
    }

    /// The alias and the topic on the wire.
    fn spelled(publish: Publish<'_>) -> (u16, String) {
        let topic = publish.topic.map(|topic| topic.as_str().to_owned()).unwrap_or_default();
        (publish.properties.topic_alias.map_or(0, Into::into), topic)
    }

    const ROOM: usize = 1 << 20;

    #[test]
    fn a_topic_is_sent_once_and_named_from_then_on() {
        let mut wire = wire_with_aliases(10);
        let mut send = |topic: &str| spelled(append(&mut wire, topic, b"x", ROOM).unwrap());
        let seen = ["one", "one", "two", "one", "three", "two"].map(&mut send);
        let expected = [(1, "one"), (1, ""), (2, "two"), (1, ""), (2, "three"), (1, "two")];
        assert_eq!(seen, expected.map(|(alias, topic)| (alias, topic.to_owned())), "two at the most, by configuration");
    }

    #[test]
    fn the_clients_maximum_counts_as_well_and_none_means_none() {
        let mut one = wire_with_aliases(1);
        let seen = ["a", "b", "b"].map(|topic| spelled(append(&mut one, topic, b"", ROOM).unwrap()));
        assert_eq!(seen, [(1, "a"), (1, "b"), (1, "")].map(|(alias, topic)| (alias, topic.to_owned())));
        for mut wire in [wire_with_aliases(0), wire(ConnectProperties::default())] {
            let seen = ["a", "a"].map(|topic| spelled(append(&mut wire, topic, b"", ROOM).unwrap()));
            assert_eq!(seen, [(0, "a".to_owned()), (0, "a".to_owned())]);
            assert!(wire.aliases.is_none(), "whoever takes no alias pays for none");
        }
    }

    #[test]
    fn an_outbox_without_room_maps_nothing() {
        let mut wire = wire_with_aliases(1);
        assert_eq!(append(&mut wire, "full", b"x", 3), Err(NotAppended::NoRoom));
        assert_eq!(spelled(append(&mut wire, "full", b"x", ROOM).unwrap()), (1, "full".to_owned()));
        assert_eq!(append(&mut wire, "other", b"x", 3), Err(NotAppended::NoRoom));
        assert_eq!(spelled(append(&mut wire, "full", b"x", ROOM).unwrap()), (1, String::new()));
    }

    /// A QoS 0 PUBLISH about `topic` has 5 bytes beside topic and payload; naming an alias takes 3 more.
    #[test]
    fn the_maximum_packet_size_counts_what_is_really_sent() {
        let properties = ConnectProperties {
            topic_alias_maximum: Some(9),
            maximum_packet_size: std::num::NonZeroU32::new(20),
            ..Default::default()
        };
        let mut wire = wire(properties);
        // 5 + 5 + 10 = 20: there is no room to name an alias, so the topic goes alone.
        assert_eq!(spelled(append(&mut wire, "topic", &[0; 10], ROOM).unwrap()), (0, "topic".to_owned()));
        assert_eq!(append(&mut wire, "topic", &[0; 11], ROOM), Err(NotAppended::TooLarge));
        // 5 + 3 + 5 + 7 = 20: here it is named, and from then on 12 bytes of payload fit, which did not before.
        assert_eq!(spelled(append(&mut wire, "topic", &[0; 7], ROOM).unwrap()), (1, "topic".to_owned()));
        assert_eq!(spelled(append(&mut wire, "topic", &[0; 12], ROOM).unwrap()), (1, String::new()));
        assert_eq!(append(&mut wire, "topic", &[0; 13], ROOM), Err(NotAppended::TooLarge));
    }

    fn bytes_of(wire: &Wire, packet: &Packet<'_>) -> Result<Vec<u8>, NotAppended> {
        let mut outbox = Outbox::default();
        outbox.append(b"before");
        let appended = wire.append_mqtt(packet, &mut outbox);
        assert_eq!(&outbox.front()[..6], b"before");
        assert!(appended.is_ok() || outbox.len() == 6, "nothing of what is not sent");
        appended.map(|()| outbox.front()[6..].to_vec())
    }

    #[test]
    fn an_answer_that_would_be_too_large_leaves_its_words_out() {
        let properties = AckProperties { reason_string: Some("why".into()), ..Default::default() };
        let ack = Ack {
            packet_id: PacketId::MIN,
            reason: ReasonCode::NotAuthorized,
            properties: Some(Box::new(properties.clone())),
        };
        let suback = SubAck { packet_id: PacketId::MIN, properties, reasons: vec![ReasonCode::NotAuthorized] };
        let with_words = [0x40, 10, 0, 1, 0x87, 6, 0x1F, 0, 3, b'w', b'h', b'y'];
        let cases: [(Packet<'_>, u32, Option<&[u8]>); 6] = [
            (Packet::PubAck(ack.clone()), 12, Some(&with_words)),
            (Packet::PubAck(ack.clone()), 11, Some(&[0x40, 3, 0, 1, 0x87])),
            (Packet::PubAck(ack), 4, None),
            (Packet::SubAck(suback.clone()), 11, Some(&[0x90, 4, 0, 1, 0, 0x87])),
            (Packet::SubAck(suback), 5, None),
            (Packet::PingResp, 1, None),
        ];
        for (packet, maximum_packet_size, expected) in cases {
            let maximum_packet_size = std::num::NonZeroU32::new(maximum_packet_size);
            let wire = wire(ConnectProperties { maximum_packet_size, ..Default::default() });
            let expected = expected.map(<[u8]>::to_vec).ok_or(NotAppended::TooLarge);
            assert_eq!(bytes_of(&wire, &packet), expected, "{packet:?}");
        }
    }

    #[test]
    fn an_answer_is_framed_however_long_it_is() {
        let wire = Wire::new(Protocol::MqttWebSocket, Version::V5);
        for count in [1, 100, 130, 70_000] {
            let reasons = vec![ReasonCode::Success; count];
            let packet = Packet::SubAck(SubAck { packet_id: PacketId::MIN, properties: Default::default(), reasons });
            let mut spelled = Vec::new();
            codec::encode(&packet, Version::V5, &mut spelled).unwrap();
            let mut framed = Vec::new();
            websocket::write_frame(&mut framed, BINARY, &[&spelled]);
            assert!(bytes_of(&wire, &packet).unwrap() == framed, "{count}");
        }
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let topic = TopicName::parse("t").unwrap();
        let message = Arc::new(Message::new(&topic, &[], &vec![0; 1 << 20], QoS::AtMostOnce, false));
        let mut outbox = Outbox::default();
        Wire::new(Protocol::Mqtt, Version::V5)
            .append_publish(Instant::now(), &delivery_of(&message), &mut outbox, ROOM)
            .unwrap();
        let head_len = outbox.front().len();
        assert!(head_len < 16, "the payload is a segment of its own");
        outbox.consume(head_len);
        assert_eq!(outbox.front().as_ptr(), message.payload().as_ptr());
    }

    proptest::proptest! {
        /// Whatever is sent and whatever finds no room: a client that keeps to the standard always knows which topic is meant.
        #[test]
        fn a_client_always_knows_which_topic_is_meant(
            maximum in 1_u16..4,
            sent in proptest::collection::vec((0_u8..6, 0_usize..30, proptest::bool::weighted(0.8)), 1..60),
        ) {
            let mut wire = wire(ConnectProperties {
                topic_alias_maximum: Some(maximum),
                maximum_packet_size: std::num::NonZeroU32::new(40),
                ..Default::default()
            });
            let mut topic_by_alias = std::collections::BTreeMap::new();
            for (topic, payload_len, has_room) in sent {
                let topic = format!("topic/{topic}");
                let appended = append(&mut wire, &topic, &vec![0; payload_len], if has_room { ROOM } else { 1 });
                // With its topic and no alias it has 5 bytes beside topic and payload.
                let fits_in_full = 5 + topic.len() + payload_len <= 40;
                let Ok(publish) = appended else {
                    proptest::prop_assert!(!has_room || !fits_in_full);
                    continue;
                };
                let (alias, spelled) = spelled(publish);
                proptest::prop_assert!(alias <= maximum.min(2));
                if !spelled.is_empty() && alias > 0 {
                    topic_by_alias.insert(alias, spelled.clone());
                }
                let meant = if spelled.is_empty() { topic_by_alias.get(&alias) } else { Some(&spelled) };
                proptest::prop_assert_eq!(meant, Some(&topic));
            }
        }
    }

    #[test]
    fn a_wire_is_as_small_as_it_can_be() {
        assert!(size_of::<Wire>() <= 16, "one for each connection, idle ones included");
    }
}
