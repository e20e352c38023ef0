//! What grows, and how a size of it is measured.

use std::time::Instant;

use crate::{
    arena::{Arena, Stage},
    connection::Transport,
    row::{
        Figure, figure, filters,
        idle::{plan, rest},
        traffic::{Drive, Traffic},
    },
    server::Peer,
    swarm::Swarm,
};

pub(super) struct Range {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What there is more and more of.
    pub(super) unit: &'static str,
    /// Figures that are the cost of a unit.
    pub(super) judged: &'static [&'static str],
    sizes: &'static [u64],
    kind: Kind,
}

enum Kind {
    Connections(Transport),
    Subscribers,
    Filters,
    Bytes,
}

/// Told what a size came to.
pub(super) type Tell<'a> = dyn FnMut(u64, Vec<Figure>) + 'a;

/// Descriptors that a process needs besides its connections.
const DESCRIPTORS_BESIDE: u64 = 500;

/// What a Tidegate under test allows beyond its defaults: ten thousand filters of a client, and four messages of 1 MiB on their way.
const SETTINGS: &str =
    "engine: { subscriptions_max: 20000, subscription_bytes_max: 16MiB }\nlimits: { outbox_bytes_max: 16MiB }\n";

pub(super) fn all() -> Vec<Range> {
    const CONNECTIONS: &[u64] = &[1000, 2000, 5000, 10_000, 20_000, 50_000];
    let range = |name, title, unit, judged, sizes, kind| Range { name, title, unit, judged, sizes, kind };
    vec![
        range(
            "connections-wss",
            "idle connections with one subscription each, wss",
            "connections",
            &["bytes each"],
            CONNECTIONS,
            Kind::Connections(Transport::Wss),
        ),
        range(
            "connections-ws",
            "idle connections with one subscription each, ws",
            "connections",
            &["bytes each"],
            CONNECTIONS,
            Kind::Connections(Transport::Ws),
        ),
        range(
            "subscribers",
            "subscribers of one topic, 64 B, QoS 0, wss, max (16 outstanding)",
            "subscribers",
            &["server µs a delivery"],
            &[1, 10, 100, 1000, 10_000],
            Kind::Subscribers,
        ),
        range(
            "filters",
            "filters of 100 clients, each message matches 3, TCP",
            "filters",
            &["bytes a filter", "server µs a SUBSCRIBE", "server µs a SUBSCRIBE in bulk", "server µs a PUBLISH"],
            &[1000, 10_000, 100_000, 1_000_000],
            Kind::Filters,
        ),
        range(
            "bytes",
            "bytes of a message, 20 pairs, QoS 0, wss, max (4 outstanding each)",
            "bytes",
            &["server ns a byte"],
            &[16, 64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20],
            Kind::Bytes,
        ),
    ]
}

impl Range {
    pub(super) fn measure(&self, arena: &Arena, peer: Peer, tell: &mut Tell<'_>) -> anyhow::Result<()> {
        match self.kind {
            // The same server grows, as it would.
            Kind::Connections(transport) => {
                let sizes = self.sizes_within(arena);
                arena.with_server(peer, SETTINGS, |stage| connections(stage, transport, &sizes, tell))
            }
            _ => self.sizes_within(arena).into_iter().try_for_each(|size| {
                let figures = arena.with_server(peer, SETTINGS, |stage| self.measure_size(stage, size as usize))?;
                if let Some(figures) = figures {
                    tell(size, figures);
                }
                Ok(())
            }),
        }
    }

    /// The sizes that this machine allows; where it does not allow the last, as many connections as it does in its place.
    fn sizes_within(&self, arena: &Arena) -> Vec<u64> {
        let most = match self.kind {
            Kind::Connections(_) | Kind::Subscribers => arena.descriptors_max.saturating_sub(DESCRIPTORS_BESIDE),
            Kind::Filters | Kind::Bytes => u64::MAX,
        };
        let most = if arena.quick { most.min(self.sizes[self.sizes.len() / 2]) } else { most };
        let mut sizes: Vec<_> = self.sizes.iter().copied().filter(|&size| size <= most).collect();
        if sizes.len() < self.sizes.len() && matches!(self.kind, Kind::Connections(_)) && !arena.quick {
            eprintln!(
                "  only {} files may be open: no more than {most} connections are measured",
                arena.descriptors_max
            );
            sizes.push(most);
        }
        sizes
    }

    fn measure_size(&self, stage: &Stage<'_>, size: usize) -> anyhow::Result<Option<Vec<Figure>>> {
        let transport = if matches!(self.kind, Kind::Filters) { Transport::Tcp } else { Transport::Wss };
        let Some(target) = stage.server.target(transport) else { return Ok(None) };
        let fan_out = Traffic { publishers: 1, subscribers: size, payload_bytes: 64, qos: 0, drive: Drive::Window(16) };
        match self.kind {
            Kind::Filters if !stage.server.has_wildcards() => Ok(None),
            Kind::Filters => filters::measure_groups(stage, &target, size.div_ceil(3)).map(Some),
            Kind::Subscribers => fan_out.measure(stage, &target).map(Some),
            _ => {
                let pairs = Traffic {
                    publishers: 20,
                    subscribers: 20,
                    payload_bytes: size,
                    drive: Drive::Window(4),
                    ..fan_out
                };
                let mut figures = pairs.measure(stage, &target)?;
                figures.insert(1, figure("server ns a byte", figures[0].value * 1000.0 / size as f64));
                Ok(Some(figures))
            }
        }
    }
}

/// Memory of `stage`'s server with more and more clients.
fn connections(stage: &Stage<'_>, transport: Transport, sizes: &[u64], tell: &mut Tell<'_>) -> anyhow::Result<()> {
    let Some(target) = stage.server.target(transport) else { return Ok(()) };
    let mut swarm = Swarm::new(stage.tls.clone())?;
    // Few, so that what they leave behind is no room for the first of those who are counted.
    const WARM_UP: usize = 20;
    swarm.connect_all(&target, (0..WARM_UP).map(|number| plan("warm", number)).collect())?;
    swarm.disconnect_all();
    rest(&mut swarm)?;
    let base = stage.server.private_bytes()?;
    let mut connected = 0;
    for &size in sizes {
        let added = connected..size as usize;
        let (count, started) = (added.len(), Instant::now());
        swarm.connect_all(&target, added.map(|number| plan("idle", number)).collect())?;
        let per_s = count as f64 / started.elapsed().as_secs_f64();
        connected = size as usize;
        rest(&mut swarm)?;
        let full = stage.server.private_bytes()?;
        let cpu = stage.server.cpu_time()?;
        rest(&mut swarm)?;
        let idle = stage.server.cpu_time()? - cpu;
        let figures = vec![
            figure("bytes each", (full as f64 - base as f64) / size as f64),
            figure("connects a second", per_s),
            figure("idle CPU ms a second", idle.as_secs_f64() * 1000.0 / crate::row::idle::REST.as_secs_f64()),
        ];
        tell(size, figures);
    }
    swarm.disconnect_all();
    Ok(())
}
