//! `tidegate check`.

mod certificates;

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;

use super::{Common, answer, report};
use crate::config::{Loaded, Request, inspect};
use crate::edge::TlsConfig;
use crate::fault::Fault;
use crate::{app, policy};

/// Reads the configuration and every file that it names, and tells all their faults at once.
///
/// # Errors
/// A closed standard output; faults are an answer.
pub fn run(common: Common) -> anyhow::Result<ExitCode> {
    let (loaded, mut faults) = inspect(Request::of_process(common.config));
    faults.extend(further(&faults, loaded.placed(app::check(&loaded.config))));
    faults.extend(certificates::validity_faults(&loaded.config.edge.tls, SystemTime::now()));
    if !faults.is_empty() {
        return Ok(report(&faults, common.json));
    }
    let checked = checked(&loaded);
    if common.json {
        answer(json!({ "faults": [], "checked": checked }))?;
    } else {
        answer(checked.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Those of `found` that are not told already: what is at fault in `known` was replaced, and its like may be found a second time.
fn further(known: &[Fault], found: Vec<Fault>) -> Vec<Fault> {
    let is_known = |fault: &Fault| {
        known.iter().any(|known| known.origin == fault.origin && known.line.is_some() && known.line == fault.line)
    };
    found.into_iter().filter(|fault| !is_known(fault)).collect()
}

/// What was looked at and found sound, a line each.
fn checked(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let file =
        loaded.file.as_ref().map_or_else(|| "the built-in default".to_owned(), |file| file.display().to_string());
    let configuration = format!(
        "configuration: {file}, {} listeners, {} routes",
        config.edge.listeners.len(),
        config.edge.routes.len()
    );
    let policy = match config.policy.as_ref().map(|path| (path, policy::load::policy(path))) {
        Some((path, Ok(policy))) => {
            format!("policy: {}, {} rules, {} tests passed", path.display(), policy.rules_count(), policy.tests_count())
        }
        _ => "policy: none, everything is allowed to whoever comes in".to_owned(),
    };
    let passwords = match &config.auth.passwords {
        Some(path) => format!("passwords: {}", path.display()),
        None => "passwords: none".to_owned(),
    };
    let certificates = match &config.edge.tls {
        TlsConfig::Development { directory } => format!("certificates: for development, in {}", directory.display()),
        TlsConfig::Files(pairs) => {
            let paths: Vec<_> = pairs.iter().map(|pair| pair.certificate.display().to_string()).collect();
            format!("certificates: {}", paths.join(", "))
        }
    };
    vec![configuration, policy, passwords, certificates]
}
