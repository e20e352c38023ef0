//! CONNACK (MQTT 5.0 §3.2): what an uplink reads.

use super::Rules;
use crate::mqtt::codec::reader::Reader;
use crate::mqtt::codec::section::{Section, id};
use crate::mqtt::codec::{PacketType, Violation, reason_codes};
use crate::mqtt::packet::ConnAck;
use crate::mqtt::property::ConnAckProperties;
use crate::mqtt::{ReasonCode, Version};

pub(super) fn connack(body: &[u8], rules: &Rules<'_>) -> Result<ConnAck, Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let flags = reader.u8()?;
    let code = reader.u8()?;
    // In 3.1 the whole byte is reserved and "not used" (MQTT 3.1 §3.2).
    let flags = if rules.version == Version::V3 { 0 } else { flags };
    if flags > 1 {
        return Err(Violation::ConnAckReservedFlags);
    }
    let session_present = flags == 1;
    let (reason, properties) = if rules.is_v5() {
        (reason_codes::read(PacketType::ConnAck, rules.sender, code)?, connack_properties(&mut reader, rules)?)
    } else {
        (reason_of_return_code(code)?, ConnAckProperties::default())
    };
    reader.finish()?;
    if session_present && reason != ReasonCode::Success {
        return Err(Violation::SessionPresentOnFailure);
    }
    Ok(ConnAck { session_present, reason, properties })
}

/// MQTT 3.1.1 §3.2.2.3.
fn reason_of_return_code(code: u8) -> Result<ReasonCode, Violation> {
    match code {
        0 => Ok(ReasonCode::Success),
        1 => Ok(ReasonCode::UnsupportedProtocolVersion),
        2 => Ok(ReasonCode::ClientIdentifierNotValid),
        3 => Ok(ReasonCode::ServerUnavailable),
        4 => Ok(ReasonCode::BadUserNameOrPassword),
        5 => Ok(ReasonCode::NotAuthorized),
        _ => Err(Violation::ReasonCodeNotAllowed),
    }
}

fn connack_properties(packet: &mut Reader<'_>, rules: &Rules<'_>) -> Result<ConnAckProperties, Violation> {
    let mut section = Section::of_packet(packet, rules.limits.user_properties_max)?;
    let mut properties = ConnAckProperties::default();
    while let Some(id) = section.next_id()? {
        match id {
            id::SESSION_EXPIRY_INTERVAL => properties.session_expiry_interval_s = Some(section.u32()?),
            id::RECEIVE_MAXIMUM => properties.receive_maximum = Some(section.receive_maximum()?),
            id::MAXIMUM_QOS => {
                let is_one = section.boolean().map_err(|violation| match violation {
                    Violation::NotABoolean => Violation::MaximumQoSInvalid,
                    other => other,
                })?;
                properties.maximum_qos = Some(u8::from(is_one));
            }
            id::RETAIN_AVAILABLE => properties.retain_available = Some(section.boolean()?),
            id::MAXIMUM_PACKET_SIZE => properties.maximum_packet_size = Some(section.maximum_packet_size()?),
            id::ASSIGNED_CLIENT_IDENTIFIER => properties.assigned_client_identifier = Some(section.text()?),
            id::TOPIC_ALIAS_MAXIMUM => properties.topic_alias_maximum = Some(section.u16()?),
            id::REASON_STRING => properties.reason_string = Some(section.text()?),
            id::USER_PROPERTY => section.append_user_property(&mut properties.user_properties)?,
            id::WILDCARD_SUBSCRIPTION_AVAILABLE => {
                properties.wildcard_subscription_available = Some(section.boolean()?);
            }
            id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE => {
                properties.subscription_identifiers_available = Some(section.boolean()?);
            }
            id::SHARED_SUBSCRIPTION_AVAILABLE => properties.shared_subscription_available = Some(section.boolean()?),
            id::SERVER_KEEP_ALIVE => properties.server_keep_alive_s = Some(section.u16()?),
            id::RESPONSE_INFORMATION => properties.response_information = Some(section.text()?),
            id::SERVER_REFERENCE => properties.server_reference = Some(section.text()?),
            id::AUTHENTICATION_METHOD => properties.authentication_method = Some(section.text()?),
            id::AUTHENTICATION_DATA => properties.authentication_data = Some(section.data()?),
            _ => return Err(Violation::PropertyNotAllowed),
        }
    }
    Ok(properties)
}
