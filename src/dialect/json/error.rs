//! What a client can get wrong in one message, and the stable codes that tell it.

use std::fmt;

use super::{ID_BYTES_MAX, WAITING_MAX};
use crate::mqtt::ReasonCode;
use crate::mqtt::topic::TopicError;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// `Code` of an error text. Pages compare these: they never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

error_codes! {
    /// Not one JSON object.
    BadJson = "bad_json";
    UnknownAction = "unknown_action";
    MissingField = "missing_field";
    /// Mistyped, out of range, or given twice.
    BadField = "bad_field";
    TopicInvalid = "topic_invalid";
    FilterInvalid = "filter_invalid";
    PayloadInvalid = "payload_invalid";
    /// The policy says no.
    Denied = "denied";
    BadCredentials = "bad_credentials";
    /// This identity may not connect.
    NotAuthorized = "not_authorized";
    ClientIdInvalid = "client_id_invalid";
    TooLarge = "too_large";
    Quota = "quota";
    RateLimited = "rate_limited";
    ServerBusy = "server_busy";
    TakenOver = "taken_over";
    ShuttingDown = "shutting_down";
    Moved = "moved";
    /// The operator closed the connection.
    Administrative = "administrative";
    IdleTimeout = "idle_timeout";
    /// A new token is needed soon; the connection goes on.
    TokenExpiring = "token_expiring";
    /// The connection outlived its token.
    TokenExpired = "token_expired";
    /// An `ack` of a delivery that does not wait for one.
    UnknownId = "unknown_id";
    Unsupported = "unsupported";
    /// A message that may not come at this point.
    Protocol = "protocol";
    Failed = "failed";
}

impl ErrorCode {
    /// The code for a failure the connection answers with.
    #[must_use]
    pub fn of(reason: ReasonCode) -> Self {
        use ReasonCode as R;
        match reason {
            R::NotAuthorized => Self::Denied,
            R::BadUserNameOrPassword => Self::BadCredentials,
            R::Banned => Self::NotAuthorized,
            R::ClientIdentifierNotValid => Self::ClientIdInvalid,
            R::TopicNameInvalid => Self::TopicInvalid,
            R::TopicFilterInvalid => Self::FilterInvalid,
            R::PayloadFormatInvalid => Self::PayloadInvalid,
            R::PacketTooLarge => Self::TooLarge,
            R::QuotaExceeded | R::ReceiveMaximumExceeded => Self::Quota,
            R::MessageRateTooHigh | R::ConnectionRateExceeded => Self::RateLimited,
            R::ServerUnavailable | R::ServerBusy => Self::ServerBusy,
            R::SessionTakenOver => Self::TakenOver,
            R::ServerShuttingDown => Self::ShuttingDown,
            R::UseAnotherServer | R::ServerMoved => Self::Moved,
            R::AdministrativeAction => Self::Administrative,
            R::MaximumConnectTime => Self::TokenExpired,
            R::KeepAliveTimeout => Self::IdleTimeout,
            R::PacketIdentifierInUse | R::PacketIdentifierNotFound => Self::UnknownId,
            R::UnsupportedProtocolVersion
            | R::BadAuthenticationMethod
            | R::RetainNotSupported
            | R::QoSNotSupported
            | R::SharedSubscriptionsNotSupported
            | R::SubscriptionIdentifiersNotSupported
            | R::WildcardSubscriptionsNotSupported => Self::Unsupported,
            R::MalformedPacket | R::ProtocolError | R::TopicAliasInvalid => Self::Protocol,
            _ => Self::Failed,
        }
    }
}

/// One message that could not be understood. The connection goes on; [`JsonError::write`] tells the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{mistake}")]
pub struct JsonError {
    pub mistake: Mistake,
    /// The message's `Id` as JSON, if it could be read.
    pub(super) id: Option<Box<str>>,
}

impl JsonError {
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.mistake.code()
    }

    /// Appends the error text for the client.
    pub fn write(&self, out: &mut Vec<u8>) {
        super::encode::write_error(out, self.code(), &self.mistake.to_string(), self.id.as_deref());
    }
}

/// What is wrong with a message: which field, what was found, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// `place` is serde_json's account, which quotes nothing of the message.
    #[error("not JSON: {place}")]
    NotJson { place: Box<str> },
    #[error("found JSON that is not an object; one object with an Action is allowed")]
    NotAnObject,
    #[error("Action: found {found:?}; subscribe, unsubscribe, publish, ping, connect, auth or ack is allowed")]
    UnknownAction { found: Box<str> },
    #[error("{field}: is missing; {allowed} is needed")]
    MissingField { field: &'static str, allowed: &'static str },
    #[error("{field}: found {found}; {allowed} is allowed")]
    BadField { field: &'static str, found: Found, allowed: &'static str },
    #[error("{field}: is given more than once; once is allowed")]
    Repeated { field: &'static str },
    #[error("{field}: {error}")]
    Topic { field: &'static str, error: TopicError },
    #[error("{field}: {error}")]
    Filter { field: &'static str, error: TopicError },
    #[error("Payload: found text that is not base64; standard base64 with padding is allowed")]
    NotBase64,
    #[error("{WAITING_MAX} messages with an Id wait for their answer; wait for some of them")]
    TooManyWaiting,
    #[error("connect is allowed as the first message only")]
    LateConnect,
}

impl Mistake {
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotJson { .. } | Self::NotAnObject => ErrorCode::BadJson,
            Self::UnknownAction { .. } => ErrorCode::UnknownAction,
            Self::MissingField { .. } => ErrorCode::MissingField,
            Self::BadField { .. } | Self::Repeated { .. } => ErrorCode::BadField,
            Self::Topic { .. } => ErrorCode::TopicInvalid,
            Self::Filter { .. } => ErrorCode::FilterInvalid,
            Self::NotBase64 => ErrorCode::PayloadInvalid,
            Self::TooManyWaiting => ErrorCode::Quota,
            Self::LateConnect => ErrorCode::Protocol,
        }
    }
}

/// What stood where something else belongs: its kind, or its value if that is short and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Null,
    Bool(bool),
    /// A whole number that is not negative.
    Whole(u64),
    /// Any other number.
    Number,
    Text,
    Array,
    Object,
    /// An `Id` longer than [`ID_BYTES_MAX`].
    LongId {
        bytes: usize,
    },
    /// Text with the character U+0000, or of more than 65,535 bytes.
    UnsendableText,
    /// Both `Password` and `Token`.
    Both,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Whole(value) => write!(f, "{value}"),
            Self::Number => f.write_str("a number"),
            Self::Text => f.write_str("a string"),
            Self::Array => f.write_str("an array"),
            Self::Object => f.write_str("an object"),
            Self::LongId { bytes } => write!(f, "{bytes} bytes of JSON (at most {ID_BYTES_MAX})"),
            Self::UnsendableText => f.write_str("a string with U+0000 or of more than 65535 bytes"),
            Self::Both => f.write_str("a Password beside it"),
        }
    }
}
