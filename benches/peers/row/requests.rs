//! What it costs to pass a request on to a server behind: small GETs over connections that stay.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Figure, figure};
use crate::{
    arena::Stage,
    connection::{Event, Plan},
    process,
    swarm::{STALL, Swarm, Target},
    upstream,
};

/// Who asks for how much at once.
#[derive(Clone, Copy)]
pub(super) struct Requests {
    pub(super) clients: usize,
    /// By each of them.
    pub(super) under_way: usize,
}

pub(super) fn measure(stage: &Stage<'_>, target: &Target, requests: Requests) -> anyhow::Result<Vec<Figure>> {
    let (warm_up, measured) = if stage.quick { (0.2, 0.5) } else { (1.0, 4.0) };
    let mut swarm = Swarm::new(stage.tls.clone())?;
    let plan = Plan { client_id: String::new(), subscribe: None };
    swarm.connect_all(target, vec![plan; requests.clients])?;
    for client in (0..requests.clients).flat_map(|client| std::iter::repeat_n(client, requests.under_way)) {
        swarm.publish(client, target.path, 0, &[]);
    }
    swarm.flush()?;
    ask_for(&mut swarm, target, Duration::from_secs_f64(warm_up))?;
    let (server, generator, started) = (stage.server.cpu_time()?, process::own_cpu_time()?, Instant::now());
    let count = ask_for(&mut swarm, target, Duration::from_secs_f64(measured))? as f64;
    let elapsed = started.elapsed();
    let per_request = |span: Duration| span.as_secs_f64() * 1e6 / count;
    Ok(vec![
        figure("server µs a request", per_request(stage.server.cpu_time()? - server)),
        figure("requests a second", count / elapsed.as_secs_f64()),
        figure("generator µs a request", per_request(process::own_cpu_time()? - generator)),
    ])
}

/// Has each client ask again once it is answered; how often that was.
fn ask_for(swarm: &mut Swarm, target: &Target, span: Duration) -> anyhow::Result<usize> {
    let end = Instant::now() + span;
    let mut progress = Instant::now();
    let mut count = 0;
    let mut answered = Vec::new();
    while Instant::now() < end {
        let mut wrong = None;
        swarm.round(Some(Duration::from_millis(100)), |client, event| {
            if let Event::Delivery(page) = event {
                answered.push(client);
                wrong = (page.len() != upstream::PAGE_BYTES).then_some(page.len()).or(wrong);
            }
        })?;
        ensure!(wrong.is_none(), "a page of {wrong:?} bytes and not of {}", upstream::PAGE_BYTES);
        if !answered.is_empty() {
            progress = Instant::now();
        }
        ensure!(progress.elapsed() < STALL, "nobody was answered for {} s", STALL.as_secs());
        count += answered.len();
        for client in answered.drain(..) {
            swarm.publish(client, target.path, 0, &[]);
        }
        swarm.flush()?;
    }
    Ok(count)
}
