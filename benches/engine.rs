//! The engine alone: matching, fan-out to outlets that only record, subscribing, and what sessions and filters cost in memory.
//!
//! `cargo bench --bench engine`. Where a bench holds many things, its "max alloc" divided by their number is the cost of one.

#[path = "parts/house.rs"]
mod house;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use house::House;
use tidegate::engine::message::{Acknowledgement, Message};
use tidegate::engine::{Attached, Pumped};
use tidegate::mqtt::{PacketId, QoS, TopicFilter, TopicName};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn message(topic: &str, qos: QoS) -> Arc<Message> {
    Arc::new(Message::new(&TopicName::parse(topic).expect("valid"), &[], &[b'x'; 64], qos, false))
}

/// A third exact, a third with `+`, a third with `#`, each its own.
fn filter_of(number: usize) -> String {
    match number % 3 {
        0 => format!("site/{}/device/{number}/state", number % 100),
        1 => format!("site/{}/device/{number}/+", number % 100),
        _ => format!("site/{}/device/{number}/#", number % 100),
    }
}

/// A house with 100,000 filters of 100 sessions.
fn house_of_filters() -> (House, Vec<Attached>) {
    let mut house = House::new();
    let sessions = (0..100).map(|number| house.connect(number).0).collect::<Vec<_>>();
    for number in 0..100_000 {
        house.subscribe(&sessions[number % 100], &filter_of(number), QoS::AtMostOnce);
    }
    (house, sessions)
}

#[divan::bench(args = [1, 1000, 10_000])]
fn fan_out_qos_0(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut house = House::new();
    let clients = (0..receivers).map(|number| house.connect(number)).collect::<Vec<_>>();
    for (session, _) in &clients {
        house.subscribe(session, "news/today", QoS::AtMostOnce);
    }
    let message = message("news/today", QoS::AtMostOnce);
    bencher.counter(ItemsCount::new(receivers)).bench_local(|| {
        assert_eq!(house.publish(black_box(&message)), receivers);
    });
}

/// Everybody has one filter, and one of them another that matches as well.
#[divan::bench(args = [1000])]
fn fan_out_qos_0_overlapping(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut house = House::new();
    let clients = (0..receivers).map(|number| house.connect(number)).collect::<Vec<_>>();
    for (session, _) in &clients {
        house.subscribe(session, "news/today", QoS::AtMostOnce);
    }
    house.subscribe(&clients[0].0, "#", QoS::AtMostOnce);
    let message = message("news/today", QoS::AtMostOnce);
    bencher.counter(ItemsCount::new(receivers)).bench_local(|| {
        assert_eq!(house.publish(black_box(&message)), receivers);
    });
}

/// With the acknowledgement of each.
#[divan::bench(args = [500])]
fn fan_out_qos_1(bencher: Bencher<'_, '_>, receivers: usize) {
    let mut house = House::new();
    let clients = (0..receivers).map(|number| house.connect(number)).collect::<Vec<_>>();
    for (session, _) in &clients {
        house.subscribe(session, "news/today", QoS::AtLeastOnce);
    }
    let message = message("news/today", QoS::AtLeastOnce);
    bencher.counter(ItemsCount::new(receivers)).bench_local(|| {
        assert_eq!(house.publish(black_box(&message)), receivers);
        for (session, tray) in &clients {
            let packet_id = tray.packet_id.load(Ordering::Relaxed) as u16;
            let packet_id = PacketId::new(packet_id).expect("it was sent with one");
            let acknowledgement = Acknowledgement::PubAck;
            let pumped = house.engine.acknowledge(house.now, session, packet_id, acknowledgement, &mut house.round);
            assert_eq!(pumped, Some(Pumped::Done));
        }
    });
}

/// Messages that three filters match each (exactly, by `+`, by `#`), on topics in no order, among few and among many filters.
#[divan::bench(args = [300, 100_000])]
fn publish_matching_three_of(bencher: Bencher<'_, '_>, filters: usize) {
    let mut house = House::new();
    let sessions = (0..100).map(|number| house.connect(number).0).collect::<Vec<_>>();
    let groups = filters / 3;
    for number in 0..groups * 3 {
        let group = number / 3;
        let last = ["state", "+", "#"][number % 3];
        house.subscribe(&sessions[number % 100], &format!("site/{}/{group}/{last}", group / 100), QoS::AtMostOnce);
    }
    let topic_of = |number: usize| {
        let group = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % groups;
        format!("site/{}/{group}/state", group / 100)
    };
    let messages = (0..4096).map(|number| message(&topic_of(number), QoS::AtMostOnce)).collect::<Vec<_>>();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = (turn + 1) % messages.len();
        assert_eq!(house.publish(black_box(&messages[turn])), 3);
    });
}

/// A message that nobody wants.
#[divan::bench]
fn publish_unmatched_among_100k_filters(bencher: Bencher<'_, '_>) {
    let (mut house, _sessions) = house_of_filters();
    let message = message("site/7/sensor/300/state", QoS::AtMostOnce);
    bencher.bench_local(|| assert_eq!(house.publish(black_box(&message)), 0));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn subscribe_100k_filters(bencher: Bencher<'_, '_>) {
    let make = || {
        let mut house = House::new();
        let sessions = (0..100).map(|number| house.connect(number).0).collect::<Vec<_>>();
        let filters = (0..100_000).map(filter_of).collect::<Vec<_>>();
        (house, sessions, filters)
    };
    bencher.counter(ItemsCount::new(100_000_usize)).with_inputs(make).bench_local_values(
        |(house, sessions, filters)| {
            for (number, filter) in filters.iter().enumerate() {
                house.subscribe(&sessions[number % 100], filter, QoS::AtMostOnce);
            }
            (house, sessions, filters)
        },
    );
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn unsubscribe_100k_filters(bencher: Bencher<'_, '_>) {
    let make = || {
        let (house, sessions) = house_of_filters();
        let filters =
            (0..100_000).map(|number| TopicFilter::parse(&filter_of(number)).expect("valid")).collect::<Vec<_>>();
        (house, sessions, filters)
    };
    bencher.counter(ItemsCount::new(100_000_usize)).with_inputs(make).bench_local_values(
        |(mut house, sessions, filters)| {
            for (number, filter) in filters.iter().enumerate() {
                assert!(house.engine.unsubscribe(house.now, &sessions[number % 100], filter, &mut house.round));
            }
            (house, sessions, filters)
        },
    );
}

/// Sessions with one filter each, shared by all: the tray (40 bytes) is among the cost.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn open_10k_sessions_with_one_subscription(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(10_000_usize)).with_inputs(House::new).bench_local_values(|mut house| {
        let clients = (0..10_000).map(|number| house.connect(number)).collect::<Vec<_>>();
        for (session, _) in &clients {
            house.subscribe(session, "news/today", QoS::AtMostOnce);
        }
        (house, clients)
    });
}

/// The same with a filter of its own for each.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn open_10k_sessions_with_one_filter_each(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(10_000_usize)).with_inputs(House::new).bench_local_values(|mut house| {
        let clients = (0..10_000).map(|number| house.connect(number)).collect::<Vec<_>>();
        for (number, (session, _)) in clients.iter().enumerate() {
            house.subscribe(session, &format!("inbox/{number:08}"), QoS::AtMostOnce);
        }
        (house, clients)
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn retain_100k_messages(bencher: Bencher<'_, '_>) {
    let make = || {
        let topics = (0..100_000_usize).map(|number| format!("site/{}/device/{number}/state", number % 100));
        let retained = |topic: String| {
            let topic = TopicName::parse(topic).expect("valid");
            Arc::new(Message::new(&topic, &[], b"on", QoS::AtMostOnce, true))
        };
        (House::new(), topics.map(retained).collect::<Vec<_>>())
    };
    bencher.counter(ItemsCount::new(100_000_usize)).with_inputs(make).bench_local_values(|(mut house, messages)| {
        for message in &messages {
            house.publish(message);
        }
        (house, messages)
    });
}

/// A `#` subscriber gets 100,000 retained messages.
#[divan::bench(sample_count = 5)]
fn send_100k_retained(bencher: Bencher<'_, '_>) {
    let mut house = House::new();
    for number in 0..100_000_usize {
        let topic = TopicName::parse(format!("site/{}/device/{number}/state", number % 100)).expect("valid");
        let message = Arc::new(Message::new(&topic, &[], b"on", QoS::AtMostOnce, true));
        house.publish(&message);
    }
    let (session, _tray) = house.connect(0);
    bencher.counter(ItemsCount::new(100_000_usize)).bench_local(|| {
        house.subscribe(&session, "#", QoS::AtMostOnce);
        while house.engine.pump(house.now, &session, &mut house.round) == Pumped::More {}
        for outlet in house.round.drain() {
            outlet.flush();
        }
    });
}
