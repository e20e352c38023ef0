//! Parts of a file: what Range asks for, and whether If-Range lets it (RFC 9110 §14, §13.1.5), read as nginx reads them.
//!
//! Pure.

use hyper::header::{self, HeaderMap, HeaderValue};

use super::upgrade::one;

/// What of a file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing in particular, or what is not understood.
    Whole,
    /// From the first byte to the last one, both included, in the order in which they were asked for; one at least.
    Parts(Vec<(u64, u64)>),
    /// Nothing that there is.
    Unsatisfiable,
}

/// More of them than this are not worth it: the file goes whole then, as it does when they are more than the file together.
const PARTS_MAX: usize = 16;

/// What `headers` ask of a file of `size` bytes which has these validators.
pub(crate) fn asked(
    headers: &HeaderMap,
    size: u64,
    etag: Option<&HeaderValue>,
    last_modified: Option<&HeaderValue>,
) -> Asked {
    let Some(range) = one(headers, header::RANGE).filter(|_| is_current(headers, etag, last_modified)) else {
        return Asked::Whole;
    };
    match range.split_at_checked(UNIT.len()) {
        Some((unit, set)) if unit.eq_ignore_ascii_case(UNIT) && !set.is_empty() => parse(set, size),
        _ => Asked::Whole,
    }
}

const UNIT: &[u8] = b"bytes=";

/// Whether the parts that the client has are of the same file: its strong validator, or its very date.
fn is_current(headers: &HeaderMap, etag: Option<&HeaderValue>, last_modified: Option<&HeaderValue>) -> bool {
    if !headers.contains_key(header::IF_RANGE) {
        return true;
    }
    let Some(known) = one(headers, header::IF_RANGE) else { return false };
    match known.ends_with(b"\"") {
        true => known.starts_with(b"\"") && etag.is_some_and(|etag| etag.as_bytes() == known),
        false => last_modified.is_some_and(|date| date.as_bytes() == known),
    }
}

fn parse(set: &[u8], size: u64) -> Asked {
    let mut parts = Vec::new();
    let mut sum = 0_u64;
    for written in set.split(|&byte| byte == b',') {
        let Some((start, end)) = bounds(written.trim_ascii(), size) else { return Asked::Unsatisfiable };
        if start < end {
            sum = sum.saturating_add(end - start);
            parts.push((start, end - 1));
        } else if start == 0 {
            return Asked::Whole; // of nothing
        }
        if parts.len() > PARTS_MAX {
            return Asked::Whole;
        }
    }
    match parts.len() {
        0 => Asked::Unsatisfiable,
        _ if sum > size => Asked::Whole,
        _ => Asked::Parts(parts),
    }
}

/// The first byte and the one behind the last; `None` for what is no range.
fn bounds(written: &[u8], size: u64) -> Option<(u64, u64)> {
    let dash = written.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (written[..dash].trim_ascii(), written[dash + 1..].trim_ascii());
    Some(match (first, last) {
        ([], []) => return None,
        ([], suffix) => (size.saturating_sub(number(suffix)?), size),
        (first, []) => (number(first)?, size),
        (first, last) => (number(first)?, number(last)?.saturating_add(1).min(size)),
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str, size: u64) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(range).expect("a value"));
        asked(&headers, size, None, None)
    }

    #[test]
    fn parts_are_read() {
        for (range, parts) in [
            ("bytes=0-0", vec![(0, 0)]),
            ("bytes=5-", vec![(5, 9)]),
            ("bytes=5-99", vec![(5, 9)]),
            ("bytes=-1", vec![(9, 9)]),
            ("bytes=-11", vec![(0, 9)]),
            ("Bytes= 1 - 2 , 4-4", vec![(1, 2), (4, 4)]),
            ("bytes=4-5,0-0,20-", vec![(4, 5), (0, 0)]),
        ] {
            assert_eq!(of(range, 10), Asked::Parts(parts), "{range}");
        }
        let many = |count: usize| format!("bytes={}", vec!["1-1"; count].join(","));
        assert!(matches!(of(&many(PARTS_MAX), 100), Asked::Parts(_)));
        for range in ["", "bytes", "bytes=", "items=0-1", "bytes 0-1", "bytes=0-5,3-9", &many(PARTS_MAX + 1)] {
            assert_eq!(of(range, 10), Asked::Whole, "{range}");
        }
        for range in ["bytes=10-", "bytes=5-2", "bytes=-0", "bytes=-", "bytes=x", "bytes=1", "bytes=0-1,", "bytes=+1-2"]
        {
            assert_eq!(of(range, 10), Asked::Unsatisfiable, "{range}");
        }
        assert_eq!(
            (of("bytes=0-1", 0), of("bytes=-1", 0), of("bytes=1-", 0)),
            (Asked::Whole, Asked::Whole, Asked::Unsatisfiable)
        );
    }

    #[test]
    fn parts_of_another_file_are_not_given() {
        let (etag, date) =
            (HeaderValue::from_static("\"1\""), HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        let judged = |known: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-0"));
            headers.insert(header::IF_RANGE, HeaderValue::from_static(known));
            asked(&headers, 10, Some(&etag), Some(&date)) != Asked::Whole
        };
        assert!(judged("\"1\"") && judged("Sun, 06 Nov 1994 08:49:37 GMT"));
        for known in ["\"2\"", "W/\"1\"", "1", "", "Mon, 07 Nov 1994 08:49:37 GMT"] {
            assert!(!judged(known), "{known}");
        }
    }
}
