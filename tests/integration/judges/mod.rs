//! Clients that others wrote, through every feature that they know, and promises kept where it is hard to keep them.

mod exactly_once;
pub(crate) mod judge;
mod libraries;
mod mosquitto;
mod retained_at_scale;
