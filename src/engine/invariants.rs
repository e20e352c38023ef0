//! What must hold between any two calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::config::MESSAGE_OVERHEAD_BYTES;
use super::core::session::Session;
use super::core::subscriptions::Membership;
use super::handle::Engine;

impl Engine {
    /// Looks at everything and panics where parts contradict each other. For tests, between two calls.
    pub(crate) fn check_invariants(&self) {
        let directory = self.directory.lock();
        let subscriptions = self.subscriptions.read();
        let mut held: BTreeMap<u64, BTreeSet<Membership>> = BTreeMap::new();
        let mut connected = 0;
        for session in directory.sessions() {
            assert!(directory.find(session.client_id()).is_some_and(|found| Arc::ptr_eq(found, session)));
            connected += u64::from(session.is_connected());
            let memberships = check_session(self, session);
            if !memberships.is_empty() {
                held.insert(session.number(), memberships);
            }
        }
        let mut due_count = 0;
        for (due_at, session) in directory.due_times() {
            let away_until = session.lock().away.as_ref().map(|away| away.due_at());
            assert_eq!(away_until, Some(due_at), "due is who is away, at the right time");
            due_count += 1;
        }
        assert_eq!(due_count, directory.len() as u64 - connected, "whoever is away is due some time");
        assert_eq!(subscriptions.check_invariants(), held, "sessions and tree agree on who subscribed where");
        let retained = self.retained.read();
        retained.check_invariants();

        for (counter, count) in [
            (&self.counters.sessions, directory.len() as u64),
            (&self.counters.sessions_connected, connected),
            (&self.counters.subscriptions, held.values().map(|memberships| memberships.len() as u64).sum()),
            (
                &self.counters.shared_subscriptions,
                held.values().flatten().filter(|membership| membership.is_shared()).count() as u64,
            ),
            (&self.counters.retained_messages, retained.len() as u64),
            (&self.counters.retained_bytes, retained.bytes() as u64),
        ] {
            assert_eq!(counter.load(Ordering::Relaxed), count);
        }
    }

    /// Messages in the queues of all sessions.
    pub(crate) fn waiting_count(&self) -> u64 {
        let count = |session: &Arc<Session>| {
            let state = session.lock();
            let queue = state.outgoing.pending.as_ref().and_then(|pending| pending.queue.as_ref());
            queue.map_or(0, |queue| queue.len() as u64)
        };
        self.directory.lock().sessions().map(count).sum()
    }
}

impl Engine {
    /// Messages of Shared Subscriptions in the queues of sessions that are away, counted by payload.
    pub(crate) fn waiting_shared(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for session in self.directory.lock().sessions().filter(|session| !session.is_connected()) {
            let state = session.lock();
            let queue = state.outgoing.pending.as_ref().and_then(|pending| pending.queue.as_ref());
            let waiting = queue.into_iter().flat_map(|queue| queue.iter());
            for waiting in waiting.filter(|waiting| waiting.group != 0) {
                let payload = String::from_utf8_lossy(waiting.message.payload()).into_owned();
                *found.entry(payload).or_default() += 1;
            }
        }
        found
    }
}

fn check_session(engine: &Engine, session: &Session) -> BTreeSet<Membership> {
    let state = session.lock();
    assert_eq!(session.is_connected(), state.outgoing.outlet.is_some());
    assert_eq!(session.is_connected(), state.away.is_none());
    if let Some(pending) = &state.outgoing.pending {
        let ids = pending.in_flight.entries().map(|entry| entry.packet_id).collect::<BTreeSet<_>>();
        assert_eq!(ids.len(), pending.in_flight.len(), "a packet identifier is used once");
        assert!(pending.in_flight.len() <= usize::from(engine.config.inflight_max));
        let messages = pending.in_flight.entries().filter_map(|entry| entry.message.as_ref());
        let bytes = messages.map(|message| message.size() + MESSAGE_OVERHEAD_BYTES).sum::<usize>();
        assert_eq!(pending.in_flight.bytes(), bytes);
        assert!(pending.receiving.is_sorted());
        if let Some(queue) = &pending.queue {
            queue.check_invariants(engine.config.queue_bytes_max);
        }
    }
    let memberships = state.memberships.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(memberships.len(), state.memberships.len(), "a subscription is held once");
    memberships
}
