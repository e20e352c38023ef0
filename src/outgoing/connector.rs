//! From an [`Upstream`] to an open [`Stream`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::{OutgoingError, Stream, Trust, Upstream};

/// Opens connections to one upstream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upstream: Upstream,
    /// There is one if the upstream speaks TLS.
    trust: Option<Trust>,
    timeout: Duration,
}

impl Connector {
    /// A connector to `upstream`. `timeout` is for all of it: name, connection, TLS.
    ///
    /// Without `trust`, an `https` upstream cannot be connected to; it is never spoken to in the clear instead.
    #[must_use]
    pub fn new(upstream: Upstream, trust: Option<Trust>, timeout: Duration) -> Self {
        Self(Arc::new(Inner { upstream, trust, timeout }))
    }

    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    /// Opens a connection. If the future is dropped, so is what was opened; a look-up that was begun ends by itself.
    ///
    /// # Errors
    /// What failed, or that it took too long.
    pub async fn connect(&self) -> Result<Stream, OutgoingError> {
        let Inner { upstream, trust, timeout: patience } = &*self.0;
        let deadline = Instant::now() + *patience;
        let opened = async {
            match upstream {
                Upstream::Unix(path) => {
                    UnixStream::connect(path).await.map(Stream::Unix).map_err(OutgoingError::Connect)
                }
                Upstream::Http { host, port } => Ok(Stream::Tcp(open(host, *port, deadline).await?)),
                Upstream::Https { host, port } => {
                    let trust = trust.as_ref().ok_or_else(|| no_tls("no authority is configured"))?;
                    let name = ServerName::try_from(host.to_string())
                        .map_err(|_| no_tls("no certificate can be for this host"))?;
                    let stream = open(host, *port, deadline).await?;
                    let secured = TlsConnector::from(trust.config()).connect(name, stream).await;
                    secured.map(|stream| Stream::Tls(Box::new(stream))).map_err(OutgoingError::Tls)
                }
            }
        };
        timeout_at(deadline, opened).await.unwrap_or(Err(OutgoingError::Timeout(*patience)))
    }
}

/// Resolves `host` and tries one address after the other.
async fn open(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, OutgoingError> {
    let resolve = |source| OutgoingError::Resolve { host: host.into(), source };
    // On a thread for blocking work, unless the host is an address.
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(resolve)?.collect();
    let mut failure = resolve(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    for (index, address) in addresses.iter().enumerate() {
        // One that does not answer leaves the others their share of the time.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are written whole; nothing is gained by waiting for more. Without it they only come later.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => failure = OutgoingError::Connect(error),
            Err(_) => failure = OutgoingError::Connect(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(failure)
}

fn no_tls(reason: &'static str) -> OutgoingError {
    OutgoingError::Tls(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// For hyper-util's client: the URI of a request does not decide where it goes.
impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = OutgoingError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn failure(upstream: Upstream, trust: Option<Trust>) -> String {
        let timeout = Duration::from_millis(200);
        Connector::new(upstream, trust, timeout).connect().await.unwrap_err().to_string()
    }

    fn http(port: u16) -> Upstream {
        Upstream::Http { host: "127.0.0.1".into(), port }
    }

    #[tokio::test]
    async fn a_socket_in_the_file_system_is_as_good_as_a_port() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let unix = tokio::net::UnixListener::bind(&path).unwrap();
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tcp.local_addr().unwrap().port();
        for upstream in [Upstream::Unix(path), http(port), Upstream::Http { host: "localhost".into(), port }] {
            let mut stream = Connector::new(upstream, None, PATIENCE).connect().await.unwrap();
            stream.write_all(b"x").await.unwrap();
            let mut byte = [0];
            match stream {
                Stream::Unix(_) => unix.accept().await.unwrap().0.read_exact(&mut byte).await.unwrap(),
                _ => tcp.accept().await.unwrap().0.read_exact(&mut byte).await.unwrap(),
            };
            assert_eq!(byte, *b"x");
        }
    }

    #[tokio::test]
    async fn each_failure_has_its_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let silent = Upstream::Https { host: "127.0.0.1".into(), port };
        assert!(failure(silent.clone(), None).await.starts_with("TLS: no authority"));
        let ca = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), ca).unwrap();
        let trust = Trust::load(Some(file.path()), &[], "ca").unwrap();
        // It accepts, and says nothing in the handshake.
        assert_eq!(failure(silent, Some(trust)).await, "no answer within 200ms");
        drop(listener);
        assert!(failure(http(port), None).await.starts_with("cannot connect: "));
        assert!(failure(Upstream::Unix("/nonexistent/s".into()), None).await.starts_with("cannot connect: "));
        let nowhere = Upstream::Http { host: "nowhere.invalid".into(), port };
        let slow_or_unknown = failure(nowhere, None).await;
        assert!(
            slow_or_unknown.contains("cannot be resolved") || slow_or_unknown.starts_with("no answer"),
            "{slow_or_unknown}"
        );
    }
}
