//! A client that writes every frame by hand (RFC 9113 §4.1), and corrects nothing.

use std::sync::Arc;
use std::time::Instant;

use crate::harness::certificates::Certificates;
use crate::harness::transport::Ending;
use crate::harness::{PATIENCE, Server, Transport};

pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const PRIORITY: u8 = 0x2;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const PING: u8 = 0x6;
pub const GOAWAY: u8 = 0x7;
pub const WINDOW_UPDATE: u8 = 0x8;
pub const CONTINUATION: u8 = 0x9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// A frame as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub struct Connection {
    pub transport: Transport,
    authority: String,
}

impl Connection {
    /// Connects, agrees on HTTP/2 and sends the preface with these settings.
    pub fn open(server: &Server, settings: &[(u16, u32)]) -> Self {
        let mut connection = Self::connect(server);
        connection.transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        connection.send(SETTINGS, 0, 0, &payload);
        connection
    }

    /// Connects and agrees on HTTP/2, and says nothing.
    pub fn connect(server: &Server) -> Self {
        let mut config = Certificates::get().client_config_for(rustls::ALL_VERSIONS);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let address = server.address("https");
        let transport = Transport::tls_with(address, Arc::new(config));
        assert_eq!(transport.session().alpn_protocol(), Some(&b"h2"[..]));
        Self { transport, authority: format!("localhost:{}", address.port()) }
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.transport.write(&frame(kind, flags, stream, payload));
    }

    /// The fields of a sound request, as a field block.
    pub fn request(&self, method: &str, path: &str) -> Vec<u8> {
        let pseudo = [(":method", method), (":scheme", "https"), (":authority", &self.authority), (":path", path)];
        pseudo.iter().flat_map(|(name, value)| field(name, value)).collect()
    }

    pub fn get(&mut self, stream: u32, path: &str) {
        let block = self.request("GET", path);
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block);
    }

    /// The next frame; how the connection ended, if it did before.
    pub fn receive(&mut self) -> Result<Frame, Ending> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((frame, length)) = parse(&self.transport.received) {
                self.transport.received.drain(..length);
                return Ok(frame);
            }
            if let Some(ending) = self.transport.read_more(deadline) {
                return Err(ending);
            }
        }
    }

    /// Acknowledges settings, and reads until a frame of this kind comes.
    pub fn wait_for(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.receive().unwrap_or_else(|ending| panic!("{ending:?} before a frame of kind {kind}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Reads until a frame of this stream comes.
    pub fn receive_for(&mut self, stream: u32) -> Frame {
        loop {
            let frame = self.receive().unwrap_or_else(|ending| panic!("{ending:?} before a frame of stream {stream}"));
            if frame.stream == stream && matches!(frame.kind, DATA | HEADERS | RST_STREAM) {
                return frame;
            }
        }
    }

    /// Reads to the end, and returns the reason the server gave, if it gave one.
    pub fn end(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Ok(frame) = self.receive() {
            if frame.kind == GOAWAY {
                reason = Some(u32::from_be_bytes(frame.payload[4..8].try_into().expect("a GOAWAY has 8 bytes")));
            }
        }
        reason
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (head, rest) = bytes.split_at_checked(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let stream = u32::from_be_bytes(head[5..9].try_into().expect("four bytes"));
    let payload = rest.get(..length)?.to_vec();
    Some((Frame { kind: head[3], flags: head[4], stream, payload }, 9 + length))
}

/// A field that goes into no table (RFC 7541 §6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// A text without Huffman's coding, with its length (RFC 7541 §5.1).
pub fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match text.len() {
        length @ 0..127 => bytes.push(length as u8),
        length => {
            bytes.push(127);
            let mut left = length - 127;
            while left >= 128 {
                bytes.push((left % 128) as u8 | 128);
                left /= 128;
            }
            bytes.push(left as u8);
        }
    }
    bytes.extend(text.as_bytes());
    bytes
}
