//! From what operators write to what the program is told.
//!
//! Responsible for: reading the YAML file and the `TIDEGATE_…` environment as one tree, naming every fault in them at once with its
//! place, and composing each module's own configuration into one [`Config`].
//!
//! ```text
//! file ── yaml ──┐                                    schema (the table of keys)
//! environment ───┼─▶ sources: one tree with origins ──────▶ written: typed ──▶ meaning ──▶ meant: Config
//! defaults ──────┘
//! ```
//!
//! Not here: what is inside the files a configuration names (policy, passwords, certificates); `tidegate check` asks their owners.
//!
//! Invariants: nobody but `cli` and `app` imports this module; a [`Config`] holds nothing unchecked; no key that was written is
//! silently without effect.

mod changes;
pub mod environment;
mod identity;
mod listen;
mod meaning;
pub mod meant;
pub mod reference;
mod routes;
pub mod schema;
pub mod show;
pub mod sources;
mod tls;
pub mod units;
pub mod written;
pub mod yaml;

pub use changes::Changes;
pub use meant::{Config, LoadConfig, ReloadConfig};
pub use sources::{Origin, Request};

use sources::Sources;
use std::path::PathBuf;
use written::Written;

use crate::fault::Fault;

/// A configuration, and what it was made from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The same as written, for `tidegate config show`.
    pub written: Written,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// What keeps this identity and this policy from holding for what `running` listens on: a reload changes no listener, so that what
    /// is safe beside other listeners need not be safe beside these.
    #[must_use]
    pub fn exposure_of(&self, running: &Self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let takes_certificates = self.config.auth.certificates.is_some();
        meaning::exposure_of(&self.written, takes_certificates, &running.written, &running.config.edge, &mut faults);
        let admin = running.config.admin.listen.filter(|address| !address.ip().is_loopback());
        if let (Some(address), None) = (admin, &self.config.admin.token_file) {
            let found = format!("http://{address} is not loopback, and no token is asked for there");
            faults.push(Fault::new("", "admin.token_file", found, "a token_file, or a restart on a loopback address"));
        }
        let as_it_runs = |fault: Fault| Fault { found: format!("{} (as it is running)", fault.found), ..fault };
        faults.into_iter().map(as_it_runs).collect()
    }

    /// Puts faults that others found in [`Self::config`] where the values stand.
    ///
    /// A module knows the key of what it was given, but not the file: its faults have no origin.
    #[must_use]
    pub fn placed(&self, faults: Vec<Fault>) -> Vec<Fault> {
        let place = |fault: Fault| match self.written.nearest(&fault.key) {
            Some(written) if fault.origin.is_empty() => {
                Fault { key: fault.key, ..written.fault(fault.found, fault.allowed) }
            }
            _ => fault,
        };
        faults.into_iter().map(place).collect()
    }
}

/// Reads what `request` names: the file, and the environment on top.
///
/// # Errors
/// Every fault of both, those of the file in its order.
pub fn load(request: Request) -> Result<Loaded, Vec<Fault>> {
    let (loaded, faults) = inspect(request);
    if faults.is_empty() { Ok(loaded) } else { Err(faults) }
}

/// Reads what `request` names and returns what could be read of it beside its faults, with defaults in the place of what is at fault:
/// to look at, and into the files it names, but not to run.
#[must_use]
pub fn inspect(request: Request) -> (Loaded, Vec<Fault>) {
    let (sources, mut faults) = Sources::read(request);
    let mut written = Written::read(&sources, schema::ROOT, &mut faults);
    let config = meaning::config(&mut written, &mut faults);
    // The environment's after the file's: variables have no line.
    faults.sort_by_key(|fault| (fault.line.is_none(), fault.line, fault.column));
    (Loaded { config, written, file: sources.file_path().map(Into::into) }, faults)
}

#[cfg(test)]
mod tests;
