//! What holds at a place: directives of the block itself, or else of those around it.

use super::tokens::Directive;

/// Blocks within each other, the outermost first.
#[derive(Clone, Debug)]
pub(super) struct Scope<'a> {
    levels: Vec<&'a [Directive]>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(outermost: &'a [Directive]) -> Self {
        Self { levels: vec![outermost] }
    }

    pub(super) fn within(&self, block: &'a [Directive]) -> Self {
        let mut levels = self.levels.clone();
        levels.push(block);
        Self { levels }
    }

    /// Without the innermost block, if there is another one.
    pub(super) fn outer(&self) -> Option<Self> {
        let (_, levels) = self.levels.split_last()?;
        (!levels.is_empty()).then(|| Self { levels: levels.to_vec() })
    }

    /// The directives of the block itself.
    pub(super) fn own(&self) -> &'a [Directive] {
        self.levels.last().copied().unwrap_or_default()
    }

    /// All of this name in the innermost block that has any: what is set lower takes the place of all that is set higher.
    pub(super) fn all(&self, name: &str) -> Vec<&'a Directive> {
        for level in self.levels.iter().rev() {
            let named: Vec<_> = level.iter().filter(|directive| directive.name == name).collect();
            if !named.is_empty() {
                return named;
            }
        }
        Vec::new()
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Directive> {
        self.all(name).last().copied()
    }

    /// Whether `name` is set further in than `other`.
    pub(super) fn is_nearer(&self, name: &str, other: &str) -> bool {
        let has = |level: &[Directive], name: &str| level.iter().any(|directive| directive.name == name);
        let level = self.levels.iter().rev().find(|level| has(level, name) || has(level, other));
        level.is_some_and(|level| has(level, name))
    }

    /// Every level's, the innermost first.
    pub(super) fn everywhere(&self, name: &'a str) -> impl Iterator<Item = &'a Directive> {
        self.levels
            .clone()
            .into_iter()
            .rev()
            .flat_map(move |level| level.iter().filter(move |found| found.name == name))
    }
}
