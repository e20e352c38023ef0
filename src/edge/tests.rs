//! The edge from outside: real sockets, real TLS, ports chosen by the system.

mod addresses;
mod client_certificates;
mod compression;
mod http;
mod listener;
mod proxied;
mod proxy;
mod proxy_http2;
mod shedding;
mod smuggling;
mod tls;
mod websocket;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::connection::Stream;

/// Longer than anything here takes; what does not come in this time does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than any test connects.
const ACCEPTED_MAX: usize = 1024;

/// A running edge, and what it handed over.
struct Running {
    addresses: Vec<(Scheme, SocketAddr)>,
    accepted: mpsc::Receiver<Accepted>,
    counters: Arc<EdgeCounters>,
    config: EdgeConfig,
    certificates: ListenerCertificates,
    load: Arc<Load>,
    ca: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Running {
    /// An edge with one listener for each scheme of `schemes` and the routes of the built-in default, changed by `change`.
    fn start(schemes: &[Scheme], change: impl FnOnce(&mut EdgeConfig)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = |&scheme: &Scheme| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            ListenerConfig::new(format!("{}://127.0.0.1:0", scheme.as_str()), scheme, address)
        };
        let mut config = EdgeConfig {
            listeners: schemes.iter().map(listener).collect(),
            tls: TlsConfig::new(CertificateSource::Development { directory: folder.path().join("dev") }),
            routes: vec![
                route("/mqtt", RouteAction::ServeMqtt),
                route("/ws/", RouteAction::ServeJson),
                route("/", RouteAction::Demo),
            ],
            ..EdgeConfig::default()
        };
        change(&mut config);
        let (sender, accepted) = mpsc::channel(ACCEPTED_MAX);
        let handoff: Handoff = Arc::new(move |accepted| drop(sender.try_send(accepted)));
        let counters = Arc::new(EdgeCounters::default());
        let edge = Edge::bind(config.clone(), &Inherited::default(), handoff, Arc::clone(&counters))
            .expect("the configuration is sound");
        let load = Arc::new(Load::default());
        let edge = edge.under(Arc::clone(&load));
        let addresses = edge.local_addresses().into_iter().map(|(listener, at)| (listener.scheme, at)).collect();
        let ca = edge.development_ca().map(Path::to_path_buf).unwrap_or_default();
        let certificates = edge.certificates();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(edge.run(async move {
            drop(stopped.await);
            Drain::Stopping
        }));
        Self { addresses, accepted, counters, config, certificates, load, ca, stop: Some(stop), task, _folder: folder }
    }

    fn address(&self, scheme: Scheme) -> SocketAddr {
        self.addresses.iter().find(|(listener, _)| *listener == scheme).expect("there is such a listener").1
    }

    /// Reads the certificates again, as the configuration that `change` makes names them.
    fn reload(&self, change: impl FnOnce(&mut EdgeConfig)) -> Result<usize, Vec<crate::fault::Fault>> {
        let mut config = self.config.clone();
        change(&mut config);
        self.certificates.read_again(&config).map(Renewal::show)
    }

    async fn connect(&self, scheme: Scheme) -> TcpStream {
        TcpStream::connect(self.address(scheme)).await.expect("the listener accepts")
    }

    async fn next_accepted(&mut self) -> Accepted {
        in_time(self.accepted.recv()).await.expect("the edge runs")
    }

    /// Sends `request` on a connection of its own and reads all that comes, to the end.
    async fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect(Scheme::Http).await;
        ask(&mut stream, request).await
    }
}

fn route(path: &str, action: RouteAction) -> RouteConfig {
    RouteConfig::new(PathMatch::Prefix(path.into()), action)
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

async fn ask(stream: &mut TcpStream, request: impl AsRef<[u8]>) -> String {
    // A refused peer may find the connection reset under its writing; what was answered can be read nevertheless.
    let _ = in_time(stream.write_all(request.as_ref())).await;
    read_to_end(stream).await
}

/// All that comes until the peer closes or resets the connection.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = in_time(stream.read(&mut buffer)).await {
        bytes.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads as far as the end of a head.
async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(in_time(stream.read_u8()).await.expect("the head is whole"));
    }
    String::from_utf8(bytes).expect("the head is text")
}

/// How many answers are in what was read.
fn answers(read: &str) -> usize {
    read.lines().filter(|line| line.starts_with("HTTP/1.")).count()
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Waits until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    in_time(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
