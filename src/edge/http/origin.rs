//! Which pages may open a WebSocket: Origins as scheme, host and port, compared whole.
//!
//! Invariant: no comparison by prefix, suffix or substring; what cannot be read as an origin is no origin.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::super::config::OriginRule;

/// An origin in its one spelling (RFC 6454 §4): lower case, the scheme's own port left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    scheme: Cow<'static, str>,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Reads `scheme://host[:port]`, as browsers write it in the Origin field and operators in a list.
    ///
    /// Anything more (path, query, user) or less (`null`, empty) is no origin.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (scheme, authority) = text.split_once("://")?;
        let sound = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        sound.then(|| Self::new(scheme, authority.as_bytes()))?
    }

    /// The origin of `authority` (as a Host field gives it) under `scheme`.
    pub(crate) fn new(scheme: &str, authority: &[u8]) -> Option<Self> {
        let (host, port) = parse_authority(authority)?;
        let (scheme, own) = match () {
            () if scheme.eq_ignore_ascii_case("https") => (Cow::Borrowed("https"), Some(443)),
            () if scheme.eq_ignore_ascii_case("http") => (Cow::Borrowed("http"), Some(80)),
            () => (Cow::Owned(scheme.to_ascii_lowercase()), None),
        };
        Some(Self { port: port.filter(|_| port != own), scheme, host })
    }

    /// Without the dot of the root, which names the same host.
    pub(crate) fn host(&self) -> &str {
        self.host.strip_suffix('.').unwrap_or(&self.host)
    }
}

/// Host (lower case, an IPv6 address in its shortest form) and port of `host[:port]`.
pub(crate) fn parse_authority(authority: &[u8]) -> Option<(String, Option<u16>)> {
    let text = std::str::from_utf8(authority).ok()?;
    let (host, rest) = if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), rest)
    } else {
        let end = authority.iter().position(|&byte| byte == b':').unwrap_or(text.len());
        let (host, rest) = text.split_at(end);
        let is_of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let sound = host.bytes().all(is_of_name)
            && !matches!(host.as_bytes(), [] | [b'.', ..])
            && !host.as_bytes().windows(2).any(|two| two == b"..");
        (sound.then(|| host.to_ascii_lowercase())?, rest)
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        // `host:` is a host without a port (RFC 3986 §3.2.3).
        Some("") => None,
        Some(digits) if digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    Some((host, port))
}

/// An [`OriginRule`] whose list has been read.
#[derive(Clone, Debug)]
pub(crate) enum Origins {
    Any,
    List { same: bool, others: Vec<Origin> },
}

impl Origins {
    /// # Errors
    /// The entries of a list that are no origins.
    pub(crate) fn new(rule: &OriginRule) -> Result<Self, Vec<String>> {
        let list = match rule {
            OriginRule::Any => return Ok(Self::Any),
            OriginRule::Same => return Ok(Self::List { same: true, others: Vec::new() }),
            OriginRule::List(list) => list,
        };
        let mut origins = Vec::new();
        let mut unsound = Vec::new();
        for entry in list.iter().filter(|entry| *entry != "same") {
            match Origin::parse(entry.as_bytes()) {
                Some(origin) => origins.push(origin),
                None => unsound.push(entry.clone()),
            }
        }
        if !unsound.is_empty() {
            return Err(unsound);
        }
        Ok(Self::List { same: list.iter().any(|entry| entry == "same"), others: origins })
    }

    /// Whether a page of `origin` (the raw field) may, where `own` is the origin that the request was sent to.
    pub(crate) fn allow(&self, origin: &[u8], own: Option<&Origin>) -> bool {
        match self {
            Self::Any => origin == b"null" || Origin::parse(origin).is_some(),
            Self::List { same, others } => {
                Origin::parse(origin).is_some_and(|origin| (*same && own == Some(&origin)) || others.contains(&origin))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &OriginRule, scheme: &str, host: &str, origin: &str) -> bool {
        let origins = Origins::new(rule).expect("the rule is sound");
        origins.allow(origin.as_bytes(), Origin::new(scheme, host.as_bytes()).as_ref())
    }

    #[test]
    fn same_is_the_exact_triple() {
        let long = format!("https://{}.example", "a".repeat(300));
        let huge = format!("https://{}.example", "a".repeat(70_000));
        for (origin, expected) in [
            ("https://app.example:8443", true),
            ("HTTPS://APP.example:8443", true),
            ("http://app.example:8443", false),
            ("https://app.example", false),
            ("https://app.example:443", false),
            ("https://app.example:844", false),
            ("https://app.example:84430", false),
            ("https://app.example:08443", true),
            ("https://app.example.:8443", false),
            ("https://app.example.evil:8443", false),
            ("https://evil-app.example:8443", false),
            ("https://app.exampl:8443", false),
            ("https://app.example:8443/", false),
            ("https://app.example:8443/x", false),
            ("https://user@app.example:8443", false),
            ("https://app.example:8443@evil", false),
            ("https://app.example:8443#", false),
            ("https://[::1]:8443", false),
            (" https://app.example:8443", false),
            ("app.example:8443", false),
            ("null", false),
            ("", false),
            (&long, false),
            (&huge, false),
        ] {
            assert_eq!(allows(&OriginRule::Same, "https", "App.example:8443", origin), expected, "{origin:.60}");
        }
    }

    #[test]
    fn the_schemes_own_port_may_be_left_out() {
        for host in ["a.example", "a.example:443", "a.example:"] {
            for origin in ["https://a.example", "https://a.example:443"] {
                assert!(allows(&OriginRule::Same, "https", host, origin), "{host} {origin}");
            }
        }
        assert!(!allows(&OriginRule::Same, "https", "a.example", "https://a.example:80"));
        assert!(allows(&OriginRule::Same, "http", "[0:0::1]:80", "http://[::1]"));
    }

    #[test]
    fn a_list_is_exact_and_may_hold_same() {
        let list = OriginRule::List(vec!["https://a.example".into(), "capacitor://localhost".into()]);
        assert!(allows(&list, "https", "b.example", "https://a.example"));
        assert!(allows(&list, "https", "b.example", "capacitor://localhost"));
        for origin in
            ["https://b.example", "https://a.exampl", "https://a.example.evil", "null", "", "https://a.example:1"]
        {
            assert!(!allows(&list, "https", "b.example", origin), "{origin}");
        }
        let with_same = OriginRule::List(vec!["same".into(), "https://a.example".into()]);
        assert!(allows(&with_same, "https", "b.example", "https://b.example"));
        let unsound = OriginRule::List(vec!["https://a.example/".into(), "*".into(), "https://*.a".into()]);
        assert_eq!(Origins::new(&unsound).expect_err("entries are unsound").len(), 3);
    }

    #[test]
    fn any_still_asks_for_an_origin() {
        for (origin, expected) in
            [("https://x.example", true), ("null", true), ("", false), ("\u{e9}", false), ("x", false)]
        {
            assert_eq!(allows(&OriginRule::Any, "https", "b.example", origin), expected, "{origin}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_origin() {
        for bytes in [&b"https://\xff\xfe"[..], b"\x80", b"https://a\xe9.example"] {
            assert!(Origin::parse(bytes).is_none());
        }
        assert!(parse_authority(b"a.example:99999").is_none());
        assert!(parse_authority(b"[::1").is_none());
        assert!(parse_authority(b"[::1]x").is_none());
        assert!(parse_authority(b"").is_none());
    }

    proptest::proptest! {
        /// What is read as an origin has one spelling, which is read as the same.
        #[test]
        fn an_origin_has_one_spelling(text in "(https?|[a-z]{1,4})://[a-zA-Z0-9.:\\[\\]/@_-]{0,20}") {
            if let Some(origin) = Origin::parse(text.as_bytes()) {
                let port = origin.port.map_or(String::new(), |port| format!(":{port}"));
                let spelled = format!("{}://{}{port}", origin.scheme, origin.host);
                proptest::prop_assert_eq!(Origin::parse(spelled.as_bytes()), Some(origin));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = Origin::parse(&bytes);
            let _ = parse_authority(&bytes);
        }
    }
}
