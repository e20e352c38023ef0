//! Addresses in an answer that name the inner server become those of the outer one, as nginx's `proxy_redirect default` has it.
//!
//! Pure. `http://inner:8080/base/x` under a route `/app/` to `http://inner:8080/base/` becomes `/app/x`.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

/// What the addresses of one upstream begin with, and what they are to begin with.
#[derive(Clone, Debug)]
pub(crate) struct Redirects {
    /// `http://inner:8080/base/`
    inner: Box<str>,
    /// `/app/`
    outer: Box<str>,
}

impl Redirects {
    pub(crate) fn new(inner: impl Into<Box<str>>, outer: impl Into<Box<str>>) -> Self {
        Self { inner: inner.into(), outer: outer.into() }
    }
}

/// Rewrites Location and Refresh where they name the inner address.
pub(crate) fn rewrite(headers: &mut HeaderMap, redirects: &[Redirects]) {
    if let Some(location) = headers.get(header::LOCATION).and_then(|value| outer(value.as_bytes(), redirects)) {
        headers.insert(header::LOCATION, location);
    }
    let refreshed = headers.get(REFRESH).and_then(|value| {
        let (before, url) = value.as_bytes().split_at(url_index(value.as_bytes())?);
        let url = outer(url, redirects)?;
        HeaderValue::from_bytes(&[before, url.as_bytes()].concat()).ok()
    });
    if let Some(refreshed) = refreshed {
        headers.insert(REFRESH, refreshed);
    }
}

const REFRESH: HeaderName = HeaderName::from_static("refresh");

fn outer(address: &[u8], redirects: &[Redirects]) -> Option<HeaderValue> {
    redirects.iter().find_map(|Redirects { inner, outer }| {
        // The authority in any case; a path is what it is.
        let start = address.get(..inner.len())?;
        let path = inner.find("://").and_then(|scheme| Some(scheme + 3 + inner[scheme + 3..].find('/')?))?;
        let fits =
            start[..path].eq_ignore_ascii_case(&inner.as_bytes()[..path]) && start[path..] == inner.as_bytes()[path..];
        fits.then(|| HeaderValue::from_bytes(&[outer.as_bytes(), &address[inner.len()..]].concat()).ok())?
    })
}

/// Where the address begins in `5; url=http://…`.
fn url_index(refresh: &[u8]) -> Option<usize> {
    Some(refresh.windows(4).position(|four| four.eq_ignore_ascii_case(b"url="))? + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_address_becomes_the_outer_one() {
        let redirects = [Redirects::new("http://inner:8080/base/", "/app/"), Redirects::new("http://other/", "/")];
        let rewritten = |name: HeaderName, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name.clone(), HeaderValue::from_static(value));
            rewrite(&mut headers, &redirects);
            String::from_utf8_lossy(headers[name].as_bytes()).into_owned()
        };
        for (location, expected) in [
            ("http://inner:8080/base/x?y", "/app/x?y"),
            ("HTTP://Inner:8080/base/", "/app/"),
            ("http://inner:8080/BASE/", "http://inner:8080/BASE/"),
            ("http://inner:8080/", "http://inner:8080/"),
            ("http://other/base/", "/base/"),
            ("http://other", "http://other"),
            ("http://other.evil/", "http://other.evil/"),
            ("https://other/", "https://other/"),
            ("/base/x", "/base/x"),
            ("x", "x"),
            ("", ""),
        ] {
            assert_eq!(rewritten(header::LOCATION, location), expected);
        }
        assert_eq!(rewritten(REFRESH, "5; url=http://inner:8080/base/x"), "5; url=/app/x");
        assert_eq!(rewritten(REFRESH, "5; URL=http://other/"), "5; URL=/");
        assert_eq!(rewritten(REFRESH, "5"), "5");
    }
}
