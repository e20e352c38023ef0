//! `tidegate config show`.

use std::process::ExitCode;

use super::Common;
use crate::config::{Request, load, show};
use crate::fault::Faults;

/// Prints the effective configuration, as YAML whose comments say where each value came from, or as JSON by key.
///
/// # Errors
/// [`Faults`] of the configuration.
pub fn run(common: Common) -> anyhow::Result<ExitCode> {
    let loaded = load(Request::of_process(common.config)).map_err(Faults)?;
    if common.json {
        println!("{:#}", show::json(&loaded.written));
    } else {
        print!("{}", show::yaml(&loaded.written));
    }
    Ok(ExitCode::SUCCESS)
}
