//! Reads a policy file from disk.

use std::path::Path;

use crate::fault::Fault;

use super::Policy;

/// Reads the policy file at `path`; its tests are not run.
///
/// # Errors
/// Every fault in it, or why it cannot be read; there is no policy then, not an open or empty one.
pub fn policy(path: &Path) -> Result<Policy, Vec<Fault>> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![Fault::new(&origin, "", format!("cannot be read: {error}"), "a policy file in UTF-8")])?;
    Policy::parse(&text, &origin)
}

#[cfg(test)]
mod tests {
    use super::*;

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
