//! The settings of every Network Connection.

use std::time::Duration;

use super::ResponseInformation;

/// What bounds one Network Connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// How long a client may take from the end of the handshakes below MQTT to a whole CONNECT.
    ///
    /// Default 10 s. Until then a connection costs at most [`Self::connect_bytes_max`].
    pub connect_timeout: Duration,
    /// How long a peer may stay silent where no Keep Alive says so: the JSON dialect, and a packet begun but not finished.
    ///
    /// Default 75 s: three unanswered WebSocket pings.
    pub idle_timeout: Duration,
    /// How long a closing connection may take to take its last bytes before it is cut. Default 5 s.
    pub close_timeout: Duration,
    /// How long a WebSocket may be silent before it is sent a ping. Default 25 s: below every proxy's 60 s.
    pub ping_interval: Duration,
    /// Whether a WebSocket's pong counts towards Keep Alive, beyond what MQTT 5.0 [MQTT-3.1.2-22] counts. Default true: browsers
    /// slow the timers of pages in the background so far that the page's own pings come too late.
    pub do_pongs_keep_alive: bool,
    /// Bytes that may wait for a client that reads slowly, beyond what its socket takes.
    ///
    /// Default 1 MiB. A lone message may be larger; beyond it QoS 0 is dropped and counted, QoS 1 and 2 wait in the session.
    pub outbox_bytes_max: usize,
    /// The largest WebSocket message a client may send, fragments summed. Default 2 MiB. Beyond it: close code 1009.
    pub message_bytes_max: usize,
    /// The largest packet a client may send, fixed header included. Default 2 MiB. Beyond it: 0x95 Packet too large.
    pub packet_bytes_max: u32,
    /// The largest packet before the client is authenticated. Default 8 KiB and a Will's payload must fit.
    pub connect_bytes_max: u32,
    /// User Properties a packet may have. Default 64.
    pub user_properties_max: usize,
    /// Topic Filters a SUBSCRIBE or UNSUBSCRIBE may have. Default 256.
    pub filters_max: usize,
    /// Topic Aliases a client may set (MQTT 5.0 §3.2.2.3.8). Default 16; each keeps one Topic Name.
    pub topic_alias_maximum: u16,
    /// Topic Aliases the server sets towards a client that takes any (MQTT 5.0 §3.1.2.11.5); 0: none. Default 16.
    ///
    /// Each keeps one Topic Name of at most 1 KiB. When all are taken, the one not used for longest is given to the next topic.
    pub topic_aliases_out_max: u16,
    /// QoS 1 and 2 messages a client may have under way towards the server (MQTT 5.0 §3.2.2.3.3). Default 64.
    pub receive_maximum: u16,
    /// Messages in envelopes that are remembered against replay, of all connections. Default 500,000; each takes about 40 bytes.
    ///
    /// One is remembered until its timestamp is older than the policy's longest `max_age`. Beyond the limit the newest is refused.
    pub envelopes_remembered_max: usize,
    /// The longest Keep Alive a 5.0 client may choose; 0: any, none included (MQTT 5.0 §3.2.2.3.14). Default 0.
    pub keep_alive_max_s: u16,
    /// The longest Session Expiry Interval that is granted; the engine's own limit, told to the client in CONNACK.
    pub session_expiry_max: Duration,
    /// How long before its token expires a client is told, where its dialect has words for it. Default 60 s.
    pub token_warning: Duration,
    /// How long a connection outlives its token, for a new one to come. Default 30 s.
    pub token_grace: Duration,
    /// What becomes of the connection of a 5.0 client that loses a Subscription to a new policy. Default: it ends.
    pub revoked: Revoked,
    /// What a 5.0 client that asks for Response Information is told. Default none.
    pub response_information: Option<ResponseInformation>,
    /// Whether an MQTT 3.1 client may have a Client Identifier of more than the 23 characters that 3.1 allows. Default no.
    pub has_long_client_ids: bool,
}

/// What a 5.0 client sees of a Subscription that it has lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revoked {
    /// DISCONNECT 0x87, whose Reason String names the Topic Filter: the only way there is to tell it.
    #[default]
    Disconnect,
    /// Nothing: the Subscription is gone, and the connection goes on.
    Keep,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            close_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(25),
            do_pongs_keep_alive: true,
            outbox_bytes_max: 1024 * 1024,
            message_bytes_max: 2 * 1024 * 1024,
            packet_bytes_max: 2 * 1024 * 1024,
            connect_bytes_max: 8 * 1024,
            user_properties_max: 64,
            filters_max: 256,
            topic_alias_maximum: 16,
            topic_aliases_out_max: 16,
            receive_maximum: 64,
            envelopes_remembered_max: 500_000,
            keep_alive_max_s: 0,
            session_expiry_max: Duration::from_secs(7 * 24 * 3600),
            token_warning: Duration::from_secs(60),
            token_grace: Duration::from_secs(30),
            revoked: Revoked::Disconnect,
            response_information: None,
            has_long_client_ids: false,
        }
    }
}
