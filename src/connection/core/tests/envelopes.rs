//! Topics on which each message says and proves who it is from.

use std::sync::atomic::Ordering;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;
use crate::policy::KeyFileText;
use crate::policy::envelope::canonical;

const ENVELOPES: &str = r##"
version: 1
users: { "*": [gateway], listener: [listener] }
roles:
  gateway:
    - { topic: "open/#", rw: w }
    - { topic: "single/${username}", rw: w }
    - { topic: "devices/${clientid}/up", rw: w }
    - { topic: "reports/+", rw: w, max_qos: 1 }
    - { topic: "tokens/#", rw: w }
  listener:
    - { topic: "#", rw: r }
limits:
  gateway: { payload_bytes_max: 300B }
envelope:
  - { topic: "single/${username}", key_file: k }
  - { topic: "devices/+/up", key_file: k }
  - { topic: "reports/#", key_file: k, max_age: 2m }
  - { topic: "tokens/both", key_file: k, jwt: true }
  - { topic: "tokens/#", jwt: true }
"##;

const NOW_S: u64 = 1_700_000_000;

fn key_of(client_id: &str) -> Vec<u8> {
    let mut key = client_id.as_bytes().to_vec();
    key.resize(32, 7);
    key
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn house() -> House {
    let house = House::new();
    UNIX_NOW_S.set(NOW_S);
    let keys: String = ["dev-1", "dev-2", "a/b"].map(|id| format!("{id}:{}\n", hex(&key_of(id)))).concat();
    let read = |_: &str| Ok(KeyFileText { origin: "k".to_owned(), text: keys.clone() });
    let policy = Policy::parse_with(ENVELOPES, "policy.yaml", &read).unwrap();
    house.environment.policy.store(Arc::new(policy));
    house
}

/// An envelope as a device makes one; `key` is the client whose key it has.
fn sealed_by(key: &str, client_id: &str, timestamp_s: u64, data: &str) -> String {
    let signed = format!("{timestamp_s}.{client_id}.reading.{}", canonical(data.as_bytes()).unwrap());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key_of(key)).unwrap();
    mac.update(signed.as_bytes());
    let token = hex(&mac.finalize().into_bytes());
    format!(
        r#"{{"timestamp":"{timestamp_s}","client_id":"{client_id}","message_type":"reading","data":{data},"token":"{token}"}}"#
    )
}

fn sealed(client_id: &str, timestamp_s: u64, data: &str) -> String {
    sealed_by(client_id, client_id, timestamp_s, data)
}

fn gateway(house: &House) -> Client<'_> {
    let mut client = house.client(Manner::MQTT);
    assert_eq!(client.connect(connect("gateway", Version::V5), "site"), [SUCCESS]);
    client
}

fn witness(house: &House) -> Client<'_> {
    let mut client = house.client(Manner::MQTT);
    client.connect(connect("witness", Version::V5), "listener");
    client.send(subscribe(&["#"], QoS::AtMostOnce));
    client
}

fn ask(client: &mut Client<'_>, topic: &str, payload: &str) -> String {
    client.send(publish(topic, payload.as_bytes(), QoS::AtLeastOnce, Some(1))).join(" ")
}

#[test]
fn a_sound_envelope_goes_on_without_its_token() {
    let house = house();
    let (witness, mut gateway) = (witness(&house), gateway(&house));
    let payload = sealed("dev-1", NOW_S, r#"{ "b": 1.50, "a": "é" }"#);
    assert_eq!(ask(&mut gateway, "single/site", &payload), "PUBACK 1 Success");
    let expected =
        r#"{"client_id":"dev-1","data":{"a":"é","b":1.5},"message_type":"reading","timestamp":"1700000000"}"#;
    assert_eq!(witness.said(), [format!("PUBLISH single/site {expected} q0 r0 d0")]);
    // Elsewhere nothing is asked for, and nothing is touched.
    assert_eq!(ask(&mut gateway, "open/x", "plain"), "PUBACK 1 Success");
    assert_eq!(witness.said(), ["PUBLISH open/x plain q0 r0 d0"]);
}

#[test]
fn each_fault_is_refused_told_and_counted() {
    let house = house();
    let (witness, mut gateway) = (witness(&house), gateway(&house));
    let sound = sealed("dev-1", NOW_S, r#"{"n":1}"#);
    assert_eq!(ask(&mut gateway, "single/site", &sound), "PUBACK 1 Success");
    let denied = "PUBACK 1 Not authorized";
    let malformed = "PUBACK 1 Payload format invalid";
    for (payload, expected) in [
        (sound.clone(), denied),
        (sealed("dev-1", NOW_S - 61, r#"{"n":1}"#), denied),
        (sealed("dev-1", NOW_S + 61, r#"{"n":1}"#), denied),
        // Tampered with, another's name, another's key, nobody's name.
        (sealed("dev-1", NOW_S, r#"{"n":2}"#).replace("\"n\":2", "\"n\":3"), denied),
        (sealed("dev-1", NOW_S, r#"{"n":2}"#).replace("dev-1", "dev-2"), denied),
        (sealed_by("dev-2", "dev-1", NOW_S, r#"{"n":2}"#), denied),
        (sealed("dev-3", NOW_S, r#"{"n":2}"#), denied),
        (sealed("dev-1", NOW_S, r#"{"n":2}"#).replace("\"token\":\"", "\"token\":\"x"), denied),
        ("plain".to_owned(), malformed),
        (String::new(), malformed),
        ("{}".to_owned(), malformed),
        (sealed("dev-1", NOW_S, "{}").replace("\"data\":{}", "\"data\":{},\"more\":1"), malformed),
        (sealed("dev-1", NOW_S, "{}").replace("\"data\":{}", "\"data\":{},\"data\":{}"), malformed),
        (format!(r#"{{"data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000)), malformed),
    ] {
        assert_eq!(ask(&mut gateway, "single/site", &payload), expected, "{payload:.200}");
    }
    assert_eq!(witness.said().len(), 1, "only the first went on");
    let counters = &house.environment.counters;
    let counted = [
        &counters.envelopes_verified,
        &counters.envelopes_malformed,
        &counters.envelopes_bad_token,
        &counters.envelopes_stale,
        &counters.envelopes_replayed,
        &counters.envelopes_window_full,
        &counters.envelopes_remembered,
        &counters.publishes_denied,
    ];
    assert_eq!(counted.map(|counter| counter.load(Ordering::Relaxed)), [1, 6, 5, 2, 1, 0, 1, 0]);
}

#[test]
fn whom_the_message_is_from_is_judged_and_not_the_connection() {
    let house = house();
    let (witness, mut gateway) = (witness(&house), gateway(&house));
    assert_eq!(ask(&mut gateway, "devices/dev-1/up", &sealed("dev-1", NOW_S, "{}")), "PUBACK 1 Success");
    assert_eq!(ask(&mut gateway, "devices/dev-2/up", &sealed("dev-2", NOW_S, "{}")), "PUBACK 1 Success");
    let denied = "PUBACK 1 Not authorized";
    let other = sealed("dev-1", NOW_S, r#"{"n":1}"#);
    assert_eq!(ask(&mut gateway, "devices/dev-2/up", &other), denied);
    assert_eq!(ask(&mut gateway, "devices/gateway/up", &other), denied, "the connection's own name gives nothing");
    assert_eq!(ask(&mut gateway, "devices/a/up", &sealed("a/b", NOW_S, "{}")), denied, "a name that is no level");
    assert_eq!(house.environment.counters.publishes_denied.load(Ordering::Relaxed), 3);
    // What policy denied is not remembered: where it is allowed it may be sent.
    assert_eq!(ask(&mut gateway, "devices/dev-1/up", &other), "PUBACK 1 Success");
    assert_eq!(witness.said().len(), 3);
}

#[test]
fn bounds_are_those_of_what_goes_on() {
    let house = house();
    let mut gateway = gateway(&house);
    let padded = |bytes: usize| sealed("dev-1", NOW_S, &format!(r#"{{"pad":"{}"}}"#, "x".repeat(bytes)));
    let stripped_bytes =
        r#"{"client_id":"dev-1","data":{"pad":""},"message_type":"reading","timestamp":"1700000000"}"#.len();
    let room = 300 - stripped_bytes;
    assert_eq!(ask(&mut gateway, "single/site", &padded(room)), "PUBACK 1 No matching subscribers");
    assert_eq!(ask(&mut gateway, "single/site", &padded(room + 1)), "PUBACK 1 Quota exceeded");
    let seen = gateway.send(publish("reports/x", padded(1).as_bytes(), QoS::ExactlyOnce, Some(2)));
    assert_eq!(seen, ["PUBREC 2 Not authorized"]);
}

#[test]
fn nothing_opened_before_is_a_short_cut() {
    let house = house();
    let (witness, mut gateway) = (witness(&house), gateway(&house));
    for n in 0..3 {
        assert_eq!(
            ask(&mut gateway, "reports/x", &sealed("dev-1", NOW_S, &format!(r#"{{"n":{n}}}"#))),
            "PUBACK 1 Success"
        );
        assert_eq!(ask(&mut gateway, "reports/x", "plain"), "PUBACK 1 Payload format invalid");
    }
    assert_eq!(witness.said().len(), 3);
}

#[test]
fn an_envelope_does_not_pass_twice_wherever_it_is_sent() {
    let house = house();
    let (witness, mut gateway) = (witness(&house), gateway(&house));
    let payload = sealed("dev-1", NOW_S, "{}");
    assert_eq!(ask(&mut gateway, "single/site", &payload), "PUBACK 1 Success");
    let mut other = house.client(Manner::JSON);
    other.connect(connect("other", Version::V5), "site");
    let respelled = payload.replace("\"data\":{}", " \"data\" : { } ").replace("dev-1", "dev\\u002d1");
    for topic in ["single/site", "devices/dev-1/up", "reports/x"] {
        for client in [&mut gateway, &mut other] {
            assert_eq!(ask(client, topic, &payload), "PUBACK 1 Not authorized");
            assert_eq!(ask(client, topic, &respelled), "PUBACK 1 Not authorized");
        }
    }
    // After a minute it is stale for one entry, and for the one that takes two minutes it is still known.
    UNIX_NOW_S.set(NOW_S + 61);
    for topic in ["single/site", "reports/x"] {
        assert_eq!(ask(&mut gateway, topic, &payload), "PUBACK 1 Not authorized");
    }
    assert_eq!(house.environment.counters.envelopes_stale.load(Ordering::Relaxed), 1);
    assert_eq!(witness.said().len(), 1);
}

#[test]
fn a_packet_that_is_sent_again_is_acknowledged_and_goes_on_once() {
    let house = house();
    let (witness, mut gateway) = (witness(&house), gateway(&house));
    let payload = sealed("dev-1", NOW_S, "{}");
    assert_eq!(ask(&mut gateway, "single/site", &payload), "PUBACK 1 Success");
    let Packet::Publish(mut again) = publish("single/site", payload.as_bytes(), QoS::AtLeastOnce, Some(1)) else {
        panic!("a PUBLISH")
    };
    again.dup = true;
    assert_eq!(gateway.send(Packet::Publish(again)), ["PUBACK 1 Success"]);
    assert_eq!(witness.said().len(), 1);
}

#[test]
fn a_full_window_refuses_the_newest_until_there_is_room() {
    let house = house();
    let mut gateway = gateway(&house);
    let numbered = |n: u64| sealed("dev-1", NOW_S + n, &format!(r#"{{"n":{n}}}"#));
    for n in 0..4 {
        assert_eq!(ask(&mut gateway, "single/site", &numbered(n)), "PUBACK 1 No matching subscribers");
    }
    assert_eq!(ask(&mut gateway, "single/site", &numbered(4)), "PUBACK 1 Quota exceeded");
    assert_eq!(ask(&mut gateway, "single/site", &numbered(0)), "PUBACK 1 Not authorized", "nothing was forgotten");
    assert_eq!(house.environment.counters.envelopes_window_full.load(Ordering::Relaxed), 1);
    // The policy's longest max_age is two minutes.
    UNIX_NOW_S.set(NOW_S + 121);
    assert_eq!(ask(&mut gateway, "single/site", &numbered(121)), "PUBACK 1 No matching subscribers");
}

#[test]
fn every_version_and_dialect_is_refused_in_its_own_way() {
    let house = house();
    let witness = witness(&house);
    let forged = sealed_by("dev-2", "dev-1", NOW_S, "{}");
    let mut v4 = house.client(Manner::MQTT);
    v4.connect(connect("v4", Version::V4), "site");
    v4.said();
    assert_eq!(ask(&mut v4, "single/site", &forged), "PUBACK 1 Success");
    assert!(v4.send(publish("single/site", forged.as_bytes(), QoS::AtMostOnce, None)).is_empty());
    let mut json = house.client(Manner::JSON);
    json.connect(connect("json", Version::V5), "site");
    assert_eq!(json.send(publish("single/site", b"x", QoS::AtMostOnce, Some(9))), ["PUBACK 9 Payload format invalid"]);
    let mut v5 = gateway(&house);
    let seen = v5.send(publish("single/site", forged.as_bytes(), QoS::ExactlyOnce, Some(2)));
    assert_eq!(seen, ["PUBREC 2 Not authorized"]);
    assert_eq!(house.environment.counters.envelopes_bad_token.load(Ordering::Relaxed), 3);
    assert!(witness.said().is_empty());
}

#[test]
fn a_will_is_opened_when_it_is_made() {
    let house = house();
    let witness = witness(&house);
    let mortal = |payload: String| {
        let mut connect = connect("mortal", Version::V5);
        connect.will = Some(Will { payload: payload.into(), ..will("single/site") });
        let mut mortal = house.client(Manner::MQTT);
        let answer = mortal.connect(connect, "site");
        mortal.lose();
        answer
    };
    let refused = ["CONNACK Not authorized present=false", "close: Not authorized"];
    assert_eq!(mortal("gone".to_owned()), refused);
    assert_eq!(mortal(sealed_by("dev-2", "dev-1", NOW_S, "{}")), refused);
    assert_eq!(mortal(sealed("dev-1", NOW_S - 61, "{}")), refused);
    assert!(witness.said().is_empty());
    let payload = sealed("dev-1", NOW_S, "{}");
    assert_eq!(mortal(payload.clone()), [SUCCESS]);
    let gone = r#"{"client_id":"dev-1","data":{},"message_type":"reading","timestamp":"1700000000"}"#;
    assert_eq!(witness.said(), [format!("PUBLISH single/site {gone} q0 r0 d0")]);
    assert_eq!(mortal(payload), refused, "a Will is sent once like any other message");
}

#[test]
fn a_jwt_is_taken_where_the_entry_says_so_and_from_its_subject() {
    let house = house();
    let (witness, mut gateway) = (witness(&house), gateway(&house));
    let by_jwt = |subject: &str, client_id: &str, data: &str| {
        format!(
            r#"{{"timestamp":"{NOW_S}","client_id":"{client_id}","message_type":"t","data":{data},"token":"jwt of {subject}"}}"#
        )
    };
    let denied = "PUBACK 1 Not authorized";
    let sound = by_jwt("dev-9", "dev-9", "{}");
    assert_eq!(ask(&mut gateway, "single/site", &sound), denied, "not under this entry");
    assert_eq!(ask(&mut gateway, "tokens/a", &by_jwt("dev-9", "dev-8", "{}")), denied);
    assert_eq!(ask(&mut gateway, "tokens/a", &sound.replace("jwt of", "forged:")), denied);
    assert_eq!(ask(&mut gateway, "tokens/a", &sealed("dev-1", NOW_S, "{}")), denied, "it has no keys");
    let counters = &house.environment.counters;
    assert_eq!(counters.envelopes_bad_token.load(Ordering::Relaxed), 4);
    assert_eq!(ask(&mut gateway, "tokens/a", &sound), "PUBACK 1 Success");
    assert_eq!(ask(&mut gateway, "tokens/both", &sound), denied);
    assert_eq!(counters.envelopes_replayed.load(Ordering::Relaxed), 1);
    assert_eq!(ask(&mut gateway, "tokens/both", &by_jwt("dev-9", "dev-9", r#"{"n":1}"#)), "PUBACK 1 Success");
    assert_eq!(ask(&mut gateway, "tokens/both", &sealed("dev-1", NOW_S, "{}")), "PUBACK 1 Success");
    assert!(witness.said().iter().all(|line| !line.contains("jwt of")));
}
