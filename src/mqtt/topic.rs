//! Topic Names (published to) and Topic Filters (subscribed with), MQTT 5.0 §4.7.
//!
//! Every comparison is by topic level and iterative: depth is bounded by [`LEVELS_MAX`], never by the stack.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The most topic levels a name or filter may have; deeper ones are refused with 0x90 / 0x8F.
///
/// The standard sets no bound but 65,535 bytes; 65,400 slashes have taken brokers down (CVE-2019-11779).
pub const LEVELS_MAX: usize = 128;

/// The most bytes a UTF-8 string can have on the wire (MQTT 5.0 §1.5.4).
pub const BYTES_MAX: usize = 65_535;

/// Why a text is no Topic Name or no Topic Filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("is empty; at least one character is needed")]
    Empty,
    #[error("has more than 65535 bytes")]
    TooLong,
    #[error("has more than {LEVELS_MAX} levels")]
    TooDeep,
    #[error("contains the character U+0000")]
    Nul,
    #[error("contains a wildcard; names that are published to may not hold + or #")]
    Wildcard,
    #[error("has a wildcard that shares its level with other characters, or a # that is not last")]
    MisplacedWildcard,
    #[error("is a malformed shared subscription; $share/NAME/FILTER with a NAME free of / + # is allowed")]
    MalformedShare,
}

/// A valid Topic Name. Exists only if [`TopicName::parse`] accepted it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(Cow<'a, str>);

impl<'a> TopicName<'a> {
    /// Takes `text` as a Topic Name.
    ///
    /// # Errors
    /// What is wrong with `text`; the peer sees 0x90 Topic Name invalid (3.1, 3.1.1: the connection closes).
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self, TopicError> {
        let text = text.into();
        check_common(&text)?;
        if memchr::memchr2(b'+', b'#', text.as_bytes()).is_some() {
            return Err(TopicError::Wildcard);
        }
        Ok(Self(text))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same name, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> TopicName<'static> {
        TopicName(Cow::Owned(self.0.into_owned()))
    }
}

impl Deref for TopicName<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A valid Topic Filter, shared (`$share/NAME/FILTER`) or not. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter {
    text: Arc<str>,
    /// Byte offset of FILTER in `text`: 0 unless shared.
    filter_start: u16,
}

impl TopicFilter {
    /// Takes `text` as a Topic Filter.
    ///
    /// # Errors
    /// What is wrong with `text`; the peer sees 0x8F Topic Filter invalid (3.1.1: 0x80).
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let filter_start = Self::check(text)?;
        Ok(Self { text: text.into(), filter_start })
    }

    /// Checks that `text` is a Topic Filter without keeping it, and says at which byte FILTER of `$share/NAME/FILTER`
    /// begins: 0 unless shared.
    ///
    /// # Errors
    /// As [`TopicFilter::parse`].
    pub fn check(text: &str) -> Result<u16, TopicError> {
        check_common(text)?;
        let filter_start = match text.strip_prefix("$share/") {
            None => 0,
            Some(rest) => {
                let (name, filter) = rest.split_once('/').ok_or(TopicError::MalformedShare)?;
                if name.is_empty() || filter.is_empty() || name.contains(['+', '#']) {
                    return Err(TopicError::MalformedShare);
                }
                text.len() - filter.len()
            }
        };
        check_wildcards(&text[filter_start..])?;
        // At most 65,535 by check_common.
        u16::try_from(filter_start).map_err(|_| TopicError::TooLong)
    }

    /// The whole text, with `$share/NAME/` if it is shared.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What Topic Names are compared with: the text without `$share/NAME/`.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.text[usize::from(self.filter_start)..]
    }

    /// NAME of a Shared Subscription (MQTT 5.0 §4.8.2).
    #[must_use]
    pub fn share_name(&self) -> Option<&str> {
        let end = usize::from(self.filter_start).checked_sub(1)?;
        self.text.get("$share/".len()..end)
    }

    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        memchr::memchr2(b'+', b'#', self.filter().as_bytes()).is_some()
    }

    /// Whether a message published to `topic` is for this filter.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        matches(self.filter(), topic)
    }

    /// Whether every Topic Name that `other` matches is matched by this filter as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers(self.filter(), other.filter())
    }

    /// Whether some Topic Name is matched by both filters.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        intersects(self.filter(), other.filter())
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether the valid filter text `filter` matches the valid name `topic` (MQTT 5.0 §4.7.1, §4.7.2).
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if is_hidden(filter, topic) {
        return false;
    }
    let mut names = topic.split('/');
    for level in filter.split('/') {
        match level {
            // `a/#` matches `a` too: # includes the parent level.
            "#" => return true,
            "+" => {
                if names.next().is_none() {
                    return false;
                }
            }
            _ => {
                if names.next() != Some(level) {
                    return false;
                }
            }
        }
    }
    names.next().is_none()
}

/// Whether the server alone publishes to `topic`: its first level is `$SYS` (MQTT 5.0 §4.7.2).
#[must_use]
pub fn is_server_owned(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a leading wildcard of `filter` keeps it from a name (or filter) whose first level begins with `$`.
fn is_hidden(filter: &str, other: &str) -> bool {
    other.starts_with('$') && filter.starts_with(['+', '#'])
}

/// The same filter, saying by levels what follows from a name not being empty: `#` asks for no more than `+/#`, `/#` than `/+/#`.
#[must_use]
pub fn spelled_out(filter: &str) -> &str {
    match filter {
        "#" => "+/#",
        "/#" => "/+/#",
        other => other,
    }
}

/// Whether `outer` matches all that `inner` matches. Both are valid filter texts without `$share`.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    if is_hidden(outer, inner) {
        return false;
    }
    let (outer, inner) = (spelled_out(outer), spelled_out(inner));
    let mut inner = inner.split('/');
    for level in outer.split('/') {
        match level {
            "#" => return true,
            // + stands for exactly one level; # for any number of them.
            "+" => match inner.next() {
                None | Some("#") => return false,
                Some(_) => {}
            },
            _ => {
                if inner.next() != Some(level) {
                    return false;
                }
            }
        }
    }
    inner.next().is_none()
}

/// Whether some name is matched by both valid filter texts.
#[must_use]
pub fn intersects(a: &str, b: &str) -> bool {
    if is_hidden(a, b) || is_hidden(b, a) {
        return false;
    }
    let (a, b) = (spelled_out(a), spelled_out(b));
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(x), Some(y)) if x == y || x == "+" || y == "+" => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

fn check_common(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > BYTES_MAX {
        return Err(TopicError::TooLong);
    }
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(TopicError::Nul);
    }
    // Only a text of that many bytes can have that many slashes.
    if text.len() >= LEVELS_MAX && memchr::memchr_iter(b'/', text.as_bytes()).count() >= LEVELS_MAX {
        return Err(TopicError::TooDeep);
    }
    Ok(())
}

/// A wildcard is a whole level, and `#` the last one.
fn check_wildcards(filter: &str) -> Result<(), TopicError> {
    let bytes = filter.as_bytes();
    let is_misplaced = |at: usize| {
        let starts_level = at == 0 || bytes[at - 1] == b'/';
        let ends_level = match bytes.get(at + 1) {
            None => true,
            Some(&next) => next == b'/' && bytes[at] == b'+',
        };
        !(starts_level && ends_level)
    };
    if memchr::memchr2_iter(b'+', b'#', bytes).any(is_misplaced) {
        return Err(TopicError::MisplacedWildcard);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
