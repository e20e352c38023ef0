//! What the sessions are owed, told in the plainest way: lists, and a look at every filter for every message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::revocation::Denial;
use super::shared::{Eligible, Losses, SharedDues};
use super::world::{Copy, Sent};
use crate::engine::message::{Acknowledgement, SubscribeRequest};
use crate::mqtt::packet::RetainHandling;
use crate::mqtt::{QoS, topic};

#[derive(Debug)]
pub(super) struct Ledger {
    now: Instant,
    sessions: BTreeMap<&'static str, Session>,
    /// By topic, NUL for `/`, which is the order they are sent in.
    retained: BTreeMap<String, Retained>,
    sessions_made: u64,
    /// Counts publications, Wills included.
    sequence: u64,
    losses: Losses,
    shared: SharedDues,
    /// Copies that sessions and groups were entitled to by publications.
    pub(super) entitled_count: u64,
    pub(super) live_sent_count: u64,
    pub(super) retained_sent_count: u64,
    /// How many of the live ones may have been retained ones.
    pub(super) ambiguous_count: u64,
    /// Unacknowledged messages of sessions when they ended: sent, and counted as dropped as well.
    pub(super) ended_in_flight_count: u64,
    /// Messages that no member of a group was entitled to see.
    pub(super) denied_count: u64,
}

/// From this payload size on, the client [`SMALL`] takes nothing.
pub(super) const LARGE: usize = 20;
pub(super) const SMALL: &str = "small";

/// A Will: published under its number as payload.
#[derive(Clone, Debug)]
pub(super) struct Will {
    pub(super) number: u32,
    pub(super) topic: &'static str,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) delay_s: u32,
    pub(super) expiry_s: Option<u32>,
}

#[derive(Clone, Debug)]
struct Retained {
    topic: &'static str,
    payload: String,
    qos: QoS,
    expires_at: Option<Instant>,
    sequence: u64,
    /// In a backlog: whether a copy that was taken for a live one may have been this.
    may_be_here: bool,
}

#[derive(Debug)]
struct Session {
    number: u64,
    is_connected: bool,
    /// Whether the transport is gone and the engine does not know.
    is_broken: bool,
    /// Until the first pump nothing may be sent.
    is_held: bool,
    expiry_s: u32,
    ends_at: Option<Instant>,
    will: Option<Will>,
    will_at: Option<Instant>,
    window: usize,
    subscriptions: BTreeMap<String, SubscribeRequest>,
    /// The Shared Subscriptions it ever had, each with the last publication before it was removed, if it was.
    shared: BTreeMap<String, (SubscribeRequest, Option<u64>)>,
    /// Live copies that were not yet sent, by publication.
    due: BTreeMap<u64, Due>,
    last_sent_sequence: u64,
    /// The same for each topic, where topics conflate.
    last_sent_by_topic: BTreeMap<String, u64>,
    /// Retained messages of new Subscriptions.
    backlogs: VecDeque<Backlog>,
    /// Sent and unacknowledged, in the order in which they were first sent.
    in_flight: Vec<InFlight>,
    receiving: BTreeSet<u16>,
    /// Topic Filters of which its client is to be told that they are revoked.
    told: BTreeSet<String>,
    /// The same while nobody is there.
    revoked: BTreeSet<String>,
}

#[derive(Debug)]
struct Due {
    copy: Copy,
    expires_at: Option<Instant>,
    is_too_large: bool,
}

#[derive(Debug)]
struct Backlog {
    request: SubscribeRequest,
    entries: VecDeque<Retained>,
}

#[derive(Debug)]
struct InFlight {
    packet_id: u16,
    copy: Copy,
    owed: Owed,
    was_sent_here: bool,
    /// The number of its [`SharedDues`], if it came by a Shared Subscription.
    shared: Option<u64>,
}

/// What the client owes for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "they are the packets' names")]
pub(super) enum Owed {
    PubAck,
    PubRec,
    PubComp,
}

pub(super) struct Publication<'a> {
    pub(super) from: Option<&'static str>,
    pub(super) topic: &'static str,
    pub(super) payload: &'a str,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) expires_at: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(now: Instant, losses: Losses) -> Self {
        Self {
            now,
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            sessions_made: 0,
            sequence: 0,
            losses,
            shared: SharedDues::default(),
            entitled_count: 0,
            live_sent_count: 0,
            retained_sent_count: 0,
            ambiguous_count: 0,
            ended_in_flight_count: 0,
            denied_count: 0,
        }
    }

    /// Whether there is a session that still belongs to its owner.
    pub(super) fn has_session(&self, client_id: &str) -> bool {
        self.sessions.get(client_id).is_some_and(|session| session.ends_at.is_none_or(|ends_at| ends_at > self.now))
    }

    /// Another owner came and went, after the session's time was over.
    pub(super) fn forget(&mut self, client_id: &'static str) {
        if let Some(will) = self.end(client_id) {
            self.publish_will(client_id, &will);
        }
        self.sessions_made += 1;
    }

    /// Says whether the session goes on.
    pub(super) fn open(
        &mut self,
        client_id: &'static str,
        clean_start: bool,
        expiry_s: u32,
        window: usize,
        will: Option<Will>,
    ) -> bool {
        let goes_on = !clean_start
            && self.has_session(client_id)
            && self.sessions.get(client_id).is_some_and(|session| session.expiry_s > 0);
        let mut old_will = None;
        if !goes_on {
            old_will = self.end(client_id);
            self.sessions_made += 1;
            self.sessions.insert(client_id, Session::new(self.sessions_made));
        }
        let Some(session) = self.sessions.get_mut(client_id) else { return false };
        if goes_on {
            let is_due = session.will_at.is_some_and(|will_at| will_at <= self.now);
            old_will = session.will.take().filter(|will| will.delay_s == 0 || is_due);
        }
        if goes_on && session.is_connected {
            session.disconnect();
        }
        session.is_connected = true;
        session.is_broken = false;
        session.is_held = true;
        session.expiry_s = expiry_s;
        session.window = window;
        session.will = will;
        (session.ends_at, session.will_at) = (None, None);
        if let Some(will) = old_will {
            self.publish_will(client_id, &will);
        }
        goes_on
    }

    pub(super) fn close(&mut self, client_id: &'static str, publish_will: bool, expiry_s: Option<u32>) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        session.disconnect();
        session.is_connected = false;
        session.expiry_s = expiry_s.unwrap_or(session.expiry_s);
        session.will = session.will.take().filter(|_| publish_will);
        let seconds = |count: u32| Duration::from_secs(count.into());
        let mut will = None;
        if session.expiry_s == 0 {
            will = self.end(client_id);
        } else {
            session.ends_at = Some(now + seconds(session.expiry_s));
            match session.will.as_ref().map(|will| will.delay_s) {
                Some(0) => will = session.will.take(),
                Some(delay_s) => session.will_at = Some(now + seconds(delay_s)),
                None => {}
            }
        }
        if let Some(will) = will {
            self.publish_will(client_id, &will);
        }
    }

    /// The transport of `client_id` is gone without a word.
    pub(super) fn break_transport(&mut self, client_id: &str) {
        if let Some(session) = self.sessions.get_mut(client_id) {
            session.is_broken = true;
        }
    }

    /// Ends the session. Returns its Will, which is due then.
    fn end(&mut self, client_id: &'static str) -> Option<Will> {
        let session = self.sessions.remove(client_id)?;
        self.ended_in_flight_count += session.in_flight.len() as u64;
        for entry in &session.in_flight {
            if let Some(number) = entry.shared {
                self.shared.session_ended(number, entry.owed == Owed::PubAck);
            }
        }
        session.will
    }

    fn publish_will(&mut self, client_id: &'static str, will: &Will) {
        self.publish(&Publication {
            from: Some(client_id),
            topic: will.topic,
            payload: &will.number.to_string(),
            qos: will.qos,
            retain: will.retain,
            expires_at: will.expiry_s.map(|seconds| self.now + Duration::from_secs(seconds.into())),
        });
    }

    /// Time passes without a tick: what is due stays as it is for the time being.
    pub(super) fn pass_time_unseen(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    pub(super) fn pass_time(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        let now = self.now;
        let mut due = Vec::new();
        for (client_id, session) in &self.sessions {
            let next = [session.ends_at, session.will_at].into_iter().flatten().min();
            if let Some(due_at) = next.filter(|due_at| *due_at <= now) {
                due.push((due_at, session.number, *client_id));
            }
        }
        due.sort();
        let mut wills = Vec::new();
        for (_, _, client_id) in due {
            let Some(session) = self.sessions.get_mut(client_id) else { continue };
            let is_over = session.ends_at.is_some_and(|ends_at| ends_at <= now);
            session.will_at = None;
            let will = if is_over { self.end(client_id) } else { session.will.take() };
            wills.extend(will.map(|will| (client_id, will)));
        }
        for (client_id, will) in wills {
            self.publish_will(client_id, &will);
        }
        self.retained.retain(|_, retained| retained.expires_at.is_none_or(|at| at > now));
    }

    /// Says how many sessions get it.
    pub(super) fn publish(&mut self, publication: &Publication<'_>) -> usize {
        self.sequence += 1;
        if publication.retain {
            let key = publication.topic.replace('/', "\0");
            if publication.payload.is_empty() {
                self.retained.remove(&key);
            } else {
                let retained = Retained {
                    topic: publication.topic,
                    payload: publication.payload.to_owned(),
                    qos: publication.qos,
                    expires_at: publication.expires_at,
                    sequence: self.sequence,
                    may_be_here: false,
                };
                self.retained.insert(key, retained);
            }
        }
        let mut receivers = 0;
        for (client_id, session) in &mut self.sessions {
            let Some(copy) = session.copy_of(client_id, publication) else { continue };
            receivers += 1;
            self.entitled_count += 1;
            if copy.qos == 0 && !session.is_connected {
                continue;
            }
            let is_too_large = *client_id == SMALL && copy.payload.len() >= LARGE;
            session.due.insert(self.sequence, Due { copy, expires_at: publication.expires_at, is_too_large });
        }
        receivers + self.share(publication)
    }

    /// Notes what the groups are owed. Says how many there are.
    fn share(&mut self, publication: &Publication<'_>) -> usize {
        let requests = self.sessions.values().flat_map(|session| session.subscriptions.values());
        let shared = requests.filter(|request| request.filter.share_name().is_some());
        let matching = shared.filter(|request| topic::matches(request.filter.filter(), publication.topic));
        let texts = matching.map(|request| request.filter.as_str().to_owned()).collect::<BTreeSet<_>>();
        let mut receivers = 0;
        for text in texts {
            if eligible(&self.sessions, &text, publication.topic).count == 0 {
                self.denied_count += 1;
                continue;
            }
            receivers += 1;
            self.entitled_count += 1;
            self.shared.add(&text, self.sequence, publication, publication.payload.len() >= LARGE);
        }
        receivers
    }

    /// To be called after each operation, before what it sent is shown.
    pub(super) fn review(&mut self) {
        let sessions = &self.sessions;
        self.shared.review(self.losses, |text, topic| eligible(sessions, text, topic));
    }

    pub(super) fn subscribe(&mut self, client_id: &str, request: &SubscribeRequest) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let text = request.filter.as_str().to_owned();
        let is_new = session.subscriptions.insert(text.clone(), request.clone()).is_none();
        if request.filter.share_name().is_some() {
            // Nothing retained is sent for it.
            session.shared.insert(text, (request.clone(), None));
            return;
        }
        let is_wanted = match request.options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => is_new,
            RetainHandling::Never => false,
        };
        if is_wanted && !self.retained.is_empty() {
            session.backlogs.retain(|backlog| backlog.request.filter != request.filter);
            let matching = self.retained.values().filter(|retained| topic::matches(&text, retained.topic));
            session.backlogs.push_back(Backlog { request: request.clone(), entries: matching.cloned().collect() });
        }
    }

    pub(super) fn unsubscribe(&mut self, client_id: &str, text: &str) -> bool {
        let Some(session) = self.sessions.get_mut(client_id) else { return false };
        session.backlogs.retain(|backlog| backlog.request.filter.as_str() != text);
        if let Some((_, left_at)) = session.shared.get_mut(text).filter(|(_, left_at)| left_at.is_none()) {
            *left_at = Some(self.sequence);
        }
        session.subscriptions.remove(text).is_some()
    }

    /// Every session was reviewed under `denial`.
    pub(super) fn revoke(&mut self, denial: Denial) {
        if let Some(text) = denial.filter {
            for client_id in self.sessions.keys().copied().collect::<Vec<_>>() {
                let was_there = self.unsubscribe(client_id, text);
                let Some(session) = self.sessions.get_mut(client_id).filter(|_| was_there) else { continue };
                match (session.is_connected, session.is_broken) {
                    (true, true) => {}
                    (true, false) => drop(session.told.insert(text.to_owned())),
                    (false, _) => drop(session.revoked.insert(text.to_owned())),
                }
            }
        }
        let Some(topic) = denial.topic else { return };
        let sessions = &self.sessions;
        self.shared.withdraw(topic, |text| eligible(sessions, text, topic));
        for session in self.sessions.values_mut() {
            session.due.retain(|_, due| due.copy.topic != topic);
            session.will = session.will.take().filter(|will| will.topic != topic);
            // What was sent on this connection is with the client.
            session.in_flight.retain_mut(|entry| {
                if entry.was_sent_here || entry.owed == Owed::PubComp || entry.copy.topic != topic {
                    return true;
                }
                self.ended_in_flight_count += 1;
                if let Some(number) = entry.shared.take() {
                    self.shared.session_ended(number, entry.owed == Owed::PubAck);
                }
                let has_release = entry.owed == Owed::PubRec;
                entry.owed = Owed::PubComp;
                has_release
            });
        }
    }

    /// What the session lost while nobody was there.
    pub(super) fn take_revoked(&mut self, client_id: &str) -> Vec<String> {
        let revoked = self.sessions.get_mut(client_id).map(|session| std::mem::take(&mut session.revoked));
        revoked.into_iter().flatten().collect()
    }

    pub(super) fn pump(&mut self, client_id: &str) {
        if let Some(session) = self.sessions.get_mut(client_id) {
            session.is_held = false;
        }
    }

    pub(super) fn receive(&mut self, client_id: &str, packet_id: u16) -> bool {
        self.sessions.get_mut(client_id).is_some_and(|session| session.receiving.insert(packet_id))
    }

    pub(super) fn release(&mut self, client_id: &str, packet_id: u16) -> bool {
        self.sessions.get_mut(client_id).is_some_and(|session| session.receiving.remove(&packet_id))
    }

    pub(super) fn receiving_count(&self, client_id: &str) -> usize {
        self.sessions.get(client_id).map_or(0, |session| session.receiving.len())
    }

    /// Messages that the client has, with what it owes for each, in their order.
    pub(super) fn open_handshakes(&self, client_id: &str) -> Vec<(u16, Owed)> {
        let Some(session) = self.sessions.get(client_id) else { return Vec::new() };
        let here = session.in_flight.iter().filter(|entry| entry.was_sent_here);
        here.map(|entry| (entry.packet_id, entry.owed)).collect()
    }

    /// Whether the Packet Identifier is that of a message on its way to the client, sent on this connection or an earlier one.
    pub(super) fn uses(&self, client_id: &str, packet_id: u16) -> bool {
        let session = self.sessions.get(client_id);
        session.is_some_and(|session| session.in_flight.iter().any(|entry| entry.packet_id == packet_id))
    }

    pub(super) fn acknowledge(&mut self, client_id: &str, packet_id: u16, what: Acknowledgement) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let in_flight = &mut session.in_flight;
        let Some(index) = in_flight.iter().position(|entry| entry.packet_id == packet_id) else { return };
        if what == Acknowledgement::PubRec {
            in_flight[index].owed = Owed::PubComp;
        } else if let Some(number) = in_flight.remove(index).shared {
            self.shared.acknowledged(number);
        }
    }

    /// Judges what the outlet of `client_id` was given.
    pub(super) fn observe(&mut self, client_id: &str, sent: &Sent) {
        let session = self.sessions.get_mut(client_id).expect("only sessions send");
        if let Sent::Revoked(filter) = sent {
            assert!(session.told.remove(filter), "{client_id} was told that {filter} is gone");
            return;
        }
        let may_send = session.is_connected && !session.is_held && !session.is_broken;
        assert!(may_send, "{client_id} was sent {sent:?} too early, or too late");
        match sent {
            Sent::PubRel(packet_id) => {
                let entry = session.in_flight.iter_mut().find(|entry| entry.packet_id == *packet_id);
                let entry = entry.expect("PUBREL for a message in flight");
                assert_eq!(entry.owed, Owed::PubComp, "PUBREL only after PUBREC");
                entry.was_sent_here = true;
            }
            Sent::Revoked(_) => unreachable!("seen to above"),
            Sent::Publish(copy) if copy.dup => session.observe_redelivery(copy),
            Sent::Publish(copy) => {
                session.observe_packet_id(copy);
                let copy = Copy { packet_id: None, ..copy.clone() };
                if let Some((request, left_at)) = session.shared_of(&copy) {
                    let number = self.shared.take(&copy, &request, left_at, self.now);
                    if let Some(entry) = session.in_flight.last_mut().filter(|_| copy.qos > 0) {
                        entry.shared = number;
                    }
                    self.live_sent_count += 1;
                } else if session.take_due(&copy, self.now, self.losses) {
                    self.live_sent_count += 1;
                    self.ambiguous_count += u64::from(session.excuse_backlog(&copy, self.now, &self.retained));
                } else {
                    session.take_backlog(&copy, self.now, &self.retained);
                    self.retained_sent_count += 1;
                }
            }
        }
        let unacknowledged =
            session.in_flight.iter().filter(|entry| entry.was_sent_here && entry.owed != Owed::PubComp);
        assert!(unacknowledged.count() <= session.window, "within the client's Receive Maximum");
    }

    /// The client has read and acknowledged everything: nothing promised may be left.
    pub(super) fn check_nothing_owing(&mut self, client_id: &str) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        assert!(session.in_flight.is_empty(), "all in flight was sent again");
        if !self.losses.queues_may_overflow {
            let now = self.now;
            let lost = match self.losses.topics_may_conflate {
                false => session.due.values().find(|due| due.is_promised(now)),
                true => session.lost_without_a_successor(now),
            };
            assert!(lost.is_none(), "{client_id} never got {:?}", lost.map(|due| &due.copy));
        }
        session.due.clear();
        assert!(session.told.is_empty(), "{client_id} was told of everything it lost");
        while let Some(backlog) = session.backlogs.pop_front() {
            let is_left = |entry: &&Retained| entry.is_current(&self.retained, self.now) && !entry.may_be_here;
            let left = backlog.entries.iter().find(is_left);
            assert!(left.is_none(), "{client_id} never got what is retained for {:?}", left.map(|entry| entry.topic));
        }
    }

    /// Everybody who is connected has read and acknowledged everything; `waiting`: what the engine keeps by Shared Subscriptions for the
    /// others, by payload.
    pub(super) fn check_shared(&self, waiting: BTreeMap<String, usize>) {
        self.shared.check_waiting(waiting, self.now);
    }
}

/// Who of the group `text` may see `topic`.
fn eligible(sessions: &BTreeMap<&'static str, Session>, text: &str, topic: &str) -> Eligible {
    let mut found = Eligible { count: 0, live_count: 0, lowest_qos: QoS::ExactlyOnce };
    for session in sessions.values() {
        let Some(request) = session.subscriptions.get(text) else { continue };
        if request.check.as_ref().is_some_and(|check| !check.allows(topic)) {
            continue;
        }
        found.count += 1;
        found.live_count += usize::from(session.is_connected && !session.is_broken);
        found.lowest_qos = found.lowest_qos.min(request.options.maximum_qos);
    }
    found
}

impl Retained {
    fn as_seen_by(&self, request: &SubscribeRequest) -> Copy {
        Copy {
            topic: self.topic.to_owned(),
            payload: self.payload.clone(),
            qos: self.qos.min(request.options.maximum_qos) as u8,
            retain: true,
            dup: false,
            packet_id: None,
            identifiers: request.identifier.map(|identifier| identifier.get()).into_iter().collect(),
        }
    }

    /// Whether it is still what is retained for its topic.
    fn is_current(&self, retained: &BTreeMap<String, Self>, now: Instant) -> bool {
        self.expires_at.is_none_or(|at| at > now)
            && retained.get(&self.topic.replace('/', "\0")).is_some_and(|present| present.sequence == self.sequence)
    }
}

impl Due {
    /// Whether it must still arrive.
    fn is_promised(&self, now: Instant) -> bool {
        self.copy.qos > 0 && !self.is_too_large && self.expires_at.is_none_or(|at| at > now)
    }
}

impl Session {
    fn new(number: u64) -> Self {
        Self {
            number,
            is_connected: false,
            is_broken: false,
            is_held: false,
            expiry_s: 0,
            ends_at: None,
            will: None,
            will_at: None,
            window: 0,
            subscriptions: BTreeMap::new(),
            shared: BTreeMap::new(),
            due: BTreeMap::new(),
            last_sent_sequence: 0,
            last_sent_by_topic: BTreeMap::new(),
            backlogs: VecDeque::new(),
            in_flight: Vec::new(),
            receiving: BTreeSet::new(),
            told: BTreeSet::new(),
            revoked: BTreeSet::new(),
        }
    }

    /// What this session is to see of `publication`.
    fn copy_of(&self, client_id: &str, publication: &Publication<'_>) -> Option<Copy> {
        let matching = self.subscriptions.values().filter(|request| {
            request.filter.share_name().is_none()
                && topic::matches(request.filter.as_str(), publication.topic)
                && !(request.options.no_local && publication.from == Some(client_id))
        });
        let matching = matching.collect::<Vec<_>>();
        let maximum_qos = matching.iter().map(|request| request.options.maximum_qos).max()?;
        let mut identifiers = matching
            .iter()
            .filter_map(|request| request.identifier)
            .map(|identifier| identifier.get())
            .collect::<Vec<_>>();
        identifiers.sort_unstable();
        Some(Copy {
            topic: publication.topic.to_owned(),
            payload: publication.payload.to_owned(),
            qos: publication.qos.min(maximum_qos) as u8,
            retain: publication.retain && matching.iter().any(|request| request.options.retain_as_published),
            dup: false,
            packet_id: None,
            identifiers,
        })
    }

    /// The Shared Subscription by which `copy` came: each has a Subscription Identifier that no other one has.
    fn shared_of(&self, copy: &Copy) -> Option<(SubscribeRequest, Option<u64>)> {
        let [identifier] = copy.identifiers[..] else { return None };
        let is_it = |request: &SubscribeRequest| request.identifier.is_some_and(|own| own.get() == identifier);
        self.shared.values().find(|(request, _)| is_it(request)).cloned()
    }

    /// The Network Connection is gone: QoS 0 goes with it, the rest stays.
    fn disconnect(&mut self) {
        self.due.retain(|_, due| due.copy.qos > 0);
        self.backlogs.retain(|backlog| backlog.request.options.maximum_qos != QoS::AtMostOnce);
        for entry in &mut self.in_flight {
            entry.was_sent_here = false;
        }
    }

    fn observe_redelivery(&mut self, copy: &Copy) {
        let index = self.in_flight.iter().position(|entry| Some(entry.packet_id) == copy.packet_id);
        let index = index.expect("DUP only for what was sent before");
        assert!(self.in_flight[..index].iter().all(|entry| entry.was_sent_here), "in the original order");
        let entry = &mut self.in_flight[index];
        assert!(!entry.was_sent_here, "once a connection");
        assert_ne!(entry.owed, Owed::PubComp, "not after PUBREC");
        assert_eq!(Copy { dup: false, packet_id: None, ..copy.clone() }, entry.copy);
        entry.was_sent_here = true;
    }

    fn observe_packet_id(&mut self, copy: &Copy) {
        assert_eq!(copy.packet_id.is_some(), copy.qos > 0);
        let Some(packet_id) = copy.packet_id else { return };
        assert!(self.in_flight.iter().all(|entry| entry.packet_id != packet_id), "the identifier is free");
        assert!(self.in_flight.iter().all(|entry| entry.was_sent_here), "what was left goes first");
        let owed = if copy.qos == 1 { Owed::PubAck } else { Owed::PubRec };
        let copy = Copy { packet_id: None, ..copy.clone() };
        self.in_flight.push(InFlight { packet_id, copy, owed, was_sent_here: true, shared: None });
    }

    /// Takes a live copy off what is due, if it is one; nothing promised may have been passed over for it.
    fn take_due(&mut self, copy: &Copy, now: Instant, losses: Losses) -> bool {
        let Some(sequence) = self.due.iter().find(|(_, due)| due.copy == *copy).map(|(sequence, _)| *sequence) else {
            return false;
        };
        let last_sent_sequence = match losses.topics_may_conflate {
            false => &mut self.last_sent_sequence,
            true => self.last_sent_by_topic.entry(copy.topic.clone()).or_default(),
        };
        assert!(sequence > *last_sent_sequence, "in the order of publication");
        *last_sent_sequence = sequence;
        let is_passed_over = |earlier: &u64, due: &Due| {
            *earlier <= sequence && (!losses.topics_may_conflate || due.copy.topic == copy.topic)
        };
        let mut before: BTreeMap<u64, Due> =
            self.due.extract_if(.., |earlier, due| is_passed_over(earlier, due)).collect();
        let due = before.remove(&sequence).expect("it was found");
        assert!(!due.is_too_large && due.expires_at.is_none_or(|at| at > now), "{copy:?} was not to be sent any more");
        let lost = before.values().find(|due| due.is_promised(now));
        let may_be_lost = losses.queues_may_overflow || losses.topics_may_conflate;
        assert!(may_be_lost || lost.is_none(), "{:?} was passed over", lost.map(|due| &due.copy));
        true
    }

    /// Something promised that is due, was not sent, and gave way to nothing of its topic, as nothing came later.
    fn lost_without_a_successor(&self, now: Instant) -> Option<&Due> {
        let is_last = |sequence: &u64, due: &Due| {
            let topic = &due.copy.topic;
            let later = self.due.range(sequence + 1..).any(|(_, later)| later.copy.topic == *topic);
            !later && self.last_sent_by_topic.get(topic).is_none_or(|sent| sent < sequence)
        };
        self.due.iter().find(|(sequence, due)| due.is_promised(now) && is_last(sequence, due)).map(|(_, due)| due)
    }

    /// Takes a retained copy off the first list that has one: it must be the next there.
    fn take_backlog(&mut self, copy: &Copy, now: Instant, retained: &BTreeMap<String, Retained>) {
        loop {
            let backlog = self.backlogs.front_mut().unwrap_or_else(|| panic!("nobody is owed {copy:?}"));
            let Some(entry) = backlog.entries.pop_front() else {
                self.backlogs.pop_front();
                continue;
            };
            let is_it = entry.as_seen_by(&backlog.request) == *copy;
            if entry.is_current(retained, now) && (is_it || !entry.may_be_here) {
                assert!(is_it, "{:?} was to come before {copy:?}", entry.topic);
                return;
            }
        }
    }

    /// `copy` was taken for a live one. Where a retained one would look the same, it may have been that. Says whether there is one.
    fn excuse_backlog(&mut self, copy: &Copy, now: Instant, retained: &BTreeMap<String, Retained>) -> bool {
        let mut is_ambiguous = false;
        for Backlog { request, entries } in self.backlogs.iter_mut().filter(|_| copy.retain) {
            let same = |entry: &&mut Retained| entry.as_seen_by(request) == *copy && entry.is_current(retained, now);
            for entry in entries.iter_mut().filter(same) {
                entry.may_be_here = true;
                is_ambiguous = true;
            }
        }
        is_ambiguous
    }
}
