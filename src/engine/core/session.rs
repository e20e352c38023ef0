//! One Session (MQTT 5.0 §4.1) and a Network Connection's hold on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::flow::Flow;
use super::outgoing::{Answer, Left, Offer, Outgoing};
use super::remembered::Remembered;
use super::subscriptions::Membership;
use crate::engine::config::EngineConfig;
use crate::engine::message::{OpenSession, Outlet, Owner, SessionWill};
use crate::mqtt::{ClientId, TopicFilter};

/// One Session. What changes lies under its own short lock.
#[derive(Debug)]
pub(crate) struct Session {
    /// Unique while the engine lives; later sessions have higher ones.
    number: u64,
    client_id: ClientId,
    /// Whether there is a Network Connection, for whoever can do without certainty.
    is_connected: AtomicBool,
    /// Locked while a Network Connection publishes, before everything else but the directory.
    publisher: Mutex<Publisher>,
    state: Mutex<State>,
}

/// A Network Connection's hold on its session.
///
/// It stays valid until another connection takes the session over or the session ends; after that every call with it does nothing.
#[derive(Clone, Debug)]
pub struct Attached {
    pub(crate) session: Arc<Session>,
    pub(crate) generation: u32,
}

/// A Network Connection's turn to publish: as long as it is held, nobody takes the session over.
///
/// What one client sends on two connections so keeps its order, and what is noted as received is published (MQTT 5.0 §4.3.3, §4.6).
#[derive(Debug)]
pub struct Publishing<'a> {
    /// The session's.
    pub(crate) number: u64,
    publisher: MutexGuard<'a, Publisher>,
}

/// Who may publish for a session.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    /// Whose Network Connection it is.
    pub(crate) generation: u32,
    /// Where its last message went: nearly everybody publishes to the same topic again and again.
    remembered: Remembered,
}

/// What changes in a session.
#[derive(Debug)]
pub(crate) struct State {
    /// As who last connected has proven to be.
    pub(crate) owner: Arc<dyn Owner>,
    pub(crate) outgoing: Outgoing,
    /// Where its Subscriptions lie in the tree.
    pub(crate) memberships: Memberships,
    /// Bytes of their Topic Filters.
    pub(crate) subscription_bytes: usize,
    /// There as long as it may still be published.
    pub(crate) will: Option<Box<SessionWill>>,
    /// There while there is no Network Connection.
    pub(crate) away: Option<Box<Away>>,
    expiry_interval_s: u32,
    /// Counts the Network Connections, so that a late call of an earlier one is known as such.
    generation: u32,
    has_ended: bool,
}

pub(crate) type Memberships = SmallVec<[Membership; 2]>;

/// What a session without a Network Connection waits for.
#[derive(Debug)]
pub(crate) struct Away {
    pub(crate) ends_at: Instant,
    /// When a delayed Will is published, if it is.
    pub(crate) will_at: Option<Instant>,
    /// Subscriptions that a review took while nobody was there to be told. Each was one of the session's, whose quota bounds them.
    pub(crate) revoked: Vec<TopicFilter>,
}

impl Away {
    /// When something is to be done next.
    pub(crate) fn due_at(&self) -> Instant {
        self.will_at.map_or(self.ends_at, |will_at| will_at.min(self.ends_at))
    }
}

/// What a session leaves behind when it ends.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outlet: Option<Arc<dyn Outlet>>,
    pub(crate) will: Option<DueWill>,
    pub(crate) memberships: Memberships,
    pub(crate) left: Left,
}

/// A Will that is to be published.
#[derive(Debug)]
pub(crate) struct DueWill {
    /// The session's.
    pub(crate) number: u64,
    pub(crate) owner: Arc<dyn Owner>,
    pub(crate) will: Box<SessionWill>,
}

impl Attached {
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        self.session.client_id()
    }

    /// Whose session it is.
    #[must_use]
    pub fn owner(&self) -> Arc<dyn Owner> {
        Arc::clone(&self.session.state.lock().owner)
    }

    /// Waits for the turn to publish; `None` once another connection has the session, whose client will send there what it sent here.
    #[must_use]
    pub fn publishing(&self) -> Option<Publishing<'_>> {
        let publisher = self.session.publisher.lock();
        (publisher.generation == self.generation).then_some(Publishing { number: self.session.number, publisher })
    }

    /// The session's state, unless another connection has it or it has ended.
    pub(crate) fn lock(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.session.state.lock();
        (state.generation == self.generation && !state.has_ended && state.away.is_none()).then_some(state)
    }
}

impl Publishing<'_> {
    pub(crate) fn remembered(&mut self) -> &mut Remembered {
        &mut self.publisher.remembered
    }
}

impl Session {
    /// A session with its first Network Connection.
    pub(crate) fn new(number: u64, open: OpenSession, config: &EngineConfig) -> Self {
        let session = Self {
            number,
            client_id: open.client_id.clone(),
            is_connected: AtomicBool::new(false),
            publisher: Mutex::default(),
            state: Mutex::new(State::new(Arc::clone(&open.owner))),
        };
        session.attach(&mut session.publisher.lock(), &mut session.state.lock(), open, config);
        session
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Waits until its connection has published what it is publishing, and keeps it from more.
    pub(crate) fn lock_publisher(&self) -> MutexGuard<'_, Publisher> {
        self.publisher.lock()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Hands a message to this session. Says whether there still is one.
    pub(crate) fn offer(&self, flow: &mut Flow<'_>, offer: &Offer<'_>) -> bool {
        let mut state = self.state.lock();
        if !state.has_ended {
            state.outgoing.offer(flow, offer);
            state.outgoing.book(flow.memory);
        }
        !state.has_ended
    }

    /// Hands a message to this session if it can go out at once.
    pub(crate) fn offer_at_once(&self, flow: &mut Flow<'_>, offer: &Offer<'_>) -> Answer {
        let mut state = self.state.lock();
        if state.has_ended {
            return Answer::Unable;
        }
        let answer = state.outgoing.offer_at_once(flow, offer);
        state.outgoing.book(flow.memory);
        answer
    }

    /// Gives the session a Network Connection. Returns its generation.
    pub(crate) fn attach(
        &self,
        publisher: &mut Publisher,
        state: &mut State,
        open: OpenSession,
        config: &EngineConfig,
    ) -> u32 {
        state.generation = state.generation.wrapping_add(1);
        *publisher = Publisher { generation: state.generation, remembered: Remembered::default() };
        state.owner = open.owner;
        state.away = None;
        state.expiry_interval_s = open.expiry_interval_s;
        state.will = open.will.map(Box::new);
        state.outgoing.outlet = Some(open.outlet);
        state.outgoing.window = open.receive_maximum.min(config.inflight_max).max(1);
        state.outgoing.is_held = true;
        state.outgoing.is_too_slow = false;
        self.is_connected.store(true, Ordering::Relaxed);
        state.generation
    }

    /// Takes the Network Connection away. Returns its outlet and the QoS 0 messages that waited for it.
    pub(crate) fn detach(&self, state: &mut State) -> (Option<Arc<dyn Outlet>>, Left) {
        self.is_connected.store(false, Ordering::Relaxed);
        state.outgoing.disconnect()
    }

    /// Takes the Will out, as it is due.
    pub(crate) fn take_will(&self, state: &mut State) -> Option<DueWill> {
        let will = state.will.take()?;
        Some(DueWill { number: self.number, owner: Arc::clone(&state.owner), will })
    }

    /// Ends the session; what it leaves is the caller's to clear away.
    pub(crate) fn end(&self, state: &mut State) -> Ended {
        let (outlet, mut left) = self.detach(state);
        state.has_ended = true;
        if let Some(pending) = state.outgoing.pending.take() {
            left.extend(pending.split());
        }
        Ended { outlet, will: self.take_will(state), memberships: std::mem::take(&mut state.memberships), left }
    }
}

impl State {
    fn new(owner: Arc<dyn Owner>) -> Self {
        Self {
            owner,
            outgoing: Outgoing::default(),
            memberships: Memberships::new(),
            subscription_bytes: 0,
            will: None,
            away: None,
            expiry_interval_s: 0,
            generation: 0,
            has_ended: false,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// DISCONNECT may change how long the session is kept (MQTT 5.0 §3.14.2.2.2).
    pub(crate) fn set_expiry_interval(&mut self, expiry_interval_s: u32) {
        self.expiry_interval_s = expiry_interval_s;
    }

    /// How long the session is kept without a Network Connection.
    pub(crate) fn kept_for(&self, config: &EngineConfig) -> Duration {
        Duration::from_secs(self.expiry_interval_s.into()).min(config.session_expiry_max)
    }

    /// Whether the session's time without a Network Connection is over.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.away.as_ref().is_some_and(|away| away.ends_at <= now)
    }
}
