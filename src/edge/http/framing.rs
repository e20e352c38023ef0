//! Where requests begin and end on a connection, head and content, more strictly than the HTTP library reads them.
//!
//! Requests are smuggled where two readers of the same bytes disagree about where one request ends (RFC 9112 §11.2). The library
//! forgives what RFC 9112 lets a recipient forgive: bare LF as line end, Transfer-Encoding beside Content-Length, Content-Length said
//! twice, white space behind the size of a chunk. Whatever stands before or behind us may forgive differently, so here nothing is
//! forgiven.
//!
//! One thing is forgiven, as it concerns no boundary: characters that belong escaped in a target, and that scripts and old clients write as
//! they are (`?query=up{job="x"}`). Whoever reads them here has them escaped.
//!
//! What follows a request that asks to switch protocols, or whose content is framed in a way not spoken here, is never taken for a
//! request.

use memchr::memchr3;

/// Reads along with the library, byte for byte.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    /// The first characters of the field name being read, in lower case.
    name: Letters<NAME_BYTES>,
    /// Whether Content-Length or Transfer-Encoding has been seen in this head.
    framed: bool,
    length: Length,
    /// The value of Transfer-Encoding, in lower case; `None` without one.
    coding: Option<Letters<CODING_BYTES>>,
    wants_upgrade: bool,
}

/// What [`Framing::read`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All bytes are in order.
    Sound,
    /// The byte at this index must not be there; everything before it is in order.
    Violation(usize),
    /// The byte at this index belongs escaped ([`is_unescaped`]); everything before it is in order, and it is to be read again as `%XX`.
    Unescaped(usize),
}

/// What stands in targets unescaped where it must not (RFC 3986 §2), and means what it does escaped to everybody who takes it.
pub(crate) const fn is_unescaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`')
}

/// The length of a head that has come whole, with nothing amiss and no word of content or of another protocol, as most have it: behind it
/// the next request begins. Nothing for any other, which is read step by step.
fn simple_head(bytes: &[u8]) -> usize {
    let Some(length) = line(bytes) else { return 0 };
    let request = bytes.get(..length).unwrap_or_default();
    let is_plain = |&byte: &u8| byte == b' ' || !IS_SPECIAL_IN_TARGET[usize::from(byte)];
    if !request.first().is_some_and(u8::is_ascii_uppercase) || !request.iter().all(is_plain) {
        return 0;
    }
    let mut passed = length + CRLF;
    loop {
        let rest = bytes.get(passed..).unwrap_or_default();
        let Some(length) = line(rest) else { return 0 };
        passed += length + CRLF;
        if length == 0 {
            return passed;
        }
        let field = rest.get(..length).unwrap_or_default();
        let Some(name) = field.iter().position(|&byte| byte == b':').and_then(|colon| field.get(..colon)) else {
            return 0;
        };
        let decides = [&b"content-length"[..], b"transfer-encoding", b"upgrade"];
        if matches!(name, [] | [b' ' | b'\t', ..]) || decides.iter().any(|field| name.eq_ignore_ascii_case(field)) {
            return 0;
        }
    }
}

/// The length of the line that `bytes` begin with, if it is whole and sound.
fn line(bytes: &[u8]) -> Option<usize> {
    let end = memchr3(b'\r', b'\n', 0, bytes)?;
    bytes.get(end..)?.starts_with(b"\r\n").then_some(end)
}

const CRLF: usize = 2;

/// Which bytes within a target are looked at one by one: what ends it, what must not be in one, and what [`is_unescaped`].
const IS_SPECIAL_IN_TARGET: [bool; 256] = {
    let mut is_special = [false; 256];
    let mut byte = 0_u8;
    while byte < u8::MAX {
        is_special[byte as usize] = is_unescaped(byte) || matches!(byte, b' ' | b'#' | b'\r' | b'\n' | 0);
        byte += 1;
    }
    is_special
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a request line; one empty line is skipped (RFC 9112 §2.2).
    #[default]
    Start,
    StartLf,
    RequestLineOnly,
    Method,
    Target,
    Version,
    /// After CR: LF has to follow, then a field line or the end of the head.
    LineLf,
    LineStart,
    Name,
    Value(Field),
    EndLf,
    /// So many bytes of content, more than none.
    Content(u64),
    Chunked(Chunk),
    /// Nothing here is a request any more.
    Opaque,
}

/// Chunked content (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    SizeStart,
    /// What has been read of it, and in how many digits.
    Size(u64, u8),
    Extension(u64),
    SizeLf(u64),
    /// So many bytes, more than none.
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    ContentLength,
    TransferEncoding,
    Other,
}

/// The value of Content-Length as far as it has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    None,
    Digits(u64),
    /// White space has followed the digits.
    Ended(u64),
}

/// The first characters of a text, in lower case.
#[derive(Clone, Copy, Debug)]
struct Letters<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// The length of the longest name that matters, and one more to tell longer ones.
const NAME_BYTES: usize = b"transfer-encoding".len() + 1;

/// The same for the only coding that is spoken.
const CODING_BYTES: usize = b"chunked".len() + 1;

/// A chunk's size has no more; that is enough for any number.
const SIZE_DIGITS_MAX: u8 = 16;

impl Framing {
    /// Takes the next bytes of the stream. After a violation nothing more is to be read.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Found {
        let mut index = 0;
        while let Some(&byte) = bytes.get(index) {
            let left = (bytes.len() - index) as u64;
            if self.state == State::Start {
                let passed = simple_head(bytes.get(index..).unwrap_or_default());
                if passed > 0 {
                    index += passed;
                    continue;
                }
            }
            match &mut self.state {
                State::Opaque => break,
                State::Content(rest) | State::Chunked(Chunk::Data(rest)) if *rest > left => {
                    *rest -= left;
                    break;
                }
                State::Content(rest) => {
                    index += usize::try_from(*rest).unwrap_or(usize::MAX);
                    self.state = State::Start;
                }
                State::Chunked(Chunk::Data(rest)) => {
                    index += usize::try_from(*rest).unwrap_or(usize::MAX);
                    self.state = State::Chunked(Chunk::DataCr);
                }
                State::Target if is_unescaped(byte) => return Found::Unescaped(index),
                _ => match self.plain(bytes.get(index..).unwrap_or_default()) {
                    0 => {
                        let Some(state) = self.next(byte) else { return Found::Violation(index) };
                        self.state = state;
                        index += 1;
                    }
                    plain => index += plain,
                },
            }
        }
        Found::Sound
    }

    /// Takes as many of the next bytes as leave the state as it is, at once: most of a head are. How many those were.
    fn plain(&mut self, bytes: &[u8]) -> usize {
        let before = |is_special: fn(u8) -> bool| bytes.iter().position(|&b| is_special(b)).unwrap_or(bytes.len());
        match self.state {
            State::Method => before(|byte| matches!(byte, b' ' | b'#' | b'\r' | b'\n' | 0)),
            State::Target => before(|byte| IS_SPECIAL_IN_TARGET[usize::from(byte)]),
            State::Version => before(|byte| matches!(byte, b'#' | b'\r' | b'\n' | 0)),
            State::Name => {
                let count = before(|byte| matches!(byte, b':' | b'\r' | b'\n' | 0));
                self.name.extend(bytes.get(..count).unwrap_or_default());
                count
            }
            State::Value(Field::Other) => memchr3(b'\r', b'\n', 0, bytes).unwrap_or(bytes.len()),
            _ => 0,
        }
    }

    /// Whether the head of a request has begun and not ended.
    pub(crate) fn in_head(&self) -> bool {
        !matches!(self.state, State::Start | State::Content(_) | State::Chunked(_) | State::Opaque)
    }

    /// Whether what comes now is the content of a request.
    pub(crate) fn in_content(&self) -> bool {
        matches!(self.state, State::Content(_) | State::Chunked(_))
    }

    /// Whether what comes now is content or another protocol, of which nobody knows where it ends.
    pub(crate) fn is_opaque(&self) -> bool {
        self.state == State::Opaque
    }

    /// The state after `byte`; `None`: it must not stand here.
    fn next(&mut self, byte: u8) -> Option<State> {
        Some(match (self.state, byte) {
            (State::Chunked(chunk), _) => return self.next_of_chunk(chunk, byte),
            (State::Start, b'\r') => State::StartLf,
            (State::StartLf, b'\n') => State::RequestLineOnly,
            (State::LineLf, b'\n') => State::LineStart,
            (State::Value(field), b'\r') => {
                self.end_of_value(field)?;
                State::LineLf
            }
            (State::Method | State::Target | State::Version, b'\r') => State::LineLf,
            (State::LineStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => self.end_of_head(),
            (State::StartLf | State::LineLf | State::EndLf, _) | (_, b'\r' | b'\n' | 0) => return None,
            // A fragment is no part of a request target (RFC 9112 §3.2), and the library would take it off without a word.
            (State::Method | State::Target | State::Version, b'#') => return None,
            (State::Method, b' ') => State::Target,
            (State::Target, b' ') | (State::Version, _) => State::Version,
            (State::Target, _) => State::Target,
            (State::Start | State::RequestLineOnly | State::Method, _) => State::Method,
            // A line that starts with white space goes on with the one before (obs-fold, RFC 9112 §5.2).
            (State::LineStart, b' ' | b'\t' | b':') => return None,
            (State::LineStart, _) => {
                self.name = Letters::default();
                self.name.push(byte);
                State::Name
            }
            (State::Name, b':') => State::Value(self.end_of_name()?),
            (State::Name, _) => {
                self.name.push(byte);
                State::Name
            }
            (State::Value(field), _) => {
                self.value(field, byte)?;
                State::Value(field)
            }
            (State::Content(_) | State::Opaque, _) => State::Opaque,
        })
    }

    fn next_of_chunk(&mut self, chunk: Chunk, byte: u8) -> Option<State> {
        let digit = || char::from(byte).to_digit(16).map(u64::from);
        Some(State::Chunked(match (chunk, byte) {
            (Chunk::SizeStart, _) => Chunk::Size(digit()?, 1),
            (Chunk::Size(size, _) | Chunk::Extension(size), b'\r') => Chunk::SizeLf(size),
            (Chunk::Size(size, _), b';') => Chunk::Extension(size),
            (Chunk::Size(_, SIZE_DIGITS_MAX..), _) => return None,
            (Chunk::Size(size, digits), _) => Chunk::Size(size << 4 | digit()?, digits + 1),
            (Chunk::SizeLf(0), b'\n') => Chunk::TrailerStart,
            (Chunk::SizeLf(size), b'\n') => Chunk::Data(size),
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => Chunk::SizeStart,
            (Chunk::TrailerStart, b'\r') => Chunk::EndLf,
            (Chunk::Trailer, b'\r') => Chunk::TrailerLf,
            (Chunk::TrailerLf, b'\n') => Chunk::TrailerStart,
            (Chunk::EndLf, b'\n') => return Some(State::Start),
            (_, b'\r' | b'\n' | 0) | (Chunk::TrailerStart, b' ' | b'\t' | b':') => return None,
            (Chunk::Extension(size), _) => Chunk::Extension(size),
            (Chunk::TrailerStart | Chunk::Trailer, _) => Chunk::Trailer,
            (Chunk::SizeLf(_) | Chunk::DataCr | Chunk::DataLf | Chunk::TrailerLf | Chunk::EndLf, _) => return None,
            (Chunk::Data(_), _) => return None,
        }))
    }

    /// `None` if this field and an earlier one both say how long the content is.
    fn end_of_name(&mut self) -> Option<Field> {
        let field = match self.name.as_bytes() {
            b"content-length" => Field::ContentLength,
            b"transfer-encoding" => Field::TransferEncoding,
            b"upgrade" => {
                self.wants_upgrade = true;
                Field::Other
            }
            _ => Field::Other,
        };
        if field != Field::Other && std::mem::replace(&mut self.framed, true) {
            return None;
        }
        if field == Field::TransferEncoding {
            self.coding = Some(Letters::default());
        }
        Some(field)
    }

    /// `None` for what cannot be part of the value.
    fn value(&mut self, field: Field, byte: u8) -> Option<()> {
        let is_space = matches!(byte, b' ' | b'\t');
        match field {
            Field::ContentLength => {
                self.length = match (self.length, byte) {
                    (Length::Digits(length) | Length::Ended(length), _) if is_space => Length::Ended(length),
                    (Length::None, _) if is_space => Length::None,
                    (Length::None, b'0'..=b'9') => Length::Digits(u64::from(byte - b'0')),
                    (Length::Digits(length), b'0'..=b'9') => {
                        Length::Digits(length.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?)
                    }
                    _ => return None,
                };
            }
            Field::TransferEncoding => self.coding.get_or_insert_default().push_trimmed(byte),
            Field::Other => {}
        }
        Some(())
    }

    /// `None` if there had to be one.
    fn end_of_value(&mut self, field: Field) -> Option<()> {
        (field != Field::ContentLength || self.length != Length::None).then_some(())
    }

    fn end_of_head(&mut self) -> State {
        let wants_upgrade = std::mem::take(&mut self.wants_upgrade);
        let (length, coding) = (std::mem::take(&mut self.length), self.coding.take());
        self.framed = false;
        match (coding, length) {
            _ if wants_upgrade => State::Opaque,
            (Some(coding), _) if coding.trimmed() == b"chunked" => State::Chunked(Chunk::SizeStart),
            (Some(_), _) => State::Opaque,
            (None, Length::Digits(length @ 1..) | Length::Ended(length @ 1..)) => State::Content(length),
            (None, _) => State::Start,
        }
    }
}

impl<const N: usize> Default for Letters<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Letters<N> {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte.to_ascii_lowercase();
            self.len += 1;
        }
    }

    /// The same without white space before the first character, and with one at the most behind the last.
    fn push_trimmed(&mut self, byte: u8) {
        let is_space = matches!(byte, b' ' | b'\t');
        if !is_space || !matches!(self.as_bytes().last(), None | Some(b' ')) {
            self.push(if is_space { b' ' } else { byte });
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        bytes.iter().take(N - self.len).for_each(|&byte| self.push(byte));
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn trimmed(&self) -> &[u8] {
        self.as_bytes().trim_ascii_end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Found {
        Framing::default().read(text.as_bytes())
    }

    fn violation_at(text: &str, before: &str) {
        let index = text.find(before).expect("the place is in the text");
        assert_eq!(read(text), Found::Violation(index), "{text:?}");
    }

    #[test]
    fn sound_heads_pass_one_after_another() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\r\nHEAD /x HTTP/1.1\r\nhost:a\r\n\r\nGET";
        let mut framing = Framing::default();
        assert_eq!(framing.read(text.as_bytes()), Found::Sound);
        assert!(framing.in_head() && !framing.is_opaque());
    }

    #[test]
    fn splitting_the_stream_changes_nothing() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n";
        let whole = read(text);
        assert!(matches!(whole, Found::Violation(_)));
        for split in 0..text.len() {
            let (first, second) = text.as_bytes().split_at(split);
            let mut framing = Framing::default();
            let found = match framing.read(first) {
                Found::Sound => match framing.read(second) {
                    Found::Violation(index) => Found::Violation(split + index),
                    other => other,
                },
                other => other,
            };
            assert_eq!(found, whole, "split at {split}");
        }
    }

    #[test]
    fn what_a_lenient_reader_forgives_is_a_violation() {
        violation_at("GET / HTTP/1.1\nHost: a\n\n", "\n");
        violation_at("GET / HTTP/1.1\r\nHost: a\n\r\n", "\n\r\n");
        violation_at("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "b\r\n");
        violation_at("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", " folded");
        violation_at("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", ": x");
        violation_at("GET / HTTP/1.1\r\nHost: a\r\n\rX", "X");
        violation_at("\r\n\r\nGET / HTTP/1.1\r\n", "\r\nGET");
        violation_at("GET /\0 HTTP/1.1\r\n", "\0");
    }

    #[test]
    fn content_is_framed_once_or_not_at_all() {
        for pair in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\ncontent-length: 5",
            "Content-Length: 5\r\nCONTENT-LENGTH: 5",
            "Content-Length: 0\r\nContent-Length: 0",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{pair}\r\n\r\n");
            assert!(matches!(read(&text), Found::Violation(_)), "{pair}");
        }
    }

    #[test]
    fn a_length_is_digits() {
        for value in ["+5", "-1", "0x5", "5, 5", "5 5", "", " ", "5\u{b}", "18446744073709551616", "٣"] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\n");
            assert!(matches!(read(&text), Found::Violation(_)), "{value:?}");
        }
        for value in ["5", " 5 ", "\t005\t"] {
            let text = format!("POST / HTTP/1.1\r\nContent-Length:{value}\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n");
            let mut framing = Framing::default();
            assert_eq!(framing.read(text.as_bytes()), Found::Sound, "{value:?}");
            assert_eq!(framing.state, State::Start);
        }
    }

    #[test]
    fn the_next_request_is_behind_the_content() {
        let mut framing = Framing::default();
        assert_eq!(framing.read(b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\nhe\n\0"), Found::Sound);
        assert!(framing.in_content() && !framing.in_head());
        assert_eq!(framing.read(b"\r\nxGE"), Found::Sound);
        assert!(framing.in_head());
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: Chunked \r\n\r\n5;a=\"b\"\r\nhe\nlo\r\n0A\r\n0123456789\r\n\
                       0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        for split in 0..chunked.len() {
            let mut framing = Framing::default();
            let (first, second) = chunked.as_bytes().split_at(split);
            assert_eq!((framing.read(first), framing.read(second)), (Found::Sound, Found::Sound), "{split}");
            assert_eq!(framing.state, State::Start, "{split}");
        }
    }

    #[test]
    fn chunks_are_held_to_the_letter() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (content, before) in [
            ("5\nhello\r\n0\r\n\r\n", "\nhello"),
            ("5\r\nhello\n0\r\n\r\n", "\n0"),
            ("5\r\nhello!\r\n0\r\n\r\n", "!"),
            ("5 \r\nhello\r\n0\r\n\r\n", " \r\nhello"),
            ("0x5\r\nhello\r\n", "x5"),
            ("+5\r\nhello\r\n", "+5"),
            ("\r\n", "\r\n"),
            (";a\r\n", ";a"),
            ("5;a\nb\r\nhello", "\nb"),
            ("5;a\rb\r\nhello", "b\r\nhello"),
            ("0\r\nX: y\n\r\n", "\n\r\n"),
            ("0\r\n X: y\r\n\r\n", " X"),
            ("0\r\n\n", "\n"),
            ("11111111111111111\r\n", "1\r\n"),
        ] {
            let index = head.len() + content.rfind(before).expect("the place is in the text");
            assert_eq!(read(&format!("{head}{content}")), Found::Violation(index), "{content:?}");
        }
    }

    #[test]
    fn nothing_after_an_upgrade_or_a_foreign_coding_is_read_as_a_request() {
        let lines = [
            "upgrade: websocket",
            "Upgrade: x\r\nContent-Length: 5",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunkedx",
            "Transfer-Encoding: chun ked",
            "Transfer-Encoding:",
        ];
        for line in lines {
            let mut framing = Framing::default();
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n\n\0\nGET");
            assert_eq!(framing.read(text.as_bytes()), Found::Sound, "{line}");
            assert!(framing.is_opaque(), "{line}");
        }
        let mut framing = Framing::default();
        framing.read(b"GET / HTTP/1.1\r\nContent-Length: 0\r\nUpgraded: x\r\n\r\n");
        assert!(!framing.is_opaque());
    }

    #[test]
    fn a_target_has_no_fragment() {
        violation_at("GET /#a HTTP/1.1\r\n", "#a");
        assert_eq!(read("GET / HTTP/1.1\r\nX#: #\r\n"), Found::Sound);
    }

    #[test]
    fn what_belongs_escaped_in_a_target_is_found_there_and_nowhere_else() {
        let text = "GET /a\"b HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(read(text), Found::Unescaped(6));
        assert_eq!(read("GET /a?<b> HTTP/1.1\r\n"), Found::Unescaped(7));
        for elsewhere in ["G\"T / HTTP/1.1\r\n", "GET / HTTP/1.1>\r\n", "<\r\n"] {
            assert_eq!(read(elsewhere), Found::Sound, "{elsewhere}");
        }
        assert_eq!(read("GET / HTTP/1.1\r\nX: \"<>`\r\nContent-Length: 3\r\n\r\n<a>"), Found::Sound);
    }

    proptest::proptest! {
        /// However a stream is cut, the same bytes are found sound, and the same one is not.
        #[test]
        fn any_split_of_any_stream_is_read_alike(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..12),
            cuts in proptest::collection::vec(0usize..200, 0..6),
        ) {
            let stream = pieces.concat();
            let whole = Framing::default().read(stream.as_bytes());
            let (mut by_bytes, mut step_by_step) = (Framing::default(), Found::Sound);
            for index in 0..stream.len() {
                step_by_step = match by_bytes.read(&stream.as_bytes()[index..=index]) {
                    Found::Sound => continue,
                    Found::Violation(_) => Found::Violation(index),
                    Found::Unescaped(_) => Found::Unescaped(index),
                };
                break;
            }
            proptest::prop_assert_eq!(step_by_step, whole);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut % (stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut framing = Framing::default();
            let mut found = Found::Sound;
            for cut in cuts.windows(2) {
                found = match framing.read(&stream.as_bytes()[cut[0]..cut[1]]) {
                    Found::Sound => continue,
                    Found::Violation(index) => Found::Violation(cut[0] + index),
                    Found::Unescaped(index) => Found::Unescaped(cut[0] + index),
                };
                break;
            }
            proptest::prop_assert_eq!(found, whole);
        }
    }

    const PIECES: &[&str] = &[
        "GET / HTTP/1.1",
        "\r\n",
        "\r",
        "\n",
        "Host: a",
        "Content-Length: ",
        "0",
        "5",
        "transfer-encoding:",
        "chunked",
        "Upgrade: x",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "5\r\nhello\r\n",
        " ",
        ":",
        "\"",
        "\0",
        "\r\n\r\n",
    ];
}
