//! Judging again what sessions hold, when what their owners may do has changed: the rest of [`Engine`].
//!
//! | What a session holds | is judged as | and if it is not granted any more |
//! |---|---|---|
//! | a Subscription, shared or not | SUBSCRIBE | goes, as UNSUBSCRIBE would have it; a connected client is told |
//! | retained messages that wait for it | their Subscription | are not sent |
//! | a message in the queue | its topic | is dropped, or goes to another member of its Shared Subscription |
//! | one sent on an earlier Network Connection | its topic | is never sent again ([`super::core::inflight`]) |
//! | one sent on the present one | not at all | the client has it; the handshake goes on |
//! | the Will | PUBLISH | is dropped |
//!
//! A grant that comes back is given back: a Subscription has the lower of what is granted at present and what its SUBACK said, which no
//! message may exceed (MQTT 5.0 [MQTT-3.8.4-8]). A Subscription that has gone stays gone. Reviewing twice changes nothing the second time.
//!
//! A review is cut into pieces of bounded work, between which others may have their turn. It needs not see what comes after it began:
//! that is for those to judge by the new rights who let it in.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::core::session::{Attached, Memberships, Session, State};
use super::core::subscriptions::Membership;
use super::counters::EngineCounters;
use super::handing_on::is_wanted;
use super::handle::Engine;
use super::message::{Grant, Message, Outlet, Owner, Rights, Round};
use crate::mqtt::{QoS, ReasonCode, TopicFilter};

/// What a review has taken from one session.
#[derive(Debug, Default)]
pub struct Lost {
    pub subscriptions: Vec<TopicFilter>,
    /// Subscriptions that are kept at a lower QoS, or with a residue that they had not.
    pub lessened_count: u64,
    /// Messages that no one gets.
    pub messages_count: u64,
    pub has_will: bool,
    /// The owner may not have a session: whoever is connected was asked to go.
    pub is_dismissed: bool,
}

impl Lost {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.subscriptions.is_empty()
            && self.lessened_count == 0
            && self.messages_count == 0
            && !self.has_will
            && !self.is_dismissed
    }
}

/// Where a review of all sessions stands.
#[derive(Debug, Default)]
pub struct Sweep {
    /// The last session that the sweep is for; later ones are judged by the new rights from the start.
    until: Option<u64>,
    /// The number to go on from.
    from: u64,
    ahead: VecDeque<Arc<Session>>,
    review: Option<Review>,
}

/// What a piece of a review has led to.
#[derive(Debug)]
pub enum Swept {
    /// There is more to do for the same session.
    Piece,
    /// A session has been reviewed.
    Session(Lost),
    /// All have.
    End,
}

/// The review of one session.
#[derive(Debug)]
struct Review {
    session: Arc<Session>,
    /// `None`: the owner may do nothing.
    rights: Option<Box<dyn Rights>>,
    /// Whether a connected client is told what it loses.
    tells: bool,
    /// Those that are still to be judged.
    memberships: Memberships,
    /// There once all Subscriptions are judged: what comes later comes by those that are left.
    judging: Option<Judging>,
    lost: Lost,
}

/// Messages of which those before `next` are judged.
#[derive(Debug)]
struct Judging {
    messages: Vec<Arc<Message>>,
    next: usize,
    /// By address: they live as long as `messages`.
    withdrawn: BTreeSet<usize>,
}

/// A Subscription as it is.
struct Held {
    membership: Membership,
    filter: TopicFilter,
    maximum_qos: QoS,
    told_qos: QoS,
    is_checked: bool,
}

/// A Subscription that does not stay as it is.
struct Change {
    held: Held,
    /// `None`: it goes.
    grant: Option<Grant>,
}

impl Engine {
    /// Does the next piece of a review of all sessions, connected or not.
    pub fn sweep(&self, now: Instant, sweep: &mut Sweep, round: &mut Round) -> Swept {
        if sweep.review.is_none() {
            sweep.review = self.next_session(sweep).map(|session| Review::new(session, true));
        }
        let Some(review) = &mut sweep.review else { return Swept::End };
        if !self.review_piece(now, review, round) {
            return Swept::Piece;
        }
        sweep.review.take().map_or(Swept::End, |review| Swept::Session(review.lost))
    }

    /// Reviews one session as a whole. `tells`: its client is told of each Subscription that it loses.
    pub fn review(&self, now: Instant, attached: &Attached, tells: bool, round: &mut Round) -> Lost {
        let mut review = Review::new(Arc::clone(&attached.session), tells);
        while !self.review_piece(now, &mut review, round) {}
        review.lost
    }

    /// The client has proven anew who it is: its session is judged as that from here on.
    pub fn set_owner(&self, attached: &Attached, owner: Arc<dyn Owner>) {
        if let Some(mut state) = attached.lock() {
            state.owner = owner;
        }
    }

    fn next_session(&self, sweep: &mut Sweep) -> Option<Arc<Session>> {
        if sweep.ahead.is_empty() {
            let directory = self.directory.lock();
            let until = *sweep.until.get_or_insert_with(|| directory.last_number());
            if sweep.from <= until {
                sweep.ahead.extend(directory.sessions_in(sweep.from..=until).take(SESSIONS_AT_ONCE).cloned());
            }
        }
        let session = sweep.ahead.pop_front()?;
        sweep.from = session.number() + 1;
        Some(session)
    }

    /// Says whether all is done.
    fn review_piece(&self, now: Instant, review: &mut Review, round: &mut Round) -> bool {
        if !review.memberships.is_empty() {
            let rest = review.memberships.len().saturating_sub(SUBSCRIPTIONS_AT_ONCE);
            let piece = review.memberships.drain(rest..).collect::<Memberships>();
            self.review_subscriptions(now, review, &piece, round);
            if rest > 0 {
                return false;
            }
        }
        let rights = review.rights.as_deref();
        let judging = review.judging.get_or_insert_with(|| Judging::of(&review.session.lock()));
        if !judging.judge(|message| rights.is_some_and(|rights| rights.receive(message.topic()))) {
            return false;
        }
        self.review_messages(now, review, round);
        self.review_will(review);
        if review.rights.is_none()
            && let Some(outlet) = review.outlet()
        {
            outlet.close(ReasonCode::NotAuthorized);
            review.lost.is_dismissed = true;
        }
        EngineCounters::add(&self.counters.sessions_reviewed, 1);
        true
    }

    fn review_subscriptions(&self, now: Instant, review: &mut Review, piece: &[Membership], round: &mut Round) {
        let changes = {
            let held = self.held(&review.session, piece);
            held.into_iter().filter_map(|held| review.change(held)).collect::<Vec<_>>()
        };
        if changes.is_empty() {
            return;
        }
        let mut dropped = Memberships::new();
        {
            let mut subscriptions = self.subscriptions.write();
            let mut state = review.session.lock();
            if state.has_ended() {
                return;
            }
            for Change { held, grant } in changes {
                // Its client may have unsubscribed meanwhile, and something else may lie in its place.
                if subscriptions.find(&held.filter) != Some(held.membership) {
                    continue;
                }
                match &grant {
                    Some(grant) if subscriptions.regrant(held.membership, &review.session, grant) => {
                        review.lost.lessened_count += u64::from(held.is_lessened_by(grant));
                    }
                    None if subscriptions.remove(held.membership, &review.session) => {
                        dropped.push(held.membership);
                        state.subscription_bytes -= held.filter.as_str().len();
                        if let Some(away) = &mut state.away {
                            away.revoked.push(held.filter.clone());
                        }
                        review.lost.subscriptions.push(held.filter);
                    }
                    _ => continue,
                }
                state.outgoing.regrant_backlog(held.membership, grant.as_ref());
            }
            state.memberships.retain(|membership| !dropped.contains(membership));
        }
        self.subscriptions_lost(now, review, &dropped, round);
    }

    /// What is to be judged of `piece`.
    fn held(&self, session: &Arc<Session>, piece: &[Membership]) -> Vec<Held> {
        let subscriptions = self.subscriptions.read();
        let held = piece.iter().filter_map(|&membership| {
            let subscriber = subscriptions.subscriber(membership, session)?;
            let filter = TopicFilter::parse(&subscriptions.filter_text(membership)).ok()?;
            let (maximum_qos, told_qos) = (subscriber.maximum_qos, subscriber.told_qos());
            Some(Held { membership, filter, maximum_qos, told_qos, is_checked: subscriber.is_checked() })
        });
        held.collect()
    }

    /// Counts and tells what was dropped, and hands on what waits by it.
    fn subscriptions_lost(&self, now: Instant, review: &Review, dropped: &[Membership], round: &mut Round) {
        if dropped.is_empty() {
            return;
        }
        let is_shared = |membership: &&Membership| membership.is_shared();
        EngineCounters::add(&self.counters.subscriptions_revoked, dropped.len() as u64);
        EngineCounters::sub(&self.counters.subscriptions, dropped.len() as u64);
        EngineCounters::sub(&self.counters.shared_subscriptions, dropped.iter().filter(is_shared).count() as u64);
        let has_left =
            |group: u32| dropped.iter().any(|membership| membership.is_shared() && membership.group == group);
        if dropped.iter().any(|membership| membership.is_shared()) && review.session.lock().outgoing.has_shared() {
            let leftovers = self.take_shared(&review.session, |leftover| has_left(leftover.group));
            self.hand_on(now, &leftovers, round);
        }
        // Who may not be here at all is told that.
        if let Some(outlet) = review.outlet().filter(|_| review.tells && review.rights.is_some()) {
            let told = &review.lost.subscriptions[review.lost.subscriptions.len() - dropped.len()..];
            for filter in told {
                round.note(&outlet, outlet.revoked(filter));
            }
        }
    }

    fn review_messages(&self, now: Instant, review: &mut Review, round: &mut Round) {
        let Some(judging) = review.judging.take().filter(|judging| !judging.withdrawn.is_empty()) else { return };
        let left = {
            let subscriptions = self.subscriptions.read();
            let mut state = review.session.lock();
            state.outgoing.withdraw(
                |message| judging.withdrawn.contains(&Arc::as_ptr(message).addr()),
                |leftover| is_wanted(&subscriptions, &review.session, leftover),
            )
        };
        review.lost.messages_count = left.dropped_count;
        EngineCounters::add(&self.counters.messages_revoked, left.dropped_count);
        self.hand_on(now, &left.leftovers, round);
    }

    fn review_will(&self, review: &mut Review) {
        let will = review.session.lock().will.as_ref().map(|will| Arc::clone(&will.message));
        let Some(will) = will else { return };
        if review.rights.as_ref().is_some_and(|rights| rights.publish_will(&will)) {
            return;
        }
        // When it was due is left as it is: nothing happens then.
        let taken = review.session.lock().will.take_if(|present| Arc::ptr_eq(&present.message, &will));
        review.lost.has_will = taken.is_some();
        EngineCounters::add(&self.counters.wills_revoked, u64::from(review.lost.has_will));
    }
}

impl Review {
    fn new(session: Arc<Session>, tells: bool) -> Self {
        let (owner, memberships) = {
            let state = session.lock();
            (Arc::clone(&state.owner), state.memberships.clone())
        };
        Self { rights: owner.rights(), session, tells, memberships, judging: None, lost: Lost::default() }
    }

    /// What becomes of a Subscription; `None`: it stays as it is.
    fn change(&self, held: Held) -> Option<Change> {
        let rights = self.rights.as_ref();
        let grant = rights.and_then(|rights| rights.subscribe(&held.filter, held.told_qos));
        let stays = grant
            .as_ref()
            .is_some_and(|grant| grant.maximum_qos == held.maximum_qos && grant.check.is_none() && !held.is_checked);
        (!stays).then_some(Change { held, grant })
    }

    /// Of the Network Connection, if there is one.
    fn outlet(&self) -> Option<Arc<dyn Outlet>> {
        self.session.lock().outgoing.outlet.clone()
    }
}

impl Held {
    fn is_lessened_by(&self, grant: &Grant) -> bool {
        grant.maximum_qos < self.maximum_qos || (grant.check.is_some() && !self.is_checked)
    }
}

impl Judging {
    fn of(state: &State) -> Self {
        Self { messages: state.outgoing.unsent_messages(), next: 0, withdrawn: BTreeSet::new() }
    }

    /// Judges some more. Says whether all are judged.
    fn judge(&mut self, may_receive: impl Fn(&Message) -> bool) -> bool {
        let end = (self.next + MESSAGES_AT_ONCE).min(self.messages.len());
        // Many messages wait for few topics, mostly.
        let mut last: Option<(&Message, bool)> = None;
        for message in &self.messages[self.next..end] {
            let is_same = |(other, _): &(&Message, bool)| other.topic_bytes() == message.topic_bytes();
            let may_receive = last.filter(is_same).map_or_else(|| may_receive(message), |(_, verdict)| verdict);
            last = Some((message, may_receive));
            if !may_receive {
                self.withdrawn.insert(Arc::as_ptr(message).addr());
            }
        }
        self.next = end;
        end == self.messages.len()
    }
}

/// Sessions looked up while the directory is locked.
const SESSIONS_AT_ONCE: usize = 64;

/// Subscriptions that one piece judges, and changes while the tree is locked.
const SUBSCRIPTIONS_AT_ONCE: usize = 64;

/// Messages that one piece judges.
const MESSAGES_AT_ONCE: usize = 256;
