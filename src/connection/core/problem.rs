//! What a client is told about a failure: a Reason Code for its program, a Reason String for who writes it (MQTT 5.0 §3.1.2.11.7).
//!
//! The words say what the client did and what it may do instead. They never say what the policy holds, whose something is, or anything
//! that another client sent: the log does.

use std::borrow::Cow;
use std::time::Duration;

use super::Dismissal;
use crate::dialect::json::RETRY_AFTER_PROPERTY;
use crate::mqtt::ReasonCode;
use crate::mqtt::codec::{DecodeError, Violation};
use crate::mqtt::property::UserProperties;

/// A failure, and what a developer of the client reads about it. Empty words are not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) reason: ReasonCode,
    words: Cow<'static, str>,
    /// When the client should come back.
    retry_after: Option<Duration>,
}

impl Problem {
    pub(super) fn new(reason: ReasonCode, words: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, words: words.into(), retry_after: None }
    }

    /// What the decoder found; `packet_bytes_max` is what it was told to take.
    pub(super) fn of_fault(fault: &DecodeError, packet_bytes_max: u32) -> Self {
        let violation = fault.violation();
        let packet = fault.packet_type().map(|packet_type| format!("{packet_type}: ")).unwrap_or_default();
        let limit = match violation {
            Violation::PacketTooLarge => format!(", which is {packet_bytes_max} bytes"),
            _ => String::new(),
        };
        Self::new(fault.reason(), format!("{packet}{violation}{limit}"))
    }

    pub(super) fn words(&self) -> &str {
        &self.words
    }

    /// The same failure and the same words under another Reason Code.
    pub(super) fn restated(self, reason: ReasonCode) -> Self {
        Self { reason, ..self }
    }

    /// When to come back, in milliseconds, if that was said. The JSON dialect spells it `RetryAfterMs`.
    pub(super) fn user_properties(&self) -> UserProperties {
        let said = self.retry_after.map(|after| (RETRY_AFTER_PROPERTY.into(), after.as_millis().to_string().into()));
        said.into_iter().collect()
    }

    /// The words as a property.
    pub(super) fn reason_string(&self) -> Option<Box<str>> {
        (!self.words.is_empty()).then(|| self.words.as_ref().into())
    }
}

impl From<Dismissal> for Problem {
    fn from(dismissal: Dismissal) -> Self {
        let problem = match dismissal.words {
            Some(words) => Self::new(dismissal.reason, String::from(words)),
            None => dismissal.reason.into(),
        };
        Self { retry_after: dismissal.retry_after, ..problem }
    }
}

/// A failure that nobody has more to say about than always.
impl From<ReasonCode> for Problem {
    fn from(reason: ReasonCode) -> Self {
        use ReasonCode as R;
        let words = match reason {
            R::NotAuthorized => "not authorized",
            R::ServerUnavailable => "the credentials cannot be checked at the moment; try again later",
            R::ServerShuttingDown => "the server is shutting down; connect again later",
            R::BadAuthenticationMethod => "this Authentication Method is not supported here",
            R::KeepAliveTimeout => "no packet was completed in the time that the Keep Alive or the idle timeout leaves",
            R::SessionTakenOver => "another connection uses this Client Identifier",
            R::AdministrativeAction => "an operator has closed this connection",
            R::MaximumConnectTime => {
                "the time that was authorized is over: the token has expired, or no CONNECT was completed in time"
            }
            // The name of the Reason Code says as much.
            _ => "",
        };
        Self::new(reason, words)
    }
}
