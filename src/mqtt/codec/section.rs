//! Walks the properties of one packet and holds the rules that are the same for all of them (MQTT 5.0 §2.2.2).

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use super::reader::Reader;
use super::violation::Violation;
use crate::mqtt::TopicName;
use crate::mqtt::property::UserProperties;

/// The property identifiers of MQTT 5.0 §2.2.2.2.
pub(super) mod id {
    pub(in super::super) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(in super::super) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(in super::super) const CONTENT_TYPE: u8 = 0x03;
    pub(in super::super) const RESPONSE_TOPIC: u8 = 0x08;
    pub(in super::super) const CORRELATION_DATA: u8 = 0x09;
    pub(in super::super) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(in super::super) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(in super::super) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub(in super::super) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(in super::super) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(in super::super) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(in super::super) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(in super::super) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(in super::super) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(in super::super) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(in super::super) const SERVER_REFERENCE: u8 = 0x1C;
    pub(in super::super) const REASON_STRING: u8 = 0x1F;
    pub(in super::super) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(in super::super) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(in super::super) const TOPIC_ALIAS: u8 = 0x23;
    pub(in super::super) const MAXIMUM_QOS: u8 = 0x24;
    pub(in super::super) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(in super::super) const USER_PROPERTY: u8 = 0x26;
    pub(in super::super) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(in super::super) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub(in super::super) const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
    pub(in super::super) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;

    /// One bit an identifier that exists.
    const KNOWN: u64 = {
        let all = [
            PAYLOAD_FORMAT_INDICATOR,
            MESSAGE_EXPIRY_INTERVAL,
            CONTENT_TYPE,
            RESPONSE_TOPIC,
            CORRELATION_DATA,
            SUBSCRIPTION_IDENTIFIER,
            SESSION_EXPIRY_INTERVAL,
            ASSIGNED_CLIENT_IDENTIFIER,
            SERVER_KEEP_ALIVE,
            AUTHENTICATION_METHOD,
            AUTHENTICATION_DATA,
            REQUEST_PROBLEM_INFORMATION,
            WILL_DELAY_INTERVAL,
            REQUEST_RESPONSE_INFORMATION,
            RESPONSE_INFORMATION,
            SERVER_REFERENCE,
            REASON_STRING,
            RECEIVE_MAXIMUM,
            TOPIC_ALIAS_MAXIMUM,
            TOPIC_ALIAS,
            MAXIMUM_QOS,
            RETAIN_AVAILABLE,
            USER_PROPERTY,
            MAXIMUM_PACKET_SIZE,
            WILDCARD_SUBSCRIPTION_AVAILABLE,
            SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
            SHARED_SUBSCRIPTION_AVAILABLE,
        ];
        let mut known = 0;
        let mut index = 0;
        while index < all.len() {
            known |= 1 << all[index];
            index += 1;
        }
        known
    };

    /// Whether the standard has a property of this identifier.
    pub(in super::super) fn is_known(id: u32) -> bool {
        id < 64 && KNOWN >> id & 1 == 1
    }
}

/// The properties of one packet that are still to be read.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) reader: Reader<'a>,
    /// One bit an identifier that was read.
    seen: u64,
    /// Bits of the identifiers that may come more than once.
    repeatable: u64,
    user_properties_left: usize,
}

impl<'a> Section<'a> {
    /// Takes the Property Length and that many bytes off `packet`.
    #[inline]
    pub(super) fn of_packet(packet: &mut Reader<'a>, user_properties_max: usize) -> Result<Self, Violation> {
        if packet.is_empty() {
            return Err(Violation::PropertyLengthMissing);
        }
        let length = packet.vbi()?;
        let bytes = packet.bytes(length as usize).map_err(|_| Violation::PropertyLengthPastPacket)?;
        Ok(Self::of_bytes(bytes, user_properties_max))
    }

    /// Properties without the Property Length in front.
    #[inline]
    pub(super) fn of_bytes(bytes: &'a [u8], user_properties_max: usize) -> Self {
        Self {
            reader: Reader::new(bytes, Violation::PropertyPastLength),
            seen: 0,
            repeatable: 1 << id::USER_PROPERTY,
            user_properties_left: user_properties_max,
        }
    }

    /// Lets the property `id` come more than once.
    #[inline]
    pub(super) fn repeating(mut self, id: u8) -> Self {
        self.repeatable |= 1 << id;
        self
    }

    /// The identifier of the next property, whose value is to be read next; `None` at the end.
    #[inline]
    pub(super) fn next_id(&mut self) -> Result<Option<u8>, Violation> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let id = self.reader.vbi()?;
        if !id::is_known(id) {
            return Err(Violation::UnknownProperty);
        }
        let bit = 1 << id;
        if self.seen & bit & !self.repeatable != 0 {
            return Err(Violation::PropertyRepeated);
        }
        self.seen |= bit;
        // Below 64, or it would not be known.
        Ok(Some(id as u8))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Violation> {
        self.reader.u16()
    }

    pub(super) fn u32(&mut self) -> Result<u32, Violation> {
        self.reader.u32()
    }

    pub(super) fn string(&mut self) -> Result<&'a str, Violation> {
        self.reader.string()
    }

    pub(super) fn text(&mut self) -> Result<Box<str>, Violation> {
        self.string().map(Box::from)
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], Violation> {
        self.reader.binary()
    }

    pub(super) fn data(&mut self) -> Result<Bytes, Violation> {
        self.binary().map(Bytes::copy_from_slice)
    }

    pub(super) fn receive_maximum(&mut self) -> Result<NonZeroU16, Violation> {
        NonZeroU16::new(self.u16()?).ok_or(Violation::ReceiveMaximumZero)
    }

    pub(super) fn maximum_packet_size(&mut self) -> Result<NonZeroU32, Violation> {
        NonZeroU32::new(self.u32()?).ok_or(Violation::MaximumPacketSizeZero)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Violation> {
        match self.reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Violation::NotABoolean),
        }
    }

    /// 0: unspecified bytes; 1: UTF-8 (MQTT 5.0 §3.3.2.3.2).
    pub(super) fn payload_format_indicator(&mut self) -> Result<bool, Violation> {
        self.boolean().map_err(|violation| match violation {
            Violation::NotABoolean => Violation::PayloadFormatUnknown,
            other => other,
        })
    }

    pub(super) fn response_topic(&mut self) -> Result<&'a str, Violation> {
        let text = self.string()?;
        TopicName::parse(text).map_err(|_| Violation::ResponseTopicInvalid)?;
        Ok(text)
    }

    pub(super) fn user_property(&mut self) -> Result<(&'a str, &'a str), Violation> {
        self.user_properties_left = self.user_properties_left.checked_sub(1).ok_or(Violation::TooManyUserProperties)?;
        Ok((self.string()?, self.string()?))
    }

    pub(super) fn append_user_property(&mut self, to: &mut UserProperties) -> Result<(), Violation> {
        let (name, value) = self.user_property()?;
        to.push((name.into(), value.into()));
        Ok(())
    }
}
