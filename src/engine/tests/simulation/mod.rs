//! Many clients against the engine on virtual time, with a naive model as judge; a seed decides everything.
//!
//! A failing seed is printed; `TIDEGATE_SIMULATION_SEED=N cargo test --lib simulation` runs it alone. After each step whatever the
//! outlets were given is shown to the [`Model`], which knows what each session is owed and in which order, and the engine checks itself.

mod model;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use model::{Model, Owed, Publication};

use super::world::{Client, World, id, message, request, will};
use crate::engine::EngineConfig;
use crate::engine::message::{Acknowledgement, Closing, OpenError};
use crate::mqtt::QoS;
use crate::mqtt::packet::RetainHandling;

const SEEDS: u64 = 120;
const STEPS: usize = 400;

#[test]
fn the_engine_keeps_its_promises() {
    let wanted = std::env::var("TIDEGATE_SIMULATION_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    for seed in wanted.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let _guard = NameSeed(seed);
        let mut simulation = Simulation::new(seed);
        for _ in 0..STEPS {
            simulation.step();
        }
        simulation.settle();
    }
}

struct NameSeed(u64);

impl Drop for NameSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("reproduce with TIDEGATE_SIMULATION_SEED={}", self.0);
        }
    }
}

const CLIENT_IDS: [&str; 5] = ["a", "b", "c", "d", "small"];
const TOPICS: [&str; 8] = ["t", "t/1", "t/2", "t/1/x", "u", "u/1", "$s/1", "t-"];
const FILTERS: [&str; 12] = ["#", "t", "t/#", "t/+", "+/1", "+/1/#", "u", "t/1/x", "$s/#", "+", "u/+", "t-"];

/// From this payload size on, the client `small` takes nothing.
const LARGE: usize = 20;

struct Simulation {
    random: u64,
    world: World,
    model: Model,
    clients: BTreeMap<&'static str, Client>,
    /// Connections whose sessions others have taken over.
    stale: Vec<Client>,
    next_number: u32,
    has_tight_outboxes: bool,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let has_tight_queues = seed.is_multiple_of(3);
        let config = EngineConfig {
            queue_bytes_max: if has_tight_queues { 400 } else { 1 << 20 },
            inflight_max: 4,
            session_expiry_max: Duration::from_secs(200),
            ..EngineConfig::default()
        };
        let world = World::with(config);
        let model = Model::new(world.now, has_tight_queues);
        Self {
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            world,
            model,
            clients: BTreeMap::new(),
            stale: Vec::new(),
            next_number: 0,
            has_tight_outboxes: seed.is_multiple_of(2),
        }
    }

    /// A number below `bound` (splitmix64).
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn qos(&mut self) -> QoS {
        self.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }

    fn step(&mut self) {
        let client_id = self.pick(&CLIENT_IDS);
        match self.below(100) {
            0..8 => self.connect(client_id),
            8..12 => self.close(client_id),
            12..14 => self.close_stale(),
            14..26 => self.subscribe(client_id),
            26..30 => self.unsubscribe(client_id),
            30..60 => self.publish(),
            60..76 => self.acknowledge(client_id),
            76..79 => self.acknowledge_wrongly(client_id),
            79..85 => self.change_room(client_id),
            85..89 => self.pump(client_id),
            89..93 => self.receive(client_id),
            93..98 => self.pass_time(),
            98.. => self.settle(),
        }
        self.observe();
        self.world.engine.check_invariants();
    }

    /// Shows the model what the outlets were given.
    fn observe(&mut self) {
        for (client_id, client) in &self.clients {
            for sent in client.mailbox.take() {
                self.model.observe(client_id, &sent);
            }
        }
        for client in &self.stale {
            assert_eq!(client.mailbox.take(), [], "nothing goes to a connection that was replaced");
        }
    }

    fn connect(&mut self, client_id: &'static str) {
        let clean_start = self.below(4) == 0;
        let expiry_interval_s = self.pick(&[0, 60, 100, u32::MAX]);
        let receive_maximum = self.pick(&[1, 2, 3, 100]);
        let is_impostor = self.below(10) == 0;
        let delay_s = self.pick(&[0, 0, 5, 80]);
        let topic = self.pick(&TOPICS);
        let number = self.number();
        let has_will = self.below(2) == 0;
        let opened = self.world.open(client_id, |open| {
            open.clean_start = clean_start;
            open.expiry_interval_s = expiry_interval_s;
            open.receive_maximum = receive_maximum;
            open.will = has_will.then(|| will(topic, &number.to_string(), delay_s));
            if is_impostor {
                open.owner = "impostor".into();
            }
        });
        if is_impostor {
            // Whoever comes first owns the identifier; the impostor is gone at once where nobody did.
            match opened {
                Ok(client) => {
                    assert!(!self.model.has_session(client_id));
                    self.world.close(client, Closing { publish_will: false, expiry_interval_s: Some(0) });
                    self.model.forget(client_id);
                }
                Err(error) => {
                    assert_eq!(error, OpenError::OwnedByAnother);
                    assert!(self.model.has_session(client_id));
                }
            }
            return;
        }
        let client = opened.expect("it is the owner's");
        if self.has_tight_outboxes {
            client.mailbox.set_room(self.pick(&[0, 1, 3, usize::MAX]));
        }
        if client_id == "small" {
            client.mailbox.set_too_large_from(LARGE);
        }
        if let Some(replaced) = self.clients.insert(client_id, client) {
            self.stale.push(replaced);
        }
        let will = has_will.then_some((number, topic, delay_s));
        let window = usize::from(receive_maximum.min(4));
        let session_present = self.model.open(client_id, clean_start, expiry_interval_s.min(200), window, will);
        assert_eq!(self.clients[client_id].session_present, session_present);
        self.observe();
        if self.below(4) > 0 {
            self.pump(client_id);
        }
    }

    fn close(&mut self, client_id: &'static str) {
        let Some(client) = self.clients.remove(client_id) else { return };
        let publish_will = self.below(3) > 0;
        let expiry_interval_s = self.pick(&[None, None, Some(30)]);
        self.world.close(client, Closing { publish_will, expiry_interval_s });
        self.model.close(client_id, publish_will, expiry_interval_s);
    }

    fn close_stale(&mut self) {
        if let Some(client) = self.stale.pop() {
            self.world.lose(client);
        }
    }

    fn subscribe(&mut self, client_id: &'static str) {
        let mut request = request(self.pick(&FILTERS));
        request.options.maximum_qos = self.qos();
        request.options.no_local = self.below(4) == 0;
        request.options.retain_as_published = self.below(3) == 0;
        request.options.retain_handling =
            self.pick(&[RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never]);
        request.identifier = std::num::NonZeroU32::new(self.below(4) as u32);
        let Some(client) = self.clients.get(client_id) else { return };
        self.world.engine.subscribe(&client.attached, request.clone()).expect("within the quota");
        self.model.subscribe(client_id, &request);
        if self.below(4) > 0 {
            self.pump(client_id);
        }
    }

    fn unsubscribe(&mut self, client_id: &'static str) {
        let text = self.pick(&FILTERS);
        let Some(client) = self.clients.get(client_id) else { return };
        let was_there = self.world.unsubscribe(client, text);
        assert_eq!(was_there, self.model.unsubscribe(client_id, text));
    }

    fn publish(&mut self) {
        let from = self.pick(&CLIENT_IDS);
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
        let lifetime_s = self.pick(&[None, None, None, Some(10), Some(100)]);
        let expires_at = lifetime_s.map(|seconds| self.world.now + Duration::from_secs(seconds));
        let message = message(topic, &payload, qos, retain).expiring_at(expires_at);
        let published = self.world.publish_message(from.map(|client_id| &self.clients[client_id]), message);
        let publication = Publication { from, topic, payload: &payload, qos, retain, expires_at };
        assert_eq!(published.receivers, self.model.publish(&publication));
    }

    /// Takes the next step of the handshake for one of the messages that the client has.
    fn acknowledge(&mut self, client_id: &'static str) {
        let open = self.model.open_handshakes(client_id);
        if open.is_empty() || !self.clients.contains_key(client_id) {
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
        self.model.acknowledge(client_id, packet_id, what);
        let is_known = self.world.acknowledge(&self.clients[client_id], packet_id, what);
        assert!(is_known, "{what:?} for {packet_id} of {client_id}");
    }

    fn acknowledge_wrongly(&mut self, client_id: &'static str) {
        let Some(client) = self.clients.get(client_id) else { return };
        let open = self.model.open_handshakes(client_id);
        let unused = (1..200).find(|id| open.iter().all(|(open, _)| open != id)).expect("some are free");
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

    fn pump(&mut self, client_id: &'static str) {
        let Some(client) = self.clients.get(client_id) else { return };
        self.model.pump(client_id);
        self.world.pump(client);
    }

    /// An incoming QoS 2 message, or its PUBREL.
    fn receive(&mut self, client_id: &'static str) {
        let packet_id = 1 + self.below(4) as u16;
        let is_release = self.below(2) == 0;
        let Some(client) = self.clients.get(client_id) else { return };
        if is_release {
            assert_eq!(
                self.world.engine.release(&client.attached, id(packet_id)),
                self.model.release(client_id, packet_id)
            );
        } else {
            assert_eq!(
                self.world.engine.receive(&client.attached, id(packet_id)),
                self.model.receive(client_id, packet_id)
            );
        }
        assert_eq!(self.world.engine.receiving_count(&client.attached), self.model.receiving_count(client_id));
    }

    fn pass_time(&mut self) {
        let seconds = self.pick(&[0, 1, 7, 31, 90]);
        self.world.wait(seconds);
        self.model.pass_time(seconds);
    }

    /// Everybody who is connected reads and acknowledges all there is: then nothing may be left owing.
    fn settle(&mut self) {
        for client_id in CLIENT_IDS {
            let Some(client) = self.clients.get(client_id) else { continue };
            client.mailbox.set_room(usize::MAX);
            self.pump(client_id);
            loop {
                self.observe();
                let Some(&(packet_id, owed)) = self.model.open_handshakes(client_id).first() else { break };
                let what = match owed {
                    Owed::PubAck => Acknowledgement::PubAck,
                    Owed::PubRec => Acknowledgement::PubRec,
                    Owed::PubComp => Acknowledgement::PubComp,
                };
                self.model.acknowledge(client_id, packet_id, what);
                assert!(self.world.acknowledge(&self.clients[client_id], packet_id, what));
            }
            self.model.check_nothing_owing(client_id);
        }
        self.check_counters();
    }

    /// Each copy that somebody was entitled to was sent, waits, or is counted as dropped.
    fn check_counters(&self) {
        let counters = self.world.engine.counters();
        let dropped = [
            &counters.dropped_offline,
            &counters.dropped_outbox_full,
            &counters.dropped_queue_full,
            &counters.dropped_queue_full_qos_0,
            &counters.dropped_too_large,
            &counters.dropped_expired,
            &counters.dropped_session_ended,
        ];
        let dropped = dropped.iter().map(|counter| counter.load(Relaxed)).sum::<u64>();
        let waiting = self.world.engine.waiting_count();
        let model = &self.model;
        assert_eq!(model.entitled_count + model.ended_in_flight_count, model.live_sent_count + dropped + waiting);
        assert_eq!(counters.deliveries.load(Relaxed), model.live_sent_count + model.retained_sent_count);
        if !self.has_tight_outboxes {
            assert_eq!(counters.dropped_outbox_full.load(Relaxed), 0);
        }
    }

    fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }
}
