use super::*;
use crate::mqtt::QoS;

#[test]
fn publish_borrows_topic_and_payload() {
    let bytes = b"\x30\x06\x00\x01aBCD";
    let mut decoder = Decoder::with_version(Sender::Client, Limits::default(), Version::V4);
    let Ok(Some((Packet::Publish(publish), 8))) = decoder.decode(bytes) else { panic!("a PUBLISH") };
    assert_eq!(publish.qos, QoS::AtMostOnce);
    assert!(matches!(publish.payload, std::borrow::Cow::Borrowed(b"BCD")));
}
