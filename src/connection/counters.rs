//! What connections count, for telemetry to show.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::mqtt::ReasonCode;

/// Counted since the start of the process, unless a field says otherwise.
#[derive(Debug)]
pub struct ConnectionCounters {
    /// Network Connections open at this moment.
    pub open: AtomicU64,
    /// Network Connections that reached the dialect.
    pub accepted: AtomicU64,
    /// CONNECTs answered with success.
    pub connected: AtomicU64,
    /// Bytes read from clients, after TLS.
    pub received_bytes: AtomicU64,
    /// Bytes written to clients, before TLS.
    pub sent_bytes: AtomicU64,
    /// CONNECT packets from clients.
    pub connects_received: AtomicU64,
    /// Packets of any kind from clients, messages of the JSON dialect among them.
    pub packets_received: AtomicU64,
    /// Packets to clients but PUBLISH, which the engine counts.
    pub answers_sent: AtomicU64,
    /// PUBLISH packets from clients.
    pub publishes_received: AtomicU64,
    /// Payload bytes of those.
    pub publish_bytes_received: AtomicU64,
    /// Times that an outbox had no room for a message.
    pub outbox_full: AtomicU64,
    /// Connections cut as the largest of those that do not read, when `memory_max` was reached and stayed so.
    pub readers_cut: AtomicU64,
    /// Messages larger than their receiver accepts.
    pub too_large: AtomicU64,
    /// Topic Aliases towards clients that were given to another topic, as every one was taken.
    pub topic_aliases_remapped: AtomicU64,
    /// PUBLISH refused by policy.
    pub publishes_denied: AtomicU64,
    /// Identities refused at CONNECT, as a rule of the policy would use what cannot stand in a topic.
    pub connects_denied: AtomicU64,
    /// CONNECTs refused as the user, or the address of one without a name, had as many connections as it may.
    pub connects_refused_user_full: AtomicU64,
    /// CONNECTs refused as another connection had the Client Identifier, by the rule `reject`.
    pub connects_refused_in_use: AtomicU64,
    /// CONNECTs refused as there were as many connections of the Client Identifier as may be, by the rule `suffix`.
    pub connects_refused_client_id_full: AtomicU64,
    /// CONNECTs refused as the Client Identifier had changed hands too often.
    pub connects_refused_takeovers: AtomicU64,
    /// Times that a client began to publish faster than it may, and was read no faster.
    pub publishers_slowed: AtomicU64,
    /// Subscriptions refused by policy.
    pub subscriptions_denied: AtomicU64,
    /// Messages whose envelope was opened, Wills included.
    pub envelopes_verified: AtomicU64,
    /// Payloads that were no envelope where one is needed.
    pub envelopes_malformed: AtomicU64,
    /// Envelopes from an unknown client, or with another token than its own.
    pub envelopes_bad_token: AtomicU64,
    /// Envelopes too far from the clock, or from before the start.
    pub envelopes_stale: AtomicU64,
    /// Envelopes seen before.
    pub envelopes_replayed: AtomicU64,
    /// Envelopes refused as no more can be remembered.
    pub envelopes_window_full: AtomicU64,
    /// Envelopes remembered at this moment.
    pub envelopes_remembered: AtomicU64,
    /// Messages of the JSON dialect answered with an error frame.
    pub json_mistakes: AtomicU64,
    /// WebSockets closed for what is no frame, or none of the right kind.
    pub frame_faults: AtomicU64,
    /// Clients that were due a warning, as their token expires soon.
    pub tokens_warned: AtomicU64,
    /// WebSockets closed as nothing came after pings: half-open, mostly.
    pub pings_unanswered: AtomicU64,
    /// Logins refused unseen, as too many from their address had failed.
    pub logins_penalized: AtomicU64,
    /// Failed logins that were told so only after a while.
    pub logins_delayed: AtomicU64,
    /// Tokens replaced in session by a later one.
    pub tokens_renewed: AtomicU64,
    /// Times that every session was judged by a new policy; one that a newer policy cut short counts as well.
    pub policy_reviews: AtomicU64,
    /// Connections closed as their token had expired.
    pub tokens_expired: AtomicU64,
    /// Connections closed by the server, by Reason Code.
    closed: [AtomicU64; 256],
}

impl ConnectionCounters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_closed(&self, reason: ReasonCode) {
        Self::count(&self.closed[usize::from(reason as u8)]);
    }

    /// Connections closed by the server with `reason`.
    #[must_use]
    pub fn closed(&self, reason: ReasonCode) -> u64 {
        self.closed[usize::from(reason as u8)].load(Ordering::Relaxed)
    }
}

impl Default for ConnectionCounters {
    fn default() -> Self {
        Self {
            open: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            connected: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            connects_received: AtomicU64::new(0),
            packets_received: AtomicU64::new(0),
            answers_sent: AtomicU64::new(0),
            publishes_received: AtomicU64::new(0),
            publish_bytes_received: AtomicU64::new(0),
            outbox_full: AtomicU64::new(0),
            readers_cut: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
            topic_aliases_remapped: AtomicU64::new(0),
            publishes_denied: AtomicU64::new(0),
            connects_denied: AtomicU64::new(0),
            connects_refused_user_full: AtomicU64::new(0),
            connects_refused_in_use: AtomicU64::new(0),
            connects_refused_client_id_full: AtomicU64::new(0),
            connects_refused_takeovers: AtomicU64::new(0),
            publishers_slowed: AtomicU64::new(0),
            tokens_warned: AtomicU64::new(0),
            pings_unanswered: AtomicU64::new(0),
            logins_penalized: AtomicU64::new(0),
            logins_delayed: AtomicU64::new(0),
            tokens_renewed: AtomicU64::new(0),
            tokens_expired: AtomicU64::new(0),
            subscriptions_denied: AtomicU64::new(0),
            policy_reviews: AtomicU64::new(0),
            envelopes_verified: AtomicU64::new(0),
            envelopes_malformed: AtomicU64::new(0),
            envelopes_bad_token: AtomicU64::new(0),
            envelopes_stale: AtomicU64::new(0),
            envelopes_replayed: AtomicU64::new(0),
            envelopes_window_full: AtomicU64::new(0),
            envelopes_remembered: AtomicU64::new(0),
            json_mistakes: AtomicU64::new(0),
            frame_faults: AtomicU64::new(0),
            closed: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}
