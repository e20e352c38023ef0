//! What it takes to judge ten thousand sessions by another policy, and what others notice of it meanwhile.
//!
//! `cargo bench --bench review`. The policy and the connections' part of a review are the real ones; the clients are outlets that take
//! everything. While a review runs, a message is published every half millisecond, and its time from the wish to the last outlet is
//! taken: that is what a review may delay.

use std::any::Any;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tidegate::auth::{AuthConfig, Authenticator, Principal};
use tidegate::connection::{ConnectionConfig, Connections, Envelopes, Environment, Policies};
use tidegate::engine::message::{
    Delivered, Delivery, DeliveryCheck, Grant, Message, OpenSession, Outlet, Owner, Rights, Round, SubscribeRequest,
};
use tidegate::engine::{Engine, EngineConfig};
use tidegate::mqtt::packet::SubscribeOptions;
use tidegate::mqtt::{ClientId, PacketId, QoS, ReasonCode, TopicFilter, TopicName};
use tidegate::policy::{self, Access, Policy, SubscribeVerdict};

const SESSIONS: usize = 10_000;
const ROLES: usize = 1000;
const RULES_A_ROLE: usize = 10;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let house = House::new();
    let mut round = Round::default();
    (0..SESSIONS).for_each(|number| house.connect(number, &mut round));
    println!("{SESSIONS} sessions with 4 Subscriptions each; {ROLES} roles, {} rules", ROLES * RULES_A_ROLE + 4);
    println!("{:<28} {:>9} {:>9} {:>9} {:>9} {:>9}", "", "total", "slice", "p50", "p99", "longest");

    let quiet = house.probe(async { tokio::time::sleep(Duration::from_millis(500)).await }).await;
    print("nothing under way", None, &quiet);
    for (what, partial, denied) in [
        ("nobody loses anything", "refuse", ""),
        ("each gets a residue", "filter", "site/7/state"),
        ("each residue is judged anew", "filter", "site/8/state"),
        ("no more residues", "filter", ""),
        ("each loses a Subscription", "refuse", "site/7/state"),
    ] {
        let policy = policy(partial, denied);
        let mut reviewed = None;
        let times = house.probe(async { reviewed = Some(house.connections.replace_policy(policy).await) }).await;
        let reviewed = reviewed.expect("awaited");
        assert_eq!(reviewed.sessions, SESSIONS as u64);
        print(what, Some((reviewed.duration, reviewed.slice_longest)), &times);
    }
    let counters = house.connections.environment().engine.counters();
    assert_eq!(counters.subscriptions_revoked.load(Ordering::Relaxed), SESSIONS as u64);
}

fn print(what: &str, review: Option<(Duration, Duration)>, times: &[Duration]) {
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let shown = |duration: Duration| format!("{:.2} ms", duration.as_secs_f64() * 1000.0);
    let (total, slice) = review.map_or_else(Default::default, |(total, slice)| (shown(total), shown(slice)));
    println!("{what:<28} {total:>9} {slice:>9} {:>9} {:>9} {:>9}", shown(at(50)), shown(at(99)), shown(at(100)));
}

/// Each device reads and writes its own topics and reads the state of all sites but `denied`.
fn policy(partial: &str, denied: &str) -> Policy {
    let mut text = format!(
        "version: 1\npartial: {partial}\nusers: {{ \"*\": [device] }}\nroles:\n  device:\n    - {{ topic: \"own/${{clientid}}/#\", rw: rw }}\n    - {{ topic: \"site/+/state\", rw: r }}\n    - {{ topic: \"all/#\", rw: r }}\n"
    );
    if !denied.is_empty() {
        writeln!(text, "    - {{ topic: \"{denied}\", deny: r }}").expect("a String");
    }
    for role in 0..ROLES {
        writeln!(text, "  role{role}:").expect("a String");
        for rule in 0..RULES_A_ROLE {
            writeln!(text, "    - {{ topic: \"r{role}/{rule}/${{username}}/#\", rw: rw }}").expect("a String");
        }
    }
    Policy::parse(&text, "policy.yaml").expect("a policy")
}

struct House {
    connections: Connections,
}

impl House {
    fn new() -> Self {
        let environment = Environment {
            engine: Arc::new(Engine::new(EngineConfig::default(), ahash::RandomState::with_seeds(1, 2, 3, 4))),
            policy: Policies::new(policy("refuse", "")),
            config: ConnectionConfig::default(),
            counters: Arc::default(),
            roster: Arc::default(),
            envelopes: Arc::new(Envelopes::new(1, || 0, Box::new(|_| None))),
            random: || 7,
        };
        let authenticator =
            Authenticator::new(AuthConfig { anonymous: true, ..Default::default() }).expect("nothing to read");
        let authenticator = Arc::new(ArcSwap::from_pointee(authenticator));
        Self { connections: Connections::new(environment, authenticator, Instant::now()) }
    }

    fn connect(&self, number: usize, round: &mut Round) {
        let environment = self.connections.environment();
        let client_id = ClientId::new(&format!("client-{number:08}"));
        let principal = Principal::user(&format!("user-{number}"));
        let policies = Arc::clone(&environment.policy);
        let open = OpenSession {
            client_id: client_id.clone(),
            owner: Arc::new(Device { principal, client_id: client_id.clone(), policies }),
            clean_start: true,
            expiry_interval_s: 3600,
            receive_maximum: 65_535,
            will: None,
            outlet: Arc::new(Tray::default()),
        };
        let session = environment.engine.open(Instant::now(), open, round).expect("there is room").session;
        let _ = environment.engine.pump(Instant::now(), &session, round);
        let own = format!("own/{client_id}/#");
        for filter in [&own, "site/+/state", "all/news", "$share/workers/all/jobs"] {
            let request = SubscribeRequest {
                filter: TopicFilter::parse(filter).expect("valid"),
                options: SubscribeOptions { maximum_qos: QoS::AtLeastOnce, ..SubscribeOptions::default() },
                identifier: None,
                check: None,
            };
            environment.engine.subscribe(&session, request).expect("within the quota");
        }
    }

    /// Publishes as long as `meanwhile` takes. Returns how long each message took, in ascending order.
    async fn probe(&self, meanwhile: impl Future<Output = ()>) -> Vec<Duration> {
        let (send, mut wishes) = tokio::sync::mpsc::channel::<Instant>(4096);
        let is_over = Arc::new(AtomicBool::new(false));
        let clock = {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = send.try_send(Instant::now());
                    std::thread::park_timeout(Duration::from_micros(500));
                }
            })
        };
        let engine = Arc::clone(&self.connections.environment().engine);
        let publisher = tokio::spawn(async move {
            let mut times = Vec::new();
            let mut number = 0;
            while let Some(wished) = wishes.recv().await {
                number += 7;
                let topic = format!("own/client-{:08}/x", number % SESSIONS);
                let topic = TopicName::parse(&topic).expect("valid");
                let message = Arc::new(Message::new(&topic, &[], b"payload", QoS::AtMostOnce, false));
                let mut round = Round::default();
                assert_eq!(engine.publish(Instant::now(), None, &message, &mut round).receivers, 1);
                round.drain().for_each(|outlet| outlet.flush());
                times.push(wished.elapsed());
            }
            times
        });
        meanwhile.await;
        is_over.store(true, Ordering::Relaxed);
        clock.join().expect("it ends");
        let mut times = publisher.await.expect("it ends");
        times.sort_unstable();
        times
    }
}

/// Stands for a connection that takes everything.
#[derive(Debug, Default)]
struct Tray {
    told_count: AtomicU64,
}

impl Outlet for Tray {
    fn deliver(&self, _now: Instant, _delivery: &Delivery<'_>) -> Delivered {
        Delivered::Appended { first: true }
    }

    fn release(&self, _packet_id: PacketId) -> Delivered {
        Delivered::Appended { first: true }
    }

    fn revoked(&self, _filter: &TopicFilter) -> Delivered {
        self.told_count.fetch_add(1, Ordering::Relaxed);
        Delivered::Appended { first: true }
    }

    fn close(&self, _reason: ReasonCode) {}

    fn flush(&self) {}
}

/// As a connection tells the engine whose a session is.
#[derive(Debug)]
struct Device {
    principal: Principal,
    client_id: ClientId,
    policies: Arc<Policies>,
}

impl Owner for Device {
    fn name(&self) -> &str {
        &self.principal.username
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn rights(self: Arc<Self>) -> Option<Box<dyn Rights>> {
        let access = self.policies.load().bind(&self.principal, self.client_id.as_str()).ok()?;
        Some(Box::new(Bound(access)))
    }
}

#[derive(Debug)]
struct Bound(Access);

impl Rights for Bound {
    fn subscribe(&self, filter: &TopicFilter, maximum_qos: QoS) -> Option<Grant> {
        match self.0.subscribe(filter, maximum_qos) {
            SubscribeVerdict::Granted { maximum_qos } => Some(Grant { maximum_qos, check: None }),
            SubscribeVerdict::Filtered { maximum_qos, check } => {
                Some(Grant { maximum_qos, check: Some(Arc::new(Residue(check))) })
            }
            SubscribeVerdict::Refused(_) => None,
        }
    }

    fn receive(&self, topic: &str) -> bool {
        self.0.receive(topic).allow
    }

    fn publish_will(&self, will: &Message) -> bool {
        self.0.publish(will.topic(), will.qos, will.retain, will.payload().len()).allow
    }
}

#[derive(Debug)]
struct Residue(policy::DeliveryCheck);

impl DeliveryCheck for Residue {
    fn allows(&self, topic: &str) -> bool {
        self.0.allows(topic)
    }
}
