//! Every row of the packet table, decoded and encoded.

use super::*;
use crate::mqtt::codec::cases::{self, Case, Expected, Served};

fn version(case: &Case) -> Version {
    match case.version {
        3 => Version::V3,
        4 => Version::V4,
        5 => Version::V5,
        other => panic!("{}: version {other}", case.name),
    }
}

pub(super) fn decoder(case: &Case) -> Decoder {
    let sender = if case.is_from_server { Sender::Server } else { Sender::Client };
    if case.bytes[0] >> 4 == 1 && !case.is_from_server {
        Decoder::new(sender, Limits::default())
    } else {
        Decoder::with_version(sender, Limits::default(), version(case))
    }
}

fn packet(case: &Case) -> Packet<'static> {
    match decoder(case).decode(case.bytes) {
        Ok(Some((packet, length))) => {
            assert_eq!(length, case.bytes.len(), "{}", case.name);
            packet
        }
        other => panic!("{}: {other:?}", case.name),
    }
}

#[test]
fn every_row_is_read_as_the_table_says() {
    for case in cases::all() {
        match case.expected {
            Expected::Packet | Expected::Respelled => drop(packet(case)),
            Expected::Refused(reason, clause) => {
                let error = decoder(case).decode(case.bytes).expect_err(case.name);
                let found = (error.reason() as u8, error.violation().clause());
                assert_eq!(found, (reason, clause), "{}: {error}", case.name);
            }
        }
    }
}

#[test]
fn every_packet_of_the_table_is_written_as_it_was_read() {
    for case in cases::all() {
        if matches!(case.expected, Expected::Refused(..)) {
            continue;
        }
        let read = packet(case);
        let mut written = b"before".to_vec();
        encode(&read, version(case), &mut written).expect(case.name);
        let written = written.strip_prefix(b"before").expect("encode appends");
        if case.expected == Expected::Packet {
            assert_eq!(written, case.bytes, "{}", case.name);
        } else {
            assert_ne!(written, case.bytes, "{}", case.name);
        }
        let again = decoder(case).decode(written).expect(case.name);
        assert_eq!(again, Some((read, written.len())), "{}", case.name);
    }
}

#[test]
fn no_row_is_judged_before_its_bytes_are_there() {
    for case in cases::all() {
        if matches!(case.expected, Expected::Refused(..)) {
            continue;
        }
        for end in 0..case.bytes.len() {
            assert_eq!(decoder(case).decode(&case.bytes[..end]), Ok(None), "{} cut to {end}", case.name);
        }
    }
}

#[test]
fn every_row_has_a_name_of_its_own_and_a_server_answers_only_clients() {
    let mut names = std::collections::BTreeSet::new();
    for case in cases::all() {
        assert!(names.insert(case.name), "{} twice", case.name);
        let is_clients = !case.is_from_server && !matches!(case.expected, Expected::Refused(..));
        assert!(case.served == Served::Taken || is_clients, "{} is never served", case.name);
    }
}

#[test]
fn a_refused_connect_says_how_it_is_answered() {
    let answer = |bytes: &[u8]| {
        Decoder::new(Sender::Client, Limits::default()).decode(bytes).expect_err("refused").connect_version()
    };
    assert_eq!(answer(b"\x10\x0d\x00\x04MQTT\x06\x00\x00\x00\x00\x00\x00"), Some(Version::V4), "a version to come");
    assert_eq!(answer(b"\x10\x0e\x00\x06MQIsdp\x04\x02\x00\x00\x00\x00"), Some(Version::V3));
    assert_eq!(answer(b"\x10\x0d\x00\x04MQTT\x05\x01\x00\x00\x00\x00\x00"), Some(Version::V5), "a fault in 5.0");
    assert_eq!(answer(b"\x10\x0d\x00\x04mqtt\x05\x00\x00\x00\x00\x00\x00"), None, "no MQTT");
    assert_eq!(answer(b"\x30\x03\x00\x01a"), None, "no CONNECT");
    let second = b"\x10\x0d\x00\x04MQTT\x05\x01\x00\x00\x00\x00\x00\x00";
    let mut decoder = Decoder::with_version(Sender::Client, Limits::default(), Version::V5);
    assert_eq!(decoder.decode(second).expect_err("refused").connect_version(), None, "a second CONNECT");
}

#[test]
fn every_violation_has_a_row_or_a_test() {
    let shown: Vec<Violation> =
        cases::all().filter_map(|case| decoder(case).decode(case.bytes).err()).map(|error| error.violation()).collect();
    for &violation in Violation::ALL {
        let is_elsewhere = matches!(
            violation,
            // tests::hostile
            Violation::FirstPacketNotConnect
                | Violation::TooManyUserProperties
                | Violation::TooManyTopicFilters
                | Violation::TopicNameTooDeep
                | Violation::TopicFilterTooDeep
                // Cannot be brought about from outside.
                | Violation::Internal
        );
        assert!(is_elsewhere || shown.contains(&violation), "{violation:?} is never shown");
    }
}
