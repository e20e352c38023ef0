//! Durations and sizes as operators write them: `25s`, `1h30m`, `64KiB`.
//!
//! A number without a unit is refused: whether `30` meant seconds or milliseconds is no question to answer by guessing.

use std::time::Duration;

/// What a duration looks like, for faults.
pub const DURATION_FORM: &str = "a duration with its unit (ms, s, m, h, d), such as 25s or 1h30m";

/// What a size looks like, for faults.
pub const SIZE_FORM: &str = "a size with its unit (B, KiB, MiB, GiB), such as 64KiB";

/// In milliseconds, the longest first.
const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// In bytes, the largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `90s`, `1h30m`, `250ms`; `None` if `text` is no duration or longer than 2⁶⁴ milliseconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut milliseconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() || text.is_empty() {
        let (amount, unit, after) = split_quantity(rest)?;
        let factor = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?.1;
        milliseconds = milliseconds.checked_add(amount.checked_mul(factor)?)?;
        rest = after;
    }
    Some(Duration::from_millis(milliseconds))
}

/// Reads `512B`, `64KiB`, `2MiB`, `1GiB`; `None` if `text` is no size or more than 2⁶⁴ bytes.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (amount, unit, after) = split_quantity(text)?;
    let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?.1;
    if after.is_empty() { amount.checked_mul(factor) } else { None }
}

/// The shortest text from which [`parse_duration`] reads `duration` again; parts of a millisecond are left out.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in DURATION_UNITS {
        if rest >= factor {
            text.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    text
}

/// The text in the largest unit from which [`parse_size`] reads `bytes` again.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let (unit, factor) = SIZE_UNITS.into_iter().find(|(_, factor)| bytes.is_multiple_of(*factor)).unwrap_or(("B", 1));
    if bytes == 0 { "0B".to_owned() } else { format!("{}{unit}", bytes / factor) }
}

/// Splits `25s30ms` into 25, `s` and `30ms`.
fn split_quantity(text: &str) -> Option<(u64, &str, &str)> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = text.split_at(digits_end);
    let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    Some((digits.parse().ok()?, unit, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_durations() {
        let cases = [
            ("25s", Some(25_000)),
            ("250ms", Some(250)),
            ("1h30m", Some(5_400_000)),
            ("7d", Some(604_800_000)),
            ("0s", Some(0)),
            ("", None),
            ("25", None),
            ("s", None),
            ("1h30", None),
            ("25 s", None),
            ("-5s", None),
            ("1.5s", None),
            ("25S", None),
            ("5min", None),
            ("99999999999999999999s", None),
            ("18446744073709551615s", None),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), milliseconds.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn reads_sizes() {
        let cases = [
            ("512B", Some(512)),
            ("64KiB", Some(65_536)),
            ("2MiB", Some(2_097_152)),
            ("1GiB", Some(1 << 30)),
            ("", None),
            ("64", None),
            ("64KB", None),
            ("64K", None),
            ("1MiB512KiB", None),
            ("17179869184GiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn writes_what_people_would() {
        assert_eq!(format_duration(Duration::from_secs(604_800)), "7d");
        assert_eq!(format_duration(Duration::from_secs(65_535)), "18h12m15s");
        assert_eq!(format_size(2 << 20), "2MiB");
        assert_eq!(format_size(1_000), "1000B");
        assert_eq!(format_size(0), "0B");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in any::<u64>()) {
            let duration = Duration::from_millis(value);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
            prop_assert_eq!(parse_size(&format_size(value)), Some(value));
        }
    }
}
