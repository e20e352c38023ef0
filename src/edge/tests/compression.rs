//! Answers compressed on their way.

use std::io::Read as _;

use tokio::net::TcpListener;

use super::*;
use crate::edge::{CompressionConfig, ProxyConfig, ServerAddress};

const PAGE: &str = "<p>a page</p>\n";

/// `/files/`, `/text` and `/plain` (not compressed), and `/app/`, which `behind` answers.
fn edge(folder: &Path, behind: &str, change: impl FnOnce(&mut CompressionConfig)) -> Running {
    let mut compression = CompressionConfig { bytes_min: 100, ..CompressionConfig::default() };
    change(&mut compression);
    std::fs::write(folder.join("page.html"), PAGE.repeat(20_000)).expect("a writable file");
    std::fs::write(folder.join("short.html"), PAGE).expect("a writable file");
    std::fs::write(folder.join("image.png"), PAGE.repeat(100)).expect("a writable file");
    let files = |path| route(path, RouteAction::Files { root: folder.to_owned(), fallback: None });
    let to = vec![ServerAddress::parse(behind).expect("a server")];
    let proxy = RouteAction::Proxy(Box::new(ProxyConfig { to, ..ProxyConfig::default() }));
    let text = RouteAction::Respond { text: PAGE.trim_end().repeat(100), status: 404 };
    Running::start(&[Scheme::Http], |config| {
        config.routes = vec![files("/files/"), route("/text", text), route("/app/", proxy), files("/plain/")];
        for route in &mut config.routes[..3] {
            route.compression = Some(compression.clone());
        }
    })
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";

async fn ask(edge: &Running, request: String) -> (String, Vec<u8>) {
    let mut stream = edge.connect(Scheme::Http).await;
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    let head = read_head(&mut stream).await;
    let mut content = Vec::new();
    in_time(stream.read_to_end(&mut content)).await.expect("it ends");
    let is_chunked = head.contains("transfer-encoding: chunked");
    (head, if is_chunked { unchunked(&content) } else { content })
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a chunk's line");
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).expect("text"), 16).expect("a length");
        if length == 0 {
            return content;
        }
        content.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
    }
}

fn gunzipped(content: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(content).read_to_string(&mut text).expect("it is whole");
    text
}

/// Answers each connection with what it is given, piece by piece, the next one when it is told to go on.
async fn behind(pieces: Vec<Vec<u8>>) -> (String, mpsc::UnboundedSender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let (go, mut told) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            read_head(&mut stream).await;
            for (index, piece) in pieces.iter().enumerate() {
                if index > 0 && told.recv().await.is_none() {
                    return;
                }
                let _ = stream.write_all(piece).await;
            }
        }
    });
    (url, go, task)
}

#[tokio::test]
async fn text_is_compressed_for_who_takes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let edge = edge(folder.path(), "http://127.0.0.1:1", |_| {});
    let (head, content) = ask(&edge, get("/files/page.html", GZIP)).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-encoding: gzip\r\n"), "{head}");
    assert!(head.contains("vary: accept-encoding\r\n") && !head.contains("content-length"), "{head}");
    assert!(!head.contains("accept-ranges"), "{head}");
    assert_eq!(gunzipped(&content), PAGE.repeat(20_000));
    let (asked, none) = ask(&edge, get("/files/page.html", GZIP).replace("GET", "HEAD")).await;
    let without_date = |head: &str| {
        let lines = head.lines().filter(|line| !line.starts_with("date:") && !line.starts_with("transfer-encoding:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((without_date(&asked), none.len()), (without_date(&head), 0));
    let (head, content) = ask(&edge, get("/files/page.html", "Accept-Encoding: gzip, br\r\n")).await;
    assert!(head.contains("content-encoding: br\r\n"), "{head}");
    let mut plain = Vec::new();
    brotli::Decompressor::new(content.as_slice(), 4096).read_to_end(&mut plain).expect("it is whole");
    assert!(plain == PAGE.repeat(20_000).as_bytes());
    let (head, content) = ask(&edge, get("/text", GZIP)).await;
    assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("content-encoding: gzip\r\n"), "{head}");
    assert!(gunzipped(&content).starts_with(PAGE.trim_end()));
    assert_eq!(read(&edge.counters.answers_compressed), 3);
}

#[tokio::test]
async fn what_is_not_to_be_touched_goes_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let edge = edge(folder.path(), "http://127.0.0.1:1", |_| {});
    for (path, fields, varies) in [
        ("/plain/page.html", GZIP, false),
        ("/files/page.html", "", true),
        ("/files/page.html", "Accept-Encoding: gzip;q=0\r\n", true),
        ("/files/page.html", "Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n", false),
        ("/files/page.html", "Accept-Encoding: gzip\r\nRange: bytes=0-999\r\n", false),
        ("/files/short.html", GZIP, false),
        ("/files/image.png", GZIP, false),
    ] {
        let (head, content) = ask(&edge, get(path, fields)).await;
        assert!(head.contains("content-length: ") && !head.contains("content-encoding"), "{path} {fields}: {head}");
        assert!(content.starts_with(PAGE.as_bytes()), "{path} {fields}");
        // The library of files says so by itself, as some may lie there compressed.
        assert!(!varies || head.contains("vary: accept-encoding\r\n"), "{path} {fields}: {head}");
        assert!(head.matches("accept-encoding").count() <= 1, "{path} {fields}: {head}");
    }
    let (head, _) = ask(&edge, get("/files/page.html", GZIP).replace("/1.1", "/1.0")).await;
    assert!(head.contains("content-length: ") && !head.contains("content-encoding"), "{head}");
    assert_eq!(read(&edge.counters.answers_compressed), 0);
    let (head, _) = ask(&edge, get("/plain/page.html", "")).await;
    let modified = head.lines().find_map(|line| line.strip_prefix("last-modified: ")).expect("it has a date");
    let fields = format!("{GZIP}If-Modified-Since: {modified}\r\n");
    let (head, _) = ask(&edge, get("/files/page.html", &fields)).await;
    assert!(head.starts_with("HTTP/1.1 304 ") && head.contains("vary: accept-encoding\r\n"), "{head}");
}

#[tokio::test]
async fn pieces_of_a_servers_answer_are_not_held_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n\r\n";
    let pieces =
        vec![format!("{head}2\r\n[1\r\n").into_bytes(), b"2\r\n,2\r\n".to_vec(), b"1\r\n]\r\n0\r\n\r\n".to_vec()];
    let (url, go, task) = behind(pieces).await;
    let edge = edge(folder.path(), &url, |_| {});
    let mut stream = edge.connect(Scheme::Http).await;
    stream.write_all(get("/app/x", GZIP).as_bytes()).await.expect("the edge reads");
    let head = read_head(&mut stream).await;
    assert!(head.contains("content-encoding: gzip\r\n") && head.contains("etag: W/\"x\"\r\n"), "{head}");
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    for (index, expected) in ["[1", "[1,2"].into_iter().enumerate() {
        while decoder.get_ref() != expected.as_bytes() {
            let line = in_time(read_line(&mut stream)).await;
            let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).expect("a length") + 2];
            in_time(stream.read_exact(&mut chunk)).await.expect("it comes at once");
            std::io::Write::write_all(&mut decoder, &chunk[..chunk.len() - 2]).expect("it is sound");
            std::io::Write::flush(&mut decoder).expect("it is sound");
        }
        assert!(index < 2);
        go.send(()).expect("it waits");
    }
    let rest = read_to_end(&mut stream).await;
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    task.abort();
}

async fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.expect("a line"));
    }
    String::from_utf8(line).expect("text")
}

#[tokio::test]
async fn a_servers_answer_that_is_cut_stays_cut_and_a_coded_one_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let cut = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n<p>".to_vec();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let coded = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: zstd\r\nContent-Length: 3\r\n\r\nabc"
        .to_vec();
    let events = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n".to_vec();
    let task = tokio::spawn(async move {
        for answer in [cut, coded, events] {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            read_head(&mut stream).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    let edge = edge(folder.path(), &url, |config| config.bytes_min = 0);
    let answer = edge.ask(get("/app/cut", GZIP)).await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    assert!(
        edge.ask(get("/app/coded", GZIP))
            .await
            .ends_with("content-length: 3\r\n\r\nabc".trim_start_matches("content-length: 3"))
    );
    let events = edge.ask(get("/app/events", GZIP)).await;
    assert!(events.ends_with("\r\n\r\ndata: 1\n\n") && !events.contains("content-encoding"), "{events}");
    in_time(task).await.expect("each was asked");
}

#[tokio::test]
async fn no_more_than_allowed_are_compressed_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let task = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            read_head(&mut stream).await;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
            stream.write_all(head.as_bytes()).await.expect("it is read");
            open.push(stream);
        }
    });
    let edge = edge(folder.path(), &url, |config| config.answers_max = 1);
    let begin = async || {
        let mut stream = edge.connect(Scheme::Http).await;
        stream.write_all(get("/app/x", GZIP).as_bytes()).await.expect("the edge reads");
        let head = read_head(&mut stream).await;
        (stream, head.contains("content-encoding: gzip\r\n"), head.contains("vary: accept-encoding\r\n"))
    };
    let (first, is_compressed, _) = begin().await;
    assert!(is_compressed);
    let (second, is_compressed, varies) = begin().await;
    assert!(!is_compressed && varies);
    assert_eq!(read(&edge.counters.answers_not_compressed), 1);
    drop((first, second));
    until(|| read(&edge.counters.connections_open) == 0).await;
    assert!(begin().await.1, "there is room again");
    task.abort();
}
