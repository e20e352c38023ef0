//! One connection of the bare server.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use rustls::ServerConnection;
use tungstenite::handshake::derive_accept_key;

use crate::wire;

/// The most that an empty buffer keeps.
const SPARE_BYTES_MAX: usize = 4096;

pub(super) struct Client {
    /// Topics under which the house knows it.
    pub(super) topics: Vec<Vec<u8>>,
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
    phase: Phase,
    /// The part of a request, frame or packet that has come.
    carry: Vec<u8>,
    /// Bytes for the socket (or for TLS), framed.
    out: Vec<u8>,
    /// How much of `out` the socket or TLS has taken.
    written: usize,
    packet_id: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Upgrading,
    Frames,
    Packets,
}

impl Client {
    pub(super) fn new(stream: TcpStream, tls: Option<Box<ServerConnection>>, is_websocket: bool) -> Self {
        let phase = if is_websocket { Phase::Upgrading } else { Phase::Packets };
        let (carry, out) = (Vec::new(), Vec::new());
        Self { topics: Vec::new(), stream, tls, phase, carry, out, written: 0, packet_id: 0 }
    }

    pub(super) fn next_packet_id(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }

    /// Appends one packet, in a frame of its own over WebSocket.
    pub(super) fn append(&mut self, head: &[u8], payload: &[u8]) {
        if self.phase == Phase::Frames {
            wire::server_frame_header(wire::BINARY, head.len() + payload.len(), &mut self.out);
        }
        self.out.extend_from_slice(head);
        self.out.extend_from_slice(payload);
    }

    /// Reads what the socket has; `UnexpectedEof` when the peer closed.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        mut on: impl FnMut(&mut Self, &wire::Packet<'_>),
    ) -> io::Result<()> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            match &mut self.tls {
                None => self.receive(&scratch[..count], &mut on),
                Some(tls) => {
                    let mut records = &scratch[..count];
                    let mut plain = Vec::new();
                    while !records.is_empty() {
                        tls.read_tls(&mut records)?;
                        let state = tls.process_new_packets().map_err(io::Error::other)?;
                        let start = plain.len();
                        plain.resize(start + state.plaintext_bytes_to_read(), 0);
                        tls.reader().read_exact(&mut plain[start..])?;
                    }
                    self.receive(&plain, &mut on);
                }
            }
            // Events are edge-triggered, but what comes after a short read raises a new edge.
            if count < scratch.len() {
                return Ok(());
            }
        }
    }

    fn receive(&mut self, bytes: &[u8], on: &mut impl FnMut(&mut Self, &wire::Packet<'_>)) {
        if self.carry.is_empty() {
            let used = self.take_apart(bytes, on);
            self.carry.extend_from_slice(&bytes[used..]);
            return;
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(bytes);
        let used = self.take_apart(&carry, on);
        carry.drain(..used);
        if carry.is_empty() && carry.capacity() > SPARE_BYTES_MAX {
            carry = Vec::new();
        }
        self.carry = carry;
    }

    fn take_apart(&mut self, bytes: &[u8], on: &mut impl FnMut(&mut Self, &wire::Packet<'_>)) -> usize {
        let mut used = 0;
        let mut plain = Vec::new();
        loop {
            let rest = &bytes[used..];
            match self.phase {
                Phase::Upgrading => {
                    let Some(len) = self.upgrade(rest) else { return used };
                    used += len;
                }
                Phase::Packets => {
                    let Some((packet, len)) = wire::packet(rest) else { return used };
                    on(self, &packet);
                    used += len;
                }
                Phase::Frames => {
                    let Some((opcode, mask, payload, len)) = wire::client_frame(rest) else { return used };
                    used += len;
                    if opcode == wire::BINARY {
                        plain.clear();
                        plain.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
                        if let Some((packet, _)) = wire::packet(&plain) {
                            on(self, &packet);
                        }
                    }
                }
            }
        }
    }

    /// Answers the opening handshake at the front of `bytes`; its length, if it is whole.
    fn upgrade(&mut self, bytes: &[u8]) -> Option<usize> {
        let len = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..len]);
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        self.out.extend_from_slice(answer.as_bytes());
        self.phase = Phase::Frames;
        Some(len)
    }

    /// Writes what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self.write_pending() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    fn write_pending(&mut self) -> io::Result<()> {
        loop {
            let rest = &self.out[self.written..];
            match &mut self.tls {
                _ if rest.is_empty() => {}
                None => self.written += self.stream.write(rest)?,
                // As much as a session keeps.
                Some(tls) => self.written += tls.writer().write(rest)?,
            }
            while let Some(tls) = &mut self.tls
                && tls.wants_write()
            {
                tls.write_tls(&mut self.stream)?;
            }
            if self.written == self.out.len() {
                break;
            }
        }
        self.written = 0;
        self.out.clear();
        self.out.shrink_to(SPARE_BYTES_MAX);
        Ok(())
    }
}
