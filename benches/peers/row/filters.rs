//! What a subscription costs to make and to keep, and a PUBLISH among many that do not match it.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Figure, Stage, figure};
use crate::{
    connection::{Event, Plan},
    swarm::{STALL, Swarm, Target},
};

const CLIENTS: usize = 100;

/// Subscriptions that match each message.
const MATCHES: usize = 3;

/// SUBSCRIBEs, later PUBLISHes, outstanding at once.
const WINDOW: usize = 256;

pub(super) fn measure(stage: &Stage<'_>, target: &Target) -> anyhow::Result<Vec<Figure>> {
    let groups = if stage.quick { 3334 } else { 33_334 };
    let filters = groups * MATCHES;
    let mut bulk = Bulk { swarm: Swarm::new(stage.tls.clone())?, groups };
    let plans = (0..CLIENTS).map(|number| Plan { client_id: format!("bench-f{number}"), subscribe: None });
    bulk.swarm.connect_all(target, plans.collect())?;
    // A first subscription and message, so that the base holds what a server allocates once.
    for number in 0..CLIENTS {
        bulk.swarm.subscribe(number, &format!("warm/{number}"), 0);
    }
    bulk.await_events(CLIENTS)?;

    let base = stage.server.private_bytes()?;
    let cpu = stage.server.cpu_time()?;
    bulk.drive(filters, 1, |swarm, index| {
        let (client, filter) = subscription(index);
        swarm.subscribe(client, &filter, 0);
    })?;
    let cpu_subscribed = stage.server.cpu_time()?;
    let full = stage.server.private_bytes()?;

    let messages = if stage.quick { 10_000 } else { 100_000 };
    let payload = [b'.'; 64];
    bulk.drive(messages, MATCHES, |swarm, index| {
        // Every topic is used about equally often, but neighbours in time are not neighbours in name.
        let group = index.wrapping_mul(7919) % groups;
        swarm.publish(index % CLIENTS, &format!("bench/{}/{group}/state", group / 100), 0, &payload);
    })?;
    let cpu_published = stage.server.cpu_time()?;
    bulk.swarm.disconnect_all();
    let us_each = |span: Duration, count: usize| span.as_secs_f64() * 1e6 / count as f64;
    Ok(vec![
        figure("bytes a filter", (full as f64 - base as f64) / filters as f64),
        figure("server µs a SUBSCRIBE", us_each(cpu_subscribed - cpu, filters)),
        figure("server µs a PUBLISH", us_each(cpu_published - cpu_subscribed, messages)),
    ])
}

/// The client and the filter of subscription `index`: each group of three matches one topic, exactly, by `+` and by `#`.
fn subscription(index: usize) -> (usize, String) {
    let group = index / MATCHES;
    let last = match index % MATCHES {
        0 => "state",
        1 => "+",
        _ => "#",
    };
    (index % CLIENTS, format!("bench/{}/{group}/{last}", group / 100))
}

struct Bulk {
    swarm: Swarm,
    groups: usize,
}

impl Bulk {
    /// Does `act` for each index below `count`, at most [`WINDOW`] ahead of the `answers` that each brings.
    fn drive(&mut self, count: usize, answers: usize, act: impl Fn(&mut Swarm, usize)) -> anyhow::Result<()> {
        let mut started = 0;
        let mut answered = 0;
        while answered < count * answers {
            while started < count && started < answered / answers + WINDOW {
                act(&mut self.swarm, started);
                started += 1;
            }
            answered += self.await_events(1)?;
        }
        ensure!(answered == count * answers, "{answered} answers came in place of {}", count * answers);
        Ok(())
    }

    /// Flushes and waits for at least `wanted` deliveries and SUBACKs; how many came.
    fn await_events(&mut self, wanted: usize) -> anyhow::Result<usize> {
        self.swarm.flush()?;
        let mut seen = 0;
        let mut progress = Instant::now();
        while seen < wanted {
            let before = seen;
            self.swarm.round(Some(Duration::from_millis(100)), |_, event| {
                if matches!(event, Event::Delivery(_) | Event::Subscribed) {
                    seen += 1;
                }
            })?;
            if seen > before {
                progress = Instant::now();
            }
            ensure!(progress.elapsed() < STALL, "an answer of {} groups of filters is missing", self.groups);
        }
        Ok(seen)
    }
}
