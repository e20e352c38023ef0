//! The house's walls: which module may import which, and which files are pure.
//!
//! `src/lib.rs` tells the layers in words; here they are held. The text of the source is read, not the compiled program, so that a wall
//! stands also where nothing would fail to compile.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Every top-level module with those it may import, lowest layer first. Who is not named here may not be imported; `a::b` allows `b` alone.
///
/// `engine` never learns who asks or why; `config` composes the others' configuration and is read by `cli` and `app` alone, so that no
/// module can reach for a setting that it was not handed.
const MAY_IMPORT: [(&str, &[&str]); 19] = [
    ("fault", &[]),
    ("document", &["fault"]),
    ("wheel", &[]),
    ("recent", &[]),
    ("unhurried", &[]),
    ("load", &[]),
    ("outgoing", &["fault"]),
    ("mqtt", &[]),
    ("engine", &["wheel", "load", "mqtt"]),
    ("auth", &["fault", "outgoing", "mqtt"]),
    ("policy", &["fault", "document", "mqtt", "auth"]),
    ("dialect", &["mqtt", "engine::message"]),
    ("connection", &["wheel", "recent", "unhurried", "load", "mqtt", "engine", "auth", "policy", "dialect"]),
    ("edge", &["fault", "recent", "load", "outgoing", "connection"]),
    ("telemetry", &["load", "mqtt", "engine", "auth", "policy", "connection", "edge"]),
    ("admin", &["fault", "mqtt", "engine", "auth", "policy", "connection", "edge", "telemetry"]),
    (
        "config",
        &[
            "fault",
            "document",
            "outgoing",
            "mqtt",
            "engine",
            "auth",
            "policy",
            "connection",
            "edge",
            "telemetry",
            "admin",
        ],
    ),
    (
        "app",
        &[
            "fault",
            "wheel",
            "unhurried",
            "load",
            "mqtt",
            "engine",
            "auth",
            "policy",
            "connection",
            "edge",
            "telemetry",
            "admin",
            "config",
        ],
    ),
    ("cli", &["fault", "outgoing", "mqtt", "engine", "auth", "policy", "edge", "admin", "config", "app"]),
];

/// Files and folders that are plain synchronous types: time and randomness come in as arguments, everything else stays outside.
const PURE: [&str; 31] = [
    "fault.rs",
    "document.rs",
    "wheel.rs",
    "recent.rs",
    "load",
    "outgoing/url.rs",
    "mqtt",
    "auth/certificate.rs",
    "auth/scram.rs",
    "auth/http/cache.rs",
    "auth/http/question.rs",
    "auth/jwt/key.rs",
    "auth/jwt/key_set.rs",
    "auth/jwt/token.rs",
    "dialect",
    "policy",
    "engine",
    "connection/core",
    "connection/address.rs",
    "connection/penalty.rs",
    "edge/acme/schedule.rs",
    "edge/address_limits.rs",
    "edge/forwarded.rs",
    "edge/networks.rs",
    "edge/proxy_protocol.rs",
    "edge/http/framing.rs",
    "edge/http/path.rs",
    "edge/http/routes.rs",
    "edge/http/proxy/headers.rs",
    "edge/http/proxy/health.rs",
    "edge/http/proxy/redirects.rs",
];

/// The one file of a pure folder that touches the outside, so that all others need not.
const IMPURE_WITHIN: [&str; 1] = ["policy/load.rs"];

/// What a pure file does not name, with what it would be.
const IMPURE: [(&str, &str); 15] = [
    ("tokio", "a runtime"),
    ("std::net::Tcp", "a socket"),
    ("std::net::Udp", "a socket"),
    ("std::net::ToSocketAddrs", "a name look-up"),
    ("std::os", "the system"),
    ("std::fs", "a file"),
    ("std::env", "the environment"),
    ("std::process", "a process"),
    ("std::thread", "a thread"),
    ("std::io::std", "a standard stream"),
    ("println!", "a standard stream"),
    ("Instant::now", "the clock"),
    ("SystemTime::now", "the clock"),
    ("getrandom", "entropy"),
    ("rand::", "entropy"),
];

#[test]
fn imports_point_down() {
    let mut faults = String::new();
    for file in source_files() {
        let module = top_level_module(&file.path);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            assert!(["lib", "main"].contains(&module), "src/{module} has no place in MAY_IMPORT");
            continue;
        };
        for imported in imported_modules(&file.code) {
            let first = imported.split("::").next().expect("a name");
            let is_allowed = first == module || allowed.contains(&first) || allowed.contains(&imported.as_str());
            if !is_allowed && is_module(first) {
                writeln!(faults, "{}: {module} imports {imported}", file.path.display()).expect("a String");
            }
        }
    }
    assert!(faults.is_empty(), "imports against the layers of src/lib.rs:\n{faults}");
}

#[test]
fn the_layers_hold_no_cycle() {
    // A module may import only what stands above it in the table, so the table itself is a proof.
    for (index, (module, allowed)) in MAY_IMPORT.iter().enumerate() {
        for name in *allowed {
            let place = MAY_IMPORT.iter().position(|(other, _)| Some(*other) == name.split("::").next());
            assert!(place.is_some_and(|place| place < index), "{module} may import {name}, which is not below it");
        }
    }
}

#[test]
fn pure_files_touch_nothing_outside() {
    let mut faults = String::new();
    let is_pure = |path: &Path| {
        PURE.iter().any(|pure| path.starts_with(pure)) && !IMPURE_WITHIN.iter().any(|impure| path == Path::new(impure))
    };
    for file in source_files().iter().filter(|file| is_pure(&file.path)) {
        for (number, line) in file.code.lines().enumerate() {
            for (name, what) in IMPURE {
                if names(line, name) {
                    writeln!(faults, "{}:{}: {name} is {what}", file.path.display(), number + 1).expect("a String");
                }
            }
        }
    }
    assert!(faults.is_empty(), "pure files that are not:\n{faults}");
}

#[test]
fn every_module_has_its_line_in_the_map() {
    let map = std::fs::read_to_string(source().join("lib.rs")).expect("src/lib.rs");
    for (module, _) in MAY_IMPORT {
        assert!(map.contains(&format!("[`{module}`]")), "src/lib.rs has no line for {module}");
    }
}

#[test]
fn the_reader_sees_what_it_should() {
    let code = strip(
        "//! use crate::doc;\nuse crate::{mqtt::Packet, engine::{Engine, handle}};\nuse crate::policy as p;\n\
         /* use crate::block; */\nlet x = crate::edge::y(); // crate::comment\nlet s = \"crate::text\";\n\
         #[cfg(test)]\nmod tests {\n    use crate::cli;\n}\nuse crate::after;\n",
    );
    let found: Vec<_> = imported_modules(&code).into_iter().collect();
    assert_eq!(found, ["after", "edge::y", "engine", "mqtt::Packet", "policy"]);
    assert!(names("let now = Instant::now();", "Instant::now"));
    assert!(!names("operand::new()", "rand::"));
    assert!(!names("my_tokio_like", "tokio"));
}

struct SourceFile {
    /// Below `src`.
    path: PathBuf,
    /// Without comments, strings and tests; line numbers are kept.
    code: String,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file of the product but those that are tests altogether.
fn source_files() -> Vec<SourceFile> {
    let mut files = Vec::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("an ASCII name");
            if name == "tests" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = strip(&std::fs::read_to_string(&path).expect("UTF-8"));
                files.push(SourceFile { path: path.strip_prefix(source()).expect("below src").to_owned(), code });
            }
        }
    }
    assert!(files.len() > 20, "only {} files: is this the right folder?", files.len());
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn top_level_module(path: &Path) -> &str {
    let first = path.components().next().expect("not empty").as_os_str().to_str().expect("an ASCII name");
    first.trim_end_matches(".rs")
}

fn is_module(name: &str) -> bool {
    MAY_IMPORT.iter().any(|(module, _)| *module == name) || source().join(name).is_dir()
}

/// The names right behind `crate::`, those in braces included, each with the name behind it if there is one: `engine::message`.
fn imported_modules(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(path(rest).to_owned());
            continue;
        };
        // Names at depth 0 of the braces, at the start or behind a comma.
        let (mut depth, mut is_start) = (0, true);
        for (index, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => is_start = true,
                _ if is_start && depth == 0 && !character.is_whitespace() => {
                    found.insert(path(&list[index..]).to_owned());
                    is_start = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// The identifier that `text` starts with, and a second one behind `::`.
fn path(text: &str) -> &str {
    let first = identifier(text);
    let second = text[first.len()..].strip_prefix("::").map_or("", identifier);
    if second.is_empty() { first } else { &text[..first.len() + 2 + second.len()] }
}

fn identifier(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len());
    &text[..end]
}

/// Whether `line` names `name`, not merely something that ends or goes on like it.
fn names(line: &str, name: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(name).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + name.len()..].chars().next();
        let is_open_ended =
            name.ends_with("::") || name.ends_with("std") || name.ends_with("Tcp") || name.ends_with("Udp");
        !before.is_some_and(is_word) && (is_open_ended || !after.is_some_and(is_word))
    })
}

/// The code with comments, string contents and `#[cfg(test)]` items blanked out.
fn strip(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = string_length(rest) {
            length
        } else if rest.starts_with("#[cfg(test)]") {
            item_length(rest)
        } else {
            code.push(character);
            rest = &rest[character.len_utf8()..];
            continue;
        };
        code.extend(rest[..length].chars().filter(|&character| character == '\n'));
        rest = &rest[length..];
    }
    code
}

/// The length of the string or character literal that `text` starts with.
fn string_length(text: &str) -> Option<usize> {
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            return Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()));
        }
    }
    // '"' and '\'' would open a string that never ends; lifetimes have no closing quote that near.
    if text.starts_with("'\"'") || text.starts_with("'\\") {
        return text[2..].find('\'').map(|at| at + 3);
    }
    let body = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = body.find(|character| {
        let is_end = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        is_end
    });
    Some(end.map_or(text.len(), |at| at + 2))
}

/// The length of the item that starts here: up to its semicolon, or to the brace that closes its body.
fn item_length(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if let Some(length) = string_length(rest) {
            at += length;
            continue;
        }
        let character = rest.chars().next().expect("not at the end");
        at += character.len_utf8();
        match character {
            ';' if depth == 0 => return at,
            '{' => depth += 1,
            '}' if depth == 1 => return at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}
