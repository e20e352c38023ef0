//! Who may do what: what a policy shows beyond its verdicts, which `verdicts` has one by one for every way in.

use serde_json::json;
use tidegate::mqtt::{QoS, ReasonCode, Version};

use crate::harness::{Client, JsonClient, Over, Server, Setup, mqtt};

const POLICY: &str = r##"
version: 1
roles:
  client:
    - { topic: "/p/${username}/upload", rw: rw }
    - { topic: "/p/${username}/download", rw: r }
    - { topic: "/public/#", rw: r }
    - { topic: "/public/secret/#", deny: r }
    - { topic: "/id/${clientid}/#", rw: rw }
  backend:
    - { topic: "/p/+/#", rw: rw }
    - { topic: "/public/#", rw: rw }
    - { topic: "/p/+/locked", deny: w }
users:
  alice: [client]
  bob: [client]
  server: [backend]
  lonely: []
  "a/b": [client]
  "+": [client]
acl:
  - [lonely, /only/this, 1]
tests:
  - { as: alice, may: publish, topic: /p/alice/upload }
  - { as: alice, may_not: subscribe, topic: "#" }
"##;

const USERS: [(&str, &str); 6] =
    [("alice", "a"), ("bob", "b"), ("server", "s"), ("lonely", "l"), ("a/b", "x"), ("+", "y")];

fn start() -> Server {
    Setup::new().users(&USERS).policy(POLICY).start()
}

fn password(user: &str) -> &'static str {
    USERS.iter().find(|(name, _)| *name == user).expect("a known user").1
}

fn log_in(server: &Server, version: Version, user: &str, client_id: &str) -> Client {
    let mut connect = mqtt::connect(version, client_id);
    connect.login = mqtt::login(user, password(user));
    Client::connect_with(server, Over::Tcp, connect)
}

#[test]
fn a_will_is_judged_when_it_is_made() {
    let server = start();
    for version in [Version::V3, Version::V4, Version::V5] {
        let mut connect = mqtt::connect(version, "mortal");
        connect.login = mqtt::login("alice", "a");
        connect.will = Some(mqtt::will("/p/bob/upload", "forged", QoS::AtMostOnce, false));
        let (mut client, answer) = Client::try_connect(&server, Over::Tcp, connect.clone());
        assert_eq!(answer.reason, ReasonCode::NotAuthorized, "{version}");
        client.expect_closed();
        connect.will = Some(mqtt::will("/p/alice/upload", "fine", QoS::AtMostOnce, false));
        let mut heir = log_in(&server, Version::V5, "server", "heir");
        heir.subscribe("/p/+/upload", QoS::AtMostOnce);
        drop(Client::connect_with(&server, Over::Tcp, connect));
        heir.expect_message("/p/alice/upload", b"fine");
    }
}

#[test]
fn an_identity_that_would_act_as_a_pattern_is_refused() {
    let server = start();
    for user in ["a/b", "+"] {
        let mut connect = mqtt::connect(Version::V5, "pattern");
        connect.login = mqtt::login(user, password(user));
        let (mut client, answer) = Client::try_connect(&server, Over::Tcp, connect);
        assert!(answer.reason as u8 >= 0x80, "{user}: {answer:?}");
        client.expect_closed();
    }
    for client_id in ["#", "+", "a/b"] {
        let mut connect = mqtt::connect(Version::V5, client_id);
        connect.login = mqtt::login("alice", "a");
        let (mut client, answer) = Client::try_connect(&server, Over::Tcp, connect);
        assert!(answer.reason as u8 >= 0x80, "{client_id}: {answer:?}");
        client.expect_closed();
    }
    // Names that look like patterns elsewhere are only names here.
    for client_id in [".*", "${username}", "%u", "*", "$share", "a b"] {
        let client = log_in(&server, Version::V5, "alice", client_id);
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn retained_messages_are_kept_from_those_who_may_not_read() {
    let server = start();
    let mut backend = log_in(&server, Version::V5, "server", "backend");
    backend.publish("/public/secret/x", b"hidden", QoS::AtLeastOnce, true);
    backend.publish("/public/news", b"shown", QoS::AtLeastOnce, true);
    let mut alice = log_in(&server, Version::V5, "alice", "alice");
    assert_eq!(alice.subscribe("/public/secret/x", QoS::AtMostOnce), ReasonCode::NotAuthorized);
    alice.subscribe("/public/news", QoS::AtMostOnce);
    alice.expect_message("/public/news", b"shown");
    alice.expect_nothing();
}

#[test]
fn another_identity_cannot_take_a_session_over() {
    let server = start();
    let mut alice = log_in(&server, Version::V5, "alice", "the-session");
    for version in [Version::V4, Version::V5] {
        let mut connect = mqtt::connect(version, "the-session");
        connect.login = mqtt::login("bob", "b");
        let (mut bob, answer) = Client::try_connect(&server, Over::Tcp, connect);
        assert_eq!(answer.reason, ReasonCode::ClientIdentifierNotValid, "{version}");
        bob.expect_closed();
    }
    alice.expect_nothing();
}

#[test]
fn json_credentials_are_checked_and_may_be_retried() {
    let server = start();
    let mut client = JsonClient::open(&server, Over::Wss);
    client.send(&json!({ "Action": "connect", "Username": "alice", "Password": "wrong", "Id": 1 }));
    let answer = client.receive();
    assert_eq!(answer["Action"], "error", "{answer}");
    assert!(!answer.to_string().contains("wrong\""), "the answer repeats no password: {answer}");
    assert!(!server.printed().contains("wrong"), "nor does the log: {}", server.printed());
    JsonClient::log_in(&server, Over::Wss, "alice", "a").expect_nothing();
}

#[test]
fn a_denial_is_logged_with_its_rule_and_nothing_secret() {
    let setup = Setup::new().users(&[("alice", "open-sesame")]).policy(POLICY);
    let server = setup.section("log", "{ level: debug, format: json }").start();
    let mut connect = mqtt::connect(Version::V5, "logged");
    connect.login = mqtt::login("alice", "open-sesame");
    let mut alice = Client::connect_with(&server, Over::Wss, connect);
    assert_eq!(alice.subscribe("/public/secret/x", QoS::AtMostOnce), ReasonCode::NotAuthorized);
    assert_eq!(alice.publish("/p/bob/upload", b"payload-of-mine", QoS::AtLeastOnce, false), ReasonCode::NotAuthorized);
    alice.publish("/p/alice/upload", b"payload-of-mine", QoS::AtLeastOnce, false);
    let denial: serde_json::Value = serde_json::from_str(&server.wait_for_line("/public/secret/x")).expect("JSON");
    // The deny that decided stands in line 8 of the policy.
    assert!(denial.to_string().contains("policy.yaml:8"), "{denial}");
    assert!(denial.to_string().contains("logged"), "whose it was: {denial}");
    server.wait_for_line("/p/bob/upload");
    let printed = server.printed();
    for secret in ["open-sesame", "payload-of-mine"] {
        assert!(!printed.contains(secret), "{secret} is in the log:\n{printed}");
    }
}

#[test]
fn who_may_not_come_in_unnamed_can_do_nothing_over_json() {
    let server = start();
    let mut client = JsonClient::open(&server, Over::Ws);
    client.send(&json!({ "Action": "subscribe", "Topic": "/public/news", "Id": 1 }));
    // An error, with or without the end of the connection; never an ack.
    let frame = client.transport.read_frame().expect("an answer");
    let text = String::from_utf8_lossy(&frame.payload).into_owned();
    assert!(frame.opcode == 8 || text.contains("\"error\""), "{text}");
}

#[test]
fn no_policy_and_no_credentials_stay_on_loopback() {
    let setup = Setup::new().listeners(["mqtt://0.0.0.0:0"]);
    let config = setup.directory().join("open.yaml");
    std::fs::write(&config, "listen: [\"mqtt://0.0.0.0:0\"]\nauth: { anonymous: true }\n").expect("a writable file");
    let output =
        crate::harness::server::tidegate().arg("run").arg("-c").arg(&config).output().expect("the tidegate binary");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("policy") || text.contains("anonymous") || text.contains("auth"), "{text}");
}
