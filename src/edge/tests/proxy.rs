//! Requests passed on to a server of the test's own.

use std::sync::Mutex as StdMutex;

use tokio::net::TcpListener;

use super::*;
use crate::edge::{HostSent, ProxyConfig, ServerAddress};

/// A server behind that answers by the path, and remembers what it was asked.
struct Behind {
    address: SocketAddr,
    asked: Arc<StdMutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Behind {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(StdMutex::new(Vec::new()));
        let remembered = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("it accepts");
                tokio::spawn(serve(stream, Arc::clone(&remembered)));
            }
        });
        Self { address, asked, task }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The last request it read whole, head and content.
    fn last(&self) -> String {
        self.asked.lock().unwrap().last().cloned().unwrap_or_default()
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one request after the other and answers as its path says.
async fn serve(mut stream: TcpStream, asked: Arc<StdMutex<Vec<String>>>) {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = next_request(&mut stream, &mut buffer).await else { return };
        asked.lock().unwrap().push(request.clone());
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let is_head = request.starts_with("HEAD ");
        let answer = |text: &str| text.as_bytes().to_vec();
        let bytes = match path.rsplit('/').next().unwrap_or_default() {
            "cut-length" => answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
            "cut-chunked" => answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nonly \r\n"),
            "until-close" => answer("HTTP/1.0 200 OK\r\n\r\nall of it"),
            "both" => answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "no-http" => answer("SMTP ready\r\n\r\n"),
            "gzip-coded" => answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx"),
            "unasked" => answer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
            "nothing" => Vec::new(),
            "early-hints" => {
                answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
            "none" => answer("HTTP/1.1 204 No Content\r\n\r\n"),
            "unchanged" => answer("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
            "trailers" => answer(
                "HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
            ),
            "moved" => answer(&format!(
                "HTTP/1.1 302 Found\r\nLocation: http://{}/base/there\r\nContent-Length: 0\r\n\r\n",
                stream.local_addr().expect("it is connected")
            )),
            "silent" => {
                std::future::pending::<()>().await;
                return;
            }
            "socket" => {
                let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
                     Sec-WebSocket-Accept: as it is==\r\nSec-WebSocket-Protocol: one\r\n\r\nhello ";
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.write_all(&buffer).await;
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                return;
            }
            "no-socket" => answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
            "events" => {
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await;
                let mut byte = [0];
                // Goes on when told to, by whatever comes; nothing does.
                let _ = stream.read(&mut byte).await;
                return;
            }
            _ if is_head => answer("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
            _ => answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Accel-Expires: 1\r\nServer: behind\r\n\r\nok"),
        };
        let _ = stream.write_all(&bytes).await;
        if path.contains("cut-") || path.contains("until-close") || path.contains("nothing") || path.contains("no-http")
        {
            return;
        }
    }
}

async fn next_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(length) = whole(buffer) {
            return Some(String::from_utf8_lossy(&buffer.drain(..length).collect::<Vec<_>>()).into_owned());
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => buffer.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

/// The length of the first request, if all of it is there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(buffer);
    let head = text.find("\r\n\r\n")? + 4;
    let lower = text[..head].to_ascii_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        return Some(head + text[head..].find("0\r\n\r\n")? + 5);
    }
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let end = head + length.unwrap_or(0);
    (buffer.len() >= end).then_some(end)
}

fn proxy(urls: &[String], change: impl FnOnce(&mut ProxyConfig)) -> RouteAction {
    let to = urls.iter().map(|url| ServerAddress::parse(url).expect("a server")).collect();
    let mut config = ProxyConfig { to, ..ProxyConfig::default() };
    change(&mut config);
    RouteAction::Proxy(Box::new(config))
}

/// `/raw/` goes on as it comes, `/app/` to `/base/`.
fn edge(behind: &Behind, change: impl Fn(&mut ProxyConfig)) -> Running {
    Running::start(&[Scheme::Http], |config| {
        config.routes = vec![
            route("/raw/", proxy(&[behind.url("")], &change)),
            route("/app/", proxy(&[behind.url("/base/")], &change)),
            route("/second", RouteAction::Respond { text: "reached".into(), status: 200 }),
        ];
    })
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app.example:81\r\nConnection: close\r\n\r\n")
}

fn post(path: &str, fields: &str, content: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n\r\n{content}")
}

#[track_caller]
fn assert_status(answer: &str, status: &str) {
    assert_eq!(answer.get(9..12), Some(status), "{answer}");
}

#[tokio::test]
async fn a_request_goes_on_with_its_target_as_it_came() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    for target in
        ["/raw/x", "/raw/%41//b/../c?d=%20&e", "/raw/a%2Fb?", "/raw/?a?b", "//raw/./x", "/x/../raw/~'!$&()*+,;=:@|[]^"]
    {
        let answer = edge.ask(get(target)).await;
        assert_status(&answer, "200");
        assert!(answer.ends_with("\r\n\r\nok") && answer.contains("server: behind\r\n"), "{answer}");
        assert!(!answer.contains("x-accel"), "{answer}");
        let asked = behind.last();
        assert!(asked.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{asked}");
    }
    let asked = behind.last();
    for line in [
        "host: app.example:81",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: app.example:81",
        "x-real-ip: 127.0.0.1",
        "forwarded: for=127.0.0.1;host=\"app.example:81\";proto=http",
    ] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line}: {asked}");
    }
    assert!(!asked.to_ascii_lowercase().contains("connection"), "{asked}");
    let absolute = edge.ask(get("http://app.example:81/raw/y?z")).await;
    assert_status(&absolute, "200");
    assert!(behind.last().starts_with("GET /raw/y?z HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_path_of_the_servers_takes_the_place_of_the_routes() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |config| config.host = HostSent::Upstream);
    for (target, expected) in [
        ("/app/x", "/base/x"),
        ("/app//a/./b/../c?d", "/base/a/c?d"),
        ("/app/%41%20%2f%3f", "/base/A%20%2F%3F"),
        ("/app/?", "/base/"),
    ] {
        assert_status(&edge.ask(get(target)).await, "200");
        let asked = behind.last();
        assert!(asked.starts_with(&format!("GET {expected} HTTP/1.1\r\n")), "{target}: {asked}");
        assert!(asked.contains(&format!("\r\nhost: {}\r\n", behind.address)), "{asked}");
    }
    let moved = edge.ask(get("/app/moved")).await;
    assert!(moved.contains("\r\nlocation: /app/there\r\n"), "{moved}");
    let asked = behind.count();
    for target in ["/app/../../x", "/app/..;/x", "/app/..%5cx", "/app%2fx", "/app/x#y"] {
        assert_status(&edge.ask(get(target)).await, "400");
    }
    assert_eq!(behind.count(), asked);
}

#[tokio::test]
async fn what_is_cut_behind_is_cut_for_the_client() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let answer = edge.ask(get("/raw/cut-length")).await;
    assert!(answer.contains("content-length: 100\r\n") && answer.ends_with("\r\n\r\nonly this"), "{answer}");
    let answer = edge.ask(get("/raw/cut-chunked")).await;
    assert!(answer.contains("transfer-encoding: chunked\r\n") && answer.ends_with("5\r\nonly \r\n"), "{answer}");
    assert_eq!(read(&edge.counters.proxy_answers_cut), 2);
    let answer = edge.ask(get("/raw/until-close")).await;
    assert!(answer.ends_with("9\r\nall of it\r\n0\r\n\r\n"), "{answer}");
    let answer = edge.ask("GET /raw/until-close HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nall of it") && !answer.contains("chunked"), "{answer}");
    assert!(behind.last().contains(&format!("\r\nhost: {}\r\n", behind.address)));
}

#[tokio::test]
async fn answers_without_content_have_none() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let head = edge.ask(get("/raw/x").replace("GET", "HEAD")).await;
    assert_status(&head, "200");
    assert!(head.contains("content-length: 1234\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    for (path, status) in [("/raw/none", "204"), ("/raw/unchanged", "304")] {
        let answer = edge.ask(get(path)).await;
        assert_status(&answer, status);
        assert!(answer.ends_with("\r\n\r\n") && !answer.contains("content-length"), "{answer}");
    }
    let answer = edge.ask(get("/raw/early-hints")).await;
    assert_status(&answer, "200");
    let answer = edge.ask(get("/raw/trailers")).await;
    assert!(!answer.to_ascii_lowercase().contains("trailer") && answer.ends_with("2\r\nok\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_not_passed_on() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |config| config.response_timeout = Duration::from_millis(100));
    for path in ["/raw/both", "/raw/no-http", "/raw/gzip-coded", "/raw/unasked", "/raw/nothing"] {
        let answer = edge.ask(get(path)).await;
        assert_status(&answer, "502");
        assert!(!answer.contains(&behind.address.to_string()), "{answer}");
    }
    assert_eq!(read(&edge.counters.proxy_unsound_answers), 5);
    assert_status(&edge.ask(get("/raw/silent")).await, "504");
    assert_eq!(read(&edge.counters.proxy_timed_out), 1);
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let kept = "GET /raw/x HTTP/1.1\r\nHost: a\r\n\r\n";
    let upload = post("/raw/y", "Content-Length: 5", "hello");
    let chunked = post("/raw/z", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n");
    let answer = edge.ask(format!("{kept}{upload}{chunked}{kept}{}", get("/second"))).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 5, "{answer}");
    assert_eq!(behind.count(), 4);
    assert_eq!(read(&edge.counters.proxy_connections_opened), 1);
    let asked = behind.asked.lock().unwrap().clone();
    assert!(asked[1].contains("content-length: 5\r\n") && asked[1].ends_with("\r\n\r\nhello"), "{}", asked[1]);
    assert!(asked[2].contains("transfer-encoding: chunked\r\n") && asked[2].ends_with("hello\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn content_has_a_bound_and_a_deadline() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |config| {
        config.body_bytes_max = 10;
        config.body_timeout = Duration::from_millis(100);
    });
    let eleven = "0123456789a";
    let answer = edge.ask(post("/raw/x", "Content-Length: 11", eleven)).await;
    assert_status(&answer, "413");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    let chunks = format!("b\r\n{eleven}\r\n0\r\n\r\n");
    assert_status(&edge.ask(post("/raw/x", "Transfer-Encoding: chunked", &chunks)).await, "413");
    assert_eq!(read(&edge.counters.proxy_uploads_too_large), 2);
    assert_status(&edge.ask(post("/raw/x", "Content-Length: 10", "012")).await, "408");
    assert_eq!(behind.count(), 0, "none of them is whole");
    let ten = post("/raw/x", "Connection: close\r\nContent-Length: 10", "0123456789");
    assert_status(&edge.ask(ten).await, "200");
}

#[tokio::test]
async fn content_that_is_asked_for_is_asked_for() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let mut stream = edge.connect(Scheme::Http).await;
    let head = post("/raw/x", "Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close", "");
    stream.write_all(head.as_bytes()).await.expect("the edge reads");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 100 "));
    assert_status(&ask(&mut stream, "hello").await, "200");
    assert!(!behind.last().contains("expect"));
    let refused = edge.ask(head.replace("5\r\n", "50000000\r\n")).await;
    assert_status(&refused, "413");
}

/// An upload that breaks off never looks complete.
#[tokio::test]
async fn a_cut_upload_is_cut_behind() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    for cut in [
        post("/raw/x", "Content-Length: 10", "01234"),
        post("/raw/x", "Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        post("/raw/x", "Transfer-Encoding: chunked", "5\r\nhel"),
    ] {
        let mut stream = edge.connect(Scheme::Http).await;
        stream.write_all(cut.as_bytes()).await.expect("the edge reads");
        stream.shutdown().await.expect("it can end");
        read_to_end(&mut stream).await;
    }
    until(|| read(&edge.counters.connections_open) == 0).await;
    assert_eq!(behind.count(), 0);
    let unsound = post("/raw/x", "Transfer-Encoding: chunked", "5\r\nhello\n0\r\n\r\n") + &get("/second");
    let answer = edge.ask(unsound).await;
    assert_status(&answer, "400");
    assert_eq!(answers(&answer), 1, "{answer}");
    assert_eq!(behind.count(), 0);
}

/// SECURITY A: what the proxy and a server behind could read differently never arrives there as two requests.
#[tokio::test]
async fn nothing_is_smuggled_through() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let second = get("/second");
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length : 5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: identity",
        "X: y\nTransfer-Encoding: chunked",
        "Host: other",
    ] {
        let answer = edge.ask(post("/raw/x", fields, "0\r\n\r\n") + &second).await;
        assert_eq!(answers(&answer), 1, "{fields:?}\n{answer}");
        assert!(["400", "501"].contains(&&answer[9..12]) && !answer.contains("reached"), "{fields:?}\n{answer}");
    }
    let old = "POST /raw/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_status(&edge.ask(old.to_owned() + &second).await, "400");
    for chunks in
        ["5 \r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n"]
    {
        let answer = edge.ask(post("/raw/x", "Transfer-Encoding: chunked", chunks) + &second).await;
        assert_eq!(answers(&answer), 1, "{chunks:?}\n{answer}");
        assert_status(&answer, "400");
    }
    assert_eq!(behind.count(), 0);
    // What only looks like a switch is a request like any other, and the last one.
    let answer = edge.ask(get("/raw/x").replace("close", "upgrade\r\nUpgrade: h2c") + &second).await;
    assert_eq!(answers(&answer), 1, "{answer}");
    assert!(!behind.last().to_ascii_lowercase().contains("upgrade"), "{}", behind.last());
}

#[tokio::test]
async fn a_websocket_is_tunnelled_once_the_server_agrees() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let handshake = "GET /raw/socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: as it is==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: one, two\r\n\r\n";
    let mut stream = edge.connect(Scheme::Http).await;
    let early = "GET /second HTTP/1.1\r\n\r\n\0";
    stream.write_all((handshake.to_owned() + early).as_bytes()).await.expect("the edge reads");
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("sec-websocket-accept: as it is==\r\nsec-websocket-protocol: one\r\n"), "{head}");
    until(|| read(&edge.counters.proxy_tunnels_open) == 1).await;
    stream.write_all(b" and more").await.expect("the tunnel is open");
    stream.shutdown().await.expect("it can end");
    assert_eq!(read_to_end(&mut stream).await, format!("hello {early} and more"));
    until(|| read(&edge.counters.proxy_tunnels_open) == 0).await;
    until(|| read(&edge.counters.connections_open) == 0).await;
    let asked = behind.last();
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-key: as it is==",
        "sec-websocket-protocol: one, two",
    ] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line}: {asked}");
    }
    // No tunnel: an answer like any other, and nothing behind the request is one.
    let refused = handshake.replace("/socket", "/no-socket") + &get("/second");
    let answer = edge.ask(refused).await;
    assert_status(&answer, "403");
    assert_eq!(answers(&answer), 1, "{answer}");
}

#[tokio::test]
async fn a_tunnel_ends_when_nothing_is_said_and_when_the_edge_drains() {
    let behind = Behind::start().await;
    let mut edge = edge(&behind, |_| {});
    let handshake = "GET /raw/socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut stream = edge.connect(Scheme::Http).await;
    stream.write_all(handshake.as_bytes()).await.expect("the edge reads");
    read_head(&mut stream).await;
    until(|| read(&edge.counters.proxy_tunnels_open) == 1).await;
    drop(edge.stop.take());
    assert_eq!(read_to_end(&mut stream).await, "hello ");
    in_time(&mut edge.task).await.expect("it ends");

    let edge = self::edge(&behind, |config| config.tunnel_timeout = Duration::from_millis(50));
    assert!(edge.ask(handshake).await.ends_with("\r\n\r\nhello "));
    assert_eq!(read(&edge.counters.proxy_tunnels_timed_out), 1);
}

#[tokio::test]
async fn events_come_as_they_are_sent() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let mut stream = edge.connect(Scheme::Http).await;
    stream.write_all(b"GET /raw/events HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    let head = read_head(&mut stream).await;
    assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
    let mut event = [0; 14];
    in_time(stream.read_exact(&mut event)).await.expect("it comes at once");
    assert_eq!(&event, b"9\r\ndata: 1\n\n\r\n");
    drop(stream);
    until(|| read(&edge.counters.connections_open) == 0).await;
}

#[tokio::test]
async fn another_server_is_asked_where_one_fails() {
    let (first, second) = (Behind::start().await, Behind::start().await);
    let gone = Behind::start().await.url("");
    let edge = Running::start(&[Scheme::Http], |config| {
        config.routes = vec![
            route("/", proxy(&[gone.clone(), first.url(""), second.url("")], |_| {})),
            route("/gone", proxy(std::slice::from_ref(&gone), |_| {})),
        ];
    });
    for _ in 0..6 {
        assert_status(&edge.ask(get("/x")).await, "200");
    }
    let upload = post("/x", "Connection: close\r\nContent-Length: 5", "hello");
    assert_status(&edge.ask(upload).await, "200");
    assert_eq!((first.count().min(second.count()), first.count() + second.count()), (3, 7));
    assert_eq!(read(&edge.counters.proxy_retries), 1, "it is left alone after its first failure");
    assert_eq!(read(&edge.counters.proxy_servers_out), 1);
    // What may have been done is not done again.
    let once = edge.ask(post("/nothing", "Connection: close\r\nContent-Length: 5", "hello")).await;
    assert_status(&once, "502");
    assert_eq!(first.count() + second.count(), 8);
    let answer = edge.ask(get("/gone")).await;
    assert_status(&answer, "502");
    assert!(!answer.contains("127.0.0.1"), "{answer}");
    assert_eq!(read(&edge.counters.proxy_unreachable), 1);
}

#[tokio::test]
async fn a_connection_closed_unseen_costs_nobody_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    // Answers one request a connection, says that more may follow, and closes when the next one comes.
    let behind = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            let mut buffer = Vec::new();
            next_request(&mut stream, &mut buffer).await.expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("it reads");
            tokio::spawn(async move { next_request(&mut stream, &mut Vec::new()).await });
        }
    });
    let edge = Running::start(&[Scheme::Http], |config| config.routes = vec![route("/", proxy(&[url], |_| {}))]);
    assert_status(&edge.ask(get("/a")).await, "200");
    assert_status(&edge.ask(get("/b")).await, "200");
    assert_eq!(read(&edge.counters.proxy_connections_opened), 2);
    in_time(behind).await.expect("both were asked");
}

#[tokio::test]
async fn an_idle_connection_ends_with_the_servers_or_when_it_is_too_old() {
    for (idle_timeout, server_ends) in [(Duration::from_secs(55), true), (Duration::from_millis(20), false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let edge = Running::start(&[Scheme::Http], |config| {
            config.routes = vec![route("/", proxy(&[url], |config| config.idle_timeout = idle_timeout))];
        });
        let served = async {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            next_request(&mut stream, &mut Vec::new()).await.expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("it is read");
            stream
        };
        let (answer, mut stream) = tokio::join!(edge.ask(get("/")), served);
        assert_status(&answer, "200");
        if server_ends {
            stream.shutdown().await.expect("it is open");
        }
        assert_eq!(in_time(stream.read(&mut [0])).await.ok(), Some(0), "it ends");
    }
}

#[tokio::test]
async fn no_more_exchanges_than_allowed_are_under_way() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |config| {
        config.connections_max = 1;
        config.waiting_max = 0;
    });
    let mut first = edge.connect(Scheme::Http).await;
    first.write_all(get("/raw/silent").as_bytes()).await.expect("the edge reads");
    until(|| behind.count() == 1).await;
    let answer = edge.ask(get("/raw/x")).await;
    assert_status(&answer, "503");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert_eq!(read(&edge.counters.proxy_refused_busy), 1);
    drop(first);
    until(|| read(&edge.counters.connections_open) == 0).await;
    assert_status(&edge.ask(get("/raw/x")).await, "200");
}

#[tokio::test]
async fn a_servers_folder_without_its_slash_leads_to_the_one_with() {
    let behind = Behind::start().await;
    let edge = Running::start(&[Scheme::Http], |config| {
        let to = || proxy(&[behind.url("")], |_| {});
        let of_host = |path: &str| RouteConfig { hosts: vec!["a.example".into()], ..route(path, to()) };
        config.routes = vec![
            RouteConfig { headers: vec![("X-Own".into(), "1".into())], ..route("/app/", to()) },
            route("/taken/", to()),
            route("/taken", RouteAction::Respond { text: "taken".into(), status: 200 }),
            of_host("/taken/"),
            route("/", RouteAction::Respond { text: "root".into(), status: 200 }),
        ];
    });
    let answer = edge.ask(get("//app?x=/y")).await;
    assert_status(&answer, "301");
    assert!(answer.contains("\r\nlocation: /app/?x=/y\r\n") && answer.contains("\r\nx-own: 1\r\n"), "{answer}");
    assert!(edge.ask(get("/taken")).await.ends_with("taken\n"));
    assert_status(&edge.ask(get("/taken").replace("app.example:81", "a.example")).await, "301");
    assert!(edge.ask(get("/apps")).await.ends_with("root\n"));
    for (method, status) in [("CONNECT", "405"), ("TRACE", "405"), ("get", "400")] {
        assert_status(&edge.ask(get("/app/x").replacen("GET", method, 1)).await, status);
    }
    assert_eq!(behind.count(), 0);
}
