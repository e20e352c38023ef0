//! What policy answered, and why: the same value for enforcement, log, tests and `explain`.

use std::fmt;

use crate::mqtt::{QoS, ReasonCode};

use super::DeliveryCheck;

/// Names one rule of one [`Policy`](super::Policy): [`Access::rule`](super::Access::rule) has its file, line and text.
///
/// Rules are numbered in the order of the file, so that of several that decide alike the first one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef(pub(super) u32);

/// What policy answered to one operation. Small and `Copy`: deciding allocates nothing.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub allow: bool,
    /// The rule that decided; `None` if no rule speaks of the topic.
    pub rule: Option<RuleRef>,
    pub reason: Reason,
}

/// Why a [`Verdict`] is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A grant speaks of the topic and no deny does.
    Granted,
    /// No grant of this identity speaks of the topic.
    NoGrant,
    /// A deny speaks of the topic, or of all that the filter asks for.
    Denied,
    /// Only part of what the filter asks for is granted, and the policy says `partial: refuse`. The rule is the deny that takes the
    /// rest away, or else a grant that does not reach far enough.
    PartlyGranted,
    /// Only grants with a lower `max_qos` speak of the topic.
    QosTooHigh { maximum: QoS },
    /// Only grants of roles with a lower `payload_bytes_max` speak of the topic.
    PayloadTooLarge { bytes_max: u64 },
    /// Only grants of roles with `retain: false` speak of the topic.
    RetainNotAllowed,
    /// The topic is under `$SYS`, where the server alone publishes: no rule can grant it (MQTT 5.0 §4.7.2 leaves such topics to the
    /// server, and asks it to keep clients from using them among each other).
    ServerOwned,
}

/// What policy answered to one Topic Filter of a SUBSCRIBE.
#[must_use]
#[derive(Clone, Debug)]
pub enum SubscribeVerdict {
    /// Everything the filter can match may be read: deliveries need no check.
    Granted {
        maximum_qos: QoS,
    },
    /// Part of it may be read, and the policy says `partial: filter`: each delivery has to pass `check`.
    Filtered {
        maximum_qos: QoS,
        check: DeliveryCheck,
    },
    Refused(Verdict),
}

impl Verdict {
    pub(super) fn granted(rule: RuleRef) -> Self {
        Self { allow: true, rule: Some(rule), reason: Reason::Granted }
    }

    pub(super) fn refused(rule: Option<RuleRef>, reason: Reason) -> Self {
        Self { allow: false, rule, reason }
    }

    /// The Reason Code that a PUBACK, PUBREC or SUBACK spells this refusal with. (CONNACK refuses the client because of its Will: that is
    /// 0x87 whatever is wrong with the Will.)
    #[must_use]
    pub fn reason_code(&self) -> ReasonCode {
        match self.reason {
            Reason::Granted => ReasonCode::Success,
            Reason::PayloadTooLarge { .. } => ReasonCode::QuotaExceeded,
            Reason::NoGrant
            | Reason::Denied
            | Reason::PartlyGranted
            | Reason::QosTooHigh { .. }
            | Reason::RetainNotAllowed
            | Reason::ServerOwned => ReasonCode::NotAuthorized,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted => f.write_str("granted"),
            Self::NoGrant => f.write_str("no rule grants it"),
            Self::Denied => f.write_str("a rule denies it"),
            Self::PartlyGranted => f.write_str("only part of the filter is granted"),
            Self::QosTooHigh { maximum } => write!(f, "granted up to QoS {} only", *maximum as u8),
            Self::PayloadTooLarge { bytes_max } => write!(f, "granted up to {bytes_max} payload bytes only"),
            Self::RetainNotAllowed => f.write_str("granted without retain only"),
            Self::ServerOwned => f.write_str("the server alone publishes under $SYS"),
        }
    }
}

/// Why an identity cannot be bound to the rules that would apply to it; the client sees 0x87 (3.1.1: return code 5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    #[error("{placeholder} is empty, and rule {rule} would use it")]
    Empty { placeholder: String, rule: String },
    #[error("{placeholder} holds one of / + # or NUL, and rule {rule} would use it")]
    NotOneLevel { placeholder: String, rule: String },
    #[error("{placeholder} begins with $, and rule {rule} would use it as its first level")]
    LeadingDollar { placeholder: String, rule: String },
    #[error("{placeholder} has more than {bytes_max} bytes, and rule {rule} would use it")]
    TooLong { placeholder: String, rule: String, bytes_max: usize },
    #[error("the name `anonymous` is only for who comes without credentials")]
    ReservedName,
}
