//! Pages of other origins: what they may read they may read of errors too, and caches are told that it depends on who asks.

use super::super::harness::{Setup, Transport, http};
use super::behind::Behind;

const PAGE: &str = "https://page.test";

#[test]
fn every_answer_says_whether_a_page_may_read_it() {
    let behind = Behind::start();
    let up = behind.address();
    // Whoever is asked there is gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let cors = format!("cors: {{ origins: [\"{PAGE}\"], credentials: true }}");
    let routes = format!(
        "\n  - {{ path: /api/, proxy: \"http://{up}\", {cors} }}\
         \n  - {{ path: /gone/, proxy: \"http://{gone}\", {cors} }}\
         \n  - {{ path: /said/, respond: said, status: 403, {cors} }}\
         \n  - {{ path: /old/, redirect: /new, {cors} }}\
         \n  - {{ path: /none/, files: \"{}\", {cors} }}",
        std::env::temp_dir().display()
    );
    let tidegate = Setup::new().section("routes", &routes).start();
    let ask = |line: &str, fields: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{fields}\r\n");
        http::ask(Transport::tcp(tidegate.address("http")), request.as_bytes())
    };
    for (line, fields, status) in [
        ("GET /api/x", "", 200),
        ("GET /api/304", "", 304),
        ("GET /api/401", "", 401),
        ("GET /api/404", "", 404),
        ("GET /api/500", "", 500),
        ("GET /api/no-http", "", 502),
        ("GET /gone/x", "", 502),
        ("TRACE /api/x", "", 405),
        ("POST /api/x", "Content-Length: 2000000\r\n", 413),
        ("GET /said/x", "", 403),
        ("GET /old/x", "", 301),
        ("GET /none/such-a-file", "", 404),
        ("DELETE /none/such-a-file", "", 405),
    ] {
        let answer = ask(line, &format!("{fields}Origin: {PAGE}\r\n"));
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.field("access-control-allow-origin"), Some(PAGE), "{line}: {}", answer.head);
        assert_eq!(answer.field("access-control-allow-credentials"), Some("true"), "{line}");
        for origin in ["", "Origin: https://other.test\r\n", "Origin: null\r\n"] {
            let other = ask(line, &format!("{fields}{origin}"));
            assert_eq!(other.field("access-control-allow-origin"), None, "{line} {origin}");
            assert_eq!(other.field("vary"), Some("Origin"), "{line} {origin}");
        }
    }
    let preflight = ask("OPTIONS /api/x", &format!("Origin: {PAGE}\r\nAccess-Control-Request-Method: PUT\r\n"));
    assert_eq!(preflight.status, 204);
    assert!(behind.seen().iter().all(|request| !request.starts_with("> OPTIONS")), "it was answered here");
}
