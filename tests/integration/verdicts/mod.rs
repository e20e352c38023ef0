//! One table of verdicts (`cases.txt`, under `policy.yaml`), and the same verdicts whichever way somebody comes.
//!
//! | way | where |
//! |---|---|
//! | PUBLISH and SUBSCRIBE in MQTT 3.1, 3.1.1 and 5.0, over TCP, TLS and WebSocket, and in JSON Actions | [`live`] |
//! | what was retained before the Subscription; what was queued while its session was away; Wills | [`later`] |
//! | `tidegate policy explain`, and the tests in a policy file | [`offline`] |
//!
//! A verdict is seen twice: in what the client is told, where its dialect has words for it, and in what happens. The observer may hear
//! everything, and hears a publication or does not; of a Subscription's witnesses (the last columns) those with `!` must not come and
//! the others must. `@` is a topic where the server itself has retained something.
//!
//! The verdicts: `granted` (with `:N` at this QoS instead of the one asked for); `partial`, which is refused under `partial: refuse`, and
//! under `partial: filter` granted with each delivery judged; `refused`; `too-large`; `malformed` for what is no envelope;
//! `no-connection` where the identity does not even come in. `q0` to `q2` is the QoS, `100B` the size of the payload (which is short
//! unless said), `sealed:ID` a payload in an envelope from that device, `forged:ID` one in its name.

mod cases;
mod later;
mod live;
mod offline;
mod speaker;
mod stage;

use tidegate::mqtt::QoS;

use cases::{Act, Case, Expected, Identity, Table};
use speaker::{Delivery, Dialect, Manner, Speaker, Told};
use stage::{Partial, Stage};

/// What did not come out as the table says. All of it is told at the end.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn check<T: PartialEq + std::fmt::Debug>(&mut self, case: &Case, way: &str, found: T, expected: T) {
        if found != expected {
            let Case { line, who, act, topic, .. } = case;
            self.0.push(format!("line {line}, {way}: {who} {act:?} {topic}: {found:?} instead of {expected:?}"));
        }
    }
}

impl Drop for Differences {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{} verdicts differ:\n{}", self.0.len(), self.0.join("\n"));
        }
    }
}

/// Connects, and checks that this identity comes in or does not.
fn connect(
    stage: &Stage,
    identity: &Identity,
    dialect: Dialect,
    manner: &Manner,
    table: &Table,
    differences: &mut Differences,
) -> Option<Speaker> {
    let case = table.cases.iter().find(|case| case.who == identity.name).expect("nobody is in the table for nothing");
    let told = Speaker::connect(stage, identity, dialect, manner);
    let is_let_in = case.verdict != Expected::NoConnection;
    differences.check(
        case,
        &format!("CONNECT in {dialect:?}"),
        told.as_ref().err(),
        (!is_let_in).then_some(&Told::Denied),
    );
    told.ok()
}

/// The QoS that a Subscription is granted at, if it is.
fn granted(case: &Case, partial: Partial) -> Option<QoS> {
    match case.verdict {
        Expected::Granted(maximum) => Some(maximum),
        Expected::Partial(maximum) => (partial == Partial::Filter).then_some(maximum),
        _ => None,
    }
}

/// Which of the witnesses that `is_meant` get through, in order.
fn witnessed<'c>(
    case: &'c Case,
    partial: Partial,
    is_meant: impl Fn(&cases::Witness) -> bool + 'c,
) -> impl Iterator<Item = &'c str> {
    let is_granted = granted(case, partial).is_some();
    let delivered =
        case.witnesses.iter().filter(move |witness| is_granted && witness.is_delivered && is_meant(witness));
    delivered.map(|witness| witness.topic.as_str())
}

/// The topics of those deliveries that are of this case.
fn topics_of<'d>(case: &Case, deliveries: &'d [Delivery]) -> Vec<&'d str> {
    let mark = case.mark();
    deliveries.iter().filter(|delivery| delivery.payload.contains(&mark)).map(|delivery| &*delivery.topic).collect()
}

#[test]
fn the_table_is_large_and_has_every_verdict() {
    let table = Table::read();
    assert!(table.cases.len() >= 300, "{} cases", table.cases.len());
    let count = |is_meant: &dyn Fn(&Case) -> bool| table.cases.iter().filter(|case| is_meant(case)).count();
    for act in [Act::Publish, Act::Subscribe] {
        assert!(count(&|case| case.act == act && case.verdict == Expected::Refused) > 50, "{act:?}");
        assert!(count(&|case| case.act == act && matches!(case.verdict, Expected::Granted(_))) > 50, "{act:?}");
    }
    assert!(count(&|case| matches!(case.verdict, Expected::Partial(_))) > 30);
    for (index, case) in table.cases.iter().enumerate() {
        let is_same = |other: &Case| {
            let bounds = |case: &Case| (case.qos, case.retain, case.payload_bytes);
            let envelope = |case: &Case| case.envelope.map(|envelope| (envelope.client_id, envelope.is_forged));
            (other.who, other.act, &other.topic) == (case.who, case.act, &case.topic)
                && bounds(other) == bounds(case)
                && envelope(other) == envelope(case)
        };
        assert!(!table.cases[..index].iter().any(is_same), "line {} is there twice", case.line);
    }
}
