//! JSON in the one form that has a signature: RFC 8785, the JSON Canonicalization Scheme.
//!
//! Members are sorted by their UTF-16 code units, numbers are written as ECMAScript does, strings escape only what they must, and no
//! space stands between. What I-JSON (RFC 7493) leaves to chance is refused: repeated members, lone surrogates, numbers out of range.

use std::cell::Cell;
use std::fmt::Write as _;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The deepest nesting of lists and objects.
pub(super) const DEPTH_MAX: usize = 32;

/// The most values in one text, lists and objects included: what a payload may cost in memory, as a value of two bytes takes thirty.
pub(super) const VALUES_MAX: usize = 100_000;

/// What a text has that keeps it from having a canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    #[error("is not JSON")]
    NotJson,
    #[error("has a member twice")]
    Repeated,
    #[error("is nested more than {DEPTH_MAX} deep")]
    TooDeep,
    #[error("has more than {VALUES_MAX} values")]
    TooMany,
    /// Of 64 bits; what is larger is rounded as everywhere.
    #[error("has a whole number whose digits a double cannot keep; send it as a string")]
    Rounded,
}

/// A value that has a canonical form.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Flag(bool),
    /// Finite.
    Number(f64),
    Text(String),
    List(Vec<Value>),
    /// In the canonical order, each name once.
    Object(Vec<(String, Value)>),
}

/// Writes `json` in its canonical form.
///
/// # Errors
/// It has none, or it goes beyond the bounds.
pub fn canonical(json: &[u8]) -> Result<String, JsonFault> {
    Ok(read(json)?.to_canonical())
}

/// Reads one JSON text.
pub(super) fn read(json: &[u8]) -> Result<Value, JsonFault> {
    let reading = Reading { values_left: Cell::new(VALUES_MAX), fault: Cell::new(JsonFault::NotJson) };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Seed { reading: &reading, depth: 0 }.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|_| reading.fault.get())
}

impl Value {
    pub(super) fn to_canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Number(number) => out.push_str(ryu_js::Buffer::new().format_finite(*number)),
            Self::Text(text) => write_text(text, out),
            Self::List(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// RFC 8785 §3.2.2.2.
pub(super) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// What one reading shares between all its levels.
struct Reading {
    values_left: Cell<usize>,
    /// What ended the reading; the parser's own errors are all [`JsonFault::NotJson`].
    fault: Cell<JsonFault>,
}

#[derive(Clone, Copy)]
struct Seed<'r> {
    reading: &'r Reading,
    /// How many lists and objects are around this value.
    depth: usize,
}

impl Seed<'_> {
    fn fail<T, E: Error>(self, fault: JsonFault) -> Result<T, E> {
        self.reading.fault.set(fault);
        Err(E::custom(fault))
    }

    /// A whole number, if it is written again as it was: two that differ must not become one (RFC 7493 §2.2).
    fn whole<E: Error>(self, nearest: f64, written: impl ToString) -> Result<Value, E> {
        const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
        let is_kept = nearest.abs() <= EXACT_MAX || ryu_js::Buffer::new().format_finite(nearest) == written.to_string();
        if is_kept { Ok(Value::Number(nearest)) } else { self.fail(JsonFault::Rounded) }
    }

    /// What the values inside a list or object are read with.
    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return self.fail(JsonFault::TooDeep);
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.reading.values_left.get().checked_sub(1) else {
            return self.fail(JsonFault::TooMany);
        };
        self.reading.values_left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Flag(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.whole(value as f64, value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.whole(value as f64, value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // serde_json has no number that is not finite; `format_finite` is not for one.
        if value.is_finite() { Ok(Value::Number(value)) } else { self.fail(JsonFault::NotJson) }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some(name) = access.next_key()? {
            members.push((name, access.next_value_seed(inner)?));
        }
        members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return self.fail(JsonFault::Repeated);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(json: &str) -> Result<String, JsonFault> {
        canonical(json.as_bytes())
    }

    /// RFC 8785 §3.2.2 to §3.2.4: the example that shows every step.
    #[test]
    fn the_example_of_rfc_8785_comes_out_byte_by_byte() {
        let json = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#
            .to_owned()
            + r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#;
        assert_eq!(text(json).unwrap(), expected);
    }

    /// RFC 8785 §3.2.3: sorted by UTF-16 code units, where a surrogate pair comes before U+FB33.
    #[test]
    fn members_are_sorted_as_rfc_8785_sorts_them() {
        let json = r#"{
            "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"
        }"#;
        let Value::Object(members) = read(json.as_bytes()).unwrap() else { panic!("an object") };
        let values: Vec<_> = members.iter().map(|(_, value)| value.to_canonical()).collect();
        let expected = [
            "Carriage Return",
            "One",
            "Control",
            "Latin Small Letter O With Diaeresis",
            "Euro Sign",
            "Emoji: Grinning Face",
            "Hebrew Letter Dalet With Dagesh",
        ];
        assert_eq!(values, expected.map(|value| format!("{value:?}")));
    }

    /// RFC 8785 appendix B: bits of a double, and how it is written.
    #[test]
    fn numbers_are_written_as_rfc_8785_writes_them() {
        for (bits, expected) in [
            (0x0000000000000000_u64, "0"),
            (0x8000000000000000, "0"),
            (0x0000000000000001, "5e-324"),
            (0x8000000000000001, "-5e-324"),
            (0x7fefffffffffffff, "1.7976931348623157e+308"),
            (0xffefffffffffffff, "-1.7976931348623157e+308"),
            (0x4340000000000000, "9007199254740992"),
            (0xc340000000000000, "-9007199254740992"),
            (0x4430000000000000, "295147905179352830000"),
            (0x44b52d02c7e14af5, "9.999999999999997e+22"),
            (0x44b52d02c7e14af6, "1e+23"),
            (0x44b52d02c7e14af7, "1.0000000000000001e+23"),
            (0x444b1ae4d6e2ef4e, "999999999999999700000"),
            (0x444b1ae4d6e2ef4f, "999999999999999900000"),
            (0x444b1ae4d6e2ef50, "1e+21"),
            (0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"),
            (0x3eb0c6f7a0b5ed8d, "0.000001"),
            (0x41b3de4355555553, "333333333.3333332"),
            (0x41b3de4355555554, "333333333.33333325"),
            (0x41b3de4355555555, "333333333.3333333"),
            (0x41b3de4355555556, "333333333.3333334"),
            (0x41b3de4355555557, "333333333.33333343"),
            (0xbecbf647612f3696, "-0.0000033333333333333333"),
            (0x43143ff3c1cb0959, "1424953923781206.2"),
        ] {
            assert_eq!(Value::Number(f64::from_bits(bits)).to_canonical(), expected);
        }
        // Read to the nearest double, also where that takes more digits than fit.
        assert_eq!(
            text("[-0, -0.0, 1.0, 1e2, 0.1000000000000000055511151231257827, 5e-325]").unwrap(),
            "[0,0,1,100,0.1,0]"
        );
        assert_eq!(text("2.2250738585072011e-308").unwrap(), "2.225073858507201e-308");
        for whole in ["9007199254740991", "-9007199254740992", "3510177213701314600", "1000000000000000000"] {
            assert_eq!(text(whole).unwrap(), whole);
        }
    }

    #[test]
    fn what_has_no_canonical_form_is_refused() {
        for (json, expected) in [
            ("", JsonFault::NotJson),
            ("{", JsonFault::NotJson),
            ("{} {}", JsonFault::NotJson),
            ("{'a':1}", JsonFault::NotJson),
            ("[1,]", JsonFault::NotJson),
            ("01", JsonFault::NotJson),
            ("NaN", JsonFault::NotJson),
            ("1e400", JsonFault::NotJson),
            ("-1e400", JsonFault::NotJson),
            (r#""\ud800""#, JsonFault::NotJson),
            (r#""\udc00\ud800""#, JsonFault::NotJson),
            (r#"{"\ud800":1}"#, JsonFault::NotJson),
            ("\"\n\"", JsonFault::NotJson),
            ("\u{feff}{}", JsonFault::NotJson),
            (r#"{"a":1,"a":1}"#, JsonFault::Repeated),
            (r#"{"a":1,"b":2,"\u0061":3}"#, JsonFault::Repeated),
            (r#"[{"x":{"y":1,"y":2}}]"#, JsonFault::Repeated),
            ("9007199254740993", JsonFault::Rounded),
            ("-9007199254740993", JsonFault::Rounded),
            ("9223372036854775807", JsonFault::Rounded),
            ("18446744073709551615", JsonFault::Rounded),
        ] {
            assert_eq!(text(json), Err(expected), "{json}");
        }
        assert_eq!(canonical(b"\"\xff\""), Err(JsonFault::NotJson));
        assert_eq!(canonical(b"\"\xed\xa0\x80\""), Err(JsonFault::NotJson), "a surrogate in UTF-8");
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(text(&nested(DEPTH_MAX)).is_ok());
        for depth in [DEPTH_MAX + 1, 127, 128, 129, 10_000, 1_000_000] {
            assert_eq!(text(&nested(depth)), Err(JsonFault::TooDeep), "{depth}");
            assert_eq!(text(&"[".repeat(depth)), Err(JsonFault::TooDeep), "{depth}");
            assert_eq!(text(&"{\"a\":".repeat(depth)), Err(JsonFault::TooDeep), "{depth}");
        }
        let wide = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(text(&wide(VALUES_MAX - 1)).is_ok());
        assert_eq!(text(&wide(VALUES_MAX)), Err(JsonFault::TooMany));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            (-(1_i64 << 53)..=1 << 53).prop_map(Into::into),
            prop::num::f64::NORMAL.prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(".{0,3}", inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The canonical form says the same as the text, is its own canonical form, and has no second one.
        #[test]
        fn the_form_is_one_and_keeps_the_meaning(value in json()) {
            let compact = canonical(value.to_string().as_bytes()).unwrap();
            let pretty = canonical(serde_json::to_string_pretty(&value).unwrap().as_bytes()).unwrap();
            prop_assert_eq!(&compact, &pretty);
            prop_assert_eq!(&canonical(compact.as_bytes()).unwrap(), &compact);
            let meant = |text: &str| read(text.as_bytes()).unwrap();
            prop_assert_eq!(meant(&compact), meant(&value.to_string()));
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = canonical(&bytes);
        }
    }
}
