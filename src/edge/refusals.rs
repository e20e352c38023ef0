//! One line in the log for each connection that is refused, as far as the log bears it.
//!
//! Its first words are fixed, for people who grep and for fail2ban (`configs/fail2ban`): `connect_refused ip=… reason=… `.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Instant;

use tracing::{debug, info};

use crate::connection::sampling::Sampler;

/// Lets a few lines a second through and says how many it kept back, so that a flood fills neither disk nor log.
#[derive(Debug)]
pub(crate) struct Refusals(Sampler);

const LINES_MAX: u32 = 50;

impl Default for Refusals {
    fn default() -> Self {
        Self(Sampler::new(LINES_MAX))
    }
}

impl Refusals {
    /// Logs that `ip` was refused for `reason`, at `info` while lines are left in this second, at `debug` beyond.
    pub(crate) fn log(&self, ip: IpAddr, reason: &'static str, detail: &dyn Display) {
        let ip = ip.to_canonical();
        // In quotes, with everything escaped that could end a line: a library may have put a peer's words into it.
        let detail = || detail.to_string();
        match self.0.admit(Instant::now()) {
            Some(0) => info!(%ip, %reason, detail = ?detail(), "connect_refused"),
            Some(left_out) => info!(%ip, %reason, detail = ?detail(), left_out, "connect_refused"),
            None => debug!(%ip, %reason, detail = ?detail(), "connect_refused"),
        }
    }

    /// Tells what no line has told yet of those that were left out. To be called now and then.
    pub(crate) fn settle(&self) {
        if let Some(left_out) = self.0.settle(Instant::now()) {
            info!(left_out, "connect_refused_left_out");
        }
    }
}
