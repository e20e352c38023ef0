//! Reads the data types of MQTT 5.0 §1.5 out of a slice, in order, without copying.

use super::violation::Violation;
use crate::mqtt::PacketId;

/// The largest value of a Variable Byte Integer, hence of a Remaining Length (MQTT 5.0 §1.5.5).
pub(super) const VBI_MAX: u32 = 268_435_455;

/// A Variable Byte Integer at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vbi {
    /// The bytes end before it does.
    Incomplete,
    Complete {
        value: u32,
        /// The bytes it takes: 1 to 4.
        len: usize,
    },
}

/// Reads the Variable Byte Integer at the front of `bytes`.
#[inline]
pub(super) fn read_vbi(bytes: &[u8]) -> Result<Vbi, Violation> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            // A last byte of 0 adds nothing: fewer bytes would have done.
            let is_minimal = byte != 0 || index == 0;
            return if is_minimal {
                Ok(Vbi::Complete { value, len: index + 1 })
            } else {
                Err(Violation::LengthNotMinimal)
            };
        }
    }
    if bytes.len() >= 4 { Err(Violation::LengthTooLong) } else { Ok(Vbi::Incomplete) }
}

/// What is left of a packet, or of the properties in it.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// What it is when a field needs more bytes than are left.
    on_end: Violation,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8], on_end: Violation) -> Self {
        Self { rest: bytes, on_end }
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(self.on_end)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Violation> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Violation> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Violation> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer (MQTT 5.0 §1.5.5).
    #[inline]
    pub(super) fn vbi(&mut self) -> Result<u32, Violation> {
        match read_vbi(self.rest)? {
            Vbi::Incomplete => Err(self.on_end),
            Vbi::Complete { value, len } => {
                self.rest = &self.rest[len..];
                Ok(value)
            }
        }
    }

    #[inline]
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Violation> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(self.on_end)?;
        self.rest = rest;
        Ok(head)
    }

    /// Binary Data: its length in two bytes, then the bytes (MQTT 5.0 §1.5.6).
    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'a [u8], Violation> {
        let count = self.u16()?;
        self.bytes(usize::from(count))
    }

    /// A UTF-8 Encoded String except that U+0000 is still to be looked for, as checking a topic does.
    #[inline]
    pub(super) fn string_with_nul(&mut self) -> Result<&'a str, Violation> {
        simdutf8::basic::from_utf8(self.binary()?).map_err(|_| Violation::NotUtf8)
    }

    /// A UTF-8 Encoded String (MQTT 5.0 §1.5.4). Noncharacters and control characters other than U+0000 are allowed.
    #[inline]
    pub(super) fn string(&mut self) -> Result<&'a str, Violation> {
        let text = self.string_with_nul()?;
        if memchr::memchr(0, text.as_bytes()).is_some() { Err(Violation::NulCharacter) } else { Ok(text) }
    }

    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, Violation> {
        PacketId::new(self.u16()?).ok_or(Violation::PacketIdZero)
    }

    /// Nothing may be left.
    #[inline]
    pub(super) fn finish(&self) -> Result<(), Violation> {
        if self.rest.is_empty() { Ok(()) } else { Err(Violation::TrailingBytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_byte_integers_at_their_bounds() {
        for (bytes, value) in [
            (&[0x00][..], 0),
            (&[0x7F], 127),
            (&[0x80, 0x01], 128),
            (&[0xFF, 0x7F], 16_383),
            (&[0x80, 0x80, 0x01], 16_384),
            (&[0xFF, 0xFF, 0x7F], 2_097_151),
            (&[0x80, 0x80, 0x80, 0x01], 2_097_152),
            (&[0xFF, 0xFF, 0xFF, 0x7F], VBI_MAX),
        ] {
            assert_eq!(read_vbi(bytes), Ok(Vbi::Complete { value, len: bytes.len() }));
        }
    }

    #[test]
    fn strings_are_utf8_without_nul_and_keep_their_byte_order_mark() {
        let read = |bytes: &'static [u8]| Reader::new(bytes, Violation::Truncated).string();
        assert_eq!(read(b"\x00\x05\xEF\xBB\xBFab"), Ok("\u{FEFF}ab"), "[MQTT-1.5.4-3]");
        assert_eq!(read(b"\x00\x03\xEF\xBF\xBF"), Ok("\u{FFFF}"), "a noncharacter");
        assert_eq!(read(b"\x00\x03\xED\xA0\x80"), Err(Violation::NotUtf8), "U+D800");
        assert_eq!(read(b"\x00\x02\xC0\x80"), Err(Violation::NotUtf8), "an overlong NUL");
        assert_eq!(read(b"\x00\x02a\x00"), Err(Violation::NulCharacter));
        assert_eq!(read(b"\x00\x03ab"), Err(Violation::Truncated));
    }
}
