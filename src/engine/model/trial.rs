//! An engine and the ledger of what it owes, side by side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::choices::Choices;
use super::ledger::{LARGE, Ledger, Owed, Publication, SMALL, Will};
use super::revocation::{Denial, Revocations};
use super::shared::Losses;
use super::world::{Client, OnlyTopic, World, filter, id, message, request};
use crate::engine::message::{
    Acknowledgement, Closing, DeliveryCheck, OpenError, SessionWill, SubscribeRequest, Unbound,
};
use crate::engine::{EngineConfig, QueueFull, SlowClients, WhenFull};
use crate::mqtt::packet::RetainHandling;
use crate::mqtt::{QoS, ReasonCode};

/// Who takes part in a trial.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    clients: &'static [&'static str],
    publishers: &'static [&'static str],
    subscribers: &'static [&'static str],
}

impl Cast {
    /// Many, of whom each publishes and subscribes.
    pub const CROWD: Self = Self { clients: &CROWD, publishers: &CROWD, subscribers: &CROWD };
    /// Two, of whom one publishes and one subscribes.
    pub const TWO: Self =
        Self { clients: &["publisher", "subscriber"], publishers: &["publisher"], subscribers: &["subscriber"] };
}

const CROWD: [&str; 5] = ["a", "b", "c", "d", SMALL];
const TOPICS: [&str; 8] = ["t", "t/1", "t/2", "t/1/x", "u", "u/1", "$s/1", "t-"];
const FILTERS: [&str; 12] = ["#", "t", "t/#", "t/+", "+/1", "+/1/#", "u", "t/1/x", "$s/#", "+", "u/+", "t-"];
/// See [`shared_request`] for how these differ.
const SHARED: [&str; 4] = ["$share/g/t/#", "$share/mixed/t/#", "$share/g/t/1", "$share/partial/#"];

/// One trial: an engine on virtual time, its clients, and the ledger that judges it. Any contradiction panics.
#[derive(Debug)]
pub struct Trial<C> {
    choices: C,
    cast: Cast,
    world: World,
    ledger: Ledger,
    revocations: Revocations,
    clients: BTreeMap<&'static str, Client>,
    /// Connections whose sessions others have taken over.
    stale: Vec<Client>,
    next_number: u32,
    has_tight_outboxes: bool,
    /// Whether acknowledgements are rare, so that windows are full and queues long.
    has_slow_clients: bool,
}

impl<C: Choices> Trial<C> {
    pub fn new(mut choices: C, cast: Cast, now: Instant) -> Self {
        let has_tight_queues = choices.below(3) == 0;
        let has_tight_outboxes = choices.below(2) == 0;
        let has_slow_clients = choices.below(2) == 0;
        let config = EngineConfig {
            queue_bytes_max: if has_tight_queues { 400 } else { 1 << 20 },
            queue_full: if choices.below(2) == 0 { QueueFull::DropNewest } else { QueueFull::DropOldest },
            slow_clients: match choices.below(3) {
                0 => SlowClients::default(),
                1 => SlowClients { when_full: WhenFull::Conflate, topics: Vec::new() },
                _ => SlowClients {
                    when_full: WhenFull::DropOldest,
                    topics: vec![
                        (filter("t/#"), WhenFull::Conflate),
                        (filter("u/1"), WhenFull::Disconnect),
                        (filter("u"), WhenFull::DropNewest),
                    ],
                },
            },
            inflight_max: INFLIGHT_MAX,
            session_expiry_max: Duration::from_secs(EXPIRY_MAX_S.into()),
            ..EngineConfig::default()
        };
        let losses = Losses {
            queues_may_overflow: has_tight_queues,
            outboxes_may_fill: has_tight_outboxes,
            topics_may_conflate: config.slow_clients != SlowClients::default(),
        };
        Self {
            choices,
            cast,
            world: World::starting(config, now),
            ledger: Ledger::new(now, losses),
            revocations: Revocations::default(),
            clients: BTreeMap::new(),
            stale: Vec::new(),
            next_number: 0,
            has_tight_outboxes,
            has_slow_clients,
        }
    }

    /// Goes on until nothing is left to decide, but no longer than `steps_max`; then everybody gets all there is.
    pub fn run(mut self, steps_max: usize) {
        for _ in 0..steps_max {
            if self.choices.is_over() {
                break;
            }
            self.step();
        }
        self.settle();
    }

    fn below(&mut self, bound: usize) -> usize {
        self.choices.below(bound)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn qos(&mut self) -> QoS {
        self.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }

    fn step(&mut self) {
        let client_id = self.pick(self.cast.clients);
        match self.below(100) {
            0..10 => self.connect(client_id),
            10..14 => self.close(client_id),
            14..15 => self.close_stale(),
            15..27 => self.subscribe(),
            27..29 => self.unsubscribe(),
            29..30 => self.revoke(),
            30..62 => self.publish(),
            62..76 => self.acknowledge(client_id),
            76..79 => self.acknowledge_wrongly(client_id),
            79..85 => self.change_room(client_id),
            85..89 => self.pump(client_id),
            89..92 => self.release(client_id),
            92..94 => self.break_transport(client_id),
            94..98 => self.pass_time(),
            98.. => self.settle(),
        }
        self.observe();
    }

    /// Shows the ledger what the outlets were given, and has the engine look at itself.
    fn observe(&mut self) {
        self.ledger.review();
        for (client_id, client) in &self.clients {
            for sent in client.mailbox.take() {
                self.ledger.observe(client_id, &sent);
            }
        }
        for client in &self.stale {
            assert_eq!(client.mailbox.take(), [], "nothing goes to a connection that was replaced");
        }
        self.world.engine.check_invariants();
    }

    fn connect(&mut self, client_id: &'static str) {
        if self.clients.contains_key(client_id) && self.below(4) > 0 {
            // Takeovers are not what happens mostly.
            return self.acknowledge(client_id);
        }
        let clean_start = self.below(6) == 0;
        let expiry_interval_s = self.pick(&[0, 60, 100, u32::MAX, u32::MAX]);
        let receive_maximum = self.pick(&[1, 2, 3, 100]);
        let is_impostor = self.below(10) == 0;
        let will = (self.below(2) == 0).then(|| self.will());
        let owner = self.revocations.owner(client_id);
        let opened = self.world.open(client_id, |open| {
            open.clean_start = clean_start;
            open.expiry_interval_s = expiry_interval_s;
            open.receive_maximum = receive_maximum;
            open.will = will.as_ref().map(session_will);
            open.owner = match is_impostor {
                true => Unbound::named("impostor"),
                false => owner,
            };
        });
        if is_impostor {
            // Whoever comes first owns the identifier; the impostor is gone at once where nobody did.
            match opened {
                Ok(client) => {
                    assert!(!self.ledger.has_session(client_id));
                    self.world.close(client, Closing { publish_will: false, expiry_interval_s: Some(0) });
                    self.ledger.forget(client_id);
                }
                Err(error) => {
                    assert_eq!(error, OpenError::OwnedByAnother);
                    assert!(self.ledger.has_session(client_id));
                }
            }
            return;
        }
        let client = opened.expect("it is the owner's");
        if self.has_tight_outboxes {
            client.mailbox.set_room(self.pick(&[0, 1, 3, usize::MAX]));
        }
        if client_id == SMALL {
            client.mailbox.set_too_large_from(LARGE);
        }
        if let Some(replaced) = self.clients.insert(client_id, client) {
            assert_eq!(replaced.mailbox.closed_with(), Some(ReasonCode::SessionTakenOver));
            self.stale.push(replaced);
        }
        let window = usize::from(receive_maximum.min(INFLIGHT_MAX));
        let expiry_s = expiry_interval_s.min(EXPIRY_MAX_S);
        let session_present = self.ledger.open(client_id, clean_start, expiry_s, window, will);
        assert_eq!(self.clients[client_id].session_present, session_present);
        let mut revoked = self.clients[client_id].revoked.iter().map(ToString::to_string).collect::<Vec<_>>();
        revoked.sort();
        assert_eq!(revoked, self.ledger.take_revoked(client_id));
        self.observe();
        if self.below(4) > 0 {
            self.pump(client_id);
        }
    }

    fn close(&mut self, client_id: &'static str) {
        let publish_will = self.below(3) > 0;
        let expiry_interval_s = self.pick(&[None, None, Some(30)]);
        self.close_with(client_id, Closing { publish_will, expiry_interval_s });
    }

    fn close_with(&mut self, client_id: &'static str, closing: Closing) {
        let Some(client) = self.clients.remove(client_id) else { return };
        self.world.close(client, closing);
        self.ledger.close(client_id, closing.publish_will, closing.expiry_interval_s);
        self.observe();
    }

    fn will(&mut self) -> Will {
        Will {
            number: self.number(),
            topic: self.pick(&TOPICS),
            qos: self.qos(),
            retain: self.below(4) == 0,
            delay_s: self.pick(&[0, 0, 5, 80]),
            expiry_s: self.pick(&[None, None, Some(20)]),
        }
    }

    /// The transport takes nothing more; the connection learns of it later.
    fn break_transport(&mut self, client_id: &'static str) {
        let Some(client) = self.clients.get(client_id) else { return };
        client.mailbox.set_closed();
        self.ledger.break_transport(client_id);
    }

    fn close_stale(&mut self) {
        if let Some(client) = self.stale.pop() {
            self.world.close(client, Closing { publish_will: true, expiry_interval_s: None });
        }
    }

    fn subscribe(&mut self) {
        let client_id = self.pick(self.cast.subscribers);
        let request = match self.below(2) {
            0 => shared_request(self.below(SHARED.len()), client_id),
            _ => self.plain_request(),
        };
        let Some(client) = self.clients.get(client_id) else { return };
        self.world.engine.subscribe(&client.attached, request.clone()).expect("within the quota");
        self.ledger.subscribe(client_id, &request);
        if self.below(4) > 0 {
            self.pump(client_id);
        }
    }

    fn plain_request(&mut self) -> SubscribeRequest {
        let mut request = request(self.pick(&FILTERS));
        request.options.maximum_qos = self.qos();
        request.options.no_local = self.below(4) == 0;
        request.options.retain_as_published = self.below(3) == 0;
        request.options.retain_handling =
            self.pick(&[RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never]);
        request.identifier = std::num::NonZeroU32::new(self.below(4) as u32);
        request
    }

    fn unsubscribe(&mut self) {
        let client_id = self.pick(self.cast.subscribers);
        let text = if self.below(2) == 0 { self.pick(&SHARED) } else { self.pick(&FILTERS) };
        let Some(client) = self.clients.get(client_id) else { return };
        let was_there = self.world.unsubscribe(client, text);
        assert_eq!(was_there, self.ledger.unsubscribe(client_id, text));
    }

    fn publish(&mut self) {
        let from = self.pick(self.cast.publishers);
        let from = self.clients.contains_key(from).then_some(from);
        let topic = self.pick(&TOPICS);
        let retain = self.below(4) == 0;
        let qos = self.qos();
        let number = self.number();
        let payload = match self.below(10) {
            0 if retain => String::new(),
            // Retained messages stay small, so that what is too large is always a message on its way.
            1 if !retain => format!("{number:0>LARGE$}"),
            _ => number.to_string(),
        };
        if qos == QoS::ExactlyOnce && !self.is_first(from) {
            return;
        }
        let lifetime_s = self.pick(&[None, None, None, Some(10), Some(100)]);
        let expires_at = lifetime_s.map(|seconds| self.world.now + Duration::from_secs(seconds));
        let message = message(topic, &payload, qos, retain).expiring_at(expires_at);
        let published = self.world.publish_message(from.map(|client_id| &self.clients[client_id]), message);
        let publication = Publication { from, topic, payload: &payload, qos, retain, expires_at };
        assert_eq!(published.receivers, self.ledger.publish(&publication));
    }

    /// Takes the next step of the handshake for one of the messages that the client has.
    fn acknowledge(&mut self, client_id: &'static str) {
        let open = self.ledger.open_handshakes(client_id);
        let has_time = !self.has_slow_clients || self.below(4) == 0;
        if open.is_empty() || !self.clients.contains_key(client_id) || !has_time {
            return;
        }
        // Mostly in order.
        let index = if self.below(4) == 0 { self.below(open.len()) } else { 0 };
        let (packet_id, owed) = open[index];
        let what = match owed {
            Owed::PubAck => self.pick(&[Acknowledgement::PubAck, Acknowledgement::Complete]),
            Owed::PubRec => {
                self.pick(&[Acknowledgement::PubRec, Acknowledgement::PubRec, Acknowledgement::PubRecFailed])
            }
            Owed::PubComp => self.pick(&[Acknowledgement::PubComp, Acknowledgement::PubComp, Acknowledgement::PubRec]),
        };
        self.ledger.acknowledge(client_id, packet_id, what);
        let is_known = self.world.acknowledge(&self.clients[client_id], packet_id, what);
        assert!(is_known, "{what:?} for {packet_id} of {client_id}");
    }

    fn acknowledge_wrongly(&mut self, client_id: &'static str) {
        let Some(client) = self.clients.get(client_id) else { return };
        let open = self.ledger.open_handshakes(client_id);
        let unused = (1..200).find(|id| !self.ledger.uses(client_id, *id)).expect("some are free");
        let wrong = match open.first() {
            Some((packet_id, Owed::PubAck)) => (*packet_id, Acknowledgement::PubComp),
            Some((packet_id, Owed::PubRec)) => (*packet_id, Acknowledgement::PubAck),
            Some((packet_id, Owed::PubComp)) => (*packet_id, Acknowledgement::PubRecFailed),
            None => (unused, Acknowledgement::PubAck),
        };
        for (packet_id, what) in [wrong, (unused, Acknowledgement::PubComp), (unused, Acknowledgement::Complete)] {
            assert!(!self.world.acknowledge(client, packet_id, what), "{what:?} for {packet_id} of {client_id}");
        }
    }

    fn change_room(&mut self, client_id: &'static str) {
        let room = if self.has_tight_outboxes { self.pick(&[0, 1, 3, usize::MAX]) } else { usize::MAX };
        let is_noticed = self.below(2) == 0;
        let Some(client) = self.clients.get(client_id) else { return };
        client.mailbox.set_room(room);
        // Between the two, messages may find room before what waits.
        if room > 0 && is_noticed {
            self.pump(client_id);
        }
    }

    /// Everybody loses one thing, which anybody may have again the next moment.
    fn revoke(&mut self) {
        let denial = match self.below(3) {
            0 => Denial { filter: Some(self.pick(&FILTERS)), topic: None },
            1 => Denial { filter: Some(self.pick(&SHARED)), topic: None },
            _ => Denial { filter: None, topic: Some(self.pick(&TOPICS)) },
        };
        self.revocations.set(denial);
        self.world.review();
        assert!(self.world.review().iter().all(|lost| lost.is_nothing()), "twice is once");
        self.revocations.set(Denial::default());
        self.ledger.revoke(denial);
    }

    fn pump(&mut self, client_id: &'static str) {
        let Some(client) = self.clients.get(client_id) else { return };
        self.ledger.pump(client_id);
        self.world.pump(client);
    }

    /// Takes the first step of the handshake for an incoming QoS 2 message. Says whether it is to be published: it may be a repetition.
    fn is_first(&mut self, from: Option<&'static str>) -> bool {
        let packet_id = 1 + self.below(4) as u16;
        let Some((client_id, client)) = from.and_then(|from| self.clients.get_key_value(from)) else { return true };
        let is_first = self.ledger.receive(client_id, packet_id);
        assert_eq!(self.world.engine.is_receiving(&client.attached, id(packet_id)), !is_first);
        assert_eq!(self.world.engine.receive(&client.attached, id(packet_id)), is_first);
        is_first
    }

    /// An incoming PUBREL, which may be a repetition as well.
    fn release(&mut self, client_id: &'static str) {
        let packet_id = 1 + self.below(4) as u16;
        let Some(client) = self.clients.get(client_id) else { return };
        let is_known = self.world.engine.release(&client.attached, id(packet_id));
        assert_eq!(is_known, self.ledger.release(client_id, packet_id));
        let receiving_count = self.world.engine.receiving_count(&client.attached);
        assert_eq!(receiving_count, self.ledger.receiving_count(client_id));
    }

    fn pass_time(&mut self) {
        let seconds = self.pick(&[0, 1, 4, 5, 31, 90]);
        if self.below(4) == 0 {
            // Clients may come back before a tick sees what is due.
            self.world.now += Duration::from_secs(seconds);
            self.ledger.pass_time_unseen(seconds);
        } else {
            self.world.wait(seconds);
            self.ledger.pass_time(seconds);
        }
    }

    /// Everybody who is connected reads and acknowledges all there is: then nothing may be left owing.
    fn settle(&mut self) {
        let is_broken = |client_id: &&str| self.clients.get(client_id).is_some_and(|client| client.mailbox.is_closed());
        for client_id in self.cast.clients.iter().copied().filter(is_broken).collect::<Vec<_>>() {
            self.close_with(client_id, Closing { publish_will: true, expiry_interval_s: None });
        }
        for &client_id in self.cast.clients {
            let Some(client) = self.clients.get(client_id) else { continue };
            client.mailbox.set_room(usize::MAX);
            self.pump(client_id);
            loop {
                self.observe();
                let Some(&(packet_id, owed)) = self.ledger.open_handshakes(client_id).first() else { break };
                let what = match owed {
                    Owed::PubAck => Acknowledgement::PubAck,
                    Owed::PubRec => Acknowledgement::PubRec,
                    Owed::PubComp => Acknowledgement::PubComp,
                };
                self.ledger.acknowledge(client_id, packet_id, what);
                assert!(self.world.acknowledge(&self.clients[client_id], packet_id, what));
            }
            self.ledger.check_nothing_owing(client_id);
        }
        self.ledger.check_shared(self.world.engine.waiting_shared());
        self.check_counters();
    }

    /// Each copy that somebody was entitled to or denied was sent, waits, or is counted as dropped.
    fn check_counters(&self) {
        let counters = self.world.engine.counters();
        let dropped = [
            &counters.dropped_offline,
            &counters.dropped_outbox_full,
            &counters.dropped_queue_full,
            &counters.dropped_queue_full_qos_0,
            &counters.dropped_conflated,
            &counters.dropped_memory,
            &counters.dropped_too_large,
            &counters.dropped_expired,
            &counters.dropped_session_ended,
            &counters.dropped_closed,
            &counters.dropped_denied,
            &counters.messages_revoked,
        ];
        let dropped = dropped.iter().map(|counter| counter.load(Relaxed)).sum::<u64>();
        let waiting = self.world.engine.waiting_count();
        let ledger = &self.ledger;
        let owed = ledger.entitled_count + ledger.denied_count + ledger.ended_in_flight_count;
        let accounted_for = ledger.live_sent_count + dropped + waiting;
        assert!(
            (owed..=owed + ledger.ambiguous_count).contains(&accounted_for),
            "{owed} owed, {accounted_for} accounted for"
        );
        assert_eq!(counters.deliveries.load(Relaxed), ledger.live_sent_count + ledger.retained_sent_count);
        if !self.has_tight_outboxes {
            assert_eq!(counters.dropped_outbox_full.load(Relaxed), 0);
        }
    }

    fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }
}

const INFLIGHT_MAX: u16 = 4;
const EXPIRY_MAX_S: u32 = 200;

fn session_will(will: &Will) -> SessionWill {
    SessionWill {
        message: Arc::new(message(will.topic, &will.number.to_string(), will.qos, will.retain)),
        delay_interval_s: will.delay_s,
        message_expiry_interval_s: will.expiry_s,
    }
}

/// The delivery check of this member's Subscription, if it is a shared one that has one.
pub(super) fn shared_check(text: &str, client_id: &str) -> Option<Arc<dyn DeliveryCheck>> {
    let index = SHARED.iter().position(|shared| *shared == text)?;
    shared_request(index, client_id).check
}

/// A member's request for a Shared Subscription. Who it is decides, so that subscribing anew changes nothing that may still wait; the
/// Subscription Identifier says by which of them a message came.
fn shared_request(index: usize, client_id: &str) -> SubscribeRequest {
    let member = client_id.bytes().map(usize::from).sum::<usize>();
    let mut request = request(SHARED[index]);
    request.identifier = std::num::NonZeroU32::new(100 + index as u32);
    request.options.retain_as_published = (member + index).is_multiple_of(2);
    request.options.maximum_qos = match (index, member % 3) {
        (0, _) | (1, 1) => QoS::AtLeastOnce,
        (1, 0) => QoS::AtMostOnce,
        _ => QoS::ExactlyOnce,
    };
    if index == 3 && member.is_multiple_of(2) {
        request.check = Some(Arc::new(OnlyTopic("t/1")));
    }
    request
}
