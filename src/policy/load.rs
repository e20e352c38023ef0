//! Reads a policy file from disk, and the key files that it names.

use std::path::Path;

use crate::fault::Fault;

use super::{KeyFileText, Policy};

/// Reads the policy file at `path` and the key files it names, relative to its own folder; its tests are not run.
///
/// # Errors
/// Every fault in it, or why it cannot be read; there is no policy then, not an open or empty one.
pub fn policy(path: &Path) -> Result<Policy, Vec<Fault>> {
    policy_noting(path, &|_| {})
}

/// The same; `note` is told of each file before it is read.
///
/// # Errors
/// Every fault in it, or why it cannot be read.
pub fn policy_noting(path: &Path, note: &dyn Fn(&Path)) -> Result<Policy, Vec<Fault>> {
    note(path);
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![Fault::new(&origin, "", format!("cannot be read: {error}"), "a policy file in UTF-8")])?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Policy::parse_with(&text, &origin, &|name| {
        let path = folder.join(name);
        note(&path);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(KeyFileText { origin: path.display().to_string(), text })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_lies_beside_the_policy_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        std::fs::write(&path, "version: 1\nenvelope: [ { topic: a, key_file: keys/a } ]\n").unwrap();
        let missing = policy(&path).unwrap_err();
        assert_eq!((missing[0].key.as_str(), missing[0].line), ("envelope[0].key_file", Some(2)));
        assert!(missing[0].found.starts_with("cannot be read: "), "{missing:?}");

        std::fs::create_dir(folder.path().join("keys")).unwrap();
        let key_file = folder.path().join("keys/a");
        std::fs::write(&key_file, "dev:0011\n").unwrap();
        let place = format!("{}:1:5: dev: ", key_file.display());
        assert!(policy(&path).unwrap_err()[0].to_string().starts_with(&place));

        std::fs::write(&key_file, "dev:000102030405060708090a0b0c0d0e0f\n").unwrap();
        assert!(policy(&path).is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_fault_and_never_open() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.yaml");
        assert!(policy(&missing).unwrap_err()[0].to_string().contains("missing.yaml: cannot be read: "));
        assert!(policy(folder.path()).is_err(), "a folder");
        let latin1 = folder.path().join("latin1.yaml");
        std::fs::write(&latin1, b"version: 1\n# caf\xe9\n").unwrap();
        assert!(policy(&latin1).is_err());
    }
}
