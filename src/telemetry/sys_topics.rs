//! The `$SYS` topics: what the server counts, as messages for whoever subscribes to them, named and spelled as mosquitto does.
//!
//! Pure: a [`Snapshot`] of counters and a time go in, the values that changed come out. Each value is the payload of one topic, text:
//! a count as a decimal number, a load as what happened per minute with two decimals, the moving average over 1, 5 or 15 minutes.
//!
//! Left out is what would have to be guessed: `heap`, `store` and `messages/stored` (nobody counts what waits in all queues together).
//! Left out as well is what mosquitto itself has given up, `timestamp` and `changeset`.

use std::time::{Duration, Instant};

/// Counters at one moment. Those that only grow are totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub sessions: u64,
    pub sessions_connected: u64,
    pub sessions_expired: u64,
    pub subscriptions: u64,
    pub shared_subscriptions: u64,
    pub retained_messages: u64,
    /// MQTT packets and JSON messages of any kind.
    pub packets_received: u64,
    pub packets_sent: u64,
    pub publishes_received: u64,
    pub publishes_sent: u64,
    /// Messages lost to a full queue or outbox.
    pub publishes_dropped: u64,
    /// Payloads alone.
    pub publish_bytes_received: u64,
    pub publish_bytes_sent: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Transport connections accepted.
    pub sockets: u64,
    /// CONNECT packets.
    pub connects_received: u64,
}

/// Remembers what was said of each topic, and how the loads developed.
#[derive(Debug)]
pub struct SysTopics {
    started: Instant,
    updated: Instant,
    before: Snapshot,
    clients_maximum: u64,
    /// By load, then by period.
    averages: [[f64; PERIODS.len()]; LOADS.len()],
    /// The topics with their values, as of the last update.
    said: Vec<(String, String)>,
}

type Read = fn(&Snapshot) -> u64;

const COUNTS: [(&str, Read); 19] = [
    ("clients/total", |now| now.sessions),
    ("clients/connected", |now| now.sessions_connected),
    ("clients/active", |now| now.sessions_connected),
    // Two counters read one after the other: what happened between them must not make this huge.
    ("clients/disconnected", |now| now.sessions.saturating_sub(now.sessions_connected)),
    ("clients/inactive", |now| now.sessions.saturating_sub(now.sessions_connected)),
    ("clients/expired", |now| now.sessions_expired),
    ("messages/received", |now| now.packets_received),
    ("messages/sent", |now| now.packets_sent),
    ("publish/messages/received", |now| now.publishes_received),
    ("publish/messages/sent", |now| now.publishes_sent),
    ("publish/messages/dropped", |now| now.publishes_dropped),
    ("publish/bytes/received", |now| now.publish_bytes_received),
    ("publish/bytes/sent", |now| now.publish_bytes_sent),
    ("bytes/received", |now| now.bytes_received),
    ("bytes/sent", |now| now.bytes_sent),
    ("connections/socket/count", |now| now.sockets),
    ("subscriptions/count", |now| now.subscriptions),
    ("shared_subscriptions/count", |now| now.shared_subscriptions),
    ("retained messages/count", |now| now.retained_messages),
];

/// Totals of which an average per minute is told.
const LOADS: [(&str, Read); 9] = [
    ("messages/received", |now| now.packets_received),
    ("messages/sent", |now| now.packets_sent),
    ("publish/received", |now| now.publishes_received),
    ("publish/sent", |now| now.publishes_sent),
    ("publish/dropped", |now| now.publishes_dropped),
    ("bytes/received", |now| now.bytes_received),
    ("bytes/sent", |now| now.bytes_sent),
    ("sockets", |now| now.sockets),
    ("connections", |now| now.connects_received),
];

const PERIODS: [(&str, Duration); 3] =
    [("1min", Duration::from_secs(60)), ("5min", Duration::from_secs(5 * 60)), ("15min", Duration::from_secs(15 * 60))];

impl SysTopics {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            updated: now,
            before: Snapshot::default(),
            clients_maximum: 0,
            averages: Default::default(),
            said: Vec::new(),
        }
    }

    /// The topics whose values are others than at the last call, with their values; at the first call all of them.
    pub fn update(&mut self, now: Instant, snapshot: &Snapshot) -> Vec<(String, String)> {
        self.average(now, snapshot);
        // As often as this is called: who came and went in between is not seen, as with mosquitto.
        self.clients_maximum = self.clients_maximum.max(snapshot.sessions_connected);
        let mut values = vec![
            ("version".to_owned(), concat!("tidegate version ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("uptime".to_owned(), format!("{} seconds", now.saturating_duration_since(self.started).as_secs())),
            ("clients/maximum".to_owned(), self.clients_maximum.to_string()),
        ];
        values.extend(COUNTS.map(|(topic, read)| (topic.to_owned(), read(snapshot).to_string())));
        for ((topic, _), averages) in LOADS.iter().zip(&self.averages) {
            let periods = PERIODS.iter().zip(averages);
            values.extend(periods.map(|((period, _), load)| (format!("load/{topic}/{period}"), format!("{load:.2}"))));
        }
        for (topic, _) in &mut values {
            topic.insert_str(0, "$SYS/broker/");
        }
        // They come in the same order each time.
        let news = values.iter().enumerate().filter(|&(at, value)| self.said.get(at) != Some(value));
        let news = news.map(|(_, value)| value.clone()).collect();
        self.said = values;
        news
    }

    /// Each average moves towards the present rate, the further the more of its period has passed.
    fn average(&mut self, now: Instant, snapshot: &Snapshot) {
        let passed = now.saturating_duration_since(self.updated);
        if passed.is_zero() {
            return;
        }
        for ((_, read), averages) in LOADS.iter().zip(&mut self.averages) {
            let count = read(snapshot).saturating_sub(read(&self.before));
            let per_minute = count as f64 * 60.0 / passed.as_secs_f64();
            for ((_, period), average) in PERIODS.iter().zip(averages) {
                let kept = (-passed.as_secs_f64() / period.as_secs_f64()).exp();
                *average = per_minute + kept * (*average - per_minute);
            }
        }
        self.updated = now;
        self.before = *snapshot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'v>(values: &'v [(String, String)], topic: &str) -> Option<&'v str> {
        let topic = format!("$SYS/broker/{topic}");
        values.iter().find(|(found, _)| *found == topic).map(|(_, value)| value.as_str())
    }

    #[test]
    fn everything_is_said_once_and_then_only_what_changed() {
        let start = Instant::now();
        let mut topics = SysTopics::new(start);
        let mut snapshot = Snapshot { sessions: 5, sessions_connected: 3, bytes_sent: 1 << 40, ..Snapshot::default() };
        let first = topics.update(start, &snapshot);
        assert_eq!(first.len(), 3 + COUNTS.len() + LOADS.len() * PERIODS.len());
        for (topic, expected) in [
            ("version", concat!("tidegate version ", env!("CARGO_PKG_VERSION"))),
            ("uptime", "0 seconds"),
            ("clients/total", "5"),
            ("clients/connected", "3"),
            ("clients/active", "3"),
            ("clients/disconnected", "2"),
            ("clients/inactive", "2"),
            ("clients/maximum", "3"),
            ("bytes/sent", "1099511627776"),
            ("retained messages/count", "0"),
            ("load/sockets/15min", "0.00"),
        ] {
            assert_eq!(value(&first, topic), Some(expected), "{topic}");
        }
        assert!(topics.update(start, &snapshot).is_empty());
        snapshot.sessions_connected = 1;
        let changed = topics.update(start, &snapshot);
        assert_eq!(changed.len(), 4, "{changed:?}");
        assert_eq!(value(&changed, "clients/disconnected"), Some("4"));
        assert_eq!(value(&changed, "clients/maximum"), None, "it stays");
    }

    #[test]
    fn topics_are_unique_and_valid() {
        let mut names: Vec<_> = SysTopics::new(Instant::now())
            .update(Instant::now(), &Snapshot::default())
            .into_iter()
            .map(|(topic, _)| topic)
            .collect();
        assert!(names.iter().all(|name| crate::mqtt::TopicName::parse(name).is_ok()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn loads_decay_as_their_periods_say() {
        let start = Instant::now();
        let mut topics = SysTopics::new(start);
        let mut snapshot = Snapshot { connects_received: 10, ..Snapshot::default() };
        let load = |values: &[(String, String)], period: &str| {
            value(values, &format!("load/connections/{period}")).expect("a change").to_owned()
        };
        // 10 in 10 s are 60 a minute; 1 - e^(-1/6), 1 - e^(-1/30) and 1 - e^(-1/90) of that are seen.
        let values = topics.update(start + Duration::from_secs(10), &snapshot);
        assert_eq!(["1min", "5min", "15min"].map(|period| load(&values, period)), ["9.21", "1.97", "0.66"]);
        // A minute in which nothing happens leaves 1/e of it.
        let values = topics.update(start + Duration::from_secs(70), &snapshot);
        assert_eq!(["1min", "5min", "15min"].map(|period| load(&values, period)), ["3.39", "1.61", "0.62"]);
        // A rate that holds is the average in the end.
        let mut values = Vec::new();
        for second in 71..70 + 3_600 * 3 {
            snapshot.connects_received += 2;
            let changed = topics.update(start + Duration::from_secs(second), &snapshot);
            if value(&changed, "load/connections/15min").is_some() {
                values = changed;
            }
        }
        assert_eq!(load(&values, "15min"), "120.00");
        // It says nothing more once it stands.
        snapshot.connects_received += 2;
        let values = topics.update(start + Duration::from_secs(70 + 3_600 * 3), &snapshot);
        assert_eq!(value(&values, "load/connections/15min"), None);
    }

    #[test]
    fn a_clock_that_stands_still_divides_nothing_by_zero() {
        let start = Instant::now();
        let mut topics = SysTopics::new(start);
        let snapshot = Snapshot { connects_received: 10, ..Snapshot::default() };
        let values = topics.update(start, &snapshot);
        assert_eq!(value(&values, "load/connections/1min"), Some("0.00"));
        let values = topics.update(start + Duration::from_secs(10), &snapshot);
        assert_eq!(value(&values, "load/connections/1min"), Some("9.21"), "nothing is lost");
    }

    #[test]
    fn a_counter_read_too_early_does_not_run_backwards() {
        let start = Instant::now();
        let mut topics = SysTopics::new(start);
        topics.update(start + Duration::from_secs(1), &Snapshot { sockets: 5, ..Snapshot::default() });
        let values = topics.update(
            start + Duration::from_secs(2),
            &Snapshot { sockets: 4, sessions: 1, sessions_connected: 2, ..Snapshot::default() },
        );
        assert_eq!(value(&values, "clients/disconnected"), None, "still 0");
        assert!(value(&values, "load/sockets/1min").is_some_and(|load| !load.starts_with('-')), "{values:?}");
    }
}
