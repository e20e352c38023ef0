//! The table asked of the commands that answer before production does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::cases::{Identity, Table};
use super::{Act, Case, Differences, Expected, Partial, granted};
use crate::harness::server::tidegate;

/// A directory with the policy, under this name, and what it names.
fn directory(policy: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(directory.path().join("keys")).expect("a directory");
    std::fs::write(directory.path().join("keys/devices"), "sensor-1:01010101010101010101010101010101\n")
        .expect("a writable file");
    std::fs::write(directory.path().join("policy.yaml"), policy).expect("a writable file");
    directory
}

/// What of the table a question without a payload and with single claims can ask.
fn questions(table: &Table) -> impl Iterator<Item = (&Identity, &Case)> {
    table.cases.iter().filter_map(|case| {
        let identity = table.identities.iter().find(|identity| identity.name == case.who).expect("a known identity");
        let has_list = identity.claims.values().any(|items| items.len() > 1);
        (!has_list && case.envelope.is_none() && case.verdict != Expected::Malformed).then_some((identity, case))
    })
}

fn verb(case: &Case) -> &'static str {
    if case.act == Act::Publish { "publish" } else { "subscribe" }
}

#[test]
fn explain_gives_the_verdicts_of_the_table() {
    let table = Table::read();
    let mut differences = Differences::default();
    for partial in Partial::BOTH {
        let directory = directory(&partial.policy());
        for (identity, case) in questions(&table) {
            // What does not depend on `partial` is asked once.
            if partial == Partial::Filter && !matches!(case.verdict, Expected::Partial(_)) {
                continue;
            }
            let answer = explain(directory.path(), identity, case);
            let way = format!("explain under {partial:?}");
            let is_granted = granted(case, partial).is_some();
            differences.check(case, &way, &answer["allowed"], &json!(is_granted));
            if case.act == Act::Subscribe {
                let maximum = granted(case, partial).map(|maximum| maximum as u8);
                differences.check(case, &way, &answer["maximum_qos"], &json!(maximum));
                let is_filtered = is_granted && matches!(case.verdict, Expected::Partial(_));
                differences.check(case, &way, &answer["filtered"], &json!(is_filtered));
            }
            if is_granted {
                differences.check(case, &way, answer["rule"]["line"].is_u64(), true);
            }
        }
    }
}

fn explain(directory: &Path, identity: &Identity, case: &Case) -> Value {
    let mut command = tidegate();
    command.args(["--json", "policy", "explain"]).arg(directory.join("policy.yaml"));
    // With `=`, as some of these names would be options otherwise.
    command.arg(format!("--user={}", identity.username)).arg(format!("--client-id={}", identity.client_id));
    for (name, values) in &identity.claims {
        command.arg(format!("--claim={name}={}", values.join(",")));
    }
    command.arg(format!("--qos={}", case.qos as u8)).arg(format!("--payload-bytes={}", case.payload_bytes));
    if case.retain {
        command.arg("--retain");
    }
    let output = command.args([verb(case), "--", &case.topic]).output().expect("the tidegate binary");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {case:?}: {output:?}"))
}

#[test]
fn the_table_as_tests_of_the_policy_file_passes_and_turned_around_fails() {
    let table = Table::read();
    for partial in Partial::BOTH {
        let (written, count) = written_tests(&table, partial, false);
        let output = policy_test(&(partial.policy() + &written));
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains(&format!("{count} tests passed")), "{printed}");

        let (written, count) = written_tests(&table, partial, true);
        let output = policy_test(&(partial.policy() + &written));
        let faults = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{faults}");
        let failed = faults.lines().filter(|line| line.contains(": tests[")).count();
        assert_eq!(failed, count, "every one of them is wrong:\n{faults}");
    }
}

fn policy_test(policy: &str) -> Output {
    let directory = directory(policy);
    tidegate().args(["policy", "test"]).arg(directory.path().join("policy.yaml")).output().expect("the tidegate binary")
}

/// A `tests` section, and how many there are in it.
fn written_tests(table: &Table, partial: Partial, is_turned_around: bool) -> (String, usize) {
    let mut text = String::from("tests:\n");
    let mut count = 0;
    // The size of a payload is nothing a test can say.
    for (identity, case) in questions(table).filter(|(_, case)| case.verdict != Expected::TooLarge) {
        let granted = granted(case, partial);
        let word = if granted.is_some() == is_turned_around { "may_not" } else { "may" };
        // A Subscription that is granted at less than it asks for is not what was asked for.
        let qos = granted.unwrap_or(case.qos) as u8;
        let claims: BTreeMap<_, _> = identity.claims.iter().map(|(name, values)| (name, values[0])).collect();
        let (username, client_id, topic) = (json!(identity.username), json!(identity.client_id), json!(case.topic));
        writeln!(
            text,
            "  - {{ as: {username}, client_id: {client_id}, claims: {}, {word}: {}, topic: {topic}, qos: {qos}, retain: {} }}",
            json!(claims),
            verb(case),
            case.retain,
        )
        .expect("a String takes everything");
        count += 1;
    }
    (text, count)
}
