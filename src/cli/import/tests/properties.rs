//! Whatever is put in: no panic, and what comes out can be read.

use proptest::prelude::*;

use super::*;

const FORMATS: [&str; 4] = ["mosquitto-acl", "auth-plug", "go-auth", "mosquitto"];

proptest! {
    #[test]
    fn any_text_is_printed_as_what_can_be_read_or_refused(how in prop::sample::select(&FORMATS[..]), text in "\\PC{0,80}|(?s).{0,80}") {
        check(how, &text)?;
    }

    #[test]
    fn acl_files_of_every_kind_are_read_again(lines in prop::collection::vec(acl_line(), 0..12)) {
        check("mosquitto-acl", &lines.join("\n"))?;
    }

    #[test]
    fn tables_of_every_kind_are_read_again(how in prop::sample::select(&FORMATS[1..]), rows in prop::collection::vec(row(), 0..8)) {
        check(how, &rows.concat())?;
    }
}

fn check(how: &str, text: &str) -> Result<(), TestCaseError> {
    match import(how, text) {
        Ok(Imported { yaml, .. }) => {
            let read = Policy::parse(&yaml, "printed.yaml");
            prop_assert!(read.is_ok(), "{:?}\n{}", read.err(), yaml);
        }
        Err(faults) => prop_assert!(!faults.is_empty()),
    }
    Ok(())
}

fn topic() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec![
        "",
        "a",
        "b",
        "+",
        "%u",
        "%c",
        "x%u",
        "%u%c",
        "${username}",
        "$SYS",
        "é\u{2028}",
        "c d",
        "\"",
        "#:",
    ]);
    (prop::collection::vec(level, 1..5), any::<bool>())
        .prop_map(|(levels, is_open)| levels.join("/") + if is_open { "/#" } else { "" })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["anonymous", "*", "true", "~", "a: b", "- x", "everybody", "\u{85}", "'\"'"])
            .prop_map(str::to_owned),
        "[^\n]{1,20}",
        "a{900,1200}",
    ]
}

fn acl_line() -> impl Strategy<Value = String> {
    let access = prop::sample::select(vec!["", "read ", "write ", "readwrite ", "deny "]);
    prop_oneof![
        name().prop_map(|name| format!("user {name}")),
        (prop::sample::select(vec!["topic", "pattern"]), access, topic())
            .prop_map(|(kind, access, topic)| format!("{kind} {access}{topic}")),
    ]
}

fn row() -> impl Strategy<Value = String> {
    let quote = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
    (name(), topic(), 0..8_u8).prop_map(move |(name, topic, rw)| format!("{},{},{rw}\n", quote(name), quote(topic)))
}
