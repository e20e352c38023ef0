//! Regular expressions that say no more than a path or the beginning of one.

use super::values::Captured;

/// What such an expression matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Simple {
    Exact(String),
    Prefix(String),
}

const ALTERNATIVES_MAX: usize = 32;

/// The paths that `pattern` stands for; `None` where there is no list of them.
pub(super) fn simple(pattern: &str, ignores_case: bool) -> Option<Vec<Simple>> {
    let mut texts = vec![String::new()];
    let mut rest = pattern.strip_prefix('^')?;
    let found = loop {
        match rest {
            "" | ".*" | ".*$" | "(.*)" | "(.*)$" => break texts.into_iter().map(Simple::Prefix).collect(),
            "$" => break texts.into_iter().map(Simple::Exact).collect(),
            "(/|$)" | "(/.*)?$" | "(?:/|$)" | "(?:/.*)?$" | "($|/)" => {
                let both = |text: String| [Simple::Prefix(format!("{text}/")), Simple::Exact(text)];
                break texts.into_iter().flat_map(both).collect::<Vec<_>>();
            }
            _ => {}
        }
        let first = rest.chars().next()?;
        match first {
            '\\' => {
                let literal = rest[1..].chars().next().filter(|c| !c.is_ascii_alphanumeric())?;
                rest = not_repeated(&rest[1 + literal.len_utf8()..])?;
                texts.iter_mut().for_each(|text| text.push(literal));
            }
            '(' => {
                let inner = rest[1..].strip_prefix("?:").unwrap_or(&rest[1..]);
                let (group, after) = inner.split_once(')')?;
                rest = not_repeated(after)?;
                let alternatives = group.split('|').map(literal).collect::<Option<Vec<_>>>()?;
                let joined =
                    |text: &String| alternatives.iter().map(|more| format!("{text}{more}")).collect::<Vec<_>>();
                texts = texts.iter().flat_map(joined).collect();
                if texts.len() > ALTERNATIVES_MAX {
                    return None;
                }
            }
            other if is_meta(other) => return None,
            other => {
                rest = not_repeated(&rest[other.len_utf8()..])?;
                texts.iter_mut().for_each(|text| text.push(other));
            }
        }
    };
    let found: Vec<Simple> = found;
    let is_sound = |simple: &Simple| {
        let (Simple::Exact(text) | Simple::Prefix(text)) = simple;
        text.starts_with('/') && !(ignores_case && text.contains(|c: char| c.is_alphabetic()))
    };
    found.iter().all(is_sound).then_some(found)
}

/// Whether it matches every path, and what it keeps of it.
pub(super) fn whole(pattern: &str) -> Option<Option<Captured>> {
    match pattern {
        "^" | ".*" | "^.*$" | "^.*" | "^/" | "/" => Some(None),
        "^(.*)$" | "^(.*)" | "(.*)" | "^(/.*)$" | "^(/.*)" => Some(Some(Captured::Path)),
        "^/(.*)$" | "^/(.*)" | "^/?(.*)$" | "/(.*)" => Some(Some(Captured::WithoutSlash)),
        _ => None,
    }
}

/// For an expression about names that begin with a dot, wherever they stand: how those at the root begin, and whether it says no more than
/// that of them.
pub(super) fn dot_names(pattern: &str) -> Option<(String, bool)> {
    let after =
        pattern.trim_start_matches('^').trim_start_matches("(.*)").trim_start_matches(".*").strip_prefix("/\\.")?;
    let literal: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let behind = &after[literal.len()..];
    // A letter that may be missing or repeated is none of the beginning.
    let certain = if behind.starts_with(['*', '?', '+', '{']) {
        literal[..literal.len().saturating_sub(1)].to_owned()
    } else {
        literal
    };
    let is_whole = matches!(behind, "" | ".*" | ".*$" | "(.*)") || !certain.is_empty();
    Some((format!("/.{certain}"), is_whole))
}

fn is_meta(character: char) -> bool {
    "^$.|?*+()[]{}\\".contains(character)
}

fn not_repeated(rest: &str) -> Option<&str> {
    (!rest.starts_with(['*', '+', '?', '{'])).then_some(rest)
}

fn literal(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.push(characters.next().filter(|c| !c.is_ascii_alphanumeric())?),
            meta if is_meta(meta) => return None,
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_dot_have_a_beginning() {
        let found = dot_names;
        let expected = |prefix: &str, is_whole| Some((prefix.to_owned(), is_whole));
        assert_eq!(found(r"/\.ht"), expected("/.ht", true));
        assert_eq!(found(r"/\."), expected("/.", true));
        assert_eq!(found(r"/\.(?!well-known)"), expected("/.", false));
        assert_eq!(found(r"/\.(git|env)"), expected("/.", false));
        assert_eq!(found(r"/\.gi?t"), expected("/.g", true));
        assert_eq!(found(r"\.php$"), None);
    }

    #[test]
    fn what_is_but_a_path_is_found() {
        let prefixes = |texts: &[&str]| Some(texts.iter().map(|&text| Simple::Prefix(text.into())).collect::<Vec<_>>());
        assert_eq!(simple("^/api/", false), prefixes(&["/api/"]));
        assert_eq!(simple("^/api/.*$", false), prefixes(&["/api/"]));
        assert_eq!(simple(r"^/(js|css)/v1\.0/(.*)$", false), prefixes(&["/js/v1.0/", "/css/v1.0/"]));
        assert_eq!(simple("^/x$", false), Some(vec![Simple::Exact("/x".into())]));
        let both = vec![Simple::Prefix("/x/".into()), Simple::Exact("/x".into())];
        assert_eq!(simple("^/x(/|$)", false), Some(both));
        for pattern in
            [r"\.php$", "^/[a-z]", "^/a+", "^/v\\d", "^/a?", "^(a|b)", "^/ab*", "^x", "^/a|/b", "^/(a|", "^/\\"]
        {
            assert_eq!(simple(pattern, false), None, "{pattern}");
        }
        assert_eq!(simple("^/api/", true), None);
        assert_eq!(simple(&format!("^/{}", "(a|b)".repeat(20)), false), None);
    }
}
