//! Packets → bytes.
//!
//! What a version does not have is left out; what would break the standard is an error. The exceptions to leaving out
//! are packets that do not exist in the version at all.

mod ack;
mod connect;
pub(super) mod fields;
mod publish;
mod subscribe;

use super::frame::PacketType;
use super::violation::Violation;
use crate::mqtt::{Packet, ReasonCode, Version};

/// Why a packet cannot be encoded: a mistake on this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("the packet would have {0}")]
    Violation(#[from] Violation),
    #[error("a string or Binary Data of more than 65535 bytes, or a packet of more than 268435455")]
    TooLong,
    #[error("MQTT {version} has no such {packet_type}")]
    NotInVersion { packet_type: PacketType, version: Version },
    #[error("no CONNACK return code of MQTT 3.1.1 says {0}; only closing the Network Connection does")]
    NoReturnCode(ReasonCode),
}

/// Appends `packet` to `out` as `version` spells it; CONNECT as its own version does.
///
/// # Errors
/// A packet that the standard does not allow; `out` is unchanged then.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    fields::all_or_nothing(out, |out| match packet {
        Packet::Connect(connect) => connect::connect(connect, out),
        Packet::ConnAck(connack) => connect::connack(connack, version, out),
        Packet::Publish(publish) => publish::publish(publish, version, out),
        Packet::PubAck(ack) => ack::ack(PacketType::PubAck, ack, version, out),
        Packet::PubRec(ack) => ack::ack(PacketType::PubRec, ack, version, out),
        Packet::PubRel(ack) => ack::ack(PacketType::PubRel, ack, version, out),
        Packet::PubComp(ack) => ack::ack(PacketType::PubComp, ack, version, out),
        Packet::Subscribe(subscribe) => subscribe::subscribe(subscribe, version, out),
        Packet::SubAck(suback) => ack::suback(suback, version, out),
        Packet::Unsubscribe(unsubscribe) => subscribe::unsubscribe(unsubscribe, version, out),
        Packet::UnsubAck(unsuback) => ack::unsuback(unsuback, version, out),
        Packet::PingReq => whole(PacketType::PingReq, out, |_| Ok(())),
        Packet::PingResp => whole(PacketType::PingResp, out, |_| Ok(())),
        Packet::Disconnect(disconnect) => ack::disconnect(disconnect, version, out),
        Packet::Auth(auth) => ack::auth(auth, version, out),
    })
}

/// Appends a packet of this type whose body `write` writes.
fn whole(
    packet_type: PacketType,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    out.push(packet_type.first_byte());
    fields::with_length(out, write)
}
