//! What the sessions are owed, told in the plainest way: lists, and a look at every filter for every message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::engine::message::{Acknowledgement, SubscribeRequest};
use crate::engine::tests::world::{Copy, Sent};
use crate::mqtt::packet::RetainHandling;
use crate::mqtt::{QoS, topic};

pub(super) struct Model {
    now: Instant,
    sessions: BTreeMap<&'static str, Session>,
    /// By topic, NUL for `/`, which is the order they are sent in.
    retained: BTreeMap<String, Retained>,
    sessions_made: u64,
    /// Counts publications, Wills included.
    sequence: u64,
    queues_may_overflow: bool,
    /// Copies that sessions were entitled to by publications.
    pub(super) entitled_count: u64,
    pub(super) live_sent_count: u64,
    pub(super) retained_sent_count: u64,
    /// Unacknowledged messages of sessions when they ended: sent, and counted as dropped as well.
    pub(super) ended_in_flight_count: u64,
}

#[derive(Clone)]
struct Retained {
    topic: &'static str,
    payload: String,
    qos: QoS,
    expires_at: Option<Instant>,
    sequence: u64,
}

struct Session {
    number: u64,
    is_connected: bool,
    /// Until the first pump nothing may be sent.
    is_held: bool,
    expiry_s: u32,
    ends_at: Option<Instant>,
    will: Option<(u32, &'static str, u32)>,
    will_at: Option<Instant>,
    window: usize,
    subscriptions: BTreeMap<String, SubscribeRequest>,
    /// Live copies that were not yet sent, by publication.
    due: BTreeMap<u64, Due>,
    last_sent_sequence: u64,
    /// Retained messages of new Subscriptions.
    backlogs: VecDeque<Backlog>,
    /// Sent and unacknowledged, in the order in which they were first sent.
    in_flight: Vec<InFlight>,
    receiving: BTreeSet<u16>,
}

struct Due {
    copy: Copy,
    expires_at: Option<Instant>,
    is_too_large: bool,
}

struct Backlog {
    request: SubscribeRequest,
    entries: VecDeque<Retained>,
}

struct InFlight {
    packet_id: u16,
    copy: Copy,
    owed: Owed,
    was_sent_here: bool,
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

impl Model {
    pub(super) fn new(now: Instant, queues_may_overflow: bool) -> Self {
        Self {
            now,
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            sessions_made: 0,
            sequence: 0,
            queues_may_overflow,
            entitled_count: 0,
            live_sent_count: 0,
            retained_sent_count: 0,
            ended_in_flight_count: 0,
        }
    }

    /// Whether there is a session that still belongs to its owner.
    pub(super) fn has_session(&self, client_id: &str) -> bool {
        self.sessions.get(client_id).is_some_and(|session| session.ends_at.is_none_or(|ends_at| ends_at > self.now))
    }

    /// Another owner came and went, after the session's time was over.
    pub(super) fn forget(&mut self, client_id: &'static str) {
        if let Some((_, will)) = self.end(client_id) {
            self.publish_will(client_id, will);
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
        will: Option<(u32, &'static str, u32)>,
    ) -> bool {
        let goes_on = !clean_start
            && self.has_session(client_id)
            && self.sessions.get(client_id).is_some_and(|session| session.expiry_s > 0);
        let mut old_will = None;
        if !goes_on {
            old_will = self.end(client_id).map(|(_, will)| will);
            self.sessions_made += 1;
            self.sessions.insert(client_id, Session::new(self.sessions_made));
        }
        let Some(session) = self.sessions.get_mut(client_id) else { return false };
        if goes_on && session.is_connected {
            session.disconnect();
            old_will = session.will.take().filter(|(_, _, delay_s)| *delay_s == 0);
        }
        session.is_connected = true;
        session.is_held = true;
        session.expiry_s = expiry_s;
        session.window = window;
        session.will = will;
        (session.ends_at, session.will_at) = (None, None);
        if let Some(will) = old_will {
            self.publish_will(client_id, will);
        }
        goes_on
    }

    pub(super) fn close(&mut self, client_id: &'static str, publish_will: bool, expiry_s: Option<u32>) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        session.disconnect();
        session.is_connected = false;
        session.expiry_s = expiry_s.unwrap_or(session.expiry_s);
        session.will = session.will.filter(|_| publish_will);
        let seconds = |count: u32| Duration::from_secs(count.into());
        let mut will = None;
        if session.expiry_s == 0 {
            will = self.end(client_id).map(|(_, will)| will);
        } else {
            session.ends_at = Some(now + seconds(session.expiry_s));
            match session.will {
                Some((_, _, 0)) => will = session.will.take(),
                Some((_, _, delay_s)) => session.will_at = Some(now + seconds(delay_s)),
                None => {}
            }
        }
        if let Some(will) = will {
            self.publish_will(client_id, will);
        }
    }

    /// Ends the session. Returns its Will, if that is due then, and when it was due.
    fn end(&mut self, client_id: &'static str) -> Option<(u64, (u32, &'static str, u32))> {
        let session = self.sessions.remove(client_id)?;
        self.ended_in_flight_count += session.in_flight.len() as u64;
        session.will.map(|will| (session.number, will))
    }

    fn publish_will(&mut self, client_id: &'static str, (number, topic, _): (u32, &'static str, u32)) {
        let payload = number.to_string();
        let from = Some(client_id);
        self.publish(&Publication {
            from,
            topic,
            payload: &payload,
            qos: QoS::AtMostOnce,
            retain: false,
            expires_at: None,
        });
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
            let will = if is_over { self.end(client_id).map(|(_, will)| will) } else { session.will.take() };
            wills.extend(will.map(|will| (client_id, will)));
        }
        for (client_id, will) in wills {
            self.publish_will(client_id, will);
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
            let is_too_large = *client_id == "small" && copy.payload.len() >= super::LARGE;
            session.due.insert(self.sequence, Due { copy, expires_at: publication.expires_at, is_too_large });
        }
        receivers
    }

    pub(super) fn subscribe(&mut self, client_id: &str, request: &SubscribeRequest) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let text = request.filter.as_str().to_owned();
        let is_new = session.subscriptions.insert(text.clone(), request.clone()).is_none();
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
        session.subscriptions.remove(text).is_some()
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

    pub(super) fn acknowledge(&mut self, client_id: &str, packet_id: u16, what: Acknowledgement) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let in_flight = &mut session.in_flight;
        let Some(index) = in_flight.iter().position(|entry| entry.packet_id == packet_id) else { return };
        if what == Acknowledgement::PubRec {
            in_flight[index].owed = Owed::PubComp;
        } else {
            in_flight.remove(index);
        }
    }

    /// Judges what the outlet of `client_id` was given.
    pub(super) fn observe(&mut self, client_id: &str, sent: &Sent) {
        let session = self.sessions.get_mut(client_id).expect("only sessions send");
        assert!(session.is_connected && !session.is_held, "{client_id} was sent {sent:?} too early");
        match sent {
            Sent::PubRel(packet_id) => {
                let entry = session.in_flight.iter_mut().find(|entry| entry.packet_id == *packet_id);
                let entry = entry.expect("PUBREL for a message in flight");
                assert_eq!(entry.owed, Owed::PubComp, "PUBREL only after PUBREC");
                entry.was_sent_here = true;
            }
            Sent::Publish(copy) if copy.dup => session.observe_redelivery(copy),
            Sent::Publish(copy) => {
                session.observe_packet_id(copy);
                let copy = Copy { packet_id: None, ..copy.clone() };
                if session.take_due(&copy, self.now, self.queues_may_overflow) {
                    self.live_sent_count += 1;
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
        if !self.queues_may_overflow {
            let now = self.now;
            let lost = session.due.values().find(|due| due.is_promised(now));
            assert!(lost.is_none(), "{client_id} never got {:?}", lost.map(|due| &due.copy));
        }
        session.due.clear();
        while let Some(backlog) = session.backlogs.pop_front() {
            let left = backlog.entries.iter().find(|entry| entry.is_current(&self.retained, self.now));
            assert!(left.is_none(), "{client_id} never got what is retained for {:?}", left.map(|entry| entry.topic));
        }
    }
}

impl Retained {
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
            is_held: false,
            expiry_s: 0,
            ends_at: None,
            will: None,
            will_at: None,
            window: 0,
            subscriptions: BTreeMap::new(),
            due: BTreeMap::new(),
            last_sent_sequence: 0,
            backlogs: VecDeque::new(),
            in_flight: Vec::new(),
            receiving: BTreeSet::new(),
        }
    }

    /// What this session is to see of `publication`.
    fn copy_of(&self, client_id: &str, publication: &Publication<'_>) -> Option<Copy> {
        let matching = self.subscriptions.values().filter(|request| {
            topic::matches(request.filter.as_str(), publication.topic)
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
        self.in_flight.push(InFlight { packet_id, copy, owed, was_sent_here: true });
    }

    /// Takes a live copy off what is due, if it is one; nothing promised may have been passed over for it.
    fn take_due(&mut self, copy: &Copy, now: Instant, queues_may_overflow: bool) -> bool {
        let Some(sequence) = self.due.iter().find(|(_, due)| due.copy == *copy).map(|(sequence, _)| *sequence) else {
            return false;
        };
        assert!(sequence > self.last_sent_sequence, "in the order of publication");
        self.last_sent_sequence = sequence;
        let later = self.due.split_off(&(sequence + 1));
        let mut before = std::mem::replace(&mut self.due, later);
        let due = before.remove(&sequence).expect("it was found");
        assert!(!due.is_too_large && due.expires_at.is_none_or(|at| at > now), "{copy:?} was not to be sent any more");
        let lost = before.values().find(|due| due.is_promised(now));
        assert!(queues_may_overflow || lost.is_none(), "{:?} was passed over", lost.map(|due| &due.copy));
        true
    }

    /// Takes a retained copy off the first list that has one: it must be the next there.
    fn take_backlog(&mut self, copy: &Copy, now: Instant, retained: &BTreeMap<String, Retained>) {
        loop {
            let backlog = self.backlogs.front_mut().unwrap_or_else(|| panic!("nobody is owed {copy:?}"));
            let Some(entry) = backlog.entries.pop_front() else {
                self.backlogs.pop_front();
                continue;
            };
            if !entry.is_current(retained, now) {
                continue;
            }
            let expected = Copy {
                topic: entry.topic.to_owned(),
                payload: entry.payload,
                qos: entry.qos.min(backlog.request.options.maximum_qos) as u8,
                retain: true,
                dup: false,
                packet_id: None,
                identifiers: backlog.request.identifier.map(|identifier| identifier.get()).into_iter().collect(),
            };
            assert_eq!(*copy, expected);
            return;
        }
    }
}
