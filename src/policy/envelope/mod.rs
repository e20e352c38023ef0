//! The single-channel envelope: several devices share one connection, so each message says and proves who it is from.
//!
//! ```text
//!  {"timestamp":"<unix s>","client_id":"…","message_type":"…","data":{…},"token":"…"}
//!
//!  token = hex( HMAC-SHA256( key of client_id,  timestamp . client_id . message_type . canonical data ) )
//!       | a JSON Web Token whose subject is client_id, where the entry takes them
//! ```
//! `message` takes a payload apart and puts together what was signed and what goes on; `canonical` is JSON as RFC 8785 writes it; `keys`
//! are the clients' keys; `rule` is an entry of a policy's `envelope`, and opens envelopes; `replay` remembers what was seen.
//! `docs/envelope.md` tells a device's author the same, with an example that a test computes again.
//!
//! Why the text that is signed can be read in one way only, although its parts may hold dots: a timestamp is digits; no two clients of a
//! key file have the same key, so a key names its client; and canonical data is an object, of which no end after a dot is one itself.
//!
//! What goes on is made of what was signed, in canonical form, and not cut out of what came in: two texts that are the same to the
//! signature are the same to who receives them.
//!
//! Invariants:
//! - An unknown client and a wrong token are one fault, and cost the same.
//! - Nothing is forgotten that could still be fresh. Where no room is left the newest is refused, and what may have been forgotten is
//!   stale, also before the start of the process.
//! - No key and no token is shown by any `Debug`, fault or refusal.

mod canonical;
mod keys;
mod message;
mod replay;
mod rule;

pub use canonical::{JsonFault, canonical};
pub use keys::KeyRing;
pub use message::{Envelope, ShapeFault};
pub use replay::ReplayWindow;
pub use rule::{EnvelopeRule, Opened, SubjectOf};

/// Why a message on an envelope's topic does not go on. What it says, the sender may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    #[error("the payload {0}")]
    Shape(#[from] ShapeFault),
    /// No such client, or not its token.
    #[error("the token is not one of this client_id for this message")]
    Token,
    #[error("the timestamp is too far from the server's clock; send the message anew, with the time of sending")]
    Stale,
    #[error("this message was sent before")]
    Replayed,
    #[error("too many messages to remember; send this one again later")]
    WindowFull,
}
