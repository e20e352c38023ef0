//! Topic levels as numbers: each text is kept once, however many Topic Filters use it.

use ahash::RandomState;
use hashbrown::HashTable;

/// The number of a level's text.
pub(crate) type Level = u32;

/// The level `+`.
pub(crate) const PLUS: Level = 0;
/// The level `#`.
pub(crate) const HASH: Level = 1;
/// A level that no filter uses.
pub(crate) const UNKNOWN: Level = Level::MAX;

/// The texts in use, counted.
#[derive(Debug)]
pub(crate) struct Levels {
    slots: Vec<Slot>,
    free: Vec<Level>,
    /// Finds a slot by its text.
    index: HashTable<Level>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Slot {
    text: Box<str>,
    /// Nodes that stand on this level; a slot of no use is free.
    uses: u32,
}

impl Levels {
    pub(crate) fn new(hasher: RandomState) -> Self {
        let mut levels = Self { slots: Vec::new(), free: Vec::new(), index: HashTable::new(), hasher };
        // The wildcards hold their numbers for ever.
        let wildcards = (levels.acquire("+"), levels.acquire("#"));
        debug_assert_eq!(wildcards, (PLUS, HASH));
        levels
    }

    /// The number of `text`, or [`UNKNOWN`].
    pub(crate) fn find(&self, text: &str) -> Level {
        let slots = &self.slots;
        self.index
            .find(self.hasher.hash_one(text), |&level| *slots[level as usize].text == *text)
            .copied()
            .unwrap_or(UNKNOWN)
    }

    /// The number of `text`, used once more.
    pub(crate) fn acquire(&mut self, text: &str) -> Level {
        let level = self.find(text);
        if level != UNKNOWN {
            self.slots[level as usize].uses += 1;
            return level;
        }
        let slot = Slot { text: text.into(), uses: 1 };
        let level = match self.free.pop() {
            Some(level) => {
                self.slots[level as usize] = slot;
                level
            }
            None => {
                self.slots.push(slot);
                // Every level in use belongs to a node, and nodes are numbered by u32 as well.
                (self.slots.len() - 1) as Level
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hasher.hash_one(text), level, |&level| hasher.hash_one(&*slots[level as usize].text));
        level
    }

    /// Gives back one use of `level`.
    pub(crate) fn release(&mut self, level: Level) {
        let slot = &mut self.slots[level as usize];
        slot.uses -= 1;
        if slot.uses > 0 {
            return;
        }
        let text = std::mem::take(&mut slot.text);
        if let Ok(entry) = self.index.find_entry(self.hasher.hash_one(&*text), |&found| found == level) {
            entry.remove();
        }
        self.free.push(level);
    }

    pub(crate) fn text(&self, level: Level) -> &str {
        &self.slots[level as usize].text
    }

    /// Texts in use, the two wildcards included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}
