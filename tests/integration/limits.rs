//! What bounds a client as a whole: the rates and counts of its roles, how many connections a user has, and what becomes of a Client
//! Identifier that two want.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::transport::Ending;
use crate::harness::{Client, JsonClient, Over, PATIENCE, Server, Setup, mqtt};
use crate::judges::judge::{Judge, Make};

const POLICY: &str = r##"
version: 1
roles:
  everybody: [ { topic: "#", rw: rw } ]
  slow: []
  heavy: []
  pair: []
limits:
  slow: { messages_per_s: 50, subscriptions_max: 1 }
  heavy: { bytes_per_s: 10KiB }
  pair: { connections_max: 2 }
users:
  "*": [everybody]
  anonymous: [everybody]
  slow: [slow]
  heavy: [heavy]
  pair: [pair]
"##;

const USERS: [(&str, &str); 4] = [("slow", "s"), ("heavy", "h"), ("pair", "p"), ("free", "f")];

fn setup() -> Setup {
    Setup::new().users(&USERS).policy(POLICY)
}

fn log_in(user: &str, version: Version, client_id: &str) -> Connect {
    let password = USERS.iter().find(|(name, _)| *name == user).expect("a known user").1;
    Connect { login: mqtt::login(user, password), ..mqtt::connect(version, client_id) }
}

fn enter(server: &Server, over: Over, user: &str, client_id: &str) -> Client {
    Client::connect_with(server, over, log_in(user, Version::V5, client_id))
}

const SLOWED: &str = "tidegate_connection_publishers_slowed_total";

/// At 50 a second, beyond the 50 of the first: two seconds.
const FLOOD: usize = 150;

#[test]
fn a_flood_is_slowed_and_loses_nothing_and_delays_nobody() {
    for over in [Over::Tcp, Over::Wss] {
        let server = setup().start();
        let mut listener = enter(&server, Over::Tcp, "free", "listener");
        listener.subscribe("flood", QoS::AtMostOnce);
        let mut flooder = enter(&server, over, "slow", "flooder");
        let start = Instant::now();
        for number in 0..FLOOD {
            let payload = number.to_string();
            flooder.send(&Packet::Publish(mqtt::publish("flood", payload.as_bytes(), QoS::AtMostOnce, false, 0)));
        }
        flooder.send(&Packet::PingReq);
        let is_over = AtomicBool::new(false);
        let others = std::thread::scope(|scope| {
            let is_over = &is_over;
            let mut player = enter(&server, over, "free", "player");
            player.subscribe("ping-pong", QoS::AtMostOnce);
            let game = scope.spawn(move || {
                let mut rounds = 0;
                while !is_over.load(Ordering::Relaxed) {
                    player.publish("ping-pong", b"", QoS::AtMostOnce, false);
                    player.expect_message("ping-pong", b"");
                    rounds += 1;
                }
                rounds
            });
            for number in 0..FLOOD {
                listener.expect_message("flood", number.to_string().as_bytes());
            }
            is_over.store(true, Ordering::Relaxed);
            game.join().expect("no panic")
        });
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1900), "{FLOOD} messages at 50 a second after {took:?}");
        assert!(others >= 20, "{others} rounds of others in {took:?}");
        assert_eq!(flooder.receive(), Packet::PingResp, "it was heard in the end");
        assert_eq!(server.metric(SLOWED), 1.0);
    }
}

#[test]
fn a_client_that_is_held_back_is_not_silent() {
    let server = setup().start();
    for over in [Over::Tcp, Over::Ws] {
        let mut connect = log_in("heavy", Version::V5, "heavy");
        connect.keep_alive_s = 1;
        let mut client = Client::connect_with(&server, over, connect);
        let start = Instant::now();
        // Paid for in four seconds, one of which is the burst.
        client.publish("x", &[0; 40 * 1024], QoS::AtMostOnce, false);
        client.send(&Packet::PingReq);
        assert_eq!(client.receive(), Packet::PingResp);
        assert!(start.elapsed() >= Duration::from_millis(2900), "{:?}", start.elapsed());
        client.disconnect(ReasonCode::Success);
    }
}

#[test]
fn a_page_is_told_once_and_closed_when_it_goes_on() {
    let server = setup().section("limits", "{ rate_patience: 1s }").start();
    let mut page = JsonClient::log_in(&server, Over::Wss, "slow", "s");
    for number in 0..1000 {
        page.publish("x", &number.to_string());
    }
    let told = page.expect(&json!({ "Action": "error", "Code": "rate_limited" }));
    assert!(told.get("Topic").is_none(), "{told}");
    // The second is the goodbye.
    page.expect(&json!({ "Action": "error", "Code": "rate_limited" }));
    assert_eq!(page.expect_closed(), Ending::Closed(Some(1008)));
    server.wait_for_metric("tidegate_connection_closed_total{reason=\"Message rate too high\"}", |value| value == 1.0);
    // In MQTT it is a Reason Code.
    let mut client = enter(&server, Over::Tcp, "slow", "flooder");
    let flood = mqtt::bytes(&Packet::Publish(mqtt::publish("x", b"", QoS::AtMostOnce, false, 0)), Version::V5);
    client.send_bytes(&flood.repeat(1000));
    client.expect_disconnect(ReasonCode::MessageRateTooHigh);
}

#[test]
fn libraries_wait_for_their_acknowledgements() {
    let server = setup().section("limits", "{ rate_patience: 1s }").start();
    for (make, version, scheme) in
        [(Make::Paho, 4, "mqtt"), (Make::Paho, 5, "ws"), (Make::MqttJs, 4, "ws"), (Make::MqttJs, 5, "mqtt")]
    {
        let mut judge = Judge::start(&server, make, version, scheme);
        judge.connect("flooder", json!({ "username": "slow", "password": "s", "keepAlive": 5 }));
        judge.subscribe("flooder", "echo", 1, json!({}));
        for number in 0..FLOOD {
            judge.begin_publish("flooder", "echo", &number.to_string(), 1, json!({}));
        }
        for number in 0..FLOOD {
            judge.expect_message("flooder", &number.to_string());
            assert_eq!(judge.expect("flooder", "published")["reason"], 0, "{}", judge.name());
        }
        // Neither closed nor connected again.
        judge.disconnect("flooder", json!({}));
    }
    assert_eq!(server.metric("tidegate_connection_closed_total{reason=\"Message rate too high\"}"), 0.0);
    server.wait_for_metric(SLOWED, |value| value >= 4.0);
}

#[test]
fn a_role_says_how_many_subscriptions_a_session_has() {
    let server = setup().start();
    for (version, refusal) in [(Version::V4, ReasonCode::UnspecifiedError), (Version::V5, ReasonCode::QuotaExceeded)] {
        let mut client = Client::connect_with(&server, Over::Tcp, log_in("slow", version, "subscriber"));
        assert_eq!(client.subscribe("one", QoS::AtMostOnce), ReasonCode::Success);
        assert_eq!(client.subscribe("two", QoS::AtMostOnce), refusal);
        assert_eq!(client.subscribe("one", QoS::AtLeastOnce), ReasonCode::GrantedQoS1);
    }
    let mut page = JsonClient::log_in(&server, Over::Ws, "slow", "s");
    page.subscribe("one");
    page.send(&json!({ "Action": "subscribe", "Topic": "two", "Id": 2 }));
    page.expect(&json!({ "Action": "error", "Code": "quota", "Id": 2 }));
}

#[test]
fn a_user_has_so_many_connections_whatever_they_speak() {
    let server = setup().section("limits", "{ connections_per_user_max: 1 }").start();
    let _first = Client::connect_with(&server, Over::Tcp, log_in("pair", Version::V4, "first"));
    let mut second = JsonClient::log_in(&server, Over::Wss, "pair", "p");
    for (version, refusal) in [(Version::V3, 3), (Version::V4, 3), (Version::V5, 0x97)] {
        let mut third = Client::open(&server, Over::Ws, version);
        third.send(&Packet::Connect(Box::new(log_in("pair", version, "third"))));
        let frame = third.transport.read_frame().expect("CONNACK");
        assert_eq!((frame.payload[0], frame.payload[3]), (0x20, refusal), "{version}: {:?}", frame.payload);
    }
    let mut page = JsonClient::open(&server, Over::Wss);
    page.send(&json!({ "Action": "connect", "Username": "pair", "Password": "p", "Id": 1 }));
    page.expect(&json!({ "Action": "error", "Code": "quota" }));
    server.wait_for_metric("tidegate_connection_connects_refused_total{reason=\"user_full\"}", |value| value == 4.0);
    // Who takes over is none more, and others have connections of their own, as many as the configuration says.
    let _heir = Client::connect_with(&server, Over::Tcp, log_in("pair", Version::V5, "first"));
    let _free = enter(&server, Over::Tcp, "free", "free");
    let (_, answer) = Client::try_connect(&server, Over::Tcp, log_in("free", Version::V5, "more"));
    assert_eq!(answer.reason, ReasonCode::QuotaExceeded);
    // A place is free as soon as the server has seen its connection go.
    second.expect_nothing();
    drop(second);
    let deadline = Instant::now() + PATIENCE;
    while Client::try_connect(&server, Over::Tcp, log_in("pair", Version::V5, "third")).1.reason != ReasonCode::Success
    {
        assert!(Instant::now() < deadline, "the place is not free again");
    }
}

const REFUSED_TAKEOVERS: &str = "tidegate_connection_connects_refused_total{reason=\"takeovers\"}";

#[test]
fn two_tabs_with_one_client_id_come_to_rest() {
    for version in [4, 5] {
        let server = setup().section("limits", "{ takeovers_max: 4 }").start();
        let mut tabs = Judge::start(&server, Make::MqttJs, version, "ws");
        for tab in ["tab 1", "tab 2"] {
            let options =
                json!({ "username": "free", "password": "f", "id": "kiosk", "reconnect": true, "clean": true });
            tabs.begin_connect(tab, options);
        }
        // Each comes back as soon as it is closed; after four times the one that has it keeps it, and MQTT.js gives up when refused.
        server.wait_for_metric(REFUSED_TAKEOVERS, |value| value >= 1.0);
        // A page that does not give up is refused for as long as it tries.
        for _ in 0..20 {
            let (_, answer) = Client::try_connect(&server, Over::Ws, log_in("free", Version::V5, "kiosk"));
            assert_eq!(answer.reason, ReasonCode::ConnectionRateExceeded);
        }
        assert_eq!(server.metric("tidegate_engine_takeovers_total"), 4.0);
        server.wait_for_metric("tidegate_engine_sessions_connected", |value| value == 1.0);
    }
}

#[test]
fn each_listener_has_its_own_idea_of_a_client_id_that_is_taken() {
    let setup = setup().listeners([
        "https://127.0.0.1:0",
        "{ url: \"http://127.0.0.1:0\", duplicate_client_id: suffix }",
        "{ url: \"mqtt://127.0.0.1:0\", duplicate_client_id: takeover }",
    ]);
    let server = setup.section("mqtt", "{ duplicate_client_id: reject }").start();
    let mut first = enter(&server, Over::Tcp, "free", "kiosk");

    // https: what holds for all.
    for (version, refusal) in [(Version::V3, 2), (Version::V4, 2), (Version::V5, 0x85)] {
        let mut refused = Client::open(&server, Over::Wss, version);
        refused.send(&Packet::Connect(Box::new(log_in("free", version, "kiosk"))));
        let frame = refused.transport.read_frame().expect("CONNACK");
        assert_eq!((frame.payload[0], frame.payload[3]), (0x20, refusal), "{version}: {:?}", frame.payload);
    }
    let mut page = JsonClient::open(&server, Over::Wss);
    let connect = json!({ "Action": "connect", "Username": "free", "Password": "f", "ClientId": "kiosk", "Id": 1 });
    page.send(&connect);
    page.expect(&json!({ "Action": "error", "Code": "client_id_invalid", "Id": 1 }));

    // http: one of its own.
    let mut page = JsonClient::open(&server, Over::Ws);
    page.send(&connect);
    page.expect(&json!({ "Action": "ack", "Id": 1, "ClientId": "kiosk-2" }));
    let mut tabs = Judge::start(&server, Make::MqttJs, 5, "ws");
    let login = json!({ "username": "free", "password": "f", "id": "kiosk", "clean": true });
    assert_eq!(tabs.connect("tab", login)["assignedIdentifier"], "kiosk-3");
    let (mut old, answer) = Client::try_connect(&server, Over::Ws, log_in("free", Version::V4, "kiosk"));
    assert_eq!(answer.reason, ReasonCode::Success);
    first.subscribe("all", QoS::AtMostOnce);
    old.subscribe("all", QoS::AtMostOnce);
    first.publish("all", b"each has its session", QoS::AtMostOnce, false);
    first.expect_message("all", b"each has its session");
    old.expect_message("all", b"each has its session");
    page.expect_nothing();

    // mqtt: as the standard says.
    let _heir = enter(&server, Over::Tcp, "free", "kiosk");
    first.expect_disconnect(ReasonCode::SessionTakenOver);
}
