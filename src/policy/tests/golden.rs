//! Golden files: a policy, a line of dashes, and either its faults or questions (`> …`) each with the explanation it gets.
//!
//! `TIDEGATE_GOLDEN=write cargo test --lib policy::tests::golden` writes what comes out into the files; read the difference before
//! committing it.

use std::fmt::Write as _;
use std::path::Path;

use super::explain::{Asked, Question};
use super::*;
use crate::mqtt::TopicName;

const DASHES: &str = "\n----------\n";

#[test]
fn every_file_says_what_comes_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/tests/golden");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once(DASHES).unwrap_or_else(|| panic!("{} has no dashes", path.display()));
        let found = answers(&format!("{input}\n"), expected);
        if std::env::var_os("TIDEGATE_GOLDEN").is_some_and(|wish| wish == "write") {
            std::fs::write(&path, format!("{input}{DASHES}{found}")).unwrap();
        } else {
            assert_eq!(found, expected, "{}", path.display());
        }
    }
}

/// The faults of the policy, or the answers to the questions in `expected`.
fn answers(input: &str, expected: &str) -> String {
    let mut out = String::new();
    match Policy::parse_with(input, "policy.yaml", &key_file) {
        Err(faults) => faults.iter().for_each(|fault| writeln!(out, "{fault}").unwrap()),
        Ok(policy) => {
            for line in expected.lines().filter(|line| line.starts_with("> ")) {
                write!(out, "{line}\n{}", policy.explain(&question(&line[2..]))).unwrap();
            }
            for failure in policy.run_tests() {
                writeln!(out, "{}", failure.fault).unwrap();
            }
        }
    }
    out
}

/// The key files that a golden policy can name.
fn key_file(name: &str) -> Result<KeyFileText, String> {
    let text = match name {
        "sound.key" => "dev-1:000102030405060708090a0b0c0d0e0f\ndev-2:101112131415161718191a1b1c1d1e1f\n",
        "faulty.key" => "dev-1:secret\ndev-2 101112131415161718191a1b1c1d1e1f\n",
        _ => return Err(format!("{name}: no such file")),
    };
    Ok(KeyFileText { origin: name.to_owned(), text: text.to_owned() })
}

/// `USER [client_id=ID] [claim.NAME=VALUE] [qos=N] [retain] [bytes=N] publish|subscribe TOPIC`
fn question(text: &str) -> Question {
    let mut words = text.split(' ');
    let username = words.next().unwrap();
    let who = if username == "anonymous" { Principal::anonymous() } else { Principal::user(username) };
    let mut question = Question {
        who,
        client_id: "c1".to_owned(),
        asked: Asked::Publish(TopicName::parse("unset").unwrap()),
        qos: QoS::AtMostOnce,
        retain: false,
        payload_bytes: 0,
    };
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "client_id" => question.client_id = value.to_owned(),
            "qos" => question.qos = QoS::from_u8(value.parse().unwrap()).unwrap(),
            "bytes" => question.payload_bytes = value.parse().unwrap(),
            "retain" => question.retain = true,
            "publish" | "subscribe" => {
                let topic = words.by_ref().collect::<Vec<_>>().join(" ");
                question.asked = match name {
                    "publish" => Asked::Publish(TopicName::parse(topic).unwrap()),
                    _ => Asked::Subscribe(TopicFilter::parse(&topic).unwrap()),
                };
            }
            claim => {
                let name = claim.strip_prefix("claim.").unwrap_or_else(|| panic!("{claim} is no part of a question"));
                question.who.claims.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    question
}
