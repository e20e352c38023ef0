//! SECURITY A, "Body on Upgrade/GET, CL+TE, …" and "Handshake header bomb": requests on which two readers may disagree.

use super::*;

/// What follows a request that must be the last; it would be answered with a redirection.
const SECOND: &str = "GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn edge() -> Running {
    Running::start(&[Scheme::Http], |config| {
        config.routes.push(route("/second", RouteAction::Redirect { to: "/reached".into(), status: 302 }));
    })
}

fn with(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n")
}

#[tokio::test]
async fn each_is_refused_once_and_the_connection_closed() {
    let post = |fields: &str, body: &str| with(fields).replace("GET", "POST") + body;
    let corpus = [
        // Content that is framed twice, or in a way that not everybody reads.
        post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
        post("Content-Length: 0\r\nTransfer-Encoding: chunked", ""),
        post("Content-Length: 5\r\nContent-Length: 6", "hello"),
        post("Content-Length: 5\r\nContent-Length: 5", "hello"),
        post("Content-Length: 5, 5", "hello"),
        post("Content-Length: +5", "hello"),
        post("Content-Length: -1", ""),
        post("Content-Length: 0x5", "hello"),
        post("Content-Length: 99999999999999999999999", "hello"),
        post("Content-Length : 5", "hello"),
        post("Content-Length:", "hello"),
        post("Transfer-Encoding: xchunked", ""),
        post("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"),
        post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        post("Transfer-Encoding : chunked", "0\r\n\r\n"),
        post(" Transfer-Encoding: chunked", "0\r\n\r\n"),
        post("Transfer-Encoding:\u{b}chunked", "0\r\n\r\n"),
        post("X: y\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        "POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        // Content where there is none.
        with("Content-Length: 5") + "hello",
        with("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n",
        with("Content-Length: 44"),
        with("Transfer-Encoding: gzip, chunked"),
        // Lines that end or go on in unusual ways.
        with("X: a\r\n b"),
        with("X: a\r\n\tb"),
        with("X: a\nY: b"),
        with("X: a\rY: b"),
        with("X: a\0b"),
        "GET / HTTP/1.1\nHost: localhost\n\n".into(),
        "GET / HTTP/1.1\r\nHost: localhost\r\n\n".into(),
        "\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        // Names that are none.
        with("X Y: a"),
        with("X\u{e9}: a"),
        with(": a"),
        with("X"),
        with("(X): a"),
        // Host.
        "GET / HTTP/1.1\r\n\r\n".into(),
        with("Host: localhost"),
        with("Host: other"),
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: a/second\r\n\r\n".into(),
        // Targets and request lines.
        "GET http://other/ HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET https://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET ftp://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET / /second HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET / HTTP/1.2\r\nHost: localhost\r\n\r\n".into(),
        "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n".into(),
        "GET / http/1.1\r\nHost: localhost\r\n\r\n".into(),
        "G<T / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET /\r\n\r\n".into(),
        " GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
    ];
    let edge = edge();
    for request in &corpus {
        let answer = edge.ask(request.clone() + SECOND).await;
        assert_eq!(answers(&answer), 1, "{request:?}\n{answer}");
        let refused = ["400", "405", "501"].contains(&&answer[9..12]);
        assert!(refused && !answer.contains("/reached"), "{request:?}\n{answer}");
    }
    until(|| read(&edge.counters.connections_open) == 0).await;
}

#[tokio::test]
async fn splitting_a_refused_request_changes_nothing() {
    let edge = edge();
    let request = with("Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n" + SECOND;
    for split in (1..request.len()).step_by(7) {
        let mut stream = edge.connect(Scheme::Http).await;
        stream.write_all(&request.as_bytes()[..split]).await.expect("the edge reads");
        tokio::task::yield_now().await;
        let answer = ask(&mut stream, &request.as_bytes()[split..]).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answers(&answer) == 1, "{split}\n{answer}");
    }
}

/// A refusal does not wait for the end of a head that may never come.
#[tokio::test]
async fn an_unsound_head_is_refused_before_it_ends() {
    let edge = edge();
    let answer = edge.ask("GET / HTTP/1.1\nHost: localhost\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn heads_are_bounded_in_bytes_and_fields() {
    let edge = edge();
    let bombs = [
        with(&format!("X: {}", "a".repeat(1024 * 1024))),
        with(&format!("Origin: https://{}", "a".repeat(70_000))),
        with(&format!("Sec-WebSocket-Protocol: {}", " ".repeat(100_000))),
        with(&"X: a\r\n".repeat(10_000)),
        with(&"X: a\r\n".repeat(150)),
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(100_000)),
    ];
    for bomb in bombs {
        let answer = edge.ask(&bomb).await;
        let status = answer.get(9..12);
        assert!(matches!(status, Some("431" | "414" | "400")), "{:.60}\n{answer:.200}", bomb);
    }
    let mut large = String::from("X: a");
    for index in 0..90 {
        large += &format!("\r\nX-{index}: {}", "a".repeat(300));
    }
    let answer = edge.ask(with(&(large + "\r\nConnection: close"))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:.200}");
}
