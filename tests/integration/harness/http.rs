//! Plain HTTP requests, for what is not a WebSocket.

use std::net::SocketAddr;

use super::transport::Transport;

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and fields, as they came.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// GETs `path` from a plain listener.
pub fn get(address: SocketAddr, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    ask(Transport::tcp(address), request.as_bytes())
}

/// GETs `path` from a TLS listener.
pub fn get_tls(address: SocketAddr, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    ask(Transport::tls(address), request.as_bytes())
}

/// Sends `request` and reads until the server closes.
pub fn ask(mut transport: Transport, request: &[u8]) -> Answer {
    transport.write(request);
    let (bytes, _) = transport.read_to_end();
    parse(&bytes)
}

/// Takes one answer apart; a chunked body is left in its chunks.
pub fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {head:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
