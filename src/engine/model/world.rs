//! What the engine stands in here: outlets that record, and a clock of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::message::{
    Acknowledgement, Closing, Delivered, Delivery, DeliveryCheck, Message, OpenError, OpenSession, Outlet, Round,
    SubscribeRequest, Unbound,
};
use crate::engine::{Attached, Engine, EngineConfig, Lost, Opened, Published, Pumped, Sweep, Swept};
use crate::mqtt::packet::SubscribeOptions;
use crate::mqtt::{ClientId, PacketId, QoS, ReasonCode, TopicFilter, TopicName};

/// What an outlet was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Publish(Copy),
    PubRel(u16),
    /// The Topic Filter of a Subscription that was lost.
    Revoked(String),
}

/// A PUBLISH as its receiver sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) packet_id: Option<u16>,
    pub(crate) identifiers: Vec<u32>,
}

/// An outlet that records.
#[derive(Debug)]
pub(crate) struct Mailbox(Mutex<MailboxState>);

#[derive(Debug, Default)]
struct MailboxState {
    sent: Vec<Sent>,
    /// PUBLISHes it takes before it is full.
    room: usize,
    too_large_from: Option<usize>,
    is_closed: bool,
    closed_with: Option<ReasonCode>,
    awaits_flush: bool,
}

impl Mailbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(MailboxState { room: usize::MAX, ..MailboxState::default() })))
    }

    /// Takes what was sent.
    pub(crate) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.0.lock().sent)
    }

    pub(crate) fn set_room(&self, room: usize) {
        self.0.lock().room = room;
    }

    /// Refuses payloads of that many bytes and more.
    pub(crate) fn set_too_large_from(&self, bytes: usize) {
        self.0.lock().too_large_from = Some(bytes);
    }

    pub(crate) fn set_closed(&self) {
        self.0.lock().is_closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    pub(crate) fn closed_with(&self) -> Option<ReasonCode> {
        self.0.lock().closed_with
    }

    fn append(state: &mut MailboxState, sent: Sent) -> Delivered {
        state.sent.push(sent);
        Delivered::Appended { first: !std::mem::replace(&mut state.awaits_flush, true) }
    }
}

impl Outlet for Mailbox {
    fn deliver(&self, _now: Instant, delivery: &Delivery<'_>) -> Delivered {
        let mut state = self.0.lock();
        if state.is_closed {
            return Delivered::Closed;
        }
        if state.too_large_from.is_some_and(|bytes| delivery.message.payload().len() >= bytes) {
            return Delivered::TooLarge;
        }
        if state.room == 0 {
            return Delivered::Full;
        }
        state.room -= 1;
        let copy = Copy {
            topic: delivery.message.topic().to_owned(),
            payload: String::from_utf8_lossy(delivery.message.payload()).into_owned(),
            qos: delivery.qos as u8,
            retain: delivery.retain,
            dup: delivery.dup,
            packet_id: delivery.packet_id.map(PacketId::get),
            identifiers: delivery.subscription_identifiers.iter().map(|identifier| identifier.get()).collect(),
        };
        Self::append(&mut state, Sent::Publish(copy))
    }

    fn release(&self, packet_id: PacketId) -> Delivered {
        let mut state = self.0.lock();
        if state.is_closed { Delivered::Closed } else { Self::append(&mut state, Sent::PubRel(packet_id.get())) }
    }

    fn revoked(&self, filter: &TopicFilter) -> Delivered {
        let mut state = self.0.lock();
        if state.is_closed { Delivered::Closed } else { Self::append(&mut state, Sent::Revoked(filter.to_string())) }
    }

    fn close(&self, reason: ReasonCode) {
        let mut state = self.0.lock();
        state.is_closed = true;
        state.closed_with = Some(reason);
    }

    fn flush(&self) {
        self.0.lock().awaits_flush = false;
    }
}

/// A grant of one topic alone.
#[derive(Debug)]
pub(crate) struct OnlyTopic(pub(crate) &'static str);

impl DeliveryCheck for OnlyTopic {
    fn allows(&self, topic: &str) -> bool {
        topic == self.0
    }
}

/// An engine, a clock that only its owner moves, and short words for everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) round: Round,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) attached: Attached,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) session_present: bool,
    pub(crate) revoked: Vec<TopicFilter>,
}

impl World {
    pub(crate) fn starting(config: EngineConfig, now: Instant) -> Self {
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        Self { engine: Engine::new(config, hasher), now, round: Round::default() }
    }

    /// Connects without the first pump.
    pub(crate) fn open(&mut self, client_id: &str, change: impl FnOnce(&mut OpenSession)) -> Result<Client, OpenError> {
        let mailbox = Mailbox::new();
        let mut open = OpenSession {
            client_id: ClientId::new(client_id),
            owner: Unbound::named("owner"),
            clean_start: true,
            expiry_interval_s: 0,
            receive_maximum: 65_535,
            will: None,
            outlet: Arc::clone(&mailbox) as Arc<dyn Outlet>,
        };
        change(&mut open);
        let Opened { session, session_present, revoked } = self.engine.open(self.now, open, &mut self.round)?;
        self.flush();
        Ok(Client { attached: session, mailbox, session_present, revoked })
    }

    pub(crate) fn pump(&mut self, client: &Client) {
        while self.engine.pump(self.now, &client.attached, &mut self.round) == Pumped::More {}
        self.flush();
    }

    pub(crate) fn unsubscribe(&mut self, client: &Client, text: &str) -> bool {
        let was_there = self.engine.unsubscribe(self.now, &client.attached, &filter(text), &mut self.round);
        self.flush();
        was_there
    }

    pub(crate) fn publish_message(&mut self, from: Option<&Client>, message: Message) -> Published {
        let mut turn = from.and_then(|client| client.attached.publishing());
        let published = self.engine.publish(self.now, turn.as_mut(), &Arc::new(message), &mut self.round);
        drop(turn);
        self.flush();
        published
    }

    /// Acknowledges, and pumps as long as there is more.
    pub(crate) fn acknowledge(&mut self, client: &Client, packet_id: u16, what: Acknowledgement) -> bool {
        let pumped = self.engine.acknowledge(self.now, &client.attached, id(packet_id), what, &mut self.round);
        if pumped == Some(Pumped::More) {
            self.pump(client);
        }
        self.flush();
        pumped.is_some()
    }

    pub(crate) fn close(&mut self, client: Client, closing: Closing) {
        self.engine.close(self.now, client.attached, closing, &mut self.round);
        self.flush();
    }

    /// Lets `seconds` pass and ticks.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.engine.tick(self.now, &mut self.round);
        self.flush();
    }

    /// Reviews all sessions. Returns what each has lost, in the order of their making.
    pub(crate) fn review(&mut self) -> Vec<Lost> {
        let mut sweep = Sweep::default();
        let mut lost = Vec::new();
        loop {
            match self.engine.sweep(self.now, &mut sweep, &mut self.round) {
                Swept::Piece => {}
                Swept::Session(of_one) => lost.push(of_one),
                Swept::End => break,
            }
            self.engine.check_invariants();
        }
        self.flush();
        lost
    }

    pub(crate) fn flush(&mut self) {
        for outlet in self.round.drain() {
            outlet.flush();
        }
    }
}

pub(crate) fn message(topic: &str, payload: &str, qos: QoS, retain: bool) -> Message {
    Message::new(&TopicName::parse(topic).expect("a valid name"), &[], payload.as_bytes(), qos, retain)
}

pub(crate) fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).expect("a valid filter")
}

pub(crate) fn request(text: &str) -> SubscribeRequest {
    SubscribeRequest { filter: filter(text), options: SubscribeOptions::default(), identifier: None, check: None }
}

pub(crate) fn id(packet_id: u16) -> PacketId {
    PacketId::new(packet_id).expect("not 0")
}
