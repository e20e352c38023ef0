//! The keys of the configuration as data: name, kind, bounds, default, meaning.
//!
//! This one table types what the file and the environment say, names the unknown, feeds `tidegate config show` and writes the reference
//! file `configs/tidegate.yaml`. A key that is not in it does not exist.

mod keys;

use std::time::Duration;

pub use keys::ROOT;

use super::units::{DURATION_FORM, SIZE_FORM, format_duration, format_size};

/// One key of a mapping.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// As YAML; `None`: unset unless written.
    pub default: Option<&'static str>,
    /// What the reference file shows where the default is no help: for keys without one, and for paths, which it names from elsewhere.
    pub example: Option<&'static str>,
    /// Meaning, cost and limits, in whole sentences; bounds and default are told by the fields.
    pub doc: &'static str,
}

/// What a key takes.
#[derive(Debug)]
pub enum Kind {
    Flag,
    Count {
        min: u64,
        max: u64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    /// In bytes.
    Size {
        min: u64,
        max: u64,
    },
    Word(&'static [&'static str]),
    /// The form it must have, for people; the owner of the value checks it.
    Text(&'static str),
    /// A file or directory; relative to the file that names it.
    Path,
    /// A URL of this form, with `://` or `unix:` in it; anything else is a file.
    UrlOrPath(&'static str),
    List(&'static Kind),
    Section(&'static [Key]),
    /// The first whose shape (scalar, list or mapping) is the value's.
    OneOf(&'static [Kind]),
    /// Promised by the interface, not built yet.
    Later,
}

/// The outer form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Scalar,
    List,
    Mapping,
}

impl Kind {
    /// `None` where any shape is as good: alternatives, and what is not built.
    #[must_use]
    pub fn shape(&self) -> Option<Shape> {
        match self {
            Self::Flag | Self::Count { .. } | Self::Duration { .. } | Self::Size { .. } => Some(Shape::Scalar),
            Self::Word(_) | Self::Text(_) | Self::Path | Self::UrlOrPath(_) => Some(Shape::Scalar),
            Self::List(_) => Some(Shape::List),
            Self::Section(_) => Some(Shape::Mapping),
            Self::OneOf(_) | Self::Later => None,
        }
    }

    /// The kind itself, or its first alternative of that shape.
    #[must_use]
    pub fn of_shape(&'static self, shape: Shape) -> Option<&'static Kind> {
        match self {
            Self::OneOf(alternatives) => alternatives.iter().find(|kind| kind.shape() == Some(shape)),
            kind => (kind.shape() == Some(shape)).then_some(kind),
        }
    }

    /// The keys of the mapping that this kind is, or may be.
    #[must_use]
    pub fn keys(&'static self) -> Option<&'static [Key]> {
        match self.of_shape(Shape::Mapping) {
            Some(Self::Section(keys)) => Some(keys),
            _ => None,
        }
    }

    /// What is allowed, for faults and the reference.
    #[must_use]
    pub fn allowed(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Duration { min, max } => {
                format!("{DURATION_FORM}, from {} to {}", format_duration(*min), format_duration(*max))
            }
            Self::Size { min, max } => format!("{SIZE_FORM}, from {} to {}", format_size(*min), format_size(*max)),
            Self::Word(words) => match words {
                [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
                words => words.concat(),
            },
            Self::Text(form) => (*form).to_owned(),
            Self::Path => "a path".to_owned(),
            Self::UrlOrPath(form) => format!("{form}, or a path"),
            Self::List(item) => format!("a list, each item {}", item.allowed()),
            Self::Section(keys) => format!("a mapping of {}", built_names(keys).collect::<Vec<_>>().join(", ")),
            Self::OneOf(alternatives) => alternatives.iter().map(Self::allowed).collect::<Vec<_>>().join(", or "),
            Self::Later => "leave it out".to_owned(),
        }
    }

    /// The bounds in a few words, where the kind has any.
    #[must_use]
    pub fn bounds(&self) -> Option<String> {
        match self {
            Self::Flag => Some(self.allowed()),
            Self::Word(_) => Some(self.allowed()),
            Self::Count { min, max } => Some(format!("{min} to {max}")),
            Self::Duration { min, max } => Some(format!("{} to {}", format_duration(*min), format_duration(*max))),
            Self::Size { min, max } => Some(format!("{} to {}", format_size(*min), format_size(*max))),
            _ => None,
        }
    }
}

/// The key of `keys` with that name.
#[must_use]
pub fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name)
}

/// The names of the keys that have an effect.
pub fn built_names(keys: &[Key]) -> impl Iterator<Item = &'static str> {
    keys.iter().filter(|key| !matches!(key.kind, Kind::Later)).map(|key| key.name)
}

/// Calls `visit` with the path and key of everything below `keys` that no list holds: what an environment variable can name.
pub fn walk(keys: &'static [Key], visit: &mut dyn FnMut(&[&'static str], &'static Key)) {
    fn below(path: &mut Vec<&'static str>, keys: &'static [Key], visit: &mut dyn FnMut(&[&'static str], &'static Key)) {
        for key in keys {
            path.push(key.name);
            visit(path, key);
            if let Some(keys) = key.kind.keys() {
                below(path, keys, visit);
            }
            path.pop();
        }
    }
    below(&mut Vec::new(), keys, visit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_means() {
        walk(ROOT, &mut |path, key| {
            let path = path.join(".");
            assert!(key.doc.ends_with('.'), "{path}: {:?}", key.doc);
            let is_sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(key.name.chars().all(is_sound), "{path}: not a variable's name");
            assert!(!key.name.contains("__"), "{path}: two underscores part levels in a variable's name");
        });
    }

    #[test]
    fn kinds_are_chosen_by_shape() {
        static EITHER: Kind = Kind::OneOf(&[Kind::Path, Kind::List(&Kind::Path)]);
        assert!(matches!(EITHER.of_shape(Shape::List), Some(Kind::List(_))));
        assert!(matches!(EITHER.of_shape(Shape::Scalar), Some(Kind::Path)));
        assert!(EITHER.of_shape(Shape::Mapping).is_none());
    }
}
