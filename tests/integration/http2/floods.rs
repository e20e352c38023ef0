//! What takes HTTP/2 servers down, each against a server of its own: it ends that one connection, is counted, and nobody else notices.

use std::time::Instant;

use super::frames::{
    ACK, CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, text,
};
use crate::harness::{PATIENCE, Server, Setup, http};

const ENHANCE_YOUR_CALM: u32 = 0xB;

fn start(limits: &str) -> Server {
    Setup::new().section("limits", limits).file("public/large", vec![b'x'; 4 << 20]).start()
}

/// What is expected of a server whatever was done to it.
fn serves(server: &Server) {
    assert_eq!(http::get_tls(server.address("https"), "/").status, 200);
    let mut other = Connection::open(server, &[]);
    other.get(1, "/");
    let answer = other.wait_for(HEADERS);
    assert_eq!((answer.stream, answer.payload.first()), (1, Some(&0x88)), ":status 200 (RFC 7541 §A)");
}

fn refused(server: &Server, reason: &str) -> f64 {
    server.metric(&format!("tidegate_edge_http2_refused_total{{reason=\"{reason}\"}}"))
}

fn wait_for_refusal(server: &Server, reason: &str) {
    server.wait_for_metric(&format!("tidegate_edge_http2_refused_total{{reason=\"{reason}\"}}"), |count| count == 1.0);
}

#[test]
fn frames_that_ask_for_nothing_end_the_connection() {
    let floods: [(&str, Vec<u8>); 7] = [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PING nobody asked for", frame(PING, ACK, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("empty DATA", frame(DATA, 0, 1, &[])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("what nobody knows", frame(0xBE, 0, 0, &[1, 2, 3])),
    ];
    for (what, flood) in floods {
        let server = start("{ http2_control_frames_per_s: 10 }");
        let mut connection = Connection::open(&server, &[]);
        let block = connection.request("POST", "/");
        connection.send(HEADERS, END_HEADERS, 1, &block);
        connection.transport.write(&flood.repeat(10));
        connection.send(PING, 0, 0, b"are you?");
        while connection.wait_for(PING).flags & ACK == 0 {}
        connection.transport.write(&flood.repeat(2000));
        let reason = connection.end();
        assert!(matches!(reason, None | Some(ENHANCE_YOUR_CALM)), "{what}: {reason:?}");
        wait_for_refusal(&server, "control_frames");
        server.wait_for_line("reason=http2");
        serves(&server);
        server.wait_for_metric("tidegate_edge_http2_streams_open", |count| count == 0.0);
    }
}

#[test]
fn requests_taken_back_again_and_again_end_the_connection() {
    let server = start("{ http2_resets_per_s: 5 }");
    let mut connection = Connection::open(&server, &[]);
    let block = connection.request("GET", "/large");
    let rapid: Vec<u8> = (0..5000)
        .flat_map(|index| {
            let stream = 2 * index + 1;
            [frame(HEADERS, END_HEADERS | END_STREAM, stream, &block), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]
                .concat()
        })
        .collect();
    connection.transport.write(&rapid);
    connection.end();
    wait_for_refusal(&server, "resets");
    serves(&server);
    server.wait_for_metric("tidegate_edge_http2_streams_open", |count| count == 0.0);
}

#[test]
fn a_head_without_end_ends_the_connection() {
    for fragment in [&b""[..], &[0, 1, b'a', 1, b'b'].repeat(1000)] {
        let server = start("{ http2_control_frames_per_s: 1000 }");
        let before = server.memory_bytes();
        let mut connection = Connection::open(&server, &[]);
        let block = connection.request("GET", "/");
        connection.send(HEADERS, END_STREAM, 1, &block);
        connection.transport.write(&frame(CONTINUATION, 0, 1, fragment).repeat(20_000));
        connection.end();
        // Whichever of the library's limit and ours is met first.
        let deadline = Instant::now() + PATIENCE;
        while refused(&server, "violation") + refused(&server, "control_frames") < 1.0 {
            assert!(Instant::now() < deadline, "{} bytes at a time", fragment.len());
        }
        assert!(server.memory_bytes() < before + (16 << 20), "nothing of it is kept");
        serves(&server);
    }
}

#[test]
fn a_small_head_that_means_a_large_one_is_refused() {
    let server = start("{}");
    let before = server.memory_bytes();
    let mut connection = Connection::open(&server, &[]);
    let mut block = connection.request("GET", "/");
    // One field goes into the table, and is then named by its number, one byte each: 4,000 × 10,000 bytes.
    block.extend([&[0x40][..], &text("a"), &text(&"b".repeat(4000)), &[0xBE; 10_000]].concat());
    for stream in [1, 3, 5, 7] {
        connection.send(HEADERS, END_HEADERS | END_STREAM, stream, &block);
    }
    loop {
        match connection.receive() {
            // Indexed or not, the status is the first field, and 431 is in no table: it stands there as text.
            Ok(answer) if answer.kind == HEADERS => {
                assert_ne!(answer.payload.first(), Some(&0x88), "not 200");
                break;
            }
            Ok(frame) if frame.kind == RST_STREAM => break,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    assert!(server.memory_bytes() < before + (16 << 20), "{} more bytes", server.memory_bytes() - before);
    serves(&server);
}

#[test]
fn too_many_fields_are_refused_as_over_http_1() {
    let server = start("{ http_headers_max: 16 }");
    let mut connection = Connection::open(&server, &[]);
    let mut block = connection.request("GET", "/");
    for index in 0..20 {
        block.extend(super::frames::field(&format!("x{index}"), ""));
    }
    connection.send(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    let answer = connection.wait_for(HEADERS);
    assert!(answer.payload.windows(3).any(|text| text == b"431") || answer.payload.first() != Some(&0x88));
    connection.get(3, "/");
    let answer = connection.wait_for(HEADERS);
    assert_eq!((answer.stream, answer.payload.first()), (3, Some(&0x88)), "the next one is answered");
}

#[test]
fn whoever_reads_nothing_is_cut_and_costs_little() {
    let server = start("{ http_idle_timeout: 1s, http2_ping_interval: 0s }");
    let before = server.memory_bytes();
    // A window as large as can be: nothing but the socket holds the answers up.
    let mut connection = Connection::open(&server, &[(4, (1 << 31) - 1)]);
    connection.send(WINDOW_UPDATE, 0, 0, &0x7FFF_0000_u32.to_be_bytes());
    for index in 0..64 {
        connection.get(2 * index + 1, "/large");
    }
    wait_for_refusal(&server, "stalled");
    assert!(server.memory_bytes() < before + (48 << 20), "{} more bytes", server.memory_bytes() - before);
    serves(&server);
    server.wait_for_metric("tidegate_edge_http2_streams_open", |count| count == 0.0);
}

#[test]
fn an_answer_for_which_there_is_never_room_is_cut_alone() {
    let server = start("{ http_idle_timeout: 1s }");
    let mut connection = Connection::open(&server, &[(4, 0)]);
    connection.get(1, "/large");
    let reset = connection.wait_for(RST_STREAM);
    assert_eq!(reset.stream, 1);
    server.wait_for_metric("tidegate_edge_http2_streams_stalled_total", |count| count == 1.0);
    // The connection is still good for another request.
    connection.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xFF, 0xFF]);
    connection.get(3, "/");
    assert_eq!(connection.wait_for(HEADERS).stream, 3);
}

#[test]
fn a_head_that_drips_is_not_waited_for() {
    for is_begun in [false, true] {
        let server = start("{ http_head_timeout: 500ms }");
        let mut connection = Connection::connect(&server);
        if is_begun {
            connection = Connection::open(&server, &[]);
            connection.get(1, "/");
            connection.wait_for(HEADERS);
            let block = connection.request("GET", "/");
            connection.send(HEADERS, END_STREAM, 3, &block);
        }
        connection.end();
        server.wait_for_metric("tidegate_edge_http_head_timed_out_total", |count| count == 1.0);
    }
}

#[test]
fn a_connection_without_requests_is_told_goodbye() {
    let server = start("{ http_idle_timeout: 1s }");
    let mut connection = Connection::open(&server, &[]);
    connection.get(1, "/");
    connection.wait_for(HEADERS);
    assert_eq!(connection.end(), Some(0), "NO_ERROR");
}

#[test]
fn whoever_answers_no_ping_is_gone() {
    let server = start("{ http2_ping_interval: 100ms, http2_ping_timeout: 200ms }");
    let mut connection = Connection::open(&server, &[]);
    connection.get(1, "/");
    while connection.wait_for(PING).flags & ACK != 0 {}
    assert_eq!(connection.end(), Some(0), "NO_ERROR: it might have been the line");
}
