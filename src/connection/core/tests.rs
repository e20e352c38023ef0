//! Scripts: packets in, packets and endings out. The engine is the real one; time stands still unless a test moves it.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::auth::{Authenticator, PasswordFile};
use crate::engine::EngineConfig;
use crate::engine::message::{Delivered, Delivery};
use crate::mqtt::packet::{Login, Publish, Subscribe, SubscribeOptions, Unsubscribe, Will};
use crate::mqtt::property::{ConnectProperties, PublishProperties, SubscribeProperties, WillProperties};
use crate::mqtt::{PacketId, QoS, TopicFilter, TopicName};
use crate::policy::Policy;

mod authentication;

mod envelopes;
mod limits;

mod review;

const POLICY: &str = r#"
version: 1
users: { "*": [all], anonymous: [all], client: [client] }
roles:
  all:
    - { topic: "open/#", rw: rw }
  client:
    - { topic: "/p/${username}/upload", rw: rw }
"#;

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    /// All of it, in order, as a line each.
    lines: Mutex<Vec<String>>,
    /// The Reason Strings among it.
    words: Mutex<Vec<String>>,
    /// The latest CONNACK.
    connack: Mutex<Option<ConnAck>>,
    /// The Keep Alive that holds.
    keep_alive_s: Mutex<Option<u16>>,
}

impl Outlet for Seen {
    fn deliver(&self, _: Instant, delivery: &Delivery<'_>) -> Delivered {
        let message = delivery.message;
        let line = format!(
            "PUBLISH {} {} q{} r{} d{}",
            message.topic(),
            String::from_utf8_lossy(message.payload()),
            delivery.qos as u8,
            u8::from(delivery.retain),
            u8::from(delivery.dup)
        );
        self.push(line);
        Delivered::Appended { first: false }
    }

    fn release(&self, packet_id: PacketId) -> Delivered {
        self.push(format!("PUBREL {packet_id}"));
        Delivered::Appended { first: false }
    }

    fn revoked(&self, filter: &TopicFilter) -> Delivered {
        self.push(format!("revoked {filter}"));
        Delivered::Appended { first: false }
    }

    fn close(&self, reason: ReasonCode) {
        self.push(format!("asked to close: {}", reason.name()));
    }

    fn flush(&self) {}
}

impl Seen {
    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

thread_local! {
    /// The clock of the world: a test is a thread.
    static UNIX_NOW_S: std::cell::Cell<u64> = const { std::cell::Cell::new(1_700_000_000) };
}

fn unix_now_s() -> u64 {
    UNIX_NOW_S.get()
}

/// A broker with a policy, and what its clients share.
struct House {
    environment: Environment,
    authenticator: Authenticator,
    now: Instant,
}

impl House {
    fn new() -> Self {
        let policy = Policy::parse(POLICY, "policy.yaml").unwrap();
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        Self {
            environment: Environment {
                engine: Arc::new(Engine::new(EngineConfig::default(), hasher)),
                policy: Policies::new(policy),
                config: ConnectionConfig { receive_maximum: 2, topic_alias_maximum: 2, ..Default::default() },
                counters: Arc::default(),
                roster: Arc::default(),
                envelopes: Arc::new(Envelopes::new(
                    4,
                    unix_now_s,
                    Box::new(|token| token.strip_prefix("jwt of ").map(Into::into)),
                )),
                random: || 7,
            },
            authenticator: Authenticator::with_passwords(
                true,
                Some(PasswordFile::parse(authentication::PASSWORDS, "passwords").unwrap()),
                1,
            ),
            now: Instant::now(),
        }
    }

    fn client(&self, manner: Manner) -> Client<'_> {
        Client { house: self, core: Core::new(manner, None), seen: Arc::default() }
    }

    /// A client of 5.0 that is connected as `client_id`.
    fn connected(&self, client_id: &str) -> Client<'_> {
        let mut client = self.client(Manner::MQTT);
        client.connect(connect(client_id, Version::V5), "someone");
        client.said();
        client
    }
}

struct Client<'a> {
    house: &'a House,
    core: Core,
    seen: Arc<Seen>,
}

impl Client<'_> {
    /// Gives the core `packet`, carries out what it says, and returns all that this client saw since last asked.
    fn send(&mut self, packet: Packet<'_>) -> Vec<String> {
        self.act(|core, now, _, turn| core.handle_packet(now, packet, turn));
        self.said()
    }

    fn connect(&mut self, connect: Connect, username: &str) -> Vec<String> {
        let principal = Principal::user(username);
        self.act(|core, now, _, turn| core.handle_packet(now, Packet::Connect(Box::new(connect)), turn));
        self.act(|core, now, outlet, turn| core.authenticated(now, Ok(principal), outlet, turn));
        self.said()
    }

    fn lose(&mut self) {
        self.act(|core, now, _, turn| core.transport_lost(now, turn));
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lines.lock().unwrap())
    }

    /// The Reason Strings that came since last asked.
    fn words(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.words.lock().unwrap())
    }

    /// What the latest CONNACK told.
    fn connack(&self) -> ConnAckProperties {
        self.seen.connack.lock().unwrap().clone().unwrap().properties
    }

    fn act(&mut self, act: impl FnOnce(&mut Core, Instant, &Arc<dyn Outlet>, &mut Turn<'_>)) {
        let (mut round, mut outputs) = (Round::default(), VecDeque::new());
        let environment = &self.house.environment;
        let mut turn = Turn { environment, round: &mut round, outputs: &mut outputs };
        let outlet = Arc::clone(&self.seen) as Arc<dyn Outlet>;
        act(&mut self.core, self.house.now, &outlet, &mut turn);
        while let Some(output) = turn.outputs.pop_front() {
            match output {
                Output::Send(packet) => {
                    if let Packet::ConnAck(ack) = &packet {
                        *self.seen.connack.lock().unwrap() = Some(ConnAck::clone(ack));
                    }
                    self.seen.words.lock().unwrap().extend(words(&packet).map(str::to_owned));
                    self.seen.push(line(&packet));
                }
                Output::Pump | Output::PumpLater => self.core.pump(self.house.now, &mut turn),
                Output::Close(reason) => self.seen.push(format!("close: {}", reason.name())),
                Output::Prove { proof, .. } => {
                    let claimant = self.core.claimant().expect("one who proves something");
                    // Nobody is asked about a token: tests say what comes of it.
                    if let crate::auth::Proving::Done(outcome) = self.house.authenticator.prove(proof, claimant, 7) {
                        self.core.proven(self.house.now, outcome, &outlet, &mut turn);
                    }
                }
                Output::Established { keep_alive_s, .. } => {
                    *self.seen.keep_alive_s.lock().unwrap() = Some(keep_alive_s)
                }
                Output::Hold { until } => {
                    self.seen.push(format!("held for {} ms", until.duration_since(self.house.now).as_millis()));
                }
                Output::Slowed => self.seen.push("slowed".to_owned()),
                Output::Revoked(filter) => self.seen.push(format!("revoked {filter}")),
                Output::Authenticate(_) | Output::Renewed { .. } => {}
            }
        }
    }
}

fn line(packet: &Packet<'_>) -> String {
    match packet {
        Packet::ConnAck(ack) => {
            let ConnAckProperties { authentication_method, authentication_data, .. } = &ack.properties;
            let proof = authentication_method.as_ref().map(|method| format!(" {method} {}", text(authentication_data)));
            format!("CONNACK {} present={}{}", ack.reason.name(), ack.session_present, proof.unwrap_or_default())
        }
        Packet::Auth(auth) => {
            let AuthProperties { authentication_method, authentication_data, .. } = &auth.properties;
            let method = authentication_method.as_deref().unwrap_or("none");
            format!("AUTH {} {method} {}", auth.reason.name(), text(authentication_data))
        }
        Packet::PubAck(ack) => format!("PUBACK {} {}", ack.packet_id, ack.reason.name()),
        Packet::PubRec(ack) => format!("PUBREC {} {}", ack.packet_id, ack.reason.name()),
        Packet::PubRel(ack) => format!("PUBREL {} {}", ack.packet_id, ack.reason.name()),
        Packet::PubComp(ack) => format!("PUBCOMP {} {}", ack.packet_id, ack.reason.name()),
        Packet::SubAck(ack) => format!("SUBACK {:?}", ack.reasons),
        Packet::UnsubAck(ack) => format!("UNSUBACK {:?}", ack.reasons),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {}", disconnect.reason.name()),
        other => format!("{other:?}"),
    }
}

/// The Reason String of `packet`.
fn words<'a>(packet: &'a Packet<'_>) -> Option<&'a str> {
    match packet {
        Packet::ConnAck(ack) => ack.properties.reason_string.as_deref(),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack.properties.as_ref()?.reason_string.as_deref()
        }
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => ack.properties.reason_string.as_deref(),
        Packet::Disconnect(disconnect) => disconnect.properties.reason_string.as_deref(),
        _ => None,
    }
}

fn text(data: &Option<Bytes>) -> String {
    data.as_ref().map_or("none".to_owned(), |data| String::from_utf8_lossy(data).into_owned())
}

fn connect(client_id: &str, version: Version) -> Connect {
    Connect {
        version,
        is_bridge: false,
        clean_start: true,
        keep_alive_s: 60,
        client_id: client_id.into(),
        login: Login::default(),
        will: None,
        properties: ConnectProperties::default(),
    }
}

fn publish<'a>(topic: &'a str, payload: &'a [u8], qos: QoS, packet_id: Option<u16>) -> Packet<'a> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(TopicName::parse(topic).unwrap()),
        packet_id: packet_id.and_then(PacketId::new),
        properties: PublishProperties::default(),
        payload: payload.into(),
    })
}

fn subscribe(filters: &[&str], maximum_qos: QoS) -> Packet<'static> {
    let options = SubscribeOptions { maximum_qos, ..Default::default() };
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        properties: SubscribeProperties::default(),
        filters: filters.iter().map(|text| (TopicFilter::parse(text).unwrap(), options)).collect(),
    })
}

fn ack(packet_id: u16) -> Ack {
    Ack::new(PacketId::new(packet_id).unwrap(), ReasonCode::Success)
}

const SUCCESS: &str = "CONNACK Success present=false";

#[test]
fn the_first_packet_must_be_connect() {
    let house = House::new();
    assert_eq!(house.client(Manner::MQTT).send(Packet::PingReq), ["close: Protocol Error"]);
}

#[test]
fn a_second_connect_ends_an_mqtt_connection_and_only_it() {
    let house = House::new();
    let again = || Packet::Connect(Box::new(connect("a", Version::V5)));
    assert_eq!(house.connected("a").send(again()), ["DISCONNECT Protocol Error", "close: Protocol Error"]);
    let mut json = house.client(Manner::JSON);
    json.connect(connect("b", Version::V5), "someone");
    assert_eq!(json.send(again()), ["CONNACK Protocol Error present=false"]);
    assert_eq!(json.send(Packet::PingReq), ["PingResp"]);
}

#[test]
fn a_message_reaches_its_subscribers_at_the_lower_qos() {
    let house = House::new();
    let (mut subscriber, mut publisher) = (house.connected("s"), house.connected("p"));
    assert_eq!(subscriber.send(subscribe(&["open/+"], QoS::AtLeastOnce)), ["SUBACK [GrantedQoS1]"]);
    assert_eq!(publisher.send(publish("open/a", b"hi", QoS::ExactlyOnce, Some(5))), ["PUBREC 5 Success"]);
    assert_eq!(subscriber.said(), ["PUBLISH open/a hi q1 r0 d0"]);
    // Sent again as its PUBREC was lost: answered, not delivered twice.
    assert_eq!(publisher.send(publish("open/a", b"hi", QoS::ExactlyOnce, Some(5))), ["PUBREC 5 Success"]);
    assert_eq!(publisher.send(Packet::PubRel(ack(5))), ["PUBCOMP 5 Success"]);
    assert_eq!(publisher.send(Packet::PubRel(ack(5))), ["PUBCOMP 5 Packet Identifier not found"]);
    assert!(subscriber.said().is_empty());
}

#[test]
fn what_policy_denies_is_answered_as_the_version_can() {
    let house = House::new();
    let mut witness = house.connected("w");
    witness.send(subscribe(&["open/#"], QoS::AtMostOnce));
    let mut v5 = house.connected("v5");
    assert_eq!(v5.send(publish("shut", b"x", QoS::AtLeastOnce, Some(1))), ["PUBACK 1 Not authorized"]);
    assert_eq!(v5.send(publish("shut", b"x", QoS::ExactlyOnce, Some(2))), ["PUBREC 2 Not authorized"]);
    assert_eq!(v5.send(Packet::PubRel(ack(2))), ["PUBCOMP 2 Packet Identifier not found"]);
    assert!(v5.send(publish("shut", b"x", QoS::AtMostOnce, None)).is_empty());
    assert_eq!(v5.send(subscribe(&["shut", "open/a"], QoS::AtMostOnce)), ["SUBACK [NotAuthorized, Success]"]);

    let mut v4 = house.client(Manner::MQTT);
    v4.connect(connect("v4", Version::V4), "someone");
    v4.said();
    assert_eq!(v4.send(publish("shut", b"x", QoS::ExactlyOnce, Some(2))), ["PUBREC 2 Success"]);
    assert_eq!(v4.send(Packet::PubRel(ack(2))), ["PUBCOMP 2 Success"]);

    // A dialect that numbers its QoS 0 messages hears of every denial.
    let mut json = house.client(Manner::JSON);
    json.connect(connect("json", Version::V5), "someone");
    assert_eq!(json.send(publish("shut", b"x", QoS::AtMostOnce, Some(9))), ["PUBACK 9 Not authorized"]);
    assert!(witness.said().is_empty());
    assert_eq!(house.environment.counters.publishes_denied.load(std::sync::atomic::Ordering::Relaxed), 5);
}

#[test]
fn a_will_the_policy_denies_refuses_the_connect() {
    let house = House::new();
    let mut connect = connect("w", Version::V5);
    connect.will = Some(will("shut"));
    let seen = house.client(Manner::MQTT).connect(connect, "someone");
    assert_eq!(seen, ["CONNACK Not authorized present=false", "close: Not authorized"]);
}

fn will(topic: &'static str) -> Will {
    Will {
        topic: TopicName::parse(topic).unwrap(),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties::default(),
    }
}

#[test]
fn a_will_is_published_unless_the_client_takes_its_leave() {
    let house = House::new();
    let mut witness = house.connected("w");
    witness.send(subscribe(&["open/#"], QoS::AtMostOnce));
    let leave = |disconnect: Option<ReasonCode>| {
        let mut connect = connect("mortal", Version::V5);
        connect.will = Some(will("open/will"));
        let mut mortal = house.client(Manner::MQTT);
        mortal.connect(connect, "someone");
        match disconnect {
            Some(reason) => {
                mortal.send(Packet::Disconnect(Disconnect { reason, properties: DisconnectProperties::default() }));
            }
            None => mortal.lose(),
        }
        witness.said()
    };
    assert_eq!(leave(None), ["PUBLISH open/will gone q0 r0 d0"]);
    assert_eq!(leave(Some(ReasonCode::DisconnectWithWill)), ["PUBLISH open/will gone q0 r0 d0"]);
    assert!(leave(Some(ReasonCode::Success)).is_empty());
}

#[test]
fn an_identity_that_no_rule_can_use_is_refused() {
    let house = House::new();
    let everybody = POLICY.replace("\"*\": [all]", "\"*\": [all, client]");
    house.environment.policy.store(Arc::new(Policy::parse(&everybody, "policy.yaml").unwrap()));
    for username in ["#", "+", "a/b", "", "a\0b"] {
        let seen = house.client(Manner::MQTT).connect(connect("c", Version::V5), username);
        assert_eq!(seen, ["CONNACK Not authorized present=false", "close: Not authorized"], "{username:?}");
    }
    let mut client = house.client(Manner::MQTT);
    assert_eq!(client.connect(connect("c", Version::V5), "anna"), [SUCCESS]);
    let seen = client.send(publish("/p/anna/upload", b"x", QoS::AtLeastOnce, Some(1)));
    assert_eq!(seen, ["PUBACK 1 No matching subscribers"]);
    let seen = client.send(publish("/p/berta/upload", b"x", QoS::AtLeastOnce, Some(1)));
    assert_eq!(seen, ["PUBACK 1 Not authorized"]);
}

#[test]
fn aliases_stand_for_topics_on_this_connection() {
    let house = House::new();
    let mut subscriber = house.connected("s");
    subscriber.send(subscribe(&["open/#"], QoS::AtMostOnce));
    let aliased = |topic: Option<&'static str>, alias: u16| {
        Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: topic.map(|text| TopicName::parse(text).unwrap()),
            packet_id: None,
            properties: PublishProperties { topic_alias: std::num::NonZeroU16::new(alias), ..Default::default() },
            payload: b"x".as_slice().into(),
        })
    };
    let mut publisher = house.connected("p");
    publisher.send(aliased(Some("open/one"), 2));
    publisher.send(aliased(None, 2));
    publisher.send(aliased(Some("open/two"), 2));
    publisher.send(aliased(None, 2));
    let topics: Vec<String> = subscriber.said();
    assert_eq!(
        topics,
        ["open/one", "open/one", "open/two", "open/two"].map(|topic| format!("PUBLISH {topic} x q0 r0 d0"))
    );
    assert_eq!(publisher.send(aliased(None, 1)), ["DISCONNECT Protocol Error", "close: Protocol Error"]);
    let seen = house.connected("q").send(aliased(Some("open/x"), 3));
    assert_eq!(seen, ["DISCONNECT Topic Alias invalid", "close: Topic Alias invalid"]);
}

#[test]
fn more_unreleased_messages_than_the_receive_maximum_end_the_connection() {
    let house = House::new();
    let mut publisher = house.connected("p");
    for id in 1..=2 {
        assert_eq!(publisher.send(publish("open/a", b"", QoS::ExactlyOnce, Some(id))).len(), 1);
    }
    let seen = publisher.send(publish("open/a", b"", QoS::ExactlyOnce, Some(3)));
    assert_eq!(seen, ["DISCONNECT Receive Maximum exceeded", "close: Receive Maximum exceeded"]);
}

/// A QoS 1 message is answered before the next is looked at: fifty in one burst are one at a time.
#[test]
fn a_burst_of_qos_1_exceeds_nothing_by_itself() {
    let house = House::new();
    let mut publisher = house.connected("p");
    for id in 1..=50 {
        let puback = [format!("PUBACK {id} No matching subscribers")];
        assert_eq!(publisher.send(publish("open/a", b"", QoS::AtLeastOnce, Some(id))), puback);
    }
    // Two that are unreleased use up the Receive Maximum, and leave no place for a third of either QoS (MQTT 5.0 §4.9).
    publisher.send(publish("open/a", b"", QoS::ExactlyOnce, Some(1)));
    publisher.send(publish("open/a", b"", QoS::ExactlyOnce, Some(2)));
    assert!(publisher.send(publish("open/a", b"", QoS::AtMostOnce, None)).is_empty(), "QoS 0 does not count");
    let exceeded = ["DISCONNECT Receive Maximum exceeded", "close: Receive Maximum exceeded"];
    assert_eq!(publisher.send(publish("open/a", b"", QoS::AtLeastOnce, Some(3))), exceeded);
    assert_eq!(publisher.words(), ["Receive Maximum of 2 exceeded"]);
}

#[test]
fn what_is_released_or_denied_leaves_its_place() {
    let house = House::new();
    let mut publisher = house.connected("p");
    for id in 1..=10 {
        assert_eq!(publisher.send(publish("shut", b"", QoS::ExactlyOnce, Some(id))).len(), 1);
        assert_eq!(publisher.send(publish("open/a", b"", QoS::ExactlyOnce, Some(id))).len(), 1);
        assert_eq!(publisher.send(Packet::PubRel(ack(id))), [format!("PUBCOMP {id} Success")]);
    }
    publisher.send(publish("open/a", b"", QoS::ExactlyOnce, Some(1)));
    assert_eq!(publisher.send(publish("open/a", b"", QoS::AtLeastOnce, Some(2))).len(), 1, "one place is left");
}

/// MQTT 5.0 §4.9: the send quota is not preserved across Network Connections.
#[test]
fn each_connection_counts_its_messages_anew() {
    let house = House::new();
    let resumed = || {
        let mut connect = connect("kept", Version::V5);
        connect.clean_start = false;
        connect.properties.session_expiry_interval_s = Some(60);
        let mut client = house.client(Manner::MQTT);
        client.connect(connect, "someone");
        client.said();
        client
    };
    let mut client = resumed();
    for id in [1, 2] {
        client.send(publish("open/a", b"", QoS::ExactlyOnce, Some(id)));
    }
    client.lose();
    let mut client = resumed();
    for id in [3, 4] {
        assert_eq!(client.send(publish("open/a", b"", QoS::ExactlyOnce, Some(id))).len(), 1);
    }
    assert_eq!(client.send(Packet::PubRel(ack(1))), ["PUBCOMP 1 Success"]);
    let exceeded = ["DISCONNECT Receive Maximum exceeded", "close: Receive Maximum exceeded"];
    assert_eq!(
        client.send(publish("open/a", b"", QoS::ExactlyOnce, Some(5))),
        exceeded,
        "1 was not of this connection"
    );

    // What is sent again on this connection counts on it.
    let mut client = resumed();
    client.send(publish("open/a", b"", QoS::ExactlyOnce, Some(2)));
    client.send(publish("open/a", b"", QoS::ExactlyOnce, Some(6)));
    assert_eq!(client.send(publish("open/a", b"", QoS::ExactlyOnce, Some(7))), exceeded);
}

#[test]
fn a_client_is_told_where_it_does_not_get_what_it_asked_for() {
    let mut house = House::new();
    house.environment.config.session_expiry_max = Duration::from_secs(100);
    house.environment.config.keep_alive_max_s = 30;
    let opened = |expiry_interval_s, keep_alive_s, version| {
        let mut connect = connect("c", version);
        connect.properties.session_expiry_interval_s = expiry_interval_s;
        connect.keep_alive_s = keep_alive_s;
        let mut client = house.client(Manner::MQTT);
        client.connect(connect, "someone");
        let told = client.connack();
        let keep_alive_s = client.seen.keep_alive_s.lock().unwrap().unwrap();
        (told.session_expiry_interval_s, told.server_keep_alive_s, keep_alive_s)
    };
    // Session Expiry Interval (MQTT 5.0 §3.2.2.3.2), Server Keep Alive [MQTT-3.1.2-21], and the Keep Alive that holds.
    assert_eq!(opened(None, 30, Version::V5), (None, None, 30));
    assert_eq!(opened(Some(100), 29, Version::V5), (None, None, 29));
    assert_eq!(opened(Some(101), 31, Version::V5), (Some(100), Some(30), 30));
    assert_eq!(opened(Some(u32::MAX), 0, Version::V5), (Some(100), Some(30), 30));
    assert_eq!(opened(None, 31, Version::V4), (None, None, 31), "3.1.1 cannot be told");
}

#[test]
fn a_client_is_told_what_it_must_keep_to() {
    let house = House::new();
    let mut client = house.client(Manner::MQTT);
    client.connect(connect("", Version::V5), "someone");
    let told = client.connack();
    assert_eq!(told.receive_maximum.map(u16::from), Some(2));
    assert_eq!(told.topic_alias_maximum, Some(2));
    assert_eq!(told.maximum_packet_size.map(u32::from), Some(2 << 20));
    assert_eq!(told.assigned_client_identifier.as_deref(), Some(&*format!("auto-{:032x}", 7)), "[MQTT-3.1.3-7]");
    let mut named = house.client(Manner::MQTT);
    named.connect(connect("named", Version::V5), "someone");
    assert_eq!(named.connack().assigned_client_identifier, None);
}

#[test]
fn a_client_id_belongs_to_who_used_it_first() {
    let house = House::new();
    let mut first = house.connected("mine");
    let mut thief = house.client(Manner::MQTT);
    let seen = thief.connect(connect("mine", Version::V5), "somebody else");
    assert_eq!(seen, ["CONNACK Client Identifier not valid present=false", "close: Client Identifier not valid"]);
    assert_eq!(first.send(Packet::PingReq), ["PingResp"]);
    // Its owner may take it over.
    let mut again = house.client(Manner::MQTT);
    assert_eq!(again.connect(connect("mine", Version::V5), "someone"), [SUCCESS]);
    assert_eq!(first.said(), ["asked to close: Session taken over"]);
}

#[test]
fn a_kept_session_is_judged_anew() {
    let house = House::new();
    let kept = || {
        let mut connect = connect("kept", Version::V4);
        connect.clean_start = false;
        connect
    };
    let mut client = house.client(Manner::MQTT);
    client.connect(kept(), "someone");
    client.send(subscribe(&["open/a", "open/b/#"], QoS::AtLeastOnce));
    client.lose();
    let narrower = POLICY.replace("open/#", "open/a");
    house.environment.policy.store(Arc::new(Policy::parse(&narrower, "policy.yaml").unwrap()));
    let mut client = house.client(Manner::MQTT);
    assert_eq!(client.connect(kept(), "someone"), ["CONNACK Success present=true"]);
    let unsubscribe = Packet::Unsubscribe(Unsubscribe {
        packet_id: PacketId::MIN,
        user_properties: Vec::new(),
        filters: vec![TopicFilter::parse("open/a").unwrap(), TopicFilter::parse("open/b/#").unwrap()],
    });
    assert_eq!(client.send(unsubscribe), ["UNSUBACK [Success, NoSubscriptionExisted]"]);
}

#[test]
fn nameless_sessions_are_named_only_where_the_version_allows() {
    let house = House::new();
    let refused = BAD_CLIENT_ID;
    assert_eq!(house.client(Manner::MQTT).connect(connect("", Version::V3), "someone"), refused);
    let mut kept = connect("", Version::V4);
    kept.clean_start = false;
    assert_eq!(house.client(Manner::MQTT).connect(kept, "someone"), refused);
    assert_eq!(house.client(Manner::MQTT).connect(connect("", Version::V4), "someone"), [SUCCESS]);
    assert_eq!(house.client(Manner::MQTT).connect(connect("", Version::V5), "someone"), [SUCCESS]);
}

const BAD_CLIENT_ID: [&str; 2] =
    ["CONNACK Client Identifier not valid present=false", "close: Client Identifier not valid"];

/// MQTT 3.1 §3.1, return code 2. Characters are counted, not bytes.
#[test]
fn only_mqtt_3_1_holds_identifiers_to_23_characters() {
    let mut house = House::new();
    for (long, fits) in [("x".repeat(24), "x".repeat(23)), ("ü".repeat(24), "ü".repeat(23))] {
        let answer =
            |house: &House, id: &str, version| house.client(Manner::MQTT).connect(connect(id, version), "someone");
        house.environment.config.has_long_client_ids = false;
        assert_eq!(answer(&house, &long, Version::V3), BAD_CLIENT_ID);
        assert_eq!(answer(&house, &fits, Version::V3), [SUCCESS]);
        assert_eq!(answer(&house, &long, Version::V4), [SUCCESS]);
        assert_eq!(answer(&house, &long, Version::V5), [SUCCESS]);
        house.environment.config.has_long_client_ids = true;
        assert_eq!(answer(&house, &long, Version::V3), [SUCCESS]);
    }
}

/// MQTT 3.1 §3.9 has no return code for a failure; 3.1.1 has 0x80.
#[test]
fn a_3_1_client_is_granted_what_it_asks_for_and_gets_what_it_may() {
    let house = House::new();
    let mut publisher = house.connected("p");
    house.environment.policy.store(Arc::new(Policy::parse(&POLICY.replace("open/#", "open/a"), "p").unwrap()));
    let expected =
        [(Version::V3, "SUBACK [GrantedQoS1, GrantedQoS1]"), (Version::V4, "SUBACK [NotAuthorized, GrantedQoS1]")];
    for (version, suback) in expected {
        let mut client = house.client(Manner::MQTT);
        client.connect(connect("old", version), "someone");
        client.said();
        assert_eq!(client.send(subscribe(&["open/b", "open/a"], QoS::AtLeastOnce)), [suback]);
        publisher.send(publish("open/b", b"", QoS::AtMostOnce, None));
        publisher.send(publish("open/a", b"", QoS::AtMostOnce, None));
        assert_eq!(client.said(), ["PUBLISH open/a  q0 r0 d0"]);
    }
}

#[test]
fn response_information_is_for_whoever_asks_and_where_there_is_any() {
    let mut house = House::new();
    let told = |house: &House, client_id: &str, version, asks| {
        let mut connect = connect(client_id, version);
        connect.properties.request_response_information = asks;
        let mut client = house.client(Manner::MQTT);
        client.connect(connect, "someone");
        client.connack().response_information
    };
    assert_eq!(told(&house, "c", Version::V5, Some(true)), None, "nothing is configured");
    let template = super::super::ResponseInformation::parse("reply/${username}/${clientid}/").unwrap();
    house.environment.config.response_information = Some(template);
    assert_eq!(told(&house, "c", Version::V5, Some(true)).as_deref(), Some("reply/someone/c/"));
    assert_eq!(told(&house, "", Version::V5, Some(true)).as_deref(), Some(&*format!("reply/someone/auto-{:032x}/", 7)));
    for asks in [Some(false), None] {
        assert_eq!(told(&house, "c", Version::V5, asks), None, "[MQTT-3.1.2-28]");
    }
    assert_eq!(told(&house, "a/b", Version::V5, Some(true)), None, "two levels are not one");
    assert_eq!(told(&house, "c", Version::V4, None), None);
}

#[test]
fn disconnect_may_not_bring_a_session_to_life() {
    let house = House::new();
    let properties = DisconnectProperties { session_expiry_interval_s: Some(9), ..Default::default() };
    let disconnect = Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties });
    assert_eq!(house.connected("c").send(disconnect), ["DISCONNECT Protocol Error", "close: Protocol Error"]);
}

#[test]
fn a_queued_message_waits_for_its_session() {
    let mut house = House::new();
    let kept = || {
        let mut connect = connect("kept", Version::V5);
        connect.clean_start = false;
        connect.properties.session_expiry_interval_s = Some(60);
        connect
    };
    {
        let mut client = house.client(Manner::MQTT);
        client.connect(kept(), "someone");
        client.send(subscribe(&["open/a"], QoS::AtLeastOnce));
        client.lose();
    }
    house.connected("p").send(publish("open/a", b"while away", QoS::AtLeastOnce, Some(1)));
    house.now += Duration::from_secs(30);
    let mut client = house.client(Manner::MQTT);
    let seen = client.connect(kept(), "someone");
    assert_eq!(seen, ["CONNACK Success present=true", "PUBLISH open/a while away q1 r0 d0"]);
}

#[test]
fn a_failure_says_why_in_words() {
    let house = House::new();
    let mut client = house.connected("c");
    client.send(publish("shut", b"", QoS::AtLeastOnce, Some(1)));
    assert_eq!(client.words(), ["not authorized to publish to this topic"]);
    client.send(publish("shut", b"", QoS::ExactlyOnce, Some(1)));
    assert_eq!(client.words(), ["not authorized to publish to this topic"]);
    client.send(subscribe(&["shut"], QoS::AtMostOnce));
    assert_eq!(client.words(), ["not authorized to subscribe to this Topic Filter"]);
    client.send(subscribe(&["open/a", "shut", "shut/b"], QoS::AtMostOnce));
    assert_eq!(client.words(), ["Topic Filter 2 of 3: not authorized to subscribe to this Topic Filter"]);
    client.send(Packet::Connect(Box::new(connect("c", Version::V5))));
    assert_eq!(client.words(), ["a second CONNECT on the same connection"]);

    let mut client = house.client(Manner::MQTT);
    let mut mortal = connect("mortal", Version::V5);
    mortal.will = Some(will("shut"));
    client.connect(mortal, "someone");
    assert_eq!(client.words(), ["Will Message: not authorized to publish to this topic"]);
    let mut thief = house.client(Manner::MQTT);
    let _owner = house.connected("mine");
    thief.connect(connect("mine", Version::V5), "somebody else");
    assert_eq!(thief.words(), ["this Client Identifier is not available to this user"]);
}

#[test]
fn the_words_of_a_denial_name_what_was_asked_for_and_not_what_is_allowed() {
    let house = House::new();
    let text = "version: 1\nusers: { \"*\": [some] }\nroles:\n  some:\n    - { topic: t, rw: w, max_qos: 1 }\n\
                limits:\n  some: { payload_bytes_max: 4B, retain: false }\n";
    house.environment.policy.store(Arc::new(Policy::parse(text, "policy.yaml").unwrap()));
    let mut client = house.connected("c");
    let Packet::Publish(mut retained) = publish("t", b"", QoS::AtLeastOnce, Some(3)) else { unreachable!() };
    retained.retain = true;
    assert_eq!(client.send(publish("t", b"", QoS::ExactlyOnce, Some(1))), ["PUBREC 1 Not authorized"]);
    // Smaller it would be allowed: a bound is reached, no right is missing.
    assert_eq!(client.send(publish("t", b"12345", QoS::AtLeastOnce, Some(2))), ["PUBACK 2 Quota exceeded"]);
    assert_eq!(client.send(Packet::Publish(retained)), ["PUBACK 3 Not authorized"]);
    let expected = [
        "not authorized to publish to this topic at this QoS",
        "not authorized to publish a payload of this size to this topic",
        "not authorized to publish to this topic with RETAIN",
    ];
    assert_eq!(client.words(), expected);
}

#[test]
fn success_needs_no_words() {
    let house = House::new();
    let mut client = house.client(Manner::MQTT);
    client.connect(connect("c", Version::V5), "someone");
    client.send(subscribe(&["open/a", "open/b"], QoS::ExactlyOnce));
    client.send(publish("open/a", b"", QoS::AtLeastOnce, Some(1)));
    client.send(publish("open/c", b"", QoS::ExactlyOnce, Some(2)));
    client.send(Packet::PubRel(ack(2)));
    // What is left over from another connection is no failure of anybody's.
    client.send(Packet::PubRel(ack(9)));
    client.send(Packet::PubRec(ack(9)));
    assert!(client.words().is_empty());
}

#[test]
fn who_asks_for_no_problem_information_gets_it_where_the_standard_lets_it() {
    let house = House::new();
    let mut quiet = connect("quiet", Version::V5);
    quiet.properties.request_problem_information = Some(false);
    let mut client = house.client(Manner::MQTT);
    client.connect(quiet, "someone");
    client.said();
    // MQTT 5.0 [MQTT-3.1.2-29]: on nothing but CONNACK and DISCONNECT.
    assert_eq!(client.send(publish("shut", b"", QoS::AtLeastOnce, Some(1))), ["PUBACK 1 Not authorized"]);
    assert_eq!(client.send(publish("shut", b"", QoS::ExactlyOnce, Some(2))), ["PUBREC 2 Not authorized"]);
    assert_eq!(client.send(subscribe(&["shut"], QoS::AtMostOnce)), ["SUBACK [NotAuthorized]"]);
    assert!(client.words().is_empty());
    client.send(Packet::Connect(Box::new(connect("quiet", Version::V5))));
    assert_eq!(client.words(), ["a second CONNECT on the same connection"]);
}

#[test]
fn a_connack_with_little_room_leaves_response_information_out() {
    let mut house = House::new();
    let template = super::super::ResponseInformation::parse("reply/${clientid}/").unwrap();
    house.environment.config.response_information = Some(template);
    let told = |bytes_max: u32| {
        let mut connect = connect("c", Version::V5);
        connect.properties.request_response_information = Some(true);
        connect.properties.maximum_packet_size = std::num::NonZeroU32::new(bytes_max);
        let mut client = house.client(Manner::MQTT);
        assert_eq!(client.connect(connect, "someone"), [SUCCESS]);
        client.connack().response_information
    };
    // Sixteen bytes, and eleven for the property.
    assert_eq!(told(27).as_deref(), Some("reply/c/"));
    assert_eq!(told(26), None);
    assert_eq!(told(16), None);
}

#[test]
fn who_waits_for_connack_while_the_server_stops_is_told_in_it() {
    let house = House::new();
    for version in [Version::V4, Version::V5] {
        let mut client = house.client(Manner::MQTT);
        // Its credentials are still being looked at.
        assert!(client.send(Packet::Connect(Box::new(connect("c", version)))).is_empty());
        client.act(|core, now, _, turn| core.dismiss(now, ReasonCode::ServerShuttingDown.into(), turn));
        assert_eq!(client.said(), ["CONNACK Server unavailable present=false", "close: Server unavailable"]);
        assert_eq!(client.words(), ["the server is shutting down; connect again later"]);
        client.act(|core, now, outlet, turn| core.authenticated(now, Ok(Principal::user("anna")), outlet, turn));
        assert!(client.said().is_empty(), "too late");
    }
    let mut silent = house.client(Manner::MQTT);
    silent.act(|core, now, _, turn| core.dismiss(now, ReasonCode::ServerShuttingDown.into(), turn));
    assert_eq!(silent.said(), ["close: Server shutting down"]);
}

#[test]
fn a_client_that_takes_no_connack_is_not_let_in() {
    let house = House::new();
    let narrow = |bytes_max: u32| {
        let mut connect = connect("narrow", Version::V5);
        connect.properties.maximum_packet_size = std::num::NonZeroU32::new(bytes_max);
        connect.will = Some(will("open/will"));
        connect
    };
    let mut witness = house.connected("w");
    witness.send(subscribe(&["open/#"], QoS::AtMostOnce));
    // Fixed header 2, flags and Reason Code 2, Property Length 1, Receive Maximum 3, Maximum Packet Size 5, Topic Alias Maximum 3.
    let seen = house.client(Manner::MQTT).connect(narrow(15), "someone");
    assert_eq!(seen, ["CONNACK Packet too large present=false", "close: Packet too large"]);
    assert!(witness.said().is_empty(), "there was no session whose Will could be published");
    let mut client = house.client(Manner::MQTT);
    assert_eq!(client.connect(narrow(16), "someone"), [SUCCESS]);
    client.act(|core, now, _, turn| core.answer_too_large(now, turn));
    assert_eq!(client.said(), ["DISCONNECT Packet too large", "close: Packet too large"]);
    assert_eq!(witness.said(), ["PUBLISH open/will gone q0 r0 d0"]);
    client.act(|core, now, _, turn| core.answer_too_large(now, turn));
    assert!(client.said().is_empty(), "a DISCONNECT that does not fit is left out");
}
