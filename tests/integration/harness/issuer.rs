//! Whoever signs tokens: one key for each algorithm, and tokens by them, right or wrong as a test likes.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// See the module.
pub struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    secret: hmac::Key,
    secret_text: String,
}

impl Issuer {
    /// The algorithms, each with the name of its key.
    pub const ALGORITHMS: [(&'static str, &'static str); 4] =
        [("RS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed"), ("HS256", "secret")];

    /// New keys.
    pub fn new() -> Self {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("entropy");
        Self {
            rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).expect("a key"),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"),
            ed: Ed25519KeyPair::generate().expect("a key"),
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            secret_text: base64url(secret),
        }
    }

    /// The RSA public key in DER, as it could be published.
    pub fn rsa_public_der(&self) -> &[u8] {
        self.rsa.public_key().as_ref()
    }

    /// The key file.
    pub fn jwks(&self) -> String {
        let point = self.ec.public_key().as_ref();
        // RSAPublicKey in DER (RFC 8017 A.1.1), which for 2048 bits always has the modulus here.
        let modulus = &self.rsa_public_der()[9..265];
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
        let keys = json!({ "keys": [
            { "kty": "RSA", "kid": "rsa", "n": base64url(modulus), "e": "AQAB" },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y },
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": base64url(self.ed.public_key()) },
            { "kty": "oct", "kid": "secret", "k": self.secret_text },
        ]});
        keys.to_string()
    }

    /// A token of these claims.
    pub fn sign(&self, algorithm: &str, key_id: &str, claims: &Value) -> String {
        self.sign_text(algorithm, key_id, &claims.to_string())
    }

    /// A token of this text, which need not be what a library would write.
    pub fn sign_text(&self, algorithm: &str, key_id: &str, claims: &str) -> String {
        let header = json!({ "alg": algorithm, "kid": key_id, "typ": "JWT" });
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims));
        let (bytes, random) = (message.as_bytes(), SystemRandom::new());
        let signature = match algorithm {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).expect("a signature");
                signature
            }
            "ES256" => self.ec.sign(&random, bytes).expect("a signature").as_ref().to_vec(),
            "EdDSA" => self.ed.sign(bytes).as_ref().to_vec(),
            "HS256" => hmac::sign(&self.secret, bytes).as_ref().to_vec(),
            _ => Vec::new(),
        };
        format!("{message}.{}", base64url(signature))
    }

    /// A token of somebody that is right for an hour.
    pub fn token(&self, username: &str) -> String {
        self.token_for(username, 3600)
    }

    /// A token of somebody that expires in so many seconds, which may be over.
    pub fn token_for(&self, username: &str, seconds: i64) -> String {
        self.sign("EdDSA", "ed", &json!({ "sub": username, "aud": "tidegate", "exp": now_s() + seconds }))
    }
}

/// A forged token: signed with `secret` as if it were one, for the key `key_id`.
pub fn forge(secret: &[u8], key_id: &str, claims: &Value) -> String {
    let header = json!({ "alg": "HS256", "kid": key_id });
    let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", base64url(signature))
}

/// Seconds since 1970.
pub fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs() as i64
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
