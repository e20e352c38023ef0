//! A real mosquitto beside the server under test, to be asked the same.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use socket2::Socket;
use tempfile::TempDir;

use super::server::{Output, hold};

/// A running mosquitto with one TCP listener that lets everybody in. Dropping it kills it.
pub struct Mosquitto {
    child: Child,
    address: SocketAddr,
    version: String,
    /// Keeps the port from everybody but the one process that is told of it.
    _held: Socket,
    _directory: TempDir,
}

impl Mosquitto {
    /// Starts it with these further lines of its configuration, and waits until it says that it runs.
    pub fn start(settings: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let held = hold((Ipv4Addr::LOCALHOST, 0).into());
        let address = held.local_addr().expect("a bound socket").as_socket().expect("an Internet address");
        let configuration = directory.path().join("mosquitto.conf");
        let listener = format!("listener {} 127.0.0.1\n", address.port());
        let common = "user root\nallow_anonymous true\npersistence false\nlog_dest stderr\nset_tcp_nodelay true\n";
        std::fs::write(&configuration, format!("{common}{listener}{settings}")).expect("a writable file");
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("mosquitto, which tests/run installs");
        let output = Arc::new(Output::default());
        output.collect(child.stderr.take().expect("a piped stream"));
        // `1700000000: mosquitto version 2.0.11 running`
        let version = |printed: &str| {
            let (_, rest) = printed.split_once("mosquitto version ")?;
            let (version, _) = printed.contains(" running").then(|| rest.split_once(' '))??;
            Some(version.to_owned())
        };
        let version = output.wait_for(version, "saying that it runs");
        Self { child, address, version, _held: held, _directory: directory }
    }

    /// Where it speaks MQTT over TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Such as `2.0.11`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
