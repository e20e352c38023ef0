//! Another policy under open connections.

use std::sync::Arc;

use super::Connections;
use crate::policy::Policy;

/// What became of those who were there when the policy changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reviewed {
    /// Subscriptions that the policy no longer grants, and that are gone.
    pub subscriptions_lost: u64,
}

impl Connections {
    /// Judges by `policy` from here on.
    pub async fn replace_policy(&self, policy: Policy) -> Reviewed {
        self.0.environment.policy.store(Arc::new(policy));
        Reviewed::default()
    }
}
