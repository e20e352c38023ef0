//! Credentials → [`Principal`]: who is there.
//!
//! Responsible for the password file (mosquitto_passwd's `$6$` and `$7$` entries, argon2id PHC strings, SCRAM-SHA-256 verifiers), for
//! tokens that somebody else signed ([`jwt`]), for what a client certificate says ([`certificate`]), for the mechanisms of enhanced authentication, for the rule of the anonymous identity, and for
//! keeping the cost of hashing off the event loop and under a cap. Not here: what that principal may do (`policy`), and what a refused client
//! is told (`connection`).
//!
//! Invariants: wrong credentials are never downgraded to anonymous; nothing here prints a password or a hash; an unknown user costs as
//! much work as a known one; only [`authenticator`] and [`jwt`] use tokio, only [`load`] reads files, and
//! [`scram`] and [`certificate`] are pure.

pub mod authenticator;
pub mod certificate;
pub mod hash;
pub mod jwt;
pub mod load;
pub mod mechanism;
pub mod password_file;
pub mod principal;
pub mod scram;

pub use authenticator::{AuthConfig, AuthCounters, Authenticator, Method, Refused};
pub use certificate::{CertificateName, ClientCertificate};
pub use jwt::JwtConfig;
pub use mechanism::{Exchange, Proof, Step, TOKEN_METHOD};
pub use password_file::PasswordFile;
pub use principal::{Credentials, Principal, Token};
