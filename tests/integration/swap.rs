//! Routes that change under running connections: what is under way ends as it began, and what comes next finds the new ones.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use serde_json::json;

use crate::harness::transport::upgrade_request;
use crate::harness::{JsonClient, Over, PATIENCE, Server, Setup, Transport, http};

/// A server behind, whose every byte the test writes itself.
struct Behind(TcpListener);

/// A connection to it.
struct Visit(BufReader<TcpStream>);

impl Behind {
    fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket")
    }

    /// The next connection; there must be one, or be one soon.
    fn accept(&self) -> Visit {
        self.0.set_nonblocking(true).expect("a socket");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok((stream, _)) = self.0.accept() {
                stream.set_nonblocking(false).expect("a socket");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                return Visit(BufReader::new(stream));
            }
            assert!(Instant::now() < deadline, "nobody connects");
            std::thread::yield_now();
        }
    }
}

impl Visit {
    /// A request's head.
    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).expect("a head") > 0, "cut in the head: {head:?}");
        }
        head
    }

    fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).expect("so many bytes");
        bytes
    }

    fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("somebody reads");
    }
}

const BESIDE: &str = "{ path: /beside, respond: old }";

/// What is under `/`, and one route beside it.
fn routes(behind: &Behind, beside: &str) -> String {
    format!("\n  - {{ path: /, proxy: \"http://{}\" }}\n  - {beside}", behind.address())
}

fn start(behind: &Behind) -> Server {
    let setup = Setup::new().listeners(["http://127.0.0.1:0"]).section("reload", "{ watch: false }");
    setup.section("routes", &routes(behind, BESIDE)).start()
}

/// Writes other routes into the configuration, and reads it again.
pub(crate) fn swap(server: &Server, old: &str, new: &str) -> bool {
    let path = server.directory().join("tidegate.yaml");
    let written = std::fs::read_to_string(&path).expect("the configuration");
    assert!(written.contains(old), "{written}");
    std::fs::write(&path, written.replace(old, new)).expect("a writable file");
    server.reload()
}

fn read_until(transport: &mut Transport, end: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(at) = transport.received.windows(end.len()).position(|window| window == end.as_bytes()) {
            let bytes = transport.received.drain(..at + end.len()).collect();
            return String::from_utf8(bytes).expect("text");
        }
        let ending = transport.read_more(deadline);
        assert!(ending.is_none(), "ended before {end:?}: {:?}", String::from_utf8_lossy(&transport.received));
    }
}

#[test]
fn an_answer_under_way_ends_as_it_began_and_the_next_request_finds_the_new_server() {
    let (old, new) = (Behind::start(), Behind::start());
    let server = start(&old);
    let address = server.address("http");
    let mut client = Transport::tcp(address);
    let get = format!("GET /feed HTTP/1.1\r\nHost: {address}\r\n\r\n");
    client.write(get.as_bytes());
    let mut under_way = old.accept();
    under_way.head();
    under_way.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    read_until(&mut client, "first\r\n");

    assert!(swap(&server, &old.address().to_string(), &new.address().to_string()));
    assert!(server.wait_for_line("Reloaded").contains("routes[0]"));
    assert!(!server.printed().contains("needs a restart"));
    under_way.write("4\r\nlast\r\n0\r\n\r\n");
    read_until(&mut client, "last\r\n0\r\n\r\n");

    client.write(get.as_bytes());
    let mut next = new.accept();
    next.head();
    next.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nanew!");
    read_until(&mut client, "anew!");
    assert_eq!(server.metric("tidegate_edge_connections_accepted_total"), 1.0);
}

#[test]
fn an_upload_under_way_goes_where_it_began_to_go() {
    let (old, new) = (Behind::start(), Behind::start());
    let server = start(&old);
    let address = server.address("http");
    let mut client = Transport::tcp(address);
    client.write(format!("POST /up HTTP/1.1\r\nHost: {address}\r\nContent-Length: 10\r\n\r\nfirst").as_bytes());
    let mut under_way = old.accept();
    under_way.head();
    assert_eq!(under_way.read(5), b"first");
    assert!(swap(&server, &old.address().to_string(), &new.address().to_string()));
    client.write(b"last.");
    assert_eq!(under_way.read(5), b"last.");
    under_way.write("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nkept");
    assert!(read_until(&mut client, "kept").starts_with("HTTP/1.1 201 "));
}

#[test]
fn tunnels_and_websockets_live_on_without_the_routes_they_came_by() {
    let old = Behind::start();
    let server = start(&old);
    assert!(swap(&server, BESIDE, "{ path: /ws/, serve: json }"));
    let mut page = JsonClient::open(&server, Over::Ws);
    page.subscribe("news");
    let address = server.address("http").to_string();
    let mut client = Transport::connect(&server, Over::Ws);
    client.write(upgrade_request("/socket", &address, "").as_bytes());
    let mut behind = old.accept();
    behind.head();
    behind.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));

    let gone = "{ path: /nothing, respond: here, status: 410 }";
    assert!(swap(&server, &routes(&old, "{ path: /ws/, serve: json }"), &format!("\n  - {gone}")));
    assert_eq!(http::get(server.address("http"), "/ws/").status, 404);
    client.write(b"there");
    assert_eq!(behind.read(5), b"there");
    behind.write("back");
    assert_eq!(read_until(&mut client, "back"), "back");
    page.publish("news", "still here");
    page.expect(&json!({ "Topic": "news" }));
    assert_eq!(server.metric("tidegate_edge_proxy_tunnels_open"), 1.0);
}

#[test]
fn a_faulty_file_changes_no_route() {
    let behind = Behind::start();
    let server = start(&behind);
    let answer = || http::get(server.address("http"), "/beside").body;
    assert_eq!(answer(), "old\n");
    let other = "{ path: /beside, respond: new }";
    assert!(!swap(&server, BESIDE, &format!("{other}\n  - {other}")), "two routes for one path");
    assert_eq!(answer(), "old\n");
    assert!(server.wait_for_line("Nothing reloaded").contains("routes"));
    assert!(swap(&server, &format!("{other}\n  - {other}"), other));
    assert_eq!(answer(), "new\n");
}

#[test]
fn connections_to_a_server_that_stays_are_kept() {
    let behind = Behind::start();
    let server = start(&behind);
    let address = server.address("http");
    let mut client = Transport::tcp(address);
    let get = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    client.write(get.as_bytes());
    let mut visit = behind.accept();
    let mut answer = |client: &mut Transport| {
        visit.head();
        visit.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept");
        read_until(client, "kept");
    };
    answer(&mut client);
    for (old, new) in [("respond: old", "respond: new"), ("respond: new", "respond: newer")] {
        assert!(swap(&server, old, new));
        client.write(get.as_bytes());
        answer(&mut client);
    }
    assert_eq!(http::get(address, "/beside").body, "newer\n");
    assert_eq!(server.metric("tidegate_edge_proxy_connections_opened_total"), 1.0);
}
