//! Credentials → [`Principal`]: who is there.
//!
//! Responsible for the password file (mosquitto_passwd's `$6$` and `$7$` entries, argon2id PHC strings, SCRAM-SHA-256 verifiers), for
//! tokens that somebody else signed ([`jwt`]), for what a client certificate says ([`certificate`]), for asking an HTTP server of the operator's
//! ([`http`]), for the mechanisms of enhanced authentication, for the rule of the anonymous identity, and for keeping the cost of hashing off
//! the event loop and under a cap. Not here: what that principal may do (`policy`), and what a refused client
//! is told (`connection`).
//!
//! Invariants: wrong credentials are never downgraded to anonymous; nothing here prints a password or a hash; an unknown user costs as
//! much work as a known one; only [`authenticator`], [`jwt`] and [`http`] use tokio, only [`load`] reads files, and
//! [`scram`] and [`certificate`] are pure.

pub mod authenticator;
pub mod certificate;
pub mod counters;
pub mod hash;
pub mod http;
pub mod jwt;
pub mod load;
pub mod mechanism;
mod pace;
pub mod password_file;
pub mod principal;
pub mod scram;

pub use authenticator::{AuthConfig, Authenticator, Method, Refused};
pub use certificate::{CertificateName, ClientCertificate};
pub use counters::AuthCounters;
pub use http::HttpConfig;
pub use jwt::JwtConfig;
pub use mechanism::{Claimant, Exchange, Proof, Proving, Step, TOKEN_METHOD};
pub use password_file::PasswordFile;
pub use principal::{Credentials, Principal, Token};
