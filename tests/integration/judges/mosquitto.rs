//! mosquitto's own clients: `mosquitto_pub`, `mosquitto_sub` and `mosquitto_rr`, in every version they speak.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Puppet, Server, Setup};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];
const NEW: &str = "mqttv5";

/// Everything about a message, in a line of JSON.
const WHOLE: [&str; 2] = ["-F", "%j"];

fn port(server: &Server) -> String {
    server.address("mqtt").port().to_string()
}

/// Runs one to its end; returns its exit code and all that it said.
fn run(server: &Server, program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    // There is no wait with a deadline in std; a status of 124 says that it was needed.
    let mut command = Command::new("timeout");
    command.args([&PATIENCE.as_secs().to_string(), program, "-h", "127.0.0.1", "-p", &port(server), "-d"]);
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{program}, which tests/run installs: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Publishes and returns what `mosquitto_pub` said of it.
fn publish(server: &Server, version: &str, topic: &str, payload: &str, more: &[&str]) -> String {
    let arguments = [&["-V", version, "-t", topic, "-m", payload], more].concat();
    let (code, said) = run(server, "mosquitto_pub", &arguments);
    assert_eq!(code, Some(0), "{said}");
    said
}

/// `mosquitto_sub` with its subscription made.
fn subscribe(server: &Server, version: &str, filter: &str, more: &[&str]) -> Puppet {
    Puppet::mosquitto_sub(server, &[&["-V", version, "-t", filter], &WHOLE[..], more].concat())
}

/// The next message, with all that is known of it.
fn message(puppet: &mut Puppet, payload: &str) -> Value {
    let message = puppet.wait("a message", |event| event["topic"].is_string());
    // An empty payload is null in mosquitto's JSON.
    assert_eq!(message["payload"].as_str().unwrap_or_default(), payload, "{message}");
    message
}

fn line(puppet: &mut Puppet, part: &str) -> String {
    let line = puppet.wait(part, |event| event["text"].as_str().is_some_and(|text| text.contains(part)));
    line["text"].as_str().expect("a line").to_owned()
}

/// Nobody is connected any more, as the server sees it.
fn wait_for_none(server: &Server) {
    server.wait_for_metric("tidegate_engine_sessions_connected", |count| count == 0.0);
}

#[test]
fn properties_arrive_as_they_were_sent() {
    let server = Setup::new().start();
    let mut subscriber =
        subscribe(&server, NEW, "a/#", &["-q", "1", "-D", "subscribe", "subscription-identifier", "7"]);
    let mut old = subscribe(&server, "mqttv311", "a/#", &["-q", "1"]);
    let properties: Vec<&str> = [
        "publish content-type text/plain",
        "publish response-topic r/t",
        "publish correlation-data xyz",
        "publish payload-format-indicator 1",
        "publish message-expiry-interval 100",
    ]
    .iter()
    .flat_map(|property| ["-D"].into_iter().chain(property.split(' ')))
    .chain(["-D", "publish", "user-property", "name", "a value", "-q", "1"])
    .collect();
    publish(&server, NEW, "a/b", "x", &properties);
    let expected = json!({
        "subscription-identifier": 7, "content-type": "text/plain", "response-topic": "r/t", "correlation-data": "xyz",
        "payload-format-indicator": 1, "message-expiry-interval": 100, "user-properties": { "name": "a value" },
    });
    assert_eq!(message(&mut subscriber, "x")["properties"], expected);
    assert_eq!(message(&mut old, "x")["properties"], json!(null));
}

#[test]
fn sessions_are_kept_and_ended() {
    let server = Setup::new().start();
    for version in VERSIONS {
        let kept = ["-i", "kept", "-c", "-q", "2"];
        let first = [&["-V", version, "-t", "k/#", "-E"], &kept[..]].concat();
        let (code, said) = run(&server, "mosquitto_sub", &first);
        assert_eq!(code, Some(0), "{said}");
        wait_for_none(&server);
        for qos in ["0", "1", "2"] {
            publish(&server, version, "k/x", qos, &["-q", qos]);
        }
        let again = [&["-V", version, "-t", "k/#", "-C", "2", "-F", "got %q %p"], &kept[..]].concat();
        let (_, said) = run(&server, "mosquitto_sub", &again);
        let got: Vec<_> = said.lines().filter(|line| line.starts_with("got ")).collect();
        assert_eq!(got, ["got 1 1", "got 2 2"], "{version}: {said}");
        wait_for_none(&server);
        publish(&server, version, "k/x", "waits in vain", &["-q", "1"]);
        let mut clean = subscribe(&server, version, "k/#", &["-i", "kept"]);
        publish(&server, version, "k/x", "live", &["-q", "1"]);
        message(&mut clean, "live");
        drop(clean);
        wait_for_none(&server);
    }
}

#[test]
fn session_expiry_is_as_asked() {
    let server = Setup::new().start();
    for (expiry, is_kept) in [("0", false), ("100", true)] {
        let arguments = ["-V", NEW, "-t", "k", "-E", "-i", "kept", "-c", "-q", "1", "-x", expiry];
        run(&server, "mosquitto_sub", &arguments);
        wait_for_none(&server);
        let said = publish(&server, NEW, "k", "x", &["-q", "1"]);
        // RC 16: nobody has a Subscription to it.
        assert_eq!(said.contains("RC:16"), !is_kept, "{said}");
    }
}

#[test]
fn a_will_is_published_at_once_and_late() {
    let server = Setup::new().start();
    let mut heir = subscribe(&server, NEW, "will", &["-q", "2"]);
    let will = ["--will-topic", "will", "--will-payload", "gone", "--will-qos", "1"];
    for version in VERSIONS {
        // Dropped, it is killed.
        drop(subscribe(&server, version, "nothing", &will));
        assert_eq!(message(&mut heir, "gone")["qos"], 1);
    }
    let late = ["-c", "-i", "mortal", "-D", "will", "will-delay-interval", "1", "-D", "will", "content-type", "text"];
    drop(subscribe(&server, NEW, "nothing", &[&late[..], &will].concat()));
    assert_eq!(message(&mut heir, "gone")["properties"], json!({ "content-type": "text" }));
}

#[test]
fn retained_messages_are_told_from_live_ones() {
    let server = Setup::new().start();
    for version in VERSIONS {
        publish(&server, version, "r/a", "kept", &["-r", "-q", "1"]);
        let mut late = subscribe(&server, version, "r/#", &["-q", "2"]);
        let kept = message(&mut late, "kept");
        assert_eq!((&kept["retain"], &kept["qos"]), (&json!(1), &json!(1)), "{version}");
        publish(&server, version, "r/a", "live", &["-r"]);
        assert_eq!(message(&mut late, "live")["retain"], 0, "{version}");
        let (code, said) = run(&server, "mosquitto_pub", &["-V", version, "-t", "r/a", "-n", "-r"]);
        assert_eq!(code, Some(0), "{said}");
        message(&mut late, "");
        let mut later = subscribe(&server, version, "r/#", &[]);
        publish(&server, version, "r/b", "nothing before", &[]);
        message(&mut later, "nothing before");
    }
    let mut keeping = subscribe(&server, NEW, "s", &["--retain-as-published"]);
    publish(&server, NEW, "s", "live", &["-r"]);
    assert_eq!(message(&mut keeping, "live")["retain"], 1);
}

#[test]
fn a_request_finds_its_response() {
    let server = Setup::new().start();
    let mut answers = subscribe(&server, NEW, "questions", &[]);
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "mosquitto_rr", "-h", "127.0.0.1", "-p", &port(&server), "-V", NEW, "-t", "questions"]);
    command.args(["-e", "answers/here", "-m", "what?", "-D", "publish", "correlation-data", "q-1"]).args(WHOLE);
    let mut asks = Puppet::start("mosquitto_rr", command);
    let question = message(&mut answers, "what?");
    assert_eq!(question["properties"], json!({ "response-topic": "answers/here", "correlation-data": "q-1" }));
    let topic = question["properties"]["response-topic"].as_str().expect("a topic");
    publish(&server, NEW, topic, "that", &["-D", "publish", "correlation-data", "q-1"]);
    assert_eq!(message(&mut asks, "that")["properties"], json!({ "correlation-data": "q-1" }));
}

#[test]
fn reasons_are_told() {
    let policy = "version: 1\nroles: { client: [{ topic: \"own/#\", rw: rw }] }\nusers: { carol: [client] }\n";
    let server = Setup::new().users(&[("carol", "secret")]).policy(policy).start();
    for version in VERSIONS {
        let wrong = ["-V", version, "-t", "own/x", "-m", "x", "-u", "carol", "-P", "wrong"];
        let (code, said) = run(&server, "mosquitto_pub", &wrong);
        // The reason of 5.0, or the return code of the older ones.
        let expected = if version == NEW { "CONNACK (134)" } else { "CONNACK (4)" };
        assert!(code != Some(0) && said.contains(expected), "{version}: {code:?} {said}");
        let login = ["-u", "carol", "-P", "secret", "-q", "1"];
        let [denied, nobody] = if version == NEW { ["RC:135", "RC:16"] } else { ["RC:0", "RC:0"] };
        assert!(publish(&server, version, "others", "x", &login).contains(denied), "{version}");
        assert!(publish(&server, version, "own/x", "x", &login).contains(nobody), "{version}");
        // MQTT 3.1 has no word for a Subscription that is denied: it seems granted, and nothing ever comes.
        let ends_when_told: &[&str] = if version == "mqttv31" { &["-E"] } else { &[] };
        let arguments = [&["-V", version, "-t", "others"], &login[..], ends_when_told].concat();
        let (code, said) = run(&server, "mosquitto_sub", &arguments);
        let is_told = said.contains("All subscription requests were denied");
        assert_eq!((code, is_told), (Some(0), version != "mqttv31"), "{version}: {said}");
    }
}

#[test]
fn a_takeover_is_told_where_it_can_be() {
    let server = Setup::new().start();
    for version in VERSIONS {
        let mut first = subscribe(&server, version, "t", &["-i", "same"]);
        let _second = subscribe(&server, version, "t", &["-i", "same"]);
        if version == NEW {
            assert!(line(&mut first, "DISCONNECT").contains("142"), "0x8E");
        }
    }
    server.wait_for_metric("tidegate_engine_takeovers_total", |count| count >= 3.0);
}

/// Publishes so many numbers through one connection.
fn publish_numbers(server: &Server, topic: &str, count: usize, more: &[&str]) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port(server), "-V", NEW, "-t", topic, "-l", "-q", "1"]).args(more);
    let mut publisher = Puppet::start("mosquitto_pub", command);
    (0..count).for_each(|index| publisher.write(&index.to_string()));
    publisher.finish();
}

#[test]
fn limits_of_a_client_are_kept() {
    let server = Setup::new().start();
    let mut narrow = subscribe(&server, NEW, "n", &["-q", "1", "-D", "connect", "receive-maximum", "1"]);
    let mut small = subscribe(&server, NEW, "n", &["-q", "1", "-D", "connect", "maximum-packet-size", "100"]);
    publish_numbers(&server, "n", 50, &[]);
    let long = "x".repeat(200);
    publish(&server, NEW, "n", &long, &["-q", "1"]);
    publish(&server, NEW, "n", "fits", &["-q", "1"]);
    for payload in (0..50).map(|index| index.to_string()) {
        message(&mut narrow, &payload);
        message(&mut small, &payload);
    }
    message(&mut narrow, &long);
    message(&mut narrow, "fits");
    message(&mut small, "fits");
}

#[test]
fn a_topic_alias_stands_for_its_topic() {
    let server = Setup::new().start();
    let mut subscriber = subscribe(&server, NEW, "long/#", &["-q", "1"]);
    publish_numbers(&server, "long/topic", 10, &["-D", "publish", "topic-alias", "3"]);
    for index in 0..10 {
        let message = message(&mut subscriber, &index.to_string());
        assert_eq!((&message["topic"], &message["properties"]["topic-alias"]), (&json!("long/topic"), &json!(null)));
    }
}

#[test]
fn a_shared_subscription_is_shared() {
    let server = Setup::new().start();
    let mut members = [(); 3].map(|()| subscribe(&server, NEW, "$share/group/s", &["-q", "1"]));
    publish_numbers(&server, "s", 30, &[]);
    let mut got = Vec::new();
    for member in &mut members {
        for _ in 0..10 {
            let message = member.wait("a message", |event| event["payload"].is_string());
            got.push(message["payload"].as_str().and_then(|payload| payload.parse::<usize>().ok()));
        }
    }
    got.sort();
    assert_eq!(got, (0..30).map(Some).collect::<Vec<_>>(), "to each a third, to nobody twice");
}
