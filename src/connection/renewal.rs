//! A token that a client which is in sends in place of its old one, while somebody else is asked about it.
//!
//! One question of a connection is under way at a time. A token that comes meanwhile is judged next, and what is said of the one before it
//! counts for nothing; so however many a client sends, nobody is asked more often than he answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Shared;
use crate::auth::{Claimant, Credentials, Proof, Proving, Refused, Step};

/// Work of a connection's on a task of its own, which ends with whoever waits for it.
pub(super) struct Looking<T>(JoinHandle<T>);

impl<T: Send + 'static> Looking<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Ready with what came of it; `None`: it died.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

impl<T> Drop for Looking<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// See the module.
pub(super) struct Renewal {
    asked: Arc<Credentials>,
    is_patient: bool,
    /// How often in a row nobody could say.
    failures: u32,
    stage: Stage,
    next: Option<(Proof, bool)>,
}

enum Stage {
    Asking(Looking<Result<Step, Refused>>),
    /// Until it is asked again.
    Pausing(Looking<()>),
}

/// Between two questions about the same token, twice as long each time.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

impl Renewal {
    pub(super) fn new(shared: &Shared, credentials: Credentials, is_patient: bool) -> Self {
        let asked = Arc::new(credentials);
        Self { stage: ask(shared, &asked), asked, is_patient, failures: 0, next: None }
    }

    /// Has another token judged in place of the one that is. To be polled again.
    pub(super) fn replace(&mut self, proof: Proof, is_patient: bool) {
        self.next = Some((proof, is_patient));
    }

    /// Ready when the newest token has been judged.
    pub(super) fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Result<Step, Refused>> {
        loop {
            let outcome = match &mut self.stage {
                Stage::Pausing(_) if self.next.is_some() => None,
                Stage::Pausing(pause) => {
                    std::task::ready!(pause.poll(cx));
                    self.stage = ask(shared, &self.asked);
                    continue;
                }
                // A question that died was not answered.
                Stage::Asking(asking) => Some(std::task::ready!(asking.poll(cx)).unwrap_or(Err(Refused::Unavailable))),
            };
            match (self.next.take(), outcome) {
                (Some((proof, is_patient)), _) => match self.prove(shared, proof) {
                    Proving::Done(outcome) => return Poll::Ready(outcome),
                    Proving::Token(credentials) => *self = Self::new(shared, credentials, is_patient),
                },
                (None, None | Some(Err(Refused::Unavailable))) if self.is_patient => {
                    self.stage = Stage::Pausing(Looking::new(tokio::time::sleep(self.pause(shared))));
                    self.failures += 1;
                }
                (None, outcome) => return Poll::Ready(outcome.unwrap_or(Err(Refused::Unavailable))),
            }
        }
    }

    fn prove(&self, shared: &Shared, proof: Proof) -> Proving {
        let Credentials { username, client_id, address, .. } = &*self.asked;
        let claimant = Claimant { username: username.as_deref(), client_id, address: *address };
        shared.authenticator.load().prove(proof, claimant, (shared.environment.random)())
    }

    /// Up to a quarter longer, so that many do not come together.
    fn pause(&self, shared: &Shared) -> Duration {
        let pause = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        pause + pause.mul_f64((shared.environment.random)() as u8 as f64 / 1024.0)
    }
}

/// Has whoever judges logins at present judge this token.
fn ask(shared: &Shared, asked: &Arc<Credentials>) -> Stage {
    let (authenticator, asked) = (shared.authenticator.load_full(), Arc::clone(asked));
    Stage::Asking(Looking::new(async move { authenticator.prove_token(&asked).await }))
}
