//! Short words for what the tests of the engine do with a [`World`].

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use crate::engine::message::{Closing, OpenSession, SessionWill, SubscribeRequest};
pub(crate) use crate::engine::model::world::{
    Client, Copy, Law, Mailbox, OnlyTopic, Sent, World, filter, id, message, request,
};
use crate::engine::{EngineConfig, Published};
use crate::mqtt::QoS;

impl Mailbox {
    /// Takes what was published, in short: `topic=payload`, with `!` for DUP and `r` for RETAIN in front.
    pub(crate) fn payloads(&self) -> Vec<String> {
        let short = |sent| match sent {
            Sent::Publish(copy) => format!(
                "{}{}{}={}",
                if copy.dup { "!" } else { "" },
                if copy.retain { "r:" } else { "" },
                copy.topic,
                copy.payload
            ),
            Sent::PubRel(packet_id) => format!("PUBREL {packet_id}"),
            Sent::Revoked(filter) => format!("revoked {filter}"),
        };
        self.take().into_iter().map(short).collect()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(EngineConfig::default())
    }

    pub(crate) fn with(config: EngineConfig) -> Self {
        Self::starting(config, Instant::now())
    }

    /// Connects with a clean start and no kept session.
    pub(crate) fn connect(&mut self, client_id: &str) -> Client {
        self.connect_with(client_id, |_| {})
    }

    /// Connects to a session that is kept for an hour.
    pub(crate) fn connect_kept(&mut self, client_id: &str) -> Client {
        self.connect_with(client_id, |open| {
            open.clean_start = false;
            open.expiry_interval_s = 3600;
        })
    }

    pub(crate) fn connect_with(&mut self, client_id: &str, change: impl FnOnce(&mut OpenSession)) -> Client {
        let client = self.open(client_id, change).expect("the session opens");
        self.pump(&client);
        client
    }

    /// Subscribes at `qos` and pumps.
    pub(crate) fn subscribe(&mut self, client: &Client, filter: &str, qos: QoS) {
        self.subscribe_with(client, filter, |request| request.options.maximum_qos = qos);
    }

    pub(crate) fn subscribe_with(&mut self, client: &Client, filter: &str, change: impl FnOnce(&mut SubscribeRequest)) {
        let mut request = request(filter);
        change(&mut request);
        self.engine.subscribe(&client.attached, request).expect("within the quota");
        self.pump(client);
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: &str, qos: QoS) -> Published {
        self.publish_message(None, message(topic, payload, qos, false))
    }

    pub(crate) fn retain(&mut self, topic: &str, payload: &str, qos: QoS) -> Published {
        self.publish_message(None, message(topic, payload, qos, true))
    }

    /// The server's own word, retained.
    pub(crate) fn announce(&mut self, topic: &str, payload: &str) {
        let message = Arc::new(message(topic, payload, QoS::AtMostOnce, true));
        self.engine.announce(self.now, &message, &mut self.round);
        self.flush();
    }

    /// Closes as after a loss: with the Will.
    pub(crate) fn lose(&mut self, client: Client) {
        self.close(client, Closing { publish_will: true, expiry_interval_s: None });
    }

    /// Closes as after DISCONNECT 0x00.
    pub(crate) fn disconnect(&mut self, client: Client) {
        self.close(client, Closing { publish_will: false, expiry_interval_s: None });
    }
}

pub(crate) fn will(topic: &str, payload: &str, delay_interval_s: u32) -> SessionWill {
    let message = Arc::new(message(topic, payload, QoS::AtMostOnce, false));
    SessionWill { message, delay_interval_s, message_expiry_interval_s: None }
}

pub(crate) fn identifier(value: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(value)
}
