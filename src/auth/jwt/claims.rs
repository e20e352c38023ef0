//! Claims: read strictly, and told to the policy by name.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Claims by name, none given twice, nor anything within one: two readers must not take two different tokens for the same (RFC 7519 §4).
pub(in crate::auth) struct Claims(pub(super) BTreeMap<String, Value>);

/// What of an object is told, so that a token that holds very much does not become much more.
const WITHIN_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 256;
const DEPTH_MAX: usize = 4;

impl Claims {
    /// Those that the policy can judge by: single ones, and lists. What lies within an object has a name with dots (`realm_access.roles`);
    /// a claim of that very name goes before it.
    pub(in crate::auth) fn told(self) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
        let (mut told, mut objects) = (Told::default(), Vec::new());
        for (name, claim) in self.0 {
            match claim {
                Value::Object(members) => objects.push((name, members)),
                claim => told.tell(name, claim),
            }
        }
        for (name, members) in objects {
            told.within(&name, members, 1);
        }
        (told.claims, told.lists)
    }
}

#[derive(Default)]
struct Told {
    claims: BTreeMap<String, String>,
    lists: BTreeMap<String, Vec<String>>,
    within_count: usize,
}

impl Told {
    fn tell(&mut self, name: String, claim: Value) {
        match claim {
            Value::Array(items) => {
                self.lists.insert(name, items.into_iter().filter_map(text).collect());
            }
            claim => self.claims.extend(text(claim).map(|text| (name, text))),
        }
    }

    fn within(&mut self, outer: &str, members: Map<String, Value>, depth: usize) {
        for (member, value) in members {
            let name = format!("{outer}.{member}");
            if name.len() > NAME_BYTES_MAX || self.claims.contains_key(&name) || self.lists.contains_key(&name) {
                continue;
            }
            match value {
                Value::Object(inner) if depth < DEPTH_MAX => self.within(&name, inner, depth + 1),
                Value::Object(_) => {}
                value if self.within_count < WITHIN_MAX => {
                    self.within_count += 1;
                    self.tell(name, value);
                }
                _ => return,
            }
        }
    }
}

fn text(claim: Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text),
        Value::Number(_) | Value::Bool(_) => Some(claim.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Strict::deserialize(deserializer)?.0 {
            Value::Object(members) => Ok(Self(members.into_iter().collect())),
            _ => Err(D::Error::custom("not an object")),
        }
    }
}

/// A value in which no object has a member twice, at any depth.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a member given twice")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is given twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
        serde_json::from_str::<Claims>(text).expect("sound claims").told()
    }

    #[test]
    fn what_lies_within_has_a_name_with_dots_and_its_own_goes_first() {
        let (claims, lists) = told(
            r#"{ "realm_access": { "roles": ["ops", 7, {}] }, "a": { "b": { "c": { "d": 1, "e": { "f": { "g": 2 } } } }, "x": null },
                 "o.text": "own", "o": { "text": "other", "list": "other" }, "o.list": ["own"] }"#,
        );
        let claims: Vec<_> = claims.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(claims, [("a.b.c.d", "1"), ("o.text", "own")]);
        let lists: Vec<_> = lists.iter().map(|(name, list)| (&**name, list.join(","))).collect();
        assert_eq!(lists, [("o.list", "own".to_owned()), ("realm_access.roles", "ops,7".to_owned())]);
    }

    #[test]
    fn much_within_stays_little() {
        let members: Map<String, Value> = (0..1000).map(|index| (format!("m{index:03}"), index.into())).collect();
        let (claims, _) = told(&serde_json::json!({ "x".repeat(200): members.clone(), "y": members }).to_string());
        assert_eq!(claims.len(), WITHIN_MAX);
        let (claims, _) = told(&serde_json::json!({ "x".repeat(256): { "a": 1 }, "z": { "a": 1 } }).to_string());
        assert_eq!(claims.keys().collect::<Vec<_>>(), ["z.a"]);
    }

    #[test]
    fn nothing_is_given_twice_at_any_depth() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":[{"c":1,"\u0063":2}]}]}"#, "[]", "1", "null"]
        {
            assert!(serde_json::from_str::<Claims>(text).is_err(), "{text}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
        assert!(serde_json::from_str::<Claims>(&deep).is_err());
    }
}
