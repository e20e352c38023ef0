//! One connection as every thread sees it: its outbox, the TLS state beside it, and the way to its socket.
//!
//! Whoever delivers to this client, be it another client's task, appends to the outbox and flushes it from where it stands, under
//! this link's short lock. The connection's own task is woken for two things only: a socket that takes no more (it waits until the
//! socket does) and a request to close.
//!
//! ```text
//!   Opening ──CONNACK──▶ Open ──goodbye──▶ Closing: takes nothing more, sends what waits
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::accepted::{Protocol, Stream, TlsStream};
use super::config::Revoked;
use super::core::Dismissal;
use super::gather;
use super::outbox::Outbox;
use super::pacemaker::Life;
use super::transport::{self, Received, Sent, Socket};
use super::wire::{NotAppended, Wire};
use super::{ConnectionCounters, Shared};
use crate::dialect::websocket::{self, CloseCode};
use crate::engine::message::{Delivered, Delivery, Outlet, Peer};
use crate::mqtt::{PacketId, ReasonCode, TopicFilter, Version};

/// See the module.
pub(super) struct Link {
    shared: Arc<Shared>,
    socket: Socket,
    is_websocket: bool,
    peer: SocketAddr,
    since: Instant,
    pub(super) life: Life,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    wire: Wire,
    outbox: Outbox,
    /// What of the outbox is booked: nothing as long as the client reads.
    booked: usize,
    tls: Option<Box<TlsStream>>,
    /// Of the connection's own task.
    waker: Option<Waker>,
    noted: Noted,
    /// Somebody else has been delivering just before: who flushes had better wait for more of them.
    is_busy: bool,
    /// Whose deliveries were the last to begin to wait for a flush, as [`gather::running`] says.
    noted_by: u32,
    /// When deliveries last began to wait for a flush: microseconds of the link's age, modulo 2^32.
    noted_at_us: u32,
    /// The socket took no more; the task goes on when it is writable.
    is_blocked: bool,
    /// Something found the outbox full: the session is pumped when it is empty again.
    is_starved: bool,
    /// The socket failed: there is nobody to talk to.
    is_broken: bool,
    dismissal: Option<Dismissal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Closing,
}

/// Who sees to what waits in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    Not,
    /// Somebody at the end of their round.
    InRound,
    /// [`super::gather`], a little later.
    Late,
}

/// Deliveries that begin to wait this soon after another's did are of many publishers, of whom the next is not far.
const BUSY_US: u32 = 40;

/// The same on a thread that has a backlog: as long as one may take to come round to the same receiver.
const CROWDED_BUSY_US: u32 = 2000;

/// What has gathered up to here leaves at once, however busy it is: a full TLS record.
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// Answers that may wait beyond the limit of deliveries before the client is no longer read.
const ANSWERS_BYTES_MAX: usize = 64 * 1024;

/// What the connection's task must see to.
#[derive(Clone, Debug, Default)]
pub(super) struct Attention {
    /// The socket is gone.
    pub(super) is_broken: bool,
    /// Somebody wants the connection closed.
    pub(super) dismissal: Option<Dismissal>,
    /// The outbox was full and is empty: the session may have more.
    pub(super) is_hungry: bool,
    /// Nothing waits to be sent.
    pub(super) is_drained: bool,
    /// So much waits that nothing more is to be read: what the client sends would only make more answers wait.
    pub(super) is_clogged: bool,
}

impl Link {
    /// `is_known`: the client needs to say nothing, as the request that opened the WebSocket or the TLS handshake tells who it is.
    pub(super) fn new(
        shared: Arc<Shared>,
        stream: Stream,
        peer: SocketAddr,
        protocol: Protocol,
        is_known: bool,
        now: Instant,
    ) -> Self {
        let (socket, tls) = match stream {
            Stream::Plain(socket) => (Socket::Own(socket), None),
            Stream::Tls(socket, tls) => (Socket::Own(socket), Some(tls)),
            Stream::Multiplexed(stream) => (Socket::shared(stream), None),
        };
        let now_ms = shared.pacemaker.millis(now);
        let config = &shared.environment.config;
        let patience = match protocol {
            // Its client is let in by whatever it says first, and may well have nothing to say for a while.
            Protocol::JsonWebSocket if is_known || shared.authenticator.load().admits_anonymous() => {
                config.idle_timeout
            }
            _ => config.connect_timeout,
        };
        Self {
            life: Life::new(now_ms, patience),
            socket,
            is_websocket: protocol.is_websocket(),
            peer,
            since: now,
            state: Mutex::new(State {
                phase: Phase::Opening,
                // Until a CONNECT says otherwise, only a refusal is ever spelled.
                wire: Wire::new(protocol, Version::V4),
                outbox: Outbox::default(),
                booked: 0,
                tls,
                waker: None,
                noted: Noted::Not,
                is_busy: false,
                noted_by: 0,
                noted_at_us: 0,
                is_blocked: false,
                is_starved: false,
                is_broken: false,
                dismissal: None,
            }),
            shared,
        }
    }

    /// Appends what `write` appends to the outbox, and notes the need for a flush; see [`Delivered`].
    pub(super) fn append(&self, write: impl FnOnce(&Wire, &mut Outbox)) -> Delivered {
        let mut state = self.state.lock();
        if state.phase == Phase::Closing {
            return Delivered::Closed;
        }
        let state = &mut *state;
        write(&state.wire, &mut state.outbox);
        state.note()
    }

    /// From here packets are spelled as `wire` does, but deliveries still wait.
    pub(super) fn set_wire(&self, wire: Wire) {
        self.state.lock().wire = wire;
    }

    /// From here the outbox takes deliveries, and the client may be silent for `silence_max`.
    pub(super) fn open(&self, now_ms: u64, silence_max: Option<Duration>) {
        self.life.set_silence_max(now_ms, silence_max);
        self.state.lock().phase = Phase::Open;
    }

    /// Whether CONNACK has not been given yet.
    pub(super) fn is_opening(&self) -> bool {
        self.state.lock().phase == Phase::Opening
    }

    /// Appends the goodbye of a WebSocket, if it is one, and takes nothing more. What waits must be gone within `timeout`.
    pub(super) fn begin_closing(&self, code: Option<CloseCode>, now_ms: u64, timeout: Duration) -> Delivered {
        self.life.set_silence_max(now_ms, Some(timeout));
        let mut state = self.state.lock();
        state.phase = Phase::Closing;
        if self.is_websocket {
            let reason = state.dismissal.as_ref().map(Dismissal::close_reason).unwrap_or_default();
            state.outbox.append_with(128, |out| match code {
                Some(code) => websocket::write_close(out, code, &reason),
                None => websocket::write_close_reply(out, None),
            });
        }
        state.note()
    }

    /// Says goodbye as TLS does and closes the sending half. To be called once everything is sent.
    pub(super) fn shut_down(&self) {
        let mut state = self.state.lock();
        if let Some(tls) = &mut state.tls {
            tls.send_close_notify();
            // If the socket does not take even this, the peer learns it from the end of the stream.
            let _ = transport::send(&self.socket, Some(tls), None, &mut Outbox::default());
        }
        transport::shut_down(&self.socket);
    }

    /// Sends what waits, as far as the socket takes it, and tells what the task must see to. Registers `cx` for all of it.
    pub(super) fn attend(&self, cx: &mut Context<'_>) -> Attention {
        let mut state = self.state.lock();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        while state.is_blocked && !state.is_broken {
            match self.socket.poll_write_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {
                    state.is_blocked = false;
                    self.send(&mut state);
                    if self.socket.is_shared() {
                        break; // it has tried, and is told when to try again
                    }
                }
                Poll::Ready(Err(_)) => state.is_broken = true,
            }
        }
        let is_drained = state.outbox.is_empty() && !state.is_blocked;
        let is_hungry = is_drained && std::mem::take(&mut state.is_starved);
        Attention {
            is_broken: state.is_broken,
            dismissal: state.dismissal.clone(),
            is_hungry,
            is_drained,
            is_clogged: state.outbox.len() > self.clogged_bytes(),
        }
    }

    /// Deliveries stop at a limit of their own; what goes beyond are answers to a client that sends and does not read.
    fn clogged_bytes(&self) -> usize {
        let config = &self.shared.environment.config;
        config.outbox_bytes_max.max(config.packet_bytes_max as usize) + ANSWERS_BYTES_MAX
    }

    /// Sends what waits, from whichever task this is called.
    pub(super) fn flush_now(&self) {
        self.flush_locked(&mut self.state.lock());
    }

    fn flush_locked(&self, state: &mut State) {
        state.noted = Noted::Not;
        state.is_busy = false;
        if state.is_blocked || state.is_broken {
            return self.book(state);
        }
        self.send(state);
        // Whoever closes waits for the last of it to be sent, by whomever.
        if state.is_blocked || state.is_broken || state.is_starved || state.phase == Phase::Closing {
            state.wake();
        }
    }

    fn send(&self, state: &mut State) {
        let waiting = state.outbox.len();
        match transport::send(&self.socket, state.tls.as_deref_mut(), state.waker.as_ref(), &mut state.outbox) {
            Ok(sent) => state.is_blocked = sent == Sent::Blocked,
            Err(_) => {
                state.is_broken = true;
                state.outbox.clear();
                return self.book(state);
            }
        }
        self.book(state);
        let sent = waiting - state.outbox.len();
        self.shared.environment.counters.sent_bytes.fetch_add(sent as u64, Ordering::Relaxed);
    }

    /// Books what waits after a flush.
    fn book(&self, state: &mut State) {
        self.shared.environment.engine.memory().settle(&mut state.booked, state.outbox.len());
    }

    /// How much may wait for this client.
    fn outbox_limit(&self, state: &State) -> usize {
        let environment = &self.shared.environment;
        let limit = environment.config.outbox_bytes_max;
        // Who takes what it is sent has nothing to give.
        if state.is_blocked { environment.engine.memory().outbox_limit(limit) } else { limit }
    }

    /// Bytes that wait for a client that does not take them.
    pub(super) fn unread_bytes(&self) -> usize {
        self.state.lock().unread_bytes()
    }

    /// Cuts the connection for the memory that it holds. Its client does not read, and would not read a goodbye.
    pub(super) fn cut_for_memory(&self) {
        let ip = self.peer.ip();
        tracing::warn!(%ip, unread_bytes = self.unread_bytes(), reason = "memory", "reader_cut");
        ConnectionCounters::count(&self.shared.environment.counters.readers_cut);
        self.cut();
    }

    /// Reads what the socket has into `wire_bytes`, and what it says in plain into `plaintext`, which is empty before.
    ///
    /// Without TLS the plaintext is read in place of the wire bytes.
    pub(super) fn receive(
        &self,
        cx: &mut Context<'_>,
        wire_bytes: &mut [u8],
        plaintext: &mut Vec<u8>,
    ) -> io::Result<Received> {
        let received = transport::receive(&self.socket, cx, wire_bytes)?;
        let Received::Bytes(count) = received else {
            return Ok(received);
        };
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(tls) = &mut state.tls else {
            plaintext.extend_from_slice(&wire_bytes[..count]);
            return Ok(received);
        };
        let decrypted = transport::decrypt(tls, &wire_bytes[..count], plaintext);
        if tls.wants_write() {
            // An alert, a key update: what TLS has to say by itself.
            self.send(state);
        }
        match decrypted? {
            true if plaintext.is_empty() => Ok(Received::End),
            _ => Ok(received),
        }
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    /// Has the task pump the session once the outbox is empty, in a turn of its own.
    pub(super) fn starve(&self) {
        let mut state = self.state.lock();
        state.is_starved = true;
        state.wake();
    }

    /// Has the task polled once more.
    pub(super) fn nudge(&self) {
        self.state.lock().wake();
    }

    /// Asks the task to close; of several requests the first holds.
    pub(super) fn dismiss(&self, dismissal: impl Into<Dismissal>) {
        let mut state = self.state.lock();
        state.dismissal.get_or_insert(dismissal.into());
        state.wake();
    }

    /// Cuts the connection: the task ends without another word.
    fn cut(&self) {
        let mut state = self.state.lock();
        state.is_broken = true;
        state.wake();
    }

    /// Acts on what the clock says; returns when to look again.
    pub(super) fn look_after(&self, now_ms: u64) -> Option<u64> {
        let phase = self.state.lock().phase;
        if self.deadline_ms() <= now_ms {
            match phase {
                Phase::Opening => self.dismiss(ReasonCode::MaximumConnectTime),
                Phase::Open => self.dismiss(ReasonCode::KeepAliveTimeout),
                Phase::Closing => {
                    self.cut();
                    return None;
                }
            }
            // Whoever was dismissed closes next, and closing has its own limit.
            return Some(now_ms.saturating_add(1000));
        }
        if phase == Phase::Open && self.expiry_due_ms() <= now_ms && !self.look_after_expiry(now_ms) {
            return Some(now_ms.saturating_add(1000));
        }
        if self.is_pinged() && self.ping_deadline_ms() <= now_ms {
            ConnectionCounters::count(&self.shared.environment.counters.pings_unanswered);
            self.dismiss(ReasonCode::KeepAliveTimeout);
            return Some(now_ms.saturating_add(1000));
        }
        if self.is_pinged() && self.ping_due_ms() <= now_ms {
            self.life.pinged(now_ms);
            let _ = self.append(|_, outbox| outbox.append_with(2, |out| websocket::write_ping(out, b"")));
            self.flush_now();
        }
        Some(self.next_look_ms(now_ms))
    }

    /// Warns a client whose token expires soon, and ends its connection some time after it has; whether that goes on.
    fn look_after_expiry(&self, now_ms: u64) -> bool {
        let environment = &self.shared.environment;
        let Some(expires_ms) = self.life.expires_ms() else { return true };
        if self.life.warn() {
            ConnectionCounters::count(&environment.counters.tokens_warned);
            let left = Duration::from_millis(expires_ms.saturating_sub(now_ms));
            let _ = self.append(|wire, outbox| wire.append_expiring(left, outbox));
            self.flush_now();
        }
        if self.expiry_due_ms() > now_ms {
            return true;
        }
        ConnectionCounters::count(&environment.counters.tokens_expired);
        self.dismiss(ReasonCode::MaximumConnectTime);
        false
    }

    /// When the clock will have something to say next, if nothing happens.
    pub(super) fn next_look_ms(&self, now_ms: u64) -> u64 {
        // A client that may be silent for ever is looked at now and then all the same, as it may leave a packet unfinished.
        let at_latest = now_ms.saturating_add(self.shared.environment.config.idle_timeout.as_millis() as u64);
        let next = self.deadline_ms().min(self.expiry_due_ms().max(now_ms)).min(at_latest);
        if self.is_pinged() { next.min(self.ping_due_ms().min(self.ping_deadline_ms()).max(now_ms)) } else { next }
    }

    fn is_pinged(&self) -> bool {
        self.is_websocket && self.state.lock().phase == Phase::Open
    }

    fn ping_due_ms(&self) -> u64 {
        self.life.ping_due_ms(self.shared.environment.config.ping_interval)
    }

    fn ping_deadline_ms(&self) -> u64 {
        self.life.ping_deadline_ms(self.shared.environment.config.ping_timeout)
    }

    fn expiry_due_ms(&self) -> u64 {
        let config = &self.shared.environment.config;
        self.life.expiry_due_ms(config.token_warning, config.token_grace)
    }

    fn deadline_ms(&self) -> u64 {
        self.life.deadline_ms(self.shared.environment.config.idle_timeout)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let booked = self.state.get_mut().booked;
        self.shared.environment.engine.memory().rebook(booked, 0);
    }
}

impl State {
    /// For what the connection itself has to say, which waits for nobody and takes along what has gathered.
    fn note(&mut self) -> Delivered {
        let noted = std::mem::replace(&mut self.noted, Noted::InRound);
        Delivered::Appended { first: noted != Noted::InRound }
    }

    /// As [`Self::note`], for what another connection has to say at `age_us`.
    fn note_delivery(&mut self, age_us: u32) -> Delivered {
        if self.noted == Noted::Not {
            let by = gather::running();
            let since_us = age_us.wrapping_sub(self.noted_at_us);
            let busy_us = if gather::is_crowded() { CROWDED_BUSY_US } else { BUSY_US };
            // A lone publisher gains nothing by waiting: nobody else is to come.
            self.is_busy = by != self.noted_by && since_us < busy_us;
            (self.noted_by, self.noted_at_us) = (by, age_us);
        }
        match self.noted {
            Noted::Late if self.outbox.len() < GATHERED_BYTES_MAX => Delivered::Appended { first: false },
            _ => self.note(),
        }
    }

    fn unread_bytes(&self) -> usize {
        if self.is_blocked && !self.is_broken { self.outbox.len() } else { 0 }
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Outlet for Link {
    fn deliver(&self, now: Instant, delivery: &Delivery<'_>) -> Delivered {
        let environment = &self.shared.environment;
        let mut state = self.state.lock();
        let state = &mut *state;
        match state.phase {
            Phase::Opening => return Delivered::Full,
            Phase::Closing => return Delivered::Closed,
            Phase::Open => {}
        }
        let limit = self.outbox_limit(state);
        match state.wire.append_publish(now, delivery, &mut state.outbox, limit) {
            Ok(appended) => {
                if appended.is_alias_remapped {
                    ConnectionCounters::count(&environment.counters.topic_aliases_remapped);
                }
                state.note_delivery(now.saturating_duration_since(self.since).as_micros() as u32)
            }
            Err(NotAppended::NoRoom) => {
                ConnectionCounters::count(&environment.counters.outbox_full);
                state.is_starved = true;
                Delivered::Full
            }
            Err(NotAppended::TooLarge) => {
                ConnectionCounters::count(&environment.counters.too_large);
                Delivered::TooLarge
            }
        }
    }

    fn release(&self, packet_id: PacketId) -> Delivered {
        let mut has_release = true;
        let delivered = self.append(|wire, outbox| has_release = wire.append_release(packet_id, outbox));
        if !has_release {
            return Delivered::TooLarge;
        }
        ConnectionCounters::count(&self.shared.environment.counters.answers_sent);
        delivered
    }

    fn revoked(&self, filter: &TopicFilter) -> Delivered {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.phase == Phase::Closing {
            return Delivered::Closed;
        }
        if state.wire.append_revoked(filter, &mut state.outbox) {
            return state.note();
        }
        // MQTT 5.0 has no packet for it but DISCONNECT; 3.1 and 3.1.1 have none at all.
        if state.wire.has_disconnect() && self.shared.environment.config.revoked == Revoked::Disconnect {
            state.dismissal.get_or_insert_with(|| Dismissal::for_revoked(filter));
            state.wake();
        }
        Delivered::Closed
    }

    fn peer(&self) -> Option<Peer> {
        let state = self.state.lock();
        let (dialect, version) = state.wire.dialect();
        Some(Peer { address: self.peer, dialect, version, since: self.since, unread_bytes: state.unread_bytes() })
    }

    fn close(&self, reason: ReasonCode) {
        self.dismiss(reason);
    }

    fn close_as_too_slow(&self) {
        self.dismiss(Dismissal::for_slowness());
    }

    fn flush(&self) {
        self.flush_now();
    }

    fn flush_unless_busy(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_busy && state.phase == Phase::Open && state.outbox.len() < GATHERED_BYTES_MAX {
            state.noted = Noted::Late;
            state.is_busy = false;
            return false;
        }
        self.flush_locked(&mut state);
        true
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("socket", &self.socket).finish_non_exhaustive()
    }
}
