//! The engine with outlets that only record. More, and larger, is in `cargo bench --bench engine`.

use std::sync::{Arc, atomic::Ordering};

use divan::black_box;
use tidegate::{
    engine::{
        Attached, Pumped,
        message::{Acknowledgement, Closing, Message},
    },
    mqtt::{PacketId, QoS, TopicFilter},
};

use super::{PAYLOAD, TOPIC};
use crate::house::House;

fn message_on(topic: &str, qos: QoS) -> Arc<Message> {
    Arc::new(super::message(topic, &PAYLOAD, qos, false))
}

pub(super) fn message() -> Box<dyn FnMut()> {
    Box::new(|| drop(black_box(super::message(black_box(TOPIC), &PAYLOAD, QoS::AtMostOnce, false))))
}

pub(super) fn fan_out_qos_0() -> Box<dyn FnMut()> {
    let mut house = House::new();
    let clients = (0..1000).map(|number| house.connect(number)).collect::<Vec<_>>();
    for (session, _) in &clients {
        house.subscribe(session, TOPIC, QoS::AtMostOnce);
    }
    let message = message_on(TOPIC, QoS::AtMostOnce);
    Box::new(move || assert_eq!(house.publish(black_box(&message)), clients.len()))
}

pub(super) fn fan_out_qos_1() -> Box<dyn FnMut()> {
    let mut house = House::new();
    let clients = (0..500).map(|number| house.connect(number)).collect::<Vec<_>>();
    for (session, _) in &clients {
        house.subscribe(session, TOPIC, QoS::AtLeastOnce);
    }
    let message = message_on(TOPIC, QoS::AtLeastOnce);
    Box::new(move || {
        assert_eq!(house.publish(black_box(&message)), clients.len());
        for (session, tray) in &clients {
            let packet_id = tray.packet_id.load(Ordering::Relaxed) as u16;
            let packet_id = PacketId::new(packet_id).expect("it was sent with one");
            let acknowledgement = Acknowledgement::PubAck;
            let pumped = house.engine.acknowledge(house.now, session, packet_id, acknowledgement, &mut house.round);
            assert_eq!(pumped, Some(Pumped::Done));
        }
    })
}

/// Ten clients with 3000 filters, three for each of 1000 topics: exact, with `+` and with `#`.
fn house_of_filters() -> (House, Vec<Attached>) {
    let mut house = House::new();
    let sessions = (0..10).map(|number| house.connect(number).0).collect::<Vec<_>>();
    for number in 0..3000 {
        let group = number / 3;
        let last = ["state", "+", "#"][number % 3];
        house.subscribe(&sessions[number % 10], &format!("site/{}/{group}/{last}", group / 100), QoS::AtMostOnce);
    }
    (house, sessions)
}

/// On a thousand topics in turn.
pub(super) fn publish_matching_three() -> Box<dyn FnMut()> {
    let (mut house, sessions) = house_of_filters();
    let topic = |group: usize| format!("site/{}/{group}/state", group / 100);
    let messages = (0..1000).map(|group| message_on(&topic(group * 37 % 1000), QoS::AtMostOnce)).collect::<Vec<_>>();
    let mut turn = 0;
    Box::new(move || {
        turn = (turn + 1) % messages.len();
        assert_eq!(house.publish(black_box(&messages[turn])), 3);
        black_box(&sessions);
    })
}

pub(super) fn publish_unmatched() -> Box<dyn FnMut()> {
    let (mut house, sessions) = house_of_filters();
    let message = message_on("site/7/sensor/300/state", QoS::AtMostOnce);
    Box::new(move || {
        assert_eq!(house.publish(black_box(&message)), 0);
        black_box(&sessions);
    })
}

pub(super) fn subscribe_and_unsubscribe() -> Box<dyn FnMut()> {
    let mut house = House::new();
    let (session, _tray) = house.connect(0);
    let texts = (0..1000).map(|number| format!("site/{}/device/{number}/+", number % 100)).collect::<Vec<_>>();
    let filters = texts.iter().map(|text| TopicFilter::parse(text.as_str()).expect("valid")).collect::<Vec<_>>();
    Box::new(move || {
        for text in &texts {
            house.subscribe(&session, text, QoS::AtMostOnce);
        }
        for filter in &filters {
            assert!(house.engine.unsubscribe(house.now, &session, filter, &mut house.round));
        }
    })
}

pub(super) fn connect_and_leave() -> Box<dyn FnMut()> {
    let mut house = House::new();
    Box::new(move || {
        let clients = (0..100).map(|number| house.connect(number)).collect::<Vec<_>>();
        for (session, _tray) in clients {
            let closing = Closing { expiry_interval_s: None, publish_will: false };
            house.engine.close(house.now, session, closing, &mut house.round);
        }
    })
}

/// Subscribing is what has them sent.
pub(super) fn send_retained() -> Box<dyn FnMut()> {
    let mut house = House::new();
    for number in 0..1000 {
        let topic = format!("site/{}/device/{number}/state", number % 100);
        house.publish(&Arc::new(super::message(&topic, b"on", QoS::AtMostOnce, true)));
    }
    let (session, _tray) = house.connect(0);
    Box::new(move || {
        house.subscribe(&session, "#", QoS::AtMostOnce);
        while house.engine.pump(house.now, &session, &mut house.round) == Pumped::More {}
        for outlet in house.round.drain() {
            outlet.flush();
        }
    })
}
