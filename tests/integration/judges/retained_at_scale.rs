//! A hundred thousand retained messages for one Subscription: all of them, each once, no faster than they are read, and nobody else waits.

use std::num::NonZeroU16;

use tidegate::mqtt::packet::{Ack, Publish, Subscribe, SubscribeOptions};
use tidegate::mqtt::property::SubscribeProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, TopicFilter, Version};

use crate::harness::mqtt::{bytes, packet_id};
use crate::harness::{Client, Over, Server, Setup, mqtt, payload};

const MESSAGES: usize = 100_000;
const PUBLISHERS: usize = 4;

/// More than sockets, outbox and the bound on memory below take together, times a few.
const PAYLOAD_BYTES: usize = 400;

/// Unanswered QoS 1 messages of a publisher: what the server allows by default.
const WINDOW: usize = 64;

fn topic(index: usize) -> String {
    format!("scale/{}/{index}", index % 97)
}

/// Retains every message, the even ones with QoS 0, the odd ones with QoS 1.
fn fill(server: &Server) {
    let content = payload(PAYLOAD_BYTES, true);
    std::thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let content = &content;
            scope.spawn(move || {
                let mut client = Client::connect(server, Over::Tcp, Version::V5, &format!("publisher-{publisher}"));
                let indices: Vec<_> = (publisher..MESSAGES).step_by(PUBLISHERS).collect();
                for some in indices.chunks(WINDOW) {
                    let mut burst = Vec::new();
                    for (index, id) in some.iter().zip(1..) {
                        let qos =
                            if (index / PUBLISHERS).is_multiple_of(2) { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                        let publish = mqtt::publish(&topic(*index), content, qos, true, id);
                        burst.extend(bytes(&Packet::Publish(publish), Version::V5));
                    }
                    client.send_bytes(&burst);
                    for _ in some.iter().filter(|index| !(**index / PUBLISHERS).is_multiple_of(2)) {
                        assert!(matches!(client.receive(), Packet::PubAck(ack) if !ack.reason.is_failure()));
                    }
                }
                client.expect_nothing();
            });
        }
    });
    server.wait_for_metric("tidegate_engine_retained_messages", |count| count == MESSAGES as f64);
}

/// Two clients that send each other a message at a time.
struct PingPong {
    clients: [Client; 2],
    rounds: usize,
}

impl PingPong {
    fn start(server: &Server) -> Self {
        let clients = ["ping", "pong"].map(|name| {
            let mut client = Client::connect(server, Over::Tcp, Version::V4, name);
            client.subscribe(&format!("live/{name}"), QoS::AtLeastOnce);
            client
        });
        Self { clients, rounds: 0 }
    }

    fn round(&mut self) {
        let [ping, pong] = &mut self.clients;
        let ball = self.rounds.to_string();
        ping.publish("live/pong", ball.as_bytes(), QoS::AtLeastOnce, false);
        pong.expect_message("live/pong", ball.as_bytes());
        pong.publish("live/ping", ball.as_bytes(), QoS::AtLeastOnce, false);
        ping.expect_message("live/ping", ball.as_bytes());
        self.rounds += 1;
    }
}

/// Which retained messages have come.
struct Arrived {
    is_here: Vec<bool>,
    count: usize,
}

impl Arrived {
    fn new() -> Self {
        Self { is_here: vec![false; MESSAGES], count: 0 }
    }

    /// Notes a message and says whether it is a retained one: what is published meanwhile comes as well.
    fn note(&mut self, publish: &Publish<'_>) -> bool {
        let topic = publish.topic.as_deref().expect("no Topic Alias was allowed");
        let Some(rest) = topic.strip_prefix("scale/") else { return false };
        assert!(publish.retain && !publish.dup, "{topic} comes as retained, once");
        assert_eq!(publish.payload.len(), PAYLOAD_BYTES, "{topic}");
        let index: usize = rest.rsplit('/').next().and_then(|index| index.parse().ok()).expect("an index");
        assert!(!std::mem::replace(&mut self.is_here[index], true), "{topic} came twice");
        self.count += 1;
        true
    }

    fn is_everything(&self) -> bool {
        self.count == MESSAGES
    }
}

/// Subscribes to everything; the SUBACK comes among the messages.
fn subscribe(client: &mut Client, maximum_qos: QoS) {
    let options = SubscribeOptions { maximum_qos, ..SubscribeOptions::default() };
    let filters = vec![(TopicFilter::parse("#").expect("a valid filter"), options)];
    let properties = SubscribeProperties::default();
    client.send(&Packet::Subscribe(Subscribe { packet_id: packet_id(1), properties, filters }));
    assert!(matches!(client.receive(), Packet::SubAck(_)));
}

/// Reads everything slowly: after each thousand messages others have their turn.
fn read_slowly(server: &Server, over: Over, others: &mut PingPong) {
    let outbox_full = "tidegate_connection_outbox_full_total";
    let (memory_before, full_before) = (server.memory_bytes(), server.metric(outbox_full));
    let mut reader = Client::connect(server, over, Version::V4, "reader");
    subscribe(&mut reader, QoS::AtMostOnce);
    // Nothing is read yet: the server has to stop by itself, and to go on for all others.
    server.wait_for_metric(outbox_full, |full| full > full_before);
    for _ in 0..50 {
        others.round();
    }
    let grown = server.memory_bytes().saturating_sub(memory_before);
    assert!(grown < 8 << 20, "{grown} bytes more for {} bytes nobody reads", MESSAGES * PAYLOAD_BYTES);
    let mut arrived = Arrived::new();
    while !arrived.is_everything() {
        if arrived.note(&reader.receive_publish()) && arrived.count.is_multiple_of(1000) {
            others.round();
        }
    }
}

/// Reads everything at QoS 1, and acknowledges only when no more may come.
fn read_in_windows(server: &Server, others: &mut PingPong) {
    const RECEIVE_MAXIMUM: u16 = 20;
    let mut connect = mqtt::connect(Version::V5, "window");
    connect.properties.receive_maximum = NonZeroU16::new(RECEIVE_MAXIMUM);
    let mut reader = Client::connect_with(server, Over::Tcp, connect);
    subscribe(&mut reader, QoS::AtLeastOnce);
    let mut arrived = Arrived::new();
    let mut unanswered = Vec::new();
    while !arrived.is_everything() {
        let publish = reader.receive_publish();
        let is_retained = arrived.note(&publish);
        unanswered.extend(publish.packet_id);
        assert!(unanswered.len() <= usize::from(RECEIVE_MAXIMUM), "more in flight than Receive Maximum");
        if unanswered.len() == usize::from(RECEIVE_MAXIMUM) {
            let acks = unanswered.drain(..).map(|id| Packet::PubAck(Ack::new(id, ReasonCode::Success)));
            let acks: Vec<u8> = acks.flat_map(|ack| bytes(&ack, Version::V5)).collect();
            reader.send_bytes(&acks);
        }
        if is_retained && arrived.count.is_multiple_of(5000) {
            others.round();
        }
    }
}

#[test]
fn everything_arrives_as_fast_as_it_is_read() {
    let server = Setup::new().section("limits", "{ outbox_bytes_max: 64KiB }").start();
    fill(&server);
    let mut others = PingPong::start(&server);
    read_slowly(&server, Over::Tcp, &mut others);
    read_slowly(&server, Over::Ws, &mut others);
    read_in_windows(&server, &mut others);
}
