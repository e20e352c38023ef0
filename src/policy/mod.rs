//! Principal + action + topic → [`Verdict`].
//!
//! Text → rules → compiled matcher are three things: `file` reads what is written, with the place of every value (`reader` is its
//! YAML and its notes of faults); `limits` what bounds a role; `rule` is what it means; `compile` makes one `trie` a role of it, shared by all;
//! `access` joins one identity to its roles' tries; `decide` walks them. [`explain`] and `testing` (the tests written in the
//! file) go through the same walk. [`diff`] compares two policies by what they mean. A [`verdict`] says what came out and why. An
//! [`envelope`] says for a message whom it is from.
//!
//! Not here: who somebody is (`auth`), what a refused client is told (`connection`), when a policy is replaced (`app`).
//!
//! Invariants:
//! - Deny unless allowed; a deny beats every allow; the order of rules never matters.
//! - Topics are compared level by level, never as strings and never by regex; an identity binds as literal text of one level.
//! - `#` and `+` never match a leading `$`; `$share/NAME/FILTER` is judged as FILTER.
//! - A filter is granted in whole only if *one* grant covers it and no deny meets it. That several grants together may cover a filter
//!   (`a/b` and `a/c` where nothing else exists) is not looked for.
//! - Nothing here reads the clock, a socket or entropy; only [`load`] reads a file. Deciding allocates nothing.
//! - A policy that cannot be read whole does not exist: there is no way to a [`Policy`] past a fault.

pub mod diff;
pub mod envelope;
pub mod explain;
pub mod load;
pub mod verdict;

mod access;
mod compile;
mod decide;
mod file;
mod limits;
mod reader;
mod rule;
mod testing;
mod trie;

pub use access::{Access, DeliveryCheck};
pub use compile::{BOUND_BYTES_MAX, KeyFileText, Policy, ReadKeyFile};
pub use file::Operation;
pub use limits::{Allowance, Quota};
pub use rule::Rule;
pub use testing::TestFailure;
pub use verdict::{BindError, Reason, RuleRef, SubscribeVerdict, Verdict};

#[cfg(test)]
mod tests;
