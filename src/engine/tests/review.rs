//! What was granted and is not granted any more: revoke, then act, and nothing is delivered (CVE-2021-34434, CVE-2018-12546).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use crate::engine::message::Acknowledgement::{PubAck, PubComp, PubRec};
use crate::engine::message::OpenSession;
use crate::engine::tests::law::Law;
use crate::engine::tests::world::{Client, World, will};
use crate::engine::{EngineConfig, Lost};
use crate::mqtt::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::mqtt::ReasonCode;

/// A kept session under `law`.
fn connect(world: &mut World, law: &Arc<Law>, client_id: &str) -> Client {
    connect_with(world, law, client_id, |_| {})
}

fn connect_with(world: &mut World, law: &Arc<Law>, client_id: &str, change: impl FnOnce(&mut OpenSession)) -> Client {
    world.connect_with(client_id, |open| {
        open.owner = law.owner();
        open.clean_start = false;
        open.expiry_interval_s = 3600;
        change(open);
    })
}

/// Comes back as a connection does it: what is owed is judged before it is sent.
fn resume(world: &mut World, law: &Arc<Law>, client_id: &str) -> (Client, Lost) {
    let opened = world.open(client_id, |open| {
        open.owner = law.owner();
        open.clean_start = false;
        open.expiry_interval_s = 3600;
    });
    let client = opened.expect("the session opens");
    let lost = world.engine.review(world.now, &client.attached, false, &mut world.round);
    world.pump(&client);
    (client, lost)
}

fn deny_filter(law: &Law, filter: &'static str) {
    law.change(|denials| assert!(denials.filters.insert(filter)));
}

fn deny_topic(law: &Law, topic: &'static str) {
    law.change(|denials| assert!(denials.topics.insert(topic)));
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

#[test]
fn a_live_subscription_goes_and_its_client_is_told() {
    let (mut world, law) = (World::new(), Law::new());
    let client = connect(&mut world, &law, "a");
    for filter in ["t/#", "u"] {
        world.subscribe(&client, filter, AtLeastOnce);
    }
    deny_filter(&law, "t/#");
    let lost = world.review();
    assert_eq!(lost[0].subscriptions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["t/#"]);
    assert_eq!(client.mailbox.payloads(), ["revoked t/#"]);

    assert_eq!(world.publish("t/x", "lost", AtLeastOnce).receivers, 0);
    assert_eq!(world.publish("u", "kept", AtLeastOnce).receivers, 1);
    assert_eq!(client.mailbox.payloads(), ["u=kept"]);
    assert!(!world.unsubscribe(&client, "t/#"), "there is none");
    let counters = world.engine.counters();
    assert_eq!((count(&counters.subscriptions_revoked), count(&counters.subscriptions)), (1, 1));
    // There is room again for as much as was lost.
    world.subscribe(&client, "v", AtMostOnce);
    world.engine.check_invariants();
}

#[test]
fn a_durable_subscription_of_who_is_away_goes_and_is_told_of_on_return() {
    let (mut world, law) = (World::new(), Law::new());
    let client = connect(&mut world, &law, "a");
    for filter in ["t", "u"] {
        world.subscribe(&client, filter, AtLeastOnce);
    }
    world.disconnect(client);
    deny_filter(&law, "t");
    world.review();
    assert_eq!(world.publish("t", "lost", AtLeastOnce).receivers, 0);
    world.publish("u", "kept", AtLeastOnce);

    let (client, lost) = resume(&mut world, &law, "a");
    assert!(client.session_present && lost.is_nothing());
    assert_eq!(client.revoked.iter().map(ToString::to_string).collect::<Vec<_>>(), ["t"]);
    assert_eq!(client.mailbox.payloads(), ["u=kept"]);
    world.disconnect(client);
    assert!(resume(&mut world, &law, "a").0.revoked.is_empty(), "once");
}

#[test]
fn a_grant_in_part_becomes_a_residue_and_back() {
    let (mut world, law) = (World::new(), Law::new());
    let client = connect(&mut world, &law, "a");
    world.subscribe(&client, "t/#", AtLeastOnce);
    deny_topic(&law, "t/secret");
    assert_eq!(world.review()[0].lessened_count, 1);
    for topic in ["t/secret", "t/open"] {
        world.publish(topic, "1", AtMostOnce);
    }
    assert_eq!(client.mailbox.payloads(), ["t/open=1"], "nobody is told of what is not lost as a whole");

    law.change(|denials| denials.topics = ["t/open"].into());
    assert_eq!(world.review()[0].lessened_count, 0);
    for topic in ["t/secret", "t/open"] {
        world.publish(topic, "2", AtMostOnce);
    }
    assert_eq!(client.mailbox.payloads(), ["t/secret=2"], "by the check of the law that holds");

    law.change(|denials| denials.topics.clear());
    world.review();
    world.publish("t/open", "3", AtMostOnce);
    assert_eq!(client.mailbox.payloads(), ["t/open=3"]);
}

#[test]
fn a_qos_follows_the_grant_up_to_what_suback_said() {
    let (mut world, law) = (World::new(), Law::new());
    let client = connect(&mut world, &law, "a");
    world.subscribe(&client, "t", AtLeastOnce);
    world.subscribe(&client, "$share/g/s", ExactlyOnce);
    for (highest, lessened, plain, shared) in [
        (AtMostOnce, 2, 0, 0),
        (ExactlyOnce, 0, 1, 2),
        (AtLeastOnce, 1, 1, 1),
        (AtMostOnce, 2, 0, 0),
        (AtLeastOnce, 0, 1, 1),
    ] {
        law.change(|denials| denials.maximum_qos = highest);
        assert_eq!(world.review()[0].lessened_count, lessened, "under {highest:?}");
        assert_eq!(world.review()[0].lessened_count, 0, "twice is once");
        for (topic, expected) in [("t", plain), ("s", shared)] {
            world.publish(topic, "x", ExactlyOnce);
            let crate::engine::tests::world::Sent::Publish(copy) = &client.mailbox.take()[0] else { panic!() };
            assert_eq!(copy.qos, expected, "{topic} under {highest:?}");
        }
    }
    // Whoever subscribes anew is told anew, and that holds.
    law.change(|denials| denials.maximum_qos = ExactlyOnce);
    world.review();
    world.subscribe(&client, "t", AtMostOnce);
    world.review();
    world.publish("t", "x", ExactlyOnce);
    let crate::engine::tests::world::Sent::Publish(copy) = &client.mailbox.take()[0] else { panic!() };
    assert_eq!(copy.qos, 0);
}

#[test]
fn a_retained_message_that_waits_is_not_sent() {
    for (filter, topic, expected) in [(Some("t/#"), None, vec![]), (None, Some("t/1"), vec!["r:t/2=b"])] {
        let (mut world, law) = (World::new(), Law::new());
        world.retain("t/1", "a", AtLeastOnce);
        world.retain("t/2", "b", AtLeastOnce);
        let client = connect(&mut world, &law, "a");
        client.mailbox.set_room(0);
        world.subscribe(&client, "t/#", AtLeastOnce);
        law.change(|denials| {
            denials.filters.extend(filter);
            denials.topics.extend(topic);
        });
        world.review();
        client.mailbox.set_room(usize::MAX);
        world.pump(&client);
        let mut seen = client.mailbox.payloads();
        seen.retain(|line| !line.starts_with("revoked"));
        assert_eq!(seen, expected);
        // They stay retained, for who may have them.
        assert_eq!(count(&world.engine.counters().retained_messages), 2);
        let other = world.connect("b");
        world.subscribe(&other, "t/#", AtMostOnce);
        assert_eq!(other.mailbox.take().len(), 2);
    }
}

#[test]
fn queued_messages_are_judged_by_their_topics() {
    let (mut world, law) = (World::new(), Law::new());
    let client = connect(&mut world, &law, "a");
    world.subscribe(&client, "t/#", ExactlyOnce);
    world.disconnect(client);
    for (topic, payload, qos) in [("t/1", "a", AtLeastOnce), ("t/2", "b", ExactlyOnce), ("t/1", "c", ExactlyOnce)] {
        world.publish(topic, payload, qos);
    }
    deny_topic(&law, "t/1");
    let lost = world.review();
    assert_eq!((lost[0].messages_count, count(&world.engine.counters().messages_revoked)), (2, 2));
    let (client, _) = resume(&mut world, &law, "a");
    assert_eq!(client.mailbox.payloads(), ["t/2=b"]);
}

#[test]
fn who_comes_back_is_judged_before_anything_is_sent() {
    let (mut world, law) = (World::new(), Law::new());
    let client = connect(&mut world, &law, "a");
    world.subscribe(&client, "t/#", AtLeastOnce);
    world.disconnect(client);
    world.publish("t/1", "queued", AtLeastOnce);
    deny_filter(&law, "t/#");
    deny_topic(&law, "t/1");
    // No review of all.
    let (client, lost) = resume(&mut world, &law, "a");
    assert_eq!((lost.subscriptions.len(), lost.messages_count), (1, 1));
    assert!(client.mailbox.take().is_empty());
    assert_eq!(world.publish("t/1", "x", AtLeastOnce).receivers, 0);
}

#[test]
fn a_slow_client_loses_what_waits_for_it_qos_0_included() {
    let (mut world, law) = (World::with(EngineConfig { inflight_max: 1, ..EngineConfig::default() }), Law::new());
    let client = connect(&mut world, &law, "a");
    world.subscribe(&client, "t/#", AtLeastOnce);
    for (topic, qos) in [("t/1", AtLeastOnce), ("t/1", AtLeastOnce), ("t/1", AtMostOnce), ("t/2", AtLeastOnce)] {
        world.publish(topic, "x", qos);
    }
    assert_eq!(client.mailbox.payloads(), ["t/1=x"]);
    deny_topic(&law, "t/1");
    assert_eq!(world.review()[0].messages_count, 2, "what it has already is not taken back");
    assert!(world.acknowledge(&client, 1, PubAck), "and its handshake comes to its end");
    assert_eq!(client.mailbox.payloads(), ["t/2=x"]);
    assert!(world.acknowledge(&client, 2, PubAck));
}

#[test]
fn qos_1_in_flight_is_never_sent_again_and_leaves_its_place() {
    let (mut world, law) = (World::with(EngineConfig { inflight_max: 2, ..EngineConfig::default() }), Law::new());
    let client = connect(&mut world, &law, "a");
    world.subscribe(&client, "#", AtLeastOnce);
    for topic in ["t", "u"] {
        world.publish(topic, "1", AtLeastOnce);
    }
    client.mailbox.take();
    deny_topic(&law, "t");
    assert_eq!(world.review()[0].messages_count, 0);
    world.disconnect(client);
    let (client, lost) = resume(&mut world, &law, "a");
    assert_eq!(lost.messages_count, 1);
    assert_eq!(client.mailbox.payloads(), ["!u=1"]);
    // The window has the place again, and no Packet Identifier is held.
    world.publish("u", "2", AtLeastOnce);
    assert_eq!(client.mailbox.payloads(), ["u=2"]);
    assert!(!world.acknowledge(&client, 1, PubAck), "it is free");
    world.engine.check_invariants();
}

#[test]
fn qos_2_in_flight_ends_its_handshake_without_its_content() {
    let (mut world, law) = (World::new(), Law::new());
    let client = connect(&mut world, &law, "a");
    world.subscribe(&client, "t", ExactlyOnce);
    for payload in ["sent", "received"] {
        world.publish("t", payload, ExactlyOnce);
    }
    assert!(world.acknowledge(&client, 2, PubRec));
    client.mailbox.take();
    deny_topic(&law, "t");
    // Here both go on as they were: the client has them.
    assert_eq!(world.review()[0].messages_count, 0);
    world.disconnect(client);
    assert_eq!(world.review()[0].messages_count, 1, "the one that would be sent again");
    assert_eq!(world.review()[0].messages_count, 0);

    let (client, _) = resume(&mut world, &law, "a");
    assert_eq!(client.mailbox.payloads(), ["PUBREL 1", "PUBREL 2"]);
    for packet_id in [1, 2] {
        assert!(world.acknowledge(&client, packet_id, PubComp));
        assert!(!world.acknowledge(&client, packet_id, PubComp));
    }
}

#[test]
fn a_handshake_under_way_ends_on_the_connection_that_began_it() {
    let (mut world, law) = (World::new(), Law::new());
    let client = connect(&mut world, &law, "a");
    world.subscribe(&client, "t", ExactlyOnce);
    world.publish("t", "x", ExactlyOnce);
    client.mailbox.take();
    deny_filter(&law, "t");
    deny_topic(&law, "t");
    world.review();
    assert!(world.acknowledge(&client, 1, PubRec));
    assert_eq!(client.mailbox.payloads(), ["revoked t", "PUBREL 1"]);
    assert!(world.acknowledge(&client, 1, PubComp));
}

#[test]
fn a_will_is_judged_at_the_review_and_when_it_fires() {
    let (mut world, law) = (World::new(), Law::new());
    let watcher = world.connect("watcher");
    world.subscribe(&watcher, "w", AtMostOnce);
    // When it fires: no review has looked at it.
    let live = connect_with(&mut world, &law, "live", |open| open.will = Some(will("w", "live", 0)));
    deny_topic(&law, "w");
    world.lose(live);
    assert_eq!(count(&world.engine.counters().wills_revoked), 1);

    // At the review: what is granted again later comes too late.
    law.change(|denials| denials.topics.clear());
    let live = connect_with(&mut world, &law, "b", |open| open.will = Some(will("w", "b", 0)));
    let away = connect_with(&mut world, &law, "c", |open| open.will = Some(will("w", "c", 10)));
    world.lose(away);
    deny_topic(&law, "w");
    assert_eq!(world.review().iter().filter(|lost| lost.has_will).count(), 2);
    assert!(world.review().iter().all(Lost::is_nothing));
    law.change(|denials| denials.topics.clear());
    world.lose(live);
    world.wait(20);
    assert_eq!(watcher.mailbox.payloads(), [""; 0]);
    let counters = world.engine.counters();
    assert_eq!((count(&counters.wills_published), count(&counters.wills_revoked)), (0, 3));
    world.engine.check_invariants();
}

/// MQTT 5.0 §4.8.2
#[test]
fn a_lost_membership_leaves_its_messages_to_the_others() {
    const SHARED: &str = "$share/g/t/#";
    let (mut world, law, other_law) = (World::new(), Law::new(), Law::new());
    let [leaving, staying] =
        [("a", &law), ("b", &other_law)].map(|(client_id, law)| connect(&mut world, law, client_id));
    for client in [&leaving, &staying] {
        world.subscribe(client, SHARED, AtLeastOnce);
    }
    for client in [leaving, staying] {
        world.disconnect(client);
    }
    for payload in ["1", "2", "3", "4"] {
        world.publish("t/x", payload, AtLeastOnce);
    }
    deny_filter(&law, SHARED);
    deny_topic(&law, "t/x");
    world.review();
    let counters = world.engine.counters();
    assert_eq!((count(&counters.handed_on), count(&counters.messages_revoked)), (2, 0));
    assert_eq!(count(&counters.shared_subscriptions), 1);
    let (leaving, _) = resume(&mut world, &law, "a");
    assert!(leaving.mailbox.take().is_empty());
    let (staying, _) = resume(&mut world, &other_law, "b");
    assert_eq!(staying.mailbox.take().len(), 4);

    // The last one that may have them takes them along.
    world.disconnect(staying);
    deny_filter(&other_law, SHARED);
    deny_topic(&other_law, "t/x");
    world.review();
    assert_eq!(count(&world.engine.counters().messages_revoked), 4);
    assert_eq!(world.publish("t/x", "5", AtLeastOnce).receivers, 0);
    world.engine.check_invariants();
}

#[test]
fn who_may_not_be_here_loses_everything_and_is_asked_to_go() {
    let (mut world, law) = (World::new(), Law::new());
    let [live, away] = ["a", "b"].map(|client_id| {
        let client = connect_with(&mut world, &law, client_id, |open| open.will = Some(will("w", "x", 60)));
        world.subscribe(&client, "t", AtLeastOnce);
        client
    });
    world.lose(away);
    world.publish("t", "x", AtLeastOnce);
    live.mailbox.take();
    law.change(|denials| denials.everything = true);
    let lost = world.review();
    let dismissed = lost.iter().map(|lost| (lost.is_dismissed, lost.subscriptions.len(), lost.has_will));
    assert_eq!(dismissed.collect::<Vec<_>>(), [(true, 1, true), (false, 1, true)]);
    assert_eq!(live.mailbox.closed_with(), Some(ReasonCode::NotAuthorized));
    assert!(live.mailbox.take().is_empty(), "it is told that, and no more");
    assert_eq!(count(&world.engine.counters().messages_revoked), 1);
    assert_eq!(world.publish("t", "x", AtLeastOnce).receivers, 0);
}

#[test]
fn a_session_of_many_subscriptions_is_reviewed_piece_by_piece() {
    let (mut world, law) = (World::new(), Law::new());
    let client = connect(&mut world, &law, "a");
    for number in 0..1000 {
        world.subscribe(&client, &format!("t/{number}"), AtMostOnce);
    }
    deny_filter(&law, "t/7");
    let mut sweep = crate::engine::Sweep::default();
    let mut pieces_count = 0;
    while !matches!(world.engine.sweep(world.now, &mut sweep, &mut world.round), crate::engine::Swept::End) {
        pieces_count += 1;
    }
    assert!(pieces_count > 10, "{pieces_count}");
    assert_eq!(client.mailbox.payloads(), ["revoked t/7"]);
    assert_eq!(world.engine.subscriptions(&client.attached).len(), 999);
}

const TOPICS: [&str; 4] = ["t", "t/1", "t/2", "u"];
const FILTERS: [&str; 6] = ["t", "t/+", "t/#", "u", "#", "$share/g/t/#"];

/// What can be seen of a world from outside.
fn shown(world: &World) -> Vec<u64> {
    let counters = world.engine.counters();
    let counted = [
        &counters.subscriptions,
        &counters.shared_subscriptions,
        &counters.subscriptions_revoked,
        &counters.messages_revoked,
        &counters.wills_revoked,
        &counters.handed_on,
        &counters.deliveries,
        &counters.queued,
    ];
    counted.into_iter().map(count).chain([world.engine.waiting_count()]).collect()
}

proptest! {
    #[test]
    fn reviewing_twice_is_reviewing_once(
        subscribed in prop::collection::vec((0..3_usize, 0..FILTERS.len(), 0..3_u8), 0..12),
        published in prop::collection::vec((0..TOPICS.len(), 0..3_u8), 0..12),
        denied in prop::collection::btree_set(prop::sample::select(TOPICS.to_vec()), 0..3),
        lost in prop::collection::btree_set(prop::sample::select(FILTERS.to_vec()), 0..4),
        maximum_qos in 0..3_u8,
        away in prop::collection::vec(any::<bool>(), 3),
    ) {
        let qos_of = |number: u8| [QoS::AtMostOnce, AtLeastOnce, ExactlyOnce][usize::from(number)];
        let (mut world, law) = (World::new(), Law::new());
        let clients = ["a", "b", "c"].map(|client_id| {
            connect_with(&mut world, &law, client_id, |open| open.will = Some(will("t", "gone", 60)))
        });
        for (client, filter, qos) in subscribed {
            world.subscribe(&clients[client], FILTERS[filter], qos_of(qos));
        }
        let mut present = Vec::new();
        for (client, is_away) in clients.into_iter().zip(away) {
            if is_away {
                world.lose(client);
            } else {
                present.push(client);
            }
        }
        for (topic, qos) in published {
            world.publish(TOPICS[topic], "x", qos_of(qos));
        }
        law.change(|denials| {
            denials.topics = denied.clone();
            denials.filters = lost.clone();
            denials.maximum_qos = qos_of(maximum_qos);
        });
        world.review();
        present.iter().for_each(|client| drop(client.mailbox.take()));
        let once = shown(&world);
        for lost in world.review() {
            prop_assert!(lost.is_nothing(), "{:?}", lost);
        }
        prop_assert_eq!(shown(&world), once);
        prop_assert!(present.iter().all(|client| client.mailbox.take().is_empty()), "nobody is told twice");

        // And nothing denied goes out, to who is here or comes back.
        for topic in TOPICS {
            world.publish(topic, "later", ExactlyOnce);
        }
        for client_id in ["a", "b", "c"] {
            present.push(resume(&mut world, &law, client_id).0);
        }
        for client in present {
            for sent in client.mailbox.take() {
                let crate::engine::tests::world::Sent::Publish(copy) = sent else { continue };
                prop_assert!(!denied.contains(&*copy.topic), "{:?}", copy);
            }
        }
    }
}
