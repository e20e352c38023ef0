//! The token that the admin API asks for.

use std::io::Read as _;
use std::path::Path;

use arc_swap::ArcSwapOption;
use hyper::header::{self, HeaderMap};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::fault::Fault;

/// The token at present, if one is asked for. Only its digest is kept: what is compared then tells nothing of its length.
#[derive(Default)]
pub struct AdminToken(ArcSwapOption<Secret>);

/// A token as it was read. Its `Debug` shows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// A token that nobody guesses: 128 bits in hex have 32 characters, in base64 22.
const LENGTH_MIN: usize = 16;

const LENGTH_MAX: usize = 4096;

impl Secret {
    /// Reads the token from the file at `path`: one line.
    ///
    /// # Errors
    /// Why there is none. No fault repeats anything of it.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        const FORM: &str = "one line of 16 to 4096 printable ASCII characters, as `openssl rand -hex 32` makes one";
        let fault = |found: String| Fault::new(path.display().to_string(), "", found, FORM);
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            // The line's end may follow, and one byte more shows that there is more.
            .and_then(|file| file.take(LENGTH_MAX as u64 + 3).read_to_end(&mut bytes))
            .map_err(|error| fault(format!("cannot be read: {error}")))?;
        let token = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let token = token.strip_suffix(b"\r").unwrap_or(token);
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&token.len()) {
            return Err(fault(format!("holds {} characters", token.len())));
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(fault("holds what is no printable ASCII character, or a space, or another line".to_owned()));
        }
        Ok(Self::of(token))
    }

    fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl AdminToken {
    /// Asks for `secret` from here on; `None`: for no token.
    pub fn set(&self, secret: Option<Secret>) {
        self.0.store(secret.map(Into::into));
    }

    /// Whether a request with these fields may use the API, as far as tokens go.
    pub(super) fn admits(&self, fields: &HeaderMap) -> bool {
        let secret = self.0.load();
        let Some(secret) = secret.as_deref() else { return true };
        let mut values = fields.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { return false };
        let is_same: bool = Secret::of(token.trim().as_bytes()).0.ct_eq(&secret.0).into();
        scheme.eq_ignore_ascii_case("bearer") && is_same
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminToken").field("is_set", &self.0.load().is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn read(content: &[u8]) -> Result<Secret, Fault> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        std::fs::write(&path, content).unwrap();
        Secret::read(&path)
    }

    #[test]
    fn a_token_is_one_line_that_nobody_guesses() {
        for content in [TOKEN.to_owned(), format!("{TOKEN}\n"), format!("{TOKEN}\r\n")] {
            assert_eq!(read(content.as_bytes()), Ok(Secret::of(TOKEN.as_bytes())));
        }
        assert!(read("x".repeat(LENGTH_MAX).as_bytes()).is_ok());
        let long = "x".repeat(LENGTH_MAX + 1);
        for content in ["", "\n", "short", "0123456789abcde", "0123456789abcdef x", "0123456789abcdef\nx\n", &*long] {
            let fault = read(content.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains("holds") && !fault.contains("0123"), "{fault}");
        }
        assert!(Secret::read(Path::new("/nowhere/at/all")).unwrap_err().found.starts_with("cannot be read"));
    }

    #[test]
    fn only_the_token_admits() {
        let token = AdminToken::default();
        let fields = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert!(token.admits(&HeaderMap::new()) && token.admits(&fields("Bearer x")), "none is asked for");
        token.set(Some(Secret::of(TOKEN.as_bytes())));
        assert!(token.admits(&fields(&format!("Bearer {TOKEN}"))) && token.admits(&fields(&format!("bearer {TOKEN}"))));
        for value in ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeg", "Basic 0123456789abcdef", TOKEN] {
            assert!(!token.admits(&fields(value)), "{value}");
        }
        assert!(!token.admits(&HeaderMap::new()));
        let mut twice = fields(&format!("Bearer {TOKEN}"));
        twice.append(header::AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(!token.admits(&twice));
    }
}
