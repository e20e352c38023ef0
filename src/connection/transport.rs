//! Reading and writing one socket without waiting, with or without TLS; or a stream that shares one with others.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, AsyncWrite as _, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::accepted::Multiplexed;
use super::outbox::Outbox;

/// Where the bytes of a connection go.
#[derive(Debug)]
pub(super) enum Socket {
    Own(TcpStream),
    Shared(Box<Mutex<SharedSocket>>),
}

/// A stream without a socket of its own. It knows of no readiness: whoever reads or writes in vain is told when it is worth another try.
#[derive(Debug)]
pub(super) struct SharedSocket(Box<dyn Multiplexed>);

/// Copied at a time: the stream's owner takes one such piece after the other.
const PIECE_BYTES: usize = 16 * 1024;

impl Socket {
    pub(super) fn shared(stream: Box<dyn Multiplexed>) -> Self {
        Self::Shared(Box::new(Mutex::new(SharedSocket(stream))))
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Own(socket) => socket.poll_read_ready(cx),
            Self::Shared(_) => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Own(socket) => socket.poll_write_ready(cx),
            Self::Shared(_) => Poll::Ready(Ok(())),
        }
    }
}

impl SharedSocket {
    fn send(&mut self, waker: Option<&Waker>, outbox: &mut Outbox) -> io::Result<Sent> {
        let mut cx = Context::from_waker(waker.unwrap_or(Waker::noop()));
        while !outbox.is_empty() {
            let front = outbox.front();
            let piece = front.get(..PIECE_BYTES).unwrap_or(front);
            match Pin::new(&mut self.0).poll_write(&mut cx, piece) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => outbox.consume(count),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Sent::Blocked),
            }
        }
        Ok(Sent::All)
    }

    fn receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> io::Result<Received> {
        let mut read = ReadBuf::new(buffer);
        match Pin::new(&mut self.0).poll_read(cx, &mut read) {
            Poll::Pending => Ok(Received::Waiting),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) if read.filled().is_empty() => Ok(Received::End),
            Poll::Ready(Ok(())) => Ok(Received::Bytes(read.filled().len())),
        }
    }
}

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
    /// The same, and the task is told when there is something.
    Waiting,
    /// The peer has closed its half.
    End,
}

/// Writes as much of `outbox` as the socket takes, through TLS if there is any. A stream that shares its socket tells `waker` when it takes
/// more.
pub(super) fn send(
    socket: &Socket,
    tls: Option<&mut ServerConnection>,
    waker: Option<&Waker>,
    outbox: &mut Outbox,
) -> io::Result<Sent> {
    match (socket, tls) {
        (Socket::Own(socket), Some(tls)) => send_tls(socket, tls, outbox),
        (Socket::Own(socket), None) => send_plain(socket, outbox),
        (Socket::Shared(shared), _) => shared.lock().send(waker, outbox),
    }
}

fn send_plain(socket: &TcpStream, outbox: &mut Outbox) -> io::Result<Sent> {
    while !outbox.is_empty() {
        match write(socket, outbox.front()) {
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
        match tls.write_tls(&mut Wire(socket)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Blocked),
            Err(error) => return Err(error),
        }
    }
}

/// Writes without asking the runtime first: nearly always the socket takes it, and what the runtime knows of a receiver's socket lies in
/// no cache. Only a socket that takes nothing is asked for once more in the runtime's way, which then tells when it does.
fn write(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match SockRef::from(socket).send(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.try_write(bytes),
        written => written,
    }
}

/// Reads what the socket has, as it is on the wire. A stream that shares its socket tells `cx` when there is more.
pub(super) fn receive(socket: &Socket, cx: &mut Context<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    match socket {
        Socket::Own(socket) => receive_own(socket, buffer),
        Socket::Shared(shared) => shared.lock().receive(cx, buffer),
    }
}

/// A read that does not fill `buffer` has emptied the socket: its readiness is cleared along with it, which saves the read that
/// would find nothing. The next bytes raise it again, as the registration is edge-triggered.
fn receive_own(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<Received> {
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

/// What a TLS state may go on holding after a large record: as long as records say no more than this, its buffer is at most twice as
/// long, and to make it small after each would cost more than it gives.
const KEPT_RECORD_BYTES_MAX: usize = 4096;

/// Decrypts `ciphertext` and appends what it says to `plaintext`. Tells whether the peer has closed its half.
///
/// # Errors
/// What the peer did wrong, or an alert from it; an alert of ours waits to be sent.
pub(super) fn decrypt(tls: &mut ServerConnection, mut ciphertext: &[u8], plaintext: &mut Vec<u8>) -> io::Result<bool> {
    let mut is_closed = false;
    let mut largest = 0;
    while !ciphertext.is_empty() && !is_closed {
        tls.read_tls(&mut ciphertext)?;
        let state = tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        is_closed = state.peer_has_closed();
        if state.plaintext_bytes_to_read() > 0 {
            largest = largest.max(state.plaintext_bytes_to_read());
            let start = plaintext.len();
            plaintext.resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut plaintext[start..])?;
        }
    }
    if largest > KEPT_RECORD_BYTES_MAX {
        give_back(tls);
    }
    Ok(is_closed)
}

/// Has `tls` give back what its buffer has grown by, unless it holds the beginning of a record.
///
/// It does so before a read when nothing is left from the one before. Ours end with what the socket had, so that the next may be hours
/// away; a read that finds nothing is all it takes.
fn give_back(tls: &mut ServerConnection) {
    let _ = tls.read_tls(&mut Nothing);
}

/// What has nothing to read at the moment.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Closes the sending half, once everything is sent.
pub(super) fn shut_down(socket: &Socket) {
    // The peer may be gone already; then there is nobody to tell.
    match socket {
        Socket::Own(socket) => _ = SockRef::from(socket).shutdown(std::net::Shutdown::Write),
        Socket::Shared(shared) => {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut shared.lock().0).poll_shutdown(&mut cx);
        }
    }
}

/// A socket as rustls wants it.
struct Wire<'a>(&'a TcpStream);

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(self.0, bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // A lone record is cheaper to send than a list of one.
            [slice] => write(self.0, slice),
            slices => self.0.try_write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
