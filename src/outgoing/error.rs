//! What can go wrong on the way to somebody and back.

use std::io;
use std::time::Duration;

use hyper::StatusCode;

/// Why there is no answer, or none that can be used. It is the other side's trouble, or the network's between.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    #[error("the name {host} cannot be resolved: {source}")]
    Resolve { host: Box<str>, source: io::Error },
    /// Of the address that was tried last.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The handshake failed, be it for the certificate.
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("no answer within {}ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection ended before the answer did.
    #[error("the connection ended early: {0}")]
    Cut(io::Error),
    /// What came is not HTTP.
    #[error("the answer is not HTTP: {0}")]
    Malformed(io::Error),
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// Whoever was asked answers with something else than success.
    #[error("the answer is {0}")]
    Status(StatusCode),
}

impl OutgoingError {
    /// What failed, as a label of metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "resolve",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout(_) => "timeout",
            Self::Cut(_) => "cut",
            Self::Malformed(_) => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::Status(_) => "status",
        }
    }

    /// What hyper calls it. Its text repeats nothing of what was sent or came.
    pub(super) fn of_exchange(error: &hyper::Error) -> Self {
        if error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
            return Self::Malformed(io::Error::new(io::ErrorKind::InvalidData, error.to_string()));
        }
        Self::Cut(io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string()))
    }
}
