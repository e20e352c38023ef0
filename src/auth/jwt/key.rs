//! One key, of a JWK Set (RFC 7517) or of a PEM file, made ready to verify.
//!
//! Invariant: what kind of key it is decides the one algorithm it verifies, so that a public key is never taken for a shared secret
//! (RFC 8725 §2.1, §3.1).

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Es256,
    /// Over edwards25519.
    EdDsa,
    Hs256,
}

impl Algorithm {
    /// By its name in `alg`. `none` is no algorithm.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            // The second is the name that RFC 9864 gives it.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "HS256" => Some(Self::Hs256),
            _ => None,
        }
    }
}

/// A key, and the algorithm that it verifies. Its `Debug` shows no key.
pub struct Key {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// Why a JWK is no key here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It is for something else, and none of ours to judge: a set may hold such keys (RFC 7517 §5).
    OtherUse(String),
    Faulty {
        member: &'static str,
        found: String,
        allowed: &'static str,
    },
}

/// The fewest bytes of a shared secret: as many as the hash has (RFC 7518 §3.2).
const SECRET_BYTES_MIN: usize = 32;

/// What a SubjectPublicKeyInfo calls its kind (RFC 8017 A.1, RFC 5480 §2.1.1, RFC 8410 §3).
const RSA_OID: &str = "1.2.840.113549.1.1.1";
const EC_OID: &str = "1.2.840.10045.2.1";
const P256_OID: &str = "1.2.840.10045.3.1.7";
const ED25519_OID: &str = "1.3.101.112";

/// The fewest bits of an RSA modulus (RFC 7518 §3.3).
const MODULUS_BITS_MIN: usize = 2048;

impl Key {
    /// Reads a JWK.
    ///
    /// # Errors
    /// Why it is not taken. Nothing secret is repeated.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, NotTaken> {
        let kind = required(jwk, "kty", "RSA, EC, OKP or oct")?;
        check_use(jwk)?;
        let algorithm = match kind {
            "RSA" => Algorithm::Rs256,
            "EC" => Algorithm::Es256,
            "OKP" => Algorithm::EdDsa,
            "oct" => Algorithm::Hs256,
            other => return Err(NotTaken::OtherUse(format!("a key of type {other:?}"))),
        };
        if let Some(name) = text(jwk, "alg", "the name of an algorithm")? {
            match Algorithm::of_name(name) {
                Some(named) if named == algorithm => {}
                Some(_) => {
                    return Err(faulty(
                        "alg",
                        format!("{name} for a key of type {kind}"),
                        "the algorithm of that type",
                    ));
                }
                None => return Err(NotTaken::OtherUse(format!("a key for {name:?}"))),
            }
        }
        let material = match algorithm {
            Algorithm::Rs256 => rsa(jwk)?,
            Algorithm::Es256 => p256(jwk)?,
            Algorithm::EdDsa => ed25519(jwk)?,
            Algorithm::Hs256 => secret(jwk)?,
        };
        Ok(Self { id: text(jwk, "kid", "a name")?.map(Into::into), algorithm, material })
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in DER. The key has no name.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, NotTaken> {
        let unreadable = || faulty("", "no public key that can be read".to_owned(), "a public key");
        let (rest, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|_| unreadable())?;
        if !rest.is_empty() {
            return Err(unreadable());
        }
        let data = &*spki.subject_public_key.data;
        let (algorithm, material) = match spki.algorithm.algorithm.to_id_string().as_str() {
            RSA_OID => match spki.parsed() {
                Ok(PublicKey::RSA(key)) => (Algorithm::Rs256, rsa_key(key.modulus, key.exponent, "")?),
                _ => return Err(unreadable()),
            },
            EC_OID => {
                let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
                match curve.map(|curve| curve.to_id_string()).as_deref() {
                    Some(P256_OID) => (Algorithm::Es256, p256_key(data, "")?),
                    _ => return Err(NotTaken::OtherUse("a key on another curve than P-256".to_owned())),
                }
            }
            ED25519_OID => (Algorithm::EdDsa, ed25519_key(data, "")?),
            other => return Err(NotTaken::OtherUse(format!("a key of the kind {other}"))),
        };
        Ok(Self { id: None, algorithm, material })
    }

    /// `kid`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` is this key's, of `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Public(key) => key.verify_sig(message, signature).is_ok(),
            // Compares in constant time.
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Whether the key is said to be for verifying signatures, or for nothing in particular (RFC 7517 §4.2, §4.3).
fn check_use(jwk: &Map<String, Value>) -> Result<(), NotTaken> {
    if let Some(other) = text(jwk, "use", "sig")?.filter(|name| *name != "sig") {
        return Err(NotTaken::OtherUse(format!("a key of use {other:?}")));
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|name| name == "verify") => Ok(()),
        Some(Value::Array(_)) => Err(NotTaken::OtherUse("a key whose key_ops do not have verify".to_owned())),
        Some(_) => Err(faulty("key_ops", "is no list".to_owned(), "a list of operations")),
    }
}

fn rsa(jwk: &Map<String, Value>) -> Result<Material, NotTaken> {
    check_public(jwk)?;
    rsa_key(&bytes(jwk, "n")?, &bytes(jwk, "e")?, "n")
}

fn rsa_key(modulus: &[u8], exponent: &[u8], member: &'static str) -> Result<Material, NotTaken> {
    let (modulus, exponent) = (unsigned(modulus), unsigned(exponent));
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if bits < MODULUS_BITS_MIN {
        return Err(faulty(member, format!("a modulus of {bits} bits"), "at least 2048 bits"));
    }
    let components = RsaPublicKeyComponents { n: modulus, e: exponent };
    let key = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
    key.map(Material::Public).map_err(|_| faulty(member, "n and e are no RSA key".to_owned(), "a public key"))
}

fn p256(jwk: &Map<String, Value>) -> Result<Material, NotTaken> {
    let curve = required(jwk, "crv", "P-256")?;
    if curve != "P-256" {
        return Err(NotTaken::OtherUse(format!("a key on the curve {curve:?}")));
    }
    check_public(jwk)?;
    let (x, y) = (coordinate(jwk, "x")?, coordinate(jwk, "y")?);
    // An uncompressed point (SEC 1 §2.3.3).
    p256_key(&[&[4], x.as_slice(), &y].concat(), "x")
}

fn p256_key(point: &[u8], member: &'static str) -> Result<Material, NotTaken> {
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.map(Material::Public).map_err(|_| faulty(member, "x and y are no point of P-256".to_owned(), "a public key"))
}

fn ed25519(jwk: &Map<String, Value>) -> Result<Material, NotTaken> {
    let curve = required(jwk, "crv", "Ed25519")?;
    if curve != "Ed25519" {
        return Err(NotTaken::OtherUse(format!("a key on the curve {curve:?}")));
    }
    check_public(jwk)?;
    ed25519_key(&coordinate(jwk, "x")?, "x")
}

fn ed25519_key(bytes: &[u8], member: &'static str) -> Result<Material, NotTaken> {
    let key = ParsedPublicKey::new(&ED25519, bytes);
    key.map(Material::Public).map_err(|_| faulty(member, "is no Ed25519 key".to_owned(), "a public key"))
}

fn secret(jwk: &Map<String, Value>) -> Result<Material, NotTaken> {
    let bytes = bytes(jwk, "k")?;
    if bytes.len() < SECRET_BYTES_MIN {
        return Err(faulty("k", format!("a secret of {} bytes", bytes.len()), "at least 32 random bytes"));
    }
    Ok(Material::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
}

/// Whoever verifies needs no private key, and has no business with one.
fn check_public(jwk: &Map<String, Value>) -> Result<(), NotTaken> {
    match jwk.contains_key("d") {
        true => Err(faulty("d", "a private key".to_owned(), "the public half alone")),
        false => Ok(()),
    }
}

fn coordinate(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, NotTaken> {
    let bytes = bytes(jwk, member)?;
    match bytes.len() {
        32 => Ok(bytes),
        count => Err(faulty(member, format!("{count} bytes"), "32 bytes in base64url")),
    }
}

/// An integer without the zeros that lead it.
fn unsigned(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn bytes(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, NotTaken> {
    const ALLOWED: &str = "base64url without padding";
    let text = required(jwk, member, ALLOWED)?;
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| faulty(member, "is not base64url".to_owned(), ALLOWED))
}

fn required<'a>(jwk: &'a Map<String, Value>, member: &'static str, allowed: &'static str) -> Result<&'a str, NotTaken> {
    text(jwk, member, allowed)?.ok_or_else(|| faulty(member, "is missing".to_owned(), allowed))
}

fn text<'a>(
    jwk: &'a Map<String, Value>,
    member: &'static str,
    allowed: &'static str,
) -> Result<Option<&'a str>, NotTaken> {
    match jwk.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(faulty(member, "is no string".to_owned(), allowed)),
    }
}

fn faulty(member: &'static str, found: String, allowed: &'static str) -> NotTaken {
    NotTaken::Faulty { member, found, allowed }
}
