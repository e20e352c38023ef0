//! However the bytes of a client are cut, on a stream or in frames on one, the same packets come of them.

use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::connection::{ConnectionCounters, Connections, Environment, Policies};
use crate::engine::{Engine, EngineConfig};
use crate::mqtt::codec::cases::{self, Case, Expected, Served};
use crate::policy::Policy;

/// MQTT 5.0 §6, [MQTT-6.0.0-2].
#[test]
fn a_packet_may_begin_and_end_anywhere_in_a_frame() {
    let (conversation, packets) = conversation(5, &[3, 1, 4, 1, 5, 9, 2, 6]);
    for size in 1..=conversation.len().min(125) {
        let frames = framed(&conversation, &[(size, 0)]);
        assert_eq!(
            heard(Protocol::MqttWebSocket, &frames, &[frames.len()], false).packets,
            packets,
            "frames of {size}"
        );
    }
}

proptest! {
    #[test]
    fn any_split_of_the_stream_gives_the_same_packets(
        version in 3..=5_u8,
        rows in vec(any::<usize>(), 0..12),
        cuts in vec(1..60_usize, 1..12),
        does_pause in any::<bool>(),
    ) {
        let (conversation, packets) = conversation(version, &rows);
        let heard = heard(Protocol::Mqtt, &conversation, &cuts, does_pause);
        prop_assert_eq!(heard.packets, packets);
        prop_assert!(!heard.is_amid);
    }

    #[test]
    fn any_frames_and_any_split_of_them_give_the_same_packets(
        version in 3..=5_u8,
        rows in vec(any::<usize>(), 0..12),
        frames in vec((1..60_usize, 0..6_u8), 1..12),
        cuts in vec(1..60_usize, 1..12),
        does_pause in any::<bool>(),
    ) {
        let (conversation, packets) = conversation(version, &rows);
        let stream = framed(&conversation, &frames);
        let heard = heard(Protocol::MqttWebSocket, &stream, &cuts, does_pause);
        prop_assert_eq!(heard.packets, packets);
        prop_assert_eq!(heard.pings, stream_pings(&conversation, &frames));
        prop_assert!(!heard.is_amid);
    }
}

/// A CONNECT and well-formed packets of the table behind it: as bytes, and as they are decoded one by one.
fn conversation(version: u8, rows: &[usize]) -> (Vec<u8>, Vec<Packet<'static>>) {
    let is_usable = |case: &&Case| {
        let is_whole = matches!(case.expected, Expected::Packet | Expected::Respelled);
        is_whole && !case.is_from_server && case.version == version && case.served == Served::Taken
    };
    let (connects, others): (Vec<&Case>, Vec<&Case>) =
        cases::all().filter(is_usable).partition(|case| case.bytes[0] >> 4 == 1);
    let first = connects[rows.first().map_or(0, |row| row % connects.len())];
    let chosen = rows.iter().map(|row| others[row % others.len()]);
    let mut decoder = Decoder::new(Sender::Client, Limits::default());
    let (mut bytes, mut packets) = (Vec::new(), Vec::new());
    for case in std::iter::once(first).chain(chosen) {
        let (packet, _) = decoder.decode(case.bytes).expect("a good row").expect("a whole row");
        packets.push(packet.into_owned());
        bytes.extend_from_slice(case.bytes);
    }
    (bytes, packets)
}

/// `conversation` in masked frames of these lengths, over and over. The number beside one says what it is: 0 a message of its own;
/// 1 to 3 the first of so many fragments, with a ping before each further one; above, a ping goes before it.
fn framed(conversation: &[u8], lengths: &[(usize, u8)]) -> Vec<u8> {
    let mut stream = Vec::new();
    let (mut rest, mut fragments_left) = (conversation, 0);
    for &(length, how) in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (payload, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        let is_begun = fragments_left > 0;
        if is_begun || how > 3 {
            masked(&mut stream, 0x89, b"amid");
        }
        if !is_begun && (1..=3).contains(&how) {
            fragments_left = how;
        }
        fragments_left = fragments_left.saturating_sub(u8::from(is_begun));
        let is_final = fragments_left == 0 || rest.is_empty();
        masked(&mut stream, u8::from(is_final) << 7 | if is_begun { 0 } else { 2 }, payload);
        if is_final {
            fragments_left = 0;
        }
    }
    stream
}

/// How many pings [`framed`] puts between.
fn stream_pings(conversation: &[u8], lengths: &[(usize, u8)]) -> usize {
    let stream = framed(conversation, lengths);
    let (mut pings, mut rest) = (0, &stream[..]);
    while let [first, length, ..] = *rest {
        pings += usize::from(first == 0x89);
        rest = &rest[6 + usize::from(length & 0x7F)..];
    }
    pings
}

fn masked(stream: &mut Vec<u8>, first: u8, payload: &[u8]) {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    stream.extend([first, 0x80 | u8::try_from(payload.len()).expect("at most 125 bytes")]);
    stream.extend(MASK);
    stream.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[derive(Default)]
struct Heard {
    packets: Vec<Packet<'static>>,
    pings: usize,
    is_amid: bool,
}

/// What comes of `stream` read in pieces of these lengths, over and over; with pauses, as for credentials, after every packet.
fn heard(protocol: Protocol, stream: &[u8], cuts: &[usize], does_pause: bool) -> Heard {
    let mut inbound = Inbound::new(shared(), protocol);
    let mut heard = Heard::default();
    let mut receive = |_: &mut Speech, incoming: Incoming<'_>| match incoming {
        Incoming::Packet(packet) => {
            let is_first = heard.packets.is_empty();
            heard.packets.push(packet.into_owned());
            match (does_pause, is_first) {
                (true, _) => Flow::Pause,
                (false, true) => Flow::Admit,
                (false, false) => Flow::Continue,
            }
        }
        Incoming::Ping(payload) => {
            assert_eq!(payload, b"amid");
            heard.pings += 1;
            Flow::Continue
        }
        other => panic!("{other:?}"),
    };
    let mut rest = stream;
    for &cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(cut.min(rest.len()));
        rest = behind;
        let mut flow = inbound.feed(&mut piece.to_vec(), &mut receive);
        while flow == Flow::Pause {
            flow = inbound.resume(&mut receive);
        }
        assert_eq!(flow, Flow::Continue);
    }
    heard.is_amid = inbound.is_amid();
    heard
}

fn shared() -> Arc<Shared> {
    let environment = Environment {
        engine: Arc::new(Engine::new(EngineConfig::default(), ahash::RandomState::with_seeds(1, 2, 3, 4))),
        policy: Policies::new(Policy::allow_all()),
        config: ConnectionConfig::default(),
        counters: Arc::<ConnectionCounters>::default(),
        roster: Arc::default(),
        envelopes: Arc::new(crate::connection::Envelopes::new(1, || 0, Box::new(|_| None))),
        random: || 7,
    };
    let authenticator = crate::auth::Authenticator::with_passwords(true, None, 1);
    Connections::new(environment, Arc::new(arc_swap::ArcSwap::from_pointee(authenticator)), Instant::now()).shared
}
