//! What two policies differ in: who may do what under the one and not under the other.
//!
//! Compared is what the rules mean together, not how they are written: for each identity and each grant of the one policy, a Topic Name is
//! looked for that this grant lets through there and nothing lets through in the other. The search goes level by level through all rules that
//! speak of the same topics at once, so that a rule which several others replace is no difference.
//!
//! An identity is: each username that either policy names, anonymous, any other user, and whoever has the claims of an entry of `claims`.
//! What a placeholder stands for is taken as a text of its own, which no rule spells out, unless the identity says it.
//!
//! Not here: what becomes of sessions; this compares files.

mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::auth::Principal;
use crate::mqtt::QoS;
use crate::mqtt::topic::{covers, intersects};

use super::compile::{Compiled, Policy};
use super::explain::RuleShown;
use super::file::{Operation, Partial};
use super::limits::{Limits, Quota};
use super::rule::{EVERYBODY, Level, Placeholder, Rule, is_anonymous_name};
use search::{Found, Search};

/// The differences between two policies, losses first; `Display` is for people, `Serialize` for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    pub old: String,
    pub new: String,
    pub differences: Vec<Difference>,
    /// What bounds clients as a whole, where it is not the same.
    pub limits: Vec<LimitChange>,
    /// Entries of `envelope` that only one of them has: what a message on their topics must carry, whoever publishes it.
    pub envelopes: Vec<EnvelopeChange>,
}

/// A bound of some identities, whatever the topic, that is not the same under both policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitChange {
    pub identities: Vec<String>,
    /// As in the file: `messages_per_s`.
    pub limit: &'static str,
    /// `50`, `none`, or `unsaid` where no role says anything.
    pub old: String,
    pub new: String,
}

/// An entry of `envelope` that is asked for no more, or from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnvelopeChange {
    /// Whether the new policy has it; else the old one.
    pub is_new: bool,
    pub rule: RuleShown,
}

/// What some identities may do under one policy and not under the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// As people call them: `alice`, `anonymous`, `any other user`, `a user with role=ops`.
    pub identities: Vec<String>,
    pub change: Change,
    pub operation: Operation,
    /// The grant's topic. Whoever is granted to subscribe is delivered to as well.
    pub topic: String,
    /// Whether it is all that the grant lets through, or a part of it.
    pub whole: bool,
    /// For which messages or Subscriptions alone it differs.
    pub only: Option<Only>,
    /// A Topic Name that is let through under one policy only; `None` where only a SUBSCRIBE to the topic as a whole differs, or where
    /// the rules are too intricate to find one.
    pub example: Option<String>,
    /// The rule that grants it under the one policy.
    pub rule: RuleShown,
    /// The rule that denies it under the other; `None` if nothing grants it there.
    pub denied_by: Option<RuleShown>,
    /// Whether it was too intricate to be sure that anything differs.
    pub uncertain: bool,
}

/// Which policy lets it through: the new one or the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Loses,
    Gains,
}

/// Messages or Subscriptions for which a difference holds, others being alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    Qos1,
    Qos2,
    Retained,
    /// Payloads of this many bytes and more.
    PayloadBytes(u64),
    /// One SUBSCRIBE to the topic as a whole; its parts are alike.
    AsAWhole,
}

/// Compares two policies.
#[must_use]
pub fn diff(old: &Policy, new: &Policy) -> Diff {
    let mut found: BTreeMap<Key, Difference> = BTreeMap::new();
    let mut limits: BTreeMap<(&'static str, Quota, Quota), Vec<String>> = BTreeMap::new();
    for identity in identities(old, new) {
        let [before, after] = [old, new].map(|policy| policy.compiled().allowance_of(&identity.who).all());
        for ((limit, old), (_, new)) in before.into_iter().zip(after).filter(|(old, new)| old != new) {
            limits.entry((limit, old, new)).or_default().push(identity.name.clone());
        }
        let [old_side, new_side] = [old, new].map(|policy| Side::new(policy.compiled(), &identity.who));
        for (change, granting, other) in [(Change::Loses, &old_side, &new_side), (Change::Gains, &new_side, &old_side)]
        {
            for difference in granting.beyond(other, change) {
                let key = difference.key();
                let known = found.entry(key).or_insert_with(|| Difference { identities: Vec::new(), ..difference });
                if known.identities.last() != Some(&identity.name) {
                    known.identities.push(identity.name.clone());
                }
            }
        }
    }
    let differences = found.into_values().collect();
    let change = |((limit, old, new), identities): ((_, Quota, Quota), _)| LimitChange {
        identities,
        limit,
        old: old.to_string(),
        new: new.to_string(),
    };
    let limits = limits.into_iter().map(change).collect();
    let mut envelopes = envelopes_beyond(old, new, false);
    envelopes.extend(envelopes_beyond(new, old, true));
    Diff { old: old.origin().to_owned(), new: new.origin().to_owned(), differences, limits, envelopes }
}

/// The entries of `envelope` that `policy` has and `other` has not, in the same words.
fn envelopes_beyond(policy: &Policy, other: &Policy, is_new: bool) -> Vec<EnvelopeChange> {
    let known: BTreeSet<&str> = other.compiled().envelopes.rules.iter().map(|rule| &*rule.text).collect();
    let beyond = policy.compiled().envelopes.rules.iter().filter(|rule| !known.contains(&*rule.text));
    beyond
        .map(|rule| EnvelopeChange {
            is_new,
            rule: RuleShown { origin: rule.origin.to_string(), line: rule.line, text: rule.text.to_string() },
        })
        .collect()
}

/// What makes two identities' differences the same: all but the example.
type Key = (Change, u32, Operation, Option<Only>, bool, Option<(String, u32)>, String);

impl Difference {
    fn key(&self) -> Key {
        let denied_by = self.denied_by.as_ref().map(|rule| (rule.origin.clone(), rule.line));
        (self.change, self.rule.line, self.operation, self.only, self.whole, denied_by, self.topic.clone())
    }
}

/// Somebody, or a kind of somebody, for whom policies are compared.
struct Identity {
    name: String,
    who: Principal,
}

fn identities(old: &Policy, new: &Policy) -> Vec<Identity> {
    let both = [old.compiled(), new.compiled()];
    let names: BTreeSet<&str> =
        both.iter().flat_map(|policy| policy.roles_by_username.keys()).map(|name| &**name).collect();
    let named = names.into_iter().filter(|name| *name != EVERYBODY && !is_anonymous_name(name));
    let mut identities: Vec<Identity> =
        named.map(|name| Identity { name: name.to_owned(), who: Principal::user(name) }).collect();
    identities.push(Identity { name: "anonymous".to_owned(), who: Principal::anonymous() });
    // No policy names the user without a name.
    let other = || Principal::user("");
    identities.push(Identity { name: "any other user".to_owned(), who: other() });
    let whens: BTreeSet<&BTreeMap<String, String>> =
        both.iter().flat_map(|policy| &policy.claims).map(|rule| &rule.when).collect();
    identities.extend(whens.into_iter().map(|when| {
        let shown: Vec<String> = when.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Identity {
            name: format!("a user with {}", shown.join(" and ")),
            who: Principal { claims: when.clone(), ..other() },
        }
    }));
    identities
}

/// One policy as it is for one identity.
struct Side<'p> {
    policy: &'p Compiled,
    rules: Vec<Bound<'p>>,
}

/// A rule with all filled in that is known of the identity; what is not stays, as a text that no topic has.
pub(super) struct Bound<'p> {
    rule: &'p Rule,
    limits: Limits,
    /// The topic, for comparisons as a filter: what it leaves open begins with [`search::OPEN`].
    topic: String,
    levels: Vec<String>,
}

/// What a message or a Subscription is like.
#[derive(Clone, Copy, Debug)]
struct Traits {
    only: Option<Only>,
    qos: QoS,
    retain: bool,
    payload_bytes: u64,
}

const PLAIN: Traits = Traits { only: None, qos: QoS::AtMostOnce, retain: false, payload_bytes: 0 };

impl<'p> Side<'p> {
    fn new(policy: &'p Compiled, who: &Principal) -> Self {
        let roles: BTreeSet<usize> = policy.roles_of(who).into_iter().collect();
        let rules = policy.rules.iter().filter(|rule| roles.contains(&rule.role));
        let rules = rules.map(|rule| {
            let levels: Vec<String> =
                rule.levels.iter().map(|level| filled_in(level, &policy.placeholders, who)).collect();
            Bound { rule, limits: policy.roles[rule.role].limits, topic: levels.join("/"), levels }
        });
        Self { policy, rules: rules.collect() }
    }

    fn of(&self, operation: Operation, is_deny: bool, traits: Traits) -> impl Iterator<Item = &Bound<'p>> {
        self.rules.iter().filter(move |bound| bound.rule.is_deny == is_deny && bound.speaks_of(operation, traits))
    }

    /// What is let through here and not by `other`.
    fn beyond(&self, other: &Self, change: Change) -> Vec<Difference> {
        let mut differences: Vec<(Difference, &Bound<'p>)> = Vec::new();
        for operation in [Operation::Publish, Operation::Subscribe] {
            for traits in self.traits(other, operation) {
                let alike = self.alike(other, operation, traits);
                for grant in self.of(operation, false, traits) {
                    let is_told = |(told, bound): &(Difference, &Bound<'_>)| {
                        std::ptr::eq(*bound, grant)
                            && told.operation == operation
                            && says_as_much(told.only, traits.only)
                    };
                    if !alike.contains(grant.topic.as_str())
                        && !differences.iter().any(is_told)
                        && let Some(difference) = self.difference(other, grant, operation, traits, change)
                    {
                        differences.push((difference, grant));
                    }
                }
            }
        }
        let alike = match (self.policy.partial, other.policy.partial) {
            (Partial::Filter, Partial::Refuse) => BTreeSet::new(),
            _ => self.alike(other, Operation::Subscribe, PLAIN),
        };
        for grant in self.of(Operation::Subscribe, false, PLAIN).filter(|grant| !alike.contains(grant.topic.as_str())) {
            let is_told = differences
                .iter()
                .any(|(told, bound)| std::ptr::eq(*bound, grant) && told.operation == Operation::Subscribe);
            if !is_told && self.grants_subscribe(grant) && !other.grants_subscribe(grant) {
                let blank =
                    Blank { whole: true, only: Some(Only::AsAWhole), example: None, denied_by: None, uncertain: false };
                differences.push((self.told(grant, Operation::Subscribe, change, blank), grant));
            }
        }
        let is_within = |(inner, inner_rule): &(Difference, &Bound<'_>),
                         (outer, outer_rule): &(Difference, &Bound<'_>)| {
            let is_first = !covers(&inner_rule.topic, &outer_rule.topic) || outer_rule.rule.line < inner_rule.rule.line;
            inner.operation == outer.operation
                && inner.only == outer.only
                && !std::ptr::eq(*inner_rule, *outer_rule)
                && covers(&outer_rule.topic, &inner_rule.topic)
                && is_first
                && (outer.whole || !inner.whole)
        };
        let is_kept: Vec<bool> =
            differences.iter().map(|inner| !differences.iter().any(|outer| is_within(inner, outer))).collect();
        differences.into_iter().zip(is_kept).filter(|(_, is_kept)| *is_kept).map(|((told, _), _)| told).collect()
    }

    /// Topics that both grant, if `other` denies nothing more. Most rules of a large policy are such, and need no search.
    fn alike<'s>(&self, other: &'s Self, operation: Operation, traits: Traits) -> BTreeSet<&'s str> {
        let own: BTreeSet<&str> = self.of(operation, true, traits).map(|deny| deny.topic.as_str()).collect();
        match other.of(operation, true, traits).all(|deny| own.contains(deny.topic.as_str())) {
            true => other.of(operation, false, traits).map(|grant| grant.topic.as_str()).collect(),
            false => BTreeSet::new(),
        }
    }

    /// Messages that the two policies may treat differently: plain ones first.
    fn traits(&self, other: &Self, operation: Operation) -> Vec<Traits> {
        let mut traits = vec![
            PLAIN,
            Traits { only: Some(Only::Qos1), qos: QoS::AtLeastOnce, ..PLAIN },
            Traits { only: Some(Only::Qos2), qos: QoS::ExactlyOnce, ..PLAIN },
        ];
        if operation == Operation::Publish {
            traits.push(Traits { only: Some(Only::Retained), retain: true, ..PLAIN });
            let all = self.rules.iter().chain(&other.rules);
            let sizes: BTreeSet<u64> = all.filter_map(|bound| bound.limits.payload_bytes_max.checked_add(1)).collect();
            traits.extend(sizes.into_iter().map(|payload_bytes| Traits {
                only: Some(Only::PayloadBytes(payload_bytes)),
                payload_bytes,
                ..PLAIN
            }));
        }
        traits
    }

    /// What one grant lets through here and `other` does not.
    fn difference(
        &self,
        other: &Self,
        grant: &Bound<'_>,
        operation: Operation,
        traits: Traits,
        change: Change,
    ) -> Option<Difference> {
        let is_near = |bound: &&Bound<'p>| intersects(&bound.topic, &grant.topic);
        let denies: Vec<&Bound<'_>> = self.of(operation, true, traits).filter(is_near).collect();
        let other_grants: Vec<&Bound<'_>> = other.of(operation, false, traits).filter(is_near).collect();
        let other_denies: Vec<&Bound<'_>> = other.of(operation, true, traits).filter(is_near).collect();
        let is_covered = other_grants.iter().any(|other| covers(&other.topic, &grant.topic));
        if is_covered && other_denies.iter().all(|deny| denies.iter().any(|own| covers(&own.topic, &deny.topic))) {
            return None;
        }
        let search = |is_let_through| Search {
            grant,
            denies: &denies,
            other_grants: &other_grants,
            other_denies: &other_denies,
            is_let_through,
        };
        let (example, uncertain) = match search(false).run() {
            Found::Nothing => return None,
            Found::Name(name) => (Some(name), false),
            Found::TooIntricate => (None, true),
        };
        let denied_by = example.as_ref().and_then(|name| {
            let deny = other_denies.iter().find(|deny| crate::mqtt::topic::matches(&deny.topic, name))?;
            other_grants
                .iter()
                .any(|grant| crate::mqtt::topic::matches(&grant.topic, name))
                .then(|| RuleShown::from(deny.rule))
        });
        let whole = search(true).run() == Found::Nothing;
        Some(self.told(grant, operation, change, Blank { whole, only: traits.only, example, denied_by, uncertain }))
    }

    fn told(&self, grant: &Bound<'_>, operation: Operation, change: Change, blank: Blank) -> Difference {
        let Blank { whole, only, example, denied_by, uncertain } = blank;
        let topic: Vec<String> =
            grant.rule.levels.iter().map(|level| written(level, &self.policy.placeholders)).collect();
        Difference {
            identities: Vec::new(),
            change,
            operation,
            topic: topic.join("/"),
            whole,
            only,
            example,
            rule: grant.rule.into(),
            denied_by,
            uncertain,
        }
    }

    /// Whether a SUBSCRIBE to all of `grant`'s topic is granted: by one rule, or in part if the policy grants parts.
    fn grants_subscribe(&self, grant: &Bound<'_>) -> bool {
        let mut grants = self.of(Operation::Subscribe, false, PLAIN);
        if self.policy.partial == Partial::Filter {
            return grants.any(|own| intersects(&own.topic, &grant.topic));
        }
        grants.any(|own| covers(&own.topic, &grant.topic))
            && !self.of(Operation::Subscribe, true, PLAIN).any(|deny| intersects(&deny.topic, &grant.topic))
    }
}

/// Whether who knows that `told` differs need not be told that `further` does, too.
fn says_as_much(told: Option<Only>, further: Option<Only>) -> bool {
    match (told, further) {
        (None, _) | (Some(Only::Qos1), Some(Only::Qos2)) => true,
        (Some(Only::PayloadBytes(told)), Some(Only::PayloadBytes(further))) => told <= further,
        _ => false,
    }
}

/// What is told of a difference besides its rule.
struct Blank {
    whole: bool,
    only: Option<Only>,
    example: Option<String>,
    denied_by: Option<RuleShown>,
    uncertain: bool,
}

impl Bound<'_> {
    fn speaks_of(&self, operation: Operation, traits: Traits) -> bool {
        let rule = self.rule;
        let has_mode = match operation {
            Operation::Publish => rule.mode.write,
            Operation::Subscribe => rule.mode.read,
        };
        let is_within_limits = traits.qos <= rule.maximum_qos
            && (operation == Operation::Subscribe
                || (traits.payload_bytes <= self.limits.payload_bytes_max && (self.limits.retain || !traits.retain)));
        has_mode && (rule.is_deny || is_within_limits)
    }
}

/// A level for one identity; what it leaves open is a text that no topic has.
fn filled_in(level: &Level, placeholders: &[Placeholder], who: &Principal) -> String {
    if let Level::Bound(bound) = level {
        let value = placeholders[bound.placeholder].value_of(who, "");
        if !value.is_empty() && !value.contains(['/', '+', '#', '\0']) {
            return format!("{}{value}{}", bound.prefix, bound.suffix);
        }
    }
    written(level, placeholders).replace("${", search::OPEN)
}

fn written(level: &Level, placeholders: &[Placeholder]) -> String {
    match level {
        Level::Literal(text) => text.to_string(),
        Level::One => "+".to_owned(),
        Level::Rest => "#".to_owned(),
        Level::Bound(bound) => format!("{}{}{}", bound.prefix, placeholders[bound.placeholder], bound.suffix),
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.differences.is_empty() && self.limits.is_empty() && self.envelopes.is_empty() {
            return write!(f, "{} and {}: nobody gains or loses anything", self.old, self.new);
        }
        for difference in &self.differences {
            let other = if difference.change == Change::Loses { &self.new } else { &self.old };
            difference.show(f, other)?;
        }
        for LimitChange { identities, limit, old, new } in &self.limits {
            writeln!(f, "{}: {limit} {new}, before {old}", listed(identities))?;
        }
        for EnvelopeChange { is_new, rule } in &self.envelopes {
            let when = if *is_new { "from now on" } else { "no longer" };
            writeln!(f, "whoever publishes: an envelope is asked for {when} by {rule}")?;
        }
        let count = |change| self.differences.iter().filter(|difference| difference.change == change).count();
        write!(f, "{} to {}: {} lost, {} gained", self.old, self.new, count(Change::Loses), count(Change::Gains))
    }
}

impl Difference {
    fn show(&self, f: &mut fmt::Formatter<'_>, other: &str) -> fmt::Result {
        let verb = match (self.change, self.uncertain, self.identities.len()) {
            (Change::Loses, false, 1) => "loses",
            (Change::Gains, false, 1) => "gains",
            (Change::Loses, false, _) => "lose",
            (Change::Gains, false, _) => "gain",
            (Change::Loses, true, _) => "may lose",
            (Change::Gains, true, _) => "may gain",
        };
        let part = if self.whole { "" } else { "a part of " };
        let operation = if self.operation == Operation::Publish { "publish" } else { "subscribe" };
        writeln!(f, "{} {verb} {part}{operation} {:?}{}", listed(&self.identities), self.topic, Shown(self.only))?;
        let granted = if self.change == Change::Loses { "granted by" } else { "granted now by" };
        writeln!(f, "    {granted} {}", self.rule)?;
        if let Some(example) = &self.example {
            write!(f, "    such as {example:?}: ")?;
        } else {
            f.write_str("    ")?;
        }
        match (&self.denied_by, self.only, self.uncertain) {
            (Some(rule), ..) => writeln!(f, "denied by {rule}"),
            (None, _, true) => writeln!(f, "the rules of {other} are too intricate to tell"),
            (None, Some(Only::AsAWhole), _) => {
                writeln!(f, "no one rule of {other} grants all of it, but its parts are granted")
            }
            (None, ..) => writeln!(f, "nothing in {other} grants it"),
        }
    }
}

/// All of a few names, some of many.
fn listed(names: &[String]) -> String {
    const SHOWN_MAX: usize = 6;
    match names {
        [most @ .., last] if names.len() <= SHOWN_MAX && !most.is_empty() => format!("{} and {last}", most.join(", ")),
        [first, ..] if names.len() > SHOWN_MAX => {
            format!("{first}, {} and {} more", names[1..SHOWN_MAX].join(", "), names.len() - SHOWN_MAX)
        }
        names => names.concat(),
    }
}

struct Shown(Option<Only>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(Only::Qos1) => f.write_str(", at QoS 1 and 2"),
            Some(Only::Qos2) => f.write_str(", at QoS 2"),
            Some(Only::Retained) => f.write_str(", retained"),
            Some(Only::PayloadBytes(bytes)) => write!(f, ", with {bytes} payload bytes and more"),
            Some(Only::AsAWhole) => f.write_str(" as a whole"),
        }
    }
}
