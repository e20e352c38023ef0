//! What bounds whoever has a role: an entry of `limits`.
//!
//! There are two kinds. [`Limits`] hold for the role's own grants, so another role's wider grant is not narrowed by them. An [`Allowance`]
//! is about the client or user as a whole, whatever the topic; of several roles the most generous word counts, and a role that says
//! nothing changes nothing. So what everybody has bounds everybody, and who needs more is given a role that says so.

use std::fmt;

use crate::document::{Content, Node};
use crate::mqtt::QoS;

use super::file::read_qos;
use super::reader::{Reader, Text, describe, join};

/// Bounds within which a role's grants hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) payload_bytes_max: u64,
    pub(super) maximum_qos: QoS,
    pub(super) retain: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload_bytes_max: u64::MAX, maximum_qos: QoS::ExactlyOnce, retain: true }
    }
}

/// How much an identity may do in all, as its roles say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Messages that one connection publishes a second.
    pub messages_per_s: Quota,
    /// Topics, properties and payloads of those, in bytes.
    pub bytes_per_s: Quota,
    /// Subscriptions of one session.
    pub subscriptions_max: Quota,
    /// Connections of one user at a time.
    pub connections_max: Quota,
}

/// What one role, or several together, say of one bound; a later variant is more generous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quota {
    /// Nothing: what holds for everybody holds.
    #[default]
    Unsaid,
    /// So much.
    AtMost(u64),
    /// `none`: as much as one likes.
    Unlimited,
}

impl Quota {
    /// The bound, if there is one.
    #[must_use]
    pub fn limit(self) -> Option<u64> {
        match self {
            Self::AtMost(limit) => Some(limit),
            Self::Unsaid | Self::Unlimited => None,
        }
    }

    /// The bound, where `general` holds for whoever has none said.
    #[must_use]
    pub fn limit_or(self, general: Option<u64>) -> Option<u64> {
        match self {
            Self::Unsaid => general,
            said => said.limit(),
        }
    }
}

impl Allowance {
    /// What somebody has who has both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            messages_per_s: self.messages_per_s.max(other.messages_per_s),
            bytes_per_s: self.bytes_per_s.max(other.bytes_per_s),
            subscriptions_max: self.subscriptions_max.max(other.subscriptions_max),
            connections_max: self.connections_max.max(other.connections_max),
        }
    }

    /// Whether it says how fast one may publish.
    #[must_use]
    pub fn bounds_rate(&self) -> bool {
        self.messages_per_s.limit().is_some() || self.bytes_per_s.limit().is_some()
    }

    /// All there is, by key.
    #[must_use]
    pub fn all(&self) -> [(&'static str, Quota); 4] {
        let [messages, bytes, subscriptions, connections] = ALLOWANCE_KEYS;
        [
            (messages, self.messages_per_s),
            (bytes, self.bytes_per_s),
            (subscriptions, self.subscriptions_max),
            (connections, self.connections_max),
        ]
    }

    /// What is said, by key.
    pub fn said(&self) -> impl Iterator<Item = (&'static str, Quota)> {
        self.all().into_iter().filter(|(_, quota)| *quota != Quota::Unsaid)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => f.write_str("unsaid"),
            Self::AtMost(limit) => write!(f, "{limit}"),
            Self::Unlimited => f.write_str(UNLIMITED),
        }
    }
}

/// The word for a bound that is lifted.
const UNLIMITED: &str = "none";

const ALLOWANCE_KEYS: [&str; 4] = ["messages_per_s", "bytes_per_s", "subscriptions_max", "connections_max"];

/// The highest rate: a message a nanosecond, which is the grain of the clock.
const PER_S_MAX: u64 = 1_000_000_000;

/// An entry of `limits`.
#[derive(Debug)]
pub(super) struct WrittenLimits {
    pub(super) role: Text,
    pub(super) limits: Limits,
    pub(super) allowance: Allowance,
}

/// Reads `limits`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Vec<WrittenLimits> {
    const SHAPE: &str = "a mapping such as {payload_bytes_max: 64KiB, messages_per_s: 50}";
    let [messages, bytes, subscriptions, connections] = ALLOWANCE_KEYS;
    let keys = ["payload_bytes_max", "max_qos", "retain", messages, bytes, subscriptions, connections];
    let mut written = Vec::new();
    for entry in reader.entries(node, "limits", "a mapping from role to its limits") {
        let path = join("limits", &entry.key);
        let Some([payload_bytes_max, max_qos, retain, allowance @ ..]) =
            reader.fields(&entry.value, &path, keys, SHAPE)
        else {
            continue;
        };
        let mut limits = Limits::default();
        if let Some(node) = payload_bytes_max {
            limits.payload_bytes_max = read_size(reader, node, &join(&path, "payload_bytes_max")).unwrap_or(0);
        }
        if let Some(node) = max_qos {
            limits.maximum_qos = read_qos(reader, node, &join(&path, "max_qos"));
        }
        if let Some(node) = retain {
            limits.retain = reader.bool(node, &join(&path, "retain")).unwrap_or(false);
        }
        let allowance = read_allowance(reader, &path, allowance);
        written.push(WrittenLimits { role: Text::of_key(entry), limits, allowance });
    }
    written
}

fn read_allowance(reader: &mut Reader<'_>, path: &str, nodes: [Option<&Node>; 4]) -> Allowance {
    const RATE: &str = "a whole number from 1 to 1000000000, or none";
    const SIZE: &str = "1B to 1GiB, with B, KiB, MiB or GiB, such as 64KiB, or none";
    const COUNT: &str = "a whole number from 0, or none";
    const CONNECTIONS: &str = "a whole number from 1, or none; who may not connect has no place in users";
    let [messages, bytes, subscriptions, connections] = ALLOWANCE_KEYS;
    let mut quota = |node: Option<&Node>, key: &str, read: fn(&Content) -> Option<u64>, allowed: &str| match node {
        None => Quota::Unsaid,
        Some(Node { content: Content::Text(text), .. }) if text == UNLIMITED => Quota::Unlimited,
        Some(node) => read(&node.content).map_or_else(
            || {
                reader.fault(node.place, &join(path, key), describe(&node.content), allowed);
                Quota::AtMost(0)
            },
            Quota::AtMost,
        ),
    };
    Allowance {
        messages_per_s: quota(nodes[0], messages, |found| count(found).filter(|rate| is_rate(*rate)), RATE),
        bytes_per_s: quota(nodes[1], bytes, |found| size(found).filter(|rate| (1..=1 << 30).contains(rate)), SIZE),
        subscriptions_max: quota(nodes[2], subscriptions, count, COUNT),
        connections_max: quota(nodes[3], connections, |found| count(found).filter(|count| *count > 0), CONNECTIONS),
    }
}

fn is_rate(per_s: u64) -> bool {
    (1..=PER_S_MAX).contains(&per_s)
}

fn count(content: &Content) -> Option<u64> {
    match content {
        Content::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn size(content: &Content) -> Option<u64> {
    match content {
        Content::Text(text) => parse_size(text),
        _ => None,
    }
}

fn read_size(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<u64> {
    let size = size(&node.content);
    if size.is_none() {
        let allowed = "a whole number with B, KiB, MiB or GiB, such as 64KiB";
        reader.fault(node.place, path, describe(&node.content), allowed);
    }
    size
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_carry_a_unit() {
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(parse_size("7B"), Some(7));
        for wrong in ["", "64", "KiB", "-1B", "1.5MiB", "64kb", "7 B", "18446744073709551615GiB"] {
            assert_eq!(parse_size(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_most_generous_word_counts_and_silence_changes_nothing() {
        use Quota::{AtMost, Unlimited, Unsaid};
        let messages = |messages_per_s| Allowance { messages_per_s, ..Allowance::default() };
        for (one, other, both) in [
            (Unsaid, Unsaid, Unsaid),
            (Unsaid, AtMost(5), AtMost(5)),
            (AtMost(5), AtMost(50), AtMost(50)),
            (AtMost(5), Unlimited, Unlimited),
            (Unsaid, Unlimited, Unlimited),
        ] {
            assert_eq!(messages(one).with(messages(other)), messages(both), "{one} and {other}");
        }
        assert_eq!(
            (Unsaid.limit_or(Some(3)), Unlimited.limit_or(Some(3)), AtMost(7).limit_or(Some(3))),
            (Some(3), None, Some(7))
        );
    }

    fn quota() -> impl Strategy<Value = Quota> {
        prop_oneof![Just(Quota::Unsaid), (0..9_u64).prop_map(Quota::AtMost), Just(Quota::Unlimited)]
    }

    fn allowance() -> impl Strategy<Value = Allowance> {
        (quota(), quota(), quota(), quota()).prop_map(
            |(messages_per_s, bytes_per_s, subscriptions_max, connections_max)| Allowance {
                messages_per_s,
                bytes_per_s,
                subscriptions_max,
                connections_max,
            },
        )
    }

    proptest! {
        #[test]
        fn allowances_combine_in_any_order(one in allowance(), two in allowance(), three in allowance()) {
            prop_assert_eq!(one.with(two), two.with(one));
            prop_assert_eq!(one.with(two).with(three), one.with(two.with(three)));
            prop_assert_eq!(one.with(one), one);
            prop_assert_eq!(one.with(Allowance::default()), one);
        }
    }
}
