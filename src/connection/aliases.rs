//! Topic Aliases towards one client: a topic is sent in full once, along with a number, and from then on only the number
//! (MQTT 5.0 §3.3.2.3.4).
//!
//! A number is chosen before a PUBLISH is spelled and stands only once the PUBLISH is appended ([`Aliases::commit`]): one that finds
//! no room must not leave the client to guess.

use std::num::NonZeroU16;
use std::sync::LazyLock;

use ahash::RandomState;

/// Topics longer than this are always sent in full, so that memory stays small whatever is published.
pub(super) const TOPIC_BYTES_MAX: usize = 1024;

/// What the numbers of one Network Connection stand for.
///
/// There are few, so that looking at each is as fast as anything.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// Index: alias minus one.
    named: Vec<Named>,
    /// Counts choices that were committed.
    clock: u64,
}

#[derive(Debug)]
struct Named {
    /// Compared before `topic`.
    hash: u64,
    /// Value of the clock when it was used last.
    used: u64,
    topic: Vec<u8>,
}

/// How the topic of one PUBLISH is to be spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) alias: NonZeroU16,
    pub(super) what: What,
    hash: u64,
}

/// What an alias is to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It stands for this topic: the topic is left out.
    Known,
    /// It stands for nothing: the topic goes along.
    New,
    /// It stands for another topic, the one that was not used for longest: the topic goes along.
    Remapped,
}

impl Aliases {
    /// How to spell `topic` with aliases up to `maximum`; `None`: in full, without any.
    pub(super) fn choose(&self, topic: &[u8], maximum: u16) -> Option<Choice> {
        if topic.len() > TOPIC_BYTES_MAX {
            return None;
        }
        let hash = HASHER.hash_one(topic);
        let index = self.named.iter().position(|named| named.hash == hash && named.topic == topic);
        let (index, what) = match index {
            Some(index) => (index, What::Known),
            None if self.named.len() < usize::from(maximum) => (self.named.len(), What::New),
            None => (self.least_recently_used()?, What::Remapped),
        };
        let alias = u16::try_from(index + 1).ok().and_then(NonZeroU16::new)?;
        Some(Choice { alias, what, hash })
    }

    fn least_recently_used(&self) -> Option<usize> {
        self.named.iter().enumerate().min_by_key(|(_, named)| named.used).map(|(index, _)| index)
    }

    /// Notes that a PUBLISH about `topic` is on its way, spelled by `choice`: the latest, with no other committed since.
    pub(super) fn commit(&mut self, choice: Choice, topic: &[u8]) {
        self.clock += 1;
        let (hash, used) = (choice.hash, self.clock);
        let index = usize::from(choice.alias.get()) - 1;
        match (choice.what, self.named.get_mut(index)) {
            (What::Known, Some(named)) => named.used = used,
            (What::Remapped, Some(named)) => {
                named.topic.clear();
                named.topic.extend_from_slice(topic);
                (named.hash, named.used) = (hash, used);
            }
            _ => self.named.push(Named { hash, used, topic: topic.to_vec() }),
        }
    }
}

/// Equal hashes are only a hint here, so that topics made to collide cost a comparison each and nothing else.
static HASHER: LazyLock<RandomState> = LazyLock::new(|| RandomState::with_seeds(1, 2, 3, 4));

#[cfg(test)]
mod tests {
    use super::*;

    /// Chooses and commits; the alias, and whether the topic goes along.
    fn send(aliases: &mut Aliases, topic: &str, maximum: u16) -> Option<(u16, What)> {
        let choice = aliases.choose(topic.as_bytes(), maximum)?;
        aliases.commit(choice, topic.as_bytes());
        Some((choice.alias.get(), choice.what))
    }

    #[test]
    fn a_topic_is_named_at_its_first_publish() {
        let mut aliases = Aliases::default();
        assert_eq!(send(&mut aliases, "a", 2), Some((1, What::New)));
        assert_eq!(send(&mut aliases, "b", 2), Some((2, What::New)));
        assert_eq!(send(&mut aliases, "a", 2), Some((1, What::Known)));
        assert_eq!(send(&mut aliases, "b", 2), Some((2, What::Known)));
    }

    #[test]
    fn the_least_recently_used_alias_is_remapped() {
        let mut aliases = Aliases::default();
        for topic in ["a", "b", "c", "a"] {
            assert!(send(&mut aliases, topic, 3).is_some());
        }
        assert_eq!(send(&mut aliases, "d", 3), Some((2, What::Remapped)), "b was used before c and a");
        assert_eq!(send(&mut aliases, "b", 3), Some((3, What::Remapped)), "b is known no more");
        assert_eq!(send(&mut aliases, "a", 3), Some((1, What::Known)));
        assert_eq!(send(&mut aliases, "d", 3), Some((2, What::Known)));
    }

    #[test]
    fn what_was_chosen_and_not_sent_leaves_no_trace() {
        let mut aliases = Aliases::default();
        assert_eq!(send(&mut aliases, "a", 1), Some((1, What::New)));
        let choice = aliases.choose(b"b", 1).unwrap();
        assert_eq!(choice.what, What::Remapped);
        assert_eq!(send(&mut aliases, "a", 1), Some((1, What::Known)));
    }

    #[test]
    fn a_long_topic_is_sent_in_full() {
        let mut aliases = Aliases::default();
        assert_eq!(send(&mut aliases, &"x".repeat(TOPIC_BYTES_MAX + 1), 9), None);
        assert_eq!(send(&mut aliases, &"x".repeat(TOPIC_BYTES_MAX), 9), Some((1, What::New)));
    }

    #[test]
    fn without_any_number_every_topic_is_sent_in_full() {
        assert_eq!(Aliases::default().choose(b"a", 0), None);
    }
}
