//! All sessions by Client Identifier, and when those without a Network Connection are due.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use hashbrown::HashTable;

use super::session::{Session, State};
use super::shrink;
use crate::mqtt::ClientId;

/// The directory.
///
/// What is due lies in an ordered map and not in a [`crate::wheel::Wheel`]: it holds exactly one entry for each session without a
/// Network Connection, taken out when the client comes back, so that a client which comes and goes leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Directory {
    by_client_id: HashTable<Arc<Session>>,
    /// In the order of their making: whoever goes through all of them can stop anywhere and go on later.
    by_number: BTreeMap<u64, Arc<Session>>,
    by_due_time: BTreeMap<(Instant, u64), Arc<Session>>,
    sessions_made: u64,
    hasher: RandomState,
}

impl Directory {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            by_client_id: HashTable::new(),
            by_number: BTreeMap::new(),
            by_due_time: BTreeMap::new(),
            sessions_made: 0,
            hasher,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_client_id.len()
    }

    /// A number for a new session.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.sessions_made += 1;
        self.sessions_made
    }

    pub(crate) fn find(&self, client_id: &ClientId) -> Option<&Arc<Session>> {
        self.by_client_id.find(self.hasher.hash_one(client_id.as_str()), |session| session.client_id() == client_id)
    }

    /// Adds a session; there is none with its Client Identifier.
    pub(crate) fn insert(&mut self, session: Arc<Session>) {
        let hasher = &self.hasher;
        let hash_of = |session: &Arc<Session>| hasher.hash_one(session.client_id().as_str());
        self.by_number.insert(session.number(), Arc::clone(&session));
        self.by_client_id.insert_unique(hash_of(&session), session, hash_of);
    }

    pub(crate) fn remove(&mut self, session: &Arc<Session>) {
        self.by_number.remove(&session.number());
        let hash = self.hasher.hash_one(session.client_id().as_str());
        if let Ok(entry) = self.by_client_id.find_entry(hash, |found| Arc::ptr_eq(found, session)) {
            entry.remove();
        }
        let hasher = &self.hasher;
        shrink(&mut self.by_client_id, |session| hasher.hash_one(session.client_id().as_str()));
    }

    /// Notes when `session`, which is away, is due.
    pub(crate) fn schedule(&mut self, session: &Arc<Session>, state: &State) {
        if let Some(away) = &state.away {
            self.by_due_time.insert((away.due_at(), session.number()), Arc::clone(session));
        }
    }

    /// Forgets when `session` was due. To be called before its `away` changes.
    pub(crate) fn unschedule(&mut self, session: &Session, state: &State) {
        if let Some(away) = &state.away {
            self.by_due_time.remove(&(away.due_at(), session.number()));
        }
    }

    /// The session that is due first, if it is due at `now`.
    pub(crate) fn first_due(&self, now: Instant) -> Option<Arc<Session>> {
        let ((due_at, _), session) = self.by_due_time.first_key_value()?;
        (*due_at <= now).then(|| Arc::clone(session))
    }

    /// The number of the session that was made last.
    pub(crate) fn last_number(&self) -> u64 {
        self.sessions_made
    }

    /// The sessions with these numbers, in their order.
    pub(crate) fn sessions_in(&self, numbers: RangeInclusive<u64>) -> impl Iterator<Item = &Arc<Session>> {
        self.by_number.range(numbers).map(|(_, session)| session)
    }

    #[cfg(any(test, feature = "model"))]
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.by_client_id.iter()
    }

    /// When sessions are due.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn due_times(&self) -> impl Iterator<Item = (Instant, &Arc<Session>)> {
        self.by_due_time.iter().map(|((due_at, _), session)| (*due_at, session))
    }
}
