//! Reason Strings and User Properties in what the server answers: never where they are not wanted, never where they do not fit
//! (MQTT 5.0 §3.1.2.11.4, §3.1.2.11.7).

use std::num::NonZeroU32;

use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::property::{AckProperties, UserProperties};
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::{OVER, ack};
use crate::harness::{Client, Over, Server, Setup, mqtt};

fn start() -> Server {
    Setup::new()
        .policy("version: 1\nroles: { some: [{ topic: open, rw: rw }] }\nusers: { anonymous: [some] }\n")
        .start()
}

fn curious(maximum_packet_size: Option<u32>, request_problem_information: Option<bool>) -> Connect {
    let mut connect = mqtt::connect(Version::V5, "curious");
    connect.properties.maximum_packet_size = maximum_packet_size.and_then(NonZeroU32::new);
    connect.properties.request_problem_information = request_problem_information;
    connect
}

/// One answer of each kind that a client may bring about, most of them to something that fails; DISCONNECT is the last.
fn answers(client: &mut Client) -> Vec<Packet<'static>> {
    let publish = |topic, qos, id| Packet::Publish(mqtt::publish(topic, b"", qos, false, id));
    for packet in [
        publish("shut", QoS::AtLeastOnce, 1),
        publish("open", QoS::AtLeastOnce, 2),
        publish("shut", QoS::ExactlyOnce, 3),
        Packet::PubRec(ack(4, ReasonCode::Success)),
        Packet::PubRel(ack(5, ReasonCode::Success)),
    ] {
        client.send(&packet);
    }
    // SUBSCRIBE to what is shut, UNSUBSCRIBE from what is not there, and a second CONNECT.
    client.send_bytes(b"\x82\x0a\x00\x06\x00\x00\x04shut\x01");
    client.send_bytes(b"\xa2\x09\x00\x07\x00\x00\x04shut");
    client.send(&Packet::Connect(Box::new(curious(None, None))));
    (0..8).map(|_| client.receive()).collect()
}

/// The name of an answer, and what it says in words.
fn said(packet: &Packet<'_>) -> (&'static str, Option<Box<str>>, UserProperties) {
    let of =
        |name, properties: &AckProperties| (name, properties.reason_string.clone(), properties.user_properties.clone());
    let none = AckProperties::default();
    match packet {
        Packet::PubAck(ack) => of("PUBACK", ack.properties.as_deref().unwrap_or(&none)),
        Packet::PubRec(ack) => of("PUBREC", ack.properties.as_deref().unwrap_or(&none)),
        Packet::PubRel(ack) => of("PUBREL", ack.properties.as_deref().unwrap_or(&none)),
        Packet::PubComp(ack) => of("PUBCOMP", ack.properties.as_deref().unwrap_or(&none)),
        Packet::SubAck(ack) => of("SUBACK", &ack.properties),
        Packet::UnsubAck(ack) => of("UNSUBACK", &ack.properties),
        Packet::Disconnect(disconnect) => {
            let properties = &disconnect.properties;
            ("DISCONNECT", properties.reason_string.clone(), properties.user_properties.clone())
        }
        Packet::ConnAck(answer) => {
            ("CONNACK", answer.properties.reason_string.clone(), answer.properties.user_properties.clone())
        }
        other => panic!("{other:?} is no answer"),
    }
}

const IN_ORDER: [&str; 8] = ["PUBACK", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBACK", "UNSUBACK", "DISCONNECT"];

#[test]
fn no_answer_grows_beyond_what_its_client_takes() {
    let server = start();
    for over in OVER {
        let mut with_words = [0; 2];
        for maximum in (40..=140).step_by(10) {
            let mut client = Client::connect_with(&server, over, curious(Some(maximum), None));
            let answers = answers(&mut client);
            assert_eq!(answers.iter().map(|packet| said(packet).0).collect::<Vec<_>>(), IN_ORDER);
            for packet in &answers {
                let length = mqtt::bytes(packet, Version::V5).len();
                assert!(length <= maximum as usize, "{length} bytes, not {maximum}: {packet:?}");
                assert!(said(packet).2.is_empty(), "the server has no User Properties to say");
                with_words[usize::from(maximum > 90)] += usize::from(said(packet).1.is_some());
            }
            client.expect_closed();
        }
        assert!(with_words[0] < with_words[1], "what fits better is said more often: {with_words:?}");
    }
}

#[test]
fn no_refusal_grows_beyond_what_its_client_takes() {
    let server = start();
    for over in OVER {
        let mut lengths = Vec::new();
        for maximum in 5..=120 {
            let mut connect = curious(Some(maximum), None);
            connect.will = Some(mqtt::will("shut", "", QoS::AtMostOnce, false));
            let (_, answer) = Client::try_connect(&server, over, connect);
            assert!(answer.reason.is_failure() && answer.properties.user_properties.is_empty(), "{answer:?}");
            let length = mqtt::bytes(&Packet::ConnAck(Box::new(answer)), Version::V5).len();
            assert!(length <= maximum as usize, "[MQTT-3.2.2-19]: {length} bytes, not {maximum}");
            lengths.push(length);
        }
        assert!(lengths.first() < lengths.last(), "with words where there is room: {lengths:?}");
    }
}

#[test]
fn without_problem_information_only_connack_and_disconnect_have_words() {
    let server = start();
    for over in OVER {
        for wants in [Some(false), Some(true), None] {
            let mut client = Client::connect_with(&server, over, curious(None, wants));
            let mut words = Vec::new();
            for packet in answers(&mut client) {
                let (name, reason_string, user_properties) = said(&packet);
                assert!(user_properties.is_empty());
                if reason_string.is_some() {
                    words.push(name);
                }
            }
            client.expect_closed();
            let is_of_acknowledgements = words.iter().any(|name| *name != "DISCONNECT");
            assert_eq!(is_of_acknowledgements, wants != Some(false), "{wants:?}: {words:?} ([MQTT-3.1.2-29])");
        }
    }
}

#[test]
fn who_names_no_method_hears_of_none() {
    use std::io::Write as _;
    use std::process::Stdio;

    let setup = Setup::new().users(&[]);
    let mut command = crate::harness::server::tidegate();
    command.arg("passwd").arg(setup.directory().join("passwords")).args([
        "anna",
        "--scram",
        "--iterations",
        "4096",
        "--stdin",
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the tidegate binary");
    writeln!(child.stdin.take().expect("a pipe"), "password").expect("a running child");
    assert!(child.wait().expect("a child").success());
    let server = setup.start();
    for over in [Over::Tls, Over::Wss] {
        for (password, reason) in [("password", ReasonCode::Success), ("wrong", ReasonCode::BadUserNameOrPassword)] {
            let mut connect = mqtt::connect(Version::V5, "plain");
            connect.login = mqtt::login("anna", password);
            let (mut client, answer) = Client::try_connect(&server, over, connect);
            assert_eq!(answer.reason, reason);
            let properties = answer.properties;
            assert_eq!((properties.authentication_method, properties.authentication_data), (None, None));
            if reason == ReasonCode::Success {
                client.expect_nothing();
            }
        }
    }
}
