//! What is to be told: notes, and which directives were read, so that none is dropped in silence.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Note;
use super::super::draft::listed;
use super::known::{Fate, fate};
use super::tokens::{Directive, Place};

#[derive(Debug, Default)]
pub(super) struct Notebook {
    notes: Vec<Note>,
    /// Names by why they are alike, with the first place of each kind.
    alike: BTreeMap<(&'static str, &'static str), (Place, Vec<String>)>,
    used: BTreeSet<(Place, String)>,
}

impl Notebook {
    pub(super) fn note(&mut self, directive: &Directive, why: impl Into<String>, instead: impl Into<String>) {
        self.note_as(directive, directive.text(), why, instead);
    }

    pub(super) fn note_as(
        &mut self,
        directive: &Directive,
        what: impl Into<String>,
        why: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.used(directive);
        self.notes.push(Note {
            origin: directive.place.origin.to_string(),
            line: Some(directive.place.line),
            what: what.into(),
            why: why.into(),
            instead: instead.into(),
        });
    }

    /// About the whole.
    pub(super) fn remark(&mut self, origin: &str, what: &str, why: &str, instead: &str) {
        let (what, why, instead) = (what.to_owned(), why.to_owned(), instead.to_owned());
        self.notes.push(Note { origin: origin.to_owned(), line: None, what, why, instead });
    }

    /// Its effect is printed, or told.
    pub(super) fn used(&mut self, directive: &Directive) {
        self.used.insert((directive.place.clone(), directive.name.clone()));
    }

    pub(super) fn is_used(&self, directive: &Directive) -> bool {
        self.used.contains(&(directive.place.clone(), directive.name.clone()))
    }

    /// Lists what nobody has read, at the end.
    pub(super) fn list_rest(&mut self, directives: &[Directive]) {
        for directive in directives {
            let name = directive.name.as_str();
            match fate(name) {
                _ if self.is_used(directive) => {}
                Fate::Translated => match name {
                    "http" | "events" => {}
                    "if" | "map" | "upstream" | "stream" | "server" => {
                        self.note_as(
                            directive,
                            head(directive),
                            "has no equal, or concerns nothing that is printed",
                            "left out",
                        );
                    }
                    _ => self.note(directive, "concerns nothing that is printed", "left out"),
                },
                Fate::Alike { why, instead } => {
                    let entry =
                        self.alike.entry((why, instead)).or_insert_with(|| (directive.place.clone(), Vec::new()));
                    entry.1.push(name.to_owned());
                }
                Fate::NoEqual { why, instead } => self.note(directive, why, instead),
                Fate::Closes(why) => self.note(directive, why, "what it is for is closed"),
            }
            if matches!(name, "http" | "events" | "server" | "location" | "limit_except")
                || name == "if" && self.is_open(directive)
            {
                self.list_rest(directive.block());
            }
        }
    }

    /// Whether the parts of a conditional block were read one by one.
    fn is_open(&self, directive: &Directive) -> bool {
        directive.block().iter().any(|part| self.is_used(part))
    }

    pub(super) fn into_notes(mut self) -> Vec<Note> {
        for ((why, instead), (place, names)) in self.alike {
            self.notes.push(Note {
                origin: place.origin.to_string(),
                line: Some(place.line),
                what: shortened(names),
                why: why.to_owned(),
                instead: instead.to_owned(),
            });
        }
        let key = |note: &Note| (note.origin.clone(), note.line, note.what.clone(), note.why.clone());
        self.notes.sort_by_key(key);
        self.notes.dedup();
        self.notes
    }
}

/// A directive with a block, without it.
fn head(directive: &Directive) -> String {
    format!("{} {{…}}", directive.text())
}

/// All names that are alike: a reader looks for his own among them.
fn shortened(names: Vec<String>) -> String {
    const NAMES_MAX: usize = 40;
    let distinct: BTreeSet<String> = names.into_iter().collect();
    if distinct.len() > NAMES_MAX { listed(distinct) } else { distinct.into_iter().collect::<Vec<_>>().join(", ") }
}
