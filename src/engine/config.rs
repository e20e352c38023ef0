//! What bounds the engine.

use std::time::Duration;

use crate::mqtt::TopicFilter;

/// Every limit of the engine. Reaching one is counted in [`super::EngineCounters`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Bytes that may wait for one session: topic, properties and payload of each message, plus [`MESSAGE_OVERHEAD_BYTES`] for each.
    /// Beyond it, waiting QoS 0 messages go first, oldest first; then [`Self::queue_full`] decides. Default 1 MiB.
    pub queue_bytes_max: usize,
    /// Which QoS 1 and 2 messages a full queue loses. Default: the newest.
    pub queue_full: QueueFull,
    /// What becomes of messages for a client that does not read as fast as they come.
    pub slow_clients: SlowClients,
    /// QoS 1 and 2 messages unacknowledged towards one client, unless it asks for fewer (Receive Maximum). Default 64.
    pub inflight_max: u16,
    /// Sessions, connected or kept. Default 1,000,000; a kept session costs some 400 bytes beside what waits for it.
    pub sessions_max: usize,
    /// Subscriptions of one session. Default 10,000; each costs some 200 bytes beside its text.
    pub subscriptions_max: usize,
    /// Bytes of Topic Filter text of one session's Subscriptions together. Default 1 MiB.
    pub subscription_bytes_max: usize,
    /// Retained messages. Default 1,000,000. Replacing and clearing one is always allowed.
    pub retained_messages_max: usize,
    /// Bytes of all retained messages, counted as in `queue_bytes_max`. Default 256 MiB.
    pub retained_bytes_max: usize,
    /// The longest a session is kept after its Network Connection has closed, whatever the client asks for. Default 7 days.
    pub session_expiry_max: Duration,
}

/// What gives way where a queue is full of QoS 1 and 2 messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueFull {
    /// The message that arrives is not taken: what waits is a history without gaps.
    #[default]
    DropNewest,
    /// What has waited longest goes: what waits is the present.
    DropOldest,
}

/// What becomes of messages for clients whose outbox is full, by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlowClients {
    /// Where none of `topics` matches.
    pub when_full: WhenFull,
    /// The first whose Topic Filter matches decides.
    pub topics: Vec<(TopicFilter, WhenFull)>,
}

impl SlowClients {
    /// What holds for messages on `topic`.
    #[must_use]
    pub fn when_full(&self, topic: &str) -> WhenFull {
        let ruled = self.topics.iter().find(|(filter, _)| filter.matches(topic));
        ruled.map_or(self.when_full, |(_, when_full)| *when_full)
    }
}

/// What becomes of a message for a client whose outbox is full.
///
/// A QoS 1 or 2 message waits in the session's queue in any case, and [`EngineConfig::queue_full`] says which a full queue loses; what was
/// sent under a Packet Identifier is nobody's to give up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// At QoS 0 it is dropped.
    #[default]
    DropNewest,
    /// At QoS 0 it waits in the queue, and where that is full, the oldest QoS 0 message goes.
    DropOldest,
    /// As [`Self::DropOldest`]; and of the messages that wait on one Topic Name only the newest is kept, at any QoS, as long as they were not
    /// sent. Not for Shared Subscriptions.
    Conflate,
    /// The Network Connection is closed with 0x97 Quota exceeded, as it is when the queue would lose such a message.
    Disconnect,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            queue_bytes_max: 1 << 20,
            queue_full: QueueFull::DropNewest,
            slow_clients: SlowClients::default(),
            inflight_max: 64,
            sessions_max: 1_000_000,
            subscriptions_max: 10_000,
            subscription_bytes_max: 1 << 20,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 256 << 20,
            session_expiry_max: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// What a waiting message is counted as beside its own bytes, so that empty messages are bounded as well.
pub const MESSAGE_OVERHEAD_BYTES: usize = 64;
