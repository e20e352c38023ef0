//! HTTP as far as the edge speaks it: files, redirects, the demo page, servers behind, and the way into a WebSocket.
//!
//! Responsible for one connection from its first request head to its end, or to the moment when it is a WebSocket and leaves this
//! module bare. What is here is the framing of HTTP/1.1; that of HTTP/2 is in [`h2`], and both have [`site`] answer. Not for: WebSocket
//! frames (`dialect::websocket`), TLS (`edge::tls`).
//!
//! Invariants: one reading of where requests begin and end ([`framing`]); every step has a deadline ([`exchange`]); the answer to a
//! request that asks to switch protocols, or whose content has not been read to its end, is the last on its connection; no field value is
//! taken for text unchecked.

mod answer;
mod compression;
mod cors;
mod demo;
mod exchange;
mod files;
mod framing;
pub(crate) mod h2;
mod origin;
mod parts;
mod path;
mod proxy;
mod range;
mod redirect;
mod request;
mod routes;
mod site;
mod token;
mod turn;
mod unread;
mod upgrade;

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_tungstenite::HyperWebsocket;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Sleep;
use tracing::debug;

use self::answer::Body;
use self::exchange::{ExchangeStream, Patience, Timing};
pub use self::path::RequestPath;
pub(crate) use self::proxy::Kept;
use self::proxy::Visit;
pub(crate) use self::redirect::is_sound as is_sound_redirect;
use self::site::Opening;
pub(crate) use self::site::Site;
use crate::connection::{Handshake, Protocol, Token};
use crate::edge::address_limits::Admitted;
use crate::edge::config::EdgeLimits;
use crate::edge::forwarded::{self, Believed};
use crate::edge::handshake::Steps;
use crate::edge::sites::SharedSite;
use crate::edge::transport::Transport;
use crate::edge::{Drain, EdgeCounters};

/// A connection that has become a WebSocket.
pub(crate) struct Upgraded {
    pub(crate) transport: Transport,
    /// What came after the head of the upgrade request: the first WebSocket bytes.
    pub(crate) early: Vec<u8>,
    pub(crate) protocol: Protocol,
    pub(crate) token: Option<Token>,
    /// Who opened it, through however many trusted proxies.
    pub(crate) client: IpAddr,
    /// What the client's address holds, where a trusted proxy has brought it.
    pub(crate) admitted: Option<Admitted>,
    /// `None` if the seat was given up, because the connection had been a visitor's.
    pub(crate) handshake: Option<Handshake>,
}

/// What one connection needs to be served.
#[derive(Clone, Copy)]
pub(crate) struct Service<'a> {
    pub(crate) site: &'a SharedSite,
    pub(crate) limits: &'a EdgeLimits,
    pub(crate) counters: &'a Arc<EdgeCounters>,
    pub(crate) is_tls: bool,
    /// Who sends the requests.
    pub(crate) peer: IpAddr,
    /// What `peer` may say of whom they are from.
    pub(crate) believed: Believed<'a>,
    pub(crate) steps: &'a Arc<Steps>,
}

/// Serves HTTP until the connection ends (`None`), also as a tunnel, or is a WebSocket. Ends early when `handshake` is shed, or gracefully
/// when `draining` says so.
pub(crate) async fn serve(
    transport: Transport,
    handshake: Handshake,
    service: Service<'_>,
    draining: watch::Receiver<Drain>,
) -> Option<Upgraded> {
    let limits = service.limits;
    let patience = Patience { head: limits.http_head_timeout, idle: limits.http_idle_timeout };
    let timing = Timing::new(patience, Instant::now());
    let upgrade = Arc::new(Mutex::new(None));
    let told = Arc::default();
    let handler = service_fn(|request: Request<Incoming>| {
        let chain = forwarded::chain(service.peer, request.headers(), service.believed);
        let client = chain.client();
        // Whoever comes directly was held to these limits before; whom a proxy brings is known only here.
        let brings = chain.is_proxied() && request.headers().contains_key(header::UPGRADE);
        let admitted = if brings { service.steps.admit(client) } else { Ok(None) };
        let visit = Arc::new(Visit {
            is_tls: chain.is_tls.unwrap_or(service.is_tls),
            chain,
            counters: Arc::clone(service.counters),
            timing: Arc::clone(&timing),
            told: Arc::clone(&told),
        });
        let (site, upgrade) = (service.site.load_full(), Arc::clone(&upgrade));
        let proof = service.steps.challenges.page(request.uri().path());
        async move {
            // The library ends the connection by itself after the last answer; nothing depends on it.
            if visit.timing.lock().is_last {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            let Ok(admitted) = admitted else {
                visit.timing.lock().is_last = true;
                return Ok(too_many_requests());
            };
            if let Some(proof) = proof {
                EdgeCounters::add(&visit.counters.acme_proofs);
                visit.timing.lock().is_last = true;
                return Ok(page_of_proof(proof));
            }
            let answer = site.answer(request, &visit).await;
            let mut timing = visit.timing.lock();
            timing.answered |= answer.upgrade.is_none();
            timing.is_last = answer.is_last;
            *upgrade.lock() = answer.upgrade.map(|opening| (opening, client, admitted));
            Ok(answer.response)
        }
    });
    let stream = TokioIo::new(ExchangeStream::new(transport, Arc::clone(&timing)));
    let connection = builder(limits).serve_connection(stream, handler).with_upgrades();
    let handshake = drive(connection, handshake, &timing, service.counters, draining.clone()).await?;
    let (opening, client, admitted) = upgrade.lock().take()?;
    match opening {
        Opening::WebSocket { websocket, protocol, token } => {
            let (transport, early) = take_out(websocket).await?;
            Some(Upgraded { transport, early, protocol, token, client, admitted, handshake })
        }
        Opening::Tunnel(tunnel) => {
            // What its address holds of connections it holds as long as the tunnel lives; of handshakes, no longer.
            let _open = admitted.map(|admitted| admitted.open);
            drop(handshake);
            tunnel.run(draining).await;
            None
        }
        Opening::Stream { .. } => None, // of HTTP/2
    }
}

/// For whoever opens WebSockets faster, or more of them, than one address may.
fn too_many_requests() -> Response<Body> {
    let mut response = answer::text(StatusCode::TOO_MANY_REQUESTS, "Too many connections from your address.");
    answer::set(&mut response, header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer::close_after(&mut response);
    response
}

/// What an authority of certificates has come for (RFC 8555 §8.3), whatever else lies under the path.
fn page_of_proof(proof: String) -> Response<Body> {
    let mut response = answer::with_content(StatusCode::OK, "application/octet-stream", proof);
    answer::close_after(&mut response);
    response
}

/// Every default is replaced, or confirmed, on purpose.
fn builder(limits: &EdgeLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .keep_alive(true)
        .ignore_invalid_headers(false)
        .allow_multiple_spaces_in_request_line_delimiters(false)
        .max_headers(limits.http_headers_max)
        .max_buf_size(limits.http_head_bytes_max.max(HEAD_BYTES_MIN))
        // Deadlines are kept by `Timing`, which knows more about them.
        .header_read_timeout(None)
        .pipeline_flush(false)
        .auto_date_header(true);
    builder
}

/// The library panics below this.
const HEAD_BYTES_MIN: usize = 8192;

/// Polls the library's connection to its end beside everything that may end it sooner. `None`: it is gone.
async fn drive<C>(
    connection: C,
    handshake: Handshake,
    timing: &Mutex<Timing>,
    counters: &EdgeCounters,
    mut draining: watch::Receiver<Drain>,
) -> Option<Option<Handshake>>
where
    C: Graceful + Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let mut handshake = Some(handshake);
    let mut sleep = pin!(tokio::time::sleep_until(timing.lock().deadline().into()));
    // A sender that is gone has stopped.
    let mut drain = pin!(async { draining.wait_for(Drain::is_on).await.map_or(Drain::Stopping, |drain| *drain) });
    let (mut asked, mut is_draining) = (Drain::Off, false);
    std::future::poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                let kept = conclude(ended, timing, counters);
                return Poll::Ready(kept.then(|| handshake.take()));
            }
            // Somebody who has been answered is a visitor, bounded by `connections_max` and the idle timeout.
            handshake.take_if(|_| timing.lock().answered);
            if handshake.as_mut().is_some_and(|handshake| Pin::new(handshake).poll(cx).is_ready()) {
                return Poll::Ready(None); // shed
            }
            if asked == Drain::Off
                && let Poll::Ready(now_asked) = drain.as_mut().poll(cx)
            {
                asked = now_asked;
            }
            let is_due = match asked {
                Drain::Off => false,
                Drain::Stopping => true,
                Drain::HandingOver => timing.lock().answered,
            };
            if is_due && !is_draining {
                is_draining = true;
                connection.as_mut().shut_down_gracefully();
                continue;
            }
            match overdue(sleep.as_mut(), timing, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Overdue::Again) => return Poll::Ready(None),
                Poll::Ready(Overdue::Head) => EdgeCounters::add(&counters.http_head_timed_out),
                Poll::Ready(Overdue::Other) => {}
            }
            // The stream has a last word to say.
        }
    })
    .await
}

/// Which deadline has passed.
enum Overdue {
    Head,
    Other,
    /// The connection has had its last word, or was lingering after it.
    Again,
}

/// Ready when a deadline has passed.
fn overdue(mut sleep: Pin<&mut Sleep>, timing: &Mutex<Timing>, cx: &mut Context<'_>) -> Poll<Overdue> {
    // It may have come nearer since.
    let deadline = timing.lock().deadline().into();
    if deadline < sleep.deadline() {
        sleep.as_mut().reset(deadline);
    }
    while sleep.as_mut().poll(cx).is_ready() {
        let mut timing = timing.lock();
        let deadline = timing.deadline();
        if deadline <= Instant::now() {
            return Poll::Ready(match timing.expire() {
                false => Overdue::Again,
                true if timing.awaits_head() => Overdue::Head,
                true => Overdue::Other,
            });
        }
        sleep.as_mut().reset(deadline.into());
    }
    Poll::Pending
}

/// Counts how a connection ended; whether it may go on as something else.
fn conclude(ended: hyper::Result<()>, timing: &Mutex<Timing>, counters: &EdgeCounters) -> bool {
    let is_expired = timing.lock().is_expired();
    let Err(error) = ended else { return !is_expired };
    if error.is_parse() && !is_expired {
        EdgeCounters::add(&counters.http_malformed);
    }
    debug!(%error, "HTTP connection ended");
    false
}

/// Takes the bare transport out of everything that the opening handshake wrapped around it, and what was read past it.
async fn take_out(websocket: HyperWebsocket) -> Option<(Transport, Vec<u8>)> {
    let upgraded = websocket.await.ok()?.into_inner().into_inner();
    let parts = upgraded.downcast::<TokioIo<ExchangeStream>>().ok()?;
    let (transport, held) = parts.io.into_inner().into_parts();
    // Copied, because the buffer it is part of is larger and would live on.
    Some((transport, [&parts.read_buf[..], &held].concat()))
}

/// What [`drive`] asks of a connection besides being a future.
trait Graceful {
    fn shut_down_gracefully(self: Pin<&mut Self>);
}

impl<S, B> Graceful for http1::UpgradeableConnection<TokioIo<ExchangeStream>, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn shut_down_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
