//! From a token to a principal, by the keys and the time at present.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::keyring::{KeySource, Keyring};
use super::token::{self, Rejected, Rules, Verified};
use crate::auth::Principal;
use crate::auth::counters::AuthCounters;
use crate::fault::Fault;

/// Which tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// Where the keys are.
    pub keys: KeySource,
    /// The longest JWK Set. Default: 1 MiB.
    pub keys_bytes_max: usize,
    pub rules: Rules,
    /// How often the keys are looked at for changes. Default: 10 s for a file, 5 min for a URL.
    pub refresh: Duration,
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Verifier {
    pub(super) keyring: Keyring,
    rules: Rules,
    refresh: Duration,
    counters: Arc<AuthCounters>,
}

impl Verifier {
    /// Reads the key file. Keys of a URL are taken over from `before`, if it has them, or come later.
    ///
    /// # Errors
    /// Every fault of the file, or why it cannot be read.
    pub(in crate::auth) fn new(
        config: JwtConfig,
        counters: Arc<AuthCounters>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<Fault>> {
        let before = before.map(|before| &before.keyring);
        let keyring = Keyring::new(config.keys, config.keys_bytes_max, Arc::clone(&counters), before)?;
        Ok(Self { keyring, rules: config.rules, refresh: config.refresh, counters })
    }

    /// Verifies a token with the keys that are there; takes some ten microseconds. `username` is the User Name beside it: the token's own,
    /// or empty, as a name alone proves nothing.
    ///
    /// # Errors
    /// Why it is not accepted. [`Rejected::is_for_want_of_keys`] may be worth [`Self::verify_reading`].
    pub fn verify(&self, token: &[u8], username: Option<&str>) -> Result<Principal, Rejected> {
        let (since_epoch, now) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), Instant::now());
        let keys = self.keyring.keys(now).ok_or(Rejected::NoKeys)?;
        let verified = token::verify(token, &keys, &self.rules, since_epoch.as_secs())?;
        if username.is_some_and(|name| !name.is_empty() && *name != *verified.username) {
            return Err(Rejected::Username);
        }
        Ok(principal(verified, since_epoch, now))
    }

    /// The same; if its key is unknown, the keys are read again first.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn verify_reading(&self, token: &[u8], username: Option<&str>) -> Result<Principal, Rejected> {
        match self.verify(token, username) {
            Err(rejected) if rejected.is_for_want_of_keys() => {
                self.keyring.read_for_unknown_key().await;
                self.verify(token, username)
            }
            answer => answer,
        }
    }

    /// Counts the answer that a token was given in the end.
    pub fn count(&self, answer: Result<&Principal, Rejected>) {
        self.counters.tokens.answered(answer);
    }

    /// Has the keys, if they are not here yet, and reads them again from time to time, for ever. May be dropped at any time.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(self.keyring.pause(self.refresh).await).await;
            self.keyring.read_again().await;
        }
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
pub(in crate::auth) const LIFE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
