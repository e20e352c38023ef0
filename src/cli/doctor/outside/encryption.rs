//! TLS: whether hands can be shaken, and what is shown.

use super::super::certificate;
use super::super::report::{Report, quoted};
use super::Place;

/// `None`: nobody can speak there. Otherwise whether the certificate is to be believed.
pub(super) fn check(place: &Place<'_>, report: &mut Report) -> Option<bool> {
    if !place.target.is_tls {
        in_the_clear(place, report);
        return Some(true);
    }
    let alpn: &[&str] = if place.target.is_web { &["http/1.1"] } else { &[] };
    let shown = match place.open_with(alpn) {
        Ok((_, shown)) => shown,
        Err(error) => {
            let found = format!("no handshake: {}", quoted(&error.to_string()));
            let why = "No client gets further. Common reasons: the port speaks no TLS, only TLS 1.0 or 1.1, or no \
                       certificate fits the name (SNI).";
            let remedy = format!(
                "Ask it by hand: openssl s_client -connect {} -servername {}",
                place.address, place.target.host
            );
            report.fault("tls", found, why, remedy);
            return None;
        }
    };
    let alpn = shown.alpn.as_ref().map(|name| format!(", ALPN {}", quoted(name)));
    report.ok("tls", format!("{}{}", shown.agreed, alpn.unwrap_or_default()));
    Some(certificate::judge(&shown, &place.target.host, &place.terms.roots, place.terms.now_s, report))
}

fn in_the_clear(place: &Place<'_>, report: &mut Report) {
    if place.address.ip().is_loopback() {
        return report.ok("tls", "none, on loopback");
    }
    let why = match place.target.is_web {
        true => "Passwords and messages can be read on the way, and pages that come over https may not open ws://.",
        false => "Passwords and messages can be read on the way.",
    };
    let scheme = if place.target.is_web { "wss://" } else { "mqtts://" };
    report.warning("tls", "none: everything goes in the clear", why, format!("Serve {scheme}, and tell clients."));
}
