//! The configuration as meant: every value resolved, checked and typed. Each section is what one module takes at its construction.

use std::path::PathBuf;
use std::time::Duration;

use crate::admin::AdminConfig;
use crate::auth::AuthConfig;
use crate::connection::ConnectionConfig;
use crate::edge::EdgeConfig;
use crate::engine::EngineConfig;
use crate::telemetry::LogConfig;

/// All that the program is told; [`load`](super::load) makes it, so that it holds nothing unchecked.
#[derive(Clone, Debug)]
pub struct Config {
    pub edge: EdgeConfig,
    pub connection: ConnectionConfig,
    pub engine: EngineConfig,
    pub auth: AuthConfig,
    /// The policy file; `None` allows everything to everybody, which is granted to loopback listeners only.
    pub policy: Option<PathBuf>,
    pub admin: AdminConfig,
    pub log: LogConfig,
    /// How often the `$SYS` topics are brought up to date; zero: never, there are none. Default 10 s.
    pub sys_interval: Duration,
    /// Over which at most a stopping server spreads its goodbyes. Default 5 s.
    pub drain_window: Duration,
    /// How long a successor may take to start. Default 1 min.
    pub handover_timeout: Duration,
    /// How long a stopping server waits for its clients to leave, from the first goodbye. Default 10 s.
    pub drain_timeout: Duration,
}
