//! `cargo bench --bench peers`: Tidegate and its peers under the same load, in the same run, on the same machine.
//!
//! Starts Tidegate's release binary and, where they are installed, nginx in front of mosquitto and mosquitto alone; drives each row of
//! the table through each of them in alternating order for several rounds; and prints medians, spread and ratios as Markdown. A full
//! run is kept under `benches/results/`.
//!
//! A server's CPU is the user and system time of all its processes; the generator's own is reported apart. All traffic is on loopback,
//! every row ends by itself, and a delivery that is lost, doubled or out of order is an error and not a figure.
//!
//! ```text
//! cargo bench --bench peers -- --only fan-out --only pairs --rounds 3 --peers tidegate,nginx-mosquitto
//! ```
//!
//! - `row`: what is driven and measured; `server`: who it is measured against; `process`: what the kernel says of their processes
//! - `swarm`, `connection`, `wire`: the load generator; `certificate`: what all sides of TLS share; `upstream`: who is behind them
//! - `report`: the table

#![expect(
    clippy::disallowed_methods,
    reason = "a load generator is paced by the clock, and a load at rest is measured after a while"
)]

mod certificate;
mod connection;
mod process;
mod report;
mod row;
mod server;
mod swarm;
mod upstream;
mod wire;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};

use crate::{
    report::Report,
    row::{Row, Stage},
    server::{Peer, Surroundings},
};

#[derive(Parser)]
struct Arguments {
    /// Measure only this row; may be given several times
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// How often each row is measured with each peer
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Peers to measure, separated by commas; all that are installed unless given
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PEER")]
    peers: Vec<Peer>,
    /// One short round with few connections: shows that everything works, measures little
    #[arg(long)]
    quick: bool,
    /// Clients ask for the hybrid key exchange X25519MLKEM768 instead of X25519
    #[arg(long)]
    hybrid: bool,
    /// Another Tidegate binary than the one of this build
    #[arg(long, default_value = env!("CARGO_BIN_EXE_tidegate"), hide_default_value = true)]
    tidegate: PathBuf,
    /// Keep the result under `benches/results/` though not all rows or peers are measured
    #[arg(long, conflicts_with = "quick")]
    keep: bool,
    /// Name of this machine in the result's file name
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether Tidegate went through all rows without an error.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let descriptors_max = rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let rows = chosen_rows(&arguments.only)?;
    let peers = installed_peers(arguments);
    ensure!(!peers.is_empty(), "none of the peers is installed");
    let mut report = Report::new(&peers, arguments.machine.clone());
    let rounds = if arguments.quick { 1 } else { arguments.rounds };
    for round in 0..rounds as usize {
        for (row_index, row) in rows.iter().enumerate() {
            for turn in 0..peers.len() {
                // The order changes from round to round and from row to row, so that nobody always runs first.
                let (peer, _) = peers[(turn + round + row_index) % peers.len()];
                eprint!("round {} of {rounds}, {}, {}: ", round + 1, row.name, peer.name());
                let outcome = measure(arguments, row, peer, descriptors_max);
                eprintln!("{}", report::brief(&outcome));
                report.add(row, peer, outcome);
            }
        }
    }
    let markdown = report.markdown(&rows, rounds);
    println!("{markdown}");
    let is_whole = !arguments.quick && arguments.only.is_empty() && arguments.peers.is_empty();
    if is_whole || arguments.keep {
        let file = report.keep(&Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results"), &markdown)?;
        eprintln!("kept as {}", file.display());
    }
    Ok(report.is_clean(Peer::Tidegate))
}

fn chosen_rows(only: &[String]) -> anyhow::Result<Vec<Row>> {
    let mut rows = row::all();
    let names: Vec<_> = rows.iter().map(|row| row.name).collect();
    for name in only {
        ensure!(names.contains(&name.as_str()), "there is no row {name}; there are {}", names.join(", "));
    }
    if !only.is_empty() {
        rows.retain(|row| only.iter().any(|name| name == row.name));
    }
    Ok(rows)
}

/// The peers asked for that can be started, with their versions.
fn installed_peers(arguments: &Arguments) -> Vec<(Peer, String)> {
    let asked = if arguments.peers.is_empty() { Peer::value_variants() } else { &arguments.peers };
    let mut installed = Vec::new();
    for &peer in asked {
        match peer.version(&arguments.tidegate) {
            Some(version) => installed.push((peer, version)),
            None => eprintln!("{} is not installed and is left out", peer.name()),
        }
    }
    installed
}

/// Starts the peer afresh for this one measurement.
fn measure(arguments: &Arguments, row: &Row, peer: Peer, descriptors_max: u64) -> report::Outcome {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path())?;
    let certificate = certificate::write(folder.path())?;
    let around = Surroundings {
        folder: folder.path(),
        certificate: &certificate,
        descriptors_max,
        tidegate: &arguments.tidegate,
        upstream: upstream::start()?,
    };
    let server = peer.start(&around)?;
    let tls = certificate::client_config(arguments.hybrid)?;
    row.measure(&Stage { server: &server, tls, quick: arguments.quick })
}
