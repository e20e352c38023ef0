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
    pub load: LoadConfig,
    pub auth: AuthConfig,
    /// The policy file; `None` allows everything to everybody, which is granted to loopback listeners only.
    pub policy: Option<PathBuf>,
    pub admin: AdminConfig,
    pub log: LogConfig,
    pub reload: ReloadConfig,
    /// How often the `$SYS` topics are brought up to date; zero: never, there are none. Default 10 s.
    pub sys_interval: Duration,
    /// Over which at most a stopping server spreads its goodbyes. Default 5 s.
    pub drain_window: Duration,
    /// How long a successor may take to start. Default 1 min.
    pub handover_timeout: Duration,
    /// How long a stopping server waits for its clients to leave, from the first goodbye. Default 10 s.
    pub drain_timeout: Duration,
}

/// From where on the process carries too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadConfig {
    /// Bytes that clients may make it hold. Zero: any. Default: half of the memory that the process may have.
    pub memory_max: Option<u64>,
    /// How late its tasks may run. Zero: however late. Default 500 ms.
    pub lag_max: Duration,
}

/// How changed files are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadConfig {
    /// Whether the folders of all files are watched. Default: true.
    pub watch: bool,
    /// How long nothing must have happened there before the files are read. Default 200 ms.
    pub settle: Duration,
}
