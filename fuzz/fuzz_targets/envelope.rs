//! Any payload on an envelope's topic: a refusal, never a panic; and what is opened has one canonical form, goes on as what was signed,
//! and passes once.
//!
//! A line `sign` before the payload puts the right token into it, as no fuzzer finds one.

#![no_main]

use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sha2::Sha256;
use std::sync::LazyLock;
use tidegate::auth::Principal;
use tidegate::policy::envelope::{Envelope, EnvelopeFault, ReplayWindow, canonical};
use tidegate::policy::{Access, KeyFileText, Policy};

const POLICY: &str = "version: 1\nenvelope: [ { topic: t, key_file: k } ]\n";
const KEY: [u8; 16] = [0x5a; 16];
const NOW_S: u64 = 1_700_000_000;

static ACCESS: LazyLock<Access> = LazyLock::new(|| {
    let keys = |_: &str| Ok(KeyFileText { origin: "k".to_owned(), text: format!("a:{}\n", "5a".repeat(16)) });
    let policy = Policy::parse_with(POLICY, "p", &keys).expect("a policy");
    policy.bind(&Principal::user("u"), "c").expect("an identity")
});

fuzz_target!(|data: &[u8]| {
    let signed = data.strip_prefix(b"sign\n").map(sign);
    let payload = signed.as_deref().unwrap_or(data);
    if let Ok(text) = canonical(payload) {
        assert_eq!(canonical(text.as_bytes()).as_ref(), Ok(&text), "the form is its own");
        let meant: Value = serde_json::from_slice(payload).expect("what is canonical is JSON");
        let written: Value = serde_json::from_str(&text).expect("so is its form");
        assert!(is_same(&meant, &written), "{meant} is written {written}");
    }
    let rule = ACCESS.envelope("t").expect("the entry");
    let mut window = ReplayWindow::new(NOW_S - 100, 10);
    match (rule.open(payload, NOW_S, &|_| None), Envelope::parse(payload)) {
        (Ok(opened), Ok(envelope)) => {
            assert_eq!(opened.client_id, "a");
            assert_eq!(opened.payload, envelope.stripped());
            assert_eq!(canonical(opened.payload.as_bytes()).as_ref(), Ok(&opened.payload));
            assert!(NOW_S.abs_diff(envelope.timestamp_s) <= 60);
            assert_eq!(window.admit(&opened, NOW_S), Ok(()));
            assert_eq!(window.admit(&opened, NOW_S), Err(EnvelopeFault::Replayed));
        }
        (Err(EnvelopeFault::Shape(found)), Err(expected)) => assert_eq!(found, expected),
        (Err(EnvelopeFault::Token), Ok(_)) => assert!(signed.is_none() || envelope_of_another(payload)),
        (Err(EnvelopeFault::Stale), Ok(envelope)) => assert!(NOW_S.abs_diff(envelope.timestamp_s) > 60),
        (opened, envelope) => panic!("{opened:?} of {envelope:?}"),
    }
});

fn envelope_of_another(payload: &[u8]) -> bool {
    Envelope::parse(payload).is_ok_and(|envelope| envelope.client_id != "a")
}

/// The payload with the token of client `a`, if it has the shape of an envelope; itself otherwise.
fn sign(payload: &[u8]) -> Vec<u8> {
    let (Ok(envelope), Ok(Value::Object(mut members))) = (Envelope::parse(payload), serde_json::from_slice(payload)) else {
        return payload.to_vec();
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("a key");
    mac.update(envelope.signed().as_bytes());
    let token: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    members.insert("token".to_owned(), token.into());
    Value::Object(members).to_string().into_bytes()
}

/// Equal as JSON, where numbers are doubles.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| is_same(value, other)))
        }
        (one, other) => one == other,
    }
}
