//! Requests passed on to a server of the test's own that speaks HTTP/2.

use std::sync::Mutex as StdMutex;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;
use crate::edge::{HostSent, ProxyConfig, ServerAddress};

/// A server behind that answers by the path, and remembers what it was asked.
struct Behind {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    asked: StdMutex<Vec<Asked>>,
    /// Pieces of content.
    pieces: AtomicU64,
    /// Connections that have ended.
    ended: AtomicU64,
    /// What waits for a word of the test goes on.
    go: Notify,
}

#[derive(Clone, Debug)]
struct Asked {
    connection: usize,
    method: Method,
    uri: String,
    fields: HeaderMap,
    /// `None`: it was cut.
    content: Option<String>,
    trailers: Option<HeaderMap>,
}

impl Behind {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(set: impl Fn(&mut h2::server::Builder) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Seen::default());
        let remembered = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.expect("it accepts");
                let mut builder = h2::server::Builder::new();
                builder.enable_connect_protocol();
                set(&mut builder);
                tokio::spawn(serve(builder, stream, number, Arc::clone(&remembered)));
            }
        });
        Self { address, seen, task }
    }

    fn url(&self, path: &str) -> String {
        format!("h2c://{}{path}", self.address)
    }

    fn all(&self) -> Vec<Asked> {
        self.seen.asked.lock().unwrap().clone()
    }

    fn last(&self) -> Asked {
        self.all().pop().expect("it was asked")
    }

    fn count(&self) -> usize {
        self.seen.asked.lock().unwrap().len()
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(builder: h2::server::Builder, stream: TcpStream, number: usize, seen: Arc<Seen>) {
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut count = 0;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        count += 1;
        match request.uri().path() {
            // The first of each connection is refused, and so is everything on the first connection after its first.
            "/raw/refused-once" if count == 1 && number == 0 => respond.send_reset(Reason::REFUSED_STREAM),
            "/raw/refused" => respond.send_reset(Reason::REFUSED_STREAM),
            "/raw/broken" => respond.send_reset(Reason::INTERNAL_ERROR),
            "/raw/last" => {
                drop(tokio::spawn(exchange(request, respond, number, Arc::clone(&seen))));
                connection.graceful_shutdown();
            }
            "/raw/gone" => return,
            _ => drop(tokio::spawn(exchange(request, respond, number, Arc::clone(&seen)))),
        }
    }
    seen.ended.fetch_add(1, Ordering::Relaxed);
}

/// Reads one request to its end and answers as its path says.
async fn exchange(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, connection: usize, seen: Arc<Seen>) {
    let (head, mut content) = request.into_parts();
    let (uri, fields) = (head.uri.to_string(), head.headers);
    let name = head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let mut asked = Asked { connection, method: head.method, uri, fields, content: None, trailers: None };
    if head.extensions.get::<h2::ext::Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket") {
        asked.uri.insert_str(0, "websocket ");
        seen.asked.lock().unwrap().push(asked);
        if name == "no-socket" {
            let refusal = Response::builder().status(403).body(()).expect("it is sound");
            let mut stream = respond.send_response(refusal, false).expect("it is open");
            stream.send_data("no".into(), true).expect("it is open");
            return;
        }
        let agreed = Response::builder().header("sec-websocket-protocol", "one").body(()).expect("it is sound");
        let stream = respond.send_response(agreed, false).expect("it is open");
        echo(content, stream).await;
        return;
    }
    if name == "dialogue" {
        seen.asked.lock().unwrap().push(asked);
        let stream = respond.send_response(Response::new(()), false).expect("it is open");
        echo(content, stream).await;
        return;
    }
    let read = read_content_of(&mut content, &seen.pieces).await;
    (asked.content, asked.trailers) = read.map_or((None, None), |(content, trailers)| (Some(content), trailers));
    let is_head = asked.method == Method::HEAD;
    seen.asked.lock().unwrap().push(asked);
    let answer = |length: Option<&str>| {
        let answer = Response::builder().header("server", "behind").header("x-accel-expires", "1");
        let answer = length.into_iter().fold(answer, |answer, length| answer.header("content-length", length));
        answer.body(()).expect("it is sound")
    };
    if is_head {
        respond.send_response(answer(Some("1234")), true).expect("it is open");
        return;
    }
    let mut say = |answer, content: &'static str, is_end| {
        let mut stream = respond.send_response(answer, false).expect("it is open");
        stream.send_data(content.into(), is_end).expect("it is open");
        stream
    };
    match name.as_str() {
        "cut" => {
            let mut stream = say(answer(None), "only this", false);
            // What was sent before a reset may be dropped with it.
            seen.go.notified().await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "cut-quietly" => {
            let mut stream = say(answer(None), "only this", false);
            // What was sent before a reset may be dropped with it.
            seen.go.notified().await;
            stream.send_reset(Reason::NO_ERROR);
        }
        "short" => drop(say(answer(Some("100")), "only this", true)),
        "two-lengths" => {
            let mut two = answer(Some("2"));
            two.headers_mut().append("content-length", "3".parse().expect("a value"));
            say(two, "ok", true);
        }
        "trailers" => {
            let mut stream = say(answer(None), "ok", false);
            let trailers =
                [("grpc-status", "0"), ("content-length", "5"), ("set-cookie", "a=b"), ("connection-x", "y")];
            let field = |(name, value): (&'static str, &str)| {
                (hyper::header::HeaderName::from_static(name), value.parse().expect("a value"))
            };
            stream.send_trailers(trailers.into_iter().map(field).collect()).expect("it is open");
        }
        "early-hints" => {
            let hints = Response::builder().status(103).header("link", "</a>").body(()).expect("it is sound");
            respond.send_informational(hints).expect("it is open");
            respond.send_response(answer(None), false).expect("it is open").send_data("ok".into(), true).expect("open");
        }
        "none" => {
            let none = Response::builder().status(204).body(()).expect("it is sound");
            respond.send_response(none, true).expect("it is open");
        }
        "moved" => {
            let to = format!("http://{}/base/there", head.uri.authority().expect("it has one"));
            let moved = Response::builder().status(302).header("location", to).body(()).expect("it is sound");
            respond.send_response(moved, true).expect("it is open");
        }
        "events" => {
            let _open = say(answer(None), "data: 1\n\n", false);
            std::future::pending::<()>().await;
        }
        "silent" => std::future::pending::<()>().await,
        _ => drop(say(answer(Some("2")), "ok", true)),
    }
}

async fn read_content(content: &mut RecvStream) -> Option<(String, Option<HeaderMap>)> {
    read_content_of(content, &AtomicU64::new(0)).await
}

async fn read_content_of(content: &mut RecvStream, pieces: &AtomicU64) -> Option<(String, Option<HeaderMap>)> {
    let mut read = Vec::new();
    while let Some(data) = content.data().await {
        let data = data.ok()?;
        let _ = content.flow_control().release_capacity(data.len());
        read.extend_from_slice(&data);
        pieces.fetch_add(1, Ordering::Relaxed);
    }
    let trailers = content.trailers().await.ok()?;
    Some((String::from_utf8(read).expect("it is text"), trailers))
}

/// Sends back what comes, and the end behind it.
async fn echo(mut content: RecvStream, mut stream: SendStream<Bytes>) {
    while let Some(Ok(data)) = content.data().await {
        let _ = content.flow_control().release_capacity(data.len());
        if stream.send_data(data, false).is_err() {
            return;
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}

fn proxy(urls: &[String], change: impl FnOnce(&mut ProxyConfig)) -> RouteAction {
    let to = urls.iter().map(|url| ServerAddress::parse(url).expect("a server")).collect();
    let mut config = ProxyConfig { to, ..ProxyConfig::default() };
    change(&mut config);
    RouteAction::Proxy(Box::new(config))
}

/// `/raw/` goes on as it comes, `/app/` to `/base/`.
fn edge(behind: &Behind, change: impl Fn(&mut ProxyConfig)) -> Running {
    Running::start(&[Scheme::Http, Scheme::Https], |config| {
        config.routes = vec![
            route("/raw/", proxy(&[behind.url("")], &change)),
            route("/app/", proxy(&[behind.url("/base/")], &change)),
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

/// A client of HTTP/2.
async fn client(edge: &Running) -> h2::client::SendRequest<Bytes> {
    let connector = tls::client(edge, &[b"h2"], &[&rustls::version::TLS13]);
    let stream = tls::connect(edge, Scheme::Https, &connector, "localhost").await;
    let (sender, connection) = h2::client::handshake(stream).await.expect("the edge speaks HTTP/2");
    tokio::spawn(connection);
    sender.ready().await.expect("it is open")
}

fn request(method: Method, path: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("https://app.example{path}"));
    request.header("te", "trailers").body(()).expect("it is sound")
}

#[tokio::test]
async fn a_request_goes_on_with_its_target_and_its_host() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    for target in ["/raw/x", "/raw/%41//b/../c?d=%20&e", "/raw/a%2Fb?", "/raw/?a?b", "/raw/~'!$&()*+,;=:@|[]^"] {
        let answer = edge
            .ask(get(target).replace("Connection: close", "Connection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers"))
            .await;
        assert_status(&answer, "200");
        assert!(answer.ends_with("\r\n\r\nok") && answer.contains("server: behind\r\n"), "{answer}");
        assert!(!answer.contains("x-accel"), "{answer}");
        assert_eq!(behind.last().uri, format!("http://app.example:81{target}"));
    }
    let fields = behind.last().fields;
    for (name, value) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-host", Some("app.example:81")),
        ("forwarded", Some("for=127.0.0.1;host=\"app.example:81\";proto=http")),
        ("host", None),
        ("connection", None),
        ("x-hop", None),
        ("te", None),
    ] {
        assert_eq!(fields.get(name).map(HeaderValue::as_bytes), value.map(str::as_bytes), "{name}");
    }
    assert_eq!(read(&edge.counters.proxy_connections_opened), 1);
    let edge = self::edge(&behind, |config| config.host = HostSent::Upstream);
    assert_status(&edge.ask(get("/app//a/./b/../c?d")).await, "200");
    assert_eq!(behind.last().uri, format!("http://{}/base/a/c?d", behind.address));
    let moved = edge.ask(get("/app/moved")).await;
    assert!(moved.contains("\r\nlocation: /app/there\r\n"), "{moved}");
}

#[tokio::test]
async fn what_is_cut_behind_is_cut_for_the_client() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    for path in ["/raw/cut", "/raw/cut-quietly"] {
        let mut stream = edge.connect(Scheme::Http).await;
        stream.write_all(get(path).as_bytes()).await.expect("the edge reads");
        let head = read_head(&mut stream).await;
        let mut piece = [0; 14];
        in_time(stream.read_exact(&mut piece)).await.expect("it comes at once");
        behind.seen.go.notify_one();
        let rest = read_to_end(&mut stream).await;
        let answer = format!("{head}{}{rest}", String::from_utf8_lossy(&piece));
        assert!(
            answer.contains("transfer-encoding: chunked\r\n") && answer.ends_with("9\r\nonly this\r\n"),
            "{answer}"
        );
    }
    let answer = edge.ask(get("/raw/short")).await;
    assert!(!answer.contains("\r\n\r\nonly this") || answer.contains("content-length: 100\r\n"), "{answer}");
    assert_eq!(read(&edge.counters.proxy_answers_cut), 3);
    let mut client = client(&edge).await;
    let (response, _) = client.send_request(request(Method::GET, "/raw/cut"), true).expect("it is open");
    let mut content = in_time(response).await.expect("a head").into_body();
    assert_eq!(in_time(content.data()).await.expect("a piece").expect("it is open"), "only this");
    behind.seen.go.notify_one();
    assert_eq!(in_time(read_content(&mut content)).await, None);
}

#[tokio::test]
async fn answers_without_content_have_none_and_unsound_ones_are_refused() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |config| config.response_timeout = Duration::from_millis(200));
    let head = edge.ask(get("/raw/x").replace("GET", "HEAD")).await;
    assert!(head.contains("content-length: 1234\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let answer = edge.ask(get("/raw/none")).await;
    assert_status(&answer, "204");
    assert!(edge.ask(get("/raw/early-hints")).await.ends_with("ok\r\n0\r\n\r\n"));
    assert_status(&edge.ask(get("/raw/two-lengths")).await, "502");
    assert_status(&edge.ask(get("/raw/broken")).await, "502");
    assert_eq!(read(&edge.counters.proxy_unsound_answers), 2);
    assert_status(&edge.ask(get("/raw/silent")).await, "504");
    assert_eq!(read(&edge.counters.proxy_timed_out), 1);
    // Whoever asks next does so on another connection.
    assert_status(&edge.ask(get("/raw/x")).await, "200");
    assert_eq!(behind.last().connection, 1);
}

#[tokio::test]
async fn content_has_a_bound_and_a_deadline_and_what_is_cut_never_looks_whole() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |config| {
        config.body_bytes_max = 10;
        config.body_timeout = Duration::from_millis(100);
    });
    let chunked = |content: &str| post("/raw/x", "Connection: close\r\nTransfer-Encoding: chunked", content);
    let ten = edge.ask(chunked("a\r\n0123456789\r\n0\r\n\r\n")).await;
    assert_status(&ten, "200");
    assert_eq!(behind.last().content.as_deref(), Some("0123456789"));
    let five = edge.ask(post("/raw/x", "Connection: close\r\nContent-Length: 5", "01234")).await;
    assert_status(&five, "200");
    assert_eq!(behind.last().fields.get("content-length").expect("it is told"), "5");
    assert_status(&edge.ask(post("/raw/x", "Content-Length: 11", "0123456789a")).await, "413");
    let cases = [
        (chunked("b\r\n0123456789a\r\n0\r\n\r\n"), "413"),
        (chunked("5\r\n01234\r\n"), "408"),
        (post("/raw/x", "Content-Length: 10", "012"), "408"),
        (chunked("5\r\n01234\n0\r\n\r\n"), "400"),
    ];
    for (upload, status) in cases {
        let count = behind.count();
        assert_status(&edge.ask(upload).await, status);
        until(|| behind.count() == count + 1).await;
        assert_eq!(behind.last().content, None, "{status}");
    }
    // Nor does what a client of HTTP/2 takes back, whatever reason it gives.
    let mut client = client(&edge).await;
    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
        let (count, pieces) = (behind.count(), read(&behind.seen.pieces));
        let (_response, mut upload) = client.send_request(request(Method::POST, "/raw/x"), false).expect("it is open");
        upload.send_data("hello".into(), false).expect("it is open");
        until(|| read(&behind.seen.pieces) == pieces + 1).await;
        upload.send_reset(reason);
        until(|| behind.count() == count + 1).await;
        assert_eq!(behind.last().content, None, "{reason:?}");
    }
    // The connection serves on.
    assert_status(&edge.ask(get("/raw/x")).await, "200");
    assert_eq!(read(&edge.counters.proxy_connections_opened), 1);
}

/// As gRPC has it: both sides talk at the same time, and the status comes last.
#[tokio::test]
async fn both_sides_talk_at_once_and_trailers_go_both_ways() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let mut client = client(&edge).await;
    let (response, mut upload) =
        client.send_request(request(Method::POST, "/raw/dialogue"), false).expect("it is open");
    let mut answer = in_time(response).await.expect("a head").into_body();
    for piece in ["one", "two"] {
        upload.send_data(piece.into(), false).expect("it is open");
        assert_eq!(in_time(answer.data()).await.expect("a piece").expect("it is open"), piece);
    }
    upload.send_data(Bytes::new(), true).expect("it is open");
    assert!(in_time(answer.data()).await.is_none_or(|end| end.is_ok_and(|end| end.is_empty())));

    let (response, mut upload) =
        client.send_request(request(Method::POST, "/raw/trailers"), false).expect("it is open");
    upload.send_data("asked".into(), false).expect("it is open");
    let last = [("x-checksum", "1"), ("x-forwarded-for", "1.1.1.1"), ("host", "other")];
    let field = |(name, value): (&'static str, &str)| {
        (hyper::header::HeaderName::from_static(name), value.parse().expect("a value"))
    };
    upload.send_trailers(last.into_iter().map(field).collect()).expect("it is open");
    let mut answer = in_time(response).await.expect("a head").into_body();
    let (content, trailers) = in_time(read_content(&mut answer)).await.expect("it is whole");
    assert_eq!(content, "ok");
    let names = |trailers: &HeaderMap| trailers.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&trailers.expect("there are some")), ["grpc-status", "connection-x"]);
    let asked = behind.last();
    assert_eq!(
        (asked.content.as_deref(), names(&asked.trailers.expect("they go on"))),
        (Some("asked"), vec!["x-checksum".into()])
    );
    assert_eq!(asked.fields.get("te").expect("it is told"), "trailers");
    // Who cannot be given them is not.
    assert!(edge.ask(get("/raw/trailers")).await.ends_with("2\r\nok\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn who_goes_away_takes_the_stream_along_and_no_other() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |config| config.streams_max = 1);
    let mut client = client(&edge).await;
    let (response, stream) = client.send_request(request(Method::GET, "/raw/events"), true).expect("it is open");
    let answer = in_time(response).await.expect("a head");
    // There is no room on the connection while it lasts.
    assert_status(&edge.ask(get("/raw/x")).await, "200");
    assert_eq!(behind.last().connection, 1);
    drop((answer, stream));
    until(|| read(&edge.counters.http2_streams_open) == 0).await;
    assert_status(&edge.ask(get("/raw/x")).await, "200");
    assert_eq!(read(&edge.counters.proxy_connections_opened), 2);
    assert_eq!(behind.last().connection, 0, "the place is free again");
}

#[tokio::test]
async fn what_has_certainly_not_been_looked_at_is_asked_again() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let bare_post = "POST /raw/refused-once HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_status(&edge.ask(bare_post).await, "200");
    assert_eq!(behind.count(), 1);
    assert_status(&edge.ask(get("/raw/refused")).await, "502");
    // A server that says goodbye loses nothing, nor does one that goes without a word.
    assert_status(&edge.ask(get("/raw/last")).await, "200");
    let upload = |path| post(path, "Connection: close\r\nContent-Length: 5", "hello");
    assert_status(&edge.ask(upload("/raw/x")).await, "200");
    assert_eq!(behind.last().connection, 1);
    assert_status(&edge.ask(get("/raw/gone")).await, "502");
    assert_status(&edge.ask(get("/raw/x")).await, "200");
    // What may have been done is not done again.
    let count = behind.count();
    assert_status(&edge.ask(upload("/raw/gone")).await, "502");
    assert_eq!(behind.count(), count);
}

#[tokio::test]
async fn another_server_is_asked_where_one_does_not_speak_http_2() {
    let behind = Behind::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let old = format!("h2c://{}", listener.local_addr().expect("it is bound"));
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        }
    });
    let edge = Running::start(&[Scheme::Http], |config| {
        config.routes =
            vec![route("/", proxy(&[old.clone(), behind.url("")], |_| {})), route("/old", proxy(&[old], |_| {}))];
    });
    for _ in 0..3 {
        assert_status(&edge.ask(get("/x")).await, "200");
    }
    assert_eq!(read(&edge.counters.proxy_retries), 1);
    assert_status(&edge.ask(get("/old")).await, "502");
    assert_eq!(read(&edge.counters.proxy_unreachable), 1);
    server.abort();
}

#[tokio::test]
async fn a_server_that_never_greets_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("h2c://{}", listener.local_addr().expect("it is bound"));
    let edge = Running::start(&[Scheme::Http], |config| {
        let action = proxy(&[url], |config| config.connect_timeout = Duration::from_millis(100));
        config.routes = vec![route("/", action)];
    });
    assert_status(&edge.ask(get("/x")).await, "502");
    assert_eq!(read(&edge.counters.proxy_unreachable), 1);
}

#[tokio::test]
async fn many_share_a_connection_and_no_more_than_allowed_are_under_way() {
    let behind = Behind::with(|builder| {
        builder.max_concurrent_streams(2);
    })
    .await;
    let edge = edge(&behind, |config| {
        config.connections_max = 2;
        config.waiting_max = 0;
    });
    let mut silent = Vec::new();
    for count in 1..=4 {
        let mut stream = edge.connect(Scheme::Http).await;
        stream.write_all(get("/raw/silent").as_bytes()).await.expect("the edge reads");
        silent.push(stream);
        until(|| behind.count() == count).await;
    }
    let connections: Vec<_> = behind.all().iter().map(|asked| asked.connection).collect();
    assert_eq!(connections, [0, 0, 1, 1], "the server takes two at a time");
    let answer = edge.ask(get("/raw/x")).await;
    assert_status(&answer, "503");
    assert_eq!(read(&edge.counters.proxy_refused_busy), 1);
    drop(silent.pop());
    until(|| read(&edge.counters.connections_open) == 3).await;
    assert_status(&edge.ask(get("/raw/x")).await, "200");
    assert_eq!(read(&edge.counters.proxy_connections_opened), 2);
}

#[tokio::test]
async fn many_at_once_open_one_connection() {
    let behind = Behind::start().await;
    let edge = Arc::new(edge(&behind, |config| config.waiting_max = 0));
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let edge = Arc::clone(&edge);
            tokio::spawn(async move { assert_status(&edge.ask(get("/raw/x")).await, "200") })
        })
        .collect();
    for asked in asking {
        in_time(asked).await.expect("each is answered");
    }
    assert_eq!(read(&edge.counters.proxy_connections_opened), 1);
}

#[tokio::test]
async fn a_websocket_is_tunnelled_on_a_stream() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |_| {});
    let handshake = "GET /raw/socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: one\r\n\r\n";
    let mut stream = edge.connect(Scheme::Http).await;
    stream.write_all((handshake.to_owned() + "early").as_bytes()).await.expect("the edge reads");
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(head.contains("sec-websocket-protocol: one\r\n"), "{head}");
    until(|| read(&edge.counters.proxy_tunnels_open) == 1).await;
    stream.write_all(b" and more").await.expect("the tunnel is open");
    stream.shutdown().await.expect("it can end");
    assert_eq!(read_to_end(&mut stream).await, "early and more");
    until(|| read(&edge.counters.proxy_tunnels_open) == 0).await;
    let asked = behind.last();
    assert_eq!((asked.method, asked.uri.as_str()), (Method::CONNECT, "websocket http://a/raw/socket"));
    assert!(!asked.fields.contains_key("sec-websocket-key") && asked.fields.contains_key("sec-websocket-version"));
    let refused = edge.ask(handshake.replace("/socket", "/no-socket")).await;
    assert_status(&refused, "403");
    let keyless = edge.ask(handshake.replace("Sec-WebSocket-Key", "X-Key")).await;
    assert_status(&keyless, "400");

    // And from a stream to another.
    let mut client = client(&edge).await;
    let mut request = request(Method::CONNECT, "/raw/socket");
    request.headers_mut().remove("te");
    request.headers_mut().insert("sec-websocket-version", "13".parse().expect("a value"));
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (response, mut there) = client.send_request(request, false).expect("it is open");
    let response = in_time(response).await.expect("a head");
    assert_eq!(response.status(), StatusCode::OK);
    let mut back = response.into_body();
    there.send_data("hello".into(), true).expect("it is open");
    assert_eq!(in_time(read_content(&mut back)).await.expect("it ends well").0, "hello");
}

#[tokio::test]
async fn a_websocket_is_refused_where_the_server_opens_none() {
    // Nothing in h2's builder takes the announcement back: this server never makes it.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("h2c://{}", listener.local_addr().expect("it is bound"));
    let seen = Arc::new(Seen::default());
    let remembered = Arc::clone(&seen);
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("it accepts");
        serve(h2::server::Builder::new(), stream, 0, remembered).await;
    });
    let edge = Running::start(&[Scheme::Http], |config| config.routes = vec![route("/", proxy(&[url], |_| {}))]);
    let handshake = "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let answer = edge.ask(handshake).await;
    assert_status(&answer, "502");
    assert!(answer.contains("opens no WebSockets over HTTP/2"), "{answer}");
    assert_status(&edge.ask(get("/x")).await, "200");
    assert_eq!(seen.asked.lock().unwrap().len(), 1);
    server.abort();
}

#[tokio::test]
async fn connections_go_when_they_are_not_used() {
    let behind = Behind::start().await;
    let edge = edge(&behind, |config| config.idle_connections_max = 0);
    for number in 0..2 {
        assert_status(&edge.ask(get("/raw/x")).await, "200");
        assert_eq!(behind.last().connection, number);
    }
    let edge = self::edge(&behind, |config| config.idle_timeout = Duration::from_millis(100));
    assert_status(&edge.ask(get("/raw/x")).await, "200");
    let ended = read(&behind.seen.ended);
    until(|| read(&behind.seen.ended) > ended).await;
    assert_status(&edge.ask(get("/raw/x")).await, "200");
    assert_eq!(read(&edge.counters.proxy_connections_opened), 2);
}
