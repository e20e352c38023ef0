//! Does a script to one broker and writes down what every actor saw.
//!
//! After each step every connected actor pings until a whole round brought nothing but answers to pings: all that the step caused was
//! seen then, and belongs to it. Nothing waits for time.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::mqtt::packet::{Ack, Connect, Disconnect};
use tidegate::mqtt::property::DisconnectProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, TopicName, Version};

use super::broker::Broker;
use super::script::{Actor, Script, Step, kept};
use super::transcript::{Transcript, spell};
use crate::harness::{Client, mqtt};

/// Does all steps, then leaves the broker as it was.
pub fn run(broker: &mut dyn Broker, script: &Script) -> Transcript {
    let mut run = Run { broker, transcript: Transcript::default(), step: 0, online: BTreeMap::new() };
    for (actor, step) in &script.steps {
        run.step += 1;
        run.act(actor, step);
    }
    run.clean_up(script);
    run.transcript
}

struct Run<'a> {
    broker: &'a mut dyn Broker,
    transcript: Transcript,
    step: usize,
    online: BTreeMap<Actor, Connection>,
}

struct Connection {
    client: Client,
    client_id: Box<str>,
    /// What the broker's Topic Aliases stand for.
    aliases: BTreeMap<u16, String>,
    /// Answers not sent yet, while answers are held back.
    held: Option<Vec<Packet<'static>>>,
    is_silent: bool,
}

/// Rounds of pings after which something is taken to go on for ever.
const ROUNDS_MAX: usize = 1000;

impl Run<'_> {
    fn act(&mut self, actor: Actor, step: &Step) {
        match step {
            Step::Connect(connect) => self.connect(actor, connect),
            Step::Elapse { seconds } => self.elapse(*seconds),
            _ if !self.online.contains_key(actor) => {}
            Step::Send(packet) => {
                self.connection(actor).client.send(packet);
                if matches!(packet, Packet::Disconnect(_)) {
                    self.await_end(actor);
                }
            }
            Step::Bytes(bytes) => self.connection(actor).client.send_bytes(bytes),
            Step::Cut => self.end(actor),
            Step::Hold => self.connection(actor).held = Some(Vec::new()),
            Step::Release => {
                let connection = self.connection(actor);
                for answer in connection.held.take().unwrap_or_default() {
                    connection.client.send(&answer);
                }
            }
            Step::FallSilent => self.connection(actor).is_silent = true,
            Step::AwaitEnd => self.await_end(actor),
            Step::AwaitMessage => {
                self.receive(actor);
            }
        }
        self.settle(actor);
    }

    fn connection(&mut self, actor: Actor) -> &mut Connection {
        self.online.get_mut(actor).expect("looked at before")
    }

    fn connect(&mut self, actor: Actor, connect: &Connect) {
        if self.online.contains_key(actor) {
            self.end(actor);
        }
        let mut client = Client::open_at(self.broker.address(), connect.version);
        client.send(&Packet::Connect(Box::new(connect.clone())));
        let client_id = connect.client_id.clone();
        let connection =
            Connection { client, client_id: client_id.clone(), aliases: BTreeMap::new(), held: None, is_silent: false };
        self.online.insert(actor, connection);
        let is_in =
            matches!(self.receive(actor), Some(Packet::ConnAck(answer)) if answer.reason == ReasonCode::Success);
        let holder = self.online.iter().find(|(name, other)| **name != actor && other.client_id == client_id);
        if is_in
            && !client_id.is_empty()
            && let Some((&holder, _)) = holder
        {
            self.await_end(holder);
        }
    }

    /// The next packet for `actor`, written down and answered; `None` when the broker closes instead.
    fn receive(&mut self, actor: Actor) -> Option<Packet<'static>> {
        let step = self.step;
        let connection = self.online.get_mut(actor).expect("looked at before");
        let Ok(packet) = connection.client.try_receive() else {
            self.transcript.add(step, actor, "end", "closed".to_owned());
            self.end(actor);
            return None;
        };
        if packet != Packet::PingResp {
            let topic = connection.topic_of(&packet);
            let (stream, text) = spell(&packet, &topic);
            self.transcript.add(step, actor, &stream, text);
            connection.answer(&packet);
        }
        Some(packet)
    }

    fn await_end(&mut self, actor: Actor) {
        while self.online.contains_key(actor) {
            self.receive(actor);
        }
    }

    fn end(&mut self, actor: Actor) {
        if let Some(mut connection) = self.online.remove(actor) {
            // What comes by other connections may overtake the end of this one, unless the broker has answered it by its own.
            connection.client.transport.finish();
            connection.client.transport.read_to_end();
        }
        self.broker.settle_endings(self.online.len());
    }

    /// Pings until nobody is told anything more, `first` first.
    fn settle(&mut self, first: Actor) {
        for _ in 0..ROUNDS_MAX {
            let before = self.transcript.lines().len();
            let others: Vec<Actor> = self.online.keys().copied().filter(|actor| *actor != first).collect();
            for actor in std::iter::once(first).chain(others) {
                self.ping(actor);
            }
            if self.transcript.lines().len() == before {
                return;
            }
        }
        panic!("no end of it after step {}: {:?}", self.step, self.transcript.lines().last());
    }

    fn ping(&mut self, actor: Actor) {
        let Some(connection) = self.online.get_mut(actor).filter(|connection| !connection.is_silent) else { return };
        connection.client.send(&Packet::PingReq);
        while self.online.contains_key(actor) && self.receive(actor) != Some(Packet::PingResp) {}
    }

    /// Waits for a Will that is so many seconds delayed, under a topic that no script asks for.
    fn elapse(&mut self, seconds: u32) {
        let connect = |name| Packet::Connect(Box::new(mqtt::connect(Version::V5, name)));
        let mut watch = Client::open_at(self.broker.address(), Version::V5);
        watch.send(&connect("watch"));
        assert!(matches!(watch.receive(), Packet::ConnAck(_)));
        watch.subscribe("clock", QoS::AtMostOnce);
        let mut clock = Client::open_at(self.broker.address(), Version::V5);
        let mut connect = kept(Version::V5, "clock");
        let mut will = mqtt::will("clock", "tick", QoS::AtMostOnce, false);
        will.properties.delay_interval_s = seconds;
        connect.will = Some(will);
        clock.send(&Packet::Connect(Box::new(connect)));
        assert!(matches!(clock.receive(), Packet::ConnAck(_)));
        drop(clock);
        watch.expect_message("clock", b"tick");
        drop(watch);
        self.broker.settle_endings(self.online.len());
    }

    /// Ends every session and deletes every retained message that the script may have left.
    fn clean_up(&mut self, script: &Script) {
        self.online.clear();
        let mut client_ids = BTreeSet::from(["clock"]);
        let mut topics = BTreeSet::new();
        for (_, step) in &script.steps {
            match step {
                Step::Connect(connect) => {
                    client_ids.insert(&connect.client_id);
                    topics.extend(connect.will.iter().filter(|will| will.retain).map(|will| will.topic.clone()));
                }
                Step::Send(Packet::Publish(publish)) if publish.retain => topics.extend(publish.topic.clone()),
                _ => {}
            }
        }
        // Ending a session may publish its Will, so what is retained is deleted behind all of them.
        for client_id in client_ids.into_iter().filter(|client_id| !client_id.is_empty()) {
            self.visit(client_id, &[]);
        }
        self.visit("cleaner", &topics);
        self.broker.settle_endings(0);
    }

    /// Comes with a clean session, deletes what is retained under `topics`, and leaves.
    fn visit<'a>(&self, client_id: &str, topics: impl IntoIterator<Item = &'a TopicName<'static>>) {
        let mut client = Client::open_at(self.broker.address(), Version::V5);
        client.send(&Packet::Connect(Box::new(mqtt::connect(Version::V5, client_id))));
        assert!(matches!(client.receive(), Packet::ConnAck(_)));
        for topic in topics {
            client.publish(topic, b"", QoS::AtLeastOnce, true);
        }
        let properties = DisconnectProperties::default();
        client.send(&Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties }));
        while client.try_receive().is_ok() {}
    }
}

impl Connection {
    /// The topic of a PUBLISH, by its alias if need be.
    fn topic_of(&mut self, packet: &Packet<'_>) -> String {
        let Packet::Publish(publish) = packet else { return String::new() };
        let alias = publish.properties.topic_alias.map(std::num::NonZero::get);
        match (&publish.topic, alias) {
            (Some(topic), alias) => {
                let topic = topic.as_str().to_owned();
                self.aliases.extend(alias.map(|alias| (alias, topic.clone())));
                topic
            }
            (None, Some(alias)) => {
                self.aliases.get(&alias).cloned().unwrap_or_else(|| format!("unknown alias {alias}"))
            }
            (None, None) => panic!("{publish:?} has no topic"),
        }
    }

    /// Answers as the QoS asks, now or when answers are released.
    fn answer(&mut self, packet: &Packet<'_>) {
        let answer = match packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => Packet::PubAck(Ack::new(id, ReasonCode::Success)),
                (QoS::ExactlyOnce, Some(id)) => Packet::PubRec(Ack::new(id, ReasonCode::Success)),
                _ => return,
            },
            Packet::PubRec(ack) if !ack.reason.is_failure() => {
                Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success))
            }
            Packet::PubRel(ack) => Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::Success)),
            _ => return,
        };
        match &mut self.held {
            Some(held) => held.push(answer),
            None => self.client.send(&answer),
        }
    }
}
