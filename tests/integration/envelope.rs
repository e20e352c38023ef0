//! Several devices on one connection: each message says and proves whom it is from (`configs/envelope.md`).

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tidegate::auth::Principal;
use tidegate::mqtt::{QoS, ReasonCode, Version};
use tidegate::policy::{KeyFileText, Policy};

use crate::harness::issuer::{self, Issuer};
use crate::harness::server::tidegate;
use crate::harness::{Client, JsonClient, Over, Puppet, Server, Setup, mqtt, puppet};

const POLICY: &str = r##"
version: 1
roles:
  site:
    - { topic: "/single/${username}", rw: w }
    - { topic: "/devices/${clientid}/up", rw: w }
  backend:
    - { topic: "/single/+", rw: r }
    - { topic: "/devices/#", rw: r }
users:
  site: [site]
  server: [backend]
envelope:
  - { topic: "/single/${username}", key_file: keys/devices }
  - { topic: "/devices/+/up", key_file: keys/devices }
tests:
  - { as: site, may: publish, topic: /devices/sensor-1/up, client_id: sensor-1 }
  - { as: site, may_not: publish, topic: /devices/sensor-1/up, client_id: sensor-2 }
"##;

const KEYS: [(&str, &str); 2] =
    [("sensor-1", "000102030405060708090a0b0c0d0e0f"), ("sensor-2", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")];

fn setup() -> Setup {
    let keys: String = KEYS.iter().map(|(client_id, key)| format!("{client_id}:{key}\n")).collect();
    Setup::new()
        .users(&[("site", "password"), ("server", "secret")])
        .file("keys/devices", keys)
        .policy(POLICY)
        .section("log", "{ level: debug, format: json }")
}

fn key(client_id: &str) -> &'static str {
    KEYS.iter().find(|(name, _)| *name == client_id).expect("a device").1
}

fn log_in(server: &Server, version: Version, user: &str, password: &str) -> Client {
    let mut connect = mqtt::connect(version, user);
    connect.login = mqtt::login(user, password);
    Client::connect_with(server, Over::Tcp, connect)
}

fn backend(server: &Server) -> Client {
    let mut backend = log_in(server, Version::V5, "server", "secret");
    backend.subscribe("/single/+", QoS::AtLeastOnce);
    backend.subscribe("/devices/#", QoS::AtLeastOnce);
    backend
}

/// The next message's members but for the timestamp, which is the sender's.
fn receive(backend: &mut Client) -> Value {
    let publish = backend.receive_publish();
    let mut message: Value = serde_json::from_slice(&publish.payload).expect("JSON");
    let members = message.as_object_mut().expect("an object");
    assert!(members.remove("timestamp").is_some_and(|timestamp| timestamp.is_string()));
    backend.acknowledge(&publish);
    message
}

fn reading(client_id: &str, data: Value) -> Value {
    json!({ "client_id": client_id, "message_type": "reading", "data": data })
}

/// An envelope from now; `data` is canonical.
fn sealed(client_id: &str, data: &str) -> String {
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let digits = |index| u8::from_str_radix(&key(client_id)[2 * index..2 * index + 2], 16).expect("hex");
    let mut mac = Hmac::<Sha256>::new_from_slice(&std::array::from_fn::<u8, 16, _>(digits)).expect("a key");
    mac.update(format!("{timestamp}.{client_id}.reading.{data}").as_bytes());
    let token: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let (head, tail) = (json!({ "timestamp": timestamp.to_string(), "client_id": client_id }), json!(token));
    format!(
        "{},\"message_type\":\"reading\",\"data\":{data},\"token\":{tail}}}",
        head.to_string().trim_end_matches('}')
    )
}

fn python(script: &[&str]) -> Value {
    let output = Command::new(puppet::installed().join("paho-2/bin/python"))
        .arg(puppet::script("envelope.py"))
        .args(script)
        .output()
        .expect("the Python that tests/run installs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn devices_that_share_a_python_connection_are_told_apart() {
    let server = setup().start();
    let mut backend = backend(&server);
    let one = |more: Value| {
        let mut step = json!({ "client_id": "sensor-1", "key": key("sensor-1"), "data": { "n": 1, "ö": [1, { "b": null, "a": "\"" }] } });
        step.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        step
    };
    let steps = json!([
        one(json!({})),
        { "client_id": "sensor-2", "key": key("sensor-2"), "data": { "n": 1 } },
        one(json!({ "data": { "n": 2 }, "then": "replayed" })),
        one(json!({ "data": { "n": 3 }, "age": 120 })),
        one(json!({ "data": { "n": 3 }, "age": -120 })),
        one(json!({ "data": { "n": 4 }, "then": "tampered" })),
        one(json!({ "data": { "n": 5 }, "client_id": "sensor-2" })),
        one(json!({ "data": { "n": 6 }, "client_id": "sensor-3" })),
        one(json!({ "data": { "n": 7 } })),
    ]);
    let port = server.address("mqtt").port().to_string();
    let reasons = python(&["publish", &port, "site", "password", "/single/site", &steps.to_string()]);
    assert_eq!(reasons, json!([0, 0, 0, 0x87, 0x87, 0x87, 0x87, 0x87, 0x87, 0]));

    assert_eq!(receive(&mut backend), reading("sensor-1", json!({ "n": 1, "ö": [1, { "b": null, "a": "\"" }] })));
    assert_eq!(receive(&mut backend), reading("sensor-2", json!({ "n": 1 })));
    assert_eq!(receive(&mut backend), reading("sensor-1", json!({ "n": 2 })));
    assert_eq!(receive(&mut backend), reading("sensor-1", json!({ "n": 7 })));
    backend.expect_nothing();

    let counted = |series: &str, expected: f64| server.wait_for_metric(series, |value| value == expected);
    counted("tidegate_connection_envelopes_verified_total", 4.0);
    counted("tidegate_connection_envelopes_remembered", 4.0);
    for (reason, count) in [("malformed", 0.0), ("token", 3.0), ("stale", 2.0), ("replayed", 1.0), ("window_full", 0.0)]
    {
        counted(&format!("tidegate_connection_envelopes_refused_total{{reason=\"{reason}\"}}"), count);
    }
}

#[test]
fn a_page_that_stands_for_two_devices_signs_for_both() {
    let server = setup().page("envelope.html", "envelope.html").page("envelope.js", "envelope.js").start();
    let mut backend = backend(&server);
    let mut browser = Puppet::browser();
    browser.open("page", &server.url("https", "/envelope.html"));
    browser.evaluate("page", "open('site', 'password')", Value::Null);
    browser.wait("the login", |event| event["id"] == "login" && event["event"] == "ack");

    let sign = "const envelope = await seal(argument.key, argument.client_id, argument.data);
        Object.assign(envelope, argument.then);
        for (let n = 0; n < argument.times; n++) publish(argument.topic, envelope, argument.id + n);";
    let mut publish = |id: &str, topic: &str, client_id: &str, key_of: &str, data: Value, then: Value, times: usize| {
        let argument = json!({
            "id": id, "topic": topic, "client_id": client_id, "key": key(key_of), "data": data, "then": then, "times": times,
        });
        browser.evaluate("page", sign, argument);
        let answer = |event: Value| if event["event"] == "ack" { json!("ack") } else { event["code"].clone() };
        let wait = |n| answer(browser.wait("an answer", |event| event["id"] == format!("{id}{n}")));
        (0..times).map(wait).collect::<Vec<_>>()
    };
    // Numbers, names and texts that two implementations of RFC 8785 have to agree on.
    let data = json!({ "\u{fb33}": 1e30, "😀": 4.5e-7, "ö\n\u{1}\"": [333333333.3333333, -0.0, true, null], "": {} });
    assert_eq!(publish("a", "/single/site", "sensor-1", "sensor-1", data.clone(), json!({}), 1), ["ack"]);
    assert_eq!(
        publish("b", "/devices/sensor-2/up", "sensor-2", "sensor-2", json!({}), json!({}), 2),
        ["ack", "denied"]
    );
    let empty = || json!({});
    assert_eq!(publish("c", "/devices/sensor-1/up", "sensor-2", "sensor-2", json!({ "n": 1 }), empty(), 1), ["denied"]);
    assert_eq!(publish("d", "/single/site", "sensor-1", "sensor-2", json!({ "n": 2 }), empty(), 1), ["denied"]);
    let tampered = json!({ "data": { "n": 4 } });
    assert_eq!(publish("e", "/single/site", "sensor-1", "sensor-1", json!({ "n": 3 }), tampered, 1), ["denied"]);
    let more = json!({ "more": 1 });
    assert_eq!(publish("f", "/single/site", "sensor-1", "sensor-1", json!({ "n": 5 }), more, 1), ["payload_invalid"]);

    let first = receive(&mut backend);
    assert_eq!((&first["client_id"], &first["data"]["\u{fb33}"]), (&json!("sensor-1"), &json!(1e30)));
    assert_eq!(first["data"]["ö\n\u{1}\""], json!([333333333.3333333, 0, true, null]));
    assert_eq!(receive(&mut backend), reading("sensor-2", json!({})));
    backend.expect_nothing();
}

#[test]
fn a_will_proves_whom_it_is_from_when_it_is_made() {
    let server = setup().start();
    let mut backend = backend(&server);
    for version in [Version::V4, Version::V5] {
        let mut connect = mqtt::connect(version, "mortal");
        connect.login = mqtt::login("site", "password");
        connect.will = Some(mqtt::will("/single/site", "gone", QoS::AtLeastOnce, false));
        let (mut refused, answer) = Client::try_connect(&server, Over::Wss, connect.clone());
        assert_eq!(answer.reason, ReasonCode::NotAuthorized);
        refused.expect_closed();
        let payload = sealed("sensor-1", &format!("{{\"version\":{}}}", version as u8));
        connect.will = Some(mqtt::will("/single/site", &payload, QoS::AtLeastOnce, false));
        drop(Client::connect_with(&server, Over::Wss, connect.clone()));
        assert_eq!(receive(&mut backend), reading("sensor-1", json!({ "version": version as u8 })));
        // The same Will again is a message sent before.
        assert_eq!(Client::try_connect(&server, Over::Wss, connect).1.reason, ReasonCode::NotAuthorized);
    }
    backend.expect_nothing();
}

#[test]
fn a_refusal_says_why_and_no_log_says_a_token() {
    let server = setup().start();
    let mut backend = backend(&server);
    let mut site = log_in(&server, Version::V5, "site", "password");
    let payload = sealed("sensor-1", "{\"private\":1}");
    assert_eq!(site.publish("/single/site", payload.as_bytes(), QoS::AtLeastOnce, false), ReasonCode::Success);
    assert_eq!(site.publish("/single/site", payload.as_bytes(), QoS::AtLeastOnce, false), ReasonCode::NotAuthorized);
    assert_eq!(site.publish("/single/site", b"plain", QoS::ExactlyOnce, false), ReasonCode::PayloadFormatInvalid);
    site.publish("/single/site", payload.replace("sensor-1", "sensor-2").as_bytes(), QoS::AtMostOnce, false);
    let mut json = JsonClient::log_in(&server, Over::Ws, "site", "password");
    json.publish("/single/site", "plain");
    let told = json.expect(&json!({ "Action": "error", "Code": "payload_invalid" }));
    assert!(told["Reason"].is_string(), "{told}");
    receive(&mut backend);
    backend.expect_nothing();

    server.wait_for_line("this message was sent before");
    server.wait_for_line("the token is not one of this client_id");
    let line = server.wait_for_line("the payload is not JSON");
    assert!(line.contains("/single/site") && line.contains("publish denied"), "{line}");
    // The entry stands in line 14 of the policy.
    assert!(line.contains("policy.yaml:14"), "{line}");
    let sealed = sealed("sensor-2", "{}");
    site.publish("/devices/sensor-1/up", sealed.as_bytes(), QoS::AtLeastOnce, false);
    server.wait_for_line("as client \\\"sensor-2\\\"");
    let printed = server.printed();
    let token = payload.rsplit("\"token\":\"").next().expect("a token").trim_end_matches("\"}");
    assert_eq!(token.len(), 64);
    for secret in [token, key("sensor-1"), key("sensor-2"), "private"] {
        assert!(!printed.contains(secret), "{secret} is in the log:\n{printed}");
    }
}

#[test]
fn the_example_of_the_documentation_can_be_computed() {
    let example = python(&["example"]);
    let said = |member: &str| example[member].as_str().expect("a text");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/envelope.md"))
        .expect("the documentation");
    assert!(text.contains(said("signed")), "{example}");
    assert!(text.contains(said("token")), "{example}");
    // The first JSON of the text is the message, the last what goes on of it; the policy's key is in the text as well.
    let mut blocks = text.split("```json\n").skip(1).map(|block| block.split("```").next().expect("a block"));
    let message = blocks.next().expect("the message");
    let key = text.split("Under the key `").nth(1).and_then(|rest| rest.split('`').next()).expect("the key");
    let keys = |_: &str| Ok(KeyFileText { origin: "k".to_owned(), text: format!("sensor-7:{key}\n") });
    let policy = "version: 1\nenvelope: [ { topic: t, key_file: k } ]\n";
    let access =
        Policy::parse_with(policy, "p", &keys).expect("a policy").bind(&Principal::user("u"), "c").expect("bound");
    let rule = access.envelope("t").expect("an entry");
    let nobody = |_: &str| None;
    let opened = rule.open(message.as_bytes(), 1_700_000_060, &nobody).expect("sound and fresh");
    assert_eq!(opened.payload, blocks.last().expect("what goes on").trim_end());
    assert_eq!(
        rule.open(said("payload").as_bytes(), 1_700_000_000, &nobody),
        Ok(opened),
        "the script's spelling is another, its meaning not"
    );
    assert!(rule.open(message.as_bytes(), 1_700_000_061, &nobody).is_err());
}

#[test]
fn the_commands_read_the_keys_and_show_none() {
    let setup = setup().file("keys/devices", "sensor-1:000102030405060708090a0b0c0d0e0f\nsensor-2:feedbeef\n");
    let path = setup.directory().join("policy.yaml");
    let run = |arguments: &[&str]| {
        let output = tidegate().current_dir(setup.directory()).args(arguments).output().expect("the tidegate binary");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let policy = path.to_str().expect("a path");
    let explain =
        ["policy", "explain", policy, "--user", "site", "--client-id", "sensor-1", "publish", "/devices/sensor-1/up"];
    for arguments in [&["policy", "test", policy][..], &explain[..]] {
        let (code, text) = run(arguments);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("devices:2:10: sensor-2: has a key of 4 bytes"), "{text}");
        assert!(!text.contains("feedbeef"), "{text}");
    }
    std::fs::write(setup.directory().join("keys/devices"), "sensor-1:000102030405060708090a0b0c0d0e0f\n")
        .expect("a writable file");
    let (code, text) = run(&["policy", "test", policy]);
    assert_eq!(code, Some(0), "{text}");
    let (_, text) = run(&explain);
    assert!(text.contains("site may publish") && text.contains("envelope: \"/devices/+/up\", max_age 60s"), "{text}");
    assert!(!text.contains("000102"), "{text}");
}

#[test]
fn a_jwt_proves_whom_a_message_is_from_as_it_proves_who_connects() {
    let issuer = Issuer::new();
    let policy = POLICY.replace("key_file: keys/devices }", "jwt: true }");
    let setup = setup().policy(&policy).file("jwks.json", issuer.jwks());
    let config = "{ passwords: passwords, jwt: { keys: jwks.json, audience: tidegate } }";
    let server = setup.section("auth", config).start();
    let mut backend = backend(&server);
    let mut site = log_in(&server, Version::V5, "site", "password");
    let mut publish = |client_id: &str, token: &str, n: u32| {
        let timestamp = issuer::now_s().to_string();
        let payload = json!({
            "timestamp": timestamp, "client_id": client_id, "message_type": "reading", "data": { "n": n }, "token": token,
        });
        let topic = format!("/devices/{client_id}/up");
        site.publish(&topic, payload.to_string().as_bytes(), QoS::AtLeastOnce, false)
    };
    let token = issuer.token("sensor-9");
    assert_eq!(publish("sensor-9", &token, 1), ReasonCode::Success);
    assert_eq!(publish("sensor-9", &token, 2), ReasonCode::Success, "it proves the client, and not one message");
    assert_eq!(publish("sensor-8", &token, 3), ReasonCode::NotAuthorized);
    assert_eq!(publish("sensor-9", &issuer.token_for("sensor-9", -3600), 4), ReasonCode::NotAuthorized);
    assert_eq!(publish("sensor-9", &Issuer::new().token("sensor-9"), 5), ReasonCode::NotAuthorized);
    assert_eq!(receive(&mut backend), reading("sensor-9", json!({ "n": 1 })));
    assert_eq!(receive(&mut backend), reading("sensor-9", json!({ "n": 2 })));
    backend.expect_nothing();
    server.wait_for_metric("tidegate_connection_envelopes_refused_total{reason=\"token\"}", |value| value == 3.0);
    assert!(!server.printed().contains(&token), "the token is in the log");
}

#[test]
fn a_policy_that_takes_jwts_needs_somebody_to_verify_them() {
    let setup = setup().policy(&POLICY.replace("key_file: keys/devices }", "jwt: true }"));
    let config = "policy: policy.yaml\nauth: { passwords: passwords }\nlisten: [\"mqtt://127.0.0.1:0\"]\n";
    std::fs::write(setup.directory().join("alone.yaml"), config).expect("a writable file");
    for command in ["check", "run"] {
        let arguments = [command, "-c", "alone.yaml"];
        let output = tidegate().current_dir(setup.directory()).args(arguments).output().expect("the tidegate binary");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("policy.yaml:14:42: envelope[0].jwt: asks for tokens that nobody verifies"), "{text}");
    }
}
