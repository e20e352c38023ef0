//! QoS 2 over a network that cuts every connection after some arbitrary byte, in the middle of packets and between them.
//!
//! Whatever was cut off, each message arrives exactly once and in the order of its topic (MQTT 5.0 §4.3.3, §4.4, §4.6).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use tidegate::mqtt::packet::{Ack, Connect, Publish};
use tidegate::mqtt::{Packet, PacketId, QoS, ReasonCode, Version};

use crate::harness::{Client, Cutter, Over, Server, Setup, mqtt};

const MESSAGES: usize = 500;
const TOPICS: usize = 5;

/// Unacknowledged messages of the publisher at a time.
const WINDOW: usize = 10;

fn connect(version: Version, client_id: &str) -> Connect {
    let mut connect = Connect { clean_start: false, ..mqtt::connect(version, client_id) };
    connect.properties.session_expiry_interval_s = (version == Version::V5).then_some(1000);
    connect
}

/// Comes until CONNACK comes as well.
fn reconnect(address: SocketAddr, version: Version, client_id: &str) -> Client {
    loop {
        let mut client = Client::open_at(address, version);
        client.send(&Packet::Connect(Box::new(connect(version, client_id))));
        match client.try_receive() {
            Ok(Packet::ConnAck(answer)) => {
                assert_eq!(answer.reason, ReasonCode::Success);
                assert!(answer.session_present || version == Version::V3, "the session is kept");
                return client;
            }
            Ok(other) => panic!("{other:?} instead of CONNACK"),
            Err(_) => {}
        }
    }
}

/// A connection that was cut here may have reached the server all the same, and later than the one that followed it.
fn is_taken_over(packet: &Packet<'_>) -> bool {
    matches!(packet, Packet::Disconnect(disconnect) if disconnect.reason == ReasonCode::SessionTakenOver)
}

/// The topic and the payload of a message.
fn message(index: usize) -> (String, String) {
    (format!("fire/{}", index % TOPICS), index.to_string())
}

/// How far a message of the publisher has come.
struct InFlight {
    id: PacketId,
    index: usize,
    is_released: bool,
}

impl InFlight {
    fn packet(&self, dup: bool) -> Packet<'static> {
        if self.is_released {
            return Packet::PubRel(Ack::new(self.id, ReasonCode::Success));
        }
        let (topic, payload) = message(self.index);
        let publish = mqtt::publish(&topic, payload.as_bytes(), QoS::ExactlyOnce, false, self.id.get());
        Packet::Publish(Publish { dup, ..publish }.into_owned())
    }
}

/// Publishes all messages, each until it is complete.
fn publish_all(address: SocketAddr, version: Version) {
    let mut in_flight: VecDeque<InFlight> = VecDeque::new();
    let mut next = 0;
    while next < MESSAGES || !in_flight.is_empty() {
        let mut client = reconnect(address, version, "publisher");
        in_flight.iter().for_each(|message| client.send(&message.packet(true)));
        loop {
            while next < MESSAGES && in_flight.len() < WINDOW {
                // An identifier comes again only long after it was freed, but far sooner than all have had their turn.
                let id = mqtt::packet_id(1 + (next % (3 * WINDOW)) as u16);
                in_flight.push_back(InFlight { id, index: next, is_released: false });
                next += 1;
                client.send(&in_flight.back().expect("just pushed").packet(false));
            }
            if in_flight.is_empty() {
                return;
            }
            match client.try_receive() {
                Ok(Packet::PubRec(ack)) => {
                    assert!(!ack.reason.is_failure(), "{ack:?}");
                    if let Some(message) = in_flight.iter_mut().find(|message| message.id == ack.packet_id) {
                        message.is_released = true;
                    }
                    client.send(&Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success)));
                }
                Ok(Packet::PubComp(ack)) => in_flight.retain(|message| message.id != ack.packet_id),
                Ok(packet) if is_taken_over(&packet) => break,
                Ok(other) => panic!("{other:?} for a publisher"),
                Err(_) => break,
            }
        }
    }
}

/// Takes messages until the last has come and every exchange is complete; returns their payloads by topic.
fn receive_all(address: SocketAddr, version: Version) -> BTreeMap<String, Vec<usize>> {
    let mut received: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut count = 0;
    let mut unreleased: BTreeMap<PacketId, Vec<u8>> = BTreeMap::new();
    while count < MESSAGES || !unreleased.is_empty() {
        let mut client = reconnect(address, version, "subscriber");
        // What is left between PUBREC and PUBREL is for the server to go on with.
        while count < MESSAGES || !unreleased.is_empty() {
            match client.try_receive() {
                Ok(Packet::Publish(publish)) => {
                    let id = publish.packet_id.expect("QoS 2");
                    assert_eq!(publish.qos, QoS::ExactlyOnce);
                    if let Some(first) = unreleased.get(&id) {
                        assert!(publish.dup, "{id} is in use: {publish:?}");
                        assert_eq!(publish.payload, *first, "{id} is in use");
                    } else {
                        count += 1;
                        unreleased.insert(id, publish.payload.to_vec());
                        let payload = std::str::from_utf8(&publish.payload).expect("a number");
                        let topic = publish.topic.as_deref().expect("no Topic Alias was allowed").to_owned();
                        received.entry(topic).or_default().push(payload.parse().expect("a number"));
                    }
                    client.send(&Packet::PubRec(Ack::new(id, ReasonCode::Success)));
                }
                Ok(Packet::PubRel(ack)) => {
                    unreleased.remove(&ack.packet_id);
                    client.send(&Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::Success)));
                }
                Ok(packet) if is_taken_over(&packet) => break,
                Ok(other) => panic!("{other:?} for a subscriber"),
                Err(_) => break,
            }
        }
    }
    received
}

/// What has to arrive: all indices of each topic, in order.
fn everything() -> BTreeMap<String, Vec<usize>> {
    let mut everything: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for index in 0..MESSAGES {
        everything.entry(message(index).0).or_default().push(index);
    }
    everything
}

/// Opens both sessions, the subscriber's with its subscription, before anything is cut.
fn prepare(server: &Server, version: Version) {
    let mut subscriber = Client::connect_with(server, Over::Tcp, connect(version, "subscriber"));
    subscriber.subscribe("fire/+", QoS::ExactlyOnce);
    subscriber.disconnect(ReasonCode::Success);
    Client::connect_with(server, Over::Tcp, connect(version, "publisher")).disconnect(ReasonCode::Success);
}

fn under_fire(version: Version, seed: u64) {
    // A network that is cut again and again looks like two clients that take the session from each other.
    let server = Setup::new().section("limits", "{ takeovers_max: 1000000 }").start();
    prepare(&server, version);
    let [inward, outward] = [seed, !seed].map(|seed| Cutter::start(server.address("mqtt"), seed, 1..1500));
    let received = std::thread::scope(|scope| {
        scope.spawn(|| publish_all(inward.address(), version));
        receive_all(outward.address(), version)
    });
    assert_eq!(received, everything(), "seed {seed}");
    let cut_counts = [inward.cut_count(), outward.cut_count()];
    assert!(cut_counts.iter().all(|&count| count > 4), "{cut_counts:?} cuts prove little");
}

#[test]
fn of_3_1() {
    for seed in 0..5 {
        under_fire(Version::V3, seed);
    }
}

#[test]
fn of_3_1_1() {
    for seed in 10..15 {
        under_fire(Version::V4, seed);
    }
}

#[test]
fn of_5_0() {
    for seed in 20..30 {
        under_fire(Version::V5, seed);
    }
}
