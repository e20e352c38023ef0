//! The table on live connections, in every dialect.

use tidegate::mqtt::{QoS, Version};

use super::cases::Table;
use super::speaker::Delivery;
use super::stage::{Observer, payload};
use super::{Act, Case, Dialect, Differences, Expected, Manner, Partial, Speaker, Stage, Told};
use super::{connect, granted, topics_of, witnessed};

#[test]
fn a_publication_gets_its_verdict_in_every_dialect() {
    let table = Table::read();
    let stage = Stage::start(&table, Partial::Refuse);
    let mut observer = stage.observer();
    let mut differences = Differences::default();
    for dialect in Dialect::ALL {
        for identity in &table.identities {
            let manner = Manner::default();
            let Some(mut speaker) = connect(&stage, identity, dialect, &manner, &table, &mut differences) else {
                continue;
            };
            for case in table.cases_of(identity, Act::Publish) {
                publish(case, dialect, &mut speaker, &mut observer, &mut differences);
            }
        }
    }
}

#[test]
fn a_subscription_gets_its_verdict_in_every_dialect() {
    let table = Table::read();
    for partial in Partial::BOTH {
        let stage = Stage::start(&table, partial);
        let mut root = Speaker::Mqtt(Box::new(stage.root("root")));
        let mut differences = Differences::default();
        for dialect in Dialect::ALL {
            for identity in &table.identities {
                let manner = Manner::default();
                let Some(mut speaker) = connect(&stage, identity, dialect, &manner, &table, &mut differences) else {
                    continue;
                };
                for case in table.cases_of(identity, Act::Subscribe) {
                    subscribe(case, partial, dialect, &mut speaker, &mut root, &mut differences);
                }
            }
        }
    }
}

/// Publishes what `case` says: what the publisher is told, and what the observer hears.
pub fn publish(
    case: &Case,
    dialect: Dialect,
    speaker: &mut Speaker,
    observer: &mut Observer,
    differences: &mut Differences,
) {
    let way = format!("{dialect:?}");
    let told = speaker.publish(&case.topic, &payload(case), case.qos, case.retain);
    differences.check(case, &way, told, told_of_publish(case, dialect));
    assert_eq!(speaker.deliveries(), [], "{case:?}");
    let heard = observer.heard();
    let is_granted = matches!(case.verdict, Expected::Granted(_));
    differences.check(case, &way, what_is_heard(case, &heard), is_granted.then(|| (case.topic.clone(), case.qos)));
    if case.retain && is_granted {
        observer.clear(&case.topic);
    }
}

/// Where a publication came to be heard, and at which QoS; anything else that is heard instead of it is told as well.
pub fn what_is_heard(case: &Case, heard: &[Delivery]) -> Option<(String, QoS)> {
    match heard {
        [] => None,
        [one] if one.payload.contains(&case.mark()) => Some((one.topic.clone(), one.qos)),
        others => panic!("{others:?} is not what {case:?} has sent"),
    }
}

/// What the publisher is told, as far as its dialect has words for it.
fn told_of_publish(case: &Case, dialect: Dialect) -> Told {
    let told = match case.verdict {
        Expected::Granted(_) => Told::Granted,
        Expected::TooLarge => Told::TooLarge,
        Expected::Malformed => Told::Malformed,
        _ => Told::Denied,
    };
    match dialect {
        Dialect::Json(_) => told,
        Dialect::Mqtt(Version::V5, _) if case.qos != QoS::AtMostOnce => told,
        Dialect::Mqtt(..) => Told::Nothing,
    }
}

/// Subscribes as `case` says: what the subscriber is told, and which of the witnesses it gets.
fn subscribe(
    case: &Case,
    partial: Partial,
    dialect: Dialect,
    speaker: &mut Speaker,
    root: &mut Speaker,
    differences: &mut Differences,
) {
    let way = format!("{dialect:?} under {partial:?}");
    let told = speaker.subscribe(&case.topic, case.qos);
    differences.check(case, &way, told, told_of_subscribe(case, partial, dialect));
    // What the server itself retains comes at once, but never to a Shared Subscription.
    let retained: Vec<String> = speaker.deliveries().into_iter().map(|delivery| delivery.topic).collect();
    for witness in case.witnesses.iter().filter(|witness| witness.is_servers) {
        let is_expected = witness.is_delivered && granted(case, partial).is_some();
        differences.check(case, &way, retained.contains(&witness.topic), is_expected);
    }
    for witness in case.witnesses.iter().filter(|witness| !witness.is_servers) {
        let told = root.publish(&witness.topic, &format!("{} {}", case.mark(), witness.topic), case.qos, false);
        assert!(matches!(told, Told::Granted | Told::Nothing), "root may publish to {}: {told:?}", witness.topic);
    }
    root.deliveries();
    let deliveries = speaker.deliveries();
    let expected: Vec<&str> = witnessed(case, partial, |witness| !witness.is_servers).collect();
    differences.check(case, &way, topics_of(case, &deliveries), expected);
    for delivery in &deliveries {
        differences.check(case, &way, Some(delivery.qos), granted(case, partial));
    }
    speaker.unsubscribe(&case.topic);
}

fn told_of_subscribe(case: &Case, partial: Partial, dialect: Dialect) -> Told {
    match (dialect, granted(case, partial)) {
        (Dialect::Json(_), Some(_)) => Told::Granted,
        (Dialect::Json(_) | Dialect::Mqtt(Version::V4 | Version::V5, _), None) => Told::Denied,
        (Dialect::Mqtt(Version::V3, _), None) => Told::Nothing,
        // What looks like a refusal in 3.1 cannot be told from a grant at the QoS that was asked for.
        (Dialect::Mqtt(Version::V3, _), Some(maximum)) if maximum == case.qos => Told::Nothing,
        (Dialect::Mqtt(..), Some(maximum)) => Told::GrantedAt(maximum),
    }
}
