//! What the server answered lately.
//!
//! An entry's key is a keyed hash over all that was asked, by a key of this process: what is in memory names nobody's password, and cannot be
//! searched for one from outside. Yes and no are kept apart, so that whoever guesses passwords drives out nobody who is known.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

use crate::auth::{Credentials, Principal};

/// What stands for credentials.
pub type Digest = [u8; 32];

/// Answers by digest, each kind bounded on its own.
pub struct Cache {
    key: hmac::Key,
    allowed: Bounded<(Principal, Validity)>,
    denied: Bounded<Instant>,
}

/// Until when an answer holds.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    pub fresh_until: Instant,
    /// While the server fails.
    pub stale_until: Instant,
}

impl Cache {
    /// An empty one for `entries_max` answers of each kind. `secret` is random.
    #[must_use]
    pub fn new(entries_max: usize, secret: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self { key, allowed: Bounded::new(entries_max), denied: Bounded::new(entries_max) }
    }

    /// The digest of all that is asked.
    #[must_use]
    pub fn digest(&self, credentials: &Credentials) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        let address = credentials.address.map(|address| address.to_canonical().to_string());
        for part in [
            credentials.username.as_deref().map(str::as_bytes),
            credentials.password.as_deref(),
            credentials.request_token().map(str::as_bytes),
            Some(credentials.client_id.as_bytes()),
            address.as_deref().map(str::as_bytes),
        ] {
            // Each with its length, and what is missing unlike what is empty: no two questions read alike.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            context.update(&length.to_be_bytes());
            context.update(part.unwrap_or_default());
        }
        let mut digest = Digest::default();
        let tag = context.sign();
        digest.iter_mut().zip(tag.as_ref()).for_each(|(byte, of_tag)| *byte = *of_tag);
        digest
    }

    /// The answer that holds at `now`: `None` for a no.
    #[must_use]
    pub fn fresh(&self, digest: &Digest, now: Instant) -> Option<Option<Principal>> {
        if self.denied.get(digest).is_some_and(|until| now < *until) {
            return Some(None);
        }
        let (principal, validity) = self.allowed.get(digest)?;
        (now < validity.fresh_until && !has_expired(principal, now)).then(|| Some(principal.clone()))
    }

    /// Who it was when the server last answered, if that holds while it fails.
    #[must_use]
    pub fn stale(&self, digest: &Digest, now: Instant) -> Option<Principal> {
        let (principal, validity) = self.allowed.get(digest)?;
        (now < validity.stale_until && !has_expired(principal, now)).then(|| principal.clone())
    }

    /// Keeps a yes.
    pub fn allow(&mut self, digest: Digest, principal: Principal, validity: Validity, now: Instant) {
        self.denied.remove(&digest);
        if now < validity.stale_until.max(validity.fresh_until) {
            self.allowed.insert(digest, (principal, validity));
        }
    }

    /// Keeps a no for a time, and forgets the yes that there may have been.
    pub fn deny(&mut self, digest: Digest, ttl: Duration, now: Instant) {
        self.allowed.remove(&digest);
        if !ttl.is_zero() {
            self.denied.insert(digest, now + ttl);
        }
    }

    /// Has everything asked again; what was yes still holds while the server fails.
    pub fn expire(&mut self, now: Instant) {
        self.denied.clear();
        for (_, validity) in self.allowed.values_mut() {
            validity.fresh_until = validity.fresh_until.min(now);
        }
    }

    /// How many answers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.allowed.values.len() + self.denied.values.len()
    }
}

fn has_expired(principal: &Principal, now: Instant) -> bool {
    principal.expires_at.is_some_and(|at| at <= now)
}

/// So many values; the one that came first gives way.
struct Bounded<T> {
    values: HashMap<Digest, (u64, T)>,
    /// By age; what is not in `values` under its number any more was replaced or removed.
    order: VecDeque<(u64, Digest)>,
    next: u64,
    max: usize,
}

impl<T> Bounded<T> {
    fn new(max: usize) -> Self {
        Self { values: HashMap::new(), order: VecDeque::new(), next: 0, max }
    }

    fn get(&self, digest: &Digest) -> Option<&T> {
        self.values.get(digest).map(|(_, value)| value)
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.values_mut().map(|(_, value)| value)
    }

    fn insert(&mut self, digest: Digest, value: T) {
        let number = self.next;
        self.next += 1;
        self.values.insert(digest, (number, value));
        self.order.push_back((number, digest));
        while self.values.len() > self.max {
            let Some((number, oldest)) = self.order.pop_front() else { break };
            if self.values.get(&oldest).is_some_and(|(current, _)| *current == number) {
                self.values.remove(&oldest);
            }
        }
        // Values replaced over and over leave numbers behind.
        if self.order.len() > self.max.saturating_mul(2) {
            let values = &self.values;
            self.order.retain(|(number, digest)| values.get(digest).is_some_and(|(current, _)| current == number));
        }
    }

    fn remove(&mut self, digest: &Digest) {
        self.values.remove(digest);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.order.clear();
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("count", &self.count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::auth::Token;

    const MINUTE: Duration = Duration::from_secs(60);

    fn cache(max: usize) -> Cache {
        Cache::new(max, &[7; 32])
    }

    fn validity(now: Instant) -> Validity {
        Validity { fresh_until: now + MINUTE, stale_until: now + 3 * MINUTE }
    }

    #[test]
    fn every_part_of_a_question_is_in_its_digest() {
        let text = |text: &'static str| Some(text.into());
        let plain = Credentials {
            username: text("a"),
            password: Some(Bytes::from_static(b"bc")),
            token: None,
            certificate: None,
            client_id: "c".into(),
            address: None,
        };
        let cases = [
            plain.clone(),
            Credentials { username: text("ab"), password: Some(Bytes::from_static(b"c")), ..plain.clone() },
            Credentials { username: None, ..plain.clone() },
            Credentials { username: text(""), ..plain.clone() },
            Credentials { password: None, ..plain.clone() },
            Credentials { password: None, token: Some(Token::new("bc")), ..plain.clone() },
            Credentials { client_id: "d".into(), ..plain.clone() },
            Credentials { address: Some([127, 0, 0, 1].into()), ..plain.clone() },
        ];
        let cache = cache(1);
        let digests: Vec<Digest> = cases.iter().map(|credentials| cache.digest(credentials)).collect();
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{:?}", cases[index]);
        }
        assert_eq!(cache.digest(&plain), digests[0]);
        assert_ne!(Cache::new(1, &[8; 32]).digest(&plain), digests[0], "the process's own key");
    }

    #[test]
    fn a_yes_is_fresh_then_stale_then_gone() {
        let (mut cache, start, one) = (cache(9), Instant::now(), [1; 32]);
        let anna = Principal::user("anna");
        cache.allow(one, anna.clone(), validity(start), start);
        assert_eq!(cache.fresh(&one, start), Some(Some(anna.clone())));
        assert_eq!(cache.fresh(&one, start + MINUTE), None);
        assert_eq!(cache.stale(&one, start + MINUTE), Some(anna.clone()));
        assert_eq!(cache.stale(&one, start + 3 * MINUTE), None);

        // What it says of itself goes before.
        cache.allow(one, Principal { expires_at: Some(start + MINUTE / 2), ..anna.clone() }, validity(start), start);
        assert!(cache.fresh(&one, start).is_some());
        assert_eq!(cache.fresh(&one, start + MINUTE / 2), None);
        assert_eq!(cache.stale(&one, start + MINUTE / 2), None);

        cache.allow(one, anna.clone(), validity(start), start);
        cache.expire(start);
        assert_eq!(cache.fresh(&one, start), None);
        assert_eq!(cache.stale(&one, start), Some(anna));
    }

    #[test]
    fn a_no_ends_the_yes_before_it() {
        let (mut cache, now, one) = (cache(9), Instant::now(), [1; 32]);
        cache.allow(one, Principal::user("anna"), validity(now), now);
        cache.deny(one, MINUTE, now);
        assert_eq!(cache.fresh(&one, now), Some(None));
        assert_eq!(cache.fresh(&one, now + MINUTE), None);
        assert_eq!(cache.stale(&one, now), None);
        cache.allow(one, Principal::user("anna"), validity(now), now);
        assert_eq!(cache.fresh(&one, now), Some(Some(Principal::user("anna"))));
    }

    #[test]
    fn it_holds_no_more_than_it_may_and_refusals_drive_nobody_out() {
        let (mut cache, now) = (cache(3), Instant::now());
        let digest = |number: u8| [number; 32];
        cache.allow(digest(200), Principal::user("anna"), validity(now), now);
        for round in 0..50 {
            for number in 0..5 {
                cache.deny(digest(number), MINUTE, now);
            }
            assert_eq!(cache.count(), 4, "round {round}");
            assert!(cache.denied.order.len() <= 6);
        }
        assert_eq!(cache.fresh(&digest(0), now), None);
        assert_eq!(cache.fresh(&digest(4), now), Some(None));
        assert_eq!(cache.fresh(&digest(200), now), Some(Some(Principal::user("anna"))));
        // One that is renewed is young again.
        for number in [1, 2, 200, 3] {
            cache.allow(digest(number), Principal::user("anna"), validity(now), now);
        }
        assert!(cache.fresh(&digest(200), now).is_some());
        assert_eq!(cache.fresh(&digest(1), now), None);
    }
}
