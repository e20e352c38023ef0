//! The readers and writers of `mqttbytes` 0.6 that are sound, behind our own framing and checks.
//!
//! Its readers get whole packets that [`decode`](super::decode) has judged already: it accepts far more than the
//! standard does, so it never decides. Its writers get values that [`encode`](fn@super::encode) has checked: they check
//! nothing and count on it.
//!
//! What is not here is wrong in `mqttbytes` or missing: framing (lengths that are not minimal, a size limit that leaves
//! the header out), PUBLISH (a second Subscription Identifier moves properties into the payload), CONNECT (3.1, binary
//! passwords, the Connect flags written at an absolute offset), 5.0 UNSUBSCRIBE (prints to stderr), 5.0 CONNACK without
//! properties, DISCONNECT, AUTH, topics; or it costs too much where clients subscribe by the hundred thousand: SUBSCRIBE (a copy
//! of the packet, an allocation and a second check for each Topic Filter) and SUBACK (a buffer of its own).

use bytes::BytesMut;
use mqttbytes::v4;

use super::encode::EncodeError;
use super::violation::Violation;
use crate::mqtt::packet::{SubAck, Unsubscribe};
use crate::mqtt::{PacketId, ReasonCode, TopicFilter};

/// Reads an UNSUBSCRIBE of 3.1.1 or 3.1, which has the same layout.
pub(super) fn read_unsubscribe_v4(packet: &[u8]) -> Result<Unsubscribe, Violation> {
    let Ok(v4::Packet::Unsubscribe(unsubscribe)) = v4::read(&mut BytesMut::from(packet), packet.len()) else {
        return Err(internal());
    };
    Ok(Unsubscribe {
        packet_id: packet_id(unsubscribe.pkid)?,
        user_properties: Vec::new(),
        filters: unsubscribe.topics.iter().map(|topic| topic_filter(topic)).collect::<Result<_, _>>()?,
    })
}

/// Writes a CONNACK of 3.1.1 or 3.1.
pub(super) fn write_connack_v4(
    session_present: bool,
    reason: ReasonCode,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let code = match reason.connack_return_code() {
        Some(0) => v4::ConnectReturnCode::Success,
        Some(1) => v4::ConnectReturnCode::RefusedProtocolVersion,
        Some(2) => v4::ConnectReturnCode::BadClientId,
        Some(3) => v4::ConnectReturnCode::ServiceUnavailable,
        Some(4) => v4::ConnectReturnCode::BadUserNamePassword,
        Some(5) => v4::ConnectReturnCode::NotAuthorized,
        _ => return Err(EncodeError::NoReturnCode(reason)),
    };
    write(out, |buffer| v4::ConnAck::new(code, session_present).write(buffer))
}

/// Writes an UNSUBACK of 3.1.1 or 3.1, which says nothing but that it happened.
pub(super) fn write_unsuback_v4(unsuback: &SubAck, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write(out, |buffer| v4::UnsubAck::new(unsuback.packet_id.get()).write(buffer))
}

/// Lets `mqttbytes` write to a buffer of its own: some of its writers count on an empty one, and leave half a packet on
/// an error.
fn write(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut BytesMut) -> Result<usize, mqttbytes::Error>,
) -> Result<(), EncodeError> {
    let mut buffer = BytesMut::new();
    write(&mut buffer).map_err(|_| EncodeError::TooLong)?;
    out.extend_from_slice(&buffer);
    Ok(())
}

fn packet_id(packet_id: u16) -> Result<PacketId, Violation> {
    PacketId::new(packet_id).ok_or_else(internal)
}

fn topic_filter(text: &str) -> Result<TopicFilter, Violation> {
    TopicFilter::parse(text).map_err(|_| internal())
}

/// A packet that was judged to stand, yet cannot be read: a mistake between the two, never the peer's.
fn internal() -> Violation {
    debug_assert!(false, "mqttbytes does not read a packet that passed every check");
    Violation::Internal
}
