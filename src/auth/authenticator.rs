//! Answers who a client is, with the costly part off the event loop.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::fault::Fault;

use super::mechanism::Mechanisms;
use super::{Credentials, PasswordFile, Principal, Proof, Step, load};

/// How many logins may wait for each hashing slot; more are refused at once instead of waiting past every deadline.
const WAITING_PER_SLOT_MAX: usize = 256;

/// How clients prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// Whether no credentials mean the principal `anonymous`. Wrong credentials are refused all the same. Default: false.
    pub anonymous: bool,
    /// The password file. `None` (the default): no method is configured, and credentials are ignored.
    pub passwords: Option<PathBuf>,
    /// The most passwords hashed at once, at least 1. Each argon2id hash holds 19 MiB and one core for some 20 ms. Default: 2.
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
    /// There are no credentials, and anonymous clients are not let in: 0x87, return code 5.
    #[error("not authorized without credentials")]
    NotAuthorized,
    /// Too many logins are waiting: 0x88, return code 3.
    #[error("too many logins at once")]
    Unavailable,
    /// The Authentication Method is not offered: 0x8C.
    #[error("unknown authentication method")]
    UnknownMethod,
    /// An exchange of enhanced authentication failed: 0x87.
    #[error("not proven")]
    NotProven,
}

/// How often what was answered.
#[derive(Debug, Default)]
pub struct AuthCounters {
    /// Clients whose credentials were right.
    pub accepted: AtomicU64,
    /// Clients let in as `anonymous`.
    pub anonymous: AtomicU64,
    /// Clients whose credentials were wrong.
    pub bad_credentials: AtomicU64,
    /// Clients without credentials that were not let in.
    pub not_authorized: AtomicU64,
    /// Clients refused because too many logins were waiting already.
    pub unavailable: AtomicU64,
    /// Clients that named an Authentication Method which is not offered.
    pub unknown_method: AtomicU64,
    /// Exchanges of enhanced authentication that failed.
    pub not_proven: AtomicU64,
}

/// Answers who a client is.
pub struct Authenticator {
    anonymous: bool,
    passwords: Option<Arc<PasswordFile>>,
    mechanisms: Mechanisms,
    slots: Arc<Semaphore>,
    waiting_max: usize,
    waiting_count: AtomicUsize,
    counters: AuthCounters,
}

impl Authenticator {
    /// Reads the password file, if one is configured.
    ///
    /// # Errors
    /// Every fault of the password file, or why it cannot be read.
    pub fn new(config: AuthConfig) -> Result<Self, Vec<Fault>> {
        let passwords = config.passwords.as_deref().map(load::password_file).transpose()?;
        Ok(Self::with_passwords(config.anonymous, passwords, config.hashing_max))
    }

    /// An authenticator over passwords that were read already.
    #[must_use]
    pub fn with_passwords(anonymous: bool, passwords: Option<PasswordFile>, hashing_max: usize) -> Self {
        let slots = hashing_max.clamp(1, Semaphore::MAX_PERMITS);
        let passwords = passwords.map(Arc::new);
        Self {
            anonymous,
            mechanisms: Mechanisms::new(passwords.as_ref()),
            passwords,
            slots: Arc::new(Semaphore::new(slots)),
            waiting_max: slots.saturating_mul(WAITING_PER_SLOT_MAX),
            waiting_count: AtomicUsize::new(0),
            counters: AuthCounters::default(),
        }
    }

    /// Answers at once where no hashing is needed; `None`: await [`Self::authenticate`].
    ///
    /// Each answer is counted: call either this and, only after `None`, the other, or the other alone.
    #[must_use]
    pub fn authenticate_now(&self, credentials: &Credentials) -> Option<Result<Principal, Refused>> {
        let answer = match (&self.passwords, &credentials.username, &credentials.password) {
            (Some(_), Some(_), Some(_)) => return None,
            // Half of a pair is not "no credentials".
            (Some(_), Some(_), None) | (Some(_), None, Some(_)) => Err(Refused::BadCredentials),
            (Some(_), None, None) | (None, _, _) if self.anonymous => Ok(Principal::anonymous()),
            (Some(_), None, None) | (None, _, _) => Err(Refused::NotAuthorized),
        };
        Some(self.count(answer))
    }

    /// Answers who sent `credentials`. Hashing takes tens of milliseconds or more, on a thread for blocking work.
    ///
    /// If the future is dropped, a hash that was begun still keeps its slot until it is done.
    ///
    /// # Errors
    /// Why the client is refused.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Principal, Refused> {
        if let Some(answer) = self.authenticate_now(&credentials) {
            return answer;
        }
        let (Some(passwords), Some(username), Some(password)) =
            (self.passwords.clone(), credentials.username, credentials.password)
        else {
            return self.count(Err(Refused::NotAuthorized));
        };
        let Some(_waiting) = Waiting::enter(&self.waiting_count, self.waiting_max) else {
            return self.count(Err(Refused::Unavailable));
        };
        // The semaphore is never closed, and a hash does not panic; if either happened, nobody would be let in.
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
            return self.count(Err(Refused::Unavailable));
        };
        let verified = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            passwords.verify(&username, &password).then(|| Principal::user(&username))
        });
        let answer = match verified.await {
            Ok(principal) => principal.ok_or(Refused::BadCredentials),
            Err(_) => Err(Refused::Unavailable),
        };
        self.count(answer)
    }

    /// Takes an exchange of enhanced authentication one step further; an end is counted. Costs microseconds, as it is the client who
    /// derives keys. `nonce` is random.
    ///
    /// # Errors
    /// Why the client is refused.
    pub fn prove(&self, proof: Proof, nonce: u128) -> Result<Step, Refused> {
        let step = self.mechanisms.step(proof, nonce);
        match &step {
            Ok(Step::Continue { .. }) => {}
            Ok(Step::Proven { principal, .. }) => self.tally(Ok(principal)),
            Err(refused) => self.tally(Err(*refused)),
        }
        step
    }

    /// Whether a way to authenticate is configured.
    #[must_use]
    pub fn has_method(&self) -> bool {
        self.passwords.is_some()
    }

    /// Whether a client without credentials comes in, as `anonymous`.
    #[must_use]
    pub fn admits_anonymous(&self) -> bool {
        self.anonymous
    }

    /// How often what was answered.
    #[must_use]
    pub fn counters(&self) -> &AuthCounters {
        &self.counters
    }

    fn count(&self, answer: Result<Principal, Refused>) -> Result<Principal, Refused> {
        self.tally(answer.as_ref().map_err(|refused| *refused));
        answer
    }

    fn tally(&self, answer: Result<&Principal, Refused>) {
        let counter = match answer {
            Ok(principal) if principal.is_anonymous => &self.counters.anonymous,
            Ok(_) => &self.counters.accepted,
            Err(Refused::BadCredentials) => &self.counters.bad_credentials,
            Err(Refused::NotAuthorized) => &self.counters.not_authorized,
            Err(Refused::Unavailable) => &self.counters.unavailable,
            Err(Refused::UnknownMethod) => &self.counters.unknown_method,
            Err(Refused::NotProven) => &self.counters.not_proven,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("anonymous", &self.anonymous)
            .field("users_count", &self.passwords.as_ref().map(|passwords| passwords.users_count()))
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// A place among those who wait, given back when dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let next = |count: usize| (count < max).then_some(count + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok().map(|_| Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const PASSWORDS: &str = "client:$7$101$IHW4BgQ9UU0uaaOY$LQIKMyP5KORWnFszayRYifqSelM5T98wHHZyjhdxCbAQLPw9iRY3vK3oi3jgFEU/Alge9ZSoElYDV0r27i0q1Q==\n";

    fn authenticator(anonymous: bool, has_passwords: bool) -> Authenticator {
        let passwords = has_passwords.then(|| PasswordFile::parse(PASSWORDS, "p").unwrap());
        Authenticator::with_passwords(anonymous, passwords, 1)
    }

    fn credentials(username: Option<&str>, password: Option<&str>) -> Credentials {
        let password = password.map(|password| Bytes::copy_from_slice(password.as_bytes()));
        Credentials { username: username.map(Into::into), password, client_id: "c".into(), address: None }
    }

    async fn outcome(authenticator: &Authenticator, username: Option<&str>, password: Option<&str>) -> String {
        match authenticator.authenticate(credentials(username, password)).await {
            Ok(principal) if principal.is_anonymous => "anonymous".to_owned(),
            Ok(principal) => format!("user {}", principal.username),
            Err(refused) => refused.to_string(),
        }
    }

    #[tokio::test]
    async fn every_combination_has_one_answer() {
        const BAD: &str = "bad username or password";
        const NONE: &str = "not authorized without credentials";
        let (open, closed) = (authenticator(true, true), authenticator(false, true));
        for (username, password, when_open, when_closed) in [
            (None, None, "anonymous", NONE),
            (Some("client"), Some("correct horse"), "user client", "user client"),
            (Some("client"), Some("wrong"), BAD, BAD),
            (Some("client"), Some(""), BAD, BAD),
            (Some("client"), None, BAD, BAD),
            (None, Some("correct horse"), BAD, BAD),
            (Some("stranger"), Some("correct horse"), BAD, BAD),
            (Some("anonymous"), Some(""), BAD, BAD),
            (Some(""), Some(""), BAD, BAD),
        ] {
            assert_eq!(outcome(&open, username, password).await, when_open, "{username:?} {password:?}");
            assert_eq!(outcome(&closed, username, password).await, when_closed, "{username:?} {password:?}");
        }
        assert_eq!(closed.counters().bad_credentials.load(Ordering::Relaxed), 7);
        assert_eq!(open.counters().anonymous.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn without_a_method_credentials_are_ignored() {
        for (username, password) in [(None, None), (Some("client"), Some("wrong")), (Some("x"), None)] {
            assert_eq!(outcome(&authenticator(true, false), username, password).await, "anonymous");
            let refused = outcome(&authenticator(false, false), username, password).await;
            assert_eq!(refused, "not authorized without credentials");
        }
    }

    #[tokio::test]
    async fn more_waiting_logins_than_the_cap_are_refused_at_once() {
        let authenticator = authenticator(false, true);
        let _slot = authenticator.slots.clone().acquire_owned().await.unwrap();
        authenticator.waiting_count.store(authenticator.waiting_max, Ordering::Relaxed);
        assert_eq!(outcome(&authenticator, Some("client"), Some("correct horse")).await, "too many logins at once");
        assert_eq!(authenticator.counters().unavailable.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_login_given_up_while_waiting_leaves_no_trace() {
        let authenticator = authenticator(false, true);
        let slot = authenticator.slots.clone().acquire_owned().await.unwrap();
        {
            let mut login = Box::pin(authenticator.authenticate(credentials(Some("client"), Some("correct horse"))));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(login.as_mut().poll(&mut context).is_pending());
            assert_eq!(authenticator.waiting_count.load(Ordering::Relaxed), 1);
        }
        assert_eq!(authenticator.waiting_count.load(Ordering::Relaxed), 0);
        drop(slot);
        assert_eq!(outcome(&authenticator, Some("client"), Some("correct horse")).await, "user client");
    }

    #[test]
    fn a_password_file_that_cannot_be_read_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let passwords = Some(folder.path().join("missing"));
        let faults = Authenticator::new(AuthConfig { passwords, ..AuthConfig::default() }).unwrap_err();
        assert!(faults[0].found.starts_with("cannot be read"), "{faults:?}");
    }
}
