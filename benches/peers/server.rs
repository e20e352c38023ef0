//! The servers under test: found, configured, started, measured, and ended without fail.

mod mosquitto;
mod nginx;
mod tidegate;

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::{certificate::Certificate, connection::Transport, process, swarm::Target};

/// A server, or a chain of servers, that the same load is driven through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Peer {
    Tidegate,
    /// nginx ends TLS and WebSocket routing, mosquitto's websockets listener is behind it.
    NginxMosquitto,
    Mosquitto,
}

/// What every peer gets: a folder of its own and the certificate.
pub(crate) struct Surroundings<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) certificate: &'a Certificate,
    pub(crate) descriptors_max: u64,
    pub(crate) tidegate: &'a Path,
    /// A web server that those which can pass `/api/` on to.
    pub(crate) upstream: SocketAddr,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "Tidegate",
            Self::NginxMosquitto => "nginx + mosquitto",
            Self::Mosquitto => "mosquitto",
        }
    }

    /// The version that would be started, or `None` if the peer is not installed.
    pub(crate) fn version(self, tidegate: &Path) -> Option<String> {
        match self {
            Self::Tidegate => first_line(tidegate, "--version"),
            Self::Mosquitto => first_line(&find("mosquitto")?, "-h"),
            Self::NginxMosquitto => {
                let nginx = first_line(&find("nginx")?, "-v")?;
                Some(format!("{nginx}, {}", Self::Mosquitto.version(tidegate)?))
            }
        }
    }

    pub(crate) fn start(self, around: &Surroundings<'_>) -> anyhow::Result<Server> {
        match self {
            Self::Tidegate => tidegate::start(around),
            Self::Mosquitto => mosquitto::start(around),
            Self::NginxMosquitto => nginx::start(around),
        }
    }
}

/// Running processes that are measured as one.
pub(crate) struct Server {
    children: Vec<Child>,
    tcp: Option<SocketAddr>,
    ws: Option<SocketAddr>,
    wss: Option<SocketAddr>,
    json_wss: Option<SocketAddr>,
    /// Where `/api/` goes to the server behind.
    https: Option<SocketAddr>,
}

impl Server {
    /// A server that listens nowhere yet.
    fn new(child: Child) -> Self {
        Self { children: vec![child], tcp: None, ws: None, wss: None, json_wss: None, https: None }
    }

    pub(crate) fn target(&self, transport: Transport) -> Option<Target> {
        let address = match transport {
            Transport::Tcp => self.tcp,
            Transport::Ws => self.ws,
            Transport::Wss => self.wss,
            Transport::JsonWss => self.json_wss,
            Transport::Https => self.https,
        };
        let path = match transport {
            Transport::JsonWss => "/ws/",
            Transport::Https => "/api/page",
            _ => "/mqtt",
        };
        address.map(|address| Target { address, transport, path })
    }

    /// CPU time of all processes since they started.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        self.children.iter().map(|child| process::cpu_time(child.id())).sum()
    }

    /// Private memory of all processes, in bytes.
    pub(crate) fn private_bytes(&self) -> anyhow::Result<u64> {
        self.children.iter().map(|child| process::private_bytes(child.id())).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        const FAREWELL: Duration = Duration::from_secs(5);
        for child in &self.children {
            process::signal(child.id(), "TERM");
        }
        let started = Instant::now();
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) {
                if started.elapsed() > FAREWELL {
                    process::signal(child.id(), "KILL");
                    let _ = child.wait();
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Starts `command` with its output in `log`.
fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let log = File::create(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("cannot start {command:?}"))
}

/// Waits until `child` accepts connections at `address`; its log is in the error if it does not.
fn await_listening(child: &mut Child, address: SocketAddr, log: &Path) -> anyhow::Result<()> {
    const START: Duration = Duration::from_secs(10);
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if child.try_wait()?.is_some() || started.elapsed() > START {
            bail!("does not listen on {address}: {}", fs::read_to_string(log).unwrap_or_default());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A loopback port that nobody has at the moment, for servers that cannot choose one themselves.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A program in `PATH` or where distributions put servers.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn first_line(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().map(|line| line.trim().to_owned())
}
