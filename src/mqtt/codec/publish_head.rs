//! The head of a PUBLISH: what differs between its receivers. The payload is appended by whoever holds it.

use std::num::{NonZeroU16, NonZeroU32};

use super::encode::fields;
use super::frame::PacketType;
use super::section::id;
use crate::mqtt::{PacketId, QoS, Version};

/// All of a PUBLISH but its payload (MQTT 5.0 §3.3): the hot encoder, which copies once and checks nothing.
///
/// The caller holds to: a `packet_id` for QoS 1 and 2 and none for QoS 0; no `dup` at QoS 0; a `topic` that was a
/// [`TopicName`](crate::mqtt::TopicName), or empty beside a `topic_alias`; `forwarded` properties from a decoder or
/// builder. Everything that 3.1 and 3.1.1 do not have is left out for them.
#[derive(Clone, Copy, Debug)]
pub struct PublishHead<'a> {
    pub version: Version,
    pub topic: &'a [u8],
    pub qos: QoS,
    pub retain: bool,
    pub dup: bool,
    pub packet_id: Option<PacketId>,
    pub topic_alias: Option<NonZeroU16>,
    pub message_expiry_interval_s: Option<u32>,
    /// Each at most 268,435,455.
    pub subscription_identifiers: &'a [NonZeroU32],
    /// [`ForwardedProperties`](crate::mqtt::property::ForwardedProperties).
    pub forwarded: &'a [u8],
}

impl PublishHead<'_> {
    /// Bytes of the whole packet with a payload of `payload_len` bytes.
    #[must_use]
    #[inline]
    pub fn packet_len(&self, payload_len: usize) -> usize {
        let remaining = self.remaining_len(self.properties_len(), payload_len);
        1 + fields::vbi_len(remaining) + remaining
    }

    /// Appends the head of a packet with a payload of `payload_len` bytes, which the caller appends next.
    #[inline]
    pub fn write(&self, payload_len: usize, out: &mut Vec<u8>) {
        let properties_len = self.properties_len();
        let remaining = self.remaining_len(properties_len, payload_len);
        // The payload may never be appended here: a large one is shared between receivers.
        out.reserve(5 + remaining - payload_len);
        let flags = u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain);
        out.push(PacketType::Publish.first_byte() | flags);
        fields::vbi(out, remaining);
        // A Topic Name has at most 65,535 bytes.
        out.extend_from_slice(&(self.topic.len() as u16).to_be_bytes());
        out.extend_from_slice(self.topic);
        if let Some(packet_id) = self.packet_id {
            out.extend_from_slice(&packet_id.get().to_be_bytes());
        }
        if self.version == Version::V5 {
            fields::vbi(out, properties_len);
            if properties_len > 0 {
                self.write_properties(out);
            }
        }
    }

    fn write_properties(&self, out: &mut Vec<u8>) {
        if let Some(alias) = self.topic_alias {
            out.push(id::TOPIC_ALIAS);
            out.extend_from_slice(&alias.get().to_be_bytes());
        }
        if let Some(seconds) = self.message_expiry_interval_s {
            out.push(id::MESSAGE_EXPIRY_INTERVAL);
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        for identifier in self.subscription_identifiers {
            out.push(id::SUBSCRIPTION_IDENTIFIER);
            fields::vbi(out, identifier.get() as usize);
        }
        out.extend_from_slice(self.forwarded);
    }

    #[inline]
    fn remaining_len(&self, properties_len: usize, payload_len: usize) -> usize {
        let packet_id_len = if self.packet_id.is_some() { 2 } else { 0 };
        let section_len =
            if self.version == Version::V5 { fields::vbi_len(properties_len) + properties_len } else { 0 };
        2 + self.topic.len() + packet_id_len + section_len + payload_len
    }

    #[inline]
    fn properties_len(&self) -> usize {
        if self.version != Version::V5 {
            return 0;
        }
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let expiry = if self.message_expiry_interval_s.is_some() { 5 } else { 0 };
        let identifiers: usize =
            self.subscription_identifiers.iter().map(|identifier| 1 + fields::vbi_len(identifier.get() as usize)).sum();
        alias + expiry + identifiers + self.forwarded.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_takes_no_room_for_its_payload() {
        let head = PublishHead {
            version: Version::V5,
            topic: b"t",
            qos: QoS::AtMostOnce,
            retain: false,
            dup: false,
            packet_id: None,
            topic_alias: None,
            message_expiry_interval_s: None,
            subscription_identifiers: &[],
            forwarded: &[],
        };
        let mut out = Vec::new();
        head.write(1 << 20, &mut out);
        assert_eq!(out.len(), 8);
        assert!(out.capacity() < 64, "{}", out.capacity());
    }
}
