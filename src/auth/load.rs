//! Reads passwords, keys and secrets from disk.

use std::io::Read as _;
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

/// Reads the text of the key file at `path`, of at most `bytes_max` bytes.
///
/// # Errors
/// Why it cannot be read.
pub fn key_file(path: &Path, bytes_max: usize) -> Result<String, Fault> {
    let allowed =
        || format!("a JWK Set, or PEM, in UTF-8 of at most {bytes_max} bytes, as auth.jwt.keys_bytes_max says");
    let fault = |found: String| Fault::new(path.display().to_string(), "", found, allowed());
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        // One byte more than is allowed shows that there is more.
        .and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
    if bytes.len() > bytes_max {
        return Err(fault("is longer than that".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| fault("has bytes that are no UTF-8".to_owned()))
}

/// The longest secret.
const SECRET_BYTES_MAX: u64 = 8 * 1024;

/// Reads the secret that is alone in the file at `path`, without the end of its line.
///
/// # Errors
/// Why it cannot be read. Nothing of it is repeated.
pub fn secret(path: &Path) -> Result<Box<str>, Fault> {
    const ALLOWED: &str = "a file with a secret of at most 8KiB, in one line of visible ASCII";
    let fault = |found: String| Fault::new(path.display().to_string(), "", found, ALLOWED);
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| fault(format!("cannot be read: {error}")))?;
    let secret = text.trim_end_matches(['\n', '\r']);
    match secret {
        "" => Err(fault("is empty".to_owned())),
        _ if text.len() as u64 > SECRET_BYTES_MAX => Err(fault("is longer than that".to_owned())),
        _ if !secret.bytes().all(|byte| byte.is_ascii_graphic()) => Err(fault("has other characters in it".to_owned())),
        secret => Ok(secret.into()),
    }
}
