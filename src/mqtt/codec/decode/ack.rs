//! PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK (MQTT 5.0 §3.4 to §3.7, §3.9, §3.11).

use super::Rules;
use crate::mqtt::ReasonCode;
use crate::mqtt::codec::reader::Reader;
use crate::mqtt::codec::section::{Section, id};
use crate::mqtt::codec::{PacketType, Violation, reason_codes};
use crate::mqtt::packet::{Ack, SubAck};
use crate::mqtt::property::AckProperties;

#[inline]
pub(super) fn ack(packet_type: PacketType, body: &[u8], rules: &Rules<'_>) -> Result<Ack, Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let packet_id = reader.packet_id()?;
    let mut ack = Ack::new(packet_id, ReasonCode::Success);
    // A body of two bytes means success, one of three has no properties (MQTT 5.0 §3.4.2.1, §3.4.2.2.1).
    if rules.is_v5() && !reader.is_empty() {
        ack.reason = reason_codes::read(packet_type, rules.sender, reader.u8()?)?;
        if !reader.is_empty() {
            let properties = ack_properties(&mut reader, rules)?;
            ack.properties = (properties != AckProperties::default()).then(|| Box::new(properties));
        }
    }
    reader.finish()?;
    Ok(ack)
}

pub(super) fn suback(body: &[u8], rules: &Rules<'_>) -> Result<SubAck, Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let packet_id = reader.packet_id()?;
    let properties = if rules.is_v5() { ack_properties(&mut reader, rules)? } else { AckProperties::default() };
    let read = |&byte: &u8| {
        let reason = reason_codes::read(PacketType::SubAck, rules.sender, byte)?;
        // 3.1.1 has one failure, 0x80 (MQTT 3.1.1 [MQTT-3.9.3-2]).
        let is_known = rules.is_v5() || !reason.is_failure() || reason == ReasonCode::UnspecifiedError;
        if is_known { Ok(reason) } else { Err(Violation::ReasonCodeNotAllowed) }
    };
    let reasons = reader.rest().iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if reasons.is_empty() {
        return Err(Violation::NoReasonCode);
    }
    Ok(SubAck { packet_id, properties, reasons })
}

pub(super) fn unsuback(body: &[u8], rules: &Rules<'_>) -> Result<SubAck, Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let packet_id = reader.packet_id()?;
    if !rules.is_v5() {
        reader.finish()?;
        return Ok(SubAck { packet_id, properties: AckProperties::default(), reasons: Vec::new() });
    }
    let properties = ack_properties(&mut reader, rules)?;
    let read = |&byte: &u8| reason_codes::read(PacketType::UnsubAck, rules.sender, byte);
    let reasons = reader.rest().iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if reasons.is_empty() {
        return Err(Violation::NoReasonCode);
    }
    Ok(SubAck { packet_id, properties, reasons })
}

fn ack_properties(packet: &mut Reader<'_>, rules: &Rules<'_>) -> Result<AckProperties, Violation> {
    let mut section = Section::of_packet(packet, rules.limits.user_properties_max)?;
    let mut properties = AckProperties::default();
    while let Some(id) = section.next_id()? {
        match id {
            id::REASON_STRING => properties.reason_string = Some(section.text()?),
            id::USER_PROPERTY => section.append_user_property(&mut properties.user_properties)?,
            _ => return Err(Violation::PropertyNotAllowed),
        }
    }
    Ok(properties)
}
