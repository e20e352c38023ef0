//! Tidegate: an MQTT edge for browsers.
//!
//! # The map
//!
//! An **edge** speaks **dialects** of **mqtt** with browsers, **auth** says who, **policy** says what, a **connection** carries it to
//! the **engine**. One line a module, lowest layer first; imports point up this list only, and `tests/architecture` holds that.
//!
//! | module | what it is responsible for |
//! |---|---|
//! | [`fault`] | what an operator wrote that cannot stand: place, found, allowed |
//! | [`document`] | a YAML text as a tree in which every value knows its line and column |
//! | [`wheel`] | one coarse timer wheel for every deadline that must cost nothing |
//! | [`recent`] | a bounded map that forgets what has not been used for longest |
//! | [`unhurried`] | work that gives way to messages' threads |
//! | [`load`] | how much the process carries, and when that is too much |
//! | [`outgoing`] | HTTP to others: connections, whose certificates are believed, short exchanges |
//! | [`mqtt`] | the standard as types: topics, packets, properties, Reason Codes, the codec of 3.1, 3.1.1 and 5.0 |
//! | [`engine`] | the in-process broker: sessions, Subscriptions, routing, retained messages; `engine::message` is its seam |
//! | [`auth`] | credentials → principal |
//! | [`policy`] | principal + action + topic → verdict, with the rule that decided |
//! | [`dialect`] | how a browser spells it: WebSocket frames, JSON Actions |
//! | [`connection`] | one Network Connection: the state machine (`connection::core`) and the task that drives it |
//! | [`edge`] | what faces the network: listeners, TLS and its certificates (ACME), HTTP/1.1 and HTTP/2, WebSockets, files, proxying |
//! | [`telemetry`], [`admin`] | counters, logs, the `$SYS` topics, and the operator's listener: probes, metrics, the admin API |
//! | [`config`] | as written → as meant, all faults at once |
//! | [`app`] | the composition root: build → run → drain; the only file that knows everyone |
//! | [`cli`] | the commands |
//!
//! # The way of one PUBLISH
//!
//! ```text
//! socket ─▶ connection::task reads what there is (transport) ─▶ inbound: WebSocket frames, then mqtt::codec or dialect::json
//!        ─▶ connection::core: state, alias, quota, gate (envelope, policy) ← a Reason Code is chosen here, a verdict is made here
//!        ─▶ engine.publish: Subscriptions trie ─▶ each session: window or queue ─▶ its Outlet (connection::link)
//!        ─▶ wire: spelled in the receiver's dialect, appended to its outbox, the outlet noted in the Round
//! end of the round: every noted outlet is flushed once (link ─▶ transport)                                ← bytes leave here
//!                   (one that many publish to at once: after the tasks that are ready, once for all of them: connection::gather)
//! ```
//!
//! The publisher's own task does all of it: no channel, no wake-up of the receiver's task, which runs only when its socket would
//! block, to drain it when writable again. A slow receiver fills its own bounded outbox and loses by its own rule.

pub mod admin;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod connection;
pub mod dialect;
pub mod document;
pub mod edge;
pub mod engine;
pub mod fault;
pub mod load;
pub mod mqtt;
pub mod outgoing;
pub mod policy;
pub mod recent;
pub mod telemetry;
pub mod unhurried;
pub mod wheel;
