//! An entry of a policy's `envelope`, as it judges messages.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Envelope, EnvelopeFault, KeyRing};

/// What is asked of the messages on some topics.
#[derive(Debug)]
pub struct EnvelopeRule {
    /// The policy file, as the operator named it.
    pub origin: Arc<str>,
    /// From 1.
    pub line: u32,
    /// `envelope: "/single/${username}", max_age 60s`.
    pub text: Box<str>,
    pub(in crate::policy) keys: KeyRing,
    pub(in crate::policy) takes_jwt: bool,
    /// How far a timestamp may be from the clock, to either side.
    pub(in crate::policy) max_age_s: u64,
    /// The longest `max_age_s` of the policy: the topic is not signed, so a message might be sent again under another entry.
    pub(in crate::policy) keep_s: u64,
}

/// A message whose token and timestamp are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who it is from, as its token proves.
    pub client_id: String,
    /// What goes on: the envelope without its token.
    pub payload: String,
    pub(super) timestamp_s: u64,
    /// For how long after its timestamp it is to be remembered.
    pub(super) keep_s: u64,
    /// Of what was signed.
    pub(super) digest: u128,
}

impl EnvelopeRule {
    /// Opens a payload at `now_s`, seconds since the epoch; `subject_of` verifies JSON Web Tokens. Whether it was seen before is [`super::ReplayWindow`]'s to say.
    ///
    /// # Errors
    /// Why it does not go on. That it is stale is said only to who has the key.
    pub fn open(&self, payload: &[u8], now_s: u64, subject_of: &SubjectOf) -> Result<Opened, EnvelopeFault> {
        let envelope = Envelope::parse(payload)?;
        let signed = envelope.signed();
        // What proves the message first: it is the cheaper one, and a JWT is never its hex.
        let is_proven = self.keys.verify(&envelope.client_id, &signed, &envelope.token)
            || (self.takes_jwt && subject_of(&envelope.token).is_some_and(|subject| *subject == *envelope.client_id));
        if !is_proven {
            return Err(EnvelopeFault::Token);
        }
        if now_s.abs_diff(envelope.timestamp_s) > self.max_age_s {
            return Err(EnvelopeFault::Stale);
        }
        let digest = Sha256::digest(signed.as_bytes());
        // Half of it is enough: who could find two messages with the same half would have kept only itself from being heard.
        let (half, _) = digest.split_first_chunk().expect("SHA-256 has 32 bytes");
        Ok(Opened {
            payload: envelope.stripped(),
            timestamp_s: envelope.timestamp_s,
            keep_s: self.keep_s,
            digest: u128::from_be_bytes(*half),
            client_id: envelope.client_id,
        })
    }
}

/// Verifies a JSON Web Token and gives its subject; `None` for whatever is no right token.
pub type SubjectOf = dyn Fn(&str) -> Option<Arc<str>> + Send + Sync;

impl fmt::Display for EnvelopeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.text, self.origin, self.line)
    }
}
