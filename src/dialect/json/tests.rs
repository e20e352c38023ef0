//! Messages to packets, packets to texts, and what hostile pages send.

use std::sync::Arc;

use super::*;
use crate::engine::message::Message;
use crate::mqtt::packet::{Ack, Auth, ConnAck, Connect, Disconnect, SubAck, SubscribeOptions};
use crate::mqtt::property::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, UserProperties,
};
use crate::mqtt::{Packet, QoS, ReasonCode, TopicFilter, TopicName, Version};

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

/// A packet, told in a line.
fn told(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => format!(
            "publish #{} {} {} retain={} {:?}",
            publish.packet_id.map_or(0, PacketId::get),
            publish.topic.as_ref().unwrap(),
            publish.qos as u8,
            publish.retain,
            String::from_utf8_lossy(&publish.payload),
        ),
        Packet::Subscribe(subscribe) => {
            let (filter, options) = &subscribe.filters[0];
            assert_eq!(options, &SubscribeOptions { maximum_qos: options.maximum_qos, ..SubscribeOptions::default() });
            format!("subscribe #{} {filter} {}", subscribe.packet_id, options.maximum_qos as u8)
        }
        Packet::Unsubscribe(unsubscribe) => {
            format!("unsubscribe #{} {}", unsubscribe.packet_id, unsubscribe.filters[0])
        }
        Packet::PubAck(ack) => format!("ack #{}", ack.packet_id),
        Packet::PingReq => "ping".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Decodes as the first message of a connection; errors as the text that the client gets.
fn decode(text: &str) -> String {
    match JsonDialect::new().decode(text) {
        Ok(packet) => told(&packet),
        Err(error) => {
            let mut out = Vec::new();
            error.write(&mut out);
            String::from_utf8(out).unwrap()
        }
    }
}

#[test]
fn the_page_of_2018_is_understood() {
    let cases = [
        (r#"{"Action":"subscribe","Topic":"/p/client/download"}"#, "subscribe #1 /p/client/download 0"),
        (r#"{"Action":"unsubscribe","Topic":"/p/client/download"}"#, "unsubscribe #1 /p/client/download"),
        (
            r#"{"Action":"publish","Topic":"/p/client/upload","Payload":"{\"Hello\":\"World\"}"}"#,
            r#"publish #1 /p/client/upload 0 retain=false "{\"Hello\":\"World\"}""#,
        ),
        (r#"{"Action":"ping"}"#, "ping"),
    ];
    for (text, packet) in cases {
        assert_eq!(decode(text), packet);
    }
}

#[test]
fn messages_become_packets() {
    let cases = [
        (r#"{"action":"SUBSCRIBE","topic":"a"}"#, "unknown_action"),
        (r##"{"aCTION":"subscribe","tOPIC":"a/+/#","qos":2}"##, "subscribe #1 a/+/# 2"),
        (r#"{"Topic":"a","Payload":"","Action":"publish"}"#, r#"publish #1 a 0 retain=false """#),
        (
            r#"{"Action":"publish","Topic":"a","Payload":"x","QoS":1,"Retain":true,"Id":7}"#,
            r#"publish #1 a 1 retain=true "x""#,
        ),
        (
            r#"{"Action":"publish","Topic":"a","Payload":"aGVsbG8=","Encoding":"base64"}"#,
            r#"publish #1 a 0 retain=false "hello""#,
        ),
        (
            r#"{"Action":"publish","Topic":"ü/\u00e4","Payload":"\ud83c\udf0a\n"}"#,
            "publish #1 ü/ä 0 retain=false \"🌊\\n\"",
        ),
        (r#" { "Action" : "ping" , "Extra" : { "deep" : [1, {"Action": 2}] } } "#, "ping"),
        (r#"{"Action":"ack","Id":65535}"#, "ack #65535"),
        (r#"{"Action":"ping","Id":null}"#, "ping"),
        (r#"{"Acti\u006fn":"ping"}"#, "ping"),
    ];
    for (text, expected) in cases {
        let found = decode(text);
        assert!(found == expected || found.contains(&format!(r#""Code":"{expected}""#)), "{text}: {found}");
    }
}

#[test]
fn payload_and_topic_without_escapes_are_borrowed() {
    let mut dialect = JsonDialect::new();
    let Ok(Packet::Publish(publish)) = dialect.decode(r#"{"Action":"publish","Topic":"a","Payload":"b"}"#) else {
        panic!("no publish");
    };
    assert!(matches!(publish.payload, std::borrow::Cow::Borrowed(_)));
}

#[test]
fn connect_carries_identity_and_session() {
    let text = r#"{"Action":"connect","Username":"ann","Password":"s3cret","ClientId":"tab-1","CleanStart":false,
        "SessionExpiry":3600,"Will":{"Topic":"gone","payload":"AAE=","Encoding":"base64","QoS":1,"Retain":true,"Will":7}}"#;
    let mut dialect = JsonDialect::new();
    let Packet::Connect(connect) = dialect.decode(text).unwrap() else { panic!("no CONNECT") };
    assert_eq!(connect.version, Version::V5);
    assert_eq!((connect.clean_start, &*connect.client_id), (false, "tab-1"));
    assert_eq!(connect.login.username.as_deref(), Some("ann"));
    assert_eq!(connect.login.password.as_deref(), Some(&b"s3cret"[..]));
    assert_eq!(connect.properties.session_expiry_interval_s, Some(3600));
    let will = connect.will.unwrap();
    assert_eq!((&*will.topic, &will.payload[..], will.qos, will.retain), ("gone", &[0, 1][..], QoS::AtLeastOnce, true));

    let mut dialect = JsonDialect::new();
    let Packet::Connect(connect) = dialect.decode(r#"{"Action":"connect","Token":"a.b.c"}"#).unwrap() else {
        panic!("no CONNECT");
    };
    assert_eq!(connect.login.password.as_deref(), Some(&b"a.b.c"[..]));
    let expected = Connect { login: connect.login.clone(), ..implicit() };
    assert_eq!(*connect, expected, "beside the login it is the implicit CONNECT");
}

fn implicit() -> Connect {
    let Packet::Connect(connect) = implicit_connect() else { panic!("no CONNECT") };
    assert!(connect.clean_start && connect.keep_alive_s == 0 && connect.client_id.is_empty());
    assert_eq!(connect.properties, ConnectProperties::default());
    *connect
}

#[test]
fn connect_comes_first_or_not_at_all() {
    let mut dialect = JsonDialect::new();
    dialect.decode("{").unwrap_err();
    dialect.decode(r#"{"Action":"connect"}"#).unwrap();
    let error = dialect.decode(r#"{"Action":"connect","Id":1}"#).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Protocol);

    let refused =
        ConnAck { session_present: false, reason: ReasonCode::BadUserNameOrPassword, properties: Default::default() };
    assert_eq!(
        encode(&mut dialect, Packet::ConnAck(Box::new(refused))),
        r#"{"Action":"error","Code":"bad_credentials","Reason":"Bad User Name or Password"}"#
    );
    dialect.decode(r#"{"Action":"connect"}"#).expect("a refused client may try again");
    let mut dialect = JsonDialect::new();
    dialect.decode(r#"{"Action":"ping"}"#).unwrap();
    assert_eq!(dialect.decode(r#"{"Action":"connect"}"#).unwrap_err().mistake, Mistake::LateConnect);
}

#[test]
fn auth_is_a_token_for_reauthentication() {
    let mut dialect = JsonDialect::new();
    let Packet::Auth(auth) = dialect.decode(r#"{"Action":"auth","Token":"t","Id":"q"}"#).unwrap() else {
        panic!("no AUTH");
    };
    assert_eq!(auth.reason, ReasonCode::ReAuthenticate);
    assert_eq!(auth.properties.authentication_method.as_deref(), Some("token"));
    assert_eq!(auth.properties.authentication_data.as_deref(), Some(&b"t"[..]));
    let answer = Auth { reason: ReasonCode::BadAuthenticationMethod, properties: AuthProperties::default() };
    assert_eq!(
        encode(&mut dialect, Packet::Auth(answer)),
        r#"{"Action":"error","Code":"unsupported","Reason":"Bad authentication method","Id":"q"}"#
    );
}

#[test]
fn mistakes_name_field_finding_and_what_is_allowed() {
    let cases = [
        (r"", "bad_json", "not JSON: EOF while parsing a value at line 1 column 0", ""),
        (r#"{"Action":"ping""#, "bad_json", "not JSON: EOF while parsing an object at line 1 column 16", ""),
        (r#"{"Id":5,"Action":ping}"#, "bad_json", "not JSON: expected value at line 1 column 18", r#","Id":5"#),
        (r#"{"Action":"ping"}{}"#, "bad_json", "not JSON: trailing characters at line 1 column 18", ""),
        (r#"["ping"]"#, "bad_json", "found JSON that is not an object; one object with an Action is allowed", ""),
        (r#""ping""#, "bad_json", "found JSON that is not an object; one object with an Action is allowed", ""),
        ("{}", "missing_field", "Action: is missing; the name of an action is needed", ""),
        (r#"{"Action":4}"#, "bad_field", "Action: found 4; the name of an action is allowed", ""),
        (
            r#"{"Action":"pub","Id":"a\"b"}"#,
            "unknown_action",
            "Action: found \\\"pub\\\"; subscribe, unsubscribe, publish, ping, connect, auth or ack is allowed",
            r#","Id":"a\"b""#,
        ),
        (r#"{"Action":"subscribe"}"#, "missing_field", "Topic: is missing; a topic filter as a string is needed", ""),
        (
            r#"{"Action":"publish","Topic":"a"}"#,
            "missing_field",
            "Payload: is missing; a string (an object goes through JSON.stringify) is needed",
            "",
        ),
        (
            r#"{"Action":"publish","Topic":"a","Payload":{"x":[1]}}"#,
            "bad_field",
            "Payload: found an object; a string (an object goes through JSON.stringify) is allowed",
            "",
        ),
        (
            r#"{"Action":"publish","Topic":"a","Payload":null}"#,
            "bad_field",
            "Payload: found null; a string (an object goes through JSON.stringify) is allowed",
            "",
        ),
        (
            r#"{"Action":"publish","Topic":"a","Payload":"","QoS":3}"#,
            "bad_field",
            "QoS: found 3; 0, 1 or 2 is allowed",
            "",
        ),
        (
            r#"{"Action":"publish","Topic":"a","Payload":"","QoS":-1}"#,
            "bad_field",
            "QoS: found a number; 0, 1 or 2 is allowed",
            "",
        ),
        (
            r#"{"Action":"publish","Topic":"a","Payload":"","QoS":"1"}"#,
            "bad_field",
            "QoS: found a string; 0, 1 or 2 is allowed",
            "",
        ),
        (
            r#"{"Action":"publish","Topic":"a","Payload":"","Retain":1}"#,
            "bad_field",
            "Retain: found 1; true or false is allowed",
            "",
        ),
        (
            r#"{"Action":"publish","Topic":"a","Payload":"","Encoding":"hex"}"#,
            "bad_field",
            "Encoding: found a string; \\\"base64\\\" is allowed",
            "",
        ),
        (
            r#"{"Action":"publish","Topic":"a","Payload":"a","Encoding":"base64"}"#,
            "payload_invalid",
            "Payload: found text that is not base64; standard base64 with padding is allowed",
            "",
        ),
        (
            r#"{"Action":"publish","Topic":"a/+","Payload":""}"#,
            "topic_invalid",
            "Topic: contains a wildcard; names that are published to may not hold + or #",
            "",
        ),
        (
            r#"{"Action":"subscribe","Topic":""}"#,
            "filter_invalid",
            "Topic: is empty; at least one character is needed",
            "",
        ),
        (r#"{"Action":"subscribe","Topic":"\u0000"}"#, "filter_invalid", "Topic: contains the character U+0000", ""),
        (
            r#"{"Action":"ack"}"#,
            "missing_field",
            "Id: is missing; the Id of a delivery, a number from 1 to 65535, is needed",
            "",
        ),
        (
            r#"{"Action":"ack","Id":0}"#,
            "bad_field",
            "Id: found 0; the Id of a delivery, a number from 1 to 65535, is allowed",
            r#","Id":0"#,
        ),
        (
            r#"{"Action":"ping","Id":[1]}"#,
            "bad_field",
            "Id: found an array; a string or a number of at most 64 bytes is allowed",
            "",
        ),
        (
            r#"{"Action":"connect","Password":"p","Token":"t"}"#,
            "bad_field",
            "Token: found a Password beside it; either a Password or a Token is allowed",
            "",
        ),
        (
            r#"{"Action":"connect","Username":"a\u0000b"}"#,
            "bad_field",
            "Username: found a string with U+0000 or of more than 65535 bytes; a string of at most 65535 bytes without U+0000 is allowed",
            "",
        ),
        (
            r#"{"Action":"connect","SessionExpiry":4294967296}"#,
            "bad_field",
            "SessionExpiry: found 4294967296; a number of seconds from 0 to 4294967295 is allowed",
            "",
        ),
        (
            r#"{"Action":"connect","Will":"x"}"#,
            "bad_field",
            "Will: found a string; an object with Topic and Payload is allowed",
            "",
        ),
    ];
    for (text, code, reason, id) in cases {
        let expected = format!(r#"{{"Action":"error","Code":"{code}","Reason":"{reason}"{id}}}"#);
        assert_eq!(decode(text), expected, "{text}");
    }
}

#[test]
fn a_repeated_key_is_refused_in_any_case() {
    let cases = [
        r#"{"Action":"publish","Topic":"a","topic":"b","Payload":""}"#,
        r#"{"Topic":"a","Action":"publish","Payload":"","T\u004fPIC":"a"}"#,
        r#"{"Action":"connect","Will":{"Topic":"a","TOPIC":"b","Payload":""}}"#,
    ];
    for text in cases {
        let expected =
            r#"{"Action":"error","Code":"bad_field","Reason":"Topic: is given more than once; once is allowed"}"#;
        assert_eq!(decode(text), expected, "{text}");
    }
    assert!(decode(r#"{"Action":"ping","Id":1,"id":2}"#).ends_with(r#"once is allowed","Id":1}"#));
}

#[test]
fn hostile_json_costs_an_error_at_most() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(decode(&format!(r#"{{"Action":"ping","x":{}}}"#, nested(10_000))), "ping");
    assert!(decode(&nested(10_000)).contains("bad_json"));
    assert!(decode(&"[".repeat(100_000)).contains("bad_json"));
    assert!(decode(&r#"{"Will":"#.repeat(100_000)).contains("bad_json"));
    let deep_will =
        r#"{"Action":"connect","Will":"#.to_owned() + &r#"{"Will":"#.repeat(10_000) + "1" + &"}".repeat(10_001);
    assert!(decode(&deep_will).contains("missing_field"));
    let deep_payload = format!(r#"{{"Action":"publish","Topic":"a","Payload":{}}}"#, nested(10_000));
    assert!(decode(&deep_payload).contains("found an array"));
    // A lone surrogate is no character, in a value; as part of an Id it only comes back.
    assert!(decode(r#"{"Action":"publish","Topic":"a","Payload":"\ud800"}"#).contains("bad_json"));
    assert!(decode(r#"{"Action":"publish","Topic":"\udfff","Payload":""}"#).contains("bad_json"));
    // Numbers beyond every type.
    let big = "9".repeat(60);
    assert!(decode(&format!(r#"{{"Action":"subscribe","Topic":"a","QoS":{big}}}"#)).contains("QoS: found a number"));
    assert!(decode(r#"{"Action":"subscribe","Topic":"a","QoS":1e999}"#).contains("bad_json"));
    assert!(decode(&format!(r#"{{"Action":"nothing","Id":{big}}}"#)).contains(&format!(r#""Id":{big}"#)));
    assert!(decode(&format!(r#"{{"Action":"ping","Id":"{}"}}"#, "x".repeat(63))).contains("found 65 bytes"));
    // What is echoed is bounded.
    assert!(decode(&format!(r#"{{"Action":"{}"}}"#, "é".repeat(100_000))).len() < 250);
    let topic = "/".repeat(65_535);
    assert!(decode(&format!(r#"{{"Action":"subscribe","Topic":"{topic}"}}"#)).contains("has more than 128 levels"));
}

#[test]
fn secrets_are_never_repeated() {
    let cases = [
        r#"{"Action":"connect","Username":"u","Password":7,"Token":"hunter2"}"#,
        r#"{"Action":"connect","Username":"u","Password":"hunter2","Token":"hunter2"}"#,
        r#"{"Action":"connect","Password":"hunter2"#,
        r#"{"Action":"connect","Password":"hunter2\u0000"}"#,
    ];
    for text in cases {
        assert!(!decode(text).contains("hunter2"), "{text}");
    }
}

fn encode(dialect: &mut JsonDialect, packet: Packet<'_>) -> String {
    let mut out = Vec::new();
    dialect.encode(&packet, &mut out);
    String::from_utf8(out).unwrap()
}

fn after(text: &str) -> JsonDialect {
    let mut dialect = JsonDialect::new();
    dialect.decode(text).unwrap();
    dialect
}

fn pub_ack(reason: ReasonCode) -> Packet<'static> {
    Packet::PubAck(Ack::new(id(1), reason))
}

fn sub_ack(reason: ReasonCode) -> SubAck {
    SubAck { packet_id: id(1), properties: AckProperties::default(), reasons: vec![reason] }
}

fn conn_ack(properties: ConnAckProperties) -> Packet<'static> {
    Packet::ConnAck(Box::new(ConnAck { session_present: false, reason: ReasonCode::Success, properties }))
}

#[test]
fn answers_carry_the_id_and_successes_come_only_with_one() {
    const PUBLISH: &str = r#"{"Action":"publish","Topic":"a","Payload":""}"#;
    const PUBLISH_ID: &str = r#"{"Action":"publish","Topic":"a","Payload":"","Id":"k\u00e9y"}"#;
    const SUBSCRIBE_QOS: &str = r#"{"Action":"subscribe","Topic":"a","QoS":2,"Id":12345678901234567890123}"#;
    let denied = r#"{"Action":"error","Code":"denied","Reason":"Not authorized"}"#;
    let cases = [
        (PUBLISH, pub_ack(ReasonCode::Success), ""),
        (PUBLISH, pub_ack(ReasonCode::NotAuthorized), denied),
        (PUBLISH_ID, pub_ack(ReasonCode::NoMatchingSubscribers), r#"{"Action":"ack","Id":"k\u00e9y"}"#),
        (
            PUBLISH_ID,
            pub_ack(ReasonCode::QuotaExceeded),
            r#"{"Action":"error","Code":"quota","Reason":"Quota exceeded","Id":"k\u00e9y"}"#,
        ),
        (
            SUBSCRIBE_QOS,
            Packet::SubAck(sub_ack(ReasonCode::GrantedQoS1)),
            r#"{"Action":"ack","QoS":1,"Id":12345678901234567890123}"#,
        ),
        (
            r#"{"Action":"subscribe","Topic":"a","Id":-1.5e3}"#,
            Packet::SubAck(sub_ack(ReasonCode::Success)),
            r#"{"Action":"ack","Id":-1.5e3}"#,
        ),
        (r#"{"Action":"subscribe","Topic":"a"}"#, Packet::SubAck(sub_ack(ReasonCode::NotAuthorized)), denied),
        (
            r#"{"Action":"unsubscribe","Topic":"a","Id":0}"#,
            Packet::UnsubAck(sub_ack(ReasonCode::NoSubscriptionExisted)),
            r#"{"Action":"ack","Id":0}"#,
        ),
        (r#"{"Action":"ping"}"#, Packet::PingResp, r#"{"Action":"pong"}"#),
        (r#"{"Action":"ping","Id":9}"#, Packet::PingResp, r#"{"Action":"pong","Id":9}"#),
        (r#"{"Action":"connect"}"#, conn_ack(ConnAckProperties::default()), ""),
        (r#"{"Action":"connect","Id":1}"#, conn_ack(ConnAckProperties::default()), r#"{"Action":"ack","Id":1}"#),
        (
            r#"{"Action":"connect","Id":1}"#,
            conn_ack(ConnAckProperties { assigned_client_identifier: Some("auto-7".into()), ..Default::default() }),
            r#"{"Action":"ack","ClientId":"auto-7","Id":1}"#,
        ),
    ];
    for (text, packet, expected) in cases {
        let mut dialect = after(text);
        assert_eq!(encode(&mut dialect, packet.clone()), expected, "{text}");
        assert!(dialect.waiting.is_empty() && !dialect.waiting.spilled(), "{text}");
    }
}

#[test]
fn the_connections_own_words_replace_the_standards() {
    let mut dialect = after(r#"{"Action":"publish","Topic":"a","Payload":"","Id":1}"#);
    let properties = AckProperties { reason_string: Some("rule 3 says \"no\"".into()), ..AckProperties::default() };
    let ack = Ack { packet_id: id(1), reason: ReasonCode::NotAuthorized, properties: Some(Box::new(properties)) };
    assert_eq!(
        encode(&mut dialect, Packet::PubAck(ack)),
        r#"{"Action":"error","Code":"denied","Reason":"rule 3 says \"no\"","Id":1}"#
    );
}

#[test]
fn answers_find_their_ids_in_any_order() {
    let mut dialect = JsonDialect::new();
    for name in ["a", "b", "c"] {
        dialect.decode(&format!(r#"{{"Action":"publish","Topic":"t","Payload":"","Id":"{name}"}}"#)).unwrap();
    }
    dialect.decode(r#"{"Action":"ping"}"#).unwrap();
    dialect.decode(r#"{"Action":"ping","Id":"p"}"#).unwrap();
    let ack = |value| Packet::PubAck(Ack::new(id(value), ReasonCode::Success));
    assert_eq!(encode(&mut dialect, ack(2)), r#"{"Action":"ack","Id":"b"}"#);
    assert_eq!(encode(&mut dialect, Packet::PingResp), r#"{"Action":"pong"}"#);
    assert_eq!(encode(&mut dialect, ack(3)), r#"{"Action":"ack","Id":"c"}"#);
    assert_eq!(encode(&mut dialect, Packet::PingResp), r#"{"Action":"pong","Id":"p"}"#);
    assert_eq!(encode(&mut dialect, ack(3)), "", "answered once");
    assert_eq!(encode(&mut dialect, ack(1)), r#"{"Action":"ack","Id":"a"}"#);
}

#[test]
fn what_waits_is_bounded_and_identifiers_never_meet() {
    let mut dialect = JsonDialect::new();
    const TEXT: &str = r#"{"Action":"publish","Topic":"t","Payload":"","Id":1}"#;
    for _ in 0..WAITING_MAX {
        dialect.decode(TEXT).unwrap();
    }
    let error = dialect.decode(TEXT).unwrap_err();
    assert_eq!((error.code(), &error.mistake), (ErrorCode::Quota, &Mistake::TooManyWaiting));
    let ids = |dialect: &mut JsonDialect| match dialect.decode(r#"{"Action":"publish","Topic":"t","Payload":""}"#) {
        Ok(Packet::Publish(publish)) => publish.packet_id.unwrap().get(),
        other => panic!("{other:?}"),
    };
    for _ in 0..70_000 {
        let found = ids(&mut dialect);
        assert!(usize::from(found) > WAITING_MAX, "{found} still waits");
    }
}

#[test]
fn the_server_says_goodbye() {
    let goodbye = |reason, user_properties: UserProperties| {
        let properties = DisconnectProperties { user_properties, ..DisconnectProperties::default() };
        encode(&mut JsonDialect::new(), Packet::Disconnect(Disconnect { reason, properties }))
    };
    let said = vec![(RETRY_AFTER_PROPERTY.into(), "2500".into())];
    assert_eq!(goodbye(ReasonCode::ServerShuttingDown, said), r#"{"Action":"closing","RetryAfterMs":2500}"#);
    assert_eq!(goodbye(ReasonCode::ServerMoved, vec![]), r#"{"Action":"closing","RetryAfterMs":1000}"#);
    assert_eq!(
        goodbye(ReasonCode::SessionTakenOver, vec![]),
        r#"{"Action":"error","Code":"taken_over","Reason":"Session taken over"}"#
    );
    assert_eq!(goodbye(ReasonCode::Success, vec![]), "");
}

#[test]
fn a_lost_subscription_is_named_by_its_filter_and_not_as_a_topic() {
    let text = String::from_utf8(super::revoked("a \"b\"/#")).unwrap();
    let reason = "no longer authorized to subscribe to this Topic Filter";
    assert_eq!(text, format!(r#"{{"Action":"revoked","Filter":"a \"b\"/#","Reason":"{reason}"}}"#));
}

#[test]
fn every_failure_has_a_code_and_no_answer_a_topic() {
    for &reason in ReasonCode::ALL {
        for packet in [
            pub_ack(reason),
            Packet::SubAck(sub_ack(reason)),
            Packet::Disconnect(Disconnect { reason, properties: DisconnectProperties::default() }),
            Packet::ConnAck(Box::new(ConnAck { session_present: false, reason, properties: Default::default() })),
        ] {
            let text = encode(&mut JsonDialect::new(), packet);
            assert_eq!(text.is_empty(), !reason.is_failure(), "{reason}: {text}");
            if !text.is_empty() {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert!(value.get("Topic").is_none() && value["Action"] != "publish");
            }
        }
    }
    let mut codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), ErrorCode::ALL.len());
}

fn message(topic: &'static str, payload: &[u8]) -> Arc<Message> {
    Arc::new(Message::new(&TopicName::parse(topic).unwrap(), &[], payload, QoS::AtMostOnce, false))
}

#[test]
fn deliveries() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("a/b", b"hi", r#"{"Action":"publish","Topic":"a/b","Payload":"hi"}"#),
        ("a", b"", r#"{"Action":"publish","Topic":"a","Payload":""}"#),
        ("\"\\\n", b"\"\\\x00\x1f\x7f", r#"{"Action":"publish","Topic":"\"\\\n","Payload":"\"\\\u0000\u001f"#),
        ("ü", "🌊".as_bytes(), r#"{"Action":"publish","Topic":"ü","Payload":"🌊"}"#),
        ("bin", &[0, 255], r#"{"Action":"publish","Topic":"bin","Payload":"AP8=","Encoding":"base64"}"#),
    ];
    for (topic, payload, expected) in cases {
        let text = publish_text(&message(topic, payload));
        assert!(std::str::from_utf8(&text).unwrap().starts_with(expected), "{text:?}");
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["Topic"], *topic);
    }
}

#[test]
fn deliveries_above_qos_0_are_the_same_text_with_another_tail() {
    let text = publish_text(&message("a", b"x"));
    let whole = |qos, packet_id| {
        let tail = delivery_tail(qos, packet_id);
        assert!(!tail.spilled());
        String::from_utf8([&text[..text.len() - 1], &tail[..]].concat()).unwrap()
    };
    assert_eq!(whole(QoS::AtMostOnce, None).as_bytes(), &text[..]);
    assert_eq!(
        whole(QoS::AtLeastOnce, Some(id(7))),
        r#"{"Action":"publish","Topic":"a","Payload":"x","QoS":1,"Id":7}"#
    );
    assert_eq!(
        whole(QoS::ExactlyOnce, Some(id(65_535))),
        r#"{"Action":"publish","Topic":"a","Payload":"x","QoS":2,"Id":65535}"#
    );
}

#[test]
fn an_idle_client_costs_little() {
    assert!(size_of::<JsonDialect>() <= 64, "{}", size_of::<JsonDialect>());
}

proptest::proptest! {
    #[test]
    fn any_payload_comes_back_from_its_delivery(payload in proptest::collection::vec(proptest::num::u8::ANY, 0..60), topic in "[^+#\u{0}]{1,20}") {
        let name = TopicName::parse(topic).unwrap();
        let text = publish_text(&Message::new(&name, &[], &payload, QoS::AtMostOnce, false));
        let text = std::str::from_utf8(&text).unwrap();
        let mut dialect = JsonDialect::new();
        let Packet::Publish(publish) = dialect.decode(text).unwrap() else { panic!("no PUBLISH") };
        proptest::prop_assert_eq!(publish.topic.unwrap(), name);
        proptest::prop_assert_eq!(&publish.payload[..], &payload[..]);
    }

    #[test]
    fn noise_never_panics(text in "[\\{\\}\\[\\]\":,a-zA-Z0-9 \\\\]{0,80}") {
        let mut out = Vec::new();
        if let Err(error) = JsonDialect::new().decode(&text) {
            error.write(&mut out);
            serde_json::from_slice::<serde_json::Value>(&out).unwrap();
        }
    }

    #[test]
    fn any_text_reaches_the_subscribe_filter(filter in "\\PC{1,30}") {
        let text = serde_json::json!({ "Action": "subscribe", "Topic": filter }).to_string();
        match JsonDialect::new().decode(&text) {
            Ok(Packet::Subscribe(subscribe)) => proptest::prop_assert_eq!(subscribe.filters[0].0.as_str(), filter),
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                proptest::prop_assert!(TopicFilter::parse(&filter).is_err());
                proptest::prop_assert_eq!(error.code(), ErrorCode::FilterInvalid);
            }
        }
    }
}
