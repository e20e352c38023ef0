//! What the standard says about CONNECT, CONNACK and PINGREQ and `connect` does not show (MQTT 5.0 §3.1, §3.2, §3.12).

use std::time::{Duration, Instant};

use tidegate::mqtt::packet::SubscribeOptions;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::{OVER, VERSIONS, everywhere, forget, kept, let_time_pass};
use crate::harness::transport::Ending;
use crate::harness::{Client, Over, Setup, mqtt};

#[test]
fn an_identifier_of_one_to_twenty_three_letters_and_digits_is_taken() {
    let server = Setup::new().start();
    let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".repeat(2);
    for (version, over) in everywhere() {
        for length in 1..=23 {
            let id = &letters[length * 5 % 62..][..length];
            let (_, answer) = Client::try_connect(&server, over, mqtt::connect(version, id));
            assert_eq!(answer.reason, ReasonCode::Success, "{version}: {id} ([MQTT-3.1.3-5])");
            assert_eq!(answer.properties.assigned_client_identifier, None, "{id}");
        }
    }
}

#[test]
fn an_identifier_names_one_session_and_no_other() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    for (version, over) in everywhere() {
        let (mut client, _) = kept(&server, over, version, "name");
        client.subscribe("n", QoS::AtLeastOnce);
        client.disconnect(ReasonCode::Success);
        publisher.publish("n", b"x", QoS::AtLeastOnce, false);
        for other in ["Name", "name2", "nam"] {
            let (mut client, answer) = kept(&server, over, version, other);
            assert!(!answer.session_present, "{other} is not name ([MQTT-3.1.3-2])");
            client.expect_nothing();
            client.disconnect(ReasonCode::Success);
            forget(&server, version, other);
        }
        let (mut client, _) = kept(&server, over, version, "name");
        client.expect_message("n", b"x");
        client.disconnect(ReasonCode::Success);
        forget(&server, version, "name");
    }
}

#[test]
fn a_name_that_the_server_chose_is_a_name_like_any_other() {
    let server = Setup::new().start();
    for over in OVER {
        let mut connect = mqtt::connect(Version::V5, "");
        connect.properties.session_expiry_interval_s = Some(600);
        let (mut client, answer) = Client::try_connect(&server, over, connect);
        let name = answer.properties.assigned_client_identifier.expect("a name ([MQTT-3.1.3-7])");
        client.subscribe("n", QoS::AtLeastOnce);
        client.disconnect(ReasonCode::Success);
        let (_, answer) = kept(&server, over, Version::V5, &name);
        assert!(answer.session_present, "the session of {name}");
    }
}

/// CONNECT byte by byte: Client Identifier, Will, user name, password, each announced by its flag.
#[test]
fn the_fields_of_connect_are_taken_in_their_order() {
    let server = Setup::new().users(&[("client", "password"), ("heir", "password")]).start();
    let mut connect = mqtt::connect(Version::V5, "heir");
    connect.login = mqtt::login("heir", "password");
    let mut heir = Client::connect_with(&server, Over::Tls, connect);
    heir.subscribe("w/t", QoS::ExactlyOnce);
    // Flags: user name, password, Will at QoS 1 not retained, clean start. Neither half alone lets anybody in.
    let v4 = b"\x10\x2f\x00\x04MQTT\x04\xce\x00\x00\x00\x06fields\x00\x03w/t\x00\x04gone\x00\x06client\x00\x08password";
    let v5 = b"\x10\x31\x00\x04MQTT\x05\xce\x00\x00\x00\x00\x06fields\x00\x00\x03w/t\x00\x04gone\x00\x06client\x00\x08password";
    for over in [Over::Tls, Over::Wss] {
        for (version, bytes) in [(Version::V4, &v4[..]), (Version::V5, &v5[..])] {
            let mut client = Client::open(&server, over, version);
            client.send_bytes(bytes);
            match client.receive() {
                Packet::ConnAck(answer) => assert_eq!(answer.reason, ReasonCode::Success, "{version}"),
                other => panic!("{other:?} instead of CONNACK"),
            }
            drop(client);
            let will = heir.expect_message("w/t", b"gone");
            assert_eq!((will.qos, will.retain), (QoS::AtLeastOnce, false));
        }
    }
}

#[test]
fn nothing_after_a_refused_connect_is_heard() {
    let server = Setup::new().users(&[("client", "password")]).start();
    let mut connect = mqtt::connect(Version::V5, "listener");
    connect.login = mqtt::login("client", "password");
    let mut listener = Client::connect_with(&server, Over::Tls, connect);
    listener.subscribe("#", QoS::AtMostOnce);
    for over in [Over::Tls, Over::Wss] {
        for version in VERSIONS {
            let mut connect = mqtt::connect(version, "intruder");
            connect.login = mqtt::login("client", "wrong");
            let mut bytes = mqtt::bytes(&Packet::Connect(Box::new(connect)), version);
            let message = mqtt::publish("t", b"smuggled", QoS::AtLeastOnce, true, 1);
            bytes.extend(mqtt::bytes(&Packet::Publish(message), version));
            bytes.extend(mqtt::bytes(&Packet::PingReq, version));
            let mut client = Client::open(&server, over, version);
            client.send_bytes(&bytes);
            match client.receive() {
                Packet::ConnAck(answer) => assert_eq!(answer.reason, ReasonCode::BadUserNameOrPassword),
                other => panic!("{other:?} instead of CONNACK"),
            }
            assert!(matches!(client.try_receive(), Err(Ending::Closed(_))), "[MQTT-3.2.2-7]");
        }
    }
    listener.expect_nothing();
    listener.subscribe("t", QoS::AtMostOnce);
    listener.expect_nothing();
}

/// What a server does not announce as missing, a client may use.
#[test]
fn all_that_is_optional_is_supported() {
    let server = Setup::new().start();
    let mut heir = Client::connect(&server, Over::Tcp, Version::V5, "heir");
    heir.subscribe("will", QoS::ExactlyOnce);
    for over in OVER {
        let mut connect = mqtt::connect(Version::V5, "everything");
        connect.will = Some(mqtt::will("will", "gone", QoS::ExactlyOnce, true));
        let (mut client, answer) = Client::try_connect(&server, over, connect);
        assert_eq!(answer.reason, ReasonCode::Success, "{answer:?}");
        let properties = answer.properties;
        assert_eq!(properties.maximum_qos, None, "QoS 2");
        for available in [
            properties.retain_available,
            properties.wildcard_subscription_available,
            properties.subscription_identifiers_available,
            properties.shared_subscription_available,
        ] {
            assert_ne!(available, Some(false));
        }
        let options = SubscribeOptions { maximum_qos: QoS::ExactlyOnce, ..SubscribeOptions::default() };
        let granted = client.subscribe_with(&[("$share/g/s/+", options), ("t", options)]);
        assert_eq!(granted, [ReasonCode::GrantedQoS2; 2]);
        client.publish("t", b"x", QoS::ExactlyOnce, true);
        assert_eq!(client.expect_message("t", b"x").qos, QoS::ExactlyOnce);
        drop(client);
        assert_eq!(heir.expect_message("will", b"gone").qos, QoS::ExactlyOnce);
    }
}

#[test]
fn the_keep_alive_that_the_server_sets_is_the_one_that_counts() {
    let server = Setup::new().section("limits", "{ keep_alive_max: 5s }").start();
    // One that may stand is not replaced and is held to.
    let mut connect = mqtt::connect(Version::V5, "brief");
    connect.keep_alive_s = 1;
    let start = Instant::now();
    let (mut brief, answer) = Client::try_connect(&server, Over::Ws, connect);
    assert_eq!(answer.properties.server_keep_alive_s, None, "[MQTT-3.2.2-22]");
    let mut connect = mqtt::connect(Version::V5, "endless");
    connect.keep_alive_s = 0;
    let (mut endless, answer) = Client::try_connect(&server, Over::Tcp, connect);
    assert_eq!(answer.properties.server_keep_alive_s, Some(5));
    brief.expect_disconnect(ReasonCode::KeepAliveTimeout);
    assert!(start.elapsed() >= Duration::from_millis(1400), "{:?}", start.elapsed());
    endless.expect_disconnect(ReasonCode::KeepAliveTimeout);
    assert!(start.elapsed() >= Duration::from_millis(7300), "{:?}", start.elapsed());
}

#[test]
fn every_ping_is_answered() {
    let server = Setup::new().start();
    for (version, over) in everywhere() {
        let mut client = Client::connect(&server, over, version, "pinging");
        let pings = mqtt::bytes(&Packet::PingReq, version).repeat(20);
        client.send_bytes(&pings);
        for _ in 0..20 {
            assert_eq!(client.receive(), Packet::PingResp, "{version} over {over:?}");
        }
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn a_session_does_not_end_before_its_connection() {
    let server = Setup::new().start();
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let sessions = [(Version::V4, None), (Version::V5, None), (Version::V5, Some(0)), (Version::V5, Some(1))];
    let mut clients = Vec::new();
    for (index, (version, expiry)) in (0..).zip(sessions) {
        let mut connect = mqtt::connect(version, &format!("{index}"));
        connect.properties.session_expiry_interval_s = expiry;
        let mut client = Client::connect_with(&server, OVER[index % 2], connect);
        client.subscribe("t", QoS::AtLeastOnce);
        clients.push(client);
    }
    let_time_pass(&server, 2);
    publisher.publish("t", b"x", QoS::AtLeastOnce, false);
    for client in &mut clients {
        client.expect_message("t", b"x");
    }
}

#[test]
fn nameless_clients_are_clients_of_their_own() {
    let server = Setup::new().start();
    for (version, over) in everywhere().filter(|(version, _)| *version != Version::V3) {
        let mut clients = [(); 3].map(|()| Client::connect(&server, over, version, ""));
        for client in &mut clients {
            client.subscribe("t", QoS::AtMostOnce);
        }
        clients[1].publish("t", b"x", QoS::AtMostOnce, false);
        // Had two of them one name, one would have taken the other's place.
        for client in &mut clients {
            client.expect_message("t", b"x");
        }
    }
}

#[test]
fn a_server_that_takes_no_aliases_refuses_every_one() {
    let server = Setup::new().section("limits", "{ topic_aliases_max: 0 }").start();
    for over in OVER {
        let (mut client, answer) = Client::try_connect(&server, over, mqtt::connect(Version::V5, "alias"));
        assert_eq!(answer.properties.topic_alias_maximum.unwrap_or(0), 0);
        let mut message = mqtt::publish("t", b"x", QoS::AtMostOnce, false, 0);
        message.properties.topic_alias = std::num::NonZeroU16::new(1);
        client.send(&Packet::Publish(message));
        client.expect_disconnect(ReasonCode::TopicAliasInvalid);
    }
}

#[test]
fn whoever_finds_no_room_is_refused_and_the_others_stay() {
    let server = Setup::new().section("engine", "{ sessions_max: 2 }").start();
    let mut one = Client::connect(&server, Over::Tcp, Version::V4, "one");
    for (version, over) in everywhere() {
        let mut two = Client::connect(&server, over, version, "two");
        let mut three = Client::open(&server, over, version);
        three.send(&Packet::Connect(Box::new(mqtt::connect(version, "three"))));
        // Only 5.0 has a word for it; the others see the end of the connection, before or after "unavailable".
        match three.try_receive() {
            Ok(Packet::ConnAck(answer)) => {
                let reason =
                    if version == Version::V5 { ReasonCode::QuotaExceeded } else { ReasonCode::ServerUnavailable };
                assert_eq!((answer.reason, answer.session_present), (reason, false), "{version}");
                three.expect_closed();
            }
            Err(Ending::Closed(_)) if version != Version::V5 => {}
            other => panic!("{version}: {other:?} instead of a refusal"),
        }
        two.expect_nothing();
        two.disconnect(ReasonCode::Success);
    }
    one.expect_nothing();
}

/// One and a half times the Keep Alive is when the server acts, not some time after ([MQTT-3.1.2-22]).
#[test]
fn the_keep_alive_acts_on_time() {
    let server = Setup::new().start();
    for (version, over) in [(Version::V4, Over::Tcp), (Version::V5, Over::Ws)] {
        // The best of three: a busy machine delays everything, but not every time.
        let lasted = [(); 3].map(|()| {
            let mut connect = mqtt::connect(version, "silent");
            connect.keep_alive_s = 1;
            let mut client = Client::connect_with(&server, over, connect);
            let silent_since = Instant::now();
            client.expect_disconnect(ReasonCode::KeepAliveTimeout);
            silent_since.elapsed()
        });
        let best = lasted.iter().min().copied().unwrap_or_default();
        assert!(best < Duration::from_millis(2500), "{version} over {over:?}: {lasted:?}");
    }
}

#[test]
fn a_session_expiry_beyond_the_servers_is_told_and_one_within_is_not() {
    let server = Setup::new().section("engine", "{ session_expiry_max: 1h }").start();
    for over in OVER {
        for (wanted, told) in
            [(None, None), (Some(0), None), (Some(3600), None), (Some(3601), Some(3600)), (Some(u32::MAX), Some(3600))]
        {
            let mut connect = mqtt::connect(Version::V5, "lasting");
            connect.properties.session_expiry_interval_s = wanted;
            let (_, answer) = Client::try_connect(&server, over, connect);
            assert_eq!(answer.properties.session_expiry_interval_s, told, "{wanted:?} (MQTT 5.0 §3.2.2.3.2)");
        }
    }
}
