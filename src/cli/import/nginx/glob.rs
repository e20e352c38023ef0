//! Patterns of file names, as `include` has them: `*`, `?` and `[…]`, none of which stands for a slash.

/// Whether a pattern names more than the one file that is called so.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether `name` is one that `pattern` names. A dot at the beginning of a name has to be written.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('/'), name.split('/'));
    loop {
        match (patterns.next(), names.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) => {
                let hides = name.starts_with('.') && !pattern.starts_with('.');
                let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
                if hides || !segment(&pattern, &name) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// One segment; at a mismatch it goes back to the last star alone, so that it takes no longer than both lengths multiplied.
fn segment(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&character) = name.get(read) {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => set(&pattern[at..], character),
            Some(literal) => (*literal == character).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(length), _) => {
                at += length;
                read += 1;
            }
            (None, Some((star_at, star_read))) => {
                star = Some((star_at, star_read + 1));
                (at, read) = (star_at + 1, star_read + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[at.min(pattern.len())..].iter().all(|&rest| rest == '*')
}

/// The length of a set such as `[a-z]` or `[!0-9]` if `character` is in it; one that does not end is a bracket.
fn set(pattern: &[char], character: char) -> Option<usize> {
    let is_negated = matches!(pattern.get(1), Some('!' | '^'));
    let begin = 1 + usize::from(is_negated);
    let Some(end) = pattern.iter().skip(begin + 1).position(|&c| c == ']').map(|index| begin + 1 + index) else {
        return (character == '[').then_some(1);
    };
    let items = &pattern[begin..end];
    let mut is_in = false;
    let mut index = 0;
    while let Some(&low) = items.get(index) {
        match (items.get(index + 1), items.get(index + 2)) {
            (Some('-'), Some(&high)) => {
                is_in |= (low..=high).contains(&character);
                index += 3;
            }
            _ => {
                is_in |= low == character;
                index += 1;
            }
        }
    }
    (is_in != is_negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_as_a_shell_does() {
        for (pattern, name, expected) in [
            ("/etc/nginx/conf.d/*.conf", "/etc/nginx/conf.d/a.conf", true),
            ("/etc/nginx/conf.d/*.conf", "/etc/nginx/conf.d/a.conf.bak", false),
            ("/etc/nginx/conf.d/*.conf", "/etc/nginx/conf.d/x/a.conf", false),
            ("/sites/*", "/sites/.swp", false),
            ("/sites/*/a?.conf", "/sites/x/ab.conf", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[x", "[x", true),
            ("*a*b", "aab", true),
            ("*a*b", "aba", false),
            ("***", "", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(50), &"b".repeat(10_000)));
    }
}
