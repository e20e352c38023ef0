//! `credentials.xml` of HiveMQ's file RBAC extension: users, their roles, and what each role permits.
//!
//! Everything there permits and nothing denies, so that what has no equal is left out. Passwords are not printed, hashed or not: their
//! hashes have a form of their own.

mod xml;

use std::collections::BTreeMap;

use crate::fault::{Fault, suggestion};

use super::draft::{self, Bound, Draft, Rule};
use super::{Imported, Note};
use xml::Element;

const MARKS: [(&str, Bound); 2] = [("${{username}}", Bound::Username), ("${{clientid}}", Bound::ClientId)];

/// Translates the text of a `credentials.xml`.
///
/// # Errors
/// Where the text is no XML, and everything in it that the extension would refuse.
pub fn import(text: &str, origin: &str) -> Result<Imported, Vec<Fault>> {
    let root = xml::read(text, origin).map_err(|fault| vec![fault])?;
    let mut importer = Importer { origin, notes: Vec::new(), faults: Vec::new() };
    if root.name != "file-rbac" {
        importer.fault(&root, format!("found <{}>", root.name), "<file-rbac> with <users> and <roles>");
        return Err(importer.faults);
    }
    let draft = importer.draft(&root);
    importer.faults.sort_by_key(|fault| (fault.line, fault.column));
    if importer.faults.is_empty() { Ok(draft.finish(origin, importer.notes)) } else { Err(importer.faults) }
}

struct Importer<'a> {
    origin: &'a str,
    notes: Vec<Note>,
    faults: Vec<Fault>,
}

impl Importer<'_> {
    fn fault(&mut self, element: &Element, found: impl Into<String>, allowed: impl Into<String>) {
        self.faults.push(Fault::new(self.origin, &element.name, found, allowed).at(element.line, element.column));
    }

    fn note(&mut self, line: u32, what: impl Into<String>, why: impl Into<String>, instead: impl Into<String>) {
        let origin = self.origin.to_owned();
        self.notes.push(Note { origin, line: Some(line), what: what.into(), why: why.into(), instead: instead.into() });
    }

    /// The children of `element` by name; others are faults.
    fn children<'e>(&mut self, element: &'e Element, known: &[&str]) -> Vec<&'e Element> {
        let (known_ones, others): (Vec<&Element>, Vec<&Element>) =
            element.children.iter().partition(|child| known.contains(&child.name.as_str()));
        for other in others {
            self.fault(other, format!("is no part of <{}>", element.name), format!("one of {}", known.join(", ")));
        }
        known_ones
    }

    /// The text of the one child of this name, which must be there.
    fn required<'e>(&mut self, element: &'e Element, name: &str) -> Option<&'e str> {
        let text = element.child(name).map(|child| child.text.trim()).filter(|text| !text.is_empty());
        if text.is_none() {
            self.fault(element, format!("has no <{name}>"), format!("<{name}>…</{name}>"));
        }
        text
    }

    fn draft(&mut self, root: &Element) -> Draft {
        let mut draft = Draft {
            source: format!("{}, credentials of HiveMQ's file RBAC extension", self.origin),
            ..Draft::default()
        };
        let sections = self.children(root, &["users", "roles"]);
        let mut role_by_id: BTreeMap<String, usize> = BTreeMap::new();
        for section in sections.iter().filter(|section| section.name == "roles") {
            for role in self.children(section, &["role"]) {
                self.children(role, &["id", "permissions"]);
                let Some(id) = self.required(role, "id") else { continue };
                if role_by_id.contains_key(id) {
                    self.fault(role, format!("{id:?} is there already"), "each id once");
                    continue;
                }
                let mut rules = Vec::new();
                for permissions in role.children.iter().filter(|child| child.name == "permissions") {
                    for permission in self.children(permissions, &["permission"]) {
                        rules.extend(self.permission(permission));
                    }
                }
                role_by_id.insert(id.to_owned(), draft.role(id, rules));
            }
        }
        for section in sections.iter().filter(|section| section.name == "users") {
            let mut names = Vec::new();
            for user in self.children(section, &["user"]) {
                names.extend(self.user(user, &role_by_id, &mut draft));
            }
            if !names.is_empty() {
                let why = "the hashes have a form of their own, and plain passwords are for nobody to see";
                let instead = format!("left out; `tidegate passwd FILE USER` for {}", draft::listed(names));
                self.note(section.line, "passwords", why, instead);
            }
        }
        draft
    }

    fn user(&mut self, user: &Element, role_by_id: &BTreeMap<String, usize>, draft: &mut Draft) -> Option<String> {
        self.children(user, &["name", "password", "roles"]);
        let name = self.required(user, "name")?;
        if !draft::is_ordinary(name) {
            self.note(
                user.line,
                format!("user {name:?}"),
                "the name means somebody else here",
                "left out; rename the user",
            );
            return None;
        }
        for id in user.children.iter().filter(|child| child.name == "roles").flat_map(|roles| &roles.children) {
            let wanted = id.text.trim();
            match role_by_id.get(wanted) {
                Some(role) => draft.give(name, *role),
                None => {
                    let near = suggestion(wanted, role_by_id.keys().map(String::as_str));
                    let allowed = near.map_or("the id of a role".to_owned(), |near| format!("did you mean {near:?}?"));
                    self.fault(id, format!("there is no role {wanted:?}"), allowed);
                }
            }
        }
        Some(name.to_owned())
    }

    /// The word that a permission has for something, of those that are known; the first of them unless said.
    fn word<'k>(&mut self, permission: &Element, name: &str, known: &[&'k str]) -> &'k str {
        let Some(child) = permission.child(name) else { return known[0] };
        match known.iter().find(|word| **word == child.text.trim()) {
            Some(word) => word,
            None => {
                self.fault(child, format!("found {:?}", child.text.trim()), format!("one of {}", known.join(", ")));
                known[0]
            }
        }
    }

    fn permission(&mut self, permission: &Element) -> Option<Rule> {
        const PARTS: [&str; 6] = ["topic", "activity", "qos", "retain", "shared-subscription", "shared-group"];
        self.children(permission, &PARTS);
        let activity = self.word(permission, "activity", &["ALL", "PUBLISH", "SUBSCRIBE"]);
        let qos = self.word(permission, "qos", &["ALL", "ZERO", "ONE", "TWO", "ZERO_ONE", "ONE_TWO", "ZERO_TWO"]);
        let retain = self.word(permission, "retain", &["ALL", "RETAINED", "NOT_RETAINED"]);
        let shared = self.word(permission, "shared-subscription", &["ALL", "SHARED", "NOT_SHARED"]);
        let topic = self.required(permission, "topic")?;
        let (line, what) = (permission.line, format!("permission {topic:?}"));
        let translated = match draft::rule_topic(topic, &MARKS) {
            Ok(translated) => translated,
            Err(error) => {
                self.note(line, what, error.to_string(), "left out");
                return None;
            }
        };
        let max_qos = match qos {
            "ALL" => None,
            "ZERO" => Some(0),
            "ZERO_ONE" => Some(1),
            "ZERO_TWO" => {
                self.note(
                    line,
                    format!("{what} qos {qos}"),
                    "a grant for a higher QoS is one for the lower, too",
                    "QoS 0 only",
                );
                Some(0)
            }
            _ => {
                self.note(
                    line,
                    format!("{what} qos {qos}"),
                    "a grant for a higher QoS is one for the lower, too",
                    "left out",
                );
                return None;
            }
        };
        let (mut can_read, mut can_write) = (activity != "PUBLISH", activity != "SUBSCRIBE");
        if can_write && retain == "RETAINED" {
            self.note(
                line,
                format!("{what} retain {retain}"),
                "a grant for retained messages is one for others, too",
                "publishing left out",
            );
            can_write = false;
        }
        if can_read && shared == "SHARED" {
            let why = "a Shared Subscription is judged as its filter";
            self.note(line, format!("{what} shared-subscription {shared}"), why, "subscribing left out");
            can_read = false;
        }
        if can_read
            && (shared == "NOT_SHARED"
                || permission.child("shared-group").is_some_and(|group| group.text.trim() != "#"))
        {
            let why = "a Shared Subscription is judged as its filter, whatever its group";
            self.note(line, format!("{what} shared"), why, "who may subscribe may share, too");
        }
        (can_read || can_write).then(|| Rule {
            max_qos,
            retain: retain != "NOT_RETAINED",
            ..Rule::allow(translated, can_read, can_write, line)
        })
    }
}
