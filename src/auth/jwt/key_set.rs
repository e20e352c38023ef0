//! The keys that tokens may be signed with: a JWK Set (RFC 7517 §5), or PEM.

use serde_json::Value;

use super::key::{Algorithm, Key, NotTaken};
use super::pem;
use crate::fault::Fault;

/// The most keys of one set. A token that names none is tried with each of its algorithm, so this bounds what one token costs.
pub const KEYS_MAX: usize = 64;

const SET_FORM: &str = "a JWK Set: {\"keys\": [{\"kty\": …}, …]}, or PEM";

/// Keys, read whole from one text.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a JWK Set, or PEM; `origin` names it in faults.
    ///
    /// Keys for another use or of another kind are passed over, as a set may be shared with others, but one has to remain.
    ///
    /// # Errors
    /// Every key that is faulty, by its index. No fault repeats a key.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Vec<Fault>> {
        if pem::is_pem(text) {
            return pem::keys(text, origin).map(|keys| Self { keys });
        }
        let whole = |found: String, allowed: &str| vec![Fault::new(origin, "", found, allowed)];
        let document: Value = serde_json::from_str(text).map_err(|error| {
            let [line, column] = [error.line(), error.column()].map(|place| u32::try_from(place).unwrap_or(u32::MAX));
            vec![Fault::new(origin, "", "is not JSON", SET_FORM).at(line, column)]
        })?;
        let Some(Value::Array(written)) = document.get("keys") else {
            return Err(whole("has no list of keys".to_owned(), SET_FORM));
        };
        if written.len() > KEYS_MAX {
            return Err(whole(format!("has {} keys", written.len()), "at most 64 keys"));
        }
        let (mut keys, mut faults, mut passed_over) = (Vec::<Key>::new(), Vec::new(), Vec::new());
        for (index, jwk) in written.iter().enumerate() {
            let path = format!("keys[{index}]");
            let Value::Object(jwk) = jwk else {
                faults.push(Fault::new(origin, path, "is no object", "a JWK"));
                continue;
            };
            match Key::from_jwk(jwk) {
                Ok(key) if keys.iter().any(|known| is_same(known, &key)) => {
                    faults.push(Fault::new(origin, path + ".kid", "is given twice", "each `kid` once"));
                }
                Ok(key) => keys.push(key),
                Err(NotTaken::OtherUse(what)) => passed_over.push(what),
                Err(NotTaken::Faulty { member, found, allowed }) => {
                    faults.push(Fault::new(origin, format!("{path}.{member}"), found, allowed));
                }
            }
        }
        if keys.is_empty() && faults.is_empty() {
            let found = match passed_over.is_empty() {
                true => "has no keys".to_owned(),
                false => format!("has no key that verifies tokens here, only {}", passed_over.join(", ")),
            };
            return Err(whole(found, "a key for RS256, ES256, EdDSA or HS256"));
        }
        if faults.is_empty() { Ok(Self { keys }) } else { Err(faults) }
    }

    /// The keys that a token of this `alg` and `kid` may be signed with. A key without a name stands for any.
    pub(super) fn candidates<'a>(&'a self, algorithm: Algorithm, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        let fits = move |key: &&Key| id.is_none() || key.id().is_none() || key.id() == id;
        self.keys.iter().filter(move |key| key.algorithm() == algorithm).filter(fits)
    }

    /// Whether there is a key of this name, for whichever algorithm.
    pub(super) fn has_id(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id() == Some(id))
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }
}

/// Two names for one algorithm would leave it to chance which key is meant; keys of different kinds may share one (RFC 7517 §4.5).
fn is_same(known: &Key, key: &Key) -> bool {
    key.id().is_some() && known.id() == key.id() && known.algorithm() == key.algorithm()
}
