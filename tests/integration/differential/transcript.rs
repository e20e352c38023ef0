//! What the actors of a script saw, spelled so that two brokers can be compared.
//!
//! Spelled out are the things that the standard decides. Left out are Packet Identifiers that a broker chose, reason strings and the
//! order among messages of different topics and among answers and messages, none of which it does.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tidegate::mqtt::Packet;
use tidegate::mqtt::packet::{Ack, ConnAck, Publish};

/// One thing that an actor saw: `12 reader: PUBLISH a/b "x" QoS 1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Number of the step after which it was seen, from 1.
    pub step: usize,
    pub actor: String,
    /// Only within one stream is there an order.
    stream: String,
    pub text: String,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.step, self.actor, self.text)
    }
}

/// All lines of a script, in the order of the steps.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    lines: Vec<Line>,
}

/// What only one of two transcripts has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    pub mosquitto: Vec<String>,
    pub tidegate: Vec<String>,
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        self.mosquitto.is_empty() && self.tidegate.is_empty()
    }

    /// What is here more often than in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let without = |lines: &[String], others: &[String]| {
            let mut rest = lines.to_vec();
            for other in others {
                if let Some(position) = rest.iter().position(|line| line == other) {
                    rest.remove(position);
                }
            }
            rest
        };
        Self {
            mosquitto: without(&self.mosquitto, &other.mosquitto),
            tidegate: without(&self.tidegate, &other.tidegate),
        }
    }
}

impl std::fmt::Display for Differences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, lines) in [("mosquitto", &self.mosquitto), ("tidegate", &self.tidegate)] {
            for line in lines {
                writeln!(f, "  only {name}: {line}")?;
            }
        }
        Ok(())
    }
}

impl Transcript {
    pub fn add(&mut self, step: usize, actor: &str, stream: &str, text: String) {
        self.lines.push(Line { step, actor: actor.to_owned(), stream: stream.to_owned(), text });
    }

    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many messages were delivered.
    pub fn message_count(&self) -> usize {
        self.lines.iter().filter(|line| line.text.starts_with("PUBLISH")).count()
    }

    /// As if no broker had told a publisher that nobody listens, which is left to each (MQTT 5.0 §3.4.2.1).
    pub fn without_hints(mut self) -> Self {
        for line in &mut self.lines {
            line.text = line.text.replace("NoMatchingSubscribers", "Success");
        }
        self
    }

    /// The lines by step, actor and stream, each stream in its order.
    fn sorted(mut self) -> Vec<Line> {
        self.lines.sort_by(|a, b| (a.step, &a.actor, &a.stream).cmp(&(b.step, &b.actor, &b.stream)));
        self.lines
    }

    /// As if all messages had gone to one actor.
    fn pooled(mut self) -> Self {
        for line in self.lines.iter_mut().filter(|line| line.text.starts_with("PUBLISH")) {
            "anybody".clone_into(&mut line.actor);
        }
        self.lines.sort();
        self
    }
}

/// Compares what was seen of two brokers.
pub fn compare(mosquitto: Transcript, tidegate: Transcript, is_shared: bool) -> Differences {
    let [theirs, ours] = [mosquitto, tidegate].map(|seen| if is_shared { seen.pooled() } else { seen }.sorted());
    if theirs == ours {
        return Differences::default();
    }
    // How often each line is there: with theirs, without ours.
    let mut balance: BTreeMap<&Line, i32> = BTreeMap::new();
    for line in &theirs {
        *balance.entry(line).or_default() += 1;
    }
    for line in &ours {
        *balance.entry(line).or_default() -= 1;
    }
    let mut differences = Differences::default();
    for (line, count) in balance {
        let side = if count > 0 { &mut differences.mosquitto } else { &mut differences.tidegate };
        side.extend((0..count.abs()).map(|_| line.to_string()));
    }
    if differences.is_empty() {
        let (theirs, ours) = theirs.iter().zip(&ours).find(|(theirs, ours)| theirs != ours).expect("they differ");
        differences.mosquitto.push(format!("in this order: {theirs}"));
        differences.tidegate.push(format!("in this order: {ours}"));
    }
    differences
}

/// The stream a packet belongs to, and how it is spelled. `topic` is that of a PUBLISH, its Topic Alias resolved.
pub fn spell(packet: &Packet<'_>, topic: &str) -> (String, String) {
    match packet {
        Packet::Publish(publish) => (format!("message {topic}"), spell_publish(publish, topic)),
        Packet::ConnAck(answer) => ("answers".to_owned(), spell_connack(answer)),
        Packet::PubRel(ack) => ("releases".to_owned(), format!("PUBREL {:?}", ack.reason)),
        Packet::PubAck(ack) => ("answers".to_owned(), spell_ack("PUBACK", ack)),
        Packet::PubRec(ack) => ("answers".to_owned(), spell_ack("PUBREC", ack)),
        Packet::PubComp(ack) => ("answers".to_owned(), spell_ack("PUBCOMP", ack)),
        Packet::SubAck(answer) => ("answers".to_owned(), format!("SUBACK {:?}", answer.reasons)),
        Packet::UnsubAck(answer) => ("answers".to_owned(), format!("UNSUBACK {:?}", answer.reasons)),
        Packet::Disconnect(disconnect) => ("answers".to_owned(), format!("DISCONNECT {:?}", disconnect.reason)),
        other => ("answers".to_owned(), format!("{other:?}")),
    }
}

fn spell_ack(name: &str, ack: &Ack) -> String {
    format!("{name} {} {:?}", ack.packet_id, ack.reason)
}

fn spell_publish(publish: &Publish<'_>, topic: &str) -> String {
    let mut text = format!("PUBLISH {topic} {:?} QoS {}", String::from_utf8_lossy(&publish.payload), publish.qos as u8);
    for (is_set, flag) in [(publish.retain, " retain"), (publish.dup, " dup")] {
        text.push_str(if is_set { flag } else { "" });
    }
    let properties = &publish.properties;
    if let Some(seconds) = properties.message_expiry_interval_s {
        // In steps of ten, as a busy machine may take a second more for one broker than for the other.
        write!(text, " expires in {}0", seconds.div_ceil(10)).expect("a String takes everything");
    }
    let mut identifiers = properties.subscription_identifiers.to_vec();
    identifiers.sort_unstable();
    for identifier in identifiers {
        write!(text, " for {identifier}").expect("a String takes everything");
    }
    for property in properties_of(&publish.properties.forwarded) {
        write!(text, " {property}").expect("a String takes everything");
    }
    text
}

/// What has a default is spelled only where it differs from it.
fn spell_connack(answer: &ConnAck) -> String {
    let mut text = format!("CONNACK {:?}", answer.reason);
    let properties = &answer.properties;
    let flags = [
        (answer.session_present, " present"),
        (properties.assigned_client_identifier.is_some(), " identifier assigned"),
        (properties.retain_available == Some(false), " no retain"),
        (properties.wildcard_subscription_available == Some(false), " no wildcards"),
        (properties.subscription_identifiers_available == Some(false), " no identifiers"),
        (properties.shared_subscription_available == Some(false), " no sharing"),
    ];
    text.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag));
    let numbers = [
        ("receive maximum", properties.receive_maximum.map(|value| u32::from(value.get()))),
        ("packet size", properties.maximum_packet_size.map(std::num::NonZero::get)),
        ("aliases", properties.topic_alias_maximum.map(u32::from)),
        ("keep alive", properties.server_keep_alive_s.map(u32::from)),
        ("expiry", properties.session_expiry_interval_s),
        ("QoS", properties.maximum_qos.map(u32::from)),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            write!(text, " {name} {value}").expect("a String takes everything");
        }
    }
    text
}

/// The forwarded properties, User Properties in their order behind the others.
fn properties_of(mut encoded: &[u8]) -> Vec<String> {
    let (mut others, mut user) = (Vec::new(), Vec::new());
    while let Some((&identifier, rest)) = encoded.split_first() {
        encoded = rest;
        let mut take = |length: usize| {
            let (taken, rest) = encoded.split_at(length);
            encoded = rest;
            taken
        };
        let mut take_text = || {
            let length = take(2);
            String::from_utf8_lossy(take(usize::from(u16::from_be_bytes([length[0], length[1]])))).into_owned()
        };
        match identifier {
            0x01 => others.push(format!("format {}", take(1)[0])),
            0x03 => others.push(format!("type {:?}", take_text())),
            0x08 => others.push(format!("response {:?}", take_text())),
            0x09 => others.push(format!("correlation {:?}", take_text())),
            0x26 => user.push(format!("{:?}={:?}", take_text(), take_text())),
            other => panic!("{other:#04x} is no property of a message"),
        }
    }
    others.sort();
    others.append(&mut user);
    others
}
