//! What is asked, and what the answer says.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::auth::Credentials;
use crate::auth::jwt::claims::Claims;
use crate::auth::jwt::token::is_username;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow(Allowed),
    Deny,
}

/// Who somebody is, by the server's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// `None`: as the client says.
    pub username: Option<Box<str>>,
    pub claims: BTreeMap<String, String>,
    pub claim_lists: BTreeMap<String, Vec<String>>,
    /// For how long that is so. `None`: until the client goes.
    pub expires_in: Option<Duration>,
}

/// Why an answer is none. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the answer is no JSON object with \"allow\": true or false")]
    NoVerdict,
    #[error(
        "the answer has a member beside allow, username, claims and expires_in_s, one twice, or one of another type"
    )]
    Malformed,
    #[error("the answer has a username that nobody may have")]
    Username,
    #[error("the answer has no username, and the client neither")]
    NoUsername,
    #[error("the answer is over as it comes: expires_in_s is 0")]
    Expired,
}

/// The question, as JSON. It holds the password.
#[must_use]
pub fn question(credentials: &Credentials) -> Bytes {
    #[derive(Serialize)]
    struct Written<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        username: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        password: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        password_base64: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<&'a str>,
        client_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<String>,
    }
    let text = credentials.password.as_deref().map(std::str::from_utf8);
    let written = Written {
        username: credentials.username.as_deref(),
        password: text.and_then(Result::ok),
        password_base64: match (text, &credentials.password) {
            (Some(Err(_)), Some(bytes)) => Some(BASE64_STANDARD.encode(bytes)),
            _ => None,
        },
        token: credentials.request_token(),
        client_id: &credentials.client_id,
        address: credentials.address.map(|address| address.to_canonical().to_string()),
    };
    // Texts alone: there is nothing in it that could not be written.
    serde_json::to_vec(&written).unwrap_or_default().into()
}

/// What an answer with a status of success says.
///
/// # Errors
/// It says neither yes nor no, or yes in a way that cannot be believed.
pub fn verdict(body: &[u8]) -> Result<Verdict, Unusable> {
    #[derive(Deserialize)]
    struct Word {
        allow: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        #[serde(rename = "allow")]
        _allow: bool,
        username: Option<Box<str>>,
        claims: Option<Claims>,
        expires_in_s: Option<u64>,
    }
    // Or a list would do, its items taken for the members.
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    let word = serde_json::from_slice::<Word>(body).ok().filter(|_| is_object).ok_or(Unusable::NoVerdict)?;
    if !word.allow {
        return Ok(Verdict::Deny);
    }
    let written: Written = serde_json::from_slice(body).map_err(|_| Unusable::Malformed)?;
    if written.username.as_deref().is_some_and(|name| !is_username(name)) {
        return Err(Unusable::Username);
    }
    if written.expires_in_s == Some(0) {
        return Err(Unusable::Expired);
    }
    let (claims, claim_lists) = written.claims.map(Claims::told).unwrap_or_default();
    let expires_in = written.expires_in_s.map(Duration::from_secs);
    Ok(Verdict::Allow(Allowed { username: written.username, claims, claim_lists, expires_in }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::Token;

    fn asked(credentials: &Credentials) -> Value {
        serde_json::from_slice(&question(credentials)).unwrap()
    }

    #[test]
    fn a_question_holds_what_the_client_says_and_no_more() {
        let mut credentials = Credentials {
            username: Some("anna".into()),
            password: Some(Bytes::from_static("pässwörd".as_bytes())),
            token: Some(Token::new("t")),
            certificate: None,
            client_id: "c".into(),
            address: Some("::ffff:192.0.2.7".parse().unwrap()),
        };
        // What CONNECT says goes before what the request said.
        let expected = json!({ "username": "anna", "password": "pässwörd", "client_id": "c", "address": "192.0.2.7" });
        assert_eq!(asked(&credentials), expected);
        credentials.password = Some(Bytes::from_static(b"\xFF\0"));
        credentials.address = None;
        assert_eq!(asked(&credentials), json!({ "username": "anna", "password_base64": "/wA=", "client_id": "c" }));
        credentials.password = None;
        assert_eq!(asked(&credentials), json!({ "username": "anna", "token": "t", "client_id": "c" }));
        credentials.username = None;
        assert_eq!(asked(&credentials), json!({ "token": "t", "client_id": "c" }));
    }

    #[test]
    fn an_answer_is_yes_no_or_none() {
        let yes = |allowed| Ok(Verdict::Allow(allowed));
        let full = Allowed {
            username: Some("anna".into()),
            claims: [("tenant", "blue"), ("level", "3"), ("deep.a", "1")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            claim_lists: [("role".to_owned(), vec!["ops".to_owned(), "dev".to_owned()])].into(),
            expires_in: Some(Duration::from_secs(60)),
        };
        let long = "x".repeat(1025);
        for (body, expected) in [
            (json!({ "allow": true }), yes(Allowed::default())),
            (json!({ "allow": true, "username": null, "claims": null, "expires_in_s": null }), yes(Allowed::default())),
            (
                json!({ "allow": true, "username": "anna", "expires_in_s": 60,
                        "claims": { "tenant": "blue", "level": 3, "role": ["ops", "dev"], "none": null, "deep": { "a": 1 } } }),
                yes(full),
            ),
            (json!({ "allow": false }), Ok(Verdict::Deny)),
            (json!({ "allow": false, "reason": "banned", "username": 7 }), Ok(Verdict::Deny)),
            (json!({ "allow": "true" }), Err(Unusable::NoVerdict)),
            (json!({ "allow": 1 }), Err(Unusable::NoVerdict)),
            (json!({ "allow": null }), Err(Unusable::NoVerdict)),
            (json!({}), Err(Unusable::NoVerdict)),
            (json!([true]), Err(Unusable::NoVerdict)),
            (json!(true), Err(Unusable::NoVerdict)),
            (json!({ "allow": true, "expires_in": 60 }), Err(Unusable::Malformed)),
            (json!({ "allow": true, "claims": ["ops"] }), Err(Unusable::Malformed)),
            (json!({ "allow": true, "expires_in_s": -1 }), Err(Unusable::Malformed)),
            (json!({ "allow": true, "expires_in_s": 0 }), Err(Unusable::Expired)),
            (json!({ "allow": true, "username": "" }), Err(Unusable::Username)),
            (json!({ "allow": true, "username": "anonymous" }), Err(Unusable::Username)),
            (json!({ "allow": true, "username": "a\0" }), Err(Unusable::Username)),
            (json!({ "allow": true, "username": long }), Err(Unusable::Username)),
        ] {
            assert_eq!(verdict(body.to_string().as_bytes()), expected, "{body}");
        }
        for (body, expected) in [
            ("", Unusable::NoVerdict),
            ("true", Unusable::NoVerdict),
            ("[true]", Unusable::NoVerdict),
            ("{\"allow\": true", Unusable::NoVerdict),
            ("{\"allow\": true} x", Unusable::NoVerdict),
            ("{\"allow\": false, \"allow\": true}", Unusable::NoVerdict),
            ("{\"allow\": true, \"username\": \"a\", \"username\": \"b\"}", Unusable::Malformed),
            ("{\"allow\": true, \"claims\": {\"a\": \"1\", \"a\": \"2\"}}", Unusable::Malformed),
        ] {
            assert_eq!(verdict(body.as_bytes()), Err(expected), "{body}");
        }
    }
}
