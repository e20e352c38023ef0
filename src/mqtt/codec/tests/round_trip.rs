//! Any packet: encoded and decoded, cut anywhere, split anywhere.

use proptest::collection::vec;
use proptest::prelude::*;

use super::strategies::{packet, sender, version};
use super::*;

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    encode(packet, version, &mut out).expect("a packet of the standard");
    out
}

fn any_packet() -> impl Strategy<Value = (Version, Sender, Packet<'static>)> {
    (version(), sender()).prop_flat_map(|(version, sender)| (Just(version), Just(sender), packet(version, sender)))
}

fn any_packets() -> impl Strategy<Value = (Version, Sender, Vec<Packet<'static>>)> {
    (version(), sender())
        .prop_flat_map(|(version, sender)| (Just(version), Just(sender), vec(packet(version, sender), 1..6)))
}

fn decoder(version: Version, sender: Sender) -> Decoder {
    Decoder::with_version(sender, Limits::default(), version)
}

proptest! {
    #[test]
    fn decoding_undoes_encoding((version, sender, packet) in any_packet()) {
        let bytes = encoded(&packet, version);
        let mut decoder = decoder(version, sender);
        prop_assert_eq!(decoder.packet_len(&bytes), Ok(Some(bytes.len())));
        prop_assert_eq!(decoder.decode(&bytes), Ok(Some((packet, bytes.len()))));
    }

    #[test]
    fn any_prefix_waits_for_more((version, sender, packet) in any_packet()) {
        let bytes = encoded(&packet, version);
        for end in 0..bytes.len() {
            prop_assert_eq!(decoder(version, sender).decode(&bytes[..end]), Ok(None));
        }
    }

    /// MQTT 5.0 §6.0, [MQTT-6.0.0-2]; EMQX #11250.
    #[test]
    fn any_split_gives_the_same_packets((version, sender, packets) in any_packets(), cuts in vec(1..40_usize, 0..60)) {
        let stream: Vec<u8> = packets.iter().flat_map(|packet| encoded(packet, version)).collect();
        let mut decoder = decoder(version, sender);
        let (mut pending, mut decoded) = (Vec::new(), Vec::new());
        let mut rest = &stream[..];
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (chunk, behind) = rest.split_at(cut.min(rest.len()));
            rest = behind;
            pending.extend_from_slice(chunk);
            let mut consumed = 0;
            while let Some((packet, length)) = decoder.decode(&pending[consumed..]).expect("valid packets") {
                consumed += length;
                decoded.push(packet.into_owned());
            }
            pending.drain(..consumed);
        }
        prop_assert_eq!(decoded, packets);
        prop_assert!(pending.is_empty());
    }

    /// What a peer sends is refused or can be sent on; it never panics.
    #[test]
    fn whatever_decodes_can_be_encoded(
        (version, sender, packet) in any_packet(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&packet, version);
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(Some((packet, _))) = decoder(version, sender).decode(&bytes) {
            let again = encoded(&packet, version);
            prop_assert_eq!(decoder(version, sender).decode(&again), Ok(Some((packet, again.len()))));
        }
    }

    #[test]
    fn a_refused_packet_leaves_the_buffer_as_it_was(text in "[a-z]{0,9}\0[a-z]{0,9}") {
        let mut out = b"before".to_vec();
        let packet = Packet::Disconnect(crate::mqtt::packet::Disconnect {
            reason: crate::mqtt::ReasonCode::ServerBusy,
            properties: crate::mqtt::property::DisconnectProperties {
                reason_string: Some(text.into()),
                ..Default::default()
            },
        });
        prop_assert_eq!(encode(&packet, Version::V5, &mut out), Err(EncodeError::Violation(Violation::NulCharacter)));
        prop_assert_eq!(out, b"before");
    }
}
