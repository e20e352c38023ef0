//! Who has subscribed at one node of the tree: mostly nobody or one, sometimes ten thousand.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ahash::RandomState;
use hashbrown::HashTable;

use super::session::Session;
use super::shrink;
use crate::mqtt::QoS;
use crate::mqtt::packet::SubscribeOptions;

/// One Subscription as the tree keeps it: 16 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub(crate) session: Arc<Session>,
    pub(crate) identifier: Option<NonZeroU32>,
    /// As it is granted at present: never above what SUBACK said.
    pub(crate) maximum_qos: QoS,
    flags: u8,
}

const NO_LOCAL: u8 = 1;
const RETAIN_AS_PUBLISHED: u8 = 2;
const CHECKED: u8 = 4;
/// Which QoS SUBACK said, unless it is 0.
const TOLD_QOS_1: u8 = 8;
const TOLD_QOS_2: u8 = 16;

impl Subscriber {
    pub(crate) fn new(
        session: Arc<Session>,
        options: SubscribeOptions,
        identifier: Option<NonZeroU32>,
        is_checked: bool,
    ) -> Self {
        let mut flags = 0;
        for (is_set, flag) in [
            (options.no_local, NO_LOCAL),
            (options.retain_as_published, RETAIN_AS_PUBLISHED),
            (is_checked, CHECKED),
            (options.maximum_qos == QoS::AtLeastOnce, TOLD_QOS_1),
            (options.maximum_qos == QoS::ExactlyOnce, TOLD_QOS_2),
        ] {
            if is_set {
                flags |= flag;
            }
        }
        Self { session, identifier, maximum_qos: options.maximum_qos, flags }
    }

    pub(crate) fn no_local(&self) -> bool {
        self.flags & NO_LOCAL != 0
    }

    pub(crate) fn retain_as_published(&self) -> bool {
        self.flags & RETAIN_AS_PUBLISHED != 0
    }

    /// Whether a delivery check lies beside the tree.
    pub(crate) fn is_checked(&self) -> bool {
        self.flags & CHECKED != 0
    }

    /// What SUBACK said, which bounds every grant that comes later (MQTT 5.0 [MQTT-3.8.4-8]).
    pub(crate) fn told_qos(&self) -> QoS {
        match self.flags & (TOLD_QOS_1 | TOLD_QOS_2) {
            TOLD_QOS_1 => QoS::AtLeastOnce,
            TOLD_QOS_2 => QoS::ExactlyOnce,
            _ => QoS::AtMostOnce,
        }
    }

    /// Changes how far it is granted.
    pub(crate) fn regrant(&mut self, maximum_qos: QoS, is_checked: bool) {
        self.maximum_qos = maximum_qos;
        self.flags = if is_checked { self.flags | CHECKED } else { self.flags & !CHECKED };
    }

    fn is_of(&self, session: &Arc<Session>) -> bool {
        Arc::ptr_eq(&self.session, session)
    }
}

/// The Subscriptions of one Topic Filter.
#[derive(Debug, Default)]
pub(crate) enum Subscribers {
    #[default]
    None,
    One(Subscriber),
    Many(Box<Crowd>),
}

impl Subscribers {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Those who each get every message.
    pub(crate) fn plain(&self) -> &[Subscriber] {
        match self {
            Self::None => &[],
            Self::One(subscriber) => std::slice::from_ref(subscriber),
            Self::Many(crowd) => &crowd.plain.list,
        }
    }

    /// The groups of which one member each gets a message.
    pub(crate) fn groups(&self) -> &[Group] {
        match self {
            Self::Many(crowd) => &crowd.groups,
            Self::None | Self::One(_) => &[],
        }
    }

    /// The Subscription of `session` in group `group`; 0: the one that is not shared.
    pub(crate) fn find(&self, group: u32, session: &Arc<Session>, hasher: &RandomState) -> Option<&Subscriber> {
        match self {
            Self::None => None,
            Self::One(present) => (group == 0 && present.is_of(session)).then_some(present),
            Self::Many(crowd) => {
                let members = match group {
                    0 => &crowd.plain,
                    number => &crowd.groups.iter().find(|group| group.number == number)?.members,
                };
                members.list.get(members.position(session, hasher)?)
            }
        }
    }

    /// As [`Subscribers::find`].
    pub(crate) fn find_mut(
        &mut self,
        group: u32,
        session: &Arc<Session>,
        hasher: &RandomState,
    ) -> Option<&mut Subscriber> {
        match self {
            Self::None => None,
            Self::One(present) => (group == 0 && present.is_of(session)).then_some(present),
            Self::Many(crowd) => {
                let members = match group {
                    0 => &mut crowd.plain,
                    number => &mut crowd.groups.iter_mut().find(|group| group.number == number)?.members,
                };
                let at = members.position(session, hasher)?;
                members.list.get_mut(at)
            }
        }
    }

    /// Adds `subscriber`, or replaces the one of the same session, which is returned.
    pub(crate) fn insert(&mut self, subscriber: Subscriber, hasher: &RandomState) -> Option<Subscriber> {
        match self {
            Self::None => {
                *self = Self::One(subscriber);
                None
            }
            Self::One(present) if present.is_of(&subscriber.session) => Some(std::mem::replace(present, subscriber)),
            Self::One(_) => self.crowd().plain.insert(subscriber, hasher),
            Self::Many(crowd) => crowd.plain.insert(subscriber, hasher),
        }
    }

    /// Removes the Subscription of `session`.
    pub(crate) fn remove(&mut self, session: &Arc<Session>, hasher: &RandomState) -> Option<Subscriber> {
        match self {
            Self::None => None,
            Self::One(present) if present.is_of(session) => match std::mem::take(self) {
                Self::One(subscriber) => Some(subscriber),
                _ => None,
            },
            Self::One(_) => None,
            Self::Many(crowd) => {
                let removed = crowd.plain.remove(session, hasher);
                self.shrink();
                removed
            }
        }
    }

    /// Adds `subscriber` to the group `name`; a group that is not there gets `number`. Returns the group's number and who was replaced.
    pub(crate) fn insert_shared(
        &mut self,
        name: &str,
        number: u32,
        subscriber: Subscriber,
        hasher: &RandomState,
    ) -> (u32, Option<Subscriber>) {
        let crowd = self.crowd();
        let index = crowd.groups.iter().position(|group| *group.name == *name).unwrap_or_else(|| {
            crowd.groups.push(Group {
                number,
                name: name.into(),
                members: Members::default(),
                turn: AtomicU32::new(0),
            });
            crowd.groups.len() - 1
        });
        let group = &mut crowd.groups[index];
        (group.number, group.members.insert(subscriber, hasher))
    }

    /// The number of the group `name`.
    pub(crate) fn group_number(&self, name: &str) -> Option<u32> {
        self.groups().iter().find(|group| *group.name == *name).map(|group| group.number)
    }

    /// Removes `session` from group `number`.
    pub(crate) fn remove_shared(
        &mut self,
        number: u32,
        session: &Arc<Session>,
        hasher: &RandomState,
    ) -> Option<Subscriber> {
        let Self::Many(crowd) = self else { return None };
        let index = crowd.groups.iter().position(|group| group.number == number)?;
        let members = &mut crowd.groups[index].members;
        let removed = members.remove(session, hasher);
        if members.list.is_empty() {
            crowd.groups.remove(index);
        }
        self.shrink();
        removed
    }

    fn crowd(&mut self) -> &mut Crowd {
        if !matches!(self, Self::Many(_)) {
            let plain = match std::mem::take(self) {
                Self::One(subscriber) => Members { list: vec![subscriber], ..Members::default() },
                Self::None | Self::Many(_) => Members::default(),
            };
            *self = Self::Many(Box::new(Crowd { plain, groups: Vec::new() }));
        }
        match self {
            Self::Many(crowd) => crowd,
            Self::None | Self::One(_) => unreachable!("it was made a crowd above"),
        }
    }

    /// Gives up the crowd where a simpler form does.
    fn shrink(&mut self) {
        let Self::Many(crowd) = self else { return };
        if !crowd.groups.is_empty() || crowd.plain.list.len() > 1 {
            return;
        }
        *self = crowd.plain.list.pop().map_or(Self::None, Self::One);
    }
}

/// More than one Subscription, or shared ones.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    plain: Members,
    groups: Vec<Group>,
}

impl Crowd {
    /// Whether a simpler form would do, or an index is not that of its list.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn is_needless(&self) -> bool {
        let lists = self.groups.iter().map(|group| &group.members).chain([&self.plain]);
        let is_whole = lists.into_iter().all(|members| members.is_whole());
        !is_whole || (self.groups.is_empty() && self.plain.list.len() < 2)
    }
}

/// Subscriptions of which no session has two.
#[derive(Debug, Default)]
pub(crate) struct Members {
    list: Vec<Subscriber>,
    /// Finds a position in `list` by session. Empty as long as looking through the list is as quick.
    index: HashTable<u32>,
}

/// Up to here a list is searched from end to end.
const UNINDEXED_MAX: usize = 16;

impl Members {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Subscriber> {
        self.list.iter()
    }

    fn insert(&mut self, subscriber: Subscriber, hasher: &RandomState) -> Option<Subscriber> {
        if let Some(at) = self.position(&subscriber.session, hasher) {
            return Some(std::mem::replace(&mut self.list[at], subscriber));
        }
        self.list.push(subscriber);
        let first_unindexed = match self.list.len() {
            ..=UNINDEXED_MAX => return None,
            _ if self.index.is_empty() => 0,
            count => count - 1,
        };
        for at in first_unindexed..self.list.len() {
            let list = &self.list;
            let hash = hash_of(&list[at].session, hasher);
            self.index.insert_unique(hash, at as u32, |&at| hash_of(&list[at as usize].session, hasher));
        }
        None
    }

    fn remove(&mut self, session: &Arc<Session>, hasher: &RandomState) -> Option<Subscriber> {
        let at = self.position(session, hasher)?;
        let last = self.list.len() - 1;
        if !self.index.is_empty() {
            let hash_of_last = hash_of(&self.list[last].session, hasher);
            if let Ok(entry) = self.index.find_entry(hash_of(session, hasher), |&found| found as usize == at) {
                entry.remove();
            }
            // The last one moves into the gap.
            if let Some(found) = self.index.find_mut(hash_of_last, |&found| found as usize == last) {
                *found = at as u32;
            }
        }
        let removed = self.list.swap_remove(at);
        if self.list.len() <= UNINDEXED_MAX {
            self.index = HashTable::new();
        }
        if self.list.len() * 4 < self.list.capacity() {
            self.list.shrink_to(self.list.len() * 2);
        }
        let list = &self.list;
        shrink(&mut self.index, |&at| hash_of(&list[at as usize].session, hasher));
        Some(removed)
    }

    #[cfg(any(test, feature = "model"))]
    fn is_whole(&self) -> bool {
        self.index.is_empty() || self.index.len() == self.list.len()
    }

    fn position(&self, session: &Arc<Session>, hasher: &RandomState) -> Option<usize> {
        if self.index.is_empty() {
            return self.list.iter().position(|subscriber| subscriber.is_of(session));
        }
        let list = &self.list;
        self.index.find(hash_of(session, hasher), |&at| list[at as usize].is_of(session)).map(|&at| at as usize)
    }
}

/// By address: it is unique among sessions that live, and takes no look at the session.
fn hash_of(session: &Arc<Session>, hasher: &RandomState) -> u64 {
    hasher.hash_one(Arc::as_ptr(session).addr())
}

/// The members of one Shared Subscription (MQTT 5.0 §4.8.2).
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) number: u32,
    pub(crate) name: Box<str>,
    pub(crate) members: Members,
    turn: AtomicU32,
}

impl Group {
    /// The members, beginning with the one whose turn it is; the turn goes on to the next.
    pub(crate) fn take_turn(&self) -> impl Iterator<Item = &Subscriber> + Clone {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let members = &self.members.list;
        let (before, from) = members.split_at(turn.checked_rem(members.len()).unwrap_or(0));
        from.iter().chain(before)
    }

    /// Lets the turn go on behind the member that was served, for which `count` were passed over: or whoever comes after one that
    /// is away would be served twice as often.
    pub(crate) fn pass_over(&self, count: usize) {
        if count > 0 {
            self.turn.fetch_add(count as u32, Ordering::Relaxed);
        }
    }
}
