//! What an idle connection with one subscription costs in private memory.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{Figure, figure};
use crate::{
    arena::Stage,
    connection::Plan,
    swarm::{Swarm, Target},
};

/// Connections made and closed before the base is read, so that it holds what a server allocates once.
pub(crate) const WARM_UP: usize = 200;

/// How long everything rests before memory is read.
pub(crate) const REST: Duration = Duration::from_secs(2);

pub(super) fn measure(stage: &Stage<'_>, target: &Target) -> anyhow::Result<Vec<Figure>> {
    let connections = if stage.quick { 1000 } else { 10_000 };
    let mut swarm = Swarm::new(stage.tls.clone())?;
    swarm.connect_all(target, (0..WARM_UP).map(|number| plan("warm", number)).collect())?;
    swarm.disconnect_all();
    thread::sleep(REST);
    let base = stage.server.private_bytes()?;

    let started = Instant::now();
    swarm.connect_all(target, (0..connections).map(|number| plan("idle", number)).collect())?;
    let connected = started.elapsed();
    rest(&mut swarm)?;
    let full = stage.server.private_bytes()?;
    let cpu = stage.server.cpu_time()?;
    rest(&mut swarm)?;
    let cpu_idle = stage.server.cpu_time()? - cpu;
    swarm.disconnect_all();
    Ok(vec![
        figure("bytes each", (full as f64 - base as f64) / connections as f64),
        figure("base MiB", base as f64 / f64::from(1 << 20)),
        figure("connects a second", connections as f64 / connected.as_secs_f64()),
        figure("idle CPU ms a second", cpu_idle.as_secs_f64() * 1000.0 / REST.as_secs_f64()),
    ])
}

pub(crate) fn plan(kind: &str, number: usize) -> Plan {
    Plan { client_id: format!("bench-{kind}-{number}"), subscribe: Some((format!("bench/{kind}/{number}"), 0)) }
}

/// Lets time pass, answers pings, and notices a client that is thrown out.
pub(crate) fn rest(swarm: &mut Swarm) -> anyhow::Result<()> {
    let end = Instant::now() + REST;
    while Instant::now() < end {
        swarm.round(Some(Duration::from_millis(100)), |_, _| {}).context("while idle")?;
    }
    Ok(())
}
