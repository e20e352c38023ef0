use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// MQTT 5.0 §4.7.1.2 and §4.7.1.3, example by example.
#[test]
fn the_standards_own_examples_match() {
    for (filter, topic, is_match) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("#", "anything/at/all", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("+/tennis/#", "sport/tennis", true),
        ("sport/+/player1", "sport/tennis/player1", true),
    ] {
        assert_eq!(matches(filter, topic), is_match, "{filter} {topic}");
    }
}

/// MQTT 5.0 §4.7.2, [MQTT-4.7.2-1].
#[test]
fn a_leading_wildcard_never_matches_a_leading_dollar() {
    for (filter, topic, is_match) in [
        ("#", "$SYS/monitor", false),
        ("+/monitor", "$SYS/monitor", false),
        ("+", "$", false),
        ("$SYS/#", "$SYS", true),
        ("$SYS/+", "$SYS/monitor", true),
        ("a/#", "a/$b", true),
        ("a/+", "a/$b", true),
        ("/+", "/$b", true),
    ] {
        assert_eq!(matches(filter, topic), is_match, "{filter} {topic}");
    }
    assert!(!covers("#", "$SYS/#"));
    assert!(covers("$SYS/#", "$SYS/+"));
    assert!(!intersects("#", "$SYS/a"));
    assert!(intersects("$SYS/#", "$SYS/a"));
}

#[test]
fn filters_are_judged_as_the_standard_says() {
    for filter in
        ["a", "/", "//", "+", "#", "+/a", "a/+/b", "a/#", "/#", " ", "$share", "$shared/g/a", "$share/g/$share/g/a"]
    {
        assert!(TopicFilter::parse(filter).is_ok(), "{filter}");
    }
    for (filter, error) in [
        ("", TopicError::Empty),
        ("a\0", TopicError::Nul),
        ("a+", TopicError::MisplacedWildcard),
        ("+a/b", TopicError::MisplacedWildcard),
        ("#/", TopicError::MisplacedWildcard),
        ("a#", TopicError::MisplacedWildcard),
        ("a/#/b", TopicError::MisplacedWildcard),
        ("++", TopicError::MisplacedWildcard),
        ("$share/", TopicError::MalformedShare),
        ("$share/g", TopicError::MalformedShare),
        ("$share/g/", TopicError::MalformedShare),
        ("$share//a", TopicError::MalformedShare),
        ("$share/+/a", TopicError::MalformedShare),
        ("$share/g#/a", TopicError::MalformedShare),
        ("$share/g/a+", TopicError::MisplacedWildcard),
    ] {
        assert_eq!(TopicFilter::parse(filter), Err(error), "{filter}");
    }
}

#[test]
fn a_shared_filter_matches_by_what_follows_its_name() {
    let shared = TopicFilter::parse("$share/workers/a/+").expect("valid");
    assert_eq!((shared.share_name(), shared.filter()), (Some("workers"), "a/+"));
    assert!(shared.matches("a/b"));
    assert!(!shared.matches("$share/workers/a/b"));
    let plain = TopicFilter::parse("a/+").expect("valid");
    assert_eq!(plain.share_name(), None);
    assert!(plain.covers(&shared));
}

/// mosquitto: CVE-2021-34432 (empty), CVE-2018-12543 (`$x`), CVE-2019-11779 (65,400 slashes).
#[test]
fn security_zero_length_dollar_nul_and_overlong_topics() {
    let slashes = "/".repeat(BYTES_MAX);
    assert_eq!(TopicName::parse(slashes.as_str()), Err(TopicError::TooDeep));
    assert_eq!(TopicFilter::parse(&slashes), Err(TopicError::TooDeep));
    assert_eq!(TopicName::parse("/".repeat(LEVELS_MAX)), Err(TopicError::TooDeep));
    assert!(TopicName::parse("/".repeat(LEVELS_MAX - 1)).is_ok());
    assert_eq!(TopicName::parse("a".repeat(BYTES_MAX + 1)), Err(TopicError::TooLong));
    assert!(TopicName::parse("a".repeat(BYTES_MAX)).is_ok());
    assert_eq!(TopicName::parse(""), Err(TopicError::Empty));
    assert_eq!(TopicName::parse("a\0b"), Err(TopicError::Nul));
    for topic in ["$", "$x", "\u{FEFF}", "é/x", "\u{FFFF}"] {
        let name = TopicName::parse(topic).expect("a Topic Name");
        assert!(!matches("#", &name) || !topic.starts_with('$'));
        assert!(matches(topic, &name));
    }
}

/// Every name of up to three levels over an alphabet in which only equality counts.
fn names() -> Vec<String> {
    let levels = ["", "a", "b", "$", "$a"];
    let mut names: Vec<String> = levels.iter().map(ToString::to_string).collect();
    let mut longest = names.clone();
    for _ in 0..2 {
        longest = longest.iter().flat_map(|name| levels.map(|level| format!("{name}/{level}"))).collect();
        names.extend(longest.iter().cloned());
    }
    names.retain(|name| !name.is_empty());
    names
}

/// A filter of up to two levels before an optional `#`, so that names of three levels tell any two of them apart.
fn filter() -> impl Strategy<Value = String> {
    let level = select(vec!["", "a", "b", "$", "$a", "+"]);
    (vec(level, 0..=2), any::<bool>())
        .prop_map(|(mut levels, has_rest)| {
            if has_rest {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("a filter has a character", |filter| !filter.is_empty())
}

/// MQTT 5.0 §4.7 read as a grammar, recursively: nothing in common with [`matches`].
fn matches_by_the_book(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        ([], []) | (["#"], _) => true,
        (["+", filter @ ..], [_, name @ ..]) => matches_by_the_book(filter, name),
        ([level, filter @ ..], [same, name @ ..]) if level == same => matches_by_the_book(filter, name),
        _ => false,
    }
}

fn is_match(filter: &str, name: &str) -> bool {
    let filter: Vec<_> = filter.split('/').collect();
    let levels: Vec<_> = name.split('/').collect();
    let is_hidden = matches!(filter.first(), Some(&("+" | "#"))) && name.starts_with('$');
    !is_hidden && matches_by_the_book(&filter, &levels)
}

proptest! {
    #[test]
    fn matches_agrees_with_the_grammar(filter in filter()) {
        for name in names() {
            prop_assert_eq!(matches(&filter, &name), is_match(&filter, &name), "{} {}", filter, name);
        }
    }

    #[test]
    fn covers_and_intersects_agree_with_all_names(a in filter(), b in filter()) {
        let names = names();
        let is_covering = names.iter().all(|name| !is_match(&b, name) || is_match(&a, name));
        prop_assert_eq!(covers(&a, &b), is_covering, "{} covers {}", a, b);
        let is_meeting = names.iter().any(|name| is_match(&a, name) && is_match(&b, name));
        prop_assert_eq!(intersects(&a, &b), is_meeting, "{} meets {}", a, b);
        prop_assert_eq!(intersects(&a, &b), intersects(&b, &a));
    }

    #[test]
    fn check_and_parse_agree(text in "[$a/+#\0]{0,6}|\\$share/[g+]{0,2}/?[a+#/]{0,3}") {
        let parsed = TopicFilter::parse(&text);
        prop_assert_eq!(parsed.clone().map(|filter| filter.as_str().len() - filter.filter().len()),
            TopicFilter::check(&text).map(usize::from));
        if let Ok(filter) = parsed {
            prop_assert!(filter.covers(&filter) && filter.intersects(&filter));
        }
    }
}
