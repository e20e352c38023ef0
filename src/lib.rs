#![doc = "Tidegate: an MQTT edge for browsers."]
pub mod app;
pub mod cli;
pub mod config;
pub mod connection;
pub mod engine;
pub mod fault;
pub mod mqtt;
