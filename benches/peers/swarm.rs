//! All clients of one measurement on one thread and one epoll.
//!
//! Not here: what is sent when (`row`). The swarm connects, moves bytes, and tells each row what arrived.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use mio::{Events, Interest, Poll, Token, Waker, net::TcpStream};
use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};

use crate::connection::{Connection, Event, Plan, Scratch, Transport};

/// What Linux says of a connection that is under way.
const EINPROGRESS: i32 = 115;

const WAKE: Token = Token(usize::MAX);

/// Handshakes under way at once while a row connects its clients.
const CONNECTING_MAX: usize = 64;

/// How long the server may be silent while clients still wait for something.
pub(crate) const STALL: Duration = Duration::from_secs(15);

pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    scratch: Scratch,
    tls: Arc<ClientConfig>,
    slots: Vec<Option<Connection>>,
    to_flush: Vec<usize>,
    started: usize,
    /// Those whom the server has closed, where that is no error.
    lost: Option<Vec<usize>>,
}

/// Connections that leave one address of the generator before the next takes its turn: a port of one that is gone stays taken for a
/// minute, and there are 28,000 of them.
const CONNECTIONS_PER_SOURCE: usize = 10_000;

/// Where the clients of one row connect.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    /// Request target of the upgrade.
    pub(crate) path: &'static str,
}

impl Swarm {
    pub(crate) fn new(tls: Arc<ClientConfig>) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(4096),
            scratch: Scratch::new(),
            tls,
            slots: Vec::new(),
            to_flush: Vec::new(),
            started: 0,
            lost: None,
        })
    }

    /// Connects one client per plan, [`CONNECTING_MAX`] at once, and returns when all are ready. The clients are numbered in the
    /// order of `plans`, from the number of those there are already.
    pub(crate) fn connect_all(&mut self, target: &Target, plans: Vec<Plan>) -> anyhow::Result<()> {
        let wanted = plans.len();
        let mut ready = 0;
        let mut started = 0;
        let mut plans = plans.into_iter();
        let mut progress = Instant::now();
        while ready < wanted {
            while started < ready + CONNECTING_MAX
                && let Some(plan) = plans.next()
            {
                self.start(target, plan)?;
                started += 1;
            }
            let before = ready;
            self.round(Some(Duration::from_millis(100)), |_, event| {
                if let Event::Ready = event {
                    ready += 1;
                }
            })
            .with_context(|| format!("after {ready} of {wanted} clients were connected"))?;
            if ready > before {
                progress = Instant::now();
            }
            ensure!(progress.elapsed() < STALL, "only {ready} of {wanted} clients could connect");
        }
        Ok(())
    }

    /// Starts one client and returns its number.
    pub(crate) fn start(&mut self, target: &Target, plan: Plan) -> anyhow::Result<usize> {
        let number = self.slots.len();
        self.slots.push(None);
        self.start_at(number, target, plan)?;
        Ok(number)
    }

    /// Starts a client in place of number `number`, whose connection, if there is one, is closed.
    pub(crate) fn start_at(&mut self, number: usize, target: &Target, plan: Plan) -> anyhow::Result<()> {
        self.slots[number] = None;
        let stream = self.connect(target.address)?;
        let mut connection = Connection::start(stream, target.address, target.transport, target.path, &self.tls, plan)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut connection.stream, Token(number), interest)?;
        self.slots[number] = Some(connection);
        Ok(())
    }

    /// Starts to connect, from 127.0.0.1 and, when many have left from there, from the next loopback address.
    fn connect(&mut self, to: SocketAddr) -> io::Result<TcpStream> {
        let source = self.started / CONNECTIONS_PER_SOURCE;
        self.started += 1;
        if source == 0 {
            return TcpStream::connect(to);
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        let last = u8::try_from(1 + source % 250).unwrap_or(1);
        socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into())?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
            _ => Ok(TcpStream::from_std(socket.into())),
        }
    }

    /// Queues a PUBLISH of client `number`; it leaves with the next [`Self::flush`].
    pub(crate) fn publish(&mut self, number: usize, topic: &str, qos: u8, payload: &[u8]) {
        self.queue(number, |connection| connection.publish(topic, qos, payload));
    }

    /// Queues a SUBSCRIBE of client `number`, answered by [`Event::Subscribed`].
    pub(crate) fn subscribe(&mut self, number: usize, filter: &str, qos: u8) {
        self.queue(number, |connection| connection.subscribe(filter, qos));
    }

    fn queue(&mut self, number: usize, what: impl FnOnce(&mut Connection)) {
        if let Some(connection) = &mut self.slots[number] {
            what(connection);
            if self.to_flush.last() != Some(&number) {
                self.to_flush.push(number);
            }
        }
    }

    /// Says DISCONNECT, closes the TLS session and the socket.
    pub(crate) fn disconnect(&mut self, number: usize) {
        if let Some(mut connection) = self.slots[number].take() {
            connection.disconnect();
            // What the server makes of the farewell is not the bench's concern.
            let _ = connection.flush();
        }
    }

    /// From here on it is no error that the server closes a client, but something that [`Self::lost`] tells.
    pub(crate) fn bear_losses(&mut self) {
        self.lost = Some(Vec::new());
    }

    /// Those whom the server has closed since this was last asked.
    pub(crate) fn lost(&mut self) -> Vec<usize> {
        self.lost.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Closes the socket without a word.
    pub(crate) fn cut(&mut self, number: usize) {
        self.slots[number] = None;
    }

    pub(crate) fn disconnect_all(&mut self) {
        for number in 0..self.slots.len() {
            self.disconnect(number);
        }
        self.slots.clear();
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        for number in self.to_flush.drain(..) {
            if let Some(connection) = &mut self.slots[number] {
                connection.flush()?;
            }
        }
        Ok(())
    }

    /// Waits for sockets once and handles all that are ready. `on` hears the client's number with each event.
    pub(crate) fn round(
        &mut self,
        timeout: Option<Duration>,
        mut on: impl FnMut(usize, Event<'_>),
    ) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            if event.token() == WAKE {
                continue;
            }
            let number = event.token().0;
            let Some(connection) = &mut self.slots[number] else { continue };
            if event.is_error()
                && let Some(error) = connection.stream.take_error()?
            {
                match &mut self.lost {
                    Some(lost) => lost.push(number),
                    None => bail!("client {number}: {error}"),
                }
                self.slots[number] = None;
                continue;
            }
            let outcome = match event.is_readable() {
                true => connection.read(&mut self.scratch, event.is_read_closed(), |seen| on(number, seen)),
                false => Ok(()),
            };
            if let Err(error) = outcome.and_then(|()| connection.flush()) {
                match (&mut self.lost, error.kind()) {
                    (Some(lost), _) => lost.push(number),
                    (None, io::ErrorKind::UnexpectedEof) => bail!("the server closed client {number}"),
                    (None, _) => bail!("client {number}: {error}"),
                }
                self.slots[number] = None;
            }
        }
        Ok(())
    }

    /// A thread that ends a waiting [`Self::round`] every `interval`, finer than epoll's milliseconds, until dropped.
    pub(crate) fn metronome(&self, interval: Duration) -> io::Result<Metronome> {
        let waker = Waker::new(self.poll.registry(), WAKE)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                due += interval;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if waker.wake().is_err() {
                    return;
                }
            }
        });
        Ok(Metronome { stop, thread: Some(thread) })
    }
}

pub(crate) struct Metronome {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
