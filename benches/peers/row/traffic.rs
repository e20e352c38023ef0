//! Publishers, subscribers and messages between them: CPU for each delivery, and latency where the pace is given.
//!
//! Every subscriber must see every message once and in order; anything else is an error of the row, not a figure.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::{Figure, figure};
use crate::{
    arena::Stage,
    connection::{Event, Plan},
    process,
    swarm::{Metronome, STALL, Swarm, Target},
};

/// `publishers` and `subscribers` meet on as many topics as the smaller of the two counts.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) payload_bytes: usize,
    pub(crate) qos: u8,
    pub(crate) drive: Drive,
}

/// When the next message is sent.
#[derive(Clone, Copy)]
pub(crate) enum Drive {
    /// Each publisher keeps this many messages outstanding.
    Window(u32),
    /// Each publisher sends this many at once and waits for all of them.
    Burst(u32),
    /// So many a second, by all publishers in turn, whatever the server does.
    Paced(f64),
}

impl Drive {
    /// The most messages of one publisher that may be outstanding.
    fn outstanding_max(self) -> u64 {
        match self {
            Self::Window(count) | Self::Burst(count) => u64::from(count),
            Self::Paced(_) => 1024,
        }
    }
}

impl Traffic {
    pub(crate) fn measure(&self, stage: &Stage<'_>, target: &Target) -> anyhow::Result<Vec<Figure>> {
        let mut load = self.connect(stage, target, "bench")?;
        let (warm_up, measured) = if stage.quick { (0.3, 1.0) } else { (1.0, 4.0) };
        load.run_for(Duration::from_secs_f64(warm_up))?;
        let before = Reading::take(stage, &load)?;
        load.forget_latencies();
        load.run_for(Duration::from_secs_f64(measured))?;
        load.drain()?;
        let after = Reading::take(stage, &load)?;
        let mut latencies_us = load.end();
        Ok(self.figures(&before, &after, &mut latencies_us))
    }

    /// Connects all clients; `name` tells them and their topics from those of another load on the same server.
    pub(crate) fn connect(&self, stage: &Stage<'_>, target: &Target, name: &str) -> anyhow::Result<Load> {
        let mut swarm = Swarm::new(stage.tls.clone())?;
        let subscriber = |number| Plan {
            client_id: format!("{name}-s{number}"),
            subscribe: Some((self.topic(name, number), self.qos)),
        };
        swarm.connect_all(target, (0..self.subscribers).map(subscriber).collect())?;
        let publisher = |number| Plan { client_id: format!("{name}-p{number}"), subscribe: None };
        swarm.connect_all(target, (0..self.publishers).map(publisher).collect())?;
        Load::new(*self, swarm, name)
    }

    fn figures(&self, before: &Reading, after: &Reading, latencies_us: &mut [u32]) -> Vec<Figure> {
        let deliveries = (after.deliveries - before.deliveries) as f64;
        let per_delivery = |span: Duration| span.as_secs_f64() * 1e6 / deliveries;
        let mut figures = vec![figure("server µs a delivery", per_delivery(after.server - before.server))];
        if matches!(self.drive, Drive::Paced(_)) {
            latencies_us.sort_unstable();
            figures.push(figure("p50 ms", quantile_ms(latencies_us, 0.50)));
            figures.push(figure("p99 ms", quantile_ms(latencies_us, 0.99)));
        }
        figures.push(figure("deliveries a second", deliveries / (after.at - before.at).as_secs_f64()));
        figures.push(figure("generator µs a delivery", per_delivery(after.generator - before.generator)));
        figures
    }

    fn topics(&self) -> usize {
        self.publishers.min(self.subscribers)
    }

    fn topic(&self, name: &str, client: usize) -> String {
        format!("{name}/{}", client % self.topics())
    }
}

pub(crate) fn quantile_ms(sorted_us: &[u32], quantile: f64) -> f64 {
    let index = ((sorted_us.len() as f64 * quantile) as usize).min(sorted_us.len().saturating_sub(1));
    sorted_us.get(index).map_or(f64::NAN, |&us| f64::from(us) / 1000.0)
}

struct Reading {
    at: Instant,
    server: Duration,
    generator: Duration,
    deliveries: u64,
}

impl Reading {
    fn take(stage: &Stage<'_>, load: &Load) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            server: stage.server.cpu_time()?,
            // The servers are children of this process, so only its own threads count here.
            generator: process::own_cpu_time()?,
            deliveries: load.ledger.delivered,
        })
    }
}

/// Clients that are connected, and what is between them.
pub(crate) struct Load {
    traffic: Traffic,
    /// Wakes a paced load in time.
    metronome: Option<Metronome>,
    swarm: Swarm,
    ledger: Ledger,
    topics: Vec<String>,
    payload: Vec<u8>,
    epoch: Instant,
    /// Of a paced load: how many messages have been sent since `epoch`, by all.
    paced: u64,
    progress: Instant,
}

impl Load {
    fn new(traffic: Traffic, swarm: Swarm, name: &str) -> anyhow::Result<Self> {
        // Beyond ten thousand a second a thread that is woken for each message would measure itself.
        const INTERVAL_MIN_S: f64 = 50e-6;
        let metronome = match traffic.drive {
            Drive::Paced(per_s) => Some(swarm.metronome(Duration::from_secs_f64((0.5 / per_s).max(INTERVAL_MIN_S)))?),
            Drive::Window(_) | Drive::Burst(_) => None,
        };
        Ok(Self {
            swarm,
            metronome,
            ledger: Ledger::new(&traffic),
            topics: (0..traffic.publishers).map(|number| traffic.topic(name, number)).collect(),
            payload: vec![b'.'; traffic.payload_bytes],
            epoch: Instant::now(),
            paced: 0,
            progress: Instant::now(),
            traffic,
        })
    }

    /// Latencies of a paced load from here on.
    pub(crate) fn forget_latencies(&mut self) {
        self.ledger.latencies_us.clear();
    }

    /// All clients leave; the latencies of a paced load, in no order.
    pub(crate) fn end(mut self) -> Vec<u32> {
        drop(self.metronome.take());
        self.swarm.disconnect_all();
        self.ledger.latencies_us
    }

    pub(crate) fn run_for(&mut self, span: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.publish_due()?;
            self.round()?;
        }
        Ok(())
    }

    /// Waits for everything that has been published.
    pub(crate) fn drain(&mut self) -> anyhow::Result<()> {
        while self.ledger.delivered < self.ledger.owed() {
            self.round()?;
        }
        Ok(())
    }

    fn round(&mut self) -> anyhow::Result<()> {
        let before = self.ledger.delivered;
        let now_ns = matches!(self.traffic.drive, Drive::Paced(_)).then_some(self.epoch);
        let ledger = &mut self.ledger;
        self.swarm.round(Some(Duration::from_millis(100)), |client, event| {
            if let Event::Delivery(payload) = event {
                ledger.delivery(client, payload, now_ns);
            }
        })?;
        if let Some(fault) = self.ledger.fault.take() {
            bail!(fault);
        }
        if self.ledger.delivered > before {
            self.progress = Instant::now();
        }
        ensure!(
            self.progress.elapsed() < STALL,
            "lost {} of {} deliveries",
            self.ledger.owed() - self.ledger.delivered,
            self.ledger.owed()
        );
        Ok(())
    }

    fn publish_due(&mut self) -> anyhow::Result<()> {
        match self.traffic.drive {
            Drive::Window(count) => self.refill(u64::from(count) - 1, count),
            Drive::Burst(count) => self.refill(0, count),
            Drive::Paced(per_s) => {
                let due = (self.epoch.elapsed().as_secs_f64() * per_s) as u64;
                while self.paced < due {
                    let publisher = (self.paced % self.traffic.publishers as u64) as usize;
                    let outstanding = self.ledger.outstanding(publisher);
                    ensure!(outstanding < self.traffic.drive.outstanding_max(), "the server cannot keep this pace");
                    self.publish(publisher);
                    self.paced += 1;
                }
            }
        }
        Ok(self.swarm.flush()?)
    }

    /// Fills up to `high` outstanding messages for each publisher that has at most `low`.
    fn refill(&mut self, low: u64, high: u32) {
        for publisher in 0..self.traffic.publishers {
            let outstanding = self.ledger.outstanding(publisher);
            if outstanding <= low {
                for _ in outstanding..u64::from(high) {
                    self.publish(publisher);
                }
            }
        }
    }

    fn publish(&mut self, publisher: usize) {
        let sequence = self.ledger.send(publisher);
        if self.payload.len() < HEADER_LEN {
            write_hex(sequence, &mut self.payload[..8]);
            write_hex(publisher as u64, &mut self.payload[8..SHORT_HEADER_LEN]);
        } else {
            write_hex(sequence, &mut self.payload[..16]);
            write_hex(self.epoch.elapsed().as_nanos() as u64, &mut self.payload[16..32]);
            write_hex(publisher as u64, &mut self.payload[32..HEADER_LEN]);
        }
        let client = self.traffic.subscribers + publisher;
        self.swarm.publish(client, &self.topics[publisher], self.traffic.qos, &self.payload);
    }
}

/// What was sent, what has arrived, and what is owed.
struct Ledger {
    publishers: usize,
    /// Deliveries that one message makes.
    copies: u32,
    outstanding_max: u64,
    sent: Vec<u64>,
    completed: Vec<u64>,
    /// Deliveries still to come for each outstanding message, `outstanding_max` places a publisher.
    left: Vec<u32>,
    /// The next sequence number of each flow: of a subscriber, or of a publisher where one subscriber hears several.
    expected: Vec<u64>,
    delivered: u64,
    latencies_us: Vec<u32>,
    fault: Option<String>,
}

impl Ledger {
    fn new(traffic: &Traffic) -> Self {
        let outstanding_max = traffic.drive.outstanding_max();
        Self {
            publishers: traffic.publishers,
            copies: (traffic.subscribers / traffic.topics()) as u32,
            outstanding_max,
            sent: vec![0; traffic.publishers],
            completed: vec![0; traffic.publishers],
            left: vec![0; traffic.publishers * outstanding_max as usize],
            expected: vec![0; traffic.publishers.max(traffic.subscribers)],
            delivered: 0,
            latencies_us: Vec::new(),
            fault: None,
        }
    }

    fn outstanding(&self, publisher: usize) -> u64 {
        self.sent[publisher] - self.completed[publisher]
    }

    fn owed(&self) -> u64 {
        self.sent.iter().sum::<u64>() * u64::from(self.copies)
    }

    fn send(&mut self, publisher: usize) -> u64 {
        let sequence = self.sent[publisher];
        let place = self.place(publisher, sequence);
        self.left[place] = self.copies;
        self.sent[publisher] += 1;
        sequence
    }

    fn place(&self, publisher: usize, sequence: u64) -> usize {
        publisher * self.outstanding_max as usize + (sequence % self.outstanding_max) as usize
    }

    fn delivery(&mut self, client: usize, payload: &[u8], epoch: Option<Instant>) {
        let Some((sequence, sent_ns, publisher)) = fields(payload).filter(|&(_, _, from)| from < self.publishers)
        else {
            self.fault.get_or_insert_with(|| format!("client {client} was sent a payload that nobody published"));
            return;
        };
        let flow = if self.expected.len() == self.publishers { publisher } else { client };
        if self.expected[flow] != sequence {
            let expected = self.expected[flow];
            self.fault
                .get_or_insert_with(|| format!("client {client} was sent message {sequence} in place of {expected}"));
            return;
        }
        self.expected[flow] += 1;
        self.delivered += 1;
        if let Some(epoch) = epoch {
            let latency_ns = (epoch.elapsed().as_nanos() as u64).saturating_sub(sent_ns);
            self.latencies_us.push(u32::try_from(latency_ns / 1000).unwrap_or(u32::MAX));
        }
        let place = self.place(publisher, sequence);
        self.left[place] -= 1;
        if self.left[place] == 0 {
            self.completed[publisher] += 1;
        }
    }
}

/// What a payload begins with: sequence number, nanoseconds since the load's epoch, publisher; hexadecimal, so that it is text.
const HEADER_LEN: usize = 40;

/// What a shorter one is: sequence number and publisher.
const SHORT_HEADER_LEN: usize = 16;

fn fields(payload: &[u8]) -> Option<(u64, u64, usize)> {
    let Some(header) = payload.get(..HEADER_LEN) else {
        let header = payload.get(..SHORT_HEADER_LEN)?;
        return Some((read_hex(&header[..8])?, 0, read_hex(&header[8..])? as usize));
    };
    Some((read_hex(&header[..16])?, read_hex(&header[16..32])?, read_hex(&header[32..])? as usize))
}

fn write_hex(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 0xF) as usize];
        value >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, &digit| Some(sum << 4 | u64::from(char::from(digit).to_digit(16)?)))
}
