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

mod arena;
mod bare;
mod certificate;
mod comeback;
mod connection;
mod growth;
mod http2;
mod latency;
mod plot;
mod process;
mod reload;
mod report;
mod results;
mod row;
mod server;
mod swarm;
mod table;
mod upstream;
mod wire;

use std::{path::PathBuf, process::ExitCode};

use arena::Arena;
use clap::{Parser, Subcommand};
use server::Peer;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// Measure only this row; may be given several times
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Other {
    /// What one more costs when there are many, and what is given back
    Growth(growth::Arguments),
    /// How long messages take when there is much to do
    Latency,
    /// How soon everybody is served again who was cut at once
    Return(comeback::Arguments),
    /// What reloads cost those whose messages are on their way
    Reload,
    #[command(hide = true)]
    Bare(bare::Arguments),
}

/// What every kind of run takes.
#[derive(clap::Args)]
struct Common {
    /// How often each row is measured with each peer
    #[arg(long, global = true, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Peers to measure, separated by commas; all that are installed unless given
    #[arg(long, global = true, value_enum, value_delimiter = ',', value_name = "PEER")]
    peers: Vec<Peer>,
    /// A peer's program that is not in PATH, or under another name: `mosquitto-2.1=/opt/mosquitto/mosquitto`
    #[arg(long, global = true, value_name = "NAME=FILE", value_parser = named_file)]
    program: Vec<(String, PathBuf)>,
    /// One short round with few connections: shows that everything works, measures little
    #[arg(long, global = true)]
    quick: bool,
    /// Clients ask for the hybrid key exchange X25519MLKEM768 instead of X25519
    #[arg(long, global = true)]
    hybrid: bool,
    /// Another Tidegate binary than the one of this build
    #[arg(long, global = true, default_value = env!("CARGO_BIN_EXE_tidegate"), hide_default_value = true)]
    tidegate: PathBuf,
    /// Keep the result under `benches/results/` though not all rows or peers are measured
    #[arg(long, global = true, conflicts_with = "quick")]
    keep: bool,
    /// Name of this machine in the result's file name
    #[arg(long, global = true, value_name = "NAME")]
    machine: Option<String>,
    /// What `cargo bench` adds
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("NAME=FILE is wanted")?;
    Ok((name.to_owned(), file.into()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether Tidegate went through everything without an error.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    match &arguments.other {
        Some(Other::Bare(arguments)) => bare::serve(arguments).map(|()| true),
        Some(Other::Growth(growth)) => growth::run(&Arena::new(&arguments.common)?, growth),
        Some(Other::Latency) => latency::run(&Arena::new(&arguments.common)?),
        Some(Other::Return(wave)) => comeback::run(&Arena::new(&arguments.common)?, wave),
        Some(Other::Reload) => reload::run(&Arena::new(&arguments.common)?),
        None => table::run(&Arena::new(&arguments.common)?, &arguments.only),
    }
}
