//! From a token to a principal, by the keys and the time at present.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::keyring::Keyring;
use super::token::{self, Rejected, Rules, Verified};
use crate::auth::Principal;
use crate::fault::Fault;

/// Which tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// A file with a JWK Set.
    pub keys: PathBuf,
    pub rules: Rules,
    /// How often the file is looked at for changes. Default: 10 s.
    pub refresh: Duration,
}

/// How often what became of tokens.
#[derive(Debug)]
pub struct TokenCounters {
    /// Tokens that were right.
    pub accepted: AtomicU64,
    /// Times that other keys were found in the file.
    pub key_changes: AtomicU64,
    /// Times that the file was found faulty.
    pub key_failures: AtomicU64,
    rejected: Vec<AtomicU64>,
}

impl Default for TokenCounters {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            key_changes: AtomicU64::new(0),
            key_failures: AtomicU64::new(0),
            rejected: Rejected::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl TokenCounters {
    /// How many tokens were not accepted for this reason.
    #[must_use]
    pub fn rejected(&self, reason: Rejected) -> u64 {
        self.rejected.get(reason as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Verifier {
    keyring: Keyring,
    rules: Rules,
    refresh: Duration,
    counters: Arc<TokenCounters>,
}

impl Verifier {
    /// Reads the key file.
    ///
    /// # Errors
    /// Every fault of the file, or why it cannot be read.
    pub fn new(config: JwtConfig) -> Result<Self, Vec<Fault>> {
        Self::counting(config, Arc::default())
    }

    /// The same, counting in `counters`.
    ///
    /// # Errors
    /// Every fault of the file, or why it cannot be read.
    pub fn counting(config: JwtConfig, counters: Arc<TokenCounters>) -> Result<Self, Vec<Fault>> {
        let keyring = Keyring::new(config.keys, Instant::now(), Arc::clone(&counters))?;
        Ok(Self { keyring, rules: config.rules, refresh: config.refresh, counters })
    }

    /// Verifies a token with the keys that are there; takes some ten microseconds. `username` is the User Name beside it: the token's own,
    /// or empty, as a name alone proves nothing.
    ///
    /// # Errors
    /// Why it is not accepted. [`Rejected::UnknownKey`] may be worth [`Self::verify_reading`].
    pub fn verify(&self, token: &[u8], username: Option<&str>) -> Result<Principal, Rejected> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let verified = token::verify(token, &self.keyring.keys(), &self.rules, since_epoch.as_secs())?;
        if username.is_some_and(|name| !name.is_empty() && *name != *verified.username) {
            return Err(Rejected::Username);
        }
        Ok(principal(verified, since_epoch, Instant::now()))
    }

    /// The same; if its key is unknown, the file is read again first.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn verify_reading(&self, token: &[u8], username: Option<&str>) -> Result<Principal, Rejected> {
        match self.verify(token, username) {
            Err(Rejected::UnknownKey) => {
                self.keyring.read_for_unknown_key().await;
                self.verify(token, username)
            }
            answer => answer,
        }
    }

    /// Counts the answer that a token was given in the end.
    pub fn count(&self, answer: Result<&Principal, Rejected>) {
        let counter = match answer {
            Ok(_) => Some(&self.counters.accepted),
            Err(rejected) => {
                tracing::debug!(reason = %rejected, "token refused");
                self.counters.rejected.get(rejected as usize)
            }
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads the key file again from time to time, for ever.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(self.refresh).await;
            self.read_again().await;
        }
    }

    /// Reads the key file again.
    pub async fn read_again(&self) {
        self.keyring.read_again().await;
    }

    #[must_use]
    pub fn counters(&self) -> &TokenCounters {
        &self.counters
    }
}

fn principal(verified: Verified, since_epoch: Duration, now: Instant) -> Principal {
    let left = Duration::from_secs(verified.expires_s).saturating_sub(since_epoch).min(LIFE_MAX);
    Principal {
        username: verified.username.into(),
        is_anonymous: false,
        claims: verified.claims,
        claim_lists: verified.claim_lists,
        expires_at: Some(now + left),
    }
}

/// No connection lasts so long; a point in time further away might not be one that the system can name.
const LIFE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
