//! What becomes of messages for a client that does not read.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::engine::message::Acknowledgement::PubAck;
use crate::engine::tests::world::{Client, Mailbox, World, filter};
use crate::engine::{Engine, EngineConfig, SlowClients, WhenFull};
use crate::load::Account;
use crate::mqtt::QoS::{AtLeastOnce, AtMostOnce};
use crate::mqtt::{QoS, ReasonCode};

fn world(when_full: WhenFull, topics: &[(&str, WhenFull)]) -> World {
    let topics = topics.iter().map(|(text, when_full)| (filter(text), *when_full)).collect();
    let slow_clients = SlowClients { when_full, topics };
    // Four messages of one byte on a topic of one byte.
    World::with(EngineConfig { slow_clients, queue_bytes_max: 4 * 66, ..EngineConfig::default() })
}

/// Publishes `topic=payload` for each of `messages`, at `qos`.
fn publish(world: &mut World, messages: &str, qos: QoS) {
    for message in messages.split_whitespace() {
        let (topic, payload) = message.split_once('=').expect("a topic and a payload");
        world.publish(topic, payload, qos);
        world.engine.check_invariants();
    }
}

/// A client that subscribes to everything and whose outbox is full.
fn stalled(world: &mut World, qos: QoS) -> Client {
    let client = world.connect("slow");
    world.subscribe(&client, "#", qos);
    client.mailbox.set_room(0);
    client
}

fn drained(world: &mut World, client: &Client) -> String {
    client.mailbox.set_room(usize::MAX);
    world.pump(client);
    client.mailbox.payloads().join(" ")
}

/// Dropped at a full outbox, by a full queue at QoS 0 and above, and conflated.
fn dropped(world: &World) -> [u64; 4] {
    let counters = world.engine.counters();
    [
        &counters.dropped_outbox_full,
        &counters.dropped_queue_full_qos_0,
        &counters.dropped_queue_full,
        &counters.dropped_conflated,
    ]
    .map(|counter| counter.load(Relaxed))
}

fn closed_with(mailbox: &Mailbox) -> Option<ReasonCode> {
    mailbox.closed_with()
}

#[test]
fn drop_newest_keeps_nothing_at_qos_0() {
    let mut world = world(WhenFull::DropNewest, &[]);
    let client = stalled(&mut world, AtMostOnce);
    publish(&mut world, "a=1 a=2", AtMostOnce);
    assert_eq!(drained(&mut world, &client), "");
    assert_eq!(dropped(&world), [2, 0, 0, 0]);
}

#[test]
fn drop_oldest_keeps_what_came_last() {
    let mut world = world(WhenFull::DropOldest, &[]);
    let client = stalled(&mut world, AtMostOnce);
    publish(&mut world, "a=1 a=2 b=3 a=4 b=5 b=6", AtMostOnce);
    assert_eq!(drained(&mut world, &client), "b=3 a=4 b=5 b=6");
    assert_eq!(dropped(&world), [0, 2, 0, 0]);
    publish(&mut world, "a=7", AtMostOnce);
    assert_eq!(client.mailbox.payloads(), ["a=7"], "once nothing waits it goes at once");
}

#[test]
fn conflate_keeps_the_newest_of_each_topic_in_the_place_of_the_older() {
    let mut world = world(WhenFull::Conflate, &[]);
    let client = stalled(&mut world, AtMostOnce);
    publish(&mut world, "a=1 b=1 a=2 c=1 a=3 b=2 a=4", AtMostOnce);
    assert_eq!(drained(&mut world, &client), "a=4 b=2 c=1");
    assert_eq!(dropped(&world), [0, 0, 0, 4]);
}

/// At the end of the queue `hot` would never be sent.
#[test]
fn a_topic_that_changes_faster_than_the_client_reads_has_its_turn() {
    let mut world = world(WhenFull::Conflate, &[]);
    let client = stalled(&mut world, AtMostOnce);
    let mut read = Vec::new();
    for number in 0..6 {
        for topic in ["a", "b", "c", "h", "h"] {
            world.publish(topic, &number.to_string(), AtMostOnce);
        }
        client.mailbox.set_room(1);
        world.pump(&client);
        read.extend(client.mailbox.payloads());
    }
    assert_eq!(read, ["a=0", "b=1", "c=2", "h=3", "a=4", "b=5"]);
}

#[test]
fn a_larger_one_in_the_place_of_a_smaller_must_find_room() {
    let mut world = world(WhenFull::Conflate, &[]);
    let client = stalled(&mut world, AtMostOnce);
    publish(&mut world, "a=1 b=1 c=1 d=1", AtMostOnce);
    let large = format!("b={}", "2".repeat(50));
    publish(&mut world, &large, AtMostOnce);
    // Where it finds none, the rule of a full queue holds: the oldest go, and it waits behind what is there.
    assert_eq!(drained(&mut world, &client), format!("c=1 d=1 {large}"));
}

#[test]
fn at_qos_1_conflation_spares_what_was_sent() {
    let mut world = world(WhenFull::Conflate, &[]);
    let client = world.connect("slow");
    world.subscribe(&client, "#", AtLeastOnce);
    publish(&mut world, "a=1 a=2", AtLeastOnce);
    client.mailbox.set_room(0);
    publish(&mut world, "a=3 a=4", AtLeastOnce);
    assert_eq!(drained(&mut world, &client), "a=1 a=2 a=4");
    for packet_id in 1..=3 {
        assert!(world.acknowledge(&client, packet_id, PubAck));
    }
    assert_eq!(dropped(&world), [0, 0, 0, 1]);
}

#[test]
fn a_session_that_is_away_keeps_the_newest_as_well() {
    let mut world = world(WhenFull::Conflate, &[]);
    let client = world.connect_kept("away");
    world.subscribe(&client, "#", AtLeastOnce);
    world.lose(client);
    publish(&mut world, "a=1 b=1 a=2 a=3", AtLeastOnce);
    let client = world.connect_kept("away");
    assert_eq!(client.mailbox.payloads(), ["a=3", "b=1"]);
}

/// Else what is sent last would not be what was said last.
#[test]
fn qos_0_and_qos_1_of_one_topic_keep_their_order() {
    let mut world = world(WhenFull::Conflate, &[]);
    let client = stalled(&mut world, AtLeastOnce);
    publish(&mut world, "a=1", AtMostOnce);
    publish(&mut world, "a=2", AtLeastOnce);
    publish(&mut world, "a=3 a=4", AtMostOnce);
    assert_eq!(drained(&mut world, &client), "a=1 a=2 a=4");
}

#[test]
fn no_message_of_a_shared_subscription_gives_way() {
    let mut world = world(WhenFull::Conflate, &[]);
    let worker = world.connect("worker");
    world.subscribe(&worker, "$share/g/#", AtMostOnce);
    worker.mailbox.set_room(0);
    publish(&mut world, "a=1 a=2 a=3", AtMostOnce);
    assert_eq!(drained(&mut world, &worker), "a=1 a=2 a=3");
}

#[test]
fn disconnect_closes_once_and_keeps_what_is_promised() {
    let mut world = world(WhenFull::Disconnect, &[]);
    let client = world.connect_kept("slow");
    world.subscribe(&client, "#", AtLeastOnce);
    publish(&mut world, "a=0", AtMostOnce);
    assert_eq!(closed_with(&client.mailbox), None, "it reads");
    client.mailbox.take();
    client.mailbox.set_room(0);
    publish(&mut world, "a=1 b=2", AtLeastOnce);
    publish(&mut world, "a=3", AtMostOnce);
    assert_eq!(closed_with(&client.mailbox), Some(ReasonCode::QuotaExceeded));
    assert_eq!(world.engine.counters().slow_disconnected.load(Relaxed), 1);
    world.lose(client);
    let client = world.connect_kept("slow");
    assert_eq!(client.mailbox.payloads(), ["a=1", "b=2"]);
    client.mailbox.set_room(0);
    publish(&mut world, "a=4", AtLeastOnce);
    assert_eq!(closed_with(&client.mailbox), Some(ReasonCode::QuotaExceeded), "and so the next time");
}

#[test]
fn who_is_closed_leaves_its_share_to_another() {
    let mut world = world(WhenFull::Disconnect, &[]);
    let slow = world.connect("slow");
    world.subscribe(&slow, "$share/g/#", AtMostOnce);
    slow.mailbox.set_room(0);
    publish(&mut world, "a=1", AtMostOnce);
    assert_eq!(closed_with(&slow.mailbox), Some(ReasonCode::QuotaExceeded));
    let other = world.connect("other");
    world.subscribe(&other, "$share/g/#", AtMostOnce);
    world.lose(slow);
    assert_eq!(other.mailbox.payloads(), ["a=1"]);
}

#[test]
fn retained_messages_on_their_way_close_nobody() {
    let mut world = world(WhenFull::Disconnect, &[]);
    world.retain("r", "1", AtMostOnce);
    world.retain("s", "2", AtMostOnce);
    let client = world.connect("new");
    client.mailbox.set_room(1);
    world.subscribe(&client, "#", AtMostOnce);
    publish(&mut world, "a=1", AtMostOnce);
    assert_eq!(closed_with(&client.mailbox), None);
    assert_eq!(drained(&mut world, &client), "r:r=1 a=1 r:s=2");
}

#[test]
fn a_message_that_must_not_be_missed_is_not_given_up_for_others() {
    let rules = [("alarm", WhenFull::Disconnect), ("a", WhenFull::DropOldest)];
    let mut world = world(WhenFull::DropOldest, &rules);
    let client = world.connect("slow");
    world.retain("r", "1", AtMostOnce);
    client.mailbox.set_room(0);
    world.subscribe(&client, "#", AtMostOnce);
    publish(&mut world, "alarm=1 a=1 a=2", AtMostOnce);
    assert_eq!(closed_with(&client.mailbox), None, "it waits behind retained messages");
    publish(&mut world, "a=3 a=4", AtMostOnce);
    assert_eq!(closed_with(&client.mailbox), Some(ReasonCode::QuotaExceeded));
}

#[test]
fn the_first_filter_that_matches_decides() {
    let rules = [("p/alarm", WhenFull::DropNewest), ("p/#", WhenFull::Conflate), ("p/x", WhenFull::Disconnect)];
    let mut world = world(WhenFull::DropNewest, &rules);
    let client = stalled(&mut world, AtMostOnce);
    publish(&mut world, "p/alarm=1 o=1 p/x=1 p/x=2", AtMostOnce);
    assert_eq!(closed_with(&client.mailbox), None);
    assert_eq!(drained(&mut world, &client), "p/x=2");
    assert_eq!(dropped(&world), [2, 0, 0, 1]);
}

/// A world whose sessions book what waits for them in an account of 1,000,000 bytes.
fn booked_world(slow_clients: SlowClients) -> (World, Arc<Account>) {
    let account = Arc::new(Account::new(Some(1_000_000)));
    let config = EngineConfig { slow_clients, ..EngineConfig::default() };
    let mut world = World::with(config.clone());
    let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
    world.engine = Engine::new(config, hasher).with_memory(Arc::clone(&account));
    (world, account)
}

#[test]
fn what_waits_and_what_is_in_flight_is_booked() {
    let (mut world, account) = booked_world(SlowClients::default());
    let client = world.connect_kept("c");
    world.subscribe(&client, "#", AtLeastOnce);
    let payload = "x".repeat(10_000);
    publish(&mut world, &format!("a={payload}"), AtMostOnce);
    assert_eq!(account.used(), 0, "it reads");
    publish(&mut world, &format!("a={payload}"), AtLeastOnce);
    assert_eq!(account.used(), 10_065, "in flight");
    client.mailbox.set_room(0);
    publish(&mut world, &format!("a={payload} b={payload}"), AtLeastOnce);
    assert_eq!(account.used(), 3 * 10_065, "waiting");
    drained(&mut world, &client);
    assert!(world.acknowledge(&client, 1, PubAck));
    assert_eq!(account.used(), 2 * 10_065);
    world.lose(client);
    assert_eq!(account.used(), 2 * 10_065, "kept");
    let client = world.connect("c");
    assert_eq!(account.used(), 0, "a clean start");
    world.lose(client);
}

#[test]
fn queues_grow_no_more_when_memory_is_short_those_of_who_is_away_first() {
    let (mut world, account) = booked_world(SlowClients::default());
    let away = world.connect_kept("away");
    world.subscribe(&away, "#", AtLeastOnce);
    world.lose(away);
    let there = stalled(&mut world, AtLeastOnce);
    let lost = |world: &World| world.engine.counters().dropped_memory.load(Relaxed);
    // What waits of so few bytes is not booked itself.
    account.rebook(0, 849_999);
    publish(&mut world, "a=1", AtLeastOnce);
    assert_eq!(lost(&world), 0);
    account.rebook(0, 1);
    publish(&mut world, "a=2", AtLeastOnce);
    assert_eq!(lost(&world), 1, "for the one who is away");
    account.rebook(0, 50_000);
    publish(&mut world, "a=3", AtLeastOnce);
    assert_eq!(lost(&world), 3);
    account.rebook(50_001, 0);
    publish(&mut world, "a=4", AtLeastOnce);
    assert_eq!(drained(&mut world, &there), "a=1 a=2 a=4");
    let away = world.connect_kept("away");
    assert_eq!(away.mailbox.payloads(), ["a=1", "a=4"]);
    assert_eq!(dropped(&world), [0; 4], "each loss has one reason");
}

#[test]
fn what_conflates_goes_on_when_memory_is_short() {
    let (mut world, account) = booked_world(SlowClients { when_full: WhenFull::Conflate, ..SlowClients::default() });
    let client = stalled(&mut world, AtMostOnce);
    publish(&mut world, "a=1 b=1", AtMostOnce);
    account.rebook(0, 1_000_000);
    publish(&mut world, "a=2 c=1 a=3", AtMostOnce);
    // There is no more room than there was, so that the oldest gives way to what is new.
    assert_eq!(drained(&mut world, &client), "c=1 a=3");
}
