//! What a browser brings along without being asked: cookies that grow, and pages of others.

use std::io;

use super::super::report::Report;
use super::Place;
use super::upgrade::request;

/// How much of cookies is tried, in KiB.
const COOKIES_KIB: [usize; 3] = [4, 8, 16];

/// No browser stores a longer one (RFC 6265bis §5.6).
const COOKIE_BYTES_MAX: usize = 4000;

/// A page that nobody has, as `.invalid` is nobody's (RFC 6761 §6.4).
const STRANGER: &str = "https://doctor.invalid";

pub(super) fn check(place: &Place<'_>, origin: Option<&str>, report: &mut Report) {
    cookies(place, origin, report);
    stranger(place, report);
}

/// Grows the cookies until they are refused.
fn cookies(place: &Place<'_>, origin: Option<&str>, report: &mut Report) {
    for kib in COOKIES_KIB {
        let found = match request(place, origin.map(str::to_owned), Some(cookies_of(kib * 1024))) {
            Ok((head, ..)) if head.status == 101 => continue,
            Ok((head, ..)) => format!("cookies of {kib} KiB are refused with {}", head.described()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                format!("cookies of {kib} KiB get no answer in time")
            }
            Err(_) => format!("cookies of {kib} KiB end the connection without an answer"),
        };
        let why = "A site's cookies come along with the upgrade, and grow (logins, analytics): from one day on the \
                   same user cannot connect any more, and no page is told why.";
        let remedy = "Raise the limit: large_client_header_buffers 4 32k in nginx; websockets_headers_size in \
                      mosquitto; limits.http_head_bytes_max in Tidegate. Or serve the WebSocket on a host without cookies.";
        return match kib {
            4 => report.fault("cookies", found, why, remedy),
            _ => report.warning("cookies", found, why, remedy),
        };
    }
    report.ok("cookies", format!("{} KiB of them are taken", COOKIES_KIB[COOKIES_KIB.len() - 1]));
}

/// Several, each as long as a browser would store it, `length` bytes in all.
fn cookies_of(length: usize) -> String {
    let mut cookies = String::with_capacity(length);
    while cookies.len() < length {
        let left = (length - cookies.len()).min(COOKIE_BYTES_MAX);
        let cookie = format!("doctor{}=", cookies.len());
        cookies += &cookie;
        cookies += &"x".repeat(left.saturating_sub(cookie.len() + 2));
        cookies += "; ";
    }
    cookies.trim_end_matches([';', ' ']).to_owned()
}

/// Whether pages of everybody may open a WebSocket here.
fn stranger(place: &Place<'_>, report: &mut Report) {
    match request(place, Some(STRANGER.to_owned()), None) {
        Ok((head, ..)) if head.status == 101 => report.warning(
            "strangers",
            format!("pages of any other site may connect (tried as {STRANGER})"),
            "Where a cookie, a client certificate or the network is what lets somebody in, any page that the user opens \
             elsewhere comes in as that user.",
            "Allow the origins of your own pages alone (websocket.origins in Tidegate; a map of $http_origin in nginx).",
        ),
        Ok((head, ..)) => report.ok("strangers", format!("pages of other sites are refused with {}", head.status)),
        Err(_) => report.ok("strangers", "pages of other sites are refused without an answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_as_long_as_said_and_none_too_long_for_a_browser() {
        for kib in COOKIES_KIB {
            let cookies = cookies_of(kib * 1024);
            assert!((kib * 1024 - 32..=kib * 1024).contains(&cookies.len()), "{}", cookies.len());
            assert!(cookies.split("; ").all(|cookie| cookie.len() <= COOKIE_BYTES_MAX && cookie.contains('=')));
        }
    }
}
