//! Who a connection comes from: the peer itself, or whom a trusted proxy says by the PROXY protocol, before anything else is read.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::EdgeCounters;
use super::config::{ForwardedField, ProxyProtocol};
use super::forwarded::Believed;
use super::handshake::Steps;
use super::networks::{Network, any_contains};
use super::proxy_protocol::{self, HEADER_BYTES_MAX, NotHeader, Progress, Source};
use crate::connection::Handshake;

/// Whose word is believed on whom they speak for.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    pub(crate) trusted: Vec<Network>,
    pub(crate) field: ForwardedField,
}

/// Who is there, as far as is known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    pub(crate) address: SocketAddr,
    /// Whether it may be that a proxy speaks for others here.
    ///
    /// Not where the PROXY protocol has said that there is none to speak for: what follows may be anybody's words.
    may_be_proxy: bool,
}

impl Visitor {
    /// From here it is known to be a client of this address.
    pub(crate) fn speaks_for(&mut self, client: IpAddr) {
        if self.address.ip().to_canonical() != client {
            // Which port the client has, the fields do not say.
            self.address = SocketAddr::new(client, 0);
        }
    }
}

impl Proxies {
    /// What `visitor` may say of the clients behind it.
    pub(crate) fn believed(&self, visitor: &Visitor) -> Believed<'_> {
        Believed { trusted: if visitor.may_be_proxy { &self.trusted } else { &[] }, field: self.field }
    }
}

/// Reads the PROXY protocol header where one has to come first. `None`: the connection is to be closed.
pub(crate) async fn hear(
    stream: &mut TcpStream,
    peer: SocketAddr,
    proxy_protocol: ProxyProtocol,
    handshake: &mut Handshake,
    steps: &Steps,
) -> Option<Visitor> {
    let direct = Visitor { address: SocketAddr::new(peer.ip().to_canonical(), peer.port()), may_be_proxy: true };
    let counters = &steps.counters;
    let refuse = |counter, detail: &dyn std::fmt::Display| {
        EdgeCounters::add(counter);
        steps.refusals.log(peer.ip(), "proxy_protocol", detail);
        None
    };
    match (proxy_protocol, any_contains(&steps.proxies.trusted, peer.ip())) {
        (ProxyProtocol::No, _) | (ProxyProtocol::FromTrusted, false) => return Some(direct),
        (ProxyProtocol::Required, false) => {
            return refuse(&counters.proxy_headers_untrusted, &"not one of trusted_proxies");
        }
        (ProxyProtocol::FromTrusted | ProxyProtocol::Required, true) => {}
    }
    let reading = tokio::time::timeout(steps.limits.proxy_header_timeout, read_header(stream));
    let read = tokio::select! {
        biased;
        () = &mut *handshake => return None, // shed
        read = reading => read,
    };
    match read {
        Ok(Ok(source)) => {
            EdgeCounters::add(&counters.proxy_headers_accepted);
            Some(match source {
                Source::Address(address) => Visitor { address, may_be_proxy: true },
                Source::Unsaid => Visitor { may_be_proxy: false, ..direct },
            })
        }
        Ok(Err(Unread::Gone)) => None,
        Ok(Err(Unread::NotHeader(error))) => refuse(&counters.proxy_headers_malformed, &error),
        Err(_) => refuse(&counters.proxy_headers_timed_out, &"no PROXY protocol header in time"),
    }
}

/// Why there is no header.
enum Unread {
    Gone,
    NotHeader(NotHeader),
}

impl From<io::Error> for Unread {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Takes the header, and not a byte more, from `stream`.
async fn read_header(stream: &mut TcpStream) -> Result<Source, Unread> {
    let mut bytes = Vec::new();
    loop {
        let known = bytes.len();
        bytes.resize((known + HEADER_BYTES_USUAL).min(HEADER_BYTES_MAX), 0);
        // What lies behind the header is somebody else's to read: TLS takes a socket, not bytes.
        let seen = stream.peek(&mut bytes[known..]).await?;
        if seen == 0 {
            return Err(Unread::Gone);
        }
        let progress = proxy_protocol::parse(&bytes[..known + seen]).map_err(Unread::NotHeader)?;
        let end = match progress {
            Progress::Incomplete => known + seen,
            Progress::Complete { length, .. } => length,
        };
        bytes.truncate(end);
        stream.read_exact(&mut bytes[known..]).await?;
        if let Progress::Complete { source, .. } = progress {
            return Ok(source);
        }
    }
}

/// What a header seldom exceeds: the protocol has every receiver take this much in one piece (§2).
const HEADER_BYTES_USUAL: usize = 536;
