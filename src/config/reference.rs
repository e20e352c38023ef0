//! The reference file: every key with its meaning, bounds and default, written from the table of keys.
//!
//! `configs/tidegate.yaml` is this text; a test keeps them equal. Loaded as it is, it means the built-in default.

use super::schema::{Key, Kind, ROOT, Shape, built_names};
use super::show::scalar;
use super::yaml::parse;
use crate::document::{Content, Node};

/// Comments are broken before this column.
const WIDTH: usize = 120;

const HEAD: &str = "\
# Every key of Tidegate's configuration, with its default; keys that are not set by default are commented out.
#
# Give a file of yours with `tidegate -c FILE`; ./tidegate.yaml is found by itself. Write only what differs from the default.
# `tidegate check` names every fault in it, `tidegate config show` says what is in effect, and why.
#
# A variable beats the file: TIDEGATE_ and the key's path with two underscores between levels, such as TIDEGATE_TLS__CERT;
# lists as YAML in one line, such as TIDEGATE_LISTEN='[\"https://0.0.0.0:443\"]'.
#
# Durations have units (ms, s, m, h, d), sizes too (B, KiB, MiB, GiB). Relative paths are relative to the file that names them, those in
# variables to the working directory.
#
# This file is written from the program's own table of keys: change it there.
";

/// The whole file.
#[must_use]
pub fn yaml() -> String {
    let mut text = HEAD.to_owned();
    section(ROOT, 0, &mut text);
    let mut later = Vec::new();
    later_paths("", ROOT, &mut later);
    // What a listener shares with the whole need not be told twice.
    let all = later.clone();
    later.retain(|path| !all.iter().any(|other| path.ends_with(&format!(".{other}"))));
    text.push('\n');
    comment(0, &format!("Not part of this version yet, and refused: {}.", later.join(", ")), &mut text);
    text
}

fn section(keys: &'static [Key], depth: usize, text: &mut String) {
    for key in keys.iter().filter(|key| !matches!(key.kind, Kind::Later)) {
        if !text.ends_with(":\n") {
            text.push('\n');
        }
        comment(depth, key.doc, text);
        items(key, depth, text);
        value(key, depth, text);
    }
}

/// What the mappings in a list hold.
fn items(key: &'static Key, depth: usize, text: &mut String) {
    let Some(Kind::List(item)) = key.kind.of_shape(Shape::List) else { return };
    let Some(keys) = item.keys() else { return };
    let either =
        if item.of_shape(Shape::Scalar).is_some() { "An item may also be a mapping" } else { "Each item is a mapping" };
    comment(depth, &format!("{either} of {}:", built_names(keys).collect::<Vec<_>>().join(", ")), text);
    for key in keys.iter().filter(|key| !matches!(key.kind, Kind::Later)) {
        comment(depth, &format!("  {}: {}", key.name, key.doc), text);
        inner(key, depth, text);
    }
}

/// What a mapping in such a mapping holds; nothing in the file shows its defaults otherwise.
fn inner(key: &'static Key, depth: usize, text: &mut String) {
    for key in key.kind.keys().unwrap_or_default().iter().filter(|key| !matches!(key.kind, Kind::Later)) {
        let default = key.default.map(|default| format!(" ({default} unless said)")).unwrap_or_default();
        comment(depth, &format!("    {}: {}{default}", key.name, key.doc), text);
    }
}

fn value(key: &'static Key, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let name = key.name;
    let bounds = key.kind.bounds().map(|bounds| format!("  # {bounds}")).unwrap_or_default();
    match (key.default, key.example, key.kind.keys()) {
        (Some(_), Some(example), _) => text.push_str(&format!("{indent}{name}: {example}\n")),
        (Some(default), None, _) => {
            let node = parse(default).expect("a default in the table of keys is YAML, as a test shows");
            match &node.content {
                Content::Sequence(items) if items.len() > 1 => {
                    text.push_str(&format!("{indent}{name}:\n"));
                    items.iter().for_each(|item| text.push_str(&format!("{indent}  - {}\n", flow(item))));
                }
                _ => text.push_str(&format!("{indent}{name}: {}{bounds}\n", flow(&node))),
            }
        }
        (None, Some(example), _) => text.push_str(&format!("{indent}# {name}: {example}{bounds}\n")),
        (None, None, Some(keys)) => {
            text.push_str(&format!("{indent}{name}:\n"));
            section(keys, depth + 1, text);
        }
        (None, None, None) => text.push_str(&format!("{indent}# {name}:\n")),
    }
}

fn flow(node: &Node) -> String {
    match &node.content {
        Content::Null => "~".to_owned(),
        Content::Flag(flag) => flag.to_string(),
        Content::Integer(integer) => integer.to_string(),
        Content::Float(float) => float.to_string(),
        Content::Text(text) => scalar(text),
        Content::Sequence(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Content::Mapping(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|entry| format!("{}: {}", entry.key, flow(&entry.value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// Writes `sentence` as comment lines that keep its own indentation.
fn comment(depth: usize, sentence: &str, text: &mut String) {
    let own = sentence.len() - sentence.trim_start().len();
    let start = format!("{}#{}", "  ".repeat(depth), " ".repeat(own));
    let mut line = start.clone();
    for word in sentence.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line.clone_from(&start);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// Collects `tls.client_ca`, `routes[].proxy`, ….
fn later_paths(above: &str, keys: &'static [Key], paths: &mut Vec<String>) {
    for key in keys {
        let path = if above.is_empty() { key.name.to_owned() } else { format!("{above}.{}", key.name) };
        if matches!(key.kind, Kind::Later) {
            paths.push(path);
        } else if let Some(keys) = key.kind.keys() {
            later_paths(&path, keys, paths);
        } else if let Some(Kind::List(item)) = key.kind.of_shape(Shape::List)
            && let Some(keys) = item.keys()
        {
            later_paths(&format!("{path}[]"), keys, paths);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Request, load};
    use super::*;

    fn file() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/tidegate.yaml")
    }

    #[test]
    fn the_reference_file_is_what_the_table_says() {
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(file(), yaml()).unwrap();
        }
        let written = std::fs::read_to_string(file()).unwrap();
        assert!(written == yaml(), "configs/tidegate.yaml differs from the table of keys: BLESS=1 writes it");
    }

    #[test]
    fn the_reference_file_means_the_default() {
        let default = load(Request::default()).unwrap().config;
        let mut reference = load(Request { file: Some(file()), environment: Vec::new() }).unwrap().config;
        // Named from where the file lies.
        reference.edge.tls = default.edge.tls.clone();
        assert_eq!(format!("{reference:?}"), format!("{default:?}"));
    }

    #[test]
    fn every_key_is_in_the_reference_file() {
        let text = yaml();
        crate::config::schema::walk(ROOT, &mut |path, key| {
            let shown = text.lines().any(|line| {
                let line = line.trim_start().trim_start_matches("# ");
                line.starts_with(&format!("{}:", key.name))
            });
            assert!(shown || text.contains(&path.join(".")), "{path:?}");
        });
    }
}
