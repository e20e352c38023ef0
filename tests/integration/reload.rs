//! Changed files, taken by a server that runs: by SIGHUP and by the folder that stirs. What is at fault changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;
use tidegate::mqtt::{QoS, ReasonCode, Version};

use crate::harness::certificates::ClientAuthority;
use crate::harness::{Client, JsonClient, Over, Server, Setup, mqtt};

/// Users may use what is theirs, and only `topic` beside it.
fn policy(topic: &str) -> String {
    format!(
        "version: 1\nroles:\n  client:\n    - {{ topic: \"/own/${{username}}\", rw: rw }}\n    - {{ topic: \"{topic}\", rw: rw }}\n\
         users:\n  \"*\": [client]\n"
    )
}

const SIGHUP_ONLY: (&str, &str) = ("reload", "{ watch: false }");
const WATCHED: (&str, &str) = ("reload", "{ settle: 20ms }");

fn setup((section, reload): (&str, &str)) -> Setup {
    Setup::new().users(&[("alice", "a")]).policy(&policy("/first")).section(section, reload)
}

fn write(server: &Server, name: &str, content: impl AsRef<[u8]>) {
    fs::write(server.directory().join(name), content).expect("a writable file");
}

fn log_in(server: &Server, user: &str, password: &str) -> Result<Client, ReasonCode> {
    let connect =
        tidegate::mqtt::packet::Connect { login: mqtt::login(user, password), ..mqtt::connect(Version::V5, user) };
    let (client, connack) = Client::try_connect(server, Over::Tcp, connect);
    if connack.reason == ReasonCode::Success { Ok(client) } else { Err(connack.reason) }
}

/// Whether alice may publish to `topic`, if she comes now.
fn may_publish(server: &Server, topic: &str) -> bool {
    let mut client = log_in(server, "alice", "a").expect("alice comes in");
    let reason = client.publish(topic, b"x", QoS::AtLeastOnce, false);
    client.disconnect(ReasonCode::Success);
    (reason as u8) < 0x80
}

fn reloads(server: &Server) -> [f64; 2] {
    ["tidegate_reloads_total", "tidegate_reloads_failed_total"].map(|series| server.metric(series))
}

/// Does `act` and waits until the server has taken what it changed.
fn takes(server: &Server, act: impl FnOnce()) {
    let before = server.metric("tidegate_reloads_total");
    act();
    server.wait_for_metric("tidegate_reloads_total", |count| count > before);
}

/// Does `act` and waits until the server has looked at its files, and found nothing to do.
fn ignores(server: &Server, act: impl FnOnce()) {
    let (before, looks) = (reloads(server), server.metric("tidegate_reload_looks_total"));
    act();
    server.wait_for_metric("tidegate_reload_looks_total", |count| count > looks);
    // A reload is counted after the look that led to it; a further one is over when its answer is there.
    assert!(server.reload());
    assert_eq!(reloads(server), [before[0] + 1.0, before[1]]);
}

#[test]
fn sighup_takes_another_policy_and_other_passwords() {
    let server = setup(SIGHUP_ONLY).start();
    let mut stays = log_in(&server, "alice", "a").expect("alice comes in");
    assert_eq!(stays.subscribe("/own/alice", QoS::AtMostOnce), ReasonCode::Success);
    assert_eq!(log_in(&server, "bob", "b").err(), Some(ReasonCode::BadUserNameOrPassword));

    write(&server, "policy.yaml", policy("/second"));
    let passwords = server.directory().join("passwords");
    let added = Command::new("mosquitto_passwd").arg("-b").arg(&passwords).args(["bob", "b"]).output();
    assert!(added.expect("mosquitto_passwd").status.success());
    assert_eq!(reloads(&server), [0.0, 0.0], "nobody has asked for it");
    assert!(server.reload());

    let mut bob = log_in(&server, "bob", "b").expect("bob comes in");
    assert_eq!(bob.publish("/first", b"x", QoS::AtLeastOnce, false), ReasonCode::NotAuthorized);
    assert!((bob.publish("/second", b"x", QoS::AtLeastOnce, false) as u8) < 0x80);
    // Who was there is still there, with what nobody has taken from them.
    stays.publish("/own/alice", b"still here", QoS::AtMostOnce, false);
    stays.expect_message("/own/alice", b"still here");
    let line = server.wait_for_line("Reloaded");
    assert!(line.contains("policy.yaml") && line.contains("passwords") && line.contains("SIGHUP"), "{line}");
    assert_eq!(server.metric("tidegate_edge_connections_open"), 2.0);

    let login = |outcome: &str| server.metric(&format!("tidegate_auth_answers_total{{answer=\"{outcome}\"}}"));
    assert_eq!((login("accepted"), login("bad_credentials")), (2.0, 1.0), "what was counted before is still counted");
    let taken = server.metric("tidegate_reload_taken_timestamp_seconds");
    assert!(taken >= server.metric("tidegate_process_start_time_seconds"), "{taken}");

    // Whoever is no longer in the file does not come in again.
    write(&server, "passwords", "");
    assert!(server.reload());
    assert_eq!(log_in(&server, "bob", "b").err(), Some(ReasonCode::BadUserNameOrPassword));
}

#[test]
fn reloading_the_same_changes_nothing() {
    let server = setup(SIGHUP_ONLY).start();
    for count in 1..=3 {
        assert!(server.reload());
        assert_eq!(reloads(&server), [f64::from(count), 0.0]);
    }
    assert!(server.wait_for_line("Reloaded").contains("nothing has changed"));
    assert!(may_publish(&server, "/first") && !may_publish(&server, "/second"));
}

#[test]
fn a_faulty_file_changes_nothing_and_the_log_names_every_fault() {
    let server = setup(SIGHUP_ONLY).start();
    let good = fs::read(server.directory().join("passwords")).expect("the passwords");
    write(
        &server,
        "policy.yaml",
        "version: 1\nroles:\n  client: [{ topic: \"/second\", rw: rx }]\nusers: { \"*\": [clint] }\n",
    );
    write(&server, "passwords", "alice\n");
    assert!(!server.reload());
    let line = server.wait_for_line("Nothing reloaded");
    assert!(line.contains("policy.yaml:3:"), "{line}");
    assert!(server.printed().contains("policy.yaml:4:") && server.printed().contains("passwords:1"), "all at once");
    assert!(may_publish(&server, "/first") && !may_publish(&server, "/second"), "both files stay as they were");

    // What is right beside what is wrong is not taken either.
    write(&server, "policy.yaml", policy("/second"));
    assert!(!server.reload());
    assert!(may_publish(&server, "/first") && !may_publish(&server, "/second"));
    write(&server, "passwords", good);
    assert!(server.reload());
    assert!(!may_publish(&server, "/first") && may_publish(&server, "/second"));

    // Its own tests are part of a policy.
    let test = "tests:\n  - { as: alice, may: publish, topic: /fourth }\n";
    write(&server, "policy.yaml", policy("/third") + test);
    assert!(!server.reload());
    assert!(may_publish(&server, "/second") && !may_publish(&server, "/third"));
}

#[test]
fn a_policy_that_is_cut_short_or_missing_gives_nobody_anything() {
    let server = setup(SIGHUP_ONLY).start();
    let second = policy("/second");
    for text in [
        "",
        "\n",
        "# only a comment\n",
        "version: 1",
        "version: 1\n",
        "null",
        "{}",
        "[]",
        "\u{0}",
        "version: 1\n\troles:",
    ] {
        write(&server, "policy.yaml", text);
        let is_taken = server.reload();
        assert!(!may_publish(&server, "/second"), "{text:?}");
        // That nobody may do anything is a policy; that none was read is none.
        assert!(is_taken == (text == "version: 1\n") && may_publish(&server, "/first") != is_taken, "{text:?}");
        write(&server, "policy.yaml", policy("/first"));
        assert!(server.reload());
    }
    for length in 0..second.trim_end().len() {
        write(&server, "policy.yaml", &second[..length]);
        server.reload();
        assert!(!may_publish(&server, "/second"), "{:?}", &second[..length]);
    }
    write(&server, "policy.yaml", policy("/first"));
    assert!(server.reload());

    let path = server.directory().join("policy.yaml");
    fs::remove_file(&path).expect("a file");
    assert!(!server.reload() && may_publish(&server, "/first"), "missing");
    fs::create_dir(&path).expect("a folder");
    assert!(!server.reload() && may_publish(&server, "/first"), "a folder");
    fs::remove_dir(&path).expect("a folder");
    write(&server, "policy.yaml", b"version: 1\n# \xe9\n");
    assert!(!server.reload() && may_publish(&server, "/first"), "no UTF-8");
    fs::remove_file(server.directory().join("tidegate.yaml")).expect("a file");
    assert!(!server.reload() && may_publish(&server, "/first"), "the built-in default is no way out");
}

#[test]
fn without_file_descriptors_nothing_changes() {
    let server = setup(SIGHUP_ONLY).start();
    let mut alice = log_in(&server, "alice", "a").expect("alice comes in");
    write(&server, "policy.yaml", policy("/second"));
    let process = server.process_id().to_string();
    let limit = |files: &str| {
        let status = Command::new("prlimit").args([&format!("--nofile={files}:"), "--pid", &process]).status();
        assert!(status.expect("prlimit").success());
    };
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("a Linux /proc");
    let limit_line = limits.lines().find(|line| line.starts_with("Max open files")).expect("the limit");
    let soft = limit_line.split_whitespace().nth(3).expect("the soft limit");
    limit("4");
    server.signal("HUP");
    assert!(server.wait_for_line("Nothing reloaded").contains("cannot be read"));
    limit(soft);
    assert!((alice.publish("/first", b"x", QoS::AtLeastOnce, false) as u8) < 0x80);
    assert!(may_publish(&server, "/first") && !may_publish(&server, "/second"));
    assert!(server.reload() && may_publish(&server, "/second"));
}

#[test]
fn a_file_is_taken_when_its_folder_stirs() {
    let server = setup(WATCHED).start();
    assert!(server.metric("tidegate_reload_folders_watched") >= 1.0);
    takes(&server, || write(&server, "policy.yaml", policy("/written")));
    assert!(may_publish(&server, "/written") && !may_publish(&server, "/first"));

    // As editors do, and `tidegate passwd`.
    let rename_over = |name: &str, content: &[u8]| {
        write(&server, ".swp", content);
        let [from, to] = [".swp", name].map(|name| server.directory().join(name));
        fs::rename(from, to).expect("a rename");
    };
    let renamed = policy("/renamed");
    takes(&server, || rename_over("policy.yaml", renamed.as_bytes()));
    assert!(may_publish(&server, "/renamed") && !may_publish(&server, "/written"));

    ignores(&server, || rename_over("policy.yaml", renamed.as_bytes()));
    ignores(&server, || write(&server, "unrelated", "x"));
    let passwords = fs::read(server.directory().join("passwords")).expect("the passwords");
    ignores(&server, || rename_over("passwords", &passwords));

    // A fault is told, and the next event makes it good.
    let failed = server.metric("tidegate_reloads_failed_total");
    write(&server, "policy.yaml", "version: 1\nroles: [");
    server.wait_for_metric("tidegate_reloads_failed_total", |count| count > failed);
    assert!(server.wait_for_line("Nothing reloaded").contains("changed files"));
    assert!(may_publish(&server, "/renamed"));
    takes(&server, || write(&server, "policy.yaml", policy("/whole")));
    assert!(may_publish(&server, "/whole") && !may_publish(&server, "/renamed"));
}

#[test]
fn a_mounted_secret_is_taken_when_its_link_is_swapped() {
    let setup = setup(WATCHED).section("policy", "mounted/policy.yaml");
    let mount = setup.directory().join("mounted");
    // As Kubernetes' atomic writer does: <https://pkg.go.dev/k8s.io/kubernetes/pkg/volume/util#AtomicWriter.Write>
    let publish = |version: &str, text: String| {
        let payload = mount.join(format!("..{version}"));
        fs::create_dir_all(&payload).expect("a folder");
        fs::write(payload.join("policy.yaml"), text).expect("a file");
        symlink(format!("..{version}"), mount.join("..data_tmp")).expect("a link");
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("a rename");
    };
    publish("1", policy("/first"));
    symlink("..data/policy.yaml", mount.join("policy.yaml")).expect("a link");
    let server = setup.start();
    assert!(may_publish(&server, "/first"));
    for (version, topic, before) in [("2", "/second", "/first"), ("3", "/third", "/second")] {
        takes(&server, || publish(version, policy(topic)));
        fs::remove_dir_all(mount.join(format!("..{}", version.parse::<u32>().expect("a number") - 1))).expect("it");
        assert!(may_publish(&server, topic) && !may_publish(&server, before), "{version}");
    }
}

#[test]
fn key_files_and_token_keys_are_part_of_it() {
    let envelope = "envelope: [{ topic: \"/single/${username}\", key_file: keys/devices }]\n";
    let key = |digit: &str| format!("device:{}\n", digit.repeat(32));
    let server =
        setup(WATCHED).file("keys/devices", key("1")).policy(&(policy("/single/${username}") + envelope)).start();
    takes(&server, || write(&server, "keys/devices", key("2")));
    let line = server.wait_for_line("Reloaded");
    assert!(line.contains("keys/devices") && !line.contains("policy.yaml"), "{line}");
    let failed = server.metric("tidegate_reloads_failed_total");
    write(&server, "keys/devices", "device:tooshort\n");
    server.wait_for_metric("tidegate_reloads_failed_total", |count| count > failed);
    assert!(server.wait_for_line("Nothing reloaded").contains("keys/devices:1"));
}

#[test]
fn what_needs_a_restart_is_named_and_what_is_open_stays_closed() {
    let server = setup(SIGHUP_ONLY).start();
    let path = server.directory().join("tidegate.yaml");
    let written = fs::read_to_string(&path).expect("the configuration");
    let set = |from: &str, to: &str| {
        assert!(written.contains(from), "{written}");
        fs::write(&path, written.replace(from, to)).expect("a writable file");
    };
    set("reload:", "engine: { sessions_max: 7 }\nlog: { level: debug }\nreload:");
    assert!(server.reload());
    let line = server.wait_for_line("needs a restart");
    assert!(line.contains("engine.sessions_max") && !line.contains("log.level"), "{line}");
    assert!(server.wait_for_line("Reloaded").contains("log.level"));
    // The level holds: what is denied is told of.
    assert!(!may_publish(&server, "/second"));
    server.wait_for_line("DEBUG");

    set("reload:", "engine: { sessions_max: many }\nreload:");
    assert!(!server.reload());
    let line = server.wait_for_line("Nothing reloaded");
    assert!(line.contains("tidegate.yaml:") && line.contains("engine.sessions_max"), "{line}");
}

/// A certificate for localhost that nobody has signed but itself.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Whether a client that trusts this certificate alone finds it.
fn is_shown(server: &Server, certificate: &str) -> bool {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "localhost", "-p", &server.address("mqtts").port().to_string(), "--cafile"]);
    let file = server.directory().join("trusted.pem");
    fs::write(&file, certificate).expect("a writable file");
    let output = command.arg(file).args(["-u", "alice", "-P", "a", "-t", "/first", "-m", "x"]).output();
    output.expect("mosquitto_pub, which tests/run installs").status.success()
}

#[test]
fn another_certificate_is_for_who_comes_and_cuts_nobody() {
    let server = setup(SIGHUP_ONLY).start();
    let mut clients: Vec<Client> = (0..200)
        .map(|number| {
            let over = if number % 2 == 0 { Over::Tls } else { Over::Wss };
            let login = mqtt::login("alice", "a");
            let connect =
                tidegate::mqtt::packet::Connect { login, ..mqtt::connect(Version::V5, &format!("alice-{number}")) };
            Client::connect_with(&server, over, connect)
        })
        .collect();
    let (second, key) = certificate();
    assert!(!is_shown(&server, &second));
    write(&server, "certs/server.pem", &second);
    // Half of a pair is none.
    assert!(!server.reload());
    assert!(server.wait_for_line("Nothing reloaded").contains("tls.key: not the key of"));
    assert!(!is_shown(&server, &second));
    write(&server, "certs/server.key", key);
    assert!(server.reload());
    assert!(server.wait_for_line("Reloaded").contains("server.pem"));
    assert!(is_shown(&server, &second));
    assert!(!server.printed().contains("needs a restart"));
    for client in &mut clients {
        assert!((client.publish("/first", b"x", QoS::AtLeastOnce, false) as u8) < 0x80);
    }
    assert_eq!(server.metric("tidegate_connection_open"), 200.0);

    // What the settings say is taken, too.
    let (path, authority) = (server.directory().join("tidegate.yaml"), ClientAuthority::new());
    let written = fs::read_to_string(&path).expect("the configuration");
    write(&server, "clients.pem", &authority.certificate_pem);
    fs::write(&path, written.replace("certs/server.key }", "certs/server.key, client_ca: clients.pem }"))
        .expect("a writable file");
    assert!(server.reload());
    assert!(!is_shown(&server, &second), "nobody comes in without a certificate of his own");
    assert!(!server.printed().contains("needs a restart"));
    clients[0].expect_nothing();
}

#[test]
fn no_reload_opens_a_listener_that_others_reach() {
    let setup = setup(SIGHUP_ONLY).listeners(["mqtt://0.0.0.0:0"]);
    let server = setup.start();
    let path = server.directory().join("tidegate.yaml");
    let written = fs::read_to_string(&path).expect("the configuration");
    // Right for what it says it listens on; wrong for what it listens on.
    let open = written.replace("mqtt://0.0.0.0:0", "mqtt://127.0.0.1:0").replace("policy: policy.yaml\n", "");
    assert!(open.len() < written.len());
    fs::write(&path, open).expect("a writable file");
    assert!(!server.reload());
    let line = server.wait_for_line("Nothing reloaded");
    assert!(line.contains("mqtt://0.0.0.0:0 is not loopback") && line.contains("as it is running"), "{line}");

    // Nor in two steps, of which the first waits for a restart; that is said as long as it does.
    let moved = written.replace("mqtt://0.0.0.0:0", "mqtt://127.0.0.1:0");
    fs::write(&path, &moved).expect("a writable file");
    assert!(server.reload());
    assert!(server.wait_for_line("needs a restart").contains("listen[0]"));
    fs::write(&path, moved.replace("policy: policy.yaml\n", "")).expect("a writable file");
    assert!(!server.reload());
    let line = server.wait_for_nth_line("Nothing reloaded", 2);
    assert!(line.contains("mqtt://0.0.0.0:0 is not loopback") && line.contains("as it is running"), "{line}");
    write(&server, "policy.yaml", policy("/second"));
    fs::write(&path, moved).expect("a writable file");
    assert!(server.reload());
    assert!(server.wait_for_nth_line("needs a restart", 2).contains("listen[0]"));
}

#[test]
fn who_is_there_is_judged_anew_and_stays_there() {
    let server = setup(SIGHUP_ONLY).start();
    let connect = |version| tidegate::mqtt::packet::Connect {
        login: mqtt::login("alice", "a"),
        ..mqtt::connect(version, &format!("alice-{}", version as u8))
    };
    let mut old = Client::connect_with(&server, Over::Tcp, connect(Version::V4));
    let mut new = Client::connect_with(&server, Over::Wss, connect(Version::V5));
    let mut page = JsonClient::log_in(&server, Over::Wss, "alice", "a");
    let publish = json!({ "Action": "publish", "Topic": "/first", "Payload": "x", "QoS": 1, "Id": "p" });
    for client in [&mut old, &mut new] {
        assert!((client.publish("/first", b"x", QoS::AtLeastOnce, false) as u8) < 0x80);
    }
    page.send(&publish);
    page.expect(&json!({ "Action": "ack", "Id": "p" }));
    page.subscribe("/first");
    let connected = server.metric("tidegate_connection_connected_total");

    write(&server, "policy.yaml", policy("/second"));
    assert!(server.reload());
    assert!(server.wait_for_line("Reloaded").contains("subscriptions_revoked=1"));
    assert_eq!(new.publish("/first", b"x", QoS::AtLeastOnce, false), ReasonCode::NotAuthorized);
    assert!((new.publish("/second", b"x", QoS::AtLeastOnce, false) as u8) < 0x80);
    page.expect(&json!({ "Action": "revoked", "Filter": "/first" }));
    page.send(&publish);
    page.expect(&json!({ "Action": "error", "Code": "denied", "Id": "p" }));
    // 3.1.1 has no way to refuse a PUBLISH but to acknowledge it and let it go nowhere.
    let mut watcher = log_in(&server, "alice", "a").expect("alice comes in");
    assert!((watcher.subscribe("/own/alice", QoS::AtMostOnce) as u8) < 0x80);
    let denied = || server.metric("tidegate_connection_denied_total{action=\"publish\"}");
    let before = denied();
    old.publish("/first", b"x", QoS::AtLeastOnce, false);
    assert_eq!(denied(), before + 1.0);
    old.publish("/own/alice", b"from the same connection", QoS::AtMostOnce, false);
    watcher.expect_message("/own/alice", b"from the same connection");
    assert_eq!(server.metric("tidegate_connection_connected_total"), connected + 1.0, "only the watcher is new");
}

#[test]
fn certificates_are_part_of_it() {
    let server = setup(WATCHED).start();
    let sound = fs::read(server.directory().join("certs/server.pem")).expect("the certificate");
    let failed = server.metric("tidegate_reloads_failed_total");
    write(&server, "certs/server.pem", "no certificate\n");
    server.wait_for_metric("tidegate_reloads_failed_total", |count| count > failed);
    assert!(server.wait_for_line("Nothing reloaded").contains("certs/server.pem"));
    drop(Client::connect_with(
        &server,
        Over::Tls,
        tidegate::mqtt::packet::Connect { login: mqtt::login("alice", "a"), ..mqtt::connect(Version::V5, "alice") },
    ));
    // Another form of the same is no fault, and is taken.
    takes(&server, || write(&server, "certs/server.pem", [&sound[..], b"\n"].concat()));
    assert!(server.wait_for_line("Reloaded").contains("certs/server.pem"));
}
