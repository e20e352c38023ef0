//! One client publishes and one subscribes: each byte decides what is done next to an engine, and a naive model judges what becomes of
//! it.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use tidegate::engine::model::{Cast, Script, Trial};

fuzz_target!(|bytes: &[u8]| Trial::new(Script::new(bytes), Cast::TWO, Instant::now()).run(STEPS_MAX));

/// No input makes a run long.
const STEPS_MAX: usize = 2000;
