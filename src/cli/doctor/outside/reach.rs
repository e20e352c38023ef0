//! Names, addresses and the way there.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::report::Report;
use super::super::target::Target;
use super::super::wire::{Bounded, resolve};
use super::Terms;

/// Addresses that are tried.
const ADDRESSES_MAX: usize = 16;

/// Resolves the name and tries every address; the first that takes a connection.
pub(super) fn check(target: &Target, terms: &Terms, report: &mut Report) -> Option<SocketAddr> {
    let mut addresses = match resolve(&target.host, target.port, terms.timeout) {
        Ok(addresses) => addresses,
        Err(error) => {
            let found = format!("{} cannot be resolved: {error}", target.host);
            let remedy = "Look at the name's A and AAAA records, and at this machine's resolver.";
            report.fault("dns", found, "No client finds the server.", remedy);
            return None;
        }
    };
    addresses.sort();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() {
        let found = format!("{} has no address", target.host);
        report.fault("dns", found, "No client finds the server.", "Give the name an A or AAAA record.");
        return None;
    }
    let shown: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    report.ok("dns", shown.join(", "));
    try_all(&addresses, terms.timeout, report)
}

fn try_all(addresses: &[SocketAddr], timeout: Duration, report: &mut Report) -> Option<SocketAddr> {
    let (mut reached, mut failed, mut took) = (Vec::new(), Vec::new(), Duration::ZERO);
    for &address in addresses {
        let start = Instant::now();
        match Bounded::connect(address, timeout) {
            Ok(_) => {
                reached.push(address);
                took = took.max(start.elapsed());
            }
            // It is this machine that has no such network; the server may be fine.
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable && address.is_ipv6() => {
                report.skipped("tcp", format!("{address}: this machine has no IPv6"));
            }
            Err(error) => failed.push(format!("{address}: {}", in_words(&error))),
        }
    }
    if !reached.is_empty() {
        report.ok("tcp", format!("{} of {} answer, within {took:.0?}", reached.len(), addresses.len()));
    }
    if !failed.is_empty() {
        tell(&failed, &reached, addresses.iter().all(|address| address.ip().is_loopback()), report);
    }
    reached.first().copied()
}

fn tell(failed: &[String], reached: &[SocketAddr], is_local: bool, report: &mut Report) {
    let found = failed.join("; ");
    if reached.is_empty() {
        let why =
            "Nobody gets in. Refused: nobody listens on that port. No answer: a firewall, or the machine is away.";
        let remedy = "Look whether the server runs and what it listens on (ss -ltn), then at the firewall and its \
                      provider's, then at the address.";
        return report.fault("tcp", found, why, remedy);
    }
    let why = "Clients that take this address first wait or give up; few of MQTT's try another one.";
    let remedy = "Listen there as well, or take the record out of the DNS.";
    match is_local {
        true => report.warning("tcp", found, why, remedy),
        false => report.fault("tcp", found, why, remedy),
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    }
}
