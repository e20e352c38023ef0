//! Tokens that somebody else signed: JWTs (RFC 7519) in their compact form, verified by keys of a JWK Set (RFC 7517) or of a PEM file.
//!
//! | file | |
//! |---|---|
//! | [`key`], [`key_set`], `pem` | keys, each for one algorithm alone |
//! | [`token`], `claims` | what a token has to satisfy, and what of it is told to the policy; pure |
//! | [`keyring`] | the keys of a file or a URL, read again when they may have changed |
//! | [`verifier`] | the three together: token → [`Principal`](super::Principal) |
//!
//! Not here: where a token came from (`edge`, `dialect`), and what becomes of a connection whose token expires (`connection`).
//!
//! Invariants: the key decides the algorithm, never the token; nothing of a token is believed before its signature is; no part of a token
//! or of a key is in a log line, an error or a `Debug`.

pub(in crate::auth) mod claims;
pub mod key;
pub mod key_set;
pub mod keyring;
mod pem;
pub mod token;
pub mod verifier;

pub use key_set::KeySet;
pub use keyring::{KeySource, KeyUrl};
pub use token::{Rejected, Rules, Verified};
pub use verifier::{JwtConfig, Verifier};

#[cfg(test)]
pub(crate) mod tests;
