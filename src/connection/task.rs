//! The loop that drives one connection. Boring on purpose; its priorities, in order, each time it is polled:
//!
//! 1. what admits or ends the connection: shed, authenticated, dismissed, socket gone;
//! 2. what waits to be sent, once the socket takes it again;
//! 3. what the socket has: read, decoded, acted upon, and everything that came of it flushed, all in one round;
//! 4. after [`READS_MAX`] rounds, a turn for the others.
//!
//! It is a future written by hand, so that an idle connection is this struct and nothing more.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::driver::{Driver, Phase, Work};
use super::gather;
use super::inbound::Inbound;
use super::transport::Received;
use super::{Accepted, Shared};

/// Rounds of one connection before others get their turn.
const READS_MAX: usize = 16;

/// Bytes read from a socket in one go, into memory of the thread.
const READ_BYTES: usize = 32 * 1024;

/// One connection's task: its inbound half, and the half that acts.
pub(super) struct Task {
    inbound: Inbound,
    driver: Driver,
}

/// What a thread lends to whichever connection it runs.
struct Scratch {
    wire_bytes: Vec<u8>,
    plaintext: Vec<u8>,
    work: Work,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        wire_bytes: vec![0; READ_BYTES],
        plaintext: Vec::with_capacity(READ_BYTES),
        work: Work::default(),
    });
}

impl Task {
    pub(super) fn new(shared: &Arc<Shared>, accepted: Accepted, now: Instant) -> Self {
        Self {
            inbound: Inbound::new(Arc::clone(shared), accepted.protocol),
            driver: Driver::new(Arc::clone(shared), accepted, now),
        }
    }

    fn run(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let now = Instant::now();
        if self.driver.has_errand() && self.attend_errand(now, cx, scratch).is_ready() {
            return Poll::Ready(());
        }
        for _ in 0..READS_MAX {
            if self.driver.attend_link(now, cx, self.inbound.speech(), &mut scratch.work).is_ready() {
                return Poll::Ready(());
            }
            if self.driver.is_held() {
                if !self.driver.release(now) {
                    return Poll::Pending;
                }
                self.go_on(now, &mut scratch.work);
                continue;
            }
            if !self.driver.reads() {
                return Poll::Pending;
            }
            match self.driver.link().poll_readable(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return self.driver.lose(now, &mut scratch.work),
                Poll::Ready(Ok(())) => {}
            }
            scratch.plaintext.clear();
            match self.driver.link().receive(cx, &mut scratch.wire_bytes, &mut scratch.plaintext) {
                Ok(Received::Nothing) => {}
                Ok(Received::Waiting) => return Poll::Pending,
                Ok(Received::Bytes(_)) => self.take_bytes(now, &mut scratch.plaintext, &mut scratch.work),
                Ok(Received::End) | Err(_) => return self.driver.lose(now, &mut scratch.work),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Until CONNECT is accepted: the seat among the handshakes, what they read too much, and the check of credentials. Later on, a token
    /// that is judged.
    fn attend_errand(&mut self, now: Instant, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        if self.driver.poll_shed(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut early = self.driver.take_early();
        if !early.is_empty() {
            self.take_bytes(now, &mut early, &mut scratch.work);
        }
        let is_answered = self.driver.poll_errand(now, cx, self.inbound.speech(), &mut scratch.work).is_ready();
        if is_answered && self.driver.phase() == Phase::Serving {
            self.inbound.widen();
            self.go_on(now, &mut scratch.work);
        }
        Poll::Pending
    }

    /// One round: what came while nothing was taken.
    fn go_on(&mut self, now: Instant, work: &mut Work) {
        let Self { inbound, driver } = self;
        inbound.resume(&mut |speech, incoming| driver.take(now, speech, incoming, work));
        inbound.book();
        driver.finish_round(now, inbound.is_amid(), work);
    }

    /// One round: everything in `plaintext`, and the flush of whatever came of it.
    fn take_bytes(&mut self, now: Instant, plaintext: &mut [u8], work: &mut Work) {
        if self.driver.phase() != Phase::Serving {
            return;
        }
        let Self { inbound, driver } = self;
        Driver::count_received(plaintext.len(), work);
        inbound.feed(plaintext, &mut |speech, incoming| driver.take(now, speech, incoming, work));
        inbound.book();
        driver.finish_round(now, inbound.is_amid(), work);
    }
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = self.get_mut();
        gather::enter(task.driver.key());
        let poll = SCRATCH.with_borrow_mut(|scratch| task.run(cx, scratch));
        gather::leave();
        poll
    }
}
