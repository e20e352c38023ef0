//! WebSocket frames around packets.

use divan::black_box;
use tidegate::{
    dialect::websocket::{self, Expect, FrameDecoder},
    mqtt::Version,
};

use super::publish_packet;

/// A masked binary frame around a PUBLISH, as a browser sends it; each time it is copied first, as it is unmasked in its place.
pub(super) fn decode(payload_bytes: usize) -> Box<dyn FnMut()> {
    let packet = publish_packet(Version::V4, &vec![b'x'; payload_bytes]);
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = Vec::new();
    websocket::write_header(&mut frame, websocket::BINARY, packet.len());
    frame[1] |= 0x80;
    frame.extend_from_slice(&mask);
    frame.extend(packet.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    let mut decoder = FrameDecoder::new(Expect::Binary, 2 << 20);
    let mut input = frame.clone();
    Box::new(move || {
        input.copy_from_slice(&frame);
        let mut rest = black_box(input.as_mut_slice());
        while !rest.is_empty() {
            let (used, _) = decoder.decode(rest).expect("the frame is valid");
            rest = &mut rest[used..];
        }
    })
}

pub(super) fn encode_header() -> Box<dyn FnMut()> {
    let mut out = Vec::with_capacity(16);
    Box::new(move || {
        out.clear();
        websocket::write_header(black_box(&mut out), websocket::BINARY, 84);
    })
}
