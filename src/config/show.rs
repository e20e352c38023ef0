//! The effective configuration for people and machines: what `tidegate config show` prints.
//!
//! No key takes a secret itself, only files that hold some, and these are not opened here.

use serde_json::{Map, Value, json};

use super::Origin;
use super::schema::{Key, Kind, ROOT};
use super::units::{format_duration, format_size};
use super::written::{Typed, Written};
use super::yaml::parse;
use crate::document::Content;

/// Where comments begin, if the value leaves room.
const COMMENT_COLUMN: usize = 44;

/// The configuration as YAML with comments that say where each value came from. Loaded in the working directory, it means the same.
#[must_use]
pub fn yaml(root: &Written) -> String {
    let mut text = String::new();
    section(root, ROOT, 0, &mut text);
    text
}

/// The same by key: `{"log.level": {"value": "info", "from": "default"}, …}`; keys that are not set are left out.
#[must_use]
pub fn json(root: &Written) -> Value {
    let mut map = Map::new();
    leaves(root, &mut map);
    Value::Object(map)
}

fn section(written: &Written, keys: &'static [Key], depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for key in keys.iter().filter(|key| !matches!(key.kind, Kind::Later)) {
        let Some(value) = written.get(key.name) else {
            line(format!("{indent}# {}:", key.name), "not set", text);
            continue;
        };
        match (&value.typed, key.kind.keys()) {
            (Typed::Section(_), Some(keys)) => {
                text.push_str(&format!("{indent}{}:\n", key.name));
                section(value, keys, depth + 1, text);
            }
            (Typed::List(items), _) if !items.is_empty() => {
                text.push_str(&format!("{indent}{}:\n", key.name));
                for item in items {
                    line(format!("{indent}  - {}", flow(item)), &item.origin.to_string(), text);
                }
            }
            _ => line(format!("{indent}{}: {}", key.name, flow(value)), &value.origin.to_string(), text),
        }
    }
}

fn line(content: String, comment: &str, text: &mut String) {
    let width = COMMENT_COLUMN.max(content.chars().count() + 2);
    text.push_str(&format!("{content:width$}# {comment}\n"));
}

/// The value in one line of YAML.
fn flow(written: &Written) -> String {
    match &written.typed {
        Typed::Flag(flag) => flag.to_string(),
        Typed::Count(count) => count.to_string(),
        Typed::Duration(duration) => format_duration(*duration),
        Typed::Size(bytes) => format_size(*bytes),
        Typed::Text(text) => scalar(text),
        Typed::Path(path) => scalar(&path.display().to_string()),
        Typed::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Typed::Section(values) => {
            let entries: Vec<_> = values.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A text as YAML reads it back, quoted only where it must be.
pub(super) fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '.')
        && !text.ends_with(':')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._:@+-".contains(&byte))
        && parse(text).is_ok_and(|node| node.content == Content::Text(text.to_owned()));
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

fn leaves(written: &Written, map: &mut Map<String, Value>) {
    match &written.typed {
        Typed::Section(values) => values.values().for_each(|value| leaves(value, map)),
        _ => {
            map.insert(written.path.clone(), json!({ "value": plain(written), "from": from(&written.origin) }));
        }
    }
}

fn plain(written: &Written) -> Value {
    match &written.typed {
        Typed::Flag(flag) => json!(flag),
        Typed::Count(count) => json!(count),
        Typed::Duration(duration) => json!(format_duration(*duration)),
        Typed::Size(bytes) => json!(format_size(*bytes)),
        Typed::Text(text) => json!(text),
        Typed::Path(path) => json!(path.display().to_string()),
        Typed::List(items) => items.iter().map(plain).collect(),
        Typed::Section(values) => values.iter().map(|(key, value)| ((*key).to_owned(), plain(value))).collect(),
    }
}

fn from(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!("default"),
        Origin::File { name, place } => json!({ "file": name, "line": place.line, "column": place.column }),
        Origin::Environment(name) => json!({ "variable": name }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Request, load};
    use super::*;

    fn loaded(text: &str, environment: &[(&str, &str)]) -> super::super::Loaded {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("t.yaml");
        std::fs::write(&file, text).unwrap();
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        load(Request { file: Some(file), environment }).unwrap()
    }

    #[test]
    fn what_is_shown_loads_again_as_the_same() {
        let first = loaded(
            "listen: [mqtt://127.0.0.1:1884, {url: 'http://[::1]:80'}]\ntls: {development_dir: /tmp/dev}\nwebsocket: {origins: ['https://a.example', same]}\n\
             routes: [{exact: /x, redirect: '/y,z', status: 308}, {path: /, files: '/a b', fallback: /index.html}]\n",
            &[("TIDEGATE_ENGINE__QUEUE_BYTES_MAX", "2000B")],
        );
        let second = loaded(&yaml(&first.written), &[]);
        assert_eq!(format!("{:?}", first.config), format!("{:?}", second.config));
    }

    #[test]
    fn says_where_each_value_came_from() {
        let loaded = loaded("\nlog: {level: debug}\n", &[("TIDEGATE_LOG__FORMAT", "json")]);
        let text = yaml(&loaded.written);
        let line = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
        assert!(line("level: debug").ends_with("t.yaml:2"), "{text}");
        assert!(line("format: json").ends_with("# TIDEGATE_LOG__FORMAT"), "{text}");
        assert!(line("anonymous: true").ends_with("# default"), "{text}");
        assert!(line("# policy:").ends_with("# not set"), "{text}");

        let json = json(&loaded.written);
        assert_eq!(json["log.level"]["value"], "debug");
        assert_eq!(json["log.level"]["from"]["line"], 2);
        assert_eq!(json["log.format"]["from"]["variable"], "TIDEGATE_LOG__FORMAT");
        assert_eq!(json["engine.queue_bytes_max"], json!({"value": "1MiB", "from": "default"}));
    }

    #[test]
    fn quotes_only_what_must_be() {
        for text in ["https://127.0.0.1:8443", "/mqtt", "certs/dev", "any", "https://a.example"] {
            assert_eq!(scalar(text), text);
        }
        for text in ["true", "12", "1e3", "~", "", "a b", "a: b", "[x]", "x,y", "#x", "a\"b", "é", "null", "a:"] {
            assert!(scalar(text).starts_with('"'), "{text:?}");
            assert_eq!(parse(&scalar(text)).unwrap().content, Content::Text(text.to_owned()));
        }
    }
}
