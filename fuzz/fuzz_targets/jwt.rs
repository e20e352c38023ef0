//! Any bytes as a token: no panic, and nobody is let in who does not hold a key. A token that is signed as it should be is let in only if its
//! claims say what they must; a key set is read or faulty.
//!
//! The first byte says what the rest is: a whole token; header, payload and signature, a line each; a payload that is signed here;
//! a key set. Seeds: `src/auth/jwt/tests.rs`.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use libfuzzer_sys::fuzz_target;
use tidegate::auth::jwt::{KeySet, Rules, token};

const NOW: u64 = 1_700_000_000;

/// Nobody can guess it from what comes out.
const SECRET: &[u8; 32] = b"\x1f\x8e\x03\xd4\x77\xa1\x5c\xee\x92\x60\xb8\x0d\x4f\x31\xfa\x26\x83\xc9\x7b\x55\x0e\xe4\x98\x12\xad\x6f\x3c\xd1\x48\xb7\x09\x72";

/// The public keys of RFC 7515 A.2 and A.3 and RFC 8037 A.1, and the secret.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let secret = BASE64URL.encode(SECRET);
    let text = format!(
        r#"{{"keys": [
            {{"kid":"r","kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}},
            {{"kid":"e","kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}},
            {{"kid":"d","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}},
            {{"kid":"h","kty":"oct","k":"{secret}"}}
        ]}}"#
    );
    KeySet::parse(&text, "keys").expect("sound keys")
});

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let rules = Rules { audience: (kind & 4 != 0).then(|| "tidegate".into()), leeway: Duration::ZERO, ..Rules::default() };
    match kind % 4 {
        0 => assert!(token::verify(rest, &KEYS, &rules, NOW).is_err(), "let in without a key"),
        1 => {
            let parts: Vec<String> = rest.splitn(3, |&byte| byte == b'\n').map(|part| BASE64URL.encode(part)).collect();
            let token = parts.join(".");
            assert!(token::verify(token.as_bytes(), &KEYS, &rules, NOW).is_err(), "let in without a key");
        }
        2 => {
            let message = format!("{}.{}", BASE64URL.encode(r#"{"alg":"HS256","kid":"h"}"#), BASE64URL.encode(rest));
            let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
            let token = format!("{message}.{}", BASE64URL.encode(signature.as_ref()));
            let Ok(verified) = token::verify(token.as_bytes(), &KEYS, &rules, NOW) else { return };
            assert!(verified.expires_s > NOW && !verified.username.is_empty() && *verified.username != *"anonymous");
            assert_eq!(verified.claims.get("sub").map(String::as_str), Some(&*verified.username));
            let claims: serde_json::Value = serde_json::from_slice(rest).expect("what was let in is JSON");
            assert_eq!(claims["sub"], *verified.username);
            assert_eq!(claims.get("aud").is_some(), rules.audience.is_some());
        }
        _ => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            match KeySet::parse(text, "keys") {
                Ok(keys) => assert!(keys.count() > 0),
                Err(faults) => assert!(!faults.is_empty()),
            }
        }
    }
});
