//! What the configuration asks of its YAML: how it is read, found in by path, and given to figment.

use figment::value::{Dict, Value};

use crate::document::{self, Content, Entry, Keys, Node, Rules};
use crate::fault::Fault;

/// What stands in faults of the whole file.
pub const ALLOWED: &str = "a configuration file in YAML";

/// More text than this is no configuration.
pub const BYTES_MAX: usize = 1 << 20;

const NODES_MAX: usize = 20_000;
const DEPTH_MAX: usize = 24;

/// Reads the one document in `text`.
///
/// # Errors
/// The first violation of YAML's syntax, or of the configuration's bounds. The fault has no origin.
pub fn parse(text: &str) -> Result<Node, Fault> {
    if text.len() > BYTES_MAX {
        return Err(Fault::new("", "", format!("has more than {BYTES_MAX} bytes"), ALLOWED));
    }
    let rules = Rules {
        budget: serde_saphyr::budget! { max_nodes: NODES_MAX, max_depth: DEPTH_MAX },
        keys: Keys::Merged,
        // A path or a name may look like one.
        are_odd_numbers_text: true,
        found: message_of,
        allowed: ALLOWED,
    };
    document::parse(text, rules)
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

/// The node at `path` below `node`.
#[must_use]
pub fn find<'n>(node: &'n Node, path: &[Step]) -> Option<&'n Node> {
    let Some((step, rest)) = path.split_first() else { return Some(node) };
    match (&node.content, step) {
        (Content::Sequence(items), Step::Index(index)) => find(items.get(*index)?, rest),
        (Content::Mapping(_), Step::Key(key)) => find(&entry(node, key)?.value, rest),
        _ => None,
    }
}

/// The entry of a mapping whose key is `key`.
#[must_use]
pub fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    match &node.content {
        Content::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
        _ => None,
    }
}

/// The same without places, as figment merges it.
#[must_use]
pub fn to_value(node: &Node) -> Value {
    match &node.content {
        Content::Null => Value::Empty(Default::default(), figment::value::Empty::Unit),
        Content::Flag(flag) => Value::from(*flag),
        Content::Integer(integer) => Value::from(*integer),
        Content::Float(float) => Value::from(*float),
        Content::Text(text) => Value::from(text.as_str()),
        Content::Sequence(items) => Value::from(items.iter().map(to_value).collect::<Vec<_>>()),
        Content::Mapping(entries) => {
            Value::from(entries.iter().map(|entry| (entry.key.clone(), to_value(&entry.value))).collect::<Dict>())
        }
    }
}

/// The parser's own words in one line, without the place, which is told apart.
fn message_of(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    // What follows is the place, or advice to the one who called the parser.
    let text = [" at line ", ", set DuplicateKeyPolicy", "; use from_"]
        .iter()
        .fold(text.as_str(), |text, mark| text.split(mark).next().unwrap_or(text));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Place;

    #[test]
    fn finds_by_path() {
        let node = parse("tls:\n  cert: a.pem\nlisten:\n  - https://x\n  - {url: mqtt://y}\n").unwrap();
        let place = |path: &[Step]| find(&node, path).map(|found| (found.place.line, found.place.column));
        let key = |text: &str| Step::Key(text.to_owned());

        assert_eq!(place(&[key("tls"), key("cert")]), Some((2, 9)));
        assert_eq!(place(&[key("listen"), Step::Index(0)]), Some((4, 5)));
        assert_eq!(place(&[key("listen"), Step::Index(1), key("url")]), Some((5, 11)));
        assert_eq!(entry(&node, "listen").unwrap().key_place, Place { line: 3, column: 1 });
        assert_eq!(place(&[key("nothing")]), None);
    }

    #[test]
    fn is_bounded() {
        assert!(parse(&format!("a: {}", "x".repeat(BYTES_MAX - 3))).is_ok());
        assert!(parse(&format!("a: {}", "x".repeat(BYTES_MAX - 2))).is_err());
        assert!(parse(&format!("[{}]", "x,".repeat(NODES_MAX))).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1))).is_err());
    }

    #[test]
    fn says_what_is_wrong_in_one_line() {
        let fault = parse("a: [1, 2\nb: 3\n").unwrap_err();
        assert!(!fault.found.contains('\n') && !fault.found.contains("line") && fault.line.is_some(), "{fault:?}");
    }
}
