//! The packet table against the running server: what every row of a client is answered (MQTT 5.0 §4.13, MQTT 3.1.1 §4.8).
//!
//! What is accepted keeps the connection. What is refused ends it: in 5.0 after CONNACK or DISCONNECT with just the Reason Code of the
//! row, before 5.0 without a packet, but where CONNACK of that version has a return code for it.

use tidegate::mqtt::property::ConnectProperties;
use tidegate::mqtt::{Packet, ReasonCode, Version};

use self::cases::{Case, Expected, Served};
use super::OVER;
use crate::harness::transport::Ending;
use crate::harness::{Client, Over, Server, Setup, mqtt};
use crate::hostile::{ALLOCATOR_SLACK, unharmed};

#[path = "../../../src/mqtt/codec/cases.rs"]
mod cases;

#[test]
fn every_row_of_a_client_is_answered_as_the_table_says() {
    // A row comes as soon as the one before has been answered: whether its client has gone by then is the system's business.
    let mut server = Setup::new().section("limits", "{ takeovers_max: 1000000 }").start();
    let before = server.memory_bytes();
    for (over, size) in ways() {
        for case in cases::all().filter(|case| !case.is_from_server && !is_connect(case)) {
            let mut client = connect(&server, over, version(case));
            case.bytes.chunks(size).for_each(|piece| client.send_bytes(piece));
            match end(case) {
                Served::Taken => expect_service(&mut client, case),
                Served::Farewell => expect_end(&mut client, None, case),
                Served::Refused(reason) => expect_end(&mut client, Some(reason), case),
            }
        }
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn every_connect_of_the_table_is_answered_in_the_words_of_its_version() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    for (over, size) in ways() {
        for case in cases::all().filter(|case| !case.is_from_server && is_connect(case)) {
            // A name that is not MQTT's own is answered with nothing, a version to come as 3.1.1 would.
            let version = match case.name {
                "CONNECT, version 6" | "CONNECT, bridge bit in 5.0" => Version::V4,
                _ => version(case),
            };
            let mut client = Client::open(&server, over, version);
            case.bytes.chunks(size).for_each(|piece| client.send_bytes(piece));
            let reason = match end(case) {
                Served::Taken => {
                    assert_eq!(connack(&mut client, case), ReasonCode::Success as u8, "{}", case.name);
                    expect_service(&mut client, case);
                    continue;
                }
                Served::Refused(reason) => reason,
                Served::Farewell => panic!("{} is no farewell", case.name),
            };
            let is_told = match version {
                Version::V5 => is_known_as_5(case),
                // Return codes 1 to 5 are all there is, and only 1 is said of a packet that cannot be read ([MQTT-3.1.4-1]).
                // What is not MQTT by its name is told nothing.
                Version::V3 | Version::V4 => {
                    reason == ReasonCode::UnsupportedProtocolVersion as u8 && has_name_of_mqtt(case)
                }
            };
            if is_told {
                assert_eq!(connack(&mut client, case), reason, "{}", case.name);
            }
            let ending = client.try_receive();
            assert!(matches!(ending, Err(Ending::Closed(_))), "{} over {over:?}: {ending:?}", case.name);
        }
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

/// What a row is sent over, and in pieces of how many bytes: all at once, and one by one, each in a frame of its own.
fn ways() -> impl Iterator<Item = (Over, usize)> {
    OVER.into_iter().flat_map(|over| [(over, usize::MAX), (over, 1)])
}

/// Whether as much of CONNECT can be read as tells that it is one of 5.0; a wrong fixed header is refused before.
fn is_known_as_5(case: &Case) -> bool {
    case.bytes[0] == 0x10 && case.bytes.get(2..9).is_some_and(|head| head == b"\x00\x04MQTT\x05")
}

fn has_name_of_mqtt(case: &Case) -> bool {
    case.bytes.get(4..8) == Some(b"MQTT") || case.bytes.get(4..10) == Some(b"MQIsdp")
}

fn is_connect(case: &Case) -> bool {
    case.bytes[0] >> 4 == 1
}

fn version(case: &Case) -> Version {
    match case.version {
        3 => Version::V3,
        4 => Version::V4,
        _ => Version::V5,
    }
}

/// A connection whose session may be kept, so that DISCONNECT may say for how long.
fn connect(server: &Server, over: Over, version: Version) -> Client {
    let mut connect = mqtt::connect(version, "table");
    if version == Version::V5 {
        connect.properties = ConnectProperties { session_expiry_interval_s: Some(10), ..ConnectProperties::default() };
    }
    Client::connect_with(server, over, connect)
}

fn end(case: &Case) -> Served {
    match case.expected {
        Expected::Packet | Expected::Respelled => case.served,
        Expected::Refused(reason, _) => Served::Refused(reason),
    }
}

/// The connection is there: it answers a ping, whatever it answers the row with before.
fn expect_service(client: &mut Client, case: &Case) {
    client.send(&Packet::PingReq);
    loop {
        match client.try_receive() {
            Ok(Packet::PingResp) => return,
            Ok(Packet::Disconnect(disconnect)) => panic!("{}: {disconnect:?}", case.name),
            Ok(_) => {}
            Err(ending) => panic!("{}: {ending:?} instead of service", case.name),
        }
    }
}

/// The connection ends, in 5.0 with `reason` if there is one, and otherwise without a word.
fn expect_end(client: &mut Client, reason: Option<u8>, case: &Case) {
    if let (Version::V5, Some(reason)) = (client.version(), reason) {
        match client.try_receive() {
            Ok(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason as u8, reason, "{}", case.name),
            other => panic!("{}: {other:?} instead of DISCONNECT {reason:#04x}", case.name),
        }
    }
    let ending = client.try_receive();
    assert!(matches!(ending, Err(Ending::Closed(_))), "{}: {ending:?} instead of the end", case.name);
}

fn connack(client: &mut Client, case: &Case) -> u8 {
    match client.try_receive() {
        Ok(Packet::ConnAck(answer)) => {
            assert!(!answer.session_present, "{}: [MQTT-3.2.2-6]", case.name);
            answer.reason as u8
        }
        other => panic!("{}: {other:?} instead of CONNACK", case.name),
    }
}
