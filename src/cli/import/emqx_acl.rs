//! EMQX's `acl.conf`: Erlang terms, of which the first that matches decides.
//!
//! Here the order of rules does not matter and a deny beats every allow, so each rule is looked at with those around it:
//! a rule that an earlier one covers never decides and is left out; a deny that no later allow meets only says what holds anyway, and is
//! left out; a deny that a later allow meets is printed, and is stricter than there for what an earlier allow had granted before it.
//!
//! There are no rules by address or client identifier here, and no regular expressions: such an allow is left out, such a deny holds for
//! everybody whom it may have meant.

mod terms;

use std::rc::Rc;

use crate::auth::principal::ANONYMOUS;
use crate::fault::Fault;

use super::draft::{self, Bound, Draft, EVERY_USER, Rule};
use super::{Imported, Note};
use terms::{Term, Value};

/// The `%u` and `%c` are those of EMQX 4.
const MARKS: [(&str, Bound); 4] = [
    ("${username}", Bound::Username),
    ("${clientid}", Bound::ClientId),
    ("%u", Bound::Username),
    ("%c", Bound::ClientId),
];

/// Translates the text of an `acl.conf`.
///
/// # Errors
/// Where the text is no list of Erlang terms, and every term that is no rule.
pub fn import(text: &str, origin: &str) -> Result<Imported, Vec<Fault>> {
    let terms = terms::read(text, origin).map_err(|fault| vec![fault])?;
    let mut importer = Importer { origin, notes: Vec::new(), faults: Vec::new() };
    let mut pieces = Vec::new();
    let mut has_end = false;
    for term in &terms {
        if let Some(written) = importer.rule(term) {
            has_end |= written.who == Who::All && written.topics.iter().any(|(topic, _)| topic == "#");
            importer.pieces(&written, &mut pieces);
        }
    }
    if !importer.faults.is_empty() {
        return Err(importer.faults);
    }
    if !has_end {
        importer.notes.push(Note {
            origin: origin.to_owned(),
            line: None,
            what: "the end".to_owned(),
            why: "what no rule matches is decided by authorization.no_match there, which allows it unless set"
                .to_owned(),
            instead: "denied".to_owned(),
        });
    }
    let kept = importer.decisive(pieces);
    Ok(importer.draft(kept))
}

/// A rule as written.
struct Written {
    line: u32,
    text: Rc<str>,
    is_deny: bool,
    who: Who,
    can_read: bool,
    can_write: bool,
    /// The QoS levels it is limited to.
    qos: Option<Vec<i64>>,
    retain: Option<bool>,
    /// Each with whether it is `{eq, …}`.
    topics: Vec<(String, bool)>,
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    All,
    Users(Vec<String>),
    /// Those of them who also meet a condition that there is none of here.
    Some(Box<Who>),
}

/// One topic of a rule for one operation.
#[derive(Clone, Debug)]
struct Piece {
    line: u32,
    text: Rc<str>,
    is_deny: bool,
    /// `None` for everybody.
    users: Option<Vec<String>>,
    is_read: bool,
    topic: String,
    max_qos: Option<u8>,
    retain: bool,
    /// Whether it denies more than it did there.
    is_wider: bool,
}

struct Importer<'a> {
    origin: &'a str,
    notes: Vec<Note>,
    faults: Vec<Fault>,
}

impl Importer<'_> {
    fn fault(&mut self, term: &Term, found: impl Into<String>, allowed: &str) {
        self.faults.push(Fault::new(self.origin, "", found, allowed).at(term.line, term.column));
    }

    fn note(&mut self, line: u32, what: &str, why: impl Into<String>, instead: impl Into<String>) {
        let origin = self.origin.to_owned();
        let note = Note { origin, line: Some(line), what: what.to_owned(), why: why.into(), instead: instead.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn rule(&mut self, term: &Term) -> Option<Written> {
        const SHAPE: &str = "{allow | deny, all} or {allow | deny, WHO, publish | subscribe | all, [TOPIC, …]}";
        let Value::Tuple(parts) = &term.value else {
            self.fault(term, term.describe(), SHAPE);
            return None;
        };
        let is_deny = match parts.first().and_then(Term::atom) {
            Some("allow") => false,
            Some("deny") => true,
            _ => {
                self.fault(parts.first().unwrap_or(term), "neither allow nor deny", SHAPE);
                return None;
            }
        };
        let text: Rc<str> = term.to_string().into();
        let blank = Written {
            line: term.line,
            text,
            is_deny,
            who: Who::All,
            can_read: true,
            can_write: true,
            qos: None,
            retain: None,
            topics: Vec::new(),
        };
        match &parts[1..] {
            [all] if all.atom() == Some("all") => Some(Written { topics: vec![("#".to_owned(), false)], ..blank }),
            [who, action, topics] => {
                let who = self.who(who);
                let action = self.action(action);
                let topics = self.topics(topics);
                let (can_read, can_write, qos, retain) = action?;
                Some(Written { who: who?, can_read, can_write, qos, retain, topics: topics?, ..blank })
            }
            _ => {
                self.fault(term, format!("found {} parts", parts.len()), SHAPE);
                None
            }
        }
    }

    fn who(&mut self, term: &Term) -> Option<Who> {
        const SHAPE: &str =
            "all, {username, U}, {clientid, C}, {ipaddr, A}, {ipaddrs, [A, …]}, {'and', [WHO, …]} or {'or', [WHO, …]}";
        if term.atom() == Some("all") {
            return Some(Who::All);
        }
        let Value::Tuple(parts) = &term.value else {
            self.fault(term, term.describe(), SHAPE);
            return None;
        };
        match (parts.first().and_then(Term::atom), &parts[1.min(parts.len())..]) {
            (Some("user" | "username"), [name]) => match (&name.value, name.text()) {
                (_, Some(name)) => Some(Who::Users(vec![name.to_owned()])),
                (Value::Tuple(re), _) if re.len() == 2 && re[0].atom() == Some("re") => match re[1].text() {
                    Some(expression) => Some(match literal_of(expression) {
                        Some(name) => Who::Users(vec![name.to_owned()]),
                        None => Who::Some(Box::new(Who::All)),
                    }),
                    None => {
                        self.fault(&re[1], re[1].describe(), "a regular expression in double quotes");
                        None
                    }
                },
                _ => {
                    self.fault(name, name.describe(), "a username in double quotes, or {re, \"…\"}");
                    None
                }
            },
            (Some("client" | "clientid" | "ipaddr" | "ipaddrs" | "zone" | "listener"), [_])
            | (Some("client_attr"), [_, _]) => Some(Who::Some(Box::new(Who::All))),
            (Some(kind @ ("and" | "or")), [list]) => {
                let Value::List(items) = &list.value else {
                    self.fault(list, list.describe(), "a list of WHO");
                    return None;
                };
                let all: Vec<Who> = items.iter().map(|item| self.who(item)).collect::<Option<_>>()?;
                Some(if kind == "and" { all_of(all) } else { any_of(all) })
            }
            _ => {
                self.fault(term, term.describe(), SHAPE);
                None
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "reading, writing, QoS levels, retained or not: taken apart at once")]
    fn action(&mut self, term: &Term) -> Option<(bool, bool, Option<Vec<i64>>, Option<bool>)> {
        const SHAPE: &str = "publish, subscribe or all, or {publish, [{qos, [0, 1]}, {retain, false}]}";
        let (name, options) = match &term.value {
            Value::Tuple(parts) => match parts.as_slice() {
                [name, Term { value: Value::List(options), .. }] => (name, options.as_slice()),
                _ => (term, [].as_slice()),
            },
            _ => (term, [].as_slice()),
        };
        let (can_read, can_write) = match name.atom() {
            Some("subscribe") => (true, false),
            Some("publish") => (false, true),
            Some("all" | "pubsub") => (true, true),
            _ => {
                self.fault(term, term.describe(), SHAPE);
                return None;
            }
        };
        let (mut qos, mut retain) = (None, None);
        for option in options {
            let Value::Tuple(pair) = &option.value else {
                self.fault(option, option.describe(), SHAPE);
                return None;
            };
            match (pair.first().and_then(Term::atom), pair.get(1).map(|value| &value.value)) {
                (Some("qos"), Some(Value::Number(level))) => qos.get_or_insert_with(Vec::new).push(*level),
                (Some("qos"), Some(Value::List(levels))) => {
                    let numbers = levels.iter().filter_map(|level| match level.value {
                        Value::Number(level) => Some(level),
                        _ => None,
                    });
                    qos.get_or_insert_with(Vec::new).extend(numbers);
                }
                (Some("retain"), Some(Value::Atom(word))) if word == "true" || word == "false" => {
                    retain = Some(word == "true")
                }
                (Some("retain"), Some(Value::Atom(word))) if word == "all" => retain = None,
                _ => {
                    self.fault(option, option.describe(), SHAPE);
                    return None;
                }
            }
        }
        Some((can_read, can_write, qos, retain))
    }

    fn topics(&mut self, term: &Term) -> Option<Vec<(String, bool)>> {
        const SHAPE: &str = "a list of topics in double quotes, or {eq, TOPIC}";
        let Value::List(items) = &term.value else {
            self.fault(term, term.describe(), SHAPE);
            return None;
        };
        let mut topics = Vec::new();
        for item in items {
            let (topic, is_eq) = match &item.value {
                Value::Tuple(parts) if parts.len() == 2 && parts[0].atom() == Some("eq") => (parts[1].text(), true),
                _ => match item.text() {
                    Some(text) => (Some(text.strip_prefix("eq ").unwrap_or(text)), text.starts_with("eq ")),
                    None => (None, false),
                },
            };
            match topic {
                Some(topic) => topics.push((topic.to_owned(), is_eq)),
                None => self.fault(item, item.describe(), SHAPE),
            }
        }
        Some(topics)
    }

    /// Takes a rule apart into what can be said here.
    fn pieces(&mut self, rule: &Written, pieces: &mut Vec<Piece>) {
        let (users, is_wider_who) = match &rule.who {
            Who::All => (None, false),
            Who::Users(names) => (Some(names.clone()), false),
            Who::Some(of) => match (&**of, rule.is_deny) {
                (_, false) => {
                    let why = "addresses, client identifiers and regular expressions say whom it is about";
                    return self.note(rule.line, &rule.text, why, "left out");
                }
                (Who::Users(names), true) => (Some(names.clone()), true),
                (_, true) => (None, true),
            },
        };
        let users = users.map(|names| self.ordinary(rule, names));
        if is_wider_who {
            let why = "addresses, client identifiers and regular expressions say whom it is about";
            let whom = users.as_ref().map_or_else(|| "everybody".to_owned(), draft::listed);
            self.note(rule.line, &rule.text, why, format!("made wider, where a later rule allows: denied to {whom}"));
        }
        let Some((max_qos, retain)) = self.bounds(rule) else { return };
        for (topic, is_eq) in &rule.topics {
            let Some((topic, is_wider_topic)) = self.topic(rule, topic, *is_eq) else { continue };
            for is_read in [true, false] {
                if if is_read { rule.can_read } else { rule.can_write } {
                    pieces.push(Piece {
                        line: rule.line,
                        text: Rc::clone(&rule.text),
                        is_deny: rule.is_deny,
                        users: users.clone(),
                        is_read,
                        topic: topic.clone(),
                        max_qos,
                        retain,
                        is_wider: is_wider_who || is_wider_topic,
                    });
                }
            }
        }
    }

    fn ordinary(&mut self, rule: &Written, names: Vec<String>) -> Vec<String> {
        let (ordinary, others): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| draft::is_ordinary(name));
        if !others.is_empty() {
            let why = format!(
                "the username {} means somebody else here",
                draft::listed(others.iter().map(|name| format!("{name:?}")))
            );
            self.note(rule.line, &rule.text, why, "left out for that name; rename the user");
        }
        ordinary
    }

    /// The highest QoS, and whether retained messages count, too; `None` if the rule has to be left out.
    fn bounds(&mut self, rule: &Written) -> Option<(Option<u8>, bool)> {
        if rule.is_deny {
            if rule.qos.is_some() || rule.retain.is_some() {
                let why = "a deny holds for every QoS here, retained or not";
                self.note(rule.line, &rule.text, why, "made wider, where a later rule allows");
            }
            return Some((None, true));
        }
        let has = |level: i64| rule.qos.as_ref().is_none_or(|levels| levels.contains(&level));
        let max_qos = match (has(0), has(1), has(2)) {
            (true, true, true) => None,
            (true, true, false) => Some(1),
            (true, false, _) => Some(0),
            (false, ..) => {
                self.note(rule.line, &rule.text, "a grant for a higher QoS is one for the lower, too", "left out");
                return None;
            }
        };
        if has(2) && !has(1) {
            self.note(rule.line, &rule.text, "a grant for a higher QoS is one for the lower, too", "QoS 0 only");
        }
        if rule.retain == Some(true) && rule.can_write {
            self.note(rule.line, &rule.text, "a grant for retained messages is one for others, too", "left out");
            return None;
        }
        Some((max_qos, rule.retain != Some(false)))
    }

    /// A topic in our spelling, and whether it is wider than there; `None` if it has to be left out.
    fn topic(&mut self, rule: &Written, topic: &str, is_eq: bool) -> Option<(String, bool)> {
        let what = format!("{:?} in {}", topic, rule.text);
        if is_eq && topic.contains(['+', '#']) {
            let why =
                "{eq, …} means a SUBSCRIBE to exactly this filter, and here the topics that it matches are judged";
            self.note(
                rule.line,
                &what,
                why,
                "left out; who may read all of these topics may subscribe to them at once",
            );
            return None;
        }
        let marks: &[_] = if is_eq { &[] } else { &MARKS };
        if !is_eq && (topic.contains("%u") || topic.contains("%c")) {
            self.note(rule.line, &what, "%u and %c stand for the identity in EMQX 4 only", "taken so");
        }
        match draft::rule_topic(topic, marks) {
            Ok(topic) => Some((topic, false)),
            Err(error) => {
                let wider = draft::wider_topic(topic, marks).filter(|_| rule.is_deny);
                let instead =
                    wider.as_ref().map_or_else(|| "left out".to_owned(), |wider| format!("made wider: {wider:?}"));
                self.note(rule.line, &what, error.to_string(), instead);
                wider.map(|wider| (wider, true))
            }
        }
    }

    /// Those pieces that decide something, with order no longer meant.
    fn decisive(&mut self, pieces: Vec<Piece>) -> Vec<Piece> {
        let mut reachable: Vec<Piece> = Vec::new();
        for piece in pieces {
            if !reachable.iter().any(|earlier| earlier.covers(&piece)) {
                reachable.push(piece);
            }
        }
        let mut kept = Vec::new();
        for (index, piece) in reachable.iter().enumerate() {
            if !piece.is_deny {
                kept.push(piece.clone());
                continue;
            }
            if !reachable[index + 1..].iter().any(|later| !later.is_deny && later.meets(piece)) {
                continue;
            }
            let beaten: Vec<u32> = reachable[..index]
                .iter()
                .filter(|earlier| !earlier.is_deny && earlier.meets(piece))
                .map(|earlier| earlier.line)
                .collect();
            if !beaten.is_empty() {
                let why =
                    format!("there line {} allows before it, here a deny beats every allow", draft::listed(beaten));
                self.note(piece.line, &piece.text, why, "stricter here");
            }
            kept.push(piece.clone());
        }
        kept
    }

    fn draft(self, pieces: Vec<Piece>) -> Imported {
        let mut draft = Draft {
            source: format!("{}, an acl.conf of EMQX", self.origin),
            remarks: vec![
                "There the first rule that matches decides; here order does not matter, and a deny beats every allow."
                    .to_owned(),
            ],
            is_partial_filter: false,
            ..Draft::default()
        };
        let everybody: Vec<&Piece> = pieces.iter().filter(|piece| piece.users.is_none()).collect();
        // Who has no username has nothing that ${username} could stand for.
        let (of_users, of_all): (Vec<&Piece>, Vec<&Piece>) =
            everybody.into_iter().partition(|piece| piece.topic.contains("${username}"));
        for (name, pieces, is_for_anonymous) in [("everybody", of_all, true), ("every_user", of_users, false)] {
            if !pieces.is_empty() {
                let role = draft.role(name, rules(&pieces));
                draft.give(EVERY_USER, role);
                if is_for_anonymous {
                    draft.give(ANONYMOUS, role);
                }
            }
        }
        let mut names: Vec<&String> = Vec::new();
        for name in pieces.iter().flat_map(|piece| piece.users.iter().flatten()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let own: Vec<&Piece> =
                pieces.iter().filter(|piece| piece.users.as_ref().is_some_and(|users| users.contains(name))).collect();
            let role = draft.role(name, rules(&own));
            draft.give(name, role);
        }
        draft.finish(self.origin, self.notes)
    }
}

impl Piece {
    /// Whether it decides whatever `other` would.
    fn covers(&self, other: &Self) -> bool {
        let is_bounded = !self.is_deny && (self.max_qos.is_some() || !self.retain);
        // A deny that is wider here was not reached by all that it denies here; an allow behind it was.
        let is_sure = !self.is_wider || !other.is_deny;
        let has_all_users = match (&self.users, &other.users) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(all), Some(users)) => users.iter().all(|user| all.contains(user)),
        };
        !is_bounded
            && is_sure
            && self.is_read == other.is_read
            && has_all_users
            && draft::covers(&self.topic, &other.topic)
    }

    fn meets(&self, other: &Self) -> bool {
        let has_common_user = match (&self.users, &other.users) {
            (Some(a), Some(b)) => a.iter().any(|user| b.contains(user)),
            _ => true,
        };
        self.is_read == other.is_read && has_common_user && draft::may_meet(&self.topic, &other.topic)
    }
}

/// Pieces as rules; reading and writing in one where they differ in nothing else.
fn rules(pieces: &[&Piece]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for piece in pieces {
        let rule = Rule {
            topic: piece.topic.clone(),
            can_read: piece.is_read,
            can_write: !piece.is_read,
            is_deny: piece.is_deny,
            max_qos: piece.max_qos,
            retain: piece.retain,
            line: piece.line,
            remark: piece.is_wider.then(|| "wider than there".to_owned()),
        };
        let is_same = |other: &&mut Rule| {
            Rule { can_read: rule.can_read, can_write: rule.can_write, ..(**other).clone() } == rule
        };
        match rules.iter_mut().find(is_same) {
            Some(other) => {
                other.can_read |= rule.can_read;
                other.can_write |= rule.can_write;
            }
            None => rules.push(rule),
        }
    }
    rules
}

/// Whoever meets every condition.
fn all_of(whos: Vec<Who>) -> Who {
    let mut is_some = false;
    let mut users: Option<Vec<String>> = None;
    for who in whos {
        let who = match who {
            Who::Some(of) => {
                is_some = true;
                *of
            }
            who => who,
        };
        if let Who::Users(names) = who {
            users = Some(match users {
                None => names,
                Some(before) => before.into_iter().filter(|name| names.contains(name)).collect(),
            });
        }
    }
    let of = users.map_or(Who::All, Who::Users);
    if is_some { Who::Some(Box::new(of)) } else { of }
}

/// Whoever meets one of the conditions.
fn any_of(whos: Vec<Who>) -> Who {
    let is_some = whos.iter().any(|who| matches!(who, Who::Some(_)));
    let plain = whos.into_iter().map(|who| match who {
        Who::Some(of) => *of,
        who => who,
    });
    let mut users = Vec::new();
    let mut is_all = false;
    for who in plain {
        match who {
            Who::Users(names) => users.extend(names),
            Who::All | Who::Some(_) => is_all = true,
        }
    }
    let of = if is_all { Who::All } else { Who::Users(users) };
    if is_some { Who::Some(Box::new(of)) } else { of }
}

/// The one name that a regular expression matches, if it plainly is one.
fn literal_of(expression: &str) -> Option<&str> {
    let name = expression.strip_prefix('^')?.strip_suffix('$')?;
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | ' ');
    (!name.is_empty() && name.chars().all(is_plain)).then_some(name)
}
