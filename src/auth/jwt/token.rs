//! What a token has to satisfy (RFC 7515, 7519, 8725).
//!
//! Pure: keys, rules and the time come in as arguments.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::KeySet;
use super::claims::Claims;
use super::key::Algorithm;
use crate::auth::principal::ANONYMOUS;

/// The most bytes of a username. A topic level bound to it may have no more.
pub const USERNAME_BYTES_MAX: usize = 1024;

/// What tokens are held against beside their signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The `aud` that is meant for this server. `None`: a token must not name any.
    pub audience: Option<Box<str>>,
    /// The `iss` that every token must have. `None`: any or none.
    pub issuer: Option<Box<str>>,
    /// The claim that is the username; where no claim has that name, dots lead into objects. Default: `sub`.
    pub username_claim: Box<str>,
    /// How far the clocks of issuer and server may differ. Default: 10 s.
    pub leeway: Duration,
    /// The longest token that is looked at. Default: 8 KiB.
    pub token_bytes_max: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            audience: None,
            issuer: None,
            username_claim: "sub".into(),
            leeway: Duration::from_secs(10),
            token_bytes_max: 8 * 1024,
        }
    }
}

/// What a token says that satisfied all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub username: Box<str>,
    /// Claims by name: texts as they are, numbers and truth values as JSON spells them, those within objects by names with dots. Null is
    /// left out.
    pub claims: BTreeMap<String, String>,
    /// Claims that are lists, by name, each item told like a claim that is no object.
    pub claim_lists: BTreeMap<String, Vec<String>>,
    /// `exp`: seconds since 1970.
    pub expires_s: u64,
}

macro_rules! rejections {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Why a token was not accepted. For logs and counters: the client is told that its credentials are wrong, and no more.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Rejected { $($(#[$doc])* #[error($text)] $name,)* }

        impl Rejected {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as a label of metrics.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

rejections! {
    TooLong = "too_long";
    /// Not the compact form, not base64url, not JSON, a claim of the wrong type, or something given twice.
    Malformed = "malformed";
    /// `alg` is `none`, or none that is spoken here, or not that of the key; or `crit` asks for what is not understood.
    Algorithm = "algorithm";
    /// No key has its `kid`, or none is there for its `alg`.
    UnknownKey = "unknown_key";
    /// The keys never came from their URL, or did so too long ago.
    NoKeys = "no_keys";
    Signature = "signature";
    /// `exp` has passed, or is missing: what never ends could never be taken back.
    Expired = "expired";
    /// `nbf` is still to come.
    NotYetValid = "not_yet_valid";
    Audience = "audience";
    Issuer = "issuer";
    /// The username claim is missing or no name; or beside the token stands another User Name.
    Username = "username";
}

impl Rejected {
    /// Whether other keys might make another answer.
    #[must_use]
    pub fn is_for_want_of_keys(self) -> bool {
        matches!(self, Self::UnknownKey | Self::NoKeys)
    }
}

/// Whether `secret` has the form of a token, and so is not meant as a password.
#[must_use]
pub fn is_shaped(secret: &[u8]) -> bool {
    let is_base64url =
        |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    // `{"` in base64url.
    secret.starts_with(b"ey") && split(secret).is_some_and(|parts| parts.into_iter().all(is_base64url))
}

/// Verifies `token` at `now_s`, in seconds since 1970.
///
/// # Errors
/// The first thing that is wrong, from the outside in.
pub fn verify(token: &[u8], keys: &KeySet, rules: &Rules, now_s: u64) -> Result<Verified, Rejected> {
    if token.len() > rules.token_bytes_max {
        return Err(Rejected::TooLong);
    }
    let [header, payload, signature] = split(token).ok_or(Rejected::Malformed)?;
    check_signature(&token[..header.len() + 1 + payload.len()], &decode(header)?, &decode(signature)?, keys)?;
    let claims = read_claims(&decode(payload)?)?;
    check_times(&claims, rules, now_s)?;
    check_audience(&claims, rules)?;
    if rules.issuer.is_some() && text(&claims, "iss") != rules.issuer.as_deref() {
        return Err(Rejected::Issuer);
    }
    let username = reach(&claims, &rules.username_claim)
        .and_then(Value::as_str)
        .filter(|name| is_username(name))
        .ok_or(Rejected::Username)?;
    let expires_s = seconds(&claims, "exp")?.ok_or(Rejected::Expired)?;
    let username = username.into();
    let (claims, claim_lists) = Claims(claims).told();
    Ok(Verified { username, claims, claim_lists, expires_s })
}

/// The three parts of the compact form (RFC 7515 §7.1).
fn split(token: &[u8]) -> Option<[&[u8]; 3]> {
    let mut parts = token.split(|&byte| byte == b'.');
    let parts_found = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(parts_found)
}

fn decode(part: &[u8]) -> Result<Vec<u8>, Rejected> {
    // Refuses padding and stray bits: a token has one spelling.
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejected::Malformed)
}

/// What of a header matters here; a member given twice is refused.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

fn check_signature(message: &[u8], header: &[u8], signature: &[u8], keys: &KeySet) -> Result<(), Rejected> {
    let header: Header<'_> = serde_json::from_slice(header).map_err(|_| Rejected::Malformed)?;
    let algorithm = Algorithm::of_name(&header.alg).filter(|_| header.crit.is_none()).ok_or(Rejected::Algorithm)?;
    let id = header.kid.as_deref();
    let mut candidates = keys.candidates(algorithm, id).peekable();
    if candidates.peek().is_none() {
        // The named key is there, and of another kind than the token wants it to be.
        let is_confused = id.is_some_and(|id| keys.has_id(id));
        return Err(if is_confused { Rejected::Algorithm } else { Rejected::UnknownKey });
    }
    match candidates.any(|key| key.verifies(message, signature)) {
        true => Ok(()),
        false => Err(Rejected::Signature),
    }
}

fn check_times(claims: &BTreeMap<String, Value>, rules: &Rules, now_s: u64) -> Result<(), Rejected> {
    let leeway_s = rules.leeway.as_secs();
    let expires_s = seconds(claims, "exp")?.ok_or(Rejected::Expired)?;
    if now_s >= expires_s.saturating_add(leeway_s) {
        return Err(Rejected::Expired);
    }
    if seconds(claims, "nbf")?.is_some_and(|not_before_s| not_before_s > now_s.saturating_add(leeway_s)) {
        return Err(Rejected::NotYetValid);
    }
    Ok(())
}

/// A token that names an audience is for nobody else (RFC 7519 §4.1.3).
fn check_audience(claims: &BTreeMap<String, Value>, rules: &Rules) -> Result<(), Rejected> {
    let is_ours = |audience: &Value| audience.as_str().is_some_and(|name| Some(name) == rules.audience.as_deref());
    let fits = match claims.get("aud") {
        None => rules.audience.is_none(),
        Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
        Some(audience) => is_ours(audience),
    };
    if fits { Ok(()) } else { Err(Rejected::Audience) }
}

/// A NumericDate (RFC 7519 §2), without its fraction.
fn seconds(claims: &BTreeMap<String, Value>, name: &str) -> Result<Option<u64>, Rejected> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => Ok(Some(whole)),
            // A cast saturates: what is before 1970 is 1970.
            (None, Some(fraction)) => Ok(Some(fraction as u64)),
            (None, None) => Err(Rejected::Malformed),
        },
        Some(_) => Err(Rejected::Malformed),
    }
}

fn text<'a>(claims: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// The claim of this name, or the one that its dots lead to. Names with dots of their own, as URLs are, go first.
fn reach<'a>(claims: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |object, member| object.get(member))
    })
}

pub(in crate::auth) fn is_username(name: &str) -> bool {
    (1..=USERNAME_BYTES_MAX).contains(&name.len()) && name != ANONYMOUS && !name.contains(char::is_control)
}

fn read_claims(payload: &[u8]) -> Result<BTreeMap<String, Value>, Rejected> {
    serde_json::from_slice::<Claims>(payload).map(|claims| claims.0).map_err(|_| Rejected::Malformed)
}
