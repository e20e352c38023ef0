//! Where one packet ends and the next begins: fixed header, Remaining Length, size limit (MQTT 5.0 §2.1).

use std::fmt;

use super::Sender;
use super::reader::{Vbi, read_vbi};
use super::violation::Violation;

/// The type in the high four bits of a packet's first byte (MQTT 5.0 §2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    /// 5.0 only; reserved before.
    Auth = 15,
}

impl PacketType {
    /// The type of a packet whose first byte is `byte`; `None` for the reserved type 0.
    #[must_use]
    pub fn of_first_byte(byte: u8) -> Option<Self> {
        Some(match byte >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The low four bits that the standard prescribes for every type but PUBLISH (MQTT 5.0 §2.1.3).
    pub(super) fn prescribed_flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    /// Whether the standard lets this side send such packets (MQTT 5.0 §2.1.2, table 2-1).
    pub(super) fn may_come_from(self, sender: Sender) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::PingReq => sender == Sender::Client,
            Self::ConnAck | Self::SubAck | Self::UnsubAck | Self::PingResp => sender == Sender::Server,
            Self::Publish
            | Self::PubAck
            | Self::PubRec
            | Self::PubRel
            | Self::PubComp
            | Self::Disconnect
            | Self::Auth => true,
        }
    }

    /// The first byte of such a packet, flags included; for PUBLISH without any.
    pub(super) fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.prescribed_flags()
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        })
    }
}

/// The extent of the packet at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes of the fixed header: 2 to 5.
    pub header_len: usize,
    /// Bytes of the whole packet.
    pub packet_len: usize,
}

/// How far the packet at the front of `stream` reaches; `None` if its header is not complete yet.
///
/// # Errors
/// A Remaining Length that is malformed, or one that makes the packet larger than `packet_bytes_max`: known before any
/// byte of the body.
#[inline]
pub(super) fn extent(stream: &[u8], packet_bytes_max: u32) -> Result<Option<Extent>, Violation> {
    let Some(rest) = stream.get(1..) else { return Ok(None) };
    match read_vbi(rest)? {
        Vbi::Incomplete => Ok(None),
        Vbi::Complete { value, len } => {
            let header_len = 1 + len;
            let packet_len = header_len + value as usize;
            if packet_len > packet_bytes_max as usize {
                return Err(Violation::PacketTooLarge);
            }
            Ok(Some(Extent { header_len, packet_len }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_limit_includes_the_fixed_header() {
        let stream = [0x30, 8];
        assert_eq!(extent(&stream, 10), Ok(Some(Extent { header_len: 2, packet_len: 10 })));
        assert_eq!(extent(&stream, 9), Err(Violation::PacketTooLarge));
    }

    #[test]
    fn header_alone_refuses_a_large_packet() {
        assert_eq!(extent(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F], 8192), Err(Violation::PacketTooLarge));
    }

    #[test]
    fn remaining_length_is_minimal_and_has_at_most_four_bytes() {
        assert_eq!(extent(&[0x30, 0x80, 0x00], 100), Err(Violation::LengthNotMinimal));
        assert_eq!(extent(&[0x30, 0x80, 0x80, 0x80, 0x80], 100), Err(Violation::LengthTooLong));
        assert_eq!(extent(&[0x30, 0x80, 0x80, 0x80], 100), Ok(None));
    }
}
