//! Any text as a policy file: faults or a policy, never a panic; and what a policy answers about filters agrees with what it answers
//! about the names they match.
//!
//! A line of dashes may follow the policy, and after it topics to ask for, one a line. Seeds: `src/policy/tests/golden`, `configs/policy.yaml`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::auth::Principal;
use tidegate::mqtt::{QoS, TopicFilter, TopicName};
use tidegate::policy::explain::{Asked, Question};
use tidegate::policy::{Policy, SubscribeVerdict};

const NAMES: [&str; 10] = ["a", "a/b", "/", "/a", "a/b/c", "$SYS/x", "$x", "/p/client/upload", "/p/x/secret", "é"];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, topics) = text.split_once("\n----------\n").unwrap_or((text, ""));
    let policy = match Policy::parse(&format!("{text}\n"), "policy.yaml") {
        Ok(policy) => policy,
        Err(faults) => return assert!(!faults.is_empty()),
    };
    let _ = policy.run_tests();
    for who in [Principal::anonymous(), Principal::user("client"), Principal::user("u"), Principal::user("#")] {
        let Ok(access) = policy.bind(&who, "c1") else { continue };
        let filters = topics.lines().chain(["#", "+/#", "a/+", "/p/#", "$SYS/#"]);
        for filter in filters.filter_map(|filter| TopicFilter::parse(filter).ok()) {
            explain(&policy, &who, &filter);
            let names = NAMES.into_iter().chain(topics.lines()).filter_map(|name| TopicName::parse(name).ok());
            let matched = names.filter(|name| filter.matches(name));
            match access.subscribe(&filter, QoS::ExactlyOnce) {
                SubscribeVerdict::Granted { .. } => {
                    matched.for_each(|name| assert!(access.receive(&name).allow, "{filter} is granted, {name} is not"));
                }
                SubscribeVerdict::Filtered { check, .. } => {
                    matched.for_each(|name| assert_eq!(check.allows(&name), access.receive(&name).allow));
                }
                SubscribeVerdict::Refused(verdict) => assert!(!verdict.allow),
            }
        }
    }
});

/// What is explained is what is judged, and what it gives as an example is one.
fn explain(policy: &Policy, who: &Principal, filter: &TopicFilter) {
    let Ok(access) = policy.bind(who, "c1") else { return };
    let explanation = policy.explain(&Question {
        who: who.clone(),
        client_id: "c1".to_owned(),
        asked: Asked::Subscribe(filter.clone()),
        qos: QoS::ExactlyOnce,
        retain: false,
        payload_bytes: 0,
    });
    let is_refused = matches!(access.subscribe(filter, QoS::ExactlyOnce), SubscribeVerdict::Refused(_));
    assert_eq!(explanation.allowed, !is_refused, "{explanation}");
    let Some(coverage) = explanation.coverage else { return };
    for (parts, is_granted) in [(&coverage.granted, true), (&coverage.denied, false)] {
        for part in parts {
            assert_eq!(access.receive(&part.example).allow, is_granted, "{}", part.example);
            assert!(tidegate::mqtt::topic::matches(filter.filter(), &part.example), "{filter}: {}", part.example);
        }
    }
    assert!(coverage.rest.is_none_or(|rest| !access.receive(&rest).allow));
}
