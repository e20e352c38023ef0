//! What the edge hands over when every handshake below MQTT is done.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::admission::{Handshake, Place};
use super::certified::Standing;
use super::roster::DuplicateClientId;
pub use crate::auth::{ClientCertificate, Token};

/// A transport that is ready to carry a dialect.
#[derive(Debug)]
pub struct Accepted {
    pub stream: Stream,
    /// Bytes the handshakes had read beyond their own end, decrypted: the first bytes of the dialect.
    pub early: Vec<u8>,
    /// Who is there, as far as the edge believes it.
    pub peer: SocketAddr,
    /// The URL of the listener that it came to, as the operator wrote it.
    pub listener: Arc<str>,
    /// Whether the limits of one address do not concern it.
    pub is_exempt: bool,
    pub protocol: Protocol,
    /// What the request that opened the WebSocket says of who is there; nobody has looked at it yet.
    pub token: Option<Token>,
    /// What its listener does with a Client Identifier that is taken, where it has a rule of its own.
    pub duplicate_client_id: Option<DuplicateClientId>,
    /// The client certificate that the TLS handshake has verified.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// What that is still worth; the connection ends with it.
    pub standing: Option<Arc<Standing>>,
    /// Its place among all that are open: keep it for as long as the connection lives.
    pub place: Place,
    /// Its seat among those who have proven nothing yet: drop it once CONNECT is accepted; close at once when it completes before.
    pub handshake: Handshake,
}

/// How the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT straight on the stream.
    Mqtt,
    /// MQTT in binary WebSocket messages (MQTT 5.0 §6).
    MqttWebSocket,
    /// The JSON Action dialect in WebSocket text messages.
    JsonWebSocket,
}

impl Protocol {
    #[must_use]
    pub fn is_websocket(self) -> bool {
        self != Self::Mqtt
    }
}

/// A bare stream, taken out of every wrapper that the handshakes needed.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(TcpStream, Box<TlsStream>),
    /// One of several on a connection that is somebody else's to look after.
    Multiplexed(Box<dyn Multiplexed>),
}

/// A stream without a socket of its own.
pub trait Multiplexed: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin> Multiplexed for T {}

/// The TLS state beside its socket; the handshake is over.
pub type TlsStream = rustls::ServerConnection;
