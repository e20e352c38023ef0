//! Bytes ⇄ packets: the strict codec of MQTT 3.1, 3.1.1 and 5.0.
//!
//! Responsible for everything that one packet says by itself: framing, sizes, reserved bits, field types, properties,
//! Reason Codes, who may send what. Each fault is a [`Violation`] with the Reason Code and the clause of the standard.
//!
//! Not here: what depends on earlier packets (a second CONNECT, Topic Aliases, Packet Identifiers in use, negotiated
//! limits) or on configuration; that is `connection::core`.
//!
//! Invariants: a packet that is larger than [`Limits::packet_bytes_max`] is refused at its fixed header; nothing is
//! consumed unless a packet is whole; what decodes can be encoded again; no input panics; memory stays within a small
//! multiple of the packet.
//!
//! The parts of `mqttbytes` that are sound stand behind [`mqttbytes_bridge`]; the rest is ours, PUBLISH above all.

#[cfg(test)]
pub mod cases;
mod decode;
mod encode;
mod frame;
mod mqttbytes_bridge;
pub mod properties;
mod publish_head;
mod reader;
mod reason_codes;
mod section;
mod violation;

pub use encode::{EncodeError, encode};
pub use frame::PacketType;
pub use publish_head::PublishHead;
pub use violation::{DecodeError, Violation};

use super::{Packet, Version};
use decode::Rules;

/// What a decoder accepts at most. All count for one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole packet, fixed header included; larger ones are refused with 0x95 at their header. Default 2
    /// MiB.
    pub packet_bytes_max: u32,
    /// User Properties; the Will's count apart. More are refused with 0x97. Default 64.
    pub user_properties_max: usize,
    /// Topic Filters in SUBSCRIBE and UNSUBSCRIBE. More are refused with 0x97. Default 256.
    pub filters_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { packet_bytes_max: 2 * 1024 * 1024, user_properties_max: 64, filters_max: 256 }
    }
}

/// Who sent the bytes that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Client,
    Server,
}

/// Decodes the packets of one Network Connection in one direction.
///
/// Holds no bytes: the caller keeps the stream and drops what was consumed.
#[derive(Clone, Debug)]
pub struct Decoder {
    version: Option<Version>,
    sender: Sender,
    limits: Limits,
}

impl Decoder {
    /// A decoder whose first packet must be a CONNECT, which sets the version.
    #[must_use]
    pub fn new(sender: Sender, limits: Limits) -> Self {
        Self { version: None, sender, limits }
    }

    /// A decoder of a version that is known already: for what a server sends, and for dialects without CONNECT.
    #[must_use]
    pub fn with_version(sender: Sender, limits: Limits, version: Version) -> Self {
        Self { version: Some(version), sender, limits }
    }

    /// The version of the CONNECT that was decoded first, or as given.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Replaces the limits, which count from the next packet on: small before CONNECT, larger once it is known who
    /// sends.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Decodes one MQTT Control Packet from the front of `stream`, and says how many bytes it took.
    ///
    /// `stream` is a byte stream, not a WebSocket message: packets may be split or joined (MQTT 5.0 §6.0,
    /// `[MQTT-6.0.0-2]`). `None` if more bytes are needed. PUBLISH borrows from `stream`; every other packet owns what
    /// it holds.
    ///
    /// # Errors
    /// The first violation in the packet, as early as its bytes show it. The stream cannot be decoded further.
    #[inline]
    pub fn decode<'a>(&mut self, stream: &'a [u8]) -> Result<Option<(Packet<'a>, usize)>, DecodeError> {
        let Some(&first_byte) = stream.first() else { return Ok(None) };
        let packet_type = self.judge_first_byte(first_byte)?;
        let refuse = |violation| DecodeError { violation, packet_type: Some(packet_type), connect_version: None };
        let Some(extent) = frame::extent(stream, self.limits.packet_bytes_max).map_err(refuse)? else {
            return Ok(None);
        };
        let Some(packet) = stream.get(..extent.packet_len) else { return Ok(None) };
        let body = &packet[extent.header_len..];
        let rules = Rules { version: self.version.unwrap_or(Version::V5), sender: self.sender, limits: &self.limits };
        let decoded = match packet_type {
            PacketType::Publish => Packet::Publish(decode::publish(first_byte, body, &rules).map_err(refuse)?),
            PacketType::Connect => {
                let is_first = self.version.is_none();
                let connect = decode::connect(body, &self.limits).map_err(|refused| DecodeError {
                    connect_version: refused.version.filter(|_| is_first),
                    ..refuse(refused.violation)
                })?;
                self.version.get_or_insert(connect.version);
                Packet::Connect(Box::new(connect))
            }
            _ => decode::other(packet_type, packet, body, &rules).map_err(refuse)?,
        };
        Ok(Some((decoded, extent.packet_len)))
    }

    /// How many bytes the packet at the front of `stream` has; `None` while its header is incomplete.
    ///
    /// # Errors
    /// As [`Decoder::decode`], as far as the header shows it.
    pub fn packet_len(&self, stream: &[u8]) -> Result<Option<usize>, DecodeError> {
        let Some(&first_byte) = stream.first() else { return Ok(None) };
        let packet_type = self.judge_first_byte(first_byte)?;
        match frame::extent(stream, self.limits.packet_bytes_max) {
            Ok(extent) => Ok(extent.map(|extent| extent.packet_len)),
            Err(violation) => Err(DecodeError { violation, packet_type: Some(packet_type), connect_version: None }),
        }
    }

    /// Everything that the first byte of a packet can show to be wrong.
    #[inline]
    fn judge_first_byte(&self, first_byte: u8) -> Result<PacketType, DecodeError> {
        let refuse = |violation, packet_type| Err(DecodeError { violation, packet_type, connect_version: None });
        let Some(packet_type) = PacketType::of_first_byte(first_byte) else {
            return refuse(Violation::ForbiddenPacketType, None);
        };
        if packet_type == PacketType::Publish && self.version.is_some() {
            return Ok(packet_type);
        }
        match (self.version, packet_type) {
            (None, PacketType::Connect) | (Some(Version::V5), _) => {}
            (None, _) => return refuse(Violation::FirstPacketNotConnect, Some(packet_type)),
            (Some(Version::V3 | Version::V4), PacketType::Auth) => {
                return refuse(Violation::ForbiddenPacketType, None);
            }
            (Some(_), _) => {}
        }
        if !packet_type.may_come_from(self.sender) {
            return refuse(Violation::WrongDirection, Some(packet_type));
        }
        // 3.1 calls these bits "not used" and prescribes nothing (MQTT 3.1 §2.1); its clients do set DUP in SUBSCRIBE.
        if self.version != Some(Version::V3) && first_byte & 0x0F != packet_type.prescribed_flags() {
            return refuse(Violation::ReservedFlags, Some(packet_type));
        }
        Ok(packet_type)
    }
}

#[cfg(test)]
mod tests;
