//! Many threads at once: no lock order is broken, and nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::engine::message::{Acknowledgement, Closing, OpenSession, Outlet, Round, Unbound};
use crate::engine::tests::world::{Mailbox, Sent, World, filter, id, message, request, will};
use crate::engine::{Engine, Pumped};
use crate::mqtt::QoS::{AtLeastOnce, AtMostOnce};
use crate::mqtt::{ClientId, QoS};

const THREADS: usize = 4;
const TURNS: usize = 400;

/// The same few Client Identifiers reconnect, subscribe, publish and acknowledge from every thread (compare CVE-2025-59946).
#[test]
fn sessions_fought_over_by_threads_leave_nothing_behind() {
    let mut world = World::new();
    // Whoever comes first takes these over.
    let _first = ["a", "b", "c"].map(|client_id| world.connect_kept(client_id));
    let (engine, now) = (&world.engine, world.now);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (0..TURNS).for_each(|turn| take_turn(engine, now, thread, turn)));
        }
    });
    engine.check_invariants();

    engine.tick(now + Duration::from_secs(3600), &mut Round::default());
    engine.check_invariants();
    let counters = engine.counters();
    for counter in [&counters.sessions, &counters.sessions_connected, &counters.subscriptions] {
        assert_eq!(counter.load(Relaxed), 0);
    }
    assert!(counters.takeovers.load(Relaxed) >= 3);
}

fn take_turn(engine: &Engine, now: Instant, thread: usize, turn: usize) {
    let mut round = Round::default();
    let mailbox = Mailbox::new();
    let client_id = ["a", "b", "c"][(thread + turn) % 3];
    let open = OpenSession {
        client_id: ClientId::new(client_id),
        owner: Unbound::named("owner"),
        clean_start: turn.is_multiple_of(7),
        expiry_interval_s: if turn.is_multiple_of(3) { 0 } else { 60 },
        receive_maximum: 10,
        will: turn.is_multiple_of(2).then(|| will("t/will", "gone", (turn % 4) as u32)),
        outlet: Arc::clone(&mailbox) as Arc<dyn Outlet>,
    };
    let attached = engine.open(now, open, &mut round).expect("there is room").session;
    while engine.pump(now, &attached, &mut round) == Pumped::More {}
    for text in ["t/#", "t/+", "t/1", "$share/g/t/1"] {
        let mut request = request(text);
        request.options.maximum_qos = QoS::AtLeastOnce;
        engine.subscribe(&attached, request).expect("within the quota");
    }
    let _ = engine.pump(now, &attached, &mut round);
    for (topic, qos, retain) in [("t/1", AtLeastOnce, turn.is_multiple_of(5)), ("t/2", AtMostOnce, false)] {
        let Some(mut turn) = attached.publishing() else { continue };
        engine.publish(now, Some(&mut turn), &Arc::new(message(topic, "x", qos, retain)), &mut round);
    }
    for sent in mailbox.take() {
        if let Sent::Publish(copy) = sent
            && let Some(packet_id) = copy.packet_id
        {
            engine.acknowledge(now, &attached, id(packet_id), Acknowledgement::PubAck, &mut round);
        }
    }
    engine.unsubscribe(now, &attached, &filter("t/+"), &mut round);
    engine.tick(now, &mut round);
    round.drain().for_each(|outlet| outlet.flush());
    if !turn.is_multiple_of(4) {
        engine.close(
            now,
            attached,
            Closing { publish_will: turn.is_multiple_of(2), expiry_interval_s: None },
            &mut round,
        );
    } else {
        // The second close comes too late and does nothing.
        let late = attached.clone();
        engine.close(now, attached, Closing { publish_will: true, expiry_interval_s: Some(60) }, &mut round);
        engine.close(now, late, Closing { publish_will: true, expiry_interval_s: None }, &mut round);
    }
}
