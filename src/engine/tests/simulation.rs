//! Trials of the engine on virtual time; a seed decides everything.
//!
//! A failing seed is printed; `TIDEGATE_SIMULATION_SEED=N cargo test --lib simulation` runs it alone.

use std::time::Instant;

use crate::engine::model::{Cast, Choices, Script, Seeded, Trial};

const SEEDS: u64 = 100;
const STEPS: usize = 400;

fn seeds() -> std::ops::Range<u64> {
    let wanted = std::env::var("TIDEGATE_SIMULATION_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    wanted.map_or(0..SEEDS, |seed| seed..seed + 1)
}

struct NameSeed(u64);

impl Drop for NameSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("reproduce with TIDEGATE_SIMULATION_SEED={}", self.0);
        }
    }
}

#[test]
fn the_engine_keeps_its_promises() {
    for seed in seeds() {
        let _guard = NameSeed(seed);
        Trial::new(Seeded::new(seed), Cast::CROWD, Instant::now()).run(STEPS);
    }
}

/// As the fuzz target `two_party` does it, with bytes that a seed makes.
#[test]
fn the_engine_keeps_its_promises_between_two() {
    for seed in seeds() {
        let _guard = NameSeed(seed);
        let mut seeded = Seeded::new(seed);
        let bytes = (0..2000).map(|_| seeded.below(256) as u8).collect::<Vec<_>>();
        Trial::new(Script::new(&bytes), Cast::TWO, Instant::now()).run(STEPS);
    }
}
