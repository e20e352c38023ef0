//! The HTTP server that is asked who a client is: what it says holds, and whatever else it does lets nobody in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate::mqtt::packet::{Connect, Login};
use tidegate::mqtt::{QoS, ReasonCode, Version};

use crate::harness::backend::{Backend, Reply};
use crate::harness::issuer::Issuer;
use crate::harness::{Client, JsonClient, Over, Server, Setup, mqtt};

const POLICY: &str = r#"
version: 1
roles:
  own: [{ topic: "/p/${username}/#", rw: rw }]
  tenant: [{ topic: "/t/${claim.tenant}/#", rw: rw }]
  all: [{ topic: "/#", rw: rw }]
users: { "*": [own] }
claims:
  - { when: { role: ops }, roles: [all] }
  - { when: { tenant: blue }, roles: [tenant] }
"#;

const BAD: ReasonCode = ReasonCode::BadUserNameOrPassword;
const AWAY: ReasonCode = ReasonCode::ServerUnavailable;
const SECRET: &str = "correct horse battery";

/// A server that asks `backend`, under `more` settings of `auth.http`.
fn start(backend: &Backend, more: &str) -> Server {
    start_with(&format!("{{ http: {{ url: \"{}\", {more} }} }}", backend.url("/auth")))
}

fn start_with(auth: &str) -> Server {
    let limits = "{ connect_timeout: 60s }";
    let setup = Setup::new()
        .policy(POLICY)
        .section("limits", limits)
        .section("log", "{ level: trace }")
        .users(&[("local", "hat")]);
    setup.file("token", "s3cr3t-of-the-edge\n").section("auth", auth).start()
}

/// Lets everybody in whose password is right.
fn doorman() -> Reply {
    Reply::By(Arc::new(|request| (200, json!({ "allow": request.json()["password"] == SECRET }))))
}

fn try_login(server: &Server, client_id: &str, login: Login) -> (Client, ReasonCode) {
    let (client, answer) =
        Client::try_connect(server, Over::Tcp, Connect { login, ..mqtt::connect(Version::V5, client_id) });
    (client, answer.reason)
}

fn answer(server: &Server, username: &str, password: &str) -> ReasonCode {
    // Each identity has a Client Identifier of its own, as it belongs to whoever used it first.
    try_login(server, username, mqtt::login(username, password)).1
}

fn may_publish(client: &mut Client, topic: &str) -> bool {
    (client.publish(topic, b"x", QoS::AtLeastOnce, false) as u8) < 0x80
}

#[test]
fn it_is_told_what_the_client_says_and_its_word_is_the_identity() {
    let backend = Backend::start_tls(Reply::json(&json!({ "allow": true })));
    let server = start(&backend, "ca: certs/authority.pem, token_file: token, allow_ttl: 0s");
    let last = || backend.requests().pop().expect("a request");
    let (mut anna, _) = try_login(&server, "c-1", mqtt::login("anna", "pässwörd"));
    assert!(may_publish(&mut anna, "/p/anna/x") && !may_publish(&mut anna, "/t/blue/x"));
    let asked = last();
    assert!(asked.head.starts_with("POST /auth HTTP/1.1\r\n"), "{}", asked.head);
    assert!(asked.head.contains("\r\nauthorization: Bearer s3cr3t-of-the-edge"), "{}", asked.head);
    assert!(asked.head.contains("\r\ncontent-type: application/json"), "{}", asked.head);
    let expected = json!({ "username": "anna", "password": "pässwörd", "client_id": "c-1", "address": "127.0.0.1" });
    assert_eq!(asked.json(), expected);

    backend.reply(Reply::json(
        &json!({ "allow": true, "username": "a-17", "claims": { "tenant": "blue", "role": ["dev"] } }),
    ));
    let login = Login { username: Some("anna".into()), password: Some(Bytes::from_static(b"\xFF\xFE")) };
    let (mut mapped, _) = try_login(&server, "c-2", login);
    assert_eq!(last().json()["password_base64"], "//4=");
    let allowed = ["/p/a-17/x", "/t/blue/x", "/p/anna/x"].map(|topic| may_publish(&mut mapped, topic));
    assert_eq!(allowed, [true, true, false]);

    // A page's token, and no name beside it.
    backend.reply(Reply::json(&json!({ "allow": true, "username": "page", "claims": { "role": ["ops"] } })));
    let connect = mqtt::connect(Version::V5, "c-3");
    let (mut page, answer) = Client::try_connect_at(&server, Over::Wss, "/mqtt?token=of-the-page", connect);
    assert_eq!(answer.reason, ReasonCode::Success);
    assert!(may_publish(&mut page, "/anything"));
    assert_eq!(last().json(), json!({ "token": "of-the-page", "client_id": "c-3", "address": "127.0.0.1" }));

    // The JSON dialect.
    let mut json_client = JsonClient::open(&server, Over::Ws);
    json_client.send(&json!({ "Action": "connect", "Username": "j", "Password": SECRET, "Id": 1 }));
    assert_eq!(json_client.receive()["Action"], "ack");
    assert_eq!(last().json()["password"], SECRET);

    // Without credentials nobody is asked.
    let count = backend.requests().len();
    assert_eq!(try_login(&server, "c-4", Login::default()).1, ReasonCode::NotAuthorized);
    assert_eq!(backend.requests().len(), count);

    let printed = server.printed();
    for secret in ["pässwörd", "s3cr3t-of-the-edge", "of-the-page", SECRET, "//4="] {
        assert!(!printed.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn only_a_yes_is_a_yes() {
    let backend = Backend::start(Reply::Refuse);
    let server = start(&backend, "timeout: 500ms, answer_bytes_max: 1KiB, deny_ttl: 0s, allow_ttl: 0s");
    let yes = json!({ "allow": true }).to_string();
    let raw = |text: &str| Reply::Raw(text.as_bytes().to_vec());
    for (reply, expected) in [
        (Reply::Whole(200, json!({ "allow": false }).to_string()), BAD),
        (Reply::Whole(401, yes.clone()), BAD),
        (Reply::Whole(403, String::new()), BAD),
        (Reply::Refuse, AWAY),
        (Reply::Whole(500, yes.clone()), AWAY),
        (Reply::Whole(502, yes.clone()), AWAY),
        (Reply::Whole(404, yes.clone()), AWAY),
        (Reply::Whole(302, yes.clone()), AWAY),
        (Reply::Whole(204, String::new()), AWAY),
        (Reply::Whole(200, String::new()), AWAY),
        (Reply::Whole(200, "OK".to_owned()), AWAY),
        (Reply::Whole(200, "true".to_owned()), AWAY),
        (Reply::Whole(200, "[true, null, null, null]".to_owned()), AWAY),
        (Reply::Whole(200, json!({ "allow": "true" }).to_string()), AWAY),
        (Reply::Whole(200, json!({ "result": "allow" }).to_string()), AWAY),
        (Reply::Whole(200, json!({ "allow": true, "expires": 60 }).to_string()), AWAY),
        (Reply::Whole(200, json!({ "allow": true, "username": "anonymous" }).to_string()), AWAY),
        (Reply::Whole(200, json!({ "allow": true, "username": "" }).to_string()), AWAY),
        (Reply::Whole(200, format!("{yes}{}", " ".repeat(2048))), AWAY),
        (raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{yes}")), AWAY),
        (raw(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{yes}\r\n")), AWAY),
        (raw(&yes), AWAY),
        (Reply::Drip, AWAY),
        (Reply::Whole(200, yes.clone()), ReasonCode::Success),
    ] {
        let what = match &reply {
            Reply::Whole(status, body) => format!("{status} {body}"),
            Reply::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => "neither".to_owned(),
        };
        backend.reply(reply);
        assert_eq!(answer(&server, "anna", SECRET), expected, "{what}");
    }
    // A name that nobody may have is not asked about.
    let count = backend.requests().len();
    for username in ["anonymous", "a\u{1}b"] {
        let (mut client, reason) = try_login(&server, "c", mqtt::login(username, SECRET));
        assert_ne!(reason, ReasonCode::Success, "{username:?}");
        client.expect_closed();
    }
    assert_eq!(backend.requests().len(), count);
    let failures = |reason: &str| format!("tidegate_auth_http_failures_total{{reason=\"{reason}\"}}");
    for (reason, wanted) in [("status", 4.0), ("answer", 10.0), ("timeout", 1.0)] {
        server.wait_for_metric(&failures(reason), |count| count >= wanted);
    }
    let line = server.wait_for_line("The authentication service fails; ");
    assert!(line.contains("ERROR") && line.contains("/auth"), "{line}");
    server.wait_for_line("The authentication service answers again");
    assert!(!server.printed().contains(SECRET));
}

#[test]
fn answers_hold_for_a_while_and_a_yes_somewhat_longer_while_the_server_fails() {
    let backend = Backend::start(doorman());
    let server = start(&backend, "allow_ttl: 2s, deny_ttl: 2s, stale_max: 3s, timeout: 1s");
    for _ in 0..3 {
        assert_eq!(answer(&server, "anna", SECRET), ReasonCode::Success);
        assert_eq!(answer(&server, "anna", "wrong"), BAD);
    }
    assert_eq!(backend.requests().len(), 2);
    let hits = |answer: &str| format!("tidegate_auth_http_cache_hits_total{{answer=\"{answer}\"}}");
    server.wait_for_metric(&hits("allowed"), |count| count == 2.0);
    server.wait_for_metric(&hits("denied"), |count| count == 2.0);

    backend.reply(Reply::Whole(500, String::new()));
    // A stranger is told to come again, not that he is wrong; who was known is let in, and in the end no more.
    assert_eq!(answer(&server, "bob", SECRET), AWAY);
    let (mut has_been_stale, deadline) = (false, std::time::Instant::now() + crate::harness::PATIENCE);
    loop {
        let asked = backend.requests().len();
        match answer(&server, "anna", SECRET) {
            ReasonCode::Success => has_been_stale |= backend.requests().len() > asked,
            reason => {
                assert_eq!(reason, AWAY);
                break;
            }
        }
        assert!(std::time::Instant::now() < deadline, "a yes holds for ever");
    }
    assert!(has_been_stale, "it was asked in vain, and let in");
    server.wait_for_metric(&hits("stale"), |count| count > 0.0);
    // A no does not outlive its time, and was never a yes.
    assert_eq!(answer(&server, "anna", "wrong"), AWAY);

    backend.reply(Reply::json(&json!({ "allow": false })));
    assert_eq!(answer(&server, "anna", SECRET), BAD);
    backend.reply(Reply::Refuse);
    assert_eq!(answer(&server, "anna", SECRET), BAD, "the no holds");
}

#[test]
fn equal_logins_ask_once_and_others_wait_their_turn() {
    let backend = Backend::start(Reply::Hold);
    let server = start(&backend, "timeout: 20s, requests_max: 3");
    let server = &server;
    let success = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for index in 0..40 {
            // Five users, eight connections each; what differs is a question of its own.
            let (username, success) = (format!("user-{}", index % 5), &success);
            scope.spawn(move || {
                let login = mqtt::login(&username, SECRET);
                // Once their session is taken over they are closed, which is as good: CONNACK was success.
                let (_, reason) = try_login(server, &username, login);
                success.fetch_add(usize::from(reason == ReasonCode::Success), Ordering::Relaxed);
            });
        }
        backend.wait_for_requests(3);
        server.wait_for_metric("tidegate_auth_http_shared_total", |count| count == 35.0);
        server.wait_for_metric("tidegate_auth_http_under_way", |count| count == 3.0);
        assert_eq!(backend.requests().len(), 3);
        backend.reply(doorman());
    });
    assert_eq!(success.load(Ordering::Relaxed), 40);
    assert_eq!(backend.requests().len(), 5);
    server.wait_for_metric("tidegate_auth_http_under_way", |count| count == 0.0);
}

#[test]
fn a_server_that_hangs_holds_nobody_for_longer_than_its_timeout() {
    let backend = Backend::start(Reply::Hold);
    let server = start(&backend, "timeout: 500ms, requests_max: 1, waiting_max: 4");
    let server = &server;
    std::thread::scope(|scope| {
        for index in 0..30 {
            scope.spawn(move || {
                let username = format!("user-{index}");
                assert_eq!(try_login(server, &username, mqtt::login(&username, SECRET)).1, AWAY);
            });
        }
    });
    assert!(backend.requests().len() < 30);
    server.wait_for_metric("tidegate_auth_waiting_full_total", |count| count > 0.0);
    server.wait_for_metric("tidegate_auth_http_failures_total{reason=\"timeout\"}", |count| count > 0.0);
    server.wait_for_metric("tidegate_auth_http_under_way", |count| count == 0.0);
}

#[test]
fn a_yes_may_have_an_end() {
    let backend = Backend::start(Reply::json(&json!({ "allow": true, "expires_in_s": 2 })));
    let auth = format!("{{ http: {{ url: \"{}\" }}, jwt: {{ warning: 1h, grace: 0s }} }}", backend.url("/"));
    let server = start_with(&auth);
    let mut client = JsonClient::open(&server, Over::Ws);
    client.send(&json!({ "Action": "connect", "Username": "j", "Password": SECRET, "Id": 1 }));
    assert_eq!(client.receive()["Action"], "ack");
    let next: Value = client.receive();
    assert_eq!(next["Code"], "token_expiring", "{next}");
    let last = client.receive();
    assert_eq!(last["Code"], "token_expired", "{last}");
}

#[test]
fn it_is_one_method_among_others_in_their_order() {
    let issuer = Issuer::new();
    let backend = Backend::start(doorman());
    let url = backend.url("/");
    for order in ["[http, jwt, passwords]", "[jwt, passwords, http]"] {
        let auth = format!(
            "{{ passwords: passwords, jwt: {{ keys: keys.json, audience: tidegate }}, http: {{ url: \"{url}\", deny_ttl: 0s }}, order: {order} }}"
        );
        let setup = Setup::new().users(&[("local", "hat")]).file("keys.json", issuer.jwks());
        let server = setup.section("auth", &auth).start();
        let asked = backend.requests().len();
        assert_eq!(answer(&server, "local", "hat"), ReasonCode::Success);
        assert_eq!(answer(&server, "alice", &issuer.token("alice")), ReasonCode::Success);
        let is_first = order.starts_with("[http");
        assert_eq!(backend.requests().len() - asked, if is_first { 2 } else { 0 }, "{order}");
        assert_eq!(answer(&server, "anna", SECRET), ReasonCode::Success);
        assert_eq!(answer(&server, "anna", "wrong"), BAD);
        // Whom another method knows comes in without it; about others nobody can say.
        backend.reply(Reply::Whole(500, String::new()));
        assert_eq!(answer(&server, "local", "hat"), ReasonCode::Success);
        assert_eq!(answer(&server, "local", "cap"), AWAY);
        backend.reply(doorman());
    }
}
