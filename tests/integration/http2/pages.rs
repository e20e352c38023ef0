//! The same answers as over HTTP/1.1, and what servers behind see of it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use super::frames::{Connection, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, field};
use crate::harness::{PATIENCE, Server, Setup};

/// What curl gets, with what it says of the exchange; fields in order, without those of one connection and the date. Nothing as content is
/// said by its stream's end in HTTP/2.
fn curl(server: &Server, version: &str, path: &str, more: &[&str]) -> (Vec<String>, Vec<u8>) {
    let mut command = Command::new("curl");
    command.args(["-s", version, "-D", "/dev/stderr", "--cacert"]).arg(server.authority_file()).args(more);
    let output = command.arg(server.url("https", path)).output().expect("curl, which tests/run installs");
    assert!(output.status.success(), "{path} {more:?}: {output:?}");
    let head = String::from_utf8(output.stderr).expect("a head is text").to_ascii_lowercase();
    let mut lines: Vec<_> = head
        .lines()
        .map(|line| line.trim_end().to_owned())
        .filter(|line| {
            !line.is_empty() && !["date:", "connection:", "content-length: 0"].iter().any(|name| line.starts_with(name))
        })
        .collect();
    let (protocol, status) = lines[0].split_once(' ').expect("a status line");
    assert_eq!(protocol, if version == "--http2" { "http/2" } else { "http/1.1" });
    lines[0] = status.split(' ').next().unwrap_or_default().to_owned();
    lines.sort();
    (lines, output.stdout)
}

#[test]
fn curl_gets_the_same_by_either() {
    let server = Setup::new()
        .file("public/large", vec![b'x'; 3 << 20])
        .section(
            "routes",
            "\n  - { path: /mqtt, serve: mqtt }\n  - { path: /r, respond: hi, headers: [\"X-Own: 1\"], cors: { origins: any } }
  - { path: /to, redirect: /r, status: 308 }\n  - { path: /, files: ./public }",
        )
        .start();
    let cases: &[(&str, &[&str])] = &[
        ("/", &[]),
        ("/", &["-I", "-o", "/dev/null"]),
        ("/large", &[]),
        ("/large", &["-r", "-10"]),
        ("/large", &["-r", "9999999-"]),
        ("/nothing", &[]),
        ("/r", &["-H", "Origin: https://app.example"]),
        ("/r", &["-X", "OPTIONS", "-H", "Origin: https://a.example", "-H", "Access-Control-Request-Method: PUT"]),
        ("/to", &[]),
        ("/to", &["-d", "nobody reads this"]),
        ("/large", &["-d", "nor this"]),
        ("/%2e%2e/%2e%2e/etc/passwd", &[]),
    ];
    for (path, more) in cases {
        let (by_one, by_two) = (curl(&server, "--http1.1", path, more), curl(&server, "--http2", path, more));
        assert_eq!(by_one.0, by_two.0, "{path} {more:?}");
        assert!(by_one.1 == by_two.1, "{path} {more:?}: another body");
    }
}

#[test]
fn an_authority_that_is_none_is_refused() {
    let server = Setup::new().start();
    let mut connection = Connection::open(&server, &[]);
    let ask = |connection: &mut Connection, stream, fields: &[(&str, &str)]| {
        let block: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
        connection.send(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        let answer = connection.receive_for(stream);
        // RFC 7541 §A: 200 and 400 are the eighth and the twelfth of the static table.
        (answer.kind == HEADERS).then(|| answer.payload[0])
    };
    const OK: Option<u8> = Some(0x88);
    const BAD_REQUEST: Option<u8> = Some(0x8C);
    let get = [(":method", "GET"), (":scheme", "https"), (":path", "/")];
    let with = |more: &[(&'static str, &'static str)]| [&get[..], more].concat();
    assert_eq!(ask(&mut connection, 1, &with(&[(":authority", "localhost")])), OK);
    assert_eq!(ask(&mut connection, 3, &with(&[])), BAD_REQUEST, "none");
    assert_eq!(ask(&mut connection, 5, &with(&[("host", "localhost")])), OK, "Host in its place");
    assert_eq!(ask(&mut connection, 7, &with(&[(":authority", "localhost"), ("host", "other")])), BAD_REQUEST);
    assert_eq!(ask(&mut connection, 9, &with(&[("host", "a"), ("host", "b")])), BAD_REQUEST);
    assert_eq!(ask(&mut connection, 11, &with(&[(":authority", "u@localhost")])), BAD_REQUEST);
    for (index, name) in ["connection", "transfer-encoding", "upgrade", "keep-alive"].into_iter().enumerate() {
        let fields = with(&[(":authority", "localhost"), (name, "close")]);
        assert_eq!(ask(&mut connection, 13 + 2 * index as u32, &fields), None, "{name}: malformed (RFC 9113 §8.2.2)");
    }
}

/// A server behind that the test plays itself, and a server before it.
fn behind() -> (TcpListener, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let routes = format!("[{{ path: /, proxy: \"http://{}\" }}]", listener.local_addr().expect("it is bound"));
    (listener, Setup::new().section("routes", &routes).start())
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("the server connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
    stream
}

/// Reads as far as `end`.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&bytes)));
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).expect("text")
}

#[test]
fn content_streams_both_ways() {
    let (listener, server) = behind();
    let mut connection = Connection::open(&server, &[]);
    let mut block = connection.request("POST", "/up?a=b");
    for (name, value) in [("cookie", "a=b"), ("cookie", "c=d"), ("te", "trailers"), ("x-forwarded-for", "1.1.1.1")] {
        block.extend(field(name, value));
    }
    connection.send(HEADERS, END_HEADERS, 1, &block);
    connection.send(DATA, 0, 1, b"one");
    let mut upstream = accept(&listener);
    let head = read_until(&mut upstream, "\r\n\r\n").to_ascii_lowercase();
    assert!(head.starts_with("post /up?a=b http/1.1\r\n"), "{head}");
    let authority = format!("\r\nhost: localhost:{}\r\n", server.address("https").port());
    let expected = [
        &authority,
        "\r\ncookie: a=b; c=d\r\n",
        "\r\nx-forwarded-proto: https\r\n",
        "\r\ntransfer-encoding: chunked\r\n",
    ];
    for line in expected.into_iter().chain(["\r\nx-forwarded-for: 127.0.0.1\r\n"]) {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    assert!(!head.contains("\r\nte:"), "{head}");
    read_until(&mut upstream, "3\r\none\r\n");
    connection.send(DATA, END_STREAM, 1, b"two");
    read_until(&mut upstream, "3\r\ntwo\r\n0\r\n\r\n");
    // Events, each as it comes.
    upstream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let answer = connection.wait_for(HEADERS);
    assert_eq!((answer.payload[0], answer.flags & END_STREAM), (0x88, 0));
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        upstream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).unwrap();
        let data = connection.wait_for(DATA);
        assert_eq!((data.payload.as_slice(), data.flags), (event.as_bytes(), 0));
    }
    upstream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(connection.wait_for(DATA).flags, END_STREAM);
}

#[test]
fn an_answer_that_is_cut_never_ends() {
    let (listener, server) = behind();
    for framing in ["Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n", "Content-Length: 10\r\n\r\none"] {
        let mut connection = Connection::open(&server, &[]);
        connection.get(1, "/");
        let mut upstream = accept(&listener);
        read_until(&mut upstream, "\r\n\r\n");
        upstream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}").as_bytes()).unwrap();
        let data = connection.wait_for(DATA);
        assert_eq!((data.payload.as_slice(), data.flags), (&b"one"[..], 0));
        drop(upstream);
        let next = connection.receive_for(1);
        assert_eq!(next.kind, RST_STREAM, "{next:?}");
        assert_ne!(next.payload, [0, 0, 0, 0], "no NO_ERROR");
    }
}

#[test]
fn an_upload_that_is_taken_back_never_looks_whole() {
    let (listener, server) = behind();
    for length in [None, Some("10")] {
        let mut connection = Connection::open(&server, &[]);
        let mut block = connection.request("POST", "/");
        block.extend(length.iter().flat_map(|length| field("content-length", length)));
        connection.send(HEADERS, END_HEADERS, 1, &block);
        connection.send(DATA, 0, 1, b"part");
        let mut upstream = accept(&listener);
        read_until(&mut upstream, "part");
        connection.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = upstream.read_to_end(&mut rest);
        assert!(matches!(rest.as_slice(), b"" | b"\r\n"), "{:?}", String::from_utf8_lossy(&rest));
    }
}

/// curl before version 8 and Node.js take an answer that comes beside the reset of its stream for a cut one.
#[test]
fn an_answer_that_comes_before_the_content_has_ended_is_read_before_the_stream_is_reset() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound");
    let server = Setup::new()
        .section(
            "routes",
            &format!(
                "\n  - {{ path: /, proxy: \"http://{nobody}\" }}\n  - {{ path: /small, proxy: {{ to: \"http://{nobody}\", body_bytes_max: 9B }} }}"
            ),
        )
        .start();
    for (path, length) in [("/", None), ("/small", None), ("/small", Some("200000"))] {
        let mut connection = Connection::open(&server, &[]);
        let mut block = connection.request("POST", path);
        block.extend(length.into_iter().flat_map(|length| field("content-length", length)));
        connection.send(HEADERS, END_HEADERS, 1, &block);
        for _ in 0..3 {
            connection.send(DATA, 0, 1, &[b'x'; 16384]);
        }
        assert_eq!(connection.receive_for(1).kind, HEADERS, "{path}");
        while connection.receive_for(1).flags & END_STREAM == 0 {}
        connection.send(PING, 0, 0, b"question");
        loop {
            let frame = connection.receive().expect("the connection stays");
            assert_ne!(frame.kind, RST_STREAM, "{path} {length:?}");
            if frame.kind == PING {
                break;
            }
        }
        // Who goes on all the same is stopped.
        assert_eq!(connection.receive_for(1).kind, RST_STREAM, "{path} {length:?}");
    }
}

#[test]
fn an_upload_that_stops_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("it is bound");
    let routes = format!("[{{ path: /, proxy: {{ to: \"http://{to}\", body_timeout: 300ms }} }}]");
    let server = Setup::new().section("routes", &routes).start();
    let mut connection = Connection::open(&server, &[]);
    let block = connection.request("POST", "/");
    connection.send(HEADERS, END_HEADERS, 1, &block);
    connection.send(DATA, 0, 1, b"part");
    let mut upstream = accept(&listener);
    let answer = connection.receive_for(1);
    assert!(answer.kind == HEADERS && answer.payload[0] != 0x88, "{answer:?}");
    let mut sent = String::new();
    let _ = upstream.read_to_string(&mut sent);
    assert!(!sent.ends_with("0\r\n\r\n"), "{sent}");
}

#[test]
fn a_websocket_goes_on_to_a_server_behind() {
    let (listener, server) = behind();
    let mut connection = Connection::open(&server, &[]);
    let mut block = connection.request("CONNECT", "/ws?a");
    for (name, value) in
        [(":protocol", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")]
    {
        block.extend(field(name, value));
    }
    connection.send(HEADERS, END_HEADERS, 1, &block);
    let mut upstream = accept(&listener);
    let head = read_until(&mut upstream, "\r\n\r\n");
    assert!(head.starts_with("GET /ws?a HTTP/1.1\r\n"), "{head}");
    let value =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default();
    assert_eq!((value("upgrade"), value("connection")), ("websocket", "upgrade"));
    assert_eq!(value("sec-websocket-protocol"), "chat");
    let accept = tungstenite::handshake::derive_accept_key(value("sec-websocket-key").as_bytes());
    let agreed = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\nearly"
    );
    upstream.write_all(agreed.as_bytes()).unwrap();
    assert_eq!(connection.wait_for(HEADERS).payload[0], 0x88, "200, as nothing is switched");
    assert_eq!(connection.wait_for(DATA).payload, b"early");
    connection.send(DATA, 0, 1, b"there");
    read_until(&mut upstream, "there");
    server.wait_for_metric("tidegate_edge_proxy_tunnels_open", |count| count == 1.0);
    connection.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let mut rest = Vec::new();
    let _ = upstream.read_to_end(&mut rest);
    drop(upstream);
    server.wait_for_metric("tidegate_edge_proxy_tunnels_open", |count| count == 0.0);
}

#[test]
fn a_server_behind_that_opens_no_websocket_is_not_taken_for_one() {
    let (listener, server) = behind();
    let mut connection = Connection::open(&server, &[]);
    for (stream, answer) in [
        (1, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        (
            3,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        ),
        (5, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
    ] {
        let mut block = connection.request("CONNECT", "/ws");
        block.extend([field(":protocol", "websocket"), field("sec-websocket-version", "13")].concat());
        connection.send(HEADERS, END_HEADERS, stream, &block);
        let mut upstream = accept(&listener);
        read_until(&mut upstream, "\r\n\r\n");
        upstream.write_all(answer.as_bytes()).unwrap();
        let answer = connection.receive_for(stream);
        assert!(answer.kind == HEADERS && answer.payload[0] != 0x88, "{stream}: {answer:?}");
    }
}

#[test]
fn a_drain_lets_requests_end_and_says_so() {
    let (listener, mut server) = behind();
    let mut connection = Connection::open(&server, &[]);
    connection.get(1, "/");
    let mut upstream = accept(&listener);
    read_until(&mut upstream, "\r\n\r\n");
    server.signal("TERM");
    connection.wait_for(super::frames::GOAWAY);
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    assert_eq!(connection.wait_for(DATA).payload, b"hi");
    assert!(matches!(connection.end(), None | Some(0)), "in order");
    assert_eq!(server.wait_for_exit(), Some(0));
}
