//! The keys of a file or a URL: had at the start, and again when they may have changed.
//!
//! Keys that are faulty when they are read again change nothing: those that were read last stay, and the log says what is wrong. Keys of a URL stay no
//! longer than `stale_max` after they were last had from there. A URL may be silent when the server starts: until its keys come, no token
//! can be judged, and everybody is told to come again rather than that a token is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::KeySet;
use crate::auth::counters::{AuthCounters, KeyCounters, increment};
use crate::auth::{load, pace};
use crate::fault::{Fault, Faults};
use crate::outgoing::client::ExchangeLimits;
use crate::outgoing::{Client, Trust, Url};

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    Url(KeyUrl),
}

/// Keys that somebody publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUrl {
    pub url: Url,
    /// Whose certificate is believed there. `None`: whom the system believes.
    pub ca: Option<PathBuf>,
    /// For one fetch. Default: 5 s.
    pub timeout: Duration,
    /// How long keys are used after they were last had. Default: 1 h.
    pub stale_max: Duration,
}

/// How soon after a reading another one may be asked for by a token whose key is unknown.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(1);

/// The same at a URL, while such readings bring nothing new: whoever invents names of keys does not make this server a burden to the issuer.
const UNKNOWN_KEY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// How soon, and how late, a failed fetch is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The keys at present.
#[derive(Debug)]
pub(super) struct Keyring {
    source: Source,
    held: ArcSwap<Held>,
    /// Whoever holds it reads; who waits for it profits from what was read.
    last: Mutex<Reading>,
    counters: Arc<AuthCounters>,
}

#[derive(Debug)]
enum Source {
    File { path: PathBuf, bytes_max: usize },
    Url { client: Box<Client>, config: Box<KeyUrl> },
}

#[derive(Clone, Debug, Default)]
struct Held {
    keys: Arc<KeySet>,
    /// `None`: for ever.
    usable_until: Option<Instant>,
}

#[derive(Clone)]
struct Reading {
    /// When it ended; `None`: nothing was read yet.
    at: Option<Instant>,
    /// What the keys were read from.
    text: Option<Arc<str>>,
    /// What was wrong, if it was.
    fault: Option<String>,
    failures_in_a_row: u32,
    /// How many in a row were asked for by a token and brought nothing new.
    fruitless_in_a_row: u32,
}

impl Keyring {
    /// Reads a file; a URL is left to [`Self::read_again`], unless `before` has its keys.
    ///
    /// # Errors
    /// Every fault of the file, or why it or the authority cannot be read.
    pub(super) fn new(
        source: KeySource,
        bytes_max: usize,
        counters: Arc<AuthCounters>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<Fault>> {
        let (source, held, last) = match source {
            KeySource::File(path) => {
                let text = load::key_file(&path, bytes_max).map_err(|fault| vec![fault])?;
                let keys = Arc::new(KeySet::parse(&text, &path.display().to_string())?);
                if before.is_some_and(|before| !before.holds(&path, &text)) {
                    increment(&counters.keys.changes);
                }
                let last = Reading { at: Some(Instant::now()), text: Some(text.into()), ..Reading::none() };
                (Source::File { path, bytes_max }, Held { keys, usable_until: None }, last)
            }
            KeySource::Url(config) => {
                let (held, last) = before.and_then(|before| before.of_url(&config)).unwrap_or_else(nothing_yet);
                let is_tls = config.url.upstream().is_tls();
                let load = || Trust::load(config.ca.as_deref(), &[b"http/1.1"], "auth.jwt.ca");
                let trust = is_tls.then(load).transpose().map_err(|fault| vec![fault])?;
                let limits = ExchangeLimits { timeout: config.timeout, body_bytes_max: bytes_max, idle_max: 1 };
                let client = Client::new(config.url.clone(), trust, None, limits);
                (Source::Url { client: Box::new(client), config: Box::new(config) }, held, last)
            }
        };
        Ok(Self { source, held: ArcSwap::from_pointee(held), last: Mutex::new(last), counters })
    }

    /// The keys, unless there are none that may be used at `now`.
    pub(super) fn keys(&self, now: Instant) -> Option<Arc<KeySet>> {
        let held = self.held.load();
        held.usable_until.is_none_or(|until| now < until).then(|| Arc::clone(&held.keys))
    }

    /// Whether the keys are those of this file, with this text.
    fn holds(&self, wanted: &Path, text: &str) -> bool {
        let is_file = matches!(&self.source, Source::File { path, .. } if path == wanted);
        // While it is being read, there is a reason to.
        is_file && self.last.try_lock().is_ok_and(|last| last.text.as_deref() == Some(text))
    }

    /// What is known of this URL, for another keyring.
    fn of_url(&self, wanted: &KeyUrl) -> Option<(Held, Reading)> {
        match &self.source {
            Source::Url { config, .. } if (&config.url, &config.ca) == (&wanted.url, &wanted.ca) => {
                let last = self.last.try_lock().map_or_else(|_| Reading::none(), |last| last.clone());
                Some((Held::clone(&self.held.load()), last))
            }
            _ => None,
        }
    }

    /// Reads again, as a token came whose key is not there, unless that was just done.
    pub(super) async fn read_for_unknown_key(&self) {
        let mut last = self.last.lock().await;
        let pause = match &self.source {
            Source::File { .. } => UNKNOWN_KEY_PAUSE,
            Source::Url { .. } => pace::back_off(UNKNOWN_KEY_PAUSE, UNKNOWN_KEY_PAUSE_MAX, last.fruitless_in_a_row),
        };
        if last.at.is_none_or(|at| at.elapsed() >= pause) {
            let is_new = self.read(&mut last).await;
            last.fruitless_in_a_row = if is_new { 0 } else { last.fruitless_in_a_row.saturating_add(1) };
        }
    }

    /// Reads again.
    pub(super) async fn read_again(&self) {
        let mut last = self.last.lock().await;
        self.read(&mut last).await;
    }

    /// How long to wait until then: not at all if nothing was read yet, and less than `refresh` after a failure.
    pub(super) async fn pause(&self, refresh: Duration) -> Duration {
        let last = self.last.lock().await;
        match (last.at, last.failures_in_a_row, &self.source) {
            (None, ..) => Duration::ZERO,
            (_, 0, _) | (.., Source::File { .. }) => pace::around(refresh),
            (_, failures @ 1.., Source::Url { .. }) => {
                pace::around(pace::back_off(RETRY_PAUSE, RETRY_PAUSE_MAX.min(refresh), failures - 1))
            }
        }
    }

    /// Whether other keys were found.
    async fn read(&self, last: &mut Reading) -> bool {
        let found = self.source.text(&self.counters.keys).await;
        last.at = Some(Instant::now());
        let read = match found {
            Ok(text) if last.text.as_deref() == Some(&text) => Ok(None),
            Ok(text) => KeySet::parse(&text, &self.source.to_string()).map(|keys| Some((keys, text))),
            Err(fault) => Err(vec![fault]),
        };
        match read {
            Ok(None) => {
                self.had(None, last);
                false
            }
            Ok(Some((keys, text))) => {
                tracing::info!(source = %self.source, keys_count = keys.count(), "Token keys changed");
                increment(&self.counters.keys.changes);
                self.had(Some(keys), last);
                last.text = Some(text.into());
                true
            }
            Err(faults) => {
                self.failed(Faults(faults).to_string(), last);
                false
            }
        }
    }

    /// Holds other keys, or the same ones for longer.
    fn had(&self, keys: Option<KeySet>, last: &mut Reading) {
        last.failures_in_a_row = 0;
        if last.fault.take().is_some() && keys.is_none() {
            tracing::info!(source = %self.source, "Token keys are sound again");
        }
        let keys = keys.map_or_else(|| Arc::clone(&self.held.load().keys), Arc::new);
        let usable_until = match &self.source {
            Source::File { .. } => None,
            Source::Url { config, .. } => {
                let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                self.counters.keys.fetched_at_s.store(now_s, Ordering::Relaxed);
                Some(Instant::now() + config.stale_max)
            }
        };
        self.held.store(Arc::new(Held { keys, usable_until }));
    }

    /// Says it once, however long it stays so; and once more when the keys are too old.
    fn failed(&self, faults: String, last: &mut Reading) {
        increment(&self.counters.keys.failures);
        last.failures_in_a_row = last.failures_in_a_row.saturating_add(1);
        let has_keys = self.keys(Instant::now()).is_some();
        let faults = if has_keys { faults } else { format!("{faults}; until they can be had, no token is taken") };
        if last.fault.as_ref() == Some(&faults) {
            return;
        }
        match has_keys {
            true => tracing::error!(%faults, "Token keys are faulty; those that were read before stay"),
            false => tracing::error!(%faults, "Token keys are missing"),
        }
        last.fault = Some(faults);
    }
}

impl Source {
    async fn text(&self, counters: &KeyCounters) -> Result<String, Fault> {
        match self {
            Self::File { path, bytes_max } => {
                let (path, bytes_max) = (path.clone(), *bytes_max);
                let read = tokio::task::spawn_blocking(move || load::key_file(&path, bytes_max));
                read.await.unwrap_or_else(|_| Err(self.fault("was not read".to_owned())))
            }
            Self::Url { client, .. } => {
                increment(&counters.fetches);
                let body = client.get().await.and_then(|answer| answer.success());
                let body = body.map_err(|error| self.fault(error.to_string()))?;
                String::from_utf8(body.into()).map_err(|_| self.fault("has bytes that are no UTF-8".to_owned()))
            }
        }
    }

    fn fault(&self, found: String) -> Fault {
        Fault::new(self.to_string(), "", found, "a JWK Set in UTF-8")
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Url { config, .. } => write!(f, "{}", config.url),
        }
    }
}

impl Reading {
    fn none() -> Self {
        Self { at: None, text: None, fault: None, failures_in_a_row: 0, fruitless_in_a_row: 0 }
    }
}

fn nothing_yet() -> (Held, Reading) {
    (Held { usable_until: Some(Instant::now()), ..Held::default() }, Reading::none())
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may hold a shared secret.
        f.debug_struct("Reading").field("at", &self.at).field("fault", &self.fault).finish_non_exhaustive()
    }
}
