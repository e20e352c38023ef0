//! How sessions come, go and are kept: the rest of [`Engine`].

use std::sync::Arc;
use std::time::Instant;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::core::directory::Directory;
use super::core::router::Leftover;
use super::core::session::{Attached, Away, DueWill, Memberships, Publisher, Session, State};
use super::counters::EngineCounters;
use super::handle::Engine;
use super::message::{Closing, OpenError, OpenSession, Outlet, Round};
use crate::mqtt::{ClientId, ReasonCode, TopicFilter};

/// A session that was opened.
#[derive(Debug)]
pub struct Opened {
    pub session: Attached,
    /// Session Present of CONNACK: whether earlier state goes on.
    pub session_present: bool,
    /// Subscriptions that the session lost while it was away.
    pub revoked: Vec<TopicFilter>,
}

/// What is to be done once the directory's lock is released.
#[derive(Debug, Default)]
struct Aftermath {
    /// Whose session another connection has taken over.
    taken_over: Option<Arc<dyn Outlet>>,
    wills: SmallVec<[DueWill; 1]>,
    ended: SmallVec<[(Arc<Session>, Memberships); 1]>,
    /// Messages of Shared Subscriptions for other members.
    leftovers: Vec<Leftover>,
    /// A session that lost its Network Connection while such were waiting in its queue.
    deserted: Option<Arc<Session>>,
}

impl Engine {
    /// Opens the session of a client, taking it over from another Network Connection if need be, whose outlet is closed with
    /// 0x8E Session taken over (MQTT 5.0 §3.1.4).
    ///
    /// Nothing is delivered before the first [`Engine::pump`], so that CONNACK can go first.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed then.
    pub fn open(&self, now: Instant, open: OpenSession, round: &mut Round) -> Result<Opened, OpenError> {
        let mut aftermath = Aftermath::default();
        let opened = self.open_in(&mut self.directory.lock(), now, open, &mut aftermath)?;
        EngineCounters::add(&self.counters.sessions_connected, 1);
        self.settle(now, aftermath, round);
        Ok(opened)
    }

    fn open_in(
        &self,
        directory: &mut Directory,
        now: Instant,
        open: OpenSession,
        aftermath: &mut Aftermath,
    ) -> Result<Opened, OpenError> {
        match directory.find(&open.client_id).cloned() {
            Some(session) => {
                let mut publisher = session.lock_publisher();
                let state = session.lock();
                if state.owner.name() != open.owner.name() && !state.is_over(now) {
                    return Err(OpenError::OwnedByAnother);
                }
                // A session that is not kept ends with its Network Connection, so its state is not for the next one.
                let is_kept = !state.kept_for(&self.config).is_zero() && !state.is_over(now);
                if is_kept && !open.clean_start {
                    return Ok(self.resume(directory, now, &session, (&mut publisher, state), open, aftermath));
                }
                publisher.generation = NOBODY;
                self.end(directory, &session, state, aftermath);
            }
            None if directory.len() >= self.config.sessions_max => {
                EngineCounters::add(&self.counters.sessions_refused, 1);
                return Err(OpenError::SessionsFull);
            }
            None => {}
        }
        let session = Arc::new(Session::new(directory.next_number(), open, &self.config));
        directory.insert(Arc::clone(&session));
        EngineCounters::add(&self.counters.sessions, 1);
        let generation = session.lock().generation();
        Ok(Opened { session: Attached { session, generation }, session_present: false, revoked: Vec::new() })
    }

    fn resume(
        &self,
        directory: &mut Directory,
        now: Instant,
        session: &Arc<Session>,
        (publisher, mut state): (&mut Publisher, MutexGuard<'_, State>),
        open: OpenSession,
        aftermath: &mut Aftermath,
    ) -> Opened {
        directory.unschedule(session, &state);
        let was_connected = state.away.is_none();
        // A delayed Will is not published once the session goes on [MQTT-3.1.3-9], unless its time had come and only no tick had; one
        // without delay is due with the connection's end.
        let is_due = state.away.as_ref().and_then(|away| away.will_at).is_some_and(|will_at| will_at <= now);
        let will = session.take_will(&mut state).filter(|due| due.will.delay_interval_s == 0 || is_due);
        aftermath.wills.extend(will);
        if was_connected {
            let (outlet, left) = session.detach(&mut state);
            EngineCounters::add(&self.counters.dropped_offline, left.dropped_count);
            aftermath.leftovers.extend(left.leftovers);
            self.taken_over(outlet, aftermath);
        }
        let revoked = state.away.as_mut().map(|away| std::mem::take(&mut away.revoked)).unwrap_or_default();
        let generation = session.attach(publisher, &mut state, open, &self.config);
        Opened { session: Attached { session: Arc::clone(session), generation }, session_present: true, revoked }
    }

    fn taken_over(&self, outlet: Option<Arc<dyn Outlet>>, aftermath: &mut Aftermath) {
        if outlet.is_some() {
            EngineCounters::add(&self.counters.takeovers, 1);
            EngineCounters::sub(&self.counters.sessions_connected, 1);
        }
        aftermath.taken_over = outlet;
    }

    /// Ends `session`, whose Will is then due at once (MQTT 5.0 §3.1.3.2.2). If it has a Network Connection, that was taken over.
    fn end(
        &self,
        directory: &mut Directory,
        session: &Arc<Session>,
        mut state: MutexGuard<'_, State>,
        aftermath: &mut Aftermath,
    ) {
        directory.unschedule(session, &state);
        directory.remove(session);
        let ended = session.end(&mut state);
        drop(state);
        self.taken_over(ended.outlet, aftermath);
        aftermath.wills.extend(ended.will);
        aftermath.ended.push((Arc::clone(session), ended.memberships));
        EngineCounters::sub(&self.counters.sessions, 1);
        EngineCounters::add(&self.counters.dropped_session_ended, ended.left.dropped_count);
        aftermath.leftovers.extend(ended.left.leftovers);
    }

    /// The Network Connection has closed: ends the session or keeps it, and sees to its Will.
    pub fn close(&self, now: Instant, attached: Attached, closing: Closing, round: &mut Round) {
        let mut aftermath = Aftermath::default();
        let mut directory = self.directory.lock();
        let Some(mut state) = attached.lock() else { return };
        EngineCounters::sub(&self.counters.sessions_connected, 1);
        let session = &attached.session;
        let (_, left) = session.detach(&mut state);
        EngineCounters::add(&self.counters.dropped_offline, left.dropped_count);
        aftermath.leftovers.extend(left.leftovers);
        if let Some(expiry_interval_s) = closing.expiry_interval_s {
            state.set_expiry_interval(expiry_interval_s);
        }
        if !closing.publish_will {
            state.will = None;
        }
        let kept_for = state.kept_for(&self.config);
        if kept_for.is_zero() {
            self.end(&mut directory, session, state, &mut aftermath);
        } else {
            if state.will.as_ref().is_some_and(|will| will.delay_interval_s == 0) {
                aftermath.wills.extend(session.take_will(&mut state));
            }
            let will_delay = state.will.as_ref().map(|will| will.delay_interval_s);
            let will_at = will_delay.map(|delay_s| now + std::time::Duration::from_secs(delay_s.into()));
            state.away = Some(Box::new(Away { ends_at: now + kept_for, will_at, revoked: Vec::new() }));
            directory.schedule(session, &state);
            aftermath.deserted = state.outgoing.has_shared().then(|| Arc::clone(session));
            drop(state);
        }
        drop(directory);
        self.settle(now, aftermath, round);
    }

    /// Ends sessions whose time has come and publishes delayed Wills. To be called about every 250 ms.
    pub fn tick(&self, now: Instant, round: &mut Round) {
        for _ in 0..DUE_MAX / DUE_AT_ONCE {
            let mut aftermath = Aftermath::default();
            let has_more = self.take_due(now, &mut aftermath);
            self.settle(now, aftermath, round);
            if !has_more {
                break;
            }
        }
        let mut retained = self.retained.write();
        if retained.sweep(now, SWEPT_AT_ONCE) > 0 {
            self.show_retained(&retained);
        }
    }

    /// Sees to some of the sessions that are due. Says whether more may be.
    fn take_due(&self, now: Instant, aftermath: &mut Aftermath) -> bool {
        let mut directory = self.directory.lock();
        for _ in 0..DUE_AT_ONCE {
            let Some(session) = directory.first_due(now) else { return false };
            let mut state = session.lock();
            if state.is_over(now) {
                EngineCounters::add(&self.counters.sessions_expired, 1);
                self.end(&mut directory, &session, state, aftermath);
                continue;
            }
            directory.unschedule(&session, &state);
            aftermath.wills.extend(session.take_will(&mut state));
            if let Some(away) = &mut state.away {
                away.will_at = None;
            }
            directory.schedule(&session, &state);
        }
        true
    }

    /// Does what needs locks other than the directory's.
    fn settle(&self, now: Instant, aftermath: Aftermath, round: &mut Round) {
        if let Some(outlet) = aftermath.taken_over {
            outlet.close(ReasonCode::SessionTakenOver);
        }
        for (session, memberships) in aftermath.ended.iter().filter(|(_, memberships)| !memberships.is_empty()) {
            let mut subscriptions = self.subscriptions.write();
            for &membership in memberships {
                subscriptions.remove(membership, session);
            }
            let shared_count = memberships.iter().filter(|membership| membership.is_shared()).count();
            EngineCounters::sub(&self.counters.subscriptions, memberships.len() as u64);
            EngineCounters::sub(&self.counters.shared_subscriptions, shared_count as u64);
        }
        let mut leftovers = aftermath.leftovers;
        if let Some(session) = aftermath.deserted {
            leftovers.extend(self.take_shared(&session, |_| !session.is_connected()));
        }
        self.hand_on(now, &leftovers, round);
        for due in aftermath.wills {
            self.publish_will(now, due, round);
        }
    }

    /// Publishes a Will, if its owner may still do so: long may have passed since it was made.
    fn publish_will(&self, now: Instant, due: DueWill, round: &mut Round) {
        let DueWill { number, owner, will } = due;
        if !owner.rights().is_some_and(|rights| rights.publish_will(&will.message)) {
            return EngineCounters::add(&self.counters.wills_revoked, 1);
        }
        EngineCounters::add(&self.counters.wills_published, 1);
        let expiry = will.message_expiry_interval_s.map(|expiry_s| std::time::Duration::from_secs(expiry_s.into()));
        let message = match expiry {
            None => Arc::clone(&will.message),
            Some(expiry) => Arc::new(will.message.with_expiry(Some(now + expiry))),
        };
        self.accept(now, Some(number), None, &message, round);
    }

    /// Whether `owner` may open a session of this name: there is none, or it is the owner's own.
    #[must_use]
    pub fn is_available(&self, now: Instant, client_id: &ClientId, owner: &str) -> bool {
        let session = self.directory.lock().find(client_id).cloned();
        session.is_none_or(|session| {
            let state = session.lock();
            state.owner.name() == owner || state.is_over(now)
        })
    }

    /// Asks the Network Connection of `client_id` to tell its client `reason` and to close; `false` if there is none.
    pub fn dismiss(&self, client_id: &ClientId, reason: ReasonCode) -> bool {
        let session = self.directory.lock().find(client_id).cloned();
        let outlet = session.and_then(|session| session.lock().outgoing.outlet.clone());
        let is_connected = outlet.is_some();
        if let Some(outlet) = outlet {
            outlet.close(reason);
        }
        is_connected
    }
}

/// A generation that no Network Connection has, as the first is 1.
const NOBODY: u32 = 0;

/// Sessions that one tick sees to at most; the rest follows at the next.
const DUE_MAX: usize = 8192;

/// Sessions seen to while the directory is locked.
const DUE_AT_ONCE: usize = 64;

/// Retained messages that a tick looks at for expired ones.
const SWEPT_AT_ONCE: usize = 512;
