//! A policy as written: every value still beside its place, names not looked up yet.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::{Content, Node, Place};
use crate::fault::Fault;
use crate::mqtt::QoS;

use super::limits::{self, WrittenLimits};
use super::reader::{self, Reader, Text, describe, item, join};

const SECTIONS: [&str; 9] = ["version", "partial", "roles", "users", "claims", "acl", "limits", "envelope", "tests"];

/// What the text says. Only [`read`] makes one.
#[derive(Debug, Default)]
pub(super) struct PolicyFile {
    pub(super) partial: Partial,
    pub(super) roles: Vec<(Text, Vec<WrittenRule>)>,
    pub(super) users: Vec<(Text, Vec<Text>)>,
    pub(super) claims: Vec<WrittenClaims>,
    pub(super) acl: Vec<WrittenRow>,
    pub(super) limits: Vec<WrittenLimits>,
    pub(super) envelopes: Vec<WrittenEnvelope>,
    pub(super) tests: Vec<WrittenTest>,
}

/// What becomes of a SUBSCRIBE of which only a part is granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Partial {
    /// It is refused.
    #[default]
    Refuse,
    /// It is granted, and each delivery is checked.
    Filter,
}

/// Reading, writing or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) read: bool,
    pub(super) write: bool,
}

/// An entry of `roles`.
#[derive(Debug)]
pub(super) struct WrittenRule {
    pub(super) place: Place,
    /// `roles.client[0]`
    pub(super) path: String,
    pub(super) topic: Text,
    pub(super) mode: Mode,
    pub(super) is_deny: bool,
    pub(super) maximum_qos: QoS,
}

/// An entry of `acl`.
#[derive(Debug)]
pub(super) struct WrittenRow {
    pub(super) place: Place,
    /// `acl[0]`
    pub(super) path: String,
    pub(super) username: Text,
    pub(super) topic: Text,
    pub(super) mode: Mode,
}

/// An entry of `claims`: who has all of `when` gets `roles`.
#[derive(Debug)]
pub(super) struct WrittenClaims {
    /// `claims[0]`
    pub(super) path: String,
    pub(super) when: BTreeMap<String, String>,
    pub(super) roles: Vec<Text>,
}

/// An entry of `envelope`.
#[derive(Debug)]
pub(super) struct WrittenEnvelope {
    pub(super) place: Place,
    /// `envelope[0]`
    pub(super) path: String,
    pub(super) topic: Text,
    /// Whose tokens are HMACs; this, [`Self::jwt`] or both.
    pub(super) key_file: Option<Text>,
    pub(super) max_age_s: u64,
    /// Where it is said that JSON Web Tokens are taken.
    pub(super) jwt: Option<Place>,
}

/// An entry of `tests`.
#[derive(Clone, Debug)]
pub(super) struct WrittenTest {
    pub(super) place: Place,
    /// `tests[0]`
    pub(super) path: String,
    pub(super) username: String,
    pub(super) client_id: String,
    pub(super) claims: BTreeMap<String, String>,
    pub(super) operation: Operation,
    pub(super) topic: Text,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) is_allowed: bool,
}

/// What somebody wants to do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Publish,
    Subscribe,
}

/// Reads the text of a policy file: what could be read of it, and all faults of its shape. (Names and topics are [`super::rule`]'s.)
///
/// # Errors
/// That the text is no YAML or says nothing.
pub(super) fn read(text: &str, origin: &str) -> Result<(PolicyFile, Vec<Fault>), Fault> {
    let root = reader::parse(text, origin)?;
    let mut reader = Reader::new(origin);
    let mut file = PolicyFile::default();
    if matches!(root.content, Content::Null) {
        // An empty file is what a failed write leaves behind: it must not pass for "no rules".
        return Err(Fault::new(origin, "", "the file is empty", "a policy; `version: 1` alone denies everything"));
    }
    if let Some(sections) = reader.fields(&root, "", SECTIONS, "a mapping that begins with `version: 1`") {
        read_sections(&mut reader, &root, sections, &mut file);
    }
    Ok((file, reader.faults))
}

fn read_sections(reader: &mut Reader<'_>, root: &Node, sections: [Option<&Node>; 9], file: &mut PolicyFile) {
    let [version, partial, roles, users, claims, acl, limits, envelope, tests] = sections;
    if let Some(version) = reader.required(version, root, "", "version", "version: 1")
        && !matches!(version.content, Content::Integer(1))
    {
        reader.fault(version.place, "version", describe(&version.content), "1");
    }
    if let Some(partial) = partial {
        file.partial = read_partial(reader, partial);
    }
    if let Some(roles) = roles {
        file.roles = read_roles(reader, roles);
    }
    if let Some(users) = users {
        file.users = read_users(reader, users);
    }
    if let Some(claims) = claims {
        file.claims = read_claims(reader, claims);
    }
    if let Some(acl) = acl {
        file.acl = read_acl(reader, acl);
    }
    if let Some(node) = limits {
        file.limits = limits::read(reader, node);
    }
    if let Some(envelope) = envelope {
        file.envelopes = read_envelopes(reader, envelope);
    }
    if let Some(tests) = tests {
        file.tests = read_tests(reader, tests);
    }
}

fn read_partial(reader: &mut Reader<'_>, node: &Node) -> Partial {
    match &node.content {
        Content::Text(text) if text == "refuse" => Partial::Refuse,
        Content::Text(text) if text == "filter" => Partial::Filter,
        other => {
            reader.fault(node.place, "partial", describe(other), "refuse or filter");
            Partial::Refuse
        }
    }
}

fn read_roles(reader: &mut Reader<'_>, node: &Node) -> Vec<(Text, Vec<WrittenRule>)> {
    let mut roles = Vec::new();
    for entry in reader.entries(node, "roles", "a mapping from role to list of rules") {
        let path = join("roles", &entry.key);
        let mut written = Vec::new();
        for (index, rule) in reader.list(&entry.value, &path, "a list of {topic, rw | deny} rules").iter().enumerate() {
            written.extend(read_rule(reader, rule, &item(&path, index)));
        }
        roles.push((Text::of_key(entry), written));
    }
    roles
}

fn read_rule(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<WrittenRule> {
    const SHAPE: &str = "a rule such as {topic: \"a/+\", rw: r}";
    let [topic, rw, deny, max_qos] = reader.fields(node, path, ["topic", "rw", "deny", "max_qos"], SHAPE)?;
    let topic = reader
        .required(topic, node, path, "topic", "a Topic Filter")
        .and_then(|topic| reader.text(topic, &join(path, "topic"), "a Topic Filter"));
    let (mode, is_deny) = match (rw, deny) {
        (Some(rw), None) => (read_mode(reader, rw, &join(path, "rw")), false),
        (None, Some(deny)) => (read_mode(reader, deny, &join(path, "deny")), true),
        (Some(_), Some(deny)) => {
            reader.fault(deny.place, &join(path, "deny"), "stands beside rw", "either rw or deny; write two rules");
            (None, true)
        }
        (None, None) => {
            reader.fault(node.place, path, "has neither rw nor deny", "rw: r | w | rw, or deny: r | w | rw");
            (None, false)
        }
    };
    let maximum_qos = match max_qos {
        Some(max_qos) if is_deny => {
            reader.fault(max_qos.place, &join(path, "max_qos"), "stands in a deny", "max_qos only beside rw");
            QoS::ExactlyOnce
        }
        Some(max_qos) => read_qos(reader, max_qos, &join(path, "max_qos")),
        None => QoS::ExactlyOnce,
    };
    Some(WrittenRule { place: node.place, path: path.to_owned(), topic: topic?, mode: mode?, is_deny, maximum_qos })
}

fn read_mode(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Mode> {
    match &node.content {
        Content::Text(text) if text == "r" => Some(Mode { read: true, write: false }),
        Content::Text(text) if text == "w" => Some(Mode { read: false, write: true }),
        Content::Text(text) if text == "rw" => Some(Mode { read: true, write: true }),
        Content::Integer(1) => Some(Mode { read: true, write: false }),
        Content::Integer(2) => Some(Mode { read: true, write: true }),
        other => {
            reader.fault(node.place, path, describe(other), "r, w or rw; or 1 = read, 2 = read and write");
            None
        }
    }
}

pub(super) fn read_qos(reader: &mut Reader<'_>, node: &Node, path: &str) -> QoS {
    let qos = match node.content {
        Content::Integer(number) => u8::try_from(number).ok().and_then(QoS::from_u8),
        _ => None,
    };
    qos.unwrap_or_else(|| {
        reader.fault(node.place, path, describe(&node.content), "0, 1 or 2");
        QoS::AtMostOnce
    })
}

fn read_users(reader: &mut Reader<'_>, node: &Node) -> Vec<(Text, Vec<Text>)> {
    let mut users = Vec::new();
    for entry in reader.entries(node, "users", "a mapping from username to list of roles") {
        let roles = read_names(reader, &entry.value, &join("users", &entry.key));
        users.push((Text::of_key(entry), roles));
    }
    users
}

fn read_names(reader: &mut Reader<'_>, node: &Node, path: &str) -> Vec<Text> {
    let names = reader.list(node, path, "a list of roles; [] for none");
    names.iter().enumerate().filter_map(|(index, name)| reader.text(name, &item(path, index), "a role")).collect()
}

fn read_claims(reader: &mut Reader<'_>, node: &Node) -> Vec<WrittenClaims> {
    const SHAPE: &str = "an entry such as {when: {role: ops}, roles: [backend]}";
    let mut claims = Vec::new();
    for (index, entry) in reader.list(node, "claims", "a list of {when, roles}").iter().enumerate() {
        let path = item("claims", index);
        let Some([when, roles]) = reader.fields(entry, &path, ["when", "roles"], SHAPE) else { continue };
        let when = reader.required(when, entry, &path, "when", SHAPE).map(|when| {
            let path = join(&path, "when");
            let found = read_texts(reader, when, &path);
            if found.is_empty() && matches!(&when.content, Content::Mapping(entries) if entries.is_empty()) {
                reader.fault(
                    when.place,
                    &path,
                    "is empty",
                    "at least one claim; for everybody use users: {\"*\": […]}",
                );
            }
            found
        });
        let roles = reader.required(roles, entry, &path, "roles", SHAPE);
        let roles = roles.map(|roles| read_names(reader, roles, &join(&path, "roles")));
        if let (Some(when), Some(roles)) = (when, roles) {
            claims.push(WrittenClaims { path, when, roles });
        }
    }
    claims
}

fn read_texts(reader: &mut Reader<'_>, node: &Node, path: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for entry in reader.entries(node, path, "a mapping from claim to value") {
        if let Some(value) = reader.text(&entry.value, &join(path, &entry.key), "a text") {
            texts.insert(entry.key.clone(), value.text);
        }
    }
    texts
}

fn read_acl(reader: &mut Reader<'_>, node: &Node) -> Vec<WrittenRow> {
    const SHAPE: &str = "a row [username, topic, 1 or 2]";
    let mut rows = Vec::new();
    for (index, row) in reader.list(node, "acl", "a list of rows [username, topic, 1 or 2]").iter().enumerate() {
        let path = item("acl", index);
        let Content::Sequence(cells) = &row.content else {
            reader.fault(row.place, &path, describe(&row.content), SHAPE);
            continue;
        };
        let [username, topic, rw] = cells.as_slice() else {
            reader.fault(row.place, &path, format!("found {} values", cells.len()), SHAPE);
            continue;
        };
        let username = reader.text(username, &item(&path, 0), "a username");
        let topic = reader.text(topic, &item(&path, 1), "a Topic Filter");
        let mode = match rw.content {
            Content::Integer(1 | 2) => read_mode(reader, rw, &item(&path, 2)),
            ref other => {
                reader.fault(rw.place, &item(&path, 2), describe(other), "1 = read, 2 = read and write");
                None
            }
        };
        if let (Some(username), Some(topic), Some(mode)) = (username, topic, mode) {
            rows.push(WrittenRow { place: row.place, path, username, topic, mode });
        }
    }
    rows
}

/// How far a timestamp may be from the clock unless an entry says so.
const MAX_AGE_DEFAULT_S: u64 = 60;

/// The longest that may be said: the window of what was seen is as long.
const MAX_AGE_MAX_S: u64 = 24 * 60 * 60;

fn read_envelopes(reader: &mut Reader<'_>, node: &Node) -> Vec<WrittenEnvelope> {
    let nodes = reader.list(node, "envelope", "a list of {topic, key_file, max_age}");
    let read = |(index, entry)| read_envelope(reader, entry, &item("envelope", index));
    nodes.iter().enumerate().filter_map(read).collect()
}

fn read_envelope(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<WrittenEnvelope> {
    const SHAPE: &str = "an entry such as {topic: \"/single/${username}\", key_file: envelope.key}";
    const KEY_FILE: &str = "a file with a line CLIENT_ID:KEY for each client";
    let [topic, key_file, max_age, jwt] = reader.fields(node, path, ["topic", "key_file", "max_age", "jwt"], SHAPE)?;
    let topic = reader
        .required(topic, node, path, "topic", "a Topic Filter")
        .and_then(|topic| reader.text(topic, &join(path, "topic"), "a Topic Filter"));
    let takes_jwt = jwt.is_some_and(|jwt| reader.bool(jwt, &join(path, "jwt")).unwrap_or_default());
    let key_file = match key_file {
        Some(key_file) => Some(reader.text(key_file, &join(path, "key_file"), KEY_FILE)?),
        None if takes_jwt => None,
        None => {
            let allowed = format!("{KEY_FILE}, or jwt: true");
            reader.fault(node.place, &join(path, "key_file"), "is missing", allowed);
            return None;
        }
    };
    let max_age_s = match max_age {
        Some(max_age) => read_max_age(reader, max_age, &join(path, "max_age"))?,
        None => MAX_AGE_DEFAULT_S,
    };
    let jwt = jwt.filter(|_| takes_jwt).map(|jwt| jwt.place);
    Some(WrittenEnvelope { place: node.place, path: path.to_owned(), topic: topic?, key_file, max_age_s, jwt })
}

fn read_max_age(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<u64> {
    let seconds = match &node.content {
        Content::Text(text) => parse_seconds(text).filter(|seconds| (1..=MAX_AGE_MAX_S).contains(seconds)),
        _ => None,
    };
    if seconds.is_none() {
        reader.fault(node.place, path, describe(&node.content), "a time with s, m or h from 1s to 24h, such as 60s");
    }
    seconds
}

fn parse_seconds(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

fn read_tests(reader: &mut Reader<'_>, node: &Node) -> Vec<WrittenTest> {
    let nodes = reader.list(node, "tests", "a list of {as, may | may_not, topic}");
    nodes.iter().enumerate().filter_map(|(index, test)| read_test(reader, test, &item("tests", index))).collect()
}

fn read_test(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<WrittenTest> {
    const SHAPE: &str = "a test such as {as: client, may: publish, topic: a/b}";
    const KEYS: [&str; 8] = ["as", "may", "may_not", "topic", "client_id", "claims", "qos", "retain"];
    let [who, may, may_not, topic, client_id, claims, qos, retain] = reader.fields(node, path, KEYS, SHAPE)?;
    let who = reader.required(who, node, path, "as", "a username, or anonymous");
    let who = who.and_then(|who| reader.text(who, &join(path, "as"), "a username, or anonymous"));
    let topic = reader.required(topic, node, path, "topic", "a Topic Name or Topic Filter");
    let topic = topic.and_then(|topic| reader.text(topic, &join(path, "topic"), "a Topic Name or Topic Filter"));
    let expected = match (may, may_not) {
        (Some(may), None) => read_operation(reader, may, &join(path, "may")).map(|operation| (operation, true)),
        (None, Some(not)) => read_operation(reader, not, &join(path, "may_not")).map(|operation| (operation, false)),
        _ => {
            reader.fault(node.place, path, "needs one of may and may_not", SHAPE);
            None
        }
    };
    let client_id = client_id.and_then(|id| reader.text(id, &join(path, "client_id"), "a Client Identifier"));
    let claims = claims.map(|claims| read_texts(reader, claims, &join(path, "claims"))).unwrap_or_default();
    let qos = qos.map_or(QoS::AtMostOnce, |qos| read_qos(reader, qos, &join(path, "qos")));
    let retain = retain.and_then(|retain| reader.bool(retain, &join(path, "retain"))).unwrap_or(false);
    let (operation, is_allowed) = expected?;
    Some(WrittenTest {
        place: node.place,
        path: path.to_owned(),
        username: who?.text,
        client_id: client_id.map_or_else(|| "test".to_owned(), |id| id.text),
        claims,
        operation,
        topic: topic?,
        qos,
        retain,
        is_allowed,
    })
}

fn read_operation(reader: &mut Reader<'_>, node: &Node, path: &str) -> Option<Operation> {
    match &node.content {
        Content::Text(text) if text == "publish" => Some(Operation::Publish),
        Content::Text(text) if text == "subscribe" => Some(Operation::Subscribe),
        other => {
            reader.fault(node.place, path, describe(other), "publish or subscribe");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_a_unit() {
        assert_eq!(["60s", "2m", "24h"].map(parse_seconds), [Some(60), Some(120), Some(86_400)]);
        for wrong in ["", "60", "s", "-1s", "1.5m", "60S", "6 s", "500ms", "18446744073709551615h"] {
            assert_eq!(parse_seconds(wrong), None, "{wrong:?}");
        }
    }
}
