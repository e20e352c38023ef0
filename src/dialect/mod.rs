//! How a browser spells what it means: dialects are codecs to and from [`crate::mqtt::Packet`].
//!
//! - [`websocket`]: RFC 6455 framing, below both dialects that browsers speak; the MQTT dialect is its binary messages as they are.
//! - [`json`]: Actions in WebSocket text messages.
//!
//! Not here: the opening handshake (`edge`), what a packet means (`connection::core`), who may send it (`policy`).
//!
//! Invariants: no IO, no clock, no entropy; nothing a peer sends panics; what is buffered is bounded by a limit the caller names.

pub mod json;
pub mod websocket;
