//! The rows of the table: what load each drives and what it measures.

mod connects;
pub(crate) mod filters;
pub(crate) mod idle;
mod requests;
pub(crate) mod traffic;

use requests::Requests;
use traffic::{Drive, Traffic};

use crate::{arena::Stage, connection::Transport};

/// One kind of work that every peer is given.
pub(crate) struct Row {
    /// What `--only` names it by.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) transport: Transport,
    work: Work,
}

enum Work {
    Traffic(Traffic),
    Idle,
    Connects,
    Filters,
    Requests(Requests),
}

/// One measured value. The first of a row is the one that ratios are made of.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    pub(crate) value: f64,
}

pub(crate) fn figure(what: &'static str, value: f64) -> Figure {
    Figure { what, value }
}

impl Row {
    /// Drives the load once; `None` if the server does not offer what the row needs.
    pub(crate) fn measure(&self, stage: &Stage<'_>) -> anyhow::Result<Option<Vec<Figure>>> {
        let Some(target) = stage.server.target(self.transport) else { return Ok(None) };
        if matches!(self.work, Work::Filters) && !stage.server.has_wildcards() {
            return Ok(None);
        }
        match &self.work {
            Work::Traffic(traffic) => traffic.measure(stage, &target),
            Work::Idle => idle::measure(stage, &target),
            Work::Connects => connects::measure(stage, &target),
            Work::Filters => filters::measure(stage, &target),
            Work::Requests(requests) => requests::measure(stage, &target, *requests),
        }
        .map(Some)
    }
}

/// Every row, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    let fan_out = Traffic { publishers: 1, subscribers: 1000, payload_bytes: 64, qos: 0, drive: Drive::Window(16) };
    let pairs = Traffic { publishers: 200, subscribers: 200, payload_bytes: 64, qos: 0, drive: Drive::Window(16) };
    let row = |name, title, transport, work| Row { name, title, transport, work };
    let wss = |name, title, traffic| row(name, title, Transport::Wss, Work::Traffic(traffic));
    vec![
        wss("fan-out", "fan-out 1→1000, 64 B, QoS 0, wss, max (16 outstanding)", fan_out),
        wss("fan-out-bursts", "the same, bursts of 8", Traffic { drive: Drive::Burst(8), ..fan_out }),
        wss("fan-out-paced", "the same, paced 40 msg/s", Traffic { drive: Drive::Paced(40.0), ..fan_out }),
        wss(
            "fan-out-qos1",
            "fan-out 1→500, 100 B, QoS 1, wss, max (16 outstanding)",
            Traffic { subscribers: 500, payload_bytes: 100, qos: 1, ..fan_out },
        ),
        wss("pairs", "200 pairs, 64 B, QoS 0, wss, max (16 outstanding each)", pairs),
        wss("pairs-qos1", "200 pairs, 64 B, QoS 1, wss, max (16 outstanding each)", Traffic { qos: 1, ..pairs }),
        row(
            "pairs-tcp",
            "200 pairs, 64 B, QoS 0, TCP, max (16 outstanding each)",
            Transport::Tcp,
            Work::Traffic(pairs),
        ),
        wss(
            "fan-in",
            "fan-in 500→1, 64 B, QoS 0, wss, max (4 outstanding each)",
            Traffic { publishers: 500, subscribers: 1, drive: Drive::Window(4), ..pairs },
        ),
        wss(
            "pairs-paced",
            "100 pairs, 64 B, QoS 0, wss, paced 1,000 msg/s in all",
            Traffic { publishers: 100, subscribers: 100, drive: Drive::Paced(1000.0), ..pairs },
        ),
        row(
            "fan-out-json",
            "fan-out 1→1000, JSON Actions, wss, max (16 outstanding)",
            Transport::JsonWss,
            Work::Traffic(fan_out),
        ),
        row(
            "pairs-json",
            "200 pairs, JSON Actions, wss, max (16 outstanding each)",
            Transport::JsonWss,
            Work::Traffic(pairs),
        ),
        row("idle-wss", "idle, 10,000 with one subscription each, wss", Transport::Wss, Work::Idle),
        row("idle-ws", "idle, 10,000 with one subscription each, ws", Transport::Ws, Work::Idle),
        row("connects", "wss connects, 64 at once", Transport::Wss, Work::Connects),
        row("filters", "100,000 filters of 100 clients, each message matches 3, TCP", Transport::Tcp, Work::Filters),
        row(
            "requests",
            "GET of 1 KiB passed on to a server behind, https, 64 kept connections",
            Transport::Https,
            Work::Requests(Requests { clients: 64, under_way: 1 }),
        ),
        row(
            "requests-http2",
            "the same over HTTP/2, 16 kept connections with 10 streams each",
            Transport::Http2,
            Work::Requests(Requests { clients: 16, under_way: 10 }),
        ),
    ]
}
