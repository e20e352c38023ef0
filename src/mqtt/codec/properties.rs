//! The properties that travel with an Application Message unchanged ([`ForwardedProperties`]): building, checking and
//! reading them.

use std::borrow::Cow;

use super::EncodeError;
use super::encode::fields;
use super::section::{Section, id};
use super::violation::Violation;
use crate::mqtt::TopicName;
use crate::mqtt::property::ForwardedProperties;

/// One property of [`ForwardedProperties`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedProperty<'a> {
    /// Payload Format Indicator: whether the payload is UTF-8.
    PayloadIsUtf8(bool),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    UserProperty(&'a str, &'a str),
}

/// Appends a Payload Format Indicator to `forwarded`.
pub fn payload_format_indicator(forwarded: &mut Vec<u8>, is_utf8: bool) {
    forwarded.extend_from_slice(&[id::PAYLOAD_FORMAT_INDICATOR, u8::from(is_utf8)]);
}

/// Appends a Content Type to `forwarded`.
///
/// # Errors
/// A text that no MQTT string can hold; `forwarded` is unchanged then.
pub fn content_type(forwarded: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    fields::all_or_nothing(forwarded, |out| {
        out.push(id::CONTENT_TYPE);
        fields::string(out, text)
    })
}

/// Appends a Response Topic to `forwarded`.
///
/// # Errors
/// None for a name that [`TopicName::parse`] accepted.
pub fn response_topic(forwarded: &mut Vec<u8>, topic: &TopicName<'_>) -> Result<(), EncodeError> {
    fields::all_or_nothing(forwarded, |out| {
        out.push(id::RESPONSE_TOPIC);
        fields::string(out, topic)
    })
}

/// Appends Correlation Data to `forwarded`.
///
/// # Errors
/// More than 65,535 bytes; `forwarded` is unchanged then.
pub fn correlation_data(forwarded: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    fields::all_or_nothing(forwarded, |out| {
        out.push(id::CORRELATION_DATA);
        fields::binary(out, data)
    })
}

/// Appends a User Property to `forwarded`.
///
/// # Errors
/// A text that no MQTT string can hold; `forwarded` is unchanged then.
pub fn user_property(forwarded: &mut Vec<u8>, name: &str, value: &str) -> Result<(), EncodeError> {
    fields::all_or_nothing(forwarded, |out| {
        out.push(id::USER_PROPERTY);
        fields::string(out, name)?;
        fields::string(out, value)
    })
}

/// Checks that `forwarded` is well-formed: only these properties, each valid, none repeated but User Properties.
///
/// # Errors
/// The first violation.
pub fn validate_forwarded(forwarded: &[u8]) -> Result<(), Violation> {
    let mut section = Section::of_bytes(forwarded, usize::MAX);
    while let Some(id) = section.next_id()? {
        read(id, &mut section)?;
    }
    Ok(())
}

/// The properties in `forwarded`, in order. Ends early where they are not well-formed, which they always are in a
/// decoded packet.
pub fn forwarded<'a>(forwarded: &'a [u8]) -> impl Iterator<Item = ForwardedProperty<'a>> + use<'a> {
    let mut section = Section::of_bytes(forwarded, usize::MAX);
    std::iter::from_fn(move || {
        let id = section.next_id().ok()??;
        read(id, &mut section).ok()
    })
}

/// Reads the value of the property `id`, which must be one that is forwarded.
fn read<'a>(id: u8, section: &mut Section<'a>) -> Result<ForwardedProperty<'a>, Violation> {
    Ok(match id {
        id::PAYLOAD_FORMAT_INDICATOR => ForwardedProperty::PayloadIsUtf8(section.payload_format_indicator()?),
        id::CONTENT_TYPE => ForwardedProperty::ContentType(section.string()?),
        id::RESPONSE_TOPIC => ForwardedProperty::ResponseTopic(section.response_topic()?),
        id::CORRELATION_DATA => ForwardedProperty::CorrelationData(section.binary()?),
        id::USER_PROPERTY => {
            let (name, value) = section.user_property()?;
            ForwardedProperty::UserProperty(name, value)
        }
        _ => return Err(Violation::PropertyNotAllowed),
    })
}

/// Collects the forwarded properties of a packet while its properties are read.
///
/// They are borrowed as long as they stand side by side, and copied only if others stand between them.
#[derive(Debug)]
pub(super) struct Forwarding<'a> {
    all: &'a [u8],
    /// Where in `all` the property begins that is being read.
    start: usize,
    is_kept: bool,
    /// The one run of kept properties, while there is no more than one.
    run: std::ops::Range<usize>,
    copied: Option<Vec<u8>>,
}

impl<'a> Forwarding<'a> {
    /// Starts before the first property of `section`.
    pub(super) fn of(section: &Section<'a>) -> Self {
        Self { all: section.reader.rest(), start: 0, is_kept: false, run: 0..0, copied: None }
    }

    /// Reads the value of property `id` and keeps the property, or refuses one that the packet does not have.
    pub(super) fn keep(&mut self, id: u8, section: &mut Section<'a>) -> Result<(), Violation> {
        read(id, section)?;
        self.is_kept = true;
        Ok(())
    }

    /// Notes that a property has been read, kept or not.
    pub(super) fn pass(&mut self, section: &Section<'a>) {
        let end = self.all.len() - section.reader.rest().len();
        let property = std::mem::replace(&mut self.start, end)..end;
        if !std::mem::take(&mut self.is_kept) {
            return;
        }
        if let Some(copied) = &mut self.copied {
            copied.extend_from_slice(&self.all[property]);
        } else if self.run.is_empty() {
            self.run = property;
        } else if self.run.end == property.start {
            self.run.end = property.end;
        } else {
            let mut copied = Vec::with_capacity(self.all.len());
            copied.extend_from_slice(&self.all[self.run.clone()]);
            copied.extend_from_slice(&self.all[property]);
            self.copied = Some(copied);
        }
    }

    pub(super) fn finish(self) -> ForwardedProperties<'a> {
        match self.copied {
            Some(copied) => Cow::Owned(copied),
            None => Cow::Borrowed(&self.all[self.run]),
        }
    }
}
