//! The commands: what they print, on which stream, and with which exit code (0 done, 1 failed while running, 2 a fault of the operator).

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::harness::server::tidegate;
use crate::harness::{Setup, certificates::Certificates};

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, content) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, content).expect("a writable file");
    }
    directory
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    tidegate().args(arguments).current_dir(directory).output().expect("the tidegate binary")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_sound_configuration_passes() {
    let certificates = Certificates::get();
    let directory = directory(&[
        (
            "tidegate.yaml",
            "listen: [\"https://127.0.0.1:8443\"]\ntls: { cert: a.pem, key: a.key }\nauth: { anonymous: true }\n",
        ),
        ("a.pem", &certificates.server_pem),
        ("a.key", &certificates.server_key_pem),
    ]);
    let output = run(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let directory = directory(&[(
        "tidegate.yaml",
        "listen:\n  - gopher://127.0.0.1:70\nlisten_on: 1\nwebsocket:\n  ping_interval: 25\nauth:\n  anonymus: true\n",
    )]);
    let output = run(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = stderr(&output);
    for (place, key) in
        [("2:", "listen"), ("3:", "listen_on"), ("5:", "websocket.ping_interval"), ("7:", "auth.anonymus")]
    {
        let line = text.lines().find(|line| line.contains(&format!("tidegate.yaml:{place}")));
        assert!(line.is_some_and(|line| line.contains(key)), "line {place} {key} is missing from\n{text}");
    }
    assert!(text.contains("anonymous"), "a suggestion for anonymus: {text}");
}

#[test]
fn faults_can_be_had_as_json() {
    let directory = directory(&[("tidegate.yaml", "nonsense: 1\n")]);
    let output = run(directory.path(), &["--json", "check"]);
    assert_eq!(output.status.code(), Some(2));
    let faults: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert!(faults.to_string().contains("nonsense"), "{faults}");
}

#[test]
fn check_looks_into_the_files_that_are_named() {
    let certificates = Certificates::get();
    let directory = directory(&[
        (
            "tidegate.yaml",
            "listen: [\"https://127.0.0.1:8443\"]\ntls: { cert: a.pem, key: b.key }\npolicy: policy.yaml\n\
             auth: { anonymous: false, passwords: passwords }\nroutes: [ { path: /, files: ./missing } ]\n",
        ),
        ("a.pem", &certificates.server_pem),
        ("b.key", &rcgen::KeyPair::generate().expect("a key pair").serialize_pem()),
        ("policy.yaml", "version: 1\nroles: { client: [ { topic: \"a/#/b\", rw: rw } ] }\n"),
        ("passwords", "client:$9$whatever\n"),
    ]);
    let output = run(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = stderr(&output);
    for file in ["policy.yaml:2", "passwords:1"] {
        assert!(text.contains(file), "{file} is missing from\n{text}");
    }
    assert!(text.contains("b.key") || text.contains("tls"), "the key that does not fit is missing from\n{text}");
}

#[test]
fn the_environment_is_judged_like_the_file() {
    let directory = directory(&[("tidegate.yaml", "auth: { anonymous: true }\n")]);
    let with = |name: &str, value: &str, arguments: &[&str]| {
        tidegate().args(arguments).current_dir(directory.path()).env(name, value).output().expect("the tidegate binary")
    };
    let output = with("TIDEGATE_LISTEN", "[\"mqtt://127.0.0.1:4711\"]", &["config", "show"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("mqtt://127.0.0.1:4711"), "{}", stdout(&output));
    assert!(stdout(&output).contains("TIDEGATE_LISTEN"), "where it came from: {}", stdout(&output));

    let output = with("TIDEGATE_LISTNE", "[]", &["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("TIDEGATE_LISTNE") && stderr(&output).contains("TIDEGATE_LISTEN"),
        "{}",
        stderr(&output)
    );

    let output = with("TIDEGATE_AUTH__ANONYMOUS", "perhaps", &["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("TIDEGATE_AUTH__ANONYMOUS"), "{}", stderr(&output));
}

#[test]
fn config_show_says_where_each_value_came_from() {
    let directory = directory(&[("tidegate.yaml", "websocket:\n  ping_interval: 20s\n")]);
    let output = run(directory.path(), &["config", "show"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line = text.lines().find(|line| line.contains("ping_interval")).expect("ping_interval");
    assert!(line.contains("20s") && line.contains("tidegate.yaml:2"), "{line}");
    assert!(text.contains("default"), "{text}");
}

#[test]
fn usage_faults_are_exit_code_2() {
    let directory = directory(&[]);
    for arguments in [&["--nonsense"][..], &["dance"], &["policy"], &["passwd"], &["check", "-c", "missing.yaml"]] {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["policy", "--help"]] {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(stdout(&output).contains("tidegate"), "{arguments:?}");
    }
}

#[test]
fn policy_test_runs_what_is_written_in_the_file() {
    let directory = directory(&[
        (
            "good.yaml",
            "version: 1\nacl: [ [client, /a, 2] ]\ntests:\n  - { as: client, may: publish, topic: /a }\n  - { as: client, may_not: subscribe, topic: \"#\" }\n",
        ),
        (
            "failing.yaml",
            "version: 1\nacl: [ [client, /a, 1] ]\ntests:\n  - { as: client, may: subscribe, topic: /a }\n  - { as: client, may: publish, topic: /a }\n",
        ),
        ("broken.yaml", "version: 1\nacl: [ [client, /a, 7] ]\n"),
    ]);
    let output = run(directory.path(), &["policy", "test", "good.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains('2'), "how many: {}", stdout(&output));
    let output = run(directory.path(), &["policy", "test", "failing.yaml"]);
    assert_eq!(output.status.code(), Some(2), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output) + &stderr(&output);
    assert!(text.contains("failing.yaml:5") && !text.contains("failing.yaml:4"), "{text}");
    let output = run(directory.path(), &["policy", "test", "broken.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("broken.yaml:2"), "{}", stderr(&output));
}

#[test]
fn policy_explain_names_the_rule_and_its_line() {
    let directory = directory(&[(
        "policy.yaml",
        "version: 1\nroles:\n  client:\n    - { topic: \"/p/${username}/upload\", rw: rw }\n    - { topic: \"/p/+/secret\", deny: rw }\n\
         users: { client: [client] }\n",
    )]);
    let explain = |arguments: &[&str]| {
        let all = [&["policy", "explain", "policy.yaml", "--user", "client"], arguments].concat();
        run(directory.path(), &all)
    };
    let output = explain(&["publish", "/p/client/upload"]);
    assert!(stdout(&output).contains("client may publish"), "{}", stdout(&output));
    assert!(stdout(&output).contains("policy.yaml:4"), "{}", stdout(&output));
    let output = explain(&["publish", "/p/client/secret"]);
    assert!(stdout(&output).contains("client may not publish"), "{}", stdout(&output));
    assert!(stdout(&output).contains("policy.yaml:5"), "{}", stdout(&output));
    let output = explain(&["subscribe", "/p/#"]);
    assert!(stdout(&output).contains("client may not subscribe"), "{}", stdout(&output));
}

#[test]
fn policy_explain_says_what_a_filter_is_made_of_and_what_bounds_the_client() {
    let directory = directory(&[(
        "policy.yaml",
        "version: 1\nroles:\n  client:\n    - { topic: \"/p/${username}/#\", rw: rw }\n    - { topic: \"/p/+/secret\", deny: rw }\n  ops: []\n\
         users: { client: [client] }\nclaims: [ { when: { role: ops }, roles: [ops] } ]\n\
         limits:\n  client: { messages_per_s: 5, payload_bytes_max: 1KiB }\n  ops: { messages_per_s: none }\n",
    )]);
    let explain = |arguments: &[&str]| {
        let all = [&["--json", "policy", "explain", "policy.yaml", "--user", "client"], arguments].concat();
        let output = run(directory.path(), &all);
        serde_json::from_str::<serde_json::Value>(&stdout(&output)).expect("JSON")
    };
    let answer = explain(&["subscribe", "/p/#"]);
    let coverage = &answer["coverage"];
    assert_eq!(coverage["granted"][0]["filter"], "/p/client/#", "{answer}");
    assert_eq!(coverage["granted"][0]["rule"]["line"], 4, "{answer}");
    assert_eq!(coverage["denied"][0]["example"], "/p/x/secret", "{answer}");
    assert_eq!(coverage["rest"], "/p", "{answer}");
    assert_eq!(answer["limits"][0]["value"], "5", "{answer}");
    // A claim that is given twice is a list, which gives roles by what it holds.
    let answer = explain(&["--claim", "role=dev", "--claim", "role=ops", "subscribe", "/p/#"]);
    assert_eq!(
        (&answer["limits"][0]["value"], &answer["limits"][0]["role"]),
        (&"none".into(), &"ops".into()),
        "{answer}"
    );
    // What is asked for decides which bounds matter.
    let answer = explain(&["--payload-bytes", "2000", "--qos", "1", "--retain", "publish", "/p/client/x"]);
    assert_eq!((&answer["allowed"], &answer["rule"]["line"]), (&false.into(), &4.into()), "{answer}");
    assert!(answer["reason"].as_str().is_some_and(|reason| reason.contains("1024")), "{answer}");
}

#[test]
fn policy_diff_says_who_gains_and_loses_what() {
    let directory = directory(&[
        ("old.yaml", "version: 1\nacl:\n  - [client, /a, 2]\n  - [client, /b, 1]\n  - [other, /c, 1]\n"),
        ("new.yaml", "version: 1\nacl:\n  - [client, /b, 2]\n  - [other, \"+/c\", 1]\n"),
        ("broken.yaml", "version: 1\nacl: [ [client, /a, 7] ]\n"),
    ]);
    let output = run(directory.path(), &["policy", "diff", "old.yaml", "new.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for line in [
        "client loses publish \"/a\"",
        "client gains publish \"/b\"",
        "other gains a part of subscribe \"+/c\"",
        "old.yaml:3",
    ] {
        assert!(text.contains(line), "{line} is missing from\n{text}");
    }
    assert!(!text.contains("subscribe \"/b\"") && !text.contains("other loses"), "{text}");
    let output = run(directory.path(), &["--json", "policy", "diff", "old.yaml", "old.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    let answer: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(answer["differences"].as_array().map(Vec::len), Some(0), "{answer}");
    let output = run(directory.path(), &["policy", "diff", "old.yaml", "broken.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("broken.yaml:2"), "{}", stderr(&output));
}

#[test]
fn passwd_writes_what_the_server_reads() {
    let setup = Setup::new();
    let file = setup.directory().join("passwords");
    let set = |user: &str, password: &str| {
        let mut command = tidegate();
        command.arg("passwd").arg(&file).arg(user).arg("--stdin").stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().expect("the tidegate binary");
        writeln!(child.stdin.take().expect("a pipe"), "{password}").expect("a running child");
        assert!(child.wait().expect("a child").success());
    };
    set("client", "first");
    set("client", "password");
    set("other", "secret");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(!text.contains("password") && !text.contains("secret"), "{text}");
    let delete = tidegate().arg("passwd").arg(&file).args(["other", "--delete"]).output().expect("the tidegate binary");
    assert_eq!(delete.status.code(), Some(0), "{delete:?}");

    // Entries of mosquitto's own tool live beside ours.
    let added = Command::new("mosquitto_passwd")
        .arg("-b")
        .arg(&file)
        .args(["server", "pw"])
        .output()
        .expect("mosquitto_passwd");
    assert!(added.status.success(), "{added:?}");
    let server = setup.section("auth", "{ anonymous: false, passwords: passwords }").start();
    for (user, password, expected) in
        [("client", "password", true), ("client", "first", false), ("other", "secret", false), ("server", "pw", true)]
    {
        use crate::harness::{Client, Over, mqtt};
        let mut connect = mqtt::connect(tidegate::mqtt::Version::V4, "");
        connect.login = mqtt::login(user, password);
        let (_, answer) = Client::try_connect(&server, Over::Tcp, connect);
        assert_eq!((answer.reason as u8) < 0x80, expected, "{user}");
    }
}
