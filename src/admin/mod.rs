//! The operator's own HTTP listener: liveness, readiness, metrics, and the API ([`api`]).
//!
//! Not here: anything a client of the broker may reach; how a reload is done (`app`). Invariants: nothing here waits on the engine or
//! holds up a connection; a web page cannot read a loopback listener by a name of its own choosing, nor have the API do anything.

mod answer;
mod api;
mod drain;
mod query;
mod question;
mod readiness;
mod reload;
mod token;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tracing::warn;

pub use api::Api;
pub use drain::DrainRequest;
pub use readiness::{Phase, Readiness};
pub use reload::{Outcome, ReloadRequest, Reloaded};
pub use token::{AdminToken, Secret};

use self::answer::Answers;
use crate::edge::Inherited;
use crate::fault::Fault;
use crate::telemetry::metrics::Exposition;

/// Where operators and their probes look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Default `127.0.0.1:9090`; `None` switches it off. Port 0 lets the system choose.
    pub listen: Option<SocketAddr>,
    /// What holds the token that the API asks for. `None` (the default): none is asked for, which is granted to loopback addresses only.
    pub token_file: Option<PathBuf>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))), token_file: None }
    }
}

/// The admin listener, bound.
#[derive(Debug)]
pub struct Admin {
    socket: TcpListener,
    local_address: SocketAddr,
    answers: Arc<Answers>,
}

impl Admin {
    /// Binds the listener unless it is among the `inherited`; `None` if the configuration has none.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(
        config: &AdminConfig,
        inherited: &Inherited,
        metrics: Exposition,
        readiness: Readiness,
        api: Api,
    ) -> Result<Option<Self>, Fault> {
        let Some(address) = config.listen else { return Ok(None) };
        let bind = || {
            let socket = inherited.take(address).map_or_else(|| TcpListener::bind(address), Ok)?;
            socket.set_nonblocking(true)?;
            let local_address = socket.local_addr()?;
            Ok((socket, local_address))
        };
        let (socket, local_address) = bind().map_err(|error: std::io::Error| {
            let found = format!("http://{address} cannot be listened on: {error}");
            Fault::new("", "admin.listen", found, "an address of this machine that is free and allowed, or none")
        })?;
        let answers = Arc::new(Answers::new(metrics, readiness, local_address.ip().is_loopback(), api));
        Ok(Some(Self { socket, local_address, answers }))
    }

    /// The address it has really got.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Its socket once more, for the process that takes over.
    ///
    /// # Errors
    /// There are no file descriptors left.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone().map(Into::into)
    }

    /// Answers until `shutdown` completes. It is the last listener to close, so that probes can follow a drain to its end.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let listener = match tokio::net::TcpListener::from_std(self.socket) {
            Ok(listener) => listener,
            Err(error) => return warn!(%error, "Admin listener lost"),
        };
        let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let accept = async {
            loop {
                // Probes wait in the backlog while all seats are taken; each is free again within the timeout below.
                let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let answers = Arc::clone(&self.answers);
                        tokio::spawn(async move {
                            serve(stream, answers).await;
                            drop(seat);
                        });
                    }
                    Err(error) => {
                        warn!(%error, "Cannot accept on the admin listener");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = shutdown => {}
            () = accept => {}
        }
        // Answers under way come to their end, each within the timeout below.
        let _ = seats.acquire_many(CONNECTIONS_MAX as u32).await;
    }
}

/// Probes and scrapers are few; what goes beyond waits.
const CONNECTIONS_MAX: usize = 64;

/// For a whole connection. Whoever asks again connects again.
const TIMEOUT: Duration = Duration::from_secs(10);

/// For the rest of a connection on which the API was asked by somebody who may: a reload judges every session anew.
const PATIENCE: Duration = Duration::from_secs(50);

async fn serve(stream: TcpStream, answers: Arc<Answers>) {
    let is_patient = AtomicBool::new(false);
    let handler = service_fn(|request| async { Ok::<_, Infallible>(answers.answer(request, &is_patient).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .half_close(false)
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), handler);
    let mut connection = std::pin::pin!(connection);
    // Whatever becomes of it concerns the peer only.
    if tokio::time::timeout(TIMEOUT, &mut connection).await.is_err() && is_patient.load(Ordering::Relaxed) {
        let _ = tokio::time::timeout(PATIENCE, connection).await;
    }
}

#[cfg(test)]
mod tests;
