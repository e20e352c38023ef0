//! A route in the making, and how it is printed.

use std::fmt::Write as _;

use super::super::yaml::{comment, quoted};

/// Which paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    Exact(String),
    Prefix(String),
}

impl Path {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
        }
    }

    /// Whether the configuration takes it: ASCII, and nothing that a path has escaped.
    pub(super) fn is_sound(&self) -> bool {
        self.text().starts_with('/')
            && self.text().bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte))
    }
}

/// One route: its keys behind path and host, each with its value as YAML in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) path: Path,
    pub(super) hosts: Vec<String>,
    pub(super) entries: Vec<(&'static str, String)>,
    pub(super) remark: Option<String>,
    pub(super) line: u32,
}

impl Route {
    pub(super) fn respond(path: Path, status: u16, text: &str, line: u32) -> Self {
        let mut entries = vec![("respond", quoted(text))];
        if status != 200 {
            entries.push(("status", status.to_string()));
        }
        Self { path, hosts: Vec::new(), entries, remark: None, line }
    }

    pub(super) fn redirect(path: Path, status: u16, to: &str, line: u32) -> Self {
        let mut entries = vec![("redirect", quoted(to))];
        if status != 301 {
            entries.push(("status", status.to_string()));
        }
        Self { path, hosts: Vec::new(), entries, remark: None, line }
    }

    pub(super) fn print(&self, out: &mut String, indent: &str) {
        const LINE_MAX: usize = 130;
        let (key, path) = match &self.path {
            Path::Exact(path) => ("exact", path),
            Path::Prefix(path) => ("path", path),
        };
        let mut entries = vec![(key, quoted(path))];
        match self.hosts.as_slice() {
            [] => {}
            [host] => entries.push(("host", quoted(host))),
            hosts => entries.push(("host", list(hosts))),
        }
        entries.extend(self.entries.iter().map(|(key, value)| (*key, value.clone())));
        let remark = self.remark.as_ref().map_or(String::new(), |remark| format!("; {}", comment(remark)));
        let flow = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ");
        if flow.chars().count() + indent.len() <= LINE_MAX {
            writeln!(out, "{indent}- {{ {flow} }}  # line {}{remark}", self.line).expect("a String");
            return;
        }
        for (index, (key, value)) in entries.iter().enumerate() {
            let (dash, behind) =
                if index == 0 { ("-", format!("  # line {}{remark}", self.line)) } else { (" ", String::new()) };
            writeln!(out, "{indent}{dash} {key}: {value}{behind}").expect("a String");
        }
    }
}

/// Texts as a list in one line.
pub(super) fn list<T: AsRef<str>>(items: &[T]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(item.as_ref())).collect::<Vec<_>>().join(", "))
}
