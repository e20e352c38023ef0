//! What stands behind the `?` of a request target.

use std::ops::RangeInclusive;

use hyper::Uri;

/// Names and values, decoded. A `+` is a `+`, as topics have it; a space is `%20`.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// What is wrong with a query, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

impl Query {
    pub(super) fn of(uri: &Uri) -> Result<Self, Malformed> {
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent_decoded(name)?, percent_decoded(value)?))
        });
        let pairs: Option<Vec<_>> = pairs.collect();
        Ok(Self(pairs.ok_or_else(|| Malformed("the query is not percent-encoded UTF-8".to_owned()))?))
    }

    /// The first value of this name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(written, _)| written == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(written, _)| written == name).map(|(_, value)| value.as_str())
    }

    /// The number of this name, or `default`.
    pub(super) fn number(&self, name: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64, Malformed> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| Malformed(format!("{name} is a number from {} to {}", range.start(), range.end())))
    }
}

/// RFC 3986 §2.1; `None`: not so encoded, or not UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &'static str) -> Result<Query, Malformed> {
        Query::of(&Uri::from_static(text))
    }

    #[test]
    fn values_are_decoded_and_bounded() {
        let query = query("/x?topic=a%2Fb/+/%23&claim=a=b&claim=c&empty&n=7").unwrap();
        assert_eq!(query.text("topic"), Some("a/b/+/#"));
        assert_eq!(query.all("claim").collect::<Vec<_>>(), ["a=b", "c"]);
        assert_eq!((query.text("empty"), query.text("none")), (Some(""), None));
        assert_eq!((query.number("n", 1, 1..=7), query.number("m", 1, 1..=7)), (Ok(7), Ok(1)));
        assert!(query.number("n", 1, 1..=6).is_err() && query.number("topic", 1, 1..=6).is_err());
    }

    #[test]
    fn what_is_not_encoded_is_refused() {
        for text in ["/x?a=%", "/x?a=%2", "/x?a=%zz", "/x?a=%+1", "/x?a=%ff"] {
            assert!(query(text).is_err(), "{text}");
        }
        assert_eq!(percent_decoded("%E2%82%AC+"), Some("€+".to_owned()));
    }
}
