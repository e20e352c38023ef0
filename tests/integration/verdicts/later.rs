//! The table where time passes between the verdict and its effect: retained and queued messages, and Wills.

use std::collections::BTreeSet;

use tidegate::mqtt::QoS;

use super::cases::{Identity, Table};
use super::live::what_is_heard;
use super::speaker::will;
use super::stage::{Observer, payload};
use super::{Act, Case, Dialect, Differences, Expected, Manner, Partial, Speaker, Stage, Told};
use super::{connect, granted, topics_of, witnessed};

#[test]
fn what_is_retained_goes_only_to_whom_it_may() {
    let table = Table::read();
    for partial in Partial::BOTH {
        let stage = Stage::start(&table, partial);
        let mut root = Speaker::Mqtt(Box::new(stage.root("root")));
        let mut differences = Differences::default();
        for dialect in Dialect::EACH {
            for identity in &table.identities {
                let manner = Manner::default();
                let Some(mut speaker) = connect(&stage, identity, dialect, &manner, &table, &mut differences) else {
                    continue;
                };
                for case in table.cases_of(identity, Act::Subscribe) {
                    retained(case, partial, dialect, &mut speaker, &mut root, &mut differences);
                }
            }
        }
    }
}

fn retained(
    case: &Case,
    partial: Partial,
    dialect: Dialect,
    speaker: &mut Speaker,
    root: &mut Speaker,
    differences: &mut Differences,
) {
    let way = format!("retained, {dialect:?} under {partial:?}");
    let witnesses: Vec<&str> = case.witnesses.iter().filter(|it| !it.is_servers).map(|it| &*it.topic).collect();
    for topic in &witnesses {
        root.publish(topic, &case.mark(), case.qos, true);
    }
    root.deliveries();
    speaker.subscribe(&case.topic, case.qos);
    let deliveries = speaker.deliveries();
    let found: BTreeSet<&str> = topics_of(case, &deliveries).into_iter().collect();
    // A Shared Subscription gets nothing that was retained (MQTT 5.0 §4.8.2).
    let expected = witnessed(case, partial, |witness| !witness.is_servers && !case.is_shared()).collect();
    differences.check(case, &way, found, expected);
    for delivery in deliveries.iter().filter(|delivery| delivery.payload.contains(&case.mark())) {
        differences.check(case, &way, Some(delivery.qos), granted(case, partial));
        assert!(delivery.retain || dialect.is_json(), "{way}: {delivery:?}");
    }
    speaker.unsubscribe(&case.topic);
    for topic in &witnesses {
        root.publish(topic, "", QoS::AtLeastOnce, true);
    }
}

#[test]
fn what_is_queued_goes_only_to_whom_it_may() {
    let table = Table::read();
    for partial in Partial::BOTH {
        let stage = Stage::start(&table, partial);
        let mut root = Speaker::Mqtt(Box::new(stage.root("root")));
        let mut differences = Differences::default();
        for dialect in Dialect::EACH {
            for identity in &table.identities {
                let manner = Manner { is_durable: true, will: None };
                let Some(mut speaker) = connect(&stage, identity, dialect, &manner, &table, &mut differences) else {
                    continue;
                };
                for case in table.cases_of(identity, Act::Subscribe) {
                    speaker = queued(case, &stage, identity, dialect, speaker, &mut root, &mut differences);
                }
            }
        }
    }
}

fn queued(
    case: &Case,
    stage: &Stage,
    identity: &Identity,
    dialect: Dialect,
    mut speaker: Speaker,
    root: &mut Speaker,
    differences: &mut Differences,
) -> Speaker {
    let partial = stage.partial;
    // Nothing is kept of QoS 0, and nothing of the server's own could be published now.
    if granted(case, partial) == Some(QoS::AtMostOnce) || case.witnesses.iter().any(|witness| witness.is_servers) {
        return speaker;
    }
    let way = format!("queued, {dialect:?} under {partial:?}");
    speaker.subscribe(&case.topic, case.qos.max(QoS::AtLeastOnce));
    speaker.leave();
    for witness in &case.witnesses {
        root.publish(&witness.topic, &case.mark(), QoS::ExactlyOnce, false);
    }
    let manner = Manner { is_durable: true, will: None };
    let Ok(mut speaker) = Speaker::connect(stage, identity, dialect, &manner) else {
        panic!("{way}: who came in once comes in again: {case:?}")
    };
    let deliveries = speaker.deliveries();
    let expected: Vec<&str> = witnessed(case, partial, |_| true).collect();
    differences.check(case, &way, topics_of(case, &deliveries), expected);
    for delivery in &deliveries {
        differences.check(case, &way, Some(delivery.qos), granted(case, partial));
    }
    speaker.unsubscribe(&case.topic);
    speaker
}

#[test]
fn a_will_is_judged_as_a_publication() {
    let table = Table::read();
    let stage = Stage::start(&table, Partial::Refuse);
    let mut observer = stage.observer();
    let mut differences = Differences::default();
    for dialect in Dialect::EACH {
        for identity in &table.identities {
            for case in table.cases_of(identity, Act::Publish) {
                die(case, identity, dialect, &stage, &mut observer, &mut differences);
            }
        }
    }
}

/// Connects with a Will, and is cut.
fn die(
    case: &Case,
    identity: &Identity,
    dialect: Dialect,
    stage: &Stage,
    observer: &mut Observer,
    differences: &mut Differences,
) {
    let way = format!("Will, {dialect:?}");
    let will = will(&case.topic, payload(case), case.qos, case.retain);
    let told = Speaker::connect(stage, identity, dialect, &Manner { is_durable: false, will: Some(will) });
    let is_granted = matches!(case.verdict, Expected::Granted(_));
    // Whatever is wrong with a Will: it is the client that is refused.
    differences.check(case, &way, told.as_ref().err(), (!is_granted).then_some(&Told::Denied));
    let is_in = told.is_ok();
    drop(told);
    // It fires when the server sees the end of the connection; a refused one could not.
    let heard = if is_in && is_granted { vec![observer.wait()] } else { observer.heard() };
    differences.check(case, &way, what_is_heard(case, &heard), is_granted.then(|| (case.topic.clone(), case.qos)));
    if case.retain && is_granted {
        observer.clear(&case.topic);
    }
}
