//! The JSON Action dialect: one JSON object a WebSocket text message, for pages that have no MQTT library.
//!
//! A message is read in two steps: [`fields`] knows JSON and names, [`decode`] knows what the Actions mean and makes packets. Answers
//! go the other way in [`encode`], deliveries in [`delivery`]. [`JsonDialect`] is what must be remembered between the two: which
//! Packet Identifier stands for which `Id` of the client.
//!
//! Not here: WebSocket frames, the rate of mistakes a client may make (`connection`), what a packet does.
//!
//! Invariants: a mistake in one message costs an error text, never the connection; nothing but a delivery carries `Topic`; nesting
//! never costs stack; a field that is not known is ignored, as pages outlive servers.

mod decode;
mod delivery;
mod encode;
mod error;
mod fields;

pub use decode::implicit_connect;
pub use delivery::{DeliveryTail, delivery_tail, publish_text};
pub use encode::{RETRY_AFTER_PROPERTY, revoked, token_expiring};
pub use error::{ErrorCode, JsonError, Mistake};

use smallvec::SmallVec;

use crate::mqtt::PacketId;

/// The most messages of one client that may wait for an answer with their `Id`. Each costs at most [`ID_BYTES_MAX`] and some words.
pub const WAITING_MAX: usize = 256;

/// The most bytes an `Id` may have, as written in JSON.
pub const ID_BYTES_MAX: usize = 64;

/// One client's side of the dialect: lives as long as its connection.
///
/// A JSON client takes part in one handshake only: its `publish` of QoS 1 or 2 is answered by one `ack`, and it answers a delivery of
/// QoS 1 or 2 by one `ack`, which decodes as PUBACK. The connection therefore answers a QoS 2 PUBLISH at once with PUBACK, and takes
/// a PUBACK as [`crate::engine::message::Acknowledgement::Complete`].
#[derive(Debug, Default)]
pub struct JsonDialect {
    /// What the client waits for, oldest first.
    waiting: SmallVec<[Waiting; 1]>,
    last_packet_id: u16,
    /// Whether the client's first message has been decoded: only that one may be `connect`.
    has_begun: bool,
}

/// A message whose answer shall name its `Id`.
#[derive(Debug, PartialEq, Eq)]
struct Waiting {
    answer: Answer,
    /// As the client wrote it in JSON. `None` only for a ping, which has no Packet Identifier to tell it from others.
    id: Option<Box<str>>,
    /// Whether the client asked for a QoS, so that the answer says which was granted.
    asked_qos: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    ConnAck,
    Packet(PacketId),
    PingResp,
    Auth,
}

impl JsonDialect {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A Packet Identifier for the client's next message, which nothing that waits has.
    fn next_packet_id(&mut self) -> PacketId {
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            let Some(packet_id) = PacketId::new(self.last_packet_id) else { continue };
            // At most WAITING_MAX turns.
            if !self.waiting.iter().any(|waiting| waiting.answer == Answer::Packet(packet_id)) {
                return packet_id;
            }
        }
    }

    /// Takes what waits for `answer` off the list.
    fn answered(&mut self, answer: Answer) -> Option<Waiting> {
        let index = self.waiting.iter().position(|waiting| waiting.answer == answer)?;
        let waiting = self.waiting.remove(index);
        if self.waiting.is_empty() {
            // An idle client owns no heap memory.
            self.waiting = SmallVec::new();
        }
        Some(waiting)
    }
}

#[cfg(test)]
mod tests;
