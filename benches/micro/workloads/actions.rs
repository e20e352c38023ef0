//! The JSON Action dialect.

use divan::black_box;
use tidegate::{
    dialect::json::{self, JsonDialect},
    mqtt::QoS,
};

use super::{TOPIC, message};

/// `payload` is written as it is, between quotation marks.
pub(super) fn decode_publish(payload: &str) -> Box<dyn FnMut()> {
    let text = format!(r#"{{"Action":"publish","Topic":"{TOPIC}","Payload":"{payload}"}}"#);
    let mut dialect = JsonDialect::new();
    Box::new(move || assert!(dialect.decode(black_box(&text)).is_ok()))
}

/// In a dialect of its own each time, as one remembers what is not answered yet.
pub(super) fn decode_subscribe() -> Box<dyn FnMut()> {
    let text = format!(r#"{{"Action":"subscribe","Topic":"{TOPIC}","Id":1}}"#);
    Box::new(move || assert!(JsonDialect::new().decode(black_box(&text)).is_ok()))
}

pub(super) fn encode_delivery(payload: &[u8]) -> Box<dyn FnMut()> {
    let message = message(TOPIC, payload, QoS::AtMostOnce, false);
    Box::new(move || drop(black_box(json::publish_text(black_box(&message)))))
}
