//! `cases.txt` as values.

use std::collections::BTreeMap;

use tidegate::mqtt::QoS;

const TEXT: &str = include_str!("cases.txt");

/// Somebody who comes in, always with the same Client Identifier.
#[derive(Debug)]
pub struct Identity {
    pub name: &'static str,
    pub username: &'static str,
    pub client_id: &'static str,
    /// A claim that is a list has its items here one by one.
    pub claims: BTreeMap<&'static str, Vec<&'static str>>,
}

/// A line of the table.
#[derive(Debug)]
pub struct Case {
    /// In `cases.txt`, from 1: names the case, and marks its messages.
    pub line: usize,
    pub who: &'static str,
    pub act: Act,
    /// A Topic Name or a Topic Filter.
    pub topic: String,
    pub qos: QoS,
    pub retain: bool,
    pub payload_bytes: usize,
    pub envelope: Option<Envelope>,
    pub verdict: Expected,
    pub witnesses: Vec<Witness>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Publish,
    Subscribe,
}

/// Whom a message says that it is from.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    pub client_id: &'static str,
    pub is_forged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// For a Subscription with the QoS that it is granted at.
    Granted(QoS),
    /// Refused under `partial: refuse`; under `partial: filter` granted, and each delivery is judged.
    Partial(QoS),
    Refused,
    TooLarge,
    Malformed,
    NoConnection,
}

/// What a Subscription is to get of a message to this topic.
#[derive(Debug)]
pub struct Witness {
    pub topic: String,
    pub is_delivered: bool,
    /// Whether it is the server itself that publishes and retains there.
    pub is_servers: bool,
}

/// The whole file.
#[derive(Debug)]
pub struct Table {
    pub identities: Vec<Identity>,
    pub cases: Vec<Case>,
}

impl Table {
    pub fn read() -> Self {
        let mut table = Self { identities: Vec::new(), cases: Vec::new() };
        for (index, line) in TEXT.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let cells: Vec<&'static str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
            match cells[..] {
                ["identity", name, username, client_id, ref claims @ ..] => {
                    let claim = |claim: &&'static str| {
                        let (name, value) = claim.split_once('=').expect("NAME=VALUE");
                        (name, value.split(',').collect())
                    };
                    let claims = claims.iter().map(claim).collect();
                    table.identities.push(Identity { name, username, client_id, claims });
                }
                [who, act, topic, how, verdict, ref witnesses @ ..] => {
                    assert!(table.identities.iter().any(|identity| identity.name == who), "line {}: {who}", index + 1);
                    table.cases.push(Case::new(index + 1, who, act, topic, how, verdict, witnesses));
                }
                _ => panic!("line {} of cases.txt has too few columns: {line}", index + 1),
            }
        }
        table
    }

    /// The cases of this identity, in order.
    pub fn cases_of(&self, identity: &Identity, act: Act) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(move |case| case.who == identity.name && case.act == act)
    }
}

impl Identity {
    pub fn is_anonymous(&self) -> bool {
        self.username == "anonymous"
    }
}

impl Case {
    fn new(
        line: usize,
        who: &'static str,
        act: &str,
        topic: &str,
        how: &'static str,
        verdict: &str,
        witnesses: &[&str],
    ) -> Self {
        let act = match act {
            "publish" => Act::Publish,
            "subscribe" => Act::Subscribe,
            other => panic!("line {line}: {other}"),
        };
        let witnesses = witnesses.iter().filter(|text| **text != "none").map(|text| Witness::new(text)).collect();
        let mut case = Self {
            line,
            who,
            act,
            topic: expand(topic),
            qos: QoS::AtMostOnce,
            retain: false,
            payload_bytes: 0,
            envelope: None,
            verdict: Expected::Refused,
            witnesses,
        };
        for word in how.split(' ') {
            match word {
                "q0" => case.qos = QoS::AtMostOnce,
                "q1" => case.qos = QoS::AtLeastOnce,
                "q2" => case.qos = QoS::ExactlyOnce,
                "retain" => case.retain = true,
                word => case.read_payload(word),
            }
        }
        case.verdict = case.read_verdict(verdict);
        let has_effect =
            !case.witnesses.is_empty() || matches!(case.verdict, Expected::Refused | Expected::NoConnection);
        assert!(act == Act::Publish || has_effect, "line {line}: nothing would show that it is granted");
        case
    }

    fn read_payload(&mut self, word: &'static str) {
        if let Some(bytes) = word.strip_suffix('B') {
            self.payload_bytes = bytes.parse().expect("a number of bytes");
        } else {
            let (seal, client_id) = word.split_once(':').expect("sealed:CLIENT_ID or forged:CLIENT_ID");
            self.envelope = Some(Envelope { client_id, is_forged: seal == "forged" });
        }
    }

    fn read_verdict(&self, text: &str) -> Expected {
        let (word, maximum) = text.split_once(':').unwrap_or((text, "2"));
        let maximum = QoS::from_u8(maximum.parse().expect("a QoS")).expect("a QoS").min(self.qos);
        match word {
            "granted" => Expected::Granted(maximum),
            "partial" => Expected::Partial(maximum),
            "refused" => Expected::Refused,
            "too-large" => Expected::TooLarge,
            "malformed" => Expected::Malformed,
            "no-connection" => Expected::NoConnection,
            other => panic!("line {}: {other}", self.line),
        }
    }

    pub fn is_shared(&self) -> bool {
        self.topic.starts_with("$share/")
    }

    /// What the messages of this case hold, and no other's do.
    pub fn mark(&self) -> String {
        format!("case {:04}.", self.line)
    }
}

impl Witness {
    fn new(text: &str) -> Self {
        let (is_delivered, text) = text.strip_prefix('!').map_or((true, text), |text| (false, text));
        let (is_servers, text) = text.strip_prefix('@').map_or((false, text), |text| (true, text));
        Self { topic: expand(text), is_delivered, is_servers }
    }
}

/// `{x/*3}` is `x/x/x/`.
fn expand(text: &str) -> String {
    let Some((before, (repeated, after))) =
        text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return text.to_owned();
    };
    match repeated.rsplit_once('*') {
        Some((unit, count)) => before.to_owned() + &unit.repeat(count.parse().expect("a number")) + after,
        // A placeholder's name.
        None => text.to_owned(),
    }
}
