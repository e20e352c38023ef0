//! A YAML text as a tree in which every value knows its place, so that one reading finds all faults at once.
//!
//! A typed deserializer stops at the first value it does not like. Here the whole text becomes [`Node`]s first, and whoever asked walks
//! them. Strict for all: one document, only `true` and `false` are booleans, tags of other schemas are refused, and what aliases expand
//! to is bounded. Where readers differ, each says so in its [`Rules`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Budget, Location, Spanned};

use crate::fault::Fault;

/// A line and a column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub place: Place,
    pub content: Content,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Null,
    Flag(bool),
    /// What needs more than 64 bits is a [`Content::Float`].
    Integer(i128),
    Float(f64),
    Text(String),
    Sequence(Vec<Node>),
    /// In the order of the text. Keys repeat only under [`Keys::AsWritten`].
    Mapping(Vec<Entry>),
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

/// How a text is read.
#[derive(Debug)]
pub struct Rules {
    /// What the text may cost, aliases included; `None`: the parser's default, for a reading is never unbounded.
    pub budget: Option<Budget>,
    pub keys: Keys,
    /// Whether `00123` and `1_000` are texts; numbers otherwise.
    pub are_odd_numbers_text: bool,
    /// Says in one line what was found, without its place.
    pub found: fn(&serde_saphyr::Error) -> String,
    /// What a fault calls such a text.
    pub allowed: &'static str,
}

/// What becomes of repeated keys, which YAML forbids, and of the merge key `<<`.
///
/// The two go together: what is merged is gone from the tree, and a repeated key in it would be gone unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// The first repeated key ends the reading; `<<` merges.
    Merged,
    /// Repeated keys are kept, for the reader to report each; `<<` ends the reading.
    AsWritten,
}

/// Reads the one document in `text`; an empty one is [`Content::Null`].
///
/// # Errors
/// The first violation of YAML's syntax, or of `rules`. The fault has no origin.
pub fn parse(text: &str, rules: Rules) -> Result<Node, Fault> {
    let (duplicate_keys, merge_keys) = match rules.keys {
        Keys::Merged => (DuplicateKeyPolicy::Error, MergeKeyPolicy::Merge),
        Keys::AsWritten => (DuplicateKeyPolicy::PassThrough, MergeKeyPolicy::Error),
    };
    let options = serde_saphyr::options! {
        budget: Some(rules.budget.unwrap_or_default()),
        duplicate_keys: duplicate_keys,
        merge_keys: merge_keys,
        leading_zero_numbers_as_strings: rules.are_odd_numbers_text,
        underscored_numbers_as_strings: rules.are_odd_numbers_text,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let fault = Fault::new("", "", (rules.found)(error.without_snippet()), rules.allowed);
        match error.location().and_then(Place::of) {
            Some(place) => fault.at(place.line, place.column),
            None => fault,
        }
    })
}

impl Place {
    /// Where a text begins.
    pub const START: Self = Self { line: 1, column: 1 };

    /// `None` for what the parser could not place.
    fn of(location: Location) -> Option<Self> {
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        (location != Location::UNKNOWN)
            .then(|| Self { line: narrow(location.line()), column: narrow(location.column()) })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { place: Place::of(spanned.referenced).unwrap_or(Place::START), content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Content::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let key_place = Place::of(key.referenced).unwrap_or(Place::START);
            entries.push(Entry { key: key.value, key_place, value: access.next_value()? });
        }
        Ok(Content::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES_MAX: usize = 1_000;
    const BOTH: [Keys; 2] = [Keys::Merged, Keys::AsWritten];

    #[test]
    fn every_value_knows_its_place() {
        for keys in BOTH {
            let Content::Mapping(root) = read("a: 1\né: [ {b: no} ]\n", keys).unwrap() else { panic!("a mapping") };
            assert_eq!(root[0].value, Node { place: Place { line: 1, column: 4 }, content: Content::Integer(1) });
            assert_eq!((root[1].key.as_str(), root[1].key_place), ("é", Place { line: 2, column: 1 }));
            let Content::Sequence(items) = &root[1].value.content else { panic!("{root:?}") };
            assert_eq!(items[0].place, Place { line: 2, column: 6 });
        }
    }

    #[test]
    fn types_only_what_yaml_1_2_types() {
        let text = |text: &str| Content::Text(text.to_owned());
        let both = [
            ("no", text("no")),
            ("true", Content::Flag(true)),
            ("-5", Content::Integer(-5)),
            ("18446744073709551615", Content::Integer(u64::MAX.into())),
            ("1.5", Content::Float(1.5)),
            ("'5'", text("5")),
            ("", Content::Null),
            ("# only a comment\n", Content::Null),
        ];
        for (written, expected) in both {
            assert!(BOTH.iter().all(|keys| read(written, *keys).unwrap() == expected), "{written:?}");
        }
        assert_eq!(["00123", "1_000"].map(|odd| read(odd, Keys::Merged).unwrap()), [text("00123"), text("1_000")]);
        assert_eq!(read("1_000", Keys::AsWritten).unwrap(), Content::Integer(1_000));
    }

    #[test]
    fn keys_repeat_or_merge_and_never_both() {
        let lines = |text, keys| -> Vec<u32> {
            match read(text, keys) {
                Ok(Content::Mapping(entries)) => entries.iter().map(|entry| entry.key_place.line).collect(),
                other => panic!("{other:?}"),
            }
        };
        let repeated = "a: 1\nb: 2\na: 3\n";
        assert_eq!(lines(repeated, Keys::AsWritten), [1, 2, 3]);
        assert_eq!(read(repeated, Keys::Merged).unwrap_err().line, Some(3));
        assert!(read("<<: {b: 1, b: 2}", Keys::Merged).is_err());
        let merged = "<<:\n  b: 1\na: 2\n";
        assert_eq!(lines(merged, Keys::Merged), [3, 2]);
        assert_eq!(read(merged, Keys::AsWritten).unwrap_err().line, Some(1));
    }

    #[test]
    fn refuses_what_is_not_one_plain_bounded_document() {
        let aliases = (1..12).fold("l0: &l0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
            format!("{text}l{level}: &l{level} [{}]\n", vec![format!("*l{}", level - 1); 9].join(", "))
        });
        let items = |count| format!("[{}]", "[],".repeat(count));
        let refused = ["a: [1\n", "a: 1\n---\nb: 2\n", "a: !foo 1\n", "a: \"\n", "a: *x\n", "[[[[[[[[[]]]]]]]]]"];
        for keys in BOTH {
            for text in refused.into_iter().chain([aliases.as_str(), &"[".repeat(10_000), &items(NODES_MAX)]) {
                assert!(read(text, keys).is_err(), "{text:.40}");
            }
            assert!(read("[[[[[[[[]]]]]]]]", keys).is_ok() && read(&items(NODES_MAX - 1), keys).is_ok());
        }
    }

    fn read(text: &str, keys: Keys) -> Result<Content, Fault> {
        let rules = Rules {
            budget: serde_saphyr::budget! { max_nodes: NODES_MAX, max_depth: 8 },
            keys,
            are_odd_numbers_text: keys == Keys::Merged,
            found: ToString::to_string,
            allowed: "YAML",
        };
        parse(text, rules).map(|node| node.content)
    }
}
