//! What one identity may do.

use std::fmt;
use std::sync::Arc;

use crate::mqtt::{QoS, TopicFilter, topic};

use super::compile::{Compiled, CompiledRole};
use super::decide::{self, Values};
use super::envelope::EnvelopeRule;
use super::file::Partial;
use super::limits::{Allowance, Limits};
use super::rule::Rule;
use super::trie::{Entry, NO_RULE, Want};
use super::verdict::{BindError, Reason, RuleRef, SubscribeVerdict, Verdict};

/// What one identity may do: the answers of one policy, for one username, client identifier and set of claims.
///
/// Cheap to clone; holds its policy, a list of roles and the bound values, and no rules of its own.
#[derive(Clone)]
pub struct Access {
    bound: Arc<Bound>,
}

struct Bound {
    policy: Arc<Compiled>,
    /// Each once, in order.
    roles: Box<[usize]>,
    values: Box<Values>,
    allowance: Allowance,
}

/// Judges each delivery of a Subscription that was granted in part.
#[derive(Clone, Debug)]
pub struct DeliveryCheck {
    access: Access,
}

impl Access {
    pub(super) fn new(policy: Arc<Compiled>, roles: Vec<usize>, values: Vec<Option<Box<str>>>) -> Self {
        let allowance = policy.allowance(&roles);
        Self { bound: Arc::new(Bound { policy, roles: roles.into(), values: values.into(), allowance }) }
    }

    /// How much this identity may do in all, whatever the topic.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        self.bound.allowance
    }

    /// Whether a message with these traits may be published to `topic`, a valid Topic Name. For a Will just the same.
    pub fn publish(&self, topic: &str, qos: QoS, retain: bool, payload_bytes: usize) -> Verdict {
        if topic::is_server_owned(topic) {
            return Verdict::refused(None, Reason::ServerOwned);
        }
        let mut denied = NO_RULE;
        let mut granted = NO_RULE;
        let mut out_of_bounds: Option<(u32, Reason)> = None;
        for role in self.roles() {
            decide::for_each_covering(&role.trie, &self.bound.values, topic, &mut |entry: &Entry| {
                if entry.is(Want::DenyWrite) {
                    denied = denied.min(entry.rule);
                } else if entry.is(Want::AllowWrite) {
                    match out_of_bounds_of(entry, &role.limits, qos, retain, payload_bytes) {
                        None => granted = granted.min(entry.rule),
                        Some(reason) if out_of_bounds.is_none_or(|(rule, _)| entry.rule < rule) => {
                            out_of_bounds = Some((entry.rule, reason));
                        }
                        Some(_) => {}
                    }
                }
            });
        }
        match (denied, granted, out_of_bounds) {
            (NO_RULE, NO_RULE, None) => Verdict::refused(None, Reason::NoGrant),
            (NO_RULE, NO_RULE, Some((rule, reason))) => Verdict::refused(Some(RuleRef(rule)), reason),
            (NO_RULE, granted, _) => Verdict::granted(RuleRef(granted)),
            (denied, _, _) => Verdict::refused(Some(RuleRef(denied)), Reason::Denied),
        }
    }

    /// Whether a message published to `topic`, a valid Topic Name, may be delivered.
    pub fn receive(&self, topic: &str) -> Verdict {
        let (denied, granted, _) = self.readers_covering(topic);
        match (denied, granted) {
            (NO_RULE, NO_RULE) => Verdict::refused(None, Reason::NoGrant),
            (NO_RULE, granted) => Verdict::granted(RuleRef(granted)),
            (denied, _) => Verdict::refused(Some(RuleRef(denied)), Reason::Denied),
        }
    }

    /// Whether `filter` may be subscribed to at `qos`; `$share/NAME/FILTER` is judged as FILTER.
    pub fn subscribe(&self, filter: &TopicFilter, qos: QoS) -> SubscribeVerdict {
        let (verdict, maximum_qos) = self.judge_filter(filter);
        match (verdict.reason, self.bound.policy.partial) {
            (Reason::Granted, _) => SubscribeVerdict::Granted { maximum_qos: maximum_qos.min(qos) },
            (Reason::PartlyGranted, Partial::Filter) => SubscribeVerdict::Filtered {
                maximum_qos: maximum_qos.min(qos),
                check: DeliveryCheck { access: self.clone() },
            },
            _ => SubscribeVerdict::Refused(verdict),
        }
    }

    /// What is asked of a message to `topic`, a valid Topic Name, if it has to carry its own identity. Of several entries the first.
    #[must_use]
    pub fn envelope(&self, topic: &str) -> Option<&EnvelopeRule> {
        let envelopes = &self.bound.policy.envelopes;
        if envelopes.rules.is_empty() {
            return None;
        }
        let mut first = NO_RULE;
        decide::for_each_covering(&envelopes.trie, &self.bound.values, topic, &mut |entry: &Entry| {
            first = first.min(entry.rule);
        });
        envelopes.rules.get(first as usize)
    }

    /// The same identity as another client: who a message says it is from, once that is proven.
    ///
    /// # Errors
    /// If a rule would use the client identifier and it cannot stand as one level.
    pub fn as_client(&self, client_id: &str) -> Result<Self, BindError> {
        let Bound { policy, roles, values, .. } = &*self.bound;
        let mut values = values.to_vec();
        match policy.rebind(roles, &mut values, client_id)? {
            true => Ok(Self::new(Arc::clone(policy), roles.to_vec(), values)),
            false => Ok(self.clone()),
        }
    }

    /// The rule that a verdict of this access names.
    #[must_use]
    pub fn rule(&self, rule: RuleRef) -> Option<&Rule> {
        self.bound.policy.rule(rule)
    }

    /// A verdict as the log says it: the reason, and the rule with its file and line.
    #[must_use]
    pub fn describe(&self, verdict: Verdict) -> impl fmt::Display + '_ {
        Described { rule: verdict.rule.and_then(|rule| self.rule(rule)), reason: verdict.reason }
    }

    /// The verdict on a filter, and the QoS up to which it holds.
    ///
    /// [`Reason::PartlyGranted`] names the grant or the deny that makes it part of the filter only.
    pub(super) fn judge_filter(&self, filter: &TopicFilter) -> (Verdict, QoS) {
        let filter = filter.filter();
        let (denied_whole, granted_whole, maximum_qos) = self.readers_covering(filter);
        if denied_whole != NO_RULE {
            return (Verdict::refused(Some(RuleRef(denied_whole)), Reason::Denied), maximum_qos);
        }
        let denied = self.first_meeting(filter, Want::DenyRead);
        if granted_whole != NO_RULE && denied == NO_RULE {
            return (Verdict::granted(RuleRef(granted_whole)), maximum_qos);
        }
        let granted = self.first_meeting(filter, Want::AllowRead);
        if granted == NO_RULE {
            return (Verdict::refused(None, Reason::NoGrant), maximum_qos);
        }
        // Deliveries come under any of the grants that meet the filter, so the lowest bound among them holds.
        let lowest = |role: &CompiledRole| decide::lowest_read_qos_meeting(&role.trie, &self.bound.values, filter);
        let maximum_qos = self.roles().map(lowest).min().unwrap_or_default();
        let decisive = if granted_whole == NO_RULE { granted } else { denied };
        (Verdict::refused(Some(RuleRef(decisive)), Reason::PartlyGranted), maximum_qos)
    }

    /// The first deny and the first grant to read all of `filter` (a name or a filter), and the highest QoS of such grants.
    fn readers_covering(&self, filter: &str) -> (u32, u32, QoS) {
        let mut denied = NO_RULE;
        let mut granted = NO_RULE;
        let mut maximum_qos = QoS::AtMostOnce;
        for role in self.roles() {
            decide::for_each_covering(&role.trie, &self.bound.values, filter, &mut |entry: &Entry| {
                if entry.is(Want::DenyRead) {
                    denied = denied.min(entry.rule);
                } else if entry.is(Want::AllowRead) {
                    granted = granted.min(entry.rule);
                    maximum_qos = maximum_qos.max(entry.maximum_qos);
                }
            });
        }
        (denied, granted, maximum_qos)
    }

    fn first_meeting(&self, filter: &str, want: Want) -> u32 {
        let first = |role: &CompiledRole| decide::first_meeting(&role.trie, &self.bound.values, filter, want);
        self.roles().map(first).min().unwrap_or(NO_RULE)
    }

    pub(super) fn roles(&self) -> impl Iterator<Item = &CompiledRole> {
        self.bound.roles.iter().map(|&role| &self.bound.policy.roles[role])
    }

    pub(super) fn has_role(&self, role: usize) -> bool {
        self.bound.roles.binary_search(&role).is_ok()
    }

    pub(super) fn values(&self) -> &Values {
        &self.bound.values
    }
}

/// Why a grant does not hold for a message with these traits, if so.
fn out_of_bounds_of(entry: &Entry, limits: &Limits, qos: QoS, retain: bool, payload_bytes: usize) -> Option<Reason> {
    if qos > entry.maximum_qos {
        return Some(Reason::QosTooHigh { maximum: entry.maximum_qos });
    }
    if payload_bytes as u64 > limits.payload_bytes_max {
        return Some(Reason::PayloadTooLarge { bytes_max: limits.payload_bytes_max });
    }
    (retain && !limits.retain).then_some(Reason::RetainNotAllowed)
}

impl DeliveryCheck {
    /// Whether a message published to `topic`, a valid Topic Name, may be delivered.
    #[must_use]
    pub fn allows(&self, topic: &str) -> bool {
        self.access.receive(topic).allow
    }
}

/// Shows the roles' names, not all of their rules.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: Vec<&str> = self.roles().map(|role| &*role.name).collect();
        f.debug_struct("Access").field("policy", &self.bound.policy.origin).field("roles", &roles).finish()
    }
}

struct Described<'a> {
    rule: Option<&'a Rule>,
    reason: Reason,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "{}: {rule}", self.reason),
            None => write!(f, "{}", self.reason),
        }
    }
}
