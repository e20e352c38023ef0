//! JSON and names: the fields of one message, found in one pass over its text, borrowed where they hold no escapes.
//!
//! Types are not judged here, so that a mistake in one field still leaves the `Id` to answer with.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::{Found, Mistake};

macro_rules! names {
    ($($name:ident,)*) => {
        /// A field's name, as it is documented.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Name { $($name,)* }

        impl Name {
            const COUNT: usize = [$(Name::$name,)*].len();

            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The field that `key` names, in any case: the first server was written in Go, whose JSON takes any.
            fn parse(key: &str) -> Option<Self> {
                // The lengths decide first; few names share one.
                $(if key.len() == stringify!($name).len() && key.eq_ignore_ascii_case(stringify!($name)) {
                    return Some(Self::$name);
                })*
                None
            }
        }
    };
}

names! {
    Action, Topic, Payload, Id, QoS, Retain, Encoding, Username, Password, Token, ClientId, CleanStart, SessionExpiry, Will,
}

/// A field's value, as far as any field needs it.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    /// `Id` alone: any JSON, as written.
    Raw(&'a str),
    /// `Will` alone: an object's fields.
    Fields(Box<Fields<'a>>),
    Other(Found),
}

impl Value<'_> {
    /// What to say was found.
    pub(super) fn found(&self) -> Found {
        match self {
            Self::Text(_) => Found::Text,
            Self::Raw(raw) => found_raw(raw),
            Self::Fields(_) => Found::Object,
            Self::Other(found) => found.clone(),
        }
    }
}

fn found_raw(raw: &str) -> Found {
    match raw.as_bytes().first() {
        Some(b'"') => Found::Text,
        Some(b'[') => Found::Array,
        Some(b'{') => Found::Object,
        Some(b't') => Found::Bool(true),
        Some(b'f') => Found::Bool(false),
        Some(b'n') => Found::Null,
        _ => raw.parse().map_or(Found::Number, Found::Whole),
    }
}

/// The known fields of one object.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    values: [Option<Value<'a>>; Name::COUNT],
    /// A name that came more than once.
    pub(super) repeated: Option<Name>,
}

impl<'a> Fields<'a> {
    /// Reads the fields of `text`; what could be read before a mistake is kept.
    pub(super) fn read(&mut self, text: &'a str) -> Result<(), Mistake> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = ObjectSeed { fields: self, is_will: false }.deserialize(&mut deserializer);
        read.and_then(|()| deserializer.end()).map_err(|error| match error.classify() {
            Category::Data => Mistake::NotAnObject,
            Category::Io | Category::Syntax | Category::Eof => Mistake::NotJson { place: error.to_string().into() },
        })
    }

    pub(super) fn take(&mut self, name: Name) -> Option<Value<'a>> {
        self.values[name as usize].take()
    }
}

/// Reads an object into `fields`.
struct ObjectSeed<'s, 'a> {
    fields: &'s mut Fields<'a>,
    /// A Will holds no Will: that bounds the nesting.
    is_will: bool,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed)? {
            let name = match name {
                Some(Name::Will) if self.is_will => None,
                name => name,
            };
            let Some(name) = name else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = match name {
                Name::Id => Value::Raw(map.next_value::<&RawValue>()?.get()),
                _ => map.next_value_seed(ValueSeed { is_will: name == Name::Will })?,
            };
            let slot = &mut self.fields.values[name as usize];
            if slot.is_some() {
                self.fields.repeated = Some(name);
            } else {
                *slot = Some(value);
            }
        }
        Ok(())
    }
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Option<Name>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<Name>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Name::parse(key))
    }
}

struct ValueSeed {
    is_will: bool,
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Other(Found::Bool(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Value::Other(Found::Whole(value)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Value::Other(Found::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::Other(Found::Number))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Other(Found::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        // serde_json skips what is ignored in a loop: depth costs no stack.
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other(Found::Array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if self.is_will {
            let mut fields = Box::<Fields<'de>>::default();
            ObjectSeed { fields: &mut fields, is_will: true }.visit_map(map)?;
            return Ok(Value::Fields(fields));
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other(Found::Object))
    }
}
