//! The clients' keys: one `CLIENT_ID:HEX` a line. Lines that begin with `#` and empty lines say nothing.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::fault::Fault;

/// The shortest key, in bytes: 128 bits, which nobody guesses.
const KEY_BYTES_MIN: usize = 16;

/// The longest key: SHA-256's block; what is longer would be hashed first and be no stronger.
const KEY_BYTES_MAX: usize = 64;

/// What is compared with the token of a client that there is not.
const DECOY: [u8; 32] = [0; 32];

/// The keys of one file; without one, none. Its `Debug` shows how many, and no key.
#[derive(Default)]
pub struct KeyRing {
    key_by_client_id: BTreeMap<Box<str>, Box<[u8]>>,
}

impl KeyRing {
    /// Reads a key file's text; `origin` names it in faults.
    ///
    /// # Errors
    /// Every line that is no entry, names a client twice, or gives it another client's key: the key is what tells clients apart. No
    /// fault repeats anything of a key.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Vec<Fault>> {
        const SHAPE: &str = "CLIENT_ID:KEY, the key in hex, as `openssl rand -hex 32` makes one";
        let mut faults = Vec::new();
        let mut key_by_client_id: BTreeMap<Box<str>, Box<[u8]>> = BTreeMap::new();
        let mut line_by_client_id: BTreeMap<&str, u32> = BTreeMap::new();
        let mut line_by_key: BTreeMap<Box<[u8]>, u32> = BTreeMap::new();
        for (number, line) in (1_u32..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut fault = |column: usize, key: &str, found: String, allowed: &str| {
                let column = u32::try_from(column).unwrap_or(u32::MAX);
                faults.push(Fault::new(origin, key, found, allowed).at(number, column));
            };
            // A client identifier may hold colons, a key in hex has none.
            let Some((client_id, hex)) = line.rsplit_once(':') else {
                fault(1, "", "has no colon".to_owned(), SHAPE);
                continue;
            };
            if client_id.is_empty() {
                fault(1, "", "has no client identifier before the colon".to_owned(), SHAPE);
                continue;
            }
            if let Some(first) = line_by_client_id.insert(client_id, number) {
                fault(1, client_id, format!("is given twice, first in line {first}"), "each client once");
            }
            let column = client_id.chars().count() + 2;
            let key: Box<[u8]> = match from_hex(hex.as_bytes()) {
                Some(key) if (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) => key.into(),
                Some(key) => {
                    let allowed = format!("{KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, two digits each");
                    fault(column, client_id, format!("has a key of {} bytes", key.len()), &allowed);
                    continue;
                }
                None => {
                    fault(column, client_id, "has a key that is not hex".to_owned(), SHAPE);
                    continue;
                }
            };
            if let Some(first) = line_by_key.insert(key.clone(), number) {
                let found = format!("has the key of line {first}");
                fault(column, client_id, found, "a key of its own for each client");
            }
            key_by_client_id.insert(client_id.into(), key);
        }
        if faults.is_empty() && key_by_client_id.is_empty() {
            faults.push(Fault::new(origin, "", "holds no key", SHAPE));
        }
        if faults.is_empty() { Ok(Self { key_by_client_id }) } else { Err(faults) }
    }

    /// Whether `token` is the hex HMAC-SHA256 of `signed` under this client's key. An unknown client costs what a known one costs.
    #[must_use]
    pub fn verify(&self, client_id: &str, signed: &str, token: &str) -> bool {
        let key = self.key_by_client_id.get(client_id);
        let mut mac =
            Hmac::<Sha256>::new_from_slice(key.map_or(&DECOY[..], |key| key)).expect("HMAC takes a key of any length");
        mac.update(signed.as_bytes());
        // Compared in constant time; what is no hex of the right length is compared as well, and is never equal.
        let token = from_hex(token.as_bytes()).unwrap_or_default();
        let is_equal = mac.verify_slice(&token).is_ok();
        is_equal && key.is_some()
    }

    /// How many clients have a key.
    #[must_use]
    pub fn clients_count(&self) -> usize {
        self.key_by_client_id.len()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("clients_count", &self.clients_count()).finish_non_exhaustive()
    }
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 §4.2 and §4.3, as far as the keys are long enough to be keys here; the first is twenty bytes of 0x0b.
    #[test]
    fn a_token_is_hex_hmac_sha256() {
        let keys = KeyRing::parse(&format!("one:{}\n", "0b".repeat(20)), "k").unwrap();
        let token = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert!(keys.verify("one", "Hi There", token));
        assert!(keys.verify("one", "Hi There", &token.to_uppercase()));
        let short = &token[..62];
        let long = format!("{token}00");
        let other = token.replace("b0", "b1");
        for wrong in ["", "zz", short, &long, &other, &format!("0x{token}"), &format!(" {token}")] {
            assert!(!keys.verify("one", "Hi There", wrong), "{wrong}");
        }
        assert!(!keys.verify("one", "Hi there", token));
        assert!(!keys.verify("two", "Hi There", token));
    }

    #[test]
    fn nobody_is_whom_the_decoy_would_know() {
        let keys = KeyRing::parse(&format!("a:{}\n", "11".repeat(32)), "k").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&DECOY).unwrap();
        mac.update(b"x");
        let token: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!keys.verify("nobody", "x", &token));
    }

    #[test]
    fn every_fault_has_its_place_and_no_key_in_it() {
        let text = "# keys\n\nurn:dev:1:000102030405060708090a0b0c0d0e0f\nnothing\n:00\nb:xyz\nc:0001\nurn:dev:1:ff0102030405060708090a0b0c0d0e0f\n\
                    d:000102030405060708090a0b0c0d0e0f\n";
        let faults: Vec<_> = KeyRing::parse(text, "k").unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "k:4:1: has no colon; CLIENT_ID:KEY, the key in hex, as `openssl rand -hex 32` makes one",
                "k:5:1: has no client identifier before the colon; CLIENT_ID:KEY, the key in hex, as `openssl rand -hex 32` makes one",
                "k:6:3: b: has a key that is not hex; CLIENT_ID:KEY, the key in hex, as `openssl rand -hex 32` makes one",
                "k:7:3: c: has a key of 2 bytes; 16 to 64 bytes, two digits each",
                "k:8:1: urn:dev:1: is given twice, first in line 3; each client once",
                "k:9:3: d: has the key of line 3; a key of its own for each client",
            ]
        );
        assert!(!faults.concat().contains("0102"));
        for empty in ["", "\n\n", "# nobody yet\n"] {
            assert_eq!(KeyRing::parse(empty, "k").unwrap_err()[0].found, "holds no key");
        }
        let shown = format!("{:?}", KeyRing::parse("a:000102030405060708090a0b0c0d0e0f\n", "k").unwrap());
        assert_eq!(shown, "KeyRing { clients_count: 1, .. }");
    }
}
