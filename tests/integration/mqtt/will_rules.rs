//! What the standard says about the Will Message and `will` does not show (MQTT 5.0 §3.1.2.5, §3.1.3.2).

use std::time::{Duration, Instant};

use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::{QoS, ReasonCode, Version};

use super::{OVER, everywhere, forget, kept, let_time_pass};
use crate::harness::{Client, Over, Server, Setup, mqtt};

fn heir(server: &Server) -> Client {
    let mut heir = Client::connect(server, Over::Tcp, Version::V5, "heir");
    heir.subscribe("will", QoS::ExactlyOnce);
    heir
}

/// A CONNECT of 5.0 whose Will waits `delay_s` and whose session is kept for `expiry_s`.
fn delayed(delay_s: u32, expiry_s: u32) -> Connect {
    let mut connect = mqtt::connect(Version::V5, "mortal");
    connect.clean_start = false;
    connect.properties.session_expiry_interval_s = Some(expiry_s);
    let mut will = mqtt::will("will", "gone", QoS::AtLeastOnce, false);
    will.properties.delay_interval_s = delay_s;
    connect.will = Some(will);
    connect
}

#[test]
fn a_delayed_will_comes_in_its_time_and_not_before() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    for over in OVER {
        let client = Client::connect_with(&server, over, delayed(2, 600));
        let cut = Instant::now();
        drop(client);
        heir.expect_message("will", b"gone");
        let waited = cut.elapsed();
        assert!(waited >= Duration::from_secs(2), "only {waited:?}");
        assert!(waited < Duration::from_secs(10), "{waited:?}");
        forget(&server, Version::V5, "mortal");
    }
    heir.expect_nothing();
}

#[test]
fn the_end_of_its_session_cuts_a_wills_delay_short() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    for over in OVER {
        let client = Client::connect_with(&server, over, delayed(600, 1));
        let cut = Instant::now();
        drop(client);
        heir.expect_message("will", b"gone");
        let waited = cut.elapsed();
        assert!(waited >= Duration::from_secs(1), "only {waited:?}");
        assert!(waited < Duration::from_secs(10), "{waited:?}");
        // A session that is discarded has ended, too.
        drop(Client::connect_with(&server, over, delayed(600, 600)));
        server.wait_for_metric("tidegate_engine_sessions_connected", |count| count == 1.0);
        let client = Client::connect(&server, over, Version::V5, "mortal");
        heir.expect_message("will", b"gone");
        client.disconnect(ReasonCode::Success);
    }
    heir.expect_nothing();
}

#[test]
fn coming_back_in_time_keeps_a_delayed_will_unsent() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    for over in OVER {
        drop(Client::connect_with(&server, over, delayed(2, 600)));
        let (client, _) = kept(&server, over, Version::V5, "mortal");
        let_time_pass(&server, 2);
        heir.expect_nothing();
        client.disconnect(ReasonCode::Success);
        forget(&server, Version::V5, "mortal");
    }
}

#[test]
fn a_will_says_all_that_a_message_says() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    for over in OVER {
        let mut connect = delayed(0, 0);
        let will = connect.will.as_mut().expect("just made");
        // Payload Format Indicator, Content Type, Response Topic, Correlation Data, and User Properties of which two share a name.
        let properties = b"\x01\x01\x03\x00\x04text\x08\x00\x05reply\x09\x00\x02\x00\xff\
            \x26\x00\x01b\x00\x011\x26\x00\x01a\x00\x012\x26\x00\x01b\x00\x013";
        will.properties.forwarded = properties.into();
        will.properties.message_expiry_interval_s = Some(600);
        drop(Client::connect_with(&server, over, connect));
        let message = heir.expect_message("will", b"gone");
        // Its delay is nobody's business but the server's: the decoder would refuse it in a PUBLISH.
        assert_eq!(&message.properties.forwarded[..], &properties[..], "[MQTT-3.1.3-10]");
        let left = message.properties.message_expiry_interval_s.expect("it expires");
        assert!((590..=600).contains(&left), "{left} s");
    }
}

#[test]
fn a_will_is_retained_only_if_it_says_so() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    for (version, over) in everywhere() {
        for retain in [false, true] {
            let mut connect = mqtt::connect(version, "mortal");
            connect.will = Some(mqtt::will("will", "gone", QoS::AtLeastOnce, retain));
            drop(Client::connect_with(&server, over, connect));
            assert!(!heir.expect_message("will", b"gone").retain, "it came live");
            let mut late = Client::connect(&server, over, version, "late");
            late.subscribe("will", QoS::AtMostOnce);
            if retain {
                assert!(late.expect_message("will", b"gone").retain);
                late.publish("will", b"", QoS::AtLeastOnce, true);
                late.expect_message("will", b"");
                heir.expect_message("will", b"");
            }
            late.expect_nothing();
            late.disconnect(ReasonCode::Success);
        }
    }
}

#[test]
fn a_will_is_published_once_and_only_for_who_left_one() {
    let server = Setup::new().start();
    let mut heir = heir(&server);
    for (version, over) in everywhere() {
        let mut connect = mqtt::connect(version, "mortal");
        connect.clean_start = false;
        connect.properties.session_expiry_interval_s = (version == Version::V5).then_some(600);
        connect.will = Some(mqtt::will("will", "gone", QoS::ExactlyOnce, false));
        drop(Client::connect_with(&server, over, connect));
        heir.expect_message("will", b"gone");
        // The same session without a Will: cut, and said farewell to.
        drop(kept(&server, over, version, "mortal"));
        server.wait_for_metric("tidegate_engine_sessions_connected", |count| count == 1.0);
        kept(&server, over, version, "mortal").0.disconnect(ReasonCode::Success);
        forget(&server, version, "mortal");
        heir.expect_nothing();
    }
}
