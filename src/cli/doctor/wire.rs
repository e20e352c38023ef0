//! Connections on which nothing waits without an end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

/// TCP, of which each read and write ends at the deadline, however little at a time the peer sends.
#[derive(Debug)]
pub struct Bounded {
    stream: TcpStream,
    deadline: Instant,
}

/// TCP or TLS.
#[derive(Debug)]
pub enum Wire {
    Tcp(Bounded),
    Tls(Box<StreamOwned<ClientConnection, Bounded>>),
}

/// The addresses of `host`, or why there are none. A look-up that takes too long is left to end by itself.
///
/// # Errors
/// The name is not known, or the time is over.
pub fn resolve(host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    let (sender, receiver) = mpsc::channel();
    let asked = (host.to_owned(), port);
    std::thread::spawn(move || {
        let found = asked.to_socket_addrs().map(Iterator::collect);
        // Nobody listens once the time is over.
        let _ = sender.send(found);
    });
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {timeout:?}"));
    receiver.recv_timeout(timeout).map_err(late)?
}

impl Bounded {
    /// Connects; `timeout` is for this and for all that follows until another deadline is set.
    ///
    /// # Errors
    /// Nobody is there, or nobody answers.
    pub fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline })
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(late()) } else { Ok(left) }
    }
}

impl Wire {
    pub fn set_deadline(&mut self, deadline: Instant) {
        match self {
            Self::Tcp(bounded) => bounded.deadline = deadline,
            Self::Tls(stream) => stream.sock.deadline = deadline,
        }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// The system calls a timeout of a socket "would block".
fn as_late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { late() } else { error }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer).map_err(as_late)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes).map_err(as_late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_peer_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bounded = Bounded::connect(listener.local_addr().unwrap(), Duration::from_millis(50)).unwrap();
        let mut wire = Wire::Tcp(bounded);
        assert_eq!(wire.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(wire.write(b"x").unwrap_err().kind(), io::ErrorKind::TimedOut, "for all of it");
        wire.set_deadline(Instant::now() + Duration::from_secs(10));
        wire.write_all(b"x").unwrap();
    }
}
