//! The hand-over to a new process of this program: for an upgrade that refuses nobody.
//!
//! SIGUSR2 starts the program again, from the path that this process was started from, with the same arguments and with every
//! listening socket. Both accept from the same sockets until the new one is ready; then this one drains. If the new one does not
//! start, nothing has happened.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::process::Command as StdCommand;
use std::time::Duration;

use anyhow::{Context as _, bail};
use command_fds::{CommandFdExt as _, FdMapping};
use sd_notify::NotifyState;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

/// What a successor needs.
#[derive(Debug)]
pub(super) struct Handover {
    program: PathBuf,
    arguments: Vec<OsString>,
    sockets: Vec<OwnedFd>,
}

/// The first file descriptor that sd_listen_fds(3) speaks of.
const FIRST_SOCKET: i32 = 3;

impl Handover {
    /// Remembers how this process was started; later, its program may be another file.
    ///
    /// # Errors
    /// The system does not say.
    pub(super) fn new(sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        // As it was called, so that a link which points elsewhere since is followed anew; from the search path, where it was found.
        let called = arguments.next().map(PathBuf::from).filter(|called| called.components().count() > 1);
        let program = called.map_or_else(std::env::current_exe, std::path::absolute)?;
        Ok(Self { program, arguments: arguments.collect(), sockets })
    }

    /// Starts the successor and waits until it serves.
    ///
    /// # Errors
    /// Why it does not. It is gone then.
    pub(super) async fn run(&self, timeout: Duration) -> anyhow::Result<()> {
        let doorbell = Doorbell::new().context("the successor's place to report to")?;
        let mut successor = Successor {
            child: self.spawn(&doorbell.path()).context("the successor could not be started")?,
            is_ready: false,
        };
        let process_id = successor.child.id().unwrap_or_default();
        tracing::info!(process_id, program = %self.program.display(), "Handing over");
        tokio::select! {
            rung = doorbell.rung() => rung.context("the successor's report")?,
            exit = successor.child.wait() => bail!("the successor ended before it was ready: {}", exit?),
            () = tokio::time::sleep(timeout) => bail!("the successor was not ready within {timeout:?}"),
        }
        successor.is_ready = true;
        // systemd, if it is there, is to look after the new one from now on.
        notify(&[NotifyState::MainPid(process_id)]);
        Ok(())
    }

    fn spawn(&self, doorbell: &Path) -> anyhow::Result<Child> {
        let mappings = (FIRST_SOCKET..)
            .zip(&self.sockets)
            .map(|(child_fd, socket)| Ok(FdMapping { parent_fd: socket.try_clone()?, child_fd }))
            .collect::<io::Result<Vec<_>>>()?;
        let mut command = StdCommand::new(&self.program);
        command
            .args(&self.arguments)
            .env("LISTEN_FDS", mappings.len().to_string())
            // Nobody knows the number of a process that is not there yet; without it the first to look may have them.
            .env_remove("LISTEN_PID")
            .env("NOTIFY_SOCKET", doorbell);
        command.fd_mappings(mappings)?;
        Ok(Command::from(command).spawn()?)
    }
}

/// A process that ends with the wait for it, unless it is ready by then.
struct Successor {
    child: Child,
    is_ready: bool,
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.is_ready {
            // It may have ended by itself.
            let _ = self.child.start_kill();
        }
    }
}

/// Tells whoever started this process how it is, if that wants to know (sd_notify(3)).
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "NOTIFY_SOCKET could not be told");
    }
}

/// Where the successor reports, as it would to systemd: a socket in a directory that nobody else may enter.
struct Doorbell {
    directory: PathBuf,
    socket: UnixDatagram,
}

impl Doorbell {
    fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let directory = std::env::temp_dir().join(format!("tidegate-{:032x}", super::random()));
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let socket = StdDatagram::bind(directory.join(SOCKET)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            UnixDatagram::from_std(socket)
        });
        match socket {
            Ok(socket) => Ok(Self { directory, socket }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&directory);
                Err(error)
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(SOCKET)
    }

    /// Completes when somebody says that they are ready.
    async fn rung(&self) -> io::Result<()> {
        let mut message = [0; 512];
        loop {
            let length = self.socket.recv(&mut message).await?;
            if message[..length].split(|&byte| byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
    }
}

const SOCKET: &str = "notify";

impl Drop for Doorbell {
    fn drop(&mut self) {
        // What cannot be taken away lies in a directory for what may be lost.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
