//! Which of two a client speaks where MQTT and HTTP are taken on one port.
//!
//! By ALPN where it was agreed on (RFC 7301); otherwise by the first byte after the last handshake, which stays where it is: whoever
//! serves the client reads it again. CONNECT, which comes first in MQTT, begins with a byte that begins no HTTP request.

use std::io;

use tokio::io::AsyncBufReadExt as _;
use tokio::sync::watch;

use super::handshake::Steps;
use super::transport::Transport;
use super::{Drain, EdgeCounters, tls};
use crate::connection::Handshake;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http,
    Mqtt,
}

/// The first byte of a CONNECT packet (MQTT 5.0 §3.1.1).
pub(crate) const MQTT_CONNECT: u8 = 0x10;

/// Finds out what is spoken, waiting for the first byte no longer than for the head of a request. `None`: the client is to be closed.
pub(crate) async fn first_spoken(
    transport: &mut Transport,
    handshake: &mut Handshake,
    steps: &Steps,
    mut draining: watch::Receiver<Drain>,
) -> Option<Spoken> {
    if let Some(agreed) = agreed(transport) {
        return Some(agreed);
    }
    let first = tokio::time::timeout(steps.limits.http_head_timeout, first_byte(transport));
    tokio::select! {
        biased;
        () = &mut *handshake => None, // shed
        first = first => match first {
            Ok(Ok(first)) => first.map(|byte| if byte == MQTT_CONNECT { Spoken::Mqtt } else { Spoken::Http }),
            Ok(Err(_)) => None, // gone
            Err(_) => {
                EdgeCounters::add(&steps.counters.http_head_timed_out);
                None
            }
        },
        // Who was accepted before another process takes over is served once.
        _ = draining.wait_for(|drain| *drain == Drain::Stopping) => None,
    }
}

/// What ALPN says.
fn agreed(transport: &Transport) -> Option<Spoken> {
    let Transport::Tls(tls) = transport else { return None };
    let protocol = tls.get_ref().1.alpn_protocol()?;
    Some(if protocol == tls::MQTT { Spoken::Mqtt } else { Spoken::Http })
}

/// The first byte that the client sends, which is still to be read; `None`: it ends before.
async fn first_byte(transport: &mut Transport) -> io::Result<Option<u8>> {
    match transport {
        Transport::Plain(tcp) => {
            let mut first = [0];
            let count = tcp.peek(&mut first).await?;
            Ok((count > 0).then_some(first[0]))
        }
        Transport::Tls(tls) => Ok(tls.fill_buf().await?.first().copied()),
    }
}
