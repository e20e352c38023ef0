//! Rules as a trie of levels, one a role, built once and shared by every identity that has the role.
//!
//! ```text
//!  "/p/${username}/upload" rw          ""─"p"─${username}─"upload"●
//!  "/p/+/#" r                               └─+ ●#
//! ```
//! A node's `here` are the rules that end at it; its `rest` those that go on with `#`. A placeholder is an edge of its own, compared
//! with the identity's value while walking, so that a connection holds a few strings and no rules.

use std::collections::BTreeMap;

use crate::mqtt::QoS;

use super::rule::{BoundLevel, Level, Rule};

/// The rules of one role, by topic level.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

/// One place in the trie: what is reached by a sequence of levels.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) literals: Literals,
    /// `+`
    pub(super) one: Option<usize>,
    pub(super) bound: Vec<(BoundLevel, usize)>,
    pub(super) here: Vec<Entry>,
    pub(super) rest: Vec<Entry>,
    /// Over everything at and under this node.
    pub(super) summary: Summary,
}

/// A node's edges that are one certain text each, sorted by it.
#[derive(Debug, Default)]
pub(super) struct Literals(Box<[(Box<str>, usize)]>);

/// A rule at its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) rule: u32,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
    pub(super) is_deny: bool,
    pub(super) maximum_qos: QoS,
}

/// What a search looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    AllowRead,
    DenyRead,
    AllowWrite,
    DenyWrite,
}

/// For each [`Want`], the first rule (by number) in a subtree; and the lowest QoS that its read grants are bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    first: [u32; 4],
    pub(super) read_qos_lowest: QoS,
}

/// Stands for "no rule": there are never so many.
pub(super) const NO_RULE: u32 = u32::MAX;

impl Trie {
    /// The trie of `rules`, each with its number.
    pub(super) fn new<'r>(rules: impl Iterator<Item = (u32, &'r Rule)>) -> Self {
        let mut growing = Growing { nodes: vec![Node::default()], literals: BTreeMap::new() };
        for (number, rule) in rules {
            growing.insert(number, rule);
        }
        growing.finish()
    }

    pub(super) fn root(&self) -> &Node {
        &self.nodes[0]
    }

    pub(super) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }
}

/// A trie to which rules are still added.
struct Growing<'r> {
    nodes: Vec<Node>,
    /// By parent and text; they move into their nodes at the end.
    literals: BTreeMap<(usize, &'r str), usize>,
}

impl<'r> Growing<'r> {
    fn finish(mut self) -> Trie {
        let mut edges = std::mem::take(&mut self.literals).into_iter().peekable();
        while let Some(&((parent, _), _)) = edges.peek() {
            let of_parent = std::iter::from_fn(|| edges.next_if(|((node, _), _)| *node == parent));
            self.nodes[parent].literals = Literals(of_parent.map(|((_, text), child)| (text.into(), child)).collect());
        }
        Trie { nodes: self.nodes }
    }

    fn insert(&mut self, number: u32, rule: &'r Rule) {
        let entry = Entry {
            rule: number,
            can_read: rule.mode.read,
            can_write: rule.mode.write,
            is_deny: rule.is_deny,
            maximum_qos: rule.maximum_qos,
        };
        let mut index = 0;
        self.nodes[index].summary.add(&entry);
        let is_slash = |level: &Level| matches!(level, Level::Literal(text) if text.is_empty());
        // As `topic::spelled_out` has it: `/#` is `/+/#`. Not so `#`, whose place at the root every name finds first.
        let spelled_out = match &*rule.levels {
            [first, Level::Rest] if is_slash(first) => [first, &Level::One, &Level::Rest].to_vec(),
            levels => levels.iter().collect(),
        };
        for level in spelled_out {
            index = match level {
                // `#` is last (TopicFilter::parse saw to it).
                Level::Rest => {
                    self.nodes[index].rest.push(entry);
                    return;
                }
                level => self.child(index, level),
            };
            self.nodes[index].summary.add(&entry);
        }
        self.nodes[index].here.push(entry);
    }

    fn child(&mut self, parent: usize, level: &'r Level) -> usize {
        let next = self.nodes.len();
        let node = &mut self.nodes[parent];
        let child = match level {
            Level::Literal(text) => *self.literals.entry((parent, text)).or_insert(next),
            Level::One | Level::Rest => *node.one.get_or_insert(next),
            Level::Bound(bound) => match node.bound.iter().find(|(known, _)| known == bound) {
                Some((_, child)) => *child,
                None => {
                    node.bound.push((bound.clone(), next));
                    next
                }
            },
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }
}

impl Literals {
    /// Up to here a look at each is faster than a search.
    const SCANNED_MAX: usize = 8;

    pub(super) fn get(&self, level: &str) -> Option<usize> {
        if self.0.len() <= Self::SCANNED_MAX {
            return self.0.iter().find(|(text, _)| **text == *level).map(|(_, child)| *child);
        }
        let index = self.0.binary_search_by(|(text, _)| (**text).cmp(level)).ok()?;
        Some(self.0[index].1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(text, child)| (&**text, *child))
    }
}

impl Entry {
    pub(super) fn is(&self, want: Want) -> bool {
        match want {
            Want::AllowRead => self.can_read && !self.is_deny,
            Want::DenyRead => self.can_read && self.is_deny,
            Want::AllowWrite => self.can_write && !self.is_deny,
            Want::DenyWrite => self.can_write && self.is_deny,
        }
    }
}

impl Summary {
    /// The first rule of this kind, or [`NO_RULE`].
    pub(super) fn first(&self, want: Want) -> u32 {
        self.first[want as usize]
    }

    fn add(&mut self, entry: &Entry) {
        for want in [Want::AllowRead, Want::DenyRead, Want::AllowWrite, Want::DenyWrite] {
            if entry.is(want) {
                let first = &mut self.first[want as usize];
                *first = entry.rule.min(*first);
            }
        }
        if entry.is(Want::AllowRead) {
            self.read_qos_lowest = self.read_qos_lowest.min(entry.maximum_qos);
        }
    }
}

impl Default for Summary {
    fn default() -> Self {
        Self { first: [NO_RULE; 4], read_qos_lowest: QoS::ExactlyOnce }
    }
}
