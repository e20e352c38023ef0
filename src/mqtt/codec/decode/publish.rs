//! PUBLISH (MQTT 5.0 §3.3): the hot path, without a copy and, unless properties to keep and to drop alternate, without
//! an allocation.

use std::borrow::Cow;
use std::num::{NonZeroU16, NonZeroU32};

use super::Rules;
use crate::mqtt::codec::properties::Forwarding;
use crate::mqtt::codec::reader::Reader;
use crate::mqtt::codec::section::{Section, id};
use crate::mqtt::codec::{Sender, Violation};
use crate::mqtt::packet::Publish;
use crate::mqtt::property::PublishProperties;
use crate::mqtt::{QoS, TopicName};

#[inline]
pub(in super::super) fn publish<'a>(
    first_byte: u8,
    body: &'a [u8],
    rules: &Rules<'_>,
) -> Result<Publish<'a>, Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let qos = QoS::from_u8(first_byte >> 1 & 0b11).ok_or(Violation::QoS3)?;
    let dup = first_byte & 0b1000 != 0;
    // 3.1 says nothing about DUP at QoS 0 but that it is for re-delivery (MQTT 3.1 §2.1).
    if dup && qos == QoS::AtMostOnce && rules.version != crate::mqtt::Version::V3 {
        return Err(Violation::DupAtQoS0);
    }
    let topic = reader.string_with_nul()?;
    let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
    let mut properties = PublishProperties::default();
    if rules.is_v5() {
        // No properties is by far the most frequent case.
        match reader.rest() {
            [0, ..] => drop(reader.bytes(1)?),
            _ => read_properties(&mut reader, rules, &mut properties)?,
        }
    }
    let topic = if topic.is_empty() && rules.is_v5() {
        properties.topic_alias.ok_or(Violation::TopicMissing)?;
        None
    } else {
        Some(TopicName::parse(topic).map_err(Violation::of_topic_name)?)
    };
    let retain = first_byte & 1 != 0;
    // A DUP that means nothing is not kept, so that what is decoded can be encoded.
    let dup = dup && qos != QoS::AtMostOnce;
    Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload: Cow::Borrowed(reader.rest()) })
}

fn read_properties<'a>(
    packet: &mut Reader<'a>,
    rules: &Rules<'_>,
    properties: &mut PublishProperties<'a>,
) -> Result<(), Violation> {
    let section = Section::of_packet(packet, rules.limits.user_properties_max)?;
    let mut section = section.repeating(id::SUBSCRIPTION_IDENTIFIER);
    let mut forwarding = Forwarding::of(&section);
    while let Some(id) = section.next_id()? {
        match id {
            id::MESSAGE_EXPIRY_INTERVAL => properties.message_expiry_interval_s = Some(section.u32()?),
            id::TOPIC_ALIAS => {
                properties.topic_alias = Some(NonZeroU16::new(section.u16()?).ok_or(Violation::TopicAliasZero)?);
            }
            id::SUBSCRIPTION_IDENTIFIER if rules.sender == Sender::Client => {
                return Err(Violation::SubscriptionIdentifierFromClient);
            }
            id::SUBSCRIPTION_IDENTIFIER => {
                let identifier = NonZeroU32::new(section.reader.vbi()?).ok_or(Violation::SubscriptionIdentifierZero)?;
                properties.subscription_identifiers.push(identifier);
            }
            _ => forwarding.keep(id, &mut section)?,
        }
        forwarding.pass(&section);
    }
    properties.forwarded = forwarding.finish();
    Ok(())
}
