//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0 §3.8, §3.10).
//!
//! A SUBSCRIBE is read in one go. An UNSUBSCRIBE, of which there are few, is judged first and then built by `mqttbytes` where its reader
//! is sound.

use std::num::NonZeroU32;

use super::Rules;
use crate::mqtt::codec::reader::Reader;
use crate::mqtt::codec::section::{Section, id};
use crate::mqtt::codec::{Violation, mqttbytes_bridge};
use crate::mqtt::packet::{RetainHandling, Subscribe, SubscribeOptions, Unsubscribe};
use crate::mqtt::property::{SubscribeProperties, UserProperties};
use crate::mqtt::{QoS, TopicFilter, Version};

pub(super) fn subscribe(body: &[u8], rules: &Rules<'_>) -> Result<Subscribe, Violation> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let packet_id = reader.packet_id()?;
    let mut properties = SubscribeProperties::default();
    if rules.is_v5() {
        read_subscribe_properties(&mut reader, rules, &mut properties)?;
    }
    if reader.is_empty() {
        return Err(Violation::NoTopicFilter);
    }
    // Most ask for one.
    let mut filters = Vec::with_capacity(1);
    while !reader.is_empty() {
        if filters.len() >= rules.limits.filters_max {
            return Err(Violation::TooManyTopicFilters);
        }
        let filter = read_filter(&mut reader)?;
        let options = read_options(reader.u8()?, filter.share_name().is_some(), rules.version)?;
        filters.push((filter, options));
    }
    Ok(Subscribe { packet_id, properties, filters })
}

fn read_subscribe_properties(
    packet: &mut Reader<'_>,
    rules: &Rules<'_>,
    properties: &mut SubscribeProperties,
) -> Result<(), Violation> {
    let mut section = Section::of_packet(packet, rules.limits.user_properties_max)?;
    while let Some(id) = section.next_id()? {
        match id {
            id::SUBSCRIPTION_IDENTIFIER => {
                let identifier = NonZeroU32::new(section.reader.vbi()?);
                properties.subscription_identifier = Some(identifier.ok_or(Violation::SubscriptionIdentifierZero)?);
            }
            id::USER_PROPERTY => section.append_user_property(&mut properties.user_properties)?,
            _ => return Err(Violation::PropertyNotAllowed),
        }
    }
    Ok(())
}

fn read_filter(reader: &mut Reader<'_>) -> Result<TopicFilter, Violation> {
    TopicFilter::parse(reader.string_with_nul()?).map_err(Violation::of_topic_filter)
}

/// MQTT 5.0 §3.8.3.1; MQTT 3.1.1 §3.8.3.
fn read_options(options: u8, is_shared: bool, version: Version) -> Result<SubscribeOptions, Violation> {
    let reserved = match version {
        // "Not used in the current version of the protocol": nobody says that they are 0 (MQTT 3.1 §3.8).
        Version::V3 => 0,
        Version::V4 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if options & reserved != 0 {
        return Err(Violation::SubscribeReservedBits);
    }
    let maximum_qos = match options & 0b11 {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        2 => QoS::ExactlyOnce,
        _ => return Err(Violation::SubscribeQoS3),
    };
    if version != Version::V5 {
        return Ok(SubscribeOptions { maximum_qos, ..SubscribeOptions::default() });
    }
    let retain_handling = match options >> 4 & 0b11 {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        2 => RetainHandling::Never,
        _ => return Err(Violation::RetainHandling3),
    };
    let no_local = options & 0b100 != 0;
    if is_shared && no_local {
        return Err(Violation::NoLocalOnShared);
    }
    Ok(SubscribeOptions { maximum_qos, no_local, retain_as_published: options & 0b1000 != 0, retain_handling })
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
        TopicFilter::check(reader.string_with_nul()?).map_err(Violation::of_topic_filter)?;
    }
    Ok(())
}

fn read_filters(mut reader: Reader<'_>) -> Result<Vec<TopicFilter>, Violation> {
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(read_filter(&mut reader)?);
    }
    Ok(filters)
}
