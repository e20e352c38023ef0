//! A payload as an envelope: its members, what is signed of them, and what goes on.

use std::fmt;

use super::canonical::{self, JsonFault, Value};

/// Seconds since the epoch have ten digits until the year 2286; twelve are room enough, and never too many for a number.
const TIMESTAMP_DIGITS_MAX: usize = 12;

/// What an envelope says. Its `Debug` shows no token.
#[derive(Clone)]
pub struct Envelope {
    /// Seconds since the epoch.
    pub timestamp_s: u64,
    pub client_id: String,
    pub message_type: String,
    pub token: String,
    /// Canonical JSON of an object.
    data: String,
}

/// Why a payload is no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeFault {
    #[error("{0}")]
    Json(#[from] JsonFault),
    #[error("is not an object with timestamp, client_id, message_type, data and token")]
    NotAnObject,
    #[error("has no {0}")]
    Missing(&'static str),
    /// The members that are not signed must not go on, and must not vanish either.
    #[error("has a member beside timestamp, client_id, message_type, data and token")]
    Unknown,
    #[error("has a {0} that is not a string")]
    NotText(&'static str),
    #[error("has data that is not an object")]
    DataNotAnObject,
    #[error("has a timestamp that is not a string of seconds since 1970, in digits only")]
    NotATimestamp,
}

impl Envelope {
    /// Takes a payload apart; nothing is verified.
    ///
    /// # Errors
    /// What keeps it from being an envelope.
    pub fn parse(payload: &[u8]) -> Result<Self, ShapeFault> {
        let Value::Object(members) = canonical::read(payload)? else { return Err(ShapeFault::NotAnObject) };
        let [mut timestamp, mut client_id, mut message_type, mut data, mut token] = [const { None }; 5];
        for (name, value) in members {
            let place = match name.as_str() {
                "timestamp" => &mut timestamp,
                "client_id" => &mut client_id,
                "message_type" => &mut message_type,
                "data" => &mut data,
                "token" => &mut token,
                _ => return Err(ShapeFault::Unknown),
            };
            *place = Some(value);
        }
        let timestamp = text(timestamp, "timestamp")?;
        Ok(Self {
            timestamp_s: seconds(&timestamp).ok_or(ShapeFault::NotATimestamp)?,
            client_id: text(client_id, "client_id")?,
            message_type: text(message_type, "message_type")?,
            data: match data.ok_or(ShapeFault::Missing("data"))? {
                data @ Value::Object(_) => data.to_canonical(),
                _ => return Err(ShapeFault::DataNotAnObject),
            },
            token: text(token, "token")?,
        })
    }

    /// What the token is the signature of: `timestamp.client_id.message_type.data`, `data` in canonical form.
    #[must_use]
    pub fn signed(&self) -> String {
        format!("{}.{}.{}.{}", self.timestamp_s, self.client_id, self.message_type, self.data)
    }

    /// What goes on: the envelope without its token, in canonical form.
    #[must_use]
    pub fn stripped(&self) -> String {
        let mut out = String::with_capacity(self.data.len() + self.client_id.len() + self.message_type.len() + 80);
        out.push_str("{\"client_id\":");
        canonical::write_text(&self.client_id, &mut out);
        out.push_str(",\"data\":");
        out.push_str(&self.data);
        out.push_str(",\"message_type\":");
        canonical::write_text(&self.message_type, &mut out);
        out.push_str(",\"timestamp\":");
        canonical::write_text(&self.timestamp_s.to_string(), &mut out);
        out.push('}');
        out
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("timestamp_s", &self.timestamp_s)
            .field("client_id", &self.client_id)
            .field("message_type", &self.message_type)
            .finish_non_exhaustive()
    }
}

fn text(value: Option<Value>, member: &'static str) -> Result<String, ShapeFault> {
    match value {
        Some(Value::Text(text)) => Ok(text),
        Some(_) => Err(ShapeFault::NotText(member)),
        None => Err(ShapeFault::Missing(member)),
    }
}

/// A timestamp's number. Of each number there is one spelling only, so that it can be told from the text that was signed.
fn seconds(text: &str) -> Option<u64> {
    let is_sound = matches!(text.len(), 1..=TIMESTAMP_DIGITS_MAX)
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    is_sound.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    fn sound() -> Json {
        json!({ "timestamp": "1732276800", "client_id": "dev.1", "message_type": "re\"ading", "data": { "b": 1.0, "a": "é" }, "token": "00ff" })
    }

    fn parse(value: &Json) -> Result<Envelope, ShapeFault> {
        Envelope::parse(value.to_string().as_bytes())
    }

    #[test]
    fn what_is_signed_and_what_goes_on() {
        let envelope = parse(&sound()).unwrap();
        assert_eq!(envelope.signed(), r#"1732276800.dev.1.re"ading.{"a":"é","b":1}"#);
        let stripped = envelope.stripped();
        assert_eq!(
            stripped,
            r#"{"client_id":"dev.1","data":{"a":"é","b":1},"message_type":"re\"ading","timestamp":"1732276800"}"#
        );
        assert_eq!(canonical::canonical(stripped.as_bytes()).unwrap(), stripped, "it is canonical as a whole");
        assert!(!format!("{envelope:?}").contains("00ff"));
    }

    #[test]
    fn each_member_is_needed_and_has_its_kind() {
        for member in ["timestamp", "client_id", "message_type", "token"] {
            for wrong in [json!(5), json!(null), json!({}), json!(["x"]), json!(true)] {
                let mut value = sound();
                value[member] = wrong;
                assert_eq!(parse(&value).unwrap_err(), ShapeFault::NotText(member));
            }
            let mut value = sound();
            value.as_object_mut().unwrap().remove(member);
            assert_eq!(parse(&value).unwrap_err(), ShapeFault::Missing(member));
        }
        for wrong in [json!("{}"), json!([]), json!(1), json!(null)] {
            let mut value = sound();
            value["data"] = wrong;
            assert_eq!(parse(&value).unwrap_err(), ShapeFault::DataNotAnObject);
        }
        let mut value = sound();
        value["Token"] = json!("00ff");
        assert_eq!(parse(&value).unwrap_err(), ShapeFault::Unknown);
        for other in [json!([]), json!("x"), json!(1), json!(null)] {
            assert_eq!(parse(&other).unwrap_err(), ShapeFault::NotAnObject);
        }
        let twice = sound().to_string().replacen('{', r#"{"client_id":"dev.2","#, 1);
        assert_eq!(Envelope::parse(twice.as_bytes()).unwrap_err(), ShapeFault::Json(JsonFault::Repeated));
    }

    #[test]
    fn a_timestamp_has_one_spelling() {
        for wrong in ["", "-1", "+1", "01", "1.5", "1e3", " 1", "1 ", "0x1", "1732276800000", "٣", "now"] {
            let mut value = sound();
            value["timestamp"] = json!(wrong);
            assert_eq!(parse(&value).unwrap_err(), ShapeFault::NotATimestamp, "{wrong:?}");
        }
        let mut value = sound();
        value["timestamp"] = json!("0");
        assert_eq!(parse(&value).unwrap().timestamp_s, 0);
    }

    /// Dots, braces and quotes wherever a client may put them.
    fn part() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            Just("."),
            Just("{"),
            Just("}"),
            Just("\""),
            Just(":"),
            Just(","),
            Just("1"),
            Just("a"),
            Just("\\")
        ];
        prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn data() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![part().prop_map(Json::from), Just(json!(1.5)), Just(json!({}))];
        let object = |inner| {
            prop::collection::btree_map(part(), inner, 0..3)
                .prop_map(|members| Json::Object(members.into_iter().collect()))
        };
        object(leaf.prop_recursive(2, 6, 2, object).boxed())
    }

    proptest! {
        /// Of what one client signs there is one reading: after every dot that could end the type, the rest is no object.
        #[test]
        fn nothing_signed_can_be_read_otherwise(message_type in part(), data in data()) {
            let value = json!({ "timestamp": "1", "client_id": "c", "message_type": message_type, "data": data, "token": "" });
            let envelope = parse(&value).unwrap();
            let signed = envelope.signed();
            let rest = signed.strip_prefix("1.c.").unwrap();
            let readings = rest.match_indices('.').filter(|(dot, _)| {
                let data = &rest[dot + 1..];
                matches!(canonical::read(data.as_bytes()), Ok(value @ Value::Object(_)) if value.to_canonical() == data)
            });
            prop_assert_eq!(readings.count(), 1);
        }
    }
}
