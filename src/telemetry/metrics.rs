//! Metrics: names, meanings, and how each one is read when somebody asks.
//!
//! Nothing is kept here. Every module counts in plain atomics of its own; they are read at the moment of a scrape, and written as
//! OpenMetrics text, which Prometheus reads.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// What [`Exposition::render`] produces.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric of the process, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Metrics {
    metrics: Vec<Metric>,
}

/// One name and its values.
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    values: Values,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Only grows; its name gets `_total` when written.
    Counter,
    Gauge,
}

/// Reads one number at the moment of a scrape.
pub type Read = Box<dyn Fn() -> u64 + Send + Sync>;

enum Values {
    One(Read),
    /// One value for each of the values of a label.
    ByLabel {
        label: &'static str,
        reads: Vec<(&'static str, Read)>,
    },
}

impl Metrics {
    /// Adds a number that only grows.
    pub fn counter(&mut self, name: &'static str, help: &'static str, read: impl Fn() -> u64 + Send + Sync + 'static) {
        self.metrics.push(Metric { name, help, kind: Kind::Counter, values: Values::One(Box::new(read)) });
    }

    /// Adds a number that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, read: impl Fn() -> u64 + Send + Sync + 'static) {
        self.metrics.push(Metric { name, help, kind: Kind::Gauge, values: Values::One(Box::new(read)) });
    }

    /// Adds numbers that only grow, told apart by `label`. Few values, known beforehand: never a client's name.
    pub fn counters_by(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        reads: Vec<(&'static str, Read)>,
    ) {
        self.metrics.push(Metric { name, help, kind: Kind::Counter, values: Values::ByLabel { label, reads } });
    }

    /// Every name as it is written, without its labels.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.metrics.iter().map(|metric| {
            let suffix = if metric.kind == Kind::Counter { "_total" } else { "" };
            format!("{PREFIX}_{}{suffix}", metric.name)
        })
    }
}

const PREFIX: &str = "tidegate";

/// [`Metrics`] behind the library that writes them.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
}

impl Exposition {
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(metrics));
        Self { registry }
    }

    /// Reads every metric and writes it as [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        let mut written = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut written, &self.registry);
        written
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in &self.metrics {
            metric.encode(&mut encoder)?;
        }
        Ok(())
    }
}

impl Metric {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of_kind = match self.kind {
            Kind::Counter => ConstCounter::new(0u64).metric_type(),
            Kind::Gauge => ConstGauge::new(0i64).metric_type(),
        };
        let mut family = encoder.encode_descriptor(self.name, self.help, None, of_kind)?;
        match &self.values {
            Values::One(read) => self.encode_value(read(), family),
            Values::ByLabel { label, reads } => reads
                .iter()
                .try_for_each(|(value, read)| self.encode_value(read(), family.encode_family(&[(*label, *value)])?)),
        }
    }

    fn encode_value(&self, value: u64, encoder: MetricEncoder<'_>) -> fmt::Result {
        match self.kind {
            Kind::Counter => ConstCounter::new(value).encode(encoder),
            Kind::Gauge => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder),
        }
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metric").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_is_counted_can_be_read_at_any_time() {
        let opened = Arc::new(AtomicU64::new(3));
        let mut metrics = Metrics::default();
        let read = Arc::clone(&opened);
        metrics.counter("edge_connections_opened", "Connections opened.", move || read.load(Ordering::Relaxed));
        metrics.gauge("engine_sessions", "Sessions at present.", || u64::MAX);
        let reads: Vec<(_, Read)> = vec![("full", Box::new(|| 1)), ("denied", Box::new(|| 2))];
        metrics.counters_by("engine_dropped", "Messages dropped.", "reason", reads);
        let exposition = Exposition::new(metrics);
        opened.fetch_add(1, Ordering::Relaxed);
        let expected = "# HELP tidegate_edge_connections_opened Connections opened.\n\
                        # TYPE tidegate_edge_connections_opened counter\n\
                        tidegate_edge_connections_opened_total 4\n\
                        # HELP tidegate_engine_sessions Sessions at present.\n\
                        # TYPE tidegate_engine_sessions gauge\n\
                        tidegate_engine_sessions 9223372036854775807\n\
                        # HELP tidegate_engine_dropped Messages dropped.\n\
                        # TYPE tidegate_engine_dropped counter\n\
                        tidegate_engine_dropped_total{reason=\"full\"} 1\n\
                        tidegate_engine_dropped_total{reason=\"denied\"} 2\n\
                        # EOF\n";
        assert_eq!(exposition.render(), expected);
    }
}
