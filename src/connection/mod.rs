//! One Network Connection: what lives as long as the socket, and no longer.
//!
//! The edge hands in an [`Accepted`] transport whose handshakes are over; from there the connection reads, decodes, judges, hands to
//! the engine, and carries what the engine has for its client back out. One state machine (`core`) serves every dialect.
//!
//! Not here: Session State (`engine`), what bytes mean (`dialect`, `mqtt::codec`), who may do what (`policy`).

pub mod accepted;
pub mod admission;

pub use accepted::{Accepted, Protocol, Stream, TlsStream};
pub use admission::{Handshake, Handshakes, Place};
