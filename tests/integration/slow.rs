//! Clients that do not read: what becomes of their messages, and that nobody else notices.

use serde_json::{Value, json};
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::transport::{BINARY, Ending, frame};
use crate::harness::{Client, JsonClient, Over, Server, Setup, Transport, http, mqtt};

const FULL: &str = "tidegate_connection_outbox_full_total";

/// Large enough that a socket's buffers are soon full.
const LARGE: usize = 16 * 1024;

/// A payload of that size which begins with `number`.
fn numbered(number: usize, length: usize) -> Vec<u8> {
    format!("{number:<length$}").into_bytes()
}

fn number_of(payload: &[u8]) -> usize {
    std::str::from_utf8(payload).expect("text").trim_end().parse().expect("a number")
}

fn setup(slow_clients: &str) -> Setup {
    Setup::new().section("limits", "{ outbox_bytes_max: 64KiB }").section("slow_clients", slow_clients)
}

/// Publishes numbered messages on `topic` until `series` has grown, and `more` after that. Returns how many.
fn flood(server: &Server, publisher: &mut Client, topic: &str, series: &str, more: usize) -> usize {
    let before = server.metric(series);
    let mut count = 0;
    let mut left = more;
    while left > 0 {
        // An acknowledged one is routed.
        publisher.publish(topic, &numbered(count, LARGE), QoS::AtLeastOnce, false);
        count += 1;
        if left < more || (count.is_multiple_of(16) && server.metric(series) > before) {
            left -= 1;
        }
    }
    count
}

#[test]
fn a_stalled_reader_keeps_nothing_from_the_others() {
    for over in [Over::Tcp, Over::Wss] {
        let server = setup("{}").start();
        let mut stalled = Client::connect(&server, over, Version::V5, "stalled");
        stalled.subscribe("#", QoS::AtMostOnce);
        let mut others: Vec<Client> =
            [(Over::Tcp, QoS::AtMostOnce), (Over::Ws, QoS::AtLeastOnce), (over, QoS::AtMostOnce)]
                .into_iter()
                .enumerate()
                .map(|(at, (over, qos))| {
                    let mut other = Client::connect(&server, over, Version::V5, &format!("other-{at}"));
                    other.subscribe("news", qos);
                    other
                })
                .collect();
        let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
        let (mut count, mut left) = (0, 100);
        while left > 0 {
            let payload = numbered(count, LARGE);
            publisher.publish("news", &payload, QoS::AtLeastOnce, false);
            // Each has each, in order, however many the stalled one has missed.
            for other in &mut others {
                other.expect_message("news", &payload);
            }
            count += 1;
            if left < 100 || (count.is_multiple_of(16) && server.metric(FULL) > 0.0) {
                left -= 1;
            }
        }
        let dropped = server.metric("tidegate_engine_dropped_total{reason=\"outbox_full\"}");
        assert!(dropped >= 100.0, "{dropped} of {count}");
        // What it finds when it reads again is a beginning without gaps, and from then on everything.
        let kept = count - dropped as usize;
        for number in 0..kept {
            assert_eq!(number_of(&stalled.receive_publish().payload), number);
        }
        stalled.expect_nothing();
        publisher.publish("news", b"1", QoS::AtLeastOnce, false);
        stalled.expect_message("news", b"1");
    }
}

#[test]
fn a_slow_page_gets_the_newest_of_each_topic() {
    let rules = "{ topics: [ { filter: \"prices/#\", when_full: conflate } ] }";
    let server = setup(rules).start();
    let mut stalled = Client::connect(&server, Over::Ws, Version::V5, "stalled");
    stalled.subscribe("#", QoS::AtMostOnce);
    let mut page = JsonClient::open(&server, Over::Wss);
    page.subscribe("#");
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let topics = ["prices/a", "prices/b", "prices/c"];
    let conflated = "tidegate_engine_dropped_total{reason=\"conflated\"}";
    let mut round = 0;
    // Of the two, three topics each can wait.
    while server.metric(conflated) < 30.0 {
        round += 1;
        for topic in topics {
            publisher.publish(topic, &numbered(round, LARGE), QoS::AtLeastOnce, false);
        }
    }
    let mut seen = [0; 3];
    while seen != [round; 3] {
        let publish = stalled.receive_publish();
        let at = topics.iter().position(|topic| publish.topic.as_deref() == Some(*topic)).expect("a price");
        let number = number_of(&publish.payload);
        assert!(number > seen[at], "{number} after {}", seen[at]);
        seen[at] = number;
    }
    stalled.expect_nothing();
    let mut seen = [0; 3];
    while seen != [round; 3] {
        let message = page.receive();
        let at = topics.iter().position(|topic| message["Topic"] == **topic).expect("a price");
        seen[at] = number_of(message["Payload"].as_str().expect("text").as_bytes());
    }
    assert_eq!(server.metric("tidegate_engine_dropped_total{reason=\"queue_full_qos_0\"}"), 0.0);
}

#[test]
fn drop_oldest_keeps_what_came_last() {
    let server = setup("{ when_full: drop_oldest }").section("engine", "{ queue_bytes_max: 256KiB }").start();
    let mut stalled = Client::connect(&server, Over::Tcp, Version::V5, "stalled");
    stalled.subscribe("#", QoS::AtMostOnce);
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let dropped = "tidegate_engine_dropped_total{reason=\"queue_full_qos_0\"}";
    let count = flood(&server, &mut publisher, "news", dropped, 40);
    let listed = http::get(server.address("admin"), "/api/v1/connections").body;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let waiting = |at: usize| ["unread_bytes", "queued_bytes"].map(|key| listed["connections"][at][key].as_u64());
    let [unread, queued] = waiting(0).map(|bytes| bytes.expect("a number"));
    assert!((1..=64 * 1024).contains(&unread) && (200_000..=256 * 1024).contains(&queued), "{listed}");
    assert_eq!(waiting(1), [Some(0); 2], "the publisher reads: {listed}");
    let mut last = stalled.receive_publish();
    let mut received = 1;
    let mut gaps = 0;
    while number_of(&last.payload) + 1 < count {
        let next = stalled.receive_publish();
        gaps += usize::from(number_of(&next.payload) != number_of(&last.payload) + 1);
        last = next;
        received += 1;
    }
    assert_eq!(gaps, 1, "between what was in the outbox and what waited behind it");
    assert_eq!(count - received, server.metric(dropped) as usize, "each that is missing is counted");
}

#[test]
fn who_must_not_miss_anything_is_closed() {
    let server = setup("{ topics: [ { filter: \"alarms/#\", when_full: disconnect } ] }").start();
    let closed = "tidegate_engine_slow_disconnected_total";
    let mut publisher = Client::connect(&server, Over::Tcp, Version::V5, "publisher");
    let mut healthy = Client::connect(&server, Over::Tcp, Version::V5, "healthy");
    healthy.subscribe("end", QoS::AtMostOnce);

    let mut stalled = Client::connect(&server, Over::Tcp, Version::V5, "stalled");
    stalled.subscribe("#", QoS::AtMostOnce);
    flood(&server, &mut publisher, "alarms/fire", closed, 1);
    let disconnect = loop {
        match stalled.receive() {
            Packet::Publish(_) => {}
            Packet::Disconnect(disconnect) => break disconnect,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(disconnect.reason, ReasonCode::QuotaExceeded);
    assert!(disconnect.properties.reason_string.is_some_and(|words| words.contains("does not read")));
    assert_eq!(stalled.expect_closed(), Ending::Closed(None));

    let mut page = JsonClient::open(&server, Over::Ws);
    page.subscribe("#");
    flood(&server, &mut publisher, "alarms/fire", closed, 1);
    loop {
        let message = page.receive();
        if message["Action"] == "error" {
            assert_eq!(message["Code"], json!("quota"), "{message}");
            break;
        }
    }
    assert_eq!(page.expect_closed(), Ending::Closed(Some(1008)));
    publisher.publish("end", b"", QoS::AtLeastOnce, false);
    healthy.expect_message("end", b"");
    assert_eq!(server.metric(closed), 2.0);
    assert_eq!(server.metric("tidegate_connection_closed_total{reason=\"Quota exceeded\"}"), 2.0);
}

/// Idle clients arrive through a load balancer that says whence they are, so that the log can be told who was shed.
#[test]
fn when_memory_is_used_up_newcomers_go_and_who_is_in_stays() {
    let server = Setup::new()
        .section("limits", "{ memory_max: 4MiB, outbox_bytes_max: 4MiB }")
        .section("trusted_proxies", "[127.0.0.1/32]")
        .listeners(["http://127.0.0.1:0", "{ url: \"mqtt://127.0.0.1:0\", proxy_protocol: required }"])
        .start();
    let connect = |name: &str| Client::connect(&server, Over::Ws, Version::V5, name);
    let mut publisher = connect("publisher");
    let mut healthy = connect("healthy");
    healthy.subscribe("news", QoS::AtMostOnce);
    let mut stalled: Vec<Client> = (0..4).map(|at| connect(&format!("stalled-{at}"))).collect();
    stalled.iter_mut().for_each(|client| assert_eq!(client.subscribe("#", QoS::AtMostOnce), ReasonCode::Success));
    let mut publish = |number: usize| {
        let payload = numbered(number, LARGE);
        publisher.publish("news", &payload, QoS::AtLeastOnce, false);
        healthy.expect_message("news", &payload);
    };
    // Outboxes of those who do not read take three quarters, and hardly more, however much comes.
    let mut count = 0;
    while server.metric(BOOKED) < 3.0 * MIB || count % 256 != 0 {
        (0..64).for_each(|at| publish(count + at));
        count += 64;
    }
    assert!(server.metric(BOOKED) < 3.6 * MIB, "{}", server.metric(BOOKED));
    assert_eq!(server.metric(OVERLOADED), 0.0);

    let idle: Vec<Transport> = (1..=3)
        .map(|last| {
            let mut transport = Transport::tcp(server.address("mqtt"));
            transport.write(format!("PROXY TCP4 203.0.113.{last} 192.0.2.1 40000 1883\r\n").as_bytes());
            let accepted = "tidegate_edge_proxy_headers_accepted_total";
            server.wait_for_metric(accepted, |value| value == f64::from(last));
            transport
        })
        .collect();
    // Four messages that do not come to their end are more than the rest, and hold on however many readers are cut.
    let mut uploaders: Vec<Client> = (0..4).map(|at| connect(&format!("uploader-{at}"))).collect();
    for uploader in &mut uploaders {
        let upload = mqtt::publish("upload", &[0; 3 << 19], QoS::AtMostOnce, false, 0);
        let upload = frame(true, BINARY, &mqtt::bytes(&Packet::Publish(upload), Version::V5));
        uploader.transport.write(&upload[..upload.len() - 1]);
    }
    server.wait_for_metric(OVERLOADED, |value| value == 1.0);
    let shed =
        [3, 2, 1].map(|last| server.wait_for_line(&format!("connect_refused ip=203.0.113.{last} reason=memory ")));
    let printed = server.printed();
    let places = shed.map(|line| printed.find(&line).expect("it was printed"));
    assert!(places.is_sorted(), "the newest first");
    drop(idle);
    assert_eq!(server.metric("tidegate_edge_overload_shed_total{reason=\"memory\"}"), 3.0);
    assert_eq!(Transport::turned_away(server.address("http")), Ending::Cut);
    server.wait_for_line("connect_refused ip=127.0.0.1 reason=memory ");
    assert!(server.metric("tidegate_edge_overload_refused_total{reason=\"memory\"}") >= 1.0);
    let readiness = http::get(server.address("admin"), "/readyz");
    assert_eq!((readiness.status, readiness.body.as_str()), (503, "overloaded\n"));

    // Who does not read goes when that does not help; everybody else is served.
    server.wait_for_metric("tidegate_connection_readers_cut_total", |value| value == 4.0);
    publish(count);
    for uploader in &mut uploaders {
        uploader.transport.write(&[0]);
        uploader.expect_nothing();
    }
    server.wait_for_metric(OVERLOADED, |value| value == 0.0);
    connect("newcomer").disconnect(ReasonCode::Success);
    assert_eq!(http::get(server.address("admin"), "/readyz").status, 200);
    drop(stalled);
    server.wait_for_metric(BOOKED, |value| value == 0.0);
}

const MIB: f64 = 1024.0 * 1024.0;
const BOOKED: &str = "tidegate_memory_booked_bytes";
const OVERLOADED: &str = "tidegate_overloaded";
