//! What reloads count, for telemetry to show.

use std::sync::atomic::AtomicU64;

/// Counted since the start of the process, unless a field says otherwise.
#[derive(Debug, Default)]
pub struct ReloadCounters {
    /// Reloads that were taken.
    pub reloads: AtomicU64,
    /// Reloads that changed nothing, as something was at fault.
    pub reloads_failed: AtomicU64,
    /// Times that the files were looked at, as something had happened in their folders.
    pub reload_looks: AtomicU64,
    /// Folders watched at this moment; 0: only SIGHUP and the admin API reload.
    pub reload_folders_watched: AtomicU64,
    /// When the configuration was last taken, in seconds since the epoch; the start counts.
    pub reload_taken_at_s: AtomicU64,
}
