//! CONNECT (MQTT 5.0 §3.1, MQTT 3.1.1 §3.1, MQTT 3.1 §3.1).

use bytes::Bytes;

use crate::mqtt::codec::properties::Forwarding;
use crate::mqtt::codec::reader::Reader;
use crate::mqtt::codec::section::{Section, id};
use crate::mqtt::codec::{Limits, Violation};
use crate::mqtt::packet::{Connect, Login, Will};
use crate::mqtt::property::{ConnectProperties, WillProperties};
use crate::mqtt::{QoS, TopicName, Version};

/// A CONNECT that was refused.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Refused {
    pub violation: Violation,
    /// The version whose CONNACK the client understands, once its protocol name has shown it.
    pub version: Option<Version>,
}

pub(in super::super) fn connect(body: &[u8], limits: &Limits) -> Result<Connect, Refused> {
    let mut reader = Reader::new(body, Violation::Truncated);
    let protocol = read_protocol(&mut reader)?;
    let refuse = |violation| Refused { violation, version: Some(protocol.version) };
    read_connect(&mut reader, &protocol, limits).map_err(refuse)
}

struct Protocol {
    version: Version,
    is_bridge: bool,
}

/// Bit 7 of the version byte: mosquitto's way of saying that a bridge connects.
const BRIDGE: u8 = 0x80;

/// MQTT 5.0 §3.1.2.1, §3.1.2.2.
fn read_protocol(reader: &mut Reader<'_>) -> Result<Protocol, Refused> {
    let early = |violation| Refused { violation, version: None };
    let name = reader.binary().map_err(early)?;
    let answering = match name {
        b"MQTT" => Version::V4,
        b"MQIsdp" => Version::V3,
        _ => return Err(early(Violation::WrongProtocolName)),
    };
    let level = reader.u8().map_err(early)?;
    let (version, is_bridge) = match (answering, level) {
        (Version::V4, 5) => (Version::V5, false),
        (Version::V4, 4) => (Version::V4, false),
        (Version::V3, 3) => (Version::V3, false),
        (Version::V4, level) if level == 4 | BRIDGE => (Version::V4, true),
        (Version::V3, level) if level == 3 | BRIDGE => (Version::V3, true),
        _ => return Err(Refused { violation: Violation::UnsupportedVersion, version: Some(answering) }),
    };
    Ok(Protocol { version, is_bridge })
}

fn read_connect(reader: &mut Reader<'_>, protocol: &Protocol, limits: &Limits) -> Result<Connect, Violation> {
    let version = protocol.version;
    let flags = Flags::parse(reader.u8()?, version)?;
    let keep_alive_s = reader.u16()?;
    let properties =
        if version == Version::V5 { connect_properties(reader, limits)? } else { ConnectProperties::default() };
    let client_id = reader.string()?.into();
    let will = match flags.will {
        Some((qos, retain)) => Some(read_will(reader, version, limits, qos, retain)?),
        None => None,
    };
    // In 3.1 the Remaining Length takes precedence: the flag may be set and the string be missing (MQTT 3.1 §3.1).
    let is_present = |flag: bool, reader: &Reader<'_>| flag && !(version == Version::V3 && reader.is_empty());
    let username = if is_present(flags.username, reader) { Some(reader.string()?.into()) } else { None };
    let password =
        if is_present(flags.password, reader) { Some(Bytes::copy_from_slice(reader.binary()?)) } else { None };
    reader.finish()?;
    Ok(Connect {
        version,
        is_bridge: protocol.is_bridge,
        clean_start: flags.clean_start,
        keep_alive_s,
        client_id,
        login: Login { username, password },
        will,
        properties,
    })
}

/// MQTT 5.0 §3.1.2.3.
struct Flags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    username: bool,
    password: bool,
}

impl Flags {
    fn parse(byte: u8, version: Version) -> Result<Self, Violation> {
        let has = |bit: u8| byte >> bit & 1 == 1;
        // 3.1 says of bit 0 that it is not used, and nothing of Will bits without a Will.
        let is_strict = version != Version::V3;
        if has(0) && is_strict {
            return Err(Violation::ConnectReservedFlag);
        }
        let will_qos = byte >> 3 & 0b11;
        let will_retain = has(5);
        let will = if has(2) {
            Some((QoS::from_u8(will_qos).ok_or(Violation::WillQoS3)?, will_retain))
        } else if is_strict && (will_qos != 0 || will_retain) {
            return Err(Violation::WillFlagsWithoutWill);
        } else {
            None
        };
        let (username, password) = (has(7), has(6));
        if password && !username && version != Version::V5 {
            return Err(Violation::PasswordWithoutUserName);
        }
        Ok(Self { clean_start: has(1), will, username, password })
    }
}

fn read_will(
    reader: &mut Reader<'_>,
    version: Version,
    limits: &Limits,
    qos: QoS,
    retain: bool,
) -> Result<Will, Violation> {
    let properties = if version == Version::V5 { will_properties(reader, limits)? } else { WillProperties::default() };
    let topic = TopicName::parse(reader.string_with_nul()?).map_err(Violation::of_topic_name)?.into_owned();
    let payload = Bytes::copy_from_slice(reader.binary()?);
    Ok(Will { topic, payload, qos, retain, properties })
}

/// MQTT 5.0 §3.1.2.11.
fn connect_properties(packet: &mut Reader<'_>, limits: &Limits) -> Result<ConnectProperties, Violation> {
    let mut section = Section::of_packet(packet, limits.user_properties_max)?;
    let mut properties = ConnectProperties::default();
    while let Some(id) = section.next_id()? {
        match id {
            id::SESSION_EXPIRY_INTERVAL => properties.session_expiry_interval_s = Some(section.u32()?),
            id::RECEIVE_MAXIMUM => properties.receive_maximum = Some(section.receive_maximum()?),
            id::MAXIMUM_PACKET_SIZE => properties.maximum_packet_size = Some(section.maximum_packet_size()?),
            id::TOPIC_ALIAS_MAXIMUM => properties.topic_alias_maximum = Some(section.u16()?),
            id::REQUEST_RESPONSE_INFORMATION => properties.request_response_information = Some(section.boolean()?),
            id::REQUEST_PROBLEM_INFORMATION => properties.request_problem_information = Some(section.boolean()?),
            id::USER_PROPERTY => section.append_user_property(&mut properties.user_properties)?,
            id::AUTHENTICATION_METHOD => properties.authentication_method = Some(section.text()?),
            id::AUTHENTICATION_DATA => properties.authentication_data = Some(section.data()?),
            _ => return Err(Violation::PropertyNotAllowed),
        }
    }
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return Err(Violation::AuthenticationMethodMissing);
    }
    Ok(properties)
}

/// MQTT 5.0 §3.1.3.2.
fn will_properties(packet: &mut Reader<'_>, limits: &Limits) -> Result<WillProperties, Violation> {
    let mut section = Section::of_packet(packet, limits.user_properties_max)?;
    let mut properties = WillProperties::default();
    let mut forwarding = Forwarding::of(&section);
    while let Some(id) = section.next_id()? {
        match id {
            id::WILL_DELAY_INTERVAL => properties.delay_interval_s = section.u32()?,
            id::MESSAGE_EXPIRY_INTERVAL => properties.message_expiry_interval_s = Some(section.u32()?),
            _ => forwarding.keep(id, &mut section)?,
        }
        forwarding.pass(&section);
    }
    properties.forwarded = forwarding.finish().into_owned().into();
    Ok(properties)
}
