//! What an operator wrote that cannot stand: where it is, what was found, what is allowed.
//!
//! Every reader of operator input (configuration, policy, password file, certificates) reports all its faults at once as values of
//! this one type, so that people read `file:line:column: key.path: what was found; what is allowed` and machines the same as JSON.

use std::fmt;

use serde::Serialize;

/// One fault in something an operator wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file as the operator named it, or `TIDEGATE_…` for an environment variable.
    pub origin: String,
    /// From 1; `None` where the origin has no lines.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// `tls.cert`, `roles.client[2].topic`; empty if the fault concerns the whole.
    pub key: String,
    pub found: String,
    pub allowed: String,
}

impl Fault {
    /// A fault that concerns `key` of `origin`, without a place in it.
    pub fn new(
        origin: impl Into<String>,
        key: impl Into<String>,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self {
            origin: origin.into(),
            line: None,
            column: None,
            key: key.into(),
            found: found.into(),
            allowed: allowed.into(),
        }
    }

    /// The same fault at a line and column, both from 1.
    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.is_empty() {
            f.write_str(&self.origin)?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
                if let Some(column) = self.column {
                    write!(f, ":{column}")?;
                }
            }
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.found, self.allowed)
    }
}

/// All the faults that keep something from starting, as an error that whoever asked can take apart again.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

/// The entry of `known` that `unknown` was most likely meant to be: one that is spelled nearly so, or the only one that begins so.
#[must_use]
pub fn suggestion<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const BEGINNING_LENGTH_MIN: usize = 3;
    let known: Vec<&str> = known.into_iter().collect();
    let mut beginning = known.iter().filter(|name| unknown.len() >= BEGINNING_LENGTH_MIN && name.starts_with(unknown));
    if let (Some(name), None) = (beginning.next(), beginning.next()) {
        return Some(name);
    }
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|&(distance, name)| distance <= 1 + name.len() / 4)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_place_key_found_allowed() {
        let fault = Fault::new("tidegate.yaml", "tls.cert", "no such file", "a PEM file").at(3, 9);
        assert_eq!(fault.to_string(), "tidegate.yaml:3:9: tls.cert: no such file; a PEM file");
        assert_eq!(Fault::new("f", "", "is empty", "a mapping").to_string(), "f: is empty; a mapping");
        assert_eq!(Fault::new("", "listen", "is taken", "a free one").to_string(), "listen: is taken; a free one");
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(suggestion("passwrods", ["passwords", "anonymous"]), Some("passwords"));
        assert_eq!(suggestion("pass", ["passwords", "anonymous"]), Some("passwords"));
        assert_eq!(suggestion("colour", ["passwords", "anonymous"]), None);
    }
}
