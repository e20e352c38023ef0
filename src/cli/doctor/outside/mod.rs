//! A deployment as its clients meet it, from the name to the MQTT behind it.
//!
//! Each check stands on those before it: where a name has no address, nothing is said of certificates.

mod encryption;
mod extended_connect;
mod idle;
mod limits;
mod reach;
mod redirect;
mod speech;
mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::RootCertStore;

use super::report::Report;
use super::target::Target;
use super::tls::{Shown, handshake};
use super::wire::{Bounded, Wire};
use crate::mqtt::packet::Login;

/// What the operator said about how to look.
#[derive(Clone, Debug)]
pub struct Terms {
    /// For each single step.
    pub timeout: Duration,
    /// For how long nothing is said, to see who cuts the connection; `None`: that is not looked at.
    pub idle: Option<Duration>,
    /// `None`: nobody logs in.
    pub login: Option<Login>,
    /// Of the pages that are to be let in; `None`: that of the URL's own host.
    pub origin: Option<String>,
    pub subprotocol: String,
    pub roots: Result<RootCertStore, String>,
    pub now_s: i64,
}

/// Somebody who was reached.
struct Place<'a> {
    target: &'a Target,
    terms: &'a Terms,
    /// The first that took a connection.
    address: SocketAddr,
}

impl Place<'_> {
    /// One more connection.
    fn open(&self) -> io::Result<Wire> {
        // Browsers offer this for WebSockets; clients of MQTT offer nothing.
        self.open_with(if self.target.is_web { &["http/1.1"] } else { &[] }).map(|(wire, _)| wire)
    }

    fn open_with(&self, alpn: &[&str]) -> io::Result<(Wire, Shown)> {
        let bounded = Bounded::connect(self.address, self.terms.timeout)?;
        match self.target.is_tls {
            true => handshake(bounded, &self.target.host, alpn),
            false => Ok((Wire::Tcp(bounded), Shown::default())),
        }
    }
}

/// Looks at everything that can be seen from here.
#[must_use]
pub fn examine(target: &Target, terms: &Terms) -> Report {
    let mut report = Report::new(target.to_string());
    if let Some(address) = reach::check(target, terms, &mut report) {
        look(&Place { target, terms, address }, &mut report);
    }
    report
}

fn look(place: &Place<'_>, report: &mut Report) {
    let Some(is_believed) = encryption::check(place, report) else { return };
    let mut origin = None;
    if place.target.is_web {
        redirect::check(place, report);
        let Some(let_in) = upgrade::check(place, report) else { return };
        origin = let_in.origin;
        limits::check(place, origin.as_deref(), report);
        extended_connect::check(place, report);
    }
    if place.target.is_web && place.terms.subprotocol != "mqtt" {
        report.skipped("mqtt", format!("the subprotocol is {}", place.terms.subprotocol));
        return;
    }
    let speaker = speech::Speaker { place, origin };
    // A password is not for whoever is there.
    let mut login = place.terms.login.clone();
    if login.is_some() && place.target.is_tls && !is_believed {
        report.skipped("login", "the certificate is not trusted: no password is sent there");
        login = None;
    }
    let Some(session) = speech::check(&speaker, login, report) else { return };
    idle::check(&speaker, &session, report);
}
