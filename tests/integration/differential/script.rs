//! What is done to both brokers: steps, each by one actor, one after the other.

use std::num::{NonZeroU16, NonZeroU32};

use tidegate::mqtt::packet::{Ack, Connect, Disconnect, Publish, Subscribe, SubscribeOptions, Unsubscribe};
use tidegate::mqtt::property::{DisconnectProperties, PublishProperties, SubscribeProperties};
use tidegate::mqtt::{Packet, QoS, ReasonCode, TopicFilter, Version};

use super::transcript::spell;
use crate::harness::mqtt::{connect, packet_id, topic_name};

/// Steps with a name.
#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    pub steps: Vec<(Actor, Step)>,
    /// Which member of a group gets a message is the broker's choice: all actors' messages are compared together.
    pub is_shared: bool,
    /// Whether it does not matter here which answers say that nobody listens.
    pub is_without_hints: bool,
}

/// Who does something: at most one connection at a time.
pub type Actor = &'static str;

#[derive(Clone, Debug)]
pub enum Step {
    /// Opens a connection and sends CONNECT.
    Connect(Box<Connect>),
    Send(Packet<'static>),
    /// Bytes that are no packet, or none that the encoder would write.
    Bytes(Vec<u8>),
    /// Ends the connection without a word.
    Cut,
    /// From here on answers nothing.
    Hold,
    /// Sends the answers held back, and answers at once again.
    Release,
    /// From here on sends nothing at all.
    FallSilent,
    /// Waits until the broker closes the connection.
    AwaitEnd,
    /// Waits for whatever comes first.
    AwaitMessage,
    /// Lets time pass, by a Will that is so many seconds delayed.
    Elapse {
        seconds: u32,
    },
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(connect) => {
                let Connect { version, clean_start, will, properties, .. } = &**connect;
                write!(f, "CONNECT {version}, clean {clean_start}")?;
                if let Some(will) = will {
                    write!(
                        f,
                        ", will {:?} to {} QoS {} retain {}",
                        will.payload, will.topic, will.qos as u8, will.retain
                    )?;
                }
                let kept_s = properties.session_expiry_interval_s;
                write!(f, ", expiry {kept_s:?}, receive maximum {:?}", properties.receive_maximum)
            }
            Self::Send(Packet::Publish(publish)) => {
                write!(f, "{}", spell(&Packet::Publish(publish.clone()), publish.topic.as_deref().unwrap_or("")).1)
            }
            Self::Send(Packet::Subscribe(Subscribe { filters, properties, .. })) => {
                write!(f, "SUBSCRIBE {filters:?} {:?}", properties.subscription_identifier)
            }
            Self::Send(packet) => write!(f, "{packet:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl std::fmt::Display for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.name)?;
        for (number, (actor, step)) in self.steps.iter().enumerate() {
            writeln!(f, "{:4} {actor}: {step}", number + 1)?;
        }
        Ok(())
    }
}

impl Script {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), steps: Vec::new(), is_shared: false, is_without_hints: false }
    }

    pub fn step(mut self, actor: Actor, step: Step) -> Self {
        self.steps.push((actor, step));
        self
    }

    /// CONNECT; a Keep Alive of 0 becomes one that does not matter, as the brokers answer 0 each in its own way.
    pub fn connect(self, actor: Actor, mut connect: Connect) -> Self {
        connect.keep_alive_s = if connect.keep_alive_s == 0 { 600 } else { connect.keep_alive_s };
        self.step(actor, Step::Connect(Box::new(connect)))
    }

    /// CONNECT with a clean session and an identifier that is the actor's name.
    pub fn connect_clean(self, actor: Actor, version: Version) -> Self {
        self.connect(actor, connect(version, actor))
    }

    /// CONNECT to a session that outlives the connection.
    pub fn connect_kept(self, actor: Actor, version: Version) -> Self {
        self.connect(actor, kept(version, actor))
    }

    pub fn send(self, actor: Actor, packet: Packet<'static>) -> Self {
        self.step(actor, Step::Send(packet))
    }

    pub fn publish(self, actor: Actor, topic: &str, payload: &str, qos: u8) -> Self {
        self.message(actor, message(topic, payload, qos))
    }

    pub fn retain(self, actor: Actor, topic: &str, payload: &str, qos: u8) -> Self {
        self.message(actor, Publish { retain: true, ..message(topic, payload, qos) })
    }

    /// Sends a PUBLISH; one of QoS 1 or 2 without Packet Identifier gets one of its own.
    pub fn message(self, actor: Actor, mut publish: Publish<'static>) -> Self {
        if publish.qos != QoS::AtMostOnce && publish.packet_id.is_none() {
            publish.packet_id = Some(self.own_id());
        }
        self.send(actor, Packet::Publish(publish))
    }

    pub fn subscribe(self, actor: Actor, filter: &str, qos: u8) -> Self {
        self.subscribe_with(actor, filter, options(qos))
    }

    pub fn subscribe_with(self, actor: Actor, filter: &str, options: SubscribeOptions) -> Self {
        self.subscribe_as(actor, filter, options, None)
    }

    pub fn subscribe_as(self, actor: Actor, filter: &str, options: SubscribeOptions, identifier: Option<u32>) -> Self {
        let subscription_identifier = identifier.and_then(NonZeroU32::new);
        let packet = Packet::Subscribe(Subscribe {
            packet_id: self.own_id(),
            properties: SubscribeProperties { subscription_identifier, user_properties: Vec::new() },
            filters: vec![(TopicFilter::parse(filter).expect("a valid filter"), options)],
        });
        self.send(actor, packet)
    }

    pub fn unsubscribe(self, actor: Actor, filter: &str) -> Self {
        let packet = Packet::Unsubscribe(Unsubscribe {
            packet_id: self.own_id(),
            user_properties: Vec::new(),
            filters: vec![TopicFilter::parse(filter).expect("a valid filter")],
        });
        self.send(actor, packet)
    }

    pub fn disconnect(self, actor: Actor) -> Self {
        self.disconnect_with(actor, ReasonCode::Success, None)
    }

    pub fn disconnect_with(self, actor: Actor, reason: ReasonCode, expiry_s: Option<u32>) -> Self {
        let properties = DisconnectProperties { session_expiry_interval_s: expiry_s, ..Default::default() };
        self.send(actor, Packet::Disconnect(Disconnect { reason, properties }))
    }

    pub fn cut(self, actor: Actor) -> Self {
        self.step(actor, Step::Cut)
    }

    pub fn hold(self, actor: Actor) -> Self {
        self.step(actor, Step::Hold)
    }

    pub fn release(self, actor: Actor) -> Self {
        self.step(actor, Step::Release)
    }

    pub fn bytes(self, actor: Actor, bytes: &[u8]) -> Self {
        self.step(actor, Step::Bytes(bytes.to_vec()))
    }

    pub fn await_end(self, actor: Actor) -> Self {
        self.step(actor, Step::AwaitEnd)
    }

    pub fn await_message(self, actor: Actor) -> Self {
        self.step(actor, Step::AwaitMessage)
    }

    pub fn elapse(self, seconds: u32) -> Self {
        self.step("clock", Step::Elapse { seconds })
    }

    pub fn shared(mut self) -> Self {
        self.is_shared = true;
        self
    }

    pub fn without_hints(mut self) -> Self {
        self.is_without_hints = true;
        self
    }

    /// A Packet Identifier that no other step has: the step's own number, above those that scripts choose by hand.
    fn own_id(&self) -> NonZeroU16 {
        packet_id(1000 + u16::try_from(self.steps.len()).expect("a short script"))
    }
}

/// A CONNECT to a session that outlives the connection.
pub fn kept(version: Version, client_id: &str) -> Connect {
    let mut connect = Connect { clean_start: false, ..connect(version, client_id) };
    connect.properties.session_expiry_interval_s = (version == Version::V5).then_some(1000);
    connect
}

/// A PUBLISH without Packet Identifier.
pub fn message(topic: &str, payload: &str, qos: u8) -> Publish<'static> {
    Publish {
        dup: false,
        qos: QoS::from_u8(qos).expect("a QoS"),
        retain: false,
        topic: Some(topic_name(topic)),
        packet_id: None,
        properties: PublishProperties::default(),
        payload: payload.as_bytes().to_vec().into(),
    }
}

pub fn options(qos: u8) -> SubscribeOptions {
    SubscribeOptions { maximum_qos: QoS::from_u8(qos).expect("a QoS"), ..SubscribeOptions::default() }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP of success.
pub fn ack(id: u16) -> Ack {
    Ack::new(packet_id(id), ReasonCode::Success)
}
