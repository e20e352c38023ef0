//! What bounds a client as a whole: the rates and counts of its roles.

use super::*;
use crate::connection::roster::DuplicateClientId;

const LIMITED: &str = r#"
version: 1
users: { "*": [all], slow: [slow], few: [few], both: [slow, quick], lonely: [lonely], anonymous: [all, lonely] }
roles:
  all: [ { topic: "open/#", rw: rw }, { topic: "id/${clientid}", rw: rw } ]
  lonely: []
  slow: []
  quick: []
  few: []
limits:
  slow: { messages_per_s: 2 }
  quick: { messages_per_s: 4, bytes_per_s: 100B }
  few: { subscriptions_max: 2 }
  lonely: { connections_max: 1 }
"#;

fn limited() -> House {
    let house = House::new();
    house.environment.policy.store(Arc::new(Policy::parse(LIMITED, "policy.yaml").unwrap()));
    house
}

fn log_in<'a>(house: &'a House, username: &str, version: Version) -> Client<'a> {
    let mut client = house.client(Manner::MQTT);
    client.connect(connect(username, version), username);
    client.said();
    client
}

impl Client<'_> {
    /// What follows from a message that comes so many milliseconds after the start; `has_waited`: reading went on only then.
    fn publish_at(&mut self, ms: u64, has_waited: bool, qos: QoS) -> Vec<String> {
        let now = self.house.now + Duration::from_millis(ms);
        if has_waited {
            self.act(|core, _, _, _| core.released(now));
        }
        let packet_id = (qos > QoS::AtMostOnce).then_some(1);
        self.act(|core, _, _, turn| core.handle_packet(now, publish("open/x", b"12345", qos, packet_id), turn));
        self.said()
    }
}

fn slowed(house: &House) -> u64 {
    house.environment.counters.publishers_slowed.load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn who_has_used_up_a_rate_is_held_and_told_once() {
    let house = limited();
    let mut client = log_in(&house, "slow", Version::V5);
    assert_eq!(client.publish_at(0, false, QoS::AtMostOnce), [""; 0]);
    assert_eq!(client.publish_at(0, false, QoS::AtMostOnce), ["held for 500 ms"]);
    assert_eq!(slowed(&house), 0, "the burst is within the rate");
    assert_eq!(client.publish_at(500, true, QoS::AtMostOnce), ["slowed", "held for 1000 ms"]);
    assert_eq!(client.publish_at(1000, true, QoS::AtMostOnce), ["held for 1500 ms"]);
    assert_eq!(slowed(&house), 1);
    // Whoever else there is goes on.
    assert_eq!(log_in(&house, "other", Version::V5).publish_at(1000, false, QoS::AtMostOnce), [""; 0]);
}

#[test]
fn of_several_roles_the_most_generous_rate_holds() {
    let house = limited();
    let mut client = log_in(&house, "both", Version::V5);
    for _ in 0..3 {
        assert_eq!(client.publish_at(0, false, QoS::AtMostOnce), [""; 0]);
    }
    assert_eq!(client.publish_at(0, false, QoS::AtMostOnce), ["held for 250 ms"]);
    // The bytes, of which one role alone says anything, topic included.
    let now = house.now + Duration::from_millis(2000);
    client
        .act(|core, _, _, turn| core.handle_packet(now, publish("open/x", &[b'x'; 194], QoS::AtMostOnce, None), turn));
    assert_eq!(client.said(), ["held for 3000 ms"]);
}

#[test]
fn limits_follow_the_policy() {
    let house = limited();
    let mut client = log_in(&house, "slow", Version::V5);
    client.publish_at(0, false, QoS::AtMostOnce);
    assert_eq!(client.publish_at(0, false, QoS::AtMostOnce), ["held for 500 ms"]);
    let swap = |from: &str, to: &str| {
        house.environment.policy.store(Arc::new(Policy::parse(&LIMITED.replace(from, to), "policy.yaml").unwrap()));
    };
    // What was spent stays spent, at the new rate.
    swap("messages_per_s: 2", "messages_per_s: 1, subscriptions_max: 0");
    assert_eq!(client.publish_at(1000, false, QoS::AtMostOnce), ["held for 2000 ms"]);
    assert_eq!(client.send(subscribe(&["open/a"], QoS::AtMostOnce)), ["SUBACK [QuotaExceeded]"]);
    swap("slow: { messages_per_s: 2 }", "slow: { retain: false }");
    for _ in 0..100 {
        assert_eq!(client.publish_at(2000, false, QoS::AtMostOnce), [""; 0]);
    }
    assert_eq!(client.send(subscribe(&["open/a"], QoS::AtMostOnce)), ["SUBACK [Success]"]);
    swap("slow: { messages_per_s: 2 }", "slow: { messages_per_s: 1 }");
    assert_eq!(client.publish_at(3000, false, QoS::AtMostOnce), ["held for 4000 ms"]);
}

#[test]
fn being_ahead_for_too_long_ends_the_connection_but_not_of_who_waits_for_acknowledgements() {
    let house = limited();
    for (qos, version) in
        [(QoS::AtMostOnce, Version::V5), (QoS::AtMostOnce, Version::V4), (QoS::AtLeastOnce, Version::V5)]
    {
        let mut client = log_in(&house, "slow", version);
        client.publish_at(0, false, qos);
        let mut said = vec![client.publish_at(0, false, qos).concat()];
        // Two a second pass; 60 s of patience have begun with the first that waited.
        said.extend((1..=125).map(|half_second| client.publish_at(500 * half_second, true, qos).concat()));
        let closed_at = said.iter().position(|said| said.contains("close: Message rate too high"));
        assert_eq!(closed_at, (qos == QoS::AtMostOnce).then_some(122), "{version}: {said:?}");
        if version == Version::V5 && closed_at.is_some() {
            assert!(said[122].starts_with("DISCONNECT Message rate too high"), "{said:?}");
        }
    }
    assert_eq!(house.environment.counters.closed(ReasonCode::MessageRateTooHigh), 2);
}

#[test]
fn subscriptions_max_refuses_the_filter_beyond_it_and_no_other() {
    let house = limited();
    for version in [Version::V4, Version::V5] {
        let mut client = log_in(&house, "few", version);
        assert_eq!(client.send(subscribe(&["open/a"], QoS::AtMostOnce)), ["SUBACK [Success]"]);
        assert_eq!(client.send(subscribe(&["open/b"], QoS::AtMostOnce)), ["SUBACK [Success]"]);
        assert_eq!(client.send(subscribe(&["open/c"], QoS::AtMostOnce)), ["SUBACK [QuotaExceeded]"]);
        // One it has may be made anew.
        assert_eq!(client.send(subscribe(&["open/b"], QoS::AtLeastOnce)), ["SUBACK [GrantedQoS1]"]);
        assert_eq!(client.send(unsubscribe("open/a")), ["UNSUBACK [Success]"]);
        assert_eq!(client.send(subscribe(&["open/c"], QoS::AtMostOnce)), ["SUBACK [Success]"]);
        client.lose();
    }
}

impl House {
    /// A client with what its listener says of taken Client Identifiers, and what it is told.
    fn enter(
        &self,
        duplicates: DuplicateClientId,
        principal: Principal,
        connect: Connect,
    ) -> (Client<'_>, Vec<String>) {
        let mut client = self.client(Manner::MQTT);
        client.core = Core::new(Manner::MQTT, Some([10, 0, 0, 1].into())).with_duplicates(Some(duplicates));
        client.act(|core, now, _, turn| core.handle_packet(now, Packet::Connect(Box::new(connect)), turn));
        client.act(|core, now, outlet, turn| core.authenticated(now, Ok(principal), outlet, turn));
        let said = client.said();
        (client, said)
    }
}

const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];

#[test]
fn connections_max_refuses_a_further_client_id_and_no_takeover() {
    let house = limited();
    for (principal, version) in [Principal::user("lonely"), Principal::anonymous()].iter().zip(VERSIONS) {
        let id_of = |id| format!("{id} of {}", principal.username);
        let enter = |id| house.enter(DuplicateClientId::Takeover, principal.clone(), connect(&id_of(id), version));
        let (first, said) = enter("a");
        assert_eq!(said, [SUCCESS]);
        let (_, said) = enter("b");
        assert_eq!(said, ["CONNACK Quota exceeded present=false", "close: Quota exceeded"]);
        let (mut heir, said) = enter("a");
        assert_eq!(said, [SUCCESS]);
        assert_eq!(first.said(), ["asked to close: Session taken over"]);
        drop(first);
        heir.lose();
        assert_eq!(enter("b").1, [SUCCESS], "the place is free");
    }
    assert_eq!(house.environment.counters.connects_refused_user_full.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn the_general_limit_holds_for_whoever_has_none_said() {
    let mut house = limited();
    house.environment.config.connections_per_user_max = Some(2);
    let enter =
        |user: &str, id| house.enter(DuplicateClientId::Takeover, Principal::user(user), connect(id, Version::V5));
    let clients = ["a", "b"].map(|id| enter("someone", id));
    assert!(clients.iter().all(|(_, said)| said == &[SUCCESS]));
    assert_eq!(enter("someone", "c").1[0], "CONNACK Quota exceeded present=false");
    let (_lonely, said) = enter("lonely", "d");
    assert_eq!(said, [SUCCESS]);
    assert_eq!(enter("lonely", "e").1[0], "CONNACK Quota exceeded present=false", "the role's own word");
}

#[test]
fn a_client_id_that_is_taken_is_refused_or_gets_a_suffix() {
    for version in VERSIONS {
        for who in [Principal::user("alice"), Principal::anonymous()] {
            let mut house = limited();
            // The role that bounds the nameless is not what this is about.
            house.environment.policy.store(Arc::new(
                Policy::parse(&LIMITED.replace("connections_max: 1", "connections_max: 9"), "p").unwrap(),
            ));
            house.environment.config.roster.per_client_id_max = 2;
            let enter = |duplicates| house.enter(duplicates, who.clone(), connect("kiosk", version));
            let (first, _) = enter(DuplicateClientId::Reject);
            let refused = ["CONNACK Client Identifier not valid present=false", "close: Client Identifier not valid"];
            assert_eq!(enter(DuplicateClientId::Reject).1, refused);
            let (mut second, said) = enter(DuplicateClientId::Suffix);
            assert_eq!(said, [SUCCESS]);
            let assigned = second.connack().assigned_client_identifier;
            assert_eq!(assigned.as_deref(), Some("kiosk-2"));
            assert_eq!(first.said(), [""; 0], "nobody lost anything");
            // What the policy says of a Client Identifier it says of the one that the client got.
            for (topic, is_granted) in [("id/kiosk-2", true), ("id/kiosk", false)] {
                let said = second.send(subscribe(&[topic], QoS::AtMostOnce));
                let granted =
                    if is_granted || version == Version::V3 { "SUBACK [Success]" } else { "SUBACK [NotAuthorized]" };
                assert_eq!(said, [granted], "{version} {topic}");
            }
            assert_eq!(enter(DuplicateClientId::Suffix).1[0], "CONNACK Quota exceeded present=false");
        }
    }
}

#[test]
fn a_client_id_is_its_first_users_in_every_version() {
    for version in VERSIONS {
        for (owner, other) in [
            (Principal::user("alice"), Principal::user("bob")),
            (Principal::anonymous(), Principal::user("bob")),
            (Principal::user("alice"), Principal::anonymous()),
        ] {
            for duplicates in [DuplicateClientId::Takeover, DuplicateClientId::Reject, DuplicateClientId::Suffix] {
                let house = limited();
                let (mut owned, _) = house.enter(duplicates, owner.clone(), connect("the-id", version));
                let (_, said) = house.enter(duplicates, other.clone(), connect("the-id", version));
                assert_eq!(said[0], "CONNACK Client Identifier not valid present=false", "{version} {duplicates:?}");
                assert_eq!(owned.said(), [""; 0]);
                // With the session the binding ends.
                owned.lose();
                assert_eq!(house.enter(duplicates, other.clone(), connect("the-id", version)).1, [SUCCESS]);
            }
        }
    }
}

#[test]
fn two_clients_that_both_insist_come_to_rest() {
    let house = limited();
    let mut taken = 0;
    let mut refused = 0;
    let mut holder = None;
    for _ in 0..50 {
        let (client, said) =
            house.enter(DuplicateClientId::Takeover, Principal::user("alice"), connect("kiosk", Version::V5));
        if said == [SUCCESS] {
            taken += 1;
            drop(holder.replace(client));
        } else {
            assert_eq!(said, ["CONNACK Connection rate exceeded present=false", "close: Connection rate exceeded"]);
            refused += 1;
        }
    }
    assert_eq!((taken, refused), (31, 19));
    // Who has it at last keeps it.
    assert_eq!(holder.unwrap().send(Packet::PingReq), ["PingResp"]);
}

#[test]
fn an_identity_that_cannot_be_bound_is_counted() {
    let house = limited();
    let (_, said) = house.enter(DuplicateClientId::Takeover, Principal::user("alice"), connect("a/b", Version::V5));
    assert_eq!(said[0], "CONNACK Not authorized present=false");
    assert_eq!(house.environment.counters.connects_denied.load(std::sync::atomic::Ordering::Relaxed), 1);
}

fn unsubscribe(filter: &str) -> Packet<'static> {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: PacketId::MIN,
        user_properties: Vec::new(),
        filters: vec![TopicFilter::parse(filter).unwrap()],
    })
}
