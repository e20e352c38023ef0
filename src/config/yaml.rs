//! YAML text as a tree that remembers where everything stands.
//!
//! Strict on purpose: duplicate keys are refused, only `true` and `false` are booleans, tags without a meaning here are refused, and what
//! aliases expand to is bounded.

use std::fmt;

use figment::value::{Dict, Value};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// More text than this is no configuration.
pub const BYTES_MAX: usize = 1 << 20;

const NODES_MAX: usize = 20_000;
const DEPTH_MAX: usize = 24;

/// A line and a column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// A YAML value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub place: Place,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Null,
    Flag(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Sequence(Vec<Node>),
    /// In the order of the text.
    Mapping(Vec<Entry>),
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

/// Why a text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub place: Option<Place>,
    pub message: String,
}

impl Node {
    /// Reads the one document in `text`; an empty one is [`Content::Null`].
    ///
    /// # Errors
    /// The first violation of YAML's syntax, or of this module's bounds.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > BYTES_MAX {
            return Err(SyntaxError { place: None, message: format!("has more than {BYTES_MAX} bytes") });
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_nodes: NODES_MAX, max_depth: DEPTH_MAX },
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| SyntaxError { place: error.location().and_then(Place::of), message: message_of(&error) })
    }

    /// The node at `path`, whose steps are a mapping's keys and a sequence's indices.
    #[must_use]
    pub fn find(&self, path: &[Step]) -> Option<&Self> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        match (&self.content, step) {
            (Content::Sequence(items), Step::Index(index)) => items.get(*index)?.find(rest),
            (Content::Mapping(_), Step::Key(key)) => self.entry(key)?.value.find(rest),
            _ => None,
        }
    }

    /// The entry of a mapping whose key is `key`.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The same without places, as figment merges it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Empty(Default::default(), figment::value::Empty::Unit),
            Content::Flag(flag) => Value::from(*flag),
            Content::Integer(integer) => Value::from(*integer),
            Content::Float(float) => Value::from(*float),
            Content::Text(text) => Value::from(text.as_str()),
            Content::Sequence(items) => Value::from(items.iter().map(Self::to_value).collect::<Vec<_>>()),
            Content::Mapping(entries) => {
                Value::from(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect::<Dict>())
            }
        }
    }
}

/// One step from a node to a node below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// Writes a path as faults show it: `routes[2].path`.
#[must_use]
pub fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

impl Place {
    /// `None` for what the parser could not place.
    fn of(location: Location) -> Option<Self> {
        let line = u32::try_from(location.line()).ok()?;
        let column = u32::try_from(location.column()).ok()?;
        (line > 0).then_some(Self { line, column })
    }
}

/// The parser's own words in one line, without the place, which is told apart.
fn message_of(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    // What follows is the place, or advice to the one who called the parser.
    let text = [" at line ", ", set DuplicateKeyPolicy", "; use from_"]
        .iter()
        .fold(text.as_str(), |text, mark| text.split(mark).next().unwrap_or(text));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        let place = Place::of(spanned.referenced).unwrap_or(Place { line: 1, column: 1 });
        Ok(Self { place, content: spanned.value })
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

    fn visit_none<E>(self) -> Result<Content, E> {
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

    fn visit_i128<E>(self, value: i128) -> Result<Content, E> {
        Ok(Content::Integer(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Text(value))
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
            let key_place = Place::of(key.referenced).unwrap_or(Place { line: 1, column: 1 });
            entries.push(Entry { key: key.value, key_place, value: access.next_value()? });
        }
        Ok(Content::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_places() {
        let node = Node::parse("tls:\n  cert: a.pem\nlisten:\n  - https://x\n  - {url: mqtt://y}\n").unwrap();
        let place = |path: &[Step]| node.find(path).map(|found| (found.place.line, found.place.column));
        let key = |text: &str| Step::Key(text.to_owned());

        assert_eq!(place(&[key("tls"), key("cert")]), Some((2, 9)));
        assert_eq!(place(&[key("listen"), Step::Index(0)]), Some((4, 5)));
        assert_eq!(place(&[key("listen"), Step::Index(1), key("url")]), Some((5, 11)));
        assert_eq!(node.entry("listen").unwrap().key_place, Place { line: 3, column: 1 });
        assert_eq!(place(&[key("nothing")]), None);
    }

    #[test]
    fn types_only_what_yaml_1_2_types() {
        let node = Node::parse("a: no\nb: 00123\nc: true\nd: 5\ne: 1_000\nf:\n").unwrap();
        let content = |name: &str| node.entry(name).unwrap().value.content.clone();

        assert_eq!(content("a"), Content::Text("no".to_owned()));
        assert_eq!(content("b"), Content::Text("00123".to_owned()));
        assert_eq!(content("c"), Content::Flag(true));
        assert_eq!(content("d"), Content::Integer(5));
        assert_eq!(content("e"), Content::Text("1_000".to_owned()));
        assert_eq!(content("f"), Content::Null);
    }

    #[test]
    fn refuses_duplicate_keys_with_their_place() {
        let error = Node::parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(error.place, Some(Place { line: 3, column: 1 }), "{error:?}");
    }

    #[test]
    fn bounds_what_aliases_expand_to() {
        let mut text = String::from("l0: &l0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = level - 1;
            let aliases = vec![format!("*l{below}"); 9].join(", ");
            text.push_str(&format!("l{level}: &l{level} [{aliases}]\n"));
        }
        assert!(Node::parse(&text).is_err());
        assert!(Node::parse(&"[".repeat(10_000)).is_err());
        assert!(Node::parse(&format!("a: {}", "x".repeat(BYTES_MAX))).is_err());
    }

    #[test]
    fn says_what_is_wrong_in_one_line() {
        let error = Node::parse("a: [1, 2\nb: 3\n").unwrap_err();
        assert!(!error.message.contains('\n') && !error.message.contains("line"), "{error:?}");
        assert!(error.place.is_some());
    }

    #[test]
    fn an_empty_document_is_nothing() {
        assert_eq!(Node::parse("").unwrap().content, Content::Null);
        assert_eq!(Node::parse("# only a comment\n").unwrap().content, Content::Null);
    }
}
