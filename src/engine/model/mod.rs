//! A naive model of what the engine promises, and a trial that holds the engine to it: for tests and fuzzers (feature `model`).
//!
//! A [`Trial`] carries out operations on an engine and tells a ledger of each; after every operation whatever the outlets were given is
//! shown to the ledger, which knows what each session is owed and in which order, and the engine checks itself. Which operations these
//! are is decided by [`Choices`]: a seed in `tests::simulation`, the bytes of a fuzzer in `fuzz/fuzz_targets/two_party.rs`. The same
//! choices give the same trial.
//!
//! The ledger shares no code with the engine but the types of the seam and [`crate::mqtt::topic::matches`]. Where the engine is free to choose, as among
//! the members of a Shared Subscription, it holds what any choice must keep.

mod choices;
mod ledger;
mod revocation;
mod shared;
mod trial;
pub(crate) mod world;

pub use choices::{Choices, Script, Seeded};
pub use trial::{Cast, Trial};
