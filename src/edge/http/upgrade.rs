//! The guard before a WebSocket: every requirement of the opening handshake (RFC 6455 §4.2.1), checked here because the library that
//! answers it checks two of them.
//!
//! Pure: what goes in is the head of a request, what comes out is the subprotocol to answer, or the refusal. No field is taken for
//! text before it has proven to be.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use hyper::ext::Protocol;
use hyper::header::{self, AsHeaderName, HeaderMap, HeaderName, HeaderValue};
use hyper::http::{Extensions, request};
use hyper::{Method, StatusCode, Version};

use super::origin::{Origin, Origins};

/// What a route that serves WebSockets accepts.
#[derive(Debug)]
pub(crate) struct Requirements<'a> {
    pub(crate) origins: &'a Origins,
    /// The origin the request was sent to.
    pub(crate) own_origin: Option<&'a Origin>,
    /// The names spoken here, for Sec-WebSocket-Protocol.
    pub(crate) subprotocols: &'a [&'static str],
}

/// What is known of an opening handshake that is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// To answer with; `None` where none was offered.
    pub(crate) subprotocol: Option<&'static str>,
    /// Whether a browser named the page, and the page is one of a list: nobody else's page acts in its user's name.
    pub(crate) is_listed_origin: bool,
}

/// Why no WebSocket is opened, and how that is put to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
    /// A field that the status asks for.
    pub(crate) field: Option<(HeaderName, HeaderValue)>,
    pub(crate) cause: Cause,
}

/// Whose number goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No opening handshake at all: somebody looks at a WebSocket address with a browser.
    NoUpgrade,
    Malformed,
    Origin,
    Subprotocol,
}

/// Checks an opening handshake.
pub(crate) fn check(head: &request::Parts, requirements: &Requirements<'_>) -> Result<Checked, Refusal> {
    let headers = &head.headers;
    let is_stream = is_extended_connect(&head.extensions);
    if !is_stream {
        check_switch(head)?;
    }
    check_content(headers)?;
    if one(headers, header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
        let supported = (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let text = "The only WebSocket version spoken here is 13.";
        return Err(refused(StatusCode::UPGRADE_REQUIRED, text, Some(supported)));
    }
    // RFC 8441 §5: over HTTP/2 there is none.
    if !is_stream && !one(headers, header::SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        return Err(bad_request("Sec-WebSocket-Key is not one base64 value of 16 bytes."));
    }
    check_origin(headers, requirements)?;
    let is_listed_origin = headers.contains_key(header::ORIGIN) && !matches!(requirements.origins, Origins::Any);
    Ok(Checked { subprotocol: choose_subprotocol(headers, requirements.subprotocols)?, is_listed_origin })
}

/// What asks a connection of HTTP/1.1 to switch.
fn check_switch(head: &request::Parts) -> Result<(), Refusal> {
    let headers = &head.headers;
    if !headers.contains_key(header::UPGRADE) {
        return Err(upgrade_required(
            "This address speaks WebSocket; open it with a WebSocket client.",
            Cause::NoUpgrade,
        ));
    }
    if head.method != Method::GET {
        let allow = (header::ALLOW, HeaderValue::from_static("GET"));
        return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "A WebSocket is opened with GET.", Some(allow)));
    }
    if head.version != Version::HTTP_11 {
        return Err(bad_request("A WebSocket is opened with HTTP/1.1."));
    }
    if !has_token(headers, header::UPGRADE, b"websocket") {
        return Err(upgrade_required("The only protocol to upgrade to is websocket.", Cause::Malformed));
    }
    if !has_token(headers, header::CONNECTION, b"upgrade") {
        return Err(bad_request("Connection does not list upgrade; a proxy on the way may have removed it."));
    }
    Ok(())
}

/// Whether a stream of HTTP/2 asks to become a WebSocket (RFC 8441 §4).
pub(super) fn is_extended_connect(extensions: &Extensions) -> bool {
    extensions.get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// A key to shake hands with as a client (RFC 6455 §4.1). Nothing depends on its being secret.
pub(super) fn new_key() -> String {
    tungstenite::handshake::client::generate_key()
}

/// What a server answers to `key`.
pub(super) fn accept(key: &str) -> String {
    tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// A request that opens a WebSocket has no content.
fn check_content(headers: &HeaderMap) -> Result<(), Refusal> {
    let empty = headers.get_all(header::CONTENT_LENGTH).iter().all(|length| length.as_bytes() == b"0");
    if empty && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    Err(bad_request("A request that opens a WebSocket has no content."))
}

fn check_origin(headers: &HeaderMap, requirements: &Requirements<'_>) -> Result<(), Refusal> {
    let allowed = match headers.contains_key(header::ORIGIN) {
        false => true, // no browser
        true => one(headers, header::ORIGIN)
            .is_some_and(|origin| requirements.origins.allow(origin, requirements.own_origin)),
    };
    let text = "Pages of this origin may not open a WebSocket here.";
    if allowed {
        return Ok(());
    }
    Err(Refusal { status: StatusCode::FORBIDDEN, text, field: None, cause: Cause::Origin })
}

/// The first name on the client's list, which is in its order of preference, that is spoken here (RFC 6455 §4.2.2).
fn choose_subprotocol(headers: &HeaderMap, spoken: &[&'static str]) -> Result<Option<&'static str>, Refusal> {
    let refusal = |text| Refusal { status: StatusCode::BAD_REQUEST, text, field: None, cause: Cause::Subprotocol };
    let mut offered = false;
    for name in items(headers, header::SEC_WEBSOCKET_PROTOCOL) {
        if !name.iter().all(|&byte| is_token_byte(byte)) {
            return Err(refusal("Sec-WebSocket-Protocol is not a list of names."));
        }
        if let Some(name) = spoken.iter().find(|spoken| spoken.as_bytes() == name) {
            return Ok(Some(name));
        }
        // A token in this place is no name: alone it leaves nothing to answer with.
        offered = true;
    }
    match (offered, spoken.contains(&"json")) {
        (false, _) => Ok(None),
        // Leaving the answer out is allowed to a server, but browsers then fail the connection without saying why.
        (true, true) => Err(refusal("This address speaks JSON text messages; offer json, or no subprotocol.")),
        (true, false) => {
            Err(refusal("None of the subprotocols offered is spoken here; offer mqtt, mqttv3.1, or none."))
        }
    }
}

/// The only value of a field; `None` where there is none, or more than one.
pub(super) fn one(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

/// Whether the list in a field holds `token`, in any case.
pub(crate) fn has_token(headers: &HeaderMap, name: HeaderName, token: &[u8]) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

/// The items of a list that may be spread over several fields of one name; empty items do not count (RFC 9110 §5.6.1).
pub(super) fn items(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).iter();
    values.flat_map(|value| value.as_bytes().split(|&b| b == b',')).map(<[u8]>::trim_ascii).filter(|i| !i.is_empty())
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// 16 bytes in base64. Bits beyond them are not looked at: RFC 6455 does not, and some small clients make keys of random letters.
fn is_key(key: &[u8]) -> bool {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    key.len() == 24 && LENIENT.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

pub(super) fn bad_request(text: &'static str) -> Refusal {
    refused(StatusCode::BAD_REQUEST, text, None)
}

fn refused(status: StatusCode, text: &'static str, field: Option<(HeaderName, HeaderValue)>) -> Refusal {
    Refusal { status, text, field, cause: Cause::Malformed }
}

fn upgrade_required(text: &'static str, cause: Cause) -> Refusal {
    let field = Some((header::UPGRADE, HeaderValue::from_static("websocket")));
    Refusal { status: StatusCode::UPGRADE_REQUIRED, text, field, cause }
}

#[cfg(test)]
mod tests;
