//! A network that fails: passes bytes between clients and the server, and cuts each connection after some arbitrary byte.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use socket2::SockRef;

use super::PATIENCE;
use super::random::Random;

/// A listener on a port of its own. Dropping it ends what it passes on.
pub struct Cutter {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    bytes: Range<u64>,
    is_over: AtomicBool,
    cut_count: AtomicUsize,
}

impl Cutter {
    /// Passes connections on to `target`. Each is cut after so many `bytes` of either direction, as `seed` has it.
    pub fn start(target: SocketAddr, seed: u64, bytes: Range<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared =
            Arc::new(Shared { target, bytes, is_over: AtomicBool::new(false), cut_count: AtomicUsize::new(0) });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut random = Random::new(seed);
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.is_over.load(Ordering::Relaxed) {
                    break;
                }
                accepting.pass(client, &mut random);
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were cut so far.
    pub fn cut_count(&self) -> usize {
        self.shared.cut_count.load(Ordering::Relaxed)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn pass(self: &Arc<Self>, client: TcpStream, random: &mut Random) {
        let Ok(server) = TcpStream::connect_timeout(&self.target, PATIENCE) else { return };
        for socket in [&client, &server] {
            socket.set_nodelay(true).expect("a TCP socket");
        }
        let limits = [0; 2].map(|_| self.bytes.start + random.below(self.bytes.end - self.bytes.start));
        let is_reset = random.below(2) == 0;
        let clone = |socket: &TcpStream| socket.try_clone().expect("a file descriptor");
        let ways = [(clone(&client), clone(&server)), (server, client)];
        for ((from, to), limit) in ways.into_iter().zip(limits) {
            let shared = Arc::clone(self);
            std::thread::spawn(move || {
                if Self::copy(&from, &to, limit) {
                    shared.cut_count.fetch_add(1, Ordering::Relaxed);
                    if is_reset {
                        for socket in [&from, &to] {
                            let _ = SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
                        }
                    }
                }
                for socket in [&from, &to] {
                    let _ = socket.shutdown(Shutdown::Both);
                }
            });
        }
    }

    /// Copies up to `limit` bytes; says whether it came to that.
    fn copy(mut from: &TcpStream, mut to: &TcpStream, limit: u64) -> bool {
        let mut chunk = [0; 4096];
        let mut left = limit;
        while left > 0 {
            let count = match from.read(&mut chunk) {
                Ok(count @ 1..) => count.min(usize::try_from(left).unwrap_or(usize::MAX)),
                _ => return false,
            };
            if to.write_all(&chunk[..count]).is_err() {
                return false;
            }
            left -= count as u64;
        }
        true
    }
}
