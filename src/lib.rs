#![doc = "Tidegate: an MQTT edge for browsers."]
pub mod admin;
pub mod connection;
pub mod edge;
pub mod engine;
pub mod fault;
pub mod mqtt;
pub mod telemetry;
