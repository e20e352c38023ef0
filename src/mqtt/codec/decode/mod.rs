//! Packet bodies → packets, one file a packet or a family of them.
//!
//! Every function gets the whole body, reads it field by field to the end, and returns the first violation. Nothing
//! here frames.

mod ack;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod subscribe;

pub(super) use connect::connect;
pub(super) use publish::publish;

use super::violation::Violation;
use super::{Limits, PacketType, Sender};
use crate::mqtt::{Packet, Version};

/// What a body is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub version: Version,
    pub sender: Sender,
    pub limits: &'a Limits,
}

impl Rules<'_> {
    pub(super) fn is_v5(&self) -> bool {
        self.version == Version::V5
    }
}

/// Every packet but CONNECT and PUBLISH. `packet` is the whole packet, `body` its part behind the fixed header.
pub(super) fn other(
    packet_type: PacketType,
    packet: &[u8],
    body: &[u8],
    rules: &Rules<'_>,
) -> Result<Packet<'static>, Violation> {
    Ok(match packet_type {
        PacketType::PubAck => Packet::PubAck(ack::ack(packet_type, body, rules)?),
        PacketType::PubRec => Packet::PubRec(ack::ack(packet_type, body, rules)?),
        PacketType::PubRel => Packet::PubRel(ack::ack(packet_type, body, rules)?),
        PacketType::PubComp => Packet::PubComp(ack::ack(packet_type, body, rules)?),
        PacketType::Subscribe => Packet::Subscribe(subscribe::subscribe(body, rules)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(subscribe::unsubscribe(packet, body, rules)?),
        PacketType::SubAck => Packet::SubAck(ack::suback(body, rules)?),
        PacketType::UnsubAck => Packet::UnsubAck(ack::unsuback(body, rules)?),
        PacketType::ConnAck => Packet::ConnAck(Box::new(connack::connack(body, rules)?)),
        PacketType::PingReq if body.is_empty() => Packet::PingReq,
        PacketType::PingResp if body.is_empty() => Packet::PingResp,
        PacketType::PingReq | PacketType::PingResp => return Err(Violation::TrailingBytes),
        PacketType::Disconnect => Packet::Disconnect(disconnect::disconnect(body, rules)?),
        PacketType::Auth => Packet::Auth(disconnect::auth(body, rules)?),
        // The caller decodes these two itself.
        PacketType::Connect | PacketType::Publish => return Err(Violation::Internal),
    })
}
