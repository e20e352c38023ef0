//! The files that a configuration is made of: what `include` names, or the parts of what `nginx -T` printed.

use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::fault::Fault;

use super::glob;
use super::tokens::{DIRECTIVES_MAX, Directive, parse};

/// A file's name and its text.
pub type Named = (String, String);

const FILES_MAX: usize = 1000;
const BYTES_MAX: usize = 16 << 20;
const INCLUDES_DEPTH_MAX: usize = 16;

/// What `nginx -T` writes above each file.
const MARK: &str = "# configuration file ";

/// All directives, those of included files in the place of their `include`; and the folder that relative names begin in.
///
/// # Errors
/// What nginx would refuse, and what is too much.
pub(super) fn load(
    text: &str,
    origin: &str,
    read: &mut dyn FnMut(&str) -> io::Result<Vec<Named>>,
) -> Result<(Vec<Directive>, String), Fault> {
    let dump = parts(text);
    let (name, text) = dump.first().map_or((origin, text), |(name, text)| (name.as_str(), *text));
    let mut sources =
        Sources { dump: &dump, read, base: String::new(), budget: DIRECTIVES_MAX, files: 0, bytes: text.len() };
    let name: Rc<str> = Rc::from(name);
    let directives = parse(text, &name, &mut sources.budget)?;
    sources.base = base(&name, &directives);
    let expanded = sources.expand(directives, &mut vec![name])?;
    Ok((expanded, sources.base))
}

/// The files that a printed whole consists of, in its order; none if it is no such thing.
fn parts(text: &str) -> Vec<(String, &str)> {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let name = line.trim_end().strip_prefix(MARK).and_then(|rest| rest.strip_suffix(':'));
        if let Some(name) = name {
            starts.push((name.to_owned(), at, at + line.len()));
        }
        at += line.len();
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|(_, start, _)| *start).chain([text.len()]).collect();
    starts.into_iter().zip(ends).map(|((name, _, begin), end)| (name, &text[begin..end])).collect()
}

/// The folder that relative names begin in: that of `nginx.conf`, also for the file of a site that is seen alone.
fn base(origin: &str, directives: &[Directive]) -> String {
    const FOLDERS_OF_SITES: [&str; 5] = ["sites-enabled", "sites-available", "conf.d", "http.d", "vhosts"];
    let folder = Path::new(origin).parent().unwrap_or(Path::new(""));
    let is_whole = directives.iter().any(|directive| matches!(directive.name.as_str(), "http" | "events" | "stream"));
    let is_of_sites = folder.file_name().is_some_and(|name| FOLDERS_OF_SITES.iter().any(|known| name == *known));
    let folder = if is_of_sites && !is_whole { folder.parent().unwrap_or(folder) } else { folder };
    folder.display().to_string()
}

struct Sources<'a> {
    dump: &'a [(String, &'a str)],
    read: &'a mut dyn FnMut(&str) -> io::Result<Vec<Named>>,
    base: String,
    budget: usize,
    files: usize,
    bytes: usize,
}

impl Sources<'_> {
    fn expand(&mut self, directives: Vec<Directive>, within: &mut Vec<Rc<str>>) -> Result<Vec<Directive>, Fault> {
        let mut expanded = Vec::with_capacity(directives.len());
        for mut directive in directives {
            if directive.name == "include" && directive.block.is_none() {
                expanded.extend(self.include(&directive, within)?);
                continue;
            }
            directive.block = directive.block.map(|block| self.expand(block, within)).transpose()?;
            expanded.push(directive);
        }
        Ok(expanded)
    }

    fn include(&mut self, directive: &Directive, within: &mut Vec<Rc<str>>) -> Result<Vec<Directive>, Fault> {
        let place = &directive.place;
        let fault =
            |found: String, allowed: &str| Fault::new(&*place.origin, "include", found, allowed).at(place.line, 1);
        let [name] = directive.args.as_slice() else {
            return Err(fault(format!("{} names", directive.args.len()), "one file, or a pattern"));
        };
        if within.len() > INCLUDES_DEPTH_MAX {
            return Err(fault(format!("more than {INCLUDES_DEPTH_MAX} files within each other"), "fewer"));
        }
        let path =
            if name.starts_with('/') || self.base.is_empty() { name.clone() } else { format!("{}/{name}", self.base) };
        let files = self.files(&path).map_err(|error| {
            fault(format!("{path} cannot be read: {error}"), "a file that can be; `nginx -T` prints all of them as one")
        })?;
        let mut included = Vec::new();
        for (name, text) in files {
            self.files += 1;
            self.bytes += text.len();
            if self.files > FILES_MAX || self.bytes > BYTES_MAX {
                return Err(fault(
                    "too many files, or too long ones".to_owned(),
                    "a configuration that somebody has written",
                ));
            }
            if within.iter().any(|outer| **outer == *name) {
                return Err(fault(format!("{name} includes itself"), "a file once within another"));
            }
            let name: Rc<str> = Rc::from(name);
            let directives = parse(&text, &name, &mut self.budget)?;
            within.push(name);
            included.extend(self.expand(directives, within)?);
            within.pop();
        }
        Ok(included)
    }

    fn files(&mut self, path: &str) -> io::Result<Vec<Named>> {
        let mut files = if self.dump.is_empty() {
            (self.read)(path)?
        } else {
            let named = self.dump.iter().filter(|(name, _)| name == path || glob::matches(path, name));
            named.map(|(name, text)| (name.clone(), (*text).to_owned())).collect()
        };
        files.sort();
        if files.is_empty() && !glob::is_pattern(path) { Err(io::ErrorKind::NotFound.into()) } else { Ok(files) }
    }
}
