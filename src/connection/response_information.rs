//! The Response Information that a client may ask for: where its Response Topics should begin (MQTT 5.0 §3.1.2.11.6, §3.2.2.3.15).

/// `reply/${clientid}/` and the like: a text with places for who is connected, at most one a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseInformation {
    levels: Vec<Level>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Level {
    /// All of the level, if it has no place.
    before: Box<str>,
    place: Option<(Placeholder, Box<str>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Username,
    ClientId,
}

/// Why a text is no such template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("nothing, where the beginning of a topic belongs")]
    Empty,
    #[error("more than {TEMPLATE_BYTES_MAX} bytes")]
    TooLong,
    #[error("+, # or NUL, which no topic holds")]
    NoTopic,
    #[error("a placeholder other than ${{username}} and ${{clientid}}")]
    UnknownPlaceholder,
    #[error("two placeholders in one level, which different clients could fill alike")]
    TwoInOneLevel,
}

/// The longest template.
const TEMPLATE_BYTES_MAX: usize = 1024;

/// The longest identity that is put into one. With it, whatever comes out fits an MQTT string.
const IDENTITY_BYTES_MAX: usize = 1024;

impl ResponseInformation {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        match text {
            "" => return Err(TemplateError::Empty),
            _ if text.len() > TEMPLATE_BYTES_MAX => return Err(TemplateError::TooLong),
            _ if text.contains(['+', '#', '\0']) => return Err(TemplateError::NoTopic),
            _ => {}
        }
        Ok(Self { levels: text.split('/').map(Level::parse).collect::<Result<_, _>>()? })
    }

    /// The text for one client; `None` if something of its identity that belongs there cannot stand as one level of a topic.
    #[must_use]
    pub fn bind(&self, username: &str, client_id: &str) -> Option<Box<str>> {
        let mut text = String::new();
        for (index, level) in self.levels.iter().enumerate() {
            if index > 0 {
                text.push('/');
            }
            text.push_str(&level.before);
            let Some((placeholder, after)) = &level.place else { continue };
            let value = match placeholder {
                Placeholder::Username => username,
                Placeholder::ClientId => client_id,
            };
            let is_level = !value.is_empty() && !value.contains(['/', '+', '#', '\0']);
            // A topic that begins with $ is not the client's to choose (MQTT 5.0 §4.7.2).
            let is_reserved = text.is_empty() && value.starts_with('$');
            if !is_level || is_reserved || value.len() > IDENTITY_BYTES_MAX || text.len() > RESULT_BYTES_MAX {
                return None;
            }
            text.push_str(value);
            text.push_str(after);
        }
        Some(text.into())
    }
}

/// Beyond this, what is still to come may not fit an MQTT string.
const RESULT_BYTES_MAX: usize = u16::MAX as usize - TEMPLATE_BYTES_MAX - IDENTITY_BYTES_MAX;

impl Level {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let Some((before, rest)) = text.split_once("${") else {
            return Ok(Self { before: text.into(), place: None });
        };
        let (name, after) = rest.split_once('}').ok_or(TemplateError::UnknownPlaceholder)?;
        let placeholder = match name {
            "username" => Placeholder::Username,
            "clientid" => Placeholder::ClientId,
            _ => return Err(TemplateError::UnknownPlaceholder),
        };
        if after.contains("${") {
            return Err(TemplateError::TwoInOneLevel);
        }
        Ok(Self { before: before.into(), place: Some((placeholder, after.into())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(template: &str, username: &str, client_id: &str) -> Option<String> {
        ResponseInformation::parse(template).unwrap().bind(username, client_id).map(Into::into)
    }

    #[test]
    fn each_placeholder_is_one_literal_level() {
        assert_eq!(bound("reply/${clientid}/", "u", "c").as_deref(), Some("reply/c/"));
        assert_eq!(bound("/a/x-${username}-y/${clientid}", "u", "c").as_deref(), Some("/a/x-u-y/c"));
        assert_eq!(bound("replies", "u", "c").as_deref(), Some("replies"));
        // What a client calls itself is never read as a template.
        assert_eq!(bound("/${clientid}/${username}", "u", "${username}").as_deref(), Some("/${username}/u"));
    }

    #[test]
    fn an_identity_that_is_no_level_gets_none() {
        for identity in ["", "a/b", "+", "#", "a\0", &"x".repeat(1025)] {
            assert_eq!(bound("reply/${clientid}/", "u", identity), None, "{identity:?}");
        }
        assert_eq!(bound("${clientid}/reply", "u", "$SYS"), None);
        assert_eq!(bound("x${clientid}/reply", "u", "$SYS").as_deref(), Some("x$SYS/reply"));
        assert_eq!(
            bound("reply/${username}", "u", "a/b").as_deref(),
            Some("reply/u"),
            "what is not used does not matter"
        );
    }

    #[test]
    fn whatever_comes_out_fits_an_mqtt_string() {
        let template = "${clientid}/".repeat(TEMPLATE_BYTES_MAX / "${clientid}/".len());
        let bound = bound(&template, "u", &"x".repeat(IDENTITY_BYTES_MAX));
        assert!(bound.is_none_or(|text| text.len() <= usize::from(u16::MAX)));
    }

    #[test]
    fn other_texts_are_refused() {
        use TemplateError as E;
        let long = "x".repeat(1025);
        for (text, error) in [
            ("", E::Empty),
            (long.as_str(), E::TooLong),
            ("reply/#", E::NoTopic),
            ("reply/${client}", E::UnknownPlaceholder),
            ("reply/${clientid", E::UnknownPlaceholder),
            ("reply/${username}${clientid}", E::TwoInOneLevel),
        ] {
            assert_eq!(ResponseInformation::parse(text), Err(error), "{text:?}");
        }
    }
}
