//! The commands: what is asked on the command line, and the exit code that answers.
//!
//! Exit codes: 0 done, 1 failed while running, 2 a fault in the usage, the configuration or the policy. Faults go to standard error,
//! one a line, or with `--json` as an array of objects to standard output.
//!
//! Not here: what the commands do beyond reading input and printing answers.

pub mod passwd;
pub mod policy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// An MQTT edge for browsers: TLS, WebSockets, MQTT and JSON in front of an existing deployment.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, args_conflicts_with_subcommands = false)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What several commands understand.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The configuration file [default: ./tidegate.yaml if it exists, else the built-in default]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print answers and faults as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server (what `tidegate` alone does)
    Run,
}

/// Does what the command line asks and says how the process should exit.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => ExitCode::SUCCESS,
    }
}
