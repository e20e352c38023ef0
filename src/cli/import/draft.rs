//! A policy while it is made: what another broker's rules come to, and how that is printed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::auth::principal::ANONYMOUS;
use crate::mqtt::TopicFilter;
use crate::mqtt::topic::{self, LEVELS_MAX, TopicError};

use super::yaml::{comment, is_simple_key, quoted, word};
use super::{Imported, Note};

/// The name under `users` of every authenticated identity.
pub(super) const EVERY_USER: &str = "*";

/// A policy in the making. Roles and users are printed in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// What was imported: `aclfile, an acl_file of mosquitto`.
    pub(super) source: String,
    /// The file, for notes.
    pub(super) origin: String,
    /// Lines about the whole, for the top of the file.
    pub(super) remarks: Vec<String>,
    /// `partial: filter`: SUBSCRIBE is granted where a part of it may be read, and each delivery is checked.
    pub(super) is_partial_filter: bool,
    pub(super) roles: Vec<Role>,
    pub(super) users: Vec<(String, Vec<usize>)>,
    pub(super) rows: Vec<Row>,
}

/// A set of rules with a name.
#[derive(Debug)]
pub(super) struct Role {
    name: String,
    rules: Vec<Rule>,
}

/// One rule, its topic in our own spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) topic: String,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
    pub(super) is_deny: bool,
    /// `None` for any.
    pub(super) max_qos: Option<u8>,
    /// Whether retained messages may be published, too.
    pub(super) retain: bool,
    /// Where it comes from.
    pub(super) line: u32,
    /// What a reader of the printed rule should know.
    pub(super) remark: Option<String>,
}

/// A row of `acl`.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) username: String,
    pub(super) topic: String,
    pub(super) can_write: bool,
    pub(super) line: u32,
}

impl Rule {
    pub(super) fn allow(topic: String, can_read: bool, can_write: bool, line: u32) -> Self {
        Self { topic, can_read, can_write, is_deny: false, max_qos: None, retain: true, line, remark: None }
    }

    pub(super) fn deny(topic: String, can_read: bool, can_write: bool, line: u32) -> Self {
        Self { is_deny: true, ..Self::allow(topic, can_read, can_write, line) }
    }

    fn mode(&self) -> &'static str {
        match (self.can_read, self.can_write) {
            (true, false) => "r",
            (false, true) => "w",
            _ => "rw",
        }
    }
}

impl Draft {
    /// Adds a role, under another name if there is one of this name.
    pub(super) fn role(&mut self, name: &str, rules: Vec<Rule>) -> usize {
        let is_taken = |name: &str| self.roles.iter().any(|role| role.name == name);
        let mut unique = name.to_owned();
        let mut number = 2;
        while is_taken(&unique) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        self.roles.push(Role { name: unique, rules });
        self.roles.len() - 1
    }

    /// Gives a role to a user, to [`EVERY_USER`] or to [`ANONYMOUS`].
    pub(super) fn give(&mut self, username: &str, role: usize) {
        match self.users.iter_mut().find(|(name, _)| name == username) {
            Some((_, roles)) if roles.contains(&role) => {}
            Some((_, roles)) => roles.push(role),
            None => self.users.push((username.to_owned(), vec![role])),
        }
    }

    /// Prints it.
    pub(super) fn finish(mut self, origin: &str, mut notes: Vec<Note>) -> Imported {
        self.origin = origin.to_owned();
        notes.extend(self.withdraw_system_topics());
        notes.sort_by_key(|note| note.line);
        self.split_by_retain();
        let mut out = heading(&self.source, &self.remarks, &notes);
        out.push_str("version: 1\n");
        if self.is_partial_filter {
            out.push_str("partial: filter\n");
        }
        self.print_roles(&mut out);
        self.print_users(&mut out);
        if !self.rows.is_empty() {
            out.push_str("acl:\n");
            for Row { username, topic, can_write, line } in &self.rows {
                let rw = if *can_write { 2 } else { 1 };
                writeln!(out, "  - [{}, {}, {rw}]  # line {line}", word(username), quoted(topic)).expect("a String");
            }
        }
        Imported { yaml: out, notes }
    }

    /// Takes back what lets clients publish under $SYS, where the server alone does. A deny says there what holds anyway.
    fn withdraw_system_topics(&mut self) -> Vec<Note> {
        let is_system = |topic: &str| topic == "$SYS" || topic.starts_with("$SYS/");
        let mut withdrawn = Vec::new();
        for rule in self.roles.iter_mut().flat_map(|role| &mut role.rules).filter(|rule| is_system(&rule.topic)) {
            if rule.can_write && !rule.is_deny {
                withdrawn.push((rule.line, rule.topic.clone()));
            }
            rule.can_write = false;
        }
        for row in self.rows.iter_mut().filter(|row| row.can_write && is_system(&row.topic)) {
            withdrawn.push((row.line, row.topic.clone()));
            row.can_write = false;
        }
        for role in &mut self.roles {
            role.rules.retain(|rule| rule.can_read || rule.can_write);
        }
        let note = |(line, topic)| Note {
            origin: self.origin.clone(),
            line: Some(line),
            what: format!("{topic:?}"),
            why: "the server alone publishes under $SYS".to_owned(),
            instead: "publishing left out".to_owned(),
        };
        withdrawn.into_iter().map(note).collect()
    }

    /// `retain: false` is a limit of a role, so that rules under it need one of their own.
    fn split_by_retain(&mut self) {
        for index in 0..self.roles.len() {
            let (kept, moved): (Vec<Rule>, Vec<Rule>) =
                self.roles[index].rules.drain(..).partition(|rule| rule.retain || rule.is_deny || !rule.can_write);
            if moved.is_empty() || kept.is_empty() {
                self.roles[index].rules = if kept.is_empty() { moved } else { kept };
                continue;
            }
            self.roles[index].rules = kept;
            let name = format!("{}_not_retained", self.roles[index].name);
            let added = self.role(&name, moved);
            for (_, roles) in self.users.iter_mut().filter(|(_, roles)| roles.contains(&index)) {
                roles.push(added);
            }
        }
    }

    fn print_roles(&self, out: &mut String) {
        if self.roles.is_empty() {
            return;
        }
        out.push_str("roles:\n");
        for role in &self.roles {
            out.push_str(&entry(&role.name, if role.rules.is_empty() { "[]" } else { "" }));
            for rule in &role.rules {
                let verb = if rule.is_deny { "deny" } else { "rw" };
                write!(out, "    - {{ topic: {}, {verb}: {}", quoted(&rule.topic), rule.mode()).expect("a String");
                if let Some(max_qos) = rule.max_qos.filter(|_| !rule.is_deny) {
                    write!(out, ", max_qos: {max_qos}").expect("a String");
                }
                let remark = rule.remark.as_ref().map(|remark| format!(": {}", comment(remark))).unwrap_or_default();
                writeln!(out, " }}  # line {}{remark}", rule.line).expect("a String");
            }
        }
        let is_limited = |role: &&Role| role.rules.iter().any(|rule| !rule.retain && rule.can_write && !rule.is_deny);
        if self.roles.iter().any(|role| is_limited(&role)) {
            out.push_str("limits:\n");
            for role in self.roles.iter().filter(is_limited) {
                out.push_str(&entry(&role.name, "{ retain: false }"));
            }
        }
    }

    fn print_users(&self, out: &mut String) {
        if self.users.is_empty() {
            return;
        }
        out.push_str("users:\n");
        for (username, roles) in &self.users {
            let roles: Vec<String> = roles.iter().map(|role| word(&self.roles[*role].name)).collect();
            out.push_str(&entry(username, &format!("[{}]", roles.join(", "))));
        }
    }
}

/// A key of two spaces' depth and its value on the same line.
fn entry(key: &str, value: &str) -> String {
    let key = word(key);
    let colon = if value.is_empty() { ":".to_owned() } else { format!(": {value}") };
    if is_simple_key(&key) { format!("  {key}{colon}\n") } else { format!("  ? {key}\n  {colon}\n") }
}

/// The comment at the top: what was imported, and what has no equal.
pub(super) fn heading(source: &str, remarks: &[String], notes: &[Note]) -> String {
    let mut out = format!("# From {}, by `tidegate import`.\n", comment(source));
    for remark in remarks {
        writeln!(out, "# {}", comment(remark)).expect("a String");
    }
    if !notes.is_empty() {
        out.push_str("#\n# What has no equal, or not quite:\n");
        for note in notes {
            writeln!(out, "#   {}", comment(&note.to_string())).expect("a String");
        }
    }
    out.push('\n');
    out
}

/// Why a foreign topic cannot stand in a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Inexpressible {
    #[error("the topic {0}")]
    Topic(#[from] TopicError),
    #[error("{0} in a topic always stands for a part of the identity here")]
    Placeholder(&'static str),
    #[error("two placeholders in one level could be filled in more than one way")]
    TwoInALevel,
    #[error("a Shared Subscription is judged as its filter here")]
    Share,
}

/// Something of an identity in a foreign topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Username,
    ClientId,
}

/// A foreign topic as a rule's topic; `marks` are the foreign placeholders.
pub(super) fn rule_topic(foreign: &str, marks: &[(&str, Bound)]) -> Result<String, Inexpressible> {
    TopicFilter::check(foreign)?;
    if foreign.starts_with("$share/") {
        return Err(Inexpressible::Share);
    }
    let levels: Vec<String> = foreign.split('/').map(|level| rule_level(level, marks)).collect::<Result<_, _>>()?;
    Ok(levels.join("/"))
}

fn rule_level(level: &str, marks: &[(&str, Bound)]) -> Result<String, Inexpressible> {
    let mut out = String::new();
    let mut rest = level;
    let mut count = 0;
    while let Some((start, mark, bound)) = first_mark(rest, marks) {
        check_literal(&rest[..start])?;
        out.push_str(&rest[..start]);
        out.push_str(match bound {
            Bound::Username => "${username}",
            Bound::ClientId => "${clientid}",
        });
        rest = &rest[start + mark.len()..];
        count += 1;
    }
    check_literal(rest)?;
    if count > 1 {
        return Err(Inexpressible::TwoInALevel);
    }
    Ok(out + rest)
}

fn first_mark<'m>(text: &str, marks: &[(&'m str, Bound)]) -> Option<(usize, &'m str, Bound)> {
    let found = marks.iter().filter_map(|(mark, bound)| Some((text.find(mark)?, *mark, *bound)));
    found.min_by_key(|(start, ..)| *start)
}

fn check_literal(text: &str) -> Result<(), Inexpressible> {
    let found = ["%u", "%c", "${"].into_iter().find(|mark| text.contains(mark));
    found.map_or(Ok(()), |mark| Err(Inexpressible::Placeholder(mark)))
}

/// The narrowest rule's topic that matches all that a foreign topic does; `None` if no rule could grant any of it anyway.
pub(super) fn wider_topic(foreign: &str, marks: &[(&str, Bound)]) -> Option<String> {
    // A topic of more levels than a Topic Name may have here is denied with all that is under it.
    let shallow: Vec<&str> = foreign.split('/').take(LEVELS_MAX - 1).collect();
    let is_cut = shallow.len() < foreign.split('/').count();
    let mut levels: Vec<String> =
        shallow.iter().map(|level| rule_level(level, marks).unwrap_or_else(|_| "+".to_owned())).collect();
    if is_cut && levels.last().is_none_or(|last| last != "#") {
        levels.push("#".to_owned());
    }
    let wider = levels.join("/");
    // A leading wildcard matches no name that begins with $; but then the first level cannot be written here at all.
    (TopicFilter::check(&wider).is_ok() && !wider.starts_with("$share/")).then_some(wider)
}

/// Whether two rules' topics may match the same name, for some identity.
pub(super) fn may_meet(a: &str, b: &str) -> bool {
    // `$x-${username}`: hidden from a leading wildcard, which is what stands for the placeholder below.
    let is_hidden_bound =
        |topic: &str| topic.starts_with('$') && topic[1..].split('/').any(|level| level.contains("${"));
    is_hidden_bound(a) || is_hidden_bound(b) || topic::intersects(&any_identity(a), &any_identity(b))
}

/// The topic with a `+` for each level that an identity fills.
fn any_identity(rule_topic: &str) -> String {
    let levels = rule_topic.split('/').map(|level| if level.contains("${") { "+" } else { level });
    levels.collect::<Vec<_>>().join("/")
}

/// Whether `outer` matches all that `inner` does, for every identity.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    // A placeholder covers itself only, and is covered by a wildcard: as any literal text that begins with no $.
    topic::covers(&outer.replace("${", "\0{"), &inner.replace("${", "\0{"))
}

/// Whether a policy can speak of a user of this name.
pub(super) fn is_ordinary(username: &str) -> bool {
    !username.is_empty() && username != EVERY_USER && username != ANONYMOUS
}

/// Names in a sentence: `a, b and 3 more`.
pub(super) fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    const LISTED_MAX: usize = 4;
    let mut items: Vec<String> =
        items.into_iter().map(|item| item.to_string()).collect::<BTreeSet<_>>().into_iter().collect();
    let more = items.len().saturating_sub(LISTED_MAX);
    items.truncate(LISTED_MAX);
    let listed = items.join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}
