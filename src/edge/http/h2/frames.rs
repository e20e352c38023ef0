//! What a peer sends in HTTP/2, frame by frame, as far as it has to be known to say that it is too much.
//!
//! Pure. Whether frames are sound is the library's to say; here they are counted before it sees them. A library bounds what it keeps in
//! memory, and works through whatever else comes: frames that ask for nothing and are answered, or not, for ever.

use std::time::{Duration, Instant};

/// Follows the frames of one direction (RFC 9113 §4.1).
#[derive(Debug)]
pub(crate) struct Frames {
    /// What has still to come of the client's preface.
    preface_left: usize,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    payload_left: usize,
    /// A field block has begun and not ended: nothing but its continuation may follow.
    in_block: bool,
    /// The frame under way belongs to one.
    is_of_block: bool,
    stream_max: u32,
}

/// What was seen in some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Frames that neither ask for anything nor bring content.
    pub(crate) control: u32,
    /// Requests taken back.
    pub(crate) resets: u32,
}

const HEADER_BYTES: usize = 9;

/// `PRI * HTTP/2.0` and what follows (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// A frame of so few bytes may be padding and nothing else.
const PADDING_BYTES_MAX: usize = 256;

impl Default for Frames {
    fn default() -> Self {
        Self {
            preface_left: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            header_len: 0,
            payload_left: 0,
            in_block: false,
            is_of_block: false,
            stream_max: 0,
        }
    }
}

impl Frames {
    /// Reads on. A stream may be cut anywhere.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        let skipped = self.preface_left.min(bytes.len());
        self.preface_left -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_BYTES - self.header_len).min(bytes.len());
            self.header[self.header_len..self.header_len + taken].copy_from_slice(&bytes[..taken]);
            self.header_len += taken;
            bytes = &bytes[taken..];
            if self.header_len == HEADER_BYTES {
                self.header_len = 0;
                self.begin(&mut seen);
            }
        }
        seen
    }

    fn begin(&mut self, seen: &mut Seen) {
        let [length @ .., kind, flags, _, _, _, _] = self.header;
        let [.., a, b, c, d] = self.header;
        let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
        self.payload_left = length;
        self.stream_max = self.stream_max.max(u32::from_be_bytes([a, b, c, d]) & !(1 << 31));
        self.is_of_block = matches!(kind, HEADERS | CONTINUATION);
        self.in_block = self.is_of_block && flags & END_HEADERS == 0;
        match kind {
            HEADERS => {}
            RST_STREAM => seen.resets = seen.resets.saturating_add(1),
            DATA => {
                let may_be_padding = flags & PADDED != 0 && length <= PADDING_BYTES_MAX;
                let is_empty = (length == 0 || may_be_padding) && flags & END_STREAM == 0;
                seen.control = seen.control.saturating_add(u32::from(is_empty));
            }
            _ => seen.control = seen.control.saturating_add(1),
        }
    }

    /// Whether something has begun that a peer sends in one go: the preface, the head of a frame or of a request.
    pub(crate) fn is_amid_head(&self) -> bool {
        self.preface_left > 0 || self.header_len > 0 || self.in_block || (self.is_of_block && self.payload_left > 0)
    }

    /// The last stream that was spoken of.
    pub(crate) fn stream_max(&self) -> u32 {
        self.stream_max
    }
}

/// So many a second on average, and ten times as many at once.
#[derive(Debug)]
pub(crate) struct Budget {
    per_s: u32,
    /// In billionths, so that no fraction of a second is lost.
    left: u64,
    since: Instant,
}

const BILLION: u64 = 1_000_000_000;

impl Budget {
    pub(crate) fn new(per_s: u32, now: Instant) -> Self {
        Self { per_s, left: Self::most(per_s), since: now }
    }

    fn most(per_s: u32) -> u64 {
        u64::from(per_s) * 10 * BILLION
    }

    /// Takes `count`; `false` if there is not so much.
    pub(crate) fn take(&mut self, now: Instant, count: u32) -> bool {
        if count == 0 {
            return true;
        }
        let passed = now.saturating_duration_since(self.since).min(Duration::from_secs(10));
        self.since = now;
        let gained = u64::from(self.per_s).saturating_mul(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX));
        self.left = self.left.saturating_add(gained).min(Self::most(self.per_s));
        match self.left.checked_sub(u64::from(count) * BILLION) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Adds `count` for what was done in turn.
    pub(crate) fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(u64::from(count) * BILLION).min(Self::most(self.per_s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
        let mut bytes = u32::try_from(length).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.resize(bytes.len() + length, 0xFF);
        bytes
    }

    fn opened() -> Frames {
        let mut frames = Frames::default();
        frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames
    }

    fn add(a: Seen, b: Seen) -> Seen {
        Seen { control: a.control + b.control, resets: a.resets + b.resets }
    }

    #[test]
    fn what_asks_for_nothing_is_counted() {
        let cases = [
            ("a request", frame(20, 1, 5, 1), 0, 0),
            ("content", frame(20, 0, 0, 1), 0, 0),
            ("the end of content", frame(0, 0, 1, 1), 0, 0),
            ("no content", frame(0, 0, 0, 1), 1, 0),
            ("padding", frame(200, 0, 8, 1), 1, 0),
            ("padded content", frame(400, 0, 8, 1), 0, 0),
            ("PRIORITY", frame(5, 2, 0, 1), 1, 0),
            ("RST_STREAM", frame(4, 3, 0, 1), 0, 1),
            ("SETTINGS", frame(0, 4, 0, 0), 1, 0),
            ("PING", frame(8, 6, 0, 0), 1, 0),
            ("WINDOW_UPDATE", frame(4, 8, 0, 0), 1, 0),
            ("CONTINUATION", frame(0, 9, 0, 1), 1, 0),
            ("nobody knows", frame(0, 0xBE, 0, 1), 1, 0),
        ];
        for (what, bytes, control, resets) in cases {
            assert_eq!(opened().read(&bytes), Seen { control, resets }, "{what}");
        }
    }

    #[test]
    fn any_cut_of_a_stream_is_read_alike() {
        let mut stream = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for bytes in [frame(6, 4, 0, 0), frame(9, 1, 1, 7), frame(3, 9, 4, 7), frame(4, 3, 0, 7), frame(0, 0, 0, 9)] {
            stream.extend(bytes);
        }
        for cut in 0..=stream.len() {
            let mut frames = Frames::default();
            let seen = add(frames.read(&stream[..cut]), frames.read(&stream[cut..]));
            assert_eq!(seen, Seen { control: 3, resets: 1 }, "cut at {cut}");
            assert_eq!((frames.stream_max(), frames.is_amid_head()), (9, false), "cut at {cut}");
        }
    }

    #[test]
    fn a_head_is_begun_until_all_of_it_is_there() {
        let mut frames = Frames::default();
        assert!(frames.is_amid_head(), "the preface");
        frames = opened();
        assert!(!frames.is_amid_head());
        let headers = frame(10, 1, 0, 1);
        frames.read(&headers[..3]);
        assert!(frames.is_amid_head(), "the head of a frame");
        frames.read(&headers[3..]);
        assert!(frames.is_amid_head(), "its block goes on");
        let rest = frame(10, 9, 4, 1);
        frames.read(&rest[..rest.len() - 1]);
        assert!(frames.is_amid_head(), "its last byte is missing");
        frames.read(&rest[rest.len() - 1..]);
        assert!(!frames.is_amid_head());
        frames.read(&frame(10, 0, 0, 1)[..12]);
        assert!(!frames.is_amid_head(), "content has time limits of its own");
    }

    #[test]
    fn a_budget_is_used_up_and_comes_back() {
        let start = Instant::now();
        let mut budget = Budget::new(2, start);
        assert!(budget.take(start, 20) && !budget.take(start, 1));
        assert!(!budget.take(start + Duration::from_millis(499), 1));
        assert!(budget.take(start + Duration::from_millis(500), 1));
        assert!(!budget.take(start + Duration::from_millis(500), 1));
        budget.earn(1);
        assert!(budget.take(start + Duration::from_millis(500), 1));
        assert!(!budget.take(start + Duration::from_secs(3600), 21), "no more than ten seconds' worth");
    }
}
