//! What it costs to let a client in: TCP, TLS 1.3, upgrade, CONNECT, CONNACK, and its orderly leave.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Figure, figure};
use crate::{
    arena::Stage,
    connection::{Event, Plan},
    process,
    swarm::{STALL, Swarm, Target},
};

const AT_ONCE: usize = 64;

/// Clients in one measurement, at most: each leaves a port in TIME_WAIT behind.
const CONNECTS_MAX: usize = 10_000;

pub(super) fn measure(stage: &Stage<'_>, target: &Target) -> anyhow::Result<Vec<Figure>> {
    let (warm_up, measured) = if stage.quick { (0.2, 0.5) } else { (0.5, 2.0) };
    let mut crowd = Crowd { swarm: Swarm::new(stage.tls.clone())?, started: 0, connected: 0 };
    for _ in 0..AT_ONCE {
        let plan = crowd.next_plan();
        crowd.swarm.start(target, plan)?;
    }
    crowd.run_for(target, Duration::from_secs_f64(warm_up))?;
    let (connected, server, generator) = (crowd.connected, stage.server.cpu_time()?, process::own_cpu_time()?);
    let started = Instant::now();
    crowd.run_for(target, Duration::from_secs_f64(measured))?;
    let elapsed = started.elapsed();
    let count = (crowd.connected - connected) as f64;
    let per_connect = |span: Duration| span.as_secs_f64() * 1e6 / count;
    let figures = vec![
        figure("server µs a connect", per_connect(stage.server.cpu_time()? - server)),
        figure("connects a second", count / elapsed.as_secs_f64()),
        figure("generator µs a connect", per_connect(process::own_cpu_time()? - generator)),
    ];
    crowd.swarm.disconnect_all();
    Ok(figures)
}

struct Crowd {
    swarm: Swarm,
    started: usize,
    connected: usize,
}

impl Crowd {
    fn next_plan(&mut self) -> Plan {
        self.started += 1;
        Plan { client_id: format!("bench-c{}", self.started), subscribe: None }
    }

    /// Replaces each client that is connected by the next one.
    fn run_for(&mut self, target: &Target, span: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + span;
        let mut progress = Instant::now();
        while Instant::now() < end && self.connected < CONNECTS_MAX {
            let mut ready = Vec::new();
            self.swarm.round(Some(Duration::from_millis(100)), |client, event| {
                if let Event::Ready = event {
                    ready.push(client);
                }
            })?;
            if !ready.is_empty() {
                progress = Instant::now();
            }
            ensure!(progress.elapsed() < STALL, "no client could connect for {} s", STALL.as_secs());
            for client in ready {
                self.connected += 1;
                self.swarm.disconnect(client);
                let plan = self.next_plan();
                self.swarm.start_at(client, target, plan)?;
            }
        }
        Ok(())
    }
}
