//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0 §3.8, §3.10).

use super::{EncodeError, fields, whole};
use crate::mqtt::Version;
use crate::mqtt::codec::frame::PacketType;
use crate::mqtt::codec::reader::VBI_MAX;
use crate::mqtt::codec::section::id;
use crate::mqtt::codec::violation::Violation;
use crate::mqtt::packet::{Subscribe, SubscribeOptions, Unsubscribe};

pub(super) fn subscribe(subscribe: &Subscribe, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if subscribe.filters.is_empty() {
        return Err(Violation::NoTopicFilter.into());
    }
    whole(PacketType::Subscribe, out, |out| {
        fields::u16(out, subscribe.packet_id.get());
        if version == Version::V5 {
            fields::with_length(out, |out| {
                if let Some(identifier) = subscribe.properties.subscription_identifier {
                    if identifier.get() > VBI_MAX {
                        return Err(EncodeError::TooLong);
                    }
                    out.push(id::SUBSCRIPTION_IDENTIFIER);
                    fields::vbi(out, identifier.get() as usize);
                }
                fields::user_properties(out, &subscribe.properties.user_properties)
            })?;
        }
        for (filter, options) in &subscribe.filters {
            if version == Version::V5 && options.no_local && filter.share_name().is_some() {
                return Err(Violation::NoLocalOnShared.into());
            }
            fields::string(out, filter.as_str())?;
            out.push(if version == Version::V5 { options_byte(*options) } else { options.maximum_qos as u8 });
        }
        Ok(())
    })
}

/// MQTT 5.0 §3.8.3.1.
fn options_byte(options: SubscribeOptions) -> u8 {
    options.maximum_qos as u8
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | (options.retain_handling as u8) << 4
}

pub(super) fn unsubscribe(unsubscribe: &Unsubscribe, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if unsubscribe.filters.is_empty() {
        return Err(Violation::NoTopicFilterToUnsubscribe.into());
    }
    whole(PacketType::Unsubscribe, out, |out| {
        fields::u16(out, unsubscribe.packet_id.get());
        if version == Version::V5 {
            fields::with_length(out, |out| fields::user_properties(out, &unsubscribe.user_properties))?;
        }
        unsubscribe.filters.iter().try_for_each(|filter| fields::string(out, filter.as_str()))
    })
}
