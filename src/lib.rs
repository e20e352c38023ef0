#![doc = "Tidegate: an MQTT edge for browsers."]
pub mod connection;
pub mod dialect;
pub mod engine;
pub mod fault;
pub mod mqtt;
