//! The walks through a role's trie on which every verdict rests.
//!
//! A walk goes down level by level and visits each node at most once, so its work is bounded by the rules that share the topic's
//! beginning. It recurses once a level: at most [`LEVELS_MAX`](crate::mqtt::topic::LEVELS_MAX) deep, as no rule has more levels.

use crate::mqtt::{QoS, topic};

use super::rule::BoundLevel;
use super::trie::{Entry, NO_RULE, Node, Trie, Want};

/// The identity's value for each placeholder; `None` for those that no rule of its roles uses.
pub(super) type Values = [Option<Box<str>>];

/// Calls `visit` with every rule whose topic covers `filter`: matches all that `filter` matches.
///
/// A Topic Name is a filter that matches only itself, so this also finds the rules that match a name.
pub(super) fn for_each_covering<F: FnMut(&Entry)>(trie: &Trie, values: &Values, filter: &str, visit: &mut F) {
    let filter = topic::spelled_out(filter);
    // What a leading wildcard does not match: MQTT 5.0 §4.7.2.
    let is_hidden = filter.starts_with('$');
    let root = trie.root();
    if !is_hidden {
        root.rest.iter().for_each(&mut *visit);
    }
    let (level, left) = split(filter);
    let mut cover = Cover { trie, values, visit };
    if let Some(one) = root.one.filter(|_| !is_hidden) {
        cover.walk(cover.trie.node(one), left);
    }
    cover.named(root, level, left);
}

struct Cover<'a, F> {
    trie: &'a Trie,
    values: &'a Values,
    visit: &'a mut F,
}

impl<F: FnMut(&Entry)> Cover<'_, F> {
    /// `left` are the levels that `filter` has beyond `node`.
    fn walk(&mut self, node: &Node, left: Option<&str>) {
        // `a/#` covers `a` as well: # includes the parent level.
        node.rest.iter().for_each(&mut *self.visit);
        let Some(left) = left else {
            node.here.iter().for_each(&mut *self.visit);
            return;
        };
        let (level, left) = split(left);
        if let Some(one) = node.one.filter(|_| level != "#") {
            self.walk(self.trie.node(one), left);
        }
        self.named(node, level, left);
    }

    /// Goes on along the edges that are one certain text; no such text covers a wildcard.
    fn named(&mut self, node: &Node, level: &str, left: Option<&str>) {
        if matches!(level, "+" | "#") {
            return;
        }
        if let Some(child) = node.literals.get(level) {
            self.walk(self.trie.node(child), left);
        }
        for (bound, child) in &node.bound {
            if matches(bound, self.values, level) {
                self.walk(self.trie.node(*child), left);
            }
        }
    }
}

/// The first rule (by number) of this kind whose topic meets `filter`: some name is matched by both. [`NO_RULE`] if none does.
pub(super) fn first_meeting(trie: &Trie, values: &Values, filter: &str, want: Want) -> u32 {
    let mut meet = Meet { trie, values, want, first: NO_RULE, qos_lowest: QoS::ExactlyOnce };
    meet.walk(trie.root(), Some(topic::spelled_out(filter)), true);
    meet.first
}

/// The lowest QoS that a read grant which meets `filter` is bound to.
pub(super) fn lowest_read_qos_meeting(trie: &Trie, values: &Values, filter: &str) -> QoS {
    let mut meet = Meet { trie, values, want: Want::AllowRead, first: NO_RULE, qos_lowest: QoS::ExactlyOnce };
    meet.walk(trie.root(), Some(topic::spelled_out(filter)), true);
    meet.qos_lowest
}

struct Meet<'a> {
    trie: &'a Trie,
    values: &'a Values,
    want: Want,
    first: u32,
    qos_lowest: QoS,
}

impl Meet<'_> {
    fn walk(&mut self, node: &Node, left: Option<&str>, is_first: bool) {
        if !self.can_improve(node) {
            return;
        }
        let is_hidden = is_first && left.is_some_and(|left| left.starts_with('$'));
        if !is_hidden {
            self.visit(&node.rest);
        }
        let Some(left) = left else {
            self.visit(&node.here);
            return;
        };
        match split(left) {
            ("#", _) => self.everything(node, is_first),
            ("+", left) => self.children(node, left, is_first),
            (level, left) => {
                if let Some(one) = node.one.filter(|_| !is_hidden) {
                    self.walk(self.trie.node(one), left, false);
                }
                if let Some(child) = node.literals.get(level) {
                    self.walk(self.trie.node(child), left, false);
                }
                for (bound, child) in &node.bound {
                    if matches(bound, self.values, level) {
                        self.walk(self.trie.node(*child), left, false);
                    }
                }
            }
        }
    }

    /// All children that a `+` of the filter matches.
    fn children(&mut self, node: &Node, left: Option<&str>, is_first: bool) {
        self.each_child(node, is_first, |meet, child| meet.walk(child, left, false));
    }

    /// All that a `#` of the filter matches: `node` itself and what is under it.
    fn everything(&mut self, node: &Node, is_first: bool) {
        if is_first {
            // A leading # matches no name that begins with $, so the root's own summary says too much.
            self.each_child(node, true, |meet, child| meet.take_summary(child));
        } else {
            self.take_summary(node);
        }
    }

    fn each_child(&mut self, node: &Node, is_first: bool, mut each: impl FnMut(&mut Self, &Node)) {
        if let Some(one) = node.one {
            each(self, self.trie.node(one));
        }
        for (text, child) in node.literals.iter() {
            if !(is_first && text.starts_with('$')) {
                each(self, self.trie.node(child));
            }
        }
        for (bound, child) in &node.bound {
            // A value that begins with $ is refused at bind where it would begin a topic; a prefix may.
            if !(is_first && bound.prefix.starts_with('$')) {
                each(self, self.trie.node(*child));
            }
        }
    }

    /// Whether anything under `node` could change the answer.
    fn can_improve(&self, node: &Node) -> bool {
        let first = node.summary.first(self.want);
        let may_lower = first != NO_RULE && node.summary.read_qos_lowest < self.qos_lowest;
        first < self.first || (self.want == Want::AllowRead && may_lower)
    }

    fn take_summary(&mut self, node: &Node) {
        self.first = self.first.min(node.summary.first(self.want));
        self.qos_lowest = self.qos_lowest.min(node.summary.read_qos_lowest);
    }

    fn visit(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.is(self.want)) {
            self.first = self.first.min(entry.rule);
            if self.want == Want::AllowRead {
                self.qos_lowest = self.qos_lowest.min(entry.maximum_qos);
            }
        }
    }
}

fn matches(bound: &BoundLevel, values: &Values, level: &str) -> bool {
    let value = values.get(bound.placeholder).and_then(Option::as_deref);
    debug_assert!(value.is_some(), "bind gives a value to every placeholder that a role of the identity uses");
    value.is_some_and(|value| bound.matches(level, value))
}

/// The first level of `levels`, and those after it.
fn split(levels: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'/', levels.as_bytes()) {
        Some(end) => (&levels[..end], Some(&levels[end + 1..])),
        None => (levels, None),
    }
}
