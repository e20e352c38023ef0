//! Whether an answer may be coded, and what its head says then.
//!
//! Pure.

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response;

use super::super::upgrade;
use crate::edge::config::CompressionConfig;

/// Whether there is content that is worth coding, and nothing that speaks against it; `length` is that of the content, where it is known.
pub(super) fn may_be_coded(head: &response::Parts, length: Option<u64>, config: &CompressionConfig) -> bool {
    let is_partial = head.status == StatusCode::PARTIAL_CONTENT || head.headers.contains_key(header::CONTENT_RANGE);
    let has_content = !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
        && !head.status.is_informational()
        && length.is_none_or(|length| length >= config.bytes_min);
    let is_bound_to_bytes = BOUND_TO_BYTES.iter().any(|name| head.headers.contains_key(name));
    has_content
        && !is_partial
        && !is_bound_to_bytes
        && !forbids_transforms(&head.headers)
        && upgrade::one(&head.headers, header::CONTENT_TYPE).is_some_and(|found| is_listed(found, &config.types))
}

/// Coded already, or proven by a digest of the bytes as they are (RFC 9530, and what came before it).
const BOUND_TO_BYTES: [HeaderName; 5] = [
    header::CONTENT_ENCODING,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// RFC 9111 §5.2.1.6, §5.2.2.6.
pub(super) fn forbids_transforms(headers: &HeaderMap) -> bool {
    upgrade::has_token(headers, header::CACHE_CONTROL, b"no-transform")
}

/// The length that the head states.
pub(super) fn declared(headers: &HeaderMap) -> Option<u64> {
    std::str::from_utf8(upgrade::one(headers, header::CONTENT_LENGTH)?).ok()?.parse().ok()
}

/// Events are a kind of text that is listed by its own name only: whoever sends them waits for each to arrive.
fn is_listed(content_type: &[u8], types: &[String]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    types.iter().any(|listed| match listed.strip_suffix('*') {
        Some(kind) => essence.starts_with(kind.as_bytes()) && essence != b"text/event-stream",
        None => essence == listed.as_bytes(),
    })
}

/// What no longer holds once the content is coded.
pub(super) fn coded(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    weaken(headers);
}

/// The answer is another one for who takes another coding.
pub(super) fn add_vary(headers: &mut HeaderMap) {
    let is_said = |name: &[u8]| upgrade::has_token(headers, header::VARY, name);
    if !is_said(b"accept-encoding") && !is_said(b"*") {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// An answer that says that a copy is still good: it may be a coded one.
pub(super) fn revalidated(headers: &mut HeaderMap, takes_coding: bool) {
    if takes_coding {
        weaken(headers);
    }
    add_vary(headers);
}

/// The bytes are others, what they mean is the same (RFC 9110 §8.8.1).
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(header::ETAG).map(HeaderValue::as_bytes) else { return };
    if tag.starts_with(b"W/") {
        return;
    }
    let weak = [b"W/", tag].concat();
    match HeaderValue::from_bytes(&weak) {
        Ok(weak) => headers.insert(header::ETAG, weak),
        Err(_) => headers.remove(header::ETAG),
    };
}

#[cfg(test)]
mod tests {
    use hyper::Response;

    use super::*;

    fn head(status: u16, fields: &[(&str, &str)]) -> response::Parts {
        let answer = Response::builder().status(status);
        let answer = fields.iter().fold(answer, |answer, (name, value)| answer.header(*name, *value));
        answer.body(()).expect("it is sound").into_parts().0
    }

    #[test]
    fn only_what_is_worth_it_and_harmless_is_coded() {
        let config = CompressionConfig::default();
        let html = ("content-type", "text/html; charset=utf-8");
        let may = |status, fields: &[(&str, &str)], length| may_be_coded(&head(status, fields), length, &config);
        assert!(may(200, &[html], Some(5000)) && may(200, &[html], None) && may(404, &[html], Some(5000)));
        assert!(may(200, &[("content-type", "Application/JSON")], None));
        assert!(!may(200, &[html], Some(config.bytes_min - 1)));
        for (status, fields) in [
            (200, &[][..]),
            (200, &[("content-type", "image/png")]),
            (200, &[("content-type", "text/event-stream")]),
            (200, &[("content-type", "application/grpc")]),
            (200, &[html, ("content-encoding", "br")]),
            (200, &[html, ("content-encoding", "identity")]),
            (200, &[html, ("cache-control", "public, no-transform")]),
            (200, &[html, ("content-digest", "sha-256=:x:")]),
            (206, &[html]),
            (416, &[html, ("content-range", "bytes */5")]),
            (204, &[html]),
        ] {
            assert!(!may(status, fields, None), "{status} {fields:?}");
        }
        let named = CompressionConfig { types: vec!["text/event-stream".into()], ..config };
        assert!(may_be_coded(&head(200, &[("content-type", "text/event-stream")]), None, &named));
    }

    #[test]
    fn a_coded_answer_says_what_it_is() {
        let fields = [("content-length", "5"), ("accept-ranges", "bytes"), ("etag", "\"x\""), ("vary", "origin")];
        let mut coded_head = head(200, &fields).headers;
        add_vary(&mut coded_head);
        add_vary(&mut coded_head);
        coded(&mut coded_head);
        let shown: Vec<_> =
            coded_head.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        for line in ["etag: W/\"x\"", "vary: origin", "vary: accept-encoding"] {
            assert!(shown.iter().any(|shown| shown == line), "{line}: {shown:?}");
        }
        let mut weak = head(304, &[("etag", "W/\"x\""), ("vary", "*")]).headers;
        revalidated(&mut weak, true);
        assert_eq!((&weak["etag"], weak.get_all("vary").iter().count()), (&HeaderValue::from_static("W/\"x\""), 1));
    }
}
