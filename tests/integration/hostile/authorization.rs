//! Authorization (SECURITY D): ways around a policy that were open in other servers.
//!
//! | class | shown by |
//! |---|---|
//! | wildcards or patterns in an identity | [`identities_that_would_be_patterns`], the last identities of `verdicts/cases.txt`, `policy::tests::known_failures` |
//! | what a revocation leaves behind | `verdicts::reloaded`; slice by slice `engine::tests::review` and `connection::core::tests::review` |
//! | a Will outside the rules, or to `$SYS` and `$CONTROL` | [`wills_to_topics_of_the_server`], [`the_will_of_a_session_that_goes_on`], `verdicts::later` |
//! | a topic that changes between check and use | [`a_topic_alias_that_is_bound_again`] |
//! | an empty, malformed, unreadable or shortened policy | `resources`, `policy::tests::known_failures`; at a reload `reload` |
//! | a service that fails, and so lets everybody in | `http_service::only_a_yes_is_a_yes` and those after it, `key_urls` |
//! | a listener more that lets everybody in | [`no_listener_asks_less_than_another`], `policy::no_policy_and_no_credentials_stay_on_loopback` |
//! | a session taken over by its name | [`a_kept_session_is_its_owners`], `policy::another_identity_cannot_take_a_session_over`, `tokens` |
//! | `$SYS`, `#`, `$share/g/#`, overlapping filters | [`filters_by_policies`], `verdicts` |
//! | another dialect, another verdict | `verdicts` |
//! | a token on each message | [`envelopes_that_are_bombs`], `connection::core::tests::envelopes`, `policy::envelope::canonical`, `envelope` |

use serde_json::json;
use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::property::PublishProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version, topic};

use super::ALLOCATOR_SLACK;
use crate::harness::issuer::{self, Issuer};
use crate::harness::{Client, JsonClient, Over, Server, Setup, mqtt};

const USERS: [(&str, &str); 3] = [("alice", "a"), ("bob", "b"), ("root", "r")];

fn password(user: &str) -> &'static str {
    USERS.iter().find(|(name, _)| *name == user).expect("a known user").1
}

fn connect(version: Version, user: &str, client_id: &str) -> Connect {
    Connect { login: mqtt::login(user, password(user)), ..mqtt::connect(version, client_id) }
}

fn log_in(server: &Server, user: &str, client_id: &str) -> Client {
    Client::connect_with(server, Over::Tcp, connect(Version::V5, user, client_id))
}

/// What CONNACK says, and nothing more where it says no.
fn answer(server: &Server, over: Over, connect: Connect) -> ReasonCode {
    let (mut client, answer) = Client::try_connect(server, over, connect);
    if answer.reason.is_failure() {
        client.expect_closed();
    }
    answer.reason
}

/// mosquitto CVE-2017-7650, RabbitMQ CVE-2026-44838.
#[test]
fn identities_that_would_be_patterns() {
    let policy = "version: 1\nroles:\n  own:\n    - { topic: \"p/${username}/x\", rw: rw }\n    \
                  - { topic: \"d/${clientid}/x\", rw: rw }\n    - { topic: \"s/${claim.site}/x\", rw: rw }\n\
                  users: { \"*\": [own] }\n";
    let issuer = Issuer::new();
    let auth = "{ jwt: { keys: jwks.json, audience: tidegate, token_bytes_max: 64KiB } }";
    let setup = Setup::new().file("jwks.json", issuer.jwks()).policy(policy).section("auth", auth);
    let mut server = setup.start();
    let before = server.memory_bytes();
    let long = "x".repeat(40_000);
    let try_as = |username: &str, client_id: &str, site: &str| {
        let claims = json!({ "sub": username, "site": site, "aud": "tidegate", "exp": issuer::now_s() + 600 });
        let mut connect = mqtt::connect(Version::V5, client_id);
        connect.login.password = Some(issuer.sign("EdDSA", "ed", &claims).into());
        let mut client = Client::open(&server, Over::Tcp, Version::V5);
        client.send(&Packet::Connect(Box::new(connect)));
        match client.try_receive() {
            Ok(Packet::ConnAck(answer)) => (client, Some(answer.reason)),
            // A CONNECT that is larger than one before login may be.
            Err(_) => (client, None),
            Ok(other) => panic!("{other:?} instead of CONNACK"),
        }
    };
    for hostile in ["#", "+", "a/b", "/", "p/+", "x#", "\0", "a\0b", &long, ""] {
        let is_nul = hostile.contains('\0');
        for (place, (username, client_id, site)) in
            [(hostile, "c", "n"), ("u", hostile, "n"), ("u", "c", hostile)].into_iter().enumerate()
        {
            // A Client Identifier with NUL cannot even be said, and for an empty one the server makes a name.
            if place == 1 && (is_nul || hostile.is_empty()) {
                continue;
            }
            let (mut client, reason) = try_as(username, client_id, site);
            match reason {
                Some(reason) => {
                    assert!(reason.is_failure(), "{hostile:.20?} in place {place}: {reason:?}");
                    client.expect_closed();
                }
                None => assert!(hostile.len() > 1000, "{hostile:.20?} in place {place} gets no answer"),
            }
        }
    }
    let (mut victim, _) = try_as("victim", "victim", "victim");
    for filter in ["p/victim/x", "d/victim/x", "s/victim/x"] {
        assert_eq!(victim.subscribe(filter, QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    }
    // What is a pattern only elsewhere is a name like any other: its own topics, and nobody's besides.
    for name in [".*", "${x}", "${username}", "%u", "%c", "*", "[a-z]", "$share", "victim "] {
        let (mut client, reason) = try_as(name, name, name);
        assert_eq!(reason, Some(ReasonCode::Success), "{name}");
        for root in ["p", "d", "s"] {
            let reason = client.publish(&format!("{root}/{name}/x"), b"own", QoS::AtLeastOnce, false);
            assert_eq!(reason, ReasonCode::NoMatchingSubscribers, "{name}");
            let reason = client.publish(&format!("{root}/victim/x"), b"foreign", QoS::AtLeastOnce, false);
            assert_eq!(reason, ReasonCode::NotAuthorized, "{name}");
            for filter in ["victim/x", "+/x", "#", "+/#"] {
                let reason = client.subscribe(&format!("{root}/{filter}"), QoS::AtMostOnce);
                assert_eq!(reason, ReasonCode::NotAuthorized, "{name} {root}/{filter}");
            }
        }
    }
    victim.expect_nothing();
    unharmed(&mut server, before);
}

/// mochi-mqtt #503, mosquitto 2.0.16.
#[test]
fn wills_to_topics_of_the_server() {
    let policy = "version: 1\nroles:\n  all: [ { topic: \"#\", rw: rw }, { topic: \"$SYS/#\", rw: r } ]\n\
                  users: { alice: [all], root: [all] }\n";
    let server = Setup::new().users(&USERS).policy(policy).start();
    let mut root = log_in(&server, "root", "root");
    assert_eq!(root.subscribe("#", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    for topic in ["$SYS", "$SYS/broker/version", "$CONTROL/dynamic-security/v1", "$share/g/t", "$x", "$tidegate/auth"] {
        for version in [Version::V3, Version::V4, Version::V5] {
            for retain in [false, true] {
                let mut connect = connect(version, "alice", "mortal");
                connect.will = Some(mqtt::will(topic, "forged", QoS::AtLeastOnce, retain));
                assert_eq!(answer(&server, Over::Ws, connect), ReasonCode::NotAuthorized, "{version:?} {topic}");
            }
        }
        let mut client = JsonClient::open(&server, Over::Ws);
        client.send(&json!({
            "Action": "connect", "Username": "alice", "Password": "a", "Id": 1,
            "Will": { "Topic": topic, "Payload": "forged" },
        }));
        let answer = client.receive();
        assert_eq!((&answer["Action"], &answer["Code"]), (&json!("error"), &json!("not_authorized")), "{answer}");
    }
    root.expect_nothing();
}

/// Each CONNECT brings its own Will: what a kept session had before does not excuse it.
#[test]
fn the_will_of_a_session_that_goes_on() {
    let policy = "version: 1\nroles:\n  own: [ { topic: \"p/${username}\", rw: rw } ]\n  all: [ { topic: \"#\", rw: r } ]\n\
                  users: { alice: [own], root: [all] }\n";
    let server = Setup::new().users(&USERS).policy(policy).start();
    let mut root = log_in(&server, "root", "root");
    root.subscribe("#", QoS::AtLeastOnce);
    let mut kept = connect(Version::V5, "alice", "kept");
    kept.clean_start = false;
    kept.properties.session_expiry_interval_s = Some(600);
    kept.will = Some(mqtt::will("p/alice", "mine", QoS::AtLeastOnce, false));
    let client = Client::connect_with(&server, Over::Tcp, kept.clone());
    let mut forged = kept.clone();
    forged.will = Some(mqtt::will("p/bob", "forged", QoS::AtLeastOnce, false));
    assert_eq!(answer(&server, Over::Tcp, forged), ReasonCode::NotAuthorized);
    root.expect_nothing();
    drop(client);
    // Without a delay a Will is due when its connection ends, though the session goes on.
    root.expect_message("p/alice", b"mine");
    root.expect_nothing();
}

/// mosquitto #3670, #3671: what is checked is what is used.
#[test]
fn a_topic_alias_that_is_bound_again() {
    let policy = "version: 1\nroles:\n  own: [ { topic: \"p/${username}/#\", rw: rw } ]\n  all: [ { topic: \"#\", rw: r } ]\n\
                  users: { alice: [own], root: [all] }\n";
    let server = Setup::new().users(&USERS).policy(policy).start();
    let mut root = log_in(&server, "root", "root");
    root.subscribe("#", QoS::AtLeastOnce);
    let mut alice = log_in(&server, "alice", "alice");
    let mut say = |topic: Option<&str>, alias: u16, payload: &str, qos: QoS| {
        let id = alice.take_packet_id();
        let mut publish = mqtt::publish(topic.unwrap_or("none"), payload.as_bytes(), qos, false, id);
        if topic.is_none() {
            publish.topic = None;
        }
        publish.properties =
            PublishProperties { topic_alias: std::num::NonZeroU16::new(alias), ..PublishProperties::default() };
        alice.send(&Packet::Publish(publish));
        match alice.receive() {
            Packet::PubAck(ack) | Packet::PubRec(ack) => ack.reason,
            other => panic!("{other:?} instead of an acknowledgement"),
        }
    };
    let (one, two) = (QoS::AtLeastOnce, QoS::ExactlyOnce);
    assert_eq!(say(Some("p/alice/a"), 1, "1", one), ReasonCode::Success);
    assert_eq!(say(None, 1, "2", one), ReasonCode::Success);
    // The alias is bound by the PUBLISH that is refused, and stands for the topic that is forbidden from then on.
    assert_eq!(say(Some("p/bob/a"), 1, "forged", one), ReasonCode::NotAuthorized);
    assert_eq!(say(None, 1, "forged", one), ReasonCode::NotAuthorized);
    assert_eq!(say(None, 1, "forged", two), ReasonCode::NotAuthorized);
    assert_eq!(say(Some("p/alice/a"), 2, "3", one), ReasonCode::Success);
    assert_eq!(say(None, 1, "forged", one), ReasonCode::NotAuthorized);
    assert_eq!(say(Some("p/alice/b"), 1, "4", one), ReasonCode::Success);
    assert_eq!(say(None, 1, "5", one), ReasonCode::Success);
    assert_eq!(say(None, 2, "6", one), ReasonCode::Success);
    for (topic, payload) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("b", "5"), ("a", "6")] {
        root.expect_message(&format!("p/alice/{topic}"), payload.as_bytes());
    }
    root.expect_nothing();
}

/// mosquitto 2.0.12.
#[test]
fn no_listener_asks_less_than_another() {
    let policy =
        "version: 1\nroles: { all: [ { topic: \"#\", rw: rw } ] }\nusers: { alice: [all], anonymous: [all] }\n";
    let server = Setup::new().users(&USERS).policy(policy).start();
    for over in Over::ALL {
        for version in [Version::V3, Version::V4, Version::V5] {
            assert_eq!(answer(&server, over, mqtt::connect(version, "nobody")), ReasonCode::NotAuthorized, "{over:?}");
            let mut wrong = mqtt::connect(version, "wrong");
            wrong.login = mqtt::login("alice", "b");
            assert_eq!(answer(&server, over, wrong), ReasonCode::BadUserNameOrPassword, "{over:?} {version:?}");
            assert_eq!(answer(&server, over, connect(version, "alice", "right")), ReasonCode::Success, "{over:?}");
        }
        if over.is_websocket() {
            let mut client = JsonClient::open(&server, over);
            client.send(&json!({ "Action": "connect", "Id": 1 }));
            assert_eq!(client.receive()["Action"], "error", "{over:?}");
        }
    }
}

/// sol #17, EMQX CVE-2026-6564.
#[test]
fn a_kept_session_is_its_owners() {
    let policy = "version: 1\nroles: { all: [ { topic: \"#\", rw: rw } ] }\n\
                  users: { alice: [all], bob: [all], root: [all], anonymous: [all] }\n";
    let setup = Setup::new().users(&USERS).policy(policy);
    let server = setup.section("auth", "{ anonymous: true, passwords: passwords }").start();
    let mut root = log_in(&server, "root", "root");
    let mut kept = connect(Version::V5, "alice", "kept");
    kept.clean_start = false;
    kept.properties.session_expiry_interval_s = Some(600);
    let mut alice = Client::connect_with(&server, Over::Tcp, kept.clone());
    alice.subscribe("private", QoS::AtLeastOnce);
    // While it is there, and while it is away: taking over and starting anew would both take the session from its owner.
    for is_away in [false, true] {
        if is_away {
            drop(std::mem::replace(&mut alice, log_in(&server, "alice", "another")));
            root.publish("private", b"for alice", QoS::AtLeastOnce, false);
        }
        for clean_start in [false, true] {
            for version in [Version::V3, Version::V4, Version::V5] {
                let stranger = Connect { clean_start, ..mqtt::connect(version, "kept") };
                let bob = Connect { clean_start, ..connect(version, "bob", "kept") };
                for thief in [bob, stranger] {
                    let reason = answer(&server, Over::Ws, thief);
                    assert_eq!(reason, ReasonCode::ClientIdentifierNotValid, "{version:?}");
                }
            }
            let mut thief = JsonClient::open(&server, Over::Ws);
            thief.send(&json!({
                "Action": "connect", "Username": "bob", "Password": "b", "ClientId": "kept", "CleanStart": clean_start, "Id": 1,
            }));
            let answer = thief.receive();
            assert_eq!(
                (&answer["Action"], &answer["Code"]),
                (&json!("error"), &json!("client_id_invalid")),
                "{answer}"
            );
        }
        alice.expect_nothing();
    }
    let mut alice = Client::connect_with(&server, Over::Tcp, kept);
    alice.expect_message("private", b"for alice");
}

/// Topic, what is granted there (`r`, or `d` for a deny of reading).
type Rules = &'static [(&'static str, char)];

const POLICIES: [Rules; 4] = [
    &[("a/#", 'r'), ("a/+/private", 'd'), ("a/x", 'r')],
    &[("#", 'r'), ("a/secret/#", 'd')],
    &[("+/+", 'r'), ("a", 'r'), ("$data/x", 'r'), ("b/+", 'd')],
    &[("a/b/c", 'r'), ("a/b/+", 'r'), ("$SYS/broker/version", 'r'), ("/a", 'r')],
];

const FILTERS: [&str; 36] = [
    "#",
    "+",
    "+/#",
    "+/+",
    "/#",
    "/+",
    "/",
    "a",
    "a/#",
    "a/+",
    "a/+/#",
    "a/+/+",
    "a/x",
    "a/x/#",
    "a/x/private",
    "a/+/private",
    "+/x/private",
    "a/secret",
    "a/secret/#",
    "a/secret/x",
    "a/b/c",
    "a/b/+",
    "a/b/#",
    "+/b/c",
    "b/#",
    "b/c",
    "$data/#",
    "$data/x",
    "$data/+",
    "+/x",
    "$SYS/#",
    "$SYS/broker/+",
    "+/broker/version",
    "$share/g/#",
    "$share/g/a/#",
    "$share/g/a/x/private",
];

const NAMES: [&str; 16] = [
    "a",
    "b",
    "/",
    "/a",
    "a/x",
    "a/x/private",
    "a/x/public",
    "a/x/private/y",
    "a/secret",
    "a/secret/x",
    "a/b/c",
    "b/c",
    "$data/x",
    "$data/y",
    "c/d/e/f",
    "a/",
];

/// EMQX's default rules, and broker folklore: what arrives is what a reading of the rules one by one says, whatever was subscribed to.
#[test]
fn filters_by_policies() {
    for rules in POLICIES {
        let rules_text: String = rules
            .iter()
            .map(|(topic, mode)| {
                format!("    - {{ topic: \"{topic}\", {} }}\n", if *mode == 'd' { "deny: r" } else { "rw: r" })
            })
            .collect();
        for partial in ["refuse", "filter"] {
            let policy = format!(
                "version: 1\npartial: {partial}\nroles:\n  all: [ {{ topic: \"#\", rw: w }}, {{ topic: \"$data/#\", rw: w }} ]\n  \
                 reader:\n{rules_text}users: {{ root: [all], alice: [reader] }}\n"
            );
            let server = Setup::new().users(&USERS).policy(&policy).start();
            let mut root = log_in(&server, "root", "root");
            let mut alice = log_in(&server, "alice", "alice");
            for filter in FILTERS {
                let reason = alice.subscribe(filter, QoS::AtLeastOnce);
                let sees_server = expect_of(&mut alice, &mut root, rules, filter, reason);
                let may_see_server = !reason.is_failure()
                    && !filter.starts_with("$share")
                    && may_read(rules, "$SYS/broker/version")
                    && topic::matches(filter, "$SYS/broker/version");
                assert_eq!(sees_server, may_see_server, "{filter} under {rules:?}");
                if partial == "filter" && NAMES.iter().any(|name| reads(rules, filter, name)) {
                    assert!(!reason.is_failure(), "{filter} under {rules:?}: something of it may be read");
                }
                alice.unsubscribe(filter);
            }
        }
    }
}

/// Publishes to every name; what comes is what may be read of it. Says whether something of the server's own was retained.
fn expect_of(alice: &mut Client, root: &mut Client, rules: Rules, filter: &str, reason: ReasonCode) -> bool {
    for name in NAMES {
        root.publish(name, b"x", QoS::AtLeastOnce, false);
    }
    alice.send(&Packet::PingReq);
    let mut found = Vec::new();
    let mut sees_server = false;
    loop {
        match alice.receive() {
            Packet::PingResp => break,
            Packet::Publish(publish) => {
                alice.acknowledge(&publish);
                let topic = publish.topic.as_deref().expect("a topic").to_owned();
                if topic.starts_with("$SYS") {
                    assert_eq!(topic, "$SYS/broker/version", "{filter} under {rules:?}");
                    sees_server = true;
                } else {
                    found.push(topic);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let is_expected = |name: &&&str| !reason.is_failure() && reads(rules, filter, name);
    let expected: Vec<&str> = NAMES.iter().filter(is_expected).copied().collect();
    assert_eq!(found, expected, "{filter} under {rules:?}");
    sees_server
}

fn reads(rules: Rules, filter: &str, name: &str) -> bool {
    let filter = filter.strip_prefix("$share/g/").unwrap_or(filter);
    topic::matches(filter, name) && may_read(rules, name)
}

fn may_read(rules: Rules, name: &str) -> bool {
    let mut speaking = rules.iter().filter(|(filter, _)| topic::matches(filter, name)).peekable();
    speaking.peek().is_some() && speaking.all(|(_, mode)| *mode == 'r')
}

/// What a parser could choke on, or two parsers read in two ways.
#[test]
fn envelopes_that_are_bombs() {
    let policy = "version: 1\nroles:\n  w: [ { topic: single, rw: rw } ]\nusers: { alice: [w], root: [w] }\n\
                  envelope: [ { topic: single, key_file: keys } ]\n";
    let setup = Setup::new().users(&USERS).policy(policy).file("keys", format!("dev:{}\n", "01".repeat(16)));
    let mut server = setup.section("log", "{ level: trace }").start();
    let before = server.memory_bytes();
    let mut root = log_in(&server, "root", "root");
    root.subscribe("single", QoS::AtLeastOnce);
    let mut alice = log_in(&server, "alice", "alice");
    let token = "5ec4e7".repeat(11)[..64].to_owned();
    let now = issuer::now_s();
    let with_data = |data: &str| {
        format!(r#"{{"timestamp":"{now}","client_id":"dev","message_type":"t","data":{data},"token":"{token}"}}"#)
    };
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let wide = format!("[{}0]", "0,".repeat(400_000));
    for (what, payload) in [
        ("10,000 nested arrays", with_data(&nested(10_000))),
        ("100,000 nested arrays", with_data(&nested(100_000))),
        ("nested objects", with_data(&(r#"{"a":"#.repeat(10_000) + "1" + &"}".repeat(10_000)))),
        ("not closed", with_data(&"[".repeat(100_000))),
        ("wide", with_data(&wide)),
        ("the same key twice", with_data(r#"{"a":1,"a":2}"#)),
        ("the same key twice, spelled in two ways", with_data(r#"{"a":1,"\u0061":2}"#)),
        ("client_id twice", with_data("{}").replacen('{', r#"{"client_id":"dev","#, 1)),
        ("a whole number that no double holds", with_data("9007199254740993")),
        ("a number beyond all doubles", with_data("1e400")),
        ("a thousand digits", with_data(&"9".repeat(1000))),
        ("half a pair", with_data(r#""\ud800""#)),
        ("two wrong halves", with_data(r#""\udc00\ud800""#)),
        ("a timestamp of the next century", with_data("1").replace(&now.to_string(), "4102444800")),
        ("a timestamp beyond all clocks", with_data("1").replace(&now.to_string(), &"9".repeat(30))),
        ("a timestamp below zero", with_data("1").replace(&now.to_string(), "-1")),
        ("somebody unknown", with_data("1").replace("dev", "stranger")),
        ("a filter for a name", with_data("1").replace("dev", "+")),
        ("a wrong token", with_data("1")),
        ("a short token", with_data("1").replace(&token, &token[..8])),
        ("an empty token", with_data("1").replace(&token, "")),
    ] {
        let reason = alice.publish("single", payload.as_bytes(), QoS::AtLeastOnce, false);
        let is_refused = matches!(reason, ReasonCode::NotAuthorized | ReasonCode::PayloadFormatInvalid);
        assert!(is_refused, "{what}: {reason:?}");
    }
    root.expect_nothing();
    assert!(!server.printed().contains(&token), "a token is in the log");
    unharmed(&mut server, before);
}

/// The server runs, and has not grown. (Nobody but those known to the policy could ask it for more.)
fn unharmed(server: &mut Server, before: u64) {
    assert!(server.is_running() && !server.printed().contains("panicked at"), "it printed:\n{}", server.printed());
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown <= ALLOCATOR_SLACK, "memory grew by {grown} bytes");
}
