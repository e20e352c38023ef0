//! MQTT packets from bytes and to bytes.

use divan::black_box;
use tidegate::mqtt::{
    Version,
    codec::{Decoder, Limits, Sender},
};

use super::{PAYLOAD, publish_head, publish_packet};

pub(super) fn decode_publish(version: Version) -> Box<dyn FnMut()> {
    let packet = publish_packet(version, &PAYLOAD);
    let mut decoder = Decoder::with_version(Sender::Client, Limits::default(), version);
    Box::new(move || assert!(decoder.decode(black_box(&packet)).is_ok_and(|decoded| decoded.is_some())))
}

/// Of 5.0, with a user name, a password and a Session Expiry Interval.
pub(super) fn decode_connect() -> Box<dyn FnMut()> {
    let mut body = b"\x00\x04MQTT\x05\xC2\x00\x3C\x05\x11\x00\x00\x0E\x10".to_vec();
    for text in ["client-0001", "client", "a password"] {
        body.extend_from_slice(&[0, text.len() as u8]);
        body.extend_from_slice(text.as_bytes());
    }
    let packet = [&[0x10, body.len() as u8], body.as_slice()].concat();
    Box::new(move || {
        let mut decoder = Decoder::new(Sender::Client, Limits::default());
        assert!(decoder.decode(black_box(&packet)).is_ok_and(|decoded| decoded.is_some()));
    })
}

pub(super) fn decode_subscribe() -> Box<dyn FnMut()> {
    let filter = "/p/+/upload";
    let mut packet = vec![0x82, 5 + filter.len() as u8, 0, 1, 0, filter.len() as u8];
    packet.extend_from_slice(filter.as_bytes());
    packet.push(1);
    let mut decoder = Decoder::with_version(Sender::Client, Limits::default(), Version::V4);
    Box::new(move || assert!(decoder.decode(black_box(&packet)).is_ok_and(|decoded| decoded.is_some())))
}

pub(super) fn encode_publish(version: Version) -> Box<dyn FnMut()> {
    let mut out = Vec::with_capacity(256);
    Box::new(move || {
        out.clear();
        publish_head(version).write(PAYLOAD.len(), black_box(&mut out));
        out.extend_from_slice(&PAYLOAD);
    })
}
