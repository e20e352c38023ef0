//! Asks the server, and remembers what it said.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use hyper::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::HttpConfig;
use super::cache::{Cache, Digest, Validity};
use super::question::{Unusable, Verdict, question, verdict};
use crate::auth::counters::{AuthCounters, increment};
use crate::auth::jwt::token::is_username;
use crate::auth::jwt::verifier::LIFE_MAX;
use crate::auth::{Credentials, Principal, Refused, load, pace};
use crate::fault::Fault;
use crate::outgoing::client::ExchangeLimits;
use crate::outgoing::{Client, OutgoingError, Trust};

/// The server that is asked.
pub struct Hook {
    client: Client,
    config: HttpConfig,
    cache: Arc<Mutex<Cache>>,
    /// What is being asked. Whoever comes with the same credentials waits for the same answer.
    flights: Mutex<HashMap<Digest, watch::Receiver<Option<Outcome>>>>,
    requests: Semaphore,
    is_failing: AtomicBool,
    counters: Arc<AuthCounters>,
}

#[derive(Clone, Debug)]
enum Outcome {
    Allowed(Principal),
    Denied,
    /// The server did not say.
    Failed,
}

/// Why the server did not say.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

impl Hook {
    /// Nothing is asked yet. What `before` knows of the same server goes on as what is used while it fails.
    ///
    /// # Errors
    /// The files that are named cannot be read, or there is no entropy.
    pub(in crate::auth) fn new(
        config: HttpConfig,
        counters: Arc<AuthCounters>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<Fault>> {
        let is_tls = config.url.upstream().is_tls();
        let trust = is_tls.then(|| Trust::load(config.ca.as_deref(), &[b"http/1.1"], "auth.http.ca")).transpose();
        let secret = config.token_file.as_deref().map(load::secret).transpose();
        let (trust, secret) = match (trust, secret) {
            (Ok(trust), Ok(secret)) => (trust, secret),
            (trust, secret) => return Err([trust.err(), secret.err()].into_iter().flatten().collect()),
        };
        let cache = match before.filter(|before| before.config == config) {
            Some(before) => {
                before.cache.lock().expire(Instant::now());
                Arc::clone(&before.cache)
            }
            None => Arc::new(Mutex::new(empty(&config)?)),
        };
        let limits = ExchangeLimits {
            timeout: config.timeout,
            body_bytes_max: config.answer_bytes_max,
            idle_max: config.requests_max,
        };
        Ok(Self {
            client: Client::new(config.url.clone(), trust, secret.as_deref(), limits),
            requests: Semaphore::new(config.requests_max.clamp(1, Semaphore::MAX_PERMITS)),
            cache,
            flights: Mutex::default(),
            is_failing: AtomicBool::new(false),
            config,
            counters,
        })
    }

    /// Who sent `credentials`, by the server's word or by what it said lately.
    ///
    /// # Errors
    /// It says no; or it does not say, and said nothing that still holds.
    pub(in crate::auth) async fn authenticate(
        self: &Arc<Self>,
        credentials: &Credentials,
    ) -> Result<Principal, Refused> {
        // Nobody could be that, whatever the server said.
        if credentials.username.as_deref().is_some_and(|name| !name.is_empty() && !is_username(name)) {
            return Err(Refused::BadCredentials);
        }
        let counters = &self.counters.http;
        let digest = self.cache.lock().digest(credentials);
        let mut flight = match self.known_or_asked(digest, credentials) {
            Known::Answer(Some(principal)) => {
                increment(&counters.cached_allowed);
                return Ok(principal);
            }
            Known::Answer(None) => {
                increment(&counters.cached_denied);
                return Err(Refused::BadCredentials);
            }
            Known::Asked(flight) => flight,
            Known::TooMany => {
                increment(&self.counters.waiting_full);
                return self.while_failing(&digest);
            }
        };
        // A sender that is gone without an answer has failed.
        let outcome = match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Outcome::Failed),
            Err(_) => Outcome::Failed,
        };
        match outcome {
            Outcome::Allowed(principal) => Ok(principal),
            Outcome::Denied => Err(Refused::BadCredentials),
            Outcome::Failed => self.while_failing(&digest),
        }
    }

    /// What still holds of what was said before.
    fn while_failing(&self, digest: &Digest) -> Result<Principal, Refused> {
        let principal = self.cache.lock().stale(digest, Instant::now()).ok_or(Refused::Unavailable)?;
        increment(&self.counters.http.cached_stale);
        Ok(principal)
    }

    /// The answer that is known, or else the question under way, which is begun if there is none.
    fn known_or_asked(self: &Arc<Self>, digest: Digest, credentials: &Credentials) -> Known {
        let mut flights = self.flights.lock();
        let count = flights.len();
        match flights.entry(digest) {
            Entry::Occupied(flight) => {
                increment(&self.counters.http.shared);
                Known::Asked(flight.get().clone())
            }
            Entry::Vacant(place) => {
                // An answer is put there before its question is taken from the flights, so that none is asked twice.
                if let Some(answer) = self.cache.lock().fresh(&digest, Instant::now()) {
                    return Known::Answer(answer);
                }
                if count >= self.config.waiting_max {
                    return Known::TooMany;
                }
                let (sender, receiver) = watch::channel(None);
                place.insert(receiver.clone());
                let (flight, question) = (Flight { hook: Arc::clone(self), digest }, question(credentials));
                let username = credentials.username.as_deref().filter(|name| !name.is_empty()).map(Into::into);
                // A task of its own, as whoever began it may leave and others wait for it.
                tokio::spawn(async move {
                    let outcome = flight.hook.outcome(digest, question, username).await;
                    drop(flight);
                    sender.send_replace(Some(outcome));
                });
                Known::Asked(receiver)
            }
        }
    }

    /// Asks, and puts down what is answered.
    async fn outcome(&self, digest: Digest, question: Bytes, username: Option<Box<str>>) -> Outcome {
        let asked = async {
            // It is never closed.
            let _place = self.requests.acquire().await.ok();
            let _under_way = UnderWay::enter(&self.counters.http.under_way);
            self.ask(question).await
        };
        let timeout = self.config.timeout;
        let asked = tokio::time::timeout(timeout, asked).await.unwrap_or(Err(OutgoingError::Timeout(timeout).into()));
        let now = Instant::now();
        let answer = asked.and_then(|verdict| Ok(principal(verdict, username, now)?));
        self.tell(&answer);
        let mut cache = self.cache.lock();
        let outcome = match answer {
            Ok(Some(principal)) => {
                let fresh_until = now + pace::up_to(self.config.allow_ttl);
                let validity = Validity { fresh_until, stale_until: fresh_until + self.config.stale_max };
                cache.allow(digest, principal.clone(), validity, now);
                Outcome::Allowed(principal)
            }
            Ok(None) => {
                cache.deny(digest, pace::up_to(self.config.deny_ttl), now);
                Outcome::Denied
            }
            Err(_) => Outcome::Failed,
        };
        self.counters.http.cached.store(cache.count() as u64, Ordering::Relaxed);
        outcome
    }

    async fn ask(&self, question: Bytes) -> Result<Verdict, Failure> {
        increment(&self.counters.http.requests);
        let answer = self.client.post(question).await?;
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Ok(Verdict::Deny);
        }
        Ok(verdict(&answer.success()?)?)
    }

    /// Counts an answer, and says when the server begins to fail and when it ends.
    fn tell(&self, answer: &Result<Option<Principal>, Failure>) {
        let counters = &self.counters.http;
        let counter = match answer {
            Ok(Some(_)) => &counters.allowed,
            Ok(None) => &counters.denied,
            Err(Failure::Unusable(_)) => &counters.failed_answer,
            Err(Failure::Outgoing(error)) => match error {
                OutgoingError::Resolve { .. } | OutgoingError::Connect(_) | OutgoingError::Tls(_) => {
                    &counters.failed_connect
                }
                OutgoingError::Timeout(_) => &counters.failed_timeout,
                OutgoingError::Cut(_) => &counters.failed_cut,
                OutgoingError::Status(_) => &counters.failed_status,
                OutgoingError::Malformed(_) | OutgoingError::TooLarge { .. } => &counters.failed_answer,
            },
        };
        increment(counter);
        let (url, was_failing) = (&self.config.url, self.is_failing.swap(answer.is_err(), Ordering::Relaxed));
        match (answer, was_failing) {
            (Err(error), false) => {
                tracing::error!(%url, %error, "The authentication service fails; whom it let in lately still comes in, nobody else");
            }
            (Err(error), true) => tracing::debug!(%url, %error, "The authentication service fails"),
            (Ok(_), true) => tracing::info!(%url, "The authentication service answers again"),
            (Ok(_), false) => {}
        }
    }
}

enum Known {
    Answer(Option<Principal>),
    Asked(watch::Receiver<Option<Outcome>>),
    TooMany,
}

/// A question under way, taken off the list when it is over, whatever becomes of it.
struct Flight {
    hook: Arc<Hook>,
    digest: Digest,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.hook.flights.lock().remove(&self.digest);
    }
}

struct UnderWay<'a>(&'a AtomicU64);

impl<'a> UnderWay<'a> {
    fn enter(count: &'a AtomicU64) -> Self {
        increment(count);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who is allowed; `None` if nobody is. `username` is what the client says.
fn principal(verdict: Verdict, username: Option<Box<str>>, now: Instant) -> Result<Option<Principal>, Unusable> {
    let Verdict::Allow(allowed) = verdict else { return Ok(None) };
    let username = allowed.username.or(username).ok_or(Unusable::NoUsername)?;
    Ok(Some(Principal {
        username: username.into(),
        is_anonymous: false,
        claims: allowed.claims,
        claim_lists: allowed.claim_lists,
        expires_at: allowed.expires_in.map(|left| now + left.min(LIFE_MAX)),
    }))
}

/// A cache under a key that nobody can know.
fn empty(config: &HttpConfig) -> Result<Cache, Vec<Fault>> {
    let mut secret = [0; 32];
    match getrandom::fill(&mut secret) {
        Ok(()) => Ok(Cache::new(config.cache_max, &secret)),
        Err(error) => {
            Err(vec![Fault::new("", "auth.http", format!("no random numbers: {error}"), "a system that has them")])
        }
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook").field("client", &self.client).finish_non_exhaustive()
    }
}
