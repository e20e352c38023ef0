//! Byte streams to the server: TCP or TLS, with or without a WebSocket on top, and every frame of it by hand.
//!
//! Nothing here corrects what a test wants to send: that is what it is for.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::PATIENCE;
use super::certificates::Certificates;
use super::server::Server;

/// What MQTT travels over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Over {
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// The scheme of the listener that speaks it.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::Ws => "http",
            Self::Wss => "https",
        }
    }

    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }
}

/// WebSocket opcodes (RFC 6455 §5.2).
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// The key of RFC 6455 §1.3, and what a server must answer to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// One WebSocket frame as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub is_final: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// How the server's half of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order: with a WebSocket close code, if there was a close frame with one.
    Closed(Option<u16>),
    /// By a TCP reset, or without TLS' close_notify.
    Cut,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection to the server.
pub struct Transport {
    stream: Stream,
    /// Received and not used yet.
    pub received: Vec<u8>,
}

impl Transport {
    /// Connects by TCP and says nothing.
    pub fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a TCP socket");
        Self { stream: Stream::Plain(stream), received: Vec::new() }
    }

    /// Connects by TCP to a server that says nothing, and returns how it ended that.
    ///
    /// A reset may overtake the connecting thread, which then never had a connection.
    pub fn turned_away(address: SocketAddr) -> Ending {
        let stream = match TcpStream::connect_timeout(&address, PATIENCE) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ending::Cut,
            stream => stream.expect("the server accepts"),
        };
        let (bytes, ending) = Self { stream: Stream::Plain(stream), received: Vec::new() }.read_to_end();
        assert!(bytes.is_empty(), "it says nothing: {bytes:?}");
        ending
    }

    /// Connects by TCP and makes a TLS session of it, trusting the run's authority.
    pub fn tls(address: SocketAddr) -> Self {
        Self::tls_with(address, Certificates::get().client_config())
    }

    /// Connects by TCP and makes a TLS session of it as `config` says.
    pub fn tls_with(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let Stream::Plain(mut stream) = Self::tcp(address).stream else { unreachable!("made as plain") };
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        let name = "localhost".try_into().expect("a valid name");
        let mut connection = ClientConnection::new(config, name).expect("a valid configuration");
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).expect("a TLS handshake");
        }
        Self { stream: Stream::Tls(Box::new(StreamOwned::new(connection, stream))), received: Vec::new() }
    }

    /// What was agreed on in the TLS handshake.
    pub fn session(&self) -> &ClientConnection {
        match &self.stream {
            Stream::Tls(stream) => &stream.conn,
            Stream::Plain(_) => panic!("this connection is plain"),
        }
    }

    /// Connects to the listener for `over`; TLS is set up, nothing else is said.
    pub fn connect(server: &Server, over: Over) -> Self {
        let address = server.address(over.scheme());
        if over.is_tls() { Self::tls(address) } else { Self::tcp(address) }
    }

    /// Connects to the listener for `over` and, where that is a WebSocket, opens it at `path`.
    pub fn open(server: &Server, over: Over, path: &str, subprotocol: &str) -> Self {
        let mut transport = Self::connect(server, over);
        if over.is_websocket() {
            let host = server.address(over.scheme());
            let offer = match subprotocol {
                "" => String::new(),
                name => format!("Sec-WebSocket-Protocol: {name}\r\n"),
            };
            transport.write(upgrade_request(path, &host.to_string(), &offer).as_bytes());
            let head = transport.read_head();
            assert!(head.starts_with("HTTP/1.1 101 "), "no upgrade: {head}");
            assert!(head.contains(ACCEPT), "a wrong Sec-WebSocket-Accept: {head}");
        }
        transport
    }

    /// Sends bytes. A server that has closed already is not an error here: the read that follows shows it.
    pub fn write(&mut self, bytes: &[u8]) {
        let result = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock || error.kind() == ErrorKind::TimedOut => {
                panic!("the server has stopped reading")
            }
            _ => {}
        }
    }

    /// Sends one masked frame.
    pub fn write_frame(&mut self, is_final: bool, opcode: u8, payload: &[u8]) {
        self.write(&frame(is_final, opcode, payload));
    }

    /// Closes the sending half.
    pub fn finish(&mut self) {
        if let Stream::Tls(stream) = &mut self.stream {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Appends what comes next to `received`; `None` when something came, else how the stream ended.
    ///
    /// Panics when nothing comes before `deadline`.
    pub fn read_more(&mut self, deadline: Instant) -> Option<Ending> {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "the server said no more in time; before that: {:?}", self.received);
        self.socket().set_read_timeout(Some(left)).expect("a TCP socket");
        let mut chunk = [0; 65536];
        let result = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut chunk),
            Stream::Tls(stream) => stream.read(&mut chunk),
        };
        match result {
            Ok(0) => Some(Ending::Closed(None)),
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                None
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server said no more in time; before that: {:?}", self.received)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => None,
            Err(_) => Some(Ending::Cut),
        }
    }

    /// Whether the server ends the stream within `time`; what it says meanwhile is kept in `received`.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        self.socket().set_read_timeout(Some(time)).expect("a TCP socket");
        let mut chunk = [0; 4096];
        let result = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut chunk),
            Stream::Tls(stream) => stream.read(&mut chunk),
        };
        match result {
            Ok(0) => true,
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                false
            }
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted),
        }
    }

    /// Reads an HTTP head, up to and with its empty line.
    pub fn read_head(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.received.drain(..end + 4).collect();
                return String::from_utf8_lossy(&head).into_owned();
            }
            if let Some(ending) = self.read_more(deadline) {
                panic!("{ending:?} instead of an answer; before that: {:?}", String::from_utf8_lossy(&self.received));
            }
        }
    }

    /// Reads everything up to the end of the stream.
    pub fn read_to_end(&mut self) -> (Vec<u8>, Ending) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ending) = self.read_more(deadline) {
                return (std::mem::take(&mut self.received), ending);
            }
        }
    }

    /// Reads the next frame; `Err` when the stream ends before.
    pub fn read_frame(&mut self) -> Result<Frame, Ending> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((frame, length)) = parse_frame(&self.received) {
                self.received.drain(..length);
                return Ok(frame);
            }
            if let Some(ending) = self.read_more(deadline) {
                return Err(ending);
            }
        }
    }

    /// Reads frames up to the close frame or the end of the stream, and returns how it ended.
    pub fn read_to_close(&mut self) -> Ending {
        loop {
            match self.read_frame() {
                Err(ending) => return ending,
                Ok(Frame { opcode: CLOSE, payload, .. }) => {
                    let code = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                    return Ending::Closed(code);
                }
                Ok(_) => {}
            }
        }
    }
}

/// A correct opening handshake; `more` are further header lines, each with its CRLF.
pub fn upgrade_request(path: &str, host: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// A masked frame, as a client sends it.
pub fn frame(is_final: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = vec![u8::from(is_final) << 7 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The first whole frame in `bytes` and how many bytes it took.
fn parse_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [first, second, ..] = *bytes else { return None };
    assert_eq!(second & 0x80, 0, "a server never masks (RFC 6455 §5.1)");
    assert_eq!(first & 0x70, 0, "no extension was agreed on (RFC 6455 §5.2)");
    let (length, start) = match second {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        length => (u64::from(length), 2),
    };
    let end = start + usize::try_from(length).ok()?;
    let payload = bytes.get(start..end)?.to_vec();
    Some((Frame { is_final: first & 0x80 != 0, opcode: first & 0x0F, payload }, end))
}
