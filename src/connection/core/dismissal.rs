//! How the server ends a connection of its own accord.

use std::time::Duration;

use crate::dialect::json::RETRY_AFTER_PROPERTY;
use crate::mqtt::ReasonCode;

/// Why a connection is to end, and when its client should come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dismissal {
    pub reason: ReasonCode,
    /// What a developer of the client reads about it; `None`: what there is to say about the reason always.
    pub words: Option<Box<str>>,
    /// Not before this has passed, so that not all come back at once. `None`: as the client likes.
    pub retry_after: Option<Duration>,
}

impl Dismissal {
    /// The client has lost what it relied on, as these words tell it.
    #[must_use]
    pub fn of_lost(words: Box<str>) -> Self {
        Self { words: Some(words), ..ReasonCode::NotAuthorized.into() }
    }

    /// As the reason in a WebSocket's Close tells it, which is all that a page with a library for 3.1.1 ever hears. May be empty.
    #[must_use]
    pub fn close_reason(&self) -> String {
        self.retry_after.map(|after| format!("{RETRY_AFTER_PROPERTY}={}", after.as_millis())).unwrap_or_default()
    }
}

impl From<ReasonCode> for Dismissal {
    fn from(reason: ReasonCode) -> Self {
        Self { reason, words: None, retry_after: None }
    }
}
