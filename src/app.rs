//! The composition root: build, run, drain. The only file that knows everyone.

use crate::config::Config;

/// Runs the server until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting or ends it early.
pub fn run(config: Config) -> anyhow::Result<()> {
    for listener in &config.edge.listeners {
        println!("{}", listener.url);
    }
    Ok(())
}
