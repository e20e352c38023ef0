//! Default, file and environment, merged into one tree of which every value still knows where it came from.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Tag, Value};
use figment::{Error, Figment, Metadata, Profile, Provider, Source};

use super::environment::{self, Variable};
use super::schema::{Key, ROOT};
use super::yaml::{self, BYTES_MAX, Step};
use crate::document::{Content, Node, Place};
use crate::fault::Fault;

/// The file that is read where none is named and it exists.
pub const FILE_BY_CONVENTION: &str = "tidegate.yaml";

/// What is to be read.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `None`: [`FILE_BY_CONVENTION`] if it exists, else no file.
    pub file: Option<PathBuf>,
    /// All variables of the process; others' are passed over.
    pub environment: Vec<(OsString, OsString)>,
}

impl Request {
    /// What the process was started with.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Self { file, environment: std::env::vars_os().collect() }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File {
        name: String,
        place: Place,
    },
    /// The variable's name.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, place } => write!(f, "{name}:{}", place.line),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// The merged tree, and what is needed to say where its parts came from.
pub struct Sources {
    figment: Figment,
    file: Option<File>,
    merged: Value,
}

/// The configuration file, read.
struct File {
    path: PathBuf,
    root: Node,
}

impl Sources {
    /// Reads everything that `request` names and merges it: a variable beats the file, the file beats the default; lists are replaced,
    /// never joined.
    ///
    /// What could be read is returned beside the faults, so that those of the rest are told with them.
    #[must_use]
    pub fn read(request: Request) -> (Self, Vec<Fault>) {
        let (variables, mut faults) = environment::read(request.environment);
        let path = request.file.or_else(|| Some(PathBuf::from(FILE_BY_CONVENTION)).filter(|path| path.exists()));
        let file = path.and_then(|path| match File::read(path) {
            Ok(file) => Some(file),
            Err(fault) => {
                faults.insert(0, fault);
                None
            }
        });
        (Self::merge(file, &variables), faults)
    }

    fn merge(file: Option<File>, variables: &[Variable]) -> Self {
        let mut figment = Figment::from(Layer { metadata: Metadata::named("default"), tree: defaults(ROOT) });
        if let Some(file) = &file {
            let metadata = Metadata::from("file", Source::File(file.path.clone()));
            figment =
                figment.merge(Layer { metadata, tree: yaml::to_value(&file.root).into_dict().unwrap_or_default() });
        }
        for variable in variables {
            let metadata = Metadata::from("environment", Source::Custom(variable.name.clone()));
            figment = figment.merge(Layer { metadata, tree: variable.tree() });
        }
        // Layers hold their trees already, so there is nothing that could fail.
        let merged = figment.find_value("").unwrap_or_else(|_| Value::from(Dict::new()));
        Self { figment, file, merged }
    }

    /// The root of the merged tree: a mapping.
    #[must_use]
    pub fn merged(&self) -> &Value {
        &self.merged
    }

    /// The file that was read, as the operator named it.
    #[must_use]
    pub fn file_path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// Where the value with `tag` at `path` came from.
    #[must_use]
    pub fn origin(&self, tag: Tag, path: &[Step]) -> Origin {
        self.origin_by(tag, |file| yaml::find(&file.root, path).map(|node| node.place))
    }

    /// Where the key of the value with `tag` at `path` stands.
    #[must_use]
    pub fn key_origin(&self, tag: Tag, path: &[Step]) -> Origin {
        let Some((Step::Key(name), above)) = path.split_last() else { return self.origin(tag, path) };
        self.origin_by(tag, |file| Some(yaml::entry(yaml::find(&file.root, above)?, name)?.key_place))
    }

    fn origin_by(&self, tag: Tag, place: impl FnOnce(&File) -> Option<Place>) -> Origin {
        match self.figment.get_metadata(tag).and_then(|metadata| metadata.source.as_ref()) {
            Some(Source::File(path)) => Origin::File {
                name: path.display().to_string(),
                place: self.file.as_ref().and_then(place).unwrap_or(Place::START),
            },
            Some(Source::Custom(variable)) => Origin::Environment(variable.clone()),
            _ => Origin::Default,
        }
    }

    /// The directory to which a path that came from `origin` is relative; empty: the working directory.
    #[must_use]
    pub fn directory(&self, origin: &Origin) -> &Path {
        match (origin, &self.file) {
            (Origin::File { .. }, Some(file)) => file.path.parent().unwrap_or(Path::new("")),
            _ => Path::new(""),
        }
    }
}

impl File {
    fn read(path: PathBuf) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let fault = |found: String| Fault::new(&name, "", found, yaml::ALLOWED);
        let mut bytes = Vec::new();
        std::fs::File::open(&path)
            // One byte more than is allowed shows that there is more.
            .and_then(|file| file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| fault(format!("cannot be read ({error})")))?;
        let text = String::from_utf8(bytes).map_err(|_| fault("bytes that are no UTF-8".to_owned()))?;
        let root = yaml::parse(&text).map_err(|fault| Fault { origin: name.clone(), ..fault })?;
        match root.content {
            Content::Mapping(_) | Content::Null => Ok(Self { path, root }),
            _ => Err(fault("is no mapping".to_owned()).at(root.place.line, root.place.column)),
        }
    }
}

/// The defaults of `keys`, as if they had been written.
#[must_use]
pub fn defaults(keys: &'static [Key]) -> Dict {
    let mut dict = Dict::new();
    for key in keys {
        if let Some(text) = key.default {
            let node = yaml::parse(text).expect("a default in the table of keys is YAML, as a test shows");
            dict.insert(key.name.to_owned(), yaml::to_value(&node));
        } else if let Some(keys) = key.kind.keys() {
            dict.insert(key.name.to_owned(), Value::from(defaults(keys)));
        }
    }
    dict
}

/// A tree that is there already, as figment wants to be given it.
struct Layer {
    metadata: Metadata,
    tree: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.tree.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema;

    #[test]
    fn every_default_is_yaml() {
        schema::walk(ROOT, &mut |_, key| {
            if let Some(text) = key.default {
                yaml::parse(text).unwrap();
            }
        });
        assert!(!defaults(ROOT).is_empty());
    }

    #[test]
    fn each_value_knows_where_it_came_from() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("t.yaml");
        std::fs::write(&file, "log:\n  level: debug\n  format: json\n").unwrap();
        let environment = vec![("TIDEGATE_LOG__FORMAT".into(), "text".into())];
        let (sources, faults) = Sources::read(Request { file: Some(file.clone()), environment });
        assert_eq!(faults, []);

        let origin = |path: &str| {
            let steps: Vec<Step> = path.split('.').map(|key| Step::Key(key.to_owned())).collect();
            sources.origin(sources.merged().find_ref(path).unwrap().tag(), &steps)
        };
        let name = file.display().to_string();
        assert_eq!(origin("log.level"), Origin::File { name, place: Place { line: 2, column: 10 } });
        assert_eq!(origin("log.format"), Origin::Environment("TIDEGATE_LOG__FORMAT".to_owned()));
        assert_eq!(origin("admin.listen"), Origin::Default);
    }
}
