//! A filter, and rules a line each (`-` in front of a deny): what is granted is what a reading of the rules one by one grants, name by
//! name, for names made of the filter's and the rules' own levels.
#![no_main]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use libfuzzer_sys::fuzz_target;
use tidegate::auth::Principal;
use tidegate::mqtt::{QoS, TopicFilter, TopicName};
use tidegate::policy::{Policy, SubscribeVerdict};

const RULES_MAX: usize = 12;
const LEVELS_MAX: usize = 6;
const NAMES_MAX: usize = 3000;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n').filter(|line| line.split('/').count() <= LEVELS_MAX);
    let Some(Ok(filter)) = lines.next().map(TopicFilter::parse) else { return };
    let rules: Vec<(bool, TopicFilter)> = lines.take(RULES_MAX).filter_map(rule).collect();
    let names = names(&filter, &rules);
    for partial in ["refuse", "filter"] {
        let policy = Policy::parse(&written(&rules, partial), "policy.yaml").expect("made of valid parts");
        let access = policy.bind(&Principal::user("u"), "c").expect("no rule binds anything");
        let may = |name: &TopicName<'_>| {
            let mut speaking = rules.iter().filter(|(_, topic)| topic.matches(name)).peekable();
            speaking.peek().is_some() && speaking.all(|(is_deny, _)| !is_deny)
        };
        for name in &names {
            assert_eq!(access.receive(name).allow, may(name), "{} under {rules:?}", name.as_str());
        }
        let is_covered = rules.iter().any(|(is_deny, topic)| !is_deny && topic.covers(&filter));
        let is_met = rules.iter().any(|(is_deny, topic)| *is_deny && topic.intersects(&filter));
        let mut asked = names.iter().filter(|name| filter.matches(name));
        match access.subscribe(&filter, QoS::ExactlyOnce) {
            SubscribeVerdict::Granted { .. } => {
                assert!(is_covered && !is_met, "{filter} is granted under {rules:?}");
                assert!(asked.all(may), "{filter} is granted under {rules:?}");
            }
            SubscribeVerdict::Filtered { check, .. } => {
                assert!(partial == "filter" && !(is_covered && !is_met), "{filter} is filtered under {rules:?}");
                assert!(asked.all(|name| check.allows(name) == may(name)), "{filter} is filtered under {rules:?}");
            }
            SubscribeVerdict::Refused(_) => {
                assert!(!is_covered || is_met, "{filter} is refused under {rules:?}");
                assert!(partial == "refuse" || !asked.any(may), "{filter} is refused under {rules:?}");
            }
        }
    }
});

/// Whether it is a deny, and its topic.
fn rule(line: &str) -> Option<(bool, TopicFilter)> {
    let (is_deny, topic) = line.strip_prefix('-').map_or((false, line), |topic| (true, topic));
    // What begins a placeholder or a Shared Subscription has another meaning in a rule.
    let is_plain = !topic.contains(['%', '{']) && !topic.starts_with("$share/");
    is_plain.then(|| TopicFilter::parse(topic).ok())?.map(|topic| (is_deny, topic))
}

fn written(rules: &[(bool, TopicFilter)], partial: &str) -> String {
    let mut text = format!("version: 1\npartial: {partial}\nusers: {{ u: [r] }}\nroles:\n  r:\n");
    for (is_deny, topic) in rules {
        let (topic, key) = (quoted(topic.as_str()), if *is_deny { "deny" } else { "rw" });
        writeln!(text, "    - {{ topic: {topic}, {key}: r }}").expect("a String");
    }
    if rules.is_empty() { text.replace("  r:\n", "  r: []\n") } else { text }
}

/// In double quotes; escaped wherever YAML may not take the character as it is (YAML 1.2 §5.1, §5.7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => write!(quoted, "\\U{:08X}", u32::from(character)).expect("a String"),
        }
    }
    quoted + "\""
}

/// Names that the filter or a rule could match: their own levels, each wildcard filled with levels of the others and with a strange one.
fn names(filter: &TopicFilter, rules: &[(bool, TopicFilter)]) -> Vec<TopicName<'static>> {
    let topics = || rules.iter().map(|(_, topic)| topic.as_str()).chain([filter.filter()]);
    let mut levels: BTreeSet<&str> = topics().flat_map(|topic| topic.split('/')).collect();
    levels.retain(|level| !matches!(*level, "+" | "#"));
    levels.extend(["", "strange"]);
    let mut names: BTreeSet<String> = BTreeSet::new();
    for topic in topics() {
        let mut begun: Vec<String> = vec![String::new()];
        for (depth, level) in topic.split('/').enumerate() {
            let slash = if depth > 0 { "/" } else { "" };
            begun = match level {
                "#" => {
                    names.extend(begun.iter().cloned());
                    let one =
                        |name: &String| levels.iter().map(|level| format!("{name}{slash}{level}")).collect::<Vec<_>>();
                    let longer: Vec<String> = begun.iter().flat_map(one).collect();
                    longer.iter().flat_map(|name| [name.clone(), format!("{name}/strange")]).collect()
                }
                "+" => begun
                    .iter()
                    .flat_map(|name| levels.iter().map(move |level| format!("{name}{slash}{level}")))
                    .collect(),
                level => begun.iter().map(|name| format!("{name}{slash}{level}")).collect(),
            };
            begun.truncate(NAMES_MAX);
        }
        names.extend(begun);
    }
    names.into_iter().take(NAMES_MAX).filter_map(|name| TopicName::parse(name).ok()).collect()
}
