//! The table that plugins keep in a database, `(username, topic, rw)`, as CSV: what each number means depends on the plugin.
//!
//! | number | auth-plug | go-auth | mosquitto |
//! |---|---|---|---|
//! | 0 | | | deny |
//! | 1 | read | read | read |
//! | 2 | read and write | write | write |
//! | 3 | | read, write and subscribe | read and write |
//! | 4 | | subscribe | subscribe |
//!
//! The numbers mean what the query that the plugin's documentation shows makes of them. auth-plug compares (`rw >= 1` to read, `rw >= 2` to
//! write), so that 2 is both. go-auth asks for the number or 3: for 4 when a SUBSCRIBE comes and for 1 at each delivery, so that only
//! what both grant is readable. mosquitto's own are bits, which may be added, and its own check grants every SUBSCRIBE.

use std::collections::BTreeMap;

use crate::fault::Fault;

use super::draft::{self, Bound, Draft, Row, Rule};
use super::{Imported, Note, number};

const MARKS: [(&str, Bound); 2] = [("%u", Bound::Username), ("%c", Bound::ClientId)];

/// Whose numbers a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// mosquitto-auth-plug: 1 read, 2 read and write
    AuthPlug,
    /// mosquitto-go-auth: 1 read (with 4 only), 2 write, 3 read, write and subscribe, 4 subscribe
    GoAuth,
    /// mosquitto's own: an acl_file; in a .csv file 0 deny, 1 read, 2 write, 3 read and write, 4 (subscribe) granted always
    Mosquitto,
}

/// Translates the rows of a table.
///
/// # Errors
/// Every row that is none, with line and column.
pub fn import(text: &str, origin: &str, dialect: Dialect) -> Result<Imported, Vec<Fault>> {
    let (rows, faults) = read(text, origin, dialect);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut importer = Importer { origin, notes: Vec::new() };
    let rows = importer.expressible(rows);
    let mut draft = Draft {
        source: format!("{origin}, a table of (username, topic, rw) with the numbers of {}", dialect.name()),
        remarks: vec![
            "Deliveries are checked one by one there. With `partial: filter` a SUBSCRIBE is refused only where nothing of it may be read."
                .to_owned(),
        ],
        is_partial_filter: true,
        ..Draft::default()
    };
    match dialect {
        Dialect::AuthPlug => {
            draft.rows = rows
                .into_iter()
                .map(|(row, topic)| Row { username: row.username, topic, can_write: row.rw == 2, line: row.line })
                .collect();
        }
        Dialect::GoAuth | Dialect::Mosquitto => {
            for (username, rows) in by_username(rows) {
                let rules = importer.rules(&rows, dialect);
                let role = draft.role(&username, rules);
                draft.give(&username, role);
            }
        }
    }
    Ok(draft.finish(origin, importer.notes))
}

impl Dialect {
    fn name(self) -> &'static str {
        match self {
            Self::AuthPlug => "mosquitto-auth-plug",
            Self::GoAuth => "mosquitto-go-auth",
            Self::Mosquitto => "mosquitto",
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::AuthPlug => "1 read, 2 read and write",
            Self::GoAuth => "1 read, 2 write, 3 read, write and subscribe, 4 subscribe",
            Self::Mosquitto => "0 deny, 1 read, 2 write, 3 read and write, 4 subscribe, or a sum of them up to 7",
        }
    }

    fn has(self, rw: u8) -> bool {
        match self {
            Self::AuthPlug => matches!(rw, 1 | 2),
            Self::GoAuth => matches!(rw, 1..=4),
            Self::Mosquitto => rw <= 7,
        }
    }
}

/// One row as written.
#[derive(Debug)]
struct Written {
    line: u32,
    username: String,
    topic: String,
    rw: u8,
}

const READ: u8 = 1;
const WRITE: u8 = 2;
const SUBSCRIBE: u8 = 4;

fn read(text: &str, origin: &str, dialect: Dialect) -> (Vec<Written>, Vec<Fault>) {
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    for (index, record) in records(text).into_iter().enumerate() {
        let fault = |place: (u32, u32), key: &str, found: String, allowed: &str| {
            Fault::new(origin, key, found, allowed).at(place.0, place.1)
        };
        if let Some(cell) = record.iter().find(|cell| cell.is_broken) {
            faults.push(fault(
                cell.place,
                "",
                "a quote out of place".to_owned(),
                "\"…\" around a whole cell, \"\" for a quote within",
            ));
            continue;
        }
        let [username, topic, rw] = record.as_slice() else {
            let place = record.first().map_or((1, 1), |cell| cell.place);
            faults.push(fault(place, "", format!("found {} cells", record.len()), "three: username,topic,rw"));
            continue;
        };
        let is_heading = |cell: &Cell, name: &str| cell.text.trim().eq_ignore_ascii_case(name);
        if index == 0 && is_heading(username, "username") && is_heading(topic, "topic") && is_heading(rw, "rw") {
            continue;
        }
        if username.text.is_empty() {
            faults.push(fault(username.place, "username", "is empty".to_owned(), "a username"));
        }
        if let Err(error) = crate::mqtt::TopicFilter::check(&topic.text) {
            faults.push(fault(topic.place, "topic", format!("{:?} {error}", topic.text), "a Topic Filter"));
        }
        match rw.text.trim().parse::<u8>() {
            Ok(number) if dialect.has(number) => rows.push(Written {
                line: username.place.0,
                username: username.text.clone(),
                topic: topic.text.clone(),
                rw: number,
            }),
            _ => faults.push(fault(rw.place, "rw", format!("found {:?}", rw.text), dialect.allowed())),
        }
    }
    (rows, faults)
}

/// One cell and where it begins, line and column.
#[derive(Debug)]
struct Cell {
    place: (u32, u32),
    text: String,
    /// Whether its quotes are not those of RFC 4180.
    is_broken: bool,
}

/// Takes a text apart as RFC 4180 says; empty lines are skipped.
fn records(text: &str) -> Vec<Vec<Cell>> {
    let mut records = Vec::new();
    let mut record: Vec<Cell> = Vec::new();
    let (mut line, mut column) = (1, 1);
    let mut characters = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    while characters.peek().is_some() {
        let mut cell = Cell { place: (number(line), number(column)), text: String::new(), is_broken: false };
        let is_quoted = characters.next_if_eq(&'"').is_some();
        let mut is_open = is_quoted;
        column += usize::from(is_quoted);
        let end = loop {
            let Some(character) = characters.next() else { break None };
            column += 1;
            match character {
                '"' if is_open && characters.next_if_eq(&'"').is_some() => {
                    column += 1;
                    cell.text.push('"');
                }
                '"' if is_open => is_open = false,
                '\n' if is_open => {
                    (line, column) = (line + 1, 1);
                    cell.text.push('\n');
                }
                ',' | '\n' if !is_open => break Some(character),
                '\r' if !is_open && characters.peek() == Some(&'\n') => {}
                other => {
                    cell.is_broken |= other == '"' || (is_quoted && !is_open);
                    cell.text.push(other);
                }
            }
        };
        cell.is_broken |= is_open;
        let is_blank = record.is_empty() && !is_quoted && cell.text.trim().is_empty() && end != Some(',');
        if !is_blank {
            record.push(cell);
        }
        if end == Some('\n') {
            (line, column) = (line + 1, 1);
        }
        if end == Some(',') && characters.peek().is_none() {
            record.push(Cell { place: (number(line), number(column)), text: String::new(), is_broken: false });
        }
        if (end != Some(',') || characters.peek().is_none()) && !record.is_empty() {
            records.push(std::mem::take(&mut record));
        }
    }
    records
}

/// The rows of each username, in the order in which they come first.
fn by_username(rows: Vec<(Written, String)>) -> Vec<(String, Vec<(Written, String)>)> {
    let mut groups: Vec<(String, Vec<(Written, String)>)> = Vec::new();
    let mut group_by_username: BTreeMap<String, usize> = BTreeMap::new();
    for (row, topic) in rows {
        let group = *group_by_username.entry(row.username.clone()).or_insert_with(|| {
            groups.push((row.username.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push((row, topic));
    }
    groups
}

struct Importer<'a> {
    origin: &'a str,
    notes: Vec<Note>,
}

impl Importer<'_> {
    fn note(&mut self, row: &Written, why: impl Into<String>, instead: impl Into<String>) {
        self.notes.push(Note {
            origin: self.origin.to_owned(),
            line: Some(row.line),
            what: format!("row {:?} {:?} {}", row.username, row.topic, row.rw),
            why: why.into(),
            instead: instead.into(),
        });
    }

    /// The rows that can be said here, each with its topic in our spelling.
    fn expressible(&mut self, rows: Vec<Written>) -> Vec<(Written, String)> {
        let mut kept = Vec::new();
        for row in rows {
            if !draft::is_ordinary(&row.username) {
                let why = format!("the username {:?} means somebody else here", row.username);
                self.note(&row, why, "left out; rename the user");
                continue;
            }
            match draft::rule_topic(&row.topic, &MARKS) {
                Ok(topic) => kept.push((row, topic)),
                Err(error) if row.rw == 0 => match draft::wider_topic(&row.topic, &MARKS) {
                    Some(wider) => {
                        self.note(&row, error.to_string(), format!("made wider: deny {wider:?}"));
                        kept.push((row, wider));
                    }
                    None => self.note(&row, error.to_string(), "left out, as nothing here grants such a topic either"),
                },
                Err(error) => self.note(&row, error.to_string(), "left out"),
            }
        }
        kept
    }

    /// One user's rows as rules.
    fn rules(&mut self, rows: &[(Written, String)], dialect: Dialect) -> Vec<Rule> {
        let subscribable: Vec<&str> = rows
            .iter()
            .filter(|(row, _)| row.rw == SUBSCRIBE || row.rw == READ | WRITE)
            .map(|(_, topic)| topic.as_str())
            .collect();
        let mut rules = Vec::new();
        for (row, topic) in rows {
            let (reads, writes) = (row.rw & READ != 0, row.rw & WRITE != 0);
            if row.rw == 0 {
                rules.push(Rule::deny(topic.clone(), true, true, row.line));
            } else if dialect == Dialect::Mosquitto {
                if reads || writes {
                    rules.push(Rule::allow(topic.clone(), reads, writes, row.line));
                } else {
                    self.note(row, "mosquitto grants every SUBSCRIBE, and this grants no reading", "left out");
                }
            } else {
                rules.extend(self.go_auth(row, topic, &subscribable, (reads, writes)));
            }
        }
        rules
    }

    /// What a row of go-auth comes to: reading needs a row that lets subscribe, too.
    fn go_auth(
        &mut self,
        row: &Written,
        topic: &str,
        subscribable: &[&str],
        (reads, writes): (bool, bool),
    ) -> Vec<Rule> {
        if !reads && !writes {
            // It lets subscribe to what other rows let read.
            return Vec::new();
        }
        if !reads || subscribable.iter().any(|outer| draft::covers(outer, topic)) {
            return vec![Rule::allow(topic.to_owned(), reads, writes, row.line)];
        }
        let mut rules = Vec::new();
        if writes {
            rules.push(Rule::allow(topic.to_owned(), false, true, row.line));
        }
        let readable: Vec<&str> = subscribable.iter().copied().filter(|inner| draft::covers(topic, inner)).collect();
        let (why, instead) = match readable.is_empty() {
            true => ("no row of this user lets subscribe (3 or 4) to it", "reading left out".to_owned()),
            false => (
                "rows with 4 (subscribe) speak of parts of it",
                format!("reading of {} only", draft::listed(&readable)),
            ),
        };
        self.note(row, why, instead);
        rules.extend(readable.into_iter().map(|inner| Rule::allow(inner.to_owned(), true, false, row.line)));
        rules
    }
}
