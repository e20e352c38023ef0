//! What is to be explained, as the API is asked.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::query::Query;
use crate::auth::Principal;
use crate::auth::principal::ANONYMOUS;
use crate::mqtt::{QoS, TopicFilter, TopicName};
use crate::policy::explain::{Asked, Question};

/// As it is written in JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    user: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    operation: String,
    topic: String,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    #[serde(default)]
    payload_bytes: usize,
}

/// `{"user": …, "operation": "publish", "topic": …}`, and more if it matters.
pub(super) fn of_json(body: &[u8]) -> Result<Question, String> {
    let written: Written = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    written.meant()
}

/// The same as `user=…&operation=publish&topic=…`, with `claim=NAME=VALUE` for each claim.
pub(super) fn of_query(query: &Query) -> Result<Question, String> {
    let asked_for = |name: &str| query.text(name).map(str::to_owned).ok_or(format!("{name} is asked for"));
    let claim = |text: &str| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a claim is NAME=VALUE".to_owned()),
    };
    let number = |name| query.number(name, 0, 0..=u64::MAX).map_err(|malformed| malformed.0);
    let written = Written {
        user: asked_for("user")?,
        client_id: query.text("client_id").unwrap_or_default().to_owned(),
        claims: query.all("claim").map(claim).collect::<Result<_, _>>()?,
        operation: asked_for("operation")?,
        topic: asked_for("topic")?,
        qos: u8::try_from(number("qos")?).unwrap_or(u8::MAX),
        retain: matches!(query.text("retain"), Some("" | "true" | "1")),
        payload_bytes: usize::try_from(number("payload_bytes")?).unwrap_or(usize::MAX),
    };
    written.meant()
}

impl Written {
    fn meant(self) -> Result<Question, String> {
        let asked = match self.operation.as_str() {
            "publish" => TopicName::parse(self.topic.clone()).map(Asked::Publish),
            "subscribe" => TopicFilter::parse(&self.topic).map(Asked::Subscribe),
            _ => return Err("operation is publish or subscribe".to_owned()),
        };
        let who = match self.user.as_str() {
            ANONYMOUS => Principal::anonymous(),
            username => Principal::user(username),
        };
        Ok(Question {
            who: Principal { claims: self.claims, ..who },
            client_id: self.client_id,
            asked: asked.map_err(|error| format!("{:?} {error}", self.topic))?,
            qos: QoS::from_u8(self.qos).ok_or("qos is 0, 1 or 2")?,
            retain: self.retain,
            payload_bytes: self.payload_bytes,
        })
    }
}
