//! `tidegate run`, and `tidegate` alone.

use std::process::ExitCode;

use super::Common;
use crate::app;
use crate::config::{Request, load};
use crate::fault::Faults;

/// Reads the configuration and runs the server until it is told to stop.
///
/// # Errors
/// [`Faults`] of the configuration, or whatever keeps the server from starting or ends it early.
pub fn run(common: Common) -> anyhow::Result<ExitCode> {
    let request = Request::of_process(common.config);
    let loaded = load(request.clone()).map_err(Faults)?;
    match app::run(loaded.clone(), request).map_err(|error| error.downcast::<Faults>()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Ok(Faults(mut faults))) => {
            // A start ends at the first part that cannot be built; the others' faults are told with its own.
            let others = app::check(&loaded.config).into_iter().filter(|fault| !faults.contains(fault));
            faults.extend(others.collect::<Vec<_>>());
            Err(Faults(loaded.placed(faults)).into())
        }
        Err(Err(error)) => Err(error),
    }
}
