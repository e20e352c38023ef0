//! A crowd that a reload does not disturb: nobody is cut, and nobody misses a message or has one twice.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{self, TryRecvError};

use tidegate::mqtt::{QoS, ReasonCode, Version};

use crate::harness::{Client, Over, PATIENCE, Server, Setup};

const CLIENTS: usize = 5_000;

const RELOADS: usize = 4;

/// Where everybody listens.
const TOPIC: &str = "/crowd/news";

/// The crowd may have its news, and `topic` beside them. Nobody logs in: what is measured is no password hash.
fn policy(topic: &str) -> String {
    format!(
        "version: 1\nroles:\n  client:\n    - {{ topic: \"{TOPIC}\", rw: rw }}\n    - {{ topic: \"{topic}\", rw: rw }}\n\
         users:\n  anonymous: [client]\n"
    )
}

/// A certificate for localhost and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// A packet of less than 128 bytes.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u8::try_from(body.len()).ok().filter(|&length| length < 128).expect("a short packet");
    [&[first, length], body.as_slice()].concat()
}

/// A client of MQTT 3.1.1 that has subscribed: a socket and nothing else, as there are to be many.
fn join(server: &Server, number: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address("mqtt")).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // A clean session and no Keep Alive.
    let connect = packet(0x10, &[&text("MQTT"), &[4, 2, 0, 0], &text(&format!("crowd-{number}"))]);
    let subscribe = packet(0x82, &[&[0, 1], &text(TOPIC), &[0]]);
    stream.write_all(&[connect, subscribe].concat()).expect("the server reads");
    let mut answers = [0; 9];
    stream.read_exact(&mut answers).expect("CONNACK and SUBACK");
    assert_eq!(answers, [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0], "client {number}");
    stream
}

/// Another policy, another certificate and other routes than in the round before.
fn change(server: &Server, configuration: &str, round: usize) {
    let write = |name: &str, content: &str| fs::write(server.directory().join(name), content).expect("a writable file");
    let (certificate, key) = certificate();
    write("certs/server.pem", &certificate);
    write("certs/server.key", &key);
    write("policy.yaml", &policy(&format!("/round/{round}")));
    write("tidegate.yaml", &configuration.replace("path: /ws/", &format!("path: /ws-{round}/")));
}

#[test]
fn five_thousand_live_through_reloads_and_miss_nothing() {
    rlimit::increase_nofile_limit(u64::MAX).expect("this process may have as many files as its limit says");
    let setup = Setup::new().policy(&policy("/first"));
    let server = setup.section("reload", "{ watch: false }").start();
    let configuration = fs::read_to_string(server.directory().join("tidegate.yaml")).expect("the configuration");
    let mut crowd: Vec<TcpStream> = (0..CLIENTS).map(|number| join(&server, number)).collect();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");

    let published = std::thread::scope(|scope| {
        // Gone with this closure, however that ends.
        let (stop, stopped) = mpsc::channel::<()>();
        let publishing = scope.spawn(move || {
            let mut published: Vec<[u8; 4]> = Vec::new();
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                let payload = u32::try_from(published.len()).expect("not so many").to_be_bytes();
                let reason = publisher.publish(TOPIC, &payload, QoS::AtLeastOnce, false);
                assert!((reason as u8) < 0x80, "{reason:?}");
                published.push(payload);
            }
            publisher.disconnect(ReasonCode::Success);
            published
        });
        for round in 0..RELOADS {
            change(&server, &configuration, round);
            assert!(server.reload());
        }
        drop(stop);
        publishing.join().expect("every message was taken")
    });

    let expected = published.iter().flat_map(|payload| packet(0x30, &[&text(TOPIC), payload])).collect::<Vec<u8>>();
    for (number, stream) in crowd.iter_mut().enumerate() {
        let mut received = vec![0; expected.len()];
        stream.read_exact(&mut received).unwrap_or_else(|error| panic!("client {number}: {error}"));
        assert!(received == expected, "client {number} misses something of {} messages", published.len());
    }
    server.wait_for_metric("tidegate_edge_connections_open", |count| count == CLIENTS as f64);
    assert_eq!(server.metric("tidegate_edge_connections_accepted_total"), (CLIENTS + 1) as f64, "nobody came twice");
    assert_eq!(server.metric("tidegate_reloads_total"), RELOADS as f64);
    for changed in ["policy.yaml", "server.pem", "routes[1]"] {
        assert!(server.wait_for_line("Reloaded").contains(changed), "{changed}");
    }
    assert!(published.len() >= RELOADS, "{} messages", published.len());
}
