//! Servers behind that speak HTTP/2: many exchanges on one connection. In the clear it is known beforehand that they do (RFC 9113 §3.3);
//! over TLS, ALPN says so.
//!
//! | file | |
//! |---|---|
//! | [`greeting`] | notices when the server's SETTINGS have come |
//! | [`head`] | what differs in a request and in an answer; pure |
//! | [`pool`] | connections to one server, and the streams on them |
//!
//! Nothing is asked on a connection before its server's SETTINGS have come: only then is it known that HTTP/2 is spoken there at all, how
//! many streams it takes, and whether WebSockets can be opened on them (RFC 8441 §3).
//!
//! Nobody is pinged: servers of gRPC close connections on which they are pinged more often than they expect, and what a silent connection
//! does to its exchanges shows in their own timeouts. One on which an answer was too late takes no further exchange.

mod greeting;
mod head;
mod pool;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::response;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};

use self::head::Asked;
pub(super) use self::pool::{Lease, Pool};
use super::body::Upload;
use super::headers;
use super::server::{self, Server};
use super::tunnel::Tunnel;
use super::{Exchange, Failure, Reply, answer, flaw, redirects};

/// Times that one server is asked: a connection that it is about to close is no failure, and there may be several of them.
const TRIES_MAX: usize = 3;

/// What the server did with a request that it did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It has not been sent.
    Unsent,
    /// The server says that it has not been looked at (RFC 9113 §8.7).
    Refused,
    Unknown,
}

impl Exchange<'_> {
    /// Asks one server. With a failure: whether asking another one is harmless.
    pub(super) async fn ask_on_stream(
        &self,
        server: &Server,
        pool: &Arc<Pool>,
        upload: &mut Upload,
    ) -> Result<(Response<Incoming>, server::Lease), (Failure, bool)> {
        if self.is_handshake && self.key.is_none() && head::accept(&self.head.headers).is_none() {
            return Err((Failure::NoKey, false));
        }
        let mut tries = 1..=TRIES_MAX;
        loop {
            let is_last_try = tries.next().is_none_or(|number| number == TRIES_MAX);
            let lease = pool.lease(&self.visit.counters).await;
            let lease = lease.map_err(|error| (Failure::NoLease(error), true))?;
            if self.is_handshake && !lease.opens_websockets() {
                return Err((Failure::NoWebSockets, true));
            }
            let body = std::mem::take(upload).on_stream(lease.clone());
            let Some(request) = self.stream_request(server, pool.is_tls(), body) else {
                return Err((Failure::Unsound("its Host cannot be asked for"), false));
            };
            let was_used = lease.was_used();
            match self.in_time(lease.send(request)).await {
                Some(Ok(response)) => {
                    return match flaw(&response, false).or_else(|| head::flaw(&response, self.is_handshake)) {
                        None => Ok((response, server::Lease::Http2(lease))),
                        Some(flaw) => Err((Failure::Unsound(flaw), false)),
                    };
                }
                None => {
                    lease.retire();
                    return Err((Failure::Late, self.is_harmless_twice()));
                }
                Some(Err(mut error)) => {
                    if let Some(failure) = self.upload_failure() {
                        return Err((Failure::Upload(failure), false));
                    }
                    let unsent = error.take_message().map(Request::into_body);
                    let fate = if unsent.is_some() { Fate::Unsent } else { fate(error.error()) };
                    *upload = unsent.unwrap_or_default();
                    let is_harmless = match fate {
                        Fate::Unsent => true,
                        // What was read of the content is gone.
                        Fate::Refused => self.progress.is_none(),
                        Fate::Unknown => self.is_harmless_twice(),
                    };
                    let is_connections = !is_reset(error.error());
                    if is_connections {
                        lease.retire();
                    }
                    // Closed unseen, it says nothing of the server.
                    let is_worth_it = fate != Fate::Unknown || (is_connections && was_used);
                    if is_harmless && is_worth_it && !is_last_try {
                        continue;
                    }
                    return Err((Failure::Broken(error.into_error()), is_harmless));
                }
            }
        }
    }

    fn stream_request(&self, server: &Server, is_tls: bool, upload: Upload) -> Option<Request<Upload>> {
        let asked = Asked { client: self.head, target: &self.uri, is_tls, is_handshake: self.is_handshake };
        head::request(asked, self.forwarded(server), upload)
    }

    /// The answer as it goes on, if it is what the client's WebSocket waits for.
    pub(super) fn tunnel_on_stream(
        &self,
        mut head: response::Parts,
        upstream: OnUpgrade,
        client: OnUpgrade,
        lease: server::Lease,
    ) -> Reply {
        headers::returned(&mut head.headers);
        redirects::rewrite(&mut head.headers, &self.proxy.redirects);
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        // A client of HTTP/1.1 has a key of its own, and waits for 101.
        if self.key.is_none()
            && let Some(accept) = head::accept(&self.head.headers)
        {
            head.status = StatusCode::SWITCHING_PROTOCOLS;
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            head.headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        let mut response = answer::empty(head.status);
        *response.headers_mut() = head.headers;
        let tunnel = Tunnel {
            client,
            upstream,
            idle_timeout: self.proxy.config.tunnel_timeout,
            counters: Arc::clone(&self.visit.counters),
            _place: lease.into_place(),
        };
        Reply { response, tunnel: Some(tunnel), is_last: true }
    }
}

/// What the library's error says of the request.
fn fate(error: &hyper::Error) -> Fate {
    let Some(error) = of_http2(error) else { return Fate::Unknown };
    // Streams that a server has looked at are not ended by its GOAWAY (RFC 9113 §6.8), and the library gives its error to no others.
    let is_refused = error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM));
    if is_refused { Fate::Refused } else { Fate::Unknown }
}

/// Whether it concerns the one stream, and not its connection.
fn is_reset(error: &hyper::Error) -> bool {
    of_http2(error).is_some_and(h2::Error::is_reset)
}

fn of_http2(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}
