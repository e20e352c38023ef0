//! Replacing the policy under running connections, and judging again what was granted by the one before.
//!
//! What connections do is judged by the new policy from the replacement on: each sees the generation of [`super::Policies`] change. What
//! sessions hold already is gone through in slices, those of sessions that are away as well; between two slices others have their turn,
//! so that a review of very many delays nobody's message by more than one slice.
//!
//! One review runs at a time. Another replacement cuts it short, and the next one starts at the beginning: so each session's last
//! review is by the newest policy, and a verdict never mixes two.

use std::future::Future;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ConnectionCounters, Connections, Shared, driver};
use crate::engine::message::Round;
use crate::engine::{Lost, Sweep, Swept};
use crate::policy::Policy;
use crate::unhurried;

/// What a review has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reviewed {
    /// Sessions looked at, with a connection or without.
    pub sessions: u64,
    /// Among them, those that have lost something.
    pub sessions_lessened: u64,
    /// Subscriptions that are gone. Whose client is connected and can be told was told.
    pub subscriptions_revoked: u64,
    /// Subscriptions kept at a lower QoS, or with each delivery judged where that was not needed.
    pub subscriptions_lessened: u64,
    /// Messages that waited and were dropped.
    pub messages_revoked: u64,
    pub wills_revoked: u64,
    /// Connections ended, as the policy has no way to judge their identity.
    pub connections_dismissed: u64,
    /// A newer policy came before the end; its review has begun anew.
    pub is_superseded: bool,
    /// The longest time for which nobody else had a turn on the reviewing thread.
    pub slice_longest: Duration,
    pub duration: Duration,
}

/// How long a slice may take, but for the piece that it is at.
const SLICE: Duration = Duration::from_micros(250);

/// Clients told in one slice: each costs a write to its socket.
const TOLD_AT_ONCE: usize = 64;

impl Connections {
    /// Puts `policy` in force, at once; then judges every session by it. What is returned waits for the end of that and need not be awaited.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn replace_policy(&self, policy: Policy) -> impl Future<Output = Reviewed> + Send + use<> {
        let earlier = self.shared.environment.policy.store(Arc::new(policy));
        unhurried::free(earlier);
        // A task of its own, or whoever stops waiting would leave sessions as the old policy had them.
        let review = tokio::spawn(review(Arc::clone(&self.shared)));
        async move {
            review.await.unwrap_or_else(|error| {
                tracing::error!(%error, "policy review failed");
                Reviewed::default()
            })
        }
    }
}

async fn review(shared: Arc<Shared>) -> Reviewed {
    let _turn = shared.reviewing.lock().await;
    let started = Instant::now();
    let policies = &shared.environment.policy;
    let generation = policies.generation();
    let mut reviewed = Reviewed::default();
    let mut sweep = Sweep::default();
    ConnectionCounters::count(&shared.environment.counters.policy_reviews);
    while !review_slice(&shared, &mut sweep, &mut reviewed) {
        tokio::task::yield_now().await;
        if policies.generation() != generation {
            reviewed.is_superseded = true;
            break;
        }
    }
    reviewed.duration = started.elapsed();
    reviewed.log();
    reviewed
}

/// Goes on for a slice. Says whether all sessions have been reviewed.
fn review_slice(shared: &Shared, sweep: &mut Sweep, reviewed: &mut Reviewed) -> bool {
    let started = Instant::now();
    let mut round = Round::default();
    let mut is_over = false;
    while !is_over && started.elapsed() < SLICE && round.len() < TOLD_AT_ONCE {
        match shared.environment.engine.sweep(started, sweep, &mut round) {
            Swept::Piece => {}
            Swept::Session(lost) => *reviewed += lost,
            Swept::End => is_over = true,
        }
    }
    driver::flush(&mut round);
    reviewed.slice_longest = reviewed.slice_longest.max(started.elapsed());
    is_over
}

impl Reviewed {
    fn log(&self) {
        tracing::info!(
            sessions = self.sessions,
            sessions_lessened = self.sessions_lessened,
            subscriptions_revoked = self.subscriptions_revoked,
            subscriptions_lessened = self.subscriptions_lessened,
            messages_revoked = self.messages_revoked,
            wills_revoked = self.wills_revoked,
            connections_dismissed = self.connections_dismissed,
            is_superseded = self.is_superseded,
            duration = ?self.duration,
            "sessions reviewed by a new policy"
        );
    }
}

impl AddAssign<Lost> for Reviewed {
    fn add_assign(&mut self, lost: Lost) {
        self.sessions += 1;
        self.sessions_lessened += u64::from(!lost.is_nothing());
        self.subscriptions_revoked += lost.subscriptions.len() as u64;
        self.subscriptions_lessened += lost.lessened_count;
        self.messages_revoked += lost.messages_count;
        self.wills_revoked += u64::from(lost.has_will);
        self.connections_dismissed += u64::from(lost.is_dismissed);
    }
}
