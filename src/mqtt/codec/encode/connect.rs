//! CONNECT and CONNACK (MQTT 5.0 §3.1, §3.2).

use super::ack::check_reason;
use super::{EncodeError, fields, whole};
use crate::mqtt::ReasonCode;
use crate::mqtt::Version;
use crate::mqtt::codec::frame::PacketType;
use crate::mqtt::codec::mqttbytes_bridge;
use crate::mqtt::codec::properties::validate_forwarded;
use crate::mqtt::codec::section::id;
use crate::mqtt::codec::violation::Violation;
use crate::mqtt::packet::{ConnAck, Connect, Will};
use crate::mqtt::property::{ConnAckProperties, ConnectProperties, WillProperties};

pub(super) fn connect(connect: &Connect, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let version = connect.version;
    if connect.is_bridge && version == Version::V5 {
        return Err(EncodeError::NotInVersion { packet_type: PacketType::Connect, version });
    }
    let login = &connect.login;
    if version != Version::V5 && login.password.is_some() && login.username.is_none() {
        return Err(Violation::PasswordWithoutUserName.into());
    }
    whole(PacketType::Connect, out, |out| {
        let (name, level) = match version {
            Version::V3 => ("MQIsdp", 3),
            Version::V4 => ("MQTT", 4),
            Version::V5 => ("MQTT", 5),
        };
        fields::string(out, name)?;
        out.push(level | u8::from(connect.is_bridge) << 7);
        out.push(flags(connect));
        fields::u16(out, connect.keep_alive_s);
        if version == Version::V5 {
            fields::with_length(out, |out| connect_properties(out, &connect.properties))?;
        }
        fields::string(out, &connect.client_id)?;
        if let Some(will) = &connect.will {
            if version == Version::V5 {
                fields::with_length(out, |out| will_properties(out, &will.properties))?;
            }
            fields::string(out, &will.topic)?;
            fields::binary(out, &will.payload)?;
        }
        if let Some(username) = &login.username {
            fields::string(out, username)?;
        }
        if let Some(password) = &login.password {
            fields::binary(out, password)?;
        }
        Ok(())
    })
}

/// MQTT 5.0 §3.1.2.3.
fn flags(connect: &Connect) -> u8 {
    let will = |will: &Will| 0b100 | (will.qos as u8) << 3 | u8::from(will.retain) << 5;
    u8::from(connect.clean_start) << 1
        | connect.will.as_ref().map_or(0, will)
        | u8::from(connect.login.password.is_some()) << 6
        | u8::from(connect.login.username.is_some()) << 7
}

fn connect_properties(out: &mut Vec<u8>, properties: &ConnectProperties) -> Result<(), EncodeError> {
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return Err(Violation::AuthenticationMethodMissing.into());
    }
    fields::u32_property(out, id::SESSION_EXPIRY_INTERVAL, properties.session_expiry_interval_s);
    fields::u16_property(out, id::RECEIVE_MAXIMUM, properties.receive_maximum.map(Into::into));
    fields::u32_property(out, id::MAXIMUM_PACKET_SIZE, properties.maximum_packet_size.map(Into::into));
    fields::u16_property(out, id::TOPIC_ALIAS_MAXIMUM, properties.topic_alias_maximum);
    fields::boolean_property(out, id::REQUEST_RESPONSE_INFORMATION, properties.request_response_information);
    fields::boolean_property(out, id::REQUEST_PROBLEM_INFORMATION, properties.request_problem_information);
    fields::user_properties(out, &properties.user_properties)?;
    fields::string_property(out, id::AUTHENTICATION_METHOD, properties.authentication_method.as_deref())?;
    fields::binary_property(out, id::AUTHENTICATION_DATA, properties.authentication_data.as_deref())
}

fn will_properties(out: &mut Vec<u8>, properties: &WillProperties) -> Result<(), EncodeError> {
    // 0 is the default and says nothing.
    let delay_interval_s = Some(properties.delay_interval_s).filter(|&seconds| seconds != 0);
    fields::u32_property(out, id::WILL_DELAY_INTERVAL, delay_interval_s);
    fields::u32_property(out, id::MESSAGE_EXPIRY_INTERVAL, properties.message_expiry_interval_s);
    validate_forwarded(&properties.forwarded)?;
    out.extend_from_slice(&properties.forwarded);
    Ok(())
}

pub(super) fn connack(connack: &ConnAck, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if connack.session_present && connack.reason != ReasonCode::Success {
        return Err(Violation::SessionPresentOnFailure.into());
    }
    if version != Version::V5 {
        // In 3.1 the byte of Session Present is reserved.
        let session_present = connack.session_present && version == Version::V4;
        return mqttbytes_bridge::write_connack_v4(session_present, connack.reason, out);
    }
    check_reason(PacketType::ConnAck, connack.reason)?;
    whole(PacketType::ConnAck, out, |out| {
        out.extend_from_slice(&[u8::from(connack.session_present), connack.reason as u8]);
        fields::with_length(out, |out| connack_properties(out, &connack.properties))
    })
}

fn connack_properties(out: &mut Vec<u8>, properties: &ConnAckProperties) -> Result<(), EncodeError> {
    if properties.maximum_qos.is_some_and(|qos| qos > 1) {
        return Err(Violation::MaximumQoSInvalid.into());
    }
    fields::u32_property(out, id::SESSION_EXPIRY_INTERVAL, properties.session_expiry_interval_s);
    fields::u16_property(out, id::RECEIVE_MAXIMUM, properties.receive_maximum.map(Into::into));
    fields::byte_property(out, id::MAXIMUM_QOS, properties.maximum_qos);
    fields::boolean_property(out, id::RETAIN_AVAILABLE, properties.retain_available);
    fields::u32_property(out, id::MAXIMUM_PACKET_SIZE, properties.maximum_packet_size.map(Into::into));
    fields::string_property(out, id::ASSIGNED_CLIENT_IDENTIFIER, properties.assigned_client_identifier.as_deref())?;
    fields::u16_property(out, id::TOPIC_ALIAS_MAXIMUM, properties.topic_alias_maximum);
    fields::string_property(out, id::REASON_STRING, properties.reason_string.as_deref())?;
    fields::user_properties(out, &properties.user_properties)?;
    fields::boolean_property(out, id::WILDCARD_SUBSCRIPTION_AVAILABLE, properties.wildcard_subscription_available);
    fields::boolean_property(
        out,
        id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
        properties.subscription_identifiers_available,
    );
    fields::boolean_property(out, id::SHARED_SUBSCRIPTION_AVAILABLE, properties.shared_subscription_available);
    fields::u16_property(out, id::SERVER_KEEP_ALIVE, properties.server_keep_alive_s);
    fields::string_property(out, id::RESPONSE_INFORMATION, properties.response_information.as_deref())?;
    fields::string_property(out, id::SERVER_REFERENCE, properties.server_reference.as_deref())?;
    fields::string_property(out, id::AUTHENTICATION_METHOD, properties.authentication_method.as_deref())?;
    fields::binary_property(out, id::AUTHENTICATION_DATA, properties.authentication_data.as_deref())
}
