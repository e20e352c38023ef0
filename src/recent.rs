//! A bounded map that forgets what has not been used for longest.
//!
//! Pure. It has two halves: what is used moves into the younger one, and when that is full it becomes the older one, whose entries are
//! forgotten. So nothing is forgotten before half of the bound has been used after it, and no order has to be kept entry by entry.

use std::hash::Hash;

use ahash::RandomState;
use hashbrown::HashMap;

/// Values by key, of which the number is bounded.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
    half: usize,
}

impl<K: Eq + Hash, V: Default> Recent<K, V> {
    /// Room for `max` entries, two at the least. `hasher` is seeded, so that nobody outside can choose keys that collide.
    #[must_use]
    pub fn new(max: usize, hasher: RandomState) -> Self {
        let (young, old) = (HashMap::with_hasher(hasher.clone()), HashMap::with_hasher(hasher));
        Self { young, old, half: half_of(max) }
    }

    /// Has another bound hold from here on. What is beyond it is forgotten as if it had not been used for long.
    pub fn set_max(&mut self, max: usize) {
        self.half = half_of(max);
        for entries in [&mut self.young, &mut self.old] {
            let beyond: usize = entries.len().saturating_sub(self.half);
            entries.extract_if(|_, _| true).take(beyond).for_each(drop);
            entries.shrink_to_fit();
        }
    }

    /// The value of `key`, which is made if there is none, and how many entries that `matter` had to be forgotten for it.
    pub fn touch(&mut self, key: K, matters: impl Fn(&V) -> bool) -> (&mut V, usize) {
        let kept = if self.young.contains_key(&key) { None } else { Some(self.old.remove(&key).unwrap_or_default()) };
        let mut forgotten = 0;
        if kept.is_some() && self.young.len() >= self.half {
            std::mem::swap(&mut self.young, &mut self.old);
            forgotten = self.young.values().filter(|value| matters(value)).count();
            self.young.clear();
        }
        (self.young.entry(key).or_insert_with(|| kept.unwrap_or_default()), forgotten)
    }

    /// The value of `key`, if there is one; that does not count as a use.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many entries each half may have.
fn half_of(max: usize) -> usize {
    (max / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(max: usize) -> Recent<u32, u32> {
        Recent::new(max, RandomState::with_seeds(1, 2, 3, 4))
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten_in_time() {
        let mut recent = recent(8);
        for key in 0..100 {
            *recent.touch(key, |_| true).0 = key;
            assert_eq!(*recent.touch(7000, |_| true).0, if key == 0 { 0 } else { 1 });
            *recent.touch(7000, |_| true).0 = 1;
            assert!(recent.len() <= 8, "{}", recent.len());
        }
        assert_eq!((recent.get_mut(&99).copied(), recent.get_mut(&0)), (Some(99), None));
    }

    #[test]
    fn what_is_forgotten_and_mattered_is_counted() {
        let mut recent = recent(4);
        let mut forgotten = 0;
        for key in 0..10 {
            let (value, count) = recent.touch(key, |value| value % 2 == 1);
            *value = key;
            forgotten += count;
        }
        let kept = (0..10).filter(|key| key % 2 == 1 && recent.get_mut(key).is_some()).count();
        assert_eq!(forgotten + kept, 5);
        assert!(forgotten > 0);
    }

    #[test]
    fn a_smaller_bound_holds_at_once() {
        let mut recent = recent(100);
        for key in 0..80 {
            recent.touch(key, |_| true);
        }
        recent.set_max(10);
        assert_eq!(recent.len(), 10);
        for key in 100..200 {
            recent.touch(key, |_| true);
            assert!(recent.len() <= 10);
        }
        recent.set_max(20);
        (200..220).for_each(|key| drop(recent.touch(key, |_| true)));
        assert!(recent.len() > 10);
    }

    #[test]
    fn what_is_removed_begins_anew() {
        let mut recent = recent(4);
        *recent.touch(1, |_| true).0 = 5;
        assert_eq!((recent.remove(&1), recent.remove(&1)), (Some(5), None));
        assert_eq!(*recent.touch(1, |_| true).0, 0);
        assert!(!recent.is_empty());
    }
}
