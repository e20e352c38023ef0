//! Policies through their public face: single verdicts, the classes of known failures, and properties against a naive reading.

use proptest::prelude::*;

use super::*;
use crate::auth::Principal;
use crate::mqtt::{QoS, TopicFilter, topic};

mod diff;
mod golden;
mod known_failures;
mod laws;
mod properties;

/// Both articles' rules: a client's own channel, and the backend's reach.
const ARTICLES: &str = r#"version: 1
roles:
  client:
    - { topic: "/p/${username}/upload",   rw: rw }
    - { topic: "/p/${username}/download", rw: r, max_qos: 1 }
  backend:
    - { topic: "/p/+/#", rw: rw }
    - { topic: "/p/+/secret/#", deny: rw }
limits:
  client: { payload_bytes_max: 64KiB, retain: false }
users:
  client: [client]
  server: [backend]
  "*": []
  anonymous: []
acl:
  - [row, /p/row/upload, 2]
  - [row, /p/row/download, 1]
"#;

fn policy(text: &str) -> Policy {
    Policy::parse(text, "p.yaml").unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn faults(text: &str) -> Vec<String> {
    Policy::parse(text, "p.yaml").expect_err("faults").iter().map(ToString::to_string).collect()
}

fn access(text: &str, username: &str) -> Access {
    let who = if username == "anonymous" { Principal::anonymous() } else { Principal::user(username) };
    policy(text).bind(&who, "c1").unwrap()
}

fn may_publish(access: &Access, topic: &str) -> bool {
    access.publish(topic, QoS::AtMostOnce, false, 0).allow
}

fn may_subscribe(access: &Access, filter: &str) -> bool {
    let filter = TopicFilter::parse(filter).unwrap();
    matches!(access.subscribe(&filter, QoS::AtMostOnce), SubscribeVerdict::Granted { .. })
}

/// A policy in which everybody has these rules.
fn everybody(rules: &str) -> String {
    format!("version: 1\nroles:\n  r: {rules}\nusers: {{ \"*\": [r] }}\n")
}

#[test]
fn a_client_has_its_own_channel_only() {
    let client = access(ARTICLES, "client");
    assert!(may_publish(&client, "/p/client/upload"));
    assert!(may_subscribe(&client, "/p/client/upload"));
    assert!(may_subscribe(&client, "/p/client/download"));
    assert!(!may_publish(&client, "/p/client/download"));
    for filter in
        ["/p/other/download", "/p/+/upload", "/p/#", "#", "+/p/client/upload", "/p/client/upload/x", "p/client/upload"]
    {
        assert!(!may_subscribe(&client, filter), "{filter}");
    }
}

#[test]
fn rows_grant_what_roles_grant() {
    let row = access(ARTICLES, "row");
    assert!(may_publish(&row, "/p/row/upload") && may_subscribe(&row, "/p/row/upload"));
    assert!(!may_publish(&row, "/p/row/download") && may_subscribe(&row, "/p/row/download"));
    assert!(!may_publish(&row, "/p/client/upload"));
}

#[test]
fn who_is_not_named_may_nothing() {
    for username in ["stranger", "anonymous", "*", "Client"] {
        let access = access(ARTICLES, username);
        assert_eq!(access.publish("/p/client/upload", QoS::AtMostOnce, false, 0).reason, Reason::NoGrant, "{username}");
        assert!(!may_subscribe(&access, "/p/client/download"));
        assert!(!access.receive("/p/client/upload").allow);
    }
}

#[test]
fn a_deny_beats_a_grant_wherever_it_stands() {
    let server = access(ARTICLES, "server");
    assert!(may_publish(&server, "/p/x/y") && may_publish(&server, "/p/x"));
    let verdict = server.publish("/p/x/secret", QoS::AtMostOnce, false, 0);
    assert_eq!((verdict.allow, verdict.reason), (false, Reason::Denied));
    let rule = server.rule(verdict.rule.unwrap()).unwrap();
    assert_eq!((rule.line, &*rule.text), (8, "backend: \"/p/+/secret/#\" deny rw"));
    assert!(may_subscribe(&server, "/p/+/data/#"));
    assert!(!may_subscribe(&server, "/p/x/secret/y"));
    for filter in ["/p/+/#", "/p/x/+", "/p/x/#"] {
        assert!(!may_subscribe(&server, filter), "{filter} meets the deny");
    }
    let flipped = everybody(r#"[ { topic: "a/b", deny: r }, { topic: "a/#", rw: r } ]"#);
    assert!(!may_subscribe(&access(&flipped, "u"), "a/#") && !may_subscribe(&access(&flipped, "u"), "a/b"));
    assert!(may_subscribe(&access(&flipped, "u"), "a/c"));
}

#[test]
fn a_grant_holds_within_its_bounds() {
    let client = access(ARTICLES, "client");
    let publish = |qos, retain, size| client.publish("/p/client/upload", qos, retain, size).reason;
    assert_eq!(publish(QoS::ExactlyOnce, false, 65_536), Reason::Granted);
    assert_eq!(publish(QoS::ExactlyOnce, false, 65_537), Reason::PayloadTooLarge { bytes_max: 65_536 });
    assert_eq!(publish(QoS::AtMostOnce, true, 0), Reason::RetainNotAllowed);
    let download = TopicFilter::parse("/p/client/download").unwrap();
    let SubscribeVerdict::Granted { maximum_qos } = client.subscribe(&download, QoS::ExactlyOnce) else { panic!() };
    assert_eq!(maximum_qos, QoS::AtLeastOnce);
    let capped = everybody(r#"[ { topic: "a/b", rw: w, max_qos: 0 }, { topic: "a/c", rw: rw } ]"#);
    let capped = access(&capped, "u");
    let verdict = capped.publish("a/b", QoS::AtLeastOnce, false, 0);
    assert_eq!(verdict.reason, Reason::QosTooHigh { maximum: QoS::AtMostOnce });
    assert_eq!(capped.describe(verdict).to_string(), "granted up to QoS 0 only: r: \"a/b\" w, max_qos 0 (p.yaml:3)");
}

#[test]
fn a_wider_grant_of_another_role_is_not_narrowed() {
    let text = r#"version: 1
roles:
  small: [ { topic: "a/#", rw: rw } ]
  large: [ { topic: "a/big", rw: rw } ]
limits:
  small: { payload_bytes_max: 10B, max_qos: 0, retain: false }
users:
  u: [small, large]
"#;
    let access = access(text, "u");
    assert!(access.publish("a/big", QoS::ExactlyOnce, true, 1000).allow);
    assert!(!access.publish("a/x", QoS::AtMostOnce, false, 11).allow);
    assert!(!access.publish("a/x", QoS::AtLeastOnce, false, 1).allow);
    let big = TopicFilter::parse("a/big").unwrap();
    assert!(matches!(
        access.subscribe(&big, QoS::ExactlyOnce),
        SubscribeVerdict::Granted { maximum_qos: QoS::ExactlyOnce }
    ));
}

#[test]
fn a_part_is_filtered_only_where_the_policy_says_so() {
    let rules = r#"[ { topic: "a/+", rw: r, max_qos: 1 }, { topic: "a/secret", deny: r }, { topic: "b/#", rw: r } ]"#;
    let refusing = access(&everybody(rules), "u");
    let filter = TopicFilter::parse("a/#").unwrap();
    let SubscribeVerdict::Refused(verdict) = refusing.subscribe(&filter, QoS::ExactlyOnce) else { panic!() };
    assert_eq!(verdict.reason, Reason::PartlyGranted);

    let filtering = access(&(everybody(rules) + "partial: filter\n"), "u");
    let SubscribeVerdict::Filtered { maximum_qos, check } = filtering.subscribe(&filter, QoS::ExactlyOnce) else {
        panic!()
    };
    assert_eq!(maximum_qos, QoS::AtLeastOnce);
    for (topic, is_allowed) in [("a/x", true), ("a/secret", false), ("a", false), ("a/x/y", false)] {
        assert_eq!(check.allows(topic), is_allowed, "{topic}");
    }
    for (filter, outcome) in
        [("a/secret", "refused"), ("c/#", "refused"), ("b/+", "granted"), ("#", "filtered"), ("+/x", "filtered")]
    {
        let verdict = match filtering.subscribe(&TopicFilter::parse(filter).unwrap(), QoS::AtMostOnce) {
            SubscribeVerdict::Granted { .. } => "granted",
            SubscribeVerdict::Filtered { .. } => "filtered",
            SubscribeVerdict::Refused(_) => "refused",
        };
        assert_eq!(verdict, outcome, "{filter}");
    }
}

#[test]
fn claims_give_roles_when_all_of_them_match() {
    let text = r#"version: 1
roles:
  ops: [ { topic: "ops/${claim.site}/#", rw: rw } ]
claims:
  - { when: { role: ops, active: "yes" }, roles: [ops] }
"#;
    let claims = |pairs: &[(&str, &str)]| {
        let claims = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Principal { claims, ..Principal::user("u") }
    };
    let bind = |pairs: &[(&str, &str)]| policy(text).bind(&claims(pairs), "c");
    assert!(may_publish(&bind(&[("role", "ops"), ("active", "yes"), ("site", "north")]).unwrap(), "ops/north/x"));
    assert!(!may_publish(&bind(&[("role", "ops"), ("active", "yes"), ("site", "north")]).unwrap(), "ops/south/x"));
    assert!(!may_publish(&bind(&[("role", "ops"), ("site", "north")]).unwrap(), "ops/north/x"));
    let error = bind(&[("role", "ops"), ("active", "yes")]).unwrap_err();
    assert!(matches!(&error, BindError::Empty { placeholder, .. } if placeholder == "${claim.site}"), "{error}");
}

#[test]
fn allow_all_is_a_policy_like_any_other() {
    for who in [Principal::anonymous(), Principal::user("anyone")] {
        let access = Policy::allow_all().bind(&who, "").unwrap();
        assert!(may_publish(&access, "a") && may_publish(&access, "/") && may_subscribe(&access, "#"));
        assert!(may_subscribe(&access, "$SYS/#") && may_subscribe(&access, "$share/g/#"));
        assert!(!may_publish(&access, "$SYS/broker/clients") && !may_publish(&access, "$CONTROL/x"));
    }
}

#[test]
fn all_faults_come_at_once_with_their_places() {
    let text = r##"version: 2
rolls: {}
roles:
  a:
    - { topic: "x/#/y", rw: x, max_qos: 3 }
    - { topic: "x", rw: r, deny: w }
  a: []
users:
  u: [5]
envelope: {}
limits:
  a: { messages_per_s: 5, payload_bytes_max: 64 }
acl:
  - [u, x]
  - [u, x, 3]
tests:
  - { as: u, may: write, topic: x }
"##;
    assert_eq!(
        faults(text),
        [
            "p.yaml:1:10: version: found the number 2; 1",
            "p.yaml:2:1: rolls: is no key of a policy file; did you mean `roles`?",
            "p.yaml:5:29: roles.a[0].rw: found \"x\"; r, w or rw; or 1 = read, 2 = read and write",
            "p.yaml:5:41: roles.a[0].max_qos: found the number 3; 0, 1 or 2",
            "p.yaml:6:34: roles.a[1].deny: stands beside rw; either rw or deny; write two rules",
            "p.yaml:7:3: roles.a: is given twice, first in line 4; each key once",
            "p.yaml:9:7: users.u[0]: found the number 5; a role; put it in quotes",
            "p.yaml:10:11: envelope: found a mapping; a list of {topic, key_file, max_age}",
            "p.yaml:12:24: limits.a.messages_per_s: is not enforced by this version; one of payload_bytes_max, max_qos, retain",
            "p.yaml:12:46: limits.a.payload_bytes_max: found the number 64; a whole number with B, KiB, MiB or GiB, such as 64KiB",
            "p.yaml:14:5: acl[0]: found 2 values; a row [username, topic, 1 or 2]",
            "p.yaml:15:12: acl[1][2]: found the number 3; 1 = read, 2 = read and write",
            "p.yaml:17:19: tests[0].may: found \"write\"; publish or subscribe",
        ]
    );
    let text = r##"version: 1
roles:
  client: [ { topic: "x/#/y", rw: r }, { topic: "${user}/x", rw: r }, { topic: "$share/g/x", rw: r } ]
users: { u: [clint, ops] }
limits: { other: {} }
acl: [ [u, "", 1] ]
tests: [ { as: u, may: publish, topic: "a/+" } ]
"##;
    let found = faults(text);
    assert_eq!(found.len(), 8, "{found:#?}");
    assert!(
        found.iter().any(|fault| fault.ends_with("there is no role \"clint\"; did you mean `client`?")),
        "{found:#?}"
    );
}

#[test]
fn envelopes_are_asked_for_by_topic_as_rules_are() {
    let text = r##"version: 1
roles: { all: [ { topic: "#", rw: w }, { topic: "own/${clientid}", rw: w } ] }
users: { "*": [all] }
envelope:
  - { topic: "single/${username}", key_file: k }
  - { topic: "single/+/deep/#", key_file: k, max_age: 5m }
  - { topic: "site/${claim.site}", key_file: k }
  - { topic: "${clientid}/x", key_file: k }
  - { topic: "#", key_file: k }
"##;
    let bind = |text: &str, who: &Principal, client_id: &str| {
        let keys = |_: &str| Ok(KeyFileText { origin: "k".to_owned(), text: format!("dev:{}\n", "5a".repeat(16)) });
        Policy::parse_with(text, "p.yaml", &keys).unwrap().bind(who, client_id)
    };
    let line = |access: &Access, topic: &str| access.envelope(topic).map(|rule| rule.line);
    let access = bind(text, &Principal::user("u"), "c").unwrap();
    for (topic, expected) in [
        ("single/u", Some(5)),
        ("single/v", Some(9)),
        ("single/v/deep", Some(6)),
        ("single/v/deep/x/y", Some(6)),
        ("site/north", Some(9)),
        ("c/x", Some(8)),
        ("single/u/deep", Some(6)),
        // No wildcard matches a leading $.
        ("$x", None),
    ] {
        assert_eq!(line(&access, topic), expected, "{topic}");
    }
    let narrow = text.replace("  - { topic: \"#\", key_file: k }\n", "");
    let mut north = Principal::user("u");
    north.claims.insert("site".to_owned(), "north".to_owned());
    for (who, expected) in [(&north, Some(7)), (&Principal::user("u"), None)] {
        let access = bind(&narrow, who, "c").unwrap();
        assert_eq!(line(&access, "site/north"), expected);
        assert_eq!(line(&access, "site/"), None);
        assert_eq!(line(&access, "other"), None);
    }
    // What cannot stand as a level is refused, as to leave the entry out would leave a topic open.
    for (username, client_id) in [("a/b", "c"), ("#", "c"), ("u", "+"), ("u", "$c"), ("u", "")] {
        assert!(bind(&narrow, &Principal::user(username), client_id).is_err(), "{username} {client_id}");
    }
    // As whom a message is from, the same identity has other topics and the same envelopes.
    let device = access.as_client("dev").unwrap();
    assert!(may_publish(&device, "own/dev") && line(&device, "single/u") == Some(5));
    assert!(access.as_client("a/b").is_err() && access.as_client("").is_err());
    let plain = bind("version: 1\n", &Principal::user("u"), "c").unwrap();
    assert!(plain.envelope("single/u").is_none() && plain.as_client("a/b").is_ok(), "no rule would use it");
}

#[test]
fn tests_in_the_file_say_what_came_out() {
    let text = ARTICLES.to_owned()
        + r##"tests:
  - { as: client, may: publish, topic: /p/client/upload }
  - { as: client, may_not: subscribe, topic: "#" }
  - { as: client, may: subscribe, topic: /p/client/download, qos: 2 }
  - { as: server, may: publish, topic: /p/x/secret/y }
  - { as: "a/b", may_not: publish, topic: x }
"##;
    let policy = policy(&text);
    assert_eq!(policy.tests_count(), 5);
    let failures: Vec<String> = policy.run_tests().iter().map(|failure| failure.fault.to_string()).collect();
    assert_eq!(
        failures,
        [
            "p.yaml:22:5: tests[2]: client may not subscribe \"/p/client/download\": granted up to QoS 1 only; the test says may",
            "p.yaml:23:5: tests[3]: server may not publish \"/p/x/secret/y\": a rule denies it: backend: \"/p/+/secret/#\" deny rw (p.yaml:8); the test says may",
        ]
    );
}

#[test]
fn a_name_given_twice_is_a_fault_among_few_and_among_many() {
    for names_count in [2, 100] {
        let names: String = (0..names_count).map(|name| format!("  u{name}: []\n")).collect();
        let found = faults(&format!("version: 1\nusers:\n{names}  u1: []\n"));
        let line = names_count + 3;
        assert_eq!(found, [format!("p.yaml:{line}:3: users.u1: is given twice, first in line 4; each key once")]);
    }
}

#[test]
fn wide_roles_are_searched_like_narrow_ones() {
    let rules: String = (0..100).map(|rule| format!("{{ topic: t{rule}/x, rw: r }}, ")).collect();
    let access = access(&everybody(&format!("[ {rules} {{ topic: t7/y, deny: r }} ]")), "u");
    for rule in 0..100 {
        assert!(may_subscribe(&access, &format!("t{rule}/x")) && !may_subscribe(&access, &format!("t{rule}/y")));
    }
    assert!(!may_subscribe(&access, "t100/x") && !may_subscribe(&access, "+/x") && !access.receive("t/x").allow);
}
