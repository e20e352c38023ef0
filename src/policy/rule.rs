//! A policy as meant: topics taken apart into levels, names looked up, everything checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::auth::Principal;
use crate::auth::principal::ANONYMOUS;
use crate::document::Place;
use crate::fault::{Fault, suggestion};
use crate::mqtt::topic::is_server_owned;
use crate::mqtt::{QoS, TopicFilter, TopicName};

use super::file::{Mode, Operation, Partial, PolicyFile, WrittenTest};
use super::limits::{Allowance, Limits};
use super::reader::{Reader, Text, item, join};

/// The name under `users` and `acl` that stands for every authenticated identity.
pub(super) const EVERYBODY: &str = "*";

/// The role of what holds for everybody.
const NO_ROLE: usize = usize::MAX;

/// One rule as `explain` and the log name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The file, as the operator named it.
    pub origin: Arc<str>,
    /// From 1.
    pub line: u32,
    /// `client: "/p/${username}/upload" rw`.
    pub text: Box<str>,
    pub(super) role: usize,
    pub(super) levels: Vec<Level>,
    pub(super) mode: Mode,
    pub(super) is_deny: bool,
    /// The lower of the rule's and the role's.
    pub(super) maximum_qos: QoS,
}

/// One level of a rule's topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Literal(Box<str>),
    /// `+`
    One,
    /// `#`
    Rest,
    Bound(BoundLevel),
}

/// A level that holds a placeholder, perhaps between literal characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BoundLevel {
    pub(super) prefix: Box<str>,
    /// Index into [`Rules::placeholders`].
    pub(super) placeholder: usize,
    pub(super) suffix: Box<str>,
}

/// What a rule may take from an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    Username,
    ClientId,
    Claim(Box<str>),
}

/// A set of rules that an identity has or has not: a role, or the `acl` rows of one username.
#[derive(Debug)]
pub(super) struct Role {
    /// `client`, or `acl of client`.
    pub(super) name: Box<str>,
    pub(super) limits: Limits,
    pub(super) allowance: Allowance,
}

/// An entry of `claims`: who has all of `when` has `roles`.
#[derive(Debug)]
pub(super) struct ClaimRule {
    pub(super) when: BTreeMap<String, String>,
    pub(super) roles: Vec<usize>,
}

/// An entry of `envelope`; its key file is not read yet.
#[derive(Debug)]
pub(super) struct EnvelopeEntry {
    /// Says on which topics it holds: by matching as any rule does.
    pub(super) rule: Rule,
    /// `envelope[0]`
    pub(super) path: String,
    pub(super) key_file: Option<Text>,
    pub(super) max_age_s: u64,
    pub(super) jwt: Option<Place>,
}

/// The whole policy, resolved.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) partial: Partial,
    /// In the order of the file.
    pub(super) rules: Vec<Rule>,
    pub(super) roles: Vec<Role>,
    /// Sorted and without repetition; from `users` and `acl` together.
    pub(super) roles_by_username: BTreeMap<Box<str>, Vec<usize>>,
    pub(super) claims: Vec<ClaimRule>,
    pub(super) placeholders: Vec<Placeholder>,
    /// In the order of the file.
    pub(super) envelopes: Vec<EnvelopeEntry>,
    pub(super) tests: Vec<WrittenTest>,
}

impl Rules {
    /// Resolves what is written; also all topics that are none, and all names that name nothing.
    pub(super) fn resolve(file: PolicyFile, origin: &str) -> (Self, Vec<Fault>) {
        let mut resolver = Resolver::new(origin);
        resolver.roles(&file);
        resolver.users(&file);
        resolver.acl(&file);
        resolver.claims(&file);
        let envelopes = resolver.envelopes(&file);
        resolver.tests(&file.tests);
        let Resolver { reader, mut placed, roles, roles_by_username, claims, placeholders, .. } = resolver;
        placed.sort_by_key(|(place, _)| *place);
        let rules = placed.into_iter().map(|(_, rule)| rule).collect();
        let partial = file.partial;
        let tests = file.tests;
        let rules = Self { partial, rules, roles, roles_by_username, claims, placeholders, envelopes, tests };
        (rules, reader.faults)
    }
}

struct Resolver<'a> {
    reader: Reader<'a>,
    origin: Arc<str>,
    placed: Vec<(Place, Rule)>,
    roles: Vec<Role>,
    role_by_name: BTreeMap<String, usize>,
    roles_by_username: BTreeMap<Box<str>, Vec<usize>>,
    claims: Vec<ClaimRule>,
    placeholders: Vec<Placeholder>,
}

impl<'a> Resolver<'a> {
    fn new(origin: &'a str) -> Self {
        Self {
            reader: Reader::new(origin),
            origin: origin.into(),
            placed: Vec::new(),
            roles: Vec::new(),
            role_by_name: BTreeMap::new(),
            roles_by_username: BTreeMap::new(),
            claims: Vec::new(),
            placeholders: Vec::new(),
        }
    }

    fn roles(&mut self, file: &PolicyFile) {
        for (name, _) in &file.roles {
            self.role_by_name.insert(name.text.clone(), self.roles.len());
            self.roles.push(Role::without_limits(&name.text));
        }
        for written in &file.limits {
            if let Some(role) = self.role(&written.role, &join("limits", &written.role.text)) {
                self.roles[role].limits = written.limits;
                self.roles[role].allowance = written.allowance;
            }
        }
        for (role, (name, rules)) in file.roles.iter().enumerate() {
            for written in rules {
                let path = join(&written.path, "topic");
                let Some(levels) = self.topic(&written.topic, &path) else { continue };
                if written.mode.write && !written.is_deny {
                    self.refuse_server_owned(&written.topic, &path);
                }
                let deny = if written.is_deny { "deny " } else { "" };
                let mut text = format!("{}: {:?} {deny}{}", name.text, written.topic.text, written.mode);
                if written.maximum_qos < QoS::ExactlyOnce {
                    text += &format!(", max_qos {}", written.maximum_qos as u8);
                }
                let rule = Rule {
                    origin: Arc::clone(&self.origin),
                    line: written.place.line,
                    text: text.into(),
                    role,
                    levels,
                    mode: written.mode,
                    is_deny: written.is_deny,
                    maximum_qos: written.maximum_qos.min(self.roles[role].limits.maximum_qos),
                };
                self.placed.push((written.place, rule));
            }
        }
    }

    fn users(&mut self, file: &PolicyFile) {
        for (name, roles) in &file.users {
            let path = join("users", &name.text);
            if name.text.is_empty() {
                self.reader.fault(name.place, &path, "is empty", "a username, \"*\" or anonymous");
            }
            let roles = self.named_roles(roles, &path);
            add_roles(&mut self.roles_by_username, &name.text, &roles);
        }
    }

    fn acl(&mut self, file: &PolicyFile) {
        let mut role_by_username: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &file.acl {
            let path = &row.path;
            let username = row.username.text.as_str();
            if username.is_empty() {
                self.reader.fault(row.username.place, &item(path, 0), "is empty", "a username, \"*\" or anonymous");
            }
            let Some(levels) = self.topic(&row.topic, &item(path, 1)) else { continue };
            if row.mode.write {
                self.refuse_server_owned(&row.topic, &item(path, 1));
            }
            let role = *role_by_username.entry(username).or_insert_with(|| {
                self.roles.push(Role::without_limits(&format!("acl of {username}")));
                self.roles.len() - 1
            });
            add_roles(&mut self.roles_by_username, username, &[role]);
            let rule = Rule {
                origin: Arc::clone(&self.origin),
                line: row.place.line,
                text: format!("acl of {username}: {:?} {}", row.topic.text, row.mode).into(),
                role,
                levels,
                mode: row.mode,
                is_deny: false,
                maximum_qos: QoS::ExactlyOnce,
            };
            self.placed.push((row.place, rule));
        }
    }

    fn claims(&mut self, file: &PolicyFile) {
        for entry in &file.claims {
            let roles = self.named_roles(&entry.roles, &join(&entry.path, "roles"));
            self.claims.push(ClaimRule { when: entry.when.clone(), roles });
        }
    }

    fn envelopes(&mut self, file: &PolicyFile) -> Vec<EnvelopeEntry> {
        let mut envelopes = Vec::new();
        for written in &file.envelopes {
            let Some(levels) = self.topic(&written.topic, &join(&written.path, "topic")) else { continue };
            let rule = Rule {
                origin: Arc::clone(&self.origin),
                line: written.place.line,
                text: format!("envelope: {:?}, max_age {}s", written.topic.text, written.max_age_s).into(),
                role: NO_ROLE,
                levels,
                mode: Mode { read: false, write: true },
                is_deny: false,
                maximum_qos: QoS::ExactlyOnce,
            };
            let (path, key_file) = (written.path.clone(), written.key_file.clone());
            envelopes.push(EnvelopeEntry { rule, path, key_file, max_age_s: written.max_age_s, jwt: written.jwt });
        }
        envelopes
    }

    fn tests(&mut self, tests: &[WrittenTest]) {
        for test in tests {
            let wrong = match test.operation {
                Operation::Publish => TopicName::parse(test.topic.text.as_str()).err(),
                Operation::Subscribe => TopicFilter::parse(&test.topic.text).err(),
            };
            if let Some(error) = wrong {
                let path = join(&test.path, "topic");
                let found = format!("{:?} {error}", test.topic.text);
                self.reader.fault(test.topic.place, &path, found, "a topic that a client could ask for");
            }
            if test.username == EVERYBODY {
                let path = join(&test.path, "as");
                self.reader.fault(test.place, &path, "found \"*\"", "one username; any name does for \"*\" rules");
            }
        }
    }

    fn named_roles(&mut self, names: &[Text], path: &str) -> Vec<usize> {
        names.iter().enumerate().filter_map(|(index, name)| self.role(name, &item(path, index))).collect()
    }

    fn role(&mut self, name: &Text, path: &str) -> Option<usize> {
        if let Some(&role) = self.role_by_name.get(&name.text) {
            return Some(role);
        }
        let allowed = match suggestion(&name.text, self.role_by_name.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "a name under `roles`".to_owned(),
        };
        self.reader.fault(name.place, path, format!("there is no role {:?}", name.text), allowed);
        None
    }

    /// A grant of writing where the server alone publishes would never hold, and nothing in a policy is ignored.
    fn refuse_server_owned(&mut self, topic: &Text, path: &str) {
        if is_server_owned(&topic.text) {
            let found = format!("{:?} for writing", topic.text);
            self.reader.fault(topic.place, path, found, "under $SYS reading only: the server alone publishes there");
        }
    }

    /// Takes a rule's topic apart.
    fn topic(&mut self, topic: &Text, path: &str) -> Option<Vec<Level>> {
        if topic.text.starts_with("$share/") {
            let allowed = "the filter without $share/NAME/: a Shared Subscription is judged as its filter";
            self.reader.fault(topic.place, path, format!("found {:?}", topic.text), allowed);
            return None;
        }
        if let Err(error) = TopicFilter::parse(&topic.text) {
            self.reader.fault(topic.place, path, format!("{:?} {error}", topic.text), "a Topic Filter");
            return None;
        }
        let mut levels = Vec::new();
        for text in topic.text.split('/') {
            match parse_level(text, &mut self.placeholders) {
                Ok(level) => levels.push(level),
                Err(allowed) => {
                    self.reader.fault(topic.place, path, format!("found {text:?}"), allowed);
                    return None;
                }
            }
        }
        Some(levels)
    }
}

fn add_roles(roles_by_username: &mut BTreeMap<Box<str>, Vec<usize>>, username: &str, added: &[usize]) {
    let roles = roles_by_username.entry(username.into()).or_default();
    for role in added {
        if let Err(index) = roles.binary_search(role) {
            roles.insert(index, *role);
        }
    }
}

/// Takes one level of a rule's topic, or says what it would have to be.
fn parse_level(text: &str, placeholders: &mut Vec<Placeholder>) -> Result<Level, &'static str> {
    const ONE: &str = "at most one placeholder in a level, as two could be filled in more than one way";
    match text {
        "+" => return Ok(Level::One),
        "#" => return Ok(Level::Rest),
        _ => {}
    }
    let Some((prefix, placeholder, suffix)) = find_placeholder(text)? else { return Ok(Level::Literal(text.into())) };
    if find_placeholder(suffix)?.is_some() {
        return Err(ONE);
    }
    let index = placeholders.iter().position(|known| *known == placeholder).unwrap_or_else(|| {
        placeholders.push(placeholder);
        placeholders.len() - 1
    });
    Ok(Level::Bound(BoundLevel { prefix: prefix.into(), placeholder: index, suffix: suffix.into() }))
}

/// The first placeholder of `text`, with what stands before and after it.
fn find_placeholder(text: &str) -> Result<Option<(&str, Placeholder, &str)>, &'static str> {
    const KNOWN: &str = "${username}, ${clientid}, ${claim.NAME}, %u or %c";
    let short =
        [("%u", Placeholder::Username), ("%c", Placeholder::ClientId)].into_iter().filter_map(|(mark, meant)| {
            let start = text.find(mark)?;
            Some((start, start + mark.len(), meant))
        });
    let long = match text.find("${") {
        None => None,
        Some(start) => {
            let length = text[start..].find('}').ok_or(KNOWN)?;
            let placeholder = match &text[start + 2..start + length] {
                "username" => Placeholder::Username,
                "clientid" => Placeholder::ClientId,
                name => match name.strip_prefix("claim.") {
                    Some(claim) if !claim.is_empty() => Placeholder::Claim(claim.into()),
                    _ => return Err(KNOWN),
                },
            };
            Some((start, start + length + 1, placeholder))
        }
    };
    let first = short.chain(long).min_by_key(|(start, ..)| *start);
    Ok(first.map(|(start, end, placeholder)| (&text[..start], placeholder, &text[end..])))
}

impl Role {
    fn without_limits(name: &str) -> Self {
        Self { name: name.into(), limits: Limits::default(), allowance: Allowance::default() }
    }
}

impl Placeholder {
    /// What an identity has for it; empty if it has nothing.
    pub(super) fn value_of<'w>(&self, who: &'w Principal, client_id: &'w str) -> &'w str {
        match self {
            Self::Username => &who.username,
            Self::ClientId => client_id,
            Self::Claim(name) => who.claims.get(&**name).map_or("", String::as_str),
        }
    }
}

impl BoundLevel {
    /// Whether `level` is this level with `value` filled in.
    pub(super) fn matches(&self, level: &str, value: &str) -> bool {
        if self.prefix.is_empty() && self.suffix.is_empty() {
            return level == value;
        }
        level.len() == self.prefix.len() + value.len() + self.suffix.len()
            && level.starts_with(&*self.prefix)
            && level.ends_with(&*self.suffix)
            && level.as_bytes()[self.prefix.len()..].starts_with(value.as_bytes())
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Username => f.write_str("${username}"),
            Self::ClientId => f.write_str("${clientid}"),
            Self::Claim(name) => write!(f, "${{claim.{name}}}"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.read, self.write) {
            (true, true) => "rw",
            (true, false) => "r",
            (false, true) => "w",
            (false, false) => "none",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.text, self.origin, self.line)
    }
}

/// Whether `username` is the one of who comes without credentials.
pub(super) fn is_anonymous_name(username: &str) -> bool {
    username == ANONYMOUS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(text: &str) -> Result<Level, &'static str> {
        parse_level(text, &mut Vec::new())
    }

    #[test]
    fn a_level_is_literal_wildcard_or_bound() {
        assert_eq!(level("+"), Ok(Level::One));
        assert_eq!(level("#"), Ok(Level::Rest));
        for literal in ["", "a", "$SYS", "50%", "{username}", "$x"] {
            assert_eq!(level(literal), Ok(Level::Literal(literal.into())), "{literal}");
        }
        for bound in ["dev-${username}-x", "dev-%u-x"] {
            let expected = BoundLevel { prefix: "dev-".into(), placeholder: 0, suffix: "-x".into() };
            assert_eq!(level(bound), Ok(Level::Bound(expected)), "{bound}");
        }
        for wrong in ["${user}", "${username", "${}", "${claim.}", "%u%c", "${username}-%c", "${username}${nothing}"] {
            assert!(level(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bound_level_compares_as_literal_text() {
        let bound = BoundLevel { prefix: "d-".into(), placeholder: 0, suffix: "-d".into() };
        assert!(bound.matches("d-x-d", "x"));
        assert!(bound.matches("d-.*-d", ".*"));
        for (text, value) in [("d-d", ""), ("d--d", "x"), ("d-xy-d", "x"), ("d-x-", "x"), ("-x-d", "x"), ("d-+-d", "x")]
        {
            assert!(!bound.matches(text, value), "{text} {value}");
        }
    }
}
