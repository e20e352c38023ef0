//! One client of the generator: a non-blocking socket, perhaps TLS, perhaps WebSocket, and MQTT 3.1.1 or JSON inside;
//! or HTTP alone.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    sync::Arc,
};

use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use crate::{
    http2::Streams,
    wire::{self, Frames, Piece},
};

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Ws,
    Wss,
    /// The JSON Action dialect over secure WebSockets; everything else is MQTT.
    JsonWss,
    /// Requests, one after the other. A publication is a GET of its topic, and a delivery is the content of the answer.
    Https,
    /// The same over HTTP/2, any number of requests under way at once.
    Http2,
}

/// Who the client is and what it hears.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) client_id: String,
    /// Topic filter and maximum QoS.
    pub(crate) subscribe: Option<(String, u8)>,
}

/// What a client saw.
pub(crate) enum Event<'a> {
    /// Everything of the [`Plan`] is done: CONNACK, and SUBACK if it subscribes.
    Ready,
    /// The answer to a subscription beyond the plan's.
    Subscribed,
    /// The payload of a PUBLISH; its PUBACK, if it needs one, is on its way.
    Delivery(&'a [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Upgrading,
    AwaitConnAck,
    AwaitSubAck,
    /// To the first request, which shows that the way is open.
    AwaitAnswer,
    Ready,
}

/// Read buffers of the thread; no connection has its own.
pub(crate) struct Scratch {
    raw: Box<[u8]>,
    plain: Box<[u8]>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let buffer = || vec![0; 128 * 1024].into_boxed_slice();
        Self { raw: buffer(), plain: buffer() }
    }
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    session: Session,
    /// How much of `session.out` the socket has taken; only without TLS.
    written: usize,
}

/// The protocol part, apart from the socket so that both can be borrowed at once.
struct Session {
    plan: Plan,
    phase: Phase,
    transport: Transport,
    frames: Frames,
    /// The part of the HTTP answer, later of an MQTT packet or JSON message, that has come.
    carry: Vec<u8>,
    /// Bytes for the socket (or for TLS), framed.
    out: Vec<u8>,
    mask: u32,
    packet_id: u16,
    /// Of HTTP/2.
    streams: Option<Streams>,
}

impl Connection {
    /// Of a `stream` that is connecting; nothing has been exchanged when this returns.
    pub(crate) fn start(
        stream: TcpStream,
        to: SocketAddr,
        transport: Transport,
        path: &str,
        tls: &Arc<ClientConfig>,
        plan: Plan,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let tls = match transport {
            Transport::Wss | Transport::JsonWss | Transport::Https | Transport::Http2 => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let mut config = Arc::clone(tls);
                if transport == Transport::Http2 {
                    Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
                }
                let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
                tls.set_buffer_limit(None);
                Some(Box::new(tls))
            }
            Transport::Tcp | Transport::Ws => None,
        };
        let mut out = Vec::new();
        let mut streams = None;
        let host = format!("localhost:{}", to.port());
        let phase = match transport {
            Transport::Tcp => {
                wire::connect(&plan.client_id, &mut out);
                Phase::AwaitConnAck
            }
            Transport::Https => {
                wire::get(path, &mut out);
                Phase::AwaitAnswer
            }
            Transport::Http2 => {
                streams.insert(Streams::start(&mut out)).get(path, &mut out);
                Phase::AwaitAnswer
            }
            Transport::Ws | Transport::Wss => {
                wire::upgrade(path, &host, Some("mqtt"), &mut out);
                Phase::Upgrading
            }
            Transport::JsonWss => {
                wire::upgrade(path, &host, None, &mut out);
                Phase::Upgrading
            }
        };
        let session = Session {
            plan,
            phase,
            transport,
            frames: Frames::default(),
            carry: Vec::new(),
            out,
            mask: 0x9E37_79B9,
            packet_id: 0,
            streams,
        };
        Ok(Self { stream, tls, session, written: 0 })
    }

    pub(crate) fn publish(&mut self, topic: &str, qos: u8, payload: &[u8]) {
        self.session.publish(topic, qos, payload);
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) {
        self.session.subscribe(filter, qos);
    }

    pub(crate) fn disconnect(&mut self) {
        if !matches!(self.session.transport, Transport::JsonWss | Transport::Https | Transport::Http2) {
            self.session.send(wire::disconnect);
        }
        if let Some(tls) = &mut self.tls {
            // The close_notify must follow the DISCONNECT, so that goes to TLS first; both leave with the next flush.
            let _ = tls.writer().write_all(&self.session.out);
            self.session.out.clear();
            tls.send_close_notify();
        }
    }

    /// Reads what the socket has; `to_the_end` where the peer is known to have closed.
    ///
    /// # Errors
    /// `UnexpectedEof` when the server closed; `InvalidData` when it spoke nonsense.
    pub(crate) fn read(
        &mut self,
        scratch: &mut Scratch,
        to_the_end: bool,
        mut on: impl FnMut(Event<'_>),
    ) -> io::Result<()> {
        loop {
            let count = match self.stream.read(&mut scratch.raw) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            match &mut self.tls {
                None => self.session.receive(&scratch.raw[..count], &mut on)?,
                Some(tls) => {
                    let mut records = &scratch.raw[..count];
                    while !records.is_empty() {
                        tls.read_tls(&mut records)?;
                        let state = tls.process_new_packets().map_err(io::Error::other)?;
                        let mut left = state.plaintext_bytes_to_read();
                        while left > 0 {
                            let plain_count = tls.reader().read(&mut scratch.plain)?;
                            self.session.receive(&scratch.plain[..plain_count], &mut on)?;
                            left -= plain_count;
                        }
                    }
                }
            }
            // Events are edge-triggered, but what comes after a short read raises a new edge.
            if count < scratch.raw.len() && !to_the_end {
                return Ok(());
            }
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match would_block_is_fine(self.write_pending()) {
            // Not connected yet: the writable event comes back here.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let out = &mut self.session.out;
        let Some(tls) = &mut self.tls else {
            while self.written < out.len() {
                self.written += self.stream.write(&out[self.written..])?;
            }
            out.clear();
            self.written = 0;
            return Ok(());
        };
        if !out.is_empty() {
            tls.writer().write_all(out)?;
            out.clear();
        }
        while tls.wants_write() {
            tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

fn would_block_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

impl Session {
    fn receive(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
        if self.phase == Phase::Upgrading {
            return self.receive_http(bytes, on);
        }
        match self.transport {
            Transport::Tcp => return self.receive_mqtt(bytes, on),
            Transport::Https => return self.receive_answers(bytes, on),
            Transport::Http2 => return self.receive_streams(bytes, on),
            Transport::Ws | Transport::Wss | Transport::JsonWss => {}
        }
        let mut frames = std::mem::take(&mut self.frames);
        let mut result = Ok(());
        frames.feed(bytes, |piece| {
            if result.is_ok() {
                result = self.receive_piece(&piece, on);
            }
        });
        self.frames = frames;
        result
    }

    fn receive_http(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
        self.carry.extend_from_slice(bytes);
        let Some(end) = self.carry.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(()) };
        if !self.carry.starts_with(b"HTTP/1.1 101") {
            let line = self.carry.split(|&byte| byte == b'\r').next().unwrap_or_default();
            return Err(nonsense(&format!("upgrade answered with {:?}", String::from_utf8_lossy(line))));
        }
        let rest = self.carry.split_off(end + 4);
        self.carry.clear();
        if self.transport == Transport::JsonWss {
            // There is no CONNECT to wait for: who comes without one is anonymous.
            self.subscribe_as_planned(on);
        } else {
            self.phase = Phase::AwaitConnAck;
            let client_id = std::mem::take(&mut self.plan.client_id);
            self.send(|out| wire::connect(&client_id, out));
        }
        if rest.is_empty() { Ok(()) } else { self.receive(&rest, on) }
    }

    fn receive_answers(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(bytes);
        while let Some((status, content, len)) = wire::answer(&carry) {
            if status != b"200" {
                return Err(nonsense(&format!("a request answered with {}", String::from_utf8_lossy(status))));
            }
            match self.phase {
                Phase::AwaitAnswer => self.become_ready(on),
                _ => on(Event::Delivery(content)),
            }
            carry.drain(..len);
        }
        self.carry = carry;
        Ok(())
    }

    fn receive_streams(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
        let Some(mut streams) = self.streams.take() else { return Ok(()) };
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(bytes);
        let mut used = 0;
        let mut out = std::mem::take(&mut self.out);
        loop {
            let received = streams.receive(&carry[used..], &mut out, |content| match self.phase {
                Phase::AwaitAnswer => self.become_ready(on),
                _ => on(Event::Delivery(content)),
            });
            match received.map_err(|what| nonsense(&what))? {
                Some(len) => used += len,
                None => break,
            }
        }
        carry.drain(..used);
        (self.carry, self.out, self.streams) = (carry, out, Some(streams));
        Ok(())
    }

    fn receive_piece(&mut self, piece: &Piece<'_>, on: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
        match piece {
            Piece::Data { bytes, ends_message } if self.transport == Transport::JsonWss => {
                self.receive_json(bytes, *ends_message, on)
            }
            Piece::Data { bytes, .. } => self.receive_mqtt(bytes, on),
            Piece::Ping(payload) => {
                wire::frame(wire::PONG, payload, self.mask, &mut self.out);
                Ok(())
            }
            Piece::Close => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn receive_json(&mut self, bytes: &[u8], is_end: bool, on: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
        let carried = std::mem::take(&mut self.carry);
        if !is_end || !carried.is_empty() {
            self.carry = carried;
            self.carry.extend_from_slice(bytes);
            if !is_end {
                return Ok(());
            }
            let message = std::mem::take(&mut self.carry);
            return self.receive_json_message(&message, on);
        }
        self.receive_json_message(bytes, on)
    }

    fn receive_json_message(&mut self, text: &[u8], on: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
        match (wire::json_message(text), self.phase) {
            (wire::JsonMessage::Delivery(payload), Phase::Ready) => on(Event::Delivery(payload)),
            (wire::JsonMessage::Ack, Phase::AwaitSubAck) => self.become_ready(on),
            _ => return Err(nonsense(&format!("unexpected message {}", String::from_utf8_lossy(text)))),
        }
        Ok(())
    }

    fn receive_mqtt(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
        if self.carry.is_empty() {
            let used = self.receive_packets(bytes, on)?;
            self.carry.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(bytes);
        let used = self.receive_packets(&carry, on)?;
        carry.drain(..used);
        self.carry = carry;
        Ok(())
    }

    fn receive_packets(&mut self, bytes: &[u8], on: &mut impl FnMut(Event<'_>)) -> io::Result<usize> {
        let mut used = 0;
        while let Some((packet, len)) = wire::packet(&bytes[used..]) {
            self.receive_packet(&packet, on)?;
            used += len;
        }
        Ok(used)
    }

    fn receive_packet(&mut self, packet: &wire::Packet<'_>, on: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
        match (packet.first >> 4, self.phase) {
            (2, Phase::AwaitConnAck) if packet.body == [0, 0] => self.subscribe_as_planned(on),
            (9, Phase::AwaitSubAck) if packet.body.last().is_some_and(|&code| code <= 2) => self.become_ready(on),
            (9, Phase::Ready) if packet.body.last().is_some_and(|&code| code <= 2) => on(Event::Subscribed),
            (3, Phase::Ready) => {
                let delivery = wire::delivery(packet).ok_or_else(|| nonsense("a PUBLISH shorter than its fields"))?;
                on(Event::Delivery(delivery.payload));
                if let Some(id) = delivery.packet_id {
                    self.send(|out| wire::puback(id, out));
                }
            }
            // PUBACK and PINGRESP: the window counts deliveries, not acknowledgements.
            (4 | 13, Phase::Ready) => {}
            _ => return Err(nonsense(&format!("unexpected packet {:02x} {:02x?}", packet.first, packet.body))),
        }
        Ok(())
    }

    fn subscribe_as_planned(&mut self, on: &mut impl FnMut(Event<'_>)) {
        match self.plan.subscribe.take() {
            Some((filter, qos)) => {
                self.phase = Phase::AwaitSubAck;
                self.subscribe(&filter, qos);
            }
            None => self.become_ready(on),
        }
    }

    fn become_ready(&mut self, on: &mut impl FnMut(Event<'_>)) {
        self.phase = Phase::Ready;
        on(Event::Ready);
    }

    fn subscribe(&mut self, filter: &str, qos: u8) {
        let packet_id = self.next_packet_id();
        match self.transport {
            Transport::JsonWss => self.send(|out| wire::json_subscribe(filter, out)),
            _ => self.send(|out| wire::subscribe(filter, qos, packet_id, out)),
        }
    }

    fn publish(&mut self, topic: &str, qos: u8, payload: &[u8]) {
        let packet_id = (qos > 0).then(|| self.next_packet_id());
        match self.transport {
            Transport::JsonWss => self.send(|out| wire::json_publish(topic, payload, out)),
            Transport::Https => wire::get(topic, &mut self.out),
            Transport::Http2 => self.streams.iter_mut().for_each(|streams| streams.get(topic, &mut self.out)),
            _ => self.send(|out| wire::publish(topic, packet_id, payload, out)),
        }
    }

    fn next_packet_id(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }

    /// Appends one packet or JSON message, in a frame of its own over WebSocket as browsers' libraries do.
    fn send(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let opcode = match self.transport {
            Transport::Tcp | Transport::Https | Transport::Http2 => return encode(&mut self.out),
            Transport::Ws | Transport::Wss => wire::BINARY,
            Transport::JsonWss => wire::TEXT,
        };
        let mut message = Vec::with_capacity(128);
        encode(&mut message);
        self.mask = self.mask.rotate_left(5) ^ 0xA5A5_1234;
        wire::frame(opcode, &message, self.mask, &mut self.out);
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
