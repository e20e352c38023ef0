//! What a client can do wrong in framing, and the close code that says so.

use super::{CloseCode, Expect};

/// A violation of RFC 6455 or of a limit. The connection is over: send [`FrameError::close_code`], then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame from a client is not masked (RFC 6455 §5.1)")]
    Unmasked,
    #[error("a reserved bit is set without an extension (RFC 6455 §5.2)")]
    ReservedBits,
    #[error("opcode {0:#x} is reserved (RFC 6455 §5.2)")]
    ReservedOpcode(u8),
    #[error("a payload length is not in its shortest form (RFC 6455 §5.2)")]
    LengthNotMinimal,
    #[error("a control frame is fragmented (RFC 6455 §5.5)")]
    ControlFragmented,
    #[error("a control frame has more than 125 bytes of payload (RFC 6455 §5.5)")]
    ControlTooLong,
    #[error("a continuation frame continues nothing (RFC 6455 §5.4)")]
    UnexpectedContinuation,
    #[error("a message begins inside another (RFC 6455 §5.4)")]
    Interleaved,
    #[error("a Close frame has one byte of payload (RFC 6455 §5.5.1)")]
    CloseTooShort,
    #[error("close code {0} may not be sent (RFC 6455 §7.4)")]
    CloseCodeInvalid(u16),
    #[error("a Close frame's reason is not UTF-8 (RFC 6455 §5.5.1)")]
    CloseReasonNotUtf8,
    #[error("a text message is not UTF-8 (RFC 6455 §8.1)")]
    TextNotUtf8,
    #[error("the message type is wrong for this subprotocol; {0} messages are expected")]
    WrongType(Expect),
    #[error("a message is longer than the {bytes_max} bytes allowed")]
    MessageTooLong { bytes_max: u32 },
    #[error("a message has too many empty fragments")]
    TooManyEmptyFragments,
}

impl FrameError {
    /// The status code of the Close frame that answers it (RFC 6455 §7.4.1).
    #[must_use]
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Unmasked
            | Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::LengthNotMinimal
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::UnexpectedContinuation
            | Self::Interleaved
            | Self::CloseTooShort
            | Self::CloseCodeInvalid(_) => CloseCode::Protocol,
            Self::WrongType(_) => CloseCode::Unsupported,
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 => CloseCode::Invalid,
            Self::TooManyEmptyFragments => CloseCode::Policy,
            Self::MessageTooLong { .. } => CloseCode::Size,
        }
    }
}
