//! Where nginx and Tidegate are known to differ, and why: the files under `differences/`, read, compared with, and written.

use std::fmt::Write as _;
use std::path::PathBuf;

/// One known difference: all that each of them shows, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Difference {
    case: String,
    why: String,
    nginx: Vec<String>,
    tidegate: Vec<String>,
}

/// What stands where a reason has to be given yet.
const NO_REASON: &str = "?";

/// A case by its name, and what nginx and Tidegate showed.
pub type Shown = (String, Vec<String>, Vec<String>);

/// Panics where two differ and `file` does not say so, or says otherwise. With `BLESS` set, writes it instead.
pub fn judge(file: &str, cases: Vec<Shown>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/integration/front/differences").join(file);
    let text = std::fs::read_to_string(&path).expect("a file of the repository");
    let known = known(&text);
    let (mut seen, mut verdict) = (Vec::new(), String::new());
    for (case, nginx, tidegate) in cases {
        let listed = known.iter().find(|row| row.case == case);
        let why = listed.map_or(NO_REASON, |row| &row.why).to_owned();
        let found = (nginx != tidegate).then_some(Difference { case, why, nginx, tidegate });
        if found.as_ref() != listed || found.as_ref().is_some_and(|row| row.why == NO_REASON) {
            writeln!(verdict, "listed: {listed:#?}\nseen: {found:#?}\n").expect("a String");
        }
        seen.extend(found);
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, written(&text, &seen)).expect("a file of the repository");
        return;
    }
    assert!(verdict.is_empty(), "{verdict}");
    assert_eq!(seen.len(), known.len(), "what is listed names no case");
}

/// What is known, under their reasons.
fn known(text: &str) -> Vec<Difference> {
    let (mut why, mut found) = (String::new(), Vec::<Difference>::new());
    for line in text.lines() {
        if let Some(reason) = line.strip_prefix("## ") {
            why = reason.to_owned();
        } else if let Some(case) = line.strip_prefix("case ") {
            found.push(Difference { case: case.to_owned(), why: why.clone(), ..Difference::default() });
        } else if let Some(last) = found.last_mut() {
            let shown = [("    nginx: ", &mut last.nginx), (" tidegate: ", &mut last.tidegate)];
            for (prefix, lines) in shown {
                lines.extend(line.strip_prefix(prefix).map(str::to_owned));
            }
        }
    }
    found
}

/// `seen` under the reasons that were known for them, in the place of what `text` holds.
fn written(text: &str, seen: &[Difference]) -> String {
    let head = text.split("## ").next().unwrap_or_default();
    let mut reasons: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    reasons.retain(|reason| *reason != NO_REASON);
    reasons.push(NO_REASON);
    let mut text = head.to_owned();
    for reason in reasons {
        let mut cases = seen.iter().filter(|row| row.why == reason).peekable();
        if cases.peek().is_some() {
            writeln!(text, "## {reason}\n").expect("a String");
        }
        for row in cases {
            writeln!(text, "case {}", row.case).expect("a String");
            for line in &row.nginx {
                writeln!(text, "    nginx: {line}").expect("a String");
            }
            for line in &row.tidegate {
                writeln!(text, " tidegate: {line}").expect("a String");
            }
            text.push('\n');
        }
    }
    text.trim_end().to_owned() + "\n"
}
