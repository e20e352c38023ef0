//! MQTT as a client speaks it, on a bare connection or in the messages of a WebSocket.

use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use super::report::quoted;
use super::wire::Wire;
use crate::mqtt::codec::{Decoder, Limits, Sender, encode};
use crate::mqtt::packet::{Connect, Login};
use crate::mqtt::property::ConnectProperties;
use crate::mqtt::{Packet, Version};

/// An open connection, before or after CONNECT.
pub struct Channel {
    way: Way,
    version: Version,
    decoder: Decoder,
    /// What has come and is no whole packet yet.
    buffer: Vec<u8>,
    /// When the server asked, by a WebSocket ping, whether anybody is there.
    pub pings: Vec<Instant>,
}

enum Way {
    Bare(Wire),
    Web(Box<WebSocket<Wire>>),
}

/// Why there is no further packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The deadline came first.
    Silent,
    /// How the connection ended.
    Closed(String),
    /// What came is no MQTT.
    NoMqtt(String),
}

/// The longest message that is read.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Channel {
    /// MQTT straight on the connection.
    #[must_use]
    pub fn bare(wire: Wire, version: Version) -> Self {
        Self::new(Way::Bare(wire), version)
    }

    /// MQTT in a WebSocket that is open; `rest` came behind the head of the answer.
    #[must_use]
    pub fn web(wire: Wire, rest: Vec<u8>, version: Version) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let role = tungstenite::protocol::Role::Client;
        Self::new(Way::Web(Box::new(WebSocket::from_partially_read(wire, rest, role, Some(config)))), version)
    }

    fn new(way: Way, version: Version) -> Self {
        let limits = Limits { packet_bytes_max: MESSAGE_BYTES_MAX as u32, ..Limits::default() };
        let decoder = Decoder::with_version(Sender::Server, limits, version);
        Self { way, version, decoder, buffer: Vec::new(), pings: Vec::new() }
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// The connection has ended, or takes nothing in time.
    pub fn send(&mut self, packet: &Packet<'_>, deadline: Instant) -> Result<(), Ended> {
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).map_err(|error| Ended::NoMqtt(error.to_string()))?;
        self.wire().set_deadline(deadline);
        match &mut self.way {
            Way::Bare(wire) => wire.write_all(&bytes).and_then(|()| wire.flush()).map_err(|error| of_io(&error)),
            Way::Web(socket) => socket.send(Message::binary(bytes)).map_err(of_web),
        }
    }

    /// The next packet.
    ///
    /// # Errors
    /// There is none until the deadline, or there will be none any more.
    pub fn receive(&mut self, deadline: Instant) -> Result<Packet<'static>, Ended> {
        loop {
            match self.decoder.decode(&self.buffer) {
                Ok(Some((packet, length))) => {
                    let packet = packet.into_owned();
                    self.buffer.drain(..length);
                    return Ok(packet);
                }
                Ok(None) => self.fill(deadline)?,
                Err(error) => return Err(Ended::NoMqtt(quoted(&error.violation().to_string()))),
            }
        }
    }

    /// Is gone as a client without a network is: answers nothing, not even pings, and waits for the connection's end. Says how it ended, or that it did not.
    pub fn be_gone(&mut self, deadline: Instant) -> Ended {
        let wire = self.wire();
        wire.set_deadline(deadline);
        let mut piece = [0; 4096];
        loop {
            match wire.read(&mut piece) {
                Ok(0) => return Ended::Closed("the connection was closed".to_owned()),
                Ok(_) => {}
                Err(error) => return of_io(&error),
            }
        }
    }

    /// Reads what comes, and answers pings, as a browser does on its own.
    fn fill(&mut self, deadline: Instant) -> Result<(), Ended> {
        self.wire().set_deadline(deadline);
        match &mut self.way {
            Way::Bare(wire) => {
                let mut piece = [0; 4096];
                let count = wire.read(&mut piece).map_err(|error| of_io(&error))?;
                if count == 0 {
                    return Err(Ended::Closed("the connection was closed without a word".to_owned()));
                }
                self.buffer.extend_from_slice(&piece[..count]);
            }
            Way::Web(socket) => match socket.read().map_err(of_web)? {
                Message::Binary(bytes) => self.buffer.extend_from_slice(&bytes),
                Message::Text(text) => {
                    return Err(Ended::NoMqtt(format!("a text message: {:?}", quoted(text.as_str()))));
                }
                Message::Ping(_) => {
                    self.pings.push(Instant::now());
                    socket.flush().map_err(of_web)?;
                }
                Message::Close(frame) => {
                    let said = frame.map_or_else(
                        || "without a code".to_owned(),
                        |frame| format!("code {} {}", u16::from(frame.code), quoted(frame.reason.as_str())),
                    );
                    return Err(Ended::Closed(format!("the WebSocket was closed, {}", said.trim_end())));
                }
                Message::Pong(_) | Message::Frame(_) => {}
            },
        }
        Ok(())
    }

    fn wire(&mut self) -> &mut Wire {
        match &mut self.way {
            Way::Bare(wire) => wire,
            Way::Web(socket) => socket.get_mut(),
        }
    }
}

fn of_io(error: &io::Error) -> Ended {
    match error.kind() {
        io::ErrorKind::TimedOut => Ended::Silent,
        io::ErrorKind::UnexpectedEof => Ended::Closed("the connection was closed without a word".to_owned()),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Ended::Closed("the connection was reset".to_owned())
        }
        _ => Ended::Closed(quoted(&error.to_string())),
    }
}

fn of_web(error: tungstenite::Error) -> Ended {
    use tungstenite::Error;
    use tungstenite::error::ProtocolError;
    match error {
        Error::Io(error) => of_io(&error),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => Ended::Closed("the connection was closed without a WebSocket Close".to_owned()),
        other => Ended::Closed(quoted(&other.to_string())),
    }
}

/// A CONNECT of nobody's making but the doctor's: a session that ends with the connection.
#[must_use]
pub fn connect(version: Version, login: Login, keep_alive_s: u16) -> Packet<'static> {
    let mut id = [0; 8];
    // Without entropy the name is the same for all doctors, and one may take over another's connection.
    let _ = getrandom::fill(&mut id);
    // 23 characters of letters and digits are what every server of 3.1.1 takes.
    let client_id = format!("doctor{:016x}", u64::from_ne_bytes(id));
    Packet::Connect(Box::new(Connect {
        version,
        is_bridge: false,
        clean_start: true,
        keep_alive_s,
        client_id: client_id.into(),
        login,
        will: None,
        properties: ConnectProperties::default(),
    }))
}
