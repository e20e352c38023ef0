//! Frames from the server: final, unmasked, so one spelling serves every receiver.

use super::{CONTROL_BYTES_MAX, CloseCode, Control, Data, OpCode};

/// A text message in one frame.
pub const TEXT: OpCode = OpCode::Data(Data::Text);
/// A binary message in one frame.
pub const BINARY: OpCode = OpCode::Data(Data::Binary);

/// The most bytes that [`write_header`] appends.
pub const HEADER_BYTES_MAX: usize = 10;

/// How many bytes [`write_header`] appends for this payload.
#[must_use]
pub fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => HEADER_BYTES_MAX,
    }
}

/// Appends the header of a final, unmasked frame; `payload_len` bytes of payload are to follow (RFC 6455 §5.2).
pub fn write_header(out: &mut Vec<u8>, opcode: OpCode, payload_len: usize) {
    const FIN: u8 = 0x80;
    let first = FIN | u8::from(opcode);
    match payload_len {
        0..=125 => out.extend_from_slice(&[first, payload_len as u8]),
        126..=0xFFFF => {
            let [high, low] = (payload_len as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        _ => {
            let mut header = [first, 127, 0, 0, 0, 0, 0, 0, 0, 0];
            header[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
            out.extend_from_slice(&header);
        }
    }
}

/// Appends one whole frame whose payload is `parts`, joined.
pub fn write_frame(out: &mut Vec<u8>, opcode: OpCode, parts: &[&[u8]]) {
    let payload_len = parts.iter().map(|part| part.len()).sum();
    out.reserve(HEADER_BYTES_MAX + payload_len);
    write_header(out, opcode, payload_len);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a Ping; of `payload` at most 125 bytes are sent (RFC 6455 §5.5.2).
pub fn write_ping(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, Control::Ping, &[payload]);
}

/// Appends the Pong that answers a Ping with this payload (RFC 6455 §5.5.3).
pub fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, Control::Pong, &[payload]);
}

/// Appends a Close with `code` and as much of `reason` as fits, cut between characters (RFC 6455 §5.5.1).
pub fn write_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
    write_control(out, Control::Close, &[&u16::from(code).to_be_bytes(), reason.as_bytes()]);
}

/// Appends the Close that answers a client's: the same code, or none if it sent none (RFC 6455 §5.5.1).
pub fn write_close_reply(out: &mut Vec<u8>, code: Option<CloseCode>) {
    match code {
        Some(code) => write_close(out, code, ""),
        None => write_control(out, Control::Close, &[]),
    }
}

fn write_control(out: &mut Vec<u8>, opcode: Control, parts: &[&[u8]]) {
    let mut payload = [0; CONTROL_BYTES_MAX];
    let mut payload_len = 0;
    for part in parts {
        let part = &part[..part.len().min(CONTROL_BYTES_MAX - payload_len)];
        payload[payload_len..payload_len + part.len()].copy_from_slice(part);
        payload_len += part.len();
    }
    write_frame(out, OpCode::Control(opcode), &[&payload[..payload_len]]);
}
