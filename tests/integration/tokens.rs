//! Tokens that somebody else signed: every way in which a client can bring one, what they are good for, and how they end.

use std::time::Instant;

use serde_json::{Value, json};
use tidegate::mqtt::packet::{Auth, Connect, Login};
use tidegate::mqtt::property::AuthProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::backend::{Backend, Reply};
use crate::harness::issuer::{self, Issuer};
use crate::harness::transport::{Ending, upgrade_request};
use crate::harness::{Client, JsonClient, Over, Puppet, Server, Setup, Transport, mqtt, server};

const POLICY: &str = r#"
version: 1
roles:
  own: [{ topic: "/p/${username}/#", rw: rw }]
  tenant: [{ topic: "/t/${claim.tenant}/#", rw: rw }]
  all: [{ topic: "/#", rw: rw }]
users: { "*": [own], anonymous: [own] }
claims:
  - { when: { role: ops }, roles: [all] }
  - { when: { tenant: blue }, roles: [tenant] }
"#;

/// Tokens of `issuer` alone let in, under `more` settings of `auth.jwt`.
fn start(issuer: &Issuer, more: &str) -> Server {
    start_with(issuer, &format!("{{ jwt: {{ keys: jwks.json, audience: tidegate, {more} }} }}"), &[])
}

fn start_with(issuer: &Issuer, auth: &str, sections: &[(&str, &str)]) -> Server {
    let setup = Setup::new().file("jwks.json", issuer.jwks()).policy(POLICY);
    let setup = setup.section("log", "{ level: trace }").users(&[("client", "correct horse")]).section("auth", auth);
    sections.iter().fold(setup, |setup, (name, yaml)| setup.section(name, yaml)).start()
}

fn password(username: Option<&str>, token: &str) -> Login {
    Login { username: username.map(Into::into), password: Some(token.to_owned().into()) }
}

/// What CONNACK says to this login.
fn answer(server: &Server, over: Over, version: Version, login: Login) -> ReasonCode {
    let connect = Connect { login, ..mqtt::connect(version, "c") };
    Client::try_connect(server, over, connect).1.reason
}

/// Whether this client may publish there.
fn may_publish(client: &mut Client, topic: &str) -> bool {
    (client.publish(topic, b"x", QoS::AtLeastOnce, false) as u8) < 0x80
}

#[test]
fn a_token_as_the_password_lets_in_by_every_algorithm_version_and_transport() {
    let issuer = Issuer::new();
    let server = start(&issuer, "");
    for (algorithm, key_id) in Issuer::ALGORITHMS {
        for (version, over) in [(Version::V3, Over::Tcp), (Version::V4, Over::Wss), (Version::V5, Over::Tls)] {
            let claims = json!({ "sub": "alice", "aud": ["x", "tidegate"], "exp": issuer::now_s() + 60 });
            let token = issuer.sign(algorithm, key_id, &claims);
            // Before 5.0 there is no password without a user name.
            let mut usernames = vec![Some(""), Some("alice")];
            if version == Version::V5 {
                usernames.push(None);
            }
            for username in usernames {
                let reason = answer(&server, over, version, password(username, &token));
                assert_eq!(reason, ReasonCode::Success, "{algorithm} {version:?} {username:?}");
            }
            let refused = answer(&server, over, version, password(Some("bob"), &token));
            assert_eq!(refused, ReasonCode::BadUserNameOrPassword);
        }
    }
    assert_eq!(answer(&server, Over::Tcp, Version::V5, Login::default()), ReasonCode::NotAuthorized);
    let refused = answer(&server, Over::Tcp, Version::V5, mqtt::login("alice", "no token"));
    assert_eq!(refused, ReasonCode::BadUserNameOrPassword);
}

#[test]
fn what_is_wrong_with_a_token_is_counted_by_its_reason_and_told_to_nobody() {
    let issuer = Issuer::new();
    let server = start(&issuer, "issuer: \"https://a.example\", token_bytes_max: 1KiB, refresh: 1h");
    let claims = |name: &str, value: Value| {
        let mut claims =
            json!({ "sub": "alice", "aud": "tidegate", "iss": "https://a.example", "exp": issuer::now_s() + 60 });
        claims[name] = value;
        claims
    };
    let sign = |claims: Value| issuer.sign("ES256", "ec", &claims);
    let right = claims("x", json!(1));
    let cases = [
        ("expired", sign(claims("exp", json!(issuer::now_s() - 20)))),
        ("not_yet_valid", sign(claims("nbf", json!(issuer::now_s() + 60)))),
        ("audience", sign(claims("aud", json!("somebody else")))),
        ("issuer", sign(claims("iss", json!("https://b.example")))),
        ("username", sign(claims("sub", json!("")))),
        ("too_long", sign(claims("x", json!("x".repeat(1024))))),
        ("malformed", sign(right.clone()).replace('.', "")),
        ("signature", Issuer::new().sign("ES256", "ec", &right)),
        ("algorithm", issuer.sign("none", "ec", &right)),
        // A public key, taken for a shared secret.
        ("algorithm", issuer::forge(issuer.rsa_public_der(), "rsa", &right)),
        ("unknown_key", issuer.sign("ES256", "nobody's", &right)),
    ];
    for (reason, token) in &cases {
        let (mut client, connack) = {
            let login = password(None, token);
            let connect = Connect { login, ..mqtt::connect(Version::V5, "c") };
            Client::try_connect(&server, Over::Tcp, connect)
        };
        assert_eq!(connack.reason, ReasonCode::BadUserNameOrPassword, "{reason}");
        assert!(!format!("{connack:?}").contains(reason), "{connack:?}");
        client.expect_closed();
    }
    for (reason, _) in &cases {
        let count = cases.iter().filter(|(other, _)| other == reason).count() as f64;
        let name = format!("tidegate_auth_tokens_rejected_total{{reason=\"{reason}\"}}");
        server.wait_for_metric(&name, |found| found == count);
    }
    server.wait_for_metric("tidegate_auth_answers_total{answer=\"bad_credentials\"}", |found| found == 11.0);
    let printed = server.printed();
    for (_, token) in &cases {
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!printed.contains(part), "a part of a token is in the log: {part}");
        }
    }
}

#[test]
fn claims_are_what_the_policy_sees() {
    let issuer = Issuer::new();
    let server = start(&issuer, "username_claim: name");
    let log_in = |client_id: &str, more: Value| {
        let mut claims = json!({ "name": "alice", "sub": "4711", "aud": "tidegate", "exp": issuer::now_s() + 60 });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let login = password(None, &issuer.sign("RS256", "rsa", &claims));
        let connect = Connect { login, ..mqtt::connect(Version::V5, client_id) };
        Client::connect_with(&server, Over::Tcp, connect)
    };
    let mut plain = log_in("plain", json!({ "role": ["opsy"], "tenant": ["red"] }));
    let mut tenant = log_in("tenant", json!({ "tenant": "blue" }));
    let mut ops = log_in("ops", json!({ "role": "ops" }));
    let mut among_others = log_in("among others", json!({ "role": ["dev", "ops"] }));
    for (topic, of_plain, of_tenant) in [
        ("/p/alice/x", true, true),
        ("/p/4711/x", false, false),
        ("/t/blue/x", false, true),
        ("/t/red/x", false, false),
    ] {
        let found = [&mut plain, &mut tenant, &mut ops, &mut among_others].map(|client| may_publish(client, topic));
        assert_eq!(found, [of_plain, of_tenant, true, true], "{topic}");
    }
}

/// As Keycloak writes them.
#[test]
fn claims_within_objects_give_roles_by_names_with_dots() {
    const POLICY: &str = r#"
version: 1
roles:
  ops: [{ topic: "/ops/#", rw: rw }]
  site: [{ topic: "/site/${claim.org.site.id}/#", rw: rw }]
users: { "*": [] }
claims:
  - { when: { realm_access.roles: ops }, roles: [ops] }
  - { when: { org.site.kind: plant }, roles: [site] }
"#;
    let issuer = Issuer::new();
    let server = Setup::new()
        .policy(POLICY)
        .file("jwks.json", issuer.jwks())
        .section("auth", "{ jwt: { keys: jwks.json, audience: tidegate } }")
        .start();
    let connect = |payload: &str| {
        let token = issuer.sign_text("RS256", "rsa", payload);
        let connect = Connect { login: password(None, &token), ..mqtt::connect(Version::V5, "c") };
        Client::try_connect(&server, Over::Tcp, connect)
    };
    let claims =
        |more: &str| format!("{{\"sub\":\"alice\",\"aud\":\"tidegate\",\"exp\":{},{more}}}", issuer::now_s() + 60);
    for (more, may) in [
        (r#""realm_access":{"roles":["ops","dev"]}"#, [true, false]),
        (r#""realm_access":{"roles":"ops"}"#, [true, false]),
        (r#""org":{"site":{"id":"7","kind":"plant"}}"#, [false, true]),
        (r#""org":{"site":{"id":"8","kind":"plant"}}"#, [false, false]),
        (
            r#""realm_access":{"roles":[{"ops":"ops"}]},"roles":["ops"],"x":{"realm_access":{"roles":["ops"]}}"#,
            [false, false],
        ),
        // Its own name goes first.
        (r#""realm_access.roles":[],"realm_access":{"roles":["ops"]}"#, [false, false]),
    ] {
        let (mut client, connack) = connect(&claims(more));
        assert_eq!(connack.reason, ReasonCode::Success, "{more}");
        assert_eq!(["/ops/x", "/site/7/x"].map(|topic| may_publish(&mut client, topic)), may, "{more}");
    }
    for more in [
        r#""realm_access":{"roles":["ops"],"roles":[]}"#,
        r#""a":[[{"b":{"c":1,"c":1}}]]"#,
        // A placeholder that is bound must stand in a topic.
        r#""org":{"site":{"id":"a/b","kind":"plant"}}"#,
        r#""org":{"site":{"kind":"plant"}}"#,
    ] {
        assert_ne!(connect(&claims(more)).1.reason, ReasonCode::Success, "{more}");
    }
}

/// Opens a WebSocket with these header lines, then lets the JSON dialect say whom it takes the client for.
fn identity(server: &Server, path: &str, fields: &str) -> String {
    let mut transport = Transport::connect(server, Over::Wss);
    let host = server.address("https").to_string();
    transport.write(upgrade_request(path, &host, fields).as_bytes());
    let head = transport.read_head();
    if !head.starts_with("HTTP/1.1 101 ") {
        return head.split(' ').nth(1).unwrap_or_default().to_owned();
    }
    assert!(!head.contains("bearer"), "{head}");
    let mut client = JsonClient { transport };
    client.send(&json!({ "Action": "connect", "Id": 1 }));
    let answer = client.receive();
    if answer["Action"] == "error" {
        return answer["Code"].as_str().unwrap_or_default().to_owned();
    }
    for name in ["alice", "bob", "anonymous"] {
        client.send(&json!({ "Action": "publish", "Topic": format!("/p/{name}/x"), "Payload": "", "Id": name }));
        if client.receive()["Action"] == "ack" {
            return name.to_owned();
        }
    }
    "nobody".to_owned()
}

#[test]
fn a_request_may_carry_it_in_every_place_and_the_page_must_be_a_listed_one_for_cookies() {
    let issuer = Issuer::new();
    let jwt = "{ keys: jwks.json, audience: tidegate, cookie: session }";
    let server = start_with(
        &issuer,
        &format!("{{ anonymous: true, jwt: {jwt} }}"),
        &[(
            "routes",
            "[{ path: /ws/, serve: json, origins: [same, \"https://app.example\"] }, { path: /any/, serve: json, origins: any }]",
        )],
    );
    let (alice, bob, expired) = (issuer.token("alice"), issuer.token("bob"), issuer.token_for("alice", -60));
    let own = format!("Origin: https://{}\r\n", server.address("https"));
    let cookie = |token: &str| format!("Cookie: theme=dark; session={token}\r\n");
    let query = |token: &str| format!("/ws/?a=b&token={token}");
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let offer = |token: &str| format!("Sec-WebSocket-Protocol: json, bearer.{token}\r\n");
    let app = "Origin: https://app.example\r\n";
    for (what, path, fields, expected) in [
        ("nothing", "/ws/", String::new(), "anonymous"),
        ("the query", &*query(&alice), String::new(), "alice"),
        ("the query, from a page", &query(&alice), own.clone(), "alice"),
        ("the query, where any page may", &format!("/any/?token={alice}"), app.to_owned(), "alice"),
        ("Authorization", "/ws/", bearer(&alice), "alice"),
        ("a subprotocol", "/ws/", offer(&alice), "alice"),
        ("a subprotocol alone", "/ws/", format!("Sec-WebSocket-Protocol: bearer.{alice}\r\n"), "400"),
        ("a cookie from the own page", "/ws/", cookie(&alice) + &own, "alice"),
        ("a cookie from a listed page", "/ws/", cookie(&alice) + app, "alice"),
        ("a cookie from elsewhere", "/ws/", cookie(&alice) + "Origin: https://evil.example\r\n", "403"),
        ("a cookie from no page", "/ws/", cookie(&alice), "anonymous"),
        ("a cookie where any page may", "/any/", cookie(&alice) + app, "anonymous"),
        ("a cookie where any page may, from the own", "/any/", cookie(&alice) + &own, "anonymous"),
        ("a cookie beside a query", &query(&bob), cookie(&alice) + &own, "bob"),
        ("two that are one", &query(&alice), bearer(&alice) + &offer(&alice), "alice"),
        ("two that differ", &query(&alice), bearer(&bob), "400"),
        ("two cookies that differ", "/ws/", cookie(&alice) + &cookie(&bob) + &own, "400"),
        ("another scheme", "/ws/", "Authorization: Basic YWxpY2U6eA==\r\n".to_owned(), "anonymous"),
        ("one that has expired", &query(&expired), String::new(), "bad_credentials"),
        ("an empty one", &query(""), String::new(), "bad_credentials"),
        ("an expired cookie", "/ws/", cookie(&expired) + &own, "bad_credentials"),
    ] {
        assert_eq!(identity(&server, path, &fields), expected, "{what}");
    }
    let printed = server.printed();
    for token in [&alice, &bob, &expired] {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!printed.contains(signature), "a token is in the log");
    }
}

/// Whatever becomes of a request, and whoever else reads it: not even at `trace` is a token of it in the log.
#[test]
fn no_request_leaves_its_token_in_the_log() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a bound socket");
    let behind = Backend::start(Reply::Whole(200, "hello".to_owned()));
    let routes = format!(
        "[{{ path: /ws/, serve: json }}, {{ path: /mqtt, serve: mqtt }}, {{ path: /dead/, proxy: \"http://{dead}\" }}, \
          {{ path: /live/, proxy: \"{}\" }}, {{ exact: /old, redirect: \"https://app.example${{target}}\" }}]",
        behind.url("")
    );
    let issuer = Issuer::new();
    let server = Setup::new()
        .file("jwks.json", issuer.jwks())
        .section("auth", "{ jwt: { keys: jwks.json, audience: tidegate, cookie: session } }")
        .section("routes", &routes)
        .section("log", "{ level: trace }")
        .start();
    const SECRET: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyM3QifQ.c2lnbmF0dXJl";
    let host = server.address("http").to_string();
    let own = format!("Origin: http://{host}\r\n");
    let fields = [
        String::new(),
        format!("Authorization: Bearer {SECRET}\r\n"),
        format!("Cookie: session={SECRET}\r\n{own}"),
        format!("Sec-WebSocket-Protocol: json, bearer.{SECRET}\r\n"),
        format!("Sec-WebSocket-Protocol: bearer.{SECRET}\r\n"),
        format!("Origin: https://evil.example\r\nCookie: session={SECRET}\r\n"),
        format!("Authorization: Bearer {SECRET}x\r\n"),
        format!("Content-Length: +5\r\nX: {SECRET}\r\n"),
    ];
    for path in ["/ws/", "/mqtt", "/dead/x", "/live/x", "/old", "/missing", "/live/%zz", "/live/../.."] {
        for field in &fields {
            let target = format!("{path}?token={SECRET}");
            let plain = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{field}\r\n");
            for request in [plain, upgrade_request(&target, &host, field)] {
                let mut transport = Transport::connect(&server, Over::Ws);
                transport.write(request.as_bytes());
                assert!(transport.read_head().starts_with("HTTP/1.1 "), "{request}");
            }
        }
    }
    let mut page = JsonClient::open(&server, Over::Ws);
    page.send(&json!({ "Action": "connect", "Token": SECRET, "Id": 1 }));
    page.expect(&json!({ "Action": "error", "Code": "bad_credentials", "Id": 1 }));
    server.wait_for_line("auth_failed");
    server.wait_for_line("Server behind does not answer");
    let printed = server.printed();
    for part in SECRET.split('.').chain(["s3cr3t"]) {
        assert!(!printed.contains(part), "{part} is in the log: {printed}");
    }
    // The server behind a route has it, as behind nginx: it is its own request.
    assert!(behind.requests().iter().any(|request| request.head.contains(SECRET)));
}

/// An MQTT client whose upgrade request carried `token`.
fn connect_beside(server: &Server, token: &str, login: Login) -> Result<Client, ReasonCode> {
    let path = format!("/mqtt?token={token}");
    let connect = Connect { login, ..mqtt::connect(Version::V5, "beside") };
    let (client, connack) = Client::try_connect_at(server, Over::Ws, &path, connect);
    if connack.reason == ReasonCode::Success { Ok(client) } else { Err(connack.reason) }
}

#[test]
fn connect_goes_before_the_request_and_is_never_made_good_by_it() {
    let issuer = Issuer::new();
    let jwt = "{ keys: jwks.json, audience: tidegate }";
    for order in ["[jwt, passwords]", "[passwords, jwt]"] {
        let auth = format!("{{ anonymous: true, passwords: passwords, jwt: {jwt}, order: {order} }}");
        let server = start_with(&issuer, &auth, &[]);
        let (alice, bob, expired) = (issuer.token("alice"), issuer.token("bob"), issuer.token_for("alice", -60));
        let is_user = |client: Result<Client, ReasonCode>, name: &str| {
            let mut client = client.expect("let in");
            let is_user = ["alice", "bob", "client"]
                .iter()
                .all(|other| may_publish(&mut client, &format!("/p/{other}/x")) == (*other == name));
            // Its Client Identifier is another's from here on.
            client.disconnect(ReasonCode::Success);
            is_user
        };
        const BAD: ReasonCode = ReasonCode::BadUserNameOrPassword;
        assert!(is_user(connect_beside(&server, &alice, Login::default()), "alice"));
        assert!(is_user(connect_beside(&server, &alice, password(None, &bob)), "bob"));
        assert!(is_user(connect_beside(&server, &alice, mqtt::login("client", "correct horse")), "client"));
        assert!(is_user(connect_beside(&server, &expired, mqtt::login("client", "correct horse")), "client"));
        for login in [
            mqtt::login("client", "wrong"),
            mqtt::login("alice", ""),
            password(None, &expired),
            password(Some("bob"), &alice),
            Login { username: Some("bob".into()), password: None },
        ] {
            assert_eq!(connect_beside(&server, &alice, login.clone()).err(), Some(BAD), "{order} {login:?}");
        }
        assert_eq!(connect_beside(&server, &expired, Login::default()).err(), Some(BAD));
        let named = Login { username: Some("alice".into()), password: None };
        assert!(is_user(connect_beside(&server, &alice, named), "alice"));
    }
}

#[test]
fn a_client_identifier_belongs_to_the_identity_that_used_it_first() {
    let issuer = Issuer::new();
    let server = start(&issuer, "");
    let _alice = connect_beside(&server, &issuer.token("alice"), Login::default()).unwrap();
    let refused = connect_beside(&server, &issuer.token("bob"), Login::default()).err();
    assert_eq!(refused, Some(ReasonCode::ClientIdentifierNotValid));
}

/// For a server that looks at its keys when a token or the clock has it do so, and not as their folder stirs.
const UNWATCHED: (&str, &str) = ("reload", "{ watch: false }");

#[test]
fn keys_change_without_a_restart_and_a_faulty_file_changes_nothing() {
    let (old, new) = (Issuer::new(), Issuer::new());
    let auth = "{ jwt: { keys: jwks.json, audience: tidegate, refresh: 1s } }";
    let server = start_with(&old, auth, &[UNWATCHED]);
    let log_in = |issuer: &Issuer| answer(&server, Over::Tcp, Version::V5, password(None, &issuer.token("alice")));
    assert_eq!(log_in(&old), ReasonCode::Success);
    assert_eq!(log_in(&new), ReasonCode::BadUserNameOrPassword);

    let keys = server.directory().join("jwks.json");
    std::fs::write(&keys, "{}").unwrap();
    server.wait_for_metric("tidegate_auth_key_failures_total", |count| count > 0.0);
    let line = server.wait_for_line("Token keys are faulty");
    assert!(line.contains("jwks.json: has no list of keys"), "{line}");
    assert_eq!(log_in(&old), ReasonCode::Success);

    std::fs::write(&keys, new.jwks()).unwrap();
    server.wait_for_metric("tidegate_auth_key_changes_total", |count| count > 0.0);
    assert_eq!(log_in(&new), ReasonCode::Success);
    assert_eq!(log_in(&old), ReasonCode::BadUserNameOrPassword);
}

#[test]
fn a_key_that_is_not_there_yet_is_looked_for_at_once() {
    let issuer = Issuer::new();
    let auth = "{ jwt: { keys: jwks.json, audience: tidegate, refresh: 1h } }";
    let server = start_with(&issuer, auth, &[UNWATCHED]);
    let later = Issuer::new();
    let renamed = later.jwks().replace("\"ed\"", "\"later\"");
    std::fs::write(server.directory().join("jwks.json"), renamed).unwrap();
    let claims = json!({ "sub": "alice", "aud": "tidegate", "exp": issuer::now_s() + 600 });
    let token = later.sign("EdDSA", "later", &claims);
    let deadline = Instant::now() + crate::harness::PATIENCE;
    // Within a second of the start there is no second reading.
    while answer(&server, Over::Tcp, Version::V5, password(None, &token)) != ReasonCode::Success {
        assert!(Instant::now() < deadline, "the key was never looked for");
    }
}

#[test]
fn check_names_the_faulty_key() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a writable file");
    let check = || {
        let output =
            server::tidegate().current_dir(directory.path()).arg("check").output().expect("the tidegate binary");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    write("tidegate.yaml", "listen: [\"mqtt://127.0.0.1:1883\"]\nauth: { jwt: { keys: jwks.json } }\n");
    write("jwks.json", r#"{"keys": [{"kty": "oct", "k": "c2hvcnQ"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#);
    let (code, told) = check();
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("jwks.json: keys[0].k: a secret of 5 bytes; at least 32 random bytes"), "{told}");
    assert!(told.contains("jwks.json: keys[1].n: a modulus of 17 bits; at least 2048 bits"), "{told}");
    assert!(!told.contains("c2hvcnQ"), "{told}");
    write("jwks.json", &Issuer::new().jwks());
    assert_eq!(check(), (Some(0), String::new()));
}

#[test]
fn a_json_client_is_warned_may_renew_and_is_closed_in_the_end() {
    let issuer = Issuer::new();
    let server = start(&issuer, "warning: 60s, grace: 0s, leeway: 0s");
    let mut client = JsonClient::open(&server, Over::Wss);
    client.send(&json!({ "Action": "connect", "Token": issuer.token_for("alice", 6), "Id": 1 }));
    client.expect(&json!({ "Action": "ack", "Id": 1 }));
    client.expect(&json!({ "Action": "error", "Code": "token_expiring" }));
    // What does not renew it says so, and costs nothing else.
    for (what, token) in [
        ("another's", issuer.token("bob")),
        ("expired", issuer.token_for("alice", -60)),
        ("forged", Issuer::new().token("alice")),
        ("none", "x".to_owned()),
    ] {
        client.send(&json!({ "Action": "auth", "Token": token, "Id": what }));
        client.expect(&json!({ "Action": "error", "Code": "bad_credentials", "Id": what }));
    }
    client.send(&json!({ "Action": "auth", "Token": issuer.token_for("alice", 68), "Id": 2 }));
    client.expect(&json!({ "Action": "ack", "Id": 2 }));
    client.subscribe("/p/alice/#");
    // The first token would be over before the second one's warning comes.
    client.expect(&json!({ "Action": "error", "Code": "token_expiring" }));
    client.send(&json!({ "Action": "auth", "Token": issuer.token_for("alice", 2), "Id": 3 }));
    client.expect(&json!({ "Action": "ack", "Id": 3 }));
    client.expect(&json!({ "Action": "error", "Code": "token_expiring" }));
    client.expect(&json!({ "Action": "error", "Code": "token_expired" }));
    assert_eq!(client.expect_closed(), Ending::Closed(Some(1008)));
    for (name, count) in [("warned", 3.0), ("renewed", 2.0), ("expired", 1.0)] {
        server.wait_for_metric(&format!("tidegate_connection_tokens_{name}_total"), |found| found == count);
    }
}

#[test]
fn a_renewal_brings_its_own_claims() {
    let issuer = Issuer::new();
    let server = start(&issuer, "");
    let token = |role: &str| {
        let claims = json!({ "sub": "alice", "role": role, "aud": "tidegate", "exp": issuer::now_s() + 600 });
        issuer.sign("HS256", "secret", &claims)
    };
    let mut client = JsonClient::open(&server, Over::Ws);
    client.send(&json!({ "Action": "connect", "Token": token("ops"), "Id": 1 }));
    client.expect(&json!({ "Action": "ack", "Id": 1 }));
    client.subscribe("/x");
    client.publish("/x", "as ops");
    client.expect(&json!({ "Topic": "/x", "Payload": "as ops" }));
    client.send(&json!({ "Action": "auth", "Token": token("guest"), "Id": 2 }));
    client.expect(&json!({ "Action": "ack", "Id": 2 }));
    client.expect(&json!({ "Action": "revoked", "Filter": "/x" }));
    client.publish("/x", "as guest");
    client.expect(&json!({ "Action": "error", "Code": "denied" }));
    // The Subscription that the new claims do not allow is gone, too.
    let mut ops = JsonClient::open(&server, Over::Ws);
    ops.send(&json!({ "Action": "connect", "Token": token("ops"), "Id": 1 }));
    ops.expect(&json!({ "Action": "ack", "Id": 1 }));
    ops.send(&json!({ "Action": "publish", "Topic": "/x", "Payload": "not for guests", "Id": 2 }));
    ops.expect(&json!({ "Action": "ack", "Id": 2 }));
    client.expect_nothing();
}

#[test]
fn mqtt_clients_of_every_version_are_closed_at_the_end_and_may_renew_before() {
    let issuer = Issuer::new();
    let server = start(&issuer, "grace: 0s, leeway: 0s");
    let connect = |version, client_id: &str, token: &str| {
        let login = password(Some(""), token);
        let connect = Connect { login, ..mqtt::connect(version, client_id) };
        Client::connect_with(&server, Over::Ws, connect)
    };
    let ops = json!({ "sub": "ops", "role": "ops", "aud": "tidegate", "exp": issuer::now_s() + 600 });
    let mut listener = connect(Version::V5, "ops", &issuer.sign("EdDSA", "ed", &ops));
    listener.subscribe("$tidegate/auth", QoS::AtMostOnce);
    listener.subscribe("/#", QoS::AtMostOnce);

    let mut renewed = Vec::new();
    for version in [Version::V3, Version::V4, Version::V5] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut client = connect(version, &format!("{version:?} {qos:?}"), &issuer.token_for("alice", 6));
            let reason = client.publish("$tidegate/auth", issuer.token("alice").as_bytes(), qos, false);
            assert_eq!(reason, ReasonCode::Success, "{version:?} {qos:?}");
            renewed.push(client);
        }
    }
    // Their tokens last longer than the first ones of those who have renewed.
    for version in [Version::V3, Version::V4, Version::V5] {
        let mut witness = connect(version, &format!("{version:?}"), &issuer.token_for("alice", 7));
        witness.expect_disconnect(ReasonCode::MaximumConnectTime);
    }
    for mut client in renewed {
        // Another's token is none for this session.
        let refused = client.publish("$tidegate/auth", issuer.token("bob").as_bytes(), QoS::AtLeastOnce, false);
        let expected = if client.version() == Version::V5 { ReasonCode::NotAuthorized } else { ReasonCode::Success };
        assert_eq!(refused, expected);
        client.subscribe("/p/alice/#", QoS::AtMostOnce);
        client.publish("/p/alice/x", b"still alice", QoS::AtMostOnce, false);
        client.expect_message("/p/alice/x", b"still alice");
        listener.expect_message("/p/alice/x", b"still alice");
        client.disconnect(ReasonCode::Success);
    }
    listener.expect_nothing();
}

#[test]
fn a_5_0_client_may_bring_its_token_by_auth() {
    let issuer = Issuer::new();
    let server = start(&issuer, "grace: 0s, leeway: 0s");
    let open = |token: &str| {
        let mut connect = mqtt::connect(Version::V5, "by auth");
        connect.properties.authentication_method = Some("token".into());
        connect.properties.authentication_data = Some(token.to_owned().into());
        Client::try_connect(&server, Over::Tcp, connect)
    };
    let auth = |token: &str| {
        let properties = AuthProperties {
            authentication_method: Some("token".into()),
            authentication_data: Some(token.to_owned().into()),
            ..AuthProperties::default()
        };
        Packet::Auth(Auth { reason: ReasonCode::ReAuthenticate, properties })
    };
    assert_eq!(open(&issuer.token_for("alice", -60)).1.reason, ReasonCode::NotAuthorized);
    let (mut client, connack) = open(&issuer.token_for("alice", 3));
    assert_eq!(connack.reason, ReasonCode::Success);
    let told = connack.properties.user_properties.iter().find(|(name, _)| **name == *"token-expires-in-s");
    assert!(told.is_some_and(|(_, value)| (1..=3).contains(&value.parse().unwrap_or(0))), "{connack:?}");
    client.send(&auth(&issuer.token_for("alice", 600)));
    match client.receive() {
        Packet::Auth(auth) => assert_eq!(auth.reason, ReasonCode::Success),
        other => panic!("{other:?} instead of AUTH"),
    }
    client.send(&auth(&issuer.token("bob")));
    client.expect_disconnect(ReasonCode::NotAuthorized);
}

#[test]
fn no_token_that_is_published_is_ever_delivered() {
    let server = Setup::new().start();
    let mut listener = Client::connect(&server, Over::Tcp, Version::V5, "listener");
    listener.subscribe("$tidegate/#", QoS::AtLeastOnce);
    listener.subscribe("$tidegate/auth", QoS::AtLeastOnce);
    let mut client = Client::connect(&server, Over::Tcp, Version::V5, "client");
    let reason = client.publish("$tidegate/auth", b"ey.secret.x", QoS::AtLeastOnce, true);
    assert_eq!(reason, ReasonCode::NotAuthorized);
    let will = Some(mqtt::will("$tidegate/auth", "ey.secret.x", QoS::AtLeastOnce, true));
    let connect = Connect { will, ..mqtt::connect(Version::V5, "with a Will") };
    assert_eq!(Client::try_connect(&server, Over::Tcp, connect).1.reason, ReasonCode::NotAuthorized);
    listener.expect_nothing();
}

#[test]
fn a_page_with_a_token_need_not_say_anything_at_once() {
    let issuer = Issuer::new();
    let auth = "{ jwt: { keys: jwks.json, audience: tidegate } }";
    let server = start_with(&issuer, auth, &[("limits", "{ connect_timeout: 300ms }")]);
    let path = format!("/ws/?token={}", issuer.token("alice"));
    let mut page = JsonClient { transport: Transport::open(&server, Over::Ws, &path, "") };
    // Whoever has shown nothing is gone by then.
    JsonClient::open(&server, Over::Ws).expect_closed();
    page.subscribe("/p/alice/x");
    page.publish("/p/alice/x", "hello");
    page.expect(&json!({ "Topic": "/p/alice/x", "Payload": "hello" }));
}

#[test]
fn mqtt_js_brings_it_in_the_url_and_as_the_password() {
    let issuer = Issuer::new();
    let server = start(&issuer, "");
    let token = issuer.token("alice");
    let url = |path: &str| server.url("wss", path).replace("127.0.0.1", "localhost");
    for (url, options) in [
        (url(&format!("/mqtt?token={token}")), json!({ "protocolVersion": 5 })),
        (url("/mqtt"), json!({ "protocolVersion": 4, "username": "alice", "password": token })),
        (server.url("mqtt", ""), json!({ "protocolVersion": 5, "username": "alice", "password": token })),
    ] {
        let mut client = Puppet::mqtt_js("MQTT.js", &url, options, &server.authority_file());
        client.expect("connected");
        client.tell(&json!({ "do": "subscribe", "filter": "/p/alice/#", "qos": 1 }));
        client.expect("subscribed");
        client.tell(&json!({ "do": "publish", "topic": "/p/alice/x", "payload": "eA==", "qos": 1 }));
        assert_eq!(client.expect("message")["topic"], "/p/alice/x");
    }
}

/// What a page can do: a subprotocol, the query, a cookie of its own origin; and what a stranger's page cannot.
#[test]
fn a_page_in_a_browser_brings_it_in_three_ways_and_a_strangers_page_cannot_borrow_it() {
    let issuer = Issuer::new();
    let server = start(&issuer, "cookie: session");
    let token = issuer.token("alice");
    let mut browser = Puppet::browser();
    browser.open("home", &server.url("https", "/"));
    const OPEN: &str = "return await new Promise((done) => {
        if (argument.cookie) document.cookie = argument.cookie;
        const socket = new WebSocket(argument.url, argument.protocols);
        socket.onopen = () => socket.send(JSON.stringify({ Action: 'publish', Topic: '/p/alice/x', Payload: '', Id: 1 }));
        socket.onmessage = (message) => { done(socket.protocol + ':' + JSON.parse(message.data).Action); socket.close(); };
        socket.onclose = () => done('closed');
    })";
    let url = server.url("wss", "/ws/");
    let mut opened = |page: &str, argument: Value| browser.evaluate(page, OPEN, argument);
    assert_eq!(opened("home", json!({ "url": url, "protocols": [] })), ":error");
    let in_query = json!({ "url": format!("{url}?token={token}"), "protocols": [] });
    assert_eq!(opened("home", in_query), ":ack");
    let offered = json!({ "url": url, "protocols": ["json", format!("bearer.{token}")] });
    assert_eq!(opened("home", offered), "json:ack");
    let cookie = format!("session={token}; path=/; secure");
    assert_eq!(opened("home", json!({ "url": url, "protocols": [], "cookie": cookie })), ":ack");
    // `localhost` is another origin than the address, as a stranger's page would be; the browser sends the cookie along all the same.
    let stranger = server.url("https", "/").replace("127.0.0.1", "localhost");
    browser.open("stranger", &stranger);
    assert_eq!(browser.evaluate("stranger", OPEN, json!({ "url": url, "protocols": [] })), "closed");
    server.wait_for_metric("tidegate_edge_upgrades_refused_total{reason=\"origin\"}", |count| count == 1.0);
}
