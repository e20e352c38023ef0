//! What every request has to satisfy before a route sees it (RFC 9112 §3.2), and what it leaves known.
//!
//! Pure. `Framing` has already held the bytes to one reading; here it is the parsed head.

use hyper::header::{self, HeaderMap};
use hyper::http::request;
use hyper::{Method, Version};

use super::origin::Origin;
use super::path::RequestPath;

/// What is known of a sound request beside its head.
#[derive(Debug)]
pub(crate) struct Target {
    /// For routing; `None` for `OPTIONS *`.
    pub(crate) path: Option<RequestPath>,
    /// The origin it was sent to, where it names a host.
    pub(crate) origin: Option<Origin>,
}

/// # Errors
/// What is wrong, for a 400.
pub(crate) fn check(head: &request::Parts, is_tls: bool) -> Result<Target, &'static str> {
    if !matches!(head.version, Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2) {
        return Err("The HTTP versions spoken here are 1.0, 1.1 and 2.");
    }
    let scheme = if is_tls { "https" } else { "http" };
    let origin = origin(head, scheme)?;
    if let Some(absolute) = head.uri.scheme_str() {
        check_absolute(head, absolute, scheme, origin.as_ref())?;
    }
    Ok(Target { path: path(head)?, origin })
}

/// Whether content, if there is any, has a length or is chunked and nothing else.
pub(crate) fn is_framed_plainly(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Whether a request announces content.
pub(crate) fn has_content(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0")
}

/// Exactly one Host that can be a host; HTTP/1.0 knows none.
fn origin(head: &request::Parts, scheme: &str) -> Result<Option<Origin>, &'static str> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version == Version::HTTP_10 => Ok(None),
        (None, _) => Err("Host is missing."),
        (Some(_), Some(_)) => Err("Host is given twice."),
        (Some(host), None) => Origin::new(scheme, host.as_bytes()).map(Some).ok_or("Host is no host."),
    }
}

/// A target in absolute form (RFC 9112 §3.2.2) has to agree with Host, for whoever reads only one of them.
fn check_absolute(
    head: &request::Parts,
    absolute: &str,
    scheme: &str,
    own: Option<&Origin>,
) -> Result<(), &'static str> {
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let target = authority.and_then(|authority| Origin::new(absolute, authority));
    if !absolute.eq_ignore_ascii_case(scheme) || target.is_none() || (own.is_some() && own != target.as_ref()) {
        return Err("The request target is not of this server, or not the one in Host.");
    }
    Ok(())
}

fn path(head: &request::Parts) -> Result<Option<RequestPath>, &'static str> {
    match head.uri.path() {
        "*" if head.method == Method::OPTIONS => Ok(None),
        path => RequestPath::read(path).map(Some).ok_or("The path is not sound."),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn checked(target: &str, hosts: &[&[u8]]) -> Result<Target, &'static str> {
        let mut request = Request::get(target);
        for host in hosts {
            request = request.header("Host", *host);
        }
        check(&request.body(()).expect("the request is sound").into_parts().0, true)
    }

    #[test]
    fn one_host_that_is_a_host() {
        assert!(checked("/", &[b"a.example:8443"]).is_ok());
        assert!(checked("/", &[b"[::1]:8443"]).is_ok());
        assert!(checked("/", &[b"a.example."]).is_ok());
        let refused: &[&[&[u8]]] = &[
            &[],
            &[b""],
            &[b"a", b"a"],
            &[b"a", b"b"],
            &[b"a b"],
            &[b"a/b"],
            &[b"u@a"],
            &[b"\xff"],
            &[b"a:b"],
            &[b"a..b"],
            &[b".a"],
            &[b".."],
        ];
        for hosts in refused {
            assert!(checked("/", hosts).is_err(), "{hosts:?}");
        }
    }

    #[test]
    fn an_absolute_target_agrees_with_host() {
        let target = checked("https://A.example:443/mqtt?x", &[b"a.example"]).expect("they agree");
        assert_eq!(target.path, RequestPath::read("/mqtt"));
        for uri in
            ["https://b.example/", "http://a.example/", "ftp://a.example/", "https://u@a.example/", "a.example:443"]
        {
            assert!(checked(uri, &[b"a.example"]).is_err(), "{uri}");
        }
    }

    #[test]
    fn unsound_paths_are_refused() {
        for path in ["/a/../../b", "/%2e%2e/", "/%00", "*"] {
            assert!(checked(path, &[b"a"]).is_err(), "{path}");
        }
    }
}
