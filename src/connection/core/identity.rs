//! Who a session belongs to, as the engine keeps it: so that what lives without a connection can be judged as well.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::gate::residue_check;
use super::policies::Policies;
use crate::auth::Principal;
use crate::engine::message::{Grant, Message, Owner, Rights};
use crate::mqtt::{ClientId, QoS, TopicFilter};
use crate::policy::{Access, BindError, Policy, SubscribeVerdict};

/// A principal by its client, with the policy that judges it: for a session that is away, as it last authenticated.
#[derive(Debug)]
pub(in crate::connection) struct Identity {
    principal: Principal,
    client_id: ClientId,
    policies: Arc<Policies>,
    /// Whom the Will is from, if it came in an envelope.
    will_sealed_by: OnceLock<Box<str>>,
}

impl Identity {
    pub(super) fn new(principal: Principal, client_id: &str, policies: &Arc<Policies>) -> Arc<Self> {
        Arc::new(Self {
            principal,
            client_id: ClientId::new(client_id),
            policies: Arc::clone(policies),
            will_sealed_by: OnceLock::new(),
        })
    }

    /// The same client, as it has proven anew to be.
    pub(super) fn renewed(&self, principal: Principal) -> Arc<Self> {
        Arc::new(Self {
            principal,
            client_id: self.client_id.clone(),
            policies: Arc::clone(&self.policies),
            will_sealed_by: self.will_sealed_by.clone(),
        })
    }

    /// Notes whom the Will is from, as its envelope has proven.
    pub(super) fn seal_will(&self, client_id: &str) {
        // There is one CONNECT, so nobody has done so before.
        let _ = self.will_sealed_by.set(client_id.into());
    }

    /// What it may do, and by which generation of the policy, or a later one.
    pub(super) fn bind(&self) -> Result<(u64, Access), BindError> {
        let generation = self.policies.generation();
        Ok((generation, self.policies.load().bind(&self.principal, self.client_id.as_str())?))
    }

    /// What it could do under another policy.
    pub(in crate::connection) fn bind_to(&self, policy: &Policy) -> Result<Access, BindError> {
        policy.bind(&self.principal, self.client_id.as_str())
    }

    /// Why `access`, which is this identity's, does not let its Will be published.
    ///
    /// Judged as the gate judged it when it was made, but for its envelope: no timestamp in it could be fresh.
    pub(in crate::connection) fn will_refusal(&self, access: &Access, will: &Message) -> Option<String> {
        let topic = will.topic();
        let access = match (access.envelope(topic), self.will_sealed_by.get()) {
            (None, _) => Ok(access.clone()),
            (Some(_), Some(client_id)) => access.as_client(client_id).map_err(|error| error.to_string()),
            (Some(rule), None) => Err(format!("it is not from any client: {rule}")),
        };
        match access {
            Ok(access) => {
                let verdict = access.publish(topic, will.qos, will.retain, will.payload().len());
                (!verdict.allow).then(|| access.describe(verdict).to_string())
            }
            Err(refusal) => Some(refusal),
        }
    }
}

impl Owner for Identity {
    fn name(&self) -> &str {
        &self.principal.username
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn rights(self: Arc<Self>) -> Option<Box<dyn Rights>> {
        match self.bind() {
            Ok((_, access)) => Some(Box::new(Bound { identity: self, access })),
            Err(error) => {
                tracing::debug!(client_id = %self.client_id, %error, "identity refused");
                None
            }
        }
    }
}

/// An identity as one snapshot of the policy sees it.
#[derive(Debug)]
struct Bound {
    identity: Arc<Identity>,
    access: Access,
}

impl Rights for Bound {
    fn subscribe(&self, filter: &TopicFilter, maximum_qos: QoS) -> Option<Grant> {
        match self.access.subscribe(filter, maximum_qos) {
            SubscribeVerdict::Granted { maximum_qos } => Some(Grant { maximum_qos, check: None }),
            SubscribeVerdict::Filtered { maximum_qos, check } => {
                Some(Grant { maximum_qos, check: Some(residue_check(check)) })
            }
            SubscribeVerdict::Refused(verdict) => {
                let verdict = self.access.describe(verdict);
                tracing::debug!(client_id = %self.identity.client_id, %filter, %verdict, "Subscription revoked");
                None
            }
        }
    }

    fn receive(&self, topic: &str) -> bool {
        let verdict = self.access.receive(topic);
        if !verdict.allow {
            let verdict = self.access.describe(verdict);
            tracing::debug!(client_id = %self.identity.client_id, topic, %verdict, "message revoked");
        }
        verdict.allow
    }

    fn publish_will(&self, will: &Message) -> bool {
        let refusal = self.identity.will_refusal(&self.access, will);
        if let Some(verdict) = &refusal {
            tracing::debug!(client_id = %self.identity.client_id, topic = will.topic(), verdict, "Will revoked");
        }
        refusal.is_none()
    }
}
