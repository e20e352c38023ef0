//! Writes the data types of MQTT 5.0 §1.5, and properties.

use super::EncodeError;
use crate::mqtt::codec::reader::VBI_MAX;
use crate::mqtt::codec::section::id;
use crate::mqtt::codec::violation::Violation;
use crate::mqtt::property::{AckProperties, UserProperties};

/// Runs `write`, and takes back all that it appended if it fails.
pub(in super::super) fn all_or_nothing(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let written = write(out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// How many bytes `value` takes as a Variable Byte Integer, if it is at most [`VBI_MAX`].
#[inline]
pub(in super::super) fn vbi_len(value: usize) -> usize {
    match value {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

/// Appends `value`, at most [`VBI_MAX`], as a Variable Byte Integer.
#[inline]
pub(in super::super) fn vbi(out: &mut Vec<u8>, mut value: usize) {
    debug_assert!(value <= VBI_MAX as usize);
    while value > 127 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends what `write` writes, with its length as a Variable Byte Integer in front.
pub(super) fn with_length(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    const ROOM: usize = 4;
    let start = out.len();
    out.extend_from_slice(&[0; ROOM]);
    write(out)?;
    let body_len = out.len() - start - ROOM;
    if body_len > VBI_MAX as usize {
        return Err(EncodeError::TooLong);
    }
    let length_len = vbi_len(body_len);
    let mut rest = body_len;
    for (index, byte) in out[start..start + length_len].iter_mut().enumerate() {
        let more = if index + 1 < length_len { 0x80 } else { 0 };
        *byte = (rest & 0x7F) as u8 | more;
        rest >>= 7;
    }
    out.copy_within(start + ROOM.., start + length_len);
    out.truncate(start + length_len + body_len);
    Ok(())
}

/// Appends Binary Data: its length in two bytes, then the bytes.
pub(in super::super) fn binary(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    let length = u16::try_from(bytes.len()).map_err(|_| EncodeError::TooLong)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a UTF-8 Encoded String.
pub(in super::super) fn string(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(Violation::NulCharacter.into());
    }
    binary(out, text.as_bytes())
}

pub(super) fn u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn byte_property(out: &mut Vec<u8>, id: u8, value: Option<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(&[id, value]);
    }
}

pub(super) fn boolean_property(out: &mut Vec<u8>, id: u8, value: Option<bool>) {
    byte_property(out, id, value.map(u8::from));
}

pub(super) fn u16_property(out: &mut Vec<u8>, id: u8, value: Option<u16>) {
    if let Some(value) = value {
        out.push(id);
        u16(out, value);
    }
}

pub(super) fn u32_property(out: &mut Vec<u8>, id: u8, value: Option<u32>) {
    if let Some(value) = value {
        out.push(id);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn string_property(out: &mut Vec<u8>, id: u8, value: Option<&str>) -> Result<(), EncodeError> {
    let Some(value) = value else { return Ok(()) };
    out.push(id);
    string(out, value)
}

pub(super) fn binary_property(out: &mut Vec<u8>, id: u8, value: Option<&[u8]>) -> Result<(), EncodeError> {
    let Some(value) = value else { return Ok(()) };
    out.push(id);
    binary(out, value)
}

pub(super) fn user_properties(out: &mut Vec<u8>, user_properties: &UserProperties) -> Result<(), EncodeError> {
    for (name, value) in user_properties {
        out.push(id::USER_PROPERTY);
        string(out, name)?;
        string(out, value)?;
    }
    Ok(())
}

pub(super) fn ack_properties(out: &mut Vec<u8>, properties: &AckProperties) -> Result<(), EncodeError> {
    string_property(out, id::REASON_STRING, properties.reason_string.as_deref())?;
    user_properties(out, &properties.user_properties)
}
