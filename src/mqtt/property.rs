//! The properties of MQTT 5.0 §2.2.2, by the packet that carries them.
//!
//! An absent property is `None` (or empty), so a packet of 3.1 or 3.1.1 simply has none.

use std::borrow::Cow;
use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use smallvec::SmallVec;

/// User Properties, in order, repeated names kept (MQTT 5.0 §3.1.2.11.8).
pub type UserProperties = Vec<(Box<str>, Box<str>)>;

/// MQTT 5.0 §3.1.2.11.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties {
    pub session_expiry_interval_s: Option<u32>,
    pub receive_maximum: Option<NonZeroU16>,
    pub maximum_packet_size: Option<NonZeroU32>,
    pub topic_alias_maximum: Option<u16>,
    pub request_response_information: Option<bool>,
    pub request_problem_information: Option<bool>,
    pub user_properties: UserProperties,
    pub authentication_method: Option<Box<str>>,
    pub authentication_data: Option<Bytes>,
}

/// MQTT 5.0 §3.2.2.3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    pub session_expiry_interval_s: Option<u32>,
    pub receive_maximum: Option<NonZeroU16>,
    /// 0 or 1; absent means 2.
    pub maximum_qos: Option<u8>,
    pub retain_available: Option<bool>,
    pub maximum_packet_size: Option<NonZeroU32>,
    pub assigned_client_identifier: Option<Box<str>>,
    pub topic_alias_maximum: Option<u16>,
    pub reason_string: Option<Box<str>>,
    pub user_properties: UserProperties,
    pub wildcard_subscription_available: Option<bool>,
    pub subscription_identifiers_available: Option<bool>,
    pub shared_subscription_available: Option<bool>,
    pub server_keep_alive_s: Option<u16>,
    pub response_information: Option<Box<str>>,
    pub server_reference: Option<Box<str>>,
    pub authentication_method: Option<Box<str>>,
    pub authentication_data: Option<Bytes>,
}

/// The properties of an Application Message that pass through a server unchanged and in order: Payload Format Indicator,
/// Content Type, Response Topic, Correlation Data and User Properties (MQTT 5.0 §3.3.2.3), still encoded as identifier and value,
/// each checked, without the Property Length in front.
///
/// Kept encoded because a server only hands them on; [`crate::mqtt::codec`] builds and reads them.
pub type ForwardedProperties<'a> = Cow<'a, [u8]>;

/// MQTT 5.0 §3.3.2.3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties<'a> {
    pub forwarded: ForwardedProperties<'a>,
    pub message_expiry_interval_s: Option<u32>,
    pub topic_alias: Option<NonZeroU16>,
    /// From a server only: every matching Subscription's identifier.
    pub subscription_identifiers: SmallVec<[NonZeroU32; 1]>,
}

impl PublishProperties<'_> {
    #[must_use]
    pub fn into_owned(self) -> PublishProperties<'static> {
        PublishProperties {
            forwarded: Cow::Owned(self.forwarded.into_owned()),
            message_expiry_interval_s: self.message_expiry_interval_s,
            topic_alias: self.topic_alias,
            subscription_identifiers: self.subscription_identifiers,
        }
    }
}

/// MQTT 5.0 §3.1.3.2: the properties of a Will Message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WillProperties {
    pub delay_interval_s: u32,
    pub message_expiry_interval_s: Option<u32>,
    pub forwarded: ForwardedProperties<'static>,
}

/// Reason String and User Properties: all that PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK may carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckProperties {
    pub reason_string: Option<Box<str>>,
    pub user_properties: UserProperties,
}

/// MQTT 5.0 §3.8.2.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeProperties {
    /// 1 to 268,435,455.
    pub subscription_identifier: Option<NonZeroU32>,
    pub user_properties: UserProperties,
}

/// MQTT 5.0 §3.14.2.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisconnectProperties {
    pub session_expiry_interval_s: Option<u32>,
    pub reason_string: Option<Box<str>>,
    pub user_properties: UserProperties,
    pub server_reference: Option<Box<str>>,
}

/// MQTT 5.0 §3.15.2.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthProperties {
    pub authentication_method: Option<Box<str>>,
    pub authentication_data: Option<Bytes>,
    pub reason_string: Option<Box<str>>,
    pub user_properties: UserProperties,
}
