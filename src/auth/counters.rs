//! How often what was answered, over every [`Authenticator`](super::Authenticator) that a process has had.

use std::sync::atomic::{AtomicU64, Ordering};

use super::jwt::Rejected;
use super::{Principal, Refused};

/// Everything that is counted here. A reload hands it from one authenticator to the next.
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
    /// Clients refused because nobody could say in time who they are.
    pub unavailable: AtomicU64,
    /// Clients that named an Authentication Method which is not offered.
    pub unknown_method: AtomicU64,
    /// Exchanges of enhanced authentication that failed.
    pub not_proven: AtomicU64,
    /// Logins refused at once, as `waiting_max` of their kind were waiting.
    pub waiting_full: AtomicU64,
    pub tokens: TokenCounters,
    pub keys: KeyCounters,
    pub http: HookCounters,
}

impl AuthCounters {
    pub(super) fn answered(&self, answer: Result<&Principal, Refused>) {
        let counter = match answer {
            Ok(principal) if principal.is_anonymous => &self.anonymous,
            Ok(_) => &self.accepted,
            Err(Refused::BadCredentials) => &self.bad_credentials,
            Err(Refused::NotAuthorized) => &self.not_authorized,
            Err(Refused::Unavailable) => &self.unavailable,
            Err(Refused::UnknownMethod) => &self.unknown_method,
            Err(Refused::NotProven) => &self.not_proven,
        };
        increment(counter);
    }
}

/// What became of tokens.
#[derive(Debug)]
pub struct TokenCounters {
    /// Tokens that were right.
    pub accepted: AtomicU64,
    rejected: Vec<AtomicU64>,
}

impl Default for TokenCounters {
    fn default() -> Self {
        Self { accepted: AtomicU64::new(0), rejected: Rejected::ALL.iter().map(|_| AtomicU64::new(0)).collect() }
    }
}

impl TokenCounters {
    /// How many tokens were not accepted for this reason.
    #[must_use]
    pub fn rejected(&self, reason: Rejected) -> u64 {
        self.rejected.get(reason as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    pub(super) fn answered(&self, answer: Result<&Principal, Rejected>) {
        match answer {
            Ok(_) => increment(&self.accepted),
            Err(rejected) => {
                tracing::debug!(reason = %rejected, "token refused");
                self.rejected.get(rejected as usize).into_iter().for_each(increment);
            }
        }
    }
}

/// What became of the keys that tokens are verified with.
#[derive(Debug, Default)]
pub struct KeyCounters {
    /// Times that keys were asked for at their URL.
    pub fetches: AtomicU64,
    /// Times that other keys were found.
    pub changes: AtomicU64,
    /// Times that the keys could not be had, or were faulty.
    pub failures: AtomicU64,
    /// When keys were last had from their URL, in seconds since 1970; 0: never.
    pub fetched_at_s: AtomicU64,
}

/// What became of questions to the HTTP server.
#[derive(Debug, Default)]
pub struct HookCounters {
    /// Questions that were sent.
    pub requests: AtomicU64,
    /// Questions that wait for their answer at present.
    pub under_way: AtomicU64,
    /// Answers that let somebody in.
    pub allowed: AtomicU64,
    /// Answers that did not.
    pub denied: AtomicU64,
    /// No connection.
    pub failed_connect: AtomicU64,
    /// No answer in time.
    pub failed_timeout: AtomicU64,
    /// Half an answer.
    pub failed_cut: AtomicU64,
    /// An answer that says that it is none.
    pub failed_status: AtomicU64,
    /// An answer that says neither yes nor no.
    pub failed_answer: AtomicU64,
    /// Logins let in by an earlier answer.
    pub cached_allowed: AtomicU64,
    /// Logins refused by an earlier answer.
    pub cached_denied: AtomicU64,
    /// Logins let in by an earlier answer while the server failed.
    pub cached_stale: AtomicU64,
    /// Logins that waited for an answer that another one had asked for.
    pub shared: AtomicU64,
    /// Answers kept at present.
    pub cached: AtomicU64,
}

pub(super) fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
