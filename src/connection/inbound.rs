//! From the bytes of a connection to packets: framing, then dialect.
//!
//! Keeps nothing but what a split packet or frame needs, and nothing at all while the client is silent between packets.

use std::sync::Arc;

use crate::dialect::json::{JsonDialect, JsonError};
use crate::dialect::websocket::{CloseCode, Event, Expect, FrameDecoder, FrameError};
use crate::mqtt::codec::{DecodeError, Decoder, Limits, Sender};
use crate::mqtt::packet::Packet;

use super::{ConnectionConfig, Protocol, Shared};

#[cfg(test)]
mod tests;

/// What the client's bytes came to.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    Packet(Packet<'a>),
    /// A message of a forgiving dialect that says nothing sensible.
    Mistake(JsonError),
    /// No packet; the connection is over.
    Fault(DecodeError),
    /// No WebSocket frame; the connection is over.
    FrameFault(FrameError),
    Ping(&'a [u8]),
    Pong,
    /// The WebSocket's closing handshake.
    Close(Option<CloseCode>),
}

/// What the receiver of an [`Incoming`] wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    /// The client is known: go on under its full limits.
    Admit,
    /// Nothing until [`Inbound::resume`].
    Pause,
    /// Nothing ever: the rest is dropped.
    Stop,
}

/// Decodes what one client sends.
#[derive(Debug)]
pub(super) struct Inbound {
    shared: Arc<Shared>,
    frames: Option<FrameDecoder>,
    speech: Speech,
    /// The beginning of an MQTT packet, or what came while paused.
    partial: Vec<u8>,
    /// Undecoded frames that came while paused.
    held: Vec<u8>,
    /// What of all that is booked.
    booked: usize,
}

/// The dialect, as the receiver of [`Incoming`] may need it to answer.
#[derive(Debug)]
pub(super) enum Speech {
    Mqtt(Decoder),
    Json(JsonDialect),
}

impl Inbound {
    pub(super) fn new(shared: Arc<Shared>, protocol: Protocol) -> Self {
        let config = &shared.environment.config;
        let limits = limits(config, config.connect_bytes_max);
        let message_bytes_max = message_bytes_max(config);
        // A text message is kept until it is whole, so it is short until the client is known, if it must be.
        let first_text_bytes_max = match shared.authenticator.load().admits_anonymous() {
            true => message_bytes_max,
            false => config.connect_bytes_max,
        };
        let mqtt = || Speech::Mqtt(Decoder::new(Sender::Client, limits));
        let (frames, speech) = match protocol {
            Protocol::Mqtt => (None, mqtt()),
            // A binary message is taken as it comes, and may hold more than CONNECT: the packet's own limit is what counts.
            Protocol::MqttWebSocket => (Some(FrameDecoder::new(Expect::Binary, message_bytes_max)), mqtt()),
            Protocol::JsonWebSocket => {
                (Some(FrameDecoder::new(Expect::Text, first_text_bytes_max)), Speech::Json(JsonDialect::new()))
            }
        };
        Self { frames, speech, partial: Vec::new(), held: Vec::new(), booked: 0, shared }
    }

    /// The client is known: from here its full limits hold.
    pub(super) fn widen(&mut self) {
        let config = &self.shared.environment.config;
        if let Some(frames) = &mut self.frames {
            frames.set_message_bytes_max(message_bytes_max(config));
        }
        if let Speech::Mqtt(decoder) = &mut self.speech {
            decoder.set_limits(limits(config, config.packet_bytes_max));
        }
    }

    pub(super) fn speech(&mut self) -> &mut Speech {
        &mut self.speech
    }

    /// Whether a packet or frame has begun and is not complete.
    pub(super) fn is_amid(&self) -> bool {
        !self.partial.is_empty() || self.frames.as_ref().is_some_and(FrameDecoder::is_amid_message)
    }

    /// Books the memory of what is not whole, or waits to be decoded. To be called at the end of each round.
    pub(super) fn book(&mut self) {
        let text_bytes = self.frames.as_ref().map_or(0, FrameDecoder::text_bytes);
        let bytes = self.partial.capacity() + self.held.capacity() + text_bytes;
        self.shared.environment.engine.memory().settle(&mut self.booked, bytes);
    }

    /// Decodes `input`, a slice of the byte stream split anywhere, and gives `receive` what it comes to. Unmasks in place.
    pub(super) fn feed(
        &mut self,
        input: &mut [u8],
        receive: &mut impl FnMut(&mut Speech, Incoming<'_>) -> Flow,
    ) -> Flow {
        if self.frames.is_some() { self.feed_frames(input, receive) } else { self.feed_packets(input, receive) }
    }

    fn heed(&mut self, flow: Flow) -> Flow {
        if flow == Flow::Admit {
            self.widen();
            return Flow::Continue;
        }
        flow
    }

    /// Goes on with what came while paused.
    pub(super) fn resume(&mut self, receive: &mut impl FnMut(&mut Speech, Incoming<'_>) -> Flow) -> Flow {
        match self.feed_packets(&[], receive) {
            Flow::Continue => {
                let mut held = std::mem::take(&mut self.held);
                if held.is_empty() { Flow::Continue } else { self.feed(&mut held, receive) }
            }
            flow => flow,
        }
    }

    fn feed_frames(
        &mut self,
        mut input: &mut [u8],
        receive: &mut impl FnMut(&mut Speech, Incoming<'_>) -> Flow,
    ) -> Flow {
        loop {
            let Some(frames) = &mut self.frames else { return Flow::Stop };
            let (used, event) = match frames.decode(input) {
                Ok(decoded) => decoded,
                Err(error) => return receive(&mut self.speech, Incoming::FrameFault(error)),
            };
            let flow = match event {
                Event::NeedMore => return Flow::Continue,
                Event::Binary { bytes, .. } => self.feed_packets(bytes, receive),
                Event::Text(text) => self.feed_text(&text, receive),
                Event::Ping(payload) => receive(&mut self.speech, Incoming::Ping(&payload)),
                Event::Pong => receive(&mut self.speech, Incoming::Pong),
                Event::Close { code } => receive(&mut self.speech, Incoming::Close(code)),
            };
            input = &mut input[used..];
            match flow {
                Flow::Continue | Flow::Admit => {}
                Flow::Pause => {
                    self.held.extend_from_slice(input);
                    return flow;
                }
                Flow::Stop => return flow,
            }
        }
    }

    fn feed_text(&mut self, text: &str, receive: &mut impl FnMut(&mut Speech, Incoming<'_>) -> Flow) -> Flow {
        let Speech::Json(dialect) = &mut self.speech else { return Flow::Stop };
        let incoming = dialect.decode(text).map_or_else(Incoming::Mistake, Incoming::Packet);
        let flow = receive(&mut self.speech, incoming);
        self.heed(flow)
    }

    fn feed_packets(&mut self, bytes: &[u8], receive: &mut impl FnMut(&mut Speech, Incoming<'_>) -> Flow) -> Flow {
        // Nearly always nothing is left over, and packets are decoded from where they were read to.
        let mut joined = std::mem::take(&mut self.partial);
        let is_joined = !joined.is_empty();
        if is_joined {
            joined.extend_from_slice(bytes);
        }
        let stream = if is_joined { joined.as_slice() } else { bytes };
        let (used, flow) = self.decode_packets(stream, receive);
        if flow != Flow::Stop && used < stream.len() {
            self.partial = match is_joined {
                true => {
                    joined.drain(..used);
                    joined
                }
                false => bytes[used..].to_vec(),
            };
        }
        flow
    }

    fn decode_packets(
        &mut self,
        stream: &[u8],
        receive: &mut impl FnMut(&mut Speech, Incoming<'_>) -> Flow,
    ) -> (usize, Flow) {
        let mut used = 0;
        while used < stream.len() {
            let Speech::Mqtt(decoder) = &mut self.speech else { return (used, Flow::Stop) };
            let flow = match decoder.decode(&stream[used..]) {
                Ok(None) => return (used, Flow::Continue),
                Ok(Some((packet, count))) => {
                    used += count;
                    let flow = receive(&mut self.speech, Incoming::Packet(packet));
                    self.heed(flow)
                }
                Err(error) => {
                    receive(&mut self.speech, Incoming::Fault(error));
                    Flow::Stop
                }
            };
            if flow != Flow::Continue {
                return (used, flow);
            }
        }
        (used, Flow::Continue)
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.shared.environment.engine.memory().rebook(self.booked, 0);
    }
}

fn message_bytes_max(config: &ConnectionConfig) -> u32 {
    u32::try_from(config.message_bytes_max).unwrap_or(u32::MAX)
}

fn limits(config: &ConnectionConfig, packet_bytes_max: u32) -> Limits {
    Limits { packet_bytes_max, user_properties_max: config.user_properties_max, filters_max: config.filters_max }
}
