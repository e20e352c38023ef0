//! The conformance index, held to what it says: every normative statement of MQTT 5.0 and 3.1.1 → the tests and the
//! rows of the packet table that show it, or why none.
//!
//! `mqtt-5.0.txt` and `mqtt-3.1.1.txt` beside this file are the index. A fault in either is a statement without test or reason, a test
//! that is not there, a number that the standard does not have, or one that is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cases::Case;

#[expect(dead_code, unreachable_pub, reason = "only the rows' names are looked at")]
#[path = "../../src/mqtt/codec/cases.rs"]
mod cases;

/// One standard: its index, and the statements of its appendix B.
struct Standard {
    name: &'static str,
    /// Of the rows of the packet table that may show it.
    version: u8,
    index: &'static str,
    /// All of them.
    count: usize,
    /// `section:first-last`, or `section:last` where the first is 1.
    sections: &'static str,
}

/// OASIS Standard, 7 March 2019. §2.2.1 has no first statement, and [MQTT-4.2.0-1] is spelled [MQTT-4.2-1] in the body.
const MQTT_5_0: Standard = Standard {
    name: "MQTT 5.0",
    version: 5,
    index: include_str!("mqtt-5.0.txt"),
    count: 251,
    sections: "1.5.4:3 1.5.5:1 1.5.7:1 2.1.3:1 2.2.1:2-6 2.2.2:1 \
        3.1.0:2 3.1.2:30 3.1.3:12 3.1.4:6 3.2.0:2 3.2.2:22 3.3.1:13 3.3.2:20 3.3.4:10 \
        3.4.2:3 3.5.2:3 3.6.1:1 3.6.2:3 3.7.2:3 3.8.1:1 3.8.3:5 3.8.4:8 3.9.2:2 3.9.3:2 \
        3.10.1:1 3.10.3:2 3.10.4:6 3.11.2:2 3.11.3:2 3.12.4:1 3.14.0:1 3.14.1:1 3.14.2:4 3.14.4:3 3.15.1:1 3.15.2:3 \
        4.1.0:2 4.2.0:1 4.3.1:1 4.3.2:5 4.3.3:13 4.4.0:2 4.5.0:2 4.6.0:6 4.7.0:1 4.7.1:2 4.7.2:1 4.7.3:4 \
        4.8.2:6 4.9.0:3 4.12.0:7 4.12.1:2 4.13.1:1 4.13.2:1 6.0.0:4",
};

/// OASIS Standard, 29 October 2014.
const MQTT_3_1_1: Standard = Standard {
    name: "MQTT 3.1.1",
    version: 4,
    index: include_str!("mqtt-3.1.1.txt"),
    count: 141,
    sections: "1.5.3:3 2.2.2:2 2.3.1:7 3.1.0:2 3.1.2:24 3.1.3:11 3.1.4:5 3.2.0:1 3.2.2:6 3.3.1:12 3.3.2:3 3.3.4:1 3.3.5:2 \
        3.6.1:1 3.8.1:1 3.8.3:4 3.8.4:6 3.9.3:2 3.10.1:1 3.10.3:2 3.10.4:6 3.12.4:1 3.14.1:1 3.14.4:3 \
        4.1.0:2 4.3.1:1 4.3.2:2 4.3.3:2 4.4.0:1 4.5.0:2 4.6.0:6 4.7.1:3 4.7.2:1 4.7.3:4 4.8.0:2 \
        6.0.0:4 7.0.0:2 7.1.1:1 7.1.2:1",
};

/// Why a statement may have no test.
const REASONS: [(&str, &[Party]); 2] = [
    // What a client does by itself, which no server sees or can answer.
    ("client", &[Party::Client]),
    // It speaks of those who took a liberty that this server does not take.
    ("choice", &[Party::Server, Party::Client, Party::Both]),
];

/// What sends every row of the packet table that a client may send to the running server.
const SENDERS_OF_ROWS: [&str; 2] = [
    "tests/integration/mqtt/table.rs::every_row_of_a_client_is_answered_as_the_table_says",
    "tests/integration/mqtt/table.rs::every_connect_of_the_table_is_answered_in_the_words_of_its_version",
];

/// A gist is no quotation.
const GIST_CHARS_MAX: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Server,
    Client,
    Both,
}

/// The four numbers of `[MQTT-3.1.2-7]`.
type Number = [u16; 4];

#[derive(Debug)]
struct Statement<'a> {
    line: usize,
    number: Number,
    party: Party,
    gist: &'a str,
    /// `path::name`
    tests: Vec<&'a str>,
    /// Names of rows of the packet table.
    rows: Vec<&'a str>,
    /// Class and text.
    reasons: Vec<(&'a str, &'a str)>,
}

impl<'a> Statement<'a> {
    /// Takes a line of proof: a test, `row "name"`, or `not shown, class: text`. Whether it can be read.
    fn add(&mut self, proof: &'a str) -> bool {
        if let Some(row) = proof.strip_prefix("row \"") {
            return row.strip_suffix('"').map(|row| self.rows.push(row)).is_some();
        }
        let Some(reason) = proof.strip_prefix("not shown, ") else {
            self.tests.push(proof);
            return true;
        };
        reason.split_once(": ").map(|reason| self.reasons.push(reason)).is_some()
    }
}

#[test]
fn every_statement_of_mqtt_5_0_is_shown_or_explained() {
    hold(&MQTT_5_0);
}

#[test]
fn every_statement_of_mqtt_3_1_1_is_shown_or_explained() {
    hold(&MQTT_3_1_1);
}

#[test]
fn every_number_in_the_source_is_one_of_a_standards() {
    let known: BTreeSet<Number> = [MQTT_5_0, MQTT_3_1_1]
        .iter()
        .flat_map(|standard| parse(standard.index).0)
        .map(|statement| statement.number)
        .collect();
    let mut faults = Vec::new();
    for path in rust_files(&["src", "tests", "benches", "fuzz/fuzz_targets"]) {
        let text = std::fs::read_to_string(&path).expect("a readable source file");
        // This file speaks of numbers that are none.
        for number in numbers_in(&text).filter(|_| !path.ends_with("tests/conformance/main.rs")) {
            if number.is_none_or(|number| !known.contains(&number)) {
                faults.push(format!("{}: {number:?}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "numbers that no standard has:\n{}", faults.join("\n"));
}

#[test]
fn the_reader_sees_what_is_wrong() {
    let good = "[MQTT-1.5.4-1] server: gist\n    tests/conformance/main.rs::the_reader_sees_what_is_wrong\n";
    let standard = |index| Standard { name: "a standard", version: 5, index, count: 1, sections: "1.5.4:1" };
    assert_eq!(faults(&standard(good)), Vec::<String>::new());
    assert_eq!(faults(&standard("[MQTT-1.5.4-1] server: gist\n    row \"PINGREQ 5.0\"\n")), Vec::<String>::new());
    for (index, expected) in [
        ("", "[MQTT-1.5.4-1] is missing"),
        ("[MQTT-1.5.4-1] server: gist\n", "neither shown nor explained"),
        ("[MQTT-1.5.4-1] server: gist\n    src/lib.rs::nothing\n", "no test nothing"),
        ("[MQTT-1.5.4-1] server: gist\n    tests/conformance/main.rs::faults\n", "no test faults"),
        ("[MQTT-1.5.4-1] server: gist\n    tests/gone.rs::nothing\n", "no file tests/gone.rs"),
        ("[MQTT-1.5.4-1] server: gist\n    row \"nothing\"\n", "no row nothing"),
        ("[MQTT-1.5.4-1] server: gist\n    row \"PINGREQ\"\n", "no row PINGREQ"),
        ("[MQTT-1.5.4-1] server: gist\n    row \"PINGRESP\"\n", "no row PINGRESP"),
        ("[MQTT-1.5.4-1] server: gist\n    row \"PINGREQ 5.0\n", "line 2 cannot be read"),
        ("[MQTT-1.5.4-1] server: gist\n    not shown, client: it is the client's own affair\n", "not for Server"),
        ("[MQTT-1.5.4-1] server: gist\n    not shown, choice: no\n", "says too little"),
        ("[MQTT-1.5.4-1] server: gist\n    not shown, boredom: nobody wanted to write it\n", "no class boredom"),
        ("[MQTT-1.5.4-1] server: It MUST be so\n", "quotes the standard"),
        ("[MQTT-1.5.4-1] somebody: gist\n", "line 1 cannot be read"),
        ("[MQTT-1.5.4] server: gist\n", "line 1 cannot be read"),
        ("    tests/conformance/main.rs::hold\n", "line 1 cannot be read"),
        (&good.replace("4-1", "4-2"), "[MQTT-1.5.4-2] is none of the standard's"),
        (&good.replace("4-1", "4-2"), "[MQTT-1.5.4-1] is missing"),
        (&good.repeat(2), "is not after"),
        (&[&good.replace("1.5.4", "1.5.5"), good].concat(), "[MQTT-1.5.4-1] is not after [MQTT-1.5.5-1]"),
    ] {
        let found = faults(&standard(index.to_owned().leak()));
        assert!(found.iter().any(|fault| fault.contains(expected)), "{expected:?} is not among {found:?} for {index}");
    }
}

fn hold(standard: &Standard) {
    let found = faults(standard);
    assert!(found.is_empty(), "{} faults in the index of {}:\n{}", found.len(), standard.name, found.join("\n"));
}

/// All that is wrong with an index, a line each.
fn faults(standard: &Standard) -> Vec<String> {
    let (statements, mut faults) = parse(standard.index);
    judge_numbers(standard, &statements, &mut faults);
    let mut sources = Sources::default();
    faults.extend(SENDERS_OF_ROWS.iter().filter_map(|test| sources.find(test).err()));
    for statement in &statements {
        let name = spell(statement.number);
        let mut fault = |text: String| faults.push(format!("line {}: {name} {text}", statement.line));
        if statement.gist.is_empty() || statement.gist.chars().count() > GIST_CHARS_MAX {
            fault("has no gist, or a long one".to_owned());
        }
        if ["MUST", "SHOULD", "MAY "].iter().any(|word| statement.gist.contains(word)) {
            fault("quotes the standard".to_owned());
        }
        match (statement.tests.len() + statement.rows.len(), statement.reasons.len()) {
            (0, 0) => fault("is neither shown nor explained".to_owned()),
            (1.., 0) | (0, 1) => {}
            _ => fault("is shown and explained away, or explained twice".to_owned()),
        }
        for row in &statement.rows {
            let is_sent = |case: &&Case| case.name == *row && case.version == standard.version && !case.is_from_server;
            if !cases::all().any(|case| is_sent(&case)) {
                fault(format!("names no row {row} that a client of this version sends"));
            }
        }
        for test in &statement.tests {
            if let Err(text) = sources.find(test) {
                fault(text);
            }
        }
        for (class, text) in &statement.reasons {
            match REASONS.iter().find(|(known, _)| known == class) {
                None => fault(format!("has no class {class} among the reasons")),
                Some((_, parties)) if !parties.contains(&statement.party) => {
                    fault(format!("is excused as {class}, which is not for {:?}", statement.party));
                }
                Some(_) if text.split_whitespace().count() < 5 => fault(format!("says too little: {text}")),
                Some(_) => {}
            }
        }
    }
    faults
}

/// In order, none twice, and just those that the standard has.
fn judge_numbers(standard: &Standard, statements: &[Statement<'_>], faults: &mut Vec<String>) {
    let known: BTreeSet<Number> = standard.sections.split_whitespace().flat_map(section).collect();
    assert_eq!(known.len(), standard.count, "a slip in the sections of {}", standard.name);
    for pair in statements.windows(2) {
        if pair[0].number >= pair[1].number {
            let (first, second) = (spell(pair[0].number), spell(pair[1].number));
            faults.push(format!("line {}: {second} is not after {first}", pair[1].line));
        }
    }
    let found: BTreeSet<Number> = statements.iter().map(|statement| statement.number).collect();
    faults.extend(known.difference(&found).map(|&number| format!("{} is missing", spell(number))));
    faults.extend(found.difference(&known).map(|&number| format!("{} is none of the standard's", spell(number))));
}

/// The numbers of `2.2.1:2-6`.
fn section(text: &str) -> Vec<Number> {
    let number = |text: &str| text.parse::<u16>().expect("a number");
    let (section, range) = text.split_once(':').expect("a section and its numbers");
    let [a, b, c] = section.split('.').map(number).collect::<Vec<_>>()[..] else { panic!("{section} is no section") };
    let (first, last) = range.split_once('-').unwrap_or(("1", range));
    (number(first)..=number(last)).map(|n| [a, b, c, n]).collect()
}

/// The statements of an index, and the lines that are none.
fn parse(index: &str) -> (Vec<Statement<'_>>, Vec<String>) {
    let (mut statements, mut faults) = (Vec::<Statement<'_>>::new(), Vec::new());
    for (line, text) in (1..).zip(index.lines()).filter(|(_, text)| !text.is_empty() && !text.starts_with('#')) {
        let is_read = match text.strip_prefix("    ") {
            None => parse_statement(line, text).map(|statement| statements.push(statement)).is_some(),
            Some(proof) => statements.last_mut().is_some_and(|statement| statement.add(proof)),
        };
        if !is_read {
            faults.push(format!("line {line} cannot be read: {text}"));
        }
    }
    (statements, faults)
}

/// Reads `[MQTT-1.5.4-1] server: gist`.
fn parse_statement(line: usize, text: &str) -> Option<Statement<'_>> {
    let (number, rest) = text.strip_prefix("[MQTT-")?.split_once("] ")?;
    let (party, gist) = rest.split_once(": ")?;
    let party = match party {
        "server" => Party::Server,
        "client" => Party::Client,
        "both" => Party::Both,
        _ => return None,
    };
    Some(Statement {
        line,
        number: parse_number(number)?,
        party,
        gist,
        tests: Vec::new(),
        rows: Vec::new(),
        reasons: Vec::new(),
    })
}

/// Reads `1.5.4-1`.
fn parse_number(text: &str) -> Option<Number> {
    let numbers: Vec<u16> = text.split(['.', '-']).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

fn spell([a, b, c, n]: Number) -> String {
    format!("[MQTT-{a}.{b}.{c}-{n}]")
}

/// The numbers that a source file mentions; `None` for one that is not spelled as a number.
fn numbers_in(text: &str) -> impl Iterator<Item = Option<Number>> {
    text.split("[MQTT-").skip(1).map(|rest| parse_number(rest.split(']').next().unwrap_or_default()))
}

/// The tests of the source files looked into so far.
#[derive(Default)]
struct Sources(BTreeMap<String, Option<BTreeSet<String>>>);

impl Sources {
    /// Whether `path::name` is a test that is run.
    fn find(&mut self, test: &str) -> Result<(), String> {
        let (path, name) = test.split_once("::").ok_or_else(|| format!("names no test: {test}"))?;
        let tests = self.0.entry(path.to_owned()).or_insert_with(|| tests_of(path));
        match tests {
            None => Err(format!("names no file {path} that is compiled")),
            Some(tests) if !tests.contains(name) => Err(format!("names no test {name} in {path}")),
            Some(_) => Ok(()),
        }
    }
}

/// The names of the functions marked as tests and not ignored; `None` if there is no such file, or no module declares it.
fn tests_of(path: &str) -> Option<BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join(path)).ok()?;
    is_declared(root, path).then(|| tests_in(&text))
}

/// Whether the module above says `mod NAME;`; the root of a crate needs nobody.
fn is_declared(root: &Path, path: &str) -> bool {
    let path = Path::new(path);
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else {
        return false;
    };
    if matches!(stem, "main" | "lib") {
        return true;
    }
    let declaration = format!("mod {stem};");
    let above = [folder.join("mod.rs"), folder.join("main.rs"), folder.join("lib.rs"), folder.with_extension("rs")];
    above.iter().any(|file| std::fs::read_to_string(root.join(file)).is_ok_and(|text| text.contains(&declaration)))
}

fn tests_in(text: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let (mut is_test, mut is_ignored) = (false, false);
    for line in text.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        is_ignored |= line.starts_with("#[ignore");
        let function = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "));
        if let Some(name) = function.and_then(|rest| rest.split('(').next()) {
            if is_test && !is_ignored {
                tests.insert(name.to_owned());
            }
            (is_test, is_ignored) = (false, false);
        }
    }
    tests
}

/// Every `.rs` file below these folders.
fn rust_files(folders: &[&str]) -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}
