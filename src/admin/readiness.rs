//! How far the process is in its life, for those who decide whether to send clients its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// What the process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Not everything listens yet.
    Starting,
    /// Clients are welcome.
    Ready,
    /// Those who are there are served; newcomers are turned away.
    Overloaded,
    /// Clients are being told to go elsewhere.
    Draining,
}

/// The phase, shared: the composition root sets it, probes read it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<State>);

#[derive(Debug)]
struct State {
    phase: AtomicU8,
    is_overloaded: AtomicBool,
}

impl Default for Readiness {
    fn default() -> Self {
        let phase = AtomicU8::new(Phase::Starting as u8);
        Self(Arc::new(State { phase, is_overloaded: AtomicBool::new(false) }))
    }
}

impl Readiness {
    pub fn set(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Release);
    }

    /// Says whether newcomers are turned away for the time being, which shows only where they would be welcome otherwise.
    pub fn set_overloaded(&self, is_overloaded: bool) {
        self.0.is_overloaded.store(is_overloaded, Ordering::Release);
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        const STARTING: u8 = Phase::Starting as u8;
        const READY: u8 = Phase::Ready as u8;
        match self.0.phase.load(Ordering::Acquire) {
            STARTING => Phase::Starting,
            READY if self.0.is_overloaded.load(Ordering::Acquire) => Phase::Overloaded,
            READY => Phase::Ready,
            _ => Phase::Draining,
        }
    }
}
