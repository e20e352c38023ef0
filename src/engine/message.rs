//! The seam between a connection and any engine: what is handed in, what is handed out, and when it leaves.
//!
//! Nothing here knows a socket, a dialect or a policy. A connection gives the engine an [`Outlet`]; the engine appends deliveries to
//! it and notes it in the [`Round`]; whoever started the round flushes each noted outlet once, when the engine's locks are released.

use std::any::Any;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use super::counters::{EngineCounters, Tally};
use crate::mqtt::packet::SubscribeOptions;
use crate::mqtt::{ClientId, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version};

/// An Application Message: immutable, shared by everyone it is for, in one allocation for all its bytes.
#[derive(Debug)]
pub struct Message {
    /// Topic Name, then forwarded properties, then payload.
    body: Bytes,
    topic_end: u32,
    properties_end: u32,
    pub qos: QoS,
    /// RETAIN as published.
    pub retain: bool,
    /// When its Message Expiry Interval has passed.
    pub expires_at: Option<Instant>,
    /// A spelling of this message that a dialect made once and shares between all who speak it.
    shared_frame: OnceLock<Bytes>,
}

impl Message {
    /// A message of these bytes; `properties` are [`crate::mqtt::property::ForwardedProperties`].
    #[must_use]
    pub fn new(topic: &TopicName<'_>, properties: &[u8], payload: &[u8], qos: QoS, retain: bool) -> Self {
        let mut body = Vec::with_capacity(topic.len() + properties.len() + payload.len());
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(properties);
        body.extend_from_slice(payload);
        Self {
            // A topic has at most 65,535 bytes, and a packet at most 268,435,455: neither end can leave u32.
            topic_end: topic.len() as u32,
            properties_end: (topic.len() + properties.len()) as u32,
            body: body.into(),
            qos,
            retain,
            expires_at: None,
            shared_frame: OnceLock::new(),
        }
    }

    #[must_use]
    pub fn expiring_at(mut self, expires_at: Option<Instant>) -> Self {
        self.expires_at = expires_at;
        self
    }

    /// The same message with another end, sharing its bytes: a Will's expiry counts from when it is published.
    #[must_use]
    pub fn with_expiry(&self, expires_at: Option<Instant>) -> Self {
        Self {
            body: self.body.clone(),
            topic_end: self.topic_end,
            properties_end: self.properties_end,
            qos: self.qos,
            retain: self.retain,
            expires_at,
            shared_frame: OnceLock::new(),
        }
    }

    /// The Topic Name.
    #[must_use]
    pub fn topic(&self) -> &str {
        // `new` copied it from a TopicName, so it is UTF-8; an empty topic would match nothing.
        std::str::from_utf8(self.topic_bytes()).unwrap_or_default()
    }

    /// The Topic Name's bytes, for whoever only copies them.
    #[must_use]
    pub fn topic_bytes(&self) -> &[u8] {
        &self.body[..self.topic_end as usize]
    }

    /// The forwarded properties, encoded.
    #[must_use]
    pub fn properties(&self) -> &[u8] {
        &self.body[self.topic_end as usize..self.properties_end as usize]
    }

    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.body[self.properties_end as usize..]
    }

    /// The payload, sharing this message's allocation.
    #[must_use]
    pub fn payload_shared(&self) -> Bytes {
        self.body.slice(self.properties_end as usize..)
    }

    /// Bytes of topic, properties and payload: what queues and budgets count.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len()
    }

    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The frame that `make` spells this message as, made at the first call only. One dialect at most may use it.
    pub fn shared_frame(&self, make: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.shared_frame.get_or_init(|| make(self))
    }
}

/// One message on its way to one session.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub message: &'a Arc<Message>,
    /// The lower of the message's QoS and the Subscription's.
    pub qos: QoS,
    /// RETAIN as this receiver shall see it.
    pub retain: bool,
    /// Whether it was sent before on another Network Connection.
    pub dup: bool,
    /// Present for QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// Of every matching Subscription that has one.
    pub subscription_identifiers: &'a [NonZeroU32],
}

/// What became of something handed to an [`Outlet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Delivered {
    /// It will be sent at the next flush. `first`: nothing else waited for one, so the round must note this outlet.
    Appended { first: bool },
    /// The outbox is at its limit: keep it in the session or drop it. The connection calls [`super::Engine::pump`] once there is room.
    Full,
    /// Larger than this client accepts: drop it for this client alone (MQTT 5.0 §3.1.2.11.4).
    TooLarge,
    /// The Network Connection is closing: it takes nothing more.
    Closed,
}

/// The way out to one client. Calls are short and never block; none calls back into the engine.
pub trait Outlet: Send + Sync + Debug {
    /// Appends a PUBLISH.
    fn deliver(&self, now: Instant, delivery: &Delivery<'_>) -> Delivered;

    /// Appends the PUBREL of an outgoing QoS 2 message. Never [`Delivered::Full`]: it is bounded by the in-flight window.
    /// [`Delivered::TooLarge`] from a dialect that has no PUBREL: the message is complete without.
    fn release(&self, packet_id: PacketId) -> Delivered;

    /// Asks the connection to tell its client that it has lost the Subscription with `filter`. Never [`Delivered::Full`]: a client loses
    /// each of its Subscriptions once.
    fn revoked(&self, filter: &TopicFilter) -> Delivered;

    /// Where its client is and how that speaks, for people.
    fn peer(&self) -> Option<Peer> {
        None
    }

    /// Asks the connection to tell its client `reason` and to close.
    fn close(&self, reason: ReasonCode);

    /// Asks it to close with 0x97 Quota exceeded, as its client is too slow for a message that it is not to miss.
    fn close_as_too_slow(&self) {
        self.close(ReasonCode::QuotaExceeded);
    }

    /// Sends what was appended, as far as the transport takes it. Called without any engine lock held.
    fn flush(&self);

    /// As [`Self::flush`], unless it pays to wait for what others are about to append. `false`: nothing was sent, and the caller sees to
    /// it that `flush` is called soon.
    #[must_use]
    fn flush_unless_busy(&self) -> bool {
        self.flush();
        true
    }
}

/// The outlets that received something since the last flush, each once; and what is to be counted of it.
#[derive(Debug, Default)]
pub struct Round {
    touched: Vec<Arc<dyn Outlet>>,
    appended: usize,
    pub(crate) tally: Tally,
    /// What `tally` is added to.
    counters: Option<Arc<EngineCounters>>,
}

impl Round {
    /// Notes `outlet` for the flush at the end of the round, if `delivered` says that it is the first to need one.
    pub fn note(&mut self, outlet: &Arc<dyn Outlet>, delivered: Delivered) {
        self.note_with(delivered, || Arc::clone(outlet));
    }

    /// As [`Self::note`], for a caller that has the outlet under another type.
    pub fn note_with(&mut self, delivered: Delivered, outlet: impl FnOnce() -> Arc<dyn Outlet>) {
        if let Delivered::Appended { first } = delivered {
            self.appended += 1;
            if first {
                self.touched.push(outlet());
            }
        }
    }

    /// How much was appended since the last [`Self::drain`]: packets, however many outlets took them.
    #[must_use]
    pub fn appended(&self) -> usize {
        self.appended
    }

    /// The outlets to flush, in the order in which they were touched.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Arc<dyn Outlet>> {
        self.appended = 0;
        self.settle();
        self.touched.drain(..)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.touched.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// Moves all but the first `count` outlets into a round of their own.
    #[must_use]
    pub fn split_off(&mut self, count: usize) -> Self {
        let touched = self.touched.split_off(count.min(self.touched.len()));
        Self { touched, appended: 0, tally: Tally::default(), counters: None }
    }

    /// What is tallied from here on is added to `counters`, at the latest when the round is over.
    pub(crate) fn count_for(&mut self, counters: &Arc<EngineCounters>) {
        if !self.counters.as_ref().is_some_and(|present| Arc::ptr_eq(present, counters)) {
            self.settle();
            self.counters = Some(Arc::clone(counters));
        }
    }

    fn settle(&mut self) {
        if let Some(counters) = &self.counters {
            std::mem::take(&mut self.tally).add_to(counters);
        }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.settle();
    }
}

/// What a client asks of its session when it connects.
#[derive(Debug)]
pub struct OpenSession {
    pub client_id: ClientId,
    /// Whose session it is: only an owner of the same name may take it over or continue it, and is its owner from then on.
    pub owner: Arc<dyn Owner>,
    pub clean_start: bool,
    /// Session Expiry Interval: 0 ends the session with the connection, `u32::MAX` never; the engine caps it.
    pub expiry_interval_s: u32,
    /// How many QoS 1 and 2 messages may be unacknowledged towards the client; the engine caps it.
    pub receive_maximum: u16,
    pub will: Option<SessionWill>,
    pub outlet: Arc<dyn Outlet>,
}

/// A Will Message as its session keeps it.
#[derive(Clone, Debug)]
pub struct SessionWill {
    pub message: Arc<Message>,
    pub delay_interval_s: u32,
    /// Counted from when the Will is published.
    pub message_expiry_interval_s: Option<u32>,
}

/// Why a session could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// → 0x85 (3.1.1: return code 2).
    #[error("the client identifier belongs to a session of another identity")]
    OwnedByAnother,
    /// → 0x97 (3.1.1: return code 3).
    #[error("the engine holds as many sessions as it may")]
    SessionsFull,
}

/// A client as the other end of a Network Connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: SocketAddr,
    /// `mqtt`, `mqtt-websocket` or `json`.
    pub dialect: &'static str,
    pub version: Version,
    /// When the Network Connection was opened.
    pub since: Instant,
    /// Bytes that wait in the outbox, as the client does not take them.
    pub unread_bytes: usize,
}

/// Whose a session is, as whoever opened it knows them.
pub trait Owner: Send + Sync + Debug {
    /// What tells one owner from another.
    fn name(&self) -> &str;

    /// For whoever made it, and knows what it is.
    fn as_any(&self) -> &dyn Any;

    /// What they may do at this moment; `None`: not even have a session.
    fn rights(self: Arc<Self>) -> Option<Box<dyn Rights>>;
}

/// What the owner of a session may do, by one snapshot of whatever decides that. No lock of the engine is held when it is asked.
pub trait Rights: Send + Sync + Debug {
    /// How far the Subscription with `filter`, which was made at `maximum_qos`, is granted, that at most; `None`: not at all.
    fn subscribe(&self, filter: &TopicFilter, maximum_qos: QoS) -> Option<Grant>;

    /// Whether a message on `topic` may be delivered.
    fn receive(&self, topic: &str) -> bool;

    /// Whether the session's Will Message may be published.
    fn publish_will(&self, will: &Message) -> bool;
}

/// How far a Subscription is granted.
#[derive(Clone, Debug)]
pub struct Grant {
    pub maximum_qos: QoS,
    /// Only where the grant leaves a residue.
    pub check: Option<Arc<dyn DeliveryCheck>>,
}

/// An owner who is bound by no rules, as this process itself.
#[derive(Clone, Debug)]
pub struct Unbound(Arc<str>);

impl Unbound {
    #[must_use]
    pub fn named(name: &str) -> Arc<Self> {
        Arc::new(Self(name.into()))
    }
}

impl Owner for Unbound {
    fn name(&self) -> &str {
        &self.0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn rights(self: Arc<Self>) -> Option<Box<dyn Rights>> {
        Some(Box::new(Self::clone(&self)))
    }
}

impl Rights for Unbound {
    fn subscribe(&self, _filter: &TopicFilter, maximum_qos: QoS) -> Option<Grant> {
        Some(Grant { maximum_qos, check: None })
    }

    fn receive(&self, _topic: &str) -> bool {
        true
    }

    fn publish_will(&self, _will: &Message) -> bool {
        true
    }
}

/// Asked for each message before a Subscription that is granted only in part delivers it.
pub trait DeliveryCheck: Send + Sync + Debug {
    fn allows(&self, topic: &str) -> bool;
}

/// One Subscription that was granted and is to be made.
#[derive(Clone, Debug)]
pub struct SubscribeRequest {
    pub filter: TopicFilter,
    /// With `maximum_qos` as granted.
    pub options: SubscribeOptions,
    pub identifier: Option<NonZeroU32>,
    /// Only where the grant leaves a residue; a covered Subscription has none and pays nothing.
    pub check: Option<Arc<dyn DeliveryCheck>>,
}

/// What a client says about a QoS 1 or 2 message that it received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// PUBACK: QoS 1 is complete.
    PubAck,
    /// PUBREC without failure: PUBREL is sent next.
    PubRec,
    /// PUBREC with a failure: the message is complete (MQTT 5.0 §4.3.3).
    PubRecFailed,
    /// PUBCOMP: QoS 2 is complete.
    PubComp,
    /// The one acknowledgement of a dialect without a second handshake: complete at either QoS.
    Complete,
}

/// How a Network Connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// DISCONNECT with 0x00 deletes the Will; anything else publishes it (MQTT 5.0 §3.14.4).
    pub publish_will: bool,
    /// A Session Expiry Interval in DISCONNECT replaces the one of CONNECT (MQTT 5.0 §3.14.2.2.2).
    pub expiry_interval_s: Option<u32>,
}
