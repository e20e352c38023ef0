//! All Subscriptions as one tree of topic levels.
//!
//! ```text
//! nodes (slab)                        edges (one hash table of node numbers, looked up by parent and level)
//!  0 root                             (0, "plant") → 1
//!  1 "plant", parent 0, plus 2        (2, "temp")  → 3
//!  2 +, parent 1
//!  3 "temp", parent 2, subscribers
//! ```
//!
//! A match visits at most three children a node (the level, `+`, `#`), so its time follows the topic's depth and the wildcards on its way,
//! not the number of Subscriptions. Among many of them what it costs is memory that no cache holds: so a node keeps the numbers of its
//! wildcard children itself, its level's text lies in the node, and only a child with a level of its own takes a look into the table.
//!
//! A node without children and Subscriptions goes at once. The tree is the only place that keeps a filter's text: a session keeps the
//! numbers of its nodes, and the text is read off the path.

#[cfg(any(test, feature = "model"))]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};
use smallvec::SmallVec;

use super::session::Session;
use super::subscribers::{Group, Subscriber, Subscribers};
use super::{KEPT_MAX, shrink};
use crate::engine::message::{DeliveryCheck, Grant};
use crate::mqtt::TopicFilter;

pub(crate) type NodeId = u32;

/// Where a Subscription lies in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Membership {
    pub(crate) node: NodeId,
    /// The number of the shared group; 0: not shared.
    pub(crate) group: u32,
}

impl Membership {
    pub(crate) fn is_shared(self) -> bool {
        self.group != 0
    }
}

/// The tree.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    nodes: Vec<Node>,
    free: Vec<NodeId>,
    /// At how many nodes the slab is looked at for what it could give back, if it is as good as empty by then.
    shrink_at: usize,
    edges: HashTable<NodeId>,
    /// The few that are granted in part.
    check_by_subscription: HashMap<(Membership, u64), Arc<dyn DeliveryCheck>, RandomState>,
    groups_made: u32,
    /// Another number after each change of what a topic may match.
    revision: u64,
    hasher: RandomState,
}

/// 56 bytes.
#[derive(Debug, Default)]
struct Node {
    parent: NodeId,
    /// The wildcards among them.
    children_count: u32,
    /// The children `+` and `#`; [`ROOT`]: there is none.
    plus: NodeId,
    hash: NodeId,
    level: Level,
    subscribers: Subscribers,
}

/// A level's text; what is short lies in the node.
type Level = SmallVec<[u8; 16]>;

const ROOT: NodeId = 0;

/// The nodes whose Subscriptions a topic matches.
pub(crate) type Matched = SmallVec<[NodeId; 12]>;

impl Subscriptions {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
            shrink_at: usize::MAX,
            edges: HashTable::new(),
            check_by_subscription: HashMap::with_hasher(hasher.clone()),
            groups_made: 0,
            revision: 0,
            hasher,
        }
    }

    /// Adds a Subscription. Says where it lies, and whether it replaced one of the same session.
    pub(crate) fn insert(
        &mut self,
        filter: &TopicFilter,
        subscriber: Subscriber,
        check: Option<Arc<dyn DeliveryCheck>>,
    ) -> (Membership, bool) {
        let node = self.node_of(filter.filter());
        let number = subscriber.session.number();
        let subscribers = &mut self.nodes[node as usize].subscribers;
        // Who comes to a node that is matched already is found there.
        self.revision += u64::from(subscribers.is_empty());
        let (group, replaced) = match filter.share_name() {
            None => (0, subscribers.insert(subscriber, &self.hasher)),
            Some(name) => {
                // A group keeps its number, by which its members remember it, as long as it has members.
                let unused = self.groups_made.checked_add(1).unwrap_or(1);
                let (group, replaced) = subscribers.insert_shared(name, unused, subscriber, &self.hasher);
                if group == unused {
                    self.groups_made = unused;
                }
                (group, replaced)
            }
        };
        let membership = Membership { node, group };
        match check {
            Some(check) => {
                self.check_by_subscription.insert((membership, number), check);
            }
            None if replaced.as_ref().is_some_and(Subscriber::is_checked) => {
                self.check_by_subscription.remove(&(membership, number));
            }
            None => {}
        }
        (membership, replaced.is_some())
    }

    /// Where the Subscription of `session` with `filter` would lie; the session itself knows whether it is there.
    pub(crate) fn find(&self, filter: &TopicFilter) -> Option<Membership> {
        let mut node = ROOT;
        for text in filter.filter().split('/') {
            node = self.child(node, text)?;
        }
        let group = match filter.share_name() {
            None => 0,
            Some(name) => self.nodes[node as usize].subscribers.group_number(name)?,
        };
        Some(Membership { node, group })
    }

    /// Removes the Subscription of `session` at `membership`. Says whether there was one.
    pub(crate) fn remove(&mut self, membership: Membership, session: &Arc<Session>) -> bool {
        let subscribers = &mut self.nodes[membership.node as usize].subscribers;
        let removed = match membership.group {
            0 => subscribers.remove(session, &self.hasher),
            group => subscribers.remove_shared(group, session, &self.hasher),
        };
        let Some(removed) = removed else { return false };
        if removed.is_checked() {
            self.check_by_subscription.remove(&(membership, session.number()));
        }
        self.prune(membership.node);
        true
    }

    /// The Subscription of `session` at `membership`.
    pub(crate) fn subscriber(&self, membership: Membership, session: &Arc<Session>) -> Option<&Subscriber> {
        let node = self.nodes.get(membership.node as usize)?;
        node.subscribers.find(membership.group, session, &self.hasher)
    }

    /// Changes how far the Subscription of `session` at `membership` is granted. Says whether there is one.
    pub(crate) fn regrant(&mut self, membership: Membership, session: &Arc<Session>, grant: &Grant) -> bool {
        let subscribers = &mut self.nodes[membership.node as usize].subscribers;
        let Some(subscriber) = subscribers.find_mut(membership.group, session, &self.hasher) else { return false };
        let was_checked = subscriber.is_checked();
        subscriber.regrant(grant.maximum_qos, grant.check.is_some());
        let key = (membership, session.number());
        if let Some(check) = &grant.check {
            self.check_by_subscription.insert(key, Arc::clone(check));
        } else if was_checked {
            self.check_by_subscription.remove(&key);
        }
        true
    }

    /// The Topic Filter of `membership`, read off the path to its node.
    pub(crate) fn filter_text(&self, membership: Membership) -> String {
        let mut path: SmallVec<[NodeId; 16]> = SmallVec::new();
        let mut node = membership.node;
        while node != ROOT {
            path.push(node);
            node = self.nodes[node as usize].parent;
        }
        let mut text = String::new();
        if let Some(group) = self.group(membership) {
            text.extend(["$share/", &group.name, "/"]);
        }
        for (depth, &node) in path.iter().rev().enumerate() {
            if depth > 0 {
                text.push('/');
            }
            text.push_str(self.nodes[node as usize].text());
        }
        text
    }

    fn group(&self, membership: Membership) -> Option<&Group> {
        let groups = self.nodes[membership.node as usize].subscribers.groups();
        groups.iter().find(|group| group.number == membership.group)
    }

    /// The group `number` of a Shared Subscription that `topic` matches, and where it lies: numbers come round some day, so that the number
    /// alone might name another one.
    pub(crate) fn matching_group(&self, topic: &str, number: u32) -> Option<(Membership, &Group)> {
        let mut matched = Matched::new();
        self.matching(topic, &mut matched);
        let mut places = matched.into_iter().map(|node| Membership { node, group: number });
        places.find_map(|membership| Some((membership, self.group(membership)?)))
    }

    pub(crate) fn subscribers(&self, node: NodeId) -> &Subscribers {
        &self.nodes[node as usize].subscribers
    }

    /// Whether `subscriber` at `membership` may be shown a message on `topic`.
    pub(crate) fn allows(&self, membership: Membership, subscriber: &Subscriber, topic: &str) -> bool {
        if !subscriber.is_checked() {
            return true;
        }
        let check = self.check_by_subscription.get(&(membership, subscriber.session.number()));
        debug_assert!(check.is_some(), "a checked subscription has its check");
        check.is_some_and(|check| check.allows(topic))
    }

    /// As long as it is the same, a topic matches the nodes that it matched before; some of them may have lost all Subscriptions.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn hash_of_topic(&self, topic: &[u8]) -> u64 {
        self.hasher.hash_one(topic)
    }

    /// Finds every node with Subscriptions that match `topic` (MQTT 5.0 §4.7).
    pub(crate) fn matching(&self, topic: &str, matched: &mut Matched) {
        let levels: SmallVec<[&str; 16]> = topic.split('/').collect();
        let is_hidden = topic.starts_with('$');
        let mut open: SmallVec<[(NodeId, usize); 24]> = SmallVec::new();
        open.push((ROOT, 0));
        while let Some((id, depth)) = open.pop() {
            let node = &self.nodes[id as usize];
            // A wildcard at the first level does not match a leading $.
            let wildcards_match = !(is_hidden && depth == 0);
            if node.hash != ROOT && wildcards_match {
                // It matches its parent's level as well as everything below.
                matched.push(node.hash);
            }
            let Some(&level) = levels.get(depth) else {
                if !node.subscribers.is_empty() {
                    matched.push(id);
                }
                continue;
            };
            if node.plus != ROOT && wildcards_match {
                open.push((node.plus, depth + 1));
            }
            open.extend(self.named_child(id, level).map(|child| (child, depth + 1)));
        }
    }

    /// Panics unless the tree is whole. Returns who has subscribed where, by the sessions' numbers.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn check_invariants(&self) -> BTreeMap<u64, BTreeSet<Membership>> {
        use crate::engine::core::subscribers::Subscribers;
        let free = self.free.iter().copied().collect::<BTreeSet<_>>();
        let mut children_counts: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut held: BTreeMap<u64, BTreeSet<Membership>> = BTreeMap::new();
        let mut checked_count = 0;
        let used = (0..self.nodes.len() as NodeId).filter(|id| !free.contains(id)).collect::<Vec<_>>();
        for &id in &used {
            let node = &self.nodes[id as usize];
            if id != ROOT {
                assert_eq!(self.child(node.parent, node.text()), Some(id));
                assert!(node.children_count > 0 || !node.subscribers.is_empty(), "what nobody needs is gone");
                *children_counts.entry(node.parent).or_default() += 1;
            }
            assert!(!matches!(&node.subscribers, Subscribers::Many(crowd) if crowd.is_needless()));
            let plain = node.subscribers.plain().iter().map(|subscriber| (0, subscriber));
            let groups = node.subscribers.groups();
            let shared = groups.iter().flat_map(|group| group.members.iter().map(|member| (group.number, member)));
            for (group, subscriber) in plain.chain(shared) {
                checked_count += usize::from(subscriber.is_checked());
                assert!(held.entry(subscriber.session.number()).or_default().insert(Membership { node: id, group }));
            }
        }
        let mut wildcards_count = 0;
        for &id in &used {
            let node = &self.nodes[id as usize];
            assert_eq!(node.children_count, children_counts.remove(&id).unwrap_or_default());
            for (child, text) in [(node.plus, "+"), (node.hash, "#")].into_iter().filter(|&(child, _)| child != ROOT) {
                wildcards_count += 1;
                let child = &self.nodes[child as usize];
                assert_eq!((child.parent, child.text()), (id, text));
            }
        }
        assert_eq!(self.edges.len(), used.len() - 1 - wildcards_count);
        assert_eq!(self.check_by_subscription.len(), checked_count);
        held
    }

    fn child(&self, parent: NodeId, text: &str) -> Option<NodeId> {
        let wildcard = match text {
            "+" => self.nodes[parent as usize].plus,
            "#" => self.nodes[parent as usize].hash,
            _ => return self.named_child(parent, text),
        };
        (wildcard != ROOT).then_some(wildcard)
    }

    /// The child whose level is `text` to the letter; the wildcards are not among these.
    fn named_child(&self, parent: NodeId, text: &str) -> Option<NodeId> {
        if !self.nodes[parent as usize].has_named_children() {
            return None;
        }
        let is_it = |&id: &NodeId| {
            let node = &self.nodes[id as usize];
            node.parent == parent && *node.level == *text.as_bytes()
        };
        self.edges.find(hash_of(parent, text.as_bytes(), &self.hasher), is_it).copied()
    }

    /// The node of the filter text, made if it is not there.
    fn node_of(&mut self, filter: &str) -> NodeId {
        let mut node = ROOT;
        for text in filter.split('/') {
            node = match self.child(node, text) {
                Some(child) => child,
                None => self.add_child(node, text),
            };
        }
        node
    }

    fn add_child(&mut self, parent: NodeId, text: &str) -> NodeId {
        let node = Node { parent, level: Level::from_slice(text.as_bytes()), ..Node::default() };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                self.shrink_at = usize::MAX;
                // sessions_max × subscriptions_max nodes would need more memory than there is long before u32 ends.
                (self.nodes.len() - 1) as NodeId
            }
        };
        let above = &mut self.nodes[parent as usize];
        above.children_count += 1;
        match text {
            "+" => above.plus = id,
            "#" => above.hash = id,
            _ => {
                let (nodes, hasher) = (&self.nodes, &self.hasher);
                self.edges.insert_unique(hash_of(parent, text.as_bytes(), hasher), id, |&id| {
                    let node = &nodes[id as usize];
                    hash_of(node.parent, &node.level, hasher)
                });
            }
        }
        id
    }

    /// Removes `id` and its ancestors as far as nothing needs them.
    fn prune(&mut self, mut id: NodeId) {
        while id != ROOT {
            let node = &mut self.nodes[id as usize];
            if node.is_needed() {
                break;
            }
            let Node { parent, level, .. } = std::mem::take(node);
            let above = &mut self.nodes[parent as usize];
            above.children_count -= 1;
            match level.as_slice() {
                b"+" => above.plus = ROOT,
                b"#" => above.hash = ROOT,
                level => {
                    if let Ok(edge) = self.edges.find_entry(hash_of(parent, level, &self.hasher), |&found| found == id)
                    {
                        edge.remove();
                    }
                }
            }
            // Its number may come to stand for another one.
            self.revision += 1;
            self.free.push(id);
            id = parent;
        }
        self.shrink();
    }

    /// Gives back what many more nodes needed than there are. Those that remain keep their numbers, so the slab ends with the last of them.
    fn shrink(&mut self) {
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        shrink(&mut self.edges, |&id| {
            let node = &nodes[id as usize];
            hash_of(node.parent, &node.level, hasher)
        });
        let used = self.nodes.len() - self.free.len();
        if self.nodes.len() <= KEPT_MAX.max(8 * used) || used > self.shrink_at {
            return;
        }
        // One that stays may hold all before it: it is worth another look when half of them have gone.
        self.shrink_at = used / 2;
        let count = self.nodes.iter().rposition(Node::is_needed).map_or(1, |last| last + 1);
        self.nodes.truncate(count);
        self.nodes.shrink_to_fit();
        self.free.retain(|&id| (id as usize) < count);
        self.free.shrink_to_fit();
    }

    /// For how many nodes there is room.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.nodes.capacity()
    }
}

impl Node {
    fn text(&self) -> &str {
        // It was cut out of a filter at the separators, so it is UTF-8.
        std::str::from_utf8(&self.level).unwrap_or_default()
    }

    /// What is free is not, and the root need not be.
    fn is_needed(&self) -> bool {
        self.children_count > 0 || !self.subscribers.is_empty()
    }

    fn has_named_children(&self) -> bool {
        let wildcards_count = u32::from(self.plus != ROOT) + u32::from(self.hash != ROOT);
        self.children_count > wildcards_count
    }
}

fn hash_of(parent: NodeId, level: &[u8], hasher: &RandomState) -> u64 {
    hasher.hash_one((parent, level))
}
