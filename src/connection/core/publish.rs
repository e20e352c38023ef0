//! PUBLISH from the client, and the acknowledgements that go with it (MQTT 5.0 §3.3, §4.3).

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ConnectionCounters, Ended, Established, Manner, Output, Turn};
use crate::engine::Message;
use crate::mqtt::packet::{Ack, Publish};
use crate::mqtt::{Packet, PacketId, QoS, ReasonCode, TopicName, Version};

/// The Topic Names that a client's Topic Aliases stand for, for this Network Connection only (MQTT 5.0 §3.3.2.3.4).
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// Index: alias minus one. As long as the highest alias in use.
    topics: Vec<Option<TopicName<'static>>>,
}

impl Aliases {
    /// The topic that `publish` is about, and remembers it if an alias is set for it.
    ///
    /// # Errors
    /// 0x94 for an alias above `maximum`; 0x82 for one that stands for nothing (MQTT 5.0 §3.3.4).
    fn resolve<'a>(
        &'a mut self,
        topic: Option<TopicName<'a>>,
        alias: Option<NonZeroU16>,
        maximum: u16,
    ) -> Result<TopicName<'a>, ReasonCode> {
        let Some(alias) = alias else {
            return topic.ok_or(ReasonCode::ProtocolError);
        };
        if alias.get() > maximum {
            return Err(ReasonCode::TopicAliasInvalid);
        }
        let index = usize::from(alias.get()) - 1;
        let Some(topic) = topic else {
            return self.topics.get(index).cloned().flatten().ok_or(ReasonCode::ProtocolError);
        };
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        self.topics[index] = Some(topic.clone().into_owned());
        Ok(topic)
    }
}

impl Established {
    pub(super) fn handle_publish(
        &mut self,
        now: Instant,
        publish: Publish<'_>,
        manner: Manner,
        turn: &mut Turn<'_>,
    ) -> Result<(), Ended> {
        let Publish { qos, retain, topic, packet_id, properties, payload, .. } = publish;
        let environment = turn.environment;
        ConnectionCounters::count(&environment.counters.publishes_received);
        let topic = self.aliases.resolve(topic, properties.topic_alias, environment.config.topic_alias_maximum)?;
        let has_release = qos == QoS::ExactlyOnce && manner.has_qos2_handshake;

        if has_release && let Some(packet_id) = packet_id {
            if environment.engine.is_receiving(&self.session, packet_id) {
                // The same message again: it was published already, only PUBREC was lost (MQTT 5.0 [MQTT-4.3.3-10]).
                answer(packet_id, qos, ReasonCode::Success, manner, turn);
                return Ok(());
            }
            if environment.engine.receiving_count(&self.session) >= environment.config.receive_maximum_of(self.version)
            {
                return Err(ReasonCode::ReceiveMaximumExceeded.into());
            }
        }

        let expires_at =
            properties.message_expiry_interval_s.and_then(|s| now.checked_add(Duration::from_secs(u64::from(s))));
        let reason = match self.gate.publish(&topic, qos, retain, &payload) {
            Ok(()) => {
                let message =
                    Message::new(&topic, &properties.forwarded, &payload, qos, retain).expiring_at(expires_at);
                match environment.engine.publish(now, Some(&self.session), &Arc::new(message), turn.round).receivers {
                    0 => ReasonCode::NoMatchingSubscribers,
                    _ => ReasonCode::Success,
                }
            }
            Err(verdict) => {
                ConnectionCounters::count(&environment.counters.publishes_denied);
                let verdict = self.gate.describe(verdict);
                tracing::debug!(client_id = %self.session.client_id(), %topic, %verdict, "publish denied");
                self.denial_reason()
            }
        };
        let Some(packet_id) = packet_id else {
            return Ok(());
        };
        if has_release && !reason.is_failure() {
            let is_first = environment.engine.receive(&self.session, packet_id);
            debug_assert!(is_first, "asked before, and only this connection receives for its session");
        }
        answer(packet_id, qos, reason, manner, turn);
        Ok(())
    }

    /// What a denied PUBLISH is answered with: 3.1 and 3.1.1 have no negative acknowledgement, so the message is acknowledged as if
    /// it had gone on (MQTT 3.1.1 §3.3.5.2).
    fn denial_reason(&self) -> ReasonCode {
        match self.version {
            Version::V5 => ReasonCode::NotAuthorized,
            Version::V3 | Version::V4 => ReasonCode::Success,
        }
    }

    /// PUBREL from the client: the identifier is free again (MQTT 5.0 §4.3.3).
    pub(super) fn handle_release(&self, ack: &Ack, turn: &mut Turn<'_>) {
        let reason = match turn.environment.engine.release(&self.session, ack.packet_id) {
            true => ReasonCode::Success,
            false => ReasonCode::PacketIdentifierNotFound,
        };
        turn.outputs.push_back(Output::Send(Packet::PubComp(Ack::new(ack.packet_id, reason))));
    }
}

/// Acknowledges a PUBLISH: PUBREC where a second handshake follows, PUBACK in every other case.
fn answer(packet_id: PacketId, qos: QoS, reason: ReasonCode, manner: Manner, turn: &mut Turn<'_>) {
    let ack = Ack::new(packet_id, reason);
    turn.outputs.push_back(Output::Send(match qos {
        QoS::ExactlyOnce if manner.has_qos2_handshake => Packet::PubRec(ack),
        _ => Packet::PubAck(ack),
    }));
}
