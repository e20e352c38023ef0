//! The routing table and the retained messages against the plain meaning of a filter, [`topic::matches`].

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::engine::tests::world::{Sent, World};
use crate::mqtt::QoS::AtMostOnce;
use crate::mqtt::topic;

/// Few levels of few words, so that filters and names meet often.
fn name() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "$x", "a-", "ab", "\u{1}"]);
    prop::collection::vec(level, 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("is empty", |name| !name.is_empty())
}

fn filter_text() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "$x", "+", "+", "a-", "ab"]);
    (prop::collection::vec(level, 1..5), any::<bool>())
        .prop_map(|(levels, is_deep)| levels.join("/") + if is_deep { "/#" } else { "" })
        .prop_map(|text| if text == "/#" { "#".to_owned() } else { text })
        .prop_filter("is empty", |text| !text.is_empty())
}

proptest! {
    #[test]
    fn the_tree_finds_who_a_naive_look_finds(
        changes in prop::collection::vec((filter_text(), 0..4_u8, any::<bool>()), 1..40),
        names in prop::collection::vec(name(), 1..10),
    ) {
        let mut world = World::new();
        let clients = (0..4).map(|number: u8| world.connect(&number.to_string())).collect::<Vec<_>>();
        let mut model: BTreeSet<(String, u8)> = BTreeSet::new();
        for (text, number, is_subscribe) in changes {
            let client = &clients[usize::from(number)];
            if is_subscribe {
                world.subscribe(client, &text, AtMostOnce);
                model.insert((text, number));
            } else {
                let was_there = world.unsubscribe(client, &text);
                prop_assert_eq!(was_there, model.remove(&(text, number)));
            }
            world.engine.check_invariants();
        }
        for name in names {
            let expected = model.iter().filter(|(text, _)| topic::matches(text, &name)).map(|(_, number)| *number);
            let expected = expected.collect::<BTreeSet<_>>();
            prop_assert_eq!(world.publish(&name, "x", AtMostOnce).receivers, expected.len());
            for (number, client) in (0..).zip(&clients) {
                prop_assert_eq!(client.mailbox.take().len(), usize::from(expected.contains(&number)));
            }
        }
        for (number, client) in (0..).zip(clients) {
            let mut held = world.engine.subscriptions(&client.attached).iter().map(ToString::to_string).collect::<Vec<_>>();
            held.sort();
            let expected = model.iter().filter(|(_, holder)| *holder == number).map(|(text, _)| text.clone());
            prop_assert_eq!(held, expected.collect::<Vec<_>>());
            world.lose(client);
        }
        world.engine.check_invariants();
    }

    #[test]
    fn a_walk_finds_the_retained_messages_that_a_naive_look_finds(
        changes in prop::collection::vec((name(), any::<bool>()), 1..60),
        text in filter_text(),
        room in 1..5_usize,
    ) {
        let mut world = World::new();
        let mut model: BTreeMap<String, usize> = BTreeMap::new();
        for (number, (name, is_kept)) in changes.into_iter().enumerate() {
            world.retain(&name, &if is_kept { number.to_string() } else { String::new() }, AtMostOnce);
            if is_kept {
                model.insert(name, number);
            } else {
                model.remove(&name);
            }
        }
        world.engine.check_invariants();

        let client = world.connect("a");
        client.mailbox.set_room(0);
        world.subscribe(&client, &text, AtMostOnce);
        let mut found = BTreeMap::new();
        for _ in 0..=model.len() {
            client.mailbox.set_room(room);
            world.pump(&client);
            for sent in client.mailbox.take() {
                let Sent::Publish(copy) = sent else { panic!("nothing to release") };
                let number = copy.payload.parse::<usize>().expect("the number it was stored with");
                prop_assert_eq!(found.insert(copy.topic, number), None);
            }
        }
        model.retain(|name, _| topic::matches(&text, name));
        prop_assert_eq!(found, model);
    }
}
