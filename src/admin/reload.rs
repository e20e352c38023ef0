//! What is asked and answered about a reload, between the admin API and whoever carries it out.

use std::fmt;

use serde::Serialize;
use tokio::sync::oneshot;

use crate::fault::Fault;

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Keys of the configuration whose other values hold from here on.
    pub keys: Vec<String>,
    /// Files with other content, which holds from here on.
    pub files: Vec<String>,
    /// Keys, and files of keys, that have changed and need a restart.
    pub needs_restart: Vec<String>,
    /// Subscriptions that the policy no longer grants, and that are gone.
    pub subscriptions_revoked: u64,
}

/// What came of it: what has changed, or the faults that kept everything as it was.
pub type Outcome = Result<Reloaded, Vec<Fault>>;

/// Somebody waits for a reload.
#[derive(Debug)]
pub struct ReloadRequest {
    pub answer: oneshot::Sender<Outcome>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed: Vec<&str> = self.keys.iter().chain(&self.files).map(String::as_str).collect();
        match &*changed {
            [] => f.write_str("nothing has changed"),
            changed => f.write_str(&changed.join(", ")),
        }
    }
}
