//! Whole connections over real sockets, on a clock that a test moves: what no client alone can bring about or wait for.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::admission::Entry;
use super::*;
use crate::auth::AuthConfig;
use crate::engine::{Engine, EngineConfig};
use crate::mqtt::codec::{self, Decoder, Limits, Sender};
use crate::mqtt::packet::{Connect, Login};
use crate::mqtt::property::ConnectProperties;
use crate::mqtt::{Packet, Version};
use crate::policy::Policy;

/// A server without edge.
struct House {
    connections: Connections,
    start: Instant,
    listener: TcpListener,
    handshakes: Arc<Handshakes>,
}

impl House {
    async fn new() -> Self {
        let start = Instant::now();
        let environment = Environment {
            engine: Arc::new(Engine::new(EngineConfig::default(), ahash::RandomState::with_seeds(1, 2, 3, 4))),
            policy: Policies::new(Policy::allow_all()),
            config: ConnectionConfig::default(),
            counters: Arc::default(),
            envelopes: Envelopes::new(1, || 0, Box::new(|_| None)),
            random: || 7,
        };
        let authenticator = Authenticator::new(AuthConfig { anonymous: true, ..Default::default() }).unwrap();
        Self {
            connections: Connections::new(environment, Arc::new(ArcSwap::from_pointee(authenticator)), start),
            start,
            listener: TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap(),
            handshakes: Handshakes::new(100, Duration::ZERO),
        }
    }

    async fn connect(&self, protocol: Protocol, version: Version, keep_alive_s: u16) -> Client {
        let socket = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
        let (accepted, peer) = self.listener.accept().await.unwrap();
        let Entry::Seated { handshake, .. } = self.handshakes.enter(self.start) else { panic!("no seat") };
        let place = Place::take(&Arc::default(), 1).unwrap();
        let stream = Stream::Plain(accepted);
        self.connections.serve(Accepted {
            stream,
            early: Vec::new(),
            peer,
            protocol,
            token: None,
            certificate: None,
            place,
            handshake,
        });
        let mut client = Client { socket, protocol, version };
        let connect = Connect {
            version,
            is_bridge: false,
            clean_start: true,
            keep_alive_s,
            client_id: CLIENT_ID.into(),
            login: Login::default(),
            will: None,
            properties: ConnectProperties::default(),
        };
        client.send(&Packet::Connect(Box::new(connect))).await;
        let decoder = Decoder::with_version(Sender::Server, Limits::default(), version);
        match decoder.clone().decode(&client.receive().await) {
            Ok(Some((Packet::ConnAck(answer), _))) => assert_eq!(answer.reason, ReasonCode::Success),
            other => panic!("{other:?}"),
        }
        client
    }

    /// Moves the clock to `time` after the start, and lets everybody act on it.
    async fn tick(&self, time: Duration) {
        self.connections.tick(self.start + time);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    fn closed(&self, reason: ReasonCode) -> u64 {
        self.connections.environment().counters.closed(reason)
    }
}

const CLIENT_ID: &str = "client";

/// A client that trusts the server not to split what is short.
struct Client {
    socket: TcpStream,
    protocol: Protocol,
    version: Version,
}

impl Client {
    async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(packet, self.version, &mut bytes).unwrap();
        if self.protocol.is_websocket() {
            // Masked with zeros: legal, and as good as not.
            let header = [0x82, 0x80 | u8::try_from(bytes.len()).unwrap(), 0, 0, 0, 0];
            bytes.splice(0..0, header);
        }
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// One packet, or one frame's payload.
    async fn receive(&mut self) -> Vec<u8> {
        let mut header = [0; 2];
        self.socket.read_exact(&mut header).await.unwrap();
        let mut payload = vec![0; usize::from(header[1])];
        self.socket.read_exact(&mut payload).await.unwrap();
        match self.protocol.is_websocket() {
            true => payload,
            false => [&header[..], &payload].concat(),
        }
    }

    /// Everything up to the end of the stream.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).await.unwrap();
        rest
    }
}

const EVERY_WAY: [(Protocol, Version); 4] = [
    (Protocol::Mqtt, Version::V4),
    (Protocol::Mqtt, Version::V5),
    (Protocol::MqttWebSocket, Version::V4),
    (Protocol::MqttWebSocket, Version::V5),
];

#[tokio::test]
async fn an_operator_may_send_a_client_away() {
    let house = House::new().await;
    let client_id = ClientId::new(CLIENT_ID);
    for (index, (protocol, version)) in (1..).zip(EVERY_WAY) {
        let mut client = house.connect(protocol, version, 0).await;
        assert!(house.connections.dismiss(&client_id, ReasonCode::AdministrativeAction));
        if version == Version::V5 {
            let packet = client.receive().await;
            assert_eq!((packet[0], packet[2]), (0xE0, 0x98), "DISCONNECT, Administrative action");
            let words = "an operator has closed this connection";
            assert!(String::from_utf8_lossy(&packet).contains(words), "{packet:?}");
        }
        // 1008: policy violation.
        let expected = if protocol.is_websocket() { &[0x88, 2, 0x03, 0xF0][..] } else { &[] };
        assert_eq!(client.rest().await, expected);
        assert_eq!(house.closed(ReasonCode::AdministrativeAction), index);
        assert!(!house.connections.dismiss(&client_id, ReasonCode::AdministrativeAction), "it is gone");
    }
}

/// MQTT 5.0 [MQTT-3.1.2-22]: not before, and one tick later at the most.
#[tokio::test]
async fn keep_alive_acts_at_one_and_a_half_times() {
    for (protocol, version) in EVERY_WAY {
        let house = House::new().await;
        let mut client = house.connect(protocol, version, 20).await;
        // The connection was opened a little after the clock began.
        let opened = house.start.elapsed();
        for time in [10_000, 20_000, 29_900] {
            house.tick(Duration::from_millis(time)).await;
            assert_eq!(house.closed(ReasonCode::KeepAliveTimeout), 0, "at {time} ms");
        }
        house.tick(Duration::from_secs(30) + opened + 2 * TICK).await;
        assert_eq!(house.closed(ReasonCode::KeepAliveTimeout), 1);
        let farewell = client.rest().await;
        let disconnect = farewell.windows(3).position(|bytes| bytes[0] == 0xE0 && bytes[2] == 0x8D);
        assert_eq!(disconnect.is_some(), version == Version::V5, "{farewell:?}");
    }
}
