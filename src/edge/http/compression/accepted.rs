//! Which coding a client takes (RFC 9110 §12.5.3).
//!
//! Pure.

use hyper::header::{self, HeaderMap};

use super::super::upgrade;

/// A coding of content that is made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// The coding that the client likes best; the smaller one where it likes both.
pub(super) fn coding(headers: &HeaderMap) -> Option<Coding> {
    let (mut brotli, mut gzip, mut any) = (None, None, None);
    for item in upgrade::items(headers, header::ACCEPT_ENCODING) {
        let (name, weight) = weighed(item)?;
        match name.to_ascii_lowercase().as_slice() {
            b"br" => brotli = Some(weight),
            b"gzip" | b"x-gzip" => gzip = Some(weight),
            b"*" => any = Some(weight),
            _ => {}
        }
    }
    let (brotli, gzip) = (brotli.or(any).unwrap_or(0), gzip.or(any).unwrap_or(0));
    match (brotli, gzip) {
        (0, 0) => None,
        (brotli, gzip) if brotli >= gzip => Some(Coding::Brotli),
        _ => Some(Coding::Gzip),
    }
}

/// A name and its weight in thousandths. `None`: it is no list of codings, and nothing in it is believed.
fn weighed(item: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = item.splitn(2, |&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next()?;
    let Some(weight) = parts.next() else { return Some((name, 1000)) };
    let weight = weight.strip_prefix(b"q=").or_else(|| weight.strip_prefix(b"Q="))?;
    let weight = std::str::from_utf8(weight).ok()?;
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match whole {
        "1" if fraction.bytes().all(|byte| byte == b'0') => Some((name, 1000)),
        "0" => format!("{fraction:0<3}").parse().ok().map(|weight| (name, weight)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_best_liked_coding_is_chosen() {
        for (field, expected) in [
            ("", None),
            ("identity", None),
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("deflate, gzip;q=1.0, *;q=0.5", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("br")),
            ("GZIP;Q=0.8 , br ; q=0.5", Some("gzip")),
            ("br;q=0, gzip;q=0.001", Some("gzip")),
            ("gzip;q=0", None),
            ("*", Some("br")),
            ("br;q=0, *", Some("gzip")),
            ("*;q=0", None),
            ("gzip;q=2", None),
            ("gzip;level=9", None),
            ("gzip;q=0.12345", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(field));
            assert_eq!(coding(&headers).map(Coding::name), expected, "{field:?}");
        }
        assert_eq!(coding(&HeaderMap::new()), None);
    }
}
