//! Another policy under a connection that goes on.

use super::*;
use crate::policy::KeyFileText;

impl House {
    /// Puts `text` in force, as it is before any review.
    fn replace(&self, text: &str) {
        self.environment.policy.store(Arc::new(Policy::parse(text, "policy.yaml").unwrap()));
    }

    /// Reviews every session, as [`crate::connection::Connections::replace_policy`] does.
    fn review(&self) {
        let (mut sweep, mut round) = (crate::engine::Sweep::default(), Round::default());
        while !matches!(self.environment.engine.sweep(self.now, &mut sweep, &mut round), crate::engine::Swept::End) {}
    }
}

fn narrower() -> String {
    POLICY.replace("open/#", "open/a")
}

fn kept(version: Version) -> Connect {
    let mut connect = connect("kept", version);
    connect.clean_start = false;
    connect.properties.session_expiry_interval_s = (version == Version::V5).then_some(3600);
    connect
}

#[test]
fn a_publisher_is_judged_by_the_new_policy_at_once() {
    let house = House::new();
    let mut client = house.connected("c");
    let mut ask = |topic| client.send(publish(topic, b"", QoS::AtLeastOnce, Some(1))).join(" ");
    // Twice: the second time it is remembered as allowed.
    for _ in 0..2 {
        assert_eq!(ask("open/b"), "PUBACK 1 No matching subscribers");
    }
    house.replace(&narrower());
    assert_eq!(ask("open/b"), "PUBACK 1 Not authorized");
    assert_eq!(ask("open/a"), "PUBACK 1 No matching subscribers");
    house.replace(POLICY);
    assert_eq!(ask("open/b"), "PUBACK 1 No matching subscribers");
}

#[test]
fn a_subscriber_is_judged_by_the_new_policy_at_once() {
    let house = House::new();
    let mut client = house.connected("c");
    house.replace(&narrower());
    let suback = client.send(subscribe(&["open/b", "open/a"], QoS::AtMostOnce));
    assert_eq!(suback, ["SUBACK [NotAuthorized, Success]"]);
}

#[test]
fn an_identity_that_the_policy_cannot_bind_any_more_is_sent_away() {
    const BOUND: &str = r#"
version: 1
users: { "*": [own] }
roles: { own: [{ topic: "own/${clientid}", rw: rw }] }
"#;
    for review_comes_first in [false, true] {
        let house = House::new();
        let mut client = house.connected("a/b");
        let mut other = house.connected("c");
        house.replace(BOUND);
        if review_comes_first {
            house.review();
            assert_eq!(client.said(), ["asked to close: Not authorized"]);
        }
        assert_eq!(client.send(Packet::PingReq), ["DISCONNECT Not authorized", "close: Not authorized"]);
        assert_eq!(other.send(Packet::PingReq), ["PingResp"]);
    }
}

#[test]
fn what_was_queued_for_a_kept_session_is_judged_before_it_is_sent() {
    for has_review in [false, true] {
        let house = House::new();
        let mut client = house.client(Manner::MQTT);
        client.connect(kept(Version::V4), "someone");
        client.send(subscribe(&["open/#"], QoS::AtLeastOnce));
        client.lose();
        let mut publisher = house.connected("p");
        for topic in ["open/a", "open/b"] {
            publisher.send(publish(topic, b"x", QoS::AtLeastOnce, Some(1)));
        }
        house.replace(&narrower());
        if has_review {
            house.review();
        }
        let mut client = house.client(Manner::MQTT);
        let seen = client.connect(kept(Version::V4), "someone");
        assert_eq!(seen, ["CONNACK Success present=true", "PUBLISH open/a x q1 r0 d0"]);
        publisher.send(publish("open/a", b"y", QoS::AtMostOnce, None));
        assert_eq!(client.said(), [""; 0], "the Subscription is gone");
    }
}

#[test]
fn who_comes_back_is_told_what_the_session_has_lost() {
    for has_review in [false, true] {
        for (manner, version) in [(Manner::MQTT, Version::V5), (Manner::JSON, Version::V5), (Manner::MQTT, Version::V4)]
        {
            let house = House::new();
            let mut client = house.client(manner);
            client.connect(kept(version), "someone");
            client.send(subscribe(&["open/a", "open/b/#"], QoS::AtLeastOnce));
            client.lose();
            house.replace(&narrower());
            if has_review {
                house.review();
            }
            let mut client = house.client(manner);
            let seen = client.connect(kept(version), "someone");
            let expected: &[&str] = match manner.is_forgiving {
                true => &["CONNACK Success present=true", "revoked open/b/#"],
                false => &["CONNACK Success present=true"],
            };
            assert_eq!(seen, expected);
            let told = client.connack().user_properties;
            assert_eq!(told, [("revoked".into(), "open/b/#".into())], "the codec leaves it out before 5.0");
            client.lose();
            let mut client = house.client(manner);
            client.connect(kept(version), "someone");
            assert!(client.connack().user_properties.is_empty(), "once");
        }
    }
}

#[test]
fn a_connack_with_little_room_leaves_out_what_was_lost() {
    let house = House::new();
    let mut client = house.client(Manner::MQTT);
    client.connect(kept(Version::V5), "someone");
    client.send(subscribe(&["open/b/#"], QoS::AtLeastOnce));
    client.lose();
    house.replace(&narrower());
    let mut small = kept(Version::V5);
    small.properties.maximum_packet_size = std::num::NonZeroU32::new(30);
    let mut client = house.client(Manner::MQTT);
    assert_eq!(client.connect(small, "someone"), ["CONNACK Success present=true"]);
    assert!(client.connack().user_properties.is_empty());
}

#[test]
fn a_will_is_judged_when_it_fires() {
    let house = House::new();
    let mut watcher = house.connected("watcher");
    watcher.send(subscribe(&["open/#"], QoS::AtMostOnce));
    for (topic, is_published) in [("open/a", true), ("open/b", false)] {
        house.replace(POLICY);
        let mut client = house.client(Manner::MQTT);
        let mut connect = connect("c", Version::V5);
        connect.will = Some(will(topic));
        client.connect(connect, "someone");
        // The watcher may see all of it: it is the Will's own right that counts.
        house.replace(&POLICY.replace(
            "- { topic: \"open/#\", rw: rw }",
            "- { topic: \"open/#\", rw: r }\n    - { topic: \"open/a\", rw: w }",
        ));
        client.lose();
        assert_eq!(watcher.said().len(), usize::from(is_published), "{topic}");
    }
    assert_eq!(house.environment.engine.counters().wills_revoked.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// The token and the timestamp of a Will's envelope were looked at when it was made; whose it is counts on.
#[test]
fn a_will_in_an_envelope_stays_who_it_is_from() {
    const GRANT: &str = "devices/${clientid}/up";
    const SEALED: &str = r##"
version: 1
users: { "*": [gateway], listener: [listener] }
roles:
  gateway: [{ topic: "GRANT", rw: w }]
  listener: [{ topic: "#", rw: r }]
envelope: [{ topic: "devices/+/up", jwt: true }]
"##;
    let key_files = |_: &str| -> Result<KeyFileText, String> { Err("none".to_owned()) };
    let policy = |grant: &str| Arc::new(Policy::parse_with(&SEALED.replace("GRANT", grant), "p", &key_files).unwrap());
    UNIX_NOW_S.set(1_700_000_000);
    // A grant by the connection's own identifier is none for what the device says.
    for (grant, is_published) in [(GRANT, true), ("devices/dev-1/up", true), ("devices/dev-2/up", false)] {
        let house = House::new();
        house.environment.policy.store(policy(GRANT));
        let mut watcher = house.client(Manner::MQTT);
        watcher.connect(connect("watcher", Version::V5), "listener");
        watcher.send(subscribe(&["#"], QoS::AtMostOnce));
        let mut connect = connect("gateway", Version::V5);
        let payload =
            r#"{"timestamp":"1700000000","client_id":"dev-1","message_type":"m","data":{},"token":"jwt of dev-1"}"#;
        let mut last = will("devices/dev-1/up");
        last.payload = Bytes::from_static(payload.as_bytes());
        connect.will = Some(last);
        let mut gateway = house.client(Manner::MQTT);
        assert_eq!(gateway.connect(connect, "site"), [SUCCESS]);
        UNIX_NOW_S.set(1_700_009_999);
        house.environment.policy.store(policy(grant));
        house.review();
        gateway.lose();
        assert_eq!(watcher.said().len(), usize::from(is_published), "{grant}");
        UNIX_NOW_S.set(1_700_000_000);
    }
}

/// A topic that asks for envelopes only since the Will was made: nobody knows whom it is from.
#[test]
fn a_will_without_an_envelope_is_none_where_one_is_needed() {
    let house = House::new();
    let mut watcher = house.connected("watcher");
    watcher.send(subscribe(&["open/a"], QoS::AtMostOnce));
    let mut client = house.client(Manner::MQTT);
    let mut connect = connect("c", Version::V5);
    connect.will = Some(will("open/a"));
    client.connect(connect, "someone");
    house.replace(&format!("{POLICY}envelope: [{{ topic: open/a, jwt: true }}]\n"));
    client.lose();
    assert_eq!(watcher.said(), [""; 0]);
}

#[test]
fn a_new_token_that_claims_less_is_judged_as_a_new_policy_is() {
    const CLAIMS: &str = r#"
version: 1
roles: { ops: [{ topic: "ops/#", rw: rw }], all: [{ topic: "open/#", rw: rw }] }
users: { "*": [all] }
claims: [{ when: { role: ops }, roles: [ops] }]
"#;
    let house = House::new();
    house.replace(CLAIMS);
    let expires_at = Some(house.now + Duration::from_secs(60));
    let ops =
        Principal { claims: [("role".to_owned(), "ops".to_owned())].into(), expires_at, ..Principal::user("someone") };
    let mut client = house.client(Manner::MQTT);
    let connect_packet = Packet::Connect(Box::new(kept(Version::V5)));
    client.act(|core, now, _, turn| core.handle_packet(now, connect_packet, turn));
    client.act(|core, now, outlet, turn| core.authenticated(now, Ok(ops), outlet, turn));
    client.said();
    client.send(subscribe(&["ops/#", "open/a"], QoS::AtLeastOnce));

    let token = publish("$tidegate/auth", b"token", QoS::AtMostOnce, None);
    client.act(|core, now, _, turn| {
        core.handle_packet(now, token, turn);
        // The house's own way to prove it knows no tokens.
        turn.outputs.clear();
    });
    let plain = Principal { expires_at, ..Principal::user("someone") };
    client.act(|core, now, outlet, turn| {
        core.proven(now, Ok(crate::auth::Step::Proven { principal: plain, data: None }), outlet, turn);
    });
    assert_eq!(client.said(), ["revoked ops/#"]);
    let mut publisher = house.connected("p");
    publisher.send(publish("open/a", b"x", QoS::AtMostOnce, None));
    assert_eq!(client.said(), ["PUBLISH open/a x q0 r0 d0"]);
    // While it is away, it is who it was last.
    client.lose();
    house.replace(&CLAIMS.replace("ops/#", "ops/+"));
    house.review();
    assert_eq!(house.environment.engine.counters().subscriptions_revoked.load(std::sync::atomic::Ordering::Relaxed), 1);
}
