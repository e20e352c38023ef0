//! [`Engine`]: what connections, uplinks and the administrator call.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::config::EngineConfig;
use super::core::directory::Directory;
use super::core::flow::Flow;
use super::core::outgoing::{Backlog, Pumped};
use super::core::remembered::Remembered;
use super::core::retained::{Cursor, Retained, StoreOutcome};
use super::core::router;
use super::core::session::{Attached, Publishing, State};
use super::core::subscribers::Subscriber;
use super::core::subscriptions::{Membership, Subscriptions};
use super::counters::EngineCounters;
use super::message::{Acknowledgement, Message, Round, SubscribeRequest};
use crate::load::Account;
use crate::mqtt::packet::RetainHandling;
use crate::mqtt::{PacketId, TopicFilter};

/// The in-process broker. Shared as `Arc<Engine>`; every method is synchronous and short, and may be called from any thread.
///
/// What a call delivers is in the receivers' outlets when it returns, and `round` names the outlets that want a flush. An [`Attached`]
/// whose session was taken over or has ended makes every call do nothing.
///
/// Locks are taken in the order `directory` → a session's [`super::Publishing`] → `subscriptions` → a session → `retained` → outlet; no
/// two sessions' at once.
#[derive(Debug)]
pub struct Engine {
    pub(super) config: EngineConfig,
    pub(super) counters: Arc<EngineCounters>,
    /// Where what waits for sessions, and what is in flight to them, is booked.
    pub(super) memory: Arc<Account>,
    pub(super) directory: Mutex<Directory>,
    pub(super) subscriptions: RwLock<Subscriptions>,
    pub(super) retained: RwLock<Retained>,
}

/// What became of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Sessions that a matching Subscription belongs to. 0 → PUBACK or PUBREC may say 0x10 No matching subscribers.
    pub receivers: usize,
}

/// Why a Subscription was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// → 0x97 (3.1.1: 0x80).
    #[error("the session has as many subscriptions as it may")]
    QuotaExceeded,
}

/// Retained messages that one pump looks at before it gives way.
const VISITS_MAX: usize = 8192;

impl Engine {
    /// An engine without sessions. `hasher` carries the seed that keeps clients from choosing colliding names.
    #[must_use]
    pub fn new(config: EngineConfig, hasher: ahash::RandomState) -> Self {
        Self {
            config,
            counters: Arc::default(),
            memory: Arc::default(),
            directory: Mutex::new(Directory::new(hasher.clone())),
            subscriptions: RwLock::new(Subscriptions::new(hasher)),
            retained: RwLock::new(Retained::default()),
        }
    }

    /// The same, with what waits booked in `memory`, and giving way as that says.
    #[must_use]
    pub fn with_memory(self, memory: Arc<Account>) -> Self {
        Self { memory, ..self }
    }

    #[must_use]
    pub fn memory(&self) -> &Arc<Account> {
        &self.memory
    }

    #[must_use]
    pub fn counters(&self) -> &EngineCounters {
        &self.counters
    }

    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The session's Topic Filters, for judging a kept session anew.
    #[must_use]
    pub fn subscriptions(&self, attached: &Attached) -> Vec<TopicFilter> {
        let subscriptions = self.subscriptions.read();
        let Some(state) = attached.lock() else { return Vec::new() };
        let texts = state.memberships.iter().map(|&membership| subscriptions.filter_text(membership));
        texts.filter_map(|text| TopicFilter::parse(&text).ok()).collect()
    }

    /// Delivers what waits for the session, as far as the outlet and the in-flight window take it: first the unacknowledged messages
    /// of earlier connections (DUP, original order, MQTT 5.0 §4.4), then the queue, then retained messages.
    ///
    /// To be called after CONNACK, after the SUBACK of each SUBSCRIBE, and whenever the outbox has room again after
    /// [`super::Delivered::Full`].
    pub fn pump(&self, now: Instant, attached: &Attached, round: &mut Round) -> Pumped {
        let mut flow = Flow::new(now, &self.config, &self.memory, &self.counters, round);
        let Some(mut state) = attached.lock() else { return Pumped::Done };
        state.outgoing.is_held = false;
        let pumped = state.outgoing.pump(&mut flow, &self.retained, VISITS_MAX);
        state.outgoing.book(&self.memory);
        drop(state);
        pumped
    }

    /// Delivers `message` to every session with a matching Subscription, and retains it if it says so.
    ///
    /// `from` is the publisher, for No Local; its connection has the turn to publish ([`Attached::publishing`]).
    pub fn publish(
        &self,
        now: Instant,
        from: Option<&mut Publishing<'_>>,
        message: &Arc<Message>,
        round: &mut Round,
    ) -> Published {
        let publisher = from.as_ref().map(|publishing| publishing.number);
        self.accept(now, publisher, from.map(Publishing::remembered), message, round)
    }

    /// Retains and delivers a message of the server's own, on a topic under `$SYS`: no client sent it, so it is not counted as
    /// received, and no limit of retained messages refuses it or shrinks by it.
    pub fn announce(&self, now: Instant, message: &Arc<Message>, round: &mut Round) {
        self.retain_and_route(now, None, None, message, round);
    }

    /// Counts, retains and routes a message from the session `publisher`, which may have `remembered` where the last one went.
    pub(super) fn accept(
        &self,
        now: Instant,
        publisher: Option<u64>,
        remembered: Option<&mut Remembered>,
        message: &Arc<Message>,
        round: &mut Round,
    ) -> Published {
        round.count_for(&self.counters);
        round.tally.messages_received += 1;
        Published { receivers: self.retain_and_route(now, publisher, remembered, message, round) }
    }

    /// Returns how many sessions it is for.
    fn retain_and_route(
        &self,
        now: Instant,
        publisher: Option<u64>,
        remembered: Option<&mut Remembered>,
        message: &Arc<Message>,
        round: &mut Round,
    ) -> usize {
        if message.retain {
            // Before routing: whoever subscribes meanwhile then finds it in one place or the other.
            self.retain(now, message);
        }
        let mut flow = Flow::new(now, &self.config, &self.memory, &self.counters, round);
        router::route(&self.subscriptions.read(), publisher, remembered, message, &mut flow)
    }

    fn retain(&self, now: Instant, message: &Arc<Message>) {
        let mut retained = self.retained.write();
        if retained.store(message, &self.config, now) == StoreOutcome::Refused {
            EngineCounters::add(&self.counters.retained_refused, 1);
        }
        self.show_retained(&retained);
    }

    pub(super) fn show_retained(&self, retained: &Retained) {
        EngineCounters::set(&self.counters.retained_messages, retained.len() as u64);
        EngineCounters::set(&self.counters.retained_bytes, retained.bytes() as u64);
    }

    /// Notes an incoming QoS 2 PUBLISH (MQTT 5.0 §4.3.3). True: it is the first of this Packet Identifier and is to be published;
    /// false: a duplicate that gets its PUBREC and nothing else.
    ///
    /// How many may be open is the caller's to hold: see [`Engine::receiving_count`].
    #[must_use]
    pub fn receive(&self, attached: &Attached, packet_id: PacketId) -> bool {
        let Some(mut state) = attached.lock() else { return false };
        let receiving = &mut state.outgoing.pending().receiving;
        match receiving.binary_search(&packet_id) {
            Ok(_) => false,
            Err(at) => {
                receiving.insert(at, packet_id);
                true
            }
        }
    }

    /// Whether an incoming QoS 2 message with this Packet Identifier waits for its PUBREL.
    #[must_use]
    pub fn is_receiving(&self, attached: &Attached, packet_id: PacketId) -> bool {
        attached.lock().is_some_and(|state| receiving(&state).binary_search(&packet_id).is_ok())
    }

    /// The Packet Identifiers of the incoming QoS 2 messages that wait for their PUBREL.
    #[must_use]
    pub fn unreleased(&self, attached: &Attached) -> Vec<PacketId> {
        attached.lock().map_or_else(Vec::new, |state| receiving(&state).to_vec())
    }

    /// Incoming QoS 2 messages that wait for their PUBREL, kept across reconnects.
    #[must_use]
    pub fn receiving_count(&self, attached: &Attached) -> usize {
        attached.lock().map_or(0, |state| receiving(&state).len())
    }

    /// An incoming PUBREL. Says whether its Packet Identifier was known (else PUBCOMP 0x92).
    pub fn release(&self, attached: &Attached, packet_id: PacketId) -> bool {
        let Some(mut state) = attached.lock() else { return false };
        let Some(pending) = &mut state.outgoing.pending else { return false };
        let found = pending.receiving.binary_search(&packet_id);
        found.map(|at| pending.receiving.remove(at)).is_ok()
    }

    /// Makes a Subscription, or replaces the one with the same Topic Filter.
    ///
    /// Its retained messages wait in the session for the next [`Engine::pump`], so that SUBACK can go first.
    ///
    /// # Errors
    /// [`SubscribeError::QuotaExceeded`]; nothing has changed then.
    pub fn subscribe(&self, attached: &Attached, request: SubscribeRequest) -> Result<(), SubscribeError> {
        self.subscribe_within(attached, request, usize::MAX)
    }

    /// The same for a session that may have so many Subscriptions, and no more than the engine's own limit. One that it has may be made
    /// anew all the same.
    ///
    /// # Errors
    /// As [`Engine::subscribe`].
    pub fn subscribe_within(
        &self,
        attached: &Attached,
        request: SubscribeRequest,
        subscriptions_max: usize,
    ) -> Result<(), SubscribeError> {
        let mut subscriptions = self.subscriptions.write();
        // Held until the Subscription is in the tree and in the session, or a session that ends meanwhile would leave it there.
        let Some(mut state) = attached.lock() else { return Ok(()) };
        let filter_bytes = request.filter.as_str().len();
        if !self.has_quota(&state, filter_bytes, subscriptions_max) {
            let membership = subscriptions.find(&request.filter);
            if !membership.is_some_and(|membership| state.memberships.contains(&membership)) {
                EngineCounters::add(&self.counters.subscriptions_refused, 1);
                return Err(SubscribeError::QuotaExceeded);
            }
        }
        let session = Arc::clone(&attached.session);
        let subscriber = Subscriber::new(session, request.options, request.identifier, request.check.is_some());
        let (membership, is_replaced) = subscriptions.insert(&request.filter, subscriber, request.check.clone());
        drop(subscriptions);
        if !is_replaced {
            state.memberships.push(membership);
            state.subscription_bytes += filter_bytes;
            EngineCounters::add(&self.counters.subscriptions, 1);
            EngineCounters::add(&self.counters.shared_subscriptions, u64::from(membership.is_shared()));
        }
        self.await_retained(&mut state, membership, is_replaced, request);
        Ok(())
    }

    fn has_quota(&self, state: &State, filter_bytes: usize, subscriptions_max: usize) -> bool {
        state.memberships.len() < self.config.subscriptions_max.min(subscriptions_max)
            && state.subscription_bytes + filter_bytes <= self.config.subscription_bytes_max
    }

    /// Puts the retained messages of a Subscription before the session, if Retain Handling asks for them (MQTT 5.0 §3.3.1.3).
    fn await_retained(&self, state: &mut State, membership: Membership, is_replaced: bool, request: SubscribeRequest) {
        let is_wanted = match request.options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => !is_replaced,
            RetainHandling::Never => false,
        };
        // Nothing retained is sent for a Shared Subscription (MQTT 5.0 §4.8.2).
        if !is_wanted || membership.is_shared() {
            return;
        }
        let (is_empty, stored_before) = {
            let retained = self.retained.read();
            (!retained.may_have(request.filter.as_str()), retained.stored_count())
        };
        if is_empty {
            return;
        }
        let backlog = &mut state.outgoing.pending().backlog;
        // Subscribing anew starts anew, and the list stays as short as that of the Subscriptions.
        backlog.retain(|other| other.membership != membership);
        backlog.push_back(Backlog {
            membership,
            filter: request.filter,
            maximum_qos: request.options.maximum_qos,
            identifier: request.identifier,
            check: request.check,
            stored_before,
            cursor: Cursor::default(),
        });
    }

    /// Removes a Subscription. Says whether there was one (else UNSUBACK 0x11).
    ///
    /// What waits is still sent, but for messages of a Shared Subscription that another connected member can have.
    pub fn unsubscribe(&self, now: Instant, attached: &Attached, filter: &TopicFilter, round: &mut Round) -> bool {
        let mut subscriptions = self.subscriptions.write();
        let Some(mut state) = attached.lock() else { return false };
        let Some(membership) = subscriptions.find(filter) else { return false };
        if !subscriptions.remove(membership, &attached.session) {
            return false;
        }
        drop(subscriptions);
        if let Some(at) = state.memberships.iter().position(|&present| present == membership) {
            state.memberships.swap_remove(at);
        }
        state.subscription_bytes -= filter.as_str().len();
        if let Some(pending) = &mut state.outgoing.pending {
            pending.backlog.retain(|backlog| backlog.membership != membership);
        }
        EngineCounters::sub(&self.counters.subscriptions, 1);
        EngineCounters::sub(&self.counters.shared_subscriptions, u64::from(membership.is_shared()));
        let has_shared = membership.is_shared() && state.outgoing.has_shared();
        drop(state);
        if has_shared {
            let leftovers = self.take_shared(&attached.session, |leftover| leftover.group == membership.group);
            self.hand_on(now, &leftovers, round);
        }
        true
    }

    /// What the client says about an outgoing message; then sends what waited for its place in the window, as [`Engine::pump`] does.
    ///
    /// `None`: the Packet Identifier was not known in that state (for PUBREC, PUBREL says 0x92).
    pub fn acknowledge(
        &self,
        now: Instant,
        attached: &Attached,
        packet_id: PacketId,
        acknowledgement: Acknowledgement,
        round: &mut Round,
    ) -> Option<Pumped> {
        let mut flow = Flow::new(now, &self.config, &self.memory, &self.counters, round);
        let mut state = attached.lock()?;
        let is_known = state.outgoing.acknowledge(&mut flow, packet_id, acknowledgement);
        let pumped = is_known.then(|| state.outgoing.pump(&mut flow, &self.retained, VISITS_MAX));
        state.outgoing.book(&self.memory);
        drop(state);
        pumped
    }
}

fn receiving(state: &State) -> &[PacketId] {
    state.outgoing.pending.as_ref().map_or(&[], |pending| &pending.receiving)
}
