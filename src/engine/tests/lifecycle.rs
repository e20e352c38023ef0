//! How sessions come, go and are kept, and their Wills.

use std::sync::atomic::Ordering::Relaxed;

use crate::engine::EngineConfig;
use crate::engine::message::{Closing, OpenError, Unbound};
use crate::engine::tests::world::{World, will};
use crate::mqtt::QoS::{AtLeastOnce, AtMostOnce};
use crate::mqtt::ReasonCode;

#[test]
fn a_session_without_expiry_ends_with_its_connection() {
    let mut world = World::new();
    let client = world.connect_with("a", |open| open.clean_start = false);
    world.subscribe(&client, "t", AtLeastOnce);
    world.lose(client);

    assert_eq!(world.publish("t", "x", AtLeastOnce).receivers, 0);
    assert!(!world.connect_with("a", |open| open.clean_start = false).session_present);
    world.engine.check_invariants();
}

#[test]
fn a_kept_session_goes_on_until_it_expires() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    assert!(!client.session_present);
    world.subscribe(&client, "t", AtLeastOnce);
    world.disconnect(client);
    world.wait(3599);
    let client = world.connect_kept("a");
    assert!(client.session_present);
    world.disconnect(client);

    world.wait(3600);
    assert_eq!(world.publish("t", "x", AtLeastOnce).receivers, 0);
    assert!(!world.connect_kept("a").session_present);
    assert_eq!(world.engine.counters().sessions_expired.load(Relaxed), 1);
}

#[test]
fn a_session_whose_time_is_over_is_not_resumed_even_before_the_tick() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    world.disconnect(client);
    world.now += std::time::Duration::from_secs(3600);
    assert!(!world.connect_kept("a").session_present);
    world.engine.check_invariants();
}

#[test]
fn expiry_is_capped_and_disconnect_may_change_it() {
    let config = EngineConfig { session_expiry_max: std::time::Duration::from_secs(100), ..EngineConfig::default() };
    let mut world = World::with(config);
    let forever = world.connect_with("forever", |open| open.expiry_interval_s = u32::MAX);
    let shortened = world.connect_kept("shortened");
    world.disconnect(forever);
    world.close(shortened, Closing { publish_will: false, expiry_interval_s: Some(10) });

    world.wait(50);
    assert_eq!(world.engine.counters().sessions.load(Relaxed), 1);
    world.wait(50);
    assert_eq!(world.engine.counters().sessions.load(Relaxed), 0);
}

#[test]
fn a_clean_start_discards_what_was() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    world.subscribe(&client, "t", AtLeastOnce);
    world.disconnect(client);
    world.publish("t", "x", AtLeastOnce);

    let client = world.connect("a");
    assert!(!client.session_present);
    assert!(client.mailbox.take().is_empty());
    assert_eq!(world.publish("t", "x", AtLeastOnce).receivers, 0);
    assert_eq!(world.engine.counters().dropped_session_ended.load(Relaxed), 1);
}

/// [MQTT-3.1.4-3]
#[test]
fn a_second_connection_takes_the_session_over() {
    let mut world = World::new();
    let first = world.connect_kept("a");
    world.subscribe(&first, "t", AtLeastOnce);
    let second = world.connect_kept("a");
    assert!(second.session_present);
    assert_eq!(first.mailbox.closed_with(), Some(ReasonCode::SessionTakenOver));
    assert_eq!(world.engine.counters().sessions_connected.load(Relaxed), 1);

    world.subscribe(&first, "late", AtLeastOnce);
    assert_eq!(world.publish("late", "x", AtLeastOnce).receivers, 0);
    world.lose(first);
    world.publish("t", "x", AtLeastOnce);
    assert_eq!(second.mailbox.payloads(), ["t=x"]);
    world.engine.check_invariants();
}

#[test]
fn only_the_connection_that_has_the_session_may_publish() {
    let mut world = World::new();
    let first = world.connect_kept("a");
    assert!(first.attached.publishing().is_some());
    let second = world.connect_kept("a");
    assert!(first.attached.publishing().is_none() && second.attached.publishing().is_some());
    let third = world.connect("a");
    assert!(second.attached.publishing().is_none() && third.attached.publishing().is_some());
    world.lose(first);
    world.lose(second);
    assert!(third.attached.publishing().is_some());
}

#[test]
fn a_session_that_is_not_kept_is_not_resumed_by_takeover() {
    let mut world = World::new();
    let first = world.connect("a");
    world.subscribe(&first, "t", AtLeastOnce);
    let second = world.connect_kept("a");
    assert!(!second.session_present);
    assert_eq!(first.mailbox.closed_with(), Some(ReasonCode::SessionTakenOver));
    assert_eq!(world.publish("t", "x", AtLeastOnce).receivers, 0);
    world.lose(first);
    world.engine.check_invariants();
}

#[test]
fn a_session_belongs_to_its_owner() {
    let mut world = World::new();
    let client = world.connect_kept("a");
    let other = |world: &mut World| world.open("a", |open| open.owner = Unbound::named("somebody else")).err();
    assert_eq!(other(&mut world), Some(OpenError::OwnedByAnother));
    assert_eq!(client.mailbox.closed_with(), None);
    world.disconnect(client);
    assert_eq!(other(&mut world), Some(OpenError::OwnedByAnother));
    world.wait(3600);
    assert_eq!(other(&mut world), None);
}

#[test]
fn there_are_so_many_sessions() {
    let mut world = World::with(EngineConfig { sessions_max: 2, ..EngineConfig::default() });
    let (first, _second) = (world.connect("a"), world.connect("b"));
    assert_eq!(world.open("c", |_| {}).err(), Some(OpenError::SessionsFull));
    assert!(world.open("b", |_| {}).is_ok(), "a takeover needs no place");
    world.disconnect(first);
    assert!(world.open("c", |_| {}).is_ok());
}

/// [MQTT-3.1.2-8], [MQTT-3.14.4-3]
#[test]
fn a_will_is_published_unless_the_client_said_goodbye() {
    let mut world = World::new();
    let watcher = world.connect("watcher");
    world.subscribe(&watcher, "will/#", AtMostOnce);
    let lost = world.connect_with("lost", |open| open.will = Some(will("will/lost", "gone", 0)));
    let polite = world.connect_with("polite", |open| open.will = Some(will("will/polite", "gone", 0)));
    world.disconnect(polite);
    world.lose(lost);
    assert_eq!(watcher.mailbox.payloads(), ["will/lost=gone"]);
    assert_eq!(world.engine.counters().wills_published.load(Relaxed), 1);
}

/// MQTT 5.0 §3.1.3.2.2
#[test]
fn a_delayed_will_waits_for_its_time_or_the_sessions_end() {
    let mut world = World::new();
    let watcher = world.connect("watcher");
    world.subscribe(&watcher, "#", AtMostOnce);
    for (client_id, delay_s, expiry_s) in [("delayed", 10, 100), ("ends first", 100, 20), ("ends at once", 100, 0)] {
        let client = world.connect_with(client_id, |open| {
            open.will = Some(will("w", client_id, delay_s));
            open.expiry_interval_s = expiry_s;
        });
        world.lose(client);
    }
    assert_eq!(watcher.mailbox.payloads(), ["w=ends at once"]);
    world.wait(9);
    assert!(watcher.mailbox.take().is_empty());
    world.wait(1);
    assert_eq!(watcher.mailbox.payloads(), ["w=delayed"]);
    world.wait(10);
    assert_eq!(watcher.mailbox.payloads(), ["w=ends first"]);
    world.wait(1000);
    assert!(watcher.mailbox.take().is_empty());
    world.engine.check_invariants();
}

/// [MQTT-3.1.3-9]
#[test]
fn coming_back_in_time_cancels_a_delayed_will() {
    let mut world = World::new();
    let watcher = world.connect("watcher");
    world.subscribe(&watcher, "#", AtMostOnce);
    let connect = |world: &mut World, clean_start| {
        world.connect_with("a", |open| {
            open.will = Some(will("w", "gone", 10));
            open.clean_start = clean_start;
            open.expiry_interval_s = 3600;
        })
    };
    let first = connect(&mut world, false);
    world.lose(first);
    let second = connect(&mut world, false);
    let third = connect(&mut world, false);
    world.lose(second);
    world.wait(60);
    assert!(watcher.mailbox.take().is_empty(), "resumed in time, by reconnect and by takeover");

    world.lose(third);
    let fourth = connect(&mut world, true);
    assert_eq!(watcher.mailbox.payloads(), ["w=gone"], "a clean start ends the session before");
    world.disconnect(fourth);
    world.wait(60);
    assert!(watcher.mailbox.take().is_empty());
}

/// MQTT 5.0 §3.1.4, MQTT 3.1.1 §3.1.2.5
#[test]
fn a_takeover_publishes_a_will_without_delay() {
    let mut world = World::new();
    let watcher = world.connect("watcher");
    world.subscribe(&watcher, "#", AtMostOnce);
    let connect = |world: &mut World| {
        world.connect_with("a", |open| {
            open.will = Some(will("w", "gone", 0));
            open.clean_start = false;
            open.expiry_interval_s = 60;
        })
    };
    let _first = connect(&mut world);
    let _second = connect(&mut world);
    assert_eq!(watcher.mailbox.payloads(), ["w=gone"]);
}

#[test]
fn a_wills_expiry_counts_from_its_publication() {
    let mut world = World::new();
    let keeper = world.connect_kept("keeper");
    world.subscribe(&keeper, "w", AtLeastOnce);
    world.disconnect(keeper);
    let client = world.connect_with("a", |open| {
        let mut late = will("w", "gone", 0);
        late.message = std::sync::Arc::new(crate::engine::tests::world::message("w", "gone", AtLeastOnce, false));
        late.message_expiry_interval_s = Some(30);
        open.will = Some(late);
    });
    world.wait(100);
    world.lose(client);
    world.wait(29);
    let keeper = world.connect_kept("keeper");
    assert_eq!(keeper.mailbox.payloads(), ["w=gone"]);
}

/// [MQTT-3.1.3-9] speaks of a connection made before the delay has passed.
#[test]
fn a_will_whose_time_has_come_is_published_even_if_its_client_is_back_before_the_tick() {
    for (away_ms, expected) in [(4999, &[][..]), (5000, &["will=gone"])] {
        let mut world = World::new();
        let watcher = world.connect("watcher");
        world.subscribe(&watcher, "will", AtMostOnce);
        let client = world.connect_with("a", |open| {
            open.expiry_interval_s = 3600;
            open.will = Some(will("will", "gone", 5));
        });
        world.lose(client);
        world.now += std::time::Duration::from_millis(away_ms);
        assert!(world.connect_kept("a").session_present);
        world.wait(1);
        assert_eq!(watcher.mailbox.payloads(), expected);
    }
}
