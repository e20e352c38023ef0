//! Acknowledgements, DISCONNECT and AUTH (MQTT 5.0 §3.4 to §3.7, §3.9, §3.11, §3.14, §3.15).

use super::{EncodeError, fields, whole};
use crate::mqtt::codec::frame::PacketType;
use crate::mqtt::codec::section::id;
use crate::mqtt::codec::violation::Violation;
use crate::mqtt::codec::{Sender, mqttbytes_bridge, reason_codes};
use crate::mqtt::packet::{Ack, Auth, Disconnect, SubAck};
use crate::mqtt::property::{AckProperties, AuthProperties, DisconnectProperties};
use crate::mqtt::{ReasonCode, Version};

/// PUBACK, PUBREC, PUBREL and PUBCOMP; without anything to say beyond success they are four bytes and on the hot path.
pub(super) fn ack(packet_type: PacketType, ack: &Ack, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let properties = ack.properties.as_deref().filter(|properties| **properties != AckProperties::default());
    if version != Version::V5 || (ack.reason == ReasonCode::Success && properties.is_none()) {
        let [high, low] = ack.packet_id.get().to_be_bytes();
        out.extend_from_slice(&[packet_type.first_byte(), 2, high, low]);
        return Ok(());
    }
    check_reason(packet_type, ack.reason)?;
    whole(packet_type, out, |out| {
        fields::u16(out, ack.packet_id.get());
        out.push(ack.reason as u8);
        match properties {
            None => Ok(()),
            Some(properties) => fields::with_length(out, |out| fields::ack_properties(out, properties)),
        }
    })
}

pub(super) fn suback(suback: &SubAck, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if suback.reasons.is_empty() {
        return Err(Violation::NoReasonCode.into());
    }
    for &reason in &suback.reasons {
        check_reason(PacketType::SubAck, reason)?;
    }
    match version {
        Version::V3 | Version::V4 => whole(PacketType::SubAck, out, |out| {
            fields::u16(out, suback.packet_id.get());
            out.extend(suback.reasons.iter().map(|reason| return_code(*reason)));
            Ok(())
        }),
        Version::V5 => acknowledged_filters(PacketType::SubAck, suback, out),
    }
}

/// 3.1.1 knows the QoS that is granted and one failure (MQTT 3.1.1 §3.9.3).
fn return_code(reason: ReasonCode) -> u8 {
    match reason {
        ReasonCode::Success | ReasonCode::GrantedQoS1 | ReasonCode::GrantedQoS2 => reason as u8,
        _ => 0x80,
    }
}

pub(super) fn unsuback(unsuback: &SubAck, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if version != Version::V5 {
        return mqttbytes_bridge::write_unsuback_v4(unsuback, out);
    }
    if unsuback.reasons.is_empty() {
        return Err(Violation::NoReasonCode.into());
    }
    for &reason in &unsuback.reasons {
        check_reason(PacketType::UnsubAck, reason)?;
    }
    acknowledged_filters(PacketType::UnsubAck, unsuback, out)
}

fn acknowledged_filters(packet_type: PacketType, packet: &SubAck, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    whole(packet_type, out, |out| {
        fields::u16(out, packet.packet_id.get());
        fields::with_length(out, |out| fields::ack_properties(out, &packet.properties))?;
        out.extend(packet.reasons.iter().map(|&reason| reason as u8));
        Ok(())
    })
}

pub(super) fn disconnect(disconnect: &Disconnect, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if version != Version::V5 {
        return whole(PacketType::Disconnect, out, |_| Ok(()));
    }
    let properties = &disconnect.properties;
    // Two properties show which side this packet is from; its Reason Code has to be one of that side's.
    let senders: &[Sender] = match (properties.session_expiry_interval_s, &properties.server_reference) {
        (None, None) => &[Sender::Client, Sender::Server],
        (Some(_), None) => &[Sender::Client],
        (None, Some(_)) => &[Sender::Server],
        (Some(_), Some(_)) => return Err(Violation::SessionExpiryFromServer.into()),
    };
    check_reason_of(PacketType::Disconnect, senders, disconnect.reason)?;
    let has_properties = *properties != DisconnectProperties::default();
    whole(PacketType::Disconnect, out, |out| {
        if has_properties || disconnect.reason != ReasonCode::Success {
            out.push(disconnect.reason as u8);
        }
        if !has_properties {
            return Ok(());
        }
        fields::with_length(out, |out| {
            fields::u32_property(out, id::SESSION_EXPIRY_INTERVAL, properties.session_expiry_interval_s);
            fields::string_property(out, id::REASON_STRING, properties.reason_string.as_deref())?;
            fields::user_properties(out, &properties.user_properties)?;
            fields::string_property(out, id::SERVER_REFERENCE, properties.server_reference.as_deref())
        })
    })
}

pub(super) fn auth(auth: &Auth, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if version != Version::V5 {
        return Err(EncodeError::NotInVersion { packet_type: PacketType::Auth, version });
    }
    check_reason(PacketType::Auth, auth.reason)?;
    let properties = &auth.properties;
    let has_properties = *properties != AuthProperties::default();
    let is_short = auth.reason == ReasonCode::Success && !has_properties;
    if !is_short && properties.authentication_method.is_none() {
        return Err(Violation::AuthenticationMethodMissing.into());
    }
    whole(PacketType::Auth, out, |out| {
        if is_short {
            return Ok(());
        }
        out.push(auth.reason as u8);
        fields::with_length(out, |out| {
            fields::string_property(out, id::AUTHENTICATION_METHOD, properties.authentication_method.as_deref())?;
            fields::binary_property(out, id::AUTHENTICATION_DATA, properties.authentication_data.as_deref())?;
            fields::string_property(out, id::REASON_STRING, properties.reason_string.as_deref())?;
            fields::user_properties(out, &properties.user_properties)
        })
    })
}

/// Refuses a `reason` that neither side may send in such a packet.
pub(super) fn check_reason(packet_type: PacketType, reason: ReasonCode) -> Result<(), EncodeError> {
    check_reason_of(packet_type, &[Sender::Client, Sender::Server], reason)
}

fn check_reason_of(packet_type: PacketType, senders: &[Sender], reason: ReasonCode) -> Result<(), EncodeError> {
    let is_allowed = senders.iter().any(|&sender| reason_codes::is_allowed(packet_type, sender, reason));
    if is_allowed { Ok(()) } else { Err(Violation::ReasonCodeNotAllowed.into()) }
}
