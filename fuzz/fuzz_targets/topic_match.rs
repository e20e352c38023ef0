//! Two Topic Filters and a Topic Name, a line each: matching agrees with a second construction, and covering and
//! meeting with matching.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::mqtt::topic::{LEVELS_MAX, TopicFilter, TopicName};

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let (a, b, name) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let (a, b) = (parse(a), parse(b));
    let Ok(name) = TopicName::parse(name) else { return };
    for filter in [&a, &b].into_iter().flatten() {
        assert_eq!(filter.matches(&name), matches_by_table(filter.filter(), &name), "{filter} {name}");
        assert!(filter.covers(filter) && filter.intersects(filter));
    }
    let (Some(a), Some(b)) = (a, b) else { return };
    let (in_a, in_b) = (a.matches(&name), b.matches(&name));
    assert!(!(in_b && a.covers(&b)) || in_a, "{a} covers {b} but not {name}");
    assert!(!(in_a && in_b) || a.intersects(&b), "{a} and {b} have {name} in common");
    assert_eq!(a.intersects(&b), b.intersects(&a), "{a} {b}");
    assert!(!a.covers(&b) || a.intersects(&b), "{a} covers {b} without meeting it");
});

fn parse(text: &str) -> Option<TopicFilter> {
    let filter = TopicFilter::parse(text);
    assert_eq!(filter.is_ok(), is_valid(text), "{text:?}");
    assert_eq!(filter.is_ok(), TopicFilter::check(text).is_ok());
    filter.ok()
}

/// MQTT 5.0 §4.7.1, §4.7.3, §4.8.2 by whole levels.
fn is_valid(text: &str) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let rest = match levels[..] {
        ["$share", name, ref rest @ ..] => {
            if name.is_empty() || name.contains('+') || name.contains('#') || rest.is_empty() || rest == [""] {
                return false;
            }
            rest
        }
        _ => &levels[..],
    };
    !text.is_empty()
        && text.len() <= 65_535
        && !text.contains('\0')
        && levels.len() <= LEVELS_MAX
        && rest.iter().enumerate().all(|(index, level)| match *level {
            "+" => true,
            "#" => index + 1 == rest.len(),
            other => !other.contains(['+', '#']),
        })
}

/// Fills a table from the ends: `table[f][n]` says whether the filter's levels from `f` match the name's levels from
/// `n`.
fn matches_by_table(filter: &str, name: &str) -> bool {
    if name.as_bytes().first() == Some(&b'$') && matches!(filter.as_bytes().first(), Some(b'+' | b'#')) {
        return false;
    }
    let filter: Vec<&str> = filter.split('/').collect();
    let name: Vec<&str> = name.split('/').collect();
    let mut table = vec![vec![false; name.len() + 1]; filter.len() + 1];
    table[filter.len()][name.len()] = true;
    for f in (0..filter.len()).rev() {
        for n in (0..=name.len()).rev() {
            table[f][n] = match filter[f] {
                "#" => true,
                level => n < name.len() && (level == "+" || level == name[n]) && table[f + 1][n + 1],
            };
        }
    }
    table[0][0]
}
