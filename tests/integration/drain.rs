//! A server that stops: everybody is told when to come back, in the words that they understand, and not all for the same moment.

use std::collections::BTreeSet;

use serde_json::json;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::http::{self, Answer};
use crate::harness::transport::Ending;
use crate::harness::{Client, JsonClient, Over, Server, Setup, Transport};
use crate::swap::swap;

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

fn ask_to_drain(server: &Server, query: &str, more: &str) -> Answer {
    let address = server.address("admin");
    let request = format!(
        "POST /api/v1/drain{query} HTTP/1.1\r\nHost: {address}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    http::ask(Transport::tcp(address), request.as_bytes())
}

#[test]
fn the_admin_api_stops_the_server_as_a_signal_does() {
    let mut server = Setup::new().section("limits", "{ close_timeout: 100ms }").start();
    let mut pages: Vec<_> = (0..50).map(|_| JsonClient::open(&server, Over::Wss)).collect();
    pages.iter_mut().for_each(|page| page.subscribe("news"));
    for (query, more, status) in [
        ("", "Origin: https://elsewhere.example\r\n", 403),
        ("?window_ms=soon", "", 400),
        ("?window_ms=86400001", "", 400),
    ] {
        assert_eq!(ask_to_drain(&server, query, more).status, status, "{query} {more}");
    }
    assert_eq!(http::get(server.address("admin"), "/readyz").status, 200, "nobody has asked for it");
    let answer = ask_to_drain(&server, "?window_ms=250", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"draining\":true,\"window_ms\":250}\n"));
    assert_eq!(server.wait_for_exit(), Some(0));
    let times: BTreeSet<u64> = pages.iter_mut().map(retry_after_ms).collect();
    assert!(times.len() > 10 && times.iter().all(|ms| (1000..1250).contains(ms)), "{times:?}");
    for page in &mut pages {
        assert_eq!(page.expect_closed(), Ending::Closed(Some(1012)));
    }
}

/// Whoever asks twice is told so, and probes learn that nobody new is to come. A signal still stops it at once.
#[test]
fn while_it_drains_the_server_is_not_ready_and_cannot_be_asked_again() {
    let mut server = Setup::new().section("limits", "{ drain_timeout: 1h, close_timeout: 5m }").start();
    let client = Client::connect(&server, Over::Tcp, Version::V4, "stays");
    // Half of `drain_timeout` at the most, or those who are told last are cut.
    let answer = ask_to_drain(&server, "?window_ms=86400000", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"draining\":true,\"window_ms\":1800000}\n"));
    assert_eq!(http::get(server.address("admin"), "/readyz").status, 503);
    assert_eq!(ask_to_drain(&server, "", "").status, 503);
    assert!(server.is_running());
    assert_eq!(server.terminate(), Some(0));
    drop(client);
}

/// Also where nobody is there to wait for: the answer comes before the end.
#[test]
fn whoever_asks_an_idle_server_to_stop_is_answered() {
    let mut server = Setup::new().start();
    assert_eq!(ask_to_drain(&server, "", "").status, 200);
    assert_eq!(server.wait_for_exit(), Some(0));
}

/// What a reload says of the end holds for the end that comes: both for how long goodbyes are spread over, and for how long all takes.
#[test]
fn the_end_takes_as_long_as_the_last_reload_says() {
    let limits = "{ drain_timeout: 1h, drain_window: 0s, close_timeout: 5m }";
    let setup = Setup::new().section("limits", limits).section("reload", "{ watch: false }");
    let mut server = setup.start();
    // One who does not read its goodbye would be waited for the whole hour.
    let client = Client::connect(&server, Over::Tcp, Version::V4, "stays");
    assert!(swap(&server, "drain_timeout: 1h, drain_window: 0s", "drain_timeout: 300ms, drain_window: 100ms"));
    let line = server.wait_for_line("Reloaded");
    assert!(line.contains("limits.drain_timeout") && line.contains("limits.drain_window"), "{line}");
    assert!(!server.printed().contains("needs a restart"));
    let answer = ask_to_drain(&server, "", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"draining\":true,\"window_ms\":100}\n"));
    assert_eq!(server.wait_for_exit(), Some(0));
    assert!(server.printed().contains("connections_cut=1"), "{}", server.printed());
    drop(client);
}
