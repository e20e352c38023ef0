//! Nanoseconds of what each message costs in the dialects: WebSocket framing and the JSON Actions.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use tidegate::dialect::json::{JsonDialect, publish_text};
use tidegate::dialect::websocket::{BINARY, Event, Expect, FrameDecoder, write_header};
use tidegate::engine::message::Message;
use tidegate::mqtt::{QoS, TopicName};

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// A masked frame of `payload`, as a browser sends it.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_header(&mut frame, BINARY, payload.len());
    frame[0] = 0x80 | opcode;
    frame[1] |= 0x80;
    frame.extend_from_slice(&[1, 2, 3, 4]);
    frame.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// One binary frame that came whole. Unmasking twice leaves what was there, so the input is used again and again.
#[divan::bench(args = [64, 1_024, 65_536])]
fn websocket_binary(bencher: Bencher<'_, '_>, payload_bytes: usize) {
    let mut frame = masked(2, &vec![7; payload_bytes]);
    let mut decoder = FrameDecoder::new(Expect::Binary, 1 << 20);
    bencher.counter(BytesCount::new(payload_bytes)).bench_local(|| {
        let (used, event) = decoder.decode(black_box(&mut frame)).expect("the frame is valid");
        assert!(matches!(event, Event::Binary { end_of_message: true, .. }));
        used
    });
}

/// One text frame that came whole: borrowed, checked as UTF-8.
#[divan::bench]
fn websocket_text(bencher: Bencher<'_, '_>) {
    let frame = masked(1, &[b'a'; 100]);
    let mut decoder = FrameDecoder::new(Expect::Text, 1 << 20);
    let mut buffer = frame.clone();
    bencher.bench_local(|| {
        buffer.copy_from_slice(&frame);
        decoder.decode(black_box(&mut buffer)).map(|(used, _)| used)
    });
}

const PAYLOAD: &str =
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

#[divan::bench(args = ["", r#","Id":17"#, r#","QoS":1,"Retain":false,"Id":"message-17""#])]
fn json_decode_publish(bencher: Bencher<'_, '_>, more: &str) {
    let text = format!(r#"{{"Action":"publish","Topic":"/p/client/upload","Payload":"{PAYLOAD}"{more}}}"#);
    bencher.with_inputs(JsonDialect::new).bench_local_refs(|dialect| match dialect.decode(black_box(&text)) {
        Ok(packet) => drop(black_box(packet)),
        Err(error) => panic!("{error}"),
    });
}

/// A payload as the pages of 2018 send it: JSON inside JSON, so full of escapes.
#[divan::bench]
fn json_decode_publish_stringified(bencher: Bencher<'_, '_>) {
    let text =
        r#"{"Action":"publish","Topic":"/p/client/upload","Payload":"{\"Hello\":\"World\",\"list\":[1,2,3,4]}"}"#;
    bencher.with_inputs(JsonDialect::new).bench_local_refs(|dialect| match dialect.decode(black_box(text)) {
        Ok(packet) => drop(black_box(packet)),
        Err(error) => panic!("{error}"),
    });
}

#[divan::bench(args = [PAYLOAD, r#"{"Hello":"World","list":[1,2,3,4]}"#])]
fn json_encode_delivery(bencher: Bencher<'_, '_>, payload: &str) {
    let topic = TopicName::parse("/p/client/upload").expect("the topic is valid");
    let message = Message::new(&topic, &[], payload.as_bytes(), QoS::AtMostOnce, false);
    bencher.bench_local(|| publish_text(black_box(&message)));
}
