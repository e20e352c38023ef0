//! The commands: what is asked on the command line, and the exit code that answers.
//!
//! Exit codes: 0 done, 1 failed while running, 2 a fault in the usage, the configuration or the policy. Faults go to standard error,
//! one a line; with `--json` they are an answer like any other, and go to standard output.
//!
//! Not here: what the commands do beyond reading input and printing answers.

pub mod admin_client;
pub mod check;
pub mod config_show;
pub mod doctor;
pub mod healthcheck;
pub mod import;
pub mod passwd;
pub mod policy;
pub mod run;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::fault::{Fault, Faults};

/// An MQTT edge for browsers: TLS, WebSockets, MQTT and JSON in front of an existing deployment.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version)]
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
    /// Start the server (as `tidegate` alone does)
    Run,
    /// Find every fault in the configuration and in the files it names, without starting
    Check,
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Test and explain a policy file
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Print another broker's file as the equivalent YAML, and list what has no equal
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Set or delete a user's password
    Passwd(passwd::PasswdCommand),
    /// Look at a running deployment, Tidegate's or others', and say what is wrong with it
    Doctor(doctor::DoctorCommand),
    /// Exit with 0 if the server is ready, for containers
    Healthcheck(healthcheck::HealthcheckCommand),
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// The effective configuration, with where each value came from
    Show,
}

/// Does what the command line asks and says how the process should exit.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    let command = command.unwrap_or(Command::Run);
    if common.config.is_some() && matches!(command, Command::Policy(_) | Command::Import(_) | Command::Passwd(_)) {
        let message = "this command reads no configuration: --config has no place here";
        Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    let json = common.json;
    let done = match command {
        Command::Run => run::run(common),
        Command::Check => check::run(common),
        Command::Config(ConfigCommand::Show) => config_show::run(common),
        Command::Policy(command) => command.run(json),
        Command::Import(command) => command.run(json),
        Command::Passwd(command) => command.run(json),
        Command::Doctor(command) => command.run(common),
        Command::Healthcheck(command) => command.run(common),
    };
    done.unwrap_or_else(|error| match error.downcast::<Faults>() {
        Ok(Faults(faults)) => report(&faults, json),
        Err(error) => {
            eprintln!("tidegate: {error:#}");
            ExitCode::FAILURE
        }
    })
}

/// Tells faults, and says how a process with faults exits.
#[must_use]
pub fn report(faults: &[Fault], json: bool) -> ExitCode {
    if json {
        // If nobody reads the faults, the exit code still tells that there are some.
        let _ = answer(serde_json::json!({ "faults": faults }));
    } else {
        for fault in faults {
            eprintln!("{fault}");
        }
    }
    ExitCode::from(2)
}

/// Writes one answer to standard output, and the end of a line.
///
/// # Errors
/// Standard output is closed; `println!` would panic.
pub fn answer(text: impl fmt::Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_what_is_done_unless_said() {
        assert!(Cli::parse_from(["tidegate"]).command.is_none());
        assert!(Cli::parse_from(["tidegate", "-c", "t.yaml"]).common.config.is_some());
        assert!(Cli::parse_from(["tidegate", "run", "-c", "t.yaml"]).common.config.is_some());
        assert!(Cli::try_parse_from(["tidegate", "start"]).is_err());
    }
}
