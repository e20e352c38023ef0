//! Token keys that an issuer publishes: it may be away at the start, change its keys, and fall silent for too long.

use serde_json::json;
use tidegate::mqtt::packet::{Connect, Login};
use tidegate::mqtt::{ReasonCode, Version};

use crate::harness::backend::{Backend, Reply};
use crate::harness::issuer::{self, Issuer};
use crate::harness::{Client, Over, Server, Setup, mqtt};

/// A server that has its keys from `url`.
fn start(url: &str, more: &str) -> Server {
    let auth = format!("{{ jwt: {{ keys: \"{url}\", audience: tidegate, {more} }} }}");
    Setup::new().section("log", "{ level: trace }").section("auth", &auth).start()
}

fn answer(server: &Server, token: &str) -> ReasonCode {
    let login = Login { username: None, password: Some(token.to_owned().into()) };
    let connect = Connect { login, ..mqtt::connect(Version::V5, "c") };
    Client::try_connect(server, Over::Tcp, connect).1.reason
}

/// Asks until the answer is this one: what the server does by itself has to come to it.
fn wait_for_answer(server: &Server, token: &str, wanted: ReasonCode) {
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    loop {
        let found = answer(server, token);
        if found == wanted {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{found:?} instead of {wanted:?}");
    }
}

fn published(issuer: &Issuer) -> Reply {
    Reply::Whole(200, issuer.jwks())
}

const BAD: ReasonCode = ReasonCode::BadUserNameOrPassword;

#[test]
fn keys_come_over_tls_and_only_from_whom_the_authority_vouches_for() {
    let issuer = Issuer::new();
    let backend = Backend::start_tls(published(&issuer));
    let keys = backend.url("/jwks?key=of-the-query");
    let server = start(&keys, "ca: certs/authority.pem");
    assert_eq!(answer(&server, &issuer.token("alice")), ReasonCode::Success);
    assert_eq!(answer(&server, &Issuer::new().token("alice")), BAD);
    let asked = &backend.requests()[0];
    assert!(asked.head.starts_with("GET /jwks?key=of-the-query HTTP/1.1"), "{}", asked.head);
    server.wait_for_metric("tidegate_auth_keys_fetched_timestamp_seconds", |at| at > 1e9);
    assert!(!server.printed().contains("of-the-query"), "some put a secret there");

    // Without it the system is asked, which does not know that authority.
    let server = start(&keys, "");
    assert_eq!(answer(&server, &issuer.token("alice")), ReasonCode::ServerUnavailable);
    let line = server.wait_for_line("Token keys are missing");
    assert!(line.contains("TLS: ") && line.contains("ERROR"), "{line}");
    server.wait_for_metric("tidegate_auth_answers_total{answer=\"unavailable\"}", |count| count == 1.0);
}

#[test]
fn the_server_starts_without_its_issuer_and_takes_tokens_as_soon_as_it_is_there() {
    let issuer = Issuer::new();
    for away in [
        Reply::Refuse,
        Reply::Whole(503, issuer.jwks()),
        Reply::Whole(200, "<!doctype html>".to_owned()),
        Reply::Whole(200, format!("{}{}", issuer.jwks(), " ".repeat(64 << 10))),
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"keys\": [".to_vec()),
        Reply::Drip,
    ] {
        let backend = Backend::start(away);
        let server = start(&backend.url("/"), "keys_bytes_max: 32KiB, timeout: 300ms");
        assert_eq!(answer(&server, &issuer.token("alice")), ReasonCode::ServerUnavailable);
        server.wait_for_line("Token keys are missing");
        backend.reply(published(&issuer));
        wait_for_answer(&server, &issuer.token("alice"), ReasonCode::Success);
        server.wait_for_metric("tidegate_auth_key_failures_total", |count| count > 0.0);
    }
}

#[test]
fn other_keys_are_fetched_when_a_token_names_one_and_not_for_every_token() {
    let (old, new) = (Issuer::new(), Issuer::new());
    let backend = Backend::start(published(&old));
    let server = start(&backend.url("/"), "refresh: 1h, stale_max: 2h");
    assert_eq!(answer(&server, &old.token("alice")), ReasonCode::Success);
    assert_eq!(backend.requests().len(), 1);

    let renamed = new.jwks().replace("\"ed\"", "\"ed2\"");
    let claims = json!({ "sub": "alice", "aud": "tidegate", "exp": issuer::now_s() + 60 });
    let token = new.sign("EdDSA", "ed2", &claims);
    backend.reply(Reply::Whole(200, renamed));
    // A second after the last fetch, and by the first token that comes then.
    wait_for_answer(&server, &token, ReasonCode::Success);
    assert_eq!(answer(&server, &old.token("alice")), BAD, "a key that is gone is gone");
    assert_eq!(backend.requests().len(), 2);
    server.wait_for_metric("tidegate_auth_key_changes_total", |count| count == 2.0);

    // Whoever invents names of keys is answered, and the issuer is not asked each time.
    for index in 0..200 {
        assert_eq!(answer(&server, &new.sign("EdDSA", &format!("ed{index}0"), &claims)), BAD);
    }
    let asked = backend.requests().len();
    assert!(asked <= 6, "asked {asked} times");
}

#[test]
fn keys_stay_while_the_issuer_is_away_and_not_for_ever() {
    let issuer = Issuer::new();
    let backend = Backend::start(published(&issuer));
    let server = start(&backend.url("/"), "refresh: 1s, stale_max: 4s");
    let token = issuer.token("alice");
    assert_eq!(answer(&server, &token), ReasonCode::Success);
    backend.reply(Reply::Whole(500, String::new()));
    let line = server.wait_for_line("Token keys are faulty");
    assert!(line.contains("the answer is 500"), "{line}");
    assert_eq!(answer(&server, &token), ReasonCode::Success);

    server.wait_for_line("no token is taken");
    assert_eq!(answer(&server, &token), ReasonCode::ServerUnavailable);
    backend.reply(published(&issuer));
    wait_for_answer(&server, &token, ReasonCode::Success);
    server.wait_for_line("Token keys are sound again");
}
