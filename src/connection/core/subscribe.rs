//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0 §3.8 to §3.11).

use std::num::NonZeroU32;
use std::time::Instant;

use super::gate::residue_check;
use super::{ConnectionCounters, Established, Output, Problem, Turn};
use crate::engine::Lost;
use crate::engine::message::SubscribeRequest;
use crate::mqtt::packet::{SubAck, Subscribe, SubscribeOptions, Unsubscribe};
use crate::mqtt::property::AckProperties;
use crate::mqtt::{Packet, QoS, ReasonCode, TopicFilter, Version};
use crate::policy::SubscribeVerdict;

impl Established {
    pub(super) fn handle_subscribe(&self, now: Instant, subscribe: Subscribe, turn: &mut Turn<'_>) {
        let identifier = subscribe.properties.subscription_identifier;
        let count = subscribe.filters.len();
        // One Reason String has to do for all filters: the first that is refused has it.
        let mut properties = None;
        let mut refused = |index: usize, problem: &Problem| {
            properties.get_or_insert_with(|| match count {
                1 => self.explanation(problem),
                _ => {
                    let words = format!("Topic Filter {} of {count}: {}", index + 1, problem.words());
                    self.explanation(&Problem::new(problem.reason, words))
                }
            });
            problem.reason
        };
        let reasons = subscribe
            .filters
            .into_iter()
            .enumerate()
            .map(|(index, (filter, options))| match self.subscribe(filter, options, identifier, turn) {
                Ok(granted) => granted,
                // MQTT 3.1 §3.9 knows no failure, and its clients take 0x80 for anything: they are told the QoS that they asked for,
                // as mosquitto does, and never get a message for it. A denied PUBLISH is acknowledged in the same way.
                Err(_) if self.version == Version::V3 => granted(options.maximum_qos),
                Err(problem) => refused(index, &problem),
            })
            .collect();
        if self.gate.is_out_of_date(&turn.environment.policy) {
            // The policy was replaced since these were judged, and its review may have looked at this session before they were there.
            self.rejudge(now, true, turn);
        }
        let properties = properties.unwrap_or_default();
        turn.outputs.push_back(Output::Send(Packet::SubAck(SubAck {
            packet_id: subscribe.packet_id,
            properties,
            reasons,
        })));
        turn.outputs.push_back(Output::Pump);
    }

    fn subscribe(
        &self,
        filter: TopicFilter,
        mut options: SubscribeOptions,
        identifier: Option<NonZeroU32>,
        turn: &mut Turn<'_>,
    ) -> Result<ReasonCode, Problem> {
        let check = match self.gate.subscribe(&filter, options.maximum_qos) {
            SubscribeVerdict::Granted { maximum_qos } => {
                options.maximum_qos = maximum_qos;
                None
            }
            SubscribeVerdict::Filtered { maximum_qos, check } => {
                options.maximum_qos = maximum_qos;
                Some(residue_check(check))
            }
            SubscribeVerdict::Refused(verdict) => {
                ConnectionCounters::count(&turn.environment.counters.subscriptions_denied);
                let verdict = self.gate.describe(verdict);
                let (client_id, user) = (self.session.client_id(), self.gate.user());
                tracing::debug!(%client_id, user, %filter, %verdict, "subscription denied");
                // 3.1.1 spells every failure 0x80; the codec sees to that.
                return Err(Problem::new(
                    ReasonCode::NotAuthorized,
                    "not authorized to subscribe to this Topic Filter",
                ));
            }
        };
        let request = SubscribeRequest { filter, options, identifier, check };
        let said = self.gate.allowance().subscriptions_max.limit();
        let subscriptions_max = said.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        match turn.environment.engine.subscribe_within(&self.session, request, subscriptions_max) {
            Ok(()) => Ok(granted(options.maximum_qos)),
            Err(_) => {
                tracing::debug!(client_id = %self.session.client_id(), "subscription refused: too many");
                let words = "the session has as many Subscriptions as it may";
                Err(Problem::new(ReasonCode::QuotaExceeded, words))
            }
        }
    }

    pub(super) fn handle_unsubscribe(&self, now: Instant, unsubscribe: &Unsubscribe, turn: &mut Turn<'_>) {
        let reasons = unsubscribe
            .filters
            .iter()
            .map(|filter| match turn.environment.engine.unsubscribe(now, &self.session, filter, turn.round) {
                true => ReasonCode::Success,
                false => ReasonCode::NoSubscriptionExisted,
            })
            .collect();
        let properties = AckProperties::default();
        let packet_id = unsubscribe.packet_id;
        turn.outputs.push_back(Output::Send(Packet::UnsubAck(SubAck { packet_id, properties, reasons })));
    }

    /// Takes from the session what its owner may no longer have. `tells`: the client learns of it as of a new policy.
    pub(super) fn rejudge(&self, now: Instant, tells: bool, turn: &mut Turn<'_>) -> Lost {
        let lost = turn.environment.engine.review(now, &self.session, tells, turn.round);
        if !lost.is_nothing() {
            let client_id = self.session.client_id();
            let subscriptions_count = lost.subscriptions.len();
            let Lost { lessened_count, messages_count, has_will, .. } = lost;
            tracing::debug!(%client_id, subscriptions_count, lessened_count, messages_count, has_will, "session reviewed");
        }
        lost
    }
}

fn granted(maximum_qos: QoS) -> ReasonCode {
    match maximum_qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

impl super::ConnectionConfig {
    /// How many QoS 2 messages a client may have unreleased. Only 5.0 clients are told a Receive Maximum; for the older ones the
    /// 65,535 identifiers are the bound.
    pub(super) fn receive_maximum_of(&self, version: Version) -> usize {
        match version {
            Version::V5 => usize::from(self.receive_maximum),
            Version::V3 | Version::V4 => usize::from(u16::MAX),
        }
    }
}
