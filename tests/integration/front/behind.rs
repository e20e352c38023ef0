//! A server behind: a small application on threads, which answers by the last segment of the path and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use super::super::harness::PATIENCE;

pub struct Behind {
    address: SocketAddr,
    memory: Arc<Memory>,
}

#[derive(Default)]
struct Memory {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Every request that came whole, in one line.
    seen: Vec<String>,
    /// How many broke off.
    cut: usize,
}

impl Behind {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let memory = Arc::new(Memory::default());
        let remembering = Arc::clone(&memory);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let memory = Arc::clone(&remembering);
                let _ = stream.set_nodelay(true);
                std::thread::spawn(move || serve(stream, address, &memory));
            }
        });
        Self { address, memory }
    }

    /// Listens on a socket in the file system as well.
    pub fn listen_at(&self, path: &Path) {
        let listener = UnixListener::bind(path).expect("a socket");
        let (address, memory) = (self.address, Arc::clone(&self.memory));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let memory = Arc::clone(&memory);
                std::thread::spawn(move || serve(stream, address, &memory));
            }
        });
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn forget(&self) {
        *self.memory.state.lock().expect("no panic while held") = State::default();
    }

    pub fn seen(&self) -> Vec<String> {
        self.memory.state.lock().expect("no panic while held").seen.clone()
    }

    /// Waits until a request has broken off, and forgets it.
    pub fn wait_for_cut(&self) {
        let state = self.memory.state.lock().expect("no panic while held");
        let waited = self.memory.changed.wait_timeout_while(state, PATIENCE, |state| state.cut == 0);
        let (mut state, timeout) = waited.expect("no panic while held");
        assert!(!timeout.timed_out(), "no request broke off");
        state.cut = 0;
    }
}

fn serve<S: Read + Write>(mut stream: S, address: SocketAddr, memory: &Memory) {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = next_request(&mut stream, &mut buffer) else {
            if !buffer.is_empty() {
                memory.state.lock().expect("no panic while held").cut += 1;
                memory.changed.notify_all();
            }
            return;
        };
        memory.state.lock().expect("no panic while held").seen.push(request.shown(address));
        let (answer, then) = answer(&request, address);
        if stream.write_all(&answer).is_err() {
            return;
        }
        match then {
            Then::Next => {}
            Then::Close => return,
            Then::Echo => {
                let _ = stream.write_all(&buffer);
                let mut piece = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut piece) {
                    // One byte stands for "I am done", as nobody closes halves here.
                    if stream.write_all(&piece[..count]).is_err() || piece[..count].contains(&b'.') {
                        return;
                    }
                }
                return;
            }
        }
    }
}

enum Then {
    Next,
    Close,
    Echo,
}

struct Request {
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// nginx has collected short content, and says its length however it came; that is no difference here.
    fn shown(&self, address: SocketAddr) -> String {
        let ignored = |name: &str, value: &str| match name {
            "content-length" | "transfer-encoding" | "forwarded" => true,
            "connection" => value != "upgrade",
            _ => false,
        };
        let mut fields: Vec<_> = self
            .fields
            .iter()
            .filter(|(name, value)| !ignored(name, value))
            .map(|(name, value)| format!("{name}: {}", value.replace(&address.to_string(), "behind")))
            .collect();
        // Said of every request; they are looked at elsewhere.
        fields.retain(|field| !USUAL.contains(&field.as_str()));
        fields.sort();
        let body = String::from_utf8_lossy(&self.body);
        let body = if body.len() > 80 { format!("{} bytes", body.len()) } else { format!("{body:?}") };
        format!("> {} | {} | {body}", self.line, fields.join(" | "))
    }
}

const USUAL: [&str; 4] =
    ["x-forwarded-for: 127.0.0.1", "x-forwarded-host: a.test", "x-forwarded-proto: http", "x-real-ip: 127.0.0.1"];

fn answer(request: &Request, address: SocketAddr) -> (Vec<u8>, Then) {
    let target = request.line.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let with = |fields: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nX-App: 1\r\n{fields}Content-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    let raw = |text: &str| text.replace("X-App", "X-App: 1").into_bytes();
    let chunked =
        |chunks: &str| raw(&format!("HTTP/1.1 200 OK\r\nX-App\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    let redirect = |location: &str| with(&format!("Location: {location}\r\n"), "").replacen_status("302 Found");
    match path.rsplit('/').next().unwrap_or_default() {
        "chunked" => {
            (raw("HTTP/1.1 200 OK\r\nX-App\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Then::Next)
        }
        "trailers" => (
            raw(
                "HTTP/1.1 200 OK\r\nX-App\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: y\r\n\r\n",
            ),
            Then::Next,
        ),
        "until-close" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nConnection: close\r\n\r\nall of it"), Then::Close),
        "old" => (raw("HTTP/1.0 200 OK\r\nX-App\r\n\r\nold"), Then::Close),
        "cut-length" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nContent-Length: 100\r\n\r\nonly this"), Then::Close),
        "cut-chunked" => {
            (raw("HTTP/1.1 200 OK\r\nX-App\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nonly \r\n"), Then::Close)
        }
        "nothing" => (Vec::new(), Then::Close),
        "no-http" => (b"SMTP ready\r\n\r\n".to_vec(), Then::Close),
        "both" => (
            raw("HTTP/1.1 200 OK\r\nX-App\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Then::Close,
        ),
        "lf" => (b"HTTP/1.1 200 OK\nX-App: 1\nContent-Length: 2\n\nok".to_vec(), Then::Next),
        "no-reason" => (raw("HTTP/1.1 200 \r\nX-App\r\nContent-Length: 2\r\n\r\nok"), Then::Next),
        "no-length" => (raw("HTTP/1.1 200 OK\r\nX-App\r\n\r\nto the end"), Then::Close),
        "folded" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nX-End: a\r\n b\r\nContent-Length: 2\r\n\r\nok"), Then::Next),
        "spaced" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nX-End : a\r\nContent-Length: 2\r\n\r\nok"), Then::Next),
        "nameless" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nnonsense\r\nContent-Length: 2\r\n\r\nok"), Then::Next),
        "nul" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nX-End: a\0b\r\nContent-Length: 2\r\n\r\nok"), Then::Next),
        "latin" => (
            [b"HTTP/1.1 200 OK\r\nX-App: 1\r\nX-End: caf".as_slice(), b"\xe9\r\nContent-Length: 2\r\n\r\nok"].concat(),
            Then::Next,
        ),
        "many" => (with(&"Set-Cookie: a=b\r\n".repeat(80), "ok"), Then::Next),
        "long" => (with(&format!("X-End: {}\r\n", "x".repeat(3000)), "ok"), Then::Next),
        "equal-lengths" => {
            (raw("HTTP/1.1 200 OK\r\nX-App\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"), Then::Next)
        }
        "lengths" => {
            (raw("HTTP/1.1 200 OK\r\nX-App\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"), Then::Close)
        }
        "no-number" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nContent-Length: two\r\n\r\nok"), Then::Close),
        "more" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nContent-Length: 2\r\n\r\nok and more"), Then::Close),
        "chunks" => (chunked("2\r\nok\r\n3;a=b\r\n, a\r\n6\r\n third\r\n0\r\n\r\n"), Then::Next),
        "chunks-padded" => (chunked("2  \r\nok\r\n0\r\n\r\n"), Then::Next),
        "chunks-lf" => (chunked("2\nok\n0\n\n"), Then::Close),
        "chunks-unended" => (chunked("2\r\nok\r\n0\r\n"), Then::Close),
        "chunks-broken" => (chunked("2\r\nok\r\nzz\r\n"), Then::Close),
        "chunks-none" => (chunked("0\r\n\r\n"), Then::Next),
        "cut-head" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nContent-Le"), Then::Close),
        "cut-at-once" => (raw("HTTP/1.1 200 OK\r\nX-App\r\nContent-Length: 100\r\n\r\n"), Then::Close),
        "switched" => (raw("HTTP/1.1 101 Switching Protocols\r\nX-App\r\nUpgrade: x\r\n\r\n"), Then::Close),
        "continued" => ([b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), with("", "ok")].concat(), Then::Next),
        "zipped" => (with("Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n", "not really"), Then::Next),
        "part" => (with("Content-Range: bytes 0-1/9\r\n", "ok").replacen_status("206 Partial Content"), Then::Next),
        "no-part" => {
            (with("Content-Range: bytes */9\r\n", "").replacen_status("416 Range Not Satisfiable"), Then::Next)
        }
        "dated" => (
            with(
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: theirs\r\n",
                "ok",
            ),
            Then::Next,
        ),
        "201" => {
            let location = format!("Location: http://{address}/base/made\r\n");
            (with(&location, "made").replacen_status("201 Created"), Then::Next)
        }
        "204-long" => (raw("HTTP/1.1 204 No Content\r\nX-App\r\nContent-Length: 0\r\n\r\n"), Then::Next),
        "304-long" => (raw("HTTP/1.1 304 Not Modified\r\nX-App\r\nContent-Length: 5\r\n\r\n"), Then::Next),
        "205" => (with("", "").replacen_status("205 Reset Content"), Then::Next),
        "429" => (with("Retry-After: 3\r\n", "slowly").replacen_status("429 Too Many Requests"), Then::Next),
        "502" => (with("", "theirs").replacen_status("502 Bad Gateway"), Then::Next),
        "503" => (with("Retry-After: 3\r\n", "soon").replacen_status("503 Service Unavailable"), Then::Next),
        "000" => (with("", "").replacen_status("000 None"), Then::Next),
        "999" => (with("", "odd").replacen_status("999 Odd"), Then::Next),
        "to-inner-bare" => (redirect(&format!("http://{address}/base")), Then::Next),
        "to-inner-secure" => (redirect(&format!("https://{address}/base/x")), Then::Next),
        "to-inner-longer" => (redirect(&format!("http://{address}/base/{address}/")), Then::Next),
        "to-same-scheme" => (redirect("//other.test/x"), Then::Next),
        "to-beside" => (redirect("there?x#y"), Then::Next),
        "to-nothing" => (redirect(""), Then::Next),
        "204" => (raw("HTTP/1.1 204 No Content\r\nX-App\r\n\r\n"), Then::Next),
        "304" => (raw("HTTP/1.1 304 Not Modified\r\nX-App\r\nETag: \"x\"\r\n\r\n"), Then::Next),
        "404" => (with("", "not here").replacen_status("404 Not Found"), Then::Next),
        "500" => (with("", "broken").replacen_status("500 Internal Server Error"), Then::Next),
        "599" => (with("", "odd").replacen_status("599 Odd"), Then::Next),
        "401" => (with("WWW-Authenticate: Basic\r\n", "who").replacen_status("401 Unauthorized"), Then::Next),
        "hints" => {
            let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned();
            ([hints.into_bytes(), with("", "ok")].concat(), Then::Next)
        }
        "cookies" => (with("Set-Cookie: a=b; Path=/base/\r\nSet-Cookie: c=d\r\n", ""), Then::Next),
        "types" => (with("Content-Type: text/html\r\nETag: W/\"1\"\r\nVary: Accept\r\n", "<p>"), Then::Next),
        "hop" => {
            (with("Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 1\r\n", ""), Then::Next)
        }
        "accel" => (with("X-Accel-Buffering: no\r\n", "ok"), Then::Next),
        "refresh" => (with(&format!("Refresh: 5; url=http://{address}/base/x\r\n"), ""), Then::Next),
        "large" => (with("", &"0123456789".repeat(50_000)), Then::Next),
        "to-inner" => (redirect(&format!("http://{address}/base/there?q")), Then::Next),
        "to-inner-root" => (redirect(&format!("http://{address}/there")), Then::Next),
        "to-relative" => (redirect("/base/there"), Then::Next),
        "to-other" => (redirect("https://other.test/x"), Then::Next),
        "socket" => {
            let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: k==\r\n";
            (raw(&format!("HTTP/1.1 101 Switching Protocols\r\nX-App\r\n{fields}\r\nhello ")), Then::Echo)
        }
        "no-socket" => (with("", "no").replacen_status("403 Forbidden"), Then::Next),
        _ if request.line.starts_with("HEAD ") => {
            (raw("HTTP/1.1 200 OK\r\nX-App\r\nContent-Length: 1234\r\n\r\n"), Then::Next)
        }
        _ => (with("Content-Type: text/plain\r\n", "ok"), Then::Next),
    }
}

/// Another status on an answer that has one.
trait Status {
    fn replacen_status(self, status: &str) -> Vec<u8>;
}

impl Status for Vec<u8> {
    fn replacen_status(self, status: &str) -> Vec<u8> {
        String::from_utf8(self).expect("text").replacen("200 OK", status, 1).into_bytes()
    }
}

/// The next request, if it comes whole.
fn next_request(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some((request, length)) = parse(buffer) {
            buffer.drain(..length);
            return Some(request);
        }
        let mut piece = [0; 65536];
        match stream.read(&mut piece) {
            Ok(count @ 1..) => buffer.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

fn parse(buffer: &[u8]) -> Option<(Request, usize)> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let field = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    let (body, length) = match (field("transfer-encoding"), field("content-length")) {
        (Some(_), _) => {
            super::seen::unchunked(&buffer[end..]).filter(|(_, _, is_whole)| *is_whole).map(|(b, l, _)| (b, l))?
        }
        (None, Some(length)) => {
            let length = length.parse().ok()?;
            (buffer[end..].get(..length)?.to_vec(), length)
        }
        (None, None) => (Vec::new(), 0),
    };
    Some((Request { line, fields, body }, end + length))
}
