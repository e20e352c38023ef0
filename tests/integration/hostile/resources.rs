//! Running out of things (SECURITY C, E): descriptors, places, a policy that says nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::{ALLOCATOR_SLACK, unharmed};
use crate::harness::{Client, Over, PATIENCE, Setup, Transport, mqtt};

#[test]
fn running_out_of_descriptors_is_survived() {
    let mut server = Setup::new().users(&[("client", "password")]).start();
    let before = server.memory_bytes();
    let process = server.process_id().to_string();
    let limited = Command::new("prlimit").args(["--nofile=80:80", "--pid", &process]).status().expect("prlimit");
    assert!(limited.success());
    let log_in = || {
        let mut connect = mqtt::connect(Version::V5, "client");
        connect.login = mqtt::login("client", "password");
        connect
    };
    // Somebody who was there before is served all along.
    let mut client = Client::connect_with(&server, Over::Tcp, log_in());
    client.subscribe("t", QoS::AtMostOnce);
    let crowd: Vec<_> = (0..200).map(|_| Transport::tcp(server.address("mqtt"))).collect();
    client.publish("t", b"still served", QoS::AtMostOnce, false);
    client.expect_message("t", b"still served");
    drop(crowd);
    // With room again, nobody comes in who should not, and everybody who should.
    let mut connect = log_in();
    connect.login = mqtt::login("client", "wrong");
    connect.client_id = "other".into();
    let (_, answer) = Client::try_connect(&server, Over::Tcp, connect);
    assert_eq!(answer.reason, ReasonCode::BadUserNameOrPassword);
    let mut connect = log_in();
    connect.client_id = "another".into();
    Client::connect_with(&server, Over::Wss, connect).expect_nothing();
    assert!(server.is_running());
    assert!(server.memory_bytes().saturating_sub(before) < ALLOCATOR_SLACK);
}

#[test]
fn beyond_the_most_connections_others_are_still_served() {
    let mut server = Setup::new().section("limits", "{ connections_max: 10 }").start();
    let before = server.memory_bytes();
    let mut first = Client::connect(&server, Over::Tcp, Version::V5, "first");
    let crowd: Vec<_> = (0..30).map(|_| Transport::tcp(server.address("mqtt"))).collect();
    server.wait_for_metric("tidegate_edge_connections_refused_full_total", |value| value >= 20.0);
    first.expect_nothing();
    drop(crowd);
    server.wait_for_metric("tidegate_edge_connections_open", |value| value <= 2.0);
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn a_policy_that_says_nothing_allows_nothing() {
    for policy in ["version: 1\n", "version: 1\nroles: {}\nusers: {}\nacl: []\n", "# nothing\nversion: 1\n"] {
        let server = Setup::new().policy(policy).start();
        let mut client = Client::connect(&server, Over::Tcp, Version::V5, "client");
        assert_eq!(client.subscribe("t", QoS::AtMostOnce), ReasonCode::NotAuthorized);
        assert_eq!(client.publish("t", b"x", QoS::AtLeastOnce, false), ReasonCode::NotAuthorized);
    }
}

#[test]
fn a_policy_that_cannot_be_read_keeps_the_server_from_starting() {
    let whole =
        "version: 1\nroles: { client: [ { topic: \"/p/${username}/#\", rw: rw } ] }\nusers: { \"*\": [client] }\n";
    let setup = Setup::new();
    let config = setup.directory().join("broken.yaml");
    let text = "listen: [\"mqtt://127.0.0.1:0\"]\nauth: { anonymous: true }\npolicy: policy.yaml\n";
    std::fs::write(&config, text).expect("a writable file");
    let starts = || {
        let output =
            crate::harness::server::tidegate().args(["check", "-c"]).arg(&config).output().expect("the binary");
        assert!(matches!(output.status.code(), Some(0 | 2)), "{output:?}");
        output.status.success()
    };
    let policy = setup.directory().join("policy.yaml");
    assert!(!starts(), "the file is not there");
    for content in [&b""[..], b"# only a comment\n", b"\xff\xfe", b"null", b"[]", b"version: 2\n", b"roles:\n\t- tab\n"]
    {
        std::fs::write(&policy, content).expect("a writable file");
        assert!(!starts(), "{:?} was taken for a policy", String::from_utf8_lossy(content));
    }
    // Cut short inside the rules it is never taken for a smaller policy.
    for end in (whole.find("oles").expect("there")..whole.find("users").expect("there") - 1).step_by(7) {
        std::fs::write(&policy, &whole[..end]).expect("a writable file");
        assert!(!starts(), "{:?} was taken for a policy", &whole[..end]);
    }
    std::fs::write(&policy, whole).expect("a writable file");
    assert!(starts());
}

/// Who sends and does not read is not read either: what the server would have to say to it does not pile up.
#[test]
fn answers_nobody_reads_do_not_pile_up() {
    const SENT_MAX: usize = 256 << 20;
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let mut socket = TcpStream::connect(server.address("mqtt")).expect("the listener accepts");
    let connect = Packet::Connect(Box::new(mqtt::connect(Version::V4, "deaf")));
    socket.write_all(&mqtt::bytes(&connect, Version::V4)).expect("a new connection takes a CONNECT");
    socket.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let pings = [0xC0, 0].repeat(32 * 1024);
    let mut sent = 0;
    while let Ok(count) = socket.write(&pings[sent % 2..]) {
        sent += count;
        assert!(sent < SENT_MAX, "the server reads on and on");
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);

    // Whoever reads in the end has missed nothing: a CONNACK, and a PINGRESP for every PINGREQ that went out whole.
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answers = vec![0; 4 + sent / 2 * 2];
    socket.read_exact(&mut answers).expect("an answer to everything");
    assert_eq!(answers[..4], [0x20, 2, 0, 0]);
    assert!(answers[4..].chunks(2).all(|answer| answer == [0xD0, 0]));
}
