//! Content on its way through a coding.
//!
//! What has come is coded at once, and what the coding still holds is given out as soon as nothing more is there: bulk is coded well, and
//! a stream stays one. (tower-http's layer holds back what little has come until more does, which is why it is not used here.)

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::write::GzEncoder;
use hyper::HeaderMap;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::super::answer::Body;
use super::super::exchange::Timing;
use super::accepted::Coding;

/// Coded content.
pub(super) struct Compressed {
    content: Body,
    /// `None` once it has come to its end.
    encoder: Option<Encoder>,
    /// Of what has come, not coded yet.
    rest: Bytes,
    trailers: Option<HeaderMap>,
    /// Whether the encoder holds something.
    is_holding: bool,
    pieces_in_a_row: usize,
    timing: Arc<Mutex<Timing>>,
    _permit: OwnedSemaphorePermit,
}

/// Coded at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Then others have their turn: together they take about a millisecond.
const PIECES_IN_A_ROW: usize = 4;

enum Encoder {
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

/// Of 9: beyond it the time grows faster than the content shrinks. nginx has 1.
const GZIP_LEVEL: u32 = 4;

/// Of 11: as fast as gzip, and smaller.
const BROTLI_LEVEL: i32 = 4;

/// 2^18 bytes: what a text of a page needs, and not the 4 MiB of the library.
const BROTLI_WINDOW: i32 = 18;

impl Compressed {
    pub(super) fn new(content: Body, coding: Coding, timing: Arc<Mutex<Timing>>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            content,
            encoder: Some(Encoder::new(coding)),
            rest: Bytes::new(),
            trailers: None,
            is_holding: false,
            pieces_in_a_row: 0,
            timing,
            _permit: permit,
        }
    }

    /// Codes the next piece of what has come; `Pending` when it is time to let others go on.
    fn code(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.pieces_in_a_row == PIECES_IN_A_ROW {
            self.pieces_in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.pieces_in_a_row += 1;
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        self.is_holding = true;
        Poll::Ready(self.encoder.as_mut().map_or(Ok(Bytes::new()), |encoder| encoder.write(&piece)))
    }

    fn flush(&mut self) -> io::Result<Bytes> {
        self.pieces_in_a_row = 0;
        match &mut self.encoder {
            Some(encoder) if std::mem::take(&mut self.is_holding) => encoder.flush(),
            _ => Ok(Bytes::new()),
        }
    }

    fn finish(&mut self) -> io::Result<Bytes> {
        self.encoder.take().map_or(Ok(Bytes::new()), Encoder::finish)
    }
}

impl hyper::body::Body for Compressed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        loop {
            let coded = if !this.rest.is_empty() {
                ready!(this.code(cx))
            } else if this.encoder.is_none() {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            } else {
                match Pin::new(&mut this.content).poll_frame(cx) {
                    Poll::Pending => match this.flush() {
                        Ok(held) if held.is_empty() => return Poll::Pending,
                        held => {
                            // The client is waited for again, until the content is asked for more.
                            this.timing.lock().resume(Instant::now);
                            held
                        }
                    },
                    Poll::Ready(None) => this.finish(),
                    // It stays cut: an end of the coding would make it look whole.
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => {
                            this.rest = data;
                            continue;
                        }
                        Err(frame) => {
                            this.trailers = frame.into_trailers().ok();
                            this.finish()
                        }
                    },
                }
            };
            match coded {
                Ok(coded) if coded.is_empty() => {}
                coded => return Poll::Ready(Some(coded.map(Frame::data))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.rest.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Encoder {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))),
            Coding::Brotli => {
                let parameters = BrotliEncoderParams {
                    quality: BROTLI_LEVEL,
                    lgwin: BROTLI_WINDOW,
                    ..BrotliEncoderParams::default()
                };
                Self::Brotli(Box::new(CompressorWriter::with_params(Vec::new(), PIECE_BYTES, &parameters)))
            }
        }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(piece)?,
            Self::Brotli(encoder) => encoder.write_all(piece)?,
        }
        Ok(self.take())
    }

    /// All that has been written can be read by who has this.
    fn flush(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Gzip(encoder) => encoder.flush()?,
            Self::Brotli(encoder) => encoder.flush()?,
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Bytes {
        let coded = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
        };
        Bytes::from(std::mem::take(coded))
    }

    fn finish(self) -> io::Result<Bytes> {
        match self {
            Self::Gzip(encoder) => encoder.finish().map(Bytes::from),
            Self::Brotli(encoder) => Ok(Bytes::from(encoder.into_inner())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Duration;

    use http_body_util::BodyExt as _;
    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::edge::http::exchange::Patience;

    type Frames = mpsc::Sender<io::Result<Frame<Bytes>>>;

    struct Channel(mpsc::Receiver<io::Result<Frame<Bytes>>>);

    impl hyper::body::Body for Channel {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            self.0.poll_recv(cx)
        }
    }

    fn compressed(coding: Coding) -> (Frames, Compressed) {
        let (sender, receiver) = mpsc::channel(8);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is one");
        let patience = Patience { head: Duration::MAX, idle: Duration::from_secs(60) };
        let timing = Timing::new(patience, Instant::now());
        (sender, Compressed::new(Channel(receiver).boxed_unsync(), coding, timing, permit))
    }

    fn decoded(coding: Coding, coded: &[u8]) -> (Vec<u8>, io::Result<usize>) {
        let mut plain = Vec::new();
        let ended = match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut plain),
            Coding::Brotli => brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain),
        };
        (plain, ended)
    }

    #[tokio::test]
    async fn what_comes_goes_on_at_once_and_whole() {
        for coding in [Coding::Gzip, Coding::Brotli] {
            let (sender, mut compressed) = compressed(coding);
            let mut coded = Vec::new();
            for piece in ["first", "second"] {
                sender.try_send(Ok(Frame::data(piece.into()))).expect("it is read");
                // The first frame may be the coding's own head.
                while !decoded(coding, &coded).0.ends_with(piece.as_bytes()) {
                    let frame = compressed.frame().await.expect("it is not held back").expect("it is sound");
                    coded.extend_from_slice(&frame.into_data().expect("data"));
                }
                assert!(decoded(coding, &coded).1.is_err(), "{coding:?}: it is not over");
            }
            let large: Vec<u8> = (0..300_000u32).flat_map(|number| (number % 977).to_le_bytes()).collect();
            sender.try_send(Ok(Frame::data(large.clone().into()))).expect("it is read");
            sender.try_send(Ok(Frame::trailers(HeaderMap::new()))).expect("it is read");
            drop(sender);
            let rest = compressed.collect().await.expect("it is sound");
            assert!(rest.trailers().is_some());
            coded.extend_from_slice(&rest.to_bytes());
            let (plain, ended) = decoded(coding, &coded);
            assert!(ended.is_ok() && plain == [b"firstsecond", large.as_slice()].concat(), "{coding:?}");
            assert!(coded.len() < plain.len() / 10, "{coding:?}: {}", coded.len());
        }
    }

    #[tokio::test]
    async fn what_is_cut_stays_cut() {
        for coding in [Coding::Gzip, Coding::Brotli] {
            let (sender, mut compressed) = compressed(coding);
            sender.try_send(Ok(Frame::data("part".into()))).expect("it is read");
            let part = compressed.frame().await.expect("a piece").expect("it is sound").into_data().expect("data");
            sender.try_send(Err(io::ErrorKind::UnexpectedEof.into())).expect("it is read");
            assert!(compressed.frame().await.expect("a failure").is_err());
            assert!(decoded(coding, &part).1.is_err(), "{coding:?}");
        }
    }
}
