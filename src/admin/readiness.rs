//! How far the process is in its life, for those who decide whether to send clients its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What the process is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Not everything listens yet.
    Starting,
    /// Clients are welcome.
    Ready,
    /// Clients are being told to go elsewhere.
    Draining,
}

/// The phase, shared: the composition root sets it, probes read it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<AtomicU8>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(AtomicU8::new(Phase::Starting as u8)))
    }
}

impl Readiness {
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }
}
