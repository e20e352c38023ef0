//! The admin API: what an operator asks a running server, and who may not.

use std::process::Output;

use serde_json::{Value, json};
use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::{QoS, ReasonCode, Version};

use crate::harness::http::{self, Answer};
use crate::harness::server::tidegate;
use crate::harness::{Client, JsonClient, Over, Server, Setup, Transport, mqtt};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn policy(topic: &str) -> String {
    format!(
        "version: 1\nroles:\n  client: [{{ topic: \"/own/${{username}}\", rw: rw }}, {{ topic: \"{topic}\", rw: rw }}]\n\
         users:\n  \"*\": [client]\n"
    )
}

fn setup() -> Setup {
    let setup = Setup::new().users(&[("alice", "a"), ("bob", "b")]).policy(&policy("/first/#"));
    setup.section("reload", "{ watch: false }")
}

/// One request, with these fields and this body.
fn ask(server: &Server, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let address = server.address("admin");
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !fields.iter().any(|(name, _)| *name == "Host") {
        request += &format!("Host: {address}\r\n");
    }
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    http::ask(Transport::tcp(address), (request + "\r\n" + body).as_bytes())
}

fn get(server: &Server, path: &str) -> Value {
    let answer = ask(server, "GET", path, &[], "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    assert_eq!(answer.field("content-type"), Some("application/json"));
    serde_json::from_str(&answer.body).expect("JSON")
}

fn post(server: &Server, path: &str) -> (u16, Value) {
    let answer = ask(server, "POST", path, &[], "");
    (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
}

fn log_in(server: &Server, version: Version, client_id: &str, user: &str, expiry_s: u32) -> Client {
    let mut connect = Connect { login: mqtt::login(user, &user[..1]), ..mqtt::connect(version, client_id) };
    connect.clean_start = expiry_s == 0;
    if version == Version::V5 {
        connect.properties.session_expiry_interval_s = Some(expiry_s);
    }
    Client::connect_with(server, Over::Tcp, connect)
}

fn write_policy(server: &Server, topic: &str) {
    std::fs::write(server.directory().join("policy.yaml"), policy(topic)).expect("a writable file");
}

#[test]
fn who_is_there_is_listed_page_by_page() {
    let server = setup().start();
    let mut alice = log_in(&server, Version::V5, "alice-1", "alice", 600);
    assert!((alice.subscribe("/first/+", QoS::AtLeastOnce) as u8) < 0x80);
    assert!((alice.subscribe("/own/alice", QoS::AtMostOnce) as u8) < 0x80);
    let _bob = log_in(&server, Version::V4, "bob/1 +", "bob", 0);
    let _page = JsonClient::log_in(&server, Over::Wss, "bob", "b");

    let listed = get(&server, "/api/v1/connections");
    let connections = listed["connections"].as_array().expect("a list");
    assert_eq!((connections.len(), &listed["next"]), (3, &Value::Null));
    let first = &connections[0];
    assert_eq!((&first["client_id"], &first["username"]), (&json!("alice-1"), &json!("alice")));
    assert_eq!(
        (&first["dialect"], &first["version"], &first["subscriptions"]),
        (&json!("mqtt"), &json!("5.0"), &json!(2))
    );
    assert!(first["address"].as_str().expect("an address").starts_with("127.0.0.1:"), "{first}");
    let started = server.metric("tidegate_process_start_time_seconds") as u64;
    assert!((started..started + 3600).contains(&first["since"].as_u64().expect("a time")), "{first}");
    assert_eq!((&connections[1]["version"], &connections[2]["dialect"]), (&json!("3.1.1"), &json!("json")));

    let of_alice = get(&server, "/api/v1/subscriptions?client_id=alice-1");
    let filters: Vec<_> =
        of_alice["subscriptions"].as_array().expect("a list").iter().map(|held| &held["filter"]).collect();
    assert_eq!(filters, [&json!("/first/+"), &json!("/own/alice")]);
    assert_eq!(of_alice["subscriptions"][0]["qos"], 1);
    assert_eq!(get(&server, "/api/v1/subscriptions?client_id=bob%2F1%20%2B")["subscriptions"], json!([]));
    assert_eq!(ask(&server, "GET", "/api/v1/subscriptions?client_id=nobody", &[], "").status, 404);

    // A session outlives its connection, and is no connection then.
    alice.disconnect(ReasonCode::Success);
    server.wait_for_metric("tidegate_engine_sessions_connected", |count| count == 2.0);
    assert_eq!(get(&server, "/api/v1/connections")["connections"].as_array().map(Vec::len), Some(2));
    let mut found = Vec::new();
    let mut path = "/api/v1/sessions?limit=1".to_owned();
    loop {
        let page = get(&server, &path);
        found.extend(page["sessions"].as_array().expect("a list").iter().map(|session| session["connected"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/sessions?limit=1&cursor={next}");
    }
    assert_eq!(found, [json!(false), json!(true), json!(true)]);
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=-1", "limit=%"] {
        assert_eq!(ask(&server, "GET", &format!("/api/v1/sessions?{query}"), &[], "").status, 400, "{query}");
    }
}

#[test]
fn a_client_that_is_kicked_is_told_so() {
    let server = setup().start();
    let mut alice = log_in(&server, Version::V5, "a/1", "alice", 0);
    let mut stays = log_in(&server, Version::V5, "a/2", "alice", 0);
    assert_eq!(post(&server, "/api/v1/connections/a%2F1/kick"), (200, json!({ "client_id": "a/1", "kicked": true })));
    alice.expect_disconnect(ReasonCode::AdministrativeAction);
    server.wait_for_metric("tidegate_engine_sessions_connected", |count| count == 1.0);
    assert_eq!(post(&server, "/api/v1/connections/a%2F1/kick").0, 404);
    assert_eq!(stays.publish("/own/alice", b"x", QoS::AtLeastOnce, false) as u8 & 0x80, 0);
}

#[test]
fn a_reload_is_asked_for_and_answered() {
    let server = setup().start();
    let (status, nothing) = post(&server, "/api/v1/reload");
    assert_eq!((status, &nothing["files"], &nothing["needs_restart"]), (200, &json!([]), &json!([])));
    write_policy(&server, "/second/#");
    let (status, reloaded) = post(&server, "/api/v1/reload");
    assert_eq!(status, 200, "{reloaded}");
    assert!(reloaded["files"][0].as_str().expect("a file").ends_with("policy.yaml"), "{reloaded}");
    assert!(get(&server, "/api/v1/policy/explain?user=alice&operation=publish&topic=/second/x")["allowed"] == true);

    std::fs::write(server.directory().join("policy.yaml"), "version: 1\nroles: { a: [{ topik: x }] }\n")
        .expect("a file");
    let (status, refused) = post(&server, "/api/v1/reload");
    assert_eq!((status, &refused["faults"][0]["line"]), (422, &json!(2)), "{refused}");
    assert!(refused["faults"][0]["key"].as_str().expect("a key").starts_with("roles.a[0]"), "{refused}");
    // The same words as the command's.
    let checked = run(&server, &["policy", "test", "policy.yaml", "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!(checked["faults"][0]["found"], refused["faults"][0]["found"]);
    assert!(get(&server, "/api/v1/policy/explain?user=alice&operation=publish&topic=/second/x")["allowed"] == true);
}

fn run(server: &Server, arguments: &[&str]) -> Output {
    tidegate().current_dir(server.directory()).args(arguments).output().expect("the tidegate binary")
}

#[test]
fn explain_answers_as_the_command_does() {
    let server = setup().start();
    for (operation, topic) in
        [("publish", "/first/x"), ("publish", "/own/bob"), ("subscribe", "/first/#"), ("subscribe", "#")]
    {
        let command =
            ["policy", "explain", "policy.yaml", "--user", "alice", "--claim", "k=v", operation, topic, "--json"];
        let told: Value = serde_json::from_slice(&run(&server, &command).stdout).expect("JSON");
        let question = json!({ "user": "alice", "claims": { "k": "v" }, "operation": operation, "topic": topic });
        let fields = [("Content-Type", "application/json")];
        let answer = ask(&server, "POST", "/api/v1/policy/explain", &fields, &question.to_string());
        let mut answered: Value = serde_json::from_str(&answer.body).expect("JSON");
        let topic = topic.replace('#', "%23");
        let path = format!("/api/v1/policy/explain?user=alice&claim=k=v&operation={operation}&topic={topic}");
        assert_eq!(get(&server, &path), answered);
        // The server was started with the whole path of the file.
        let folder = format!("{}/", server.directory().display());
        let text = answered.to_string().replace(&folder, "");
        answered = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answered, told);
    }
    for body in [
        "",
        "{}",
        "{\"user\":\"a\",\"operation\":\"read\",\"topic\":\"x\"}",
        "{\"user\":\"a\",\"operation\":\"publish\",\"topic\":\"#\"}",
    ] {
        let fields = [("Content-Type", "application/json")];
        assert_eq!(ask(&server, "POST", "/api/v1/policy/explain", &fields, body).status, 400, "{body}");
    }
}

#[test]
fn no_page_of_another_origin_has_it_do_anything() {
    let server = setup().start();
    let own = format!("http://{}", server.address("admin"));
    let reload = |fields: &[(&str, &str)]| ask(&server, "POST", "/api/v1/reload", fields, "").status;
    assert_eq!(reload(&[("Origin", &own), ("Sec-Fetch-Site", "same-origin")]), 200);
    let reloads = server.metric("tidegate_reloads_total");
    for origin in ["http://evil.example", "null", "", "https://127.0.0.1", "http://127.0.0.1:1"] {
        assert_eq!(reload(&[("Origin", origin)]), 403, "{origin}");
    }
    for site in ["cross-site", "same-site"] {
        assert_eq!(reload(&[("Sec-Fetch-Site", site)]), 403, "{site}");
        assert_eq!(ask(&server, "GET", "/api/v1/sessions", &[("Sec-Fetch-Site", site)], "").status, 403, "{site}");
    }
    // A name that a foreign page has made lead here is its own origin, and not ours.
    assert_eq!(reload(&[("Host", "evil.example"), ("Origin", "http://evil.example")]), 421);
    // What a form can send is no question.
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let fields = [("Content-Type", content_type)];
        assert_eq!(ask(&server, "POST", "/api/v1/policy/explain", &fields, "{}").status, 415, "{content_type}");
        assert_eq!(ask(&server, "POST", "/api/v1/policy/diff", &fields, "version: 1\n").status, 415, "{content_type}");
    }
    assert_eq!(server.metric("tidegate_reloads_total"), reloads);
}

#[test]
fn methods_and_paths_are_what_they_are() {
    let server = setup().start();
    for (method, path, allow) in [
        ("GET", "/api/v1/reload", "POST"),
        ("GET", "/api/v1/drain", "POST"),
        ("DELETE", "/api/v1/connections", "GET"),
        ("POST", "/api/v1/sessions", "GET"),
        ("GET", "/api/v1/connections/x/kick", "POST"),
        ("PUT", "/api/v1/policy/explain", "GET, POST"),
    ] {
        let answer = ask(&server, method, path, &[], "");
        assert_eq!((answer.status, answer.field("allow")), (405, Some(allow)), "{method} {path}");
    }
    for path in ["/api/", "/api/v1", "/api/v1/", "/api/v2/reload", "/api/v1/reload/", "/api/v1/connections//kick/x"] {
        let answer = ask(&server, "GET", path, &[], "");
        assert_eq!((answer.status, answer.body.as_str()), (404, "{\"error\":\"there is nothing here\"}\n"), "{path}");
    }
    let long = format!("version: 1\n# {}\n", "x".repeat(4 * 1024 * 1024));
    let fields = [("Content-Type", "application/yaml"), ("Expect", "")];
    assert_eq!(ask(&server, "POST", "/api/v1/policy/diff", &fields, &long[..long.len()]).status, 413);
}

#[test]
fn the_token_is_asked_for_where_there_is_one() {
    let setup = setup().file("admin.token", format!("{TOKEN}\n"));
    let server = setup.section("admin", "{ listen: \"http://127.0.0.1:0\", token_file: admin.token }").start();
    let with = |value: &str| ask(&server, "POST", "/api/v1/reload", &[("Authorization", value)], "");
    let absent = ask(&server, "POST", "/api/v1/reload", &[], "");
    assert_eq!((absent.status, absent.field("www-authenticate")), (401, Some("Bearer")));
    for wrong in ["Bearer x", &format!("Bearer {TOKEN}x"), &format!("Basic {TOKEN}"), TOKEN, "Bearer"] {
        assert_eq!(with(wrong).status, 401, "{wrong}");
    }
    assert_eq!(ask(&server, "GET", "/api/v1/nothing", &[], "").status, 401, "what there is, is not told either");
    assert_eq!(with(&format!("Bearer {TOKEN}")).status, 200);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(&server, "GET", path, &[], "").status, 200, "{path}");
    }
    // Another token is taken by a reload, like any other file.
    let other = TOKEN.replace('0', "f");
    std::fs::write(server.directory().join("admin.token"), &other).expect("a file");
    assert_eq!(with(&format!("Bearer {TOKEN}")).status, 200);
    assert_eq!((with(&format!("Bearer {TOKEN}")).status, with(&format!("Bearer {other}")).status), (401, 200));
    std::fs::write(server.directory().join("admin.token"), "short").expect("a file");
    assert_eq!(with(&format!("Bearer {other}")).status, 422);
    assert_eq!(with(&format!("Bearer {other}")).status, 422, "it is still the one");
    assert!(!server.printed().contains(TOKEN) && !server.printed().contains(&other));
}

#[test]
fn without_a_token_only_this_machine_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("t.yaml");
    let check = |text: &str| {
        std::fs::write(&file, text).expect("a file");
        let checked = tidegate().current_dir(directory.path()).arg("check").arg("-c").arg(&file).output();
        String::from_utf8(checked.expect("the tidegate binary").stderr).expect("text")
    };
    let told = check("admin: { listen: \"http://0.0.0.0:9090\" }\n");
    assert!(
        told.contains("admin.listen: http://0.0.0.0:9090 is not loopback") && told.contains("token_file"),
        "{told}"
    );
    let told = check("admin: { listen: \"http://0.0.0.0:9090\", token_file: none.token }\n");
    assert!(told.contains("none.token: cannot be read") && !told.contains("loopback"), "{told}");

    let setup = setup().file("admin.token", TOKEN);
    let server = setup.section("admin", "{ listen: \"http://0.0.0.0:0\", token_file: admin.token }").start();
    // What was asked for its token where it listens does not stop asking.
    let path = server.directory().join("tidegate.yaml");
    let written = std::fs::read_to_string(&path).expect("the configuration");
    let open = written.replace("\"http://0.0.0.0:0\", token_file: admin.token", "\"http://127.0.0.1:0\"");
    assert_ne!(open, written);
    std::fs::write(&path, open).expect("a writable file");
    assert!(!server.reload());
    assert!(server.wait_for_line("Nothing reloaded").contains("no token is asked for there"));
}

#[test]
fn a_policy_is_compared_with_what_is_live() {
    let setup = setup().file("admin.token", TOKEN);
    let server = setup.section("admin", "{ listen: \"http://127.0.0.1:0\", token_file: admin.token }").start();
    let will = mqtt::will("/first/gone", "x", QoS::AtMostOnce, false);
    let connect = Connect { login: mqtt::login("alice", "a"), will: Some(will), ..mqtt::connect(Version::V5, "a1") };
    let mut alice = Client::connect_with(&server, Over::Tcp, connect);
    let mut bob = log_in(&server, Version::V5, "b1", "bob", 600);
    for (client, own) in [(&mut alice, "/own/alice"), (&mut bob, "/own/bob")] {
        assert!((client.subscribe("/first/+", QoS::AtMostOnce) as u8) < 0x80);
        assert!((client.subscribe(own, QoS::AtMostOnce) as u8) < 0x80);
    }
    bob.disconnect(ReasonCode::Success);
    server.wait_for_metric("tidegate_engine_sessions_connected", |count| count == 1.0);
    std::fs::write(server.directory().join("new.yaml"), policy("/second/#")).expect("a file");

    let url = format!("http://{}", server.address("admin"));
    let diff = |more: &[&str]| {
        let mut arguments = vec!["policy", "diff", "--live", "--url", &url, "new.yaml"];
        arguments.extend(more);
        let output = run(&server, &arguments);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, told) = diff(&[]);
    assert!(code == Some(1) && told.contains("401"), "{told}");
    let (code, told, faults) = diff(&["--token-file", "admin.token"]);
    assert_eq!(code, Some(0), "{faults}");
    for line in [
        "alice (\"a1\", connected) loses its Subscription \"/first/+\": ",
        "alice (\"a1\", connected) loses its Will Message on \"/first/gone\": ",
        "bob (\"b1\", away) loses its Subscription \"/first/+\": ",
        "2 of 2 live sessions lose something",
        " lost, ",
    ] {
        assert!(told.contains(line), "{line:?} in\n{told}");
    }
    assert!(!told.contains("/own/"), "{told}");
    let (_, told, _) = diff(&["--token-file", "admin.token", "--json"]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&told["sessions_count"], &told["sessions"][1]["client_id"]), (&json!(2), &json!("b1")));
    assert_eq!(told["sessions"][0]["subscriptions"][0]["change"], "loses");

    // Nothing has happened to anybody, and what was told is what happens.
    assert_eq!(server.metric("tidegate_engine_subscriptions"), 4.0);
    std::fs::rename(server.directory().join("new.yaml"), server.directory().join("policy.yaml")).expect("a rename");
    assert!(server.reload());
    assert!(server.wait_for_line("Reloaded").contains("subscriptions_revoked=2"));

    std::fs::write(server.directory().join("new.yaml"), "version: 1\nroles: { a: [{ topik: x }] }\n").expect("a file");
    let (code, _, told) = diff(&["--token-file", "admin.token"]);
    assert!(code == Some(2) && told.contains("new.yaml:2:"), "{told}");
}
