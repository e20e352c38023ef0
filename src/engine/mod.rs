//! The in-process broker: sessions, Subscriptions, routing, retained messages.
//!
//! Owns what MQTT 5.0 §4.1 calls Session State; what dies with the Network Connection is `connection`'s. Knows nothing of policy,
//! dialects or sockets: a connection speaks to it through [`message`], synchronously and from its own task, and what a call delivers
//! is in the receivers' outlets when it returns.
//!
//! Invariants: no IO, no clock (every call takes `now`), no entropy (the hasher's seed is given); short locks, taken in the order
//! directory → publisher → Subscriptions → session → retained → outlet, never the other way; every queue and map has a bound in [`EngineConfig`] and a counter.

pub mod config;
mod core;
pub mod counters;
mod handing_on;
mod handle;
mod lifecycle;
pub mod message;
mod review;
mod survey;

pub use config::{EngineConfig, QueueFull, SlowClients, WhenFull};
pub use core::outgoing::Pumped;
pub use core::session::{Attached, Publishing};
pub use counters::EngineCounters;
pub use handle::{Engine, Published, SubscribeError};
pub use lifecycle::Opened;
pub use message::{Delivered, Delivery, Message, Outlet, Round};
pub use review::{Lost, Sweep, Swept};
pub use survey::{Held, Surveyed};

#[cfg(any(test, feature = "model"))]
mod invariants;
#[cfg(any(test, feature = "model"))]
pub mod model;
#[cfg(test)]
mod tests;
