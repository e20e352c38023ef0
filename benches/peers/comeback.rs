//! `cargo bench --bench peers -- return`: everybody is cut at once, and everybody comes back.
//!
//! No client says goodbye, as when a network between fails, and each comes back at some moment of the next three seconds, as pages do that
//! try again every three; one that the server closes tries again three seconds later. A client is served when it has its CONNACK and its SUBACK; then each publishes what it alone subscribes to, and
//! nothing may be missing. Generator and server share the machine. Tidegate with its defaults alone, unless `--peers` names others.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    arena::{Arena, Stage},
    connection::{Event, Plan, Transport},
    process,
    report::{median, number},
    results::Heading,
    row::{Figure, figure},
    server::Peer,
    swarm::{STALL, Swarm, Target},
};

const ROUNDS: u32 = 3;

/// How long a page waits before it tries again.
const RETRY: Duration = Duration::from_secs(3);

/// In which all of them should be served.
const SERVED_MAX_S: f64 = 10.0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many clients there are; each is an open file of the server's, too, and many systems allow 20,000
    #[arg(long, default_value_t = 19_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    clients: u32,
    /// Seconds over which their first attempts are spread; 0 for all at once
    #[arg(long, default_value_t = 3.0)]
    within: f64,
}

/// Whether everybody was served in every round.
pub(crate) fn run(arena: &Arena, arguments: &Arguments) -> anyhow::Result<bool> {
    let peers: Vec<_> =
        if arena.is_everybody { vec![Peer::Tidegate] } else { arena.peers.iter().map(|peer| peer.0).collect() };
    let clients = if arena.quick { 500 } else { arguments.clients as usize };
    let wave = Wave { clients, within: Duration::try_from_secs_f64(arguments.within)? };
    let rounds = if arena.quick { 1 } else { arena.rounds.unwrap_or(ROUNDS) };
    let mut seen: Vec<(Peer, Vec<Vec<Figure>>)> = peers.into_iter().map(|peer| (peer, Vec::new())).collect();
    let mut failures = Vec::new();
    for _ in 0..rounds {
        for (peer, outcomes) in &mut seen {
            match arena.with_server(*peer, "", |stage| wave.measure(stage)) {
                Ok(Some(figures)) => {
                    let texts: Vec<_> = figures.iter().map(|f| format!("{} {}", number(f.value), f.what)).collect();
                    eprintln!("{}: {}", peer.name(), texts.join(", "));
                    outcomes.push(figures);
                }
                Ok(None) => {}
                Err(error) => failures.push(format!("{}: {error:#}", peer.name())),
            }
        }
    }
    let heading = Heading::new("Everybody comes back", arena);
    let failed: String = failures.iter().map(|failure| format!("\n- {failure}\n")).collect();
    let body = markdown(&wave, rounds, &seen) + &failed;
    println!("{}{body}", heading.lines());
    if arena.keep || (arena.is_everybody && !arena.quick) {
        heading.keep("-return", &body, &[])?;
    }
    Ok(failures.is_empty())
}

struct Wave {
    clients: usize,
    within: Duration,
}

impl Wave {
    fn measure(&self, stage: &Stage<'_>) -> anyhow::Result<Option<Vec<Figure>>> {
        let Some(target) = stage.server.target(Transport::Wss) else { return Ok(None) };
        let mut swarm = Swarm::new(stage.tls.clone())?;
        swarm.connect_all(&target, (0..self.clients).map(plan).collect())?;
        for number in 0..self.clients {
            swarm.cut(number);
        }
        let cpu = stage.server.cpu_time()?;
        let generator = process::own_cpu_time()?;
        let (mut waits, retries) = self.come_back(&mut swarm, &target)?;
        let (cpu, generator) = (stage.server.cpu_time()? - cpu, process::own_cpu_time()? - generator);
        self.hear_themselves(&mut swarm)?;
        swarm.disconnect_all();
        waits.sort_unstable();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64();
        let each_us = |span: Duration| span.as_secs_f64() * 1e6 / self.clients as f64;
        Ok(Some(vec![
            figure("s until the last is served", at(1.0)),
            figure("s until half are", at(0.5)),
            figure("s until 99 % are", at(0.99)),
            figure("tries more than clients", retries as f64),
            figure("server µs each", each_us(cpu)),
            figure("generator µs each", each_us(generator)),
        ]))
    }

    /// How long after the cut each was served, and how often one had to try again.
    fn come_back(&self, swarm: &mut Swarm, target: &Target) -> anyhow::Result<(Vec<Duration>, usize)> {
        let cut = Instant::now();
        let (mut started, mut waits, mut progress) = (0, Vec::with_capacity(self.clients), cut);
        let (mut later, mut retries) = (VecDeque::new(), 0);
        swarm.bear_losses();
        while waits.len() < self.clients {
            let share = match self.within {
                Duration::ZERO => 1.0,
                within => (cut.elapsed().as_secs_f64() / within.as_secs_f64()).min(1.0),
            };
            while started < (share * self.clients as f64) as usize {
                swarm.start_at(started, target, plan(started))?;
                started += 1;
            }
            while let Some((due, number)) = later.front().copied()
                && due <= Instant::now()
            {
                later.pop_front();
                swarm.start_at(number, target, plan(number))?;
                retries += 1;
            }
            let before = waits.len();
            swarm.round(Some(Duration::from_millis(1)), |_, event| {
                if let Event::Ready = event {
                    waits.push(cut.elapsed());
                }
            })?;
            let due = Instant::now() + RETRY;
            later.extend(swarm.lost().into_iter().map(|number| (due, number)));
            if waits.len() > before {
                progress = Instant::now();
            }
            ensure!(progress.elapsed() < STALL, "only {} of {} clients came back", waits.len(), self.clients);
        }
        Ok((waits, retries))
    }

    /// Each publishes one message, which comes to it and to nobody else.
    fn hear_themselves(&self, swarm: &mut Swarm) -> anyhow::Result<()> {
        let mut heard = vec![false; self.clients];
        let mut progress = Instant::now();
        let mut missing = self.clients;
        for batch in (0..self.clients).step_by(1000) {
            let end = self.clients.min(batch + 1000);
            for number in batch..end {
                swarm.publish(number, &topic(number), 0, number.to_string().as_bytes());
            }
            swarm.flush()?;
            while missing > self.clients - end {
                let before = missing;
                let mut wrong = None;
                swarm.round(Some(Duration::from_millis(100)), |number, event| {
                    if let Event::Delivery(payload) = event {
                        if payload != number.to_string().as_bytes() || std::mem::replace(&mut heard[number], true) {
                            wrong = Some(number);
                        }
                        missing -= 1;
                    }
                })?;
                ensure!(wrong.is_none(), "client {wrong:?} got what is not its own, or twice");
                if missing < before {
                    progress = Instant::now();
                }
                ensure!(progress.elapsed() < STALL, "{missing} clients did not get their message");
            }
        }
        Ok(())
    }
}

fn plan(number: usize) -> Plan {
    Plan { client_id: format!("bench-return-{number}"), subscribe: Some((topic(number), 0)) }
}

fn topic(number: usize) -> String {
    format!("bench/return/{number}")
}

fn markdown(wave: &Wave, rounds: u32, seen: &[(Peer, Vec<Vec<Figure>>)]) -> String {
    let mut text = format!(
        "- {} clients over wss, cut at once; first attempts spread over {} s. {SERVED_MAX_S} s are wanted for all of them.\n\
         - Rounds: {rounds}. A cell is the median.\n",
        wave.clients,
        wave.within.as_secs_f64(),
    );
    for (peer, rounds) in seen {
        let Some(first) = rounds.first() else { continue };
        text += &format!("\n| {} | |\n|---|---:|\n", peer.name());
        for (index, named) in first.iter().enumerate() {
            let mut values: Vec<_> = rounds.iter().map(|figures| figures[index].value).collect();
            values.sort_unstable_by(f64::total_cmp);
            text += &format!("| {} | {} |\n", named.what, number(median(&values).unwrap_or(f64::NAN)));
        }
    }
    text
}
