//! A server under the table's policy, everybody's credentials, and the two who may do everything: one publishes, the other hears all.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use tidegate::mqtt::packet::SubscribeOptions;
use tidegate::mqtt::{QoS, ReasonCode, Version};

use super::cases::{Case, Envelope, Identity, Table};
use super::speaker::{Delivery, Speaker};
use crate::harness::issuer::{Issuer, now_s};
use crate::harness::{Client, Over, Server, Setup, mqtt};

/// Without its `partial`.
pub const POLICY: &str = include_str!("policy.yaml");

const PASSWORD: &str = "open";

const DEVICE_KEYS: [(&str, [u8; 16]); 2] = [("sensor-1", [1; 16]), ("sensor-2", [2; 16])];

/// What becomes of a filter of which only a part is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    Refuse,
    Filter,
}

impl Partial {
    pub const BOTH: [Self; 2] = [Self::Refuse, Self::Filter];

    /// The policy file's text.
    pub fn policy(self) -> String {
        let word = if self == Self::Refuse { "refuse" } else { "filter" };
        format!("{POLICY}partial: {word}\n")
    }
}

/// See the module.
pub struct Stage {
    pub server: Server,
    pub partial: Partial,
    /// By identity.
    secrets: BTreeMap<&'static str, String>,
}

impl Stage {
    pub fn start(table: &Table, partial: Partial) -> Self {
        Self::start_under(table, partial, &partial.policy())
    }

    /// The same under another policy.
    pub fn start_under(table: &Table, partial: Partial, policy: &str) -> Self {
        let issuer = Issuer::new();
        let mut users = vec![("root", PASSWORD)];
        let mut secrets = BTreeMap::new();
        for identity in table.identities.iter().filter(|identity| !identity.is_anonymous()) {
            if identity.claims.is_empty() {
                users.push((identity.username, PASSWORD));
                secrets.insert(identity.name, PASSWORD.to_owned());
            } else {
                secrets.insert(identity.name, token(&issuer, identity));
            }
        }
        users.sort_unstable();
        users.dedup();
        let keys: String = DEVICE_KEYS.iter().map(|(client_id, key)| format!("{client_id}:{}\n", hex(key))).collect();
        let server = Setup::new()
            .users(&users)
            .file("jwks.json", issuer.jwks())
            .file("keys/devices", keys)
            .policy(policy)
            .section("auth", "{ anonymous: true, passwords: passwords, jwt: { keys: jwks.json, audience: tidegate } }")
            // Some topics of the table are read back as the server first said them.
            .section("engine", "{ sys_interval: 1h }")
            .start();
        Self { server, partial, secrets }
    }

    /// The password or token of an identity that has one.
    pub fn secret(&self, identity: &Identity) -> &str {
        &self.secrets[identity.name]
    }

    /// Somebody who may publish and read everything.
    pub fn root(&self, client_id: &str) -> Client {
        let mut connect = mqtt::connect(Version::V5, client_id);
        connect.login = mqtt::login("root", PASSWORD);
        Client::connect_with(&self.server, Over::Tcp, connect)
    }

    /// Somebody who hears all that is published from now on, but what it publishes itself.
    pub fn observer(&self) -> Observer {
        let mut client = self.root("observer");
        let options = SubscribeOptions { maximum_qos: QoS::ExactlyOnce, no_local: true, ..SubscribeOptions::default() };
        let granted = client.subscribe_with(&[("#", options), ("$data/#", options)]);
        assert_eq!(granted, [ReasonCode::GrantedQoS2; 2]);
        Observer { speaker: Speaker::Mqtt(Box::new(client)) }
    }
}

/// See [`Stage::observer`].
pub struct Observer {
    speaker: Speaker,
}

impl Observer {
    /// What was published up to now. What is retained of it is retained no longer.
    pub fn heard(&mut self) -> Vec<Delivery> {
        self.speaker.deliveries()
    }

    /// Waits for the next message.
    pub fn wait(&mut self) -> Delivery {
        let Speaker::Mqtt(client) = &mut self.speaker else { unreachable!("made so") };
        let publish = client.receive_publish();
        client.acknowledge(&publish);
        Delivery {
            topic: publish.topic.as_ref().expect("no alias was allowed").as_str().to_owned(),
            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
            qos: publish.qos,
            retain: publish.retain,
        }
    }

    /// Takes away what is retained at this topic.
    pub fn clear(&mut self, topic: &str) {
        assert_ne!(self.speaker.publish(topic, "", QoS::AtLeastOnce, true), super::speaker::Told::Denied, "{topic}");
    }
}

/// What `case` publishes, made anew, as an envelope counts once.
pub fn payload(case: &Case) -> String {
    match case.envelope {
        None => format!("{:.<width$}", case.mark(), width = case.payload_bytes),
        Some(envelope) => sealed(&envelope, &case.mark()),
    }
}

/// An envelope from now, unlike any before it.
fn sealed(envelope: &Envelope, mark: &str) -> String {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let Envelope { client_id, is_forged } = *envelope;
    let known = DEVICE_KEYS.iter().find(|(name, _)| *name == client_id);
    let key = if is_forged { [9; 16] } else { known.map_or([0; 16], |(_, key)| *key) };
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let data = format!("{{\"mark\":\"{mark}\",\"n\":{count}}}");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{timestamp}.{client_id}.case.{data}").as_bytes());
    let token = hex(&mac.finalize().into_bytes());
    format!(
        r#"{{"timestamp":"{timestamp}","client_id":"{client_id}","message_type":"case","data":{data},"token":"{token}"}}"#
    )
}

fn token(issuer: &Issuer, identity: &Identity) -> String {
    let mut claims = json!({ "sub": identity.username, "aud": "tidegate", "exp": now_s() + 3600 });
    for (name, values) in &identity.claims {
        claims[*name] = match values[..] {
            [value] => json!(value),
            _ => json!(values),
        };
    }
    issuer.sign("EdDSA", "ed", &claims)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
