//! The standard's behaviour as a client sees it, packet by packet.
//!
//! What is the same for every version is shown for every version; what travels is shown over every transport. Which normative
//! statement is shown by which test, `tests/conformance` says.

mod connect;
mod connect_rules;
mod deliver;
mod flow;
mod flow_rules;
mod goodbye;
mod keep;
mod odd_bytes;
mod old_versions;
mod outgoing_aliases;
mod publish_rules;
mod reasons;
mod retain;
mod session_rules;
mod subscribe;
mod subscribe_rules;
mod table;
mod will;
mod will_rules;
mod words_rules;

use tidegate::mqtt::packet::{Ack, ConnAck, Publish};
use tidegate::mqtt::{Packet, QoS, ReasonCode, Version};

use crate::harness::{Client, Over, Server, mqtt};

const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];

/// A byte stream, and frames on one.
const OVER: [Over; 2] = [Over::Tcp, Over::Ws];

/// Every version over both of [`OVER`].
fn everywhere() -> impl Iterator<Item = (Version, Over)> {
    VERSIONS.into_iter().flat_map(|version| OVER.map(|over| (version, over)))
}

/// Connects to a session that is kept for ten minutes (in 3.1 and 3.1.1: for as long as the server keeps any).
fn kept(server: &Server, over: Over, version: Version, client_id: &str) -> (Client, ConnAck) {
    let mut connect = mqtt::connect(version, client_id);
    connect.clean_start = false;
    connect.properties.session_expiry_interval_s = (version == Version::V5).then_some(600);
    let (client, answer) = Client::try_connect(server, over, connect);
    assert_eq!(answer.reason, ReasonCode::Success, "{answer:?}");
    (client, answer)
}

/// Ends the session of this name, whatever is in it.
fn forget(server: &Server, version: Version, client_id: &str) {
    Client::connect(server, Over::Tcp, version, client_id).disconnect(ReasonCode::Success);
}

/// Lets one and a half times `keep_alive_s` pass: as long as the server takes to cut a silent connection.
fn let_time_pass(server: &Server, keep_alive_s: u16) {
    let mut connect = mqtt::connect(Version::V5, "clock");
    connect.keep_alive_s = keep_alive_s;
    Client::connect_with(server, Over::Tcp, connect).expect_disconnect(ReasonCode::KeepAliveTimeout);
}

/// The messages that have come up to now, none of them acknowledged.
fn received(client: &mut Client) -> Vec<Publish<'static>> {
    client.send(&Packet::PingReq);
    let mut messages = Vec::new();
    loop {
        match client.receive() {
            Packet::PingResp => return messages,
            Packet::Publish(publish) => messages.push(publish),
            other => panic!("{other:?} instead of PUBLISH or PINGRESP"),
        }
    }
}

fn ack(id: u16, reason: ReasonCode) -> Ack {
    Ack::new(mqtt::packet_id(id), reason)
}

/// Answers `publish` with this reason, by PUBACK or PUBREC as its QoS demands.
fn answer(client: &mut Client, publish: &Publish<'_>, reason: ReasonCode) {
    let ack = Ack::new(publish.packet_id.expect("above QoS 0"), reason);
    client.send(&if publish.qos == QoS::AtLeastOnce { Packet::PubAck(ack) } else { Packet::PubRec(ack) });
}
