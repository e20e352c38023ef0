//! Of a Topic Filter that is not all of one kind: which parts of it are granted, which denied, and that there is a rest.
//!
//! The parts are found by comparing every rule of the identity with the filter; whether a name in one may be read is what [`Access`] says.

use std::fmt;

use serde::Serialize;

use super::super::access::Access;
use super::super::rule::Rule;
use super::RuleShown;
use crate::mqtt::TopicName;
use crate::mqtt::topic::intersects;

/// The most parts of one kind that are told.
const PARTS_MAX: usize = 8;

/// What a filter is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// In the order of the file.
    pub granted: Vec<Part>,
    pub denied: Vec<Part>,
    /// A Topic Name that the filter matches and no rule speaks of, if one was found.
    pub rest: Option<String>,
    /// How many further parts there are.
    pub further_count: usize,
}

/// What one rule says of a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What the rule's topic and the filter both match.
    pub filter: String,
    pub rule: RuleShown,
    /// A Topic Name in it that is granted, or denied.
    pub example: String,
}

impl Coverage {
    /// Takes `filter` apart by `rules`, each with its topic for this identity. `None` if no part of it is granted.
    pub(super) fn of<'r>(
        access: &Access,
        filter: &str,
        rules: impl Iterator<Item = (&'r Rule, String)>,
    ) -> Option<Self> {
        let mut coverage = Self { granted: Vec::new(), denied: Vec::new(), rest: None, further_count: 0 };
        for (rule, topic) in rules.filter(|(rule, _)| rule.mode.read) {
            let Some(part) = common(&topic, filter) else { continue };
            // A grant of which a deny takes all is no part.
            let Some(example) = names(&part).find(|name| access.receive(name).allow != rule.is_deny) else { continue };
            let parts = if rule.is_deny { &mut coverage.denied } else { &mut coverage.granted };
            if parts.len() < PARTS_MAX {
                parts.push(Part { filter: part, rule: rule.into(), example });
            } else {
                coverage.further_count += 1;
            }
        }
        coverage.rest = names(filter).find(|name| access.receive(name).rule.is_none());
        (!coverage.granted.is_empty()).then_some(coverage)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, parts) in [("granted", &self.granted), ("denied", &self.denied)] {
            for Part { filter, rule, example } in parts {
                let example = if example == filter { String::new() } else { format!(", such as {example:?}") };
                writeln!(f, "  part    {filter:?} is {kind}{example}\n          by {rule}")?;
            }
        }
        if self.further_count > 0 {
            writeln!(f, "  part    and {} more", self.further_count)?;
        }
        match &self.rest {
            Some(rest) => writeln!(f, "  rest    is not granted, such as {rest:?}"),
            None => Ok(()),
        }
    }
}

/// The filter that matches what both match, if there is anything.
fn common(a: &str, b: &str) -> Option<String> {
    if !intersects(a, b) {
        return None;
    }
    let (mut a, mut b) = (a.split('/').peekable(), b.split('/').peekable());
    let mut levels = Vec::new();
    loop {
        match (a.peek().copied(), b.peek().copied()) {
            (Some("#"), _) => levels.extend(&mut b),
            (_, Some("#")) => levels.extend(&mut a),
            (Some(x), Some(y)) => {
                levels.push(if x == "+" { y } else { x });
                a.next();
                b.next();
                continue;
            }
            (None, _) | (_, None) => {}
        }
        return Some(levels.join("/"));
    }
}

/// Some names that `filter` matches: plain ones, in which every wildcard is filled in alike.
fn names(filter: &str) -> impl Iterator<Item = String> {
    const FILLINGS: [&str; 4] = ["x", "any", "other", "0"];
    let (stem, tails): (&str, &[&str]) = match filter.strip_suffix('#') {
        Some(stem) => (stem.strip_suffix('/').unwrap_or(stem), &["", "/x", "/any", "/x/x", "/x/x/x/x"]),
        None => (filter, &[""]),
    };
    let name = move |(filling, tail): (&str, &str)| {
        let levels: Vec<&str> = stem.split('/').map(|level| if level == "+" { filling } else { level }).collect();
        // `#` alone has no stem, and names do not begin with the slash before it.
        let name = format!("{}{tail}", levels.join("/"));
        if filter == "#" { name.trim_start_matches('/').to_owned() } else { name }
    };
    let all = tails.iter().flat_map(|tail| FILLINGS.map(|filling| (filling, *tail)));
    all.map(name).filter(|name| TopicName::parse(name.as_str()).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mqtt::topic::matches;

    #[test]
    fn what_two_filters_have_in_common_is_a_filter() {
        for (a, b, expected) in [
            ("#", "a/b", Some("a/b")),
            ("#", "+/b", Some("+/b")),
            ("a/#", "+/b/#", Some("a/b/#")),
            ("a/#", "a", Some("a")),
            ("a/#", "+", Some("a")),
            ("a/+", "+/b", Some("a/b")),
            ("a/+/c", "a/b", None),
            ("#", "$SYS/#", None),
            ("/#", "/p/+/x", Some("/p/+/x")),
            ("#", "#", Some("#")),
        ] {
            assert_eq!(common(a, b).as_deref(), expected, "{a} {b}");
            assert_eq!(common(b, a).as_deref(), expected, "{b} {a}");
        }
    }

    #[test]
    fn names_are_matched_by_their_filter() {
        for filter in ["#", "/#", "a", "a/#", "+/#", "+", "/+", "a/+/#", "$SYS/#", "/"] {
            let all: Vec<String> = names(filter).collect();
            assert!(!all.is_empty(), "{filter}");
            assert!(all.iter().all(|name| matches(filter, name)), "{filter}: {all:?}");
        }
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![Just("a"), Just("b"), Just("+"), Just("$x"), Just("")];
        (prop::collection::vec(level, 1..4), any::<bool>()).prop_map(|(mut levels, has_rest)| {
            if has_rest {
                levels.push("#");
            }
            let filter = levels.join("/");
            if filter.is_empty() { "a".to_owned() } else { filter }
        })
    }

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just("$x"), Just("")], 1..5)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("a name is not empty", |name| !name.is_empty())
    }

    proptest! {
        #[test]
        fn the_common_filter_matches_what_both_match(a in filter(), b in filter(), name in name()) {
            let common = common(&a, &b);
            let is_matched = common.is_some_and(|common| matches(&common, &name));
            prop_assert_eq!(is_matched, matches(&a, &name) && matches(&b, &name), "{} {} {}", a, b, name);
        }
    }
}
