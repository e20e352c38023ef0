//! The key file: read at the start, and again when it has changed.
//!
//! A file that is faulty when it is read again changes nothing: the keys that were read last stay, and the log says what is wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::KeySet;
use super::verifier::TokenCounters;
use crate::auth::load;
use crate::fault::{Fault, Faults};

/// How soon after a reading another one may be asked for by a token whose key is unknown.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(1);

/// The keys at present.
#[derive(Debug)]
pub(super) struct Keyring {
    path: PathBuf,
    keys: ArcSwap<KeySet>,
    /// Whoever holds it reads the file; who waits for it profits from what was read.
    last: Mutex<Reading>,
    counters: Arc<TokenCounters>,
}

struct Reading {
    at: Instant,
    /// What was found in the file, or the fault that there was instead.
    outcome: Result<Arc<str>, String>,
}

impl Keyring {
    /// # Errors
    /// Every fault of the file, or why it cannot be read.
    pub(super) fn new(path: PathBuf, now: Instant, counters: Arc<TokenCounters>) -> Result<Self, Vec<Fault>> {
        let text = load::key_file(&path).map_err(|fault| vec![fault])?;
        let keys = KeySet::parse(&text, &path.display().to_string())?;
        Ok(Self {
            path,
            keys: ArcSwap::from_pointee(keys),
            last: Mutex::new(Reading { at: now, outcome: Ok(text.into()) }),
            counters,
        })
    }

    pub(super) fn keys(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// Reads the file again, as a token came whose key is not there, unless that was just done.
    pub(super) async fn read_for_unknown_key(&self) {
        let mut last = self.last.lock().await;
        if last.at.elapsed() >= UNKNOWN_KEY_PAUSE {
            self.read(&mut last).await;
        }
    }

    /// Reads the file again.
    pub(super) async fn read_again(&self) {
        let mut last = self.last.lock().await;
        self.read(&mut last).await;
    }

    async fn read(&self, last: &mut Reading) {
        last.at = Instant::now();
        let path = self.path.clone();
        let Ok(found) = tokio::task::spawn_blocking(move || load::key_file(&path)).await else { return };
        let outcome = match found {
            Ok(text) if last.outcome.as_ref().is_ok_and(|known| **known == *text) => return,
            Ok(text) => KeySet::parse(&text, &self.path.display().to_string()).map(|keys| (keys, text)),
            Err(fault) => Err(vec![fault]),
        };
        match outcome {
            Ok((keys, text)) => {
                tracing::info!(file = %self.path.display(), keys_count = keys.count(), "Token keys changed");
                self.keys.store(Arc::new(keys));
                self.counters.key_changes.fetch_add(1, Ordering::Relaxed);
                last.outcome = Ok(text.into());
            }
            Err(faults) => {
                self.counters.key_failures.fetch_add(1, Ordering::Relaxed);
                let faults = Faults(faults).to_string();
                // Said once, however long it stays so.
                if last.outcome.as_ref().err() != Some(&faults) {
                    tracing::error!(%faults, "Token keys are faulty; those that were read before stay");
                }
                last.outcome = Err(faults);
            }
        }
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may hold a shared secret.
        f.debug_struct("Reading").field("at", &self.at).field("is_sound", &self.outcome.is_ok()).finish_non_exhaustive()
    }
}
