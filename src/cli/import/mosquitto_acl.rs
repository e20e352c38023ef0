//! mosquitto's `acl_file`: `user`, `topic` and `pattern` lines.
//!
//! mosquitto asks in this order, and the first that speaks of the topic decides: the client's own `topic deny`, its other `topic` lines,
//! then `pattern deny`, then the other `pattern` lines, which hold for every client. Here a deny beats every allow; so a `pattern deny`
//! that meets somebody's own `topic` is stricter here, and listed. Every SUBSCRIBE is granted there and each delivery is checked, which
//! is `partial: filter`.

use std::collections::BTreeMap;

use crate::auth::principal::ANONYMOUS;
use crate::fault::Fault;

use super::draft::{self, Bound, Draft, EVERY_USER, Rule};
use super::{Imported, Note, number};

/// What mosquitto fills into a `pattern`; in a `topic` they are plain text.
const MARKS: [(&str, Bound); 2] = [("%u", Bound::Username), ("%c", Bound::ClientId)];

/// Translates the text of an `acl_file`.
///
/// # Errors
/// Every line for which mosquitto would refuse the file.
pub fn import(text: &str, origin: &str) -> Result<Imported, Vec<Fault>> {
    let (lines, faults) = read(text, origin);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut importer = Importer { origin, notes: Vec::new() };
    let sections = importer.sections(&lines);
    Ok(importer.draft(sections))
}

/// One line that grants or denies.
#[derive(Debug)]
struct Line<'t> {
    line: u32,
    /// `None` for a pattern.
    whose: Option<Whose<'t>>,
    can_read: bool,
    can_write: bool,
    topic: &'t str,
}

/// Whose own topics a `topic` line is among.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose<'t> {
    Anonymous,
    User(&'t str),
}

impl Line<'_> {
    fn is_deny(&self) -> bool {
        !self.can_read && !self.can_write
    }

    fn what(&self) -> String {
        let kind = if self.whose.is_some() { "topic" } else { "pattern" };
        let access = match (self.can_read, self.can_write) {
            (true, true) => "readwrite",
            (true, false) => "read",
            (false, true) => "write",
            (false, false) => "deny",
        };
        format!("{kind} {access} {:?}", self.topic)
    }
}

fn read<'t>(text: &'t str, origin: &str) -> (Vec<Line<'t>>, Vec<Fault>) {
    let mut lines = Vec::new();
    let mut faults = Vec::new();
    let mut whose = Whose::Anonymous;
    for (index, written) in text.split('\n').enumerate() {
        let line = number(index + 1);
        let trimmed = written.trim_end_matches(|end: char| end.is_ascii_whitespace());
        let content = trimmed.trim_start_matches(' ');
        if written.starts_with('#') || content.is_empty() {
            continue;
        }
        let mut fault = |part: &str, found: String, allowed: &str| {
            let column = number(trimmed[..place(trimmed, part)].chars().count() + 1);
            faults.push(Fault::new(origin, "", found, allowed).at(line, column));
        };
        let (keyword, rest) = content.split_once(' ').unwrap_or((content, &content[content.len()..]));
        let rest = rest.trim_start_matches(' ');
        match keyword {
            "user" if rest.is_empty() => fault(rest, "no name".to_owned(), "user NAME"),
            "user" => whose = Whose::User(rest),
            "topic" | "pattern" => {
                let whose = (keyword == "topic").then_some(whose);
                match read_access(rest) {
                    Ok((can_read, can_write, topic)) => lines.push(Line { line, whose, can_read, can_write, topic }),
                    Err((part, found, allowed)) => fault(part, found, allowed),
                }
            }
            _ => {
                fault(keyword, format!("found {keyword:?}"), "user, topic or pattern, then a space; or # for a comment")
            }
        }
    }
    (lines, faults)
}

/// Where `part` begins in `whole`, of which it is a part.
fn place(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len())
}

type Unread<'t> = (&'t str, String, &'static str);

/// Reads `[ACCESS] TOPIC`; without a second word the first is the topic, even if it is `deny`.
fn read_access(rest: &str) -> Result<(bool, bool, &str), Unread<'_>> {
    let (can_read, can_write, topic) = match rest.split_once(' ') {
        None => (true, true, rest),
        Some((access, topic)) => {
            let topic = topic.trim_start_matches(' ');
            match access {
                "read" => (true, false, topic),
                "write" => (false, true, topic),
                "readwrite" => (true, true, topic),
                "deny" => (false, false, topic),
                _ => {
                    return Err((access, format!("found {access:?}"), "read, write, readwrite or deny before a topic"));
                }
            }
        }
    };
    if topic.is_empty() {
        return Err((topic, "no topic".to_owned(), "topic or pattern, perhaps an access, and a Topic Filter"));
    }
    let is_wildcard_alone = |level: &str| level.len() == 1 || !level.contains(['+', '#']);
    let is_rest_last = topic.find('#').is_none_or(|at| at + 1 == topic.len());
    if !topic.split('/').all(is_wildcard_alone) || !is_rest_last || topic.contains('\0') {
        return Err((topic, format!("found {topic:?}"), "a Topic Filter: + and # alone in their level, # last"));
    }
    Ok((can_read, can_write, topic))
}

/// The rules of each client's own topics, and those of patterns.
#[derive(Debug, Default)]
struct Sections<'t> {
    own: BTreeMap<Whose<'t>, Vec<Rule>>,
    /// In the order of the file.
    order: Vec<Whose<'t>>,
    patterns: Vec<Rule>,
}

struct Importer<'a> {
    origin: &'a str,
    notes: Vec<Note>,
}

impl Importer<'_> {
    fn note(&mut self, line: &Line<'_>, why: impl Into<String>, instead: impl Into<String>) {
        self.notes.push(Note {
            origin: self.origin.to_owned(),
            line: Some(line.line),
            what: line.what(),
            why: why.into(),
            instead: instead.into(),
        });
    }

    fn sections<'t>(&mut self, lines: &[Line<'t>]) -> Sections<'t> {
        let mut sections = Sections::default();
        for line in lines {
            if let Some(Whose::User(name)) = line.whose.filter(|whose| !is_expressible(*whose)) {
                let why = format!("of a user called {name:?}, which means somebody else here");
                self.note(line, why, "left out; rename the user");
                continue;
            }
            if matches!(line.topic, "read" | "write" | "readwrite" | "deny") {
                let why = "mosquitto takes the word for the topic itself, and grants reading and writing it";
                self.note(line, why, "the same here; is a topic missing?");
            }
            let Some(rule) = self.rule(line) else { continue };
            match line.whose {
                None => sections.patterns.push(rule),
                Some(whose) => {
                    if !sections.own.contains_key(&whose) {
                        sections.order.push(whose);
                    }
                    sections.own.entry(whose).or_default().push(rule);
                }
            }
        }
        self.note_stricter(lines, &sections);
        sections
    }

    fn rule(&mut self, line: &Line<'_>) -> Option<Rule> {
        let marks: &[_] = if line.whose.is_none() { &MARKS } else { &[] };
        match (draft::rule_topic(line.topic, marks), line.is_deny()) {
            (Ok(topic), true) => Some(Rule::deny(topic, true, true, line.line)),
            (Ok(topic), false) => Some(Rule::allow(topic, line.can_read, line.can_write, line.line)),
            (Err(error), false) => {
                self.note(line, error.to_string(), "left out");
                None
            }
            (Err(error), true) => {
                let Some(wider) = draft::wider_topic(line.topic, marks) else {
                    self.note(line, error.to_string(), "left out, as nothing here grants such a topic either");
                    return None;
                };
                self.note(line, error.to_string(), format!("made wider: deny {wider:?}"));
                Some(Rule { remark: Some("wider than there".to_owned()), ..Rule::deny(wider, true, true, line.line) })
            }
        }
    }

    /// Lists each `pattern deny` that meets topics which somebody has of their own: there those win.
    fn note_stricter(&mut self, lines: &[Line<'_>], sections: &Sections<'_>) {
        for deny in sections.patterns.iter().filter(|rule| rule.is_deny) {
            let own = sections.own.values().flatten().filter(|rule| !rule.is_deny);
            let beaten: Vec<u32> =
                own.filter(|rule| draft::may_meet(&rule.topic, &deny.topic)).map(|r| r.line).collect();
            let Some(line) = lines.iter().find(|line| line.line == deny.line && !beaten.is_empty()) else { continue };
            let why = format!(
                "there the topics of line {} go before it, here a deny beats every allow",
                draft::listed(beaten)
            );
            self.note(line, why, "stricter here");
        }
    }

    fn draft(self, sections: Sections<'_>) -> Imported {
        let mut draft = Draft {
            source: format!("{}, an acl_file of mosquitto", self.origin),
            remarks: vec!["mosquitto grants every SUBSCRIBE and checks each delivery. With `partial: filter` a SUBSCRIBE is refused only".to_owned(),
                          "where nothing of it may be read.".to_owned()],
            is_partial_filter: true,
            ..Draft::default()
        };
        for whose in &sections.order {
            let name = match whose {
                Whose::Anonymous => ANONYMOUS,
                Whose::User(name) => name,
            };
            let role = draft.role(name, sections.own[whose].clone());
            draft.give(name, role);
        }
        // Who has no username has nothing that %u could stand for: mosquitto skips those patterns.
        let (of_users, of_all): (Vec<Rule>, Vec<Rule>) =
            sections.patterns.into_iter().partition(|rule| rule.topic.contains("${username}"));
        if !of_all.is_empty() {
            let role = draft.role("everybody", of_all);
            draft.give(EVERY_USER, role);
            draft.give(ANONYMOUS, role);
        }
        if !of_users.is_empty() {
            let role = draft.role("every_user", of_users);
            draft.give(EVERY_USER, role);
        }
        draft.finish(self.origin, self.notes)
    }
}

fn is_expressible(whose: Whose<'_>) -> bool {
    match whose {
        Whose::Anonymous => true,
        Whose::User(name) => draft::is_ordinary(name),
    }
}
