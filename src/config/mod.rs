//! From what operators write to what the program is told.
//!
//! Responsible for: reading the YAML file and the `TIDEGATE_…` environment as one tree, naming every fault in them at once with its
//! place, and composing each module's own configuration into one [`Config`].
//!
//! Not here: what is inside the files a configuration names (policy, passwords, certificates); `tidegate check` asks their owners.
//!
//! Invariants: nobody but `cli` and `app` imports this module; a [`Config`] holds nothing unchecked; no key that was written is
//! silently without effect.

pub mod environment;
pub mod meant;
pub mod schema;
pub mod sources;
pub mod units;
pub mod written;
pub mod yaml;

pub use meant::*;
