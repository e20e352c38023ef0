//! What the policy costs: loading it, a verdict, a delivery, and judging 10,000 sessions again while others talk.
//!
//! `cargo bench --bench policy`; `cargo bench --bench policy review` for the last alone, which drives the real binary and prints what it
//! has measured.

mod review;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tidegate::auth::Principal;
use tidegate::connection::core::{Core, Manner, Output, Policies, Turn};
use tidegate::connection::{Envelopes, Environment};
use tidegate::engine::message::{Delivered, Delivery, DeliveryCheck, Message, Outlet, Round};
use tidegate::engine::message::{OpenSession, SubscribeRequest, Unbound};
use tidegate::engine::{Engine, EngineConfig};
use tidegate::mqtt::packet::{Connect, Publish, SubscribeOptions};
use tidegate::mqtt::property::{ConnectProperties, PublishProperties};
use tidegate::mqtt::{ClientId, Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version};
use tidegate::policy::{self, Access, Policy, SubscribeVerdict};

fn main() {
    divan::main();
    review::run();
}

/// Roles of ten rules each. The client has the first `held` of them.
fn text(roles: usize, held: usize) -> String {
    let mut text = "version: 1\npartial: filter\nroles:\n".to_owned();
    for role in 0..roles {
        text += &format!("  role{role}:\n    - {{ topic: \"site/{role}/${{username}}/up\", rw: rw }}\n");
        for rule in 0..7 {
            text += &format!("    - {{ topic: \"site/{role}/{rule}/+/state\", rw: r }}\n");
        }
        text += &format!(
            "    - {{ topic: \"site/{role}/#\", rw: r }}\n    - {{ topic: \"site/{role}/+/secret/#\", deny: rw }}\n"
        );
    }
    let held: Vec<String> = (0..held).map(|role| format!("role{role}")).collect();
    text + &format!("users: {{ client: [{}] }}\n", held.join(", "))
}

fn access(roles: usize, held: usize) -> Access {
    let policy = Policy::parse(&text(roles, held), "bench").expect("a policy");
    policy.bind(&Principal::user("client"), "c").expect("it binds")
}

/// 1,000 roles and 10,000 rules in under 100 ms.
#[divan::bench(sample_count = 20)]
fn load_10_000_rules(bencher: Bencher<'_, '_>) {
    let text = text(1000, 1);
    assert_eq!(Policy::parse(&text, "bench").expect("a policy").rules_count(), 10_000);
    bencher.bench_local(|| Policy::parse(black_box(&text), "bench").is_ok());
}

mod verdict {
    use super::*;

    /// Of a client that has so many of 1,000 roles; nothing is remembered here.
    #[divan::bench(args = [1, 10, 50, 1000])]
    fn publish(bencher: Bencher<'_, '_>, held: usize) {
        let access = access(1000, held);
        assert!(access.publish("site/0/client/up", QoS::AtMostOnce, false, 64).allow);
        bencher.bench_local(|| access.publish(black_box("site/0/client/up"), QoS::AtMostOnce, false, 64).allow);
    }

    #[divan::bench(args = [1, 10, 50, 1000])]
    fn publish_refused(bencher: Bencher<'_, '_>, held: usize) {
        let access = access(1000, held);
        bencher.bench_local(|| access.publish(black_box("site/0/other/up"), QoS::AtMostOnce, false, 64).allow);
    }

    #[divan::bench(args = [1, 10, 50, 1000])]
    fn receive(bencher: Bencher<'_, '_>, held: usize) {
        let access = access(1000, held);
        bencher.bench_local(|| access.receive(black_box("site/0/3/x/state")).allow);
    }

    #[divan::bench(args = ["site/0/3/+/state", "site/+/client/up", "#"])]
    fn subscribe(bencher: Bencher<'_, '_>, filter: &str) {
        let access = access(1000, 1);
        let filter = TopicFilter::parse(filter).expect("a filter");
        bencher.bench_local(|| {
            matches!(access.subscribe(black_box(&filter), QoS::AtMostOnce), SubscribeVerdict::Refused(_))
        });
    }
}

/// A PUBLISH with nobody to hear it through the whole of a connection's core, verdict included. A connection remembers its last four
/// topics, so with one topic each verdict is remembered, and of eight in turn none is.
#[divan::bench(args = [1, 8])]
fn publish_through_the_core(bencher: Bencher<'_, '_>, topics: usize) {
    let environment = environment(Policy::parse(&core_text(), "bench").expect("a policy"));
    let mut core = connected(&environment);
    let now = Instant::now();
    let topics: Vec<String> = (0..topics).map(|topic| format!("site/0/{topic}/client/up")).collect();
    let (mut round, mut outputs) = (Round::default(), VecDeque::new());
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % topics.len();
        let publish = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: Some(TopicName::parse(topics[next].as_str()).expect("a topic")),
            packet_id: None,
            properties: PublishProperties::default(),
            payload: (&[b'x'; 64][..]).into(),
        };
        let mut turn = Turn { environment: &environment, round: &mut round, outputs: &mut outputs };
        core.handle_packet(now, Packet::Publish(publish), &mut turn);
    });
    assert!(outputs.is_empty() && environment.counters.publishes_denied.load(Ordering::Relaxed) == 0);
}

/// 1,000 roles, of which the client has one.
fn core_text() -> String {
    text(1000, 1).replace("site/0/${username}/up", "site/0/+/${username}/up")
}

fn environment(policy: Policy) -> Environment {
    let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
    Environment {
        engine: Arc::new(Engine::new(EngineConfig::default(), hasher)),
        policy: Policies::new(policy),
        config: Default::default(),
        counters: Arc::default(),
        envelopes: Arc::new(Envelopes::new(1, || 0, Box::new(|_| None))),
        roster: Arc::default(),
        random: || 7,
    }
}

/// A client that has connected and been let in.
fn connected(environment: &Environment) -> Core {
    let mut core = Core::new(Manner::MQTT, None);
    let (mut round, mut outputs) = (Round::default(), VecDeque::new());
    let mut turn = Turn { environment, round: &mut round, outputs: &mut outputs };
    let connect = Connect {
        version: Version::V4,
        is_bridge: false,
        clean_start: true,
        keep_alive_s: 0,
        client_id: "c".into(),
        login: Default::default(),
        will: None,
        properties: ConnectProperties::default(),
    };
    core.handle_packet(Instant::now(), Packet::Connect(Box::new(connect)), &mut turn);
    let outlet = Arc::new(Tray::default()) as Arc<dyn Outlet>;
    core.authenticated(Instant::now(), Ok(Principal::user("client")), &outlet, &mut turn);
    assert!(core.is_established());
    let says_no = |output: &Output| matches!(output, Output::Close(_));
    assert!(!outputs.iter().any(says_no));
    core
}

/// One message to 1,000 receivers, by what their Subscription was granted as.
mod delivery {
    use super::*;

    /// Nobody has asked a policy.
    #[divan::bench]
    fn unrestricted(bencher: Bencher<'_, '_>) {
        deliver(bencher, || None);
    }

    /// One grant covers the filter: the same as unrestricted, as there is nothing to ask.
    #[divan::bench]
    fn covered(bencher: Bencher<'_, '_>) {
        let access = access(1000, 1);
        deliver(bencher, || {
            let check = check_of(&access, "site/0/3/x/state");
            assert!(check.is_none());
            check
        });
    }

    /// Only part of the filter is granted, and each delivery is judged.
    #[divan::bench]
    fn filtered(bencher: Bencher<'_, '_>) {
        let access = access(1000, 1);
        deliver(bencher, || {
            let check = check_of(&access, "site/0/#");
            assert!(check.is_some());
            check
        });
    }

    fn check_of(access: &Access, filter: &str) -> Option<Arc<dyn DeliveryCheck>> {
        match access.subscribe(&TopicFilter::parse(filter).expect("a filter"), QoS::AtMostOnce) {
            SubscribeVerdict::Granted { .. } => None,
            SubscribeVerdict::Filtered { check, .. } => Some(Arc::new(Checked(check))),
            SubscribeVerdict::Refused(verdict) => panic!("{verdict:?}"),
        }
    }

    #[derive(Debug)]
    struct Checked(policy::DeliveryCheck);

    impl DeliveryCheck for Checked {
        fn allows(&self, topic: &str) -> bool {
            self.0.allows(topic)
        }
    }

    fn deliver(bencher: Bencher<'_, '_>, check: impl Fn() -> Option<Arc<dyn DeliveryCheck>>) {
        const RECEIVERS: usize = 1000;
        let engine = Engine::new(EngineConfig::default(), ahash::RandomState::with_seeds(1, 2, 3, 4));
        let (now, mut round) = (Instant::now(), Round::default());
        let mut sessions = Vec::new();
        for number in 0..RECEIVERS {
            let open = OpenSession {
                client_id: ClientId::new(&format!("client-{number}")),
                owner: Unbound::named("somebody"),
                clean_start: true,
                expiry_interval_s: 0,
                receive_maximum: 65_535,
                will: None,
                outlet: Arc::new(Tray::default()),
            };
            let session = engine.open(now, open, &mut round).expect("there is room").session;
            let _ = engine.pump(now, &session, &mut round);
            let filter = TopicFilter::parse("site/0/3/x/state").expect("a filter");
            let options = SubscribeOptions { maximum_qos: QoS::AtMostOnce, ..SubscribeOptions::default() };
            let request = SubscribeRequest { filter, options, identifier: None, check: check() };
            engine.subscribe(&session, request).expect("within the quota");
            sessions.push(session);
        }
        let topic = TopicName::parse("site/0/3/x/state").expect("a topic");
        let message = Arc::new(Message::new(&topic, &[], &[b'x'; 64], QoS::AtMostOnce, false));
        bencher.counter(ItemsCount::new(RECEIVERS)).bench_local(|| {
            let published = engine.publish(now, None, &message, &mut round);
            assert_eq!(published.receivers, RECEIVERS);
            round.drain().for_each(|outlet| outlet.flush());
        });
    }
}

/// Stands for a connection's outbox.
#[derive(Debug, Default)]
struct Tray(AtomicU64);

impl Outlet for Tray {
    fn deliver(&self, _now: Instant, delivery: &Delivery<'_>) -> Delivered {
        let before = self.0.fetch_add(delivery.message.size() as u64, Ordering::Relaxed);
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
        self.0.store(0, Ordering::Relaxed);
    }
}
