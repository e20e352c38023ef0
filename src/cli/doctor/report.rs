//! What was found, and how a tired operator reads it: culprit first, one short line a check, and why and what to do below what is wrong.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Somebody suffers from it.
    Fault,
    /// It works, and should not stay so.
    Warning,
    Ok,
    /// Not looked at, and why.
    Skipped,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// Why it matters; empty where nothing is wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    #[serde(rename = "do", skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// All that was found at one place, in the order in which it was looked at: from the wire upwards, so that the first fault is the cause of
/// those that follow.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub subject: String,
    pub findings: Vec<Finding>,
}

/// Text is broken where a line would become longer than so many characters.
const COLUMNS: usize = 100;

/// Where the text of a finding begins.
const INDENT: usize = 23;

/// The longest piece of somebody else's text that is repeated, in characters.
const QUOTED_CHARS_MAX: usize = 200;

impl Report {
    #[must_use]
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), findings: Vec::new() }
    }

    pub fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Ok, found, "", "");
    }

    pub fn skipped(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Verdict::Skipped, found, "", "");
    }

    pub fn warning(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Verdict::Warning, found, why, remedy);
    }

    pub fn fault(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Verdict::Fault, found, why, remedy);
    }

    pub fn add(
        &mut self,
        check: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (found, why, remedy) = (found.into(), why.into(), remedy.into());
        self.findings.push(Finding { check, verdict, found, why, remedy });
    }

    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.subject)?;
        let mut findings: Vec<_> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.verdict);
        for finding in findings {
            let verdict = match finding.verdict {
                Verdict::Fault => "FAULT",
                Verdict::Warning => "warning",
                Verdict::Ok => "ok",
                Verdict::Skipped => "skipped",
            };
            write!(f, "  {verdict:<8} {:<11} ", finding.check)?;
            wrapped(f, &finding.found, INDENT)?;
            for (label, text) in [("why:", &finding.why), ("do:", &finding.remedy)] {
                if !text.is_empty() {
                    write!(f, "{:INDENT$}{label:<4} ", "")?;
                    wrapped(f, text, INDENT + 5)?;
                }
            }
        }
        let counts = [
            (Verdict::Fault, "fault", "faults"),
            (Verdict::Warning, "warning", "warnings"),
            (Verdict::Ok, "ok", "ok"),
            (Verdict::Skipped, "skipped", "skipped"),
        ];
        let counted = counts.iter().map(|(verdict, one, many)| (self.count(*verdict), one, many));
        let counted = counted.filter(|(count, ..)| *count > 0);
        let words: Vec<_> =
            counted.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many })).collect();
        write!(f, "  {}", words.join(", "))
    }
}

/// Writes `text` and the end of a line; further lines begin at `indent`.
fn wrapped(f: &mut fmt::Formatter<'_>, text: &str, indent: usize) -> fmt::Result {
    let mut column = indent;
    for (index, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > COLUMNS {
            write!(f, "\n{:indent$}", "")?;
            column = indent;
        } else if index > 0 {
            f.write_str(" ")?;
            column += 1;
        }
        f.write_str(word)?;
        column += length;
    }
    writeln!(f)
}

/// Somebody else's text, such as cannot move a terminal's cursor, and not for ever.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_CHARS_MAX).flat_map(shown).collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}

fn shown(character: char) -> impl Iterator<Item = char> {
    // Bidirectional overrides turn around what stands beside them.
    let hides = character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if hides { character.escape_unicode().collect::<Vec<_>>() } else { vec![character] }.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_culprit_comes_first_and_lines_stay_short() {
        let mut report = Report::new("wss://a.example/mqtt");
        report.ok("dns", "1 address");
        report.warning("origin", "every page may", "w ".repeat(60).trim(), "say who may");
        report.fault("idle", "cut after 60 s", "", "");
        let text = report.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "wss://a.example/mqtt");
        assert_eq!(lines[1], "  FAULT    idle        cut after 60 s");
        assert_eq!(lines[2], "  warning  origin      every page may");
        assert!(lines[3].starts_with("                       why: w w "), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert_eq!(lines.last().unwrap(), &"  1 fault, 1 warning, 1 ok");
    }

    #[test]
    fn what_others_say_moves_no_cursor() {
        assert_eq!(quoted("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(quoted(&"x".repeat(500)).chars().count(), QUOTED_CHARS_MAX + 1);
    }
}
