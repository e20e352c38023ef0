//! Where a redirect leads: an address, in which `${host}` and `${target}` stand for what was asked for.
//!
//! Pure.

use hyper::Uri;
use hyper::header::HeaderValue;

/// The address of a `redirect`, taken apart.
#[derive(Debug)]
pub(crate) struct Destination(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The host that was asked for, without its port.
    Host,
    /// Path and query, as the client wrote them.
    Target,
}

impl Destination {
    /// `None` for what no field can hold, and for another placeholder.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}')?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(match name {
                "host" => Piece::Host,
                "target" => Piece::Target,
                _ => return None,
            });
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        HeaderValue::from_str(text).is_ok().then_some(Self(pieces))
    }

    /// The address for a request to `host`; `None` without a host where one is wanted.
    pub(crate) fn of(&self, host: Option<&str>, asked: &Uri) -> Option<HeaderValue> {
        let mut to = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => to.push_str(text),
                Piece::Host => to.push_str(host?),
                Piece::Target => to.push_str(asked.path_and_query().map_or("/", |target| target.as_str())),
            }
        }
        HeaderValue::from_str(&to).ok()
    }
}

/// Whether `text` is an address whose placeholders cannot make another's of it: `${target}` stands behind an authority only, as `//x` at
/// the beginning would name one.
pub(crate) fn is_sound(text: &str) -> bool {
    let Some(Destination(pieces)) = Destination::parse(text) else { return false };
    let mut before = String::new();
    pieces.iter().all(|piece| match piece {
        Piece::Text(text) => {
            before.push_str(text);
            true
        }
        Piece::Host => {
            before.push('h');
            true
        }
        Piece::Target => {
            let follows_authority = before.contains("://") && !before.ends_with("://");
            before.push('/');
            follows_authority
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_what_was_asked() {
        let asked: Uri = "/a%20b?c=d".parse().unwrap();
        let to = |text: &str, host| {
            Destination::parse(text)?.of(host, &asked).map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned())
        };
        assert_eq!(to("/new", None).as_deref(), Some("/new"));
        assert_eq!(to("https://${host}${target}", Some("a.test")).as_deref(), Some("https://a.test/a%20b?c=d"));
        assert_eq!(to("https://${host}:8443/x", Some("[::1]")).as_deref(), Some("https://[::1]:8443/x"));
        assert_eq!(to("https://${host}/", None), None);
    }

    #[test]
    fn only_what_leads_where_it_says_is_sound() {
        for text in [
            "/new",
            "https://a.test",
            "https://${host}${target}",
            "https://a.test${target}",
            "https://a.test/x?at=${host}",
        ] {
            assert!(is_sound(text), "{text}");
        }
        for text in ["/${target}", "https://${target}", "${target}", "https://${user}/", "https://${host", "/a\r\nb"] {
            assert!(!is_sound(text), "{text}");
        }
    }
}
