//! One identity on one connection, in whichever dialect.

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate::mqtt::packet::{ConnAck, Will};
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use super::cases::Identity;
use super::stage::Stage;
use crate::harness::{Client, JsonClient, Over, mqtt};

/// What a client speaks, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Mqtt(Version, Over),
    Json(Over),
}

/// What a client is told of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing, or what it would be told in any case.
    Nothing,
    Granted,
    GrantedAt(QoS),
    Denied,
    TooLarge,
    Malformed,
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub topic: String,
    pub payload: String,
    pub qos: QoS,
    pub retain: bool,
}

/// How to come in.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Whether the session outlives the connection, and is the earlier one if there is one.
    pub is_durable: bool,
    pub will: Option<Will>,
}

/// A client that is in.
pub enum Speaker {
    Mqtt(Box<Client>),
    Json(Box<JsonClient>),
}

impl Dialect {
    pub const ALL: [Self; 8] = [
        Self::Mqtt(Version::V3, Over::Tcp),
        Self::Mqtt(Version::V3, Over::Ws),
        Self::Mqtt(Version::V4, Over::Tcp),
        Self::Mqtt(Version::V4, Over::Ws),
        Self::Mqtt(Version::V5, Over::Tcp),
        Self::Mqtt(Version::V5, Over::Ws),
        Self::Mqtt(Version::V5, Over::Tls),
        Self::Json(Over::Ws),
    ];

    /// Each once, over what it is at home on.
    pub const EACH: [Self; 4] = [
        Self::Mqtt(Version::V3, Over::Tcp),
        Self::Mqtt(Version::V4, Over::Ws),
        Self::Mqtt(Version::V5, Over::Tcp),
        Self::Json(Over::Wss),
    ];

    /// Whether it is the same version of the same.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Json(_))
    }
}

impl Speaker {
    /// Comes in, or says what it was told instead.
    pub fn connect(stage: &Stage, identity: &Identity, dialect: Dialect, manner: &Manner) -> Result<Self, Told> {
        match dialect {
            Dialect::Mqtt(version, over) => Self::connect_mqtt(stage, identity, version, over, manner),
            Dialect::Json(over) => Self::connect_json(stage, identity, over, manner),
        }
    }

    fn connect_mqtt(
        stage: &Stage,
        identity: &Identity,
        version: Version,
        over: Over,
        manner: &Manner,
    ) -> Result<Self, Told> {
        let mut connect = mqtt::connect(version, identity.client_id);
        connect.clean_start = !manner.is_durable;
        if manner.is_durable && version == Version::V5 {
            connect.properties.session_expiry_interval_s = Some(3600);
        }
        if !identity.is_anonymous() {
            connect.login = mqtt::login(identity.username, stage.secret(identity));
        }
        connect.will.clone_from(&manner.will);
        let (mut client, ConnAck { reason, .. }) = Client::try_connect(&stage.server, over, connect);
        if !reason.is_failure() {
            return Ok(Self::Mqtt(Box::new(client)));
        }
        client.expect_closed();
        // The older versions have one word for all of it.
        Err(match (version, reason) {
            (Version::V5, reason) => told(reason),
            (_, ReasonCode::NotAuthorized) => Told::Denied,
            (_, other) => panic!("{other:?} is no verdict on {identity:?}"),
        })
    }

    fn connect_json(stage: &Stage, identity: &Identity, over: Over, manner: &Manner) -> Result<Self, Told> {
        let mut client = JsonClient::open(&stage.server, over);
        let mut message = json!({ "Action": "connect", "ClientId": identity.client_id, "Id": 0 });
        if !identity.is_anonymous() {
            message["Username"] = json!(identity.username);
            let secret = if identity.claims.is_empty() { "Password" } else { "Token" };
            message[secret] = json!(stage.secret(identity));
        }
        if manner.is_durable {
            message["CleanStart"] = json!(false);
            message["SessionExpiry"] = json!(3600);
        }
        if let Some(Will { topic, payload, qos, retain, .. }) = &manner.will {
            let payload = String::from_utf8_lossy(payload);
            message["Will"] =
                json!({ "Topic": topic.as_str(), "Payload": payload, "QoS": *qos as u8, "Retain": retain });
        }
        client.send(&message);
        let answer = client.receive();
        match told_by_json(&answer, 0) {
            Told::Granted => Ok(Self::Json(Box::new(client))),
            told => Err(told),
        }
    }

    /// Publishes, and waits until the server has done with it.
    pub fn publish(&mut self, topic: &str, payload: &str, qos: QoS, retain: bool) -> Told {
        match self {
            Self::Mqtt(client) => {
                let reason = client.publish(topic, payload.as_bytes(), qos, retain);
                match (client.version(), qos) {
                    (Version::V5, QoS::AtLeastOnce | QoS::ExactlyOnce) => told(reason),
                    _ => {
                        assert_eq!(reason, ReasonCode::Success);
                        Told::Nothing
                    }
                }
            }
            Self::Json(client) => {
                let message = json!({
                    "Action": "publish", "Topic": topic, "Payload": payload, "QoS": qos as u8, "Retain": retain, "Id": 1,
                });
                client.send(&message);
                told_by_json(&client.receive(), 1)
            }
        }
    }

    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> Told {
        match self {
            Self::Mqtt(client) => {
                let reason = client.subscribe(filter, qos);
                match (client.version(), reason) {
                    // 3.1 has no word for a failure.
                    (Version::V3, granted) if granted as u8 == qos as u8 => Told::Nothing,
                    (Version::V4, ReasonCode::UnspecifiedError) => Told::Denied,
                    (_, reason) if reason.is_failure() => told(reason),
                    (_, granted) => Told::GrantedAt(QoS::from_u8(granted as u8).expect("what is no failure is a QoS")),
                }
            }
            Self::Json(client) => {
                client.send(&json!({ "Action": "subscribe", "Topic": filter, "QoS": qos as u8, "Id": 2 }));
                told_by_json(&client.receive(), 2)
            }
        }
    }

    pub fn unsubscribe(&mut self, filter: &str) {
        match self {
            Self::Mqtt(client) => drop(client.unsubscribe(filter)),
            Self::Json(client) => {
                client.send(&json!({ "Action": "unsubscribe", "Topic": filter, "Id": 3 }));
                // That there was none, because it was refused, is an answer as well.
                assert_eq!(client.receive()["Id"], 3);
            }
        }
    }

    /// Everything that has come up to now: the server answers a ping behind it.
    pub fn deliveries(&mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        match self {
            Self::Mqtt(client) => {
                client.send(&Packet::PingReq);
                loop {
                    match client.receive() {
                        Packet::PingResp => return deliveries,
                        Packet::Publish(publish) => {
                            client.acknowledge(&publish);
                            deliveries.push(Delivery {
                                topic: publish.topic.as_ref().expect("no alias was allowed").as_str().to_owned(),
                                payload: String::from_utf8_lossy(&publish.payload).into_owned(),
                                qos: publish.qos,
                                retain: publish.retain,
                            });
                        }
                        other => panic!("{other:?} instead of PUBLISH or PINGRESP"),
                    }
                }
            }
            Self::Json(client) => {
                client.send(&json!({ "Action": "ping", "Id": "then" }));
                loop {
                    let message = client.receive();
                    match message["Action"].as_str() {
                        Some("pong") => return deliveries,
                        Some("publish") => deliveries.push(json_delivery(client, &message)),
                        _ => panic!("{message} instead of a message or a pong"),
                    }
                }
            }
        }
    }

    /// Goes away as one that comes back.
    pub fn leave(self) {
        match self {
            Self::Mqtt(client) => client.disconnect(ReasonCode::Success),
            Self::Json(mut client) => {
                client.transport.write_frame(true, crate::harness::transport::CLOSE, &1000_u16.to_be_bytes());
                client.expect_closed();
            }
        }
    }
}

fn json_delivery(client: &mut JsonClient, message: &Value) -> Delivery {
    if let Some(id) = message.get("Id") {
        client.send(&json!({ "Action": "ack", "Id": id }));
    }
    let text = |name: &str| message[name].as_str().unwrap_or_else(|| panic!("no {name} in {message}")).to_owned();
    let qos = message.get("QoS").and_then(Value::as_u64).unwrap_or_default();
    Delivery {
        topic: text("Topic"),
        payload: text("Payload"),
        qos: QoS::from_u8(qos as u8).expect("a QoS"),
        retain: message["Retain"] == true,
    }
}

fn told(reason: ReasonCode) -> Told {
    match reason {
        reason if !reason.is_failure() => Told::Granted,
        ReasonCode::NotAuthorized => Told::Denied,
        ReasonCode::QuotaExceeded => Told::TooLarge,
        ReasonCode::PayloadFormatInvalid => Told::Malformed,
        other => panic!("{other:?} is no verdict"),
    }
}

fn told_by_json(answer: &Value, id: u64) -> Told {
    assert_eq!(answer["Id"], id, "{answer}");
    match (answer["Action"].as_str(), answer["Code"].as_str()) {
        (Some("ack"), None) => Told::Granted,
        (Some("error"), Some("denied" | "not_authorized")) => Told::Denied,
        (Some("error"), Some("quota")) => Told::TooLarge,
        (Some("error"), Some("payload_invalid")) => Told::Malformed,
        _ => panic!("{answer} is no verdict"),
    }
}

/// A Will Message.
pub fn will(topic: &str, payload: String, qos: QoS, retain: bool) -> Will {
    Will { payload: Bytes::from(payload), ..mqtt::will(topic, "", qos, retain) }
}
