//! `tidegate check`.

use std::process::ExitCode;

use super::Common;
use crate::config::{Request, load};
use crate::fault::Faults;

/// Reads the configuration and every file that it names, and tells all their faults at once.
///
/// # Errors
/// [`Faults`] of any of them.
pub fn run(common: Common) -> anyhow::Result<ExitCode> {
    load(Request::of_process(common.config)).map_err(Faults)?;
    Ok(ExitCode::SUCCESS)
}
