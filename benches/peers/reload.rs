//! `cargo bench --bench peers -- reload`: what reloads cost those whose messages are on their way.
//!
//! The same paced load on one server, left alone and while its policy of ten thousand rules, its certificate and its routes are replaced
//! over and over, half a second after the last reload was done. Every Subscription of the load is judged again each time.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use crate::{
    arena::{Arena, Stage},
    certificate,
    connection::Transport,
    latency::{Tail, brief, paced},
    report::{median, number},
    results::Heading,
    row::traffic::{Drive, Traffic},
    server::Peer,
};

const ROUNDS: u32 = 3;

/// How much later the slowest hundredth of messages may be.
const PAUSE_MAX_MS: f64 = 1.0;

const POLICY: &str = "policy.yaml";
const ROLES: usize = 1_000;
const RULES_PER_ROLE: usize = 10;
const REST: Duration = Duration::from_millis(500);

const PER_S: f64 = 1000.0;
const LOAD: Traffic =
    Traffic { publishers: 200, subscribers: 200, payload_bytes: 64, qos: 0, drive: Drive::Paced(PER_S) };

/// Whether everything came to figures.
pub(crate) fn run(arena: &Arena) -> anyhow::Result<bool> {
    let rounds = if arena.quick { 1 } else { arena.rounds.unwrap_or(ROUNDS) };
    let (mut alone, mut reloading, mut reloads) = (Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        let files = tempfile::tempdir()?;
        let policy = files.path().join(POLICY);
        write_policy(&policy, 0)?;
        let settings = format!("policy: {}\nreload: {{ watch: false }}\n", policy.display());
        let (left, replaced, count) = arena.with_server(Peer::Tidegate, &settings, |stage| {
            // Neither always has the machine that is warmer.
            let left_first = if round % 2 == 0 { Some(measure(stage)?) } else { None };
            let (replaced, count) = measure_reloading(stage, files.path())?;
            let left = left_first.map_or_else(|| measure(stage), Ok)?;
            Ok((left, replaced, count))
        })?;
        eprintln!("left alone: {}\n{count} reloads: {}", brief(&left), brief(&replaced));
        alone.push(left);
        reloading.push(replaced);
        reloads += count;
    }
    let heading = Heading::new("Reloads under load", arena);
    let body = markdown(rounds, reloads, &alone, &reloading);
    println!("{}{body}", heading.lines());
    if arena.keep || !arena.quick {
        heading.keep("-reload", &body, &[])?;
    }
    Ok(true)
}

fn measure(stage: &Stage<'_>) -> anyhow::Result<Tail> {
    let target = stage.server.target(Transport::Wss).context("Tidegate has https")?;
    paced(stage, LOAD.connect(stage, &target, "reload")?, PER_S)
}

/// The same while everything is replaced, and how often it was.
fn measure_reloading(stage: &Stage<'_>, policy_folder: &Path) -> anyhow::Result<(Tail, u32)> {
    let admin = stage.server.admin().context("Tidegate has an admin listener")?;
    let target = stage.server.target(Transport::Wss).context("Tidegate has https")?;
    let load = LOAD.connect(stage, &target, "reload")?;
    let guises = [Guise::make(stage.folder, 1)?, Guise::make(stage.folder, 2)?];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reloading = scope.spawn(|| {
            let mut count = 0;
            for guise in guises.iter().cycle() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                guise.put_on(stage.folder, policy_folder)?;
                reload(admin)?;
                count += 1;
                thread::sleep(REST);
            }
            Ok(count)
        });
        let tail = paced(stage, load, PER_S);
        is_over.store(true, Ordering::Relaxed);
        match reloading.join() {
            Ok(count) => count.and_then(|count| Ok((tail?, count))),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Other rules, another certificate, and another answer of one route: made before anything is measured, as whoever writes ten thousand rules
/// and makes keys would be measured along with the server.
struct Guise(PathBuf);

impl Guise {
    fn make(stage: &Path, number: u32) -> anyhow::Result<Self> {
        let folder = stage.join(format!("guise-{number}"));
        fs::create_dir_all(&folder)?;
        write_policy(&folder.join(POLICY), number)?;
        certificate::write(&folder)?;
        let text = fs::read_to_string(stage.join("tidegate.yaml"))?;
        let route = format!("routes: [ {{ path: /other, respond: \"{number}\" }}, ");
        fs::write(folder.join("tidegate.yaml"), text.replacen("routes: [ ", &route, 1))?;
        Ok(Self(folder))
    }

    fn put_on(&self, stage: &Path, policy_folder: &Path) -> io::Result<()> {
        for (folder, file) in
            [(policy_folder, POLICY), (stage, "server.pem"), (stage, "server.key"), (stage, "tidegate.yaml")]
        {
            let next = self.0.join("next");
            fs::hard_link(self.0.join(file), &next)?;
            fs::rename(&next, folder.join(file))?;
        }
        Ok(())
    }
}

fn write_policy(file: &Path, count: u32) -> anyhow::Result<()> {
    let mut text = format!(
        "version: 1\nroles:\n  load:\n    - {{ topic: \"reload/#\", rw: rw }}\n    - {{ topic: \"other/{count}\", rw: r }}\n"
    );
    for role in 0..ROLES {
        text += &format!("  role{role}:\n");
        for rule in 0..RULES_PER_ROLE {
            text += &format!("    - {{ topic: \"site/{role}/+/{rule}/{count}\", rw: rw }}\n");
        }
    }
    text += "users:\n  anonymous: [load]\n";
    fs::write(file, text)?;
    Ok(())
}

fn reload(admin: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(admin)?;
    let request =
        format!("POST /api/v1/reload HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "the reload was refused: {answer}");
    for taken in ["policy.yaml", "server.pem", "routes[0]"] {
        ensure!(answer.contains(taken), "the reload did not take `{taken}`: {answer}");
    }
    Ok(())
}

fn markdown(rounds: u32, reloads: u32, alone: &[Tail], reloading: &[Tail]) -> String {
    let of = |tails: &[Tail], what: fn(&Tail) -> f64| {
        let mut values: Vec<_> = tails.iter().map(what).collect();
        values.sort_unstable_by(f64::total_cmp);
        median(&values).unwrap_or(f64::NAN)
    };
    let mut text = format!(
        "- {} pairs over wss, {PER_S} messages a second in all; a policy of {ROLES} roles with {RULES_PER_ROLE} rules each.\n\
         - Rounds: {rounds}, reloads in all: {reloads}. Medians. No more than {PAUSE_MAX_MS} ms are wanted between both at p99.\n\n\
         | | p50 ms | p99 ms | p99.9 ms |\n|---|---:|---:|---:|\n",
        LOAD.publishers
    );
    for (name, tails) in [("left alone", alone), ("reloading", reloading)] {
        let texts = [of(tails, |tail| tail.p50), of(tails, |tail| tail.p99), of(tails, |tail| tail.p999)].map(number);
        text += &format!("| {name} | {} | {} | {} |\n", texts[0], texts[1], texts[2]);
    }
    let pause = of(reloading, |tail| tail.p99) - of(alone, |tail| tail.p99);
    text + &format!("\nAt p99 a reload costs {} ms.\n", number(pause))
}
