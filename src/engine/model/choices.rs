//! What decides how a trial goes.

use std::fmt::Debug;

/// A source of decisions.
pub trait Choices: Debug {
    /// A number below `bound`, which is from 1 to 256.
    fn below(&mut self, bound: usize) -> usize;

    /// Whether there is nothing more to decide: a trial ends then.
    fn is_over(&self) -> bool;
}

/// Decisions without end that follow from a seed (splitmix64).
#[derive(Debug)]
pub struct Seeded(u64);

impl Seeded {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(STRIDE) | 1)
    }
}

const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

impl Choices for Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(STRIDE);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// Decisions written down, a byte each.
#[derive(Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl Choices for Script<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first) % bound
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
