//! The half of a connection's task that acts: it gives the core what came in and carries out what the core answers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::admission::{Handshake, Place};
use super::core::{Core, Manner, Output, Turn};
use super::gather;
use super::inbound::{Flow, Incoming, Speech};
use super::link::Link;
use super::links::LinkKey;
use super::logins::{Attempt, Whence};
use super::renewal::Renewal;
use super::wire::Wire;
use super::{Accepted, ConnectionCounters, Protocol, Shared};
use crate::auth::{Credentials, Principal, Proof, Proving, Refused, Step};
use crate::dialect::json::implicit_connect;
use crate::dialect::websocket::{self, CloseCode};
use crate::engine::message::{Outlet, Round};
use crate::mqtt::codec::DecodeError;
use crate::mqtt::{Packet, ReasonCode};

/// Deliveries that may gather before they are flushed in the middle of a round: bounds memory and delay under a burst.
const APPENDED_MAX: usize = 65_536;

/// As many deliveries to each receiver may gather all the same if there are thousands of them: their flush takes longer than that.
const APPENDED_EACH_MAX: usize = 16;

/// Bytes of payload up to which they may.
const APPENDED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Outlets that the publisher's own task flushes; further ones are left to other workers, in slices of this size.
const FLUSHED_INLINE_MAX: usize = 512;

/// See the module.
pub(super) struct Driver {
    shared: Arc<Shared>,
    /// In the register of links.
    key: LinkKey,
    link: Arc<Link>,
    core: Core,
    protocol: Protocol,
    phase: Phase,
    /// The client sends and does not read: it is not read either, until it does.
    is_clogged: bool,
    /// The client has used up its rate: it is not read before then.
    held_until: Option<Instant>,
    /// Whether a ping or pong of the WebSocket is a sign of life.
    heeds_pongs: bool,
    /// Until CONNECT is accepted, and while a token is judged later on. An idle connection has none.
    errand: Option<Box<Errand>>,
    _place: Place,
}

/// What a connection has beside the rest at times.
enum Errand {
    Opening(Opening),
    Renewal(Renewal),
}

/// What a connection has beside the rest until it is admitted.
struct Opening {
    /// Completes when this connection has to make room for others.
    handshake: Handshake,
    early: Vec<u8>,
    whence: Whence,
    /// It goes on to its end even where the connection ends before: a guess is counted and paid for, whoever waits for its answer.
    authentication: Option<JoinHandle<Looked>>,
}

/// What comes of looking at who a client is.
enum Looked {
    /// At its credentials.
    Credentials(Result<Principal, Refused>),
    /// At the last step of an exchange.
    Proof(Result<Step, Refused>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// The goodbye is said; the outbox is being sent.
    Draining,
    /// All is sent; what the peer still says is read and dropped until it closes, so that nothing of ours is lost to a reset.
    Lingering,
}

/// What gathers in a round and is gone at its end; lent by the thread.
#[derive(Debug, Default)]
pub(super) struct Work {
    round: Round,
    outputs: VecDeque<Output>,
    /// Something whole came in from a client that is known.
    is_sign_of_life: bool,
    tally: Tally,
}

impl Work {
    /// Whether what has gathered is to be flushed before more does.
    fn is_full(&self) -> bool {
        let appended = self.round.appended();
        if appended <= APPENDED_MAX {
            return false;
        }
        let receivers = self.round.len();
        // Each of them has no more than all that was published since the last flush.
        let bytes = self.tally.publish_bytes_received.saturating_mul(receivers as u64);
        appended > receivers.saturating_mul(APPENDED_EACH_MAX) || bytes > APPENDED_BYTES_MAX
    }
}

/// Counts of one round, written to shared memory once.
#[derive(Debug, Default)]
struct Tally {
    received_bytes: u64,
    packets_received: u64,
    publishes_received: u64,
    publish_bytes_received: u64,
    answers_sent: u64,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, accepted: Accepted, now: Instant) -> Self {
        let Accepted {
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
        } = accepted;
        let whence = Whence { ip: peer.ip(), listener, is_exempt };
        let is_known = token.is_some() || (certificate.is_some() && shared.authenticator.load().takes_certificates());
        let link = Arc::new(Link::new(Arc::clone(&shared), stream, peer, protocol, is_known, now));
        let manner = match protocol {
            Protocol::Mqtt | Protocol::MqttWebSocket => Manner::MQTT,
            Protocol::JsonWebSocket => Manner::JSON,
        };
        let key = shared.links.enter(&link);
        if let Some(standing) = standing {
            shared.certified.enter(key, &link, standing);
        }
        shared.pacemaker.watch(key, &link, link.next_look_ms(shared.pacemaker.millis(now)));
        ConnectionCounters::count(&shared.environment.counters.accepted);
        ConnectionCounters::count(&shared.environment.counters.open);
        Self {
            key,
            link,
            core: Core::new(manner, Some(peer.ip()))
                .with_identity(token, certificate)
                .with_duplicates(duplicate_client_id),
            protocol,
            phase: Phase::Serving,
            is_clogged: false,
            held_until: None,
            heeds_pongs: true,
            errand: Some(Box::new(Errand::Opening(Opening { handshake, early, whence, authentication: None }))),
            _place: place,
            shared,
        }
    }

    /// Where it is in the register of links.
    pub(super) fn key(&self) -> u32 {
        self.key
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn counters(&self) -> &ConnectionCounters {
        &self.shared.environment.counters
    }

    /// Whether the client is not to be read as it has used up its rate.
    pub(super) fn is_held(&self) -> bool {
        self.held_until.is_some() && self.phase == Phase::Serving
    }

    /// Whether reading goes on: what has waited is to be taken first.
    pub(super) fn release(&mut self, now: Instant) -> bool {
        let is_over = self.held_until.take_if(|until| *until <= now).is_some();
        if is_over {
            self.core.released(now);
        }
        is_over
    }

    /// Whether the socket is to be read: not while credentials are being looked at, nor while the client takes no answers.
    pub(super) fn reads(&self) -> bool {
        self.phase != Phase::Serving || (self.core.takes_packets() && !self.is_clogged)
    }

    /// Whether there is something beside what every connection has: see [`Self::poll_errand`].
    pub(super) fn has_errand(&self) -> bool {
        self.errand.is_some()
    }

    fn is_opening(&self) -> bool {
        matches!(self.errand.as_deref(), Some(Errand::Opening(_)))
    }

    fn opening(&mut self) -> Option<&mut Opening> {
        match self.errand.as_deref_mut() {
            Some(Errand::Opening(opening)) => Some(opening),
            _ => None,
        }
    }

    /// Ready when this connection has to make room for others.
    pub(super) fn poll_shed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.opening() {
            Some(opening) => Pin::new(&mut opening.handshake).poll(cx),
            None => Poll::Pending,
        }
    }

    pub(super) fn take_early(&mut self) -> Vec<u8> {
        self.opening().map(|opening| std::mem::take(&mut opening.early)).unwrap_or_default()
    }

    /// Ready when a check of credentials has come to an end before the client was let in, and the core knows.
    pub(super) fn poll_errand(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        speech: &mut Speech,
        work: &mut Work,
    ) -> Poll<()> {
        let Some(errand) = self.errand.as_deref_mut() else { return Poll::Pending };
        match errand {
            Errand::Opening(Opening { authentication: Some(looking), .. }) => {
                let Poll::Ready(looked) = Pin::new(looking).poll(cx) else { return Poll::Pending };
                if let Some(opening) = self.opening() {
                    opening.authentication = None;
                }
                // A check that died has not said yes.
                match looked.unwrap_or(Looked::Credentials(Err(Refused::Unavailable))) {
                    Looked::Credentials(outcome) => self.authenticated(now, outcome, work),
                    Looked::Proof(outcome) => self.proven(now, outcome, work),
                }
                self.carry_out(now, speech, work);
                self.flush(work);
                Poll::Ready(())
            }
            Errand::Opening(_) => Poll::Pending,
            Errand::Renewal(renewal) => {
                if let Poll::Ready(outcome) = renewal.poll(&self.shared, cx) {
                    self.errand = None;
                    self.proven(now, outcome, work);
                    self.carry_out(now, speech, work);
                    self.flush(work);
                }
                Poll::Pending
            }
        }
    }

    /// Priorities 1 and 2 of the task: what the link wants. Ready when the connection is over.
    pub(super) fn attend_link(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        speech: &mut Speech,
        work: &mut Work,
    ) -> Poll<()> {
        loop {
            let attention = self.link.attend(cx);
            self.is_clogged = attention.is_clogged;
            if attention.is_broken {
                return self.lose(now, work);
            }
            match (self.phase, attention.dismissal) {
                (Phase::Serving, Some(dismissal)) => {
                    self.with_core(work, |core, turn| core.dismiss(now, dismissal, turn));
                    self.carry_out(now, speech, work);
                    self.flush(work);
                }
                (Phase::Serving, None) if attention.is_hungry => {
                    self.with_core(work, |core, turn| core.pump(now, turn));
                    self.carry_out(now, speech, work);
                    self.flush(work);
                    return Poll::Pending;
                }
                (Phase::Draining, _) if attention.is_drained => {
                    self.link.shut_down();
                    self.phase = Phase::Lingering;
                    return Poll::Pending;
                }
                _ => return Poll::Pending,
            }
        }
    }

    /// The socket is gone, or the peer has said its last: leaves the session and ends the task.
    pub(super) fn lose(&mut self, now: Instant, work: &mut Work) -> Poll<()> {
        self.with_core(work, |core, turn| core.transport_lost(now, turn));
        self.flush(work);
        Poll::Ready(())
    }

    /// So many bytes came in.
    pub(super) fn count_received(bytes: usize, work: &mut Work) {
        work.tally.received_bytes += bytes as u64;
    }

    /// Acts on one thing that came in.
    pub(super) fn take(&mut self, now: Instant, speech: &mut Speech, incoming: Incoming<'_>, work: &mut Work) -> Flow {
        let was_opening = self.is_opening();
        // Until CONNECT nothing extends the time there is for it.
        let is_frame = matches!(incoming, Incoming::Ping(_) | Incoming::Pong);
        work.is_sign_of_life |= !was_opening && (!is_frame || self.heeds_pongs);
        match incoming {
            Incoming::Packet(packet) => {
                work.tally.note(&packet);
                self.take_packet(now, packet, speech, work);
            }
            Incoming::Mistake(mistake) => {
                ConnectionCounters::count(&self.counters().json_mistakes);
                tracing::debug!(%mistake, "message of the JSON dialect refused");
                let mut text = Vec::new();
                mistake.write(&mut text);
                self.append(work, |_, outbox| Wire::append_text(&text, outbox));
            }
            Incoming::Fault(fault) => self.take_fault(now, &fault, work),
            Incoming::FrameFault(fault) => {
                tracing::debug!(%fault, "WebSocket fault");
                ConnectionCounters::count(&self.counters().frame_faults);
                self.with_core(work, |core, turn| core.transport_lost(now, turn));
                self.begin_closing(now, Some(fault.close_code()), work);
            }
            Incoming::Ping(payload) => {
                self.append(work, |_, outbox| {
                    outbox.append_with(payload.len() + 2, |out| websocket::write_pong(out, payload))
                });
            }
            Incoming::Pong => {}
            Incoming::Close(code) => {
                self.with_core(work, |core, turn| core.transport_lost(now, turn));
                self.begin_closing(now, code, work);
            }
        }
        self.carry_out(now, speech, work);
        if work.is_full() {
            self.flush(work);
        }
        match self.phase {
            Phase::Serving if !self.core.takes_packets() => Flow::Pause,
            Phase::Serving if was_opening && !self.is_opening() => Flow::Admit,
            Phase::Serving if self.is_held() => Flow::Pause,
            Phase::Serving => Flow::Continue,
            Phase::Draining | Phase::Lingering => Flow::Stop,
        }
    }

    fn take_packet(&mut self, now: Instant, packet: Packet<'_>, speech: &mut Speech, work: &mut Work) {
        if self.core.awaits_connect() {
            match &packet {
                Packet::Connect(connect) => {
                    let aliases_max = self.shared.environment.config.topic_aliases_out_max;
                    self.link.set_wire(Wire::of_connect(self.protocol, connect, aliases_max));
                }
                // In the JSON dialect a client may begin with what it wants.
                _ if self.protocol == Protocol::JsonWebSocket => {
                    self.take_packet(now, implicit_connect(), speech, work);
                    self.carry_out(now, speech, work);
                    if !self.core.is_established() {
                        return;
                    }
                }
                _ => {}
            }
        }
        self.with_core(work, |core, turn| core.handle_packet(now, packet, turn));
    }

    fn take_fault(&mut self, now: Instant, fault: &DecodeError, work: &mut Work) {
        tracing::debug!(%fault, "packet refused");
        if let Some(version) = fault.connect_version() {
            self.link.set_wire(Wire::new(self.protocol, version));
        }
        self.with_core(work, |core, turn| core.handle_fault(now, fault, turn));
    }

    /// The end of a round: everybody who received something is flushed.
    pub(super) fn finish_round(&mut self, now: Instant, is_amid: bool, work: &mut Work) {
        if std::mem::take(&mut work.is_sign_of_life) {
            self.link.life.touch(self.shared.pacemaker.millis(now));
        }
        self.link.life.heard();
        self.link.life.set_amid(is_amid);
        self.flush(work);
    }

    fn with_core(&mut self, work: &mut Work, act: impl FnOnce(&mut Core, &mut Turn<'_>)) {
        let environment = &self.shared.environment;
        act(&mut self.core, &mut Turn { environment, round: &mut work.round, outputs: &mut work.outputs });
    }

    fn authenticated(&mut self, now: Instant, outcome: Result<Principal, Refused>, work: &mut Work) {
        let outlet = Arc::clone(&self.link) as Arc<dyn Outlet>;
        self.with_core(work, |core, turn| core.authenticated(now, outcome, &outlet, turn));
    }

    /// Carries out what the core has put out, in order.
    fn carry_out(&mut self, now: Instant, speech: &mut Speech, work: &mut Work) {
        while let Some(output) = work.outputs.pop_front() {
            match output {
                Output::Send(packet) => self.send(now, &packet, speech, work),
                Output::Authenticate(credentials) => self.authenticate(now, credentials, work),
                Output::Prove { proof, is_patient } => self.prove(now, proof, is_patient, work),
                Output::Established { keep_alive_s, expires_at } => self.establish(now, keep_alive_s, expires_at),
                Output::Renewed { expires_at } => self.renew(now, expires_at),
                Output::Revoked(filter) => {
                    self.append(work, |wire, outbox| {
                        wire.append_revoked(&filter, outbox);
                    });
                }
                Output::Pump => self.with_core(work, |core, turn| core.pump(now, turn)),
                Output::PumpLater => self.link.starve(),
                Output::Hold { until } => {
                    self.held_until = Some(until);
                    self.shared.pacemaker.hold(self.key, &self.link, until);
                }
                Output::Slowed => self.append(work, |wire, outbox| wire.append_slowed(outbox)),
                Output::Close(reason) => self.begin_closing(now, Some(close_code(reason)), work),
            }
        }
    }

    fn send(&mut self, now: Instant, packet: &Packet<'_>, speech: &mut Speech, work: &mut Work) {
        work.tally.answers_sent += 1;
        match speech {
            Speech::Json(dialect) => {
                let mut text = Vec::new();
                dialect.encode(packet, &mut text);
                if !text.is_empty() {
                    self.append(work, |_, outbox| Wire::append_text(&text, outbox));
                }
            }
            Speech::Mqtt(_) => {
                let mut appended = Ok(());
                self.append(work, |wire, outbox| appended = wire.append_mqtt(packet, outbox));
                if appended.is_err() {
                    self.with_core(work, |core, turn| core.answer_too_large(now, turn));
                }
            }
        }
    }

    fn append(&self, work: &mut Work, write: impl FnOnce(&Wire, &mut super::outbox::Outbox)) {
        let delivered = self.link.append(write);
        work.round.note_with(delivered, || Arc::clone(&self.link) as Arc<dyn Outlet>);
    }

    fn authenticate(&mut self, now: Instant, credentials: Credentials, work: &mut Work) {
        let whence = self.opening().map(|opening| opening.whence.clone());
        let attempt = whence.map(|whence| Attempt::with_credentials(whence, &credentials));
        if attempt.as_ref().is_some_and(|attempt| !self.shared.logins.admits(now, attempt)) {
            return self.with_core(work, |core, turn| core.turned_away(turn));
        }
        let shared = Arc::clone(&self.shared);
        let conclude = move |now: Instant, outcome: &Result<Principal, Refused>| {
            let outcome = outcome.as_ref().map_err(|refused| *refused);
            attempt.map_or(Duration::ZERO, |attempt| shared.logins.conclude(now, &attempt, outcome))
        };
        let authenticator = self.shared.authenticator.load_full();
        if let Some(outcome) = authenticator.authenticate_now(&credentials) {
            let delay = conclude(now, &outcome);
            if delay.is_zero() {
                return self.authenticated(now, outcome, work);
            }
            return self.answer_after(delay, Looked::Credentials(outcome));
        }
        self.wait_for(async move {
            let outcome = authenticator.authenticate(credentials).await;
            tokio::time::sleep(conclude(Instant::now(), &outcome)).await;
            Looked::Credentials(outcome)
        });
    }

    fn prove(&mut self, now: Instant, proof: Proof, is_patient: bool, work: &mut Work) {
        let Some(claimant) = self.core.claimant() else { return };
        // One question of a connection at a time, whatever it would be answered by.
        if let Some(Errand::Renewal(renewal)) = self.errand.as_deref_mut() {
            renewal.replace(proof, is_patient);
            return self.link.nudge();
        }
        // Whoever is let in already proves it for the time after; only those outside are guessing.
        let attempt = match self.errand.as_deref() {
            Some(Errand::Opening(opening)) => {
                let (username, client_id) = (claimant.username.map(Into::into), claimant.client_id.into());
                Some(Attempt::with_method(opening.whence.clone(), &proof.method, username, client_id))
            }
            _ => None,
        };
        if attempt.as_ref().is_some_and(|attempt| !self.shared.logins.admits(now, attempt)) {
            return self.with_core(work, |core, turn| core.turned_away(turn));
        }
        let shared = Arc::clone(&self.shared);
        let conclude = move |now: Instant, outcome: &Result<Step, Refused>| match (attempt, outcome) {
            (Some(attempt), Err(refused)) => shared.logins.conclude(now, &attempt, Err(*refused)),
            (Some(attempt), Ok(Step::Proven { principal, .. })) => shared.logins.conclude(now, &attempt, Ok(principal)),
            _ => Duration::ZERO,
        };
        let authenticator = self.shared.authenticator.load_full();
        match authenticator.prove(proof, claimant, (self.shared.environment.random)()) {
            Proving::Done(outcome) => match conclude(now, &outcome) {
                delay if delay.is_zero() => self.proven(now, outcome, work),
                delay => self.answer_after(delay, Looked::Proof(outcome)),
            },
            Proving::Token(credentials) if self.is_opening() => self.wait_for(async move {
                let outcome = authenticator.prove_token(&credentials).await;
                tokio::time::sleep(conclude(Instant::now(), &outcome)).await;
                Looked::Proof(outcome)
            }),
            Proving::Token(credentials) => {
                self.errand = Some(Box::new(Errand::Renewal(Renewal::new(&self.shared, credentials, is_patient))));
                self.link.nudge();
            }
        }
    }

    fn proven(&mut self, now: Instant, outcome: Result<Step, Refused>, work: &mut Work) {
        let outlet = Arc::clone(&self.link) as Arc<dyn Outlet>;
        self.with_core(work, |core, turn| core.proven(now, outcome, &outlet, turn));
    }

    /// Answers only after `delay`.
    fn answer_after(&mut self, delay: Duration, looked: Looked) {
        self.wait_for(async move {
            tokio::time::sleep(delay).await;
            looked
        });
    }

    fn wait_for(&mut self, looking: impl Future<Output = Looked> + Send + 'static) {
        if let Some(opening) = self.opening() {
            opening.authentication = Some(tokio::spawn(looking));
        }
        // The task is to be polled once more, to wait for it.
        self.link.nudge();
    }

    fn establish(&mut self, now: Instant, keep_alive_s: u16, expires_at: Option<Instant>) {
        self.errand = None;
        let config = &self.shared.environment.config;
        self.heeds_pongs = keep_alive_s == 0 || config.do_pongs_keep_alive;
        let silence_max = match keep_alive_s {
            // MQTT 5.0 [MQTT-3.1.2-22]: one and a half times the Keep Alive.
            1.. => Some(Duration::from_millis(u64::from(keep_alive_s) * 1500)),
            // A WebSocket is pinged, so that one that is half open is found all the same.
            0 if self.protocol.is_websocket() => Some(config.idle_timeout),
            0 => None,
        };
        let now_ms = self.shared.pacemaker.millis(now);
        if let Some(expires_at) = expires_at {
            self.link.life.set_expiry(self.shared.pacemaker.millis(expires_at));
        }
        self.link.open(now_ms, silence_max);
        self.shared.pacemaker.watch(self.key, &self.link, self.link.next_look_ms(now_ms));
    }

    fn renew(&mut self, now: Instant, expires_at: Option<Instant>) {
        let expires_ms = expires_at.map_or(u64::MAX, |expires_at| self.shared.pacemaker.millis(expires_at));
        self.link.life.set_expiry(expires_ms);
        let now_ms = self.shared.pacemaker.millis(now);
        self.shared.pacemaker.watch(self.key, &self.link, self.link.next_look_ms(now_ms));
    }

    fn begin_closing(&mut self, now: Instant, code: Option<CloseCode>, work: &mut Work) {
        if self.phase != Phase::Serving {
            return;
        }
        self.phase = Phase::Draining;
        self.errand = None;
        let now_ms = self.shared.pacemaker.millis(now);
        let delivered = self.link.begin_closing(code, now_ms, self.shared.environment.config.close_timeout);
        work.round.note_with(delivered, || Arc::clone(&self.link) as Arc<dyn Outlet>);
        self.shared.pacemaker.watch(self.key, &self.link, self.link.next_look_ms(now_ms));
        self.link.nudge();
    }

    fn flush(&self, work: &mut Work) {
        std::mem::take(&mut work.tally).add_to(self.counters());
        flush(&mut work.round);
    }
}

impl Tally {
    fn note(&mut self, packet: &Packet<'_>) {
        self.packets_received += 1;
        if let Packet::Publish(publish) = packet {
            self.publishes_received += 1;
            self.publish_bytes_received += publish.payload.len() as u64;
        }
    }

    fn add_to(self, counters: &ConnectionCounters) {
        for (counter, count) in [
            (&counters.received_bytes, self.received_bytes),
            (&counters.packets_received, self.packets_received),
            (&counters.publishes_received, self.publishes_received),
            (&counters.publish_bytes_received, self.publish_bytes_received),
            (&counters.answers_sent, self.answers_sent),
        ] {
            if count != 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

/// Flushes every outlet of `round`, at once or after what others are about to append; a long round is shared with other workers.
pub(super) fn flush(round: &mut Round) {
    while round.len() > FLUSHED_INLINE_MAX {
        let mut slice = round.split_off(round.len().saturating_sub(FLUSHED_INLINE_MAX).max(FLUSHED_INLINE_MAX));
        tokio::spawn(async move { slice.drain().for_each(|outlet| outlet.flush()) });
    }
    for outlet in round.drain() {
        if !outlet.flush_unless_busy() {
            gather::flush_late(outlet);
        }
    }
}

impl Drop for Driver {
    /// However the task ends, its session is left: a panic and a stopped runtime as well.
    fn drop(&mut self) {
        let mut work = Work::default();
        self.with_core(&mut work, |core, turn| core.transport_lost(Instant::now(), turn));
        work.round.drain().for_each(|outlet| outlet.flush());
        // Before the key may be another's.
        self.shared.certified.leave(self.key);
        self.shared.links.leave(self.key);
        self.shared.environment.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a WebSocket is closed for a reason (RFC 6455 §7.4.1).
fn close_code(reason: ReasonCode) -> CloseCode {
    match reason {
        ReasonCode::Success | ReasonCode::DisconnectWithWill => CloseCode::Normal,
        ReasonCode::MalformedPacket
        | ReasonCode::ProtocolError
        | ReasonCode::UnsupportedProtocolVersion
        | ReasonCode::TopicNameInvalid
        | ReasonCode::TopicFilterInvalid
        | ReasonCode::TopicAliasInvalid
        | ReasonCode::ReceiveMaximumExceeded => CloseCode::Protocol,
        ReasonCode::PacketTooLarge => CloseCode::Size,
        ReasonCode::ServerShuttingDown => CloseCode::Restart,
        ReasonCode::ServerBusy | ReasonCode::ServerUnavailable => CloseCode::Again,
        ReasonCode::ImplementationSpecificError | ReasonCode::UnspecifiedError => CloseCode::Error,
        ReasonCode::UseAnotherServer | ReasonCode::ServerMoved => CloseCode::Away,
        _ => CloseCode::Policy,
    }
}
