//! All Subscriptions as one tree of topic levels.
//!
//! ```text
//! nodes (slab)                      edges (one hash table of node numbers, looked up by parent and level)
//!  0 root                           (0, "plant") → 1
//!  1 "plant", parent 0              (1, +)       → 2
//!  2 +, parent 1                    (2, "temp")  → 3
//!  3 "temp", parent 2, subscribers
//! ```
//!
//! A match visits at most three children a node (the level, `+`, `#`), so its time follows the topic's depth and the wildcards on its way,
//! not the number of Subscriptions. A node without children and Subscriptions goes at once, and its level's text with the last node on it.
//! The tree is the only place that keeps a filter's text: a session keeps the numbers of its nodes, and the text is read off the path.

#[cfg(test)]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};
use smallvec::SmallVec;

use super::levels::{HASH, Level, Levels, PLUS, UNKNOWN};
use super::session::Session;
use super::subscribers::{Group, Subscriber, Subscribers};
use crate::engine::message::DeliveryCheck;
use crate::mqtt::TopicFilter;

pub(crate) type NodeId = u32;

/// Where a Subscription lies in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Membership {
    pub(crate) node: NodeId,
    /// The number of the shared group; 0: not shared.
    pub(crate) group: u32,
}

/// The tree.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    levels: Levels,
    nodes: Vec<Node>,
    free: Vec<NodeId>,
    edges: HashTable<NodeId>,
    /// The few that are granted in part.
    check_by_subscription: HashMap<(Membership, u64), Arc<dyn DeliveryCheck>, RandomState>,
    groups_made: u32,
    hasher: RandomState,
}

/// 32 bytes.
#[derive(Debug, Default)]
struct Node {
    parent: NodeId,
    level: Level,
    children_count: u32,
    /// Whether `+` and `#` are among the children: spares two lookups a level where they are not.
    has_plus: bool,
    has_hash: bool,
    subscribers: Subscribers,
}

const ROOT: NodeId = 0;

/// The nodes whose Subscriptions a topic matches.
pub(crate) type Matched = SmallVec<[NodeId; 12]>;

impl Subscriptions {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            levels: Levels::new(hasher.clone()),
            nodes: vec![Node::default()],
            free: Vec::new(),
            edges: HashTable::new(),
            check_by_subscription: HashMap::with_hasher(hasher.clone()),
            groups_made: 0,
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
        let (group, replaced) = match filter.share_name() {
            None => (0, subscribers.insert(subscriber, &self.hasher)),
            Some(name) => {
                // A group keeps its number, by which its members remember it, as long as it has members.
                let unused = self.groups_made.checked_add(1).unwrap_or(1);
                let (group, replaced) = subscribers.insert_shared(name, unused, subscriber);
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
            node = self.child(node, self.levels.find(text))?;
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
            group => subscribers.remove_shared(group, session),
        };
        let Some(removed) = removed else { return false };
        if removed.is_checked() {
            self.check_by_subscription.remove(&(membership, session.number()));
        }
        self.prune(membership.node);
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
            text.push_str(self.levels.text(self.nodes[node as usize].level));
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

    /// Finds every node with Subscriptions that match `topic` (MQTT 5.0 §4.7).
    pub(crate) fn matching(&self, topic: &str, matched: &mut Matched) {
        let levels: SmallVec<[Level; 24]> = topic.split('/').map(|text| self.levels.find(text)).collect();
        let is_hidden = topic.starts_with('$');
        let mut open: SmallVec<[(NodeId, usize); 24]> = SmallVec::new();
        open.push((ROOT, 0));
        while let Some((id, depth)) = open.pop() {
            let node = &self.nodes[id as usize];
            // A wildcard at the first level does not match a leading $.
            let wildcards_match = !(is_hidden && depth == 0);
            if node.has_hash && wildcards_match {
                // It matches its parent's level as well as everything below.
                matched.extend(self.child(id, HASH));
            }
            let Some(&level) = levels.get(depth) else {
                if !node.subscribers.is_empty() {
                    matched.push(id);
                }
                continue;
            };
            if node.has_plus && wildcards_match {
                open.extend(self.child(id, PLUS).map(|child| (child, depth + 1)));
            }
            open.extend(self.child(id, level).map(|child| (child, depth + 1)));
        }
    }

    /// Panics unless the tree is whole. Returns who has subscribed where, by the sessions' numbers.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) -> BTreeMap<u64, BTreeSet<Membership>> {
        use crate::engine::core::subscribers::Subscribers;
        let free = self.free.iter().copied().collect::<BTreeSet<_>>();
        let mut children: BTreeMap<NodeId, Vec<Level>> = BTreeMap::new();
        let mut held: BTreeMap<u64, BTreeSet<Membership>> = BTreeMap::new();
        let mut checked_count = 0;
        let used = (0..self.nodes.len() as NodeId).filter(|id| !free.contains(id)).collect::<Vec<_>>();
        for &id in &used {
            let node = &self.nodes[id as usize];
            if id != ROOT {
                assert_eq!(self.child(node.parent, node.level), Some(id));
                assert!(node.children_count > 0 || !node.subscribers.is_empty(), "what nobody needs is gone");
                children.entry(node.parent).or_default().push(node.level);
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
        for &id in &used {
            let (node, levels) = (&self.nodes[id as usize], children.remove(&id).unwrap_or_default());
            assert_eq!(node.children_count as usize, levels.len());
            assert_eq!((node.has_plus, node.has_hash), (levels.contains(&PLUS), levels.contains(&HASH)));
        }
        let levels = used.iter().skip(1).map(|&id| self.nodes[id as usize].level).chain([PLUS, HASH]);
        assert_eq!(
            self.levels.len(),
            levels.collect::<BTreeSet<_>>().len(),
            "a level's text lives as long as its nodes"
        );
        assert_eq!(self.edges.len(), used.len() - 1);
        assert_eq!(self.check_by_subscription.len(), checked_count);
        held
    }

    fn child(&self, parent: NodeId, level: Level) -> Option<NodeId> {
        if level == UNKNOWN || self.nodes[parent as usize].children_count == 0 {
            return None;
        }
        let is_it = |&id: &NodeId| {
            let node = &self.nodes[id as usize];
            node.parent == parent && node.level == level
        };
        self.edges.find(hash_of(parent, level, &self.hasher), is_it).copied()
    }

    /// The node of the filter text, made if it is not there.
    fn node_of(&mut self, filter: &str) -> NodeId {
        let mut node = ROOT;
        for text in filter.split('/') {
            node = match self.child(node, self.levels.find(text)) {
                Some(child) => child,
                None => self.add_child(node, text),
            };
        }
        node
    }

    fn add_child(&mut self, parent: NodeId, text: &str) -> NodeId {
        let level = self.levels.acquire(text);
        let node = Node { parent, level, ..Node::default() };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                // sessions_max × subscriptions_max nodes would need more memory than there is long before u32 ends.
                (self.nodes.len() - 1) as NodeId
            }
        };
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.edges.insert_unique(hash_of(parent, level, hasher), id, |&id| {
            let node = &nodes[id as usize];
            hash_of(node.parent, node.level, hasher)
        });
        let parent = &mut self.nodes[parent as usize];
        parent.children_count += 1;
        parent.has_plus |= level == PLUS;
        parent.has_hash |= level == HASH;
        id
    }

    /// Removes `id` and its ancestors as far as nothing needs them.
    fn prune(&mut self, mut id: NodeId) {
        while id != ROOT {
            let node = &self.nodes[id as usize];
            if node.children_count > 0 || !node.subscribers.is_empty() {
                return;
            }
            let (parent, level) = (node.parent, node.level);
            if let Ok(edge) = self.edges.find_entry(hash_of(parent, level, &self.hasher), |&found| found == id) {
                edge.remove();
            }
            self.levels.release(level);
            self.free.push(id);
            let above = &mut self.nodes[parent as usize];
            above.children_count -= 1;
            above.has_plus &= level != PLUS;
            above.has_hash &= level != HASH;
            id = parent;
        }
    }
}

fn hash_of(parent: NodeId, level: Level, hasher: &RandomState) -> u64 {
    hasher.hash_one(u64::from(parent) << 32 | u64::from(level))
}
