//! `cargo bench --bench peers -- latency`: how long a message takes when there is much to do.
//!
//! Three loads: next to nothing, half of what a closed loop reaches, and next to nothing beside a publisher that floods another topic.
//! The tails of the second and third are compared with that of the first. Generator and server share the machine, so the bare server
//! stands beside Tidegate: what happens to it is what the machine does.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    arena::{Arena, Stage},
    connection::Transport,
    report::{median, number},
    results::Heading,
    row::traffic::{Drive, Load, Traffic, quantile_ms},
    server::Peer,
};

/// How many times the tail of an idle server it may be.
const TAIL_MAX: f64 = 2.0;

const ROUNDS: u32 = 3;

struct Shape {
    title: &'static str,
    traffic: Traffic,
    /// Messages a second that are next to nothing.
    idle_per_s: f64,
    /// Deliveries that each message makes.
    copies: f64,
}

fn shapes() -> Vec<Shape> {
    let pairs = Traffic { publishers: 100, subscribers: 100, payload_bytes: 64, qos: 0, drive: Drive::Window(16) };
    let fan_out = Traffic { publishers: 1, subscribers: 1000, ..pairs };
    vec![
        Shape { title: "100 pairs, 64 B, QoS 0, wss", traffic: pairs, idle_per_s: 1000.0, copies: 1.0 },
        Shape {
            title: "100 pairs, 64 B, QoS 1, wss",
            traffic: Traffic { qos: 1, ..pairs },
            idle_per_s: 1000.0,
            copies: 1.0,
        },
        Shape { title: "fan-out 1→1000, 64 B, QoS 0, wss", traffic: fan_out, idle_per_s: 10.0, copies: 1000.0 },
    ]
}

/// Quantiles of one load in ms.
#[derive(Clone, Copy)]
struct Tail {
    per_s: f64,
    p50: f64,
    p99: f64,
    p999: f64,
}

/// One table line: all rounds of a load.
struct Line {
    peer: Peer,
    shape: &'static str,
    load: &'static str,
    tails: Vec<Tail>,
}

/// Whether everything came to figures.
pub(crate) fn run(arena: &Arena) -> anyhow::Result<bool> {
    let peers: Vec<_> = match arena.is_everybody {
        true => vec![Peer::Tidegate, Peer::BareBatched],
        false => arena.peers.iter().map(|peer| peer.0).collect(),
    };
    let rounds = if arena.quick { 1 } else { arena.rounds.unwrap_or(ROUNDS) };
    let mut lines: Vec<Line> = Vec::new();
    let mut failures = Vec::new();
    for round in 0..rounds as usize {
        for shape in shapes() {
            for turn in 0..peers.len() {
                let peer = peers[(turn + round) % peers.len()];
                match arena.with_server(peer, "", |stage| measure(stage, &shape)) {
                    Err(error) => failures.push(format!("{}, {}: {error:#}", shape.title, peer.name())),
                    Ok(tails) => tails.into_iter().for_each(|(load, tail)| {
                        eprintln!("{}, {}, {load}: {}", shape.title, peer.name(), brief(&tail));
                        let same =
                            |line: &&mut Line| line.peer == peer && line.shape == shape.title && line.load == load;
                        match lines.iter_mut().find(same) {
                            Some(line) => line.tails.push(tail),
                            None => lines.push(Line { peer, shape: shape.title, load, tails: vec![tail] }),
                        }
                    }),
                }
            }
        }
    }
    let heading = Heading::new("Latency under load", arena);
    let body =
        markdown(&lines, rounds) + &failures.iter().map(|failure| format!("\n- {failure}\n")).collect::<String>();
    println!("{}{body}", heading.lines());
    if arena.keep || (arena.is_everybody && !arena.quick) {
        heading.keep("-latency", &body, &[])?;
    }
    Ok(failures.is_empty())
}

fn brief(tail: &Tail) -> String {
    let texts = [tail.p50, tail.p99, tail.p999].map(number);
    format!("{} a second, p50 {} ms, p99 {} ms, p99.9 {} ms", number(tail.per_s), texts[0], texts[1], texts[2])
}

fn measure(stage: &Stage<'_>, shape: &Shape) -> anyhow::Result<Vec<(&'static str, Tail)>> {
    let Some(target) = stage.server.target(Transport::Wss) else { return Ok(Vec::new()) };
    let idle = Traffic { drive: Drive::Paced(shape.idle_per_s), ..shape.traffic };
    let mut tails = vec![("idle", paced(stage, idle.connect(stage, &target, "idle")?, shape.idle_per_s)?)];

    let saturated = shape.traffic.measure(stage, &target)?;
    let deliveries_per_s = saturated.iter().find(|figure| figure.what == "deliveries a second");
    let per_s = deliveries_per_s.map_or(0.0, |figure| figure.value) / shape.copies / 2.0;
    let half = Traffic { drive: Drive::Paced(per_s), ..shape.traffic };
    tails.push(("half of saturation", paced(stage, half.connect(stage, &target, "half")?, per_s)?));

    // The flood has a thread of its own; it stops when the paced load has been measured.
    let flood = Traffic { publishers: 1, subscribers: 1, payload_bytes: 64, qos: 0, drive: Drive::Window(256) };
    let mut flood = flood.connect(stage, &target, "flood")?;
    let load = idle.connect(stage, &target, "beside")?;
    let is_over = AtomicBool::new(false);
    let tail = thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                flood.run_for(Duration::from_millis(100))?;
            }
            flood.drain().map(|()| flood.end())
        });
        let tail = paced(stage, load, shape.idle_per_s);
        is_over.store(true, Ordering::Relaxed);
        match flooding.join() {
            Ok(outcome) => outcome.and(tail),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    tails.push(("idle beside a flood", tail));
    Ok(tails)
}

fn paced(stage: &Stage<'_>, mut load: Load, per_s: f64) -> anyhow::Result<Tail> {
    let (warm_up, measured) = if stage.quick { (0.3, 1.0) } else { (1.0, 5.0) };
    load.run_for(Duration::from_secs_f64(warm_up))?;
    load.forget_latencies();
    load.run_for(Duration::from_secs_f64(measured))?;
    load.drain()?;
    let mut latencies_us = load.end();
    latencies_us.sort_unstable();
    let at = |quantile| quantile_ms(&latencies_us, quantile);
    Ok(Tail { per_s, p50: at(0.5), p99: at(0.99), p999: at(0.999) })
}

fn markdown(lines: &[Line], rounds: u32) -> String {
    let mut text = format!(
        "- Rounds: {rounds}; medians. `× idle` is the p99 against that of the same server with next to nothing to do; {TAIL_MAX} is wanted.\n\
         - Half of saturation: half the rate that 16 outstanding messages of each publisher reach. The generator paces, sends and reads \
         on one thread of the same machine, so that its own waiting is among the figures; the bare server shows how much that is.\n\n\
         | work | load | server | messages a second | p50 ms | p99 ms | p99.9 ms | × idle |\n|---|---|---|---:|---:|---:|---:|---:|\n"
    );
    for line in lines {
        let of = |line: &Line, what: fn(&Tail) -> f64| {
            let mut values: Vec<_> = line.tails.iter().map(what).collect();
            values.sort_unstable_by(f64::total_cmp);
            median(&values).unwrap_or(f64::NAN)
        };
        let idle =
            lines.iter().find(|other| other.peer == line.peer && other.shape == line.shape && other.load == "idle");
        let ratio = idle.map_or(f64::NAN, |idle| of(line, |tail| tail.p99) / of(idle, |tail| tail.p99));
        let mark = if ratio > TAIL_MAX { "**" } else { "" };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {mark}{}{mark} |",
            line.shape,
            line.load,
            line.peer.name(),
            number(of(line, |tail| tail.per_s)),
            number(of(line, |tail| tail.p50)),
            number(of(line, |tail| tail.p99)),
            number(of(line, |tail| tail.p999)),
            number(ratio)
        );
    }
    text
}
