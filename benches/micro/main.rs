//! `cargo bench --bench micro`: the parts that every message passes, one by one, with their allocations.
//!
//! What a part costs inside a server, with its sockets and its neighbours, is what `peers` measures.

use divan::{AllocProfiler, Bencher, black_box};
use tidegate::{
    auth::Principal,
    dialect::{
        json::{self, JsonDialect},
        websocket::{self, Expect, FrameDecoder},
    },
    engine::message::Message,
    mqtt::{
        QoS, TopicFilter, TopicName, Version,
        codec::{Decoder, Limits, PublishHead, Sender},
    },
    policy::{Access, Policy},
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
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

fn publish_packet(version: Version) -> Vec<u8> {
    let mut packet = Vec::new();
    publish_head(version).write(PAYLOAD.len(), &mut packet);
    packet.extend_from_slice(&PAYLOAD);
    packet
}

fn message() -> Message {
    let topic = TopicName::parse(TOPIC).expect("the topic is valid");
    Message::new(&topic, &[], &PAYLOAD, QoS::AtMostOnce, false)
}

mod codec {
    use super::*;

    #[divan::bench(args = [Version::V4, Version::V5])]
    fn decode_publish(bencher: Bencher, version: Version) {
        let packet = publish_packet(version);
        let mut decoder = Decoder::with_version(Sender::Client, Limits::default(), version);
        bencher.bench_local(|| decoder.decode(black_box(&packet)).is_ok());
    }

    #[divan::bench(args = [Version::V4, Version::V5])]
    fn encode_publish(bencher: Bencher, version: Version) {
        let mut out = Vec::with_capacity(256);
        bencher.bench_local(|| {
            out.clear();
            publish_head(version).write(PAYLOAD.len(), black_box(&mut out));
            out.extend_from_slice(&PAYLOAD);
        });
    }
}

mod frame {
    use super::*;

    /// A masked binary frame around a PUBLISH, as a browser sends it.
    fn masked_publish() -> Vec<u8> {
        let packet = publish_packet(Version::V4);
        let mask = [0x37, 0xFA, 0x21, 0x3D];
        let mut frame = vec![0x82, 0x80 | packet.len() as u8];
        frame.extend_from_slice(&mask);
        frame.extend(packet.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    #[divan::bench]
    fn decode(bencher: Bencher) {
        let mut decoder = FrameDecoder::new(Expect::Binary, 2 << 20);
        bencher
            .with_inputs(masked_publish)
            .bench_local_refs(|frame| decoder.decode(black_box(frame)).is_ok_and(|(used, _)| used > 0));
    }

    #[divan::bench]
    fn encode_header(bencher: Bencher) {
        let mut out = Vec::with_capacity(16);
        bencher.bench_local(|| {
            out.clear();
            websocket::write_header(black_box(&mut out), websocket::BINARY, 84);
        });
    }
}

mod actions {
    use super::*;

    #[divan::bench]
    fn decode_publish(bencher: Bencher) {
        let text = format!(r#"{{"Action":"publish","Topic":"{TOPIC}","Payload":"{}"}}"#, "x".repeat(64));
        let mut dialect = JsonDialect::new();
        bencher.bench_local(|| dialect.decode(black_box(&text)).is_ok());
    }

    #[divan::bench]
    fn encode_delivery(bencher: Bencher) {
        let message = message();
        bencher.bench_local(|| json::publish_text(black_box(&message)));
    }
}

mod topic {
    use super::*;

    #[divan::bench(args = ["/p/client/upload", "/p/+/upload", "/p/#", "/q/#"])]
    fn matches(bencher: Bencher, filter: &str) {
        let filter = TopicFilter::parse(filter).expect("the filter is valid");
        bencher.bench_local(|| filter.matches(black_box(TOPIC)));
    }
}

mod policy {
    use super::*;

    /// `roles` roles of ten rules each, of which the client has one.
    fn text(roles: usize) -> String {
        let mut text = "version: 1\nroles:\n".to_owned();
        for role in 0..roles {
            text += &format!("  role{role}:\n");
            for rule in 0..8 {
                text += &format!("    - {{ topic: \"site/{role}/{rule}/+/state\", rw: r }}\n");
            }
            text += "    - { topic: \"/p/${username}/upload\", rw: rw }\n";
            text += "    - { topic: \"/p/+/secret/#\", deny: rw }\n";
        }
        text + "users: { client: [role0] }\n"
    }

    fn access(roles: usize) -> Access {
        let policy = Policy::parse(&text(roles), "bench").expect("the policy is valid");
        let who = Principal::user("client");
        policy.bind(&who, "client-1").expect("the name binds")
    }

    #[divan::bench(args = [1, 1000])]
    fn publish(bencher: Bencher, roles: usize) {
        let access = access(roles);
        bencher.bench_local(|| access.publish(black_box(TOPIC), QoS::AtMostOnce, false, PAYLOAD.len()).allow);
    }

    #[divan::bench(args = [10, 1000], sample_count = 10)]
    fn load(bencher: Bencher, roles: usize) {
        let text = text(roles);
        bencher.bench_local(|| Policy::parse(black_box(&text), "bench").is_ok());
    }
}

mod engine {
    use super::*;

    #[divan::bench]
    fn message() -> Message {
        super::message()
    }
}
