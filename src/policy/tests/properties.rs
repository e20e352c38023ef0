//! The tries against a naive reading of the rules: every rule compared with every name.

use super::*;

/// A rule as the naive reading sees it.
#[derive(Clone, Debug)]
pub(super) struct NaiveRule {
    topic: String,
    read: bool,
    write: bool,
    is_deny: bool,
}

/// The level that is written where the identity is bound, and what it binds to.
const IDENTITY: &str = "a";

fn levels() -> impl Strategy<Value = String> {
    let level = prop_oneof![Just("a"), Just("b"), Just(""), Just("+"), Just("${username}"), Just("$s"), Just("x%u")];
    (prop::collection::vec(level, 1..4), any::<bool>()).prop_map(|(mut levels, has_rest)| {
        if has_rest {
            let last = levels.len() - 1;
            levels[last] = "#";
        }
        levels.join("/")
    })
}

impl NaiveRule {
    /// The same as a grant.
    pub(super) fn granting(self) -> Self {
        Self { is_deny: false, ..self }
    }
}

/// So many filters, with the identity in place of its placeholder.
pub(super) fn filters(count: usize) -> impl Strategy<Value = Vec<String>> {
    let filter = levels().prop_map(|filter| bound(&filter)).prop_filter("an empty filter is none", |it| !it.is_empty());
    prop::collection::vec(filter, count)
}

pub(super) fn rule() -> impl Strategy<Value = NaiveRule> {
    (levels(), 1..4_u8, prop::bool::weighted(0.3))
        .prop_filter("an empty topic is no topic", |(topic, ..)| !topic.is_empty())
        .prop_map(|(topic, mode, is_deny)| NaiveRule { topic, read: mode & 1 != 0, write: mode & 2 != 0, is_deny })
}

/// The rules as a policy file, spread over two roles.
pub(super) fn written(rules: &[NaiveRule]) -> String {
    let mut text = String::from("version: 1\nusers: { a: [odd, even] }\nroles:\n");
    for (name, parity) in [("odd", 1), ("even", 0)] {
        text += &format!("  {name}:\n    - {{ topic: never/used, rw: w }}\n");
        for rule in rules.iter().enumerate().filter(|(index, _)| index % 2 == parity).map(|(_, rule)| rule) {
            let mode = ["", "r", "w", "rw"][usize::from(rule.read) + 2 * usize::from(rule.write)];
            text += &format!(
                "    - {{ topic: \"{}\", {}: {mode} }}\n",
                rule.topic,
                if rule.is_deny { "deny" } else { "rw" }
            );
        }
    }
    text
}

fn bound(topic: &str) -> String {
    topic.replace("${username}", IDENTITY).replace("%u", IDENTITY)
}

/// Every name of up to four levels; `z` and `$z` are in no rule.
pub(super) fn names() -> Vec<String> {
    let alphabet = ["a", "b", "", "z", "$s", "$z", "xa"];
    let mut names: Vec<String> = alphabet.iter().map(|&level| level.to_owned()).collect();
    let mut longest = names.clone();
    for _ in 0..3 {
        longest = longest
            .iter()
            .flat_map(|name| ["a", "b", "", "z", "$s", "xa"].map(|level| format!("{name}/{level}")))
            .collect();
        names.extend(longest.iter().cloned());
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Deny unless allowed, deny beats allow.
fn naive(rules: &[NaiveRule], speaks: impl Fn(&NaiveRule) -> bool) -> bool {
    let mut speaking = rules.iter().filter(|rule| speaks(rule)).peekable();
    speaking.peek().is_some() && speaking.all(|rule| !rule.is_deny)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_name_gets_the_verdict_of_the_sum_of_the_rules(rules in prop::collection::vec(rule(), 0..8)) {
        let access = access(&written(&rules), IDENTITY);
        for name in names() {
            let matches = |rule: &NaiveRule| topic::matches(&bound(&rule.topic), &name);
            let expected = naive(&rules, |rule| rule.write && matches(rule));
            prop_assert_eq!(may_publish(&access, &name), expected, "publish {:?}", &name);
            let expected = naive(&rules, |rule| rule.read && matches(rule));
            prop_assert_eq!(access.receive(&name).allow, expected, "receive {:?}", &name);
        }
    }

    #[test]
    fn a_filter_is_granted_in_whole_when_one_grant_covers_it_and_no_deny_meets_it(
        rules in prop::collection::vec(rule(), 0..6),
        filters in prop::collection::vec(levels(), 12),
    ) {
        let names = names();
        let access = access(&(written(&rules) + "partial: filter\n"), IDENTITY);
        for filter in filters.iter().map(|filter| bound(filter)).filter(|filter| !filter.is_empty()) {
            let asked: Vec<&String> = names.iter().filter(|name| topic::matches(&filter, name)).collect();
            let readers = |is_deny: bool| rules.iter().filter(move |rule| rule.read && rule.is_deny == is_deny);
            let matches = |rule: &NaiveRule, name: &str| topic::matches(&bound(&rule.topic), name);
            let is_covered = readers(false).any(|rule| asked.iter().all(|name| matches(rule, name)));
            let is_met = |is_deny| readers(is_deny).any(|rule| asked.iter().any(|name| matches(rule, name)));
            let is_denied = readers(true).any(|rule| asked.iter().all(|name| matches(rule, name)));
            let expected = match (is_covered, is_met(true), is_met(false)) {
                (true, false, _) => "granted",
                (_, _, true) if !is_denied => "filtered",
                _ => "refused",
            };
            let found = match access.subscribe(&TopicFilter::parse(&filter).unwrap(), QoS::AtMostOnce) {
                SubscribeVerdict::Granted { .. } => "granted",
                SubscribeVerdict::Filtered { .. } => "filtered",
                SubscribeVerdict::Refused(_) => "refused",
            };
            prop_assert_eq!(found, expected, "{:?} under {:?}", filter, rules);
        }
    }

    #[test]
    fn a_deny_more_never_allows_more(rules in prop::collection::vec(rule(), 1..6), deny in rule()) {
        let more: Vec<NaiveRule> = rules.iter().cloned().chain([NaiveRule { is_deny: true, ..deny }]).collect();
        let (before, after) = (access(&written(&rules), IDENTITY), access(&written(&more), IDENTITY));
        for name in names().iter().filter(|name| name.len() < 6) {
            prop_assert!(!may_publish(&after, name) || may_publish(&before, name), "{}", name);
            prop_assert!(!may_subscribe(&after, name) || may_subscribe(&before, name), "{}", name);
        }
    }

    #[test]
    fn any_text_is_a_policy_or_has_faults(text in "(version: 1\n)?[a-z:{}\\[\\]\", #+$%*&!|>\n-]{0,80}\n") {
        if let Err(faults) = Policy::parse(&text, "p.yaml") {
            prop_assert!(!faults.is_empty());
        }
    }
}
