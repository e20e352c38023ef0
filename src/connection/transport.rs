//! Reading and writing one socket without waiting, with or without TLS.

use std::io::{self, IoSlice, Read, Write};

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::outbox::Outbox;

/// How far a write got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing waits any more.
    All,
    /// The socket takes nothing at the moment; go on when it is writable.
    Blocked,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// This many bytes.
    Bytes(usize),
    /// Nothing at the moment.
    Nothing,
    /// The peer has closed its half.
    End,
}

/// Writes as much of `outbox` as the socket takes, through TLS if there is any.
pub(super) fn send(socket: &TcpStream, tls: Option<&mut ServerConnection>, outbox: &mut Outbox) -> io::Result<Sent> {
    match tls {
        Some(tls) => send_tls(socket, tls, outbox),
        None => send_plain(socket, outbox),
    }
}

fn send_plain(socket: &TcpStream, outbox: &mut Outbox) -> io::Result<Sent> {
    while !outbox.is_empty() {
        match socket.try_write(outbox.front()) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => outbox.consume(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Blocked),
            Err(error) => return Err(error),
        }
    }
    Ok(Sent::All)
}

fn send_tls(socket: &TcpStream, tls: &mut ServerConnection, outbox: &mut Outbox) -> io::Result<Sent> {
    loop {
        // Encrypt as much as the TLS state is willing to hold, so that it leaves as one run of records in one write.
        while !outbox.is_empty() {
            match tls.writer().write(outbox.front())? {
                0 => break,
                count => outbox.consume(count),
            }
        }
        if !tls.wants_write() {
            return Ok(Sent::All);
        }
        match tls.write_tls(&mut Socket(socket)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Blocked),
            Err(error) => return Err(error),
        }
    }
}

/// Reads what the socket has, as it is on the wire.
///
/// A read that does not fill `buffer` has emptied the socket: its readiness is cleared along with it, which saves the read that
/// would find nothing. The next bytes raise it again, as the registration is edge-triggered.
pub(super) fn receive(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<Received> {
    let mut received = Received::Nothing;
    let result = socket.try_io(Interest::READABLE, || {
        let count = (&*SockRef::from(socket)).read(buffer)?;
        received = match count {
            0 => Received::End,
            count => Received::Bytes(count),
        };
        match count < buffer.len() && count > 0 {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    });
    match result {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(received),
    }
}

/// Decrypts `ciphertext` and appends what it says to `plaintext`. Tells whether the peer has closed its half.
///
/// # Errors
/// What the peer did wrong, or an alert from it; an alert of ours waits to be sent.
pub(super) fn decrypt(tls: &mut ServerConnection, mut ciphertext: &[u8], plaintext: &mut Vec<u8>) -> io::Result<bool> {
    let mut is_closed = false;
    while !ciphertext.is_empty() && !is_closed {
        tls.read_tls(&mut ciphertext)?;
        let state = tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        is_closed = state.peer_has_closed();
        if state.plaintext_bytes_to_read() > 0 {
            let start = plaintext.len();
            plaintext.resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut plaintext[start..])?;
        }
    }
    Ok(is_closed)
}

/// Closes the sending half, once everything is sent.
pub(super) fn shut_down(socket: &TcpStream) {
    // The peer may be gone already; then there is nobody to tell.
    let _ = SockRef::from(socket).shutdown(std::net::Shutdown::Write);
}

/// A socket as rustls wants it.
struct Socket<'a>(&'a TcpStream);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
