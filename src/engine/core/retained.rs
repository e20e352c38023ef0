//! Retained messages (MQTT 5.0 §3.3.1.3), in the order of their topics.
//!
//! One ordered map serves replacing and wildcard walks. Its keys are Topic Names with NUL for `/`: names hold no NUL, so a level's
//! subtree is one run of keys that begins with the level itself. A walk for a filter goes through such runs and jumps over those that
//! cannot match; where it stopped is a key, which stays good whatever is stored or cleared in between. A receiver of 100,000 messages
//! therefore costs a cursor, not a list.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use crate::engine::config::{EngineConfig, MESSAGE_OVERHEAD_BYTES};
use crate::engine::message::Message;

/// All retained messages.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    by_topic: BTreeMap<Box<[u8]>, Stored>,
    bytes: usize,
    /// How many of them are the server's own; no bound and no total counts those.
    own_count: usize,
    /// Counts every message stored: says which of two was stored earlier.
    stored_count: u64,
    /// Where the search for expired messages goes on.
    sweep_from: Vec<u8>,
}

#[derive(Debug)]
struct Stored {
    message: Arc<Message>,
    number: u64,
}

/// What [`Retained::store`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreOutcome {
    Stored,
    Cleared,
    /// A bound is reached; what was retained before for the topic, if anything, is gone, as it is out of date.
    Refused,
}

/// Where a walk stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The next key to look at is this or a later one.
    from: Vec<u8>,
    pub(crate) is_done: bool,
}

impl Cursor {
    /// Goes back to `message`, which the walk found but its receiver has no room for.
    pub(crate) fn go_back_to(&mut self, message: &Message) {
        self.from = key_of(message.topic()).into();
        self.is_done = false;
    }
}

/// Which messages a walk is for.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    /// A Topic Filter without `$share`.
    pub(crate) filter: &'a str,
    /// Messages stored later than this many are left out: they were published to the subscriber as they came.
    pub(crate) stored_before: u64,
    pub(crate) count_max: usize,
}

impl Retained {
    /// Retains `message` for its topic, or with an empty payload clears it.
    pub(crate) fn store(&mut self, message: &Arc<Message>, config: &EngineConfig, now: Instant) -> StoreOutcome {
        let key = key_of(message.topic());
        if message.payload().is_empty() {
            self.remove(&key);
            return StoreOutcome::Cleared;
        }
        let before = self.by_topic.get(&*key).map(|stored| bytes_of(&stored.message));
        let is_within = |retained: &Self| {
            let count = retained.len() + usize::from(before.is_none());
            let bytes = retained.bytes - before.unwrap_or(0) + bytes_of(message);
            // Replacing by something no larger never makes it worse.
            before.is_some_and(|before| bytes_of(message) <= before)
                || (count <= config.retained_messages_max && bytes <= config.retained_bytes_max)
        };
        if !is_own(&key) && !is_within(self) {
            self.sweep(now, SWEEP_WHEN_FULL);
            if !is_within(self) {
                self.remove(&key);
                return StoreOutcome::Refused;
            }
        }
        self.stored_count += 1;
        let is_own = is_own(&key);
        let stored = Stored { message: Arc::clone(message), number: self.stored_count };
        let replaced = self.by_topic.insert(key, stored);
        if is_own {
            self.own_count += usize::from(replaced.is_none());
        } else {
            self.bytes += bytes_of(message);
            self.bytes -= replaced.map_or(0, |replaced| bytes_of(&replaced.message));
        }
        StoreOutcome::Stored
    }

    /// How many messages were ever stored: what [`Walk::stored_before`] takes.
    pub(crate) fn stored_count(&self) -> u64 {
        self.stored_count
    }

    /// Messages at present, without the server's own.
    pub(crate) fn len(&self) -> usize {
        self.by_topic.len() - self.own_count
    }

    /// Whether `filter` may find anything; saves the walk where nothing is retained but the server's own.
    pub(crate) fn may_have(&self, filter: &str) -> bool {
        self.len() > 0 || (self.own_count > 0 && filter.starts_with('$'))
    }

    /// The bytes of those.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Goes on with a walk: appends what matches to `found`, in the order of topics, and moves `cursor` behind it. Each key looked at
    /// takes one of `visits_left`, which bounds the time.
    pub(crate) fn walk(
        &self,
        walk: &Walk<'_>,
        now: Instant,
        cursor: &mut Cursor,
        visits_left: &mut usize,
        found: &mut Vec<Arc<Message>>,
    ) {
        let pattern = Pattern::new(walk.filter);
        if cursor.from.is_empty() {
            cursor.from = pattern.first_key();
        }
        let mut found_left = walk.count_max;
        while !cursor.is_done {
            let mut keys = self.by_topic.range::<[u8], _>(from(&cursor.from));
            cursor.is_done = loop {
                let Some((key, stored)) = keys.next() else { break true };
                if *visits_left == 0 || found_left == 0 {
                    cursor.from = key.to_vec();
                    return;
                }
                *visits_left -= 1;
                match pattern.place(key) {
                    Place::Match => {
                        if stored.number <= walk.stored_before && !stored.message.is_expired(now) {
                            found.push(Arc::clone(&stored.message));
                            found_left -= 1;
                        }
                    }
                    Place::Later(from) => {
                        cursor.from = from;
                        break false;
                    }
                    Place::Beyond => break true,
                }
            };
        }
    }

    /// Looks at the next `count` messages and removes those that have expired. Returns how many.
    pub(crate) fn sweep(&mut self, now: Instant, count: usize) -> usize {
        let mut expired = Vec::new();
        let mut keys = self.by_topic.range::<[u8], _>(from(&self.sweep_from));
        for (key, stored) in keys.by_ref().take(count) {
            if stored.message.is_expired(now) {
                expired.push(key.clone());
            }
        }
        self.sweep_from = keys.next().map_or(Vec::new(), |(key, _)| key.to_vec());
        for key in &expired {
            self.remove(key);
        }
        expired.len()
    }

    fn remove(&mut self, key: &[u8]) {
        let Some(removed) = self.by_topic.remove(key) else { return };
        if is_own(key) {
            self.own_count -= 1;
        } else {
            self.bytes -= bytes_of(&removed.message);
        }
    }

    /// Panics unless the totals are those of the messages.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn check_invariants(&self) {
        let (own, others): (Vec<_>, Vec<_>) = self.by_topic.iter().partition(|(key, _)| is_own(key));
        assert_eq!(self.own_count, own.len());
        assert_eq!(self.bytes, others.iter().map(|(_, stored)| bytes_of(&stored.message)).sum::<usize>());
        for (key, stored) in &self.by_topic {
            assert_eq!(**key, *key_of(stored.message.topic()));
            assert!(stored.number <= self.stored_count && !stored.message.payload().is_empty());
        }
    }
}

/// Messages looked at for expired ones before a new one is refused.
const SWEEP_WHEN_FULL: usize = 64;

fn bytes_of(message: &Message) -> usize {
    message.size() + MESSAGE_OVERHEAD_BYTES
}

/// What stands for `/` in keys.
const SEPARATOR: u8 = 0;

/// Whether the server alone publishes here, see [`is_server_owned`](crate::mqtt::topic::is_server_owned).
fn is_own(key: &[u8]) -> bool {
    key.strip_prefix(b"$SYS").is_some_and(|rest| rest.first().is_none_or(|&next| next == SEPARATOR))
}

fn key_of(topic: &str) -> Box<[u8]> {
    topic.bytes().map(|byte| if byte == b'/' { SEPARATOR } else { byte }).collect()
}

fn from(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(key), Bound::Unbounded)
}

/// A filter, level by level.
struct Pattern<'a> {
    levels: Vec<&'a [u8]>,
}

/// Where a key lies as seen from a pattern.
enum Place {
    Match,
    /// No match; nor is any key before this one.
    Later(Vec<u8>),
    /// No match; nor is any later key.
    Beyond,
}

impl<'a> Pattern<'a> {
    fn new(filter: &'a str) -> Self {
        Self { levels: filter.split('/').map(str::as_bytes).collect() }
    }

    /// The first key that can match: the literal levels in front.
    fn first_key(&self) -> Vec<u8> {
        let literal = self.levels.iter().take_while(|level| !is_wildcard(level)).copied().collect::<Vec<_>>();
        literal.join(&SEPARATOR)
    }

    fn place(&self, key: &[u8]) -> Place {
        if key.first() == Some(&b'$') && is_wildcard(self.levels[0]) {
            return Place::Later(vec![b'$' + 1]);
        }
        // Where the level begins that is compared, and where the last level ended that + took.
        let (mut start, mut last_plus_end) = (0, None);
        for &level in &self.levels {
            if level == b"#" {
                return Place::Match;
            }
            if start > key.len() {
                // The key ends above this level: only what lies below it can match.
                return Place::Later([key, &[SEPARATOR]].concat());
            }
            let end = memchr::memchr(SEPARATOR, &key[start..]).map_or(key.len(), |at| start + at);
            if level == b"+" {
                last_plus_end = Some(end);
            } else {
                match key[start..end].cmp(level) {
                    std::cmp::Ordering::Equal => {}
                    std::cmp::Ordering::Less => return Place::Later([&key[..start], level].concat()),
                    std::cmp::Ordering::Greater => return after_subtree(key, last_plus_end),
                }
            }
            start = end + 1;
        }
        if start > key.len() { Place::Match } else { after_subtree(key, last_plus_end) }
    }
}

/// The key after all those that share the level which `+` took last; no other level can change.
fn after_subtree(key: &[u8], last_plus_end: Option<usize>) -> Place {
    match last_plus_end {
        Some(end) => Place::Later([&key[..end], &[SEPARATOR + 1]].concat()),
        None => Place::Beyond,
    }
}

fn is_wildcard(level: &[u8]) -> bool {
    level == b"+" || level == b"#"
}
