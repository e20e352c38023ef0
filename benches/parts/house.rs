//! An engine with clients that only record: no sockets, no clock but the one it is given, and hashes that are the same in each run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tidegate::engine::message::{Delivered, Delivery, Message, OpenSession, Outlet, Round, SubscribeRequest, Unbound};
use tidegate::engine::{Attached, Engine, EngineConfig};
use tidegate::mqtt::packet::SubscribeOptions;
use tidegate::mqtt::{ClientId, PacketId, QoS, ReasonCode, TopicFilter};

/// Stands for a connection's outbox: remembers the bytes, and which Packet Identifier came last.
#[derive(Debug, Default)]
pub(crate) struct Tray {
    bytes: AtomicU64,
    pub(crate) packet_id: AtomicU64,
}

impl Outlet for Tray {
    fn deliver(&self, _now: Instant, delivery: &Delivery<'_>) -> Delivered {
        let before = self.bytes.load(Ordering::Relaxed);
        self.bytes.store(before + delivery.message.size() as u64, Ordering::Relaxed);
        self.packet_id.store(delivery.packet_id.map_or(0, |id| id.get().into()), Ordering::Relaxed);
        Delivered::Appended { first: before == 0 }
    }

    fn release(&self, _packet_id: PacketId) -> Delivered {
        Delivered::Appended { first: false }
    }

    fn revoked(&self, _filter: &TopicFilter) -> Delivered {
        Delivered::Appended { first: false }
    }

    fn close(&self, _reason: ReasonCode) {}

    fn flush(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }
}

/// An engine on its own, and what a caller of it holds.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) round: Round,
}

impl House {
    pub(crate) fn new() -> Self {
        let config =
            EngineConfig { subscriptions_max: 1_000_000, subscription_bytes_max: 1 << 30, ..EngineConfig::default() };
        let engine = Engine::new(config, ahash::RandomState::with_seeds(1, 2, 3, 4));
        Self { engine, now: Instant::now(), round: Round::default() }
    }

    pub(crate) fn connect(&mut self, number: usize) -> (Attached, Arc<Tray>) {
        let tray = Arc::new(Tray::default());
        let open = OpenSession {
            client_id: ClientId::new(&format!("client-{number:08}")),
            owner: Unbound::named("somebody"),
            clean_start: true,
            expiry_interval_s: 0,
            receive_maximum: 65_535,
            will: None,
            outlet: Arc::clone(&tray) as Arc<dyn Outlet>,
        };
        let opened = self.engine.open(self.now, open, &mut self.round).expect("there is room");
        let _ = self.engine.pump(self.now, &opened.session, &mut self.round);
        (opened.session, tray)
    }

    pub(crate) fn subscribe(&self, attached: &Attached, filter: &str, maximum_qos: QoS) {
        let request = SubscribeRequest {
            filter: TopicFilter::parse(filter).expect("valid"),
            options: SubscribeOptions { maximum_qos, ..SubscribeOptions::default() },
            identifier: None,
            check: None,
        };
        self.engine.subscribe(attached, request).expect("within the quota");
    }

    pub(crate) fn publish(&mut self, message: &Arc<Message>) -> usize {
        let published = self.engine.publish(self.now, None, message, &mut self.round);
        for outlet in self.round.drain() {
            outlet.flush();
        }
        published.receivers
    }
}
