#![doc = "Tidegate: an MQTT edge for browsers."]
pub mod auth;
pub mod cli;
pub mod connection;
pub mod dialect;
pub mod engine;
pub mod fault;
pub mod mqtt;
pub mod policy;
pub mod wheel;
