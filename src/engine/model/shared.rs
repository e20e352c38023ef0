//! The ledger's part on Shared Subscriptions: each message for exactly one member, whichever the engine chooses (MQTT 5.0 §4.8.2).

use std::collections::BTreeMap;
use std::time::Instant;

use super::ledger::Publication;
use super::world::Copy;
use crate::engine::message::SubscribeRequest;
use crate::mqtt::QoS;

/// What the groups are owed, in the order of publication.
#[derive(Debug, Default)]
pub(super) struct SharedDues {
    by_number: BTreeMap<u64, SharedDue>,
    made: u64,
}

/// One message for one group.
#[derive(Debug)]
pub(super) struct SharedDue {
    /// The group's Topic Filter with `$share`.
    text: String,
    /// Counts publications.
    pub(super) sequence: u64,
    topic: &'static str,
    payload: String,
    qos: QoS,
    retain: bool,
    expires_at: Option<Instant>,
    place: Place,
    /// Dropping it would be right, or once would have been.
    may_be_lost: bool,
    /// It may wait for a member that is away, as there was nobody else.
    may_wait: bool,
}

/// Where the message is, as far as can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// With no client; in some member's queue, if it was not dropped.
    Waiting,
    /// With a client, unacknowledged.
    Sent,
    /// Acknowledged, or sent at QoS 0: nobody is to get it again.
    Done,
}

/// The members of one group that may see a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Eligible {
    pub(super) count: usize,
    /// With a Network Connection that works.
    pub(super) live_count: usize,
    /// The lowest of their maximum QoS.
    pub(super) lowest_qos: QoS,
}

/// What may be lost in this trial whoever is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Losses {
    pub(super) queues_may_overflow: bool,
    pub(super) outboxes_may_fill: bool,
    /// What waits may give way to the next on its topic, which then comes in its place.
    pub(super) topics_may_conflate: bool,
}

impl SharedDues {
    /// Notes a publication for the group `text`.
    pub(super) fn add(&mut self, text: &str, sequence: u64, publication: &Publication<'_>, is_large: bool) {
        self.made += 1;
        let due = SharedDue {
            text: text.to_owned(),
            sequence,
            topic: publication.topic,
            payload: publication.payload.to_owned(),
            qos: publication.qos,
            retain: publication.retain,
            expires_at: publication.expires_at,
            place: Place::Waiting,
            may_be_lost: is_large,
            may_wait: false,
        };
        self.by_number.insert(self.made, due);
    }

    /// Looks at who is there now for each message that nobody has acknowledged.
    pub(super) fn review(&mut self, losses: Losses, eligible: impl Fn(&str, &str) -> Eligible) {
        for due in self.by_number.values_mut().filter(|due| due.place != Place::Done) {
            let members = eligible(&due.text, due.topic);
            let may_go_at_qos_0 = due.qos.min(members.lowest_qos) == QoS::AtMostOnce;
            due.may_wait |= members.live_count == 0;
            due.may_be_lost |= members.count == 0
                || losses.queues_may_overflow
                || (may_go_at_qos_0 && (members.live_count == 0 || losses.outboxes_may_fill));
        }
        self.by_number.retain(|_, due| due.place != Place::Done);
    }

    /// Takes `copy`, given to a member whose Subscription is `request`. Returns the number of what it settles, if it awaits an
    /// acknowledgement.
    ///
    /// A member that has unsubscribed may still get what was published before, up to `left_at`, if there was nobody else to have it.
    pub(super) fn take(
        &mut self,
        copy: &Copy,
        request: &SubscribeRequest,
        left_at: Option<u64>,
        now: Instant,
    ) -> Option<u64> {
        let matches = |due: &SharedDue| {
            due.text == request.filter.as_str()
                && due.place == Place::Waiting
                && due.expires_at.is_none_or(|at| at > now)
                && left_at.is_none_or(|left_at| due.sequence <= left_at && due.may_wait)
                && due.as_seen_by(request) == *copy
        };
        // Of several that look the same, one that must arrive.
        let found = self.by_number.iter_mut().filter(|(_, due)| matches(due)).min_by_key(|(_, due)| due.may_be_lost);
        let (number, due) = found.unwrap_or_else(|| panic!("no member of {} was owed {copy:?}", request.filter));
        due.place = if copy.qos == 0 { Place::Done } else { Place::Sent };
        (copy.qos > 0).then_some(*number)
    }

    pub(super) fn acknowledged(&mut self, number: u64) {
        self.by_number.remove(&number);
    }

    /// The session that had it has ended: another member is to have it, if `goes_on`.
    pub(super) fn session_ended(&mut self, number: u64, goes_on: bool) {
        if let Some(due) = self.by_number.get_mut(&number) {
            due.place = if goes_on { Place::Waiting } else { Place::Done };
        }
    }

    /// Nobody may have `topic` for a moment: a message goes to another member who can see it, and where there is none, it goes.
    pub(super) fn withdraw(&mut self, topic: &str, eligible: impl Fn(&str) -> Eligible) {
        for due in self.by_number.values_mut().filter(|due| due.topic == topic) {
            due.may_be_lost |= eligible(&due.text).count <= 1;
        }
    }

    /// Compares with what waits in the engine for sessions that are away, by payload, once everybody who is connected has got everything.
    pub(super) fn check_waiting(&self, mut waiting: BTreeMap<String, usize>, now: Instant) {
        let open = || self.by_number.values().filter(|due| due.place == Place::Waiting);
        let promised = |due: &&SharedDue| !due.may_be_lost && due.expires_at.is_none_or(|at| at > now);
        for due in open().filter(promised) {
            assert!(due.may_wait, "somebody connected could have had {due:?}");
            let count = waiting.get_mut(&due.payload).filter(|count| **count > 0);
            *count.unwrap_or_else(|| panic!("nobody got {due:?}, and nobody keeps it")) -= 1;
        }
        for due in open().filter(|due| !promised(due)) {
            if let Some(count) = waiting.get_mut(&due.payload) {
                *count = count.saturating_sub(1);
            }
        }
        waiting.retain(|_, count| *count > 0);
        assert!(waiting.is_empty(), "kept twice, or without being owed: {waiting:?}");
    }
}

impl SharedDue {
    fn as_seen_by(&self, request: &SubscribeRequest) -> Copy {
        Copy {
            topic: self.topic.to_owned(),
            payload: self.payload.clone(),
            qos: self.qos.min(request.options.maximum_qos) as u8,
            retain: self.retain && request.options.retain_as_published,
            dup: false,
            packet_id: None,
            identifiers: request.identifier.map(|identifier| identifier.get()).into_iter().collect(),
        }
    }
}
