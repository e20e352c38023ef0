//! Listening sockets, and the loop that takes connections from them and awaits nothing of theirs.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::sync::watch;
use tracing::warn;

use super::config::{EdgeLimits, ListenerConfig};
use super::handshake::{self, Newcomer, SharedSteps, Steps};
use super::{Drain, EdgeCounters, Inherited, Shown, shedding};
use crate::connection::admission::Entry;
use crate::connection::{Handshake, Place};
use crate::fault::Fault;
use crate::load::Load;

/// A socket that listens already; connections wait in its backlog until [`accept`] runs.
#[derive(Debug)]
pub(crate) struct Listener {
    config: ListenerConfig,
    socket: TcpListener,
    local_address: SocketAddr,
}

impl Listener {
    /// Takes the address of the listener that stands at `index` of the configuration, or the socket that has it already.
    ///
    /// # Errors
    /// The address cannot be had.
    pub(crate) fn bind(
        config: &ListenerConfig,
        index: usize,
        limits: &EdgeLimits,
        inherited: &Inherited,
    ) -> Result<Self, Fault> {
        let listen = || -> io::Result<(TcpListener, SocketAddr)> {
            if let Some(socket) = inherited.take(config.address) {
                let local_address = socket.local_addr()?;
                return Ok((socket, local_address));
            }
            let socket = Socket::new(Domain::for_address(config.address), Type::STREAM, Some(Protocol::TCP))?;
            // A restart must not wait for the last connections of the process before to time out.
            socket.set_reuse_address(true)?;
            if config.address.is_ipv6() {
                // `[::]` means IPv6, as `0.0.0.0` means IPv4, whatever the system's default is.
                socket.set_only_v6(true)?;
            }
            socket.set_nonblocking(true)?;
            socket.bind(&config.address.into())?;
            socket.listen(i32::try_from(limits.backlog).unwrap_or(i32::MAX))?;
            let socket = TcpListener::from(socket);
            let local_address = socket.local_addr()?;
            Ok((socket, local_address))
        };
        let listen = || {
            let (socket, local_address) = listen()?;
            keep_alive(&socket, limits.tcp_keepalive)?;
            io::Result::Ok((socket, local_address))
        };
        match listen() {
            Ok((socket, local_address)) => Ok(Self { config: config.clone(), socket, local_address }),
            Err(error) => {
                let found = format!("{} cannot be listened on: {error}", config.url);
                Err(Fault::new(
                    "",
                    format!("listen[{index}]"),
                    found,
                    "an address of this machine that is free and allowed",
                ))
            }
        }
    }

    pub(crate) fn config(&self) -> &ListenerConfig {
        &self.config
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    pub(crate) fn socket(&self) -> &TcpListener {
        &self.socket
    }
}

/// Has the system ask after peers that have been silent for so long; what is accepted takes the setting over. Zero: nobody asks.
///
/// A peer that is gone without a word is found so even where MQTT has no Keep Alive, and costs those who are there a packet now and then.
/// TCP_USER_TIMEOUT would find it sooner, but cuts whoever is there and does not read as well.
fn keep_alive(socket: &TcpListener, after: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if after.is_zero() {
        return socket.set_keepalive(false);
    }
    let interval = (after / KEEP_ALIVE_PROBES).max(Duration::from_secs(1));
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after).with_interval(interval))
}

/// Linux asks nine times (net.ipv4.tcp_keepalive_probes) before it gives a peer up; that takes about as long again.
const KEEP_ALIVE_PROBES: u32 = 9;

/// Accepts until `draining`, each connection on a task of its own.
///
/// In order of priority: 1. stop when told to; 2. take a connection, or close it under too much load; 3. find it a place, for its address and in all, or close it;
/// 4. find it a seat, waiting no longer than the oldest handshake is protected.
pub(crate) async fn accept(
    listener: Listener,
    shown: Shown,
    steps: SharedSteps,
    load: Arc<Load>,
    mut draining: watch::Receiver<Drain>,
) {
    let Listener { config, socket, .. } = listener;
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(url = config.url, %error, "Listener lost"),
    };
    let for_tasks = draining.clone();
    let url: Arc<str> = config.url.as_str().into();
    let mut pause = PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(Drain::is_on) => return,
            accepted = socket.accept() => accepted,
        };
        let steps = steps.load_full();
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                EdgeCounters::add(&steps.counters.accept_errors);
                warn!(url = config.url, %error, pause_ms = pause.as_millis(), "Cannot accept connections");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                continue;
            }
        };
        pause = PAUSE_MIN;
        EdgeCounters::add(&steps.counters.connections_accepted);
        if let Some(overload) = load.overload() {
            shedding::refuse(&steps, peer.ip(), overload);
            handshake::reset(&stream);
            continue;
        }
        let Ok(admitted) = steps.admit(peer.ip()) else {
            handshake::reset(&stream);
            continue;
        };
        let Some(place) = take_place(&steps, peer) else { continue };
        let seat = tokio::select! {
            biased;
            // First: who was accepted is not to be lost to a drain where there is a seat.
            seat = take_seat(&steps, peer.ip()) => seat,
            _ = draining.wait_for(Drain::is_on) => return,
        };
        // Frames are written whole; waiting for more of them is not TCP's business.
        if stream.set_nodelay(true).is_err() {
            continue; // gone already
        }
        let (place, seat) = handshake::hold(admitted, place, seat);
        let newcomer = Newcomer {
            stream,
            peer,
            place,
            handshake: seat,
            listener: Arc::clone(&url),
            scheme: config.scheme,
            proxy_protocol: config.proxy_protocol,
            takes_mqtt: config.takes_mqtt,
            shown: shown.clone(),
        };
        tokio::spawn(handshake::run(newcomer, steps, for_tasks.clone()));
    }
}

/// After `accept` failed for want of descriptors or memory: long enough to breathe, short enough to be back soon. Doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Errors of the connection that was taken, not of taking (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

pub(crate) fn take_place(steps: &Steps, peer: SocketAddr) -> Option<Place> {
    let max = steps.limits.connections_max as u64;
    let place = Place::take(&steps.counters.connections_open, max);
    if place.is_none() {
        EdgeCounters::add(&steps.counters.connections_refused_full);
        steps.refusals.log(peer.ip(), "full", &format_args!("connections_max {max}"));
    }
    place
}

/// A seat among those who shake hands, as soon as there is one.
pub(crate) async fn take_seat(steps: &Steps, ip: IpAddr) -> Handshake {
    loop {
        match steps.handshakes.enter(Instant::now(), ip) {
            Entry::Seated { handshake, shed } => {
                if shed {
                    EdgeCounters::add(&steps.counters.handshakes_shed);
                }
                return handshake;
            }
            Entry::Full { retry_after } => {
                let _ = tokio::time::timeout(retry_after, steps.handshakes.left()).await;
            }
        }
    }
}
