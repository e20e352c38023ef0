//! Tidegate where nginx stands: the same site before the same server, asked the same, and what both answer compared.
//!
//! Compared is what a client sees (statuses, fields that matter, content, whether it is whole) and what the server behind sees (request
//! line, fields, content). Where they differ, [`differences`] says why. A difference that is not listed there fails the test, and so does
//! one that is listed and no longer seen.

mod behind;
mod corpus;
mod differences;
mod imported;
mod seen;
mod sites;

use std::fmt::Write as _;

use behind::Behind;
use corpus::Case;
use sites::{Nginx, tidegate};

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
    lines
}

#[test]
fn what_nginx_answers_tidegate_answers() {
    let behind = Behind::start();
    let nginx = Nginx::start(&behind);
    let tidegate = tidegate(&behind);
    let cases = corpus::cases();
    assert!(cases.len() >= 150, "{} are few", cases.len());
    let mut verdict = String::new();
    let mut listed = 0;
    for case in &cases {
        let theirs = transcript(nginx.address(), &behind, case);
        let ours = transcript(tidegate.address("http"), &behind, case);
        let known = differences::DIFFERENCES.iter().find(|row| row.case == case.name);
        listed += usize::from(known.is_some());
        let expected = match known {
            None => theirs == ours,
            Some(known) => theirs.join("\n") == known.nginx && ours.join("\n") == known.tidegate,
        };
        if !expected {
            let what = known.map_or("not listed", |known| known.why);
            writeln!(verdict, "{} ({what})\n{}", case.name, String::from_utf8_lossy(&case.bytes)).expect("a String");
            writeln!(verdict, "nginx:\n{}\ntidegate:\n{}\n", theirs.join("\n"), ours.join("\n")).expect("a String");
        }
    }
    assert!(verdict.is_empty(), "{verdict}");
    assert_eq!(listed, differences::DIFFERENCES.len(), "a row names no case");
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
