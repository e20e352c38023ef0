//! How messages get to one client: window, queue, acknowledgements, redelivery.

use std::time::Duration;

use crate::engine::message::Acknowledgement::{Complete, PubAck, PubComp, PubRec, PubRecFailed};
use crate::engine::tests::world::{Sent, World, id, message};
use crate::engine::{EngineConfig, QueueFull};
use crate::mqtt::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

#[test]
fn qos_1_is_complete_with_puback() {
    let mut world = World::new();
    let client = world.connect("a");
    world.subscribe(&client, "t", AtLeastOnce);
    world.publish("t", "1", AtLeastOnce);

    assert!(!world.acknowledge(&client, 1, PubRec), "not what it awaits");
    assert!(!world.acknowledge(&client, 2, PubAck), "not in use");
    assert!(world.acknowledge(&client, 1, PubAck));
    assert!(!world.acknowledge(&client, 1, PubAck));
}

#[test]
fn qos_2_takes_two_steps() {
    let mut world = World::new();
    let client = world.connect("a");
    world.subscribe(&client, "t", ExactlyOnce);
    world.publish("t", "1", ExactlyOnce);
    world.publish("t", "2", ExactlyOnce);
    client.mailbox.take();

    assert!(!world.acknowledge(&client, 1, PubComp));
    assert!(world.acknowledge(&client, 1, PubRec));
    assert_eq!(client.mailbox.take(), [Sent::PubRel(1)]);
    assert!(world.acknowledge(&client, 1, PubRec), "a repeated PUBREC gets its PUBREL again");
    assert_eq!(client.mailbox.take(), [Sent::PubRel(1)]);
    assert!(world.acknowledge(&client, 1, PubComp));
    assert!(world.acknowledge(&client, 2, PubRecFailed));
    assert!(!world.acknowledge(&client, 2, PubComp));
    assert!(client.mailbox.take().is_empty());
}

#[test]
fn one_acknowledgement_completes_either_qos_for_dialects_without_a_second() {
    let mut world = World::new();
    let client = world.connect("a");
    world.subscribe(&client, "t", ExactlyOnce);
    world.publish("t", "1", ExactlyOnce);
    world.publish("t", "2", AtLeastOnce);

    assert!(world.acknowledge(&client, 1, Complete));
    assert!(world.acknowledge(&client, 2, Complete));
    assert!(!world.acknowledge(&client, 2, Complete));
}

#[test]
fn the_window_is_the_smaller_of_both_and_the_rest_waits_in_order() {
    let mut world = World::with(EngineConfig { inflight_max: 3, ..EngineConfig::default() });
    let client = world.connect_with("a", |open| open.receive_maximum = 2);
    world.subscribe(&client, "t", AtLeastOnce);
    for payload in ["1", "2", "3", "4"] {
        world.publish("t", payload, AtLeastOnce);
    }
    world.publish("t", "late, QoS 0", AtMostOnce);
    assert_eq!(client.mailbox.payloads(), ["t=1", "t=2"]);

    assert!(world.acknowledge(&client, 2, PubAck));
    assert_eq!(client.mailbox.payloads(), ["t=3"]);
    assert!(world.acknowledge(&client, 1, PubAck));
    assert_eq!(client.mailbox.payloads(), ["t=4", "t=late, QoS 0"]);

    let greedy = world.connect("b");
    world.subscribe(&greedy, "u", AtLeastOnce);
    for payload in ["1", "2", "3", "4"] {
        world.publish("u", payload, AtLeastOnce);
    }
    assert_eq!(greedy.mailbox.take().len(), 3);
}

/// MQTT 5.0 §4.4
#[test]
fn a_reconnect_repeats_what_was_left_in_its_order() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    world.subscribe(&client, "t", ExactlyOnce);
    for (payload, qos) in [("1", AtLeastOnce), ("2", ExactlyOnce), ("3", ExactlyOnce), ("4", AtLeastOnce)] {
        world.publish("t", payload, qos);
    }
    world.acknowledge(&client, 3, PubRec);
    world.acknowledge(&client, 1, PubAck);
    world.lose(client);
    world.publish("t", "5, while away", AtLeastOnce);
    world.publish("t", "QoS 0 while away", AtMostOnce);

    let client = world.open("a", |open| {
        open.clean_start = false;
        open.expiry_interval_s = 3600;
    });
    let client = client.expect("its own session");
    assert!(client.session_present);
    world.publish("t", "6, before the first pump", AtMostOnce);
    assert!(client.mailbox.take().is_empty(), "CONNACK goes first");
    world.pump(&client);

    assert_eq!(
        client.mailbox.payloads(),
        ["!t=2", "PUBREL 3", "!t=4", "t=5, while away", "t=6, before the first pump"]
    );
    for (packet_id, what) in [(2, PubRec), (2, PubComp), (3, PubComp), (4, PubAck), (5, PubAck)] {
        assert!(world.acknowledge(&client, packet_id, what));
    }
}

#[test]
fn redelivery_respects_a_smaller_receive_maximum() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    world.subscribe(&client, "t", AtLeastOnce);
    for payload in ["1", "2", "3"] {
        world.publish("t", payload, AtLeastOnce);
    }
    world.lose(client);
    let client = world.connect_with("a", |open| {
        open.clean_start = false;
        open.receive_maximum = 1;
    });
    assert_eq!(client.mailbox.payloads(), ["!t=1"]);
    world.publish("t", "4", AtLeastOnce);
    for (packet_id, next) in [(1, "!t=2"), (2, "!t=3"), (3, "t=4")] {
        world.acknowledge(&client, packet_id, PubAck);
        assert_eq!(client.mailbox.payloads(), [next]);
    }
}

#[test]
fn nothing_passes_what_is_still_to_be_repeated() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    world.subscribe(&client, "t", AtLeastOnce);
    for payload in ["1", "2"] {
        world.publish("t", payload, AtLeastOnce);
    }
    world.lose(client);
    let kept = |open: &mut crate::engine::message::OpenSession| open.clean_start = false;
    let client = world.open("a", kept).expect("its own session");
    client.mailbox.set_room(1);
    world.pump(&client);
    client.mailbox.set_room(10);
    world.publish("t", "3", AtLeastOnce);
    world.pump(&client);
    assert_eq!(client.mailbox.payloads(), ["!t=1", "!t=2", "t=3"]);
}

#[test]
fn a_full_outbox_costs_qos_0_and_delays_the_rest() {
    let mut world = World::new();
    let client = world.connect("a");
    world.subscribe(&client, "t", AtLeastOnce);
    client.mailbox.set_room(1);
    for (payload, qos) in [("1", AtMostOnce), ("lost", AtMostOnce), ("2", AtLeastOnce), ("behind it", AtMostOnce)] {
        world.publish("t", payload, qos);
    }
    assert_eq!(client.mailbox.payloads(), ["t=1"]);

    client.mailbox.set_room(1);
    world.pump(&client);
    assert_eq!(client.mailbox.payloads(), ["t=2"]);
    client.mailbox.set_room(10);
    world.pump(&client);
    assert_eq!(client.mailbox.payloads(), ["t=behind it"]);
    assert_eq!(world.engine.counters().dropped_outbox_full.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_full_queue_gives_up_qos_0_first_and_then_takes_no_more() {
    let mut world = World::with(EngineConfig { queue_bytes_max: 4 * 66, ..EngineConfig::default() });
    let client = world.connect("a");
    world.subscribe(&client, "t", AtLeastOnce);
    client.mailbox.set_room(0);
    for (payload, qos) in [("1", AtLeastOnce), ("a", AtMostOnce), ("2", AtLeastOnce), ("b", AtMostOnce)] {
        world.publish("t", payload, qos);
    }
    for (payload, qos) in [("c", AtMostOnce), ("3", AtLeastOnce), ("4", AtLeastOnce), ("5", AtLeastOnce)] {
        world.publish("t", payload, qos);
    }
    client.mailbox.set_room(10);
    world.pump(&client);

    assert_eq!(client.mailbox.payloads(), ["t=1", "t=2", "t=3", "t=4"]);
    let counters = world.engine.counters();
    assert_eq!(counters.dropped_queue_full_qos_0.load(std::sync::atomic::Ordering::Relaxed), 3);
    assert_eq!(counters.dropped_queue_full.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// What is left of a queue with room for four messages after `arriving`, and how many were dropped at QoS 0 and above.
fn left_in_queue(rule: QueueFull, arriving: &[(&str, crate::mqtt::QoS)]) -> (Vec<String>, u64, u64) {
    let config = EngineConfig { queue_bytes_max: 4 * 66, queue_full: rule, ..EngineConfig::default() };
    let mut world = World::with(config);
    let client = world.connect("a");
    world.subscribe(&client, "t", ExactlyOnce);
    client.mailbox.set_room(0);
    for (payload, qos) in arriving {
        world.publish("t", payload, *qos);
        world.engine.check_invariants();
    }
    client.mailbox.set_room(10);
    world.pump(&client);
    let counters = world.engine.counters();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    (client.mailbox.payloads(), count(&counters.dropped_queue_full_qos_0), count(&counters.dropped_queue_full))
}

#[test]
fn a_full_queue_may_lose_the_oldest_instead() {
    let arriving = [
        ("1", AtLeastOnce),
        ("a", AtMostOnce),
        ("2", ExactlyOnce),
        ("b", AtMostOnce),
        ("c", AtMostOnce),
        ("3", AtLeastOnce),
        ("4", AtLeastOnce),
        ("5", AtLeastOnce),
        ("d", AtMostOnce),
        ("6", AtLeastOnce),
    ];
    let expect = |payloads: &[&str]| payloads.iter().map(|payload| format!("t={payload}")).collect::<Vec<_>>();
    assert_eq!(left_in_queue(QueueFull::DropOldest, &arriving), (expect(&["3", "4", "5", "6"]), 4, 2));
    assert_eq!(left_in_queue(QueueFull::DropNewest, &arriving), (expect(&["1", "2", "3", "4"]), 4, 2));
    assert_eq!(left_in_queue(QueueFull::DropOldest, &arriving[..5]), (expect(&["1", "2", "b", "c"]), 1, 0));
    assert_eq!(left_in_queue(QueueFull::DropNewest, &arriving[..5]), (expect(&["1", "a", "2", "b"]), 1, 0));
}

#[test]
fn nothing_is_given_up_for_what_finds_no_room_all_the_same() {
    let large = "x".repeat(4 * 66);
    for rule in [QueueFull::DropOldest, QueueFull::DropNewest] {
        let arriving = [("1", AtLeastOnce), ("a", AtMostOnce), (&*large, AtLeastOnce), ("b", AtMostOnce)];
        let (left, ..) = left_in_queue(rule, &arriving);
        assert_eq!(left, ["t=1", "t=a", "t=b"]);
    }
}

/// MQTT 5.0 §3.1.2.11.4
#[test]
fn a_message_too_large_for_one_is_dropped_for_it_alone() {
    let mut world = World::new();
    let (a, b) = (world.connect("a"), world.connect("b"));
    for client in [&a, &b] {
        world.subscribe(client, "t", AtLeastOnce);
    }
    a.mailbox.set_too_large_from(5);
    for payload in ["1", "long enough", "2"] {
        world.publish("t", payload, AtLeastOnce);
    }

    assert_eq!(a.mailbox.payloads(), ["t=1", "t=2"]);
    assert_eq!(b.mailbox.take().len(), 3);
    assert!(world.acknowledge(&a, 2, PubAck), "the identifier was not used up");
}

#[test]
fn what_expired_while_it_waited_is_not_sent() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    world.subscribe(&client, "t", AtLeastOnce);
    world.lose(client);
    for (payload, seconds) in [("short", 5), ("long", 50)] {
        let expires_at = world.now + Duration::from_secs(seconds);
        world.publish_message(None, message("t", payload, AtLeastOnce, false).expiring_at(Some(expires_at)));
    }
    world.wait(10);

    let client = world.connect_kept("a");
    assert_eq!(client.mailbox.payloads(), ["t=long"]);
}

#[test]
fn an_outlet_that_closes_loses_nothing_promised() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    world.subscribe(&client, "t", AtLeastOnce);
    client.mailbox.set_closed();
    world.publish("t", "1", AtLeastOnce);
    world.publish("t", "2", AtMostOnce);
    world.lose(client);

    let client = world.connect_kept("a");
    assert_eq!(client.mailbox.payloads(), ["t=1"]);
}

/// [MQTT-4.3.3-10], [MQTT-4.3.3-12]
#[test]
fn incoming_qos_2_is_published_once_across_reconnects() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    let engine = &world.engine;
    assert!(engine.receive(&client.attached, id(9)));
    assert!(engine.receive(&client.attached, id(3)));
    assert!(!engine.receive(&client.attached, id(9)));
    assert_eq!(engine.receiving_count(&client.attached), 2);
    world.lose(client);

    let client = world.connect_kept("a");
    let engine = &world.engine;
    assert!(!engine.receive(&client.attached, id(9)));
    assert!(engine.release(&client.attached, id(9)));
    assert!(!engine.release(&client.attached, id(9)));
    assert!(engine.receive(&client.attached, id(9)));
    assert!(engine.is_receiving(&client.attached, id(3)));
}

#[test]
fn packet_identifiers_wrap_and_skip_those_in_use() {
    let mut world = World::new();
    let client = world.connect("a");
    world.subscribe(&client, "t", AtLeastOnce);
    world.publish("t", "held", AtLeastOnce);
    world.publish("t", "held too", AtLeastOnce);
    client.mailbox.take();

    for round in 0..70_000_u32 {
        world.publish("t", "x", AtLeastOnce);
        let sent = client.mailbox.take();
        let [Sent::Publish(copy)] = &sent[..] else { panic!("one delivery, not {sent:?}") };
        let packet_id = copy.packet_id.expect("QoS 1 has one");
        assert!(packet_id > 2);
        assert_eq!(u32::from(packet_id), 3 + round % 65_533);
        assert!(world.acknowledge(&client, packet_id, PubAck));
    }
}
