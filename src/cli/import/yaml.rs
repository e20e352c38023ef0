//! Texts as YAML that reads back as the same text.

use std::fmt::Write as _;

/// Plain where nobody could take it for something else, quoted otherwise.
pub(super) fn word(text: &str) -> String {
    const MEANT_OTHERWISE: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'))
        && !MEANT_OTHERWISE.contains(&text.to_ascii_lowercase().as_str())
        && !text.eq_ignore_ascii_case("n");
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// In double quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            other if is_printable(other) => out.push(other),
            other if u32::from(other) > 0xFFFF => write!(out, "\\U{:08X}", u32::from(other)).expect("a String"),
            other => write!(out, "\\u{:04X}", u32::from(other)).expect("a String"),
        }
    }
    out.push('"');
    out
}

/// One line of a comment, whatever the text holds.
pub(super) fn comment(text: &str) -> String {
    text.chars().map(|character| if is_printable(character) { character } else { '\u{fffd}' }).collect()
}

/// Whether a mapping may have it as a key without `?`: YAML allows 1024 characters.
pub(super) fn is_simple_key(written: &str) -> bool {
    const SIMPLE_KEY_CHARACTERS_MAX: usize = 1000;
    written.chars().count() <= SIMPLE_KEY_CHARACTERS_MAX
}

/// What YAML 1.2 §5.1 lets stand as it is, without line breaks, tabs, and what turns the direction of a line.
fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => false,
        '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => true,
        other => other >= '\u{10000}' && u32::from(other) & 0xFFFE != 0xFFFE,
    }
}
