//! The doctor before deployments that are well, and before such as have one mistake each: it names that one, and no other.

mod authority;
mod inside;
mod nginx;
mod outside;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::server::tidegate;

/// What the doctor said.
pub struct Said {
    pub exit: Option<i32>,
    pub answer: Value,
}

/// Runs `tidegate doctor --json` with these arguments.
pub fn doctor<'a>(directory: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Said {
    said(tidegate().current_dir(directory).args(["doctor", "--json"]).args(arguments))
}

fn said(command: &mut Command) -> Said {
    let output = command.output().expect("the tidegate binary");
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text:?}, {}", String::from_utf8_lossy(&output.stderr));
    });
    Said { exit: output.status.code(), answer }
}

impl Said {
    /// Name and text of every finding of this verdict.
    pub fn all(&self, verdict: &str) -> Vec<(&str, &str)> {
        let reports = self.answer["reports"].as_array().expect("reports");
        let findings = reports.iter().flat_map(|report| report["findings"].as_array().expect("findings"));
        let wanted = findings.filter(|finding| finding["verdict"] == verdict);
        wanted
            .map(|finding| (finding["check"].as_str().expect("a name"), finding["found"].as_str().expect("a text")))
            .collect()
    }

    /// The text of a check's finding of this verdict.
    pub fn found(&self, verdict: &str, check: &str) -> &str {
        let all = self.all(verdict);
        let found = all.iter().find(|(name, _)| *name == check);
        found.unwrap_or_else(|| panic!("no {verdict} of {check} in {:#}", self.answer)).1
    }

    /// Nothing is at fault.
    pub fn is_well(&self) {
        assert_eq!(self.all("fault"), [], "{:#}", self.answer);
        assert_eq!(self.exit, Some(0));
    }

    /// This check alone is at fault, for this.
    pub fn suffers_from(&self, check: &str, words: &str) {
        let faults = self.all("fault");
        assert!(matches!(&*faults, [(name, found)] if *name == check && found.contains(words)), "{:#}", self.answer);
        assert_eq!(self.exit, Some(1));
    }
}
