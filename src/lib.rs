#![doc = "Tidegate: an MQTT edge for browsers."]
pub mod engine;
pub mod fault;
pub mod mqtt;
