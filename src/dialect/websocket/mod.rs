//! WebSocket framing from the server's side (RFC 6455 §5): bytes from a client to payloads, payloads to frames.
//!
//! tungstenite gives the words ([`OpCode`], [`CloseCode`]) and parses frame headers, 10 ns dearer than a parser of our own would; the
//! loop is ours, because tungstenite's keeps a read buffer a connection, copies what it sends, checks a frame only when it is whole,
//! accepts lengths that are not minimal, and never tires of empty fragments.
//!
//! Not here: the opening handshake (`edge`), deadlines and the ping timer (`connection`), what the payload says (the dialects).
//!
//! Invariants: no IO, no clock; an idle decoder owns no heap memory; a message is never longer than `message_bytes_max`; no extension
//! is ever negotiated, so the reserved bits are 0.

mod decoder;
mod error;
mod mask;
mod writer;

pub use decoder::{Event, Expect, FrameDecoder};
pub use error::FrameError;
pub use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
pub use writer::{
    BINARY, HEADER_BYTES_MAX, TEXT, header_len, write_close, write_close_reply, write_frame, write_header, write_ping,
    write_pong,
};

/// The most payload a control frame may carry (RFC 6455 §5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

#[cfg(test)]
mod tests;
