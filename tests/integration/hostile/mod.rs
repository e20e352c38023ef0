//! Clients that mean harm, by the classes of failure that took other servers down.
//!
//! Every test ends with the same question: is the server still there, and does it still serve others ([`unharmed`])?

mod authorization;
mod frames;
mod http;
mod packets;
mod resources;

use tidegate::mqtt::{QoS, Version};

use crate::harness::{Client, Over, Server};

/// The server runs, has not grown by more than `bytes_max` beyond `before`, and serves a newcomer.
pub fn unharmed(server: &mut Server, before: u64, bytes_max: u64) {
    assert!(server.is_running(), "it printed:\n{}", server.printed());
    assert!(!server.printed().contains("panicked at"), "it printed:\n{}", server.printed());
    let mut newcomer = Client::connect(server, Over::Wss, Version::V5, "newcomer");
    newcomer.subscribe("newcomer", QoS::AtLeastOnce);
    newcomer.publish("newcomer", b"served", QoS::AtMostOnce, false);
    newcomer.expect_message("newcomer", b"served");
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown <= bytes_max, "memory grew by {grown} bytes");
}

/// Memory that an allocator may keep for itself without anything being wrong.
pub const ALLOCATOR_SLACK: u64 = 16 << 20;
