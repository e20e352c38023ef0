//! The servers under test: found, configured, started, measured, and ended without fail.

mod bare;
mod flashmq;
mod mosquitto;
mod nginx;
mod rumqttd;
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

use crate::{bare::Writes, certificate::Certificate, connection::Transport, process, swarm::Target};

/// A server, or a chain of servers, that the same load is driven through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Peer {
    Tidegate,
    /// nginx ends TLS and WebSocket routing, mosquitto's websockets listener is behind it.
    NginxMosquitto,
    Mosquitto,
    /// mosquitto 2.1 or later, which has its own WebSockets, beside the distribution's: a program named `mosquitto-2.1`.
    #[value(name = "mosquitto-2.1")]
    Mosquitto21,
    #[value(name = "flashmq")]
    FlashMq,
    Rumqttd,
    /// No broker but what one could cost at least: see `crate::bare`; each message is written by itself.
    BareSingle,
    /// The same, and what waits for a client when all events are handled leaves with one write.
    BareBatched,
}

/// Where the servers under test are: programs given by name, else those that are found.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) tidegate: PathBuf,
    /// Names as in [`Peer`], with the file of each.
    pub(crate) given: Vec<(String, PathBuf)>,
}

/// What every peer gets: a folder of its own and the certificate.
pub(crate) struct Surroundings<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) certificate: &'a Certificate,
    pub(crate) descriptors_max: u64,
    pub(crate) programs: &'a Programs,
    /// Rows that go beyond what Tidegate allows unless told: lines added to its configuration.
    pub(crate) tidegate_settings: &'a str,
    /// A web server that those which can pass `/api/` on to.
    pub(crate) upstream: SocketAddr,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "Tidegate",
            Self::NginxMosquitto => "nginx + mosquitto",
            Self::Mosquitto => "mosquitto",
            Self::Mosquitto21 => "mosquitto ≥ 2.1",
            Self::FlashMq => "FlashMQ",
            Self::Rumqttd => "rumqttd",
            Self::BareSingle => "bare, a write a message",
            Self::BareBatched => "bare, batched",
        }
    }

    /// Whether it is no server that anybody could use, but a scale for those that are.
    pub(crate) fn is_scale(self) -> bool {
        matches!(self, Self::BareSingle | Self::BareBatched)
    }

    /// The version that would be started, or `None` if the peer is not installed.
    pub(crate) fn version(self, programs: &Programs) -> Option<String> {
        match self {
            Self::Tidegate => first_line(&programs.tidegate, "--version"),
            Self::Mosquitto => first_line(&programs.find("mosquitto")?, "-h"),
            Self::Mosquitto21 => first_line(&programs.find("mosquitto-2.1")?, "-h"),
            Self::FlashMq => first_line(&programs.find("flashmq")?, "--version"),
            Self::Rumqttd => first_line(&programs.find("rumqttd")?, "--version"),
            Self::NginxMosquitto => {
                let nginx = first_line(&programs.find("nginx")?, "-v")?;
                Some(format!("{nginx}, {}", Self::Mosquitto.version(programs)?))
            }
            Self::BareSingle | Self::BareBatched => {
                Some("an epoll loop of this bench, one thread, no broker".to_owned())
            }
        }
    }

    pub(crate) fn start(self, around: &Surroundings<'_>) -> anyhow::Result<Server> {
        match self {
            Self::Tidegate => tidegate::start(around),
            Self::Mosquitto => mosquitto::start(around, "mosquitto"),
            Self::Mosquitto21 => mosquitto::start(around, "mosquitto-2.1"),
            Self::FlashMq => flashmq::start(around),
            Self::Rumqttd => rumqttd::start(around),
            Self::NginxMosquitto => nginx::start(around),
            Self::BareSingle => bare::start(around, Writes::Single),
            Self::BareBatched => bare::start(around, Writes::Batched),
        }
    }
}

impl Programs {
    /// The program given for `name`, or one of that name in `PATH`, where `cargo install --root target/tools` puts it, or where
    /// distributions put servers.
    fn find(&self, name: &str) -> Option<PathBuf> {
        if let Some((_, file)) = self.given.iter().find(|(given, _)| given == name) {
            return Some(file.clone());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
        std::env::split_paths(&path)
            .chain([tools])
            .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
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
    /// Tidegate's listener for its operator.
    admin: Option<SocketAddr>,
    /// Whether it knows what a wildcard is.
    has_wildcards: bool,
}

impl Server {
    /// A server that listens nowhere yet.
    fn new(child: Child) -> Self {
        let children = vec![child];
        Self { children, tcp: None, ws: None, wss: None, json_wss: None, https: None, admin: None, has_wildcards: true }
    }

    pub(crate) fn target(&self, transport: Transport) -> Option<Target> {
        let address = match transport {
            Transport::Tcp => self.tcp,
            Transport::Ws => self.ws,
            Transport::Wss => self.wss,
            Transport::JsonWss => self.json_wss,
            Transport::Https | Transport::Http2 => self.https,
        };
        let path = match transport {
            Transport::JsonWss => "/ws/",
            Transport::Https | Transport::Http2 => "/api/page",
            _ => "/mqtt",
        };
        address.map(|address| Target { address, transport, path })
    }

    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    pub(crate) fn has_wildcards(&self) -> bool {
        self.has_wildcards
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

fn first_line(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().map(|line| line.trim().to_owned())
}
