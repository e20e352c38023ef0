//! How the server ends a connection: DISCONNECT with the true reason in 5.0, nothing before it, and the right close code over a
//! WebSocket (MQTT 5.0 §3.14, §4.13; MQTT 3.1.1 §4.8; RFC 6455 §7.4.1).

use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::transport::{Ending, Frame, PING, PONG};
use crate::harness::{Client, Over, Server, Setup, mqtt};

const OVERS: [Over; 4] = Over::ALL;

/// The server must say `reason` to a 5.0 client, with words that hold `words`, and close; over a WebSocket with `code`.
fn expect_goodbye(client: &mut Client, over: Over, reason: ReasonCode, words: &str, code: u16) {
    if client.version() == Version::V5 {
        let Packet::Disconnect(disconnect) = client.receive() else { panic!("no DISCONNECT") };
        assert_eq!(disconnect.reason, reason);
        let said = disconnect.properties.reason_string.as_deref().unwrap_or_default();
        assert!(said.contains(words), "{said:?} does not say {words:?}");
    }
    let expected = Ending::Closed(over.is_websocket().then_some(code));
    assert_eq!(client.expect_closed(), expected, "{reason} over {over:?} in {}", client.version());
}

/// What a client that is connected may do to be sent away, and what it is told then.
struct Fault {
    what: &'static str,
    /// In 5.0.
    bytes: Vec<u8>,
    /// In 3.1.1, where it has the same fault.
    old_bytes: Option<Vec<u8>>,
    reason: ReasonCode,
    words: &'static str,
    close_code: u16,
}

fn faults() -> Vec<Fault> {
    let fault = |what, bytes: &[u8], old_bytes: Option<&[u8]>, reason, words, close_code| Fault {
        what,
        bytes: bytes.to_vec(),
        old_bytes: old_bytes.map(<[u8]>::to_vec),
        reason,
        words,
        close_code,
    };
    let publish =
        |id, version| mqtt::bytes(&Packet::Publish(mqtt::publish("t", b"", QoS::ExactlyOnce, false, id)), version);
    let three: Vec<u8> = (1..=3).flat_map(|id| publish(id, Version::V5)).collect();
    let connect = |version| mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(version, "again"))), version);
    let largest = &[0x30, 0xFF, 0xFF, 0xFF, 0x7F];
    let too_long = &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1];
    vec![
        fault(
            "QoS 3",
            &[0x36, 6, 0, 1, b't', 0, 1, 0],
            Some(&[0x36, 5, 0, 1, b't', 0, 1]),
            ReasonCode::MalformedPacket,
            "[MQTT-3.3.1-4]",
            1002,
        ),
        fault("a length of 34 GiB", too_long, Some(too_long), ReasonCode::MalformedPacket, "§1.5.5", 1002),
        fault(
            "a second CONNECT",
            &connect(Version::V5),
            Some(&connect(Version::V4)),
            ReasonCode::ProtocolError,
            "second CONNECT",
            1002,
        ),
        fault(
            "AUTH that nobody asked for",
            &[0xF0, 6, 0x19, 4, 0x15, 0, 1, b'x'],
            Some(&[0xF0, 0]),
            ReasonCode::ProtocolError,
            "AUTH",
            1002,
        ),
        fault(
            "an alias nobody set",
            &[0x30, 6, 0, 0, 3, 0x23, 0, 2],
            None,
            ReasonCode::ProtocolError,
            "Topic Alias 2 stands for no topic yet",
            1002,
        ),
        fault(
            "an alias above the maximum",
            &[0x30, 7, 0, 1, b't', 3, 0x23, 0, 17],
            None,
            ReasonCode::TopicAliasInvalid,
            "Topic Alias 17 is above the Topic Alias Maximum 16",
            1002,
        ),
        fault(
            "the alias 0",
            &[0x30, 7, 0, 1, b't', 3, 0x23, 0, 0],
            None,
            ReasonCode::TopicAliasInvalid,
            "[MQTT-3.3.2-8]",
            1002,
        ),
        fault(
            "a wildcard in a Topic Name",
            &[0x30, 4, 0, 1, b'#', 0],
            Some(&[0x30, 3, 0, 1, b'#']),
            ReasonCode::TopicNameInvalid,
            "[MQTT-3.3.2-2]",
            1002,
        ),
        fault(
            "a misplaced wildcard",
            &[0x82, 8, 0, 1, 0, 0, 2, b'a', b'#', 0],
            Some(&[0x82, 7, 0, 1, 0, 2, b'a', b'#', 0]),
            ReasonCode::TopicFilterInvalid,
            "[MQTT-4.7.1-1]",
            1002,
        ),
        // Refused at the header: not one byte of the body is sent.
        fault(
            "an announced size above the maximum",
            largest,
            Some(largest),
            ReasonCode::PacketTooLarge,
            "which is 2097152 bytes",
            1009,
        ),
        fault(
            "a third unreleased message",
            &three,
            None,
            ReasonCode::ReceiveMaximumExceeded,
            "Receive Maximum of 2 exceeded",
            1002,
        ),
        fault(
            "more filters than a SUBSCRIBE may have",
            &[0x82, 15, 0, 1, 0, 0, 1, b'a', 0, 0, 1, b'b', 0, 0, 1, b'c', 0],
            Some(&[0x82, 14, 0, 1, 0, 1, b'a', 0, 0, 1, b'b', 0, 0, 1, b'c', 0]),
            ReasonCode::QuotaExceeded,
            "more Topic Filters",
            1008,
        ),
    ]
}

#[test]
fn every_fault_is_told_by_its_name() {
    let server = Setup::new().section("engine", "{ inflight_max: 2 }").section("limits", "{ filters_max: 2 }").start();
    for over in OVERS {
        for fault in faults() {
            let old = fault.old_bytes.map(|bytes| (Version::V4, bytes));
            for (version, bytes) in [Some((Version::V5, fault.bytes)), old].into_iter().flatten() {
                println!("{} over {over:?} in {version}", fault.what);
                let mut client = Client::connect(&server, over, version, "faulty");
                client.send_bytes(&bytes);
                // Up to the fault everything is answered.
                if fault.reason == ReasonCode::ReceiveMaximumExceeded {
                    for _ in 0..2 {
                        assert!(matches!(client.receive(), Packet::PubRec(_)));
                    }
                }
                expect_goodbye(&mut client, over, fault.reason, fault.words, fault.close_code);
            }
        }
    }
    server.wait_for_metric("tidegate_connection_closed_total{reason=\"Topic Alias invalid\"}", |count| count == 8.0);
}

#[test]
fn whoever_is_taken_over_is_told_so() {
    let server = Setup::new().start();
    for over in OVERS {
        for version in [Version::V3, Version::V4, Version::V5] {
            let mut first = Client::connect(&server, over, version, "same");
            let _second = Client::connect(&server, Over::Tcp, version, "same");
            let words = "another connection uses this Client Identifier";
            expect_goodbye(&mut first, over, ReasonCode::SessionTakenOver, words, 1008);
        }
    }
}

#[test]
fn whoever_is_silent_too_long_is_told_so() {
    let server = Setup::new().start();
    let silent = |version, over| {
        let mut connect = mqtt::connect(version, &format!("{version}-{over:?}"));
        connect.keep_alive_s = 1;
        (over, Client::connect_with(&server, over, connect))
    };
    let clients: Vec<_> =
        OVERS.into_iter().flat_map(|over| [silent(Version::V4, over), silent(Version::V5, over)]).collect();
    for (over, mut client) in clients {
        expect_goodbye(&mut client, over, ReasonCode::KeepAliveTimeout, "Keep Alive", 1008);
    }
}

/// A client with a Keep Alive of 2 s that sends no packet, but answers the first `answered_max` pings, one a second; how many came, and
/// the frame after them.
fn only_answering(server: &Server, answered_max: usize) -> (usize, Frame) {
    let mut connect = mqtt::connect(Version::V5, "in the background");
    connect.keep_alive_s = 2;
    let mut client = Client::connect_with(server, Over::Wss, connect);
    let mut pings_count = 0;
    loop {
        let frame = client.transport.read_frame().expect("a ping or DISCONNECT");
        if frame.opcode != PING {
            return (pings_count, frame);
        }
        pings_count += 1;
        if pings_count <= answered_max {
            client.transport.write_frame(true, PONG, &frame.payload);
        }
    }
}

/// Browsers slow the timers of pages in the background, whose PINGREQ comes too late then.
#[test]
fn a_page_in_the_background_lives_on_by_its_pongs() {
    let server = Setup::new().section("websocket", "{ ping_interval: 1s }").start();
    let (pings_count, disconnect) = only_answering(&server, 5);
    assert!(pings_count > 5, "five pings take longer than one and a half times the Keep Alive");
    assert_eq!((disconnect.payload[0], disconnect.payload[2]), (0xE0, 0x8D), "DISCONNECT, Keep Alive timeout");
}

/// [MQTT-3.1.2-22] counts MQTT Control Packets: a browser answers pings for a page that hangs.
#[test]
fn pongs_are_no_packets_where_they_are_not_to_count() {
    let server = Setup::new().section("websocket", "{ ping_interval: 1s, pongs_keep_alive: false }").start();
    let (pings_count, disconnect) = only_answering(&server, usize::MAX);
    assert!((1..10).contains(&pings_count), "it was asked and answered, in vain: {pings_count}");
    assert_eq!((disconnect.payload[0], disconnect.payload[2]), (0xE0, 0x8D), "DISCONNECT, Keep Alive timeout");
}

#[test]
fn a_server_that_stops_tells_everybody() {
    let mut server = Setup::new().start();
    let client = |version, over| (over, Client::connect(&server, over, version, &format!("{version}-{over:?}")));
    let clients: Vec<_> =
        OVERS.into_iter().flat_map(|over| [client(Version::V4, over), client(Version::V5, over)]).collect();
    assert_eq!(server.terminate(), Some(0));
    for (over, mut client) in clients {
        expect_goodbye(&mut client, over, ReasonCode::ServerShuttingDown, "shutting down", 1012);
    }
}

/// MQTT 5.0 [MQTT-3.14.0-1]: a server says DISCONNECT to nobody whom it has not let in.
#[test]
fn before_connack_there_is_no_disconnect() {
    let server = Setup::new().section("limits", "{ connect_timeout: 1s }").start();
    let refused = |connect: Connect| {
        let (mut client, answer) = Client::try_connect(&server, Over::Tcp, connect);
        client.expect_closed();
        answer.reason
    };
    let mut unknown_method = mqtt::connect(Version::V5, "c");
    unknown_method.properties.authentication_method = Some("nobody-has-this".into());
    assert_eq!(refused(unknown_method), ReasonCode::BadAuthenticationMethod);
    let closes_without_a_word = |server: &Server, bytes: &[u8]| {
        let mut client = Client::open(server, Over::Tcp, Version::V5);
        client.send_bytes(bytes);
        assert!(client.transport.read_to_end().0.is_empty(), "{bytes:?}");
    };
    for bytes in [&[0xC0, 0][..], &[0x10, 0xFF, 0xFF, 0xFF, 0x7F], &[], &[0x10, 0x20, 0]] {
        closes_without_a_word(&server, bytes);
    }
}
