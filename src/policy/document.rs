//! YAML as a tree in which every value knows its place, so that one reading finds all faults at once.
//!
//! A typed deserializer stops at the first value it does not like. Here the whole text becomes [`Node`]s first, and [`super::file`]
//! walks them. Repeated keys are kept (YAML forbids them; the reader reports each), merge keys and tags of other schemas are refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

use crate::fault::Fault;

/// The deepest nesting of lists and mappings; the policy file's own shape needs 5.
const DEPTH_MAX: usize = 16;

/// The most values a file may hold; a rule is about 6 of them.
const NODES_MAX: usize = 4_000_000;

/// A place in a text: line and column from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Nothing,
    Bool(bool),
    /// A whole number from 0.
    Number(u64),
    /// A negative or fractional number, as YAML reads it.
    OddNumber(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text; keys may repeat.
    Map(Vec<(Key, Node)>),
}

/// A mapping's key and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) text: String,
}

/// Reads one YAML document.
///
/// # Errors
/// The syntax fault that ends the reading, or that the text is empty or cut short.
pub(super) fn read(text: &str, origin: &str) -> Result<Node, Fault> {
    // A file cut off while it was written must not pass for a smaller policy. Inside a line the missing line end shows it.
    if !text.ends_with('\n') && !text.trim().is_empty() {
        let line = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
        return Err(Fault::new(
            origin,
            "",
            "the last line does not end",
            "a file that ends with a line break; is it cut off?",
        )
        .at(line, 1));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_documents: 1,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| {
        let found = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
        let fault = Fault::new(origin, "", found, "YAML as in configs/policy.yaml");
        match error.location() {
            Some(location) if location != Location::UNKNOWN => {
                let place = Place::from(location);
                fault.at(place.line, place.column)
            }
            _ => fault,
        }
    })
}

impl Value {
    /// What it is, as a fault says it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Nothing => "found nothing".to_owned(),
            Self::Bool(value) => format!("found {value}"),
            Self::Number(value) => format!("found the number {value}"),
            Self::OddNumber(value) => format!("found the number {value}"),
            Self::Text(text) => format!("found {text:?}"),
            Self::List(_) => "found a list".to_owned(),
            Self::Map(_) => "found a mapping".to_owned(),
        }
    }
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self { line: narrow(location.line()), column: narrow(location.column()) }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { place: spanned.referenced.into(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { place: spanned.referenced.into(), text: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::OddNumber(value as f64), Value::Number))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::OddNumber(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_place() {
        let text = "version: 1\nroles:\n  é: [ {topic: no} ]\n";
        let Value::Map(entries) = read(text, "p.yaml").unwrap().value else { panic!("a mapping") };
        assert_eq!(entries[0].0.place, Place { line: 1, column: 1 });
        assert_eq!(entries[0].1.place, Place { line: 1, column: 10 });
        assert!(matches!(entries[0].1.value, Value::Number(1)));
        let Value::Map(roles) = &entries[1].1.value else { panic!("a mapping") };
        assert_eq!((roles[0].0.text.as_str(), roles[0].0.place), ("é", Place { line: 3, column: 3 }));
        let Value::List(rules) = &roles[0].1.value else { panic!("a list") };
        assert_eq!(rules[0].place, Place { line: 3, column: 8 });
        let Value::Map(rule) = &rules[0].value else { panic!("a mapping") };
        assert!(matches!(&rule[0].1.value, Value::Text(text) if text == "no"), "`no` is a word, not a boolean");
        assert_eq!(rule[0].1.place, Place { line: 3, column: 16 });
    }

    #[test]
    fn repeated_keys_are_kept() {
        let Value::Map(entries) = read("a: 1\na: 2\n", "p").unwrap().value else { panic!("a mapping") };
        assert_eq!(entries.iter().map(|(key, _)| key.place.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn refuses_what_is_not_one_plain_document() {
        for text in
            ["", "# nothing\n", "a: [1\n", "a: 1\n---\nb: 2\n", "a: &x {b: 1}\nc: {<<: *x}\n", "a: !foo 1\n", "a: \"\n"]
        {
            let outcome = read(text, "p.yaml");
            let is_nothing = matches!(&outcome, Ok(Node { value: Value::Nothing, .. }));
            assert!(outcome.is_err() || is_nothing, "{text:?}: {outcome:?}");
        }
        let deep = "[".repeat(4000) + "\n";
        assert!(read(&deep, "p").is_err());
        let fault = read("version: 1\nusers: {a: [b]", "p.yaml").unwrap_err();
        assert_eq!((fault.line, fault.found.as_str()), (Some(2), "the last line does not end"));
    }
}
