//! An HTTP server that Tidegate asks: it answers as a test tells it to, well or badly, and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::PATIENCE;
use super::certificates::Certificates;

/// See the module. It runs until the test process ends.
pub struct Backend {
    address: SocketAddr,
    is_tls: bool,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    reply: Reply,
    requests: Vec<Request>,
}

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: String,
}

impl Request {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// From a request to status and body.
pub type Decide = dyn Fn(&Request) -> (u16, Value) + Send + Sync;

/// What it does with a request.
#[derive(Clone)]
pub enum Reply {
    /// Answers with this status and body.
    Whole(u16, String),
    /// Works the answer out.
    By(Arc<Decide>),
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Sends a head, and then a byte of the body every so often, for ever.
    Drip,
    /// Says nothing until it is told another reply, and then gives that.
    Hold,
    /// Closes each connection as it comes.
    Refuse,
}

impl Backend {
    /// A plain server.
    pub fn start(reply: Reply) -> Self {
        Self::start_with(reply, None)
    }

    /// A server with the run's certificate.
    pub fn start_tls(reply: Reply) -> Self {
        let certificates = Certificates::get();
        let chain = CertificateDer::pem_slice_iter(certificates.server_pem.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("the run's certificate");
        let key = PrivateKeyDer::from_pem_slice(certificates.server_key_pem.as_bytes()).expect("the run's key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a pair");
        Self::start_with(reply, Some(Arc::new(config)))
    }

    fn start_with(reply: Reply, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (address, is_tls) = (listener.local_addr().expect("a bound socket"), tls.is_some());
        let shared =
            Arc::new(Shared { state: Mutex::new(State { reply, requests: Vec::new() }), changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, tls) = (Arc::clone(&serving), tls.clone());
                std::thread::spawn(move || {
                    if matches!(shared.state.lock().expect("no panic while held").reply, Reply::Refuse) {
                        return;
                    }
                    match tls {
                        Some(config) => {
                            let session = ServerConnection::new(config).expect("a configuration that works");
                            shared.serve(StreamOwned::new(session, stream));
                        }
                        None => shared.serve::<TcpStream>(stream),
                    }
                });
            }
        });
        Self { address, is_tls, shared }
    }

    /// The URL of a path here.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_tls { "https" } else { "http" }, self.address)
    }

    /// Replies so from now on.
    pub fn reply(&self, reply: Reply) {
        self.shared.state.lock().expect("no panic while held").reply = reply;
        self.shared.changed.notify_all();
    }

    /// Everything that was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().expect("no panic while held").requests.clone()
    }

    /// Waits until so many requests have come.
    pub fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state.lock().expect("no panic while held");
        while state.requests.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} requests came instead of {count}", state.requests.len());
            state = self.shared.changed.wait_timeout(state, left).expect("no panic while held").0;
        }
        state.requests.clone()
    }
}

impl Reply {
    /// This JSON, with 200.
    pub fn json(value: &Value) -> Self {
        Self::Whole(200, value.to_string())
    }
}

impl Shared {
    /// Answers one request after the other.
    fn serve<S: Read + Write>(&self, mut stream: S) {
        while let Some(request) = read(&mut stream) {
            let mut state = self.state.lock().expect("no panic while held");
            state.requests.push(request.clone());
            self.changed.notify_all();
            while matches!(state.reply, Reply::Hold) {
                state = self.changed.wait(state).expect("no panic while held");
            }
            let reply = state.reply.clone();
            drop(state);
            let is_kept = match reply {
                Reply::Whole(status, body) => answer(&mut stream, status, &body),
                Reply::By(decide) => {
                    let (status, body) = decide(&request);
                    answer(&mut stream, status, &body.to_string())
                }
                Reply::Raw(bytes) => {
                    let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                    false
                }
                Reply::Drip => drip(&mut stream),
                Reply::Hold | Reply::Refuse => false,
            };
            if !is_kept {
                return;
            }
        }
    }
}

fn answer(stream: &mut impl Write, status: u16, body: &str) -> bool {
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).and_then(|()| stream.flush()).is_ok()
}

fn drip(stream: &mut impl Write) -> bool {
    let mut bytes: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{";
    while stream.write_all(bytes).and_then(|()| stream.flush()).is_ok() {
        bytes = b" ";
        // The drip itself, not a wait for anything.
        std::thread::park_timeout(Duration::from_millis(50));
    }
    false
}

/// One request with the body that it announces, or `None` at the end.
fn read(stream: &mut impl Read) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 8192];
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(Request { head: head.to_owned(), body: body.to_owned() });
        }
    }
}
