//! The MQTT standard as types: names, packets, properties, Reason Codes and the bytes they travel as.
//!
//! One [`Packet`] type serves MQTT 3.1, 3.1.1 and 5.0 and every dialect; where the versions differ, the codec knows, not the type.
//! A value of these types can always be encoded: what a peer may not say has no value here.
//!
//! Not here: what a packet *means* (`connection::core`), who may say it (`policy`), where it goes (`engine`).
//!
//! Invariants: no IO, no clock, no entropy; nothing a peer sends panics or allocates more than a small multiple of what it sent.

pub mod codec;
pub mod packet;
pub mod property;
pub mod reason_code;
pub mod topic;

pub use packet::Packet;
pub use reason_code::ReasonCode;
pub use topic::{TopicFilter, TopicName};

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;

/// A Packet Identifier: never 0 (MQTT 5.0 §2.2.1).
pub type PacketId = NonZeroU16;

/// A protocol version a client may speak (MQTT 5.0 §3.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    V3,
    /// MQTT 3.1.1: protocol name `MQTT`, level 4.
    V4,
    /// MQTT 5.0: protocol name `MQTT`, level 5.
    V5,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3 => "3.1",
            Self::V4 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}

/// Quality of Service of an Application Message (MQTT 5.0 §4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    #[default]
    AtMostOnce = 0,
    AtLeastOnce = 1,
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS that `value` (0, 1 or 2) stands for.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A Client Identifier: UTF-8, no NUL, at most 65,535 bytes (MQTT 5.0 §3.1.3.1). Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Takes `text` as a Client Identifier; the codec has checked that it is an MQTT UTF-8 string.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
