//! How a packet can break the standard: each way with its Reason Code and the clause it breaks. Norms as data.

use std::fmt;

use crate::mqtt::topic::TopicError;
use crate::mqtt::{ReasonCode, Version};

use super::frame::PacketType;

macro_rules! violations {
    ($($(#[$doc:meta])* $name:ident: $reason:ident, $clause:literal, $text:literal;)*) => {
        /// One way to break the standard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Violation { $(#[doc = $text] #[doc = ""] #[doc = $clause] $(#[$doc])* $name,)* }

        impl Violation {
            /// Every violation that the codec tells apart.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What a peer is told.
            #[must_use]
            pub fn reason(self) -> ReasonCode {
                match self { $(Self::$name => ReasonCode::$reason,)* }
            }

            /// The normative statement or section that says so: of MQTT 5.0 unless it names 3.1.1.
            #[must_use]
            pub fn clause(self) -> &'static str {
                match self { $(Self::$name => $clause,)* }
            }

            /// What was found, without anything that the peer sent.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

violations! {
    // Framing.
    ForbiddenPacketType: MalformedPacket, "§2.1.2", "a packet type that is reserved";
    ReservedFlags: MalformedPacket, "[MQTT-2.1.3-1]", "fixed header flags other than those prescribed";
    LengthTooLong: MalformedPacket, "§1.5.5", "a Variable Byte Integer of more than four bytes";
    LengthNotMinimal: MalformedPacket, "[MQTT-1.5.5-1]", "a Variable Byte Integer in more bytes than necessary";
    /// Counted over the whole packet, fixed header included.
    PacketTooLarge: PacketTooLarge, "[MQTT-3.2.2-15]", "a packet larger than the Maximum Packet Size";
    Truncated: MalformedPacket, "§4.13.1", "a field that runs past the end of the packet";
    TrailingBytes: MalformedPacket, "§4.13.1", "bytes after the last field of the packet";
    FirstPacketNotConnect: ProtocolError, "[MQTT-3.1.0-1]", "a first packet that is not CONNECT";
    /// Ours, not the peer's: a packet that passed every check but could not be built.
    Internal: ImplementationSpecificError, "§4.13.2", "a packet that this side failed to read";
    WrongDirection: ProtocolError, "§2.1.2", "a packet that only the other side may send";

    // Fields of every packet.
    NotUtf8: MalformedPacket, "[MQTT-1.5.4-1]", "a string that is not well-formed UTF-8";
    NulCharacter: MalformedPacket, "[MQTT-1.5.4-2]", "a string with the character U+0000";
    PacketIdZero: ProtocolError, "[MQTT-2.2.1-3]", "the Packet Identifier 0";
    ReasonCodeNotAllowed: ProtocolError, "§2.4", "a Reason Code that this packet does not have";

    // Properties.
    PropertyLengthMissing: MalformedPacket, "[MQTT-2.2.2-1]", "no Property Length";
    PropertyLengthPastPacket: MalformedPacket, "§2.2.2.1", "a Property Length past the end of the packet";
    PropertyPastLength: MalformedPacket, "§2.2.2.1", "a property that runs past the Property Length";
    UnknownProperty: MalformedPacket, "§2.2.2.2", "a property identifier that the standard does not have";
    PropertyNotAllowed: MalformedPacket, "§2.2.2.2", "a property that this packet does not have";
    PropertyRepeated: ProtocolError, "§2.2.2.2", "a property twice that may be present once";
    TooManyUserProperties: QuotaExceeded, "§5.4.9", "more User Properties than the configured limit";
    NotABoolean: ProtocolError, "§3.1.2.11.6", "a property other than 0 or 1 where only these are allowed";
    PayloadFormatUnknown: ProtocolError, "§3.3.2.3.2", "a Payload Format Indicator other than 0 or 1";
    ReceiveMaximumZero: ProtocolError, "§3.1.2.11.3", "a Receive Maximum of 0";
    MaximumPacketSizeZero: ProtocolError, "§3.1.2.11.4", "a Maximum Packet Size of 0";
    TopicAliasZero: TopicAliasInvalid, "[MQTT-3.3.2-8]", "a Topic Alias of 0";
    SubscriptionIdentifierZero: ProtocolError, "§3.8.2.1.2", "a Subscription Identifier of 0";
    SubscriptionIdentifierFromClient: ProtocolError, "[MQTT-3.3.4-6]", "a Subscription Identifier in a client's PUBLISH";
    ResponseTopicInvalid: ProtocolError, "[MQTT-3.3.2-14]", "a Response Topic that is no Topic Name";
    MaximumQoSInvalid: ProtocolError, "§3.2.2.3.4", "a Maximum QoS other than 0 or 1";
    AuthenticationMethodMissing: ProtocolError, "§3.15.2.2.2", "no Authentication Method where one is needed";
    SessionExpiryFromServer: ProtocolError, "[MQTT-3.14.2-2]", "a Session Expiry Interval in a server's DISCONNECT";
    ServerReferenceFromClient: ProtocolError, "§3.14.2.2.5", "a Server Reference from a client";

    // CONNECT and CONNACK.
    /// 3.1.1 has it in [MQTT-3.1.2-1]. No answer is due to what is not MQTT.
    WrongProtocolName: UnsupportedProtocolVersion, "[MQTT-3.1.2-1]", "a protocol name other than MQTT or MQIsdp";
    UnsupportedVersion: UnsupportedProtocolVersion, "[MQTT-3.1.2-2]", "a protocol version other than 3.1, 3.1.1 and 5.0";
    ConnectReservedFlag: MalformedPacket, "[MQTT-3.1.2-3]", "a CONNECT whose reserved flag is set";
    WillFlagsWithoutWill: MalformedPacket, "[MQTT-3.1.2-11]", "Will QoS or Will Retain without a Will";
    WillQoS3: MalformedPacket, "[MQTT-3.1.2-12]", "a Will QoS of 3";
    PasswordWithoutUserName: MalformedPacket, "3.1.1 [MQTT-3.1.2-22]", "a password without a user name";
    ConnAckReservedFlags: MalformedPacket, "[MQTT-3.2.2-1]", "CONNACK flags whose reserved bits are set";
    SessionPresentOnFailure: ProtocolError, "[MQTT-3.2.2-6]", "Session Present together with a failure";

    // PUBLISH.
    QoS3: MalformedPacket, "[MQTT-3.3.1-4]", "a QoS of 3";
    DupAtQoS0: MalformedPacket, "[MQTT-3.3.1-2]", "DUP set at QoS 0";
    TopicNameWithWildcard: TopicNameInvalid, "[MQTT-3.3.2-2]", "a Topic Name with a wildcard";
    TopicNameEmpty: TopicNameInvalid, "[MQTT-4.7.3-1]", "an empty Topic Name";
    TopicNameTooDeep: TopicNameInvalid, "§4.7.3", "a Topic Name of more levels than the limit";
    TopicMissing: ProtocolError, "§3.3.2.1", "an empty Topic Name without a Topic Alias";

    // SUBSCRIBE and UNSUBSCRIBE.
    NoTopicFilter: ProtocolError, "[MQTT-3.8.3-2]", "no Topic Filter to subscribe to";
    NoTopicFilterToUnsubscribe: ProtocolError, "[MQTT-3.10.3-2]", "no Topic Filter to unsubscribe from";
    TooManyTopicFilters: QuotaExceeded, "§5.4.9", "more Topic Filters than the configured limit";
    TopicFilterEmpty: TopicFilterInvalid, "[MQTT-4.7.3-1]", "an empty Topic Filter";
    TopicFilterMisplacedWildcard: TopicFilterInvalid, "[MQTT-4.7.1-1]", "a wildcard that does not fill its level, or a # that is not last";
    TopicFilterMalformedShare: TopicFilterInvalid, "[MQTT-4.8.2-1]", "a malformed Shared Subscription";
    TopicFilterTooDeep: TopicFilterInvalid, "§4.7.3", "a Topic Filter of more levels than the limit";
    SubscribeReservedBits: MalformedPacket, "[MQTT-3.8.3-5]", "Subscription Options whose reserved bits are set";
    SubscribeQoS3: ProtocolError, "§3.8.3.1", "a Maximum QoS of 3";
    RetainHandling3: ProtocolError, "§3.8.3.1", "a Retain Handling of 3";
    NoLocalOnShared: ProtocolError, "[MQTT-3.8.3-4]", "No Local on a Shared Subscription";
    NoReasonCode: MalformedPacket, "[MQTT-3.8.4-6]", "an acknowledgement without any Reason Code";
}

impl Violation {
    /// What `error` of a Topic Name is.
    pub(super) fn of_topic_name(error: TopicError) -> Self {
        match error {
            TopicError::Empty => Self::TopicNameEmpty,
            TopicError::Nul => Self::NulCharacter,
            TopicError::TooDeep | TopicError::TooLong => Self::TopicNameTooDeep,
            TopicError::Wildcard | TopicError::MisplacedWildcard | TopicError::MalformedShare => {
                Self::TopicNameWithWildcard
            }
        }
    }

    /// What `error` of a Topic Filter is.
    pub(super) fn of_topic_filter(error: TopicError) -> Self {
        match error {
            TopicError::Empty => Self::TopicFilterEmpty,
            TopicError::Nul => Self::NulCharacter,
            TopicError::TooDeep | TopicError::TooLong => Self::TopicFilterTooDeep,
            TopicError::MalformedShare => Self::TopicFilterMalformedShare,
            TopicError::Wildcard | TopicError::MisplacedWildcard => Self::TopicFilterMisplacedWildcard,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standard = if self.clause().starts_with('3') { "MQTT" } else { "MQTT 5.0" };
        write!(f, "{} ({standard} {})", self.text(), self.clause())
    }
}

impl std::error::Error for Violation {}

/// A packet that was refused: the Network Connection cannot go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    pub(super) violation: Violation,
    pub(super) packet_type: Option<PacketType>,
    pub(super) connect_version: Option<Version>,
}

impl DecodeError {
    /// The Reason Code for DISCONNECT, or for CONNACK if a CONNECT was refused.
    #[must_use]
    pub fn reason(&self) -> ReasonCode {
        self.violation.reason()
    }

    #[must_use]
    pub fn violation(&self) -> Violation {
        self.violation
    }

    /// The packet that was refused; `None` if its type is reserved.
    #[must_use]
    pub fn packet_type(&self) -> Option<PacketType> {
        self.packet_type
    }

    /// If the first CONNECT was refused and came far enough to say how it would be answered: the version whose CONNACK tells
    /// the client.
    ///
    /// A CONNECT of an unknown version is answered as 3.1.1 or 3.1 would, by its protocol name (MQTT 3.1.1
    /// `[MQTT-3.1.2-2]`). `None`: close without an answer, or with DISCONNECT if CONNECT was accepted before.
    #[must_use]
    pub fn connect_version(&self) -> Option<Version> {
        self.connect_version
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(packet_type) = self.packet_type {
            write!(f, "{packet_type}: ")?;
        }
        write!(f, "{}: {}", self.violation, self.reason())
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_is_a_failure_with_a_clause() {
        for &violation in Violation::ALL {
            assert!(violation.reason().is_failure(), "{violation:?}");
            assert!(violation.clause().contains(['§', '[']), "{violation:?}");
        }
    }

    #[test]
    fn error_names_packet_violation_and_clause() {
        let error = DecodeError {
            violation: Violation::TopicAliasZero,
            packet_type: Some(PacketType::Publish),
            connect_version: None,
        };
        assert_eq!(
            error.to_string(),
            "PUBLISH: a Topic Alias of 0 (MQTT 5.0 [MQTT-3.3.2-8]): Topic Alias invalid (0x94)"
        );
    }
}
