//! Measures how much the process carries, and acts where that is too much.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch::Receiver;

use crate::admin::Readiness;
use crate::config::LoadConfig;
use crate::connection::Connections;
use crate::load::{Limits, Load, Overload, Watch};
use crate::telemetry::process;

/// How often load is measured.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long memory may be used up before a connection is cut for it, and how long it takes to see what that has freed.
const CUT_INTERVAL: Duration = Duration::from_secs(1);

/// From where on there is too much; where nothing is said of memory, half of what there is.
pub(super) fn limits(config: LoadConfig) -> Limits {
    let memory_max = match config.memory_max {
        Some(0) => None,
        Some(bytes) => Some(bytes),
        None => process::memory_bytes().map(|bytes| bytes / 2),
    };
    Limits { memory_max, lag_max: config.lag_max }
}

/// Measures for ever, by the `limits` that hold at the time. The wait between two measurements is the measurement of lag: it ends as late as any task of the runtime would run.
pub(super) async fn watch(
    load: Arc<Load>,
    mut limits: Receiver<Limits>,
    connections: Connections,
    readiness: Readiness,
) {
    let mut watch = Watch::new(*limits.borrow_and_update());
    let mut before = None;
    let mut cut_at = None;
    loop {
        let due = Instant::now() + INTERVAL;
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        // Where nobody is left to replace them, the last ones hold.
        if limits.has_changed().unwrap_or_default() {
            let limits = *limits.borrow_and_update();
            load.memory().set_max(limits.memory_max);
            watch.set(limits);
        }
        load.measure(&mut watch, now.saturating_duration_since(due));
        let overload = load.overload();
        readiness.set_overloaded(overload.is_some());
        tell(&load, before, overload);
        before = overload;
        if overload != Some(Overload::Memory) {
            cut_at = None;
        } else if *cut_at.get_or_insert(now + CUT_INTERVAL) <= now {
            connections.cut_largest_reader();
            cut_at = Some(now + CUT_INTERVAL / 10);
        }
    }
}

fn tell(load: &Load, before: Option<Overload>, now: Option<Overload>) {
    let (lag_ms, booked_bytes) = (load.lag_ms(), load.memory().used());
    match now {
        now if now == before => {}
        Some(overload) => {
            let reason = overload.name();
            tracing::warn!(reason, lag_ms, booked_bytes, "Overloaded; newcomers are turned away");
        }
        None => tracing::info!(lag_ms, booked_bytes, "No longer overloaded"),
    }
}
