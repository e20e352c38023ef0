//! SCRAM-SHA-256 as a server sees it (RFC 5802, RFC 7677), without IO, clock or entropy.
//!
//! ```text
//! client-first   n,,n=USER,r=NONCE              ──▶ ClientFirst::parse
//! server-first   r=NONCE OURS,s=SALT,i=COUNT    ◀── ClientFirst::challenge
//! client-final   c=biws,r=NONCE OURS,p=PROOF    ──▶ Challenge::conclude
//! server-final   v=SIGNATURE                    ◀── Proven
//! ```
//!
//! Each step consumes the one before, so an exchange is never longer than this.
//!
//! - Channel binding is not offered: `n` and `y` pass, `p=` is refused. TLS may end in front of a server behind a proxy.
//! - An authorization identity may repeat the user name, nothing else: nobody acts for another here.
//! - A user name is compared as it comes, as that of a plain login is, so that two spellings are never one identity. A password is
//!   prepared with SASLprep (RFC 4013) before it is hashed; bytes that it forbids, or that are no UTF-8, are taken as they are, as
//!   PostgreSQL does.
//! - An unknown user gets a challenge like everybody, with a salt that stays the same, and fails at the proof.
//!
//! Invariants: nothing a client sends panics; nothing here prints a key, a proof or a signature.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// The mechanism's name: the Authentication Method of MQTT, and the spelling of a password file's entries.
pub const METHOD: &str = "SCRAM-SHA-256";

/// The longest message that is looked at.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Bytes of a key, a signature and a proof: those of SHA-256.
pub(super) const KEY_BYTES: usize = 32;

/// What a server keeps of a password (RFC 5802 §3). Its `Debug` shows no key.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub iterations: u32,
    pub salt: Box<[u8]>,
    pub keys: Keys,
}

/// StoredKey and ServerKey.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    pub stored: [u8; KEY_BYTES],
    pub server: [u8; KEY_BYTES],
}

/// What unknown users' challenges look like: the same as those of most users that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Likeness {
    pub iterations: u32,
    pub salt_bytes: usize,
}

/// Why an exchange came to nothing. Says nothing of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    #[error("a message is longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    #[error("a message is not as RFC 5802 has it")]
    Malformed,
    #[error("channel binding is asked for")]
    ChannelBinding,
    #[error("an extension is asked for that is not known")]
    Extension,
    #[error("the authorization identity is not the user")]
    OtherIdentity,
    #[error("the nonce or the channel binding is not that of the exchange")]
    OtherExchange,
    #[error("the proof is wrong, or there is no such user")]
    WrongProof,
}

/// A client-first message.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst {
    username: Box<str>,
    nonce: Box<str>,
    gs2_header: Box<str>,
    /// The message without its GS2 header: a part of what is signed.
    bare: Box<str>,
}

/// An exchange that waits for client-final. Its `Debug` shows the user only.
pub struct Challenge {
    username: Box<str>,
    gs2_header: Box<str>,
    nonce: Box<str>,
    /// client-first without its header, and server-first.
    signed: String,
    keys: Keys,
    is_known: Choice,
}

/// An exchange that succeeded: the client is `username`.
#[derive(Debug, PartialEq, Eq)]
pub struct Proven {
    pub username: Box<str>,
    /// server-final, by which the client knows that the server is its own.
    pub server_final: String,
}

impl Keys {
    /// The keys of `password`. Takes as long as `iterations` say.
    #[must_use]
    pub fn of_password(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let mut salted = [0; KEY_BYTES];
        pbkdf2::pbkdf2_hmac::<Sha256>(&prepare(password), salt, iterations, &mut salted);
        let client = sign(&salted, b"Client Key");
        Self { stored: Sha256::digest(client).into(), server: sign(&salted, b"Server Key") }
    }
}

impl Verifier {
    /// What an unknown user is challenged with: always the same for one `username`, and matched by no password.
    ///
    /// `secret` must be random: whoever knew it could tell who is unknown.
    #[must_use]
    pub fn unmatched(secret: &[u8; KEY_BYTES], username: &str, like: Likeness) -> Self {
        let derive = |purpose: &[u8]| sign_parts(secret, &[purpose, username.as_bytes()]);
        let salt = derive(b"salt ");
        Self {
            iterations: like.iterations,
            salt: salt[..like.salt_bytes.min(KEY_BYTES)].into(),
            keys: Keys { stored: derive(b"stored "), server: derive(b"server ") },
        }
    }
}

impl ClientFirst {
    /// Reads a client-first message.
    ///
    /// # Errors
    /// It is malformed, or asks for what is not offered.
    pub fn parse(message: &[u8]) -> Result<Self, ScramError> {
        let message = text(message)?;
        let mut parts = message.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ScramError::Malformed);
        };
        match flag {
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Malformed),
        }
        let mut attributes = bare.split(',');
        let first = attributes.next().unwrap_or_default();
        if first.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let username = first.strip_prefix("n=").and_then(saslname).ok_or(ScramError::Malformed)?;
        let nonce = attributes.next().and_then(|attribute| attribute.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce)).ok_or(ScramError::Malformed)?;
        if !attributes.all(is_extension) {
            return Err(ScramError::Malformed);
        }
        if !authzid.is_empty() {
            let authzid = authzid.strip_prefix("a=").and_then(saslname).ok_or(ScramError::Malformed)?;
            if authzid != username {
                return Err(ScramError::OtherIdentity);
            }
        }
        Ok(Self {
            username: username.into(),
            nonce: nonce.into(),
            gs2_header: message[..message.len() - bare.len()].into(),
            bare: bare.into(),
        })
    }

    /// Who the client says it is.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Answers with server-first. `nonce` is the server's part: random, printable ASCII without commas.
    ///
    /// `is_known` is whether `verifier` is the user's; if not, the exchange fails at its end, whatever the proof.
    #[must_use]
    pub fn challenge(self, verifier: &Verifier, is_known: bool, nonce: &str) -> (Challenge, String) {
        debug_assert!(is_nonce(nonce), "the nonce is of the server's making");
        let nonce = format!("{}{nonce}", self.nonce);
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let challenge = Challenge {
            username: self.username,
            gs2_header: self.gs2_header,
            nonce: nonce.into(),
            signed: format!("{},{server_first}", self.bare),
            keys: verifier.keys,
            is_known: Choice::from(u8::from(is_known)),
        };
        (challenge, server_first)
    }
}

impl Challenge {
    /// Judges a client-final message.
    ///
    /// # Errors
    /// It is malformed or belongs to another exchange, or the client does not know the password.
    pub fn conclude(self, message: &[u8]) -> Result<Proven, ScramError> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|attribute| attribute.strip_prefix("c="));
        let nonce = attributes.next().and_then(|attribute| attribute.strip_prefix("r="));
        let (Some(binding), Some(nonce)) = (binding, nonce) else { return Err(ScramError::Malformed) };
        if !attributes.all(is_extension) {
            return Err(ScramError::Malformed);
        }
        let binding = STANDARD.decode(binding).map_err(|_| ScramError::Malformed)?;
        let proof = STANDARD.decode(proof).map_err(|_| ScramError::Malformed)?;
        let proof: [u8; KEY_BYTES] = proof.try_into().map_err(|_| ScramError::Malformed)?;
        // Neither is a secret: the client was told both, or said them itself.
        if binding != self.gs2_header.as_bytes() || *nonce != *self.nonce {
            return Err(ScramError::OtherExchange);
        }
        let signed: [&[u8]; 3] = [self.signed.as_bytes(), b",", without_proof.as_bytes()];
        let signature = sign_parts(&self.keys.stored, &signed);
        let client_key: [u8; KEY_BYTES] = std::array::from_fn(|at| proof[at] ^ signature[at]);
        let stored: [u8; KEY_BYTES] = Sha256::digest(client_key).into();
        if !bool::from(stored.ct_eq(&self.keys.stored) & self.is_known) {
            return Err(ScramError::WrongProof);
        }
        let server_final = format!("v={}", STANDARD.encode(sign_parts(&self.keys.server, &signed)));
        Ok(Proven { username: self.username, server_final })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge").field("username", &self.username).finish_non_exhaustive()
    }
}

/// HMAC-SHA-256.
fn sign(key: &[u8; KEY_BYTES], message: &[u8]) -> [u8; KEY_BYTES] {
    sign_parts(key, &[message])
}

fn sign_parts(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// SASLprep, where it has an answer.
fn prepare(password: &[u8]) -> Cow<'_, [u8]> {
    let prepared = std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    match prepared {
        Some(Cow::Owned(text)) if !text.is_empty() => Cow::Owned(text.into_bytes()),
        Some(_) | None => Cow::Borrowed(password),
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ScramError::TooLong);
    }
    let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
    if text.contains('\0') { Err(ScramError::Malformed) } else { Ok(text) }
}

/// `=2C` is a comma and `=3D` an equals sign; no other equals sign stands in a name.
fn saslname(written: &str) -> Option<String> {
    let mut parts = written.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        name.push(character);
        name += rest;
    }
    (!name.is_empty()).then_some(name)
}

fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// One that may be passed over. `m=` is reserved for those that may not.
fn is_extension(attribute: &str) -> bool {
    let mut characters = attribute.chars();
    let name = characters.next();
    name.is_some_and(|name| name.is_ascii_alphabetic() && name != 'm')
        && characters.next() == Some('=')
        && characters.next().is_some()
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod client;
