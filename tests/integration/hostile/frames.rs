//! WebSocket framing (SECURITY B): claims, fragments, masks, reserved bits, control frames and closing.

use tidegate::mqtt::{Packet, Version};

use super::{ALLOCATOR_SLACK, unharmed};
use crate::harness::transport::{BINARY, CLOSE, CONTINUATION, Ending, PING, PONG, TEXT, frame};
use crate::harness::{Client, JsonClient, Over, Server, Setup, Transport, mqtt};

fn open(server: &Server) -> Transport {
    Transport::open(server, Over::Ws, "/mqtt", "mqtt")
}

/// What the server answers to these bytes after an upgrade: the code it closes with.
fn close_code(server: &Server, bytes: &[u8]) -> Ending {
    let mut transport = open(server);
    transport.write(bytes);
    transport.read_to_close()
}

/// A frame of these header bytes, masked with zeroes.
fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn every_violation_has_its_close_code() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let connect = mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(Version::V4, ""))), Version::V4);
    let mut unmasked = vec![0x82, connect.len() as u8];
    unmasked.extend_from_slice(&connect);
    let two = |first: &[u8], second: &[u8]| [first, second].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", unmasked, 1002),
        ("RSV1", raw(0xC2, &connect), 1002),
        ("RSV2", raw(0xA2, &connect), 1002),
        ("RSV3", raw(0x92, &connect), 1002),
        ("reserved opcode 3", raw(0x83, b""), 1002),
        ("reserved opcode 11", raw(0x8B, b""), 1002),
        ("a continuation of nothing", raw(0x80, b"x"), 1002),
        ("a message inside a message", two(&raw(0x02, &connect[..4]), &raw(0x82, &connect[4..])), 1002),
        ("a fragmented ping", raw(0x09, b""), 1002),
        ("a fragmented close", raw(0x08, b""), 1002),
        ("a ping over 125 bytes", frame(true, PING, &[0; 126]), 1002),
        ("a close over 125 bytes", frame(true, CLOSE, &[0x03; 130]), 1002),
        ("a close of one byte", raw(0x88, &[3]), 1002),
        ("close code 1005", raw(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close code 999", raw(0x88, &999_u16.to_be_bytes()), 1002),
        ("close code 5000", raw(0x88, &5000_u16.to_be_bytes()), 1002),
        ("a length not minimal, 16 bit", vec![0x82, 0xFE, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5], 1002),
        ("a length with the top bit", [&[0x82, 0xFF, 0x80][..], &[0; 7], &[0; 4]].concat(), 1002),
        ("a claim of 2^62", [&[0x82, 0xFF, 0x40][..], &[0; 7], &[0; 4]].concat(), 1009),
        ("text where MQTT belongs", frame(true, TEXT, b"hello"), 1003),
    ];
    for (what, bytes, code) in cases {
        let ending = close_code(&server, &bytes);
        // Two lengths that RFC 6455 §5.2 forbids and no browser writes: refused by their size, or read for what they mean, is as good.
        let lenient: &[u16] = match what {
            "a length not minimal, 16 bit" => &[1002, 1003, 1007, 1008],
            "a length with the top bit" => &[1002, 1009],
            _ => &[],
        };
        if lenient.iter().any(|&code| ending == Ending::Closed(Some(code))) {
            continue;
        }
        assert_eq!(ending, Ending::Closed(Some(code)), "{what}");
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn a_close_is_echoed_and_a_ping_answered() {
    let server = Setup::new().start();
    let mut transport = open(&server);
    transport.write_frame(true, PING, b"are you there");
    let pong = transport.read_frame().expect("a pong");
    assert_eq!((pong.opcode, pong.payload.as_slice()), (PONG, &b"are you there"[..]));
    transport.write_frame(true, PONG, b"unasked");
    transport.write_frame(true, CLOSE, &[3, 0xE8]);
    assert_eq!(transport.read_to_close(), Ending::Closed(Some(1000)));
    let (rest, _) = transport.read_to_end();
    assert!(rest.is_empty(), "nothing follows a close frame");
}

#[test]
fn frames_after_a_close_are_not_read() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let mut transport = open(&server);
    let mut bytes = frame(true, CLOSE, &[3, 0xE8]);
    let connect = mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(Version::V4, ""))), Version::V4);
    bytes.extend(frame(true, BINARY, &connect));
    transport.write(&bytes);
    let frame = transport.read_frame().expect("a close frame");
    assert_eq!(frame.opcode, CLOSE);
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn sixty_four_thousand_fragments_of_one_byte() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    // A PUBLISH of 64,000 bytes, each in a frame of its own, all one message.
    let mut client = Client::connect(&server, Over::Ws, Version::V4, "crumbs");
    client.subscribe("c", tidegate::mqtt::QoS::AtMostOnce);
    let payload = crate::harness::payload(64_000, false);
    let message = mqtt::publish("c", &payload, tidegate::mqtt::QoS::AtMostOnce, false, 0);
    let bytes = mqtt::bytes(&Packet::Publish(message), Version::V4);
    let mut frames = Vec::new();
    for (index, byte) in bytes.iter().enumerate() {
        let opcode = if index == 0 { BINARY } else { CONTINUATION };
        frames.extend(frame(index + 1 == bytes.len(), opcode, &[*byte]));
    }
    client.transport.write(&frames);
    client.expect_message("c", &payload);
    // Fragments that carry nothing, without an end.
    let mut transport = open(&server);
    let mut empty = frame(false, BINARY, b"");
    (0..100_000).for_each(|_| empty.extend(frame(false, CONTINUATION, b"")));
    transport.write(&empty);
    drop(transport);
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_is_held() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let mut clients: Vec<_> = (0..50).map(|_| JsonClient::open(&server, Over::Ws)).collect();
    for client in &mut clients {
        // 64 KiB of a claimed 2^40.
        let mut bytes = vec![0x81, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        bytes.extend([b'x'; 65_536]);
        client.transport.write(&bytes);
    }
    for mut client in clients {
        let ending = client.expect_closed();
        assert!(matches!(ending, Ending::Closed(Some(1009)) | Ending::Cut), "{ending:?}");
    }
    // Fragments that add up to more than the limit.
    let mut client = JsonClient::open(&server, Over::Ws);
    client.transport.write_frame(false, TEXT, &[b' '; 1 << 20]);
    client.transport.write_frame(false, CONTINUATION, &[b' '; 1 << 20]);
    client.transport.write_frame(false, CONTINUATION, &[b' '; 1 << 20]);
    let ending = client.expect_closed();
    assert!(matches!(ending, Ending::Closed(Some(1009)) | Ending::Cut), "{ending:?}");
    drop(client);
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn a_peer_that_vanishes_between_any_two_writes() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for over in Over::ALL {
        for round in 0..25 {
            let mut victim = Client::connect(&server, over, Version::V5, &format!("victim-{round}"));
            victim.subscribe("v/#", tidegate::mqtt::QoS::ExactlyOnce);
            publisher.send(&Packet::Publish(mqtt::publish("v/1", b"x", tidegate::mqtt::QoS::AtMostOnce, false, 0)));
            if round % 2 == 0 {
                victim.receive();
            }
            drop(victim);
            publisher.send(&Packet::Publish(mqtt::publish("v/2", b"x", tidegate::mqtt::QoS::AtMostOnce, false, 0)));
        }
    }
    publisher.expect_nothing();
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}
