//! `tidegate passwd FILE USER [--stdin] [--delete]`.

use std::path::PathBuf;
use std::process::ExitCode;

/// Sets or deletes one user's entry of a password file.
#[derive(Debug, clap::Args)]
pub struct PasswdCommand {
    /// The password file; made if it does not exist.
    file: PathBuf,
    /// The user whose password is set.
    user: String,
    /// Read the password from standard input (its first line) instead of asking for it.
    #[arg(long, conflicts_with = "delete")]
    stdin: bool,
    /// Delete the user's entry.
    #[arg(long)]
    delete: bool,
}

impl PasswdCommand {
    /// Runs the command: 0 done, 1 failed while running, 2 usage or password file fault.
    ///
    /// # Errors
    /// What failed while running.
    pub fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let _ = (json, self);
        Ok(ExitCode::from(2))
    }
}
