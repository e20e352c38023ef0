//! Reads the password file from disk.

use std::path::Path;

use crate::fault::Fault;

use super::PasswordFile;

/// Reads the password file at `path`.
///
/// # Errors
/// Every fault in it, or why it cannot be read; there are no passwords then, not an empty list of them.
pub fn password_file(path: &Path) -> Result<PasswordFile, Vec<Fault>> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Fault::new(&origin, "", format!("cannot be read: {error}"), "a password file in UTF-8")]
    })?;
    PasswordFile::parse(&text, &origin)
}
