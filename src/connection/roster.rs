//! Who is connected: how many connections a user has, which Client Identifiers are taken, and which change hands too often.
//!
//! A place in it is a value that travels with the connection and is given up when dropped, so that no path can forget to.
//!
//! ```text
//!   (owner, Client Identifier) ─▶ how many connections, and in whose count they are: more than one only while one takes over another
//!   holder                     ─▶ how many Client Identifiers: a user, or the address of somebody without a name
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::address::AddressKey;
use crate::mqtt::ClientId;

/// What happens to a client whose Client Identifier another connection of the same user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateClientId {
    /// It takes the session over, as the standard says (MQTT 5.0 [MQTT-3.1.4-3]), but not again and again.
    #[default]
    Takeover,
    /// It is refused.
    Reject,
    /// It gets a session of its own under another Client Identifier: `kiosk-2` instead of `kiosk`.
    Suffix,
}

/// What bounds the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterLimits {
    /// Connections of one Client Identifier, its suffixed ones included. Default 8.
    pub per_client_id_max: usize,
    /// How often a Client Identifier may change hands within [`Self::takeovers_window`]. Default 30.
    pub takeovers_max: u32,
    /// Default 5 min. Whoever is refused for it has to leave the Client Identifier alone for as long, or until it is free.
    pub takeovers_window: Duration,
    /// Client Identifiers of which it is remembered how often they changed hands. Default 10,000, at about 150 bytes; others may do so.
    pub takeovers_remembered_max: usize,
}

impl Default for RosterLimits {
    fn default() -> Self {
        Self {
            per_client_id_max: 8,
            takeovers_max: 30,
            takeovers_window: Duration::from_secs(300),
            takeovers_remembered_max: 10_000,
        }
    }
}

/// Somebody who wants to come in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer<'a> {
    pub(super) owner: &'a Arc<str>,
    /// Where one without a name of their own comes from.
    pub(super) anonymous_at: Option<IpAddr>,
    pub(super) client_id: &'a str,
    pub(super) duplicates: DuplicateClientId,
    /// How many connections the user may have.
    pub(super) connections_max: Option<u64>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The user has as many connections as it may.
    UserFull,
    /// Another connection has the Client Identifier, and keeps it.
    InUse,
    /// There are as many connections of this Client Identifier as may be.
    ClientIdFull,
    /// The Client Identifier has changed hands too often.
    TakenOverTooOften,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Roster(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    present: BTreeMap<Identity, Present>,
    count_by_holder: BTreeMap<Holder, u64>,
    takeovers: BTreeMap<Identity, Takeovers>,
}

type Identity = (Arc<str>, ClientId);

/// Whose count a connection is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    User(Arc<str>),
    Address(AddressKey),
}

#[derive(Debug)]
struct Present {
    holder: Holder,
    connections: u32,
}

/// How often somebody's Client Identifier has changed hands.
#[derive(Clone, Copy, Debug)]
struct Takeovers {
    /// At the rate that is allowed, those there were would have taken until then.
    spent_until: Instant,
    refused_until: Option<Instant>,
}

/// A connection's place in the roster; given up when dropped.
#[derive(Debug)]
pub(super) struct Presence {
    roster: Arc<Roster>,
    identity: Identity,
}

impl Presence {
    /// Under which Client Identifier: the one asked for, unless it was taken and got a suffix.
    pub(super) fn client_id(&self) -> &ClientId {
        &self.identity.1
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.roster.0.lock().leave(&self.identity);
    }
}

impl Roster {
    /// Takes a place; `is_available` says whether a Client Identifier that nobody here has is nobody else's either.
    ///
    /// # Errors
    /// [`NoPlace`]; nothing has changed then, but that the attempt to take over is remembered.
    pub(super) fn enter(
        self: &Arc<Self>,
        now: Instant,
        newcomer: Newcomer<'_>,
        limits: &RosterLimits,
        is_available: impl Fn(&ClientId) -> bool,
    ) -> Result<Presence, NoPlace> {
        let mut state = self.0.lock();
        let identity = state.choose(newcomer, limits, is_available)?;
        let holder = Holder::of(newcomer);
        let is_takeover = state.present.contains_key(&identity);
        let is_counted = state.present.get(&identity).is_some_and(|present| present.holder == holder);
        let count = state.count_by_holder.get(&holder).copied().unwrap_or_default();
        if !is_counted && newcomer.connections_max.is_some_and(|max| count >= max) {
            return Err(NoPlace::UserFull);
        }
        if is_takeover && !state.may_take_over(now, &identity, limits) {
            return Err(NoPlace::TakenOverTooOften);
        }
        state.add(&identity, holder);
        Ok(Presence { roster: Arc::clone(self), identity })
    }
}

impl State {
    /// The Client Identifier that the newcomer gets.
    fn choose(
        &self,
        newcomer: Newcomer<'_>,
        limits: &RosterLimits,
        is_available: impl Fn(&ClientId) -> bool,
    ) -> Result<Identity, NoPlace> {
        let asked: Identity = (Arc::clone(newcomer.owner), ClientId::new(newcomer.client_id));
        if !self.present.contains_key(&asked) {
            return Ok(asked);
        }
        match newcomer.duplicates {
            DuplicateClientId::Takeover => Ok(asked),
            DuplicateClientId::Reject => Err(NoPlace::InUse),
            DuplicateClientId::Suffix => {
                let ids = (2..=limits.per_client_id_max).map(|number| format!("{}-{number}", newcomer.client_id));
                let mut ids = ids.filter(|id| id.len() <= CLIENT_ID_BYTES_MAX).map(|id| ClientId::new(&id));
                let is_free = |id: &ClientId| {
                    !self.present.contains_key(&(Arc::clone(newcomer.owner), id.clone())) && is_available(id)
                };
                let id = ids.find(is_free).ok_or(NoPlace::ClientIdFull)?;
                Ok((asked.0, id))
            }
        }
    }

    fn add(&mut self, identity: &Identity, holder: Holder) {
        match self.present.get_mut(identity) {
            Some(present) => {
                present.connections += 1;
                // Who takes over takes the other's place in the count.
                let former = std::mem::replace(&mut present.holder, holder.clone());
                self.uncount(&former);
            }
            None => {
                self.present.insert(identity.clone(), Present { holder: holder.clone(), connections: 1 });
            }
        }
        *self.count_by_holder.entry(holder).or_default() += 1;
    }

    fn leave(&mut self, identity: &Identity) {
        let Some(present) = self.present.get_mut(identity) else { return };
        present.connections -= 1;
        if present.connections == 0
            && let Some(present) = self.present.remove(identity)
        {
            self.uncount(&present.holder);
        }
    }

    fn uncount(&mut self, holder: &Holder) {
        let Some(count) = self.count_by_holder.get_mut(holder) else { return };
        *count -= 1;
        if *count == 0 {
            self.count_by_holder.remove(holder);
        }
    }

    /// Whether a Client Identifier may change hands once more.
    ///
    /// Two pages that both insist on one would go on for ever: each that loses it comes back and takes it. After a few times the one
    /// that has it keeps it, and the other is refused for as long as it goes on trying.
    fn may_take_over(&mut self, now: Instant, identity: &Identity, limits: &RosterLimits) -> bool {
        if !self.takeovers.contains_key(identity) && self.takeovers.len() >= limits.takeovers_remembered_max {
            self.takeovers.retain(|_, takeovers| takeovers.is_in_force(now));
            if self.takeovers.len() >= limits.takeovers_remembered_max {
                return true;
            }
        }
        let fresh = Takeovers { spent_until: now, refused_until: None };
        let takeovers = self.takeovers.entry(identity.clone()).or_insert(fresh);
        takeovers.admit(now, limits)
    }
}

impl Takeovers {
    fn is_in_force(&self, now: Instant) -> bool {
        self.spent_until > now || self.refused_until.is_some_and(|until| until > now)
    }

    fn admit(&mut self, now: Instant, limits: &RosterLimits) -> bool {
        let window = limits.takeovers_window;
        let spent_until = self.spent_until.max(now) + window / limits.takeovers_max.max(1);
        let is_refused = self.refused_until.is_some_and(|until| until > now) || spent_until > now + window;
        if is_refused {
            self.refused_until = Some(now + window);
        } else {
            self.spent_until = spent_until;
        }
        !is_refused
    }
}

/// The longest text that MQTT can spell.
const CLIENT_ID_BYTES_MAX: usize = 65_535;

impl Holder {
    fn of(newcomer: Newcomer<'_>) -> Self {
        match newcomer.anonymous_at {
            None => Self::User(Arc::clone(newcomer.owner)),
            Some(address) => Self::Address(address.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Door {
        roster: Arc<Roster>,
        now: Instant,
        limits: RosterLimits,
        duplicates: DuplicateClientId,
        connections_max: Option<u64>,
    }

    impl Door {
        fn new(duplicates: DuplicateClientId, connections_max: Option<u64>) -> Self {
            let limits = RosterLimits { per_client_id_max: 3, takeovers_max: 2, ..RosterLimits::default() };
            Self { roster: Arc::default(), now: Instant::now(), limits, duplicates, connections_max }
        }

        fn enter(&self, owner: &str, client_id: &str) -> Result<Presence, NoPlace> {
            self.enter_from(owner, None, client_id)
        }

        fn enter_from(&self, owner: &str, address: Option<&str>, client_id: &str) -> Result<Presence, NoPlace> {
            let newcomer = Newcomer {
                owner: &owner.into(),
                anonymous_at: address.map(|address| address.parse().unwrap()),
                client_id,
                duplicates: self.duplicates,
                connections_max: self.connections_max,
            };
            self.roster.enter(self.now, newcomer, &self.limits, |id| id.as_str() != "foreign-2")
        }

        fn is_empty(&self) -> bool {
            let state = self.roster.0.lock();
            state.present.is_empty() && state.count_by_holder.is_empty()
        }
    }

    #[test]
    fn a_user_has_so_many_connections_and_a_takeover_is_none_more() {
        let door = Door::new(DuplicateClientId::Takeover, Some(2));
        let first = door.enter("alice", "a").unwrap();
        let _second = door.enter("alice", "b").unwrap();
        assert_eq!(door.enter("alice", "c").unwrap_err(), NoPlace::UserFull);
        let heir = door.enter("alice", "a").unwrap();
        let _bob = door.enter("bob", "c").unwrap();
        // The one that was taken over leaves nothing free.
        drop(first);
        assert_eq!(door.enter("alice", "c").unwrap_err(), NoPlace::UserFull);
        drop(heir);
        door.enter("alice", "c").unwrap();
    }

    #[test]
    fn the_nameless_are_counted_by_where_they_come_from() {
        let door = Door::new(DuplicateClientId::Takeover, Some(1));
        let places = [
            ("10.0.0.1", "a", true),
            ("::ffff:10.0.0.1", "b", false),
            ("10.0.0.2", "b", true),
            ("2001:db8::1", "c", true),
            ("2001:db8::2", "d", false),
            ("2001:db8:0:1::1", "d", true),
        ];
        let mut present = Vec::new();
        for (address, client_id, is_expected) in places {
            let entered = door.enter_from("anonymous", Some(address), client_id);
            assert_eq!(entered.is_ok(), is_expected, "{address}");
            present.extend(entered);
        }
        // Whoever is taken over from elsewhere is in the count of the other place from then on.
        assert!(door.enter_from("anonymous", Some("10.0.0.2"), "a").is_err());
        present.push(door.enter_from("anonymous", Some("10.0.0.3"), "a").unwrap());
        present.push(door.enter_from("anonymous", Some("10.0.0.1"), "e").unwrap());
        drop(present);
        assert!(door.is_empty());
    }

    #[test]
    fn who_is_taken_may_not_be_taken_over() {
        let door = Door::new(DuplicateClientId::Reject, None);
        let first = door.enter("alice", "a").unwrap();
        assert_eq!(door.enter("alice", "a").unwrap_err(), NoPlace::InUse);
        // Whose it is otherwise is the engine's business.
        let _other = door.enter("bob", "a").unwrap();
        drop(first);
        door.enter("alice", "a").unwrap();
    }

    #[test]
    fn a_suffix_is_the_first_that_is_free() {
        let door = Door::new(DuplicateClientId::Suffix, None);
        let enter = |id| door.enter("alice", id);
        let first = enter("a").unwrap();
        let second = enter("a").unwrap();
        let third = enter("a").unwrap();
        let ids = [&first, &second, &third].map(|presence| presence.client_id().as_str().to_owned());
        assert_eq!(ids, ["a", "a-2", "a-3"]);
        assert_eq!(enter("a").unwrap_err(), NoPlace::ClientIdFull);
        drop(second);
        let again = enter("a").unwrap();
        assert_eq!(again.client_id().as_str(), "a-2");
        let _foreign = enter("foreign").unwrap();
        assert_eq!(enter("foreign").unwrap().client_id().as_str(), "foreign-3");
        // What would be too long for MQTT is not tried.
        let long = "x".repeat(CLIENT_ID_BYTES_MAX);
        let _long = enter(&long).unwrap();
        assert_eq!(enter(&long).unwrap_err(), NoPlace::ClientIdFull);
        drop((first, third, again));
        assert_eq!(enter("a").unwrap().client_id().as_str(), "a");
    }

    #[test]
    fn two_who_insist_do_not_take_over_for_ever() {
        let mut door = Door::new(DuplicateClientId::Takeover, None);
        let mut holder = door.enter("alice", "a").unwrap();
        let (mut changes, mut refusals) = (0, 0);
        for _second in 0..600 {
            door.now += Duration::from_secs(1);
            match door.enter("alice", "a") {
                Ok(newcomer) => {
                    drop(std::mem::replace(&mut holder, newcomer));
                    changes += 1;
                }
                Err(error) => {
                    assert_eq!(error, NoPlace::TakenOverTooOften);
                    refusals += 1;
                }
            }
        }
        assert_eq!((changes, refusals), (2, 598));
        // Others are others.
        let _other = door.enter("alice", "b").unwrap();
        door.enter("alice", "b").unwrap();
        // After a rest it may be taken over again, and at once when it is free.
        door.now += door.limits.takeovers_window;
        drop(std::mem::replace(&mut holder, door.enter("alice", "a").unwrap()));
        door.enter("alice", "a").unwrap();
        assert!(door.enter("alice", "a").is_err());
        drop(holder);
        door.enter("alice", "a").unwrap();
    }

    #[test]
    fn now_and_then_is_not_too_often() {
        let mut door = Door::new(DuplicateClientId::Takeover, None);
        let mut holder = door.enter("alice", "a").unwrap();
        for _ in 0..100 {
            door.now += door.limits.takeovers_window / 2;
            drop(std::mem::replace(&mut holder, door.enter("alice", "a").unwrap()));
        }
        drop(holder);
        assert!(door.is_empty());
    }

    #[test]
    fn what_cannot_be_remembered_is_let_through_and_makes_room() {
        let mut door = Door::new(DuplicateClientId::Takeover, None);
        door.limits.takeovers_remembered_max = 1;
        let _first = door.enter("alice", "a").unwrap();
        let _heir = door.enter("alice", "a").unwrap();
        let _other = door.enter("alice", "b").unwrap();
        let heirs: Vec<_> = (0..5).map(|_| door.enter("alice", "b").unwrap()).collect();
        assert_eq!(door.roster.0.lock().takeovers.len(), 1);
        door.now += 2 * door.limits.takeovers_window;
        door.enter("alice", "b").unwrap();
        assert!(door.roster.0.lock().takeovers.contains_key(&("alice".into(), ClientId::new("b"))));
        drop(heirs);
    }
}
