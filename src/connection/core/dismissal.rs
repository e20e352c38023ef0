//! How the server ends a connection of its own accord.

use std::time::Duration;

use crate::dialect::json::RETRY_AFTER_PROPERTY;
use crate::mqtt::ReasonCode;

/// Why a connection is to end, and when its client should come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dismissal {
    pub reason: ReasonCode,
    /// Not before this has passed, so that not all come back at once. `None`: as the client likes.
    pub retry_after: Option<Duration>,
}

impl Dismissal {
    /// As the reason in a WebSocket's Close tells it, which is all that a page with a library for 3.1.1 ever hears. May be empty.
    #[must_use]
    pub fn close_reason(self) -> String {
        self.retry_after.map(|after| format!("{RETRY_AFTER_PROPERTY}={}", after.as_millis())).unwrap_or_default()
    }
}

impl From<ReasonCode> for Dismissal {
    fn from(reason: ReasonCode) -> Self {
        Self { reason, retry_after: None }
    }
}
