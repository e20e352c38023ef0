//! A policy's YAML: reads it, then walks it and notes every fault with its place and key path.

use std::collections::BTreeMap;

use serde_saphyr::{MessageFormatter, UserMessageFormatter};

use crate::document::{self, Content, Entry, Keys, Node, Place, Rules};
use crate::fault::{Fault, suggestion};

/// The deepest nesting of lists and mappings; the policy file's own shape needs 5.
const DEPTH_MAX: usize = 16;

/// The most values a file may hold; a rule is about 6 of them.
const NODES_MAX: usize = 4_000_000;

/// Up to so many keys are compared with each other.
const FEW: usize = 8;

/// Collects the faults of one file.
pub(super) struct Reader<'a> {
    origin: &'a str,
    pub(super) faults: Vec<Fault>,
}

/// A text and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) place: Place,
    pub(super) text: String,
}

/// Reads one YAML document.
///
/// # Errors
/// The syntax fault that ends the reading, or that the text is cut short.
pub(super) fn parse(text: &str, origin: &str) -> Result<Node, Fault> {
    // A file cut off while it was written must not pass for a smaller policy. Inside a line the missing line end shows it.
    if !text.ends_with('\n') && !text.trim().is_empty() {
        let line = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
        let allowed = "a file that ends with a line break; is it cut off?";
        return Err(Fault::new(origin, "", "the last line does not end", allowed).at(line, 1));
    }
    let rules = Rules {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_documents: 1,
        },
        keys: Keys::AsWritten,
        are_odd_numbers_text: false,
        found: |error| UserMessageFormatter.format_message(error).into_owned(),
        allowed: "YAML as in configs/policy.yaml",
    };
    document::parse(text, rules).map_err(|fault| Fault { origin: origin.to_owned(), ..fault })
}

/// What stands there, as a fault says it.
pub(super) fn describe(content: &Content) -> String {
    match content {
        Content::Null => "found nothing".to_owned(),
        Content::Flag(flag) => format!("found {flag}"),
        Content::Integer(number) => format!("found the number {number}"),
        Content::Float(number) => format!("found the number {number}"),
        Content::Text(text) => format!("found {text:?}"),
        Content::Sequence(_) => "found a list".to_owned(),
        Content::Mapping(_) => "found a mapping".to_owned(),
    }
}

impl Text {
    pub(super) fn of_key(entry: &Entry) -> Self {
        Self { place: entry.key_place, text: entry.key.clone() }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(origin: &'a str) -> Self {
        Self { origin, faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, place: Place, path: &str, found: impl Into<String>, allowed: impl Into<String>) {
        self.faults.push(Fault::new(self.origin, path, found, allowed).at(place.line, place.column));
    }

    /// The entries of a mapping whose keys the operator chooses. A repeated key is a fault, and only its first value counts.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, path: &str, allowed: &str) -> Vec<&'n Entry> {
        let Content::Mapping(entries) = &node.content else {
            self.fault(node.place, path, describe(&node.content), allowed);
            return Vec::new();
        };
        // A rule's few keys are compared with each other, which spares every rule a map of its own.
        let is_few = entries.len() <= FEW;
        let mut line_by_key = BTreeMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let earlier = match is_few {
                true => entries[..index].iter().find(|other| other.key == entry.key).map(|other| other.key_place.line),
                false => line_by_key.get(&entry.key).copied(),
            };
            if let Some(line) = earlier {
                let found = format!("is given twice, first in line {line}");
                self.fault(entry.key_place, &join(path, &entry.key), found, "each key once");
                continue;
            }
            if !is_few {
                line_by_key.insert(&entry.key, entry.key_place.line);
            }
            kept.push(entry);
        }
        kept
    }

    /// The values of a mapping with these `known` keys, in their order. Unknown and repeated keys are faults.
    pub(super) fn fields<'n, const N: usize>(
        &mut self,
        node: &'n Node,
        path: &str,
        known: [&str; N],
        allowed: &str,
    ) -> Option<[Option<&'n Node>; N]> {
        if !matches!(node.content, Content::Mapping(_)) {
            self.fault(node.place, path, describe(&node.content), allowed);
            return None;
        }
        let mut values = [None; N];
        for entry in self.entries(node, path, allowed) {
            match known.iter().position(|known| *known == entry.key) {
                Some(index) => values[index] = Some(&entry.value),
                None => self.unknown_key(entry, path, &known),
            }
        }
        Some(values)
    }

    fn unknown_key(&mut self, entry: &Entry, path: &str, known: &[&str]) {
        let allowed = match suggestion(&entry.key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", known.join(", ")),
        };
        self.fault(entry.key_place, &join(path, &entry.key), "is no key of a policy file", allowed);
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, path: &str, allowed: &str) -> &'n [Node] {
        match &node.content {
            Content::Sequence(nodes) => nodes,
            other => {
                self.fault(node.place, path, describe(other), allowed);
                &[]
            }
        }
    }

    pub(super) fn text(&mut self, node: &Node, path: &str, allowed: &str) -> Option<Text> {
        match &node.content {
            Content::Text(text) => Some(Text { place: node.place, text: text.clone() }),
            Content::Flag(_) | Content::Integer(_) | Content::Float(_) => {
                self.fault(node.place, path, describe(&node.content), format!("{allowed}; put it in quotes"));
                None
            }
            other => {
                self.fault(node.place, path, describe(other), allowed);
                None
            }
        }
    }

    pub(super) fn bool(&mut self, node: &Node, path: &str) -> Option<bool> {
        match node.content {
            Content::Flag(value) => Some(value),
            ref other => {
                self.fault(node.place, path, describe(other), "true or false");
                None
            }
        }
    }

    /// The value of a key that must be there.
    pub(super) fn required<'n>(
        &mut self,
        value: Option<&'n Node>,
        owner: &Node,
        path: &str,
        key: &str,
        allowed: &str,
    ) -> Option<&'n Node> {
        if value.is_none() {
            self.fault(owner.place, &join(path, key), "is missing", allowed);
        }
        value
    }
}

/// `path.key`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// `path[index]`.
pub(super) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_off_is_refused() {
        let fault = parse("version: 1\nusers: {a: [b]", "p.yaml").unwrap_err();
        assert_eq!((fault.line, fault.found.as_str()), (Some(2), "the last line does not end"));
    }

    #[test]
    fn a_syntax_fault_has_its_place() {
        let fault = parse("a: &x {b: 1}\nc: {<<: *x}\n", "p.yaml").unwrap_err();
        assert_eq!(fault.to_string(), "p.yaml:2:5: merge key not allowed here; YAML as in configs/policy.yaml");
    }
}
