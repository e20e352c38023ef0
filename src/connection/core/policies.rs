//! The policy in force, and how many there have been.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};

use crate::policy::Policy;

/// The policy that all connections are judged by. Replaced whole; whoever has bound an earlier one sees from [`Self::generation`] that
/// it is out of date.
#[derive(Debug)]
pub struct Policies {
    current: ArcSwap<Policy>,
    /// Goes up after each replacement. Who reads it before the policy has at worst a newer policy than it says, and binds it once more.
    generation: AtomicU64,
}

impl Policies {
    #[must_use]
    pub fn new(policy: Policy) -> Arc<Self> {
        Arc::new(Self { current: ArcSwap::from_pointee(policy), generation: AtomicU64::new(0) })
    }

    /// The policy in force: one snapshot, which stays as it is.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Policy>> {
        self.current.load()
    }

    /// Puts another policy in force. What was granted by an earlier one stays granted until it is reviewed: see
    /// [`Connections::replace_policy`](crate::connection::Connections::replace_policy). Returns the earlier one: one of many rules takes
    /// milliseconds to drop.
    pub fn store(&self, policy: Arc<Policy>) -> Arc<Policy> {
        let earlier = self.current.swap(policy);
        self.generation.fetch_add(1, Ordering::Release);
        earlier
    }

    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
