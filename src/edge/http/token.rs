//! The token of a request that opens a WebSocket, wherever it was put: a browser cannot set a field of its own there.
//!
//! Pure. What is found is not looked at here; whoever checks it also says when it is wrong. No part of it is in an error.

use hyper::header::{self, HeaderMap};
use hyper::http::request;

use super::upgrade::{Refusal, bad_request, items};
use crate::connection::Token;
use crate::edge::config::TokenSources;

/// What a token as an item of Sec-WebSocket-Protocol begins with. A token's own letters are all allowed in such an item.
const BEARER_PREFIX: &[u8] = b"bearer.";

const QUERY_NAME: &str = "token";

/// Finds the token.
///
/// A cookie is sent whether the page asks for it or not, so it counts least: only where nothing was said on purpose, and only to pages on
/// the list of origins (`is_listed_origin`), as with any other rule a stranger's page could act in the name of whoever looks at it.
///
/// # Errors
/// Tokens that differ, as it is anybody's guess which one is meant, and bytes that no token has.
pub(crate) fn presented(
    head: &request::Parts,
    sources: &TokenSources,
    is_listed_origin: bool,
) -> Result<Option<Token>, Refusal> {
    let queried = queried(head)?;
    let on_purpose = bearers(&head.headers).chain(offered(&head.headers)).chain(queried.iter().map(Vec::as_slice));
    if let Some(found) = only(on_purpose)? {
        return Ok(Some(found));
    }
    match &sources.cookie {
        Some(name) if is_listed_origin => only(cookies(&head.headers, name)),
        _ => Ok(None),
    }
}

/// What all have in common, if there are any.
fn only<'a>(mut tokens: impl Iterator<Item = &'a [u8]>) -> Result<Option<Token>, Refusal> {
    let Some(first) = tokens.next() else { return Ok(None) };
    if tokens.any(|token| token != first) {
        return Err(bad_request("The request carries two tokens that differ."));
    }
    let text = std::str::from_utf8(first).map_err(|_| bad_request("The token is not text."))?;
    Ok(Some(Token::new(text)))
}

/// `Authorization: Bearer TOKEN` (RFC 6750 §2.1); another scheme is not meant for here.
fn bearers(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, rest) = value.as_bytes().split_at_checked(BEARER_SCHEME.len())?;
        scheme.eq_ignore_ascii_case(BEARER_SCHEME).then(|| rest.trim_ascii())
    })
}

const BEARER_SCHEME: &[u8] = b"bearer ";

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    items(headers, header::SEC_WEBSOCKET_PROTOCOL).filter_map(|item| item.strip_prefix(BEARER_PREFIX))
}

/// `?token=TOKEN`. A JWT has no letter that a URL would have to escape; others, which a server of the operator's judges, may have some
/// (RFC 3986 §2.1). A `+` is a `+`: where it stood for a space, no token would have one.
fn queried(head: &request::Parts) -> Result<Vec<Vec<u8>>, Refusal> {
    let pairs = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let values = pairs.filter(|(name, _)| *name == QUERY_NAME).map(|(_, value)| decode(value));
    values.collect::<Option<_>>().ok_or_else(|| bad_request("The token in the query is not percent-encoded."))
}

fn decode(raw: &str) -> Option<Vec<u8>> {
    let mut bytes = raw.bytes();
    std::iter::from_fn(|| {
        Some(match bytes.next()? {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
            }
            byte => Some(byte),
        })
    })
    .collect()
}

/// RFC 6265 §4.2.1. Several cookies of one name are possible, from different paths.
fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b';'));
    pairs.filter_map(move |pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    const T1: &str = "eyJ.a-_.x1";
    const T2: &str = "eyJ.b.y2";

    /// The token found, or the refusal's status.
    fn found(uri: &str, fields: &[(&str, &str)], is_listed_origin: bool) -> Result<Option<Token>, u16> {
        let mut request = Request::get(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let head = request.body(()).expect("the request is sound").into_parts().0;
        let sources = TokenSources { cookie: Some("session".to_owned()) };
        presented(&head, &sources, is_listed_origin).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn every_place_is_looked_at() {
        let token = || Ok(Some(Token::new(T1)));
        assert_eq!(found("/mqtt", &[], true), Ok(None));
        assert_eq!(found(&format!("/mqtt?a=b&token={T1}&c"), &[], false), token());
        assert_eq!(found("/mqtt", &[("Authorization", &format!("bEARER  {T1} "))], false), token());
        assert_eq!(found("/mqtt", &[("Sec-WebSocket-Protocol", &format!("mqtt, bearer.{T1}"))], false), token());
        assert_eq!(found("/mqtt", &[("Cookie", &format!("x=1; session={T1};y"))], true), token());
        // As `encodeURIComponent` writes what has other letters.
        let opaque = || Ok(Some(Token::new("a+b/c=ü&")));
        assert_eq!(found("/mqtt?token=a%2Bb%2fc%3D%C3%BC%26", &[], false), opaque());
        assert_eq!(found("/mqtt?token=a+b/c=%C3%BC%26&x", &[("Authorization", "Bearer a+b/c=ü&")], false), opaque());
        for broken in ["%", "%2", "%zz", "%FF"] {
            assert_eq!(found(&format!("/mqtt?token=a{broken}"), &[], false), Err(400), "{broken}");
        }
        // The same one twice is one.
        let twice = [("Authorization", &*format!("Bearer {T1}")), ("Cookie", &format!("session={T2}"))];
        assert_eq!(found(&format!("/mqtt?token={T1}"), &twice, true), token());
    }

    #[test]
    fn what_is_not_meant_so_is_no_token() {
        for field in [
            ("Authorization", "Basic Og=="),
            ("Authorization", "Bearer"),
            ("Cookie", "sessions=x; Session=x; xsession=x"),
            ("Sec-WebSocket-Protocol", "mqtt, bearer, Bearer.x"),
        ] {
            assert_eq!(found("/mqtt?tokens=x&Token=x&token", &[field], true), Ok(None), "{field:?}");
        }
    }

    #[test]
    fn a_cookie_counts_for_listed_pages_alone() {
        assert_eq!(found("/mqtt", &[("Cookie", &format!("session={T1}"))], false), Ok(None));
    }

    #[test]
    fn tokens_that_differ_are_refused() {
        let bearer = format!("Bearer {T1}");
        assert_eq!(found(&format!("/mqtt?token={T1}&token={T2}"), &[], true), Err(400));
        assert_eq!(found(&format!("/mqtt?token={T2}"), &[("Authorization", &bearer)], true), Err(400));
        assert_eq!(found("/mqtt", &[("Cookie", "session=x; session=y")], true), Err(400));
        // An empty one is one that is wrong, not none.
        assert_eq!(found("/mqtt?token=", &[], true), Ok(Some(Token::new(""))));
    }
}
