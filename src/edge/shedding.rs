//! Under too much load those who have proven nothing yet go, the newest first: whoever is in stays in.

use std::net::IpAddr;
use std::time::Duration;

use super::EdgeCounters;
use super::handshake::Steps;
use crate::load::{Load, Overload};

/// How often some of those who shake hands are shed.
const INTERVAL: Duration = Duration::from_millis(100);

/// One in so many each time, the newest of them: a moment of overload costs few, a lasting one everybody within some seconds.
const SHARE: usize = 4;

/// Sheds whenever there is too much load. Never completes.
pub(super) async fn run(steps: &Steps, load: &Load) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(overload) = load.overload() else { continue };
        for ip in steps.handshakes.shed_youngest(SHARE) {
            EdgeCounters::add(match overload {
                Overload::Memory => &steps.counters.shed_memory,
                Overload::Lag => &steps.counters.shed_lag,
            });
            steps.refusals.log(ip, overload.name(), &"shed before it was let in, as the server is overloaded");
        }
    }
}

/// Counts and logs that a connection from `ip` is refused.
pub(super) fn refuse(steps: &Steps, ip: IpAddr, overload: Overload) {
    EdgeCounters::add(match overload {
        Overload::Memory => &steps.counters.refused_memory,
        Overload::Lag => &steps.counters.refused_lag,
    });
    steps.refusals.log(ip, overload.name(), &"the server is overloaded");
}
