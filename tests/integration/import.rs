//! Other brokers' files: what is printed means what it meant to the broker that it is from.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tidegate::auth::Principal;
use tidegate::mqtt::codec::{Decoder, Limits, Sender};
use tidegate::mqtt::packet::{Subscribe, SubscribeOptions};
use tidegate::mqtt::property::SubscribeProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, TopicFilter, Version};
use tidegate::policy::Policy;

use crate::harness::certificates::Certificates;
use crate::harness::server::tidegate;
use crate::harness::{PATIENCE, mqtt};

/// Who may publish and read everything there, to see what the others may. Its lines are put before all others.
const ORACLE: &str = "oracle";

fn run(directory: &Path, arguments: &[&str]) -> Output {
    tidegate().args(arguments).current_dir(directory).output().expect("the tidegate binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The real mosquitto on a socket of its own.
struct Mosquitto {
    child: Child,
    directory: tempfile::TempDir,
}

impl Mosquitto {
    fn start(acl: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("acl"), acl).expect("a writable file");
        let config = format!("user root\nlistener 0 {}\nallow_anonymous true\nacl_file {}\n", path("s"), path("acl"));
        std::fs::write(path("conf"), config).expect("a writable file");
        let mut command = Command::new("mosquitto");
        command.args(["-c", &path("conf")]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("mosquitto, which tests/run installs");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut printed = String::new();
        while !printed.contains(" running") {
            assert_ne!(log.read_line(&mut printed).expect("a readable pipe"), 0, "mosquitto did not start:\n{printed}");
        }
        // It goes on to log each connection, and would block if nobody read that.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, directory }
    }

    fn connect(&self, who: &Principal, client_id: &str) -> Peer {
        let stream = UnixStream::connect(self.directory.path().join("s")).expect("mosquitto's socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let decoder = Decoder::with_version(Sender::Server, Limits::default(), Version::V5);
        let mut peer = Peer { stream, decoder, received: Vec::new(), next_id: 1 };
        let mut connect = mqtt::connect(Version::V5, client_id);
        connect.login.username = (!who.is_anonymous).then(|| (*who.username).into());
        peer.send(&Packet::Connect(Box::new(connect)));
        match peer.receive() {
            Packet::ConnAck(answer) if answer.reason == ReasonCode::Success => peer,
            other => panic!("{other:?} instead of CONNACK"),
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of mosquitto.
struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    received: Vec<u8>,
    next_id: u16,
}

impl Peer {
    fn send(&mut self, packet: &Packet<'_>) {
        self.stream.write_all(&mqtt::bytes(packet, Version::V5)).expect("mosquitto reads");
    }

    fn receive(&mut self) -> Packet<'static> {
        loop {
            let decoded = self.decoder.decode(&self.received).expect("packets");
            if let Some((packet, length)) = decoded.map(|(packet, length)| (packet.into_owned(), length)) {
                self.received.drain(..length);
                return packet;
            }
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer).expect("mosquitto answers");
            assert_ne!(length, 0, "mosquitto closed the connection");
            self.received.extend(&buffer[..length]);
        }
    }

    fn publish(&mut self, topic: &str, payload: &str) -> ReasonCode {
        self.next_id += 1;
        self.send(&Packet::Publish(mqtt::publish(topic, payload.as_bytes(), QoS::AtLeastOnce, false, self.next_id)));
        loop {
            match self.receive() {
                Packet::PubAck(answer) => return answer.reason,
                Packet::Publish(_) => {}
                other => panic!("{other:?} instead of PUBACK"),
            }
        }
    }

    fn subscribe(&mut self, filter: &str) {
        self.next_id += 1;
        let filters = vec![(TopicFilter::parse(filter).expect("a filter"), SubscribeOptions::default())];
        let packet_id = mqtt::packet_id(self.next_id);
        self.send(&Packet::Subscribe(Subscribe { packet_id, properties: SubscribeProperties::default(), filters }));
        assert!(matches!(self.receive(), Packet::SubAck(answer) if (answer.reasons[0] as u8) < 0x80));
    }

    /// The topics of the messages that come before an answer to a ping.
    fn topics(&mut self) -> Vec<String> {
        self.send(&Packet::PingReq);
        let mut topics = Vec::new();
        loop {
            match self.receive() {
                Packet::Publish(message) => topics.push(message.topic.expect("a topic").to_string()),
                Packet::PingResp => return topics,
                other => panic!("{other:?} instead of PINGRESP"),
            }
        }
    }
}

const TOPICS: [&str; 22] = [
    "a",
    "a/b",
    "a/b/c",
    "a/secret",
    "a/secret/x",
    "p/alice/up",
    "p/bob/up",
    "p/c1/up",
    "p/alice/locked",
    "p/bob/locked",
    "news",
    "news/x",
    "news/secret",
    "/",
    "/a",
    "a/",
    "deny",
    "with a space/x",
    "é/ü",
    "%u",
    "p/%c/up",
    "$test/a",
];

/// acl files, each with the topics on which tidegate is stricter, as it lists.
fn acl_files() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("topic read a/#\nuser alice\ntopic a/b\nuser bob\ntopic write a/+\ntopic read news/#\n", &[]),
        ("pattern readwrite p/%u/up\npattern read p/%c/#\npattern write news\n", &[]),
        ("user alice\ntopic #\ntopic deny a/secret/#\ntopic deny +/x\nuser bob\ntopic deny #\ntopic a/b\n", &[]),
        ("topic deny a/b\ntopic a/+\nuser alice\ntopic read +/b\npattern deny a/b\npattern a/#\n", &["a/b"]),
        (
            "user alice\ntopic p/#\npattern deny p/%u/locked\npattern read p/%u/#\nuser bob\ntopic read news\n",
            &["p/alice/locked"],
        ),
        (
            "topic deny\nuser alice\ntopic readwrite with a space/x  \ntopic  read   é/+\nuser bob\ntopic /#\ntopic +/+\n",
            &[],
        ),
        ("pattern read #\nuser alice\ntopic deny news/secret\ntopic write $test/#\nuser bob\ntopic write #\n", &[]),
        (
            "user alice\ntopic read %u\ntopic read p/%c/up\npattern deny p/%u%c/up\npattern a/%u-%c\n",
            &["%u", "p/%c/up"],
        ),
        ("# nothing\nuser alice\n", &[]),
        ("user alice\ntopic read a\nuser bob\ntopic read news\nuser alice\ntopic write a\ntopic deny a/secret\n", &[]),
    ]
}

#[test]
fn an_imported_acl_file_judges_as_mosquitto_does() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut compared = 0;
    for (acl, stricter) in acl_files() {
        std::fs::write(directory.path().join("aclfile"), acl).expect("a writable file");
        let output = run(directory.path(), &["import", "mosquitto-acl", "aclfile"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(
            stricter.is_empty(),
            text(&output.stderr).lines().all(|line| line.contains("the same here")),
            "{acl}"
        );
        let policy = Policy::parse(&text(&output.stdout), "printed.yaml").expect("a policy");

        let mosquitto = Mosquitto::start(&format!("{acl}\nuser {ORACLE}\ntopic #\ntopic $test/#\n"));
        let mut oracle = mosquitto.connect(&Principal::user(ORACLE), "oracle");
        for who in [Principal::anonymous(), Principal::user("alice"), Principal::user("bob"), Principal::user("carol")]
        {
            let mut peer = mosquitto.connect(&who, "c1");
            let may_publish = TOPICS.map(|topic| peer.publish(topic, "x") != ReasonCode::NotAuthorized);
            peer.subscribe("#");
            peer.subscribe("$test/#");
            peer.topics();
            for topic in TOPICS {
                assert_ne!(oracle.publish(topic, "y"), ReasonCode::NotAuthorized, "{topic}");
            }
            let read = peer.topics();
            let access = policy.bind(&who, "c1").expect("an ordinary identity");
            for (topic, may_publish) in TOPICS.into_iter().zip(may_publish) {
                let theirs = (may_publish, read.iter().any(|read| read == topic));
                let ours = (access.publish(topic, QoS::AtMostOnce, false, 0).allow, access.receive(topic).allow);
                let is_as_listed = stricter.contains(&topic) && ours.0 <= theirs.0 && ours.1 <= theirs.1;
                assert!(
                    ours == theirs || is_as_listed,
                    "{} {topic}: {ours:?} instead of {theirs:?} by\n{acl}",
                    who.username
                );
                compared += 2;
            }
        }
    }
    assert!(compared > 1_000, "{compared}");
}

#[test]
fn what_mosquitto_refuses_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for line in ["topic bogus a/b", "topic", "user", "topics a", "\ttopic a", "topic a/#/b", "pattern read a+"] {
        std::fs::write(directory.path().join("aclfile"), format!("topic read fine\n{line}\n"))
            .expect("a writable file");
        let output = run(directory.path(), &["import", "mosquitto-acl", "aclfile"]);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text(&output.stderr).starts_with("aclfile:2:"), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_table_needs_its_dialect() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("acl.csv"), "client,/p/client/upload,2\n").expect("a writable file");
    let output = run(directory.path(), &["import", "mosquitto-acl", "acl.csv"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("auth-plug, go-auth or mosquitto"), "{}", text(&output.stderr));
    let rules = |dialect: &str| {
        let output = run(directory.path(), &["import", "mosquitto-acl", "acl.csv", "--acl-dialect", dialect]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(rules("auth-plug").contains("[client, \"/p/client/upload\", 2]"));
    assert!(rules("go-auth").contains("\"/p/client/upload\", rw: w "));
    let output = run(directory.path(), &["import", "mosquitto-acl", "missing", "--acl-dialect", "go-auth"]);
    assert_eq!(output.status.code(), Some(1), "a file that cannot be read");
}

#[test]
fn an_import_can_be_had_as_json() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("aclfile"), "topic read a/%u\n").expect("a writable file");
    let output = run(directory.path(), &["--json", "import", "mosquitto-acl", "aclfile"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["notes"][0]["line"], 1, "{answer}");
    assert!(answer["yaml"].as_str().is_some_and(|yaml| Policy::parse(yaml, "yaml").is_ok()), "{answer}");
    assert!(output.stderr.is_empty());
}

#[test]
fn an_imported_configuration_passes_check() {
    let certificates = Certificates::get();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write =
        |name: &str, content: &str| std::fs::write(directory.path().join(name), content).expect("a writable file");
    write("server.crt", &certificates.server_pem);
    write("server.key", &certificates.server_key_pem);
    write("acl", "user roger\ntopic foo/bar\npattern read sensor/%u/#\n");
    write("passwd", "");
    let added =
        Command::new("mosquitto_passwd").args(["-b", "passwd", "roger", "pw"]).current_dir(directory.path()).output();
    assert!(added.expect("mosquitto_passwd, which tests/run installs").status.success());
    std::fs::create_dir(directory.path().join("conf.d")).expect("a directory");
    write("conf.d/tls.conf", "listener 8883\ncertfile server.crt\nkeyfile server.key\n");
    write("conf.d/readme.txt", "this is no configuration\n");
    write(
        "mosquitto.conf",
        "allow_anonymous false\npassword_file passwd\nacl_file acl\nmax_inflight_messages 20\ninclude_dir conf.d\n\
         listener 9001 127.0.0.1\nprotocol websockets\nconnection c\naddress other\nremote_password hunter2\n",
    );
    let print = |arguments: &[&str], into: &str| {
        let output = run(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(!text(&output.stdout).contains("hunter2") && !text(&output.stderr).contains("hunter2"), "a secret");
        write(into, &text(&output.stdout));
    };
    print(&["import", "mosquitto", "mosquitto.conf"], "tidegate.yaml");
    print(&["import", "mosquitto-acl", "acl"], "policy.yaml");
    let output = run(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("2 listeners") && text(&output.stdout).contains("2 rules"),
        "{}",
        text(&output.stdout)
    );

    write("mosquitto.conf", "allow_anonymous perhaps\n");
    let output = run(directory.path(), &["import", "mosquitto", "mosquitto.conf"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "mosquitto.conf:1:1: allow_anonymous: found \"perhaps\"; true or false\n");
}

#[test]
fn other_brokers_files_are_printed_as_policies() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write =
        |name: &str, content: &str| std::fs::write(directory.path().join(name), content).expect("a writable file");
    write("acl.conf", "{allow, {user, \"roger\"}, publish, [\"a/${clientid}\"]}.\n{deny, all}.\n");
    write(
        "credentials.xml",
        "<file-rbac><users><user><name>roger</name><password>hunter2</password><roles><id>r</id></roles></user></users>\
         <roles><role><id>r</id><permissions><permission><topic>a/${{clientid}}</topic></permission></permissions></role></roles></file-rbac>",
    );
    for (format, file) in [("emqx-acl", "acl.conf"), ("hivemq", "credentials.xml")] {
        let output = run(directory.path(), &["import", format, file]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(!text(&output.stdout).contains("hunter2") && !text(&output.stderr).contains("hunter2"), "a secret");
        write("policy.yaml", &text(&output.stdout));
        let explain = |client_id: &str| {
            let arguments =
                ["policy", "explain", "policy.yaml", "--user", "roger", "--client-id", client_id, "publish", "a/c1"];
            text(&run(directory.path(), &arguments).stdout)
        };
        assert!(
            explain("c1").starts_with("allowed") && explain("c2").starts_with("denied"),
            "{format}: {}",
            explain("c1")
        );
        write(file, "neither Erlang nor XML");
        let output = run(directory.path(), &["import", format, file]);
        assert_eq!(output.status.code(), Some(2), "{format}");
        assert!(text(&output.stderr).starts_with(&format!("{file}:1:")), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{format}");
    }
}
