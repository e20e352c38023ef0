//! Walks a [`Node`] tree and notes every fault with its place and key path.

use std::collections::BTreeMap;

use crate::fault::{Fault, suggestion};

use super::document::{Key, Node, Place, Value};

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

impl<'a> Reader<'a> {
    pub(super) fn new(origin: &'a str) -> Self {
        Self { origin, faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, place: Place, path: &str, found: impl Into<String>, allowed: impl Into<String>) {
        self.faults.push(Fault::new(self.origin, path, found, allowed).at(place.line, place.column));
    }

    /// The entries of a mapping whose keys the operator chooses. A repeated key is a fault, and only its first value counts.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, path: &str, allowed: &str) -> Vec<(&'n Key, &'n Node)> {
        let Value::Map(entries) = &node.value else {
            self.fault(node.place, path, node.value.describe(), allowed);
            return Vec::new();
        };
        // A rule's few keys are compared with each other, which spares every rule a map of its own.
        let is_few = entries.len() <= FEW;
        let mut line_by_key = BTreeMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        for (index, (key, value)) in entries.iter().enumerate() {
            let earlier = match is_few {
                true => {
                    entries[..index].iter().find(|(other, _)| other.text == key.text).map(|(key, _)| key.place.line)
                }
                false => line_by_key.get(&key.text).copied(),
            };
            if let Some(line) = earlier {
                let found = format!("is given twice, first in line {line}");
                self.fault(key.place, &join(path, &key.text), found, "each key once");
                continue;
            }
            if !is_few {
                line_by_key.insert(&key.text, key.place.line);
            }
            kept.push((key, value));
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
        if !matches!(node.value, Value::Map(_)) {
            self.fault(node.place, path, node.value.describe(), allowed);
            return None;
        }
        let mut values = [None; N];
        for (key, value) in self.entries(node, path, allowed) {
            match known.iter().position(|known| *known == key.text) {
                Some(index) => values[index] = Some(value),
                None => self.unknown_key(key, path, &known),
            }
        }
        Some(values)
    }

    fn unknown_key(&mut self, key: &Key, path: &str, known: &[&str]) {
        let allowed = match suggestion(&key.text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", known.join(", ")),
        };
        self.fault(key.place, &join(path, &key.text), "is no key of a policy file", allowed);
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, path: &str, allowed: &str) -> &'n [Node] {
        match &node.value {
            Value::List(nodes) => nodes,
            other => {
                self.fault(node.place, path, other.describe(), allowed);
                &[]
            }
        }
    }

    pub(super) fn text(&mut self, node: &Node, path: &str, allowed: &str) -> Option<Text> {
        match &node.value {
            Value::Text(text) => Some(Text { place: node.place, text: text.clone() }),
            Value::Bool(_) | Value::Number(_) | Value::OddNumber(_) => {
                self.fault(node.place, path, node.value.describe(), format!("{allowed}; put it in quotes"));
                None
            }
            other => {
                self.fault(node.place, path, other.describe(), allowed);
                None
            }
        }
    }

    pub(super) fn bool(&mut self, node: &Node, path: &str) -> Option<bool> {
        match node.value {
            Value::Bool(value) => Some(value),
            ref other => {
                self.fault(node.place, path, other.describe(), "true or false");
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
