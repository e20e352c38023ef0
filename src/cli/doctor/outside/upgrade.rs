//! Whether a request becomes a WebSocket, and if not, who stands in the way.

use std::io;
use std::time::SystemTime;

use tungstenite::handshake::derive_accept_key;

use super::super::http::{Ask, Head, ask, websocket_key};
use super::super::report::{Report, quoted};
use super::super::wire::Wire;
use super::Place;
use super::speech::{asks_for_certificate, no_certificate};

/// How a WebSocket is let in.
pub(super) struct LetIn {
    /// The Origin that is shown.
    pub(super) origin: Option<String>,
}

/// Where servers of MQTT usually have theirs.
const USUAL_PATHS: [&str; 3] = ["/mqtt", "/ws", "/"];

/// Beyond this, tokens and certificates of one side seem to be of the future on the other.
const CLOCK_OFF_MAX_S: u64 = 30;

/// Opens a WebSocket; `None`: nobody can.
pub(super) fn check(place: &Place<'_>, report: &mut Report) -> Option<LetIn> {
    let origin = place.terms.origin.clone().unwrap_or_else(|| place.target.own_origin());
    let (head, key) = match request(place, Some(origin.clone()), None) {
        Ok((head, key, _)) => (head, key),
        Err(error) => return no_answer(&error, report),
    };
    clock(&head, report);
    if head.status == 101 {
        return is_sound(place, &head, &key, report).then_some(LetIn { origin: Some(origin) });
    }
    // Nobody in particular may be let in where a page may not.
    let without = request(place, None, None).ok().filter(|(head, ..)| head.status == 101);
    let Some((head, key, _)) = without else {
        refused(place, &head, report);
        return None;
    };
    origin_refused(place, &origin, report);
    is_sound(place, &head, &key, report).then_some(LetIn { origin: None })
}

/// Asks for a WebSocket; the answer, the key that was sent and the connection.
///
/// # Errors
/// There is no answer.
pub(super) fn request(
    place: &Place<'_>,
    origin: Option<String>,
    cookie: Option<String>,
) -> io::Result<(Head, String, Wire)> {
    let key = websocket_key()?;
    let subprotocol = Some(place.terms.subprotocol.clone()).filter(|name| !name.is_empty());
    let asked = Ask { websocket_key: Some(key.clone()), origin, subprotocol, cookie };
    let mut wire = place.open()?;
    let head = ask(&mut wire, place.target, &asked)?;
    Ok((head, key, wire))
}

fn no_answer(error: &io::Error, report: &mut Report) -> Option<LetIn> {
    let found = format!("no answer to the request: {}", quoted(&error.to_string()));
    if asks_for_certificate(&found) {
        return no_certificate(found, report);
    }
    let why = "Something listens, and speaks no HTTP: a listener of bare MQTT, a PROXY protocol header that is missing, or \
               a proxy whose backend hangs.";
    report.fault("upgrade", found, why, "Look at what listens on this port, and at its log.");
    None
}

/// `Date` against the clock of this machine.
fn clock(head: &Head, report: &mut Report) {
    let Some(theirs) = head.field("Date").and_then(|date| httpdate::parse_http_date(date).ok()) else { return };
    let now = SystemTime::now();
    let (off, word) = match now.duration_since(theirs) {
        Ok(behind) => (behind, "behind"),
        Err(ahead) => (ahead.duration(), "ahead of"),
    };
    if off.as_secs() <= CLOCK_OFF_MAX_S {
        return report.ok("clock", format!("its Date is within {CLOCK_OFF_MAX_S} s of this machine's clock"));
    }
    let found = format!("its clock is {} s {word} this machine's", off.as_secs());
    let why = "Tokens and certificates are judged by it: good ones count as expired, or as not valid yet.";
    report.fault("clock", found, why, "See which of the two is wrong (timedatectl), and let NTP set it.");
}

/// Judges an answer that agrees.
fn is_sound(place: &Place<'_>, head: &Head, key: &str, report: &mut Report) -> bool {
    if head.field("Sec-WebSocket-Accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
        let found = "101 without the right Sec-WebSocket-Accept";
        let why = "Every browser closes at once: whoever answered has not understood the request, or a cache has.";
        report.fault("upgrade", found, why, "Take out what sits between and rewrites or caches it.");
        return false;
    }
    report.ok(
        "upgrade",
        format!("101{}", head.field("Server").map_or(String::new(), |name| format!(" by {}", quoted(name)))),
    );
    let asked = place.terms.subprotocol.as_str();
    match head.field("Sec-WebSocket-Protocol") {
        Some(given) if given.eq_ignore_ascii_case(asked) => report.ok("subprotocol", given),
        None if asked.is_empty() => {}
        given => {
            wrong_subprotocol(asked, given, report);
            return given.is_none();
        }
    }
    let extensions = head.field("Sec-WebSocket-Extensions").unwrap_or_default();
    if extensions.contains("permessage-deflate") {
        report.ok("deflate", "permessage-deflate is agreed on where a client offers it");
    }
    true
}

fn wrong_subprotocol(asked: &str, given: Option<&str>, report: &mut Report) {
    let found = match given {
        Some(given) => format!("asked for {asked:?}, got {:?}", quoted(given)),
        None => format!("asked for {asked:?}, and the answer has no Sec-WebSocket-Protocol"),
    };
    let why = "Browsers close a WebSocket whose subprotocol is not agreed on, after a 101 and without a reason (1006).";
    let remedy = "Pass Sec-WebSocket-Protocol on in both directions (no proxy_hide_header, no proxy_set_header that \
                  empties it), and have the server speak it.";
    report.fault("subprotocol", found, why, remedy);
}

fn origin_refused(place: &Place<'_>, origin: &str, report: &mut Report) {
    let found = format!("pages of {origin} are refused; whoever sends no Origin is let in");
    match &place.terms.origin {
        Some(_) => report.fault(
            "origin",
            found,
            "No page of that origin can connect.",
            "Add it to the origins that are allowed (websocket.origins in Tidegate).",
        ),
        None => report.warning(
            "origin",
            found,
            "Right where pages come from another host; else no page can connect.",
            "Name where your pages come from: --origin https://app.example",
        ),
    }
}

/// Explains an answer that does not agree.
fn refused(place: &Place<'_>, head: &Head, report: &mut Report) {
    let is_unseen = place.open().and_then(|mut wire| ask(&mut wire, place.target, &Ask::default()));
    let is_unseen = is_unseen.is_ok_and(|plain| plain.status == head.status);
    let mut found = format!("answered with {}", head.described());
    if is_unseen {
        found += ", and with the same where no WebSocket is asked for";
    }
    let (why, remedy) = explained(head, is_unseen);
    let remedy = match elsewhere(place, head.status) {
        Some(path) => format!("A WebSocket is at {path}: use that path. Otherwise: {remedy}"),
        None => remedy,
    };
    report.fault("upgrade", found, why, remedy);
}

/// A path at which there is a WebSocket, where this one has none.
fn elsewhere(place: &Place<'_>, status: u16) -> Option<&'static str> {
    let is_about_path = matches!(status, 200..=299 | 400 | 403..=405 | 426);
    USUAL_PATHS.into_iter().filter(|path| is_about_path && *path != place.target.path).find(|path| {
        let target = place.target.with_path(path);
        let there = Place { target: &target, terms: place.terms, address: place.address };
        request(&there, None, None).is_ok_and(|(head, ..)| head.status == 101)
    })
}

const PASS_UPGRADE: &str = "In nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header \
                            Connection \"upgrade\"; in the very location that takes this path.";

fn explained(head: &Head, is_unseen: bool) -> (String, String) {
    let location = || quoted(head.field("Location").unwrap_or("nowhere"));
    let (why, remedy) = match head.status {
        300..=399 => (
            format!("It redirects to {}, and a WebSocket follows no redirect.", location()),
            "Have clients use the address it redirects to, with ws replaced by wss.".to_owned(),
        ),
        401 => {
            ("It asks for a login before the upgrade.".to_owned(), "Leave the path out of HTTP's own login.".to_owned())
        }
        403 => (
            "It refuses the request: its Origin, its address, or a firewall for web applications.".to_owned(),
            "Look at what is allowed there, and try --origin with the pages' own.".to_owned(),
        ),
        400 | 426 | 200..=299 | 404 | 405 if is_unseen => (
            "A proxy in front does not pass Upgrade on, so that the server behind sees a plain request; or this path \
             has no WebSocket."
                .to_owned(),
            PASS_UPGRADE.to_owned(),
        ),
        404 => ("There is nothing at this path.".to_owned(), "Compare it with the server's, to the slash.".to_owned()),
        400 => (
            "The server cannot take the request: a field is missing or too large, or its subprotocol is unknown there."
                .to_owned(),
            PASS_UPGRADE.to_owned(),
        ),
        426 => (
            "The server wants another version of HTTP or of WebSocket than what reached it.".to_owned(),
            PASS_UPGRADE.to_owned(),
        ),
        429 => ("It finds that too many come from here.".to_owned(), "Wait, or raise its limit for you.".to_owned()),
        431 | 494 => ("The request's fields are too large for it.".to_owned(), "Raise its limit.".to_owned()),
        502 => (
            "A proxy is there, and nobody behind it: the server is down, or listens elsewhere.".to_owned(),
            "Look whether the server behind runs, and compare its address with proxy_pass; then the proxy's error log."
                .to_owned(),
        ),
        504 => (
            "A proxy is there, and the server behind takes a connection and does not answer.".to_owned(),
            "Look at the server behind: it hangs, or speaks another protocol on that port.".to_owned(),
        ),
        500..=599 => (
            "The server, or the proxy before it, is in trouble or full.".to_owned(),
            "Look at its log of this minute.".to_owned(),
        ),
        _ => ("That is no answer to a request for a WebSocket.".to_owned(), PASS_UPGRADE.to_owned()),
    };
    (why, remedy)
}
