//! Retained messages as subscribers see them (MQTT 5.0 §3.3.1.3).

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::engine::message::Acknowledgement::PubAck;
use crate::engine::tests::world::{Sent, World, id, identifier, message};
use crate::engine::{EngineConfig, Pumped};
use crate::mqtt::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::mqtt::packet::RetainHandling;

#[test]
fn a_new_subscriber_gets_what_matches_in_the_order_of_topics() {
    let mut world = World::new();
    for topic in ["b", "a/b", "a", "a-b", "a/b/c", "$a/b", "a/c"] {
        world.retain(topic, "x", AtMostOnce);
    }
    for (text, expected) in [
        ("#", &["a", "a/b", "a/b/c", "a/c", "a-b", "b"][..]),
        ("a/#", &["a", "a/b", "a/b/c", "a/c"]),
        ("a/+", &["a/b", "a/c"]),
        ("+/b", &["a/b"]),
        ("+/b/#", &["a/b", "a/b/c"]),
        ("+", &["a", "a-b", "b"]),
        ("$a/+", &["$a/b"]),
        ("a/b/d", &[]),
    ] {
        let client = world.connect("a");
        world.subscribe(&client, text, AtMostOnce);
        let expected = expected.iter().map(|topic| format!("r:{topic}=x")).collect::<Vec<_>>();
        assert_eq!(client.mailbox.payloads(), expected, "{text}");
    }
}

#[test]
fn the_last_one_counts_and_an_empty_payload_clears() {
    let mut world = World::new();
    let live = world.connect("live");
    world.subscribe(&live, "t", AtMostOnce);
    for payload in ["1", "2"] {
        world.retain("t", payload, AtMostOnce);
    }
    let client = world.connect("a");
    world.subscribe(&client, "t", AtMostOnce);
    assert_eq!(client.mailbox.payloads(), ["r:t=2"]);

    world.retain("t", "", AtMostOnce);
    let client = world.connect("a");
    world.subscribe(&client, "t", AtMostOnce);
    assert!(client.mailbox.take().is_empty());
    assert_eq!(live.mailbox.payloads(), ["t=1", "t=2", "t="]);
    assert_eq!(world.engine.counters().retained_bytes.load(Relaxed), 0);
}

#[test]
fn retain_handling_says_when() {
    let mut world = World::new();
    world.retain("t", "x", AtMostOnce);
    for (handling, counts) in
        [(RetainHandling::Always, [1, 1]), (RetainHandling::IfNew, [1, 0]), (RetainHandling::Never, [0, 0])]
    {
        let client = world.connect("a");
        for count in counts {
            world.subscribe_with(&client, "t", |request| request.options.retain_handling = handling);
            assert_eq!(client.mailbox.take().len(), count, "{handling:?}");
        }
    }
}

#[test]
fn the_lower_qos_and_the_identifier_are_used() {
    let mut world = World::new();
    world.retain("t/1", "x", ExactlyOnce);
    world.retain("t/2", "x", AtMostOnce);
    let client = world.connect("a");
    world.subscribe_with(&client, "t/+", |request| {
        request.options.maximum_qos = AtLeastOnce;
        request.identifier = identifier(5);
    });

    let sent = client.mailbox.take();
    let [Sent::Publish(first), Sent::Publish(second)] = &sent[..] else { panic!("two, not {sent:?}") };
    assert_eq!((first.qos, first.packet_id, &first.identifiers[..]), (1, Some(1), &[5][..]));
    assert_eq!((second.qos, second.packet_id, second.retain), (0, None, true));
}

#[test]
fn nothing_is_sent_for_a_shared_subscription() {
    let mut world = World::new();
    world.retain("t", "x", AtMostOnce);
    let client = world.connect("a");
    world.subscribe(&client, "$share/g/t", AtMostOnce);
    assert!(client.mailbox.take().is_empty());
}

#[test]
fn a_small_outbox_gets_all_of_many_while_others_publish() {
    let mut world = World::new();
    for number in 0..5_000 {
        world.retain(&format!("t/{number:05}"), "old", if number % 2 == 0 { AtMostOnce } else { AtLeastOnce });
    }
    let client = world.connect("a");
    client.mailbox.set_room(0);
    world.subscribe(&client, "t/#", AtLeastOnce);
    world.publish("t/live", "1", AtMostOnce);
    world.retain("t/04999", "new", AtMostOnce);
    world.retain("t/00000", "", AtMostOnce);

    let mut sent = Vec::new();
    while sent.len() < 5_001 {
        client.mailbox.set_room(7);
        world.pump(&client);
        for item in client.mailbox.take() {
            let Sent::Publish(copy) = item else { panic!("no PUBREL is due") };
            if let Some(packet_id) = copy.packet_id {
                world.acknowledge(&client, packet_id, crate::engine::message::Acknowledgement::PubAck);
            }
            sent.push(format!("{}={}", copy.topic, copy.payload));
        }
    }

    assert_eq!(sent[..3], ["t/live=1", "t/04999=new", "t/00000="], "what is published goes first");
    let expected = (1..4_999).map(|number| format!("t/{number:05}=old")).collect::<Vec<_>>();
    assert_eq!(sent[3..], expected, "then what was retained before, without what has been replaced");
}

#[test]
fn unsubscribing_stops_what_is_still_to_come() {
    let mut world = World::new();
    for topic in ["t/1", "t/2"] {
        world.retain(topic, "x", AtMostOnce);
    }
    let client = world.connect("a");
    client.mailbox.set_room(1);
    world.subscribe(&client, "t/+", AtMostOnce);
    world.unsubscribe(&client, "t/+");
    client.mailbox.set_room(10);
    world.pump(&client);
    assert_eq!(client.mailbox.payloads(), ["r:t/1=x"]);
}

/// An acknowledgement makes room for one message, and takes no longer to find it than a pump.
#[test]
fn an_acknowledgement_gives_way_like_a_pump() {
    let mut world = World::new();
    world.retain("0/x", "1", AtLeastOnce);
    world.retain("1/x", "2", AtLeastOnce);
    for number in 0..20_000 {
        world.retain(&format!("k{number}/y"), "beside it", AtLeastOnce);
    }
    world.retain("z/x", "3", AtLeastOnce);
    let client = world.connect_with("a", |open| open.receive_maximum = 1);
    world.subscribe(&client, "+/x", AtLeastOnce);
    assert_eq!(client.mailbox.payloads(), ["r:0/x=1"]);

    let acknowledge = |world: &mut World, packet_id| {
        world.engine.acknowledge(world.now, &client.attached, id(packet_id), PubAck, &mut world.round)
    };
    assert_eq!(acknowledge(&mut world, 1), Some(Pumped::More));
    assert_eq!(client.mailbox.payloads(), ["r:1/x=2"]);
    assert_eq!(acknowledge(&mut world, 2), Some(Pumped::More));
    world.pump(&client);
    assert_eq!(client.mailbox.payloads(), ["r:z/x=3"]);
    assert_eq!(acknowledge(&mut world, 2), None);
}

#[test]
fn an_expired_one_is_not_sent_and_goes() {
    let mut world = World::new();
    let expires_at = world.now + Duration::from_secs(5);
    world.publish_message(None, message("t", "x", AtMostOnce, true).expiring_at(Some(expires_at)));
    world.now += Duration::from_secs(5);
    let client = world.connect("a");
    world.subscribe(&client, "t", AtMostOnce);
    assert!(client.mailbox.take().is_empty());

    world.wait(0);
    assert_eq!(world.engine.counters().retained_messages.load(Relaxed), 0);
}

#[test]
fn bounds_refuse_new_ones_but_let_replace_and_clear() {
    let mut world = World::with(EngineConfig { retained_messages_max: 2, ..EngineConfig::default() });
    for (topic, payload) in [("a", "1"), ("b", "1"), ("c", "1"), ("a", "2"), ("b", ""), ("c", "2")] {
        world.retain(topic, payload, AtMostOnce);
    }
    let client = world.connect("x");
    world.subscribe(&client, "#", AtMostOnce);

    assert_eq!(client.mailbox.payloads(), ["r:a=2", "r:c=2"]);
    assert_eq!(world.engine.counters().retained_refused.load(Relaxed), 1);
}

#[test]
fn what_the_server_says_of_itself_takes_nobodys_room() {
    let mut world = World::with(EngineConfig { retained_messages_max: 1, ..EngineConfig::default() });
    let live = world.connect("live");
    world.subscribe(&live, "$SYS/#", AtLeastOnce);
    world.subscribe(&live, "#", AtMostOnce);
    for payload in ["1", "2"] {
        world.announce("$SYS/broker/uptime", payload);
        world.announce("$SYS/broker/version", payload);
    }
    let spoken = |payload: &str| [format!("$SYS/broker/uptime={payload}"), format!("$SYS/broker/version={payload}")];
    assert_eq!(live.mailbox.payloads(), [spoken("1"), spoken("2")].concat());
    for (text, expected) in [("$SYS/#", 2), ("$SYS/broker/uptime", 1), ("#", 0), ("+/broker/+", 0)] {
        let client = world.connect(text);
        world.subscribe(&client, text, AtMostOnce);
        let seen = client.mailbox.payloads();
        assert_eq!(seen.len(), expected, "{text}");
        assert!(seen.iter().all(|seen| seen.starts_with("r:$SYS/broker/") && seen.ends_with("=2")), "{seen:?}");
    }
    // The one place is still free, and the only one; what is the server's is in no count.
    world.retain("a", "kept", AtMostOnce);
    world.retain("b", "refused", AtMostOnce);
    world.announce("$SYS/broker/clients/total", "5");
    let counters = world.engine.counters();
    assert_eq!(counters.retained_messages.load(Relaxed), 1);
    assert_eq!(counters.retained_refused.load(Relaxed), 1);
    assert_eq!(counters.messages_received.load(Relaxed), 2);
    world.engine.retained.read().check_invariants();
}
