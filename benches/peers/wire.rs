//! The bytes the generator speaks: MQTT 3.1.1, JSON Actions and RFC 6455 client frames, made and read by hand.
//!
//! Nothing here is shared with Tidegate's own codec, so a fault in that codec cannot hide itself in the bench.

use memchr::memmem;

/// A whole CONNECT: clean session, Keep Alive 300 s, no credentials (MQTT 3.1.1 §3.1).
pub(crate) fn connect(client_id: &str, out: &mut Vec<u8>) {
    const KEEP_ALIVE_S: u16 = 300;
    head(0x10, 12 + client_id.len(), out);
    out.extend_from_slice(b"\x00\x04MQTT\x04\x02");
    out.extend_from_slice(&KEEP_ALIVE_S.to_be_bytes());
    string(client_id.as_bytes(), out);
}

/// A SUBSCRIBE with one filter.
pub(crate) fn subscribe(filter: &str, qos: u8, packet_id: u16, out: &mut Vec<u8>) {
    head(0x82, 5 + filter.len(), out);
    out.extend_from_slice(&packet_id.to_be_bytes());
    string(filter.as_bytes(), out);
    out.push(qos);
}

/// A PUBLISH; `packet_id` is `Some` for QoS 1 and `None` for QoS 0.
pub(crate) fn publish(topic: &str, packet_id: Option<u16>, payload: &[u8], out: &mut Vec<u8>) {
    publish_head(topic.as_bytes(), packet_id, payload.len(), out);
    out.extend_from_slice(payload);
}

/// A PUBLISH up to its payload.
pub(crate) fn publish_head(topic: &[u8], packet_id: Option<u16>, payload_len: usize, out: &mut Vec<u8>) {
    let id_len = if packet_id.is_some() { 2 } else { 0 };
    head(if packet_id.is_some() { 0x32 } else { 0x30 }, 2 + topic.len() + id_len + payload_len, out);
    string(topic, out);
    if let Some(id) = packet_id {
        out.extend_from_slice(&id.to_be_bytes());
    }
}

pub(crate) fn puback(packet_id: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x40, 2]);
    out.extend_from_slice(&packet_id.to_be_bytes());
}

pub(crate) fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xE0, 0]);
}

fn head(first: u8, mut remaining: usize, out: &mut Vec<u8>) {
    out.push(first);
    loop {
        let digit = (remaining % 128) as u8;
        remaining /= 128;
        out.push(if remaining > 0 { digit | 0x80 } else { digit });
        if remaining == 0 {
            return;
        }
    }
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text);
}

/// A GET without content, over a connection that is to stay.
pub(crate) fn get(target: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n").as_bytes());
}

/// Status and content of the answer at the front of `bytes`, and its length in all; `None` if more bytes are needed.
///
/// Of the framings only Content-Length is read: what is asked for has one.
pub(crate) fn answer(bytes: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let head_len = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let (head, rest) = bytes.split_at(head_len);
    let status = head.get(9..12)?;
    let field = head.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        name.eq_ignore_ascii_case(b"content-length:").then_some(value)
    });
    let content_len = str::from_utf8(field.unwrap_or(b"0")).ok()?.trim().parse().ok()?;
    Some((status, rest.get(..content_len)?, head_len + content_len))
}

/// One MQTT Control Packet as it lies in the stream.
pub(crate) struct Packet<'a> {
    pub(crate) first: u8,
    pub(crate) body: &'a [u8],
}

/// The packet at the front of `bytes` and its length, or `None` if more bytes are needed.
pub(crate) fn packet(bytes: &[u8]) -> Option<(Packet<'_>, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let mut remaining = 0;
    for (index, &byte) in rest.iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let body = rest.get(index + 1..index + 1 + remaining)?;
            return Some((Packet { first, body }, 2 + index + remaining));
        }
    }
    None
}

/// What a PUBLISH from the server carries that the bench looks at.
pub(crate) struct Delivery<'a> {
    pub(crate) packet_id: Option<u16>,
    pub(crate) payload: &'a [u8],
}

/// Reads a PUBLISH of the server; `None` if its lengths contradict each other.
pub(crate) fn delivery<'a>(packet: &Packet<'a>) -> Option<Delivery<'a>> {
    let topic_len = usize::from(u16::from_be_bytes([*packet.body.first()?, *packet.body.get(1)?]));
    let rest = packet.body.get(2 + topic_len..)?;
    if packet.first & 0x06 == 0 {
        return Some(Delivery { packet_id: None, payload: rest });
    }
    let packet_id = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
    Some(Delivery { packet_id: Some(packet_id), payload: &rest[2..] })
}

/// A subscription in the JSON Action dialect; its `Id` asks for an answer.
pub(crate) fn json_subscribe(filter: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(r#"{{"Action":"subscribe","Topic":"{filter}","Id":1}}"#).as_bytes());
}

/// `payload` needs no escapes.
pub(crate) fn json_publish(topic: &str, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"Action":"publish","Topic":""#);
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(br#"","Payload":""#);
    out.extend_from_slice(payload);
    out.extend_from_slice(br#""}"#);
}

/// What a server's JSON message is, as far as the bench looks at it.
pub(crate) enum JsonMessage<'a> {
    Ack,
    Delivery(&'a [u8]),
    Other,
}

/// Reads a JSON message whose strings hold no escapes.
pub(crate) fn json_message(text: &[u8]) -> JsonMessage<'_> {
    const PAYLOAD: &[u8] = br#""Payload":""#;
    const ACK: &[u8] = br#""Action":"ack""#;
    if let Some(start) = memmem::find(text, PAYLOAD) {
        let rest = &text[start + PAYLOAD.len()..];
        return JsonMessage::Delivery(rest.split(|&byte| byte == b'"').next().unwrap_or_default());
    }
    if memmem::find(text, ACK).is_some() { JsonMessage::Ack } else { JsonMessage::Other }
}

/// The opening handshake of RFC 6455 §4.1; MQTT names its subprotocol, JSON has none.
pub(crate) fn upgrade(path: &str, authority: &str, subprotocol: Option<&str>, out: &mut Vec<u8>) {
    let subprotocol = subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    out.extend_from_slice(
        format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{subprotocol}\r\n"
        )
        .as_bytes(),
    );
}

/// Opcodes of RFC 6455 §5.2 that the generator meets.
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// Appends one masked client frame (RFC 6455 §5.3).
pub(crate) fn frame(opcode: u8, payload: &[u8], mask: u32, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    length(payload.len(), 0x80, out);
    let mask = mask.to_be_bytes();
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// The header of a server's frame.
pub(crate) fn server_frame_header(opcode: u8, payload_len: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    length(payload_len, 0, out);
}

/// The lengths of RFC 6455 §5.2, with the mask bit in `first`.
fn length(payload_len: usize, first: u8, out: &mut Vec<u8>) {
    match payload_len {
        len @ 0..=125 => out.push(first | len as u8),
        len @ 126..=0xFFFF => {
            out.push(first | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(first | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// A client's frame at the front of `bytes`: opcode, mask, payload as masked, and its length in all; `None` if more bytes are needed.
pub(crate) fn client_frame(bytes: &[u8]) -> Option<(u8, [u8; 4], &[u8], usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let (payload_len, rest) = match second & 0x7F {
        126 => rest.split_first_chunk::<2>().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?,
        127 => rest.split_first_chunk::<8>().map(|(len, rest)| (u64::from_be_bytes(*len) as usize, rest))?,
        len => (usize::from(len), rest),
    };
    let (mask, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..payload_len)?;
    Some((first & 0x0F, *mask, payload, bytes.len() - rest.len() + payload_len))
}

/// Takes server frames apart, split anywhere; only control payloads are kept.
#[derive(Default)]
pub(crate) struct Frames {
    header: [u8; 10],
    header_len: usize,
    remaining: u64,
    control: Vec<u8>,
}

/// A piece of what a frame carried.
pub(crate) enum Piece<'a> {
    /// Bytes of a message, not necessarily all of it.
    Data {
        bytes: &'a [u8],
        ends_message: bool,
    },
    Ping(&'a [u8]),
    Close,
}

impl Frames {
    /// Calls `on` for each piece in `bytes`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut on: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            if !self.header_is_whole() {
                self.header[self.header_len] = bytes[0];
                self.header_len += 1;
                bytes = &bytes[1..];
                if !self.header_is_whole() {
                    continue;
                }
                self.remaining = self.announced();
            }
            let take = self.remaining.min(bytes.len() as u64) as usize;
            let (piece, rest) = bytes.split_at(take);
            bytes = rest;
            self.remaining -= take as u64;
            match self.header[0] & 0x0F {
                opcode if opcode < 0x8 => {
                    let ends_message = self.remaining == 0 && self.header[0] & 0x80 != 0;
                    on(Piece::Data { bytes: piece, ends_message });
                }
                _ => self.control.extend_from_slice(piece),
            }
            if self.remaining == 0 {
                match self.header[0] & 0x0F {
                    PING => on(Piece::Ping(&self.control)),
                    CLOSE => on(Piece::Close),
                    _ => {}
                }
                self.control.clear();
                self.header_len = 0;
            }
        }
    }

    fn header_is_whole(&self) -> bool {
        self.header_len >= 2
            && self.header_len
                == match self.header[1] & 0x7F {
                    126 => 4,
                    127 => 10,
                    _ => 2,
                }
    }

    fn announced(&self) -> u64 {
        match self.header[1] & 0x7F {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => self.header[2..10].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
            len => u64::from(len),
        }
    }
}
