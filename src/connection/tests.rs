//! Whole connections over real sockets, on a clock that a test moves: what no client alone can bring about or wait for.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::admission::Entry;
use super::*;
use crate::auth::AuthConfig;
use crate::engine::message::{Closing, Delivered, Delivery, OpenSession, Outlet, Owner, Rights, Unbound};
use crate::engine::{Engine, EngineConfig};
use crate::mqtt::codec::{self, Decoder, Limits, Sender};
use crate::mqtt::packet::{Connect, Login, Subscribe, SubscribeOptions};
use crate::mqtt::property::{ConnectProperties, SubscribeProperties};
use crate::mqtt::{Packet, PacketId, QoS, TopicFilter, TopicName, Version};
use crate::policy::Policy;

/// A server without edge.
struct House {
    connections: Connections,
    start: Instant,
    listener: TcpListener,
    handshakes: Arc<Handshakes>,
}

impl House {
    async fn new() -> Self {
        Self::with(ConnectionConfig::default()).await
    }

    async fn with(config: ConnectionConfig) -> Self {
        let start = Instant::now();
        let environment = Environment {
            engine: Arc::new(Engine::new(EngineConfig::default(), ahash::RandomState::with_seeds(1, 2, 3, 4))),
            policy: Policies::new(Policy::allow_all()),
            config,
            counters: Arc::default(),
            roster: Arc::default(),
            envelopes: Arc::new(Envelopes::new(1, || 0, Box::new(|_| None))),
            random: || 7,
        };
        let authenticator = Authenticator::new(AuthConfig { anonymous: true, ..Default::default() }).unwrap();
        Self {
            connections: Connections::new(environment, Arc::new(ArcSwap::from_pointee(authenticator)), start),
            start,
            listener: TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap(),
            handshakes: Handshakes::new(100, Duration::ZERO),
        }
    }

    async fn connect(&self, protocol: Protocol, version: Version, keep_alive_s: u16) -> Client {
        let socket = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
        let (accepted, peer) = self.listener.accept().await.unwrap();
        let Entry::Seated { handshake, .. } = self.handshakes.enter(self.start, std::net::Ipv4Addr::LOCALHOST.into())
        else {
            panic!("no seat")
        };
        let place = Place::take(&Arc::default(), 1).unwrap();
        let stream = Stream::Plain(accepted);
        self.connections.serve(Accepted {
            stream,
            early: Vec::new(),
            peer,
            listener: "mqtt://127.0.0.1:0".into(),
            is_exempt: true,
            protocol,
            token: None,
            duplicate_client_id: None,
            certificate: None,
            standing: None,
            place,
            handshake,
        });
        let mut client = Client { socket, protocol, version };
        let connect = Connect {
            version,
            is_bridge: false,
            clean_start: true,
            keep_alive_s,
            client_id: CLIENT_ID.into(),
            login: Login::default(),
            will: None,
            properties: ConnectProperties::default(),
        };
        client.send(&Packet::Connect(Box::new(connect))).await;
        let decoder = Decoder::with_version(Sender::Server, Limits::default(), version);
        match decoder.clone().decode(&client.receive().await) {
            Ok(Some((Packet::ConnAck(answer), _))) => assert_eq!(answer.reason, ReasonCode::Success),
            other => panic!("{other:?}"),
        }
        client
    }

    /// Moves the clock to `time` after the start, and lets everybody act on it.
    async fn tick(&self, time: Duration) {
        self.connections.tick(self.start + time);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    fn closed(&self, reason: ReasonCode) -> u64 {
        self.connections.environment().counters.closed(reason)
    }
}

const CLIENT_ID: &str = "client";

/// A client that trusts the server not to split what is short.
struct Client {
    socket: TcpStream,
    protocol: Protocol,
    version: Version,
}

impl Client {
    async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(packet, self.version, &mut bytes).unwrap();
        if self.protocol.is_websocket() {
            // Masked with zeros: legal, and as good as not.
            let header = [0x82, 0x80 | u8::try_from(bytes.len()).unwrap(), 0, 0, 0, 0];
            bytes.splice(0..0, header);
        }
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// One packet, or one frame's payload.
    async fn receive(&mut self) -> Vec<u8> {
        let mut header = [0; 2];
        self.socket.read_exact(&mut header).await.unwrap();
        let mut payload = vec![0; usize::from(header[1])];
        self.socket.read_exact(&mut payload).await.unwrap();
        match self.protocol.is_websocket() {
            true => payload,
            false => [&header[..], &payload].concat(),
        }
    }

    /// Everything up to the end of the stream.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).await.unwrap();
        rest
    }
}

const EVERY_WAY: [(Protocol, Version); 4] = [
    (Protocol::Mqtt, Version::V4),
    (Protocol::Mqtt, Version::V5),
    (Protocol::MqttWebSocket, Version::V4),
    (Protocol::MqttWebSocket, Version::V5),
];

#[tokio::test]
async fn an_operator_may_send_a_client_away() {
    let house = House::new().await;
    let client_id = ClientId::new(CLIENT_ID);
    for (index, (protocol, version)) in (1..).zip(EVERY_WAY) {
        let mut client = house.connect(protocol, version, 0).await;
        assert!(house.connections.dismiss(&client_id, ReasonCode::AdministrativeAction));
        if version == Version::V5 {
            let packet = client.receive().await;
            assert_eq!((packet[0], packet[2]), (0xE0, 0x98), "DISCONNECT, Administrative action");
            let words = "an operator has closed this connection";
            assert!(String::from_utf8_lossy(&packet).contains(words), "{packet:?}");
        }
        // 1008: policy violation.
        let expected = if protocol.is_websocket() { &[0x88, 2, 0x03, 0xF0][..] } else { &[] };
        assert_eq!(client.rest().await, expected);
        assert_eq!(house.closed(ReasonCode::AdministrativeAction), index);
        assert!(!house.connections.dismiss(&client_id, ReasonCode::AdministrativeAction), "it is gone");
    }
}

/// MQTT 5.0 [MQTT-3.1.2-22]: not before, and one tick later at the most.
#[tokio::test]
async fn keep_alive_acts_at_one_and_a_half_times() {
    for (protocol, version) in EVERY_WAY {
        let house = House::new().await;
        let mut client = house.connect(protocol, version, 20).await;
        // The connection was opened a little after the clock began.
        let opened = house.start.elapsed();
        for time in [10_000, 20_000, 29_900] {
            house.tick(Duration::from_millis(time)).await;
            assert_eq!(house.closed(ReasonCode::KeepAliveTimeout), 0, "at {time} ms");
        }
        house.tick(Duration::from_secs(30) + opened + 2 * TICK).await;
        assert_eq!(house.closed(ReasonCode::KeepAliveTimeout), 1);
        let farewell = client.rest().await;
        let disconnect = farewell.windows(3).position(|bytes| bytes[0] == 0xE0 && bytes[2] == 0x8D);
        assert_eq!(disconnect.is_some(), version == Version::V5, "{farewell:?}");
    }
}

fn policy(text: &str) -> Policy {
    Policy::parse(text, "policy.yaml").unwrap()
}

/// Everybody may read under `grant`, and nowhere else.
fn reading(grant: &str) -> Policy {
    policy(&format!("version: 1\nroles: {{ all: [{{ topic: \"{grant}\", rw: r }}] }}\nusers: {{ anonymous: [all] }}\n"))
}

impl Client {
    /// Subscribes, and takes the SUBACK.
    async fn subscribe(&mut self, filters: &[&str]) {
        let options = SubscribeOptions::default();
        let filters = filters.iter().map(|text| (TopicFilter::parse(text).unwrap(), options)).collect();
        let properties = SubscribeProperties::default();
        self.send(&Packet::Subscribe(Subscribe { packet_id: PacketId::MIN, properties, filters })).await;
        assert_eq!(self.receive().await[0], 0x90, "SUBACK");
    }
}

#[tokio::test]
async fn a_5_0_client_that_loses_a_subscription_is_told_by_disconnect() {
    for protocol in [Protocol::Mqtt, Protocol::MqttWebSocket] {
        let house = House::new().await;
        let mut client = house.connect(protocol, Version::V5, 0).await;
        client.subscribe(&["kept/a", "lost/#"]).await;
        let reviewed = house.connections.replace_policy(reading("kept/#")).await;
        assert_eq!((reviewed.sessions, reviewed.sessions_lessened, reviewed.subscriptions_revoked), (1, 1, 1));
        let packet = client.receive().await;
        assert_eq!((packet[0], packet[2]), (0xE0, 0x87), "DISCONNECT, Not authorized");
        let words = "no longer authorized to subscribe to lost/#";
        assert!(String::from_utf8_lossy(&packet).contains(words), "{packet:?}");
        // 1008: policy violation.
        let expected = if protocol.is_websocket() { &[0x88, 2, 0x03, 0xF0][..] } else { &[] };
        assert_eq!(client.rest().await, expected);
        assert_eq!(house.closed(ReasonCode::NotAuthorized), 1);
    }
}

#[tokio::test]
async fn whoever_cannot_be_told_or_is_not_to_be_stays() {
    let keep = ConnectionConfig { revoked: Revoked::Keep, ..ConnectionConfig::default() };
    for (version, config) in [(Version::V4, ConnectionConfig::default()), (Version::V5, keep)] {
        let house = House::with(config).await;
        let mut client = house.connect(Protocol::Mqtt, version, 0).await;
        client.subscribe(&["kept", "lost"]).await;
        house.connections.replace_policy(reading("kept")).await;
        for topic in ["lost", "kept"] {
            let topic = TopicName::parse(topic).unwrap();
            house.connections.announce(house.start, [Message::new(&topic, &[], b"x", QoS::AtMostOnce, false)]);
        }
        let expected: &[u8] = match version {
            Version::V5 => b"\x30\x08\0\x04kept\0x",
            _ => b"\x30\x07\0\x04keptx",
        };
        assert_eq!(client.receive().await, expected, "and nothing before it");
    }
}

/// An owner whose rights take a while to find out; once, the policy is replaced meanwhile.
#[derive(Debug)]
struct Slow {
    policies: Arc<Policies>,
    replaces: AtomicBool,
}

impl Owner for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn rights(self: Arc<Self>) -> Option<Box<dyn Rights>> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        if self.replaces.swap(false, Ordering::Relaxed) {
            self.policies.store(Arc::new(Policy::allow_all()));
        }
        Unbound::named("slow").rights()
    }
}

impl House {
    /// Adds sessions that are away; the one in the middle may replace the policy when it is looked at.
    fn add_slow_sessions(&self, count: usize, replaces: bool) {
        let environment = self.connections.environment();
        for number in 0..count {
            let replaces = AtomicBool::new(replaces && number == count / 2);
            let owner = Arc::new(Slow { policies: Arc::clone(&environment.policy), replaces });
            let mut round = Round::default();
            let outlet = Arc::new(Nowhere);
            let open = OpenSession {
                client_id: ClientId::new(&format!("slow-{number}")),
                owner,
                clean_start: false,
                expiry_interval_s: 3600,
                receive_maximum: 1,
                will: None,
                outlet,
            };
            let session = environment.engine.open(self.start, open, &mut round).unwrap().session;
            let closing = Closing { publish_will: false, expiry_interval_s: None };
            environment.engine.close(self.start, session, closing, &mut round);
        }
    }
}

#[derive(Debug)]
struct Nowhere;

impl Outlet for Nowhere {
    fn deliver(&self, _: Instant, _: &Delivery<'_>) -> Delivered {
        Delivered::Closed
    }

    fn release(&self, _: PacketId) -> Delivered {
        Delivered::Closed
    }

    fn revoked(&self, _: &TopicFilter) -> Delivered {
        Delivered::Closed
    }

    fn close(&self, _: ReasonCode) {}

    fn flush(&self) {}
}

#[tokio::test]
async fn others_have_their_turn_while_sessions_are_reviewed() {
    let house = House::new().await;
    house.add_slow_sessions(20, false);
    let review = tokio::spawn(house.connections.replace_policy(Policy::allow_all()));
    let mut turns_count = 0;
    while !review.is_finished() {
        turns_count += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(review.await.unwrap().sessions, 20);
    assert!(turns_count >= 20, "{turns_count}: one after each slice, as each takes longer than one may");
}

#[tokio::test]
async fn a_newer_policy_cuts_a_review_short() {
    let house = House::new().await;
    house.add_slow_sessions(20, true);
    let reviewed = house.connections.replace_policy(Policy::allow_all()).await;
    assert!(reviewed.is_superseded && reviewed.sessions == 11, "{reviewed:?}");
    let reviewed = house.connections.replace_policy(Policy::allow_all()).await;
    assert!(!reviewed.is_superseded && reviewed.sessions == 20, "{reviewed:?}");
    let counters = &house.connections.environment().counters;
    assert_eq!(counters.policy_reviews.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_review_goes_on_when_nobody_waits_for_it() {
    let house = House::new().await;
    house.add_slow_sessions(5, false);
    drop(house.connections.replace_policy(Policy::allow_all()));
    let reviewed = &house.connections.environment().engine.counters().sessions_reviewed;
    while reviewed.load(Ordering::Relaxed) < 5 {
        tokio::task::yield_now().await;
    }
}

/// A message published `us` microseconds after the start by the task of one connection, on a thread that has just woken up for it; and
/// whom it has to be flushed to.
fn publish(house: &House, by: u32, us: u64, payload: &[u8]) -> Vec<Arc<dyn Outlet>> {
    gather::thread_sleeps();
    publish_awake(house, by, us, payload)
}

/// The same on a thread that has been awake for long.
fn publish_awake(house: &House, by: u32, us: u64, payload: &[u8]) -> Vec<Arc<dyn Outlet>> {
    gather::enter(by);
    let message = Message::new(&TopicName::parse("t").unwrap(), &[], payload, QoS::AtMostOnce, false);
    let mut round = Round::default();
    let now = house.start + Duration::from_secs(1) + Duration::from_micros(us);
    house.connections.environment().engine.publish(now, None, &Arc::new(message), &mut round);
    gather::leave();
    round.drain().collect()
}

#[tokio::test]
async fn whoever_many_publish_to_is_sent_to_once_for_all() {
    let house = House::new().await;
    let mut client = house.connect(Protocol::Mqtt, Version::V4, 0).await;
    client.subscribe(&["t"]).await;

    let lone = publish(&house, 1, 0, b"1");
    assert!(lone[0].flush_unless_busy(), "a lone message goes at once");
    assert_eq!(client.receive().await, b"\x30\x04\0\x01t1");

    // Two publishers shortly after one another: the second waits, and nobody else has to see to it.
    let second = publish(&house, 2, 10, b"2");
    assert!(!second[0].flush_unless_busy());
    assert!(publish(&house, 3, 12, b"3").is_empty());
    assert!(client.socket.try_read(&mut [0; 8]).is_err(), "nothing is sent yet");
    gather::flush_late(Arc::clone(&second[0]));
    assert_eq!(client.receive().await, b"\x30\x04\0\x01t2");
    assert_eq!(client.receive().await, b"\x30\x04\0\x01t3");

    // What the connection itself has to say waits for nobody, and takes along what has gathered.
    assert!(!publish(&house, 4, 15, b"a")[0].flush_unless_busy());
    client.send(&Packet::PingReq).await;
    assert_eq!(client.receive().await, b"\x30\x04\0\x01ta");
    assert_eq!(client.receive().await, b"\xD0\0");

    // One publisher is not many, however fast it is.
    assert!(publish(&house, 1, 20_000, b"4")[0].flush_unless_busy());
    assert!(publish(&house, 1, 20_005, b"5")[0].flush_unless_busy());
    assert_eq!(client.receive().await, b"\x30\x04\0\x01t4");
    assert_eq!(client.receive().await, b"\x30\x04\0\x01t5");

    // What gathers is bounded: whoever fills it flushes it.
    assert!(!publish(&house, 2, 20_010, b"6")[0].flush_unless_busy());
    assert!(publish(&house, 3, 20_020, b"7").is_empty());
    let full = publish(&house, 4, 20_030, &[0; 16 * 1024]);
    assert!(full[0].flush_unless_busy());
    assert_eq!(client.receive().await, b"\x30\x04\0\x01t6");
    assert_eq!(client.receive().await, b"\x30\x04\0\x01t7");
}

#[tokio::test]
async fn who_has_a_backlog_waits_longer_for_the_next_publisher() {
    let house = House::new().await;
    let mut client = house.connect(Protocol::Mqtt, Version::V4, 0).await;
    client.subscribe(&["t"]).await;
    assert!(publish(&house, 1, 0, b"1")[0].flush_unless_busy());
    assert!(publish(&house, 2, 1000, b"2")[0].flush_unless_busy());
    (0..10).for_each(gather::enter);
    let third = publish_awake(&house, 1, 2000, b"3");
    assert!(!third[0].flush_unless_busy());
    third[0].flush();
    assert!(publish_awake(&house, 2, 5000, b"4")[0].flush_unless_busy(), "too long ago");
    assert!(publish_awake(&house, 2, 5100, b"5")[0].flush_unless_busy(), "there is nobody else");
}

#[tokio::test]
async fn a_goodbye_takes_along_what_has_gathered() {
    let house = House::new().await;
    let mut client = house.connect(Protocol::Mqtt, Version::V5, 0).await;
    client.subscribe(&["t"]).await;
    assert!(publish(&house, 1, 0, b"1")[0].flush_unless_busy());
    assert!(!publish(&house, 2, 10, b"2")[0].flush_unless_busy());
    assert!(house.connections.dismiss(&ClientId::new(CLIENT_ID), ReasonCode::AdministrativeAction));
    let rest = client.rest().await;
    assert!(rest.starts_with(b"\x30\x05\0\x01t\x001\x30\x05\0\x01t\x002\xE0"), "{rest:?}");
}
