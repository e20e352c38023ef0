//! The Will Message (MQTT 5.0 §3.1.2.5).

use tidegate::mqtt::{QoS, ReasonCode, Version};

use super::VERSIONS;
use crate::harness::{Client, Over, Server, Setup, mqtt};

fn with_will(server: &Server, over: Over, version: Version, keep_alive_s: u16) -> Client {
    let mut connect = mqtt::connect(version, "mortal");
    connect.keep_alive_s = keep_alive_s;
    connect.will = Some(mqtt::will("will", "gone", QoS::AtLeastOnce, false));
    Client::connect_with(server, over, connect)
}

fn heir(server: &Server) -> Client {
    let mut heir = Client::connect(server, Over::Tcp, Version::V5, "heir");
    heir.subscribe("will", QoS::ExactlyOnce);
    heir
}

#[test]
fn a_cut_connection_publishes_it() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    for over in Over::ALL {
        for version in VERSIONS {
            drop(with_will(&server, over, version, 0));
            assert_eq!(heir.expect_message("will", b"gone").qos, QoS::AtLeastOnce, "{version} over {over:?}");
        }
    }
    heir.expect_nothing();
}

#[test]
fn a_farewell_deletes_it() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    for version in VERSIONS {
        with_will(&server, Over::Wss, version, 0).disconnect(ReasonCode::Success);
    }
    heir.expect_nothing();
    with_will(&server, Over::Wss, Version::V5, 0).disconnect(ReasonCode::DisconnectWithWill);
    heir.expect_message("will", b"gone");
    heir.expect_nothing();
}

#[test]
fn silence_beyond_the_keep_alive_publishes_it() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    let mut silent = with_will(&server, Over::Tcp, Version::V4, 1);
    heir.expect_message("will", b"gone");
    silent.expect_closed();
}

#[test]
fn a_protocol_error_publishes_it() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    let mut faulty = with_will(&server, Over::Tcp, Version::V4, 0);
    faulty.send_bytes(&[0x36, 0]);
    heir.expect_message("will", b"gone");
    faulty.expect_closed();
}

#[test]
fn a_takeover_publishes_it() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    let mut first = with_will(&server, Over::Tcp, Version::V5, 0);
    let _second = Client::connect(&server, Over::Tcp, Version::V5, "mortal");
    heir.expect_message("will", b"gone");
    first.expect_disconnect(ReasonCode::SessionTakenOver);
}

#[test]
fn it_can_be_retained() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    let mut connect = mqtt::connect(Version::V4, "mortal");
    connect.will = Some(mqtt::will("will", "gone", QoS::AtMostOnce, true));
    drop(Client::connect_with(&server, Over::Ws, connect));
    heir.expect_message("will", b"gone");
    let mut late = Client::connect(&server, Over::Tcp, Version::V4, "late");
    late.subscribe("will", QoS::AtMostOnce);
    assert!(late.expect_message("will", b"gone").retain);
}
