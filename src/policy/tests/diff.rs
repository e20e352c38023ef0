//! What two policies differ in: golden files, and against every name judged under both.
//!
//! A golden file holds two policies and what is told of them, with lines of dashes between.

use std::path::Path;

use super::properties::{names, rule, written};
use super::*;
use crate::policy::diff::{Change, Diff, Only, diff};

const DASHES: &str = "\n----------\n";

#[test]
fn every_file_says_what_differs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/tests/diff");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut parts = text.splitn(3, DASHES);
        let mut policy = |name| Policy::parse(&format!("{}\n", parts.next().unwrap()), name).unwrap();
        let (old, new) = (policy("old.yaml"), policy("new.yaml"));
        let expected = parts.next().unwrap_or_default();
        let found = format!("{}\n", diff(&old, &new));
        if std::env::var_os("TIDEGATE_GOLDEN").is_some_and(|wish| wish == "write") {
            let policies = text.splitn(3, DASHES).take(2).collect::<Vec<_>>().join(DASHES);
            std::fs::write(&path, format!("{policies}{DASHES}{found}")).unwrap();
        } else {
            assert_eq!(found, expected, "{}", path.display());
        }
    }
}

/// Those who differ in a change of one operation.
fn changed(diff: &Diff, change: Change, operation: Operation, who: &str) -> bool {
    diff.differences.iter().any(|difference| {
        (difference.change, difference.operation) == (change, operation)
            && difference.identities.iter().any(|name| name == who)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_difference_is_told_if_and_only_if_a_name_differs(
        before in prop::collection::vec(rule(), 0..6),
        after in prop::collection::vec(rule(), 0..6),
        common in prop::collection::vec(rule(), 0..4),
    ) {
        let [old, new] = [before, after].map(|mut rules| {
            rules.extend(common.clone());
            policy(&written(&rules))
        });
        let told = diff(&old, &new);
        prop_assert!(told.differences.iter().all(|difference| !difference.uncertain));
        let who = Principal::user("a");
        let (before, after) = (old.bind(&who, "c1").unwrap(), new.bind(&who, "c1").unwrap());
        let publish = |access: &Access, name: &str| access.publish(name, QoS::AtMostOnce, false, 0).allow;
        let receive = |access: &Access, name: &str| access.receive(name).allow;
        let (mut lost, mut gained) = ([false; 2], [false; 2]);
        for name in names().into_iter().chain(["never/used".to_owned()]) {
            for (index, (before, after)) in [
                (publish(&before, &name), publish(&after, &name)),
                (receive(&before, &name), receive(&after, &name)),
            ].into_iter().enumerate() {
                lost[index] |= before && !after;
                gained[index] |= after && !before;
            }
        }
        let told_of = |change, operation| {
            told.differences.iter().any(|d| (d.change, d.operation) == (change, operation) && d.only != Some(Only::AsAWhole))
        };
        for (index, operation) in [Operation::Publish, Operation::Subscribe].into_iter().enumerate() {
            prop_assert_eq!(told_of(Change::Loses, operation), lost[index], "{}", told);
            prop_assert_eq!(told_of(Change::Gains, operation), gained[index], "{}", told);
        }
        for difference in &told.differences {
            let Some(name) = &difference.example else { continue };
            let judge = |access: &Access| match difference.operation {
                Operation::Publish => publish(access, name),
                Operation::Subscribe => receive(access, name),
            };
            prop_assert_eq!((judge(&before), judge(&after)), (difference.change == Change::Loses, difference.change == Change::Gains));
        }
        prop_assert!(diff(&old, &old).differences.is_empty());
    }
}

#[test]
fn rules_that_others_cover_are_no_difference() {
    let whole = "version: 1\nroles: { r: [ { topic: a/#, rw: rw } ] }\nusers: { u: [r] }\n";
    let same = [
        "version: 1\nroles: { q: [ { topic: a/b, rw: w } ], r: [ { topic: a/#, rw: rw } ] }\nusers: { u: [r, q] }\n",
        "version: 1\nroles: { r: [ { topic: a/#, rw: r } ], q: [ { topic: a/#, rw: w } ] }\nusers: { u: [q, r] }\n",
        "version: 1\nroles: { r: [ { topic: a/#, rw: rw }, { topic: b, deny: rw } ] }\nusers: { u: [r] }\n",
        "version: 1\nacl: [ [u, a/#, 2] ]\n",
    ];
    for other in same {
        let told = diff(&policy(whole), &policy(other));
        assert!(told.differences.is_empty(), "{told}");
        assert!(told.to_string().ends_with("nobody gains or loses anything"));
    }
}

#[test]
fn several_rules_cover_a_name_but_not_a_subscription() {
    let whole = "version: 1\nroles: { r: [ { topic: a/#, rw: r } ] }\nusers: { u: [r] }\n";
    let parts = "version: 1\nroles: { r: [ { topic: a, rw: r }, { topic: a/+/#, rw: r } ] }\nusers: { u: [r] }\n";
    let told = diff(&policy(whole), &policy(parts));
    assert_eq!(told.differences.len(), 1, "{told}");
    assert_eq!(told.differences[0].only, Some(Only::AsAWhole));
    let filtered = parts.replace("roles:", "partial: filter\nroles:");
    assert!(diff(&policy(whole), &policy(&filtered)).differences.is_empty());
}

#[test]
fn each_kind_of_identity_is_compared() {
    let old = "version: 1\nroles: { r: [ { topic: \"t/${username}\", rw: r } ] }\nusers: { alice: [r], \"*\": [r] }\n";
    let new = "version: 1\nroles: { r: [ { topic: \"t/${username}\", rw: r } ], all: [ { topic: t/+, rw: r } ] }\n\
               users: { alice: [r], anonymous: [r] }\nclaims: [ { when: { role: ops }, roles: [all] } ]\n";
    let told = diff(&policy(old), &policy(new));
    let changed = |change, who| changed(&told, change, Operation::Subscribe, who);
    assert!(!changed(Change::Loses, "alice") && !changed(Change::Gains, "alice"), "{told}");
    assert!(changed(Change::Loses, "any other user") && !changed(Change::Gains, "any other user"), "{told}");
    assert!(changed(Change::Gains, "anonymous"), "{told}");
    assert!(
        changed(Change::Gains, "a user with role=ops") && !changed(Change::Loses, "a user with role=ops"),
        "{told}"
    );
}

#[test]
fn what_cannot_be_told_is_said_and_not_left_out() {
    // Each rule of the old policy is out of step with all others, so that nearly every name leaves them in places of their own.
    let rules = |count: usize, last: &str| -> String {
        let rule = |index: usize| {
            let levels: Vec<&str> = (0..count).map(|level| if level == index { "a" } else { "+" }).collect();
            format!("    - {{ topic: \"{}/{last}\", rw: r }}\n", levels.join("/"))
        };
        (0..count).map(rule).collect()
    };
    let [old, new] = ["b", "c"].map(|last| {
        let open = vec!["+"; 24].join("/");
        let wide = if last == "b" { format!("    - {{ topic: \"{open}/b\", rw: r }}\n") } else { String::new() };
        policy(&format!("version: 1\nusers: {{ u: [r] }}\nroles:\n  r:\n{wide}{}", rules(24, "b")))
    });
    let told = diff(&old, &new);
    assert!(changed(&told, Change::Loses, Operation::Subscribe, "u"), "{told}");
}

#[test]
fn large_policies_are_compared_at_once() {
    let text = |changed: usize| -> String {
        let rules =
            (0..2_000).map(|n| format!("    - {{ topic: \"site/{n}/{}/#\", rw: rw }}\n", usize::from(n == changed)));
        format!("version: 1\nusers: {{ \"*\": [r], u: [r] }}\nroles:\n  r:\n{}", rules.collect::<String>())
    };
    let told = diff(&policy(&text(1)), &policy(&text(1_999)));
    assert_eq!(told.differences.len(), 8, "{told}");
}

#[test]
fn an_envelope_more_or_less_is_told() {
    let keys = |_: &str| {
        Ok(KeyFileText { origin: "keys".to_owned(), text: "dev:000102030405060708090a0b0c0d0e0f\n".to_owned() })
    };
    let with = "version: 1\nenvelope: [ { topic: a, key_file: keys } ]\n";
    let with = Policy::parse_with(with, "p.yaml", &keys).unwrap();
    let without = policy("version: 1\n");
    assert_eq!(diff(&with, &with).to_string(), "p.yaml and p.yaml: nobody gains or loses anything");
    let told = |old, new| diff(old, new).to_string();
    assert!(
        told(&without, &with).contains("an envelope is asked for from now on by p.yaml:2: envelope: \"a\""),
        "{}",
        told(&without, &with)
    );
    assert!(
        told(&with, &without).contains("an envelope is asked for no longer by p.yaml:2"),
        "{}",
        told(&with, &without)
    );
}
