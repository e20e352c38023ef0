//! What the Actions mean: the fields of a message to a packet.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::error::{Found, JsonError, Mistake};
use super::fields::{Fields, Name, Value};
use super::{Answer, ID_BYTES_MAX, JsonDialect, WAITING_MAX, Waiting};
use crate::mqtt::packet::{Ack, Auth, Connect, Login, Publish, Subscribe, SubscribeOptions, Unsubscribe, Will};
use crate::mqtt::property::{
    AuthProperties, ConnectProperties, PublishProperties, SubscribeProperties, UserProperties, WillProperties,
};
use crate::mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version, topic};

/// The CONNECT of a client whose first message is another Action: no credentials, so it is whom the upgrade request said, or anonymous.
#[must_use]
pub fn implicit_connect() -> Packet<'static> {
    Packet::Connect(Box::new(Connect {
        version: Version::V5,
        is_bridge: false,
        clean_start: true,
        // A page has `ping` if it wants one; the connection's own pings find a dead peer.
        keep_alive_s: 0,
        client_id: "".into(),
        login: Login::default(),
        will: None,
        properties: ConnectProperties::default(),
    }))
}

impl JsonDialect {
    /// Decodes one message.
    ///
    /// Every `subscribe`, `unsubscribe` and `publish` gets a Packet Identifier, at QoS 0 too, so that the connection can answer it.
    /// An `auth` becomes AUTH with Re-authenticate, method `token`.
    ///
    /// # Errors
    /// What the message has wrong. The client is told by [`JsonError::write`], and the connection goes on.
    pub fn decode<'a>(&mut self, text: &'a str) -> Result<Packet<'a>, JsonError> {
        let mut fields = Fields::default();
        let read = fields.read(text);
        // `ack` alone means another's Id; as it is never answered but by an error, that may carry it as well.
        let (id, id_mistake) = match take_id(&mut fields) {
            Ok(id) => (id, None),
            Err(mistake) => (None, Some(mistake)),
        };
        let packet = match (read, fields.repeated, id_mistake) {
            (Err(mistake), ..) | (_, None, Some(mistake)) => Err(mistake),
            (_, Some(name), _) => Err(Mistake::Repeated { field: name.as_str() }),
            _ => self.decode_fields(&mut fields, id),
        };
        packet.map_err(|mistake| JsonError { mistake, id: id.map(Into::into) })
    }

    fn decode_fields<'a>(&mut self, fields: &mut Fields<'a>, id: Option<&str>) -> Result<Packet<'a>, Mistake> {
        let action = text(fields, Name::Action, "the name of an action")?;
        let packet_id = self.next_packet_id();
        let mut asked_qos = false;
        let (packet, answer) = match &*action {
            "publish" => (publish(fields, packet_id)?, Some(Answer::Packet(packet_id))),
            "subscribe" => {
                let qos = qos(fields)?;
                asked_qos = qos.is_some();
                (subscribe(fields, packet_id, qos.unwrap_or_default())?, Some(Answer::Packet(packet_id)))
            }
            "unsubscribe" => (unsubscribe(fields, packet_id)?, Some(Answer::Packet(packet_id))),
            "ping" => (Packet::PingReq, Some(Answer::PingResp)),
            "ack" => (Packet::PubAck(Ack::new(acknowledged(id)?, ReasonCode::Success)), None),
            "connect" if self.has_begun => return Err(Mistake::LateConnect),
            "connect" => (Packet::Connect(Box::new(connect(fields)?)), Some(Answer::ConnAck)),
            "auth" => (auth(fields)?, Some(Answer::Auth)),
            other => return Err(Mistake::UnknownAction { found: other.chars().take(32).collect() }),
        };
        if let Some(answer) = answer
            && (id.is_some() || answer == Answer::PingResp)
        {
            self.wait(Waiting { answer, id: id.map(Into::into), asked_qos })?;
        }
        self.has_begun = true;
        Ok(packet)
    }

    fn wait(&mut self, waiting: Waiting) -> Result<(), Mistake> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Mistake::TooManyWaiting);
        }
        self.waiting.push(waiting);
        Ok(())
    }
}

fn subscribe(fields: &mut Fields<'_>, packet_id: PacketId, maximum_qos: QoS) -> Result<Packet<'static>, Mistake> {
    let options = SubscribeOptions { maximum_qos, ..SubscribeOptions::default() };
    let filters = vec![(filter(fields)?, options)];
    Ok(Packet::Subscribe(Subscribe { packet_id, properties: SubscribeProperties::default(), filters }))
}

fn unsubscribe(fields: &mut Fields<'_>, packet_id: PacketId) -> Result<Packet<'static>, Mistake> {
    let filters = vec![filter(fields)?];
    Ok(Packet::Unsubscribe(Unsubscribe { packet_id, user_properties: UserProperties::new(), filters }))
}

fn publish<'a>(fields: &mut Fields<'a>, packet_id: PacketId) -> Result<Packet<'a>, Mistake> {
    Ok(Packet::Publish(Publish {
        dup: false,
        topic: Some(topic_name(fields)?),
        payload: payload(fields)?,
        qos: qos(fields)?.unwrap_or_default(),
        retain: flag(fields, Name::Retain)?.unwrap_or(false),
        packet_id: Some(packet_id),
        properties: PublishProperties::default(),
    }))
}

fn connect(fields: &mut Fields<'_>) -> Result<Connect, Mistake> {
    let username = sendable_text(fields, Name::Username)?;
    let password = sendable_text(fields, Name::Password)?;
    let token = sendable_text(fields, Name::Token)?;
    if password.is_some() && token.is_some() {
        let allowed = "either a Password or a Token";
        return Err(Mistake::BadField { field: Name::Token.as_str(), found: Found::Both, allowed });
    }
    let login = Login {
        username: username.map(Into::into),
        password: password.or(token).map(|secret| Bytes::from(secret.into_owned())),
    };
    Ok(Connect {
        version: Version::V5,
        is_bridge: false,
        clean_start: flag(fields, Name::CleanStart)?.unwrap_or(true),
        keep_alive_s: 0,
        client_id: sendable_text(fields, Name::ClientId)?.unwrap_or_default().into(),
        login,
        will: will(fields)?,
        properties: ConnectProperties { session_expiry_interval_s: seconds(fields)?, ..ConnectProperties::default() },
    })
}

fn will(fields: &mut Fields<'_>) -> Result<Option<Will>, Mistake> {
    let mut fields = match fields.take(Name::Will) {
        None => return Ok(None),
        Some(Value::Fields(fields)) => fields,
        Some(other) => return Err(bad(Name::Will, &other, "an object with Topic and Payload")),
    };
    if let Some(name) = fields.repeated {
        return Err(Mistake::Repeated { field: name.as_str() });
    }
    Ok(Some(Will {
        topic: topic_name(&mut fields)?.into_owned(),
        payload: payload(&mut fields)?.into_owned().into(),
        qos: qos(&mut fields)?.unwrap_or_default(),
        retain: flag(&mut fields, Name::Retain)?.unwrap_or(false),
        properties: WillProperties::default(),
    }))
}

fn auth(fields: &mut Fields<'_>) -> Result<Packet<'static>, Mistake> {
    const ALLOWED: &str = "a token as a string";
    let Some(token) = sendable_text(fields, Name::Token)? else {
        return Err(Mistake::MissingField { field: Name::Token.as_str(), allowed: ALLOWED });
    };
    let properties = AuthProperties {
        authentication_method: Some("token".into()),
        authentication_data: Some(Bytes::from(token.into_owned())),
        ..AuthProperties::default()
    };
    Ok(Packet::Auth(Auth { reason: ReasonCode::ReAuthenticate, properties }))
}

/// The message's `Id` as JSON: a string or a number. `null` is none.
fn take_id<'a>(fields: &mut Fields<'a>) -> Result<Option<&'a str>, Mistake> {
    const ALLOWED: &str = "a string or a number of at most 64 bytes";
    let Some(Value::Raw(raw)) = fields.take(Name::Id) else { return Ok(None) };
    let value = Value::Raw(raw);
    match value.found() {
        Found::Null => Ok(None),
        Found::Text | Found::Number | Found::Whole(_) if raw.len() <= ID_BYTES_MAX => Ok(Some(raw)),
        Found::Text | Found::Number | Found::Whole(_) => {
            let found = Found::LongId { bytes: raw.len() };
            Err(Mistake::BadField { field: Name::Id.as_str(), found, allowed: ALLOWED })
        }
        _ => Err(bad(Name::Id, &value, ALLOWED)),
    }
}

/// The Packet Identifier that an `ack` names.
fn acknowledged(id: Option<&str>) -> Result<PacketId, Mistake> {
    const ALLOWED: &str = "the Id of a delivery, a number from 1 to 65535,";
    let Some(id) = id else { return Err(Mistake::MissingField { field: Name::Id.as_str(), allowed: ALLOWED }) };
    id.parse().map_err(|_| bad(Name::Id, &Value::Raw(id), ALLOWED))
}

fn topic_name<'a>(fields: &mut Fields<'a>) -> Result<TopicName<'a>, Mistake> {
    let text = text(fields, Name::Topic, "a topic name as a string")?;
    TopicName::parse(text).map_err(|error| Mistake::Topic { field: Name::Topic.as_str(), error })
}

fn filter(fields: &mut Fields<'_>) -> Result<TopicFilter, Mistake> {
    let text = text(fields, Name::Topic, "a topic filter as a string")?;
    TopicFilter::parse(&text).map_err(|error| Mistake::Filter { field: Name::Topic.as_str(), error })
}

fn payload<'a>(fields: &mut Fields<'a>) -> Result<Cow<'a, [u8]>, Mistake> {
    const ALLOWED: &str = "a string (an object goes through JSON.stringify)";
    let text = text(fields, Name::Payload, ALLOWED)?;
    match fields.take(Name::Encoding) {
        None => Ok(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }),
        Some(Value::Text(encoding)) if encoding == "base64" => {
            BASE64_STANDARD.decode(&*text).map(Cow::Owned).map_err(|_| Mistake::NotBase64)
        }
        Some(other) => Err(bad(Name::Encoding, &other, "\"base64\"")),
    }
}

fn qos(fields: &mut Fields<'_>) -> Result<Option<QoS>, Mistake> {
    let Some(value) = fields.take(Name::QoS) else { return Ok(None) };
    if let Value::Other(Found::Whole(whole)) = value
        && let Some(qos) = u8::try_from(whole).ok().and_then(QoS::from_u8)
    {
        return Ok(Some(qos));
    }
    Err(bad(Name::QoS, &value, "0, 1 or 2"))
}

fn flag(fields: &mut Fields<'_>, name: Name) -> Result<Option<bool>, Mistake> {
    match fields.take(name) {
        None => Ok(None),
        Some(Value::Other(Found::Bool(value))) => Ok(Some(value)),
        Some(other) => Err(bad(name, &other, "true or false")),
    }
}

fn seconds(fields: &mut Fields<'_>) -> Result<Option<u32>, Mistake> {
    let Some(value) = fields.take(Name::SessionExpiry) else { return Ok(None) };
    if let Value::Other(Found::Whole(whole)) = value
        && let Ok(seconds) = u32::try_from(whole)
    {
        return Ok(Some(seconds));
    }
    Err(bad(Name::SessionExpiry, &value, "a number of seconds from 0 to 4294967295"))
}

fn text<'a>(fields: &mut Fields<'a>, name: Name, allowed: &'static str) -> Result<Cow<'a, str>, Mistake> {
    match fields.take(name) {
        Some(Value::Text(text)) => Ok(text),
        Some(other) => Err(bad(name, &other, allowed)),
        None => Err(Mistake::MissingField { field: name.as_str(), allowed }),
    }
}

/// A text that an MQTT packet can carry as well (MQTT 5.0 §1.5.4), if there is one.
fn sendable_text<'a>(fields: &mut Fields<'a>, name: Name) -> Result<Option<Cow<'a, str>>, Mistake> {
    const ALLOWED: &str = "a string of at most 65535 bytes without U+0000";
    match fields.take(name) {
        None => Ok(None),
        Some(Value::Text(text)) if text.len() <= topic::BYTES_MAX && !text.contains('\0') => Ok(Some(text)),
        Some(Value::Text(_)) => {
            Err(Mistake::BadField { field: name.as_str(), found: Found::UnsendableText, allowed: ALLOWED })
        }
        Some(other) => Err(bad(name, &other, ALLOWED)),
    }
}

fn bad(name: Name, value: &Value<'_>, allowed: &'static str) -> Mistake {
    Mistake::BadField { field: name.as_str(), found: value.found(), allowed }
}
