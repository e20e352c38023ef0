//! What sessions there are, for whoever operates the server: nothing here changes anything.
//!
//! A survey goes by session numbers, so that it can stop anywhere and go on later. No lock is held for more than a slice.

use std::sync::Arc;

use super::core::session::Session;
use super::handle::Engine;
use super::message::{Message, Owner, Peer};
use crate::mqtt::{ClientId, QoS, TopicFilter};

/// One session, as it was when it was looked at.
#[derive(Clone, Debug)]
pub struct Surveyed {
    session: Arc<Session>,
    pub owner: Arc<dyn Owner>,
    pub is_connected: bool,
    /// `None`: the session is away, or its outlet does not say.
    pub peer: Option<Peer>,
    pub subscriptions_count: usize,
    /// Bytes that wait in its queue.
    pub queued_bytes: usize,
    /// There as long as it may still be published.
    pub will: Option<Arc<Message>>,
}

/// One Subscription, as it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub filter: TopicFilter,
    pub maximum_qos: QoS,
    /// Whether each delivery is judged.
    pub is_checked: bool,
}

/// Subscriptions looked at before others have a turn with the tree.
const SLICE: usize = 256;

impl Engine {
    /// The first `count` sessions made after the one numbered `after`; 0: from the first on.
    #[must_use]
    pub fn survey(&self, after: u64, count: usize) -> Vec<Surveyed> {
        let sessions: Vec<Arc<Session>> = {
            let directory = self.directory.lock();
            directory.sessions_in(after.saturating_add(1)..=u64::MAX).take(count).cloned().collect()
        };
        sessions.into_iter().filter_map(Surveyed::of).collect()
    }

    /// The session of this client.
    #[must_use]
    pub fn survey_of(&self, client_id: &ClientId) -> Option<Surveyed> {
        let session = self.directory.lock().find(client_id).cloned()?;
        Surveyed::of(session)
    }

    /// The Subscriptions of a session; none if it has ended since.
    #[must_use]
    pub fn subscriptions_of(&self, surveyed: &Surveyed) -> Vec<Held> {
        let session = &surveyed.session;
        let memberships = session.lock().memberships.clone();
        let mut held = Vec::with_capacity(memberships.len());
        for slice in memberships.chunks(SLICE) {
            let subscriptions = self.subscriptions.read();
            held.extend(slice.iter().filter_map(|&membership| {
                // Another's Subscription may lie in its place by now.
                let subscriber = subscriptions.subscriber(membership, session)?;
                let filter = TopicFilter::parse(&subscriptions.filter_text(membership)).ok()?;
                Some(Held { filter, maximum_qos: subscriber.maximum_qos, is_checked: subscriber.is_checked() })
            }));
        }
        held
    }
}

impl Surveyed {
    fn of(session: Arc<Session>) -> Option<Self> {
        let state = session.lock();
        if state.has_ended() {
            return None;
        }
        let outlet = state.outgoing.outlet.clone();
        let mut surveyed = Self {
            session: Arc::clone(&session),
            owner: Arc::clone(&state.owner),
            is_connected: outlet.is_some(),
            peer: None,
            subscriptions_count: state.memberships.len(),
            queued_bytes: state.outgoing.queued_bytes(),
            will: state.will.as_ref().map(|will| Arc::clone(&will.message)),
        };
        drop(state);
        surveyed.peer = outlet.and_then(|outlet| outlet.peer());
        Some(surveyed)
    }

    #[must_use]
    pub fn number(&self) -> u64 {
        self.session.number()
    }

    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        self.session.client_id()
    }
}
