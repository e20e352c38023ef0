//! The HTTP edge (SECURITY A): smuggling, header bombs, invalid values, Origin, subprotocols, and everything that is no upgrade.

use std::fmt::Write as _;

use super::{ALLOCATOR_SLACK, unharmed};
use crate::harness::http::{self, Answer};
use crate::harness::transport::{ACCEPT, BINARY, CLOSE, KEY, upgrade_request};
use crate::harness::{Over, Server, Setup, Transport};

fn host(server: &Server) -> String {
    server.address("http").to_string()
}

/// Sends one request to the plain listener and reads until the server closes.
fn ask(server: &Server, request: impl AsRef<[u8]>) -> Answer {
    http::ask(Transport::tcp(server.address("http")), request.as_ref())
}

/// The answer's head to an upgrade request with `more` header lines.
fn upgrade(server: &Server, more: &str) -> String {
    let mut transport = Transport::tcp(server.address("http"));
    transport.write(upgrade_request("/mqtt", &host(server), more).as_bytes());
    transport.read_head()
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {head:?}"))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[test]
fn smuggled_requests_reach_nobody() {
    let mut server = Setup::new().file("public/secret.txt", "the second request was routed").start();
    let before = server.memory_bytes();
    let host = host(&server);
    let second = format!("GET /secret.txt HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let length = second.len();
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n{body}");
    let chunked_end = format!("0\r\n\r\n{second}");
    let requests = [
        post(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &chunked_end),
        post(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), &chunked_end),
        post(&format!("Content-Length: {length}\r\nContent-Length: 0\r\n"), &second),
        post("Content-Length: 0, 5\r\n", &second),
        post("Content-Length: +5\r\n", &second),
        post("Content-Length: -1\r\n", &second),
        post("Content-Length: 0x5\r\n", &second),
        post("Content-Length: 5 5\r\n", &second),
        post("Content-Length: 99999999999999999999\r\n", &second),
        post("Content-Length:\r\n", &second),
        post("Transfer-Encoding: xchunked\r\n", &chunked_end),
        post("Transfer-Encoding: chunked, identity\r\n", &chunked_end),
        post("Transfer-Encoding: identity\r\n", &chunked_end),
        post("Transfer-Encoding: \x0bchunked\r\n", &chunked_end),
        post("Transfer-Encoding : chunked\r\n", &chunked_end),
        post(" Transfer-Encoding: chunked\r\n", &chunked_end),
        post("X: y\r\n Transfer-Encoding: chunked\r\n", &chunked_end),
        post("X: y\rTransfer-Encoding: chunked\r\n", &chunked_end),
        post("Transfer-Encoding: chunked\r\n", &format!("5\n\n{second}")),
        post("Transfer-Encoding: chunked\r\n", &format!("-1\r\n{second}")),
        post("Transfer-Encoding: chunked\r\n", &format!("FFFFFFFFFFFFFFFFF\r\n{second}")),
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked_end}"
        ),
        format!("GET / HTTP/1.1\nHost: {host}\nContent-Length: {length}\nTransfer-Encoding: chunked\n\n{chunked_end}"),
        format!("GET /\0 HTTP/1.1\r\nHost: {host}\r\n\r\n{second}"),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nA\0B: c\r\n\r\n{second}"),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nA: c\0d\r\n\r\n{second}"),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nno colon here\r\n\r\n{second}"),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\n: no name\r\n\r\n{second}"),
        format!("GET  / HTTP/1.1\r\nHost: {host}\r\n\r\n{second}"),
        format!("GET / HTTP/1.1 \r\nHost: {host}\r\n\r\n{second}"),
        format!("GET / HTTP/9.9\r\nHost: {host}\r\n\r\n{second}"),
        format!("GET / HTTP/1.1\r\n Host: {host}\r\n\r\n{second}"),
        format!("GET /\r\n{second}"),
        format!("G\u{e9}T / HTTP/1.1\r\nHost: {host}\r\n\r\n{second}"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\r\n\r\n\r\n\r\n\0\0\0\0".to_owned(),
    ];
    for request in &requests {
        let mut transport = Transport::tcp(server.address("http"));
        transport.write(request.as_bytes());
        transport.finish();
        let (bytes, _) = transport.read_to_end();
        let answer = String::from_utf8_lossy(&bytes);
        assert!(!answer.contains("the second request was routed"), "{request:?} was answered with {answer}");
        assert!(answer.is_empty() || status(&answer) >= 400, "{request:?} was answered with {answer}");
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn what_follows_an_upgrade_is_frames_or_nothing() {
    let mut server = Setup::new().file("public/secret.txt", "the second request was routed").start();
    let before = server.memory_bytes();
    let second = format!("GET /secret.txt HTTP/1.1\r\nHost: {}\r\n\r\n", host(&server));
    // An upgrade that succeeds: what follows is read as a frame, and `G` is none.
    let mut transport = Transport::tcp(server.address("http"));
    let request = upgrade_request("/mqtt", &host(&server), "Sec-WebSocket-Protocol: mqtt\r\n") + &second;
    transport.write(request.as_bytes());
    assert_eq!(status(&transport.read_head()), 101);
    let frame = transport.read_frame().expect("a close frame");
    assert_eq!((frame.opcode, &frame.payload[..2]), (CLOSE, &1002_u16.to_be_bytes()[..]));

    // Upgrades that fail: the connection ends with the answer.
    let refused = [
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 7"),
        (KEY, "short"),
        ("GET /mqtt", "GET /mqtt/../../mqtt"),
    ];
    for (good, bad) in refused {
        let mut transport = Transport::tcp(server.address("http"));
        let request = upgrade_request("/mqtt", &host(&server), "").replace(good, bad) + &second;
        transport.write(request.as_bytes());
        let (bytes, _) = transport.read_to_end();
        let answer = String::from_utf8_lossy(&bytes);
        assert!(status(&answer) >= 400, "{bad}: {answer}");
        assert!(!answer.contains("the second request was routed"), "{bad}: {answer}");
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn an_upgrade_is_correct_or_refused() {
    let server = Setup::new().start();
    let good = upgrade_request("/mqtt", &host(&server), "");
    let cases: [(&str, &str, u16); 14] = [
        ("GET ", "POST ", 405),
        ("HTTP/1.1", "HTTP/1.0", 400),
        (&format!("Sec-WebSocket-Key: {KEY}\r\n"), "", 400),
        (KEY, "dGhlIHNhbXBsZSBub25jZQ=", 400),
        (KEY, "dGhlIHNhbXBsZSBub25j", 400),
        (KEY, "!GhlIHNhbXBsZSBub25jZQ==", 400),
        (KEY, &format!("{KEY}\r\nSec-WebSocket-Key: {KEY}"), 400),
        ("Version: 13", "Version: 8", 426),
        ("Version: 13", "Version: 14", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Version: 13", "Version: 13\r\nContent-Length: 5", 400),
        ("Version: 13", "Version: 13\r\nTransfer-Encoding: chunked", 400),
        ("Connection: Upgrade\r\n", "", 426),
        ("Upgrade: websocket\r\n", "", 426),
    ];
    for (from, to, expected) in cases {
        let request = good.replace(from, to);
        let mut transport = Transport::tcp(server.address("http"));
        transport.write(request.as_bytes());
        transport.write(b"5\r\nhello\r\n0\r\n\r\n");
        transport.finish();
        let (bytes, _) = transport.read_to_end();
        let answer = String::from_utf8_lossy(&bytes);
        let found = status(&answer);
        let is_client_error = (400..500).contains(&found);
        assert!(is_client_error, "{from:?} → {to:?}: {answer}");
        if expected == 426 && !to.is_empty() {
            assert_eq!(found, 426, "{from:?} → {to:?}: {answer}");
            assert_eq!(field(&answer, "sec-websocket-version"), Some("13"), "{answer}");
        }
    }
    // What clients do write differently, and may.
    for (from, to) in [
        ("Upgrade: websocket", "Upgrade: WebSocket"),
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "connection: keep-alive\r\nCONNECTION: upgrade"),
        ("GET /mqtt ", "GET /mqtt?token=x "),
    ] {
        let mut transport = Transport::tcp(server.address("http"));
        transport.write(good.replace(from, to).as_bytes());
        let head = transport.read_head();
        assert_eq!(status(&head), 101, "{to:?}: {head}");
        assert_eq!(field(&head, "sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(field(&head, "sec-websocket-extensions"), None);
    }
}

#[test]
fn the_subprotocol_is_chosen_from_what_was_offered() {
    let server = Setup::new().start();
    let many = (0..100).map(|index| format!("p{index}")).collect::<Vec<_>>().join(", ");
    let cases: [(&str, Option<&str>); 8] = [
        ("", None),
        ("Sec-WebSocket-Protocol: mqtt\r\n", Some("mqtt")),
        ("Sec-WebSocket-Protocol: mqttv3.1\r\n", Some("mqttv3.1")),
        ("Sec-WebSocket-Protocol: mqtt, mqttv3.1\r\n", Some("mqtt")),
        ("Sec-WebSocket-Protocol: chat, mqtt\r\n", Some("mqtt")),
        ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: mqtt\r\n", Some("mqtt")),
        (&format!("Sec-WebSocket-Protocol: {many}, mqtt\r\n"), Some("mqtt")),
        (
            "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
            Some("mqttv3.1"),
        ),
    ];
    for (offer, chosen) in cases {
        let head = upgrade(&server, offer);
        assert_eq!(status(&head), 101, "{offer:?}: {head}");
        let found = field(&head, "sec-websocket-protocol");
        // Which of two that are both spoken is the server's choice (RFC 6455 §4.2.2).
        let is_either = offer.contains("mqttv3.1") && offer.contains("mqtt,") || offer.contains(", mqtt\r");
        assert!(found == chosen || is_either && found.is_some(), "{offer:?}: {head}");
        assert_eq!(field(&head, "sec-websocket-extensions"), None);
    }
    // A client that offers only what is not spoken here: an upgrade without a choice, which it may fail, or a clear refusal.
    let head = upgrade(&server, "Sec-WebSocket-Protocol: chat, superchat\r\n");
    assert!(status(&head) == 400 || field(&head, "sec-websocket-protocol").is_none(), "{head}");
}

#[test]
fn only_the_exact_origin_passes() {
    let server = Setup::new().start();
    let host = host(&server);
    let port = server.address("http").port();
    let passes = |origin: &str| status(&upgrade(&server, &format!("Origin: {origin}\r\n"))) == 101;
    assert!(passes(&format!("http://{host}")));
    assert_eq!(status(&upgrade(&server, "")), 101, "no page sent this");
    let long = "a".repeat(300);
    for origin in [
        "".to_owned(),
        "null".to_owned(),
        "http://".to_owned(),
        "http://127.0.0.1".to_owned(),
        format!("https://{host}"),
        format!("http://{host}0"),
        format!("http://{host}.evil.example"),
        format!("http://evil.example:{port}"),
        format!("http://127.0.0.1.evil.example:{port}"),
        format!("http://{host}/"),
        format!("http://{host}, http://evil.example"),
        format!("http://{long}.example"),
        format!("http://{host}\r\nOrigin: http://evil.example"),
        "http://evil.example".to_owned(),
        host.clone(),
        "\u{ff}\u{fe}".to_owned(),
    ] {
        assert!(!passes(&origin), "{origin:?} passed");
    }

    let list = "{ origins: [\"https://app.example\", \"https://other.example:8443\"] }";
    let server = Setup::new().section("websocket", list).start();
    let passes = |origin: &str| status(&upgrade(&server, &format!("Origin: {origin}\r\n"))) == 101;
    for (origin, expected) in [
        ("https://app.example", true),
        ("https://APP.example", true),
        ("https://app.example:443", true),
        ("https://other.example:8443", true),
        ("https://app.example.", false),
        ("https://app.example.evil.example", false),
        ("https://app.exampl", false),
        ("https://app", false),
        ("https://", false),
        ("http://app.example", false),
        ("https://other.example", false),
        ("https://x.app.example", false),
        ("https://app.example@evil.example", false),
    ] {
        assert_eq!(passes(origin), expected, "{origin}");
    }
}

#[test]
fn header_bombs_cost_little() {
    let mut server = Setup::new().section("limits", "{ http_head_timeout: 2s }").start();
    let before = server.memory_bytes();
    let one = format!("X-Bomb: {}\r\n", "x".repeat(1 << 20));
    let many = (0..10_000).fold(String::new(), |mut text, index| {
        write!(text, "X-{index}: y\r\n").expect("a String takes everything");
        text
    });
    let spaces = format!("Sec-WebSocket-Protocol: {}mqtt\r\n", " ".repeat(100_000));
    let commas = format!("Sec-WebSocket-Protocol: {}mqtt\r\n", ",".repeat(100_000));
    for bomb in [one, many, spaces, commas] {
        for _ in 0..20 {
            let mut transport = Transport::tcp(server.address("http"));
            transport.write(upgrade_request("/mqtt", &host(&server), &bomb).as_bytes());
            let (bytes, _) = transport.read_to_end();
            let answer = String::from_utf8_lossy(&bytes);
            // A server that closes with bytes unread sends a reset, and the answer may be lost with it.
            assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
        }
    }
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20));
    let mut transport = Transport::tcp(server.address("http"));
    transport.write(target.as_bytes());
    let (bytes, _) = transport.read_to_end();
    let answer = String::from_utf8_lossy(&bytes);
    assert!(answer.is_empty() || [414, 431].contains(&status(&answer)), "{answer}");
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn no_header_value_panics() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let names = [
        "Host",
        "Origin",
        "Cookie",
        "Authorization",
        "X-Forwarded-For",
        "Forwarded",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Key",
        "Upgrade",
        "Connection",
        "If-Modified-Since",
        "Range",
        "Accept-Encoding",
    ];
    let values: [&[u8]; 6] = [b"", b"\xff\xfe\x80", "\u{e9}".as_bytes(), b"\x7f", b"\t,,;;==\"", &[b'a'; 20_000]];
    for name in names {
        for value in values {
            for path in ["/mqtt", "/ws/", "/"] {
                for times in [1, 2] {
                    let mut request = format!(
                        "GET {path} HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
                         Sec-WebSocket-Version: 13\r\n"
                    );
                    if name != "Host" {
                        write!(request, "Host: {}\r\n", host(&server)).expect("a String takes everything");
                    }
                    let mut request = request.into_bytes();
                    for _ in 0..times {
                        request.extend_from_slice(name.as_bytes());
                        request.extend_from_slice(b": ");
                        request.extend_from_slice(value);
                        request.extend_from_slice(b"\r\n");
                    }
                    request.extend_from_slice(b"\r\n");
                    let mut transport = Transport::tcp(server.address("http"));
                    transport.write(&request);
                    transport.finish();
                    transport.read_to_end();
                }
            }
        }
    }
    let answer = ask(&server, b"GET /?\xff=\x80% HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.status >= 200, "{}", answer.head);
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn files_outside_the_root_stay_unseen() {
    let server = Setup::new().file("secret.txt", "outside").file("public/inside.txt", "inside").start();
    let get = |path: &str| ask(&server, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert_eq!(get("/inside.txt").status, 200);
    for path in [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/a/../../secret.txt",
        "/./../secret.txt",
        "//../secret.txt",
        "/..\\secret.txt",
        "/..%5csecret.txt",
        "/%00/../secret.txt",
        "/inside.txt%00.html",
        "/inside.txt/../../secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
    ] {
        let answer = get(path);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.head);
        assert!(!answer.body.contains("outside"), "{path}");
    }
    let outside = server.directory().join("secret.txt");
    let answer = get(outside.to_str().expect("an ASCII path"));
    assert!(!answer.body.contains("outside"));
}

#[test]
fn routes_that_are_no_files_answer_plain_requests_clearly() {
    let server = Setup::new().start();
    for path in ["/mqtt", "/ws/"] {
        let answer = ask(&server, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert!([400, 426].contains(&answer.status), "{path}: {}", answer.head);
    }
    let answer = ask(&server, "DELETE /index.html HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 405, "{}", answer.head);
    let answer = ask(&server, "GET /nothing/here HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 404, "{}", answer.head);
}

#[test]
fn plain_words_to_a_tls_listener_and_the_other_way_round() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    for scheme in ["https", "mqtts"] {
        let mut transport = Transport::tcp(server.address(scheme));
        transport.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        transport.read_to_end();
    }
    for scheme in ["http", "mqtt"] {
        let mut transport = Transport::tcp(server.address(scheme));
        transport.write(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
        transport.finish();
        transport.read_to_end();
    }
    // Alerts and nonsense in the middle of a TLS handshake.
    for garbage in
        [&[0x15, 3, 3, 0, 2, 1, 0][..], &[0x16, 3, 1, 0xFF, 0xFF], &[0x17, 3, 3, 0, 1, 0], &[0x80, 0x2E, 1, 0, 2]]
    {
        let mut transport = Transport::tcp(server.address("https"));
        transport.write(garbage);
        transport.finish();
        transport.read_to_end();
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn a_proxy_header_from_anybody_is_not_believed() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let second =
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0aQUIT\x0a\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x50\x00\x51";
    for scheme in ["mqtt", "http", "mqtts", "https"] {
        for header in [&b"PROXY TCP4 10.0.0.1 10.0.0.2 80 81\r\n"[..], second] {
            let mut transport = Transport::tcp(server.address(scheme));
            transport.write(header);
            if scheme == "mqtt" {
                transport.write(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00");
            } else {
                transport.write(b"GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n");
            }
            transport.finish();
            let (bytes, _) = transport.read_to_end();
            let answer = String::from_utf8_lossy(&bytes);
            assert!(!answer.starts_with("HTTP/1.1 2") && bytes.first() != Some(&0x20), "{scheme}: {answer:?}");
        }
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}

#[test]
fn a_websocket_that_is_cut_at_every_byte() {
    let mut server = Setup::new().start();
    let before = server.memory_bytes();
    let mut request = upgrade_request("/mqtt", &host(&server), "Sec-WebSocket-Protocol: mqtt\r\n").into_bytes();
    request.extend(crate::harness::transport::frame(true, BINARY, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"));
    for end in (0..request.len()).step_by(3) {
        let mut transport = Transport::tcp(server.address(Over::Ws.scheme()));
        transport.write(&request[..end]);
    }
    unharmed(&mut server, before, ALLOCATOR_SLACK);
}
