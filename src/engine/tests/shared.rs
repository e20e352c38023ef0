//! Shared Subscriptions: which member gets a message, and what becomes of it when that member leaves (MQTT 5.0 §4.8.2).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::engine::EngineConfig;
use crate::engine::message::Acknowledgement::{PubAck, PubRec, PubRecFailed};
use crate::engine::tests::world::{Client, OnlyTopic, World, message};
use crate::mqtt::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};

const SHARED: &str = "$share/group/t/+";

/// Clients with kept sessions that are members at `qos`.
fn members<const N: usize>(world: &mut World, client_ids: [&str; N], qos: QoS) -> [Client; N] {
    client_ids.map(|client_id| {
        let client = world.connect_kept(client_id);
        world.subscribe(&client, SHARED, qos);
        client
    })
}

fn publish_each(world: &mut World, payloads: &[&str], qos: QoS) {
    for payload in payloads {
        assert_eq!(world.publish("t/x", payload, qos).receivers, 1);
    }
}

/// MQTT 5.0 §4.8.2
#[test]
fn a_shared_subscription_serves_one_connected_member() {
    let mut world = World::new();
    let (a, b, c) = (world.connect_kept("a"), world.connect_kept("b"), world.connect("c"));
    for client in [&a, &b] {
        world.subscribe(client, "$share/group/t/+", AtLeastOnce);
    }
    world.subscribe(&c, "t/#", AtMostOnce);

    for payload in ["1", "2", "3", "4"] {
        assert_eq!(world.publish("t/x", payload, AtLeastOnce).receivers, 2);
    }
    assert_eq!((a.mailbox.take().len(), b.mailbox.take().len(), c.mailbox.take().len()), (2, 2, 4));

    world.lose(b);
    for payload in ["5", "6"] {
        world.publish("t/x", payload, AtLeastOnce);
    }
    assert_eq!(a.mailbox.payloads(), ["t/x=5", "t/x=6"]);

    assert!(world.unsubscribe(&a, "$share/group/t/+"));
    world.publish("t/x", "7", AtLeastOnce);
    let b = world.connect_kept("b");
    assert_eq!(b.mailbox.payloads().last().map(String::as_str), Some("t/x=7"));
}

#[test]
fn turns_are_fair_among_those_connected() {
    let mut world = World::new();
    let [a, b, c] = members(&mut world, ["a", "b", "c"], AtMostOnce);
    world.disconnect(b);
    publish_each(&mut world, &["1", "2", "3", "4", "5", "6"], AtMostOnce);
    assert_eq!((a.mailbox.take().len(), c.mailbox.take().len()), (3, 3), "nobody is served for who is away");
}

#[test]
fn turns_are_fair_among_those_away_where_nobody_is_connected() {
    let mut world = World::new();
    for client in members(&mut world, ["a", "b"], AtLeastOnce) {
        world.disconnect(client);
    }
    publish_each(&mut world, &["1", "2", "3", "4"], AtLeastOnce);
    for client_id in ["a", "b"] {
        let client = world.connect_kept(client_id);
        assert_eq!(client.mailbox.take().len(), 2);
    }
}

#[test]
fn who_can_take_a_message_now_goes_before_whose_turn_it_is() {
    let mut world = World::with(EngineConfig { inflight_max: 1, ..EngineConfig::default() });
    let [a, b] = members(&mut world, ["a", "b"], AtLeastOnce);
    publish_each(&mut world, &["1", "2", "3", "4"], AtLeastOnce);
    assert_eq!((a.mailbox.payloads(), b.mailbox.payloads()), (vec!["t/x=1".into()], vec!["t/x=2".into()]));

    // 3 and 4 wait, one for each.
    world.acknowledge(&b, 1, PubAck);
    assert_eq!(b.mailbox.payloads(), ["t/x=4"]);
    world.acknowledge(&b, 2, PubAck);
    publish_each(&mut world, &["5"], AtLeastOnce);
    assert_eq!(b.mailbox.payloads(), ["t/x=5"], "a is still full");
    publish_each(&mut world, &["6", "7"], AtMostOnce);
    assert_eq!(b.mailbox.payloads(), ["t/x=6", "t/x=7"], "at a it would wait behind 3");
}

#[test]
fn a_full_outbox_is_passed_over() {
    let mut world = World::new();
    let [a, b] = members(&mut world, ["a", "b"], AtLeastOnce);
    a.mailbox.set_room(0);
    publish_each(&mut world, &["1", "2"], AtMostOnce);
    publish_each(&mut world, &["3", "4"], AtLeastOnce);
    assert_eq!(b.mailbox.payloads(), ["t/x=1", "t/x=2", "t/x=3", "t/x=4"]);

    b.mailbox.set_room(0);
    publish_each(&mut world, &["lost"], AtMostOnce);
    publish_each(&mut world, &["5"], AtLeastOnce);
    assert_eq!(world.engine.counters().dropped_outbox_full.load(Relaxed), 1);
    assert_eq!(world.engine.waiting_count(), 1);
}

#[test]
fn a_message_too_large_for_one_goes_to_another() {
    let mut world = World::new();
    let [a, b] = members(&mut world, ["a", "b"], AtLeastOnce);
    a.mailbox.set_too_large_from(3);
    publish_each(&mut world, &["long", "long", "long"], AtLeastOnce);
    assert_eq!(b.mailbox.take().len(), 3);

    b.mailbox.set_too_large_from(3);
    publish_each(&mut world, &["long"], AtLeastOnce);
    assert_eq!(world.engine.counters().dropped_too_large.load(Relaxed), 1);
}

#[test]
fn a_connection_that_closes_is_passed_over() {
    let mut world = World::new();
    let [a, b] = members(&mut world, ["a", "b"], AtMostOnce);
    a.mailbox.set_closed();
    publish_each(&mut world, &["1", "2"], AtMostOnce);
    assert_eq!(b.mailbox.payloads(), ["t/x=1", "t/x=2"]);
}

#[test]
fn a_partial_grant_is_asked_before_a_member_is_chosen() {
    let mut world = World::new();
    let [a, b] = ["a", "b"].map(|client_id| world.connect(client_id));
    world.subscribe_with(&a, SHARED, |request| request.check = Some(Arc::new(OnlyTopic("t/a"))));
    world.subscribe(&b, SHARED, AtMostOnce);
    publish_each(&mut world, &["1", "2"], AtMostOnce);
    assert_eq!(b.mailbox.payloads(), ["t/x=1", "t/x=2"]);
    assert_eq!(world.engine.counters().dropped_denied.load(Relaxed), 0);

    world.lose(b);
    assert_eq!(world.publish("t/x", "3", AtMostOnce).receivers, 0);
    assert_eq!(world.publish("t/a", "4", AtMostOnce).receivers, 1);
    assert_eq!(world.engine.counters().dropped_denied.load(Relaxed), 1);
}

/// Two members, of which `a` has 1 in flight and 2 and 3 waiting, and `b` has nothing yet.
fn busy_and_idle(world: &mut World, qos: QoS) -> (Client, Client) {
    let a = world.connect_with("a", |open| {
        open.clean_start = false;
        open.expiry_interval_s = 60;
        open.receive_maximum = 1;
    });
    world.subscribe(&a, SHARED, qos);
    publish_each(world, &["1", "2", "3"], qos);
    publish_each(world, &["QoS 0"], AtMostOnce);
    let [b] = members(world, ["b"], ExactlyOnce);
    assert_eq!(a.mailbox.payloads(), ["t/x=1"]);
    (a, b)
}

#[test]
fn what_waits_for_a_member_goes_on_when_its_connection_is_lost() {
    let mut world = World::new();
    let (a, b) = busy_and_idle(&mut world, AtLeastOnce);
    world.lose(a);
    assert_eq!(b.mailbox.payloads(), ["t/x=QoS 0", "t/x=2", "t/x=3"]);
    assert_eq!(world.engine.counters().handed_on.load(Relaxed), 3);
    world.engine.check_invariants();

    let a = world.connect_kept("a");
    assert_eq!(a.mailbox.payloads(), ["!t/x=1"], "what was sent stays with whom it was sent to");
}

#[test]
fn what_waits_stays_in_its_order_while_nobody_else_is_connected() {
    let mut world = World::new();
    let (a, b) = busy_and_idle(&mut world, AtLeastOnce);
    world.disconnect(b);
    world.lose(a);
    assert_eq!(world.engine.counters().dropped_offline.load(Relaxed), 1);
    let b = world.connect_kept("b");
    assert!(b.mailbox.take().is_empty());
    let a = world.connect_kept("a");
    assert_eq!(a.mailbox.payloads(), ["!t/x=1", "t/x=2", "t/x=3"]);
}

#[test]
fn a_takeover_keeps_what_waits_with_its_session() {
    let mut world = World::new();
    let (_a, b) = busy_and_idle(&mut world, AtLeastOnce);
    b.mailbox.set_room(0);
    let a = world.connect_kept("a");
    assert_eq!(a.mailbox.payloads(), ["!t/x=1", "t/x=2", "t/x=3", "t/x=QoS 0"]);
    assert!(b.mailbox.take().is_empty());
}

#[test]
fn unsubscribing_hands_on_what_was_not_sent() {
    let mut world = World::new();
    let (a, b) = busy_and_idle(&mut world, AtLeastOnce);
    world.subscribe(&a, "u", AtLeastOnce);
    world.publish("u", "plain", AtLeastOnce);
    assert!(world.unsubscribe(&a, SHARED));
    assert_eq!(b.mailbox.payloads(), ["t/x=QoS 0", "t/x=2", "t/x=3"]);
    assert!(world.acknowledge(&a, 1, PubAck), "what was sent is completed");
    assert_eq!(a.mailbox.payloads(), ["u=plain"]);
}

#[test]
fn the_last_one_to_unsubscribe_still_gets_what_waits() {
    let mut world = World::new();
    let (a, b) = busy_and_idle(&mut world, AtLeastOnce);
    world.disconnect(b);
    assert!(world.unsubscribe(&a, SHARED));
    for (packet_id, next) in [(1, &["t/x=2"][..]), (2, &["t/x=3", "t/x=QoS 0"])] {
        world.acknowledge(&a, packet_id, PubAck);
        assert_eq!(a.mailbox.payloads(), next);
    }
}

#[test]
fn a_session_that_ends_leaves_everything_at_qos_1_to_others() {
    let mut world = World::new();
    let (a, b) = busy_and_idle(&mut world, AtLeastOnce);
    world.disconnect(b);
    world.lose(a);
    // To a member that is kept, as nobody is connected.
    world.wait(60);
    assert_eq!(world.engine.counters().sessions_expired.load(Relaxed), 1);
    world.engine.check_invariants();
    let b = world.connect_kept("b");
    assert_eq!(b.mailbox.payloads(), ["t/x=1", "t/x=2", "t/x=3"], "without DUP");
    assert_eq!(world.engine.counters().dropped_session_ended.load(Relaxed), 0);
    for packet_id in [1, 2, 3] {
        assert!(world.acknowledge(&b, packet_id, PubAck));
    }
    world.close(b, crate::engine::message::Closing { publish_will: false, expiry_interval_s: Some(0) });
    assert_eq!(world.engine.counters().dropped_session_ended.load(Relaxed), 0);
}

/// [MQTT-4.8.2-4], [MQTT-4.8.2-5]
#[test]
fn what_was_sent_at_qos_2_never_goes_to_another() {
    let mut world = World::new();
    let (a, b) = busy_and_idle(&mut world, ExactlyOnce);
    world.lose(a);
    assert_eq!(b.mailbox.payloads(), ["t/x=QoS 0", "t/x=2", "t/x=3"]);
    let a = world.connect_with("a", |open| {
        open.clean_start = false;
        open.expiry_interval_s = 60;
    });
    assert_eq!(a.mailbox.payloads(), ["!t/x=1"], "it is completed with whom it was sent to");
    world.acknowledge(&a, 1, PubRec);
    publish_each(&mut world, &["4", "5"], ExactlyOnce);
    a.mailbox.take();
    b.mailbox.take();
    world.lose(a);
    world.wait(60);
    assert!(b.mailbox.take().is_empty());
    assert_eq!(world.engine.counters().dropped_session_ended.load(Relaxed), 2);
}

/// [MQTT-4.8.2-6]
#[test]
fn a_refused_message_goes_to_nobody_else() {
    let mut world = World::new();
    let [a, b] = members(&mut world, ["a", "b"], ExactlyOnce);
    publish_each(&mut world, &["1"], ExactlyOnce);
    assert!(world.acknowledge(&a, 1, PubRecFailed));
    world.close(a, crate::engine::message::Closing { publish_will: false, expiry_interval_s: Some(0) });
    assert!(b.mailbox.take().is_empty());
    assert_eq!(world.engine.counters().handed_on.load(Relaxed), 0);
}

#[test]
fn what_expired_is_not_handed_on() {
    let mut world = World::with(EngineConfig { inflight_max: 1, ..EngineConfig::default() });
    let [a] = members(&mut world, ["a"], AtLeastOnce);
    publish_each(&mut world, &["1"], AtLeastOnce);
    let expires_at = world.now + Duration::from_secs(5);
    world.publish_message(None, message("t/x", "2", AtLeastOnce, false).expiring_at(Some(expires_at)));
    let [b] = members(&mut world, ["b"], AtLeastOnce);
    world.wait(6);
    world.lose(a);
    assert!(b.mailbox.take().is_empty());
    assert_eq!(world.engine.counters().dropped_expired.load(Relaxed), 1);
}

#[test]
fn nothing_is_left_to_a_group_that_nobody_is_in() {
    let mut world = World::new();
    let [a] = members(&mut world, ["a"], AtLeastOnce);
    world.disconnect(a);
    publish_each(&mut world, &["1", "2"], AtLeastOnce);
    world.wait(3600);
    assert_eq!(world.engine.counters().dropped_session_ended.load(Relaxed), 2);
    world.engine.check_invariants();
}

/// Remembering the group takes no memory that a message which waits did not take before.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_message_on_its_way_takes_32_bytes_in_each_place() {
    use crate::engine::core::{inflight, outgoing, queue};
    assert_eq!(size_of::<outgoing::Offer<'_>>(), 32);
    assert_eq!(size_of::<queue::Waiting>(), 32);
    assert_eq!(size_of::<inflight::Entry>(), 32);
}

#[test]
fn ten_thousand_members_of_one_group_come_and_go() {
    let mut world = World::new();
    let clients = (0..10_000).map(|number| world.connect(&number.to_string())).collect::<Vec<_>>();
    for client in &clients {
        world.subscribe(client, SHARED, AtMostOnce);
    }
    for _ in 0..10_000 {
        world.publish("t/x", "1", AtMostOnce);
    }
    assert!(clients.iter().all(|client| client.mailbox.take().len() == 1));
    let mut clients = clients.into_iter();
    let last = clients.next_back().expect("many");
    for client in clients {
        world.lose(client);
    }
    publish_each(&mut world, &["2"], AtMostOnce);
    assert_eq!(last.mailbox.payloads(), ["t/x=2"]);
    world.engine.check_invariants();
}
