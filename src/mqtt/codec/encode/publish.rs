//! PUBLISH where nobody has checked it yet: by way of the hot encoder.

use super::EncodeError;
use crate::mqtt::codec::properties::validate_forwarded;
use crate::mqtt::codec::publish_head::PublishHead;
use crate::mqtt::codec::reader::VBI_MAX;
use crate::mqtt::codec::violation::Violation;
use crate::mqtt::packet::Publish;
use crate::mqtt::{QoS, Version};

pub(super) fn publish(publish: &Publish<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let is_at_most_once = publish.qos == QoS::AtMostOnce;
    if is_at_most_once && publish.dup {
        return Err(Violation::DupAtQoS0.into());
    }
    if !is_at_most_once && publish.packet_id.is_none() {
        return Err(Violation::PacketIdZero.into());
    }
    let properties = &publish.properties;
    if publish.topic.is_none() && (version != Version::V5 || properties.topic_alias.is_none()) {
        return Err(Violation::TopicMissing.into());
    }
    if properties.subscription_identifiers.iter().any(|identifier| identifier.get() > VBI_MAX) {
        return Err(EncodeError::TooLong);
    }
    validate_forwarded(&properties.forwarded)?;
    let head = PublishHead {
        version,
        topic: publish.topic.as_ref().map_or(&[], |topic| topic.as_bytes()),
        qos: publish.qos,
        retain: publish.retain,
        dup: publish.dup,
        packet_id: publish.packet_id.filter(|_| !is_at_most_once),
        topic_alias: properties.topic_alias,
        message_expiry_interval_s: properties.message_expiry_interval_s,
        subscription_identifiers: &properties.subscription_identifiers,
        forwarded: &properties.forwarded,
    };
    let packet_len = head.packet_len(publish.payload.len());
    if packet_len > VBI_MAX as usize {
        return Err(EncodeError::TooLong);
    }
    out.reserve(packet_len);
    head.write(publish.payload.len(), out);
    out.extend_from_slice(&publish.payload);
    Ok(())
}
