//! What a client is told in words, and when it is not (MQTT 5.0 §3.1.2.11.4, §3.1.2.11.6, §3.1.2.11.7).

use std::num::NonZeroU32;

use tidegate::mqtt::packet::{Connect, Subscribe, SubscribeOptions};
use tidegate::mqtt::property::SubscribeProperties;
use tidegate::mqtt::{Packet, QoS, ReasonCode, TopicFilter, Version};

use crate::harness::{Client, Over, Server, Setup, mqtt};

const POLICY: &str = "version: 1\nroles: { some: [{ topic: open/#, rw: rw }] }\nusers: { anonymous: [some] }\n";

fn connect(maximum_packet_size: Option<u32>) -> Connect {
    let mut connect = mqtt::connect(Version::V5, "curious");
    connect.properties.maximum_packet_size = maximum_packet_size.and_then(NonZeroU32::new);
    connect
}

fn start() -> Server {
    Setup::new().policy(POLICY).start()
}

/// A SUBSCRIBE to `count` filters of which the last is denied.
fn subscribe(count: usize) -> Packet<'static> {
    let filter = |index| if index + 1 < count { format!("open/{index}") } else { "shut".to_owned() };
    let filters = (0..count)
        .map(|index| (TopicFilter::parse(&filter(index)).expect("a valid filter"), SubscribeOptions::default()));
    let properties = SubscribeProperties::default();
    Packet::Subscribe(Subscribe { packet_id: mqtt::packet_id(3), properties, filters: filters.collect() })
}

#[test]
fn a_refused_publish_and_subscribe_say_why() {
    let server = start();
    for over in [Over::Tcp, Over::Wss] {
        let mut client = Client::connect_with(&server, over, connect(None));
        client.send(&Packet::Publish(mqtt::publish("shut", b"", QoS::AtLeastOnce, false, 1)));
        let Packet::PubAck(ack) = client.receive() else { panic!("no PUBACK") };
        let words = ack.properties.and_then(|properties| properties.reason_string);
        assert_eq!(ack.reason, ReasonCode::NotAuthorized);
        assert_eq!(words.as_deref(), Some("not authorized to publish to this topic"));
        client.send(&subscribe(2));
        let Packet::SubAck(ack) = client.receive() else { panic!("no SUBACK") };
        assert_eq!(ack.reasons, [ReasonCode::Success, ReasonCode::NotAuthorized]);
        let words = "Topic Filter 2 of 2: not authorized to subscribe to this Topic Filter";
        assert_eq!(ack.properties.reason_string.as_deref(), Some(words));
    }
}

#[test]
fn a_refused_connect_says_why() {
    let server = start();
    let mut mortal = connect(None);
    mortal.will = Some(mqtt::will("shut", "", QoS::AtMostOnce, false));
    let (mut client, answer) = Client::try_connect(&server, Over::Tcp, mortal);
    assert_eq!(answer.reason, ReasonCode::NotAuthorized);
    let words = "Will Message: not authorized to publish to this topic";
    assert_eq!(answer.properties.reason_string.as_deref(), Some(words));
    client.expect_closed();
    // A CONNECT that cannot even be read: the reserved flag is set.
    let mut client = Client::open(&server, Over::Tcp, Version::V5);
    client.send_bytes(b"\x10\x0d\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x00");
    let Packet::ConnAck(answer) = client.receive() else { panic!("no CONNACK") };
    assert_eq!(answer.reason, ReasonCode::MalformedPacket);
    let words = "CONNECT: a CONNECT whose reserved flag is set (MQTT 5.0 [MQTT-3.1.2-3])";
    assert_eq!(answer.properties.reason_string.as_deref(), Some(words));
}

/// MQTT 5.0 [MQTT-3.4.2-2], [MQTT-3.9.2-1], [MQTT-3.14.2-3].
#[test]
fn words_are_left_out_where_they_do_not_fit() {
    let server = start();
    let mut client = Client::connect_with(&server, Over::Tcp, connect(Some(40)));
    client.send(&Packet::Publish(mqtt::publish("shut", b"", QoS::ExactlyOnce, false, 1)));
    let Packet::PubRec(ack) = client.receive() else { panic!("no PUBREC") };
    assert_eq!((ack.reason, ack.properties), (ReasonCode::NotAuthorized, None));
    client.send(&subscribe(1));
    let Packet::SubAck(ack) = client.receive() else { panic!("no SUBACK") };
    assert_eq!((ack.reasons.as_slice(), ack.properties.reason_string), (&[ReasonCode::NotAuthorized][..], None));
    client.send(&Packet::Connect(Box::new(connect(None))));
    let Packet::Disconnect(disconnect) = client.receive() else { panic!("no DISCONNECT") };
    assert_eq!((disconnect.reason, disconnect.properties.reason_string), (ReasonCode::ProtocolError, None));
}

/// MQTT 5.0 [MQTT-3.1.2-24]: it may not be sent, and the client would wait for it for ever.
#[test]
fn an_answer_that_does_not_fit_at_all_ends_the_connection() {
    let server = start();
    let mut client = Client::connect_with(&server, Over::Tcp, connect(Some(40)));
    client.send(&subscribe(35));
    let Packet::SubAck(ack) = client.receive() else { panic!("no SUBACK") };
    assert_eq!(ack.reasons.len(), 35, "of 40 bytes exactly");
    client.send(&subscribe(36));
    client.expect_disconnect(ReasonCode::PacketTooLarge);

    let (mut client, answer) = Client::try_connect(&server, Over::Tcp, connect(Some(8)));
    assert_eq!(answer.reason, ReasonCode::PacketTooLarge, "CONNACK itself has no room");
    assert_eq!(answer.properties.reason_string, None);
    client.expect_closed();
    let mut client = Client::open(&server, Over::Tcp, Version::V5);
    client.send(&Packet::Connect(Box::new(connect(Some(3)))));
    client.expect_closed();
}

/// MQTT 5.0 [MQTT-3.1.2-28], §3.2.2.3.15
#[test]
fn response_information_is_the_clients_own() {
    let server = Setup::new().section("mqtt", "{ response_information: \"reply/${username}/${clientid}/\" }").start();
    let told = |client_id: &str, asks: Option<bool>| {
        let mut connect = mqtt::connect(Version::V5, client_id);
        connect.properties.request_response_information = asks;
        Client::try_connect(&server, Over::Wss, connect).1.properties.response_information
    };
    assert_eq!(told("me", Some(true)).as_deref(), Some("reply/anonymous/me/"));
    assert_eq!(told("me", Some(false)), None);
    assert_eq!(told("me", None), None);
    assert_eq!(told("me/too", Some(true)), None, "two levels, where one belongs");
}
