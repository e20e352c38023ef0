//! One request as a browser writes it when it opens a WebSocket, and the head of its answer.

use std::io::{self, Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::report::quoted;
use super::target::Target;
use super::wire::Wire;

/// What differs from one request to the next.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// `None`: the fields by which a request asks to become a WebSocket are left out.
    pub websocket_key: Option<String>,
    pub origin: Option<String>,
    pub subprotocol: Option<String>,
    pub cookie: Option<String>,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    fields: Vec<(String, String)>,
    /// What came behind it already.
    pub rest: Vec<u8>,
}

/// The longest head that is read.
const HEAD_BYTES_MAX: usize = 64 * 1024;

const FIELDS_MAX: usize = 128;

impl Head {
    /// The value of the first field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Such as `400 from nginx/1.22.1`.
    #[must_use]
    pub fn described(&self) -> String {
        match self.field("Server") {
            Some(server) => format!("{} from {}", self.status, quoted(server)),
            None => self.status.to_string(),
        }
    }
}

/// A key for `Sec-WebSocket-Key`: 16 bytes that nobody guesses (RFC 6455 §4.1).
///
/// # Errors
/// The system has no entropy.
pub fn websocket_key() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(STANDARD.encode(bytes))
}

/// Sends a request for `target` and reads the head of the answer.
///
/// # Errors
/// No answer of HTTP came in time.
pub fn ask(wire: &mut Wire, target: &Target, ask: &Ask) -> io::Result<Head> {
    let sent = wire.write_all(request(target, ask).as_bytes()).and_then(|()| wire.flush());
    // A server that refuses a large request may answer, and close, before it has read it.
    match (read_head(wire), sent) {
        (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
        (Ok(head), _) => Ok(head),
    }
}

fn request(target: &Target, ask: &Ask) -> String {
    let mut request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", target.path, target.authority());
    let mut add = |name: &str, value: &str| request += &format!("{name}: {value}\r\n");
    add("User-Agent", concat!("tidegate-doctor/", env!("CARGO_PKG_VERSION")));
    if let Some(key) = &ask.websocket_key {
        add("Connection", "Upgrade");
        add("Upgrade", "websocket");
        add("Sec-WebSocket-Version", "13");
        add("Sec-WebSocket-Key", key);
        // Every browser offers it.
        add("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    } else {
        add("Connection", "close");
    }
    for (name, value) in
        [("Sec-WebSocket-Protocol", &ask.subprotocol), ("Origin", &ask.origin), ("Cookie", &ask.cookie)]
    {
        if let Some(value) = value {
            add(name, value);
        }
    }
    request + "\r\n"
}

fn read_head(wire: &mut Wire) -> io::Result<Head> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = wire.read(&mut buffer)?;
        if count == 0 {
            let words = if bytes.is_empty() { "closed without an answer" } else { "closed within the answer" };
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, words));
        }
        bytes.extend_from_slice(&buffer[..count]);
        while let Some(head) = parse(&bytes)? {
            // 103 Early Hints and their like come before the answer.
            if head.status >= 200 || head.status == 101 {
                return Ok(head);
            }
            bytes = head.rest;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(invalid("the head of the answer has no end"));
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let no_http = |_| invalid(&format!("no answer of HTTP: {:?}", quoted(&String::from_utf8_lossy(bytes))));
    let httparse::Status::Complete(length) = response.parse(bytes).map_err(no_http)? else { return Ok(None) };
    let fields = response.headers.iter();
    let fields =
        fields.map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).trim().to_owned())).collect();
    let rest = bytes.get(length..).unwrap_or_default().to_vec();
    Ok(Some(Head { status: response.code.unwrap_or_default(), fields, rest }))
}

fn invalid(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_the_head_is_kept() {
        let head = parse(b"HTTP/1.1 101 Switching Protocols\r\nServer: x\r\n\r\nab").unwrap().unwrap();
        assert_eq!((head.described().as_str(), head.rest.as_slice()), ("101 from x", &b"ab"[..]));
        assert!(parse(b"HTTP/1.1 101 Sw").unwrap().is_none());
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }

    #[test]
    fn only_a_request_for_a_websocket_asks_for_one() {
        let target = Target::parse("wss://a.example/mqtt?x").unwrap();
        let plain = request(&target, &Ask::default());
        assert!(plain.starts_with("GET /mqtt?x HTTP/1.1\r\nHost: a.example\r\n"), "{plain}");
        assert!(!plain.contains("Upgrade"), "{plain}");
        let upgrade = request(&target, &Ask { websocket_key: Some("k".to_owned()), ..Ask::default() });
        assert!(upgrade.contains("\r\nUpgrade: websocket\r\n") && !upgrade.contains("Cookie"), "{upgrade}");
    }
}
