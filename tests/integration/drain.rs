//! A server that stops: everybody is told when to come back, in the words that they understand, and not all for the same moment.

use std::collections::BTreeSet;

use serde_json::json;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::transport::Ending;
use crate::harness::{Client, JsonClient, Over, Setup};

/// What a client of the JSON dialect was told last.
fn retry_after_ms(client: &mut JsonClient) -> u64 {
    let closing = client.expect(&json!({ "Action": "closing" }));
    closing["RetryAfterMs"].as_u64().unwrap_or_else(|| panic!("{closing}"))
}

#[test]
fn pages_are_told_when_to_come_back_and_not_all_for_the_same_moment() {
    let mut server = Setup::new().section("limits", "{ close_timeout: 100ms }").start();
    let mut pages: Vec<_> = (0..50).map(|_| JsonClient::open(&server, Over::Wss)).collect();
    pages.iter_mut().for_each(|page| page.subscribe("news"));
    assert_eq!(server.terminate(), Some(0));
    let times: BTreeSet<u64> = pages.iter_mut().map(retry_after_ms).collect();
    // Fifty out of five hundred milliseconds.
    assert!(times.len() > 20, "{times:?}");
    assert!(times.iter().all(|ms| (1000..1500).contains(ms)), "{times:?}");
    for page in &mut pages {
        assert_eq!(page.expect_closed(), Ending::Closed(Some(1012)));
    }
}

#[test]
fn mqtt_clients_are_told_in_a_user_property() {
    let mut server = Setup::new().section("limits", "{ close_timeout: 100ms }").start();
    let mut client = Client::connect(&server, Over::Tcp, Version::V5, "c");
    assert_eq!(server.terminate(), Some(0));
    let Packet::Disconnect(disconnect) = client.receive() else { panic!("no DISCONNECT") };
    assert_eq!(disconnect.reason, ReasonCode::ServerShuttingDown);
    let [(name, value)] = &*disconnect.properties.user_properties else { panic!("{disconnect:?}") };
    assert_eq!(&**name, "retry-after-ms");
    assert!((1000..1010).contains(&value.parse().unwrap()), "{value}");
}

/// A client that does not read its goodbye is waited for, unless the operator asks again.
#[test]
fn a_second_signal_stops_at_once() {
    let mut server = Setup::new().section("limits", "{ drain_timeout: 1h, close_timeout: 5m }").start();
    let client = Client::connect(&server, Over::Tcp, Version::V4, "stays");
    server.signal("TERM");
    server.wait_for_line("SIGTERM");
    assert!(server.is_running());
    assert_eq!(server.terminate(), Some(0));
    drop(client);
}

/// Nobody is lost who was told: what was in the server before the goodbye comes before it.
#[test]
fn what_was_sent_before_the_goodbye_arrives_before_it() {
    let mut server = Setup::new().section("limits", "{ close_timeout: 100ms }").start();
    let mut reader = Client::connect(&server, Over::Tcp, Version::V5, "reader");
    reader.subscribe("news", QoS::AtLeastOnce);
    let mut writer = Client::connect(&server, Over::Tcp, Version::V5, "writer");
    for number in 0..100 {
        assert_eq!(
            writer.publish("news", format!("{number}").as_bytes(), QoS::AtLeastOnce, false),
            ReasonCode::Success
        );
    }
    assert_eq!(server.terminate(), Some(0));
    // The window of unacknowledged messages, then the goodbye.
    for number in 0..64 {
        assert_eq!(reader.receive_publish().payload, format!("{number}").as_bytes());
    }
    let Packet::Disconnect(disconnect) = reader.receive() else { panic!("no DISCONNECT") };
    assert_eq!(disconnect.reason, ReasonCode::ServerShuttingDown);
}
