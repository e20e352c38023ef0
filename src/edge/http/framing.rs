//! Where request heads begin and end on a connection, more strictly than the HTTP library reads them.
//!
//! Requests are smuggled where two readers of the same bytes disagree about where one request ends (RFC 9112 §11.2). The library
//! forgives what RFC 9112 lets a recipient forgive: bare LF as line end, Transfer-Encoding beside Content-Length, Content-Length said
//! twice. Whatever stands before or behind us may forgive differently, so here nothing is forgiven.
//!
//! Every route answers requests without content. One that announces content, or asks to switch protocols, is therefore the last on its
//! connection: what follows it is never taken for a request.

/// Reads along with the library, byte for byte.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    /// The first characters of the field name being read, in lower case.
    name: [u8; NAME_BYTES],
    name_len: usize,
    /// Whether Content-Length or Transfer-Encoding has been seen in this head.
    framed: bool,
    has_content: bool,
    wants_upgrade: bool,
}

/// What [`Framing::read`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All bytes are in order.
    Sound,
    /// The byte at this index must not be there; everything before it is in order.
    Violation(usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a request line; one empty line is skipped (RFC 9112 §2.2).
    #[default]
    Start,
    StartLf,
    RequestLineOnly,
    RequestLine,
    /// After CR: LF has to follow, then a field line or the end of the head.
    LineLf,
    LineStart,
    Name,
    Value(Field),
    EndLf,
    /// Nothing here is a request any more.
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    ContentLength,
    Other,
}

/// The length of the longest name that matters, and one more to tell longer ones.
const NAME_BYTES: usize = b"transfer-encoding".len() + 1;

impl Framing {
    /// Takes the next bytes of the stream. After a violation nothing more is to be read.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Found {
        for (index, &byte) in bytes.iter().enumerate() {
            if self.state == State::Opaque {
                break;
            }
            match self.next(byte) {
                Some(state) => self.state = state,
                None => return Found::Violation(index),
            }
        }
        Found::Sound
    }

    /// Whether the head of a request has begun and not ended.
    pub(crate) fn in_head(&self) -> bool {
        !matches!(self.state, State::Start | State::Opaque)
    }

    /// Whether what comes now is content or another protocol.
    pub(crate) fn is_opaque(&self) -> bool {
        self.state == State::Opaque
    }

    /// The state after `byte`; `None`: it must not stand here.
    fn next(&mut self, byte: u8) -> Option<State> {
        Some(match (self.state, byte) {
            (State::Start, b'\r') => State::StartLf,
            (State::StartLf, b'\n') => State::RequestLineOnly,
            (State::LineLf, b'\n') => State::LineStart,
            (State::RequestLine | State::Value(_), b'\r') => State::LineLf,
            (State::LineStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => self.end_of_head(),
            (State::StartLf | State::LineLf | State::EndLf, _) | (_, b'\r' | b'\n' | 0) => return None,
            (State::Start | State::RequestLineOnly | State::RequestLine, _) => State::RequestLine,
            // A line that starts with white space goes on with the one before (obs-fold, RFC 9112 §5.2).
            (State::LineStart, b' ' | b'\t' | b':') => return None,
            (State::LineStart, _) => {
                self.name_len = 0;
                self.push_name(byte);
                State::Name
            }
            (State::Name, b':') => State::Value(self.end_of_name()?),
            (State::Name, _) => {
                self.push_name(byte);
                State::Name
            }
            (State::Value(Field::ContentLength), _) => {
                self.has_content |= !matches!(byte, b'0' | b' ' | b'\t');
                State::Value(Field::ContentLength)
            }
            (State::Value(Field::Other), _) => State::Value(Field::Other),
            (State::Opaque, _) => State::Opaque,
        })
    }

    fn push_name(&mut self, byte: u8) {
        if let Some(slot) = self.name.get_mut(self.name_len) {
            *slot = byte.to_ascii_lowercase();
            self.name_len += 1;
        }
    }

    /// `None` if this field and an earlier one both say how long the content is.
    fn end_of_name(&mut self) -> Option<Field> {
        let (field, frames) = match &self.name[..self.name_len] {
            b"content-length" => (Field::ContentLength, true),
            b"transfer-encoding" => {
                self.has_content = true;
                (Field::Other, true)
            }
            b"upgrade" => {
                self.wants_upgrade = true;
                (Field::Other, false)
            }
            _ => (Field::Other, false),
        };
        if frames && std::mem::replace(&mut self.framed, true) {
            return None;
        }
        Some(field)
    }

    fn end_of_head(&mut self) -> State {
        if self.has_content || self.wants_upgrade {
            return State::Opaque;
        }
        self.framed = false;
        State::Start
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
                    Found::Sound => Found::Sound,
                },
                violation => violation,
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
    fn nothing_after_content_or_an_upgrade_is_read_as_a_request() {
        for line in ["Content-Length: 5", "Content-Length: +0", "Transfer-Encoding: chunked", "upgrade: websocket"] {
            let mut framing = Framing::default();
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n\n\0\nGET");
            assert_eq!(framing.read(text.as_bytes()), Found::Sound, "{line}");
            assert!(framing.is_opaque(), "{line}");
        }
        let mut framing = Framing::default();
        framing.read(b"GET / HTTP/1.1\r\nContent-Length: 0\r\nUpgraded: x\r\n\r\n");
        assert!(!framing.is_opaque());
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
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut % (stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut framing = Framing::default();
            let mut found = Found::Sound;
            for cut in cuts.windows(2) {
                if let Found::Violation(index) = framing.read(&stream.as_bytes()[cut[0]..cut[1]]) {
                    found = Found::Violation(cut[0] + index);
                    break;
                }
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
        " ",
        ":",
        "\0",
        "\r\n\r\n",
    ];
}
