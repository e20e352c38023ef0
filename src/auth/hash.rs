//! Stored password hashes: mosquitto_passwd's `$6$` and `$7$`, argon2id as a PHC string, and SCRAM-SHA-256 as PostgreSQL spells it.
//!
//! ```text
//! $6$SALT$HASH            SHA-512(password ‖ salt), one round: read, never written
//! $7$ITERATIONS$SALT$HASH PBKDF2-HMAC-SHA-512: read, never written
//! $argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$HASH
//! SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY
//! ```
//! SALT, HASH and the keys are base64, without padding in the third, with it in all others. The fourth alone serves SCRAM exchanges as
//! well (RFC 5803 has the idea): their client proves that it knows the password without sending it.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

use super::scram::{self, KEY_BYTES, Keys, Verifier};

/// The most PBKDF2 iterations an entry may ask for: about 10 s of one core.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// The fewest iterations of a SCRAM entry (RFC 7677 §4), and those of a new one.
///
/// It is the client who derives the key at each login by SCRAM, within `limits.connect_timeout`, and a small device does some 50,000 a
/// second. Where all clients are big, more are better: OWASP recommends 600,000 where a server derives.
pub const SCRAM_ITERATIONS_MIN: u32 = 4096;
pub const SCRAM_ITERATIONS: u32 = 100_000;

/// The most memory an argon2id entry may ask for, in KiB: 1 GiB.
const MEMORY_KIB_MAX: u32 = 1 << 20;

/// The most passes and lanes an argon2id entry may ask for.
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 64;

/// Bytes of a new entry's salt (RFC 9106 §3.1) and hash.
pub const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// A password's hash as a password file holds it. Its `Debug` shows the scheme only.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash {
    scheme: Scheme,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

/// How a hash is computed; what it costs follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scheme {
    Sha512,
    Pbkdf2 {
        iterations: u32,
    },
    Argon2id {
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
    /// The hash is StoredKey and ServerKey.
    ScramSha256 {
        iterations: u32,
    },
}

/// Why a text is no password hash that can be checked here. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error("is not a password hash of a known kind")]
    UnknownScheme,
    #[error("is cut short or has a part too many")]
    WrongParts,
    #[error("has a salt or hash that is not base64, or not of the right length")]
    WrongBytes,
    #[error("asks for more work or memory than is sensible")]
    TooCostly,
    #[error("asks for fewer than {SCRAM_ITERATIONS_MIN} iterations")]
    TooCheap,
}

impl StoredHash {
    /// Takes what stands after `USER:` in a password file.
    ///
    /// # Errors
    /// Why it is no hash that can be checked.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let mut parts = text.split('$');
        match parts.next() {
            Some("") => {}
            Some(scram::METHOD) => return Self::of_scram(parts),
            _ => return Err(HashError::UnknownScheme),
        }
        match parts.next() {
            Some("6") => Self::of_mosquitto(Scheme::Sha512, parts),
            Some("7") => {
                let iterations = parts.next().and_then(|text| text.parse().ok()).ok_or(HashError::WrongParts)?;
                if !(1..=ITERATIONS_MAX).contains(&iterations) {
                    return Err(HashError::TooCostly);
                }
                Self::of_mosquitto(Scheme::Pbkdf2 { iterations }, parts)
            }
            Some("argon2id") => Self::of_phc(parts),
            _ => Err(HashError::UnknownScheme),
        }
    }

    fn of_mosquitto<'t>(scheme: Scheme, mut parts: impl Iterator<Item = &'t str>) -> Result<Self, HashError> {
        let (Some(salt), Some(hash), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(HashError::WrongParts);
        };
        let decode = |text| STANDARD.decode(text).map_err(|_| HashError::WrongBytes);
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        if salt.is_empty() || hash.len() != Sha512::output_size() {
            return Err(HashError::WrongBytes);
        }
        Ok(Self { scheme, salt: salt.into(), hash: hash.into() })
    }

    /// `v=19$m=19456,t=2,p=1$SALT$HASH`
    fn of_phc<'t>(mut parts: impl Iterator<Item = &'t str>) -> Result<Self, HashError> {
        let (Some("v=19"), Some(costs), Some(salt), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HashError::WrongParts);
        };
        let mut costs = costs.split(',');
        let mut cost = |name: &str| -> Result<u32, HashError> {
            let value = costs.next().and_then(|cost| cost.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).ok_or(HashError::WrongParts)
        };
        let (memory_kib, passes, lanes) = (cost("m")?, cost("t")?, cost("p")?);
        if costs.next().is_some() {
            return Err(HashError::WrongParts);
        }
        if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
            return Err(HashError::TooCostly);
        }
        let decode = |text| STANDARD_NO_PAD.decode(text).map_err(|_| HashError::WrongBytes);
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        // A short hash would be easy to hit by chance; the salt's bound is argon2's own.
        if salt.len() < argon2::MIN_SALT_LEN || hash.len() < 16 {
            return Err(HashError::WrongBytes);
        }
        Params::new(memory_kib, passes, lanes, Some(hash.len())).map_err(|_| HashError::WrongParts)?;
        let scheme = Scheme::Argon2id { memory_kib, passes, lanes };
        Ok(Self { scheme, salt: salt.into(), hash: hash.into() })
    }

    /// `100000:SALT$STOREDKEY:SERVERKEY`
    fn of_scram<'t>(mut parts: impl Iterator<Item = &'t str>) -> Result<Self, HashError> {
        let (Some(cost), Some(keys), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(HashError::WrongParts);
        };
        let ((iterations, salt), (stored, server)) =
            cost.split_once(':').zip(keys.split_once(':')).ok_or(HashError::WrongParts)?;
        let iterations: u32 = iterations.parse().map_err(|_| HashError::WrongParts)?;
        if iterations < SCRAM_ITERATIONS_MIN {
            return Err(HashError::TooCheap);
        }
        if iterations > ITERATIONS_MAX {
            return Err(HashError::TooCostly);
        }
        let decode = |text| STANDARD.decode(text).map_err(|_| HashError::WrongBytes);
        let (salt, stored, server) = (decode(salt)?, decode(stored)?, decode(server)?);
        if salt.is_empty() || stored.len() != KEY_BYTES || server.len() != KEY_BYTES {
            return Err(HashError::WrongBytes);
        }
        let scheme = Scheme::ScramSha256 { iterations };
        Ok(Self { scheme, salt: salt.into(), hash: [stored, server].concat().into() })
    }

    /// A new SCRAM-SHA-256 verifier.
    #[must_use]
    pub fn scram_sha_256(password: &[u8], salt: [u8; SALT_BYTES], iterations: u32) -> Self {
        let mut stored = Self { scheme: Scheme::ScramSha256 { iterations }, salt: salt.into(), hash: Box::default() };
        stored.hash = stored.compute(password);
        stored
    }

    /// What a SCRAM exchange needs; `None` if this hash cannot serve one.
    #[must_use]
    pub(super) fn verifier(&self) -> Option<Verifier> {
        let Scheme::ScramSha256 { iterations } = self.scheme else { return None };
        let (stored, server) = self.hash.split_first_chunk::<KEY_BYTES>()?;
        let keys = Keys { stored: *stored, server: server.try_into().ok()? };
        Some(Verifier { iterations, salt: self.salt.clone(), keys })
    }

    /// A new argon2id hash, with the costs that OWASP recommends (19 MiB, 2 passes, 1 lane).
    #[must_use]
    pub fn argon2id(password: &[u8], salt: [u8; SALT_BYTES]) -> Self {
        let mut stored = Self::unmatched();
        stored.salt = salt.into();
        stored.hash = stored.compute(password);
        stored
    }

    /// A hash that no password is known for, as dear to check as [`Self::argon2id`].
    #[must_use]
    pub(super) fn unmatched() -> Self {
        let scheme = Scheme::Argon2id {
            memory_kib: Params::DEFAULT_M_COST,
            passes: Params::DEFAULT_T_COST,
            lanes: Params::DEFAULT_P_COST,
        };
        Self { scheme, salt: [0; SALT_BYTES].into(), hash: [0; HASH_BYTES].into() }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether this is the hash of `password`. Takes up to seconds and the memory its scheme says; compares in constant time.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        self.compute(password).ct_eq(&self.hash).into()
    }

    fn compute(&self, password: &[u8]) -> Box<[u8]> {
        match self.scheme {
            Scheme::Sha512 => Sha512::new().chain_update(password).chain_update(&self.salt).finalize().to_vec().into(),
            Scheme::Pbkdf2 { iterations } => {
                let mut hash = vec![0; self.hash.len()];
                pbkdf2::pbkdf2_hmac::<Sha512>(password, &self.salt, iterations, &mut hash);
                hash.into()
            }
            Scheme::ScramSha256 { iterations } => {
                let keys = Keys::of_password(password, &self.salt, iterations);
                [keys.stored, keys.server].concat().into()
            }
            Scheme::Argon2id { memory_kib, passes, lanes } => {
                let mut hash = vec![0; self.hash.len()];
                // `of_phc` has tried these costs and lengths; a password over 4 GiB does not fit a packet.
                let outcome = Params::new(memory_kib, passes, lanes, Some(hash.len())).and_then(|params| {
                    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                        .hash_password_into(password, &self.salt, &mut hash)
                });
                debug_assert!(outcome.is_ok(), "{outcome:?}");
                // What could not be computed equals nothing: another length never compares equal.
                if outcome.is_ok() { hash.into() } else { Box::default() }
            }
        }
    }
}

/// As a password file holds it.
impl fmt::Display for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |bytes: &[u8]| match self.scheme {
            Scheme::Argon2id { .. } => STANDARD_NO_PAD.encode(bytes),
            _ => STANDARD.encode(bytes),
        };
        match self.scheme {
            Scheme::Sha512 => f.write_str("$6")?,
            Scheme::Pbkdf2 { iterations } => write!(f, "$7${iterations}")?,
            Scheme::Argon2id { memory_kib, passes, lanes } => {
                write!(f, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}")?;
            }
            Scheme::ScramSha256 { iterations } => {
                let (stored, server) = self.hash.split_at(KEY_BYTES);
                let (salt, stored, server) = (encode(&self.salt), encode(stored), encode(server));
                return write!(f, "{}${iterations}:{salt}${stored}:{server}", scram::METHOD);
            }
        }
        write!(f, "${}${}", encode(&self.salt), encode(&self.hash))
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredHash").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by mosquitto_passwd 2.0.11 (`$6$`, `$7$`), by the reference implementation's `argon2` command, and by Python's hashlib in
    /// PostgreSQL's spelling.
    const FOREIGN: [&str; 5] = [
        "$6$KZIT82qk7F1+ctFY$8xQlIAEQNc2TGCILiZgJlXest6WPJhxr78+UjkE5k82VrlOFos6Bg173UM3i1XDy3gDsPJZMwgpbvoz/lzO2cg==",
        "$7$101$IHW4BgQ9UU0uaaOY$LQIKMyP5KORWnFszayRYifqSelM5T98wHHZyjhdxCbAQLPw9iRY3vK3oi3jgFEU/Alge9ZSoElYDV0r27i0q1Q==",
        "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$rk2Mi3E4dgRMg0fHaYaptWVZRKqs//6b6k3/nntqGJk",
        "$argon2id$v=19$m=1024,t=3,p=4$c2FsdHNhbHQ$ev4MYYSH60lwQUIwRLeDmf8PFUcrJHHz",
        "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$Y2eRFXLWrUnuM8NBTPPoG0Na9Jo+iWz9y0qDnDeJljg=:i9OU/WREaWC16d96s1DBISzhBItqQjA4x+ra3A4ZmKc=",
    ];

    #[test]
    fn hashes_made_by_others_are_checked() {
        for text in FOREIGN {
            let stored = StoredHash::parse(text).unwrap();
            assert!(stored.verify(b"correct horse"), "{text}");
            for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
                assert!(!stored.verify(wrong.as_bytes()), "{text} {wrong:?}");
            }
            assert_eq!(stored.to_string(), text);
        }
    }

    #[test]
    fn a_new_hash_is_read_back() {
        let stored = StoredHash::argon2id(b"hunter2", [7; SALT_BYTES]);
        let text = stored.to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert_eq!(StoredHash::parse(&text), Ok(stored.clone()));
        assert!(stored.verify(b"hunter2") && !stored.verify(b"hunter3") && !stored.verify(b""));
        assert!(!format!("{stored:?}").contains("hash:"), "{stored:?}");
    }

    #[test]
    fn a_scram_verifier_is_read_back() {
        let stored = StoredHash::scram_sha_256(b"hunter2", [7; SALT_BYTES], SCRAM_ITERATIONS_MIN);
        let text = stored.to_string();
        assert!(text.starts_with("SCRAM-SHA-256$4096:BwcHBwcHBwcHBwcHBwcHBw==$"), "{text}");
        assert_eq!(StoredHash::parse(&text), Ok(stored.clone()));
        assert!(stored.verify(b"hunter2") && !stored.verify(b"hunter3") && !stored.verify(b""));
        let verifier = stored.verifier().unwrap();
        assert_eq!((verifier.iterations, &*verifier.salt), (SCRAM_ITERATIONS_MIN, &[7; SALT_BYTES][..]));
        assert!(verifier.keys == Keys::of_password(b"hunter2", &[7; SALT_BYTES], SCRAM_ITERATIONS_MIN));
        assert!(FOREIGN[..4].iter().all(|text| StoredHash::parse(text).unwrap().verifier().is_none()));
        assert!(!format!("{stored:?}").contains("hash:"), "{stored:?}");
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let salt = STANDARD.encode([1; 12]);
        let hash = STANDARD.encode([2; 64]);
        let short = STANDARD.encode([2; 63]);
        let phc = |costs: &str, salt: &str, hash: &str| format!("$argon2id$v=19${costs}${salt}${hash}");
        let (salt16, hash32) = (STANDARD_NO_PAD.encode([1; 16]), STANDARD_NO_PAD.encode([2; 32]));
        let scram = |iterations: &str, salt: &str, stored: &str, server: &str| {
            format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}")
        };
        let (salt16p, key) = (STANDARD.encode([1; 16]), STANDARD.encode([2; 32]));
        for (text, error) in [
            (String::new(), HashError::UnknownScheme),
            ("secret".to_owned(), HashError::UnknownScheme),
            ("$5$x$y".to_owned(), HashError::UnknownScheme),
            ("$2b$12$xxxx".to_owned(), HashError::UnknownScheme),
            (format!("$6${salt}"), HashError::WrongParts),
            (format!("$6${salt}${hash}$"), HashError::WrongParts),
            (format!("$6${salt}${short}"), HashError::WrongBytes),
            (format!("$6$${hash}"), HashError::WrongBytes),
            (format!("$6$!!${hash}"), HashError::WrongBytes),
            (format!("$7$x${salt}${hash}"), HashError::WrongParts),
            (format!("$7$0${salt}${hash}"), HashError::TooCostly),
            (format!("$7$4000000000${salt}${hash}"), HashError::TooCostly),
            (phc("m=19456,t=2", &salt16, &hash32), HashError::WrongParts),
            (phc("m=19456,t=2,p=1,x=1", &salt16, &hash32), HashError::WrongParts),
            (phc("m=0,t=2,p=1", &salt16, &hash32), HashError::WrongParts),
            (phc("m=4194304,t=2,p=1", &salt16, &hash32), HashError::TooCostly),
            (phc("m=19456,t=2,p=1", "AAAA", &hash32), HashError::WrongBytes),
            (phc("m=19456,t=2,p=1", &salt16, "AAAA"), HashError::WrongBytes),
            (scram("4096", &salt16p, &key, &key[4..]), HashError::WrongBytes),
            (scram("4096", "", &key, &key), HashError::WrongBytes),
            (scram("4096", "!!", &key, &key), HashError::WrongBytes),
            (scram("4095", &salt16p, &key, &key), HashError::TooCheap),
            (scram("4000000000", &salt16p, &key, &key), HashError::TooCostly),
            (scram("x", &salt16p, &key, &key), HashError::WrongParts),
            (format!("SCRAM-SHA-256$4096:{salt16p}${key}"), HashError::WrongParts),
            (format!("SCRAM-SHA-256$4096${salt16p}${key}:{key}"), HashError::WrongParts),
            ("SCRAM-SHA-256".to_owned(), HashError::WrongParts),
            ("SCRAM-SHA-1$4096:a$b:c".to_owned(), HashError::UnknownScheme),
            (format!("$argon2id$m=19456,t=2,p=1${salt16}${hash32}"), HashError::WrongParts),
        ] {
            assert_eq!(StoredHash::parse(&text), Err(error), "{text}");
        }
    }
}
