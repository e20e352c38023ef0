//! Several parts of a file in one answer (`multipart/byteranges`, RFC 9110 §14.6).

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

use super::answer::{self, Body};

/// Makes one answer of several, each of one part with its own Content-Range and length. `None` if one of them is not.
pub(crate) fn together(parts: Vec<Response<Body>>) -> Option<Response<Body>> {
    // Nobody can have put it into a file before.
    let boundary = format!("{:020}", RandomState::new().hash_one(0));
    let mut whole = answer::empty(StatusCode::PARTIAL_CONTENT);
    let mut pieces = VecDeque::new();
    let mut length = 0;
    for (index, part) in parts.into_iter().enumerate() {
        let (head, body) = part.into_parts();
        if index == 0 {
            *whole.headers_mut() = head.headers.clone();
        }
        let mut text = format!("\r\n--{boundary}\r\n").into_bytes();
        for name in ["Content-Type", "Content-Range"] {
            if let Some(value) = head.headers.get(name) {
                text.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
            }
        }
        text.extend(b"\r\n");
        length += text.len() as u64 + self::length(&head.headers)?;
        pieces.extend([Piece::Text(text.into()), Piece::File(body)]);
    }
    let end = format!("\r\n--{boundary}--\r\n");
    length += end.len() as u64;
    pieces.push_back(Piece::Text(end.into()));
    let content_type = HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}")).ok()?;
    whole.headers_mut().remove(header::CONTENT_RANGE);
    answer::set(&mut whole, header::CONTENT_TYPE, content_type);
    answer::set(&mut whole, header::CONTENT_LENGTH, length.into());
    *whole.body_mut() = Parts { pieces, length }.boxed_unsync();
    Some(whole)
}

/// What Content-Length says.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    str::from_utf8(headers.get(header::CONTENT_LENGTH)?.as_bytes()).ok()?.parse().ok()
}

/// One piece after the other.
struct Parts {
    pieces: VecDeque<Piece>,
    /// Of all that is still to come.
    length: u64,
}

enum Piece {
    Text(Bytes),
    File(Body),
}

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let frame = loop {
            match this.pieces.front_mut() {
                None => return Poll::Ready(None),
                Some(Piece::Text(text)) => {
                    let text = std::mem::take(text);
                    this.pieces.pop_front();
                    break Frame::data(text);
                }
                Some(Piece::File(body)) => match ready!(Pin::new(body).poll_frame(cx)?) {
                    Some(frame) => break frame,
                    None => drop(this.pieces.pop_front()),
                },
            }
        };
        this.length = this.length.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        Poll::Ready(Some(Ok(frame)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
