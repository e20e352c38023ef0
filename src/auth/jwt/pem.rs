//! Public keys as PEM (RFC 7468): what `openssl pkey -pubout` prints, or a certificate, of which the key alone counts.
//!
//! Such a key has no name: it stands for any `kid`.

use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::key::{Key, NotTaken};
use super::key_set::KEYS_MAX;
use crate::fault::Fault;

/// Whether `text` is meant as PEM. Text may stand before and between the keys, but nothing in PEM begins as JSON does.
pub(super) fn is_pem(text: &str) -> bool {
    !text.trim_start().starts_with(['{', '[']) && text.contains("-----BEGIN ")
}

/// Reads every key of a PEM file; `origin` names it in faults.
///
/// # Errors
/// Every block that is faulty, by its index. No fault repeats a key.
pub(super) fn keys(text: &str, origin: &str) -> Result<Vec<Key>, Vec<Fault>> {
    let (mut keys, mut faults, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
    for (index, block) in Pem::iter_from_buffer(text.as_bytes()).enumerate() {
        if index == KEYS_MAX {
            return Err(vec![Fault::new(origin, "", format!("has more than {KEYS_MAX} keys"), "at most 64 keys")]);
        }
        let path = format!("block[{index}]");
        match block.map_err(|_| unreadable()).and_then(|block| key(&block)) {
            Ok(key) => keys.push(key),
            Err(NotTaken::OtherUse(what)) => passed_over.push(what),
            Err(NotTaken::Faulty { found, allowed, .. }) => faults.push(Fault::new(origin, path, found, allowed)),
        }
    }
    if keys.is_empty() && faults.is_empty() {
        let found = match passed_over.is_empty() {
            true => "has no whole key".to_owned(),
            false => format!("has no key that verifies tokens here, only {}", passed_over.join(", ")),
        };
        faults.push(Fault::new(origin, "", found, ALLOWED));
    }
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

const ALLOWED: &str = "a public key of RSA, EC P-256 or Ed25519, as BEGIN PUBLIC KEY or BEGIN CERTIFICATE";

fn key(block: &Pem) -> Result<Key, NotTaken> {
    match &*block.label {
        "PUBLIC KEY" => Key::from_spki(&block.contents),
        "CERTIFICATE" | "TRUSTED CERTIFICATE" => {
            let (_, certificate) = X509Certificate::from_der(&block.contents).map_err(|_| unreadable())?;
            Key::from_spki(certificate.public_key().raw)
        }
        // Whoever verifies needs no private key, and has no business with one.
        label if label.ends_with("PRIVATE KEY") => {
            let allowed = "the public half alone, as openssl pkey -pubout prints it";
            Err(NotTaken::Faulty { member: "", found: "a private key".to_owned(), allowed })
        }
        label => Err(NotTaken::OtherUse(format!("{label:?}"))),
    }
}

fn unreadable() -> NotTaken {
    NotTaken::Faulty { member: "", found: "cannot be read".to_owned(), allowed: ALLOWED }
}
