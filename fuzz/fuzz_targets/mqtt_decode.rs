//! What a peer may send as MQTT: refused or understood, never a panic, and the same however the stream is split.
//!
//! The first byte says version, sender and how the stream is split; the rest is the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::mqtt::codec::{DecodeError, Decoder, Limits, Sender, encode};
use tidegate::mqtt::{Packet, Version};

const LIMITS: Limits = Limits { packet_bytes_max: 4096, user_properties_max: 8, filters_max: 8 };

fuzz_target!(|data: &[u8]| {
    let Some((&control, stream)) = data.split_first() else { return };
    let sender = if control & 0b100 == 0 { Sender::Client } else { Sender::Server };
    let decoder = match control & 0b11 {
        0 => Decoder::new(sender, LIMITS),
        1 => Decoder::with_version(sender, LIMITS, Version::V3),
        2 => Decoder::with_version(sender, LIMITS, Version::V4),
        _ => Decoder::with_version(sender, LIMITS, Version::V5),
    };
    let whole = run(decoder.clone(), stream, stream.len().max(1));
    let split = run(decoder, stream, usize::from(control >> 3) + 1);
    assert_eq!(split, whole, "a split shows");
});

/// The packets of `stream`, arriving in chunks, and what ended it.
fn run(mut decoder: Decoder, stream: &[u8], chunk_size: usize) -> (Vec<Packet<'static>>, Option<DecodeError>) {
    let (mut pending, mut packets) = (Vec::new(), Vec::new());
    for chunk in stream.chunks(chunk_size) {
        pending.extend_from_slice(chunk);
        let mut consumed = 0;
        loop {
            match decoder.decode(&pending[consumed..]) {
                Ok(None) => break,
                Ok(Some((packet, length))) => {
                    assert!(length > 0 && length <= pending.len() - consumed);
                    check_encodable(&decoder, &packet);
                    packets.push(packet.into_owned());
                    consumed += length;
                }
                Err(error) => return (packets, Some(error)),
            }
        }
        pending.drain(..consumed);
        assert!(pending.len() <= LIMITS.packet_bytes_max as usize, "more is awaited than is allowed");
    }
    (packets, None)
}

/// A packet that was decoded can be encoded, and decodes to the same again.
fn check_encodable(decoder: &Decoder, packet: &Packet<'_>) {
    let version = decoder.version().expect("given, or set by CONNECT");
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes).expect("what decodes can be encoded");
    // Nothing is spelled longer than a peer may spell it, but for a Will that leaves its delay to be said.
    let mut decoder = decoder.clone();
    decoder.set_limits(Limits { packet_bytes_max: u32::MAX, ..LIMITS });
    let again = decoder.decode(&bytes).expect("what is encoded decodes").expect("whole");
    assert_eq!(again, (packet.clone(), bytes.len()));
}
