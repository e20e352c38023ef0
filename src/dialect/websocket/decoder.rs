//! The receiving half: one decoder a connection, fed with whatever the socket had.

use std::borrow::Cow;
use std::fmt;
use std::io::Cursor;

use smallvec::SmallVec;
use tungstenite::protocol::frame::FrameHeader;

use super::{CONTROL_BYTES_MAX, CloseCode, Control, Data, FrameError, OpCode, mask};

/// The type of message that a subprotocol speaks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// MQTT (MQTT 5.0 §6, `[MQTT-6.0.0-1]`).
    Binary,
    /// The JSON Action dialect.
    Text,
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Binary => "binary",
            Self::Text => "text",
        })
    }
}

/// What a client's bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// All input is used up; nothing more to tell.
    NeedMore,
    /// The next bytes of a binary message, handed out as they come: MQTT is a byte stream over messages (`[MQTT-6.0.0-2]`).
    /// May be empty.
    Binary {
        bytes: &'a [u8],
        end_of_message: bool,
    },
    /// A whole text message; borrowed if it came whole in one frame and one input.
    Text(Cow<'a, str>),
    /// Answer it with a Pong of the same payload (RFC 6455 §5.5.2).
    Ping(Cow<'a, [u8]>),
    Pong,
    /// Answer it with a Close of the same code, then close. Whatever follows is discarded (RFC 6455 §5.5.1).
    Close {
        code: Option<CloseCode>,
    },
}

/// Decodes what one client sends after the opening handshake, from any split of the byte stream.
///
/// An error ends it: what it returns afterwards is [`Event::NeedMore`], and all input is discarded.
#[derive(Debug)]
pub struct FrameDecoder {
    /// The beginning of a frame whose header, or whose whole if it is a control frame, has not come yet.
    held: Option<Box<Held>>,
    /// What came of a text message that is not complete.
    text: Option<Box<PartialText>>,
    message_bytes_max: u32,
    /// Announced by the frames of this message so far.
    message_bytes: u32,
    /// Payload of the present data frame that has not come yet.
    frame_bytes_left: u32,
    /// For the next byte of the present data frame.
    mask: [u8; 4],
    empty_fragments: u8,
    expect: Expect,
    place: Place,
    /// FIN of the present data frame.
    is_final: bool,
}

/// Where in the stream of frames the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Between messages.
    Message,
    /// Between two fragments of a message.
    Fragment,
    /// In the payload of a data frame.
    Payload,
    /// After a Close or an error.
    End,
}

/// The most empty fragments in one message. The RFC sets no bound; without one a client keeps a message open for ever at no cost.
const EMPTY_FRAGMENTS_MAX: u8 = 16;

/// Short header, mask and payload of the longest control frame; any data frame's header is shorter.
const HELD_BYTES_MAX: usize = 2 + 4 + CONTROL_BYTES_MAX;

type Held = SmallVec<[u8; HELD_BYTES_MAX]>;

#[derive(Debug, Default)]
struct PartialText {
    bytes: Vec<u8>,
    /// How many of `bytes` are known to be whole, valid characters.
    valid_len: usize,
}

/// A frame's header that may stand, and its own length.
struct Header {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    header_len: usize,
    payload_len: u64,
}

/// The header that nearly every frame has: of a short data message in one piece. All others are left to tungstenite.
fn plain_header(bytes: &[u8]) -> Option<Header> {
    let &[first, second, m0, m1, m2, m3, ..] = bytes else { return None };
    let data = match first {
        0x81 => Data::Text,
        0x82 => Data::Binary,
        _ => return None,
    };
    let payload_len = second.checked_sub(0x80).filter(|&len| len < 126)?;
    Some(Header {
        opcode: OpCode::Data(data),
        is_final: true,
        mask: [m0, m1, m2, m3],
        header_len: 6,
        payload_len: payload_len.into(),
    })
}

impl FrameDecoder {
    /// A decoder for a connection whose messages are `expect` and have at most `message_bytes_max` bytes, over all fragments.
    #[must_use]
    pub fn new(expect: Expect, message_bytes_max: u32) -> Self {
        Self {
            held: None,
            text: None,
            message_bytes_max,
            message_bytes: 0,
            frame_bytes_left: 0,
            mask: [0; 4],
            empty_fragments: 0,
            expect,
            place: Place::Message,
            is_final: false,
        }
    }

    /// Changes the limit from the next frame on: small before the client is known, larger after.
    pub fn set_message_bytes_max(&mut self, message_bytes_max: u32) {
        self.message_bytes_max = message_bytes_max;
    }

    /// Whether a frame or message has begun and is not complete.
    #[must_use]
    pub fn is_amid_message(&self) -> bool {
        self.held.is_some() || matches!(self.place, Place::Fragment | Place::Payload)
    }

    /// Memory that the text which is not whole yet takes.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.bytes.capacity())
    }

    /// Whether the decoder owns no heap memory.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_none() && self.text.is_none()
    }

    /// Decodes up to one event from the front of `input`, a slice of the stream, unmasking in place.
    ///
    /// Returns how many bytes were used. Call again with what is left until [`Event::NeedMore`], which leaves nothing: the caller
    /// need not keep any input.
    ///
    /// # Errors
    /// What the client did wrong; [`FrameError::close_code`] says so to it. A limit is checked when the header announces the length,
    /// before any of it arrives.
    pub fn decode<'a>(&mut self, input: &'a mut [u8]) -> Result<(usize, Event<'a>), FrameError> {
        let result = self.decode_event(input);
        if matches!(result, Err(_) | Ok((_, Event::Close { .. }))) {
            self.place = Place::End;
            self.held = None;
            self.text = None;
        }
        result
    }

    fn decode_event<'a>(&mut self, input: &'a mut [u8]) -> Result<(usize, Event<'a>), FrameError> {
        let mut at = 0;
        loop {
            match self.place {
                Place::End => return Ok((input.len(), Event::NeedMore)),
                Place::Message | Place::Fragment if self.held.is_some() => {
                    let (used, event) = self.continue_held(&input[at..])?;
                    at += used;
                    if let Some(event) = event {
                        return Ok((at, event));
                    }
                }
                Place::Message | Place::Fragment => {
                    let Some(header) = self.parse_header(&input[at..])? else { return Ok(self.hold(input, at)) };
                    let start = at + header.header_len;
                    if let OpCode::Control(opcode) = header.opcode {
                        // At most 125 by check_header.
                        let end = start + header.payload_len as usize;
                        if end > input.len() {
                            return Ok(self.hold(input, at));
                        }
                        mask::apply(&mut input[start..end], header.mask);
                        return Ok((end, control_event(opcode, Cow::Borrowed(&input[start..end]))?));
                    }
                    self.begin_data(&header);
                    at = start;
                }
                Place::Payload => {
                    let (end, end_of_message) = self.take_payload(input, at);
                    let is_frame_end = self.place != Place::Payload;
                    match self.expect {
                        // A frame of whose payload nothing has come yet tells nothing.
                        Expect::Binary if at < end || is_frame_end => {
                            return Ok((end, Event::Binary { bytes: &input[at..end], end_of_message }));
                        }
                        Expect::Text if end_of_message => return Ok((end, self.end_text(&input[at..end])?)),
                        Expect::Text if at < end => self.text.get_or_insert_default().append(&input[at..end])?,
                        Expect::Binary | Expect::Text => {}
                    }
                    at = end;
                    if !is_frame_end {
                        return Ok((at, Event::NeedMore));
                    }
                }
            }
        }
    }

    /// Unmasks what `input` has from `at` on of the present frame's payload. Returns its end, and whether it ends the message.
    fn take_payload(&mut self, input: &mut [u8], at: usize) -> (usize, bool) {
        let end = input.len().min(at.saturating_add(self.frame_bytes_left as usize));
        mask::apply(&mut input[at..end], self.mask);
        self.mask = mask::advance(self.mask, end - at);
        // At most frame_bytes_left.
        self.frame_bytes_left -= (end - at) as u32;
        if self.frame_bytes_left == 0 {
            self.place = if self.is_final { Place::Message } else { Place::Fragment };
        }
        (end, self.place == Place::Message)
    }

    /// The text message whose last bytes are `bytes`.
    fn end_text<'a>(&mut self, bytes: &'a [u8]) -> Result<Event<'a>, FrameError> {
        let text = match self.text.take() {
            None => Cow::Borrowed(simdutf8::basic::from_utf8(bytes).map_err(|_| FrameError::TextNotUtf8)?),
            Some(mut partial) => {
                partial.append(bytes)?;
                Cow::Owned(partial.finish()?)
            }
        };
        Ok(Event::Text(text))
    }

    /// Keeps all of `input` from `at` on until the rest of its frame comes.
    fn hold<'a>(&mut self, input: &[u8], at: usize) -> (usize, Event<'a>) {
        if at < input.len() {
            self.held = Some(Box::new(Held::from_slice(&input[at..])));
        }
        (input.len(), Event::NeedMore)
    }

    /// Adds `input` to what is held. Returns how much of it belonged there, and the event if that completed a control frame.
    fn continue_held<'a>(&mut self, input: &[u8]) -> Result<(usize, Option<Event<'a>>), FrameError> {
        let Some(mut held) = self.held.take() else { return Ok((0, None)) };
        let before = held.len();
        held.extend_from_slice(&input[..input.len().min(HELD_BYTES_MAX - before)]);
        let whole = match self.parse_header(&held)? {
            Some(Header { opcode: OpCode::Control(opcode), header_len, payload_len, mask, .. }) => {
                let end = header_len + payload_len as usize;
                held.get_mut(header_len..end).map(|payload| {
                    mask::apply(payload, mask);
                    control_event(opcode, Cow::Owned(payload.to_vec())).map(|event| (end, Some(event)))
                })
            }
            Some(header) => {
                self.begin_data(&header);
                Some(Ok((header.header_len, None)))
            }
            None => None,
        };
        match whole {
            Some(whole) => whole.map(|(end, event)| (end - before, event)),
            None => {
                self.held = Some(held);
                Ok((input.len(), Some(Event::NeedMore)))
            }
        }
    }

    /// The header at the front of `bytes`, once all of it is there, if it may stand here.
    fn parse_header(&self, bytes: &[u8]) -> Result<Option<Header>, FrameError> {
        if let Some(header) = plain_header(bytes) {
            self.check_header(&header)?;
            return Ok(Some(header));
        }
        let mut cursor = Cursor::new(bytes);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| FrameError::ReservedOpcode(bytes[0] & 0x0F))?;
        let Some((header, payload_len)) = parsed else { return Ok(None) };
        let header_len = cursor.position() as usize;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(FrameError::ReservedBits);
        }
        let Some(mask) = header.mask else { return Err(FrameError::Unmasked) };
        // tungstenite takes any length form; its `len` is that of the shortest.
        if header_len != header.len(payload_len) {
            return Err(FrameError::LengthNotMinimal);
        }
        let header = Header { opcode: header.opcode, is_final: header.is_final, mask, header_len, payload_len };
        self.check_header(&header)?;
        Ok(Some(header))
    }

    fn check_header(&self, header: &Header) -> Result<(), FrameError> {
        let data = match header.opcode {
            OpCode::Control(_) if !header.is_final => return Err(FrameError::ControlFragmented),
            OpCode::Control(_) if header.payload_len > CONTROL_BYTES_MAX as u64 => {
                return Err(FrameError::ControlTooLong);
            }
            OpCode::Control(_) => return Ok(()),
            OpCode::Data(data) => data,
        };
        match (data, self.place, self.expect) {
            (Data::Continue, Place::Message, _) => return Err(FrameError::UnexpectedContinuation),
            (Data::Text | Data::Binary, Place::Fragment, _) => return Err(FrameError::Interleaved),
            (Data::Text, _, Expect::Binary) | (Data::Binary, _, Expect::Text) => {
                return Err(FrameError::WrongType(self.expect));
            }
            _ => {}
        }
        let message_bytes_before = if self.place == Place::Fragment { self.message_bytes } else { 0 };
        if header.payload_len > u64::from(self.message_bytes_max.saturating_sub(message_bytes_before)) {
            return Err(FrameError::MessageTooLong { bytes_max: self.message_bytes_max });
        }
        let empty_fragments_before = if self.place == Place::Fragment { self.empty_fragments } else { 0 };
        if header.payload_len == 0 && !header.is_final && empty_fragments_before >= EMPTY_FRAGMENTS_MAX {
            return Err(FrameError::TooManyEmptyFragments);
        }
        Ok(())
    }

    /// Enters the payload of a data frame that `check_header` let pass.
    fn begin_data(&mut self, header: &Header) {
        if self.place == Place::Message {
            self.message_bytes = 0;
            self.empty_fragments = 0;
        }
        // At most message_bytes_max, which is a u32.
        self.frame_bytes_left = header.payload_len as u32;
        self.message_bytes += header.payload_len as u32;
        self.empty_fragments += u8::from(header.payload_len == 0 && !header.is_final);
        self.mask = header.mask;
        self.is_final = header.is_final;
        self.place = Place::Payload;
    }
}

impl PartialText {
    /// # Errors
    /// `bytes` cannot continue the text, whatever follows.
    fn append(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.bytes.extend_from_slice(bytes);
        match simdutf8::compat::from_utf8(&self.bytes[self.valid_len..]) {
            Ok(_) => self.valid_len = self.bytes.len(),
            // A character whose end has not come.
            Err(error) if error.error_len().is_none() => self.valid_len += error.valid_up_to(),
            Err(_) => return Err(FrameError::TextNotUtf8),
        }
        Ok(())
    }

    fn finish(self) -> Result<String, FrameError> {
        String::from_utf8(self.bytes).map_err(|_| FrameError::TextNotUtf8)
    }
}

fn control_event(opcode: Control, payload: Cow<'_, [u8]>) -> Result<Event<'_>, FrameError> {
    match opcode {
        Control::Ping => Ok(Event::Ping(payload)),
        Control::Pong => Ok(Event::Pong),
        Control::Close => Ok(Event::Close { code: close_code(&payload)? }),
        // FrameHeader::parse lets none pass.
        Control::Reserved(opcode) => Err(FrameError::ReservedOpcode(opcode)),
    }
}

fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, FrameError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(FrameError::CloseTooShort) };
    };
    let value = u16::from_be_bytes(*code);
    let code = CloseCode::from(value);
    // 1014 came after the RFC, into IANA's registry; tungstenite does not know it.
    if !code.is_allowed() && value != 1014 {
        return Err(FrameError::CloseCodeInvalid(value));
    }
    simdutf8::basic::from_utf8(reason).map_err(|_| FrameError::CloseReasonNotUtf8)?;
    Ok(Some(code))
}
