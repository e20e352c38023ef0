//! Credentials → [`Principal`]: who is there.
//!
//! Responsible for the password file (mosquitto_passwd's `$6$` and `$7$` entries, argon2id PHC strings), for the rule of the anonymous
//! identity, and for keeping the cost of hashing off the event loop and under a cap. Not here: what that principal may do (`policy`),
//! and what a refused client is told (`connection`).
//!
//! Invariants: wrong credentials are never downgraded to anonymous; nothing here prints a password or a hash; an unknown user costs as
//! much work as a known one; only [`authenticator`] uses tokio and only [`load`] reads files.

pub mod authenticator;
pub mod hash;
pub mod load;
pub mod password_file;
pub mod principal;
pub mod scram;

pub use authenticator::{AuthConfig, AuthCounters, Authenticator, Refused};
pub use password_file::PasswordFile;
pub use principal::{Credentials, Principal};
