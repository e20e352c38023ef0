//! The tests written in a policy file: what somebody may or may not do.

use crate::auth::Principal;
use crate::fault::Fault;
use crate::mqtt::{TopicFilter, TopicName};

use super::compile::Policy;
use super::file::{Operation, WrittenTest};
use super::rule::is_anonymous_name;
use super::verdict::SubscribeVerdict;

/// A test of a policy file that does not come out as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    /// Where it is, what came out, and what was to.
    pub fault: Fault,
}

/// Runs `tests` against the policy they stand in.
pub(super) fn run(policy: &Policy, tests: &[WrittenTest]) -> Vec<TestFailure> {
    let fault = |test: &WrittenTest| {
        let (is_allowed, why) = outcome(policy, test);
        let found =
            format!("{} {} {} {:?}: {why}", test.username, may(is_allowed), verb(test.operation), test.topic.text);
        let allowed = format!("the test says {}", may(test.is_allowed));
        let fault = Fault::new(policy.origin(), &test.path, found, allowed);
        (is_allowed != test.is_allowed).then(|| TestFailure { fault: fault.at(test.place.line, test.place.column) })
    };
    tests.iter().filter_map(fault).collect()
}

/// Whether what the test asks for is allowed, and why.
fn outcome(policy: &Policy, test: &WrittenTest) -> (bool, String) {
    let who = match is_anonymous_name(&test.username) {
        true => Principal::anonymous(),
        false => Principal::user(&test.username),
    };
    let who = Principal { claims: test.claims.clone(), ..who };
    let access = match policy.bind(&who, &test.client_id) {
        Ok(access) => access,
        Err(error) => return (false, format!("the connection is refused, as {error}")),
    };
    let verdict = match test.operation {
        Operation::Publish => match TopicName::parse(test.topic.text.as_str()) {
            Ok(topic) => access.publish(&topic, test.qos, test.retain, 0),
            Err(error) => return (false, error.to_string()),
        },
        Operation::Subscribe => match TopicFilter::parse(&test.topic.text) {
            Ok(filter) => match access.subscribe(&filter, test.qos) {
                SubscribeVerdict::Refused(verdict) => verdict,
                SubscribeVerdict::Granted { maximum_qos } | SubscribeVerdict::Filtered { maximum_qos, .. }
                    if maximum_qos < test.qos =>
                {
                    return (false, format!("granted up to QoS {} only", maximum_qos as u8));
                }
                SubscribeVerdict::Filtered { .. } => return (true, "granted, each delivery checked".to_owned()),
                SubscribeVerdict::Granted { .. } => access.judge_filter(&filter).0,
            },
            Err(error) => return (false, error.to_string()),
        },
    };
    (verdict.allow, access.describe(verdict).to_string())
}

fn may(is_allowed: bool) -> &'static str {
    if is_allowed { "may" } else { "may not" }
}

fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Publish => "publish",
        Operation::Subscribe => "subscribe",
    }
}
