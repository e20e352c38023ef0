//! What a subscription costs to make and to keep, and a PUBLISH among many that do not match it.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Figure, figure};
use crate::{
    arena::Stage,
    connection::{Event, Plan},
    swarm::{STALL, Swarm, Target},
};

const CLIENTS: usize = 100;

/// Subscriptions that match each message.
const MATCHES: usize = 3;

/// Groups of which each is matched as a whole; the few that the many are compared with.
const FEW: usize = 100;

/// SUBSCRIBEs, later PUBLISHes, outstanding at once: two or three a client.
const WINDOW: usize = 256;

/// SUBSCRIBEs outstanding at once where clients send all that they have, as after a reconnect: eighty each.
const WINDOW_IN_BULK: usize = 8192;

/// Some look at every filter for each message, and would take an hour.
const PUBLISHING_MAX: Duration = Duration::from_secs(10);

pub(super) fn measure(stage: &Stage<'_>, target: &Target) -> anyhow::Result<Vec<Figure>> {
    measure_groups(stage, target, if stage.quick { 3334 } else { 33_334 })
}

/// With `groups` of three filters, of which each message matches one.
pub(crate) fn measure_groups(stage: &Stage<'_>, target: &Target, groups: usize) -> anyhow::Result<Vec<Figure>> {
    let messages = if stage.quick { 10_000 } else { 100_000 };
    let half = FEW + (groups - FEW) / 2;
    let mut bulk = Bulk { swarm: Swarm::new(stage.tls.clone())? };
    let plans = (0..CLIENTS).map(|number| Plan { client_id: format!("bench-f{number}"), subscribe: None });
    bulk.swarm.connect_all(target, plans.collect())?;

    // The first few also see to it that the base holds what a server allocates once.
    bulk.subscribe(0, FEW, WINDOW)?;
    bulk.publish(messages / 10, FEW)?;
    let cpu = stage.server.cpu_time()?;
    let published_among_few = bulk.publish(messages, FEW)?;
    let cpu_among_few = stage.server.cpu_time()?;

    let base = stage.server.private_bytes()?;
    let one_by_one = bulk.subscribe(FEW, half, WINDOW)?;
    let cpu_one_by_one = stage.server.cpu_time()?;
    let in_bulk = bulk.subscribe(half, groups, WINDOW_IN_BULK)?;
    let cpu_subscribed = stage.server.cpu_time()?;
    let full = stage.server.private_bytes()?;
    let published = bulk.publish(messages, groups)?;
    let cpu_published = stage.server.cpu_time()?;
    bulk.swarm.disconnect_all();

    let us_each = |span: Duration, count: usize| span.as_secs_f64() * 1e6 / count as f64;
    let among_few = us_each(cpu_among_few - cpu, published_among_few);
    let among_all = us_each(cpu_published - cpu_subscribed, published);
    Ok(vec![
        figure("bytes a filter", (full as f64 - base as f64) / (one_by_one + in_bulk) as f64),
        figure("server µs a SUBSCRIBE", us_each(cpu_one_by_one - cpu_among_few, one_by_one)),
        figure("server µs a SUBSCRIBE in bulk", us_each(cpu_subscribed - cpu_one_by_one, in_bulk)),
        figure("server µs a PUBLISH", among_all),
        figure("× that of a PUBLISH among 300", among_all / among_few),
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

/// A number without any pattern in it: who publishes must not tell to which topic, or the few would gain by what gathers for a receiver.
fn scatter(index: usize) -> usize {
    let mixed = (index as u64 ^ 0x5851_f42d_4c95_7f2d).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) as usize >> 8
}

struct Bulk {
    swarm: Swarm,
}

impl Bulk {
    /// Makes the subscriptions of the groups from `first` up to `end`; how many these were.
    fn subscribe(&mut self, first: usize, end: usize, window: usize) -> anyhow::Result<usize> {
        let subscribe = |swarm: &mut Swarm, index| {
            let (client, filter) = subscription(first * MATCHES + index);
            swarm.subscribe(client, &filter, 0);
        };
        self.drive((end - first) * MATCHES, 1, window, None, subscribe)
    }

    /// Sends `count` messages, which match a group of the first `groups` each, or as many as go in [`PUBLISHING_MAX`]; how many.
    fn publish(&mut self, count: usize, groups: usize) -> anyhow::Result<usize> {
        self.drive(count, MATCHES, WINDOW, Some(Instant::now() + PUBLISHING_MAX), |swarm, index| {
            let group = scatter(index) % groups;
            swarm.publish(index % CLIENTS, &format!("bench/{}/{group}/state", group / 100), 0, &[b'.'; 64]);
        })
    }

    /// Does `act` for each index below `count` that is begun before `deadline`, at most `window` ahead of the `answers` that each
    /// brings; how many these were.
    fn drive(
        &mut self,
        count: usize,
        answers: usize,
        window: usize,
        deadline: Option<Instant>,
        act: impl Fn(&mut Swarm, usize),
    ) -> anyhow::Result<usize> {
        let mut started = 0;
        let mut answered = 0;
        loop {
            let is_late = deadline.is_some_and(|deadline| Instant::now() > deadline);
            while !is_late && started < count && started < answered / answers + window {
                act(&mut self.swarm, started);
                started += 1;
            }
            if answered >= started * answers {
                break;
            }
            answered += self.await_events(1)?;
        }
        ensure!(answered == started * answers, "{answered} answers came in place of {}", started * answers);
        Ok(started)
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
            ensure!(progress.elapsed() < STALL, "an answer among many filters is missing");
        }
        Ok(seen)
    }
}
