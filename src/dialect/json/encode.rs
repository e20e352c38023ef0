//! Answers: packets from the connection to texts for the client. None of them carries `Topic`.

use std::time::Duration;

use super::error::ErrorCode;
use super::{Answer, JsonDialect, Waiting};
use crate::mqtt::packet::{Ack, Auth, ConnAck, Disconnect, SubAck};
use crate::mqtt::property::UserProperties;
use crate::mqtt::{Packet, ReasonCode};

/// The User Property of a server's DISCONNECT that says after how many milliseconds to come back: `RetryAfterMs` here.
pub const RETRY_AFTER_PROPERTY: &str = "retry-after-ms";

/// Said where a DISCONNECT names no time.
const RETRY_AFTER_MS: u64 = 1000;

impl JsonDialect {
    /// Appends the text that tells the client `packet`, or nothing if the client is to hear nothing.
    ///
    /// A PUBLISH is not for here: deliveries are made by [`super::publish_text`].
    pub fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => self.encode_ack(ack, out),
            Packet::SubAck(ack) | Packet::UnsubAck(ack) => self.encode_sub_ack(ack, out),
            Packet::PingResp => {
                let waiting = self.answered(Answer::PingResp);
                out.extend_from_slice(br#"{"Action":"pong""#);
                write_end(out, id(&waiting));
            }
            Packet::ConnAck(ack) => self.encode_conn_ack(ack, out),
            Packet::Disconnect(disconnect) => encode_disconnect(disconnect, out),
            Packet::Auth(auth) => self.encode_auth(auth, out),
            // Deliveries are made elsewhere; PUBREL and what only clients send tell a JSON client nothing.
            Packet::Publish(_)
            | Packet::PubRel(_)
            | Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => {}
        }
    }

    fn encode_ack(&mut self, ack: &Ack, out: &mut Vec<u8>) {
        let waiting = self.answered(Answer::Packet(ack.packet_id));
        let said = ack.properties.as_ref().and_then(|properties| properties.reason_string.as_deref());
        write_outcome(out, ack.reason, said, waiting);
    }

    fn encode_sub_ack(&mut self, ack: &SubAck, out: &mut Vec<u8>) {
        let waiting = self.answered(Answer::Packet(ack.packet_id));
        // One filter a message, so one reason. A 3.1.1 UNSUBACK has none.
        let reason = ack.reasons.first().copied().unwrap_or(ReasonCode::Success);
        write_outcome(out, reason, ack.properties.reason_string.as_deref(), waiting);
    }

    fn encode_conn_ack(&mut self, ack: &ConnAck, out: &mut Vec<u8>) {
        let waiting = self.answered(Answer::ConnAck);
        if ack.reason.is_failure() {
            // Whoever was refused may try again with other credentials, if the connection lets it.
            self.has_begun = false;
            let code = match ErrorCode::of(ack.reason) {
                ErrorCode::Denied => ErrorCode::NotAuthorized,
                code => code,
            };
            return write_error(
                out,
                code,
                said_or_name(ack.properties.reason_string.as_deref(), ack.reason),
                id(&waiting),
            );
        }
        let Some(id) = id(&waiting) else { return };
        out.extend_from_slice(br#"{"Action":"ack""#);
        if let Some(client_id) = ack.properties.assigned_client_identifier.as_deref() {
            out.extend_from_slice(br#","ClientId":"#);
            write_string(out, client_id);
        }
        if ack.session_present {
            out.extend_from_slice(br#","SessionPresent":true"#);
        }
        write_end(out, Some(id));
    }

    fn encode_auth(&mut self, auth: &Auth, out: &mut Vec<u8>) {
        let waiting = self.answered(Answer::Auth);
        // The new credentials are wrong, whatever the old ones still allow.
        if auth.reason == ReasonCode::NotAuthorized {
            return write_error(out, ErrorCode::BadCredentials, "the token was not accepted", id(&waiting));
        }
        write_outcome(out, auth.reason, auth.properties.reason_string.as_deref(), waiting);
    }
}

/// The text that warns a client whose token is valid for no longer than `left`.
#[must_use]
pub fn token_expiring(left: Duration) -> Vec<u8> {
    let mut out = Vec::new();
    let reason = format!("the token expires in {} s; send a new one with auth", left.as_secs());
    write_error(&mut out, ErrorCode::TokenExpiring, &reason, None);
    out
}

/// The text that tells a client that it sends faster than it may, and is read no faster.
#[must_use]
pub fn rate_limited() -> Vec<u8> {
    let mut out = Vec::new();
    let reason = "messages come faster than this client may send them; they wait, and those after them";
    write_error(&mut out, ErrorCode::RateLimited, reason, None);
    out
}

/// The text that tells a client that it has lost the Subscription with `filter`; its connection goes on.
#[must_use]
pub fn revoked(filter: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(br#"{"Action":"revoked","Filter":"#);
    write_string(&mut out, filter);
    out.extend_from_slice(br#","Reason":"no longer authorized to subscribe to this Topic Filter"}"#);
    out
}

fn encode_disconnect(disconnect: &Disconnect, out: &mut Vec<u8>) {
    let properties = &disconnect.properties;
    match disconnect.reason {
        ReasonCode::ServerShuttingDown | ReasonCode::UseAnotherServer | ReasonCode::ServerMoved => {
            out.extend_from_slice(br#"{"Action":"closing","RetryAfterMs":"#);
            write_number(out, retry_after_ms(&properties.user_properties));
            out.push(b'}');
        }
        reason if reason.is_failure() => {
            write_error(out, ErrorCode::of(reason), said_or_name(properties.reason_string.as_deref(), reason), None);
        }
        _ => {}
    }
}

fn retry_after_ms(properties: &UserProperties) -> u64 {
    let said = properties.iter().find(|(name, _)| **name == *RETRY_AFTER_PROPERTY);
    said.and_then(|(_, value)| value.parse().ok()).unwrap_or(RETRY_AFTER_MS)
}

/// An error always; a success only for whoever gave an `Id`.
fn write_outcome(out: &mut Vec<u8>, reason: ReasonCode, said: Option<&str>, waiting: Option<Waiting>) {
    if reason.is_failure() {
        return write_error(out, ErrorCode::of(reason), said_or_name(said, reason), id(&waiting));
    }
    let Some(waiting) = waiting else { return };
    out.extend_from_slice(br#"{"Action":"ack""#);
    if waiting.asked_qos {
        out.extend_from_slice(br#","QoS":"#);
        // Success is Granted QoS 0; the granted QoS is the Reason Code's value.
        write_number(out, reason as u64);
    }
    write_end(out, waiting.id.as_deref());
}

/// Appends `{"Action":"error",…}`.
pub(super) fn write_error(out: &mut Vec<u8>, code: ErrorCode, reason: &str, id: Option<&str>) {
    out.extend_from_slice(br#"{"Action":"error","Code":""#);
    out.extend_from_slice(code.as_str().as_bytes());
    out.extend_from_slice(br#"","Reason":"#);
    write_string(out, reason);
    write_end(out, id);
}

fn write_end(out: &mut Vec<u8>, id: Option<&str>) {
    if let Some(id) = id {
        out.extend_from_slice(br#","Id":"#);
        out.extend_from_slice(id.as_bytes());
    }
    out.push(b'}');
}

/// Appends `text` as a JSON string.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    if !needs_escapes(text.as_bytes()) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    serde_json::to_writer(out, text).expect("a Vec takes every write, and a str is always JSON");
}

/// Whether RFC 8259 §7 has a byte of `text` escaped. In pieces without an early end, which the compiler turns into vector instructions.
fn needs_escapes(text: &[u8]) -> bool {
    let is_special = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    text.chunks(32).any(|piece| piece.iter().fold(false, |found, &byte| found | is_special(byte)))
}

/// Appends `number` in decimal.
pub(super) fn write_number(out: &mut impl Extend<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits[start..].iter().copied());
}

fn id(waiting: &Option<Waiting>) -> Option<&str> {
    waiting.as_ref().and_then(|waiting| waiting.id.as_deref())
}

fn said_or_name(said: Option<&str>, reason: ReasonCode) -> &str {
    said.unwrap_or(reason.name())
}
