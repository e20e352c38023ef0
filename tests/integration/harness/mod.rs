//! What every test here stands on: a server of its own, clients of every kind, and waits that end.
//!
//! Not here: anything that a single theme needs.

pub mod authority;
pub mod backend;
pub mod certificates;
pub mod cutter;
pub mod http;
pub mod issuer;
pub mod json;
pub mod mosquitto;
pub mod mqtt;
pub mod puppet;
pub mod random;
pub mod server;
pub mod transport;

pub use cutter::Cutter;
pub use json::JsonClient;
pub use mosquitto::Mosquitto;
pub use mqtt::Client;
pub use puppet::Puppet;
pub use server::{Server, Setup};
pub use transport::{Over, Transport};

use std::time::Duration;

/// How long any one thing may take before a test gives up on it. Generous: two cores may be busy with a build beside.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// SHA-256 in hex, as the foreign clients report a payload.
pub fn digest(payload: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `length` bytes, the same at every call: readable text, or every byte value with none more frequent than another.
pub fn payload(length: usize, is_text: bool) -> Vec<u8> {
    // A linear congruential generator (Knuth's MMIX constants): no byte repeats with a short period, so a lost or doubled block shows.
    let mut state = length as u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let byte = (state >> 56) as u8;
        if is_text { b' ' + byte % 95 } else { byte }
    })
    .take(length)
    .collect()
}
