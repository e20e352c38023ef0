//! The configuration as written: the merged tree, held against the table of keys.
//!
//! Every value that the table allows is typed; every one that it does not is a fault, and its default stands in for it so that the rest
//! can be judged too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::{Dict, Value};

use super::schema::{self, Key, Kind, Shape};
use super::sources::{Origin, Sources, defaults};
use super::units::{parse_duration, parse_size};
use super::yaml::{Step, path_text};
use crate::fault::{Fault, suggestion};

/// One value, typed, with where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub typed: Typed,
    pub origin: Origin,
    /// `routes[2].path`.
    pub path: String,
}

/// What was written, by the kind of its key.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed {
    Flag(bool),
    Count(u64),
    Duration(Duration),
    /// In bytes.
    Size(u64),
    /// A word of a set, or a text whose owner reads it.
    Text(String),
    /// Relative to the working directory, or absolute.
    Path(PathBuf),
    List(Vec<Written>),
    /// What is set, by default or otherwise.
    Section(BTreeMap<&'static str, Written>),
}

impl Written {
    /// Types the whole tree of `sources` by `keys`.
    pub fn read(sources: &Sources, keys: &'static [Key], faults: &mut Vec<Fault>) -> Self {
        let mut reader = Reader { sources, faults };
        let dict = sources.merged().as_dict().cloned().unwrap_or_default();
        let typed = Typed::Section(reader.section(&dict, keys, &[]));
        Self { typed, origin: Origin::Default, path: String::new() }
    }

    /// The value of a key of this section, if it is set.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.typed {
            Typed::Section(values) => values.get(key),
            _ => None,
        }
    }

    /// The items of a list key of this section; none if it is not set.
    #[must_use]
    pub fn items(&self, key: &str) -> &[Self] {
        match self.get(key).map(|written| &written.typed) {
            Some(Typed::List(items)) => items,
            _ => &[],
        }
    }

    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)?.typed {
            Typed::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    #[must_use]
    pub fn count(&self, key: &str) -> Option<u64> {
        match self.get(key)?.typed {
            Typed::Count(count) => Some(count),
            _ => None,
        }
    }

    #[must_use]
    pub fn duration(&self, key: &str) -> Option<Duration> {
        match self.get(key)?.typed {
            Typed::Duration(duration) => Some(duration),
            _ => None,
        }
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self, key: &str) -> Option<u64> {
        match self.get(key)?.typed {
            Typed::Size(bytes) => Some(bytes),
            _ => None,
        }
    }

    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    #[must_use]
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        match &self.get(key)?.typed {
            Typed::Path(path) => Some(path.clone()),
            _ => None,
        }
    }

    /// The text that this value itself is.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.typed {
            Typed::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value at `path`, or the innermost one around it that is set; `None` if not even the first key of the path is.
    #[must_use]
    pub fn nearest(&self, path: &str) -> Option<&Self> {
        let contains = |written: &&Self| {
            path.strip_prefix(&written.path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let below = match &self.typed {
            Typed::Section(values) => values.values().find(contains),
            Typed::List(items) => items.iter().find(contains),
            _ => None,
        };
        below.map(|written| written.nearest(path).unwrap_or(written))
    }

    /// A fault of this value, at its place.
    #[must_use]
    pub fn fault(&self, found: impl Into<String>, allowed: impl Into<String>) -> Fault {
        fault_at(&self.origin, self.path.clone(), found.into(), allowed.into())
    }
}

/// Walks values and keys together.
struct Reader<'a> {
    sources: &'a Sources,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn section(&mut self, dict: &Dict, keys: &'static [Key], path: &[Step]) -> BTreeMap<&'static str, Written> {
        let mut values = BTreeMap::new();
        for (name, value) in dict {
            let path = with(path, Step::Key(name.clone()));
            match schema::find(keys, name) {
                Some(Key { kind: Kind::Later, doc, .. }) => {
                    let found = "is not part of this version yet";
                    self.key_fault(value, &path, found.to_owned(), format!("leave it out ({doc})"));
                }
                Some(key) => {
                    if let Some(written) = self.value(value, key, &path) {
                        values.insert(key.name, written);
                    }
                }
                None => {
                    let allowed = match suggestion(name, schema::built_names(keys)) {
                        Some(near) => format!("did you mean {near}?"),
                        None => format!("known here: {}", schema::built_names(keys).collect::<Vec<_>>().join(", ")),
                    };
                    self.key_fault(value, &path, "unknown key".to_owned(), allowed);
                }
            }
        }
        values
    }

    /// The value of `key`, or else its default.
    fn value(&mut self, value: &Value, key: &'static Key, path: &[Step]) -> Option<Written> {
        if is_nothing(value)
            && let Some(keys) = key.kind.keys()
        {
            // A section of which everything is commented out.
            return self.typed(&Value::from(defaults(keys)), &key.kind, path);
        }
        self.typed(value, &key.kind, path).or_else(|| {
            let dict = defaults(std::slice::from_ref(key));
            self.typed(dict.get(key.name)?, &key.kind, path)
        })
    }

    fn typed(&mut self, value: &Value, kind: &'static Kind, path: &[Step]) -> Option<Written> {
        let origin = self.sources.origin(value.tag(), path);
        let typed = match (kind.of_shape(shape_of(value)), value) {
            (Some(Kind::Section(keys)), Value::Dict(_, dict)) => Some(Typed::Section(self.section(dict, keys, path))),
            (Some(Kind::List(item)), Value::Array(_, items)) => {
                let typed = items.iter().enumerate();
                let typed = typed.filter_map(|(index, value)| self.typed(value, item, &with(path, Step::Index(index))));
                Some(Typed::List(typed.collect()))
            }
            (Some(kind), value) => self.scalar(kind, value, &origin),
            (None, _) => None,
        };
        if typed.is_none() {
            self.faults.push(fault_at(&origin, path_text(path), found(value), kind.allowed()));
        }
        typed.map(|typed| Written { typed, origin, path: path_text(path) })
    }

    fn scalar(&self, kind: &Kind, value: &Value, origin: &Origin) -> Option<Typed> {
        let text = value.as_str();
        match kind {
            Kind::Flag => value.to_bool().map(Typed::Flag),
            Kind::Count { min, max } => {
                let count = value.to_u128().or_else(|| value.to_i128()?.try_into().ok())?;
                let count = u64::try_from(count).ok()?;
                (*min..=*max).contains(&count).then_some(Typed::Count(count))
            }
            Kind::Duration { min, max } => {
                let duration = parse_duration(text?)?;
                (*min..=*max).contains(&duration).then_some(Typed::Duration(duration))
            }
            Kind::Size { min, max } => {
                let bytes = parse_size(text?)?;
                (*min..=*max).contains(&bytes).then_some(Typed::Size(bytes))
            }
            Kind::Word(words) => {
                // `1.2` is a number to YAML, and `true` beside other words a word all the same.
                let number = value.to_num().and_then(|number| number.to_f64()).map(|number| number.to_string());
                let flag = value.to_bool().map(|flag| if flag { "true" } else { "false" });
                let text = text.or(number.as_deref()).or(flag)?;
                words.contains(&text).then(|| Typed::Text(text.to_owned()))
            }
            Kind::Text(_) => text.filter(|text| !text.is_empty()).map(|text| Typed::Text(text.to_owned())),
            Kind::Path => {
                let text = text.filter(|text| !text.is_empty() && !text.contains('\0'))?;
                Some(Typed::Path(self.sources.directory(origin).join(text)))
            }
            Kind::List(_) | Kind::Section(_) | Kind::OneOf(_) | Kind::Later => None,
        }
    }

    fn key_fault(&mut self, value: &Value, path: &[Step], found: String, allowed: String) {
        let origin = self.sources.key_origin(value.tag(), path);
        self.faults.push(fault_at(&origin, path_text(path), found, allowed));
    }
}

fn fault_at(origin: &Origin, path: String, found: String, allowed: String) -> Fault {
    match origin {
        Origin::Default => Fault::new("default", path, found, allowed),
        Origin::File { name, place } => Fault::new(name, path, found, allowed).at(place.line, place.column),
        Origin::Environment(name) => Fault::new(name, path, found, allowed),
    }
}

fn with(path: &[Step], step: Step) -> Vec<Step> {
    let mut path = path.to_vec();
    path.push(step);
    path
}

fn shape_of(value: &Value) -> Shape {
    match value {
        Value::Dict(..) => Shape::Mapping,
        Value::Array(..) => Shape::List,
        _ => Shape::Scalar,
    }
}

fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Empty(..))
}

/// Says what stands there, in words.
fn found(value: &Value) -> String {
    const LENGTH_MAX: usize = 60;
    match value {
        Value::Dict(..) => "a mapping".to_owned(),
        Value::Array(..) => "a list".to_owned(),
        Value::Empty(..) => "nothing".to_owned(),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(number), _, _) => format!("the number {number}"),
            (_, Some(number), _) => format!("the number {number}"),
            (_, _, Some(number)) => format!("the number {number}"),
            _ => "a number".to_owned(),
        },
        Value::Char(_, character) => format!("{:?}", character.to_string()),
        Value::String(_, text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(_, text) if text.chars().count() > LENGTH_MAX => {
            format!("{:?}…", text.chars().take(LENGTH_MAX).collect::<String>())
        }
        Value::String(_, text) => format!("{text:?}"),
    }
}
