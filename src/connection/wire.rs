//! How packets are spelled on one connection: its dialect, its version, its framing.

use std::time::Instant;

use crate::dialect::json;
use crate::dialect::websocket::{self, BINARY, OpCode, TEXT};
use crate::engine::message::Delivery;
use crate::mqtt::codec::{self, PublishHead};
use crate::mqtt::{Packet, PacketId, Version};

use super::Protocol;
use super::outbox::{Outbox, SHARED_BYTES_MIN};

/// The sending half of a dialect. Holds nothing that changes with what is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    protocol: Protocol,
    version: Version,
    maximum_packet_size: usize,
}

/// Why a message was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAppended {
    NoRoom,
    TooLarge,
}

impl Wire {
    pub(super) fn new(protocol: Protocol, version: Version, maximum_packet_size: Option<u32>) -> Self {
        // u32 fits usize on every target that tokio's sockets run on.
        Self { protocol, version, maximum_packet_size: maximum_packet_size.map_or(usize::MAX, |size| size as usize) }
    }

    /// Appends a PUBLISH, unless the outbox has no room for it under `limit` or the client does not take its size.
    pub(super) fn append_publish(
        &self,
        now: Instant,
        delivery: &Delivery<'_>,
        outbox: &mut Outbox,
        limit: usize,
    ) -> Result<(), NotAppended> {
        match self.protocol {
            Protocol::JsonWebSocket => Self::append_json_publish(delivery, outbox, limit),
            Protocol::Mqtt | Protocol::MqttWebSocket => self.append_mqtt_publish(now, delivery, outbox, limit),
        }
    }

    fn append_mqtt_publish(
        &self,
        now: Instant,
        delivery: &Delivery<'_>,
        outbox: &mut Outbox,
        limit: usize,
    ) -> Result<(), NotAppended> {
        let message = delivery.message;
        let payload_len = message.payload().len();
        let head = PublishHead {
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
        let packet_len = head.packet_len(payload_len);
        if packet_len > self.maximum_packet_size {
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
        Ok(())
    }

    fn append_json_publish(delivery: &Delivery<'_>, outbox: &mut Outbox, limit: usize) -> Result<(), NotAppended> {
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
            return Ok(());
        }
        outbox.append_with(websocket::HEADER_BYTES_MAX, |out| websocket::write_header(out, TEXT, text_len));
        outbox.append_shared(shared);
        outbox.append(&tail);
        Ok(())
    }

    /// Appends the PUBREL of an outgoing message. A dialect without the second handshake has none.
    pub(super) fn append_release(&self, packet_id: PacketId, outbox: &mut Outbox) {
        if self.protocol != Protocol::JsonWebSocket {
            let release = crate::mqtt::packet::Ack::new(packet_id, crate::mqtt::ReasonCode::Success);
            self.append_mqtt(&Packet::PubRel(release), outbox);
        }
    }

    /// Appends an answer of the MQTT dialect. One larger than the client takes is left out, as the standard asks
    /// (MQTT 5.0 §3.1.2.11.4).
    pub(super) fn append_mqtt(&self, packet: &Packet<'_>, outbox: &mut Outbox) {
        let mut bytes = Vec::with_capacity(64);
        if let Err(error) = codec::encode(packet, self.version, &mut bytes) {
            // Ours to avoid: the core makes only packets that this version can say.
            tracing::error!(%error, "packet could not be encoded");
            debug_assert!(false, "unencodable packet: {error}");
            return;
        }
        if bytes.is_empty() || bytes.len() > self.maximum_packet_size {
            return;
        }
        outbox.append_with(bytes.len() + websocket::HEADER_BYTES_MAX, |out| {
            self.write_header(bytes.len(), out);
            out.extend_from_slice(&bytes);
        });
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

/// Whole seconds until `at`, at least one: a message whose time is up is not delivered at all.
fn seconds_left(now: Instant, at: Instant) -> u32 {
    let left = at.saturating_duration_since(now);
    u32::try_from(left.as_secs() + u64::from(left.subsec_nanos() > 0)).unwrap_or(u32::MAX).max(1)
}
