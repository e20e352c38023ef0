//! What a head of HTTP/2 says in another way than one of HTTP/1.1 (RFC 9113 §8.3, RFC 8441 §5).
//!
//! Pure.

use hyper::ext::Protocol;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

use super::super::super::upgrade;

/// What a client has asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) client: &'a request::Parts,
    pub(super) target: &'a Uri,
    /// Whether the server is spoken to by TLS.
    pub(super) is_tls: bool,
    pub(super) is_handshake: bool,
}

/// The request with `headers`, whose Host becomes the authority. `None`: it cannot be one.
pub(super) fn request<B>(asked: Asked<'_>, mut headers: HeaderMap, content: B) -> Option<Request<B>> {
    let Asked { client, target, is_tls, is_handshake } = asked;
    let host = headers.remove(header::HOST)?;
    let scheme = if is_tls { "https" } else { "http" };
    let target = target.path_and_query()?.clone();
    let uri = Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(target).build().ok()?;
    // Trailers are for those who have said that they take them, and can be given them: gRPC has its status there.
    if client.version == Version::HTTP_2 && upgrade::has_token(&client.headers, header::TE, b"trailers") {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(length) = super::super::declared(&client.headers)
        && !client.headers.contains_key(header::TRANSFER_ENCODING)
    {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let mut request = Request::new(content);
    *request.method_mut() = client.method.clone();
    if is_handshake {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        // On a stream nobody has to prove that he has read a key.
        headers.remove(header::SEC_WEBSOCKET_KEY);
        headers.remove(header::CONTENT_LENGTH);
    }
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Some(request)
}

/// What cannot be passed on in an answer.
pub(super) fn flaw<B>(response: &Response<B>, is_handshake: bool) -> Option<&'static str> {
    if response.headers().get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Some("its content has two lengths");
    }
    // The library makes a stream of no other.
    if is_handshake && response.status().is_success() && response.status() != StatusCode::OK {
        return Some("it opens no WebSocket");
    }
    None
}

/// What a client of HTTP/1.1 waits for that has sent a key.
pub(super) fn accept(client: &HeaderMap) -> Option<HeaderValue> {
    let key = std::str::from_utf8(upgrade::one(client, header::SEC_WEBSOCKET_KEY)?).ok()?;
    HeaderValue::from_str(&upgrade::accept(key)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(client: Request<()>, is_handshake: bool) -> Request<()> {
        let mut headers = client.headers().clone();
        for name in [header::CONTENT_LENGTH, header::TE] {
            headers.remove(name);
        }
        let head = client.into_parts().0;
        let asked = Asked { client: &head, target: &Uri::from_static("/base/x?y"), is_tls: false, is_handshake };
        request(asked, headers, ()).expect("it can be asked for")
    }

    #[test]
    fn the_host_is_the_authority() {
        let client = Request::post("/x").header("host", "app.example:81").header("content-length", "5");
        let request = asked(client.body(()).expect("it is sound"), false);
        assert_eq!(request.uri(), "http://app.example:81/base/x?y");
        assert_eq!((request.method(), request.headers().get("host")), (&Method::POST, None));
        assert_eq!(request.headers().get("content-length").map(HeaderValue::as_bytes), Some(b"5".as_slice()));
    }

    #[test]
    fn trailers_are_asked_for_by_those_who_can_be_given_them() {
        for (version, te, expected) in [
            (Version::HTTP_2, "trailers", true),
            (Version::HTTP_2, "gzip", false),
            (Version::HTTP_11, "trailers", false),
        ] {
            let client = Request::get("/").version(version).header("host", "a").header("te", te);
            let request = asked(client.body(()).expect("it is sound"), false);
            assert_eq!(request.headers().contains_key("te"), expected, "{version:?} {te}");
        }
    }

    #[test]
    fn a_websocket_is_connected_to() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let client = Request::get("/").header("host", "a").header("sec-websocket-key", key).body(()).expect("sound");
        assert_eq!(accept(client.headers()).expect("it has a key"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let request = asked(client, true);
        assert_eq!(request.method(), Method::CONNECT);
        assert_eq!(request.extensions().get::<Protocol>().map(Protocol::as_str), Some("websocket"));
        assert!(!request.headers().contains_key("sec-websocket-key"));
    }

    #[test]
    fn an_answer_has_one_length_and_opens_a_websocket_or_not() {
        let answer = |status: u16, lengths: usize| {
            let mut answer = Response::builder().status(status);
            for _ in 0..lengths {
                answer = answer.header("content-length", "5");
            }
            answer.body(()).expect("it is sound")
        };
        assert!(flaw(&answer(200, 1), false).is_none() && flaw(&answer(200, 2), false).is_some());
        assert!(flaw(&answer(200, 0), true).is_none() && flaw(&answer(403, 1), true).is_none());
        assert!(flaw(&answer(204, 0), true).is_some());
    }
}
