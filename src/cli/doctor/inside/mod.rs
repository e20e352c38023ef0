//! The machine and the configuration on which a deployment stands.

mod behind;
mod files;
mod kernel;
mod listening;
pub mod machine;
mod running;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::machine::Machine;
use super::report::Report;
use crate::app;
use crate::cli::check::further;
use crate::config::sources::FILE_BY_CONVENTION;
use crate::config::{Request, inspect};

/// Programs that set the clock by others, as they call themselves; the kernel cuts names off.
const CLOCK_SETTERS: [&str; 5] = ["chronyd", "ntpd", "openntpd", "ntpsec", "systemd-timesyn"];

/// Looks at everything that can be seen on this machine. `root`: where `/proc`, `/sys` and `/run` are.
///
/// # Errors
/// There is no runtime to ask others with.
pub fn examine(request: Request, root: &Path, timeout: Duration, now_s: i64) -> std::io::Result<Report> {
    let named = request.file.clone().or_else(|| Some(PathBuf::from(FILE_BY_CONVENTION)).filter(|path| path.exists()));
    let (loaded, faults) = inspect(request);
    let file = named.as_ref().map_or_else(|| "the built-in default".to_owned(), |file| file.display().to_string());
    let mut report = Report::new(format!("this machine, with {file}"));
    let more = further(&faults, loaded.placed(app::check(&loaded.config)));
    let is_sound = faults.is_empty() && more.is_empty();
    for fault in faults.into_iter().chain(more) {
        let why = "Tidegate does not start with it, and a reload changes nothing.";
        report.fault("config", fault.to_string(), why, "Mend it; tidegate check looks at this alone.");
    }
    if is_sound {
        report.ok("config", "the configuration and the files it names are sound");
    }
    // Nothing is known of what was meant, and the default was not.
    if named.is_some() && loaded.file.is_none() {
        return Ok(report);
    }
    let (machine, config) = (Machine::at(root), &loaded.config);
    let found = listening::check(&machine, &config.edge, &mut report);
    let process = found.process.as_deref().unwrap_or("self");
    // A configuration at fault may name servers that were not meant.
    if is_sound {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match found.is_absent {
            true => report.skipped("running", "nobody listens, so nobody is asked"),
            false => runtime.block_on(running::check(&config.admin, &machine, process, timeout, &mut report)),
        }
        runtime.block_on(behind::check(config, timeout, &mut report));
    }
    files::check(config, now_s, &mut report);
    kernel::check(&machine, config, process, &mut report);
    clock(&machine, &mut report);
    Ok(report)
}

/// Whether anybody sets the clock. How far it is off cannot be seen from here.
fn clock(machine: &Machine, report: &mut Report) {
    if machine.exists("run/systemd/timesync/synchronized") {
        return report.ok("clock", "set by systemd-timesyncd");
    }
    let processes = machine.processes();
    let setter = processes
        .iter()
        .filter_map(|process| machine.command(process))
        .find(|name| CLOCK_SETTERS.contains(&name.as_str()));
    match setter {
        Some(name) => report.ok("clock", format!("{name} runs, which sets it")),
        None => report
            .skipped("clock", "nobody is seen to set it; a container has its host's. Compare: tidegate doctor URL"),
    }
}
