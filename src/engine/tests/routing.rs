//! Who gets a message, and in which form.

use std::sync::Arc;

use crate::engine::tests::world::{Copy, OnlyTopic, Sent, World, identifier, message, request};
use crate::engine::{EngineConfig, SubscribeError};
use crate::mqtt::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};

#[test]
fn a_message_reaches_those_who_subscribed() {
    let mut world = World::new();
    let (a, b) = (world.connect("a"), world.connect("b"));
    world.subscribe(&a, "plant/+/temp", AtMostOnce);
    world.subscribe(&b, "plant/2/#", AtMostOnce);

    assert_eq!(world.publish("plant/1/temp", "20", AtMostOnce).receivers, 1);
    assert_eq!(world.publish("plant/2/temp", "21", AtMostOnce).receivers, 2);
    assert_eq!(world.publish("plant/2", "x", AtMostOnce).receivers, 1);
    assert_eq!(world.publish("plants", "x", AtMostOnce).receivers, 0);

    assert_eq!(a.mailbox.payloads(), ["plant/1/temp=20", "plant/2/temp=21"]);
    assert_eq!(b.mailbox.payloads(), ["plant/2/temp=21", "plant/2=x"]);
}

#[test]
fn what_a_crowd_leaves_is_found_again() {
    const CROWD: usize = 500;
    let mut world = World::new();
    let first = world.connect("first");
    world.subscribe(&first, "plant/1/temp", AtMostOnce);
    let crowd: Vec<_> = (0..CROWD).map(|number| world.connect(&format!("c{number}"))).collect();
    for (number, client) in crowd.iter().enumerate() {
        world.subscribe(client, &format!("plant/{number}/+"), AtMostOnce);
        world.subscribe(client, "all", AtMostOnce);
    }
    world.engine.check_invariants();
    let room = |world: &World| world.engine.subscriptions.read().room();
    let with_crowd = room(&world);

    // All but one in the middle, whose node has to stay where it is.
    for (number, client) in crowd.iter().enumerate().filter(|&(number, _)| number != CROWD / 2) {
        world.unsubscribe(client, &format!("plant/{number}/+"));
        world.unsubscribe(client, "all");
        world.engine.check_invariants();
    }
    assert_eq!(world.publish(&format!("plant/{}/x", CROWD / 2), "x", AtMostOnce).receivers, 1);
    assert_eq!(world.publish("all", "x", AtMostOnce).receivers, 1);
    assert_eq!(world.publish("plant/1/temp", "20", AtMostOnce).receivers, 1);

    world.unsubscribe(&crowd[CROWD / 2], &format!("plant/{}/+", CROWD / 2));
    world.unsubscribe(&crowd[CROWD / 2], "all");
    world.unsubscribe(&first, "plant/1/temp");
    world.engine.check_invariants();
    assert!(room(&world) < 10, "{} of {with_crowd}", room(&world));
    world.subscribe(&first, "plant/2/temp", AtMostOnce);
    assert_eq!(world.publish("plant/2/temp", "20", AtMostOnce).receivers, 1);
}

/// [MQTT-4.7.2-1]
#[test]
fn leading_wildcards_do_not_match_a_leading_dollar() {
    let mut world = World::new();
    let client = world.connect("a");
    for text in ["#", "+/up", "+/#"] {
        world.subscribe(&client, text, AtMostOnce);
    }

    assert_eq!(world.publish("$SYS/up", "1", AtMostOnce).receivers, 0);
    world.subscribe(&client, "$SYS/+", AtMostOnce);
    assert_eq!(world.publish("$SYS/up", "2", AtMostOnce).receivers, 1);
    assert_eq!(world.publish("a/$up", "3", AtMostOnce).receivers, 1);

    assert_eq!(client.mailbox.payloads(), ["$SYS/up=2", "a/$up=3"]);
}

/// MQTT 5.0 §3.3.4: one copy, with the highest QoS and every identifier.
#[test]
fn overlapping_subscriptions_give_one_delivery() {
    let mut world = World::new();
    let client = world.connect("a");
    for (text, qos, number) in
        [("a/b", AtMostOnce, 7), ("a/+", ExactlyOnce, 9), ("#", AtLeastOnce, 0), ("c", ExactlyOnce, 3)]
    {
        world.subscribe_with(&client, text, |request| {
            request.options.maximum_qos = qos;
            request.identifier = identifier(number);
        });
    }

    assert_eq!(world.publish("a/b", "x", ExactlyOnce).receivers, 1);

    let expected = Copy {
        topic: "a/b".into(),
        payload: "x".into(),
        qos: 2,
        packet_id: Some(1),
        identifiers: vec![7, 9],
        ..Copy::default()
    };
    assert_eq!(client.mailbox.take(), [Sent::Publish(expected)]);
}

#[test]
fn the_lower_qos_of_message_and_subscription_is_used() {
    let mut world = World::new();
    for maximum in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        for published in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            let client = world.connect("a");
            world.subscribe(&client, "t", maximum);
            world.publish("t", "x", published);
            let sent = client.mailbox.take();
            assert!(matches!(&sent[..], [Sent::Publish(copy)] if copy.qos == maximum.min(published) as u8));
        }
    }
}

/// [MQTT-3.8.3-3]
#[test]
fn no_local_keeps_ones_own_messages_away() {
    let mut world = World::new();
    let (a, b) = (world.connect("a"), world.connect("b"));
    for client in [&a, &b] {
        world.subscribe_with(client, "t", |request| request.options.no_local = true);
    }

    world.publish_message(Some(&a), message("t", "from a", AtMostOnce, false));
    world.publish("t", "from outside", AtMostOnce);

    assert_eq!(a.mailbox.payloads(), ["t=from outside"]);
    assert_eq!(b.mailbox.payloads(), ["t=from a", "t=from outside"]);
}

/// [MQTT-3.3.1-12], [MQTT-3.3.1-13]
#[test]
fn retain_goes_on_only_where_asked() {
    let mut world = World::new();
    let (a, b) = (world.connect("a"), world.connect("b"));
    world.subscribe(&a, "t", AtMostOnce);
    world.subscribe_with(&b, "t", |request| request.options.retain_as_published = true);

    world.retain("t", "kept", AtMostOnce);
    world.publish("t", "passing", AtMostOnce);

    assert_eq!(a.mailbox.payloads(), ["t=kept", "t=passing"]);
    assert_eq!(b.mailbox.payloads(), ["r:t=kept", "t=passing"]);
}

#[test]
fn a_partial_grant_is_asked_for_each_message() {
    let mut world = World::new();
    let (a, b) = (world.connect("a"), world.connect("b"));
    world.subscribe(&b, "t/#", AtMostOnce);
    world.retain("t/old", "1", AtMostOnce);
    world.retain("t/seen", "2", AtMostOnce);
    world.subscribe_with(&a, "t/#", |request| request.check = Some(Arc::new(OnlyTopic("t/seen"))));
    assert_eq!(a.mailbox.payloads(), ["r:t/seen=2"]);

    assert_eq!(world.publish("t/seen", "3", AtMostOnce).receivers, 2);
    assert_eq!(world.publish("t/other", "4", AtMostOnce).receivers, 1);
    assert_eq!(a.mailbox.payloads(), ["t/seen=3"]);

    world.subscribe(&a, "t/#", AtMostOnce);
    assert_eq!(a.mailbox.payloads(), ["r:t/old=1", "r:t/seen=2"]);
    assert_eq!(world.publish("t/other", "5", AtMostOnce).receivers, 2);
}

#[test]
fn unsubscribing_stops_delivery_and_says_whether_there_was_one() {
    let mut world = World::new();
    let client = world.connect("a");
    world.subscribe(&client, "a/+", AtMostOnce);
    assert!(!world.unsubscribe(&client, "a/b"));
    assert!(!world.unsubscribe(&client, "$share/g/a/+"));
    assert!(world.unsubscribe(&client, "a/+"));
    assert!(!world.unsubscribe(&client, "a/+"));

    assert_eq!(world.publish("a/b", "x", AtMostOnce).receivers, 0);
    world.engine.check_invariants();
}

#[test]
fn a_session_may_have_so_many_subscriptions() {
    let config = EngineConfig { subscriptions_max: 3, subscription_bytes_max: 10, ..EngineConfig::default() };
    let mut world = World::with(config);
    let client = world.connect("a");
    for text in ["a", "b"] {
        world.subscribe(&client, text, AtMostOnce);
    }
    let subscribe = |text| world.engine.subscribe(&client.attached, request(text));

    assert_eq!(subscribe("too/long/by/far"), Err(SubscribeError::QuotaExceeded));
    assert_eq!(subscribe("c"), Ok(()));
    assert_eq!(subscribe("d"), Err(SubscribeError::QuotaExceeded));
    assert_eq!(subscribe("a"), Ok(()), "one that is there may be replaced");
    let mut texts = world.engine.subscriptions(&client.attached).iter().map(ToString::to_string).collect::<Vec<_>>();
    texts.sort();
    assert_eq!(texts, ["a", "b", "c"]);
}

#[test]
fn ten_thousand_subscribers_of_one_filter_come_and_go() {
    let mut world = World::new();
    let clients = (0..10_000).map(|number| world.connect(&number.to_string())).collect::<Vec<_>>();
    for client in &clients {
        world.subscribe(client, "news", QoS::AtMostOnce);
    }
    assert_eq!(world.publish("news", "x", AtMostOnce).receivers, 10_000);
    assert!(clients.iter().all(|client| client.mailbox.take().len() == 1));

    for client in clients.into_iter().skip(1) {
        world.lose(client);
    }
    assert_eq!(world.publish("news", "y", AtMostOnce).receivers, 1);
    world.engine.check_invariants();
}

/// What a publisher remembers of its last topic is right after every change of the Subscriptions, numbers of nodes that come round included.
#[test]
fn a_remembered_topic_follows_the_subscriptions() {
    let mut world = World::new();
    let (from, a, b) = (world.connect("from"), world.connect("a"), world.connect("b"));
    let expect = |world: &mut World, receivers: usize| {
        for _ in 0..3 {
            let published = world.publish_message(Some(&from), message("t/1", "x", AtMostOnce, false));
            assert_eq!(published.receivers, receivers);
        }
    };
    expect(&mut world, 0);
    world.subscribe(&a, "t/1", AtMostOnce);
    expect(&mut world, 1);
    world.subscribe(&b, "t/1", AtMostOnce);
    expect(&mut world, 2);
    world.unsubscribe(&b, "t/1");
    expect(&mut world, 1);
    world.subscribe(&b, "#", AtMostOnce);
    expect(&mut world, 2);
    world.unsubscribe(&a, "t/1");
    expect(&mut world, 1);
    // In the place of the node that was remembered.
    world.subscribe(&a, "u/1", AtMostOnce);
    expect(&mut world, 1);
    world.subscribe(&a, "t/1/below", AtMostOnce);
    expect(&mut world, 1);
    world.subscribe(&a, "t/1", AtMostOnce);
    expect(&mut world, 2);
    assert_eq!((a.mailbox.payloads().len(), b.mailbox.payloads().len()), (3 * 5, 3 * 6));
}
