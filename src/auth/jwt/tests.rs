use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::AuthCounters;

const NOW: u64 = 1_700_000_000;
const SECRET: [u8; 32] = *b"a secret of thirty-two bytes, so";

/// A key file of one shared secret, and a token of `sub` by it that is right for a minute, for the tests of those who use a [`Verifier`].
pub(crate) fn key_file_and_token(sub: &str) -> (String, String) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let jwks = json!({ "keys": [{ "kty": "oct", "k": b64(SECRET) }] });
    let claims = json!({ "sub": sub, "exp": now + 60 });
    let message = format!("{}.{}", b64(json!({ "alg": "HS256" }).to_string()), b64(claims.to_string()));
    let signature = b64(hs256(&SECRET, message.as_bytes()));
    (jwks.to_string(), format!("{message}.{signature}"))
}

/// One key of every kind.
struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    secret: Vec<u8>,
}

impl Issuer {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
            secret: SECRET.to_vec(),
        }
    }

    fn modulus(&self) -> Vec<u8> {
        // RSAPublicKey in DER (RFC 8017 A.1.1), which for 2048 bits always has it here.
        self.rsa.public_key().as_ref()[9..265].to_vec()
    }

    fn jwks(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({ "keys": [
            { "kty": "RSA", "kid": "r", "use": "sig", "n": b64(self.modulus()), "e": "AQAB" },
            { "kty": "EC", "crv": "P-256", "kid": "e", "alg": "ES256", "x": b64(&point[1..33]), "y": b64(&point[33..]) },
            { "kty": "OKP", "crv": "Ed25519", "kid": "d", "key_ops": ["verify"], "x": b64(self.ed.public_key()) },
            { "kty": "oct", "kid": "h", "k": b64(&self.secret) },
        ]})
    }

    fn keys(&self) -> KeySet {
        KeySet::parse(&self.jwks().to_string(), "jwks.json").unwrap()
    }

    fn sign(&self, header: &Value, payload: &str) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(payload));
        let random = SystemRandom::new();
        let signature = match header["alg"].as_str().unwrap() {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            "ES256" => self.ec.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            _ => hs256(&self.secret, message.as_bytes()),
        };
        format!("{message}.{}", b64(signature))
    }

    /// A token by the shared secret, for what does not depend on the key.
    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "HS256", "kid": "h" }), &claims.to_string())
    }
}

fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL.encode(bytes)
}

fn claims() -> Value {
    json!({ "sub": "alice", "exp": NOW + 60 })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn verify(token: &str, keys: &KeySet, rules: &Rules) -> Result<Verified, Rejected> {
    token::verify(token.as_bytes(), keys, rules, NOW)
}

fn faults(jwks: &str) -> Vec<String> {
    KeySet::parse(jwks, "jwks.json").unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn each_algorithm_verifies_by_its_own_key() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    for (algorithm, id) in [("RS256", "r"), ("ES256", "e"), ("EdDSA", "d"), ("HS256", "h")] {
        for header in [json!({ "alg": algorithm, "kid": id, "typ": "JWT" }), json!({ "alg": algorithm })] {
            let token = issuer.sign(&header, &claims().to_string());
            let verified = verify(&token, &keys, &Rules::default()).unwrap();
            assert_eq!((&*verified.username, verified.expires_s), ("alice", NOW + 60), "{algorithm}");
            assert!(token::is_shaped(token.as_bytes()));
        }
    }
}

/// RFC 7515 A.1 to A.3, and RFC 8037 A.4 for a signature that is not over claims.
#[test]
fn the_examples_of_the_standards_verify() {
    let keys = KeySet::parse(
        r#"{"keys": [
            {"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"},
            {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
            {"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}
        ]}"#,
        "rfc",
    )
    .unwrap();
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rules = Rules { username_claim: "iss".into(), ..Rules::default() };
    for (header, signature) in [
        ("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        (
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
    ] {
        let token = format!("{header}.{payload}.{signature}");
        let verified = token::verify(token.as_bytes(), &keys, &rules, 1_300_819_379).unwrap();
        assert_eq!((&*verified.username, verified.expires_s), ("joe", 1_300_819_380));
        assert_eq!(verified.claims["http://example.com/is_root"], "true");
        assert_eq!(token::verify(token.as_bytes(), &keys, &rules, 1_300_819_390), Err(Rejected::Expired));
    }
}

#[test]
fn the_username_may_lie_within_an_object() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let claims = json!({
        "exp": NOW + 60, "user": { "name": "anna", "id": 7, "names": { "short": "a" } }, "user.mail": "a@b.example",
        "user.names": "not the object",
    });
    let token = issuer.token(&claims);
    for (claim, expected) in [
        ("user.name", Ok("anna")),
        ("user.names.short", Ok("a")),
        ("user.mail", Ok("a@b.example")),
        ("user.names", Ok("not the object")),
        ("user", Err(Rejected::Username)),
        ("user.id", Err(Rejected::Username)),
        ("user.", Err(Rejected::Username)),
        ("user.name.first", Err(Rejected::Username)),
        (".name", Err(Rejected::Username)),
        ("sub", Err(Rejected::Username)),
    ] {
        let rules = Rules { username_claim: claim.into(), ..Rules::default() };
        let found = verify(&token, &keys, &rules).map(|verified| verified.username);
        assert_eq!(found.as_deref().map_err(|rejected| *rejected), expected, "{claim}");
    }
}

#[test]
fn no_token_chooses_how_it_is_verified() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let rules = Rules::default();
    let unsigned = |header: Value| format!("{}.{}.", b64(header.to_string()), b64(claims().to_string()));
    for alg in ["none", "None", "NONE", "nOnE", "", "HS384", "RS512", "ES384", "PS256", "hs256", "ES256K"] {
        for id in [json!(null), json!("h"), json!("r")] {
            let token = unsigned(json!({ "alg": alg, "kid": id }));
            assert_eq!(verify(&token, &keys, &rules), Err(Rejected::Algorithm), "{alg} {id}");
        }
    }
    // The public key as it is published, taken for a shared secret (CVE-2015-9235).
    let der = issuer.rsa.public_key().as_ref();
    for secret in [der, &issuer.modulus(), b64(issuer.modulus()).as_bytes(), issuer.ec.public_key().as_ref()] {
        for id in ["r", "e"] {
            let message =
                format!("{}.{}", b64(json!({ "alg": "HS256", "kid": id }).to_string()), b64(claims().to_string()));
            let token = format!("{message}.{}", b64(hs256(secret, message.as_bytes())));
            assert_eq!(verify(&token, &keys, &rules), Err(Rejected::Algorithm));
        }
    }
    // A key that fits the name and not the algorithm, the other way round too.
    for (algorithm, id) in [("RS256", "e"), ("ES256", "r"), ("EdDSA", "h"), ("HS256", "d")] {
        let token = issuer.sign(&json!({ "alg": algorithm, "kid": id }), &claims().to_string());
        assert_eq!(verify(&token, &keys, &rules), Err(Rejected::Algorithm), "{algorithm} {id}");
    }
    // Keys and addresses of keys inside the token are not looked at.
    let mut forger = Issuer::new();
    forger.secret = b"another secret of thirty-two by.".to_vec();
    for (algorithm, id, index) in [("RS256", "r", 0), ("ES256", "e", 1), ("EdDSA", "d", 2), ("HS256", "h", 3)] {
        let jwk = forger.jwks()["keys"][index].clone();
        let header = json!({ "alg": algorithm, "kid": id, "jwk": jwk, "jku": "https://evil.example/", "x5u": "https://evil.example/" });
        let token = forger.sign(&header, &claims().to_string());
        assert_eq!(verify(&token, &keys, &rules), Err(Rejected::Signature), "{algorithm}");
    }
    let critical = issuer.sign(&json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), &claims().to_string());
    assert_eq!(verify(&critical, &keys, &rules), Err(Rejected::Algorithm));
}

#[test]
fn a_name_chooses_the_key() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let unknown = issuer.sign(&json!({ "alg": "RS256", "kid": "x" }), &claims().to_string());
    assert_eq!(verify(&unknown, &keys, &Rules::default()), Err(Rejected::UnknownKey));
    // A key without a name stands for any; of several of one kind, each is tried.
    let mut jwks = issuer.jwks();
    jwks["keys"][0].as_object_mut().unwrap().remove("kid");
    jwks["keys"].as_array_mut().unwrap().insert(0, Issuer::new().jwks()["keys"][0].clone());
    let keys = KeySet::parse(&jwks.to_string(), "f").unwrap();
    assert!(verify(&unknown, &keys, &Rules::default()).is_ok());
    assert_eq!(keys.count(), 5);
    let none = KeySet::parse(&json!({ "keys": [jwks["keys"][4]] }).to_string(), "f").unwrap();
    assert_eq!(verify(&unknown, &none, &Rules::default()), Err(Rejected::UnknownKey));
}

#[test]
fn every_claim_is_held_against_its_rule() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let plain = Rules { leeway: Duration::ZERO, ..Rules::default() };
    let ours = Rules { audience: Some("tidegate".into()), ..plain.clone() };
    let theirs = Rules { issuer: Some("https://a.example".into()), ..plain.clone() };
    let named = Rules { username_claim: "name".into(), ..plain.clone() };
    let lax = Rules::default();
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let cases = [
        (&plain, claims(), None),
        (&plain, with("exp", NOW + 1), None),
        (&plain, with("exp", NOW as f64 + 1.5), None),
        (&plain, with("exp", u64::MAX), None),
        (&plain, with("exp", NOW), Some(Rejected::Expired)),
        (&plain, with("exp", 0), Some(Rejected::Expired)),
        (&plain, with("exp", -1), Some(Rejected::Expired)),
        (&plain, without("exp"), Some(Rejected::Expired)),
        (&plain, with("exp", "2099"), Some(Rejected::Malformed)),
        (&plain, with("exp", json!(null)), Some(Rejected::Malformed)),
        (&lax, with("exp", NOW - 9), None),
        (&lax, with("exp", NOW - 10), Some(Rejected::Expired)),
        (&plain, with("nbf", NOW), None),
        (&plain, with("nbf", NOW + 1), Some(Rejected::NotYetValid)),
        (&plain, with("nbf", "x"), Some(Rejected::Malformed)),
        (&lax, with("nbf", NOW + 10), None),
        (&lax, with("nbf", NOW + 11), Some(Rejected::NotYetValid)),
        (&plain, with("aud", "tidegate"), Some(Rejected::Audience)),
        (&plain, with("aud", json!([])), Some(Rejected::Audience)),
        (&ours, claims(), Some(Rejected::Audience)),
        (&ours, with("aud", "tidegate"), None),
        (&ours, with("aud", json!(["x", "tidegate"])), None),
        (&ours, with("aud", "Tidegate"), Some(Rejected::Audience)),
        (&ours, with("aud", "tidegate2"), Some(Rejected::Audience)),
        (&ours, with("aud", json!(["x", 1])), Some(Rejected::Audience)),
        (&ours, with("aud", json!({ "tidegate": 1 })), Some(Rejected::Audience)),
        (&theirs, with("iss", "https://a.example"), None),
        (&theirs, with("iss", "https://a.example/"), Some(Rejected::Issuer)),
        (&theirs, with("iss", json!(["https://a.example"])), Some(Rejected::Issuer)),
        (&theirs, claims(), Some(Rejected::Issuer)),
        (&named, claims(), Some(Rejected::Username)),
        (&named, with("name", "bob"), None),
        (&plain, without("sub"), Some(Rejected::Username)),
        (&plain, with("sub", ""), Some(Rejected::Username)),
        (&plain, with("sub", 7), Some(Rejected::Username)),
        (&plain, with("sub", "anonymous"), Some(Rejected::Username)),
        (&plain, with("sub", "a\u{0}b"), Some(Rejected::Username)),
        (&plain, with("sub", "a\nb"), Some(Rejected::Username)),
        (&plain, with("sub", "a".repeat(1024)), None),
        (&plain, with("sub", "a".repeat(1025)), Some(Rejected::Username)),
    ];
    for (rules, claims, expected) in cases {
        assert_eq!(verify(&issuer.token(&claims), &keys, rules).err(), expected, "{claims}");
    }
}

#[test]
fn claims_are_told_as_texts() {
    let issuer = Issuer::new();
    let mut claims = with("role", "ops");
    claims["level"] = 7.into();
    claims["is_admin"] = false.into();
    claims["groups"] = json!(["a", 1, null, ["b"], {}]);
    claims["realm"] = json!({ "roles": ["a"] });
    claims["nothing"] = json!(null);
    let verified = verify(&issuer.token(&claims), &issuer.keys(), &Rules::default()).unwrap();
    let told: Vec<(&str, &str)> = verified.claims.iter().map(|(name, value)| (&**name, &**value)).collect();
    let lists: Vec<(&str, &[String])> = verified.claim_lists.iter().map(|(name, list)| (&**name, &**list)).collect();
    let groups = ["a".to_owned(), "1".to_owned()];
    assert_eq!(lists, [("groups", groups.as_slice()), ("realm.roles", &groups[..1])]);
    let expires = (NOW + 60).to_string();
    assert_eq!(told, [("exp", &*expires), ("is_admin", "false"), ("level", "7"), ("role", "ops"), ("sub", "alice")]);
}

#[test]
fn a_token_has_one_spelling() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let token = issuer.token(&claims());
    let rules = Rules::default();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    // 32 bytes leave four bits of the last letter unused; another letter with the same two bits must not do.
    let last = signature.chars().last().unwrap();
    let sibling = char::from(b"BCDFGHJKLNOPRSTVWXZabdefhijlmnpqrtuvxyz12356790"[0]);
    let stray =
        format!("{message}.{}{}", &signature[..signature.len() - 1], if last == sibling { 'C' } else { sibling });
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        header.to_owned(),
        message.to_owned(),
        format!("{token}."),
        format!("{token}="),
        format!("{token}.x"),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{header}==.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}/"),
        stray,
        issuer.sign(&json!({ "alg": "HS256" }), "[]"),
        issuer.sign(&json!({ "alg": "HS256" }), "\"sub\""),
        issuer.sign(&json!({ "alg": "HS256" }), ""),
        issuer.sign(&json!({ "alg": "HS256" }), &format!("{} x", claims())),
        issuer.sign(&json!({ "alg": "HS256" }), &format!(r#"{{"sub":"alice","sub":"bob","exp":{}}}"#, NOW + 60)),
        issuer.sign(&json!({ "alg": "HS256" }), &"[".repeat(4000)),
        issuer.sign(&json!({ "alg": "HS256", "kid": 7 }), &claims().to_string()),
    ] {
        assert_eq!(verify(&bad, &keys, &rules), Err(Rejected::Malformed), "{bad}");
    }
    for header in [r#"{"alg":"HS256","alg":"HS256"}"#, r#"{"alg":"HS256","kid":"h","kid":"h"}"#, r#"{"kid":"h"}"#, "{}"]
    {
        let message = format!("{}.{payload}", b64(header));
        let token = format!("{message}.{}", b64(hs256(&SECRET, message.as_bytes())));
        assert_eq!(verify(&token, &keys, &rules), Err(Rejected::Malformed), "{header}");
    }
    let long = issuer.token(&with("x", "x".repeat(8192)));
    assert_eq!(verify(&long, &keys, &rules), Err(Rejected::TooLong));
    assert!(verify(&long, &keys, &Rules { token_bytes_max: 32 << 10, ..rules }).is_ok());
}

#[test]
fn passwords_are_not_taken_for_tokens() {
    for password in ["", "correct horse", "a.b.c", "ey", "ey.x", "eyJh.b c.d", "eyJh.b.c.d", "1.2.3"] {
        assert!(!token::is_shaped(password.as_bytes()), "{password}");
    }
}

#[test]
fn all_faults_of_a_key_file_come_at_once_and_show_no_key() {
    let issuer = Issuer::new();
    let mut jwks = issuer.jwks();
    let keys = jwks["keys"].as_array_mut().unwrap();
    let (r, e, d, h) = (keys[0].clone(), keys[1].clone(), keys[2].clone(), keys[3].clone());
    let changed = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    *keys = vec![
        h.clone(),
        changed(&h, "k", json!(b64("hunter2"))),
        changed(&h, "k", json!("hunter2 ")),
        changed(&r, "n", json!(b64(&issuer.modulus()[..128]))),
        changed(&r, "d", json!("hunter2")),
        changed(&r, "alg", json!("HS256")),
        changed(&e, "y", json!(b64([1; 32]))),
        changed(&e, "x", json!(b64([1; 31]))),
        changed(&d, "x", json!(b64([1; 33]))),
        changed(&d, "kid", json!(7)),
        json!({ "kid": "x" }),
        json!("hunter2"),
        h,
    ];
    let told = faults(&jwks.to_string());
    let starts = [
        "jwks.json: keys[1].k: a secret of 7 bytes; at least 32",
        "jwks.json: keys[2].k: is not base64url; ",
        "jwks.json: keys[3].n: a modulus of 1024 bits; at least 2048",
        "jwks.json: keys[4].d: a private key; the public half alone",
        "jwks.json: keys[5].alg: HS256 for a key of type RSA; ",
        "jwks.json: keys[6].x: x and y are no point of P-256; ",
        "jwks.json: keys[7].x: 31 bytes; ",
        "jwks.json: keys[8].x: 33 bytes; ",
        "jwks.json: keys[9].kid: is no string; ",
        "jwks.json: keys[10].kty: is missing; ",
        "jwks.json: keys[11]: is no object; ",
        "jwks.json: keys[12].kid: is given twice; ",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(start), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    for (text, start) in [
        ("", "jwks.json:1:0: is not JSON"),
        ("{\n\"keys\": x}", "jwks.json:2:9: is not JSON"),
        ("[]", "jwks.json: has no list of keys"),
        ("{\"keys\": {}}", "jwks.json: has no list of keys"),
        ("{\"keys\": []}", "jwks.json: has no keys; "),
    ] {
        assert!(faults(text)[0].starts_with(start), "{text}: {:?}", faults(text));
    }
    let many = json!({ "keys": vec![r; 65] });
    assert_eq!(faults(&many.to_string()), ["jwks.json: has 65 keys; at most 64 keys"]);
}

#[test]
fn keys_for_other_uses_are_passed_over() {
    let issuer = Issuer::new();
    let mut others = vec![
        json!({ "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "RSA", "alg": "RS512", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AA" }),
        json!({ "kty": "oct", "key_ops": ["sign"], "k": "AA" }),
        json!({ "kty": "AKP" }),
    ];
    let told = faults(&json!({ "keys": others }).to_string());
    let expected = "jwks.json: has no key that verifies tokens here, only a key of use \"enc\", a key for \"RS512\", a key on the curve \"P-384\", \
                    a key on the curve \"X25519\", a key whose key_ops do not have verify, a key of type \"AKP\"; a key for RS256, ES256, EdDSA or HS256";
    assert_eq!(told, [expected]);
    others.push(issuer.jwks()["keys"][2].clone());
    assert_eq!(KeySet::parse(&json!({ "keys": others }).to_string(), "f").unwrap().count(), 1);
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?}", Issuer::new().keys());
    assert!(shown.contains("Hs256") && !shown.contains(&b64(SECRET)) && !shown.contains("97, 32"), "{shown}");
}

#[tokio::test]
async fn a_key_file_that_changes_is_read_again_and_a_faulty_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("jwks.json");
    let (first, second) = (Issuer::new(), Issuer::new());
    let jwks = |issuer: &Issuer, id: &str| {
        let mut jwk = issuer.jwks()["keys"][1].clone();
        jwk["kid"] = id.into();
        json!({ "keys": [jwk] }).to_string()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token = |issuer: &Issuer, id: &str| {
        issuer.sign(&json!({ "alg": "ES256", "kid": id }), &json!({ "sub": "alice", "exp": now + 600 }).to_string())
    };
    std::fs::write(&keys, jwks(&first, "1")).unwrap();
    let config = JwtConfig {
        keys: KeySource::File(keys.clone()),
        keys_bytes_max: 1 << 20,
        rules: Rules::default(),
        refresh: Duration::from_secs(3600),
    };
    let counters = Arc::new(AuthCounters::default());
    let verifier = Verifier::new(config.clone(), Arc::clone(&counters), None).unwrap();
    let counted = || [&counters.keys.changes, &counters.keys.failures].map(|counter| counter.load(Ordering::Relaxed));
    let (old, new) = (token(&first, "1"), token(&second, "2"));
    assert_eq!(&*verifier.verify(old.as_bytes(), Some("alice")).unwrap().username, "alice");
    assert_eq!(verifier.verify(old.as_bytes(), Some("bob")), Err(Rejected::Username));
    assert_eq!(verifier.verify(new.as_bytes(), None), Err(Rejected::UnknownKey));
    // Just after a reading there is none for an unknown key.
    std::fs::write(&keys, jwks(&second, "2")).unwrap();
    assert_eq!(verifier.verify_reading(new.as_bytes(), None).await, Err(Rejected::UnknownKey));

    verifier.keyring.read_again().await;
    assert!(verifier.verify_reading(new.as_bytes(), Some("")).await.is_ok());
    assert_eq!(verifier.verify(old.as_bytes(), None), Err(Rejected::UnknownKey), "a key that is gone is gone");
    assert_eq!(counted(), [1, 0]);

    for faulty in ["", "{\"keys\": []}"] {
        std::fs::write(&keys, faulty).unwrap();
        verifier.keyring.read_again().await;
        assert!(verifier.verify(new.as_bytes(), None).is_ok());
    }
    std::fs::remove_file(&keys).unwrap();
    verifier.keyring.read_again().await;
    assert!(verifier.verify(new.as_bytes(), None).is_ok());
    assert_eq!(counted(), [1, 3]);
    let faults = Verifier::new(config.clone(), Arc::default(), None).unwrap_err();
    assert!(faults[0].found.starts_with("cannot be read"));
    std::fs::write(&keys, jwks(&first, "1")).unwrap();
    let faults = Verifier::new(JwtConfig { keys_bytes_max: 64, ..config }, Arc::default(), None).unwrap_err();
    assert_eq!(faults[0].found, "is longer than that");
}

proptest! {
    /// Whatever stands where a token should, and whichever byte of one is another: never accepted, and never a panic.
    #[test]
    fn nothing_else_is_accepted(bytes in proptest::collection::vec(any::<u8>(), 0..200), place in any::<prop::sample::Index>(), other in any::<u8>()) {
        thread_local! {
            static KEYS: (String, KeySet) = {
                let issuer = Issuer::new();
                (issuer.token(&claims()), issuer.keys())
            };
        }
        KEYS.with(|(token, keys)| {
            assert!(token::verify(&bytes, keys, &Rules::default(), NOW).is_err());
            let mut changed = token.clone().into_bytes();
            let place = place.index(changed.len());
            if changed[place] != other {
                changed[place] = other;
                assert!(token::verify(&changed, keys, &Rules::default(), NOW).is_err());
            }
        });
    }
}

/// As `openssl pkey -pubout` prints them.
fn spki_pem(label: &str, der: &[u8]) -> String {
    use base64::prelude::BASE64_STANDARD;
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn keys_may_be_pem() {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use rcgen::PublicKeyData as _;
    let issuer = Issuer::new();
    let rsa: PublicKeyX509Der<'_> = issuer.rsa.public_key().as_der().unwrap();
    let ec: PublicKeyX509Der<'_> = issuer.ec.public_key().as_der().unwrap();
    let ed: PublicKeyX509Der<'_> = issuer.ed.public_key().as_der().unwrap();
    let blocks = [rsa.as_ref(), ec.as_ref(), ed.as_ref()].map(|der| spki_pem("PUBLIC KEY", der));
    let all = KeySet::parse(&format!("the keys of issuer {{7}}\n{}", blocks.concat()), "keys.pem").unwrap();
    assert_eq!(all.count(), 3);
    let tokens = ["RS256", "ES256", "EdDSA"]
        .map(|alg| issuer.sign(&json!({ "alg": alg, "kid": "whatever" }), &claims().to_string()));
    for (index, (token, block)) in tokens.iter().zip(&blocks).enumerate() {
        assert!(verify(token, &all, &Rules::default()).is_ok(), "{index}");
        let one = KeySet::parse(block, "keys.pem").unwrap();
        for (other, token) in tokens.iter().enumerate() {
            assert_eq!(verify(token, &one, &Rules::default()).is_ok(), index == other, "{index} {other}");
        }
        // What is public is no secret.
        for secret in [block.as_bytes(), rsa.as_ref(), ec.as_ref(), ed.as_ref()] {
            let message = format!("{}.{}", b64(br#"{"alg":"HS256"}"#), b64(claims().to_string()));
            let forged = format!("{message}.{}", b64(hs256(secret, message.as_bytes())));
            assert_eq!(verify(&forged, &all, &Rules::default()), Err(Rejected::UnknownKey));
        }
    }
    // Of a certificate the key alone.
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["issuer".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let of_certificate = KeySet::parse(&certificate.pem(), "keys.pem").unwrap();
    let bare = KeySet::parse(&spki_pem("PUBLIC KEY", &pair.subject_public_key_info()), "keys.pem").unwrap();
    let described = |keys: &KeySet| format!("{keys:?}");
    assert_eq!(described(&of_certificate), described(&bare));
}

#[test]
fn pem_that_is_no_key_is_a_fault() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let good = pair.public_key_pem();
    for (text, expected) in [
        (pair.serialize_pem(), "keys.pem: block[0]: a private key; "),
        (format!("{good}{}", pair.serialize_pem()), "keys.pem: block[1]: a private key; "),
        (
            p384.public_key_pem(),
            "keys.pem: has no key that verifies tokens here, only a key on another curve than P-256; ",
        ),
        (spki_pem("X509 CRL", b"x"), "keys.pem: has no key that verifies tokens here, only \"X509 CRL\"; "),
        (spki_pem("PUBLIC KEY", b"nonsense"), "keys.pem: block[0]: no public key that can be read; "),
        (good.replace("-----END", "-----ONE"), "keys.pem: block[0]: cannot be read; "),
        (good.replace("MFkw", "MF!w"), "keys.pem: block[0]: cannot be read; "),
        (good.repeat(65), "keys.pem: has more than 64 keys; "),
        (spki_pem("CERTIFICATE", b"nonsense"), "keys.pem: block[0]: cannot be read; "),
    ] {
        let faults = KeySet::parse(&text, "keys.pem").unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?} is not {expected}");
        let body = pair.serialize_pem();
        let secret = body.lines().nth(1).unwrap();
        assert!(!told[0].contains(secret));
    }
    assert_eq!(KeySet::parse(&format!("{good}{}", p384.public_key_pem()), "keys.pem").unwrap().count(), 1);
}
