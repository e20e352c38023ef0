//! Clients that connect and say nothing, or stop in the middle of a word: they delay nobody, and they are dropped in time.

use std::time::{Duration, Instant};

use tidegate::mqtt::{Packet, QoS, Version};

use crate::harness::transport::{BINARY, frame, upgrade_request};
use crate::harness::{Client, JsonClient, Over, PATIENCE, Server, Setup, Transport, mqtt};

/// Every deadline of a handshake, in the server under test.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long who has been let in may stay silent, where no Keep Alive says so.
const IDLE: Duration = Duration::from_secs(5);

/// What the server may take beyond a deadline: its timers are coarse, and this machine may be busy.
const SLACK: Duration = Duration::from_secs(6);

fn setup() -> Setup {
    // Pages are pinged before they are thought dead, so the idle timeout is longer than the ping interval.
    Setup::new().section("websocket", "{ ping_interval: 1s }").section(
        "limits",
        "{ tls_handshake_timeout: 2s, http_head_timeout: 2s, http_idle_timeout: 2s, connect_timeout: 2s, idle_timeout: 5s, \
         close_timeout: 1s }",
    )
}

/// How far a client gets before it falls silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// After TCP's handshake.
    Connected,
    /// In the middle of a TLS ClientHello.
    HalfHello,
    /// After TLS' handshake.
    Secured,
    /// In the middle of an HTTP request head.
    HalfHead,
    /// After a WebSocket's opening handshake.
    Upgraded,
    /// In the middle of a WebSocket frame.
    HalfFrame,
    /// In the middle of CONNECT.
    HalfConnect,
    /// In the middle of a packet, after CONNECT.
    HalfPacket,
}

/// The steps there are on the listener for `over`.
fn steps(over: Over) -> Vec<Step> {
    let mut steps = vec![Step::Connected];
    if over.is_tls() {
        steps.extend([Step::HalfHello, Step::Secured]);
    }
    if over.is_websocket() {
        steps.extend([Step::HalfHead, Step::Upgraded, Step::HalfFrame]);
    }
    steps.extend([Step::HalfConnect, Step::HalfPacket]);
    steps
}

/// The first bytes of a TLS ClientHello: a record of 512 bytes that ends after 6.
const HALF_HELLO: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3];

fn connect_bytes() -> Vec<u8> {
    mqtt::bytes(&Packet::Connect(Box::new(mqtt::connect(Version::V4, ""))), Version::V4)
}

/// Goes as far as `step`, and no further.
fn fall_silent(server: &Server, over: Over, step: Step) -> Transport {
    let address = server.address(over.scheme());
    match step {
        Step::Connected => Transport::tcp(address),
        Step::HalfHello => {
            let mut transport = Transport::tcp(address);
            transport.write(&HALF_HELLO);
            transport
        }
        Step::Secured => Transport::connect(server, over),
        Step::HalfHead => {
            let mut transport = Transport::connect(server, over);
            transport.write(b"GET /mqtt HTTP/1.1\r\nHost: ");
            transport
        }
        Step::Upgraded => Transport::open(server, over, "/mqtt", "mqtt"),
        Step::HalfFrame => {
            let mut transport = Transport::open(server, over, "/mqtt", "mqtt");
            transport.write(&frame(true, BINARY, &connect_bytes())[..9]);
            transport
        }
        Step::HalfConnect => {
            let mut transport = Transport::open(server, over, "/mqtt", "mqtt");
            let half = &connect_bytes()[..7];
            if over.is_websocket() {
                transport.write_frame(true, BINARY, half)
            } else {
                transport.write(half)
            }
            transport
        }
        Step::HalfPacket => {
            let mut client = Client::connect(server, over, Version::V4, "");
            client.send_bytes(&[0x30, 100, 0, 1, b't']);
            client.transport
        }
    }
}

/// SECURITY A, "Handshake awaited in the accept loop".
#[test]
fn nobody_waits_for_the_silent() {
    // With the deadlines of the default, ten seconds and more: whoever waited for a silent client would wait that long.
    let server = Setup::new().start();
    let mut silent = Vec::new();
    for over in Over::ALL {
        for step in steps(over) {
            silent.extend((0..5).map(|_| fall_silent(&server, over, step)));
        }
        let start = Instant::now();
        for version in [Version::V4, Version::V5] {
            let mut client = Client::connect(&server, over, version, "talkative");
            client.subscribe("t", QoS::AtLeastOnce);
            client.publish("t", b"heard", QoS::AtMostOnce, false);
            client.expect_message("t", b"heard");
        }
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{over:?}: {took:?} beside {} silent clients", silent.len());
    }
}

#[test]
fn the_silent_are_dropped_in_time_at_every_step() {
    let server = setup().start();
    let mut silent = Vec::new();
    for over in Over::ALL {
        for step in steps(over) {
            silent.push((over, step, Instant::now(), fall_silent(&server, over, step)));
        }
    }
    for (over, step, since, mut transport) in silent {
        transport.read_to_end();
        let lasted = since.elapsed();
        let deadline = if step == Step::HalfPacket { IDLE } else { DEADLINE };
        assert!(lasted < deadline + SLACK, "{over:?} {step:?}: dropped only after {lasted:?}");
    }
}

#[test]
fn nobody_is_dropped_before_the_deadline() {
    let server = setup().start();
    for (over, step) in [
        (Over::Tcp, Step::Connected),
        (Over::Tls, Step::HalfHello),
        (Over::Tls, Step::Secured),
        (Over::Ws, Step::HalfHead),
        (Over::Wss, Step::Upgraded),
    ] {
        let since = Instant::now();
        let (_, _) = fall_silent(&server, over, step).read_to_end();
        let lasted = since.elapsed();
        assert!(lasted > DEADLINE.mul_f32(0.7), "{over:?} {step:?}: dropped after only {lasted:?}");
    }
}

/// Sends `bytes` one by one, a tenth of a second apart, until the server closes; returns how long that took.
fn drip(mut transport: Transport, bytes: &[u8]) -> Duration {
    let start = Instant::now();
    for &byte in bytes.iter().cycle() {
        transport.write(&[byte]);
        if transport.ends_within(Duration::from_millis(100)) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "the server takes one byte after another for ever");
    }
    start.elapsed()
}

/// SECURITY A, "Slowloris".
#[test]
fn one_byte_at_a_time_wins_no_time() {
    let server = setup().start();
    let hello: Vec<u8> = HALF_HELLO.into_iter().chain([0; 400]).collect();
    let lasted = drip(Transport::tcp(server.address("mqtts")), &hello);
    assert!(lasted < DEADLINE + SLACK, "TLS: {lasted:?}");
    let lasted = drip(Transport::tcp(server.address("https")), &hello);
    assert!(lasted < DEADLINE + SLACK, "HTTPS: {lasted:?}");

    let mut head = upgrade_request("/mqtt", "localhost", "");
    head.truncate(head.len() - 2);
    head.push_str("X-Slow: ");
    let head: Vec<u8> = head.bytes().chain([b'x'; 10_000]).collect();
    let mut transport = Transport::tcp(server.address("http"));
    transport.write(&head[..head.len() - 10_000]);
    let lasted = drip(transport, b"x");
    assert!(lasted < DEADLINE + SLACK, "an HTTP head: {lasted:?}");

    // A WebSocket frame of 125 bytes, and a PUBLISH of 100: both begun, neither ever done in time.
    let mut transport = Transport::open(&server, Over::Ws, "/mqtt", "mqtt");
    transport.write(&[0x82, 0xFD]);
    let lasted = drip(transport, &[0; 120]);
    assert!(lasted < DEADLINE + SLACK, "a frame: {lasted:?}");
    let mut client = Client::connect(&server, Over::Tcp, Version::V4, "");
    client.send_bytes(&[0x30, 0xFF, 0x7F, 0, 1, b't']);
    let lasted = drip(client.transport, b"x");
    assert!(lasted < IDLE + SLACK, "a packet: {lasted:?}");

    // CONNECT with a client identifier of 1,000 bytes.
    let mut connect = connect_bytes();
    connect[1..2].copy_from_slice(&[0xF4]);
    connect.insert(2, 7);
    let client_id = connect.len() - 2;
    connect[client_id..].copy_from_slice(&1000_u16.to_be_bytes());
    connect.extend([b'i'; 900]);
    let lasted = drip(Transport::tcp(server.address("mqtt")), &connect);
    assert!(lasted < DEADLINE + SLACK, "CONNECT: {lasted:?}");
}

#[test]
fn a_silent_json_client_is_pinged_and_dropped_if_it_does_not_answer() {
    let server = setup().start();
    let mut client = JsonClient::open(&server, Over::Wss);
    client.subscribe("/t");
    let since = Instant::now();
    let ping = client.transport.read_frame().expect("a ping");
    assert_eq!(ping.opcode, crate::harness::transport::PING);
    client.expect_closed();
    let lasted = since.elapsed();
    assert!(lasted < IDLE + SLACK, "{lasted:?}");
}

/// A half-open peer: what it was sent goes nowhere, and its Keep Alive would have it found only after a day.
#[test]
fn a_websocket_that_answers_no_ping_is_closed_whatever_its_keep_alive() {
    let server = Setup::new().section("websocket", "{ ping_interval: 1s, ping_timeout: 3s }").start();
    let connect = |client_id: &str| {
        let mut connect = mqtt::connect(Version::V5, client_id);
        connect.keep_alive_s = u16::MAX;
        Client::connect_with(&server, Over::Wss, connect)
    };
    let (mut silent, mut attentive) = (connect("silent"), connect("attentive"));
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(6) {
        let ping = attentive.transport.read_frame().expect("a ping, not the end");
        assert_eq!(ping.opcode, crate::harness::transport::PING);
        attentive.transport.write_frame(true, crate::harness::transport::PONG, &ping.payload);
    }
    server.wait_for_metric("tidegate_connection_pings_unanswered_total", |value| value == 1.0);
    silent.transport.read_to_end();
    assert!(since.elapsed() < Duration::from_secs(4) + SLACK, "{:?}", since.elapsed());
}

#[test]
fn whoever_answers_pings_stays() {
    let server = setup().start();
    let mut client = JsonClient::open(&server, Over::Wss);
    client.subscribe("/t");
    // Eight seconds: half as much again as the idle timeout.
    for _ in 0..8 {
        let ping = client.transport.read_frame().expect("a ping, not the end");
        assert_eq!(ping.opcode, crate::harness::transport::PING);
        client.transport.write_frame(true, crate::harness::transport::PONG, &ping.payload);
    }
    client.expect_nothing();
}

#[test]
fn the_oldest_silent_clients_make_room_for_the_new() {
    let server = Setup::new().section("limits", "{ handshaking_max: 20, handshake_age_min: 100ms }").start();
    let mut silent: Vec<_> = (0..60).map(|_| Transport::tcp(server.address("mqtt"))).collect();
    let mut client = Client::connect(&server, Over::Tcp, Version::V4, "new");
    client.expect_nothing();
    // The first of them was in the way and is gone, long before the ten seconds it could have had.
    let since = Instant::now();
    silent.remove(0).read_to_end();
    assert!(since.elapsed() < Duration::from_secs(5));
}
