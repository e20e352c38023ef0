//! The sections of the Autobahn test suite that bind a server without extensions, splits at any byte, and tungstenite as a second opinion.

use proptest::prelude::*;

use super::*;

/// What a stream came to, with binary pieces joined so that splits do not show.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Binary(Vec<u8>),
    /// A binary message that did not end.
    Unfinished(Vec<u8>),
    Text(String),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// A name, the frames, what they tell, and the fault that ends them.
type Case = (&'static str, Vec<Vec<u8>>, Vec<Told>, Option<FrameError>);

const LIMIT: u32 = 100_000;

/// Feeds `stream` in pieces of `sizes` in turn.
fn run(expect: Expect, stream: &[u8], sizes: &[usize]) -> (Vec<Told>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(expect, LIMIT);
    let (mut told, mut binary, mut is_open) = (Vec::new(), Vec::new(), false);
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = stream;
    let mut error = None;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(sizes.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        let mut piece = piece.to_vec();
        let mut at = 0;
        loop {
            let (used, event) = match decoder.decode(&mut piece[at..]) {
                Ok(decoded) => decoded,
                Err(found) => {
                    error = error.or(Some(found));
                    continue;
                }
            };
            match event {
                Event::NeedMore => {
                    assert_eq!(at + used, piece.len(), "NeedMore leaves nothing");
                    break;
                }
                Event::Binary { bytes, end_of_message } => {
                    binary.extend_from_slice(bytes);
                    is_open = !end_of_message;
                    if end_of_message {
                        told.push(Told::Binary(std::mem::take(&mut binary)));
                    }
                }
                Event::Text(text) => told.push(Told::Text(text.into_owned())),
                Event::Ping(payload) => told.push(Told::Ping(payload.into_owned())),
                Event::Pong => told.push(Told::Pong),
                Event::Close { code } => told.push(Told::Close(code.map(u16::from))),
            }
            at += used;
        }
        rest = tail;
    }
    if is_open {
        told.push(Told::Unfinished(binary));
    }
    (told, error)
}

/// A masked frame with FIN and reserved bits as in `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_header(&mut bytes, OpCode::Data(Data::Continue), payload.len());
    bytes[0] = first;
    bytes[1] |= 0x80;
    let key = [0xA1, 0x02, 0xFF, 0x4C];
    bytes.extend_from_slice(&key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

fn text(text: &str) -> Told {
    Told::Text(text.to_owned())
}

/// Runs a stream whole and byte by byte: both must tell `expected`.
#[track_caller]
fn check(name: &str, expect: Expect, frames: &[Vec<u8>], expected: &[Told], error: Option<FrameError>) {
    let stream = frames.concat();
    for sizes in [&[usize::MAX][..], &[1], &[2, 3, 7]] {
        let found = run(expect, &stream, sizes);
        assert_eq!(found, (expected.to_vec(), error), "{name}, in pieces of {sizes:?}");
    }
}

#[test]
fn frames_of_every_length_form() {
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 99_999] {
        let payload = vec![b'*'; length];
        let as_text = String::from_utf8(payload.clone()).unwrap();
        check("1.1", Expect::Text, &[frame(0x81, &payload)], &[text(&as_text)], None);
        check("1.2", Expect::Binary, &[frame(0x82, &payload)], &[Told::Binary(payload)], None);
    }
}

#[test]
fn pings_and_pongs() {
    let cases: &[Case] = &[
        ("2.1 no payload", vec![frame(0x89, b"")], vec![Told::Ping(vec![])], None),
        ("2.2 payload", vec![frame(0x89, b"Hello")], vec![Told::Ping(b"Hello".to_vec())], None),
        ("2.3 binary payload", vec![frame(0x89, &[0, 255, 254])], vec![Told::Ping(vec![0, 255, 254])], None),
        ("2.4 125 bytes", vec![frame(0x89, &[7; 125])], vec![Told::Ping(vec![7; 125])], None),
        ("2.5 126 bytes", vec![frame(0x89, &[7; 126])], vec![], Some(FrameError::ControlTooLong)),
        ("2.7 unasked pong", vec![frame(0x8A, b"x"), frame(0x89, b"")], vec![Told::Pong, Told::Ping(vec![])], None),
        ("2.10 ten pings", vec![frame(0x89, b"p"); 10], vec![Told::Ping(b"p".to_vec()); 10], None),
        ("5.1 fragmented ping", vec![frame(0x09, b"")], vec![], Some(FrameError::ControlFragmented)),
        ("5.2 fragmented pong", vec![frame(0x0A, b"")], vec![], Some(FrameError::ControlFragmented)),
    ];
    for (name, frames, told, error) in cases {
        check(name, Expect::Text, frames, told, *error);
        check(name, Expect::Binary, frames, told, *error);
    }
}

#[test]
fn reserved_bits_and_opcodes_are_refused_after_what_came_before() {
    for bits in 1..=7 {
        let frames = [frame(0x81, b"first"), frame(0x81 | (bits << 4), b"second"), frame(0x89, b"")];
        check("3", Expect::Text, &frames, &[text("first")], Some(FrameError::ReservedBits));
    }
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        let frames = [frame(0x81, b"first"), frame(0x80 | opcode, b""), frame(0x89, b"")];
        check("4", Expect::Text, &frames, &[text("first")], Some(FrameError::ReservedOpcode(opcode)));
    }
}

#[test]
fn fragments() {
    let ping = || Told::Ping(b"!".to_vec());
    let cases: &[Case] = &[
        ("5.3", vec![frame(0x01, b"a"), frame(0x80, b"b")], vec![text("ab")], None),
        ("5.6", vec![frame(0x01, b"a"), frame(0x89, b"!"), frame(0x80, b"b")], vec![ping(), text("ab")], None),
        ("5.9", vec![frame(0x80, b"a"), frame(0x81, b"b")], vec![], Some(FrameError::UnexpectedContinuation)),
        ("5.12", vec![frame(0x00, b"a"), frame(0x81, b"b")], vec![], Some(FrameError::UnexpectedContinuation)),
        (
            "5.15",
            vec![frame(0x01, b"a"), frame(0x80, b"b"), frame(0x00, b"c"), frame(0x81, b"d")],
            vec![text("ab")],
            Some(FrameError::UnexpectedContinuation),
        ),
        ("5.18", vec![frame(0x01, b"a"), frame(0x81, b"b")], vec![], Some(FrameError::Interleaved)),
        (
            "5.19",
            vec![frame(0x01, b"a"), frame(0x00, b"b"), frame(0x89, b"!"), frame(0x00, b"c"), frame(0x80, b"d")],
            vec![ping(), text("abcd")],
            None,
        ),
        ("6.1.2", vec![frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")], vec![text("")], None),
        ("6.1.3", vec![frame(0x01, b""), frame(0x00, b"middle"), frame(0x80, b"")], vec![text("middle")], None),
    ];
    for (name, frames, told, error) in cases {
        check(name, Expect::Text, frames, told, *error);
    }
}

#[test]
fn text_is_utf8_over_any_fragments() {
    let greek = "κόσμε🌊";
    for split in 0..=greek.len() {
        let (head, tail) = greek.as_bytes().split_at(split);
        check("6.2", Expect::Text, &[frame(0x01, head), frame(0x80, tail)], &[text(greek)], None);
    }
    let invalid: &[&[u8]] =
        &[b"\xCE", b"\xC0\xAF", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\xF8\x88\x80\x80\x80", b"a\x80", b"\xFE"];
    for bytes in invalid {
        check("6.3 to 6.21", Expect::Text, &[frame(0x81, bytes)], &[], Some(FrameError::TextNotUtf8));
        check("6.22", Expect::Text, &[frame(0x01, bytes), frame(0x80, b"")], &[], Some(FrameError::TextNotUtf8));
    }
}

#[test]
fn invalid_text_fails_before_its_message_ends() {
    // Autobahn 6.4: a bad byte in a fragment that is not the last, and amid a frame.
    let fragment = frame(0x01, b"ok\xFF");
    assert_eq!(run(Expect::Text, &fragment, &[usize::MAX]).1, Some(FrameError::TextNotUtf8));
    let mut long = frame(0x81, &[b"ok\xFF", &[b'a'; 50][..]].concat());
    long.truncate(9);
    assert_eq!(run(Expect::Text, &long, &[usize::MAX]).1, Some(FrameError::TextNotUtf8));
}

#[test]
fn closing() {
    let cases: &[Case] = &[
        ("7.1.2 twice", vec![frame(0x88, b""), frame(0x88, b"")], vec![Told::Close(None)], None),
        ("7.1.3 ping after", vec![close_frame(1000, b""), frame(0x89, b"")], vec![Told::Close(Some(1000))], None),
        ("7.1.4 text after", vec![close_frame(1000, b""), frame(0x81, b"x")], vec![Told::Close(Some(1000))], None),
        (
            "7.1.5 amid a message",
            vec![frame(0x01, b"a"), frame(0x88, b""), frame(0x80, b"b")],
            vec![Told::Close(None)],
            None,
        ),
        ("7.3.2 one byte", vec![frame(0x88, b"a")], vec![], Some(FrameError::CloseTooShort)),
        ("7.3.5 123 bytes of reason", vec![close_frame(1000, &[b'*'; 123])], vec![Told::Close(Some(1000))], None),
        ("7.3.6 124 bytes of reason", vec![close_frame(1000, &[b'*'; 124])], vec![], Some(FrameError::ControlTooLong)),
        (
            "7.5.1 reason not UTF-8",
            vec![close_frame(1000, b"\xCE\xBA\xED\xA0\x80")],
            vec![],
            Some(FrameError::CloseReasonNotUtf8),
        ),
    ];
    for (name, frames, told, error) in cases {
        check(name, Expect::Text, frames, told, *error);
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        check("7.7", Expect::Binary, &[close_frame(code, b"bye")], &[Told::Close(Some(code))], None);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        check("7.9", Expect::Binary, &[close_frame(code, b"")], &[], Some(FrameError::CloseCodeInvalid(code)));
    }
}

#[test]
fn a_type_that_the_subprotocol_does_not_speak_is_refused_with_1003() {
    let error = FrameError::WrongType(Expect::Binary);
    assert_eq!(error.close_code(), CloseCode::Unsupported);
    check("text on MQTT", Expect::Binary, &[frame(0x81, b"x")], &[], Some(error));
    check("binary on JSON", Expect::Text, &[frame(0x82, b"x")], &[], Some(FrameError::WrongType(Expect::Text)));
}

#[test]
fn frames_must_be_masked_and_lengths_minimal() {
    check("unmasked", Expect::Binary, &[vec![0x82, 0x01, 0x00]], &[], Some(FrameError::Unmasked));
    let mask = [0; 4];
    let cases: &[&[u8]] = &[&[0xFE, 0, 125], &[0xFF, 0, 0, 0, 0, 0, 0, 0, 125], &[0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]];
    for length in cases {
        let stream = [&[0x82], *length, &mask, &[0; 8]].concat();
        check("long form of a short length", Expect::Binary, &[stream], &[], Some(FrameError::LengthNotMinimal));
    }
}

#[test]
fn an_announced_length_is_refused_before_it_arrives() {
    let too_long = Some(FrameError::MessageTooLong { bytes_max: LIMIT });
    for length in [u64::from(LIMIT) + 1, 1 << 32, 1 << 62, 1 << 63, u64::MAX] {
        let header = [&[0x82, 0xFF], &length.to_be_bytes()[..], &[0; 4]].concat();
        check("length at the header", Expect::Binary, &[header], &[], too_long);
    }
    let half = vec![b'x'; LIMIT as usize / 2];
    let frames = [frame(0x01, &half), frame(0x00, &half), frame(0x80, b"y")];
    check("sum over fragments", Expect::Text, &frames, &[], too_long);
    let frames = [frame(0x81, &half), frame(0x81, &half), frame(0x81, &half)];
    assert_eq!(run(Expect::Text, &frames.concat(), &[4096]).0.len(), 3, "the sum begins anew with each message");
}

#[test]
fn empty_fragments_are_bounded() {
    let mut frames = vec![frame(0x01, b"")];
    frames.extend(vec![frame(0x00, b""); 100_000]);
    check("endless message", Expect::Text, &frames, &[], Some(FrameError::TooManyEmptyFragments));
}

#[test]
fn a_tiny_fragment_flood_is_one_message_of_bounded_size() {
    let mut frames = vec![frame(0x01, b"a")];
    frames.extend(vec![frame(0x00, b"a"); 65_000]);
    frames.push(frame(0x80, b"a"));
    let (told, error) = run(Expect::Text, &frames.concat(), &[8192]);
    assert_eq!((told.len(), error), (1, None));
}

#[test]
fn whole_text_is_borrowed_and_an_idle_decoder_owns_nothing() {
    let mut decoder = FrameDecoder::new(Expect::Text, LIMIT);
    let mut bytes = frame(0x81, b"hello");
    let (_, event) = decoder.decode(&mut bytes).unwrap();
    assert!(matches!(event, Event::Text(std::borrow::Cow::Borrowed("hello"))));
    assert!(decoder.is_idle() && !decoder.is_amid_message());

    let mut bytes = frame(0x81, b"hello");
    let (head, tail) = bytes.split_at_mut(8);
    assert_eq!(decoder.decode(head).unwrap(), (8, Event::NeedMore));
    assert!(decoder.is_amid_message());
    assert!(matches!(decoder.decode(tail).unwrap().1, Event::Text(std::borrow::Cow::Owned(_))));
    assert!(decoder.is_idle());
    assert!(size_of::<FrameDecoder>() <= 48, "{}", size_of::<FrameDecoder>());
}

#[test]
fn a_limit_raised_later_holds_from_the_next_frame() {
    let mut decoder = FrameDecoder::new(Expect::Binary, 4);
    decoder.set_message_bytes_max(8);
    assert!(decoder.decode(&mut frame(0x82, b"12345678")).is_ok());
    assert!(decoder.decode(&mut frame(0x82, b"123456789")).is_err());
    assert_eq!(decoder.decode(&mut frame(0x82, b"1")), Ok((7, Event::NeedMore)), "an error ends it");
}

#[test]
fn what_is_written_is_what_tungstenite_reads() {
    let mut bytes = Vec::new();
    let long = vec![b'x'; 70_000];
    write_frame(&mut bytes, TEXT, &[b"hel", b"lo"]);
    write_frame(&mut bytes, BINARY, &[&long[..300]]);
    write_frame(&mut bytes, BINARY, &[&long]);
    write_ping(&mut bytes, b"now");
    write_pong(&mut bytes, &[1; 200]);
    write_close(&mut bytes, CloseCode::Restart, &"é".repeat(100));
    let mut socket = tungstenite::WebSocket::from_raw_socket(
        Wire { input: std::io::Cursor::new(bytes) },
        tungstenite::protocol::Role::Client,
        None,
    );
    use tungstenite::Message;
    assert_eq!(socket.read().unwrap(), Message::text("hello"));
    assert_eq!(socket.read().unwrap(), Message::binary(long[..300].to_vec()));
    assert_eq!(socket.read().unwrap(), Message::binary(long));
    assert_eq!(socket.read().unwrap(), Message::Ping(b"now".to_vec().into()));
    assert_eq!(socket.read().unwrap(), Message::Pong(vec![1; 125].into()));
    let Message::Close(Some(close)) = socket.read().unwrap() else { panic!("no Close") };
    assert_eq!((close.code, close.reason.as_str()), (CloseCode::Restart, &*"é".repeat(61)));
}

#[test]
fn header_lengths_agree_with_what_is_written() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let mut out = Vec::new();
        write_header(&mut out, BINARY, length);
        assert_eq!(out.len(), header_len(length));
    }
}

/// A transport that has all its input and swallows its output.
struct Wire {
    input: std::io::Cursor<Vec<u8>>,
}

impl std::io::Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.input.read(buffer)
    }
}

impl std::io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of `stream` as a server, and whether it found fault.
fn tungstenite_run(stream: &[u8]) -> (Vec<Told>, bool) {
    use tungstenite::{Error, Message};
    let config = tungstenite::protocol::WebSocketConfig::default().max_message_size(Some(LIMIT as usize));
    let wire = Wire { input: std::io::Cursor::new(stream.to_vec()) };
    let mut socket = tungstenite::WebSocket::from_raw_socket(wire, tungstenite::protocol::Role::Server, Some(config));
    let mut told = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => told.push(Told::Binary(bytes.to_vec())),
            Ok(Message::Text(text)) => told.push(Told::Text(text.to_string())),
            Ok(Message::Ping(payload)) => told.push(Told::Ping(payload.to_vec())),
            Ok(Message::Pong(_)) => told.push(Told::Pong),
            Ok(Message::Close(close)) => {
                told.push(Told::Close(close.map(|close| close.code.into())));
                return (told, false);
            }
            Ok(Message::Frame(_)) => {}
            // The end of input, which is no fault of the stream's.
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_)) => {
                return (told, false);
            }
            Err(_) => return (told, true),
        }
    }
}

/// Frames as a client sends them, now and then with something wrong.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        4 => Just(0x81u8), 2 => Just(0x82), 2 => Just(0x01), 1 => Just(0x02), 3 => Just(0x00), 4 => Just(0x80),
        2 => Just(0x89), 1 => Just(0x8A), 1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => "\\PC{0,40}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..140),
        1 => (120usize..70_000).prop_map(|length| vec![b'z'; length]),
        1 => (900u16..5100, "[a-z]{0,5}").prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat()),
    ];
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_split_tells_the_same(
        frames in prop::collection::vec(any_frame(), 0..8),
        sizes in prop::collection::vec(1usize..200, 1..6),
        is_text in any::<bool>(),
    ) {
        let expect = if is_text { Expect::Text } else { Expect::Binary };
        let stream = frames.concat();
        let (whole, whole_error) = run(expect, &stream, &[usize::MAX]);
        let (split, split_error) = run(expect, &stream, &sizes);
        prop_assert_eq!(&whole, &split);
        prop_assert_eq!(whole_error, split_error);
    }

    #[test]
    fn noise_never_panics(mut noise in prop::collection::vec(any::<u8>(), 0..300), sizes in prop::collection::vec(1usize..20, 1..4)) {
        let whole = run(Expect::Text, &noise, &[usize::MAX]);
        prop_assert_eq!(whole, run(Expect::Text, &noise, &sizes));
        if let Some(second) = noise.get_mut(1) {
            *second |= 0x80;
        }
        run(Expect::Binary, &noise, &sizes);
    }

    #[test]
    fn agrees_with_tungstenite(frames in prop::collection::vec(any_frame(), 0..8), is_text in any::<bool>()) {
        let expect = if is_text { Expect::Text } else { Expect::Binary };
        let stream = frames.concat();
        let (mut ours, error) = run(expect, &stream, &[usize::MAX]);
        ours.retain(|told| !matches!(told, Told::Unfinished(_)));
        for told in &mut ours {
            // tungstenite answers 1014, which IANA added later, with 1002.
            if *told == Told::Close(Some(1014)) {
                *told = Told::Close(Some(1002));
            }
        }
        let (theirs, is_fault) = tungstenite_run(&stream);
        match error {
            // What tungstenite takes and RFC 6455, our subprotocol or our limits do not: until there both say the same.
            Some(
                FrameError::WrongType(_)
                | FrameError::CloseCodeInvalid(_)
                | FrameError::LengthNotMinimal
                | FrameError::TooManyEmptyFragments
                | FrameError::MessageTooLong { .. },
            ) => prop_assert!(theirs.starts_with(&ours), "{:?} {:?} {:?}", theirs, ours, error),
            _ => {
                prop_assert_eq!(&ours, &theirs);
                prop_assert_eq!(error.is_some(), is_fault, "{:?}", error);
            }
        }
    }
}
