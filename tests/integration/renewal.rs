//! Tokens that the HTTP server judges, renewed in session: the connection goes on while it is asked, and no failure is a yes.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate::mqtt::packet::{Auth, Connect};
use tidegate::mqtt::property::AuthProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::backend::{Backend, Reply};
use crate::harness::transport::Ending;
use crate::harness::{Client, JsonClient, Over, Server, Setup, mqtt};

const POLICY: &str = r#"
version: 1
roles:
  own: [{ topic: "/p/${username}/#", rw: rw }]
  all: [{ topic: "/#", rw: rw }]
users: { "*": [own] }
claims: [{ when: { role: ops }, roles: [all] }]
"#;

fn start(backend: &Backend, http: &str, jwt: &str) -> Server {
    let auth = format!(
        "{{ http: {{ url: \"{}\", {http} }}, jwt: {{ warning: 0s, grace: 0s, {jwt} }} }}",
        backend.url("/auth")
    );
    let setup = Setup::new().policy(POLICY).section("log", "{ level: trace }").section("auth", &auth);
    setup.section("limits", "{ connect_timeout: 60s }").start()
}

/// Lets whoever in whose token is `NAME:SECONDS` or `NAME:SECONDS:ROLE`, as that; `NAME:-` for good.
fn issuer() -> Reply {
    Reply::By(Arc::new(|request| {
        let asked = request.json();
        let token = asked.get("token").or_else(|| asked.get("password")).and_then(Value::as_str).unwrap_or_default();
        let mut parts = token.split(':');
        let (name, seconds, role) = (parts.next(), parts.next(), parts.next());
        match (name, seconds) {
            (Some(name), Some("-")) => (200, json!({ "allow": true, "username": name })),
            (Some(name), Some(seconds)) => {
                let expires_in_s: u64 = seconds.parse().expect("a number");
                let claims = json!({ "role": role.unwrap_or("none") });
                (200, json!({ "allow": true, "username": name, "claims": claims, "expires_in_s": expires_in_s }))
            }
            _ => (200, json!({ "allow": false })),
        }
    }))
}

fn away() -> Reply {
    Reply::Whole(500, String::new())
}

fn page(server: &Server, token: &str) -> JsonClient {
    let mut page = JsonClient::open(server, Over::Ws);
    page.send(&json!({ "Action": "connect", "Token": token, "Id": "in" }));
    page.expect(&json!({ "Action": "ack", "Id": "in" }));
    page
}

fn client(server: &Server, version: Version, client_id: &str, token: &str) -> Client {
    let login = mqtt::login("alice", token);
    Client::connect_with(server, Over::Tcp, Connect { login, ..mqtt::connect(version, client_id) })
}

fn by_auth(server: &Server, client_id: &str, token: &str) -> (Client, ReasonCode) {
    let mut connect = mqtt::connect(Version::V5, client_id);
    connect.properties.authentication_method = Some("token".into());
    connect.properties.authentication_data = Some(token.to_owned().into());
    let (client, connack) = Client::try_connect(server, Over::Tcp, connect);
    (client, connack.reason)
}

fn auth(token: &str) -> Packet<'static> {
    let properties = AuthProperties {
        authentication_method: Some("token".into()),
        authentication_data: Some(token.to_owned().into()),
        ..AuthProperties::default()
    };
    Packet::Auth(Auth { reason: ReasonCode::ReAuthenticate, properties })
}

fn expect_auth(client: &mut Client) {
    match client.receive() {
        Packet::Auth(auth) => assert_eq!(auth.reason, ReasonCode::Success),
        other => panic!("{other:?} instead of AUTH"),
    }
}

const RENEWED: &str = "tidegate_connection_tokens_renewed_total";

#[test]
fn every_dialect_renews_what_the_server_has_judged() {
    let backend = Backend::start(issuer());
    let server = start(&backend, "", "");
    // All of these would be over before the end of the test.
    let mut page = page(&server, "alice:3");
    page.send(&json!({ "Action": "auth", "Token": "alice:600:ops", "Id": 1 }));
    page.expect(&json!({ "Action": "ack", "Id": 1 }));
    let asked = backend.requests().pop().expect("a question").json();
    let client_id = asked["client_id"].as_str().expect("one of the server's making").to_owned();
    let expected =
        json!({ "username": "alice", "token": "alice:600:ops", "client_id": client_id, "address": "127.0.0.1" });
    assert_eq!(asked, expected);
    page.subscribe("/of-ops");

    let (mut enhanced, reason) = by_auth(&server, "by AUTH", "alice:3");
    assert_eq!(reason, ReasonCode::Success);
    assert_eq!(by_auth(&server, "by AUTH too", "nonsense").1, ReasonCode::NotAuthorized);
    enhanced.send(&auth("alice:600:ops"));
    expect_auth(&mut enhanced);
    assert_ne!(enhanced.publish("/of-ops", b"", QoS::AtLeastOnce, false), ReasonCode::NotAuthorized);
    // A token that does not end.
    enhanced.send(&auth("alice:-"));
    expect_auth(&mut enhanced);

    let mut clients = vec![enhanced];
    for version in [Version::V3, Version::V4, Version::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut client = client(&server, version, &format!("{version:?} {qos:?}"), "alice:3");
            let reason = client.publish("$tidegate/auth", b"alice:600", qos, false);
            assert_eq!(reason, ReasonCode::Success, "{version:?} {qos:?}");
            clients.push(client);
        }
    }
    server.wait_for_metric(RENEWED, |count| count == 12.0);
    client(&server, Version::V5, "witness", "alice:4").expect_disconnect(ReasonCode::MaximumConnectTime);
    page.expect(&json!({ "Topic": "/of-ops", "Payload": "" }));
    page.publish("/of-ops", "still there");
    page.expect(&json!({ "Topic": "/of-ops", "Payload": "still there" }));
    for client in &mut clients {
        client.subscribe("/p/alice/x", QoS::AtMostOnce);
        client.publish("/p/alice/x", b"still alice", QoS::AtMostOnce, false);
        client.expect_message("/p/alice/x", b"still alice");
        client.unsubscribe("/p/alice/x");
    }
    let printed = server.printed();
    for token in ["alice:600", "alice:-", "nonsense"] {
        assert!(!printed.contains(token), "{token} is in the log");
    }
}

#[test]
fn a_no_is_told_and_the_old_token_holds() {
    let backend = Backend::start(issuer());
    let server = start(&backend, "", "");
    let mut page = page(&server, "alice:600");
    for (id, token) in ["x", "bob:600", ""].into_iter().enumerate() {
        page.send(&json!({ "Action": "auth", "Token": token, "Id": id }));
        page.expect(&json!({ "Action": "error", "Code": "bad_credentials", "Id": id }));
    }
    page.subscribe("/p/alice/x");
    // More than anybody is asked about, and what is no text.
    let mut long = client(&server, Version::V5, "long", "alice:600");
    let asked = backend.requests().len();
    for token in [&[b'x'; 65_536][..], b"alice:600:\xFF"] {
        assert_eq!(long.publish("$tidegate/auth", token, QoS::AtLeastOnce, false), ReasonCode::NotAuthorized);
    }
    assert_eq!(backend.requests().len(), asked);

    for token in ["x", "bob:600"] {
        let (mut enhanced, _) = by_auth(&server, "by AUTH", "alice:600");
        enhanced.send(&auth(token));
        enhanced.expect_disconnect(ReasonCode::NotAuthorized);
        for (version, expected) in [(Version::V5, ReasonCode::NotAuthorized), (Version::V4, ReasonCode::Success)] {
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let mut client = client(&server, version, "by PUBLISH", "alice:600");
                assert_eq!(client.publish("$tidegate/auth", token.as_bytes(), qos, false), expected);
                assert_eq!(client.subscribe("/p/alice/x", QoS::AtMostOnce), ReasonCode::Success);
            }
        }
    }
    assert_eq!(server.metric(RENEWED), 0.0);
}

#[test]
fn everything_else_goes_on_while_the_server_is_asked() {
    let backend = Backend::start(issuer());
    let server = start(&backend, "timeout: 30s", "");
    let (mut page, mut mqtt) = (page(&server, "alice:600"), client(&server, Version::V5, "m", "alice:600"));
    let (mut enhanced, _) = by_auth(&server, "by AUTH", "alice:600");
    let asked = backend.requests().len();
    backend.reply(Reply::Hold);
    page.send(&json!({ "Action": "auth", "Token": "alice:500:ops", "Id": 1 }));
    let (first, second) = (mqtt.take_packet_id(), mqtt.take_packet_id());
    let publish = |id: u16, token: &'static [u8]| {
        Packet::Publish(mqtt::publish("$tidegate/auth", token, QoS::AtLeastOnce, false, id))
    };
    mqtt.send(&publish(first, b"alice:501"));
    enhanced.send(&auth("alice:502:ops"));
    backend.wait_for_requests(asked + 3);

    page.subscribe("/p/alice/x");
    page.send(&json!({ "Action": "ping", "Id": 2 }));
    page.expect(&json!({ "Action": "pong", "Id": 2 }));
    for client in [&mut mqtt, &mut enhanced] {
        assert_eq!(client.publish("/p/alice/x", b"meanwhile", QoS::AtLeastOnce, false), ReasonCode::Success);
        page.expect(&json!({ "Topic": "/p/alice/x", "Payload": "meanwhile" }));
    }
    // The newest one counts, and the one before it is answered; nobody is asked twice at once.
    for id in 3..20 {
        page.send(&json!({ "Action": "auth", "Token": format!("alice:6{id:02}:ops"), "Id": id }));
        let before = if id == 3 { 1 } else { id - 1 };
        page.expect(&json!({ "Action": "error", "Code": "failed", "Id": before }));
    }
    mqtt.send(&publish(second, b"alice:602"));
    match mqtt.receive() {
        Packet::PubAck(ack) => {
            assert_eq!((ack.packet_id.get(), ack.reason), (first, ReasonCode::ImplementationSpecificError));
        }
        other => panic!("{other:?} instead of PUBACK"),
    }
    // AUTH has one answer; what is published meanwhile is none of it.
    enhanced.send(&auth("alice:603:ops"));
    let reason = enhanced.publish("$tidegate/auth", b"alice:604:ops", QoS::AtLeastOnce, false);
    assert_eq!(reason, ReasonCode::NotAuthorized);
    assert_eq!(backend.requests().len(), asked + 3);

    backend.reply(issuer());
    page.expect(&json!({ "Action": "ack", "Id": 19 }));
    match mqtt.receive() {
        Packet::PubAck(ack) => assert_eq!((ack.packet_id.get(), ack.reason), (second, ReasonCode::Success)),
        other => panic!("{other:?} instead of PUBACK"),
    }
    expect_auth(&mut enhanced);
    assert_eq!(enhanced.subscribe("/of-ops", QoS::AtMostOnce), ReasonCode::Success);
    page.subscribe("/of-ops");
    let judged: Vec<String> =
        backend.requests()[asked + 3..].iter().map(|asked| asked.json()["token"].to_string()).collect();
    assert_eq!(judged.len(), 3, "{judged:?}");
    for token in ["alice:619:ops", "alice:602", "alice:603:ops"] {
        assert!(judged.contains(&format!("\"{token}\"")), "{judged:?}");
    }
    page.expect_nothing();
    server.wait_for_metric(RENEWED, |count| count == 3.0);
}

#[test]
fn a_server_that_fails_says_neither_yes_nor_no() {
    let backend = Backend::start(issuer());
    let server = start(&backend, "timeout: 1s", "");
    let mut page = page(&server, "alice:600");
    let mut new = client(&server, Version::V5, "5.0", "alice:600");
    let mut old = client(&server, Version::V4, "3.1.1", "alice:600");
    let (mut enhanced, _) = by_auth(&server, "by AUTH", "alice:600");
    backend.reply(away());
    page.send(&json!({ "Action": "auth", "Token": "alice:500:ops", "Id": 1 }));
    let told = page.expect(&json!({ "Action": "error", "Code": "server_busy", "Id": 1 }));
    assert!(told["Reason"].as_str().is_some_and(|reason| reason.contains("try again")), "{told}");
    page.send(&json!({ "Action": "subscribe", "Topic": "/of-ops", "Id": 2 }));
    page.expect(&json!({ "Action": "error", "Code": "denied", "Id": 2 }));
    let reason = new.publish("$tidegate/auth", b"alice:500:ops", QoS::AtLeastOnce, false);
    assert_eq!(reason, ReasonCode::ImplementationSpecificError);
    assert_eq!(new.subscribe("/of-ops", QoS::AtMostOnce), ReasonCode::NotAuthorized);
    assert_eq!(server.metric(RENEWED), 0.0);

    // Those who cannot be told are asked about again.
    let asked = backend.requests().len();
    enhanced.send(&auth("alice:500:ops"));
    let id = old.take_packet_id();
    old.send(&Packet::Publish(mqtt::publish("$tidegate/auth", b"alice:500:ops", QoS::AtLeastOnce, false, id)));
    backend.wait_for_requests(asked + 4);
    for client in [&mut enhanced, &mut old] {
        client.send(&Packet::PingReq);
        assert!(matches!(client.receive(), Packet::PingResp));
    }
    backend.reply(issuer());
    expect_auth(&mut enhanced);
    assert!(matches!(old.receive(), Packet::PubAck(ack) if ack.packet_id.get() == id));
    for client in [&mut enhanced, &mut old] {
        assert_eq!(client.subscribe("/of-ops", QoS::AtMostOnce), ReasonCode::Success);
    }
    server.wait_for_metric(RENEWED, |count| count == 2.0);
}

#[test]
fn the_old_token_ends_when_it_says_whatever_is_being_asked() {
    let backend = Backend::start(issuer());
    let server = start(&backend, "timeout: 30s", "");
    let mut page = page(&server, "alice:2");
    let (mut enhanced, _) = by_auth(&server, "by AUTH", "alice:2");
    backend.reply(Reply::Hold);
    page.send(&json!({ "Action": "auth", "Token": "alice:600", "Id": 1 }));
    enhanced.send(&auth("alice:601"));
    page.expect(&json!({ "Code": "token_expiring" }));
    page.expect(&json!({ "Code": "token_expired" }));
    assert_eq!(page.expect_closed(), Ending::Closed(Some(1008)));
    enhanced.expect_disconnect(ReasonCode::MaximumConnectTime);
    backend.reply(issuer());
    server.wait_for_metric("tidegate_auth_http_under_way", |count| count == 0.0);
    assert_eq!(server.metric(RENEWED), 0.0);
    server.wait_for_metric("tidegate_connection_open", |count| count == 0.0);
}

#[test]
fn answers_are_kept_and_shared_as_at_login() {
    let backend = Backend::start(issuer());
    let server = start(&backend, "allow_ttl: 60s, deny_ttl: 60s, stale_max: 60s", "");
    let mut page = page(&server, "alice:600");
    let asked = backend.requests().len();
    for id in 0..3 {
        page.send(&json!({ "Action": "auth", "Token": "alice:500", "Id": id }));
        page.expect(&json!({ "Action": "ack", "Id": id }));
        page.send(&json!({ "Action": "auth", "Token": "no", "Id": id }));
        page.expect(&json!({ "Action": "error", "Code": "bad_credentials", "Id": id }));
    }
    assert_eq!(backend.requests().len(), asked + 2);
    backend.reply(away());
    assert!(server.reload());
    page.send(&json!({ "Action": "auth", "Token": "alice:500", "Id": "stale" }));
    page.expect(&json!({ "Action": "ack", "Id": "stale" }));
    assert_eq!(server.metric("tidegate_auth_http_cache_hits_total{answer=\"stale\"}"), 1.0);
}
