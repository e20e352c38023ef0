//! Which Reason Codes each packet has, and who may send them: tables 3-1, 3-4 to 3-10 and the lists of §3.9.3, §3.11.3
//! and §3.15.2.1 of MQTT 5.0.

use super::Sender;
use super::frame::PacketType;
use super::violation::Violation;
use crate::mqtt::ReasonCode;

/// Takes `byte` as the Reason Code of a packet of this type from `sender`.
#[inline]
pub(super) fn read(packet_type: PacketType, sender: Sender, byte: u8) -> Result<ReasonCode, Violation> {
    ReasonCode::from_u8(byte)
        .filter(|&reason| is_allowed(packet_type, sender, reason))
        .ok_or(Violation::ReasonCodeNotAllowed)
}

/// Whether the standard lets `sender` put `reason` into a packet of this type.
pub(super) fn is_allowed(packet_type: PacketType, sender: Sender, reason: ReasonCode) -> bool {
    match packet_type {
        PacketType::ConnAck => is_for_connack(reason),
        PacketType::PubAck | PacketType::PubRec => is_for_receipt(sender, reason),
        PacketType::PubRel | PacketType::PubComp => {
            matches!(reason, ReasonCode::Success | ReasonCode::PacketIdentifierNotFound)
        }
        PacketType::SubAck => is_for_suback(reason),
        PacketType::UnsubAck => is_for_unsuback(reason),
        PacketType::Disconnect => is_for_disconnect(sender, reason),
        PacketType::Auth => match reason {
            ReasonCode::Success => sender == Sender::Server,
            ReasonCode::ContinueAuthentication => true,
            ReasonCode::ReAuthenticate => sender == Sender::Client,
            _ => false,
        },
        PacketType::Connect
        | PacketType::Publish
        | PacketType::Subscribe
        | PacketType::Unsubscribe
        | PacketType::PingReq
        | PacketType::PingResp => false,
    }
}

/// MQTT 5.0 §3.2.2.2.
fn is_for_connack(reason: ReasonCode) -> bool {
    use ReasonCode as R;
    matches!(
        reason,
        R::Success
            | R::UnspecifiedError
            | R::MalformedPacket
            | R::ProtocolError
            | R::ImplementationSpecificError
            | R::UnsupportedProtocolVersion
            | R::ClientIdentifierNotValid
            | R::BadUserNameOrPassword
            | R::NotAuthorized
            | R::ServerUnavailable
            | R::ServerBusy
            | R::Banned
            | R::BadAuthenticationMethod
            | R::TopicNameInvalid
            | R::PacketTooLarge
            | R::QuotaExceeded
            | R::PayloadFormatInvalid
            | R::RetainNotSupported
            | R::QoSNotSupported
            | R::UseAnotherServer
            | R::ServerMoved
            | R::ConnectionRateExceeded
    )
}

/// PUBACK and PUBREC, MQTT 5.0 §3.4.2.1, §3.5.2.1.
fn is_for_receipt(sender: Sender, reason: ReasonCode) -> bool {
    use ReasonCode as R;
    match reason {
        R::Success
        | R::UnspecifiedError
        | R::ImplementationSpecificError
        | R::NotAuthorized
        | R::TopicNameInvalid
        | R::PacketIdentifierInUse
        | R::QuotaExceeded
        | R::PayloadFormatInvalid => true,
        R::NoMatchingSubscribers => sender == Sender::Server,
        _ => false,
    }
}

/// MQTT 5.0 §3.9.3.
fn is_for_suback(reason: ReasonCode) -> bool {
    use ReasonCode as R;
    matches!(
        reason,
        R::Success
            | R::GrantedQoS1
            | R::GrantedQoS2
            | R::UnspecifiedError
            | R::ImplementationSpecificError
            | R::NotAuthorized
            | R::TopicFilterInvalid
            | R::PacketIdentifierInUse
            | R::QuotaExceeded
            | R::SharedSubscriptionsNotSupported
            | R::SubscriptionIdentifiersNotSupported
            | R::WildcardSubscriptionsNotSupported
    )
}

/// MQTT 5.0 §3.11.3.
fn is_for_unsuback(reason: ReasonCode) -> bool {
    use ReasonCode as R;
    matches!(
        reason,
        R::Success
            | R::NoSubscriptionExisted
            | R::UnspecifiedError
            | R::ImplementationSpecificError
            | R::NotAuthorized
            | R::TopicFilterInvalid
            | R::PacketIdentifierInUse
    )
}

/// MQTT 5.0 §3.14.2.1; and 0x8C, which only the overview in §2.4 gives to DISCONNECT.
fn is_for_disconnect(sender: Sender, reason: ReasonCode) -> bool {
    use ReasonCode as R;
    match reason {
        R::Success
        | R::UnspecifiedError
        | R::MalformedPacket
        | R::ProtocolError
        | R::ImplementationSpecificError
        | R::BadAuthenticationMethod
        | R::TopicNameInvalid
        | R::ReceiveMaximumExceeded
        | R::TopicAliasInvalid
        | R::PacketTooLarge
        | R::MessageRateTooHigh
        | R::QuotaExceeded
        | R::AdministrativeAction
        | R::PayloadFormatInvalid => true,
        R::DisconnectWithWill => sender == Sender::Client,
        R::NotAuthorized
        | R::ServerBusy
        | R::ServerShuttingDown
        | R::KeepAliveTimeout
        | R::SessionTakenOver
        | R::TopicFilterInvalid
        | R::RetainNotSupported
        | R::QoSNotSupported
        | R::UseAnotherServer
        | R::ServerMoved
        | R::SharedSubscriptionsNotSupported
        | R::ConnectionRateExceeded
        | R::MaximumConnectTime
        | R::SubscriptionIdentifiersNotSupported
        | R::WildcardSubscriptionsNotSupported => sender == Sender::Server,
        _ => false,
    }
}
