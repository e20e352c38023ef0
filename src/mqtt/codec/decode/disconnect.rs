//! DISCONNECT and AUTH (MQTT 5.0 §3.14, §3.15).

use super::Rules;
use crate::mqtt::ReasonCode;
use crate::mqtt::codec::reader::Reader;
use crate::mqtt::codec::section::{Section, id};
use crate::mqtt::codec::{PacketType, Sender, Violation, reason_codes};
use crate::mqtt::packet::{Auth, Disconnect};
use crate::mqtt::property::{AuthProperties, DisconnectProperties};

pub(super) fn disconnect(body: &[u8], rules: &Rules<'_>) -> Result<Disconnect, Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let mut disconnect = Disconnect { reason: ReasonCode::Success, properties: DisconnectProperties::default() };
    // No byte at all means normal disconnection, one byte has no properties (MQTT 5.0 §3.14.2.1, §3.14.2.2.1).
    if rules.is_v5() && !reader.is_empty() {
        disconnect.reason = reason_codes::read(PacketType::Disconnect, rules.sender, reader.u8()?)?;
        if !reader.is_empty() {
            disconnect.properties = disconnect_properties(&mut reader, rules)?;
        }
    }
    reader.finish()?;
    Ok(disconnect)
}

/// MQTT 5.0 §3.14.2.2.
fn disconnect_properties(packet: &mut Reader<'_>, rules: &Rules<'_>) -> Result<DisconnectProperties, Violation> {
    let mut section = Section::of_packet(packet, rules.limits.user_properties_max)?;
    let mut properties = DisconnectProperties::default();
    while let Some(id) = section.next_id()? {
        match (id, rules.sender) {
            (id::SESSION_EXPIRY_INTERVAL, Sender::Server) => return Err(Violation::SessionExpiryFromServer),
            (id::SERVER_REFERENCE, Sender::Client) => return Err(Violation::ServerReferenceFromClient),
            (id::SESSION_EXPIRY_INTERVAL, _) => properties.session_expiry_interval_s = Some(section.u32()?),
            (id::SERVER_REFERENCE, _) => properties.server_reference = Some(section.text()?),
            (id::REASON_STRING, _) => properties.reason_string = Some(section.text()?),
            (id::USER_PROPERTY, _) => section.append_user_property(&mut properties.user_properties)?,
            _ => return Err(Violation::PropertyNotAllowed),
        }
    }
    Ok(properties)
}

pub(super) fn auth(body: &[u8], rules: &Rules<'_>) -> Result<Auth, Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let mut properties = AuthProperties::default();
    // Reason Code and Property Length may be left out together, which means success (MQTT 5.0 §3.15.2.1).
    let reason_byte = if reader.is_empty() { ReasonCode::Success as u8 } else { reader.u8()? };
    let reason = reason_codes::read(PacketType::Auth, rules.sender, reason_byte)?;
    if !reader.is_empty() {
        properties = auth_properties(&mut reader, rules)?;
    }
    reader.finish()?;
    let needs_method = reason != ReasonCode::Success || properties != AuthProperties::default();
    if needs_method && properties.authentication_method.is_none() {
        return Err(Violation::AuthenticationMethodMissing);
    }
    Ok(Auth { reason, properties })
}

/// MQTT 5.0 §3.15.2.2.
fn auth_properties(packet: &mut Reader<'_>, rules: &Rules<'_>) -> Result<AuthProperties, Violation> {
    let mut section = Section::of_packet(packet, rules.limits.user_properties_max)?;
    let mut properties = AuthProperties::default();
    while let Some(id) = section.next_id()? {
        match id {
            id::AUTHENTICATION_METHOD => properties.authentication_method = Some(section.text()?),
            id::AUTHENTICATION_DATA => properties.authentication_data = Some(section.data()?),
            id::REASON_STRING => properties.reason_string = Some(section.text()?),
            id::USER_PROPERTY => section.append_user_property(&mut properties.user_properties)?,
            _ => return Err(Violation::PropertyNotAllowed),
        }
    }
    Ok(properties)
}
