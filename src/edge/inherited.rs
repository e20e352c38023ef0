//! Listening sockets that were there before this process: those of systemd's socket activation, or of the process that it takes over from.
//!
//! Whoever connects to such a socket waits in its backlog until somebody accepts; nobody is refused while one process gives way to
//! the next.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use parking_lot::Mutex;
use rustix::io::{FdFlags, fcntl_setfd};

/// The sockets nobody has taken yet.
#[derive(Debug, Default)]
pub struct Inherited(Mutex<Vec<(SocketAddr, TcpListener)>>);

impl Inherited {
    /// What `LISTEN_FDS` announces (sd_listen_fds(3)). To be called once, before there are threads.
    ///
    /// What is no listening TCP socket is left alone, and said to be.
    #[must_use]
    pub fn from_environment() -> Self {
        let mut announced = ListenFd::from_env();
        let sockets = (0..announced.len()).filter_map(|index| match announced.take_tcp_listener(index) {
            Ok(socket) => socket.and_then(usable),
            Err(error) => {
                tracing::warn!(index, %error, "A file descriptor of LISTEN_FDS is no TCP listener, and not used");
                None
            }
        });
        Self(Mutex::new(sockets.collect()))
    }

    /// The socket that listens on `address`; with port 0, one of any port.
    #[must_use]
    pub fn take(&self, address: SocketAddr) -> Option<TcpListener> {
        let mut sockets = self.0.lock();
        let is_meant = |found: &SocketAddr| *found == address || (address.port() == 0 && found.ip() == address.ip());
        let index = sockets.iter().position(|(found, _)| is_meant(found))?;
        Some(sockets.remove(index).1)
    }

    /// Closes what nobody took. Returns the addresses.
    pub fn close_rest(&self) -> Vec<SocketAddr> {
        self.0.lock().drain(..).map(|(address, _)| address).collect()
    }
}

fn usable(socket: TcpListener) -> Option<(SocketAddr, TcpListener)> {
    let address = socket.local_addr().ok()?;
    // Whoever gave it may have cleared the flag; our own children are given what they need by name.
    fcntl_setfd(&socket, FdFlags::CLOEXEC).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some((address, socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_its_address_and_taken_once() {
        let bound = || {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            (socket.local_addr().unwrap(), socket)
        };
        let (first, second) = (bound(), bound());
        let (of_first, of_second) = (first.0, second.0);
        let inherited = Inherited(Mutex::new(vec![first, second]));
        assert!(inherited.take("127.0.0.2:0".parse().unwrap()).is_none(), "another address");
        let taken = inherited.take(of_second).map(|socket| socket.local_addr().unwrap());
        assert_eq!(taken, Some(of_second));
        assert!(inherited.take(of_second).is_none());
        let any = inherited.take("127.0.0.1:0".parse().unwrap()).map(|socket| socket.local_addr().unwrap());
        assert_eq!(any, Some(of_first));
        assert!(inherited.close_rest().is_empty());
    }
}
