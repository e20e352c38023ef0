//! What a client sends after the opening handshake: no split shows, no limit is passed, and tungstenite agrees where it is right.
//!
//! The first byte says which type of message is expected and how the stream is split; the rest is the stream.
#![no_main]

use std::io::{self, Cursor, Read, Write};

use libfuzzer_sys::fuzz_target;
use tidegate::dialect::websocket::{Event, Expect, FrameDecoder, FrameError};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

const LIMIT: u32 = 4096;

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Binary(Vec<u8>),
    Text(String),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

fuzz_target!(|data: &[u8]| {
    let Some((&control, stream)) = data.split_first() else { return };
    let expect = if control & 1 == 0 { Expect::Text } else { Expect::Binary };
    let whole = run(expect, stream, stream.len());
    assert_eq!(run(expect, stream, usize::from(control >> 1)), whole, "a split shows");
    let (told, error) = whole;
    compare(&told, error, stream);
});

/// Feeds `stream` in pieces of `piece_bytes`.
fn run(expect: Expect, stream: &[u8], piece_bytes: usize) -> (Vec<Told>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(expect, LIMIT);
    let (mut told, mut binary) = (Vec::new(), Vec::new());
    for piece in stream.chunks(piece_bytes.max(1)) {
        let mut piece = piece.to_vec();
        let mut at = 0;
        loop {
            let (used, event) = match decoder.decode(&mut piece[at..]) {
                Ok(decoded) => decoded,
                Err(error) => return (told, Some(error)),
            };
            match event {
                Event::NeedMore => {
                    assert_eq!(at + used, piece.len(), "NeedMore leaves nothing");
                    break;
                }
                Event::Binary { bytes, end_of_message } => {
                    binary.extend_from_slice(bytes);
                    assert!(binary.len() <= LIMIT as usize);
                    if end_of_message {
                        told.push(Told::Binary(std::mem::take(&mut binary)));
                    }
                }
                Event::Text(text) => {
                    assert!(text.len() <= LIMIT as usize);
                    told.push(Told::Text(text.into_owned()));
                }
                Event::Ping(payload) => told.push(Told::Ping(payload.into_owned())),
                Event::Pong => told.push(Told::Pong),
                // tungstenite answers 1014, which IANA added later, with 1002.
                Event::Close { code } => {
                    told.push(Told::Close(code.map(u16::from).map(|code| if code == 1014 { 1002 } else { code })))
                }
            }
            at += used;
        }
    }
    (told, None)
}

/// Holds what was told against tungstenite, which takes either type of message and checks a frame only once it is whole.
fn compare(told: &[Told], error: Option<FrameError>, stream: &[u8]) {
    let (theirs, is_fault) = oracle(stream);
    match error {
        None => {
            assert_eq!(told, theirs);
            assert!(!is_fault, "tungstenite found a fault that we did not");
        }
        Some(_) => assert!(theirs.starts_with(told), "{theirs:?} does not begin with {told:?}"),
    }
}

fn oracle(stream: &[u8]) -> (Vec<Told>, bool) {
    let config = WebSocketConfig::default().max_message_size(Some(LIMIT as usize)).max_frame_size(Some(LIMIT as usize));
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(stream.to_vec())), Role::Server, Some(config));
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
            // The end of the input.
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_)) => return (told, false),
            Err(_) => return (told, true),
        }
    }
}

/// A transport that has all its input and swallows its output.
struct Wire(Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
