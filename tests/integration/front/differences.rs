//! Where nginx and Tidegate are known to differ, and why: `differences.txt`, read and written.

use std::fmt::Write as _;

/// One known difference: all that each of them shows, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub case: String,
    pub why: String,
    pub nginx: Vec<String>,
    pub tidegate: Vec<String>,
}

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/front/differences.txt");

/// What stands where a reason has to be given yet.
pub const NO_REASON: &str = "?";

/// What is known, under their reasons.
pub fn known() -> Vec<Difference> {
    let text = std::fs::read_to_string(FILE).expect("a file of the repository");
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

/// Writes `seen` under the reasons that were known for them.
pub fn bless(seen: &[Difference]) {
    let text = std::fs::read_to_string(FILE).expect("a file of the repository");
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
    std::fs::write(FILE, text.trim_end().to_owned() + "\n").expect("a file of the repository");
}
