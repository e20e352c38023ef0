//! Deliveries: the text of a message, made once and shared by all who receive it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use smallvec::SmallVec;

use super::encode::{write_number, write_string};
use crate::engine::message::Message;
use crate::mqtt::{PacketId, QoS};

/// The text that delivers `message` at QoS 0, for [`Message::shared_frame`], without a WebSocket header.
///
/// A payload that is UTF-8 goes as it is, any other as base64.
#[must_use]
pub fn publish_text(message: &Message) -> Bytes {
    const FRAME: usize = r#"{"Action":"publish","Topic":"","Payload":""}"#.len();
    const ENCODING: usize = r#","Encoding":"base64""#.len();
    let payload = message.payload();
    let text = simdutf8::basic::from_utf8(payload);
    // Exact where nothing is escaped, so that one allocation is all.
    let payload_len = if text.is_ok() { payload.len() } else { payload.len().div_ceil(3) * 4 + ENCODING };
    let mut out = Vec::with_capacity(FRAME + message.topic_bytes().len() + payload_len);
    out.extend_from_slice(br#"{"Action":"publish","Topic":"#);
    write_string(&mut out, message.topic());
    out.extend_from_slice(br#","Payload":"#);
    match text {
        Ok(text) => write_string(&mut out, text),
        Err(_) => {
            out.push(b'"');
            out.extend_from_slice(BASE64_STANDARD.encode(payload).as_bytes());
            out.extend_from_slice(br#"","Encoding":"base64""#);
        }
    }
    out.push(b'}');
    out.into()
}

/// What replaces the last byte of [`publish_text`] for one receiver.
pub type DeliveryTail = SmallVec<[u8; 24]>;

/// The end of a delivery at this QoS: the text is all of [`publish_text`] but its last byte, then this.
///
/// At QoS 0 it is the closing brace alone; above, it names QoS and Packet Identifier, which the client acknowledges.
#[must_use]
pub fn delivery_tail(qos: QoS, packet_id: Option<PacketId>) -> DeliveryTail {
    let mut tail = DeliveryTail::new();
    if let Some(packet_id) = packet_id
        && qos != QoS::AtMostOnce
    {
        tail.extend_from_slice(br#","QoS":"#);
        write_number(&mut tail, u64::from(qos as u8));
        tail.extend_from_slice(br#","Id":"#);
        write_number(&mut tail, u64::from(packet_id.get()));
    }
    tail.push(b'}');
    tail
}
