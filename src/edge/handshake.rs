//! One connection from TCP accept to hand-over: the steps, each with its deadline.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::acme::Challenges;
use super::address_limits::{Addresses, Admitted, Answer, TooMany};
use super::config::{EdgeLimits, ProxyProtocol, Scheme};
use super::dispatch::{self, MQTT_CONNECT, Spoken};
use super::http;
use super::introduction::{self, Proxies};
use super::refusals::Refusals;
use super::transport::Transport;
use super::{Drain, EdgeCounters, Handoff, Shown, listener, tls};
use crate::connection::{Accepted, Handshake, Handshakes, Place, Protocol};

/// What every connection's steps share.
///
/// A reload that brings other limits makes a new one, which shares all that counts with the one before: each connection is held to what
/// held when it came.
#[derive(Clone)]
pub(crate) struct Steps {
    pub(crate) limits: EdgeLimits,
    pub(crate) proxies: Proxies,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) handshakes: Arc<Handshakes>,
    pub(crate) handoff: Handoff,
    pub(crate) counters: Arc<EdgeCounters>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) challenges: Arc<Challenges>,
}

/// The steps of whoever comes at present.
pub(crate) type SharedSteps = Arc<ArcSwap<Steps>>;

impl Steps {
    /// Whether one more connection from `address` may be; a refusal is counted and logged.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Option<Admitted>, TooMany> {
        let Answer { admitted, forgotten } = self.addresses.admit(Instant::now(), address);
        self.counters.addresses_forgotten.fetch_add(forgotten as u64, Ordering::Relaxed);
        admitted.inspect_err(|too_many| {
            let (counter, reason) = match too_many {
                TooMany::Connects => (&self.counters.addresses_refused_rate, "address_connects"),
                TooMany::Open => (&self.counters.addresses_refused_open, "address_connections"),
                TooMany::Handshaking => (&self.counters.addresses_refused_handshaking, "address_handshakes"),
            };
            EdgeCounters::add(counter);
            self.refusals.log(address, reason, &"beyond what limits leave to one address");
        })
    }
}

/// Ties what an address holds to the connection that it holds it for.
pub(crate) fn hold(admitted: Option<Admitted>, place: Place, handshake: Handshake) -> (Place, Handshake) {
    match admitted {
        Some(Admitted { open, handshaking }) => (place.holding(open), handshake.holding(handshaking)),
        None => (place, handshake),
    }
}

/// Has `stream` closed by a reset once it is dropped: a flood leaves no sockets behind that wait for their last acknowledgement.
pub(crate) fn reset(stream: &TcpStream) {
    // What fails here is gone already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// A connection that has just been accepted.
pub(crate) struct Newcomer {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) place: Place,
    pub(crate) handshake: Handshake,
    pub(crate) listener: Arc<str>,
    pub(crate) scheme: Scheme,
    pub(crate) proxy_protocol: ProxyProtocol,
    /// Whether MQTT may come where HTTP is spoken.
    pub(crate) takes_mqtt: bool,
    pub(crate) shown: Shown,
}

/// Takes a connection through its handshakes and hands it over. Every way out but that one closes it.
pub(crate) async fn run(newcomer: Newcomer, steps: Arc<Steps>, draining: watch::Receiver<Drain>) {
    let Newcomer { mut stream, peer, mut place, mut handshake, listener, scheme, proxy_protocol, takes_mqtt, shown } =
        newcomer;
    let Some(mut visitor) = introduction::hear(&mut stream, peer, proxy_protocol, &mut handshake, &steps).await else {
        return;
    };
    if visitor.address.ip() != peer.ip().to_canonical() {
        let Ok(admitted) = steps.admit(visitor.address.ip()) else { return reset(&stream) };
        (place, handshake) = hold(admitted, place, handshake);
        handshake.speak_for(visitor.address.ip());
    }
    let (mut transport, presented) = match &shown.tls {
        None => (Transport::Plain(stream), None),
        Some(tls) => match secure(stream, visitor.address, tls, &mut handshake, &steps).await {
            Some(secured) => secured,
            None => return,
        },
    };
    let (certificate, standing) = match presented {
        Some(tls::Presented { certificate, standing }) => (Some(certificate), Some(standing)),
        None => (None, None),
    };
    let mut is_http = scheme.is_http();
    if is_http && takes_mqtt {
        match dispatch::first_spoken(&mut transport, &mut handshake, &steps, draining.clone()).await {
            Some(spoken) => is_http = spoken == Spoken::Http,
            None => return,
        }
    }
    if is_http && transport.protocol() == Some(tls::H2) {
        let Shown { site, duplicate_client_id, .. } = shown;
        let ending = standing.clone();
        let host = http::h2::Host {
            site,
            steps,
            visitor,
            listener,
            certificate,
            standing,
            duplicate_client_id,
            draining,
            told: Arc::default(),
        };
        // Boxed: this task is as large as the largest thing that it waits for.
        let serving = Box::pin(http::h2::serve(transport, handshake, host));
        match ending {
            None => serving.await,
            Some(standing) => {
                let ended = async {
                    standing.ended().await;
                    // Its WebSockets have something to tell their clients first.
                    tokio::time::sleep(GOODBYES).await;
                };
                tokio::select! { () = serving => {}, () = ended => {} }
            }
        }
        return drop(place);
    }
    let (transport, mut early, protocol, token, handshake) = if is_http {
        let counters = &steps.counters;
        let believed = steps.proxies.believed(&visitor);
        let (site, limits, is_tls) = (&shown.site, &steps.limits, scheme.is_tls());
        let service =
            http::Service { site, limits, counters, is_tls, peer: visitor.address.ip(), believed, steps: &steps };
        let served = match &standing {
            None => http::serve(transport, handshake, service, draining).await,
            // A certificate is rare, and what waits for its end would make every connection's task larger.
            Some(standing) => {
                let serving = Box::pin(http::serve(transport, handshake, service, draining));
                let ended = Box::pin(standing.ended());
                tokio::select! { served = serving => served, () = ended => None }
            }
        };
        let Some(upgraded) = served else { return };
        visitor.speaks_for(upgraded.client);
        let seat = match upgraded.handshake {
            Some(handshake) => handshake,
            // A visitor who becomes a client shakes hands once more: MQTT's are still to come.
            None => listener::take_seat(&steps, visitor.address.ip()).await,
        };
        let handshake;
        (place, handshake) = hold(upgraded.admitted, place, seat);
        (upgraded.transport, upgraded.early, upgraded.protocol, upgraded.token, handshake)
    } else {
        (transport, Vec::new(), Protocol::Mqtt, None, handshake)
    };
    let Ok(stream) = transport.into_bare(&mut early) else { return };
    EdgeCounters::add(&steps.counters.handed_over);
    let duplicate_client_id = shown.duplicate_client_id;
    let peer = visitor.address;
    let is_exempt = steps.addresses.is_exempt(peer.ip());
    (steps.handoff)(Accepted {
        stream,
        early,
        peer,
        listener,
        is_exempt,
        protocol,
        token,
        certificate,
        standing,
        duplicate_client_id,
        place,
        handshake,
    });
}

/// How long an HTTP/2 connection stays open for what is said to the clients on it, when it ends for its certificate.
const GOODBYES: Duration = Duration::from_secs(1);

/// The TLS handshake, and the certificate of the client if it has shown one.
async fn secure(
    stream: TcpStream,
    peer: SocketAddr,
    tls: &tls::Shared,
    handshake: &mut Handshake,
    steps: &Steps,
) -> Option<(Transport, Option<tls::Presented>)> {
    let terms = tls.load_full();
    let acceptor = TlsAcceptor::from(terms.config());
    let accepting = async {
        refuse_plaintext(&stream).await?;
        if steps.challenges.is_pending() {
            return accept_or_prove(stream, terms.config(), &steps.challenges).await;
        }
        acceptor.accept(stream).await.map(Some)
    };
    let accepting = tokio::time::timeout(steps.limits.tls_handshake_timeout, accepting);
    let counters = &steps.counters;
    let accepted = tokio::select! {
        biased;
        () = &mut *handshake => return None, // shed
        accepted = accepting => accepted,
    };
    match accepted {
        Ok(Ok(None)) => {
            EdgeCounters::add(&counters.acme_proofs);
            None
        }
        Ok(Ok(Some(stream))) => {
            let presented = match tls::client(tls, &terms, stream.get_ref().1) {
                Ok(presented) => presented,
                Err(error) => {
                    EdgeCounters::add(&counters.client_certificates_refused);
                    steps.refusals.log(peer.ip(), "tls", &error);
                    return None;
                }
            };
            EdgeCounters::add(&counters.tls_handshakes);
            if presented.is_some() {
                EdgeCounters::add(&counters.client_certificates);
            }
            Some((Transport::Tls(Box::new(stream)), presented))
        }
        Ok(Err(error)) => {
            let is_by_certificate = concerns_certificate(&error);
            let failed =
                if is_by_certificate { &counters.client_certificates_refused } else { &counters.tls_handshakes_failed };
            EdgeCounters::add(failed);
            // Health checks and port scans connect and leave; that is no refusal.
            if error.kind() != io::ErrorKind::UnexpectedEof {
                steps.refusals.log(peer.ip(), "tls", &error);
            }
            None
        }
        Err(_) => {
            EdgeCounters::add(&counters.tls_handshakes_timed_out);
            steps.refusals.log(peer.ip(), "tls", &"no handshake in time");
            None
        }
    }
}

/// The TLS handshake while an authority may come to look for a proof; `None`: it was the authority, and the connection is closed.
async fn accept_or_prove(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    challenges: &Challenges,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    match challenges.handshake(&begun.client_hello()) {
        None => begun.into_stream(config).await.map(Some),
        Some(proof) => {
            begun.into_stream(proof).await?.shutdown().await?;
            Ok(None)
        }
    }
}

/// Whether a handshake failed because of the client's certificate, or for want of one.
fn concerns_certificate(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    use rustls::Error::{InvalidCertRevocationList, InvalidCertificate, NoCertificatesPresented};
    matches!(tls, Some(InvalidCertificate(_) | InvalidCertRevocationList(_) | NoCertificatesPresented))
}

/// Says in plain words what a client has mistaken that speaks HTTP, or MQTT, where TLS is spoken; TLS would answer with bytes that
/// it cannot read.
async fn refuse_plaintext(stream: &TcpStream) -> io::Result<()> {
    const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
        content-length: 52\r\n\r\nThis address speaks TLS: write https:// before it.\r\n";
    let mut first = [0];
    match (stream.peek(&mut first).await?, first[0]) {
        (1, b'A'..=b'Z') => {
            let mut unread = [0; 4096];
            // One attempt each. Closing with bytes unread would reset the connection, and the answer be lost.
            let _ = (stream.try_write(HTTP), stream.try_read(&mut unread));
            Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP where TLS is spoken"))
        }
        (1, MQTT_CONNECT) => Err(io::Error::new(io::ErrorKind::InvalidData, "plain MQTT where TLS is spoken")),
        _ => Ok(()),
    }
}
