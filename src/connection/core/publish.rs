//! PUBLISH from the client, and the acknowledgements that go with it (MQTT 5.0 §3.3, §4.3).

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::authentication::{TOKEN_TOPIC, begin_published};
use super::gate::Refusal;
use super::{ConnectionCounters, Ended, Established, Manner, Output, Problem, Throttle, Turn};
use crate::engine::{Attached, Engine, Message};
use crate::mqtt::packet::{Ack, Publish};
use crate::mqtt::{Packet, PacketId, QoS, ReasonCode, TopicName, Version};
use crate::policy::Allowance;

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
    ) -> Result<TopicName<'a>, Problem> {
        let Some(alias) = alias else {
            return topic.ok_or_else(|| ReasonCode::ProtocolError.into());
        };
        if alias.get() > maximum {
            let words = format!("Topic Alias {alias} is above the Topic Alias Maximum {maximum}");
            return Err(Problem::new(ReasonCode::TopicAliasInvalid, words));
        }
        let index = usize::from(alias.get()) - 1;
        let Some(topic) = topic else {
            return self.topics.get(index).cloned().flatten().ok_or_else(|| {
                Problem::new(ReasonCode::ProtocolError, format!("Topic Alias {alias} stands for no topic yet"))
            });
        };
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        self.topics[index] = Some(topic.clone().into_owned());
        Ok(topic)
    }
}

/// How many messages a client has under way on this Network Connection: what Receive Maximum bounds (MQTT 5.0 §3.3.4, §4.9).
///
/// A PUBLISH counts from when it comes until its PUBACK, its PUBCOMP or a PUBREC that says no is sent. One of QoS 1 is answered before
/// the next packet is looked at, so of however many that come in one burst, a single one counts at a time; only QoS 2 adds up, as its
/// PUBCOMP waits for the client's PUBREL. So a burst of QoS 1 exceeds nothing, unless QoS 2 has used all up before it.
#[derive(Debug)]
pub(super) struct Window {
    /// What earlier Network Connections left unreleased: each connection begins to count anew. Nearly always absent.
    carried: Option<Box<Carried>>,
    /// Whether there is anything to count.
    has_qos_2: bool,
}

/// Packet Identifiers of QoS 2 messages.
#[derive(Debug)]
struct Carried(Vec<PacketId>);

impl Window {
    /// The window of a connection that goes on with a session in which these messages are unreleased.
    pub(super) fn carrying(carried: Vec<PacketId>) -> Self {
        let carried = (!carried.is_empty()).then(|| Box::new(Carried(carried)));
        Self { carried, has_qos_2: false }
    }

    /// Whether one message more, of QoS 1 or 2, is one too many. `has_release`: it is of QoS 2.
    fn is_exceeded(&mut self, has_release: bool, maximum: usize, engine: &Engine, session: &Attached) -> bool {
        if !has_release && !self.has_qos_2 {
            return false;
        }
        let carried_count = self.carried.as_ref().map_or(0, |carried| carried.0.len());
        let count = engine.receiving_count(session).saturating_sub(carried_count);
        self.has_qos_2 = has_release || count > 0;
        count >= maximum
    }

    /// `packet_id` is sent again on this connection, or released.
    fn count_no_longer_as_carried(&mut self, packet_id: PacketId) {
        if let Some(carried) = &mut self.carried {
            carried.0.retain(|&carried| carried != packet_id);
        }
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
        let Publish { dup, qos, retain, topic, packet_id, properties, payload } = publish;
        let environment = turn.environment;
        let allowance = self.gate.allowance();
        if allowance.bounds_rate() || self.throttle.is_some() {
            let bytes = topic.as_ref().map_or(0, |topic| topic.len()) + properties.forwarded.len() + payload.len();
            self.pace(now, allowance, bytes, qos, turn)?;
        }
        let topic = self.aliases.resolve(topic, properties.topic_alias, environment.config.topic_alias_maximum)?;
        let has_release = qos == QoS::ExactlyOnce && manner.has_qos2_handshake;
        let Some(mut publishing) = self.session.publishing() else {
            // Taken over, and about to be told: what is not answered here comes again where the session goes on.
            return Ok(());
        };

        if has_release
            && let Some(packet_id) = packet_id
            && environment.engine.is_receiving(&self.session, packet_id)
        {
            // The same message again: it was published already, only PUBREC was lost (MQTT 5.0 [MQTT-4.3.3-10]).
            self.window.count_no_longer_as_carried(packet_id);
            answer(Ack::new(packet_id, ReasonCode::Success), qos, manner, turn);
            return Ok(());
        }
        let maximum = environment.config.receive_maximum_of(self.version);
        if qos != QoS::AtMostOnce && self.window.is_exceeded(has_release, maximum, &environment.engine, &self.session) {
            let words = format!("Receive Maximum of {maximum} exceeded");
            return Err(Problem::new(ReasonCode::ReceiveMaximumExceeded, words).into());
        }

        let expires_at =
            properties.message_expiry_interval_s.and_then(|s| now.checked_add(Duration::from_secs(u64::from(s))));
        let mut denial = None;
        let outcome = match topic.as_str() == TOKEN_TOPIC {
            // No policy sends a token on to anybody.
            true => match begin_published(&mut self.enhanced, packet_id, qos, manner) {
                Ok(before) => {
                    self.judge_published(&payload, packet_id.is_some(), before, manner, turn);
                    return Ok(());
                }
                Err(words) => Err(Refusal::Token(words)),
            },
            false => self.gate.publish(&topic, qos, retain, &payload, environment),
        };
        let reason = match outcome {
            Ok(stripped) => {
                let payload = stripped.as_ref().map_or(&*payload, |stripped| stripped.as_bytes());
                let message = Message::new(&topic, &properties.forwarded, payload, qos, retain).expiring_at(expires_at);
                match environment.engine.publish(now, Some(&mut publishing), &Arc::new(message), turn.round).receivers {
                    0 => ReasonCode::NoMatchingSubscribers,
                    _ => ReasonCode::Success,
                }
            }
            Err(refusal) => {
                refusal.count(&environment.counters);
                let verdict = self.gate.describe_refusal(&refusal, &topic);
                let (client_id, user) = (self.session.client_id(), self.gate.user());
                tracing::debug!(%client_id, user, %topic, %verdict, "publish denied");
                if dup && refusal.is_replay() {
                    // An honest client that has missed our PUBACK: its message went on the first time, and does not again.
                    ReasonCode::Success
                } else {
                    denial = Some(refusal.words());
                    self.denial_reason(refusal.reason_code())
                }
            }
        };
        let Some(packet_id) = packet_id else {
            return Ok(());
        };
        if has_release && !reason.is_failure() {
            let is_first = environment.engine.receive(&self.session, packet_id);
            debug_assert!(is_first, "asked before, and nobody takes the session over meanwhile");
        }
        let properties =
            denial.filter(|_| self.explains).map(|words| Box::new(self.explanation(&Problem::new(reason, words))));
        answer(Ack { packet_id, reason, properties }, qos, manner, turn);
        Ok(())
    }

    /// Enters a message of so many bytes into the accounts of the client's rates, and has it wait if it is too fast.
    fn pace(
        &mut self,
        now: Instant,
        allowance: Allowance,
        bytes: usize,
        qos: QoS,
        turn: &mut Turn<'_>,
    ) -> Result<(), Ended> {
        self.throttle = match self.throttle.take() {
            Some(throttle) if throttle.is_of(&allowance) => Some(throttle),
            // The policy is another one, or the client's token.
            Some(throttle) => (*throttle).under(now, allowance),
            None => Throttle::new(now, allowance),
        };
        let Some(throttle) = &mut self.throttle else { return Ok(()) };
        let pace = throttle.take(now, bytes, qos);
        let environment = turn.environment;
        if pace.is_first_excess {
            ConnectionCounters::count(&environment.counters.publishers_slowed);
            tracing::debug!(client_id = %self.session.client_id(), "publisher slowed");
            turn.outputs.push_back(Output::Slowed);
        }
        if pace.ahead_for > environment.config.rate_patience {
            let words = "messages come faster than this client may send them, and have for too long";
            return Err(Problem::new(ReasonCode::MessageRateTooHigh, words).into());
        }
        turn.outputs.extend(pace.hold_until.map(|until| Output::Hold { until }));
        Ok(())
    }

    /// What a denied PUBLISH is answered with: 3.1 and 3.1.1 have no negative acknowledgement, so the message is acknowledged as if
    /// it had gone on (MQTT 3.1.1 §3.3.5.2).
    pub(super) fn denial_reason(&self, reason: ReasonCode) -> ReasonCode {
        match self.version {
            Version::V5 => reason,
            Version::V3 | Version::V4 => ReasonCode::Success,
        }
    }

    /// PUBREL from the client: the identifier is free again (MQTT 5.0 §4.3.3).
    pub(super) fn handle_release(&mut self, ack: &Ack, turn: &mut Turn<'_>) {
        self.window.count_no_longer_as_carried(ack.packet_id);
        let reason = match turn.environment.engine.release(&self.session, ack.packet_id) {
            true => ReasonCode::Success,
            false => ReasonCode::PacketIdentifierNotFound,
        };
        turn.outputs.push_back(Output::Send(Packet::PubComp(Ack::new(ack.packet_id, reason))));
    }
}

/// Acknowledges a PUBLISH: PUBREC where a second handshake follows, PUBACK in every other case.
pub(super) fn answer(ack: Ack, qos: QoS, manner: Manner, turn: &mut Turn<'_>) {
    turn.outputs.push_back(Output::Send(match qos {
        QoS::ExactlyOnce if manner.has_qos2_handshake => Packet::PubRec(ack),
        _ => Packet::PubAck(ack),
    }));
}
