//! How the server ends a connection of its own accord.

use std::time::Duration;

use crate::dialect::json::RETRY_AFTER_PROPERTY;
use crate::mqtt::{ReasonCode, TopicFilter};

/// Why a connection is to end, and when its client should come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dismissal {
    pub reason: ReasonCode,
    /// Not before this has passed, so that not all come back at once. `None`: as the client likes.
    pub retry_after: Option<Duration>,
    /// What a developer of the client reads, if it is not what is said of the reason always.
    pub words: Option<Box<str>>,
}

impl Dismissal {
    /// As the reason in a WebSocket's Close tells it, which is all that a page with a library for 3.1.1 ever hears. May be empty.
    #[must_use]
    pub fn close_reason(&self) -> String {
        self.retry_after.map(|after| format!("{RETRY_AFTER_PROPERTY}={}", after.as_millis())).unwrap_or_default()
    }
}

impl Dismissal {
    /// For a client that has lost the Subscription with `filter`, which is told in no other way.
    #[must_use]
    pub fn for_revoked(filter: &TopicFilter) -> Self {
        let filter = filter.as_str();
        let (shown, rest) = match filter.char_indices().nth(SHOWN_CHARACTERS_MAX) {
            None => (filter, ""),
            Some((end, _)) => (&filter[..end], "…"),
        };
        let words = format!("no longer authorized to subscribe to {shown}{rest}");
        Self { words: Some(words.into()), ..ReasonCode::NotAuthorized.into() }
    }

    /// For a client whose certificate is no longer accepted.
    #[must_use]
    pub fn for_certificate() -> Self {
        let words = "the client certificate of this connection is no longer accepted";
        Self { words: Some(words.into()), ..ReasonCode::NotAuthorized.into() }
    }

    /// For a client that does not read what must not be kept from it.
    #[must_use]
    pub fn for_slowness() -> Self {
        let words = "the client does not read what it has subscribed to as fast as it comes";
        Self { words: Some(words.into()), ..ReasonCode::QuotaExceeded.into() }
    }
}

/// Of a Topic Filter: a Reason String has at most 65,535 bytes, as has a Topic Filter alone.
const SHOWN_CHARACTERS_MAX: usize = 256;

impl From<ReasonCode> for Dismissal {
    fn from(reason: ReasonCode) -> Self {
        Self { reason, retry_after: None, words: None }
    }
}
