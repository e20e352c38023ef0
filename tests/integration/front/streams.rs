//! What is under way: uploads and answers in pieces, those who wait, and those who leave. The server behind is played by hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::super::harness::transport::Ending;
use super::super::harness::{PATIENCE, Setup, Transport};
use super::sites::Nginx;

/// Has `play` done with nginx, and with Tidegate, before a server of its own.
fn beside(play: fn(SocketAddr, &TcpListener)) {
    let behind = TcpListener::bind("127.0.0.1:0").expect("a port");
    let up = behind.local_addr().expect("it is bound");
    let nginx = Nginx::with(|address| {
        format!(
            "proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; proxy_set_header Connection '';
             server {{ listen {address}; location / {{ proxy_pass http://{up}; }} }}"
        )
    });
    play(nginx.address(), &behind);
    let tidegate = Setup::new().section("routes", &format!("\n  - {{ path: /, proxy: \"http://{up}\" }}")).start();
    play(tidegate.address("http"), &behind);
}

fn accept(behind: &TcpListener) -> TcpStream {
    let (stream, _) = behind.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// Reads until `end` has come, and returns all of it.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut read, mut piece) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&read).contains(end) {
        let count = stream.read(&mut piece).expect("more");
        assert!(count > 0, "{end:?} did not come, but {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// The same for a client.
fn hear_until(client: &mut Transport, end: &str) -> String {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !String::from_utf8_lossy(&client.received).contains(end) {
        let ending = client.read_more(deadline);
        assert_eq!(ending, None, "{end:?} did not come, but {:?}", String::from_utf8_lossy(&client.received));
    }
    String::from_utf8_lossy(&std::mem::take(&mut client.received)).into_owned()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn an_upload_goes_on_as_it_comes() {
    beside(|front, behind| {
        for (framing, first, last) in [
            ("Content-Length: 10", "first", "lasts"),
            ("Transfer-Encoding: chunked", "5\r\nfirst\r\n", "5\r\nlasts\r\n0\r\n\r\n"),
        ] {
            let mut client = Transport::tcp(front);
            client.write(
                format!("POST /up HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{framing}\r\n\r\n").as_bytes(),
            );
            client.write(first.as_bytes());
            let mut server = accept(behind);
            read_until(&mut server, "first");
            client.write(last.as_bytes());
            read_until(&mut server, "lasts");
            server.write_all(OK).expect("an open connection");
            hear_until(&mut client, "ok");
        }
    });
}

#[test]
fn events_come_as_they_are_sent() {
    beside(|front, behind| {
        let mut client = Transport::tcp(front);
        client.write(b"GET /events HTTP/1.1\r\nHost: a.test\r\nAccept: text/event-stream\r\n\r\n");
        let mut server = accept(behind);
        read_until(&mut server, "\r\n\r\n");
        server
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .expect("an open connection");
        hear_until(&mut client, "\r\n\r\n");
        for event in ["data: one", "data: two", "data: three"] {
            server
                .write_all(format!("{:x}\r\n{event}\n\n\r\n", event.len() + 2).as_bytes())
                .expect("an open connection");
            hear_until(&mut client, event);
        }
        // Who has heard enough leaves, and the server learns of it by the next event at the latest.
        drop(client);
        while server.write_all(b"1\r\n\n\r\n").is_ok() {}
    });
}

#[test]
fn an_answer_before_the_end_of_the_upload_arrives() {
    beside(|front, behind| {
        let mut client = Transport::tcp(front);
        client.write(b"POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nfirst");
        let mut server = accept(behind);
        read_until(&mut server, "first");
        server
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 6\r\nConnection: close\r\n\r\nenough")
            .expect("an open connection");
        let answer = hear_until(&mut client, "enough");
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        // What is left of the content is never a request, whatever it looks like.
        client.write("GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(10).as_bytes());
        client.finish();
        let (rest, _) = client.read_to_end();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    });
}

#[test]
fn whoever_asks_whether_to_go_on_is_told_to() {
    beside(|front, behind| {
        let mut client = Transport::tcp(front);
        let head = "POST /up HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        client.write(head.as_bytes());
        let heard = hear_until(&mut client, "\r\n\r\n");
        assert!(heard.starts_with("HTTP/1.1 100 "), "{heard}");
        client.write(b"hello");
        let mut server = accept(behind);
        let asked = read_until(&mut server, "hello");
        assert!(!asked.to_ascii_lowercase().contains("expect:"), "{asked}");
        server.write_all(OK).expect("an open connection");
        hear_until(&mut client, "ok");
    });
}

/// Whoever breaks off an upload leaves the server with one that breaks off, not with a short one.
#[test]
fn an_upload_that_is_broken_off_is_broken_off_behind() {
    beside(|front, behind| {
        for (framing, first) in [("Content-Length: 10", "first"), ("Transfer-Encoding: chunked", "5\r\nfirst\r\n")] {
            let mut client = Transport::tcp(front);
            client.write(format!("POST /up HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n{first}").as_bytes());
            let mut server = accept(behind);
            read_until(&mut server, "first");
            drop(client);
            let mut rest = Vec::new();
            let _ = server.read_to_end(&mut rest);
            assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"), "{framing}: it looks complete: {rest:?}");
        }
    });
}

/// In mid body: the client has what came, and sees that it is not all.
#[test]
fn an_answer_that_is_cut_is_cut_for_the_client() {
    beside(|front, behind| {
        for (framing, first) in [("Content-Length: 10", "first"), ("Transfer-Encoding: chunked", "5\r\nfirst\r\n")] {
            let mut client = Transport::tcp(front);
            client.write(b"GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n");
            let mut server = accept(behind);
            read_until(&mut server, "\r\n\r\n");
            server
                .write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{first}").as_bytes())
                .expect("an open connection");
            hear_until(&mut client, "first");
            drop(server);
            let (rest, ending) = client.read_to_end();
            assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"), "{framing}: it looks complete: {rest:?}");
            assert!(matches!(ending, Ending::Closed(_) | Ending::Cut));
        }
    });
}

/// Nothing that follows the head of an upgrade reaches the server before it has agreed, and all of it does then.
#[test]
fn what_follows_an_upgrade_waits_for_the_servers_word() {
    let behind = TcpListener::bind("127.0.0.1:0").expect("a port");
    let up = behind.local_addr().expect("it is bound");
    let tidegate = Setup::new().section("routes", &format!("\n  - {{ path: /, proxy: \"http://{up}\" }}")).start();
    let ask = || {
        let mut client = Transport::tcp(tidegate.address("http"));
        client.write(
            b"GET /ws?q=\"a\" HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\
              frames behind, with \"marks\"",
        );
        let mut server = accept(&behind);
        let asked = read_until(&mut server, "\r\n\r\n");
        assert!(asked.starts_with("GET /ws?q=%22a%22 HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n"), "{asked}");
        (client, server)
    };

    let (mut client, mut server) = ask();
    server
        .write_all(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        .expect("an open connection");
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).expect("the end, as it was asked for");
    assert_eq!(String::from_utf8_lossy(&rest), "", "it came to a server that has not agreed");
    hear_until(&mut client, "no");

    let (mut client, mut server) = ask();
    server
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
        .expect("an open connection");
    assert_eq!(read_until(&mut server, "marks\""), "frames behind, with \"marks\"");
    hear_until(&mut client, "early");
}
