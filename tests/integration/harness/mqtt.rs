//! An MQTT client that says exactly what it is told to, packet by packet.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Instant;

use bytes::Bytes;
use tidegate::mqtt::codec::{self, Decoder, Limits, Sender};
use tidegate::mqtt::packet::{
    Ack, ConnAck, Connect, Disconnect, Login, Publish, SubAck, Subscribe, SubscribeOptions, Unsubscribe, Will,
};
use tidegate::mqtt::property::{ConnectProperties, DisconnectProperties, PublishProperties, SubscribeProperties};
use tidegate::mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version};

use super::PATIENCE;
use super::server::Server;
use super::transport::{BINARY, CLOSE, Ending, Over, PING, PONG, Transport};

/// A CONNECT with nothing but what it needs: clean start, no Keep Alive.
pub fn connect(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        is_bridge: false,
        clean_start: true,
        keep_alive_s: 0,
        client_id: client_id.into(),
        login: Login::default(),
        will: None,
        properties: ConnectProperties::default(),
    }
}

/// A user name and a password.
pub fn login(username: &str, password: &str) -> Login {
    Login { username: Some(username.into()), password: Some(Bytes::copy_from_slice(password.as_bytes())) }
}

/// A Will Message.
pub fn will(topic: &str, payload: &str, qos: QoS, retain: bool) -> Will {
    Will {
        topic: topic_name(topic),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        qos,
        retain,
        properties: tidegate::mqtt::property::WillProperties::default(),
    }
}

/// A Topic Name known to be valid.
pub fn topic_name(topic: &str) -> TopicName<'static> {
    TopicName::parse(topic.to_owned()).expect("a valid topic")
}

/// A Packet Identifier known not to be 0.
pub fn packet_id(value: u16) -> PacketId {
    NonZeroU16::new(value).expect("not 0")
}

/// A PUBLISH; its Packet Identifier is `id` unless the QoS is 0.
pub fn publish<'a>(topic: &str, payload: &'a [u8], qos: QoS, retain: bool, id: u16) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain,
        topic: Some(topic_name(topic)),
        packet_id: (qos != QoS::AtMostOnce).then(|| packet_id(id)),
        properties: PublishProperties::default(),
        payload: payload.into(),
    }
}

/// The bytes of a packet.
pub fn bytes(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(packet, version, &mut bytes).expect("a packet that can be encoded");
    bytes
}

/// A connected client. Dropping it cuts the connection without DISCONNECT.
pub struct Client {
    pub transport: Transport,
    over: Over,
    version: Version,
    decoder: Decoder,
    /// MQTT bytes received and not decoded yet.
    stream: Vec<u8>,
    /// Packets that came while another was waited for, in order.
    put_aside: VecDeque<Packet<'static>>,
    next_packet_id: u16,
}

impl Client {
    /// Opens the transport, up to where CONNECT would come.
    pub fn open(server: &Server, over: Over, version: Version) -> Self {
        let subprotocol = if version == Version::V3 { "mqttv3.1" } else { "mqtt" };
        Self::over(Transport::open(server, over, "/mqtt", subprotocol), over, version)
    }

    /// Opens a TCP connection to any broker.
    pub fn open_at(address: SocketAddr, version: Version) -> Self {
        Self::over(Transport::tcp(address), Over::Tcp, version)
    }

    /// Opens a WebSocket at `path` and sends `connect`; whatever the answer is, it comes back.
    pub fn try_connect_at(server: &Server, over: Over, path: &str, connect: Connect) -> (Self, ConnAck) {
        Self::over(Transport::open(server, over, path, "mqtt"), over, connect.version).say(connect)
    }

    /// Speaks MQTT on a transport that is open already.
    pub fn over(transport: Transport, over: Over, version: Version) -> Self {
        let limits = Limits { packet_bytes_max: 16 << 20, user_properties_max: 20_000, ..Limits::default() };
        let decoder = Decoder::with_version(Sender::Server, limits, version);
        Self { transport, over, version, decoder, stream: Vec::new(), put_aside: VecDeque::new(), next_packet_id: 1 }
    }

    /// Opens and sends `connect`; whatever the answer is, it comes back.
    pub fn try_connect(server: &Server, over: Over, connect: Connect) -> (Self, ConnAck) {
        Self::open(server, over, connect.version).say(connect)
    }

    /// Sends `connect`; whatever the answer is, it comes back.
    pub fn say(mut self, connect: Connect) -> (Self, ConnAck) {
        self.send(&Packet::Connect(Box::new(connect)));
        match self.receive() {
            Packet::ConnAck(answer) => (self, *answer),
            other => panic!("{other:?} instead of CONNACK"),
        }
    }

    /// Opens, sends `connect` and is let in.
    pub fn connect_with(server: &Server, over: Over, connect: Connect) -> Self {
        let (client, answer) = Self::try_connect(server, over, connect);
        assert_eq!(answer.reason, ReasonCode::Success, "{answer:?}");
        client
    }

    /// Opens, connects anonymously with a clean session and is let in.
    pub fn connect(server: &Server, over: Over, version: Version, client_id: &str) -> Self {
        Self::connect_with(server, over, connect(version, client_id))
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// Sends a packet, over a WebSocket in one binary frame.
    pub fn send(&mut self, packet: &Packet<'_>) {
        self.send_bytes(&bytes(packet, self.version));
    }

    /// Sends MQTT bytes as they are, over a WebSocket in one binary frame.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        if self.over.is_websocket() {
            self.transport.write_frame(true, BINARY, bytes);
        } else {
            self.transport.write(bytes);
        }
    }

    /// The next packet.
    pub fn receive(&mut self) -> Packet<'static> {
        match self.try_receive() {
            Ok(packet) => packet,
            Err(ending) => panic!("{ending:?} instead of a packet"),
        }
    }

    /// The next packet; `Err` when the server closes instead.
    pub fn try_receive(&mut self) -> Result<Packet<'static>, Ending> {
        self.put_aside.pop_front().map_or_else(|| self.try_receive_next(), Ok)
    }

    /// The answer that `is_wanted` knows; what comes before it is put aside for later, in order.
    ///
    /// An answer and messages of other exchanges have no order among each other.
    fn receive_answer(&mut self, what: &str, is_wanted: impl Fn(&Packet<'_>) -> bool) -> Packet<'static> {
        if let Some(position) = self.put_aside.iter().position(&is_wanted) {
            return self.put_aside.remove(position).expect("just found");
        }
        loop {
            match self.try_receive_next() {
                Ok(packet) if is_wanted(&packet) => return packet,
                Ok(packet) => self.put_aside.push_back(packet),
                Err(ending) => panic!("{ending:?} instead of {what}; before that: {:?}", self.put_aside),
            }
        }
    }

    fn try_receive_next(&mut self) -> Result<Packet<'static>, Ending> {
        loop {
            let decoded = self.decoder.decode(&self.stream);
            if let Some((packet, length)) = decoded.unwrap_or_else(|error| panic!("the server sent rubbish: {error}")) {
                let packet = into_owned(packet);
                self.stream.drain(..length);
                return Ok(packet);
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> Result<(), Ending> {
        if !self.over.is_websocket() {
            let ending = self.transport.read_more(Instant::now() + PATIENCE);
            self.stream.append(&mut self.transport.received);
            return ending.map_or(Ok(()), Err);
        }
        let frame = self.transport.read_frame()?;
        match frame.opcode {
            BINARY | 0 => self.stream.extend(frame.payload),
            PING => self.transport.write_frame(true, PONG, &frame.payload),
            PONG => {}
            CLOSE => {
                let code = frame.payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                return Err(Ending::Closed(code));
            }
            opcode => panic!("a frame of opcode {opcode} carries no MQTT"),
        }
        Ok(())
    }

    /// The next packet, which must be a PUBLISH.
    pub fn receive_publish(&mut self) -> Publish<'static> {
        match self.receive() {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?} instead of PUBLISH"),
        }
    }

    /// The next packet must be a PUBLISH with this topic and payload. It is acknowledged as its QoS demands.
    pub fn expect_message(&mut self, topic: &str, payload: &[u8]) -> Publish<'static> {
        let publish = self.receive_publish();
        assert_eq!(publish.topic.as_deref(), Some(topic));
        assert_eq!(publish.payload, payload, "{}", String::from_utf8_lossy(&publish.payload));
        self.acknowledge(&publish);
        publish
    }

    /// Answers a PUBLISH as its QoS demands, up to the end of the exchange.
    pub fn acknowledge(&mut self, publish: &Publish<'_>) {
        let Some(id) = publish.packet_id else { return };
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.send(&Packet::PubAck(Ack::new(id, ReasonCode::Success))),
            QoS::ExactlyOnce => {
                self.send(&Packet::PubRec(Ack::new(id, ReasonCode::Success)));
                self.receive_answer("PUBREL", |packet| *packet == Packet::PubRel(Ack::new(id, ReasonCode::Success)));
                self.send(&Packet::PubComp(Ack::new(id, ReasonCode::Success)));
            }
        }
    }

    /// A Packet Identifier that is not in use.
    pub fn take_packet_id(&mut self) -> u16 {
        let id = self.next_packet_id;
        self.next_packet_id += 1;
        id
    }

    /// Publishes and goes through the whole exchange of its QoS; returns the reason of the first answer.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) -> ReasonCode {
        let id = self.take_packet_id();
        self.send(&Packet::Publish(publish(topic, payload, qos, retain, id)));
        let packet_id = packet_id(id);
        match qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => {
                let is_answer =
                    |packet: &Packet<'_>| matches!(packet, Packet::PubAck(ack) if ack.packet_id == packet_id);
                let Packet::PubAck(ack) = self.receive_answer("PUBACK", is_answer) else { unreachable!("asked for") };
                ack.reason
            }
            QoS::ExactlyOnce => {
                let is_answer =
                    |packet: &Packet<'_>| matches!(packet, Packet::PubRec(ack) if ack.packet_id == packet_id);
                let Packet::PubRec(ack) = self.receive_answer("PUBREC", is_answer) else { unreachable!("asked for") };
                if (ack.reason as u8) < 0x80 {
                    self.send(&Packet::PubRel(Ack::new(packet_id, ReasonCode::Success)));
                    let end = Packet::PubComp(Ack::new(packet_id, ReasonCode::Success));
                    self.receive_answer("PUBCOMP", |packet| *packet == end);
                }
                ack.reason
            }
        }
    }

    /// Subscribes to one filter and returns what was granted.
    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> ReasonCode {
        let options = SubscribeOptions { maximum_qos: qos, ..SubscribeOptions::default() };
        self.subscribe_with(&[(filter, options)])[0]
    }

    /// Subscribes and returns what was granted, filter by filter. Messages must not come before the SUBACK.
    pub fn subscribe_with(&mut self, filters: &[(&str, SubscribeOptions)]) -> Vec<ReasonCode> {
        let packet_id = packet_id(self.take_packet_id());
        let filter = |text| TopicFilter::parse(text).expect("a valid filter");
        let filters = filters.iter().map(|&(text, options)| (filter(text), options)).collect();
        let properties = SubscribeProperties::default();
        self.send(&Packet::Subscribe(Subscribe { packet_id, properties, filters }));
        match self.receive() {
            Packet::SubAck(SubAck { packet_id: id, reasons, .. }) if id == packet_id => reasons,
            other => panic!("{other:?} instead of SUBACK {packet_id}"),
        }
    }

    /// Unsubscribes and returns the reasons (none in 3.1 and 3.1.1).
    pub fn unsubscribe(&mut self, filter: &str) -> Vec<ReasonCode> {
        let packet_id = packet_id(self.take_packet_id());
        let filters = vec![TopicFilter::parse(filter).expect("a valid filter")];
        self.send(&Packet::Unsubscribe(Unsubscribe { packet_id, user_properties: Vec::new(), filters }));
        match self.receive() {
            Packet::UnsubAck(SubAck { packet_id: id, reasons, .. }) if id == packet_id => reasons,
            other => panic!("{other:?} instead of UNSUBACK {packet_id}"),
        }
    }

    /// Asserts that nothing was sent before the answer to a ping: what the server had to say, it would have said by then.
    pub fn expect_nothing(&mut self) {
        self.send(&Packet::PingReq);
        assert_eq!(self.receive(), Packet::PingResp);
    }

    /// Says goodbye with `reason` (which 3.1 and 3.1.1 cannot express) and waits until the server has closed.
    pub fn disconnect(mut self, reason: ReasonCode) {
        self.send(&Packet::Disconnect(Disconnect { reason, properties: DisconnectProperties::default() }));
        assert!(matches!(self.try_receive(), Err(Ending::Closed(_))));
    }

    /// The server must close, after DISCONNECT with `reason` where the version has one (MQTT 5.0 §4.13, MQTT 3.1.1 §4.8).
    pub fn expect_disconnect(&mut self, reason: ReasonCode) {
        if self.version == Version::V5 {
            match self.receive() {
                Packet::Disconnect(disconnect) => assert_eq!(disconnect.reason, reason, "{disconnect:?}"),
                other => panic!("{other:?} instead of DISCONNECT"),
            }
        }
        self.expect_closed();
    }

    /// The server must close without another packet.
    pub fn expect_closed(&mut self) -> Ending {
        match self.try_receive() {
            Err(ending) => ending,
            Ok(packet) => panic!("{packet:?} instead of the end"),
        }
    }
}

/// The same packet, borrowing nothing.
fn into_owned(packet: Packet<'_>) -> Packet<'static> {
    match packet {
        Packet::Connect(connect) => Packet::Connect(connect),
        Packet::ConnAck(answer) => Packet::ConnAck(answer),
        Packet::Publish(publish) => Packet::Publish(Publish {
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            topic: publish.topic.map(TopicName::into_owned),
            packet_id: publish.packet_id,
            properties: publish.properties.into_owned(),
            payload: publish.payload.into_owned().into(),
        }),
        Packet::PubAck(ack) => Packet::PubAck(ack),
        Packet::PubRec(ack) => Packet::PubRec(ack),
        Packet::PubRel(ack) => Packet::PubRel(ack),
        Packet::PubComp(ack) => Packet::PubComp(ack),
        Packet::Subscribe(subscribe) => Packet::Subscribe(subscribe),
        Packet::SubAck(answer) => Packet::SubAck(answer),
        Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(unsubscribe),
        Packet::UnsubAck(answer) => Packet::UnsubAck(answer),
        Packet::PingReq => Packet::PingReq,
        Packet::PingResp => Packet::PingResp,
        Packet::Disconnect(disconnect) => Packet::Disconnect(disconnect),
        Packet::Auth(auth) => Packet::Auth(auth),
    }
}
