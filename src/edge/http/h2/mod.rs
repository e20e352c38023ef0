//! HTTP/2 (RFC 9113), where ALPN has agreed on it: many requests on one connection, WebSockets among them (RFC 8441).
//!
//! Only the framing is other than that of HTTP/1.1: [`head`] makes the one kind of request of both, and [`site`](super::site) answers it.
//!
//! ```text
//!   library  ⇄  FrameStream { frames }  ⇄  Transport
//!      │                    ⇅ pulse
//!      │              the task that drives both, and holds the deadlines
//!      └─ streams: its requests, on the same task; a WebSocket is handed over and lives as long as its stream
//! ```
//!
//! | file | |
//! |---|---|
//! | [`driven`] | the library's connection and the requests on it |
//! | [`frames`] | counts what asks for nothing; pure |
//! | [`head`] | what differs in a request and in an answer; pure |
//! | [`pulse`] | what the connection waits for; pure |
//! | [`stream`] | the stream under the library |
//! | [`streams`] | the requests under way |
//!
//! Invariants: a WebSocket takes a place and a seat of its own, and counts for its address as a connection does; what one stream does
//! reaches no other; the library's limits stand behind ours, none of its defaults is left unsaid.

mod driven;
mod frames;
mod head;
mod pulse;
mod stream;
mod streams;

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Sleep;
use tracing::debug;

use self::driven::Driven;
use self::pulse::{Flood, Overdue, Pulse};
use self::stream::FrameStream;
use self::streams::{Pace, Streams};
use super::answer::{self, Body};
use super::exchange::{Patience, Timing};
use super::proxy::{Told, Visit};
use super::site::Opening;
use super::unread;
use crate::connection::{
    Accepted, ClientCertificate, DuplicateClientId, Handshake, Place, Protocol, Standing, Stream, Token,
};
use crate::edge::address_limits::Admitted;
use crate::edge::config::EdgeLimits;
use crate::edge::forwarded;
use crate::edge::handshake::{self, Steps};
use crate::edge::introduction::Visitor;
use crate::edge::listener;
use crate::edge::sites::SharedSite;
use crate::edge::transport::Transport;
use crate::edge::{Drain, EdgeCounters};

/// What every request of one connection is answered with.
pub(crate) struct Host {
    /// Looked up for each request: a reload reaches connections that are open.
    pub(crate) site: SharedSite,
    pub(crate) steps: Arc<Steps>,
    pub(crate) visitor: Visitor,
    pub(crate) listener: Arc<str>,
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    pub(crate) standing: Option<Arc<Standing>>,
    pub(crate) duplicate_client_id: Option<DuplicateClientId>,
    pub(crate) draining: watch::Receiver<Drain>,
    /// What a server behind was last told of the client, over this connection.
    pub(crate) told: Arc<Mutex<Option<Told>>>,
}

/// Serves HTTP/2 until the connection ends, the WebSockets on it among the rest. Ends early when `handshake` is shed before anything was
/// answered, or gracefully when the server drains.
pub(crate) async fn serve(transport: Transport, handshake: Handshake, host: Host) {
    let host = Arc::new(host);
    let limits = &host.steps.limits;
    let counters = &host.steps.counters;
    EdgeCounters::add(&counters.http2_connections);
    let patience = Patience { head: limits.http_head_timeout, idle: limits.http_idle_timeout };
    let now = Instant::now();
    let pulse = Pulse::new(patience, now);
    let streams = Streams::new(Arc::clone(&pulse), Arc::clone(counters));
    let stream = FrameStream::new(transport, Arc::clone(&pulse), &limits.http2, now);
    let line = stream.line();
    let handler = service_fn(|request: Request<Incoming>| {
        let pace = streams.begin(patience.idle);
        let (host, pulse) = (Arc::clone(&host), Arc::clone(&pulse));
        // In a box: it is large, and the library hands it on from one to the other.
        Box::pin(async move {
            let response = answer(request, &host, &pace).await;
            pulse.lock().answered = true;
            io::Result::Ok(response)
        })
    });
    let connection = pin!(builder(limits, streams.clone()).serve_connection(TokioIo::new(stream), handler));
    let driven = Driven::new(connection, streams.under_way(), line);
    let ended = drive(driven, handshake, &pulse, host.draining.clone()).await;
    conclude(&ended, &pulse, &host);
}

/// Every default is replaced, or confirmed, on purpose.
fn builder(limits: &EdgeLimits, streams: Streams) -> http2::Builder<Streams> {
    let own = &limits.http2;
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(own.streams_max)
        .max_header_list_size(u32::try_from(limits.http_head_bytes_max).unwrap_or(u32::MAX))
        .initial_connection_window_size(own.window_bytes)
        .initial_stream_window_size((own.window_bytes / 4).max(SPEC_WINDOW_BYTES))
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        // Our own budgets are narrower in time; these are for all that comes at once.
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .keep_alive_interval(Some(own.ping_interval).filter(|interval| !interval.is_zero()))
        .keep_alive_timeout(own.ping_timeout)
        .auto_date_header(true);
    builder
}

/// What a client may send before it has heard of any other limit (RFC 9113 §6.9.2).
const SPEC_WINDOW_BYTES: u32 = 65_535;

/// The least that a receiver has to take (RFC 9113 §4.2), and no more: a frame is buffered whole.
const FRAME_BYTES_MAX: u32 = 16_384;

/// Of each answer, beyond what the client has room for.
const SEND_BYTES_MAX: usize = 64 * 1024;

const PENDING_RESETS_MAX: usize = 20;
const LOCAL_RESETS_MAX: usize = 256;

/// Answers one request, whatever it is.
async fn answer(request: Request<Incoming>, host: &Arc<Host>, pace: &Arc<Pace>) -> Response<Body> {
    let (mut response, opening) = decide(request, host).await;
    if let Some(opening) = opening {
        open(opening, Arc::clone(host));
    }
    let (mut head, body) = response.into_parts();
    head::leave(&mut head.status, &mut head.headers);
    response = Response::from_parts(head, body);
    response.map(|body| pace.watch(body))
}

/// A stream that is about to become something else, and what it holds.
struct Turning {
    opening: Opening,
    place: Place,
    admitted: Option<Admitted>,
    visitor: Visitor,
}

async fn decide(request: Request<Incoming>, host: &Host) -> (Response<Body>, Option<Turning>) {
    let (mut head, body) = request.into_parts();
    let steps = &host.steps;
    if let Err((status, text)) = head::adopt(&mut head, !body.is_end_stream(), steps.limits.http_headers_max) {
        return (answer::text(status, text), None);
    }
    let chain = forwarded::chain(host.visitor.address.ip(), &head.headers, steps.proxies.believed(&host.visitor));
    let client = chain.client();
    let held = match head.method == Method::CONNECT {
        true => match hold(host, client) {
            Ok(held) => Some(held),
            Err(refused) => return (*refused, None),
        },
        false => None,
    };
    let visit = Visit {
        is_tls: chain.is_tls.unwrap_or(true),
        chain,
        counters: Arc::clone(&steps.counters),
        // Each stream has a clock of its own, which nobody stops.
        timing: Timing::new(
            Patience { head: steps.limits.http_head_timeout, idle: steps.limits.http_idle_timeout },
            Instant::now(),
        ),
        told: Arc::clone(&host.told),
    };
    let mut answer = host.site.load_full().answer(Request::from_parts(head, body), &visit).await;
    if let Some(content) = answer.unread.take() {
        tokio::spawn(unread::let_it_end(content, steps.limits.http_idle_timeout));
    }
    if held.is_some() && answer.upgrade.is_none() && answer.response.status().is_success() {
        // The client would take it for an open WebSocket.
        return (answer::text(StatusCode::BAD_REQUEST, "This address speaks no WebSocket."), None);
    }
    let turning = answer.upgrade.zip(held).map(|(opening, (place, admitted))| {
        let mut visitor = host.visitor;
        visitor.speaks_for(client);
        Turning { opening, place, admitted, visitor }
    });
    (answer.response, turning)
}

/// What a connection takes when it is accepted, a stream takes that becomes one.
fn hold(host: &Host, client: std::net::IpAddr) -> Result<(Place, Option<Admitted>), Box<Response<Body>>> {
    let steps = &host.steps;
    let Ok(admitted) = steps.admit(client) else { return Err(Box::new(super::too_many_requests())) };
    match listener::take_place(steps, SocketAddr::new(client, 0)) {
        Some(place) => Ok((place, admitted)),
        None => {
            let mut full = answer::text(StatusCode::SERVICE_UNAVAILABLE, "The server is full; try again soon.");
            answer::set(&mut full, header::RETRY_AFTER, HeaderValue::from_static("1"));
            Err(Box::new(full))
        }
    }
}

/// Hands a WebSocket over once its answer is on its way.
fn open(turning: Turning, host: Arc<Host>) {
    let Turning { opening, place, admitted, visitor } = turning;
    match opening {
        Opening::Stream { stream, protocol, token } => {
            tokio::spawn(hand_over(stream, (protocol, token), (place, admitted), visitor, host));
        }
        Opening::Tunnel(tunnel) => {
            tokio::spawn(async move {
                // As with HTTP/1.1, what its address holds of connections it holds as long as the tunnel lives.
                let _held = (place, admitted.map(|admitted| admitted.open));
                tunnel.run(host.draining.clone()).await;
            });
        }
        Opening::WebSocket { .. } => debug_assert!(false, "HTTP/2 switches no protocols"),
    }
}

async fn hand_over(
    stream: OnUpgrade,
    (protocol, token): (Protocol, Option<Token>),
    (place, admitted): (Place, Option<Admitted>),
    visitor: Visitor,
    host: Arc<Host>,
) {
    let Ok(upgraded) = stream.await else { return };
    let steps = &host.steps;
    let (place, handshake) = handshake::hold(admitted, place, listener::take_seat(steps, visitor.address.ip()).await);
    EdgeCounters::add(&steps.counters.http2_websockets);
    EdgeCounters::add(&steps.counters.handed_over);
    (steps.handoff)(Accepted {
        stream: Stream::Multiplexed(Box::new(TokioIo::new(upgraded))),
        early: Vec::new(),
        peer: visitor.address,
        listener: Arc::clone(&host.listener),
        is_exempt: steps.addresses.is_exempt(visitor.address.ip()),
        protocol,
        token,
        certificate: host.certificate.clone(),
        standing: host.standing.clone(),
        duplicate_client_id: host.duplicate_client_id,
        place,
        handshake,
    });
}

/// How a connection ended.
enum Ended {
    ByItself(hyper::Result<()>),
    Overdue(Overdue),
    Shed,
}

/// Polls a connection to its end beside everything that may end it sooner.
async fn drive<S>(
    mut driven: Driven<'_, S>,
    handshake: Handshake,
    pulse: &Mutex<Pulse>,
    mut draining: watch::Receiver<Drain>,
) -> Ended
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut handshake = Some(handshake);
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    let mut drain = pin!(async { draining.wait_for(Drain::is_on).await.map_or(Drain::Stopping, |drain| *drain) });
    let (mut asked, mut is_leaving) = (Drain::Off, false);
    std::future::poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = driven.poll(cx) {
                return Poll::Ready(Ended::ByItself(ended));
            }
            // Somebody who has been answered is a visitor, bounded by `connections_max` and the idle timeout.
            let answered = pulse.lock().answered;
            handshake.take_if(|_| answered);
            if handshake.as_mut().is_some_and(|handshake| Pin::new(handshake).poll(cx).is_ready()) {
                return Poll::Ready(Ended::Shed);
            }
            if asked == Drain::Off
                && let Poll::Ready(now_asked) = drain.as_mut().poll(cx)
            {
                asked = now_asked;
            }
            let is_due = match asked {
                Drain::Off => false,
                Drain::Stopping => true,
                Drain::HandingOver => answered,
            };
            if is_due && !is_leaving {
                is_leaving = true;
                driven.leave();
                continue;
            }
            match overdue(sleep.as_mut(), pulse, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Overdue::Idle) => {
                    pulse.lock().close(Instant::now());
                    is_leaving = true;
                    driven.leave();
                }
                Poll::Ready(overdue) => return Poll::Ready(Ended::Overdue(overdue)),
            }
        }
    })
    .await
}

/// Ready when a time is up.
fn overdue(mut sleep: Pin<&mut Sleep>, pulse: &Mutex<Pulse>, cx: &mut Context<'_>) -> Poll<Overdue> {
    loop {
        let deadline = pulse.lock().deadline();
        // A WebSocket ends on a task of its own: look again after a while, if nothing happens before.
        let (at, overdue) = deadline.map_or((Instant::now() + LOOK, None), |(at, overdue)| (at, Some(overdue)));
        if let Some(overdue) = overdue
            && at <= Instant::now()
        {
            return Poll::Ready(overdue);
        }
        if sleep.deadline() > at.into() || sleep.is_elapsed() {
            sleep.as_mut().reset(at.into());
        }
        std::task::ready!(sleep.as_mut().poll(cx));
    }
}

/// How often a connection with requests under way is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Counts how a connection ended.
fn conclude(ended: &Ended, pulse: &Mutex<Pulse>, host: &Host) {
    let counters = &host.steps.counters;
    let flood = pulse.lock().flood;
    let refuse = |counter, detail: &dyn std::fmt::Display| {
        EdgeCounters::add(counter);
        host.steps.refusals.log(host.visitor.address.ip(), "http2", detail);
    };
    match (ended, flood) {
        (_, Some(Flood::Control)) => refuse(&counters.http2_floods_control, &"too many frames that ask for nothing"),
        (_, Some(Flood::Resets)) => refuse(&counters.http2_floods_resets, &"too many requests taken back"),
        (Ended::Overdue(Overdue::Head), None) => EdgeCounters::add(&counters.http_head_timed_out),
        (Ended::Overdue(Overdue::Reading), None) => EdgeCounters::add(&counters.http2_connections_stalled),
        (Ended::ByItself(Err(error)), None) => {
            if is_violation(error) {
                refuse(&counters.http2_violations, error);
            }
            debug!(%error, "HTTP/2 connection ended");
        }
        (Ended::ByItself(Ok(())) | Ended::Overdue(_) | Ended::Shed, None) => {}
    }
}

/// Whether the library has ended the connection for what the peer did.
fn is_violation(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<io::Error>() {
            return false; // gone
        }
        source = error.source();
    }
    !error.is_timeout()
}
