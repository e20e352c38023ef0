//! Certificates from an authority that speaks ACME (RFC 8555): had, kept, and renewed in time.
//!
//! | file | |
//! |---|---|
//! | [`config`] | what the operator says |
//! | [`schedule`] | when to order; pure |
//! | [`store`] | the account and the certificate on the disk, and the lock that lets one process order |
//! | [`order`] | one certificate, from the account to the chain |
//! | [`challenges`] | the proofs that listeners show while an order is under way |
//! | [`courier`] | the library's requests over `outgoing` |
//!
//! Not here: how a certificate comes to be shown. It is stored, whoever shows certificates is told, and reads it as any other file.
//!
//! Invariants: nothing that an authority does or leaves undone ends the process or touches a connection; one order at a time, whichever
//! process; after a failure the wait grows, and never is shorter than the authority asks; keys are readable for their owner alone.

mod challenges;
mod config;
mod courier;
mod order;
mod schedule;
mod store;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};

pub(crate) use self::challenges::Challenges;
pub use self::config::{AcmeChallenge, AcmeConfig, ExternalAccount};
use self::courier::Courier;
use self::order::Failure;
use self::store::{Store, Stored};
use super::EdgeCounters;
use crate::fault::Fault;
use crate::outgoing::Trust;

/// What would keep certificates from being had at all, and can be seen beforehand.
pub(crate) fn faults(config: &AcmeConfig) -> Vec<Fault> {
    let storage = store::try_writing(&config.storage).err().map(|error| {
        let (origin, found) = (config.storage.display().to_string(), format!("cannot be written: {error}"));
        Fault::new(origin, "tls.acme.storage", found, "a folder that this process may write to")
    });
    let trust = trust(config).err();
    let eab = config.eab.as_ref().and_then(|eab| {
        let found = order::external_key(eab).err()?;
        let allowed = "a file with the key that the authority has given, in base64url";
        Some(Fault::new(eab.key_file.display().to_string(), "tls.acme.eab.key_file", found, allowed))
    });
    [storage, trust, eab].into_iter().flatten().collect()
}

fn trust(config: &AcmeConfig) -> Result<Trust, Fault> {
    Trust::load(config.ca.as_deref(), &[b"http/1.1"], "tls.acme.ca")
}

/// Keeps a certificate at hand that is good, for as long as it runs.
pub struct Acme {
    pub(super) challenges: Arc<Challenges>,
    pub(super) counters: Arc<EdgeCounters>,
}

/// What is asked for at the moment; `None`: nothing.
pub type Wanted = watch::Receiver<Option<AcmeConfig>>;

/// Where another process orders, what it has got is looked for after this time.
const ELSEWHERE_PAUSE: Duration = Duration::from_secs(5);

/// However far off the next renewal is: clocks are set, machines sleep, and others may renew what is stored.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);

impl Acme {
    /// Orders whenever it is time, for ever; `issued` is told whenever another certificate lies where it is kept.
    pub async fn run(self, mut wanted: Wanted, issued: mpsc::Sender<()>) {
        let mut attempts = Attempts::default();
        let mut is_first = true;
        loop {
            let config = wanted.borrow_and_update().clone();
            let pause = match config {
                None => LOOK_INTERVAL,
                Some(config) => {
                    let pause = self.attend(&config, &mut attempts, is_first).await;
                    if std::mem::take(&mut attempts.is_news) && issued.send(()).await.is_err() {
                        return;
                    }
                    pause
                }
            };
            is_first = false;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = wanted.changed() => match changed {
                    // Other names, another authority: what failed before says nothing about it.
                    Ok(()) => attempts.failures = 0,
                    Err(_) => return,
                },
            }
        }
    }

    /// Does what is due; how long until something may be due again.
    async fn attend(&self, config: &AcmeConfig, attempts: &mut Attempts, is_first: bool) -> Duration {
        let store = Store::new(config);
        if let Some(left) = self.look(config, &store, attempts) {
            return left;
        }
        if is_first && Stored::read(&store.certificate()).is_none() {
            let domains = config.domains.join(", ");
            tracing::warn!(domains, "No certificate yet: a self-signed one is shown until the authority has issued it");
        }
        let lock = match store.try_lock() {
            Ok(Some(lock)) => lock,
            Ok(None) => {
                tracing::debug!("Another process orders a certificate");
                return ELSEWHERE_PAUSE;
            }
            Err(error) => return self.failed(config, attempts, &Failure::new(format!("storage: {error}"))),
        };
        // Whoever had the lock until a moment ago may have done it.
        if let Some(left) = self.look(config, &store, attempts) {
            return left;
        }
        let ordered = self.order(config, &store).await;
        drop(lock);
        match ordered {
            Ok(()) => {
                EdgeCounters::add(&self.counters.acme_issued);
                tracing::info!(domains = config.domains.join(", "), "Certificate issued");
                attempts.failures = 0;
                let left = self.look(config, &store, attempts);
                // One that is due at once would be ordered without an end.
                left.unwrap_or_default().max(AFTER_SUCCESS_MIN)
            }
            Err(failure) => self.failed(config, attempts, &failure),
        }
    }

    /// How long what is stored need not be looked at again; `None`: it is time to order.
    fn look(&self, config: &AcmeConfig, store: &Store, attempts: &mut Attempts) -> Option<Duration> {
        let stored = Stored::read(&store.certificate());
        let not_after_s = stored.as_ref().map_or(0, |stored| stored.not_after_s);
        self.counters.acme_not_after_s.store(not_after_s, Ordering::Relaxed);
        let stored = stored.filter(|stored| stored.is_for(&config.domains))?;
        attempts.is_news |= attempts.seen.replace(stored.digest) != Some(stored.digest);
        let due_s = schedule::due_s(stored.not_before_s, stored.not_after_s, config.renew_before, stored.digest[0]);
        let due = SystemTime::UNIX_EPOCH + Duration::from_secs(due_s);
        due.duration_since(SystemTime::now()).ok().map(|left| left.min(LOOK_INTERVAL))
    }

    async fn order(&self, config: &AcmeConfig, store: &Store) -> Result<(), Failure> {
        let trust = {
            let config = config.clone();
            tokio::task::spawn_blocking(move || trust(&config)).await
        };
        let trust = trust.map_err(|error| Failure::new(error.to_string()))?;
        let courier = Courier::new(&config.directory, trust.map_err(|fault| Failure::new(fault.to_string()))?);
        let ordered = order::order(config, store, &courier, &self.challenges).await;
        let pem = ordered.map_err(|failure| {
            let asked_for = courier.retry_after().map(|left| Instant::now() + left);
            Failure { retry_at: failure.retry_at.max(asked_for), ..failure }
        })?;
        store.keep_certificate(&pem).map_err(|error| Failure::new(format!("the certificate cannot be stored: {error}")))
    }

    /// Tells of a failure; how long to wait after it.
    fn failed(&self, config: &AcmeConfig, attempts: &mut Attempts, failure: &Failure) -> Duration {
        EdgeCounters::add(&self.counters.acme_failed);
        attempts.failures = attempts.failures.saturating_add(1);
        let asked_for = failure.retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        let pause = schedule::backoff(config.retry, attempts.failures, random()).max(asked_for.unwrap_or_default());
        let every = config.domains.join(", ");
        let (domain, problem) = (failure.domain.as_ref().unwrap_or(&every), &failure.problem);
        let (challenge, directory) = (config.challenge.name(), &config.directory);
        let again_s = pause.as_secs();
        tracing::error!(domain, challenge, %directory, problem, again_s, "No certificate from the authority");
        pause
    }
}

/// After a certificate that is due for renewal as it comes.
const AFTER_SUCCESS_MIN: Duration = Duration::from_secs(1);

/// What is known of attempts so far.
#[derive(Default)]
struct Attempts {
    /// Without a success between.
    failures: u32,
    /// The certificate that was stored when it was last looked at.
    seen: Option<[u8; 32]>,
    /// Whether whoever shows certificates has not been told of it.
    is_news: bool,
}

fn random() -> u8 {
    let mut byte = [0];
    // Without entropy there is no spread, and nothing worse.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
