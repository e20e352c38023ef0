//! `tidegate policy test` and `tidegate policy explain`.

use std::path::PathBuf;
use std::process::ExitCode;

/// Tests and explains a policy file.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// Run the tests written inside the policy file.
    Test { file: PathBuf },
}

impl PolicyCommand {
    /// Runs the command: 0 done, 1 failed while running, 2 usage or policy fault.
    ///
    /// # Errors
    /// What failed while running.
    pub fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let _ = json;
        Ok(ExitCode::from(2))
    }
}
