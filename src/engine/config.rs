//! What bounds the engine.

use std::time::Duration;

/// Every limit of the engine. Reaching one is counted in [`super::EngineCounters`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Bytes that may wait for one session: topic, properties and payload of each message, plus [`MESSAGE_OVERHEAD_BYTES`] for each.
    /// Beyond it, waiting QoS 0 messages go first, oldest first; then [`Self::queue_full`] decides. Default 1 MiB.
    pub queue_bytes_max: usize,
    /// Which QoS 1 and 2 messages a full queue loses. Default: the newest.
    pub queue_full: QueueFull,
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

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            queue_bytes_max: 1 << 20,
            queue_full: QueueFull::DropNewest,
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
