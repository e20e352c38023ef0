//! What holds of every policy, whatever its rules say: the tries against each other and against the names.

use super::properties::{NaiveRule, filters, names, rule, written};
use super::*;

/// The identity that `written` has rules for.
const IDENTITY: &str = "a";

/// Names short enough to ask for all of them many times.
fn short_names() -> Vec<String> {
    names().into_iter().filter(|name| name.len() < 7).collect()
}

/// The rules under this value of `partial`.
fn under(rules: &[NaiveRule], partial: &str) -> Access {
    access(&(written(rules) + "partial: " + partial + "\n"), IDENTITY)
}

/// A verdict on a filter as something to compare: how far, at which QoS, and what a check would let through.
fn shape(access: &Access, filter: &str, names: &[String]) -> (&'static str, Option<QoS>, Vec<bool>) {
    match access.subscribe(&TopicFilter::parse(filter).unwrap(), QoS::ExactlyOnce) {
        SubscribeVerdict::Granted { maximum_qos } => ("granted", Some(maximum_qos), Vec::new()),
        SubscribeVerdict::Filtered { maximum_qos, check } => {
            ("filtered", Some(maximum_qos), names.iter().map(|name| check.allows(name)).collect())
        }
        SubscribeVerdict::Refused(_) => ("refused", None, Vec::new()),
    }
}

/// Whether everything that both are asked comes out alike.
fn agree(one: &Access, other: &Access, filters: &[String]) -> Result<(), TestCaseError> {
    let names = short_names();
    for name in &names {
        for (qos, retain, bytes) in [(QoS::AtMostOnce, false, 0), (QoS::ExactlyOnce, true, 100)] {
            let verdicts = [one, other].map(|access| access.publish(name, qos, retain, bytes).allow);
            prop_assert_eq!(verdicts[0], verdicts[1], "publish {:?}", name);
        }
        prop_assert_eq!(one.receive(name).allow, other.receive(name).allow, "receive {:?}", name);
    }
    for filter in filters {
        prop_assert_eq!(shape(one, filter, &names), shape(other, filter, &names), "{}", filter);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_rules_never_matters(
        (rules, shuffled) in prop::collection::vec(rule(), 0..8)
            .prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        filters in filters(8),
    ) {
        // Which of the two roles a rule stands in changes with its place as well.
        for partial in ["refuse", "filter"] {
            agree(&under(&rules, partial), &under(&shuffled, partial), &filters)?;
        }
    }

    #[test]
    fn what_is_said_twice_is_said_once(rules in prop::collection::vec(rule(), 1..6), filters in filters(8)) {
        let twice: Vec<NaiveRule> = rules.iter().chain(&rules).cloned().collect();
        agree(&under(&rules, "filter"), &under(&twice, "filter"), &filters)?;
    }

    /// A reload of the same text changes nothing, in no verdict and in no identity's sight.
    #[test]
    fn the_same_text_is_the_same_policy(rules in prop::collection::vec(rule(), 0..8), filters in filters(8)) {
        let text = written(&rules);
        let (old, new) = (policy(&text), policy(&text));
        let diff = crate::policy::diff::diff(&old, &new);
        prop_assert!(diff.differences.is_empty() && diff.envelopes.is_empty(), "{}", diff);
        let who = Principal::user(IDENTITY);
        let (old, new) = (old.bind(&who, "c").unwrap(), new.bind(&who, "c").unwrap());
        agree(&old, &new, &filters)?;
        for name in short_names() {
            let verdicts = [&old, &new].map(|access| access.publish(&name, QoS::AtMostOnce, false, 0));
            prop_assert_eq!(verdicts[0], verdicts[1], "the same rule decides on {}", name);
        }
    }

    /// What needs no check at delivery may indeed all be received; what is checked is judged name by name; nothing is refused of which
    /// `partial: filter` could have granted a part, unless nothing of it is left.
    #[test]
    fn what_is_delivered_may_be_received(rules in prop::collection::vec(rule(), 0..8), filters in filters(12)) {
        let (refusing, filtering) = (under(&rules, "refuse"), under(&rules, "filter"));
        for text in &filters {
            let filter = TopicFilter::parse(text).unwrap();
            let may = |name: &String| filtering.receive(name).allow;
            let asked: Vec<String> = names().into_iter().filter(|name| topic::matches(text, name)).collect();
            let whole = match filtering.subscribe(&filter, QoS::ExactlyOnce) {
                SubscribeVerdict::Granted { .. } => {
                    prop_assert!(asked.iter().all(may), "{} is granted in whole under {:?}", text, rules);
                    true
                }
                SubscribeVerdict::Filtered { check, .. } => {
                    prop_assert!(asked.iter().all(|name| check.allows(name) == may(name)), "{} under {:?}", text, rules);
                    false
                }
                SubscribeVerdict::Refused(_) => {
                    prop_assert!(!asked.iter().any(may), "{} is refused under {:?}", text, rules);
                    false
                }
            };
            let is_granted = matches!(refusing.subscribe(&filter, QoS::ExactlyOnce), SubscribeVerdict::Granted { .. });
            prop_assert_eq!(is_granted, whole, "partial decides on parts alone: {}", text);
        }
    }

    #[test]
    fn a_wider_filter_is_not_easier_to_get(rules in prop::collection::vec(rule(), 0..8), filters in filters(8)) {
        let access = under(&rules, "refuse");
        for wide in filters.iter().filter(|filter| may_subscribe(&access, filter)) {
            for narrow in filters.iter().filter(|narrow| topic::covers(wide, narrow)) {
                prop_assert!(may_subscribe(&access, narrow), "{} is granted and {} is not, under {:?}", wide, narrow, rules);
            }
        }
    }

    #[test]
    fn a_shared_subscription_gets_the_verdict_of_its_filter(
        rules in prop::collection::vec(rule(), 0..8),
        filters in filters(8),
    ) {
        let names = short_names();
        for partial in ["refuse", "filter"] {
            let access = under(&rules, partial);
            for filter in &filters {
                let shared = format!("$share/group/{filter}");
                prop_assert_eq!(shape(&access, filter, &names), shape(&access, &shared, &names), "{}", filter);
            }
        }
    }

    #[test]
    fn a_grant_more_never_allows_less(rules in prop::collection::vec(rule(), 0..6), grant in rule()) {
        let more: Vec<NaiveRule> = rules.iter().cloned().chain([grant.granting()]).collect();
        let (before, after) = (under(&rules, "refuse"), under(&more, "refuse"));
        for name in &short_names() {
            prop_assert!(may_publish(&after, name) || !may_publish(&before, name), "{}", name);
            prop_assert!(after.receive(name).allow || !before.receive(name).allow, "{}", name);
            prop_assert!(may_subscribe(&after, name) || !may_subscribe(&before, name), "{}", name);
        }
    }
}
