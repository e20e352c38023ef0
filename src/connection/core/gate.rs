//! The one place where a connection asks the policy.
//!
//! Every operation of every dialect passes here: PUBLISH, SUBSCRIBE, the Will at CONNECT. What a session holds already is judged by its
//! [`Identity`], when the policy is replaced, when its owner comes back or proves anew who it is, and when the Will fires. What a denial
//! looks like to the client is decided by the caller; that it was one is decided here.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::identity::Identity;
use super::policies::Policies;
use super::{ConnectionCounters, Environment, envelopes};
use crate::engine::message::{DeliveryCheck, Owner};
use crate::mqtt::packet::Will;
use crate::mqtt::{QoS, ReasonCode, TopicFilter};
use crate::policy::envelope::{EnvelopeFault, Opened};
use crate::policy::{self, Access, Allowance, BindError, Reason, SubscribeVerdict, Verdict};

/// What one identity may do, as the policy in force says.
#[derive(Debug)]
pub(super) struct Gate {
    identity: Arc<Identity>,
    /// Of the policy that `access` is of.
    generation: u64,
    access: Access,
    /// The latest publications that were allowed: nearly everybody publishes to the same few topics again and again.
    allowed: Vec<Allowed>,
    /// Which of `allowed` goes next, when it is full.
    oldest: usize,
}

/// How many allowed publications a connection remembers.
const ALLOWED_MAX: usize = 4;

/// Topics longer than this are not remembered, so that memory stays small whatever a client publishes to.
const ALLOWED_TOPIC_BYTES_MAX: usize = 256;

/// A publication that the policy allowed. Whatever asks for less on the same topic is allowed as well: a lower QoS, no RETAIN, a
/// shorter payload.
#[derive(Debug)]
struct Allowed {
    topic: Box<str>,
    qos: QoS,
    retain: bool,
    payload_bytes: usize,
}

impl Gate {
    /// Binds the policy in force to who is connected.
    ///
    /// # Errors
    /// The identity cannot stand in a rule's placeholder.
    pub(super) fn new(identity: Arc<Identity>) -> Result<Self, BindError> {
        let (generation, access) = identity.bind()?;
        Ok(Self { identity, generation, access, allowed: Vec::new(), oldest: 0 })
    }

    /// Binds the policy in force, if it is another one. To be called before anything is judged: one load and one comparison.
    ///
    /// `policies` are those of the identity, which would have to be fetched from memory for each packet.
    ///
    /// # Errors
    /// The identity cannot stand in a rule's placeholder: it would be refused at CONNECT.
    pub(super) fn refresh(&mut self, policies: &Policies) -> Result<(), BindError> {
        if self.is_out_of_date(policies) {
            *self = Self::new(Arc::clone(&self.identity))?;
        }
        Ok(())
    }

    /// Whether the policy was replaced since the last [`Self::refresh`].
    pub(super) fn is_out_of_date(&self, policies: &Policies) -> bool {
        policies.generation() != self.generation
    }

    pub(super) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Who it is, for the log.
    pub(super) fn user(&self) -> &str {
        self.identity.name()
    }

    /// How much the client may do in all, whatever the topic.
    pub(super) fn allowance(&self) -> Allowance {
        self.access.allowance()
    }

    /// Whether a message may go on; if so and it came in an envelope, what goes on instead of its payload.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        qos: QoS,
        retain: bool,
        payload: &[u8],
        environment: &Environment,
    ) -> Result<Option<String>, Refusal> {
        let opened = self.admit(topic, qos, retain, payload, environment)?;
        Ok(opened.map(|opened| opened.payload))
    }

    fn admit(
        &mut self,
        topic: &str,
        qos: QoS,
        retain: bool,
        payload: &[u8],
        environment: &Environment,
    ) -> Result<Option<Opened>, Refusal> {
        let payload_bytes = payload.len();
        // What is remembered came without an envelope, and could.
        if self.allowed.iter().any(|allowed| allowed.includes(topic, qos, retain, payload_bytes)) {
            return Ok(None);
        }
        if let Some(rule) = self.access.envelope(topic) {
            let opened = environment.envelopes.open(rule, payload)?;
            let access = self.access.as_client(&opened.client_id)?;
            let verdict = access.publish(topic, qos, retain, opened.payload.len());
            if !verdict.allow {
                return Err(Refusal::Verdict { verdict, sealed_by: Some(opened.client_id) });
            }
            environment.envelopes.admit(&opened, &environment.counters)?;
            return Ok(Some(opened));
        }
        let verdict = self.access.publish(topic, qos, retain, payload_bytes);
        if !verdict.allow {
            return Err(Refusal::Verdict { verdict, sealed_by: None });
        }
        if topic.len() <= ALLOWED_TOPIC_BYTES_MAX {
            self.remember(Allowed { topic: topic.into(), qos, retain, payload_bytes });
        }
        Ok(None)
    }

    /// Why a message to `topic` was refused, for the log: with the rule that made it, and whom an envelope was from.
    pub(super) fn describe_refusal(&self, refusal: &Refusal, topic: &str) -> String {
        let rule = self.access.envelope(topic).map(ToString::to_string).unwrap_or_default();
        match refusal {
            Refusal::Verdict { verdict, sealed_by: None } => self.describe(*verdict).to_string(),
            Refusal::Verdict { verdict, sealed_by: Some(client_id) } => {
                format!("{}; as client {client_id:?}", self.describe(*verdict))
            }
            Refusal::Envelope(fault) => format!("{fault}: {rule}"),
            Refusal::Client(error) => format!("{error}: {rule}"),
            Refusal::Token(words) => format!("token: {words}"),
        }
    }

    /// A verdict in words, with the rule that made it, for the log.
    pub(super) fn describe(&self, verdict: Verdict) -> impl fmt::Display + '_ {
        self.access.describe(verdict)
    }

    fn remember(&mut self, allowed: Allowed) {
        if let Some(known) = self.allowed.iter_mut().find(|known| known.topic == allowed.topic) {
            *known = allowed;
        } else if self.allowed.len() < ALLOWED_MAX {
            self.allowed.push(allowed);
        } else {
            self.allowed[self.oldest] = allowed;
            self.oldest = (self.oldest + 1) % ALLOWED_MAX;
        }
    }

    /// Judges a Will when it is made. Its envelope is opened then and no more: when it fires, no timestamp in it could be fresh.
    ///
    /// # Errors
    /// Why it may not be published.
    pub(super) fn will(&mut self, will: &mut Will, environment: &Environment) -> Result<(), Refusal> {
        if let Some(opened) = self.admit(will.topic.as_str(), will.qos, will.retain, &will.payload, environment)? {
            self.identity.seal_will(&opened.client_id);
            will.payload = opened.payload.into();
        }
        Ok(())
    }

    pub(super) fn subscribe(&self, filter: &TopicFilter, qos: QoS) -> SubscribeVerdict {
        self.access.subscribe(filter, qos)
    }
}

/// Why a message does not go on.
#[derive(Debug)]
pub(super) enum Refusal {
    Verdict {
        verdict: Verdict,
        /// Whom it is from, if it came in an envelope: as who it was judged.
        sealed_by: Option<String>,
    },
    Envelope(EnvelopeFault),
    /// Whom the envelope is from cannot stand in a rule that would use it.
    Client(BindError),
    /// It was a token for the server, which cannot be judged now.
    Token(&'static str),
}

impl Refusal {
    /// How a version that has one spells it.
    pub(super) fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Envelope(EnvelopeFault::Shape(_)) => ReasonCode::PayloadFormatInvalid,
            Self::Envelope(EnvelopeFault::WindowFull) => ReasonCode::QuotaExceeded,
            Self::Verdict { verdict, .. } => verdict.reason_code(),
            Self::Envelope(_) | Self::Client(_) | Self::Token(_) => ReasonCode::NotAuthorized,
        }
    }

    /// What the client is told: what it may not do, and nothing of what it could.
    pub(super) fn words(&self) -> Cow<'static, str> {
        match self {
            Self::Verdict { verdict, .. } => denial_of_publish(*verdict).into(),
            Self::Envelope(fault) => fault.to_string().into(),
            Self::Client(_) => "this client_id cannot stand in a topic, which the server needs it for".into(),
            Self::Token(words) => (*words).into(),
        }
    }

    /// Whether the message was let through before.
    pub(super) fn is_replay(&self) -> bool {
        matches!(self, Self::Envelope(EnvelopeFault::Replayed))
    }

    pub(super) fn count(&self, counters: &ConnectionCounters) {
        match self {
            Self::Envelope(fault) => envelopes::count(*fault, counters),
            Self::Verdict { .. } | Self::Client(_) | Self::Token(_) => {
                ConnectionCounters::count(&counters.publishes_denied)
            }
        }
    }
}

impl From<EnvelopeFault> for Refusal {
    fn from(fault: EnvelopeFault) -> Self {
        Self::Envelope(fault)
    }
}

impl From<BindError> for Refusal {
    fn from(error: BindError) -> Self {
        Self::Client(error)
    }
}

fn denial_of_publish(verdict: Verdict) -> &'static str {
    match verdict.reason {
        Reason::QosTooHigh { .. } => "not authorized to publish to this topic at this QoS",
        Reason::PayloadTooLarge { .. } => "not authorized to publish a payload of this size to this topic",
        Reason::RetainNotAllowed => "not authorized to publish to this topic with RETAIN",
        _ => "not authorized to publish to this topic",
    }
}

impl Allowed {
    fn includes(&self, topic: &str, qos: QoS, retain: bool, payload_bytes: usize) -> bool {
        *self.topic == *topic && qos <= self.qos && retain <= self.retain && payload_bytes <= self.payload_bytes
    }
}

/// The policy's check of a residue, as the engine asks for it at each delivery.
pub(super) fn residue_check(check: policy::DeliveryCheck) -> Arc<dyn DeliveryCheck> {
    Arc::new(Residue(check))
}

#[derive(Debug)]
struct Residue(policy::DeliveryCheck);

impl DeliveryCheck for Residue {
    fn allows(&self, topic: &str) -> bool {
        self.0.allows(topic)
    }
}
