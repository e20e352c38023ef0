//! Logins from outside: what earlier failures cost them, and one line in the log for each that fails.
//!
//! The lines are for people and for fail2ban (`configs/fail2ban`), so their first words are fixed: `auth_failed ip=… `. What a client says of
//! itself stands behind that, in quotes, with everything escaped that could end a line or a quote.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use tracing::{debug, info};

use super::ConnectionCounters;
use super::penalty::{Claimant, Penalties, PenaltyConfig};
use super::sampling::Sampler;
use crate::auth::jwt::token;
use crate::auth::{Credentials, Principal, Refused, TOKEN_METHOD};

/// Where a connection comes from, as far as it matters to whoever looks at its login.
#[derive(Clone, Debug)]
pub(super) struct Whence {
    pub(super) ip: IpAddr,
    pub(super) listener: Arc<str>,
    /// Whether failures cost it nothing.
    pub(super) is_exempt: bool,
}

/// One login.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    whence: Whence,
    username: Option<Box<str>>,
    client_id: Box<str>,
    /// Whether it may be one of many guesses. A token's signature cannot be guessed, and a page whose token has expired comes back by itself.
    is_guess: bool,
}

impl Attempt {
    /// With what CONNECT, or the request before it, brings.
    pub(super) fn with_credentials(whence: Whence, credentials: &Credentials) -> Self {
        let (username, client_id) = (credentials.username.clone(), credentials.client_id.clone());
        let is_guess = credentials.password.as_deref().is_some_and(|password| !token::is_shaped(password));
        Self { whence, username, client_id, is_guess }
    }

    /// By an exchange of this Authentication Method.
    pub(super) fn with_method(whence: Whence, method: &str, username: Option<Box<str>>, client_id: Box<str>) -> Self {
        Self { whence, username, client_id, is_guess: method != TOKEN_METHOD }
    }

    fn is_paid(&self) -> bool {
        self.is_guess && !self.whence.is_exempt
    }

    fn claimant<'a>(&'a self, username: Option<&'a str>) -> Claimant<'a> {
        Claimant { address: self.whence.ip.into(), username }
    }
}

/// All logins; see the module.
#[derive(Debug)]
pub(super) struct Logins {
    penalties: Penalties,
    sampler: Sampler,
    counters: Arc<ConnectionCounters>,
}

/// Lines a second: more than fail2ban needs of any one address before it acts.
const LINES_MAX: u32 = 50;

/// The longest that an answer is held back: the connection keeps its seat meanwhile.
const ANSWER_DELAY_MAX: Duration = Duration::from_secs(2);

impl Logins {
    pub(super) fn new(config: PenaltyConfig, counters: Arc<ConnectionCounters>, now: Instant) -> Self {
        let penalties = Penalties::new(config, now, RandomState::new());
        Self { penalties, sampler: Sampler::new(LINES_MAX), counters }
    }

    /// Has failures cost what `config` says from here on.
    pub(super) fn set_penalty(&self, config: PenaltyConfig) {
        self.penalties.set(config);
    }

    /// Whether `attempt` is to be looked at; if not, it has been counted and logged.
    pub(super) fn admits(&self, now: Instant, attempt: &Attempt) -> bool {
        if !attempt.is_paid() || self.penalties.left(now, attempt.claimant(attempt.username.as_deref())).is_zero() {
            return true;
        }
        ConnectionCounters::count(&self.counters.logins_penalized);
        self.log(now, attempt, "penalty");
        false
    }

    /// Notes how `attempt` ended; returns for how long the answer is to be held back.
    pub(super) fn conclude(&self, now: Instant, attempt: &Attempt, outcome: Result<&Principal, Refused>) -> Duration {
        let refused = match outcome {
            Ok(principal) => {
                if attempt.is_paid() && !principal.is_anonymous {
                    self.penalties.succeeded(now, attempt.claimant(Some(&principal.username)));
                }
                return Duration::ZERO;
            }
            Err(refused) => refused,
        };
        let (reason, is_failure) = match refused {
            Refused::BadCredentials => ("bad_credentials", true),
            Refused::NotProven => ("not_proven", true),
            Refused::NotAuthorized => ("no_credentials", false),
            Refused::UnknownMethod => ("unknown_method", false),
            // That is no fault of the client's.
            Refused::Unavailable => return Duration::ZERO,
        };
        self.log(now, attempt, reason);
        if !is_failure || !attempt.is_paid() {
            return Duration::ZERO;
        }
        let cost = self.penalties.failed(now, attempt.claimant(attempt.username.as_deref()));
        if !cost.is_zero() {
            ConnectionCounters::count(&self.counters.logins_delayed);
        }
        cost.min(ANSWER_DELAY_MAX)
    }

    /// Tells what no line has told yet of those that were left out. To be called now and then.
    pub(super) fn settle(&self, now: Instant) {
        if let Some(left_out) = self.sampler.settle(now) {
            info!(left_out, "auth_failed_left_out");
        }
    }

    fn log(&self, now: Instant, attempt: &Attempt, reason: &'static str) {
        let Attempt { whence, username, client_id, .. } = attempt;
        let (ip, listener) = (whence.ip, &whence.listener);
        let username = username.as_deref().unwrap_or_default();
        match self.sampler.admit(now) {
            Some(0) => info!(%ip, user = ?username, ?client_id, %reason, %listener, "auth_failed"),
            Some(left_out) => info!(%ip, user = ?username, ?client_id, %reason, %listener, left_out, "auth_failed"),
            None => debug!(%ip, user = ?username, ?client_id, %reason, %listener, "auth_failed"),
        }
    }
}
