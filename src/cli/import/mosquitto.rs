//! mosquitto's configuration file.
//!
//! What would let somebody in whom mosquitto kept out is not printed: a listener that asks for client certificates or pre-shared keys, or
//! that puts its clients under a `mount_point`, is left out with a note. What belongs to keys that this version does not have yet
//! (persistence, bridges) is printed as a comment.

mod keys;
mod printed;

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use crate::fault::Fault;

use super::{Imported, Note, number};

/// One file of a directory: its name and its text.
pub type Named = (String, String);

/// Translates the text of a `mosquitto.conf`; `read_dir` gives the `*.conf` files of an `include_dir`.
///
/// # Errors
/// Every line for which mosquitto would refuse the file.
pub fn import(
    text: &str,
    origin: &str,
    read_dir: &mut dyn FnMut(&str) -> io::Result<Vec<Named>>,
) -> Result<Imported, Vec<Fault>> {
    let mut reader = Reader { read_dir, found: Found::default(), faults: Vec::new() };
    reader.file(text, &Rc::from(origin), false);
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    Ok(printed::print(reader.found, origin))
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    origin: Rc<str>,
    line: u32,
}

/// A value, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed<T> {
    place: Place,
    value: T,
}

/// What the files say, as far as it is known.
#[derive(Debug, Default)]
struct Found {
    /// The listener that the lines before the first `listener` are about.
    default_listener: Listener,
    listeners: Vec<Listener>,
    bridges: Vec<Bridge>,
    /// Global keys that have an equal, by name; the last of several counts.
    settings: BTreeMap<&'static str, Placed<Value>>,
    log_types: Vec<String>,
    notes: Vec<Note>,
}

/// A value that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Flag(bool),
    Number(i64),
    Text(String),
}

/// A listener, and what is set for it alone.
#[derive(Debug, Default)]
struct Listener {
    place: Option<Place>,
    port: Option<u16>,
    bind: Option<String>,
    settings: BTreeMap<&'static str, Placed<Value>>,
}

/// A bridge to another broker.
#[derive(Debug)]
struct Bridge {
    place: Place,
    name: String,
    addresses: Vec<String>,
    out_topics: Vec<String>,
    in_topics: Vec<String>,
    /// Keys that are not among the above.
    others: Vec<String>,
}

struct Reader<'a> {
    read_dir: &'a mut dyn FnMut(&str) -> io::Result<Vec<Named>>,
    found: Found,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn file(&mut self, text: &str, origin: &Rc<str>, is_included: bool) {
        for (index, written) in text.split('\n').enumerate() {
            let line = written.trim_matches(|blank: char| blank.is_ascii_whitespace());
            if written.starts_with('#') || line.is_empty() {
                continue;
            }
            let place = Place { origin: Rc::clone(origin), line: number(index + 1) };
            let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let value = value.trim();
            if line.contains('\0') {
                self.fault(&place, "", "holds U+0000", "a line of text");
            } else if value.is_empty() {
                self.fault(&place, key, "has no value", "a value behind a space");
            } else if key == "include_dir" {
                self.include(&place, value, is_included);
            } else {
                self.line(&place, key, value);
            }
        }
    }

    fn fault(&mut self, place: &Place, key: &str, found: impl Into<String>, allowed: impl Into<String>) {
        self.faults.push(Fault::new(&*place.origin, key, found, allowed).at(place.line, 1));
    }

    fn note(&mut self, place: &Place, what: impl Into<String>, why: impl Into<String>, instead: impl Into<String>) {
        self.found.notes.push(note(place, what, why, instead));
    }

    fn include(&mut self, place: &Place, directory: &str, is_included: bool) {
        if is_included {
            self.note(place, "include_dir", "mosquitto looks into no directory from within one", "left out");
            return;
        }
        match (self.read_dir)(directory) {
            Ok(mut files) => {
                files.sort();
                for (name, text) in files {
                    self.file(&text, &Rc::from(name), true);
                }
            }
            Err(error) => {
                self.fault(place, "include_dir", format!("{directory} cannot be read: {error}"), "a directory")
            }
        }
    }

    fn line(&mut self, place: &Place, key: &str, value: &str) {
        match key {
            "listener" => self.listener(place, value),
            "port" => match value.parse::<u16>() {
                Ok(port) => {
                    self.found.default_listener.port = Some(port);
                    self.found.default_listener.place = Some(place.clone());
                }
                Err(_) => self.fault(place, key, format!("found {value:?}"), "a port from 0 to 65535"),
            },
            "bind_address" => {
                self.found.default_listener.bind = Some(value.to_owned());
                self.found.default_listener.place.get_or_insert_with(|| place.clone());
            }
            "connection" => self.found.bridges.push(Bridge {
                place: place.clone(),
                name: value.to_owned(),
                addresses: Vec::new(),
                out_topics: Vec::new(),
                in_topics: Vec::new(),
                others: Vec::new(),
            }),
            "log_type" => self.found.log_types.push(value.to_owned()),
            _ if keys::is_of_bridge(key) => self.bridge(place, key, value),
            _ => self.setting(place, key, value),
        }
    }

    fn listener(&mut self, place: &Place, value: &str) {
        let (port, bind) =
            value.split_once([' ', '\t']).map_or((value, None), |(port, bind)| (port, Some(bind.trim())));
        match port.parse::<u16>() {
            Ok(port) => self.found.listeners.push(Listener {
                place: Some(place.clone()),
                port: Some(port),
                bind: bind.map(str::to_owned),
                settings: BTreeMap::new(),
            }),
            Err(_) => self.fault(
                place,
                "listener",
                format!("found {port:?}"),
                "a port from 0 to 65535, then perhaps an address",
            ),
        }
    }

    fn bridge(&mut self, place: &Place, key: &str, value: &str) {
        let Some(bridge) = self.found.bridges.last_mut() else {
            self.fault(place, key, "comes before any connection", "connection NAME before it");
            return;
        };
        match key {
            "address" | "addresses" => bridge.addresses.extend(value.split_ascii_whitespace().map(str::to_owned)),
            "topic" => {
                let words: Vec<&str> = value.split_ascii_whitespace().collect();
                let topic = words[0].trim_matches('"').to_owned();
                let direction = words.get(1).copied().unwrap_or("out");
                if matches!(direction, "out" | "both") {
                    bridge.out_topics.push(topic.clone());
                }
                if matches!(direction, "in" | "both") {
                    bridge.in_topics.push(topic);
                }
                if !matches!(direction, "in" | "out" | "both") {
                    self.fault(place, key, format!("found {direction:?}"), "out, in or both behind the topic");
                } else if words.len() > 3 {
                    bridge.others.push("the prefixes of topic".to_owned());
                }
            }
            other => bridge.others.push(other.to_owned()),
        }
    }

    fn setting(&mut self, place: &Place, key: &str, value: &str) {
        let Some(known) = keys::known(key) else {
            self.note(place, key, "is no key of mosquitto that is known here", "left out");
            return;
        };
        let value = match known.kind.read(value) {
            Ok(value) => Placed { place: place.clone(), value },
            Err(allowed) => return self.fault(place, key, format!("found {value:?}"), allowed),
        };
        match known.meaning {
            keys::Meaning::NoEqual { why, instead } => self.note(place, key, why, instead),
            keys::Meaning::Global => {
                self.found.settings.insert(known.name, value);
            }
            keys::Meaning::OfListener => {
                let listener = self.found.listeners.last_mut().unwrap_or(&mut self.found.default_listener);
                listener.settings.insert(known.name, value);
            }
        }
    }
}

fn note(place: &Place, what: impl Into<String>, why: impl Into<String>, instead: impl Into<String>) -> Note {
    Note {
        origin: place.origin.to_string(),
        line: Some(place.line),
        what: what.into(),
        why: why.into(),
        instead: instead.into(),
    }
}

/// Reading and what a listener or the whole has of a key.
trait Settings {
    fn text(&self, key: &str) -> Option<&str>;
    fn number(&self, key: &str) -> Option<i64>;
    fn flag(&self, key: &str) -> Option<bool>;
}

impl Settings for BTreeMap<&'static str, Placed<Value>> {
    fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<i64> {
        match self.get(key)?.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)?.value {
            Value::Flag(flag) => Some(flag),
            _ => None,
        }
    }
}
