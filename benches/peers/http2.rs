//! As much of HTTP/2 as a client needs that asks for pages (RFC 9113, RFC 7541), made and read by hand as the rest of `wire` is.

use std::collections::HashMap;

/// What a client keeps of a connection.
pub(crate) struct Streams {
    next: u32,
    /// Content of answers that came in several frames.
    parts: HashMap<u32, Vec<u8>>,
    /// Bytes since the server was last told that there is room.
    unacknowledged: u32,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const HEAD_LEN: usize = 9;

/// Half of what the server may send before it hears of more room.
const ROOM: u32 = 1 << 29;

/// `:status: 200` in the static table, as a whole field.
const OK: u8 = 0x88;

impl Streams {
    /// A new connection, whose first bytes are appended to `out`.
    pub(crate) fn start(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        // SETTINGS_ENABLE_PUSH 0, SETTINGS_INITIAL_WINDOW_SIZE as large as can be.
        frame(SETTINGS, 0, 0, b"\x00\x02\x00\x00\x00\x00\x00\x04\x7f\xff\xff\xff", out);
        frame(WINDOW_UPDATE, 0, 0, &(2 * ROOM).to_be_bytes(), out);
        Self { next: 1, parts: HashMap::new(), unacknowledged: 0 }
    }

    /// A GET without content on a stream of its own.
    pub(crate) fn get(&mut self, target: &str, out: &mut Vec<u8>) {
        // `:method: GET` and `:scheme: https` by their index; the others are literals of indexed names that are not to be remembered.
        let mut fields = vec![0x82, 0x87];
        for (name, value) in [(&b"\x04"[..], target), (b"\x01", "localhost"), (b"\x0f\x04", "*/*")] {
            fields.extend_from_slice(name);
            fields.push(value.len() as u8);
            fields.extend_from_slice(value.as_bytes());
        }
        frame(HEADERS, END_STREAM | END_HEADERS, self.next, &fields, out);
        self.next += 2;
    }

    /// Reads the frame at the front of `bytes`, answers it where it wants that, and hands on the content of an answer that
    /// has come whole; how long the frame was, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// The server refuses something, or answers with another status than 200.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        on: impl FnOnce(&[u8]),
    ) -> Result<Option<usize>, String> {
        let Some((head, rest)) = bytes.split_at_checked(HEAD_LEN) else { return Ok(None) };
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match kind {
            DATA => self.content(stream, payload, flags & END_STREAM != 0, out, on),
            HEADERS => {
                // A change of the table's size may come first (RFC 7541 §6.3).
                let status = payload.iter().find(|&&byte| byte & 0xE0 != 0x20);
                if status != Some(&OK) {
                    return Err(format!("a request answered with {payload:02x?}"));
                }
            }
            SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, b"", out),
            PING if flags & ACK == 0 => frame(PING, ACK, 0, payload, out),
            RST_STREAM | GOAWAY => return Err(format!("frame {kind} on stream {stream}: {payload:02x?}")),
            _ => {} // nothing that the bench has a use for
        }
        Ok(Some(HEAD_LEN + len))
    }

    fn content(&mut self, stream: u32, bytes: &[u8], is_end: bool, out: &mut Vec<u8>, on: impl FnOnce(&[u8])) {
        self.unacknowledged += bytes.len() as u32;
        if self.unacknowledged > ROOM {
            frame(WINDOW_UPDATE, 0, 0, &self.unacknowledged.to_be_bytes(), out);
            self.unacknowledged = 0;
        }
        match (self.parts.remove(&stream), is_end) {
            (None, true) => on(bytes),
            (parts, _) => {
                let whole = [&parts.unwrap_or_default(), bytes].concat();
                if is_end {
                    on(&whole);
                } else {
                    self.parts.insert(stream, whole);
                }
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let [_, len @ ..] = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
