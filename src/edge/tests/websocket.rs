use super::tls::{client, connect, read_plaintext};
use super::*;
use crate::connection::{Protocol, Stream};

/// A browser's opening handshake, with `fields` beside the required ones.
fn handshake(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         User-Agent: Browser\r\nCache-Control: no-cache\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

#[tokio::test]
async fn a_websocket_is_opened_and_handed_over_bare() {
    let mut edge = Running::start(&[Scheme::Http], |_| {});
    for (path, offer, answer, protocol) in [
        ("/mqtt", "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n", Some("mqttv3.1"), Protocol::MqttWebSocket),
        ("/mqtt?x=1", "", None, Protocol::MqttWebSocket),
        ("/%6dqtt", "", None, Protocol::MqttWebSocket),
        ("/ws/", "Origin: http://localhost\r\n", None, Protocol::JsonWebSocket),
    ] {
        let mut stream = edge.connect(Scheme::Http).await;
        stream.write_all(handshake(path, offer).as_bytes()).await.expect("the edge reads");
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
        assert!(!head.contains("extensions") && !head.contains("content-length"), "{head}");
        let chosen = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(chosen, answer, "{path}");
        let accepted = edge.next_accepted().await;
        assert_eq!(accepted.protocol, protocol);
        assert!(accepted.early.is_empty() && accepted.early.capacity() == 0);
        assert!(matches!(accepted.stream, Stream::Plain(_)));
    }
    assert_eq!(read(&edge.counters.handed_over), 4);
}

/// SECURITY A, "Bytes after Upgrade before 101": they are WebSocket bytes, and a request among them is never routed.
#[tokio::test]
async fn bytes_after_the_head_belong_to_the_websocket() {
    let mut edge = Running::start(&[Scheme::Http], |_| {});
    for after in ["GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n", "\u{81}\u{85}\n\n\0GET", "\n"] {
        let mut stream = edge.connect(Scheme::Http).await;
        let all = handshake("/mqtt", "") + after;
        stream.write_all(all.as_bytes()).await.expect("the edge reads");
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101 "));
        let accepted = edge.next_accepted().await;
        assert_eq!(accepted.early, after.as_bytes());
    }
    assert_eq!(read(&edge.counters.http_requests), 3);
}

#[tokio::test]
async fn a_refused_upgrade_is_the_last_request_of_its_connection() {
    let edge = Running::start(&[Scheme::Http], |_| {});
    let second = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let sound = handshake("/mqtt", "");
    let cases = [
        (sound.replace("Version: 13", "Version: 12"), "426", "sec-websocket-version: 13"),
        (sound.replace("Upgrade: websocket", "Upgrade: h2c"), "426", "upgrade: websocket"),
        (sound.replace("keep-alive, Upgrade", "keep-alive"), "400", ""),
        (sound.replace("bm9uY2U", ""), "101", ""),
        (sound.replace("dGhlIHNhbXBsZSBub25jZQ==", "xx"), "400", ""),
        (sound.replace("GET /mqtt HTTP/1.1", "GET /mqtt HTTP/1.0"), "400", ""),
        (sound.replace("GET", "POST"), "405", "allow: GET"),
        (handshake("/mqtt", "Content-Length: 5\r\n") + "hello", "400", ""),
        (handshake("/mqtt", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", "400", ""),
        (handshake("/mqtt", "Origin: https://evil.example\r\n"), "403", ""),
        (handshake("/mqtt", "Origin: https://localhost\r\n"), "403", ""),
        (handshake("/mqtt", "Sec-WebSocket-Protocol: graphql-ws\r\n"), "400", ""),
        (handshake("/ws/", "Sec-WebSocket-Protocol: mqtt\r\n"), "400", ""),
        (handshake("/", ""), "200", ""),
        (handshake("/nothing", ""), "404", ""),
    ];
    for (request, status, field) in cases.iter().filter(|case| case.1 != "101") {
        let answer = edge.ask(request.clone() + second).await;
        assert!(answer.starts_with("HTTP/1.1 ") || answer.starts_with("HTTP/1.0 "), "{request}\n{answer}");
        assert_eq!(&answer[9..12], *status, "{request}\n{answer}");
        assert_eq!(answers(&answer), 1, "{request}\n{answer}");
        assert!(answer.contains(field), "{request}\n{answer}");
    }
    assert_eq!(read(&edge.counters.upgrades_refused_origin), 2);
    assert_eq!(read(&edge.counters.upgrades_refused_subprotocol), 2);
    assert_eq!(read(&edge.counters.handed_over), 0);
}

#[tokio::test]
async fn fields_that_are_no_text_harm_nobody() {
    let edge = Running::start(&[Scheme::Http], |_| {});
    for field in
        ["Host", "Origin", "Cookie", "X-Forwarded-For", "Sec-WebSocket-Protocol", "Sec-WebSocket-Key", "Upgrade"]
    {
        for value in [&b"\x80\xff\xfe"[..], b"", &[b'a'; 20_000], &[b' '; 20_000], b"\xc3\xa9,\xc3"] {
            let mut request = handshake("/mqtt", "").into_bytes();
            request.truncate(request.len() - 2);
            request.extend_from_slice(format!("{field}: ").as_bytes());
            request.extend_from_slice(value);
            request.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
            let mut stream = edge.connect(Scheme::Http).await;
            stream.write_all(&request).await.expect("the edge reads");
            let head = read_head(&mut stream).await;
            assert!(head.starts_with("HTTP/1.1 4") || head.starts_with("HTTP/1.1 101 "), "{field}: {head}");
        }
    }
    let answer = edge.ask(b"GET /?\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

#[tokio::test]
async fn a_visitor_may_become_a_client() {
    let mut edge = Running::start(&[Scheme::Http], |_| {});
    let mut stream = edge.connect(Scheme::Http).await;
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("the edge reads");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    stream.write_all(handshake("/ws/", "").as_bytes()).await.expect("the edge reads");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101 "));
    assert_eq!(edge.next_accepted().await.protocol, Protocol::JsonWebSocket);
}

#[tokio::test]
async fn a_websocket_over_tls_is_handed_over_with_what_was_decrypted() {
    let mut edge = Running::start(&[Scheme::Https], |_| {});
    let connector = client(&edge, &[b"http/1.1"], &[&rustls::version::TLS13]);
    let mut stream = connect(&edge, Scheme::Https, &connector, "localhost").await;
    let address = edge.address(Scheme::Https);
    let fields = format!("Origin: https://{address}\r\n");
    let request = handshake("/ws/", &fields).replace("Host: localhost", &format!("Host: {address}"));
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    stream.write_all(b"early").await.expect("the edge reads");
    stream.flush().await.expect("the stream is open");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101 "));
    let accepted = edge.next_accepted().await;
    let Stream::Tls(tcp, mut tls) = accepted.stream else { panic!("it is TLS") };
    let mut received = accepted.early;
    stream.write_all(b" and late").await.expect("the stream is open");
    stream.flush().await.expect("the stream is open");
    in_time(read_plaintext(&tcp, &mut tls, &mut received, 14)).await;
    assert_eq!(received, b"early and late");
}
