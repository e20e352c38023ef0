//! `tidegate config show`.

use std::process::ExitCode;

use super::{Common, answer};
use crate::config::{Request, load, show};
use crate::fault::Faults;

/// Prints the effective configuration, as YAML whose comments say where each value came from, or as JSON by key.
///
/// # Errors
/// [`Faults`] of the configuration, or a closed standard output.
pub fn run(common: Common) -> anyhow::Result<ExitCode> {
    let loaded = load(Request::of_process(common.config)).map_err(Faults)?;
    if common.json {
        answer(format_args!("{:#}", show::json(&loaded.written)))?;
    } else {
        answer(show::yaml(&loaded.written).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
