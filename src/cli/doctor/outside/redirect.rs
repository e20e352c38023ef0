//! What the port beside 443 does with those who come without TLS.

use std::net::SocketAddr;

use super::super::http::{Ask, ask, websocket_key};
use super::super::report::{Report, quoted};
use super::super::wire::{Bounded, Wire};
use super::Place;

/// Asks on port 80 for the same WebSocket, if the deployment is on 443.
pub(super) fn check(place: &Place<'_>, report: &mut Report) {
    if !place.target.is_tls || place.target.port != 443 {
        return;
    }
    let Ok(bounded) = Bounded::connect(SocketAddr::new(place.address.ip(), 80), place.terms.timeout) else {
        return report.ok("http", "nobody listens on port 80");
    };
    let asked = Ask { websocket_key: websocket_key().ok(), subprotocol: Some("mqtt".to_owned()), ..Ask::default() };
    match ask(&mut Wire::Tcp(bounded), &place.target.without_tls(), &asked) {
        Ok(head) if head.status == 101 => report.warning(
            "http",
            "port 80 opens the same WebSocket without TLS",
            "Clients that were set up by mistake send their passwords in the clear.",
            "Redirect port 80 to https, and serve no WebSocket there.",
        ),
        Ok(head) if (300..400).contains(&head.status) => {
            let location = quoted(head.field("Location").unwrap_or("nowhere"));
            report.ok("http", format!("port 80 redirects to {location}; WebSockets follow no redirect, pages do"));
        }
        Ok(head) => report.ok("http", format!("port 80 answers {}", head.described())),
        Err(_) => report.ok("http", "port 80 answers nothing"),
    }
}
