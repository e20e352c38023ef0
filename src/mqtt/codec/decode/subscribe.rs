//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0 §3.8, §3.10).
//!
//! The whole packet is judged first, without an allocation; only one that stands is built, by `mqttbytes` where its
//! reader is sound.

use super::Rules;
use crate::mqtt::codec::reader::Reader;
use crate::mqtt::codec::section::{Section, id};
use crate::mqtt::codec::{Violation, mqttbytes_bridge};
use crate::mqtt::packet::{Subscribe, Unsubscribe};
use crate::mqtt::property::UserProperties;
use crate::mqtt::{TopicFilter, Version};

/// `packet` is the whole packet, `body` its part behind the fixed header.
pub(super) fn subscribe(packet: &[u8], body: &[u8], rules: &Rules<'_>) -> Result<Subscribe, Violation> {
    judge_subscribe(body, rules)?;
    if rules.is_v5() {
        mqttbytes_bridge::read_subscribe_v5(packet)
    } else {
        mqttbytes_bridge::read_subscribe_v4(packet)
    }
}

fn judge_subscribe(body: &[u8], rules: &Rules<'_>) -> Result<(), Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    reader.packet_id()?;
    if rules.is_v5() {
        judge_subscribe_properties(&mut reader, rules)?;
    }
    let mut filters_left = rules.limits.filters_max;
    if reader.is_empty() {
        return Err(Violation::NoTopicFilter);
    }
    while !reader.is_empty() {
        filters_left = filters_left.checked_sub(1).ok_or(Violation::TooManyTopicFilters)?;
        let filter_start = judge_filter(&mut reader)?;
        judge_options(reader.u8()?, filter_start > 0, rules.version)?;
    }
    Ok(())
}

fn judge_subscribe_properties(packet: &mut Reader<'_>, rules: &Rules<'_>) -> Result<(), Violation> {
    let mut section = Section::of_packet(packet, rules.limits.user_properties_max)?;
    while let Some(id) = section.next_id()? {
        match id {
            id::SUBSCRIPTION_IDENTIFIER if section.reader.vbi()? == 0 => {
                return Err(Violation::SubscriptionIdentifierZero);
            }
            id::SUBSCRIPTION_IDENTIFIER => {}
            id::USER_PROPERTY => drop(section.user_property()?),
            _ => return Err(Violation::PropertyNotAllowed),
        }
    }
    Ok(())
}

/// Says at which byte FILTER of `$share/NAME/FILTER` begins: 0 unless shared.
fn judge_filter(reader: &mut Reader<'_>) -> Result<u16, Violation> {
    TopicFilter::check(reader.string_with_nul()?).map_err(Violation::of_topic_filter)
}

/// MQTT 5.0 §3.8.3.1; MQTT 3.1.1 §3.8.3.
fn judge_options(options: u8, is_shared: bool, version: Version) -> Result<(), Violation> {
    let reserved = match version {
        // "Not used in the current version of the protocol": nobody says that they are 0 (MQTT 3.1 §3.8).
        Version::V3 => 0,
        Version::V4 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if options & reserved != 0 {
        return Err(Violation::SubscribeReservedBits);
    }
    if options & 0b11 == 0b11 {
        return Err(Violation::SubscribeQoS3);
    }
    if version == Version::V5 {
        if options >> 4 & 0b11 == 0b11 {
            return Err(Violation::RetainHandling3);
        }
        if is_shared && options & 0b100 != 0 {
            return Err(Violation::NoLocalOnShared);
        }
    }
    Ok(())
}

/// `packet` is the whole packet, `body` its part behind the fixed header.
pub(super) fn unsubscribe(packet: &[u8], body: &[u8], rules: &Rules<'_>) -> Result<Unsubscribe, Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let packet_id = reader.packet_id()?;
    let mut user_properties = UserProperties::new();
    if rules.is_v5() {
        let mut section = Section::of_packet(&mut reader, rules.limits.user_properties_max)?;
        while let Some(id) = section.next_id()? {
            match id {
                id::USER_PROPERTY => section.append_user_property(&mut user_properties)?,
                _ => return Err(Violation::PropertyNotAllowed),
            }
        }
    }
    let payload = reader.clone();
    judge_filters(reader, rules)?;
    if !rules.is_v5() {
        return mqttbytes_bridge::read_unsubscribe_v4(packet);
    }
    // mqttbytes prints a line for every 5.0 UNSUBSCRIBE it reads.
    Ok(Unsubscribe { packet_id, user_properties, filters: read_filters(payload)? })
}

fn judge_filters(mut reader: Reader<'_>, rules: &Rules<'_>) -> Result<(), Violation> {
    let mut filters_left = rules.limits.filters_max;
    if reader.is_empty() {
        return Err(Violation::NoTopicFilterToUnsubscribe);
    }
    while !reader.is_empty() {
        filters_left = filters_left.checked_sub(1).ok_or(Violation::TooManyTopicFilters)?;
        judge_filter(&mut reader)?;
    }
    Ok(())
}

fn read_filters(mut reader: Reader<'_>) -> Result<Vec<TopicFilter>, Violation> {
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(TopicFilter::parse(reader.string_with_nul()?).map_err(Violation::of_topic_filter)?);
    }
    Ok(filters)
}
