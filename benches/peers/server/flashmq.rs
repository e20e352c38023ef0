//! FlashMQ, with as many threads as it likes: TCP, websockets and TLS websockets listeners.

use std::{fs, process::Command};

use anyhow::Context;

use super::{Server, Surroundings, await_listening, free_port, loopback, spawn};

pub(super) fn start(around: &Surroundings<'_>) -> anyhow::Result<Server> {
    let program = around.programs.find("flashmq").context("flashmq is not installed")?;
    let [tcp, ws, wss] = [free_port()?, free_port()?, free_port()?];
    let log = around.folder.join("flashmq.log");
    let file = around.folder.join("flashmq.conf");
    let listen = |port: u16, more: &str| {
        format!("listen {{\nport {port}\ninet4_bind_address 127.0.0.1\ninet_protocol ip4\n{more}}}\n")
    };
    let tls = format!(
        "protocol websockets\nfullchain {}\nprivkey {}\n",
        around.certificate.chain.display(),
        around.certificate.key.display()
    );
    let settings = format!(
        "allow_anonymous true\nlog_file {}\nquiet true\nrlimit_nofile {}\n{}{}{}",
        log.display(),
        around.descriptors_max,
        listen(tcp, "protocol mqtt\n"),
        listen(ws, "protocol websockets\n"),
        listen(wss, &tls)
    );
    fs::write(&file, settings)?;
    let mut command = Command::new(program);
    command.arg("--config-file").arg(file);
    let mut server = Server::new(spawn(command, &around.folder.join("flashmq.out"))?);
    for port in [tcp, ws, wss] {
        await_listening(&mut server.children[0], loopback(port), &log)?;
    }
    server.tcp = Some(loopback(tcp));
    server.ws = Some(loopback(ws));
    server.wss = Some(loopback(wss));
    Ok(server)
}
