//! `tidegate check`.

use std::process::ExitCode;

use serde_json::json;

use super::{Common, answer, report};
use crate::config::{Loaded, Request, inspect};
use crate::edge::{CertificateSource, EdgeConfig, TlsConfig};
use crate::fault::Fault;
use crate::{app, policy};

/// Reads the configuration and every file that it names, and tells all their faults at once.
///
/// # Errors
/// A closed standard output; faults are an answer.
pub fn run(common: Common) -> anyhow::Result<ExitCode> {
    let (loaded, mut faults) = inspect(Request::of_process(common.config));
    faults.extend(further(&faults, loaded.placed(app::check(&loaded.config))));
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
pub(super) fn further(known: &[Fault], found: Vec<Fault>) -> Vec<Fault> {
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
    let mut checked = vec![configuration, policy, passwords];
    checked.extend(certificates(&config.edge));
    checked
}

/// The certificates of the server, and whose of clients are believed: what all listeners share, then what others have of their own.
fn certificates(edge: &EdgeConfig) -> Vec<String> {
    let mut lines = Vec::new();
    for (tls, whose) in [(&edge.tls, String::new())]
        .into_iter()
        .chain(edge.listeners.iter().filter_map(|own| Some((own.tls.as_ref()?, format!(" of {}", own.url)))))
    {
        lines.extend(certificates_of(tls).into_iter().map(|(what, which)| format!("{what}{whose}: {which}")));
    }
    lines
}

fn certificates_of(tls: &TlsConfig) -> Vec<(&'static str, String)> {
    let shown = match &tls.certificates {
        CertificateSource::Development { directory } => format!("for development, in {}", directory.display()),
        CertificateSource::Files(pairs) => {
            pairs.iter().map(|pair| pair.certificate.display().to_string()).collect::<Vec<_>>().join(", ")
        }
    };
    let believed = tls.clients.as_ref().map(|clients| {
        let asked = if clients.is_required { "required" } else { "optional" };
        let lists = clients.crls.len();
        ("client certificates", format!("{asked}, by {}, {lists} revocation lists", clients.authorities.display()))
    });
    [Some(("certificates", shown)), believed].into_iter().flatten().collect()
}
