//! Tidegate's own release binary, which says on standard output where it listens.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

use super::{Server, Surroundings};

pub(super) fn start(around: &Surroundings<'_>) -> anyhow::Result<Server> {
    let file = around.folder.join("tidegate.yaml");
    fs::write(&file, settings(around))?;
    let log = around.folder.join("tidegate.log");
    let mut command = Command::new(&around.programs.tidegate);
    command.arg("run").arg("-c").arg(file).current_dir(around.folder);
    start_announcing(command, &log)
}

/// Starts a server that says where it listens as Tidegate does.
pub(super) fn start_announcing(mut command: Command, log: &Path) -> anyhow::Result<Server> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(log)?);
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let stdout = child.stdout.take();
    let mut server = Server::new(child);
    read_addresses(&mut server, stdout.context("standard output is piped")?)
        .with_context(|| format!("it did not become ready: {}", fs::read_to_string(log).unwrap_or_default()))?;
    Ok(server)
}

fn settings(around: &Surroundings<'_>) -> String {
    format!(
        "listen:\n  - https://127.0.0.1:0\n  - http://127.0.0.1:0\n  - mqtt://127.0.0.1:0\n\
         tls: {{ cert: {}, key: {} }}\n\
         routes: [ {{ path: /mqtt, serve: mqtt }}, {{ path: /ws/, serve: json }}, \
         {{ path: /api/, proxy: \"http://{}\" }} ]\n\
         auth: {{ anonymous: true }}\n\
         admin: {{ listen: \"http://127.0.0.1:0\" }}\n\
         log: {{ level: warn }}\n{}",
        around.certificate.chain.display(),
        around.certificate.key.display(),
        around.upstream,
        around.tidegate_settings,
    )
}

/// Reads `listening  <url>` lines up to `ready`, and goes on emptying the pipe after that.
fn read_addresses(server: &mut Server, stdout: ChildStdout) -> anyhow::Result<()> {
    const START: Duration = Duration::from_secs(10);
    let (lines, said) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Once it is ready nobody listens any more.
            let _ = lines.send(line);
        }
    });
    loop {
        let line = said.recv_timeout(START)?;
        if line.trim() == "ready" {
            return Ok(());
        }
        let Some(url) = line.strip_prefix("listening").map(str::trim) else { continue };
        let Some((scheme, address)) = url.split_once("://") else { bail!("unknown start-up line: {line}") };
        let address = address.split(['/', ' ']).next().unwrap_or_default().parse()?;
        match scheme {
            "http" if url.contains("admin") => server.admin = Some(address),
            "https" => {
                server.wss = Some(address);
                server.json_wss = Some(address);
                server.https = Some(address);
            }
            "http" => server.ws = Some(address),
            "mqtt" => server.tcp = Some(address),
            _ => {}
        }
    }
}
