//! The path of a request target as routes see it: decoded, slashes merged, dot segments resolved, never above the root.
//!
//! Pure. What readers of one path disagree on is refused rather than guessed at: broken escapes, control characters, backslashes, dot
//! segments that only some readers see (`..;x`, `a%2F..`). An escaped slash parts no segments, but it might elsewhere, so a path with one
//! can be asked for its other reading too ([`RequestPath::parted`]).

/// A path that leads nowhere but down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath {
    /// Begins with a slash. [`SLASH_WITHIN`] stands for an escaped slash.
    bytes: Vec<u8>,
    /// Whether an escape was decoded on the way.
    was_escaped: bool,
}

/// An escaped slash, which is part of its segment. No path holds this byte itself: control characters are refused.
const SLASH_WITHIN: u8 = 0;

impl RequestPath {
    /// Reads the path of a request target, without its query.
    ///
    /// `None` for what no honest client sends, and for what climbs above the root.
    #[must_use]
    pub fn read(raw: &str) -> Option<Self> {
        if !raw.starts_with('/') {
            return None;
        }
        if is_plain(raw.as_bytes()) {
            return Some(Self { bytes: raw.as_bytes().to_vec(), was_escaped: false });
        }
        let decoded = decode(raw)?;
        let sound = !decoded.iter().any(|&byte| byte != SLASH_WITHIN && byte.is_ascii_control() || byte == b'\\');
        Some(Self { bytes: sound.then(|| resolve(&decoded))??, was_escaped: raw.contains('%') })
    }

    /// For routes. It begins with a slash; zero stands for an escaped slash, which no route's path holds.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The path of somebody for whom an escaped slash parts segments, if that is another one.
    #[must_use]
    pub fn parted(&self) -> Option<Vec<u8>> {
        if !self.bytes.contains(&SLASH_WITHIN) {
            return None;
        }
        let mut parted = Vec::with_capacity(self.bytes.len());
        for &byte in &self.bytes {
            let byte = if byte == SLASH_WITHIN { b'/' } else { byte };
            if byte != b'/' || parted.last() != Some(&b'/') {
                parted.push(byte);
            }
        }
        Some(parted)
    }

    /// What follows the first `prefix_len` bytes, as text; `None` where it cannot be the path of a file: not UTF-8, or with a slash
    /// within a name.
    #[must_use]
    pub fn rest(&self, prefix_len: usize) -> Option<&str> {
        let rest = self.bytes.get(prefix_len..)?;
        std::str::from_utf8(rest).ok().filter(|_| !rest.contains(&SLASH_WITHIN))
    }

    /// `replacement` in the place of the first `prefix_len` bytes, then the rest escaped again as nginx escapes it. Where nothing was
    /// escaped, nothing is.
    #[must_use]
    pub fn replaced(&self, prefix_len: usize, replacement: &str) -> String {
        let rest = self.bytes.get(prefix_len..).unwrap_or_default();
        let mut path = String::with_capacity(replacement.len() + rest.len() + 8);
        path.push_str(replacement);
        for &byte in rest {
            match byte {
                SLASH_WITHIN => path.push_str("%2F"),
                _ if byte.is_ascii() && !(self.was_escaped && is_escaped(byte)) => path.push(char::from(byte)),
                _ => push_escaped(&mut path, byte),
            }
        }
        path
    }
}

/// Whether a path that begins with a slash is as it is read already, which most are: nothing escaped, nothing refused, no slash to merge,
/// and no segment that begins with a dot.
fn is_plain(raw: &[u8]) -> bool {
    let mut before = 0;
    raw.iter().all(|&byte| {
        let follows = std::mem::replace(&mut before, byte);
        !(byte.is_ascii_control() || matches!(byte, b'%' | b'\\') || follows == b'/' && matches!(byte, b'/' | b'.'))
    })
}

/// What nginx escapes in a path (`NGX_ESCAPE_URI`), beside all that is not ASCII.
fn is_escaped(byte: u8) -> bool {
    byte.is_ascii_control() || b" \"#%<>?\\^`{|}".contains(&byte)
}

/// Appends `byte` as `%XX` (RFC 3986 §2.1).
pub(crate) fn push_escaped(text: &mut String, byte: u8) {
    text.extend(escaped(byte).map(char::from));
}

/// `byte` as `%XX`.
pub(crate) fn escaped(byte: u8) -> [u8; 3] {
    let digit = |digit: u8| b"0123456789ABCDEF"[usize::from(digit)];
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

fn decode(raw: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                match u8::try_from(high * 16 + low).ok()? {
                    0 => return None,
                    b'/' => decoded.push(SLASH_WITHIN),
                    byte => decoded.push(byte),
                }
            }
            0 => return None,
            byte => decoded.push(byte),
        }
    }
    Some(decoded)
}

/// Merges slashes and resolves dot segments (RFC 3986 §5.2.4); `None` where they climb, or only some would see them.
fn resolve(decoded: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(decoded.len());
    let mut segments = decoded[1..].split(|&byte| byte == b'/').peekable();
    path.push(b'/');
    while let Some(segment) = segments.next() {
        match segment {
            b"" | b"." => {}
            b".." => {
                path.pop()?; // the slash behind the segment that goes
                while path.last().is_some_and(|&byte| byte != b'/') {
                    path.pop();
                }
                if path.is_empty() {
                    return None;
                }
            }
            _ if is_ambiguous(segment) => return None,
            _ => {
                path.extend_from_slice(segment);
                if segments.peek().is_some() {
                    path.push(b'/');
                }
            }
        }
    }
    Some(path)
}

/// Whether somebody who parts at escaped slashes, or takes off parameters, sees a dot segment here.
fn is_ambiguous(segment: &[u8]) -> bool {
    let name = |part: &'_ [u8]| part.iter().position(|&byte| byte == b';').unwrap_or(part.len());
    segment.split(|&byte| byte == SLASH_WITHIN).any(|part| matches!(&part[..name(part)], b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Option<String> {
        RequestPath::read(raw).map(|path| String::from_utf8_lossy(&path.bytes).replace('\0', "{/}"))
    }

    #[test]
    fn paths_are_decoded_once_merged_and_resolved() {
        for (raw, expected) in [
            ("/", "/"),
            ("/%6dqtt", "/mqtt"),
            ("/a%2fb", "/a{/}b"),
            ("/%25%32%65", "/%2e"),
            ("/%C3%A9", "/é"),
            ("/..a/...", "/..a/..."),
            ("//a///b//", "/a/b/"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/..", "/"),
            ("/.", "/"),
            ("/./a/./", "/a/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a//../b", "/b"),
            ("/a;b=c/d;e", "/a;b=c/d;e"),
            ("/a b\"{}|^`<>", "/a b\"{}|^`<>"),
        ] {
            assert_eq!(read(raw).as_deref(), Some(expected), "{raw}");
        }
    }

    #[test]
    fn what_climbs_or_can_be_read_in_two_ways_is_refused() {
        for raw in [
            "",
            "a",
            "*",
            "/%",
            "/%4",
            "/%zz",
            "/%00",
            "/\0",
            "/%0a",
            "/%7f",
            "/..",
            "/../a",
            "/a/../..",
            "/a/../../b",
            "//..",
            "/a/..;/b",
            "/a/..;x=y",
            "/.;/a",
            "/a/..%2f",
            "/%2F..%2Fetc",
            "/a%2f.",
            "/a/..%3b/b",
            "/a\\..\\b",
            "/%5c..%5c",
            "/a/..%5Cb",
        ] {
            assert_eq!(read(raw), None, "{raw}");
        }
    }

    #[test]
    fn an_escaped_slash_has_another_reading() {
        let parted = |raw| RequestPath::read(raw).and_then(|path| path.parted());
        assert_eq!(parted("/a/b"), None);
        assert_eq!(parted("/a%2fb").as_deref(), Some(&b"/a/b"[..]));
        assert_eq!(parted("/a%2f/%2Fb").as_deref(), Some(&b"/a/b"[..]));
    }

    #[test]
    fn the_rest_is_escaped_again_as_nginx_does() {
        for (raw, prefix, expected) in [
            ("/app/a%20b", "/app/", "/base/a%20b"),
            ("/app/%7Eb/%41", "/app/", "/base/~b/A"),
            ("/app/a%2Fb%252F", "/app/", "/base/a%2Fb%252F"),
            ("/app/%C3%A9?", "/app/", "/base/%C3%A9%3F"),
            ("/app//x/../y", "/app/", "/base/y"),
            ("/app/{a}|b", "/app/", "/base/{a}|b"),
            ("/app/{a}%7c", "/app/", "/base/%7Ba%7D%7C"),
            ("/app/a;b&c=d,e:f@g!$'()*+", "/app/", "/base/a;b&c=d,e:f@g!$'()*+"),
            ("/app", "/app", "/base/"),
        ] {
            let path = RequestPath::read(raw).expect("the path is sound");
            assert_eq!(path.replaced(prefix.len(), "/base/"), expected, "{raw}");
        }
    }

    proptest::proptest! {
        /// A path leads nowhere but down, whoever reads it.
        #[test]
        fn no_path_climbs(raw in "/([a.;%25eEfF/\\\\]|%2[eEfF]|%5[cC]|\\.\\.){0,12}") {
            if let Some(path) = RequestPath::read(&raw) {
                let parted = path.parted().unwrap_or_else(|| path.bytes.clone());
                let climbs = parted.split(|&byte| byte == b'/').any(|part| matches!(part, b"." | b".."));
                proptest::prop_assert!(!climbs && parted.starts_with(b"/"), "{} -> {:?}", raw, path);
                proptest::prop_assert!(!parted.windows(2).any(|pair| pair == b"//"), "{} -> {:?}", raw, path);
            }
        }

        /// What was escaped again reads as before.
        #[test]
        fn escaping_again_changes_no_reading(raw in "/([a-c%?# .;é{]|%2[0-9a-fA-F]|%[3-6c-f][0-9a-f]|/){0,12}") {
            if let Some(path) = RequestPath::read(&raw).filter(|path| path.was_escaped) {
                let again = RequestPath::read(&path.replaced(0, ""));
                let again = again.map(|again| again.bytes);
                proptest::prop_assert_eq!(again, Some(path.bytes));
            }
        }
    }
}
