//! Scripts of enhanced authentication (MQTT 5.0 §4.12).

use super::*;
use crate::auth::scram::client;
use crate::mqtt::codec::{Decoder, Limits, Sender};

/// `anna` and `berta` have the password `correct horse`; only `plain` has no SCRAM verifier.
pub(super) const PASSWORDS: &str = "\
anna:SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$Y2eRFXLWrUnuM8NBTPPoG0Na9Jo+iWz9y0qDnDeJljg=:i9OU/WREaWC16d96s1DBISzhBItqQjA4x+ra3A4ZmKc=
berta:SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$Y2eRFXLWrUnuM8NBTPPoG0Na9Jo+iWz9y0qDnDeJljg=:i9OU/WREaWC16d96s1DBISzhBItqQjA4x+ra3A4ZmKc=
plain:$7$101$IHW4BgQ9UU0uaaOY$LQIKMyP5KORWnFszayRYifqSelM5T98wHHZyjhdxCbAQLPw9iRY3vK3oi3jgFEU/Alge9ZSoElYDV0r27i0q1Q==
";

const METHOD: &str = "SCRAM-SHA-256";
const PASSWORD: &str = "correct horse";
const NOT_AUTHORIZED: [&str; 2] = ["CONNACK Not authorized present=false", "close: Not authorized"];
const PROTOCOL_ERROR: [&str; 2] = ["CONNACK Protocol Error present=false", "close: Protocol Error"];
const DISCONNECTED: [&str; 2] = ["DISCONNECT Protocol Error", "close: Protocol Error"];

/// A CONNECT that names a method, with data or without.
fn connect_by(method: &str, data: Option<&str>) -> Connect {
    let mut connect = connect("c", Version::V5);
    connect.properties.authentication_method = Some(method.into());
    connect.properties.authentication_data = data.map(|data| Bytes::copy_from_slice(data.as_bytes()));
    connect
}

fn auth(reason: ReasonCode, method: Option<&str>, data: &str) -> Packet<'static> {
    let properties = AuthProperties {
        authentication_method: method.map(Into::into),
        authentication_data: Some(Bytes::copy_from_slice(data.as_bytes())),
        ..AuthProperties::default()
    };
    Packet::Auth(Auth { reason, properties })
}

fn go_on(data: &str) -> Packet<'static> {
    auth(ReasonCode::ContinueAuthentication, Some(METHOD), data)
}

fn again(data: &str) -> Packet<'static> {
    auth(ReasonCode::ReAuthenticate, Some(METHOD), data)
}

impl Client<'_> {
    fn begin(&mut self, connect: Connect) -> Vec<String> {
        self.send(Packet::Connect(Box::new(connect)))
    }

    /// The data of the one AUTH that was said, which must have this reason and name the method.
    fn data_of(said: &[String], reason: &str) -> String {
        let [line] = said else { panic!("{said:?}") };
        let data = line.strip_prefix(&format!("AUTH {reason} {METHOD} "));
        data.unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    /// Goes as far as client-final, which is returned with the server-final to expect.
    fn challenged(&mut self, username: &str, password: &str) -> (String, String) {
        let said = self.begin(connect_by(METHOD, Some(&client::first(username))));
        client::last(username, password, &Self::data_of(&said, "Continue authentication"))
    }

    fn proven(&mut self, username: &str) {
        let (last, server_final) = self.challenged(username, PASSWORD);
        let said = self.send(go_on(&last));
        assert_eq!(said, [format!("CONNACK Success present=false {METHOD} {server_final}")]);
    }
}

#[test]
fn a_client_proves_who_it_is_and_is_told_who_the_server_is() {
    let house = House::new();
    let mut anna = house.client(Manner::MQTT);
    anna.proven("anna");
    // The proven name is the principal: the policy binds it.
    let policy = POLICY.replace("client: [client]", "anna: [client]");
    house.environment.policy.store(Arc::new(Policy::parse(&policy, "policy.yaml").unwrap()));
    anna.lose();
    let mut anna = house.client(Manner::MQTT);
    anna.proven("anna");
    let publish_to = |topic| publish(topic, b"x", QoS::AtLeastOnce, Some(1));
    assert_eq!(anna.send(publish_to("/p/anna/upload")), ["PUBACK 1 No matching subscribers"]);
    assert_eq!(anna.send(publish_to("/p/berta/upload")), ["PUBACK 1 Not authorized"]);
    assert_eq!(house.authenticator.counters().accepted.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn a_method_that_is_not_offered_is_refused() {
    let house = House::new();
    for method in ["", "SCRAM-SHA-1", "scram-sha-256", "PLAIN", "token"] {
        let said = house.client(Manner::MQTT).begin(connect_by(method, Some("n,,n=anna,r=x")));
        let refused = ["CONNACK Bad authentication method present=false", "close: Bad authentication method"];
        assert_eq!(said, refused, "{method:?}");
    }
    assert_eq!(house.authenticator.counters().unknown_method.load(std::sync::atomic::Ordering::Relaxed), 5);
}

#[test]
fn who_does_not_know_the_password_is_refused_whether_known_or_not() {
    let house = House::new();
    for (username, password) in [("anna", "wrong"), ("nobody", PASSWORD), ("plain", PASSWORD), ("anonymous", "")] {
        let mut client = house.client(Manner::MQTT);
        let (last, _) = client.challenged(username, password);
        assert_eq!(client.send(go_on(&last)), NOT_AUTHORIZED, "{username}");
        assert!(!client.core.takes_packets());
    }
    assert_eq!(house.authenticator.counters().not_proven.load(std::sync::atomic::Ordering::Relaxed), 4);
}

#[test]
fn what_is_no_scram_is_refused() {
    let house = House::new();
    for data in ["", "n", "p=tls-exporter,,n=anna,r=x", "n,a=root,n=anna,r=x"] {
        assert_eq!(house.client(Manner::MQTT).begin(connect_by(METHOD, Some(data))), NOT_AUTHORIZED, "{data}");
    }
    let mut client = house.client(Manner::MQTT);
    client.challenged("anna", PASSWORD);
    assert_eq!(client.send(go_on(&client::first("anna"))), NOT_AUTHORIZED, "client-first again");
    // AUTH without data.
    let mut client = house.client(Manner::MQTT);
    client.challenged("anna", PASSWORD);
    let properties = AuthProperties { authentication_method: Some(METHOD.into()), ..AuthProperties::default() };
    let empty = Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, properties });
    assert_eq!(client.send(empty), NOT_AUTHORIZED);
}

#[test]
fn a_client_may_name_the_method_before_it_speaks() {
    let house = House::new();
    let mut anna = house.client(Manner::MQTT);
    assert_eq!(anna.begin(connect_by(METHOD, None)), [format!("AUTH Continue authentication {METHOD} none")]);
    let said = anna.send(go_on(&client::first("anna")));
    let (last, _) = client::last("anna", PASSWORD, &Client::data_of(&said, "Continue authentication"));
    assert!(anna.send(go_on(&last))[0].starts_with("CONNACK Success"));
}

#[test]
fn only_auth_and_disconnect_come_before_connack() {
    let house = House::new();
    let mut packets = vec![
        Packet::PingReq,
        Packet::Connect(Box::new(connect("c", Version::V5))),
        publish("open/a", b"", QoS::AtMostOnce, None),
        subscribe(&["open/a"], QoS::AtMostOnce),
        Packet::PubAck(ack(1)),
        Packet::PubRel(ack(1)),
        // AUTH, but none that goes on with this method.
        again(&client::first("anna")),
        auth(ReasonCode::Success, Some(METHOD), ""),
        auth(ReasonCode::ContinueAuthentication, Some("PLAIN"), ""),
        auth(ReasonCode::ContinueAuthentication, None, ""),
    ];
    for packet in packets.drain(..) {
        let mut client = house.client(Manner::MQTT);
        client.challenged("anna", PASSWORD);
        let shown = format!("{packet:?}");
        assert_eq!(client.send(packet), PROTOCOL_ERROR, "{shown}");
    }
    let mut client = house.client(Manner::MQTT);
    client.challenged("anna", PASSWORD);
    // Authentication Method and nothing of its text.
    let mut decoder = Decoder::with_version(Sender::Client, Limits::default(), Version::V5);
    let fault = decoder.decode(b"\xf0\x03\x18\x01\x15").expect_err("it is cut short");
    client.act(|core, now, _, turn| core.handle_fault(now, &fault, turn));
    assert_eq!(client.said(), ["CONNACK Malformed Packet present=false", "close: Malformed Packet"]);
    let mut client = house.client(Manner::MQTT);
    client.challenged("anna", PASSWORD);
    let disconnect = Disconnect { reason: ReasonCode::Success, properties: DisconnectProperties::default() };
    assert_eq!(client.send(Packet::Disconnect(disconnect)), ["close: Success"]);
}

#[test]
fn a_user_name_beside_the_method_must_be_the_proven_one() {
    let house = House::new();
    for (beside, is_let_in) in [("anna", true), ("berta", false), ("", false)] {
        let mut client = house.client(Manner::MQTT);
        let mut connect = connect_by(METHOD, Some(&client::first("anna")));
        // The password is not looked at.
        connect.login = Login { username: Some(beside.into()), password: Some(Bytes::from_static(b"wrong")) };
        let said = client.begin(connect);
        let (last, _) = client::last("anna", PASSWORD, &Client::data_of(&said, "Continue authentication"));
        let said = client.send(go_on(&last));
        assert_eq!(said[0].starts_with("CONNACK Success"), is_let_in, "{beside}");
        assert!(is_let_in || said == NOT_AUTHORIZED, "{said:?}");
    }
}

#[test]
fn the_right_password_does_not_make_up_for_a_wrong_proof() {
    let house = House::new();
    let mut client = house.client(Manner::MQTT);
    let mut connect = connect_by(METHOD, Some(&client::first("anna")));
    connect.login = Login { username: Some("anna".into()), password: Some(Bytes::from(PASSWORD)) };
    let said = client.begin(connect);
    let (last, _) = client::last("anna", "wrong", &Client::data_of(&said, "Continue authentication"));
    assert_eq!(client.send(go_on(&last)), NOT_AUTHORIZED);
}

#[test]
fn an_identity_is_renewed_while_packets_go_on() {
    let house = House::new();
    let mut anna = house.client(Manner::MQTT);
    anna.proven("anna");
    // As often as the client likes.
    for _ in 0..2 {
        let said = anna.send(again(&client::first("anna")));
        let (last, server_final) = client::last("anna", PASSWORD, &Client::data_of(&said, "Continue authentication"));
        assert_eq!(anna.send(Packet::PingReq), ["PingResp"]);
        assert_eq!(Client::data_of(&anna.send(go_on(&last)), "Success"), server_final);
        assert_eq!(anna.send(Packet::PingReq), ["PingResp"]);
    }
}

#[test]
fn a_renewal_that_fails_ends_the_connection() {
    let house = House::new();
    let refused = ["DISCONNECT Not authorized", "close: Not authorized"];
    for (username, password) in [("anna", "wrong"), ("nobody", PASSWORD), ("berta", PASSWORD)] {
        let mut anna = house.client(Manner::MQTT);
        anna.proven("anna");
        let said = anna.send(again(&client::first(username)));
        let (last, _) = client::last(username, password, &Client::data_of(&said, "Continue authentication"));
        assert_eq!(anna.send(go_on(&last)), refused, "{username}");
    }
    let mut anna = house.client(Manner::MQTT);
    anna.proven("anna");
    assert_eq!(anna.send(again("nonsense")), refused);
}

#[test]
fn an_auth_out_of_place_is_a_protocol_error() {
    let house = House::new();
    let first = client::first("anna");
    // Without a method in CONNECT there is nothing to renew.
    assert_eq!(house.connected("x").send(again(&first)), DISCONNECTED);
    for out_of_place in [
        auth(ReasonCode::ReAuthenticate, Some("PLAIN"), &first),
        auth(ReasonCode::ReAuthenticate, None, &first),
        auth(ReasonCode::Success, Some(METHOD), &first),
        go_on(&first),
    ] {
        let mut anna = house.client(Manner::MQTT);
        anna.proven("anna");
        assert_eq!(anna.send(out_of_place), DISCONNECTED);
    }
    // Nor is a renewal begun amid another.
    let mut anna = house.client(Manner::MQTT);
    anna.proven("anna");
    assert_eq!(anna.send(again(&first)).len(), 1);
    assert_eq!(anna.send(again(&first)), DISCONNECTED);
}

#[test]
fn a_will_is_judged_by_the_proven_identity() {
    let house = House::new();
    let mut anna = house.client(Manner::MQTT);
    let mut connect = connect_by(METHOD, Some(&client::first("anna")));
    connect.will = Some(will("shut"));
    let said = anna.begin(connect);
    let (last, _) = client::last("anna", PASSWORD, &Client::data_of(&said, "Continue authentication"));
    assert_eq!(anna.send(go_on(&last)), NOT_AUTHORIZED, "a Will that the policy denies");
}
