//! X-Forwarded-For, X-Forwarded-Proto and Forwarded: any fields, in any number.
//!
//! Nothing panics; an untrusted peer is the client whatever it says; every hop but the client is trusted; what a trusted hop appends
//! counts, whatever stands to its left.

#![no_main]

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use tidegate::edge::forwarded::{Believed, Chain, chain};
use tidegate::edge::{ForwardedField, Network};

const NAMES: [&str; 3] = ["x-forwarded-for", "x-forwarded-proto", "forwarded"];

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    let field = if kind & 1 == 0 { ForwardedField::XForwardedFor } else { ForwardedField::Forwarded };
    let mut headers = HeaderMap::new();
    for line in rest.split(|&byte| byte == b'\n') {
        let Some((&name, value)) = line.split_first() else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        headers.append(NAMES[usize::from(name) % 3], value);
    }
    let trusted = [Network::parse("10.0.0.0/8").expect("a network")];
    let believed = Believed { trusted: &trusted, field };
    let (proxy, stranger): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [203, 0, 113, 7].into());

    assert_eq!(chain(stranger, &headers, believed), Chain::direct(stranger));

    let found = chain(proxy, &headers, believed);
    let told = found.x_forwarded_for();
    let hops: Vec<IpAddr> = told.split(", ").map(|hop| hop.parse().expect("an address")).collect();
    assert_eq!(hops.first(), Some(&found.client()));
    assert_eq!(hops.last(), Some(&proxy));
    assert!(hops.iter().skip(1).all(|&hop| trusted[0].contains(hop)), "{told}");
    assert_eq!(hops.len() > 1, found.is_proxied());

    headers.append(NAMES[0], HeaderValue::from_static("203.0.113.7, 10.0.0.2"));
    headers.append(NAMES[2], HeaderValue::from_static("for=203.0.113.7, for=10.0.0.2"));
    assert_eq!(chain(proxy, &headers, believed).client(), stranger);
});
