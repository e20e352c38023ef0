//! Scripts that nobody thought of, each from a number that gives the same script again.
//!
//! What the listed differences are about is left out: overlapping filters of one session, topics under a dollar, takeovers, a
//! Subscription made again with other options, and a QoS 2 message left between PUBREC and PUBREL.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use tidegate::mqtt::packet::{Connect, Publish, RetainHandling, SubscribeOptions};
use tidegate::mqtt::{QoS, ReasonCode, TopicFilter, Version};

use super::script::{Actor, Script, kept, message, options};
use crate::harness::mqtt::{connect, will};
use crate::harness::random::Random;

const ACTORS: [Actor; 3] = ["a", "b", "c"];

const TOPICS: [&str; 9] = ["a", "b", "a/b", "a/c", "b/c", "/a", "a/", "a/b/c", "b//c"];

const FILTERS: [&str; 13] = ["#", "+", "a", "b", "a/+", "+/c", "a/#", "+/+", "b/+/c", "/+", "+/b/#", "a/b", "a/b/c"];

const OLD_VERSIONS: [Version; 2] = [Version::V3, Version::V4];

/// The script of this seed: so many operations among three clients.
pub fn script(seed: u64, operations: usize) -> Script {
    let script = Script::new(&format!("seed {seed}")).without_hints();
    let mut random = Random::new(seed);
    let qos_min = u64::from(random.one_in(3));
    let new_count = random.below(ACTORS.len() as u64 + 1) as usize;
    let mut generator =
        Generator { random, qos_min, new: &ACTORS[..new_count], script, actors: BTreeMap::new(), payloads: 0 };
    for actor in ACTORS {
        generator.connect(actor);
        for _ in 0..3 {
            generator.subscribe(actor);
        }
    }
    for _ in 0..operations {
        generator.operation();
    }
    // Whoever holds anything back says it in the end, and every session shows what it still holds.
    for actor in ACTORS {
        generator.script = generator.script.release(actor).cut(actor).connect_kept(actor, Version::V5);
    }
    generator.script
}

struct Generator {
    random: Random,
    /// A full window may hold up QoS 0 or not (MQTT 5.0 §4.9), so a small Receive Maximum goes with QoS 1 and 2 alone.
    qos_min: u64,
    /// Who speaks MQTT 5.0; the others speak 3.1 and 3.1.1 by turns.
    new: &'static [Actor],
    script: Script,
    actors: BTreeMap<Actor, State>,
    payloads: usize,
}

#[derive(Default)]
struct State {
    /// `None` while it is away.
    version: Option<Version>,
    is_holding: bool,
    /// What the session may be subscribed to.
    filters: BTreeSet<&'static str>,
}

impl Generator {
    fn operation(&mut self) {
        let actor = *self.random.choose(&ACTORS);
        let state = self.actors.entry(actor).or_default();
        let Some(version) = state.version else {
            return self.connect(actor);
        };
        let script = std::mem::replace(&mut self.script, Script::new(""));
        self.script = match self.random.below(20) {
            0 if version == Version::V5 => {
                state.version = None;
                script.disconnect_with(actor, ReasonCode::DisconnectWithWill, None)
            }
            0 | 1 => {
                state.version = None;
                script.disconnect(actor)
            }
            2 => {
                state.version = None;
                script.cut(actor)
            }
            3 => {
                state.is_holding = true;
                script.hold(actor)
            }
            4 | 5 => {
                state.is_holding = false;
                script.release(actor)
            }
            6..=9 => {
                self.script = script;
                return self.subscribe(actor);
            }
            10 => {
                let filter = self.random.choose(&FILTERS);
                state.filters.remove(filter);
                script.unsubscribe(actor, filter)
            }
            _ => {
                let qos_max = if state.is_holding { 1 } else { 2 };
                self.script = script;
                return self.publish(actor, version, qos_max);
            }
        };
    }

    fn connect(&mut self, actor: Actor) {
        let is_new = self.new.contains(&actor);
        let version = if is_new { Version::V5 } else { *self.random.choose(&OLD_VERSIONS) };
        let mut connect = if self.random.one_in(4) { connect(version, actor) } else { kept(version, actor) };
        if version == Version::V5 && self.qos_min > 0 {
            connect.properties.receive_maximum = NonZeroU16::new(self.random.below(4) as u16);
        }
        if self.random.one_in(3) {
            let topic = self.random.choose(&TOPICS);
            let qos = QoS::from_u8(self.qos(2)).expect("a QoS");
            connect.will = Some(will(topic, &self.payload(), qos, self.random.one_in(3)));
        }
        let state = self.actors.entry(actor).or_default();
        state.version = Some(version);
        state.is_holding = false;
        self.act(|script| script.connect(actor, Connect { ..connect }));
    }

    fn subscribe(&mut self, actor: Actor) {
        let filter = *self.random.choose(&FILTERS);
        let parse = |text| TopicFilter::parse(text).expect("a valid filter");
        let state = self.actors.entry(actor).or_default();
        let is_new = state.version == Some(Version::V5);
        if state.filters.iter().any(|other| *other != filter && parse(other).intersects(&parse(filter))) {
            return;
        }
        state.filters.insert(filter);
        if std::mem::take(&mut state.is_holding) {
            // Which retained message comes first is the broker's choice, so no window may be full.
            self.act(|script| script.release(actor));
        }
        let mut options = options(self.qos(2));
        let mut identifier = None;
        if is_new {
            // The same for a filter at every time.
            let fixed = filter.bytes().fold(actor.len(), |sum, byte| sum + usize::from(byte));
            let retain_handling = [RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never][fixed % 3];
            options = SubscribeOptions {
                no_local: fixed.is_multiple_of(5),
                retain_as_published: fixed.is_multiple_of(2),
                retain_handling,
                ..options
            };
            identifier = (fixed % 7 < 3).then_some(fixed as u32);
        }
        self.act(|script| script.subscribe_as(actor, filter, options, identifier));
    }

    fn publish(&mut self, actor: Actor, version: Version, qos_max: u64) {
        let qos = self.qos(qos_max);
        let retain = self.random.one_in(3);
        let payload = if retain && self.random.one_in(3) { String::new() } else { self.payload() };
        let topic = *self.random.choose(&TOPICS);
        let mut publish = Publish { retain, ..message(topic, &payload, qos) };
        if version == Version::V5 && self.random.one_in(3) {
            publish.properties.forwarded = b"\x03\x00\x01t\x26\x00\x01b\x00\x011\x26\x00\x01a\x00\x012"[..].into();
            publish.properties.message_expiry_interval_s = Some(998);
        }
        self.act(|script| script.message(actor, publish));
    }

    fn qos(&mut self, max: u64) -> u8 {
        (self.qos_min + self.random.below(max + 1 - self.qos_min)) as u8
    }

    fn payload(&mut self) -> String {
        self.payloads += 1;
        self.payloads.to_string()
    }

    fn act(&mut self, act: impl FnOnce(Script) -> Script) {
        self.script = act(std::mem::replace(&mut self.script, Script::new("")));
    }
}
