//! Why a verdict is as it is: the rule that decided, what was bound into it, what a filter is made of, what bounds the client, and the
//! rules that nearly applied.
//!
//! The verdict comes from [`Access`], as in a running server. Near misses are found by a plain comparison of every rule with the
//! topic: they are hints for people, and nothing rests on them.

mod coverage;

use std::fmt;

use serde::Serialize;

use crate::auth::Principal;
use crate::mqtt::topic::{covers, intersects};
use crate::mqtt::{QoS, TopicFilter, TopicName};

use super::access::Access;
use super::compile::Policy;
use super::envelope::EnvelopeRule;
use super::file::Operation;
use super::limits::{Limits, Quota};
use super::rule::{Level, Rule};
use super::verdict::{Reason, SubscribeVerdict, Verdict};

pub use coverage::{Coverage, Part};

/// The most near misses that are told.
const NEAR_MISSES_MAX: usize = 5;

/// What is asked of a policy.
#[derive(Clone, Debug)]
pub struct Question {
    pub who: Principal,
    pub client_id: String,
    pub asked: Asked,
    pub qos: QoS,
    pub retain: bool,
    pub payload_bytes: usize,
}

/// The operation and its topic.
#[derive(Clone, Debug)]
pub enum Asked {
    Publish(TopicName<'static>),
    Subscribe(TopicFilter),
}

/// An answer with its reasons; `Display` is for people, `Serialize` for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `client may publish "/p/client/upload"`
    pub answer: String,
    pub allowed: bool,
    pub reason: String,
    /// The rule that decided.
    pub rule: Option<RuleShown>,
    /// For a SUBSCRIBE that is granted: the highest QoS it is granted at.
    pub maximum_qos: Option<u8>,
    /// Whether each delivery is checked (`partial: filter`).
    pub filtered: bool,
    pub roles: Vec<String>,
    pub bindings: Vec<Binding>,
    /// What a filter is made of that is not granted as a whole, if a part of it is granted.
    pub coverage: Option<Coverage>,
    /// What bounds the client, by the roles it has.
    pub limits: Vec<LimitShown>,
    /// The entry of `envelope` that a PUBLISH has to satisfy as well. Whom it is judged as is then whom the message is from.
    pub envelope: Option<RuleShown>,
    pub near_misses: Vec<NearMiss>,
}

/// A rule, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleShown {
    pub origin: String,
    pub line: u32,
    pub text: String,
}

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Binding {
    pub placeholder: String,
    pub value: String,
}

/// A bound, and whose word it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitShown {
    /// As in the file: `messages_per_s`.
    pub limit: &'static str,
    /// `50`, `none`, `false`; bytes as a number.
    pub value: String,
    pub role: String,
    /// Whether it holds for the grants of this role alone; else for the client as a whole.
    pub of_grants: bool,
}

/// A rule that would have granted it if something were different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    pub rule: RuleShown,
    pub why: String,
}

impl Policy {
    /// Answers `question` with reasons.
    #[must_use]
    pub fn explain(&self, question: &Question) -> Explanation {
        let access = match self.bind(&question.who, &question.client_id) {
            Ok(access) => access,
            Err(error) => {
                return Explanation {
                    answer: question.answer("may not"),
                    allowed: false,
                    reason: format!("the connection is refused: {error}"),
                    rule: None,
                    maximum_qos: None,
                    filtered: false,
                    roles: Vec::new(),
                    bindings: Vec::new(),
                    coverage: None,
                    limits: Vec::new(),
                    envelope: None,
                    near_misses: Vec::new(),
                };
            }
        };
        let (verdict, granted) = judge(&access, question);
        let is_settled = verdict.allow || granted.is_some() || verdict.reason == Reason::ServerOwned;
        let near_misses = match is_settled {
            true => Vec::new(),
            false => self.near_misses(&access, question, verdict),
        };
        Explanation {
            answer: question.answer(if verdict.allow || granted.is_some() { "may" } else { "may not" }),
            allowed: verdict.allow || granted.is_some(),
            reason: verdict.reason.to_string(),
            rule: verdict.rule.and_then(|rule| access.rule(rule)).map(RuleShown::from),
            maximum_qos: granted.map(|(maximum_qos, _)| maximum_qos as u8),
            filtered: granted.is_some_and(|(_, is_filtered)| is_filtered),
            roles: access.roles().map(|role| role.name.to_string()).collect(),
            bindings: self.bindings(&access),
            coverage: match (&question.asked, verdict.reason) {
                (Asked::Subscribe(filter), Reason::PartlyGranted) => {
                    Coverage::of(&access, filter.filter(), self.rules_of(&access, question))
                }
                _ => None,
            },
            limits: limits(&access, question.operation()),
            envelope: match &question.asked {
                Asked::Publish(topic) => access.envelope(topic.as_str()).map(RuleShown::from),
                Asked::Subscribe(_) => None,
            },
            near_misses,
        }
    }

    fn bindings(&self, access: &Access) -> Vec<Binding> {
        let bound = |(placeholder, value): (&super::rule::Placeholder, &Option<Box<str>>)| {
            // What is no level stands for a claim that the identity has not.
            let value = value.as_deref().filter(|value| !value.contains('/'))?.to_owned();
            Some(Binding { placeholder: placeholder.to_string(), value })
        };
        self.compiled().placeholders.iter().zip(access.values()).filter_map(bound).collect()
    }

    /// The rules of the identity's roles, each with its topic for it.
    fn rules_of<'s>(
        &'s self,
        access: &'s Access,
        question: &'s Question,
    ) -> impl Iterator<Item = (&'s Rule, String)> + 's {
        let rules = self.compiled().rules.iter().filter(|rule| access.has_role(rule.role));
        rules.filter_map(|rule| Some((rule, self.topic_for(rule, question)?)))
    }

    fn near_misses(&self, access: &Access, question: &Question, verdict: Verdict) -> Vec<NearMiss> {
        let mut found: Vec<(u8, NearMiss)> = Vec::new();
        for (number, rule) in self.compiled().rules.iter().enumerate() {
            let is_decisive = verdict.rule.is_some_and(|decisive| decisive.0 as usize == number);
            if rule.is_deny || is_decisive {
                continue;
            }
            let role = &self.compiled().roles[rule.role];
            let Some(topic) = self.topic_for(rule, question) else { continue };
            if let Some((rank, why)) = miss(rule, &topic, &role.name, access.has_role(rule.role), question, verdict) {
                found.push((rank, NearMiss { rule: rule.into(), why }));
            }
        }
        found.sort_by_key(|(rank, _)| *rank);
        found.truncate(NEAR_MISSES_MAX);
        found.into_iter().map(|(_, near_miss)| near_miss).collect()
    }

    /// The rule's topic with the identity filled in, also for rules of roles it has not.
    fn topic_for(&self, rule: &Rule, question: &Question) -> Option<String> {
        let mut levels = Vec::with_capacity(rule.levels.len());
        for level in &rule.levels {
            levels.push(match level {
                Level::Literal(text) => text.to_string(),
                Level::One => "+".to_owned(),
                Level::Rest => "#".to_owned(),
                Level::Bound(bound) => {
                    let placeholder = &self.compiled().placeholders[bound.placeholder];
                    let value = placeholder.value_of(&question.who, &question.client_id);
                    let is_level = !value.is_empty() && !value.contains(['/', '+', '#', '\0']);
                    is_level.then(|| format!("{}{value}{}", bound.prefix, bound.suffix))?
                }
            });
        }
        Some(levels.join("/"))
    }
}

impl Question {
    fn answer(&self, may: &str) -> String {
        let who = &self.who.username;
        match &self.asked {
            Asked::Publish(topic) => format!("{who} {may} publish {:?}", topic.as_str()),
            Asked::Subscribe(filter) => format!("{who} {may} subscribe {:?}", filter.as_str()),
        }
    }

    /// What rules are compared with.
    fn topic(&self) -> &str {
        match &self.asked {
            Asked::Publish(topic) => topic.as_str(),
            Asked::Subscribe(filter) => filter.filter(),
        }
    }

    fn operation(&self) -> Operation {
        match &self.asked {
            Asked::Publish(_) => Operation::Publish,
            Asked::Subscribe(_) => Operation::Subscribe,
        }
    }
}

/// The verdict; and for a SUBSCRIBE that is granted, at which QoS, and whether deliveries are checked.
fn judge(access: &Access, question: &Question) -> (Verdict, Option<(QoS, bool)>) {
    match &question.asked {
        Asked::Publish(topic) => (access.publish(topic, question.qos, question.retain, question.payload_bytes), None),
        Asked::Subscribe(filter) => match access.subscribe(filter, question.qos) {
            SubscribeVerdict::Refused(verdict) => (verdict, None),
            SubscribeVerdict::Granted { maximum_qos } => (access.judge_filter(filter).0, Some((maximum_qos, false))),
            SubscribeVerdict::Filtered { maximum_qos, .. } => {
                (access.judge_filter(filter).0, Some((maximum_qos, true)))
            }
        },
    }
}

/// Why a grant nearly applied, nearest first, if it did.
fn miss(
    rule: &Rule,
    topic: &str,
    role: &str,
    has_role: bool,
    question: &Question,
    verdict: Verdict,
) -> Option<(u8, String)> {
    let has_mode = match question.operation() {
        Operation::Publish => rule.mode.write,
        Operation::Subscribe => rule.mode.read,
    };
    let does_cover = covers(topic, question.topic());
    match (does_cover, has_mode, has_role) {
        (true, true, true) if verdict.reason == Reason::Denied || verdict.reason == Reason::PartlyGranted => {
            Some((0, "grants it, but a deny beats every grant".to_owned()))
        }
        (true, true, true) => None,
        (true, false, true) => Some((1, format!("speaks of it, but grants {} only", reading_or_writing(rule)))),
        (true, true, false) => {
            Some((2, format!("would grant it, but {} does not have the role {role:?}", question.who.username)))
        }
        (true, false, false) | (false, false, _) => None,
        // The parts of a filter are told by themselves.
        (false, true, true) if intersects(topic, question.topic()) => None,
        (false, true, true) => difference(topic, question.topic()),
        (false, true, false) => None,
    }
}

/// What bounds whoever has these roles: first what holds for the client as a whole, by the role whose word counts.
fn limits(access: &Access, operation: Operation) -> Vec<LimitShown> {
    let said_by = |key: &str, quota: Quota| {
        let says = |role: &&super::compile::CompiledRole| role.allowance.said().any(|said| said == (key, quota));
        access.roles().find(says).map_or_else(String::new, |role| role.name.to_string())
    };
    let whole = access.allowance();
    let mut limits: Vec<LimitShown> = whole
        .said()
        .map(|(limit, quota)| LimitShown {
            limit,
            value: quota.to_string(),
            role: said_by(limit, quota),
            of_grants: false,
        })
        .collect();
    if operation == Operation::Publish {
        for role in access.roles() {
            limits.extend(limits_of_grants(&role.name, &role.limits));
        }
    }
    limits
}

fn limits_of_grants(role: &str, limits: &Limits) -> impl Iterator<Item = LimitShown> {
    let Limits { payload_bytes_max, maximum_qos, retain } = *limits;
    let shown = |limit, value: String| LimitShown { limit, value, role: role.to_owned(), of_grants: true };
    [
        (payload_bytes_max < u64::MAX).then(|| shown("payload_bytes_max", payload_bytes_max.to_string())),
        (maximum_qos < QoS::ExactlyOnce).then(|| shown("max_qos", (maximum_qos as u8).to_string())),
        (!retain).then(|| shown("retain", "false".to_owned())),
    ]
    .into_iter()
    .flatten()
}

fn reading_or_writing(rule: &Rule) -> &'static str {
    if rule.mode.read { "reading" } else { "writing" }
}

/// The one small thing in which `granted` and `asked` differ, if it is small.
fn difference(granted: &str, asked: &str) -> Option<(u8, String)> {
    let slip = |slip: &str| Some((1, format!("is {granted:?} for this identity: {slip}")));
    if covers(&granted.to_lowercase(), &asked.to_lowercase()) {
        return slip("upper and lower case are not the same");
    }
    if covers(&format!("/{granted}"), asked) || covers(granted, &format!("/{asked}")) {
        return slip("the leading / makes a level");
    }
    if covers(granted, asked.trim_end_matches('/')) {
        return slip("the / at the end makes a level");
    }
    let (granted_levels, asked_levels): (Vec<&str>, Vec<&str>) =
        (granted.split('/').collect(), asked.split('/').collect());
    let is_same_length = granted_levels.len() == asked_levels.len() || granted_levels.last() == Some(&"#");
    let pairs = || granted_levels.iter().zip(&asked_levels).enumerate();
    let mut different = pairs().filter(|(_, (granted, asked))| !covers_level(granted, asked));
    let (index, (want, have)) = different.next()?;
    // What shares no written level with the topic is not near to it.
    let has_common = pairs().any(|(_, (granted, asked))| granted == asked && !matches!(*granted, "" | "+" | "#"));
    (different.next().is_none() && is_same_length && has_common).then(|| {
        let level = index + 1;
        (4, format!("is {granted:?} for this identity: level {level} would have to be {want:?}, not {have:?}"))
    })
}

fn covers_level(granted: &str, asked: &str) -> bool {
    granted == "#" || (granted == "+" && asked != "#") || granted == asked
}

impl From<&Rule> for RuleShown {
    fn from(rule: &Rule) -> Self {
        Self { origin: rule.origin.to_string(), line: rule.line, text: rule.text.to_string() }
    }
}

impl From<&EnvelopeRule> for RuleShown {
    fn from(rule: &EnvelopeRule) -> Self {
        Self { origin: rule.origin.to_string(), line: rule.line, text: rule.text.to_string() }
    }
}

impl fmt::Display for RuleShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.origin, self.line, self.text)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", if self.allowed { "allowed" } else { "denied" }, self.answer)?;
        writeln!(f, "  reason  {}", self.reason)?;
        if let Some(maximum_qos) = self.maximum_qos {
            let checked = if self.filtered { ", each delivery checked" } else { "" };
            writeln!(f, "  granted at QoS {maximum_qos}{checked}")?;
        }
        if let Some(rule) = &self.rule {
            writeln!(f, "  rule    {rule}")?;
        }
        writeln!(f, "  roles   {}", if self.roles.is_empty() { "none".to_owned() } else { self.roles.join(", ") })?;
        for binding in &self.bindings {
            writeln!(f, "  bound   {} = {:?}", binding.placeholder, binding.value)?;
        }
        if let Some(coverage) = &self.coverage {
            write!(f, "{coverage}")?;
        }
        for LimitShown { limit, value, role, of_grants } in &self.limits {
            let whose = if *of_grants { "grants of" } else { "by" };
            writeln!(f, "  limit   {limit} {value}, {whose} {role}")?;
        }
        if let Some(envelope) = &self.envelope {
            writeln!(f, "  with    {envelope}")?;
            writeln!(f, "          each message proves its client_id, which is judged instead of the connection's")?;
        }
        for near_miss in &self.near_misses {
            writeln!(f, "  near    {}\n          {}", near_miss.rule, near_miss.why)?;
        }
        Ok(())
    }
}
