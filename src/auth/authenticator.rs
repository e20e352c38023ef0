//! skeleton
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use crate::fault::Fault;

use super::{Credentials, Principal};

/// How clients prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// Whether no credentials mean the principal `anonymous`. Wrong credentials are refused all the same.
    pub anonymous: bool,
    /// The password file; `None`: no method is configured, and credentials are ignored.
    pub passwords: Option<PathBuf>,
    /// The most passwords hashed at once. Each argon2id hash holds about 19 MiB and one core for some 20 ms.
    pub hashing_max: usize,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { anonymous: false, passwords: None, hashing_max: 2 }
    }
}

/// Why a client was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The credentials are wrong: 0x86, return code 4.
    #[error("bad username or password")]
    BadCredentials,
    /// No credentials, and anonymous clients are not allowed: 0x87, return code 5.
    #[error("not authorized without credentials")]
    NotAuthorized,
    /// Too many are being checked already: 0x88, return code 3.
    #[error("too many logins at once")]
    Unavailable,
}

/// How often what was answered.
#[derive(Debug, Default)]
pub struct AuthCounters {
    pub accepted: AtomicU64,
}

/// Answers who a client is.
#[derive(Debug)]
pub struct Authenticator {
    config: AuthConfig,
}

impl Authenticator {
    /// Reads the password file, if one is configured.
    ///
    /// # Errors
    /// Every fault of the password file.
    pub fn new(config: AuthConfig) -> Result<Self, Vec<Fault>> {
        Ok(Self { config })
    }

    /// Answers at once where no hashing is needed; `None`: await [`Self::authenticate`].
    #[must_use]
    pub fn authenticate_now(&self, credentials: &Credentials) -> Option<Result<Principal, Refused>> {
        if !credentials.is_empty() && self.config.passwords.is_some() {
            return None;
        }
        Some(if self.config.anonymous { Ok(Principal::anonymous()) } else { Err(Refused::NotAuthorized) })
    }

    /// Answers who sent `credentials`.
    ///
    /// # Errors
    /// Why the client is refused.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Principal, Refused> {
        self.authenticate_now(&credentials).unwrap_or(Err(Refused::BadCredentials))
    }
}
