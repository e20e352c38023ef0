//! Values as nginx writes them: times, sizes, and texts with variables.

use std::time::Duration;

/// `60`, `60s`, `1m30s`, `500ms`; a month has 30 days.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(rest.len());
        let factor_ms = match &rest[..unit] {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "M" => 30 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(count.checked_mul(factor_ms)?))?;
        rest = rest[unit..].trim_start_matches(' ');
    }
    Some(total)
}

/// `10m`, `8k`, `1g`, `4096`.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..digits].parse().ok()?;
    let factor = match &text[digits..] {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    count.checked_mul(factor)
}

/// A part of a text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// A text taken apart at its variables, `$name` and `${name}`.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        let (name, length) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 3),
            None => {
                let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
                (&after[..end], end + 1)
            }
        };
        if at > 0 {
            parts.push(Part::Text(&rest[..at]));
        }
        parts.push(if name.is_empty() { Part::Text("$") } else { Part::Variable(name) });
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

/// Whether nothing in it is filled in for each request.
pub(super) fn is_plain(text: &str) -> bool {
    parts(text).iter().all(|part| matches!(part, Part::Text(_)))
}

/// What a redirect leads to, in our spelling; `captured` is what `$1` holds besides a leading text, if it holds all of the path.
pub(super) fn destination(text: &str, scheme: &str, name: Option<&str>, captured: Option<Captured>) -> Option<String> {
    let mut to = String::new();
    for part in parts(text.strip_suffix('?').unwrap_or(text)) {
        match part {
            Part::Text(text) => to.push_str(text),
            Part::Variable("scheme") => to.push_str(scheme),
            Part::Variable("host" | "http_host") => to.push_str("${host}"),
            Part::Variable("server_name") => to.push_str(name?),
            Part::Variable("request_uri" | "uri" | "document_uri") => to.push_str("${target}"),
            Part::Variable("is_args" | "args" | "query_string") if to.ends_with("${target}") => {}
            Part::Variable("1") => match captured? {
                Captured::Path => to.push_str("${target}"),
                // The slash before it is the target's own.
                Captured::WithoutSlash => {
                    to.truncate(to.strip_suffix('/')?.len());
                    to.push_str("${target}");
                }
            },
            Part::Variable(_) => return None,
        }
    }
    if to.starts_with('/') && to.contains("${target}") {
        to = format!("{scheme}://${{host}}{to}");
    }
    let is_target = to.starts_with('/') || to.starts_with("https://") || to.starts_with("http://");
    (is_target && to.bytes().all(|byte| byte.is_ascii_graphic()) && crate::edge::is_sound_redirect(&to)).then_some(to)
}

/// What `$1` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captured {
    Path,
    WithoutSlash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        for (text, expected) in [
            ("60", Some(60_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1h 1s", Some(3_601_000)),
            ("1x", None),
            ("", None),
        ] {
            assert_eq!(duration(text).map(|time| time.as_millis()), expected, "{text}");
        }
        assert_eq!((size("10m"), size("8K"), size("0"), size("m")), (Some(10 << 20), Some(8 << 10), Some(0), None));
        assert_eq!(duration("99999999999999999999"), None);
    }

    #[test]
    fn redirects_keep_what_was_asked() {
        let to = |text, captured| destination(text, "http", Some("a.test"), captured);
        for (text, captured, expected) in [
            ("https://$host$request_uri", None, Some("https://${host}${target}")),
            ("https://${host}$request_uri?", None, Some("https://${host}${target}")),
            ("$scheme://$server_name$uri$is_args$args", None, Some("http://a.test${target}")),
            ("https://$host$1", Some(Captured::Path), Some("https://${host}${target}")),
            ("https://b.test/$1", Some(Captured::WithoutSlash), Some("https://b.test${target}")),
            ("/new", None, Some("/new")),
            ("/new$request_uri", None, Some("http://${host}/new${target}")),
            ("https://$host:8443$request_uri", None, Some("https://${host}:8443${target}")),
            ("https://$http_x", None, None),
            ("https://$1", None, None),
            ("https://$request_uri", None, None),
            ("/a b", None, None),
        ] {
            assert_eq!(to(text, captured).as_deref(), expected, "{text}");
        }
    }
}
