//! Tidegate where nginx stands: the same site before the same server, asked the same, and what both answer compared.
//!
//! Compared is what a client sees (statuses, fields that matter, content, whether it is whole) and what the server behind sees (request
//! line, fields, content). Where they differ, [`differences`] says why. A difference that is not listed there fails the test, and so does
//! one that is listed and no longer seen.

mod behind;
mod corpus;
mod differences;
mod files;
mod imported;
mod origins;
mod seen;
mod sites;
mod streams;

use behind::Behind;
use corpus::Case;
use sites::{Nginx, tidegate};

use super::harness::transport::Ending;
use super::harness::{Setup, Transport};

/// What a client and the server behind saw, a line each.
fn transcript(address: std::net::SocketAddr, behind: &Behind, case: &Case) -> Vec<String> {
    behind.forget();
    let mut transport = Transport::tcp(address);
    transport.write(&case.bytes);
    if case.is_finished {
        transport.finish();
    }
    let (bytes, _) = transport.read_to_end();
    let mut lines = seen::by_client(&bytes, case.is_head(), address);
    lines.extend(behind.seen());
    lines.into_iter().map(shortened).collect()
}

/// What is long is so by repetition.
fn shortened(line: String) -> String {
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}… ({} bytes)", &line[..end], line.len()),
        None => line,
    }
}

#[test]
fn what_nginx_answers_tidegate_answers() {
    let behind = Behind::start();
    let nginx = Nginx::start(&behind);
    let tidegate = tidegate(&behind);
    let cases = corpus::cases();
    assert!(cases.len() >= 500, "{} are few", cases.len());
    let shown = cases.iter().map(|case| {
        let theirs = transcript(nginx.address(), &behind, case);
        (case.name.clone(), theirs, transcript(tidegate.address("http"), &behind, case))
    });
    differences::judge("proxied.txt", shown.collect());
}

/// An upload that breaks off never looks complete to the server, and an answer that does, never to the client.
#[test]
fn what_breaks_off_is_seen_to() {
    let behind = Behind::start();
    let tidegate = tidegate(&behind);
    for cut in [
        "POST /raw/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n01234",
        "POST /raw/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let mut transport = Transport::tcp(tidegate.address("http"));
        transport.write(cut.as_bytes());
        transport.finish();
        transport.read_to_end();
        behind.wait_for_cut();
        assert_eq!(behind.seen(), Vec::<String>::new(), "{cut}");
    }
    tidegate.wait_for_metric("tidegate_edge_connections_open", |open| open == 0.0);
}

/// Where an answer ends with its connection, only a reset tells a cut one from a whole one.
#[test]
fn clients_without_chunks_see_a_cut_too() {
    let behind = Behind::start();
    let tidegate = tidegate(&behind);
    let ask = |target: &str| {
        let mut transport = Transport::tcp(tidegate.address("http"));
        transport.write(format!("GET {target} HTTP/1.0\r\nHost: a.test\r\n\r\n").as_bytes());
        let (bytes, ending) = transport.read_to_end();
        (String::from_utf8_lossy(&bytes).into_owned(), ending)
    };
    for (target, content, whole) in
        [("/raw/chunked", "hello", true), ("/raw/cut-chunked", "only ", false), ("/raw/chunks-broken", "ok", false)]
    {
        let (answer, ending) = ask(target);
        assert!(answer.ends_with(&format!("\r\n\r\n{content}")), "{target}: {answer:?}");
        assert_eq!(ending == Ending::Closed(None), whole, "{target}");
    }
}

#[test]
fn servers_are_reached_over_tls_and_sockets() {
    let behind = Behind::start();
    let secure = Setup::new().section("routes", "\n  - { path: /, respond: over TLS }").start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("app.sock");
    behind.listen_at(&socket);
    let port = secure.address("https").port();
    let (ca, socket) = (secure.authority_file(), socket.display().to_string());
    let routes = format!(
        "\n  - {{ path: /tls/, proxy: {{ to: \"https://localhost:{port}\", ca: {} }} }}\
         \n  - {{ path: /doubt/, proxy: \"https://localhost:{port}\" }}\
         \n  - {{ path: /socket/, proxy: \"unix:{socket}:/base/\" }}",
        ca.display()
    );
    let front = Setup::new().section("routes", &routes).start();
    let get = |path| super::harness::http::get(front.address("http"), path);
    assert_eq!(get("/tls/x").body, "over TLS\n");
    // Nobody vouches for it.
    assert_eq!(get("/doubt/x").status, 502);
    assert_eq!(get("/socket/x").status, 200);
    assert!(behind.seen()[0].starts_with("> GET /base/x HTTP/1.1"), "{:?}", behind.seen());
}
