//! Looks for a Topic Name that one grant lets through and other rules do or do not.
//!
//! All rules are followed at once, a level at a time. After a level each rule is out, still level with the name, or past a `#` that takes
//! whatever comes; names that leave all rules in the same places need to be followed only once. At each level only the texts that some
//! rule spells out matter, and one that none does.

use std::collections::{BTreeSet, VecDeque};

use super::Bound;

/// The most sets of places that are looked at.
const STATES_MAX: usize = 20_000;

/// Begins what an identity leaves open, in the place of `${`, with which a topic would count as hidden. No topic holds it.
pub(super) const OPEN: &str = "\0{";

/// Stands for a level that no rule spells out. No topic holds it.
const ANY_OTHER: &str = "\0";

/// What to look for.
pub(super) struct Search<'a, 'p> {
    /// Lets the name through on its own side.
    pub(super) grant: &'a Bound<'p>,
    /// Keep it from being let through on that side.
    pub(super) denies: &'a [&'a Bound<'p>],
    pub(super) other_grants: &'a [&'a Bound<'p>],
    pub(super) other_denies: &'a [&'a Bound<'p>],
    /// Whether a name is looked for that the other side lets through, too; else one that it does not.
    pub(super) is_let_through: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Name(String),
    /// More than [`STATES_MAX`] sets would have to be looked at.
    TooIntricate,
}

/// Where a rule is after some levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Out,
    Level,
    PastRest,
}

impl Search<'_, '_> {
    pub(super) fn run(&self) -> Found {
        let rules: Vec<&Bound<'_>> = std::iter::once(self.grant)
            .chain(self.denies.iter().chain(self.other_grants).chain(self.other_denies).copied())
            .collect();
        let mut seen = BTreeSet::new();
        // Shorter names first: they are what people look at.
        let mut open = VecDeque::from([(Vec::<String>::new(), vec![At::Level; rules.len()])]);
        while let Some((name, places)) = open.pop_front() {
            if self.is_what_is_looked_for(&name, &rules, &places) {
                return Found::Name(shown(&name, &rules));
            }
            let depth = name.len();
            for text in texts(&rules, &places, depth) {
                let next: Vec<At> =
                    rules.iter().zip(&places).map(|(rule, at)| step(&rule.levels, *at, depth, &text)).collect();
                if next[0] == At::Out
                    || !seen.insert((
                        self.depth_that_matters(&rules, depth + 1),
                        next.clone(),
                        text.is_empty() && depth == 0,
                    ))
                {
                    continue;
                }
                if seen.len() > STATES_MAX {
                    return Found::TooIntricate;
                }
                let mut longer = name.clone();
                longer.push(text);
                open.push_back((longer, next));
            }
        }
        Found::Nothing
    }

    /// Beyond the longest rule all depths are alike.
    fn depth_that_matters(&self, rules: &[&Bound<'_>], depth: usize) -> usize {
        let longest = rules.iter().map(|rule| rule.levels.len()).max().unwrap_or_default();
        depth.min(longest + 1)
    }

    fn is_what_is_looked_for(&self, name: &[String], rules: &[&Bound<'_>], places: &[At]) -> bool {
        if name.is_empty() || (name.len() == 1 && name[0].is_empty()) {
            return false;
        }
        let mut ends = rules.iter().zip(places).map(|(rule, at)| is_end(&rule.levels, *at, name.len()));
        let is_granted = ends.next() == Some(true);
        let is_denied = ends.by_ref().take(self.denies.len()).filter(|is_end| *is_end).count() > 0;
        let is_granted_there = ends.by_ref().take(self.other_grants.len()).filter(|is_end| *is_end).count() > 0;
        let is_denied_there = ends.any(|is_end| is_end);
        is_granted && !is_denied && (is_granted_there && !is_denied_there) == self.is_let_through
    }
}

/// A name with texts for what stands for others.
fn shown(name: &[String], rules: &[&Bound<'_>]) -> String {
    let mut other = "any".to_owned();
    while rules.iter().any(|rule| rule.levels.contains(&other)) {
        other.push('_');
    }
    let levels = name.iter().map(|level| if level == ANY_OTHER { other.clone() } else { level.replace(OPEN, "${") });
    levels.collect::<Vec<_>>().join("/")
}

/// The texts that lead on from here in different ways.
fn texts(rules: &[&Bound<'_>], places: &[At], depth: usize) -> Vec<String> {
    let here = |(rule, at): (&&Bound<'_>, &At)| match at {
        At::Level => rule.levels.get(depth).filter(|level| !matches!(level.as_str(), "+" | "#")).cloned(),
        At::Out | At::PastRest => None,
    };
    let is_open = match places[0] {
        At::PastRest => true,
        _ => matches!(rules[0].levels.get(depth).map(String::as_str), Some("+" | "#")),
    };
    if !is_open {
        return rules[0].levels.get(depth).cloned().into_iter().collect();
    }
    let spelled_out: BTreeSet<String> = rules.iter().zip(places).filter_map(here).collect();
    spelled_out.into_iter().chain([ANY_OTHER.to_owned()]).collect()
}

fn step(levels: &[String], at: At, depth: usize, text: &str) -> At {
    match at {
        At::Out => At::Out,
        At::PastRest => At::PastRest,
        At::Level => match levels.get(depth).map(String::as_str) {
            // No leading wildcard matches what begins with $ (MQTT 5.0 §4.7.2); a placeholder never begins a topic with one.
            Some("+" | "#") if depth == 0 && text.starts_with('$') => At::Out,
            Some("#") => At::PastRest,
            Some("+") => At::Level,
            Some(level) if level == text => At::Level,
            _ => At::Out,
        },
    }
}

/// Whether a rule at this place matches a name that ends here.
fn is_end(levels: &[String], at: At, depth: usize) -> bool {
    match at {
        At::Out => false,
        At::PastRest => true,
        // `a/#` matches `a`, too.
        At::Level => levels.len() == depth || levels.get(depth).is_some_and(|level| level == "#"),
    }
}
