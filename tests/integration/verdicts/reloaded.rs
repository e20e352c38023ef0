//! The table after a reload: whoever was there before, and whatever was granted before, gets the verdicts of a fresh connection.
//!
//! At first everybody may do everything; then the table's policy is put in force by SIGHUP.

use std::collections::BTreeSet;
use std::fs;

use tidegate::mqtt::packet::Connect;
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::cases::{Identity, Table};
use super::speaker::will;
use super::stage::{POLICY, payload};
use super::{Act, Case, Dialect, Differences, Expected, Manner, Partial, Speaker, Stage, Told};
use super::{granted, live, topics_of, witnessed};
use crate::harness::{Over, mqtt};

/// Everything, for everybody.
const OPEN: &str = r##"version: 1
roles:
  all: [ { topic: "#", rw: rw }, { topic: "$data/#", rw: rw }, { topic: "$SYS/#", rw: r }, { topic: "$x/#", rw: r } ]
users: { "*": [all], anonymous: [all] }
"##;

fn start(table: &Table, partial: Partial) -> Stage {
    Stage::start_under(table, partial, OPEN)
}

fn put_in_force(stage: &Stage, policy: &str) {
    fs::write(stage.server.directory().join("policy.yaml"), policy).expect("a writable file");
    assert!(stage.server.reload(), "{}", stage.server.printed());
}

/// The cases of one operation, so that each identity has at most one in each round.
fn rounds(table: &Table, act: Act) -> Vec<Vec<(&Identity, &Case)>> {
    let mut rounds: Vec<Vec<(&Identity, &Case)>> = Vec::new();
    for identity in &table.identities {
        let cases = table.cases_of(identity, act).filter(|case| case.verdict != Expected::NoConnection);
        for (index, case) in cases.enumerate() {
            if rounds.len() == index {
                rounds.push(Vec::new());
            }
            rounds[index].push((identity, case));
        }
    }
    rounds
}

#[test]
fn connections_of_before_are_judged_as_those_of_after() {
    let table = Table::read();
    let partial = Partial::Filter;
    let stage = start(&table, partial);
    let mut root = Speaker::Mqtt(Box::new(stage.root("root")));
    let mut differences = Differences::default();
    for dialect in Dialect::EACH {
        put_in_force(&stage, OPEN);
        let mut observer = stage.observer();
        let mut speakers: Vec<Speaker> = table
            .identities
            .iter()
            .map(|identity| {
                Speaker::connect(&stage, identity, dialect, &Manner::default())
                    .unwrap_or_else(|told| panic!("{identity:?} is told {told:?}"))
            })
            .collect();
        // What a connection remembers as allowed must not outlive what allowed it.
        for (identity, speaker) in table.identities.iter().zip(&mut speakers) {
            for case in table.cases_of(identity, Act::Publish).filter(|case| !case.topic.starts_with('$')) {
                let told = speaker.publish(&case.topic, "x", case.qos, false);
                assert!(matches!(told, Told::Granted | Told::Nothing), "{case:?}: {told:?}");
            }
            speaker.deliveries();
        }
        observer.heard();
        put_in_force(&stage, &partial.policy());
        for (identity, mut speaker) in table.identities.iter().zip(speakers) {
            let is_let_in = table.cases_of_all(identity).all(|case| case.verdict != Expected::NoConnection);
            if !is_let_in {
                speaker.expect_gone();
                continue;
            }
            for case in table.cases_of(identity, Act::Publish) {
                live::publish(case, dialect, &mut speaker, &mut observer, &mut differences);
            }
            for case in table.cases_of(identity, Act::Subscribe) {
                live::subscribe(case, partial, dialect, &mut speaker, &mut root, &mut differences);
            }
            // The witnesses of the Subscriptions.
            observer.heard();
        }
    }
}

#[test]
fn subscriptions_of_before_are_held_as_those_of_after() {
    let table = Table::read();
    for (dialect, partial) in [
        (Dialect::Mqtt(Version::V5, Over::Tcp), Partial::Filter),
        (Dialect::Mqtt(Version::V4, Over::Ws), Partial::Refuse),
        (Dialect::Json(Over::Ws), Partial::Filter),
    ] {
        let way = format!("held over a reload, {dialect:?} under {partial:?}");
        let stage = start(&table, partial);
        let mut root = Speaker::Mqtt(Box::new(stage.root("root")));
        let mut differences = Differences::default();
        for round in rounds(&table, Act::Subscribe) {
            put_in_force(&stage, OPEN);
            let subscribe = |&(identity, case): &(&Identity, &Case)| {
                let Ok(mut speaker) = Speaker::connect(&stage, identity, dialect, &Manner::default()) else {
                    panic!("not let in");
                };
                let told = speaker.subscribe(&case.topic, case.qos);
                assert!(matches!(told, Told::Granted | Told::GrantedAt(_) | Told::Nothing), "{case:?}: {told:?}");
                speaker.deliveries();
                speaker
            };
            let speakers: Vec<Speaker> = round.iter().map(subscribe).collect();
            put_in_force(&stage, &partial.policy());
            publish_witnesses(&round, &mut root, "");
            for ((_, case), mut speaker) in round.iter().zip(speakers) {
                let (deliveries, revoked) = speaker.deliveries_and_revocations();
                let expected: Vec<&str> = witnessed(case, partial, |witness| !witness.is_servers).collect();
                differences.check(case, &way, topics_of(case, &deliveries), expected);
                for delivery in deliveries.iter().filter(|delivery| delivery.payload.contains(&case.mark())) {
                    differences.check(case, &way, Some(delivery.qos), granted(case, partial));
                }
                let told = match granted(case, partial) {
                    None if dialect.is_json() => vec![case.topic.clone()],
                    _ => Vec::new(),
                };
                differences.check(case, &way, revoked, told);
            }
        }
    }
}

/// Messages from before the reload that waited, and those from after it, for sessions that are away during all of it.
#[test]
fn what_waits_for_who_is_away_is_judged_as_well() {
    let table = Table::read();
    for (dialect, partial) in [
        (Dialect::Mqtt(Version::V5, Over::Tcp), Partial::Filter),
        (Dialect::Mqtt(Version::V4, Over::Tcp), Partial::Refuse),
    ] {
        let way = format!("queued over a reload, {dialect:?} under {partial:?}");
        let stage = start(&table, partial);
        let mut root = Speaker::Mqtt(Box::new(stage.root("root")));
        let mut differences = Differences::default();
        let manner = Manner { is_durable: true, will: None };
        let connect = |identity: &Identity| match Speaker::connect(&stage, identity, dialect, &manner) {
            Ok(speaker) => speaker,
            Err(_) => panic!("not let in"),
        };
        for mut round in rounds(&table, Act::Subscribe) {
            // Nothing is kept of QoS 0, and nothing of the server's own could be published now.
            round.retain(|(_, case)| {
                granted(case, partial) != Some(QoS::AtMostOnce)
                    && !case.witnesses.iter().any(|witness| witness.is_servers)
            });
            put_in_force(&stage, OPEN);
            for (identity, case) in &round {
                let mut speaker = connect(identity);
                speaker.subscribe(&case.topic, case.qos.max(QoS::AtLeastOnce));
                speaker.leave();
            }
            publish_witnesses(&round, &mut root, "before");
            put_in_force(&stage, &partial.policy());
            publish_witnesses(&round, &mut root, "after");
            for (identity, case) in &round {
                let mut speaker = connect(identity);
                let deliveries = speaker.deliveries();
                // What waited already is judged by its topic alone, even where its Subscription has gone for reaching too far.
                for (when, judged_under) in [("before", Partial::Filter), ("after", partial)] {
                    let then: Vec<_> = deliveries.iter().filter(|it| it.payload.ends_with(when)).cloned().collect();
                    let expected: Vec<&str> = witnessed(case, judged_under, |_| true).collect();
                    differences.check(case, &format!("{way}, {when}"), topics_of(case, &then), expected);
                }
                // It also keeps the QoS that it came at.
                let is_later = |text: &str| text.contains(&case.mark()) && text.ends_with("after");
                for delivery in deliveries.iter().filter(|delivery| is_later(&delivery.payload)) {
                    differences.check(case, &way, Some(delivery.qos), granted(case, partial));
                }
                speaker.unsubscribe(&case.topic);
                speaker.leave();
            }
        }
    }
}

fn publish_witnesses(round: &[(&Identity, &Case)], root: &mut Speaker, when: &str) {
    for (_, case) in round {
        for witness in case.witnesses.iter().filter(|witness| !witness.is_servers) {
            let told = root.publish(&witness.topic, &format!("{} {when}", case.mark()), QoS::ExactlyOnce, false);
            assert_eq!(told, Told::Granted, "{}", witness.topic);
        }
    }
    root.deliveries();
}

#[test]
fn a_will_of_before_is_published_only_if_it_could_be_made_after() {
    const OPEN_CONNECTIONS: &str = "tidegate_connection_open";
    let table = Table::read();
    let partial = Partial::Refuse;
    let stage = start(&table, partial);
    let mut observer = stage.observer();
    let mut differences = Differences::default();
    let before = stage.server.metric(OPEN_CONNECTIONS);
    for (number, mut round) in rounds(&table, Act::Publish).into_iter().enumerate() {
        // An envelope is opened when the Will is made, and what nobody could ever publish makes no Will.
        round.retain(|(_, case)| {
            let is_special = case.topic.starts_with('$') && !case.topic.starts_with("$data/");
            case.envelope.is_none() && case.verdict != Expected::Malformed && !is_special
        });
        let dialect = Dialect::EACH[number % Dialect::EACH.len()];
        let way = format!("Will over a reload, {dialect:?}");
        put_in_force(&stage, OPEN);
        let make = |&(identity, case): &(&Identity, &Case)| {
            let will = will(&case.topic, payload(case), case.qos, case.retain);
            let manner = Manner { is_durable: false, will: Some(will) };
            Speaker::connect(&stage, identity, dialect, &manner).unwrap_or_else(|told| panic!("{case:?}: {told:?}"))
        };
        let mortals: Vec<Speaker> = round.iter().map(make).collect();
        put_in_force(&stage, &partial.policy());
        drop(mortals);
        stage.server.wait_for_metric(OPEN_CONNECTIONS, |count| count <= before);
        let heard = observer.heard();
        for (_, case) in &round {
            let is_granted = matches!(case.verdict, Expected::Granted(_));
            let expected: Vec<&str> = is_granted.then_some(&*case.topic).into_iter().collect();
            differences.check(case, &way, topics_of(case, &heard), expected);
            if case.retain && is_granted {
                observer.clear(&case.topic);
            }
        }
    }
}

/// mosquitto CVE-2018-12546 and CVE-2021-34434, emqx #10396 and #10192, nanomq #1925: what was sent and not acknowledged, what is retained.
#[test]
fn what_is_in_flight_or_retained_does_not_come_after_all() {
    let table = Table::read();
    let stage = start(&table, Partial::Refuse);
    let mut root = stage.root("root");
    let connect = |clean_start: bool| {
        let mut connect: Connect = mqtt::connect(Version::V5, "a1");
        connect.login = mqtt::login("alice", "open");
        connect.clean_start = clean_start;
        connect.properties.session_expiry_interval_s = Some(600);
        crate::harness::Client::connect_with(&stage.server, Over::Tcp, connect)
    };
    let mut alice = connect(true);
    for filter in ["own/bob/+", "$share/g/rows/b", "zone/1"] {
        assert_eq!(alice.subscribe(filter, QoS::ExactlyOnce), ReasonCode::GrantedQoS2);
    }
    root.publish("own/bob/retained", b"r", QoS::AtLeastOnce, true);
    let mut seen = BTreeSet::new();
    for (topic, qos) in [
        ("own/bob/1", QoS::AtLeastOnce),
        ("own/bob/2", QoS::ExactlyOnce),
        ("rows/b", QoS::AtLeastOnce),
        ("zone/1", QoS::ExactlyOnce),
    ] {
        root.publish(topic, b"in flight", qos, false);
    }
    for _ in 0..5 {
        seen.insert(alice.receive_publish().topic.as_deref().expect("a topic").to_owned());
    }
    assert_eq!(seen.len(), 5, "sent, and not acknowledged: {seen:?}");
    drop(alice);
    put_in_force(&stage, &format!("{POLICY}partial: refuse\n"));
    let mut alice = connect(false);
    // Of QoS 2 the exchange is brought to its end (PUBREL); the message must not come again.
    alice.send(&Packet::PingReq);
    let mut again = Vec::new();
    loop {
        match alice.receive() {
            Packet::PingResp => break,
            Packet::PubRel(ack) => alice.send(&Packet::PubComp(ack)),
            Packet::Publish(publish) => {
                alice.acknowledge(&publish);
                again.push(publish.topic.as_deref().expect("a topic").to_owned());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(again, ["zone/1"]);
    for filter in ["own/bob/+", "own/bob/retained", "$share/g/rows/b"] {
        assert_eq!(alice.subscribe(filter, QoS::ExactlyOnce), ReasonCode::NotAuthorized, "{filter}");
    }
    for topic in ["own/bob/1", "own/bob/2", "rows/b"] {
        root.publish(topic, b"later", QoS::ExactlyOnce, false);
    }
    alice.expect_nothing();
}
