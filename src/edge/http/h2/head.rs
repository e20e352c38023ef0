//! What differs between a head of HTTP/2 and one of HTTP/1.1, taken away: everything behind answers one kind of request.
//!
//! Pure. The library has refused what RFC 9113 §8.2 and §8.3 call malformed: fields of one connection, pseudo-fields that are missing,
//! twice or out of place, letters in upper case.

use hyper::ext::Protocol;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request;
use hyper::{Method, StatusCode, Uri};

/// What is wrong with a head, and how that is said.
pub(crate) type Unsound = (StatusCode, &'static str);

/// Makes of `head` what it would be in HTTP/1.1; `has_content`: the head was not the end of its stream.
///
/// # Errors
/// More fields than `headers_max`; an authority that is not the Host, or none; a scheme that is not ours; CONNECT to somebody else.
pub(crate) fn adopt(head: &mut request::Parts, has_content: bool, headers_max: usize) -> Result<(), Unsound> {
    join_cookies(&mut head.headers);
    if head.headers.len() > headers_max {
        return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request has too many fields."));
    }
    if head.method == Method::CONNECT && head.extensions.get::<Protocol>().is_none() {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "CONNECT opens WebSockets here, and nothing else."));
    }
    if head.uri.scheme_str().is_some_and(|scheme| !scheme.eq_ignore_ascii_case("https")) {
        return Err((StatusCode::BAD_REQUEST, "The scheme is not the one that is spoken here."));
    }
    set_host(head)?;
    let Some(target) = head.uri.path_and_query().cloned() else {
        return Err((StatusCode::BAD_REQUEST, "The request has no path."));
    };
    head.uri = Uri::from(target);
    if has_content && !head.headers.contains_key(header::CONTENT_LENGTH) {
        head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(())
}

/// `:authority` is the Host (RFC 9113 §8.3.1); where both are there, they have to say the same.
fn set_host(head: &mut request::Parts) -> Result<(), Unsound> {
    let Some(authority) = head.uri.authority() else { return Ok(()) };
    let ambiguous = (StatusCode::BAD_REQUEST, "Host is not the authority of the request.");
    let is_same = |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
    if !head.headers.get_all(header::HOST).iter().all(is_same) {
        return Err(ambiguous);
    }
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| ambiguous)?;
    head.headers.insert(header::HOST, host);
    Ok(())
}

/// Cookies come one a field, for the sake of compression (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut values = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(_)) = (values.next(), values.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for value in headers.get_all(header::COOKIE).iter().skip(1) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(value.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Takes what is of one connection from an answer (RFC 9113 §8.2.2). What closes a connection of HTTP/1.1 ends no more than its stream.
pub(crate) fn leave(status: &mut StatusCode, headers: &mut HeaderMap) {
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    // There is nothing to upgrade to that a field could name (RFC 9113 §8.6), and 426 may not go without. Nor does another status say it
    // better: 405 would have to allow CONNECT, and may be kept by caches; 421 has browsers ask again elsewhere.
    if *status == StatusCode::UPGRADE_REQUIRED {
        *status = StatusCode::BAD_REQUEST;
    }
}

const OF_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::UPGRADE,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn adopted(uri: &str, fields: &[(&str, &str)], has_content: bool) -> Result<request::Parts, Unsound> {
        let mut request = Request::get(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).expect("the request is sound").into_parts().0;
        adopt(&mut head, has_content, 5).map(|()| head)
    }

    fn field<'a>(head: &'a request::Parts, name: &str) -> Option<&'a str> {
        let mut values = head.headers.get_all(name).iter();
        let first = values.next().map(|value| std::str::from_utf8(value.as_bytes()).expect("it is text"));
        assert!(values.next().is_none(), "{name} is there once");
        first
    }

    #[test]
    fn the_authority_is_the_host() {
        let head = adopted("https://a.example:8443/b?c", &[], false).expect("it is sound");
        assert_eq!((field(&head, "host"), head.uri.to_string()), (Some("a.example:8443"), "/b?c".to_owned()));
        let head = adopted("https://a.example/", &[("host", "A.example")], false).expect("they agree");
        assert_eq!(field(&head, "host"), Some("a.example"));
        let head = adopted("/", &[("host", "a.example")], false).expect("Host alone will do");
        assert_eq!(field(&head, "host"), Some("a.example"));
        for fields in [&[("host", "b.example")][..], &[("host", "a.example"), ("host", "b.example")]] {
            let (status, _) = adopted("https://a.example/", fields, false).expect_err("they differ");
            assert_eq!(status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn another_scheme_and_another_server_are_refused() {
        assert_eq!(adopted("http://a.example/", &[], false).expect_err("no TLS").0, StatusCode::BAD_REQUEST);
        let mut head = Request::connect("b.example:25").body(()).expect("it is sound").into_parts().0;
        assert_eq!(adopt(&mut head, false, 5).expect_err("nobody's proxy").0, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn content_is_framed_as_it_would_be() {
        let framing = |fields: &[(&str, &str)], has_content| {
            let head = adopted("https://a.example/", fields, has_content).expect("it is sound");
            field(&head, "transfer-encoding").map(str::to_owned)
        };
        assert_eq!(framing(&[], false), None);
        assert_eq!(framing(&[], true).as_deref(), Some("chunked"));
        assert_eq!(framing(&[("content-length", "5")], true), None);
    }

    #[test]
    fn cookies_come_together_and_then_count() {
        let crumbs = [("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f"), ("cookie", "g=h"), ("cookie", "i=j")];
        let head = adopted("https://a.example/", &crumbs, false).expect("it is sound");
        assert_eq!(field(&head, "cookie"), Some("a=b; c=d; e=f; g=h; i=j"));
        let many = [("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", ""), ("f", "")];
        let (status, _) = adopted("https://a.example/", &many, false).expect_err("it has six");
        assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }

    #[test]
    fn an_answer_keeps_nothing_of_a_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "upgrade, close"), ("upgrade", "websocket"), ("vary", "origin")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let mut status = StatusCode::UPGRADE_REQUIRED;
        leave(&mut status, &mut headers);
        assert_eq!((status, headers.len()), (StatusCode::BAD_REQUEST, 1));
    }
}
