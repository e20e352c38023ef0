//! Where 3.1 and 3.1.1 differ from 5.0 and from each other: return codes, identifiers, SUBACK, and closing without a word.

use std::time::Instant;

use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::{Packet, QoS, Version};

use crate::harness::{Client, Over, PATIENCE, Server, Setup, mqtt};

const OLD: [Version; 2] = [Version::V3, Version::V4];

const POLICY: &str = "version: 1\nroles: { some: [{ topic: open/#, rw: rw }] }\nusers: { \"*\": [some] }\n";

/// A CONNECT with a clean session.
fn connect_bytes(version: Version, client_id: &str) -> Vec<u8> {
    bytes(mqtt::connect(version, client_id))
}

fn bytes(connect: Connect) -> Vec<u8> {
    let version = connect.version;
    mqtt::bytes(&Packet::Connect(Box::new(connect)), version)
}

/// Sends a CONNECT and returns all that the server says before it closes.
fn refusal(server: &Server, version: Version, connect: &[u8]) -> Vec<u8> {
    let mut client = Client::open(server, Over::Tcp, version);
    client.send_bytes(connect);
    client.transport.read_to_end().0
}

/// MQTT 3.1.1 §3.2.2.3, [MQTT-3.2.2-4]: Session Present is 0 with every one of them.
#[test]
fn each_return_code_is_used_for_what_it_says() {
    let server = Setup::new().users(&[("anna", "secret")]).policy(POLICY).start();
    for version in OLD {
        let connack = |code| [0x20, 2, 0, code];
        let mut unknown = connect_bytes(version, "c");
        // Behind the fixed header and the protocol's name: MQIsdp or MQTT.
        unknown[if version == Version::V3 { 10 } else { 8 }] = 9;
        assert_eq!(refusal(&server, version, &unknown), connack(1), "{version}: unacceptable protocol version");

        let mut nameless = mqtt::connect(version, "");
        nameless.clean_start = false;
        nameless.login = mqtt::login("anna", "secret");
        assert_eq!(refusal(&server, version, &bytes(nameless)), connack(2), "{version}: identifier rejected");

        let mut stranger = mqtt::connect(version, "c");
        stranger.login = mqtt::login("anna", "guess");
        assert_eq!(refusal(&server, version, &bytes(stranger)), connack(4), "{version}: bad user name or password");

        let mut mortal = mqtt::connect(version, "c");
        mortal.login = mqtt::login("anna", "secret");
        mortal.will = Some(mqtt::will("shut", "", QoS::AtMostOnce, false));
        assert_eq!(refusal(&server, version, &bytes(mortal)), connack(5), "{version}: not authorized");
    }
    let server = Setup::new().section("engine", "{ sessions_max: 1 }").start();
    let _first = Client::connect(&server, Over::Tcp, Version::V5, "first");
    for version in OLD {
        assert_eq!(refusal(&server, version, &connect_bytes(version, "c")), [0x20, 2, 0, 3], "{version}: unavailable");
    }
}

/// What no return code says is said by closing (MQTT 3.1.1 §4.8).
#[test]
fn what_no_return_code_says_closes_without_a_word() {
    let server = Setup::new().start();
    for version in OLD {
        let mut malformed = connect_bytes(version, "c");
        malformed.push(b'x');
        malformed[1] += 1;
        assert!(refusal(&server, version, &malformed).is_empty(), "{version}");
    }
}

#[test]
fn mqtt_3_1_has_identifiers_of_1_to_23_characters() {
    let long = "a-name-of-24-characters-";
    let server = Setup::new().start();
    assert_eq!(refusal(&server, Version::V3, &connect_bytes(Version::V3, long)), [0x20, 2, 0, 2]);
    assert_eq!(refusal(&server, Version::V3, &connect_bytes(Version::V3, "")), [0x20, 2, 0, 2]);
    Client::connect(&server, Over::Wss, Version::V3, &long[..23]);
    Client::connect(&server, Over::Tcp, Version::V4, long);
    let lenient = Setup::new().section("mqtt", "{ long_client_ids: true }").start();
    Client::connect(&lenient, Over::Tcp, Version::V3, long);
}

/// MQTT 3.1 §3.9 has no failure; mosquitto answers in the same way. 3.1.1 has 0x80 ([MQTT-3.9.3-2]).
#[test]
fn a_denied_subscription_is_0x80_in_3_1_1_alone() {
    let server = Setup::new().policy(POLICY.replace("\"*\"", "anonymous").as_str()).start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for (version, code) in [(Version::V3, 1), (Version::V4, 0x80)] {
        let mut client = Client::connect(&server, Over::Tcp, version, "client");
        client.send_bytes(b"\x82\x09\x00\x07\x00\x04shut\x01");
        while client.transport.received.len() < 5 {
            assert_eq!(client.transport.read_more(Instant::now() + PATIENCE), None);
        }
        assert_eq!(client.transport.received, [0x90, 3, 0, 7, code], "{version}");
        client.transport.received.clear();
        publisher.publish("shut", b"secret", QoS::AtLeastOnce, false);
        client.expect_nothing();
    }
}
