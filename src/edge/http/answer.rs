//! The answers that are not files: short texts, always with a length, never guessed at by a browser, never kept by a cache.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// The content of any answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer with `content`.
pub(crate) fn with_content(
    status: StatusCode,
    content_type: &'static str,
    content: impl Into<Bytes>,
) -> Response<Body> {
    let body = Full::new(content.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer that says `message` in one line of plain text.
pub(crate) fn text(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = with_content(status, "text/plain; charset=utf-8", format!("{message}\n"));
    set(&mut response, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer without content.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Sets a field, in place of one of the same name.
pub(crate) fn set(response: &mut Response<Body>, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}

/// Says that this was the last answer on the connection.
pub(crate) fn close_after(response: &mut Response<Body>) {
    // 426 names the protocol to upgrade to, which has to be listed beside it (RFC 9110 §15.5.22).
    let value = if response.headers().contains_key(header::UPGRADE) { "upgrade, close" } else { "close" };
    set(response, header::CONNECTION, HeaderValue::from_static(value));
}
