//! What a page may send as a JSON Action: several messages on one connection, a line each.
//!
//! Every message is a packet or an error text; what is told is JSON, carries no Topic and repeats little; a PUBLISH survives delivery.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::dialect::json::{JsonDialect, delivery_tail, publish_text};
use tidegate::engine::message::Message;
use tidegate::mqtt::packet::{Ack, Publish, SubAck};
use tidegate::mqtt::property::AckProperties;
use tidegate::mqtt::{Packet, PacketId, QoS, ReasonCode};

fuzz_target!(|text: &str| {
    let mut dialect = JsonDialect::new();
    for line in text.lines() {
        let mut out = Vec::new();
        match dialect.decode(line) {
            Ok(packet) => {
                if let Packet::Publish(publish) = &packet {
                    check_delivery(publish);
                }
                if let Some(answer) = answers(&packet, line.len()) {
                    out.clear();
                    dialect.encode(&answer, &mut out);
                    check_told(&out);
                }
            }
            Err(error) => {
                error.write(&mut out);
                assert!(!out.is_empty());
                check_told(&out);
            }
        }
    }
});

/// What a connection might answer; `choice` decides for success or failure.
fn answers(packet: &Packet<'_>, choice: usize) -> Option<Packet<'static>> {
    let reason = if choice.is_multiple_of(2) { ReasonCode::Success } else { ReasonCode::NotAuthorized };
    let sub_ack = |packet_id| SubAck { packet_id, properties: AckProperties::default(), reasons: vec![reason] };
    match packet {
        Packet::Publish(publish) => publish.packet_id.map(|packet_id| Packet::PubAck(Ack::new(packet_id, reason))),
        Packet::Subscribe(subscribe) => Some(Packet::SubAck(sub_ack(subscribe.packet_id))),
        Packet::Unsubscribe(unsubscribe) => Some(Packet::UnsubAck(sub_ack(unsubscribe.packet_id))),
        Packet::PingReq => Some(Packet::PingResp),
        _ => None,
    }
}

fn check_told(out: &[u8]) {
    if out.is_empty() {
        return;
    }
    let value: Value = serde_json::from_slice(out).expect("what is told is JSON");
    assert!(value.get("Topic").is_none());
    assert!(out.len() < 1024, "an answer repeats little of what was sent");
}

fn check_delivery(publish: &Publish<'_>) {
    let topic = publish.topic.as_ref().expect("a JSON publish names its topic");
    let text = publish_text(&Message::new(topic, &[], &publish.payload, QoS::AtMostOnce, false));
    let tail = delivery_tail(QoS::AtLeastOnce, PacketId::new(7));
    let text = [&text[..text.len() - 1], &tail[..]].concat();
    let text = std::str::from_utf8(&text).expect("a delivery is text");
    let mut dialect = JsonDialect::new();
    let Ok(Packet::Publish(again)) = dialect.decode(text) else { panic!("a delivery reads as a publish: {text}") };
    assert_eq!((again.topic.as_ref(), &again.payload), (Some(topic), &publish.payload));
}
