//! An HTTP server of the operator's own that is asked who a client is. `configs/auth-http.md` tells its author what is asked and answered.
//!
//! | file | |
//! |---|---|
//! | [`question`] | credentials → JSON, and JSON → verdict; pure |
//! | [`cache`] | what was answered lately, bounded, without a password in it; pure |
//! | [`hook`] | the two together with HTTP: one question at a time about the same credentials |
//!
//! Invariants: only a whole, well-formed answer of the server lets anybody in, or one like it that was given lately; whatever goes wrong
//! ends in "come again", never in "come in". No password or token is in the cache, a log line or a `Debug`.

pub mod cache;
pub mod hook;
pub mod question;

use std::path::PathBuf;
use std::time::Duration;

pub use hook::Hook;

use crate::outgoing::Url;

/// Whom to ask, and for how long an answer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    pub url: Url,
    /// Whose certificate is believed there. `None`: whom the system believes.
    pub ca: Option<PathBuf>,
    /// A file with a secret that is sent as a bearer token.
    pub token_file: Option<PathBuf>,
    /// From the login to its answer, waiting for others included. Default: 2 s.
    pub timeout: Duration,
    /// How long a yes holds. Default: 60 s.
    pub allow_ttl: Duration,
    /// How long a no holds. Default: 5 s.
    pub deny_ttl: Duration,
    /// For how much longer a yes holds while the server fails. Default: 5 min.
    pub stale_max: Duration,
    /// The most answers that are kept, of each kind. Default: 10,000.
    pub cache_max: usize,
    /// The most requests under way. Default: 32.
    pub requests_max: usize,
    /// The most different logins that wait for an answer. Default: 4,096.
    pub waiting_max: usize,
    /// The longest answer. Default: 64 KiB.
    pub answer_bytes_max: usize,
}
