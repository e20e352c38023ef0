//! The same done to Tidegate and to a real mosquitto, and what their clients saw compared.
//!
//! Where they differ, [`differences`] says which of them the standard sides with. A difference that is not listed there fails the test,
//! and so does one that is listed and no longer seen. Scripts are written by hand ([`scripts`]) or come from a seed ([`generate`]);
//! `TIDEGATE_DIFFERENTIAL_SEED=17` does the script of that seed alone.

mod broker;
mod differences;
mod generate;
mod run;
mod script;
mod scripts;
mod transcript;

use std::fmt::Write as _;

use tidegate::mqtt::Version;

use broker::{Mosquitto, Tidegate};
use script::Script;
use transcript::{Differences, Transcript, compare};

const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];

/// Both brokers, each as it was before every script.
struct Pair {
    mosquitto: Mosquitto,
    tidegate: Tidegate,
}

impl Pair {
    fn start() -> Self {
        Self { mosquitto: Mosquitto::start(), tidegate: Tidegate::start() }
    }

    /// What the clients saw of mosquitto, and what of Tidegate.
    fn transcripts(&mut self, script: &Script) -> [Transcript; 2] {
        let Self { mosquitto, tidegate } = self;
        std::thread::scope(|scope| {
            let theirs = scope.spawn(|| run::run(mosquitto, script));
            let ours = run::run(tidegate, script);
            let theirs = theirs.join().unwrap_or_else(|_| panic!("with mosquitto: {script}"));
            [theirs, ours].map(|seen| if script.is_without_hints { seen.without_hints() } else { seen })
        })
    }

    /// Does a script that somebody wrote; says what is not as [`differences`] has it.
    fn judge(&mut self, script: &Script, version: Version) -> String {
        let [theirs, ours] = self.transcripts(script);
        let found = compare(theirs, ours, script.is_shared);
        let (known, clauses) = differences::of(&script.name, version);
        let is_known_release = self.mosquitto.version() == differences::MOSQUITTO;
        let unexpected = found.without(&known);
        let gone = if is_known_release { known.without(&found) } else { Differences::default() };
        let mut verdict = String::new();
        for (what, differences) in [("not listed", unexpected), ("listed, but not seen", gone)] {
            if !differences.is_empty() {
                write!(verdict, "{what}, in MQTT {version}:\n{differences}{script}")
                    .expect("a String takes everything");
                clauses.iter().for_each(|clause| writeln!(verdict, "  {clause}").expect("a String takes everything"));
            }
        }
        verdict
    }

    /// Does a generated script, in which there is nothing of what is listed.
    fn differences(&mut self, script: &Script) -> (Differences, usize) {
        let [theirs, ours] = self.transcripts(script);
        let message_count = ours.message_count();
        (compare(theirs, ours, script.is_shared), message_count)
    }

    /// Leaves out every step without which the brokers still differ.
    fn shrink(&mut self, mut script: Script) -> Script {
        for index in (0..script.steps.len()).rev() {
            let mut shorter = script.clone();
            shorter.steps.remove(index);
            if !self.differences(&shorter).0.is_empty() {
                script = shorter;
            }
        }
        script
    }
}

fn judge_all(version: Version) {
    let mut pair = Pair::start();
    let verdicts: Vec<_> = scripts::all(version).iter().map(|script| pair.judge(script, version)).collect();
    fail_with(&verdicts, &pair);
}

fn fail_with(verdicts: &[String], pair: &Pair) {
    let all = verdicts.concat();
    assert!(all.is_empty(), "Tidegate and mosquitto {}:\n{all}", pair.mosquitto.version());
}

#[test]
fn mqtt_3_1() {
    judge_all(Version::V3);
}

#[test]
fn mqtt_3_1_1() {
    judge_all(Version::V4);
}

#[test]
fn mqtt_5_0() {
    judge_all(Version::V5);
}

#[test]
fn as_time_passes() {
    // Each waits for its own clock, so all of them at once.
    std::thread::scope(|scope| {
        let all = VERSIONS.iter().flat_map(|&version| scripts::timed(version).into_iter().map(move |it| (version, it)));
        for (version, script) in all {
            scope.spawn(move || {
                let mut pair = Pair::start();
                let verdict = pair.judge(&script, version);
                fail_with(&[verdict], &pair);
            });
        }
    });
}

#[test]
fn scripts_that_nobody_thought_of() {
    let seeds = match std::env::var("TIDEGATE_DIFFERENTIAL_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().expect("a number in TIDEGATE_DIFFERENTIAL_SEED");
            seed..seed + 1
        }
        Err(_) => 0..200,
    };
    let mut pair = Pair::start();
    let (script_count, mut message_count) = (seeds.clone().count(), 0);
    for seed in seeds {
        let script = generate::script(seed, 30);
        let (differences, count) = pair.differences(&script);
        message_count += count;
        if !differences.is_empty() {
            let script = pair.shrink(script);
            let (shrunk, _) = pair.differences(&script);
            panic!(
                "TIDEGATE_DIFFERENTIAL_SEED={seed} shows what is not listed:\n{differences}and in short:\n{shrunk}{script}"
            );
        }
    }
    assert!(message_count > script_count, "{message_count} messages in {script_count} scripts prove little");
}

#[test]
fn every_listed_difference_has_its_script() {
    for row in differences::DIFFERENCES {
        for &version in row.versions {
            let mut scripts = scripts::all(version).into_iter().chain(scripts::timed(version));
            assert!(scripts.any(|script| script.name == row.script), "no script {} in MQTT {version}", row.script);
        }
    }
}
