//! What is measured: each workload is prepared once and then done again and again, alike each time.

mod actions;
mod codec;
mod engine;
mod frame;
mod policy;
mod topic;

use std::fmt;

use tidegate::{
    engine::message::Message,
    mqtt::{QoS, TopicName, Version, codec::PublishHead},
};

/// Something that a message passes.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// How often it is done while instructions are counted: the larger, the less.
    pub(crate) times: u32,
    pub(crate) prepare: fn() -> Box<dyn FnMut()>,
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

pub(crate) const ALL: &[Workload] = &[
    small("codec: decode CONNECT", codec::decode_connect),
    small("codec: decode PUBLISH 3.1.1", || codec::decode_publish(Version::V4)),
    small("codec: decode PUBLISH 5.0", || codec::decode_publish(Version::V5)),
    small("codec: decode SUBSCRIBE", codec::decode_subscribe),
    small("codec: encode PUBLISH 3.1.1", || codec::encode_publish(Version::V4)),
    small("codec: encode PUBLISH 5.0", || codec::encode_publish(Version::V5)),
    small("frame: decode 84 B", || frame::decode(64)),
    small("frame: decode 64 KiB", || frame::decode(1 << 16)),
    small("frame: encode header", frame::encode_header),
    small("actions: decode publish", || actions::decode_publish(&"x".repeat(64))),
    small("actions: decode publish, escapes", || actions::decode_publish(&r#"{\"n\":1}"#.repeat(8))),
    small("actions: decode subscribe", actions::decode_subscribe),
    small("actions: encode delivery", || actions::encode_delivery(&[b'x'; 64])),
    small("actions: encode delivery, escapes", || actions::encode_delivery(&br#"{"n":"1"}"#.repeat(7))),
    small("actions: encode delivery, base64", || actions::encode_delivery(&[0xFF; 64])),
    small("topic: parse", topic::parse),
    small("topic: matches exactly", || topic::matches("/p/client/upload")),
    small("topic: matches +", || topic::matches("/p/+/upload")),
    small("topic: matches #", || topic::matches("/p/#")),
    small("topic: does not match", || topic::matches("/q/#")),
    small("policy: publish, 1 role", || policy::publish(1)),
    small("policy: publish, 1000 roles", || policy::publish(1000)),
    small("policy: subscribe", policy::subscribe),
    small("engine: message", engine::message),
    large("engine: fan-out to 1000, QoS 0", engine::fan_out_qos_0),
    large("engine: fan-out to 500, QoS 1, acknowledged", engine::fan_out_qos_1),
    small("engine: publish that matches 3 of 3000", engine::publish_matching_three),
    small("engine: publish that nobody wants", engine::publish_unmatched),
    large("engine: subscribe and unsubscribe 1000", engine::subscribe_and_unsubscribe),
    large("engine: connect and leave 100", engine::connect_and_leave),
    large("engine: send 1000 retained", engine::send_retained),
];

const fn small(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Workload {
    Workload { name, times: 1000, prepare }
}

const fn large(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Workload {
    Workload { name, times: 10, prepare }
}

const TOPIC: &str = "/p/client/upload";
const PAYLOAD: [u8; 64] = [b'x'; 64];

fn publish_head(version: Version) -> PublishHead<'static> {
    PublishHead {
        version,
        topic: TOPIC.as_bytes(),
        qos: QoS::AtMostOnce,
        retain: false,
        dup: false,
        packet_id: None,
        topic_alias: None,
        message_expiry_interval_s: None,
        subscription_identifiers: &[],
        forwarded: &[],
    }
}

fn publish_packet(version: Version, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    publish_head(version).write(payload.len(), &mut packet);
    packet.extend_from_slice(payload);
    packet
}

fn message(topic: &str, payload: &[u8], qos: QoS, retain: bool) -> Message {
    Message::new(&TopicName::parse(topic).expect("the topic is valid"), &[], payload, qos, retain)
}
