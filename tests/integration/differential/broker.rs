//! The two brokers that are asked the same, configured alike wherever both let it be configured.

use std::net::SocketAddr;

use tidegate::mqtt::{Packet, Version};

use crate::harness::{self, Client, Server, Setup, mqtt};

/// What a script needs to know of one.
pub trait Broker {
    /// Where it speaks MQTT over TCP.
    fn address(&self) -> SocketAddr;

    /// Waits until it has seen to the end of every connection but `open_count`.
    fn settle_endings(&mut self, open_count: usize);
}

pub struct Tidegate(Server);

impl Tidegate {
    pub fn start() -> Self {
        // mosquitto's defaults: 20 messages in flight, 10 aliases.
        let engine = "{ inflight_max: 20, session_expiry_max: 49710d }";
        // A client that comes back before its end was seen takes its own session over, in hundreds of scripts more often than may be.
        let limits = "{ topic_aliases_max: 10, takeovers_max: 1000000 }";
        Self(Setup::new().section("engine", engine).section("limits", limits).start())
    }
}

impl Broker for Tidegate {
    fn address(&self) -> SocketAddr {
        self.0.address("mqtt")
    }

    fn settle_endings(&mut self, open_count: usize) {
        self.0.wait_for_metric("tidegate_connection_open", |open| open == open_count as f64);
    }
}

pub struct Mosquitto {
    process: harness::Mosquitto,
    /// A connection that is nobody's in any script.
    bystander: Client,
}

impl Mosquitto {
    pub fn start() -> Self {
        let process = harness::Mosquitto::start("max_packet_size 2097152\nmax_queued_messages 0\n");
        let mut bystander = Client::open_at(process.address(), Version::V5);
        bystander.send(&Packet::Connect(Box::new(mqtt::connect(Version::V5, "bystander"))));
        assert!(matches!(bystander.receive(), Packet::ConnAck(_)));
        Self { process, bystander }
    }

    /// Such as `2.0.11`.
    pub fn version(&self) -> &str {
        self.process.version()
    }
}

impl Broker for Mosquitto {
    fn address(&self) -> SocketAddr {
        self.process.address()
    }

    fn settle_endings(&mut self, _open_count: usize) {
        // One thread does everything, in the order in which it becomes ready: what ended before these was seen to before these.
        for _ in 0..2 {
            self.bystander.expect_nothing();
        }
    }
}
