//! mosquitto 2.x with TCP, websockets and TLS websockets listeners.

use std::{fs, net::SocketAddr, process::Command};

use anyhow::Context;

use super::{Server, Surroundings, await_listening, free_port, loopback, spawn};

pub(super) fn start(around: &Surroundings<'_>, program: &str) -> anyhow::Result<Server> {
    let [tcp, ws, wss] = [free_port()?, free_port()?, free_port()?];
    let chain = around.certificate.chain.display();
    let key = around.certificate.key.display();
    let mut settings = common(tcp);
    settings += &format!("listener {ws} 127.0.0.1\nprotocol websockets\n");
    settings += &format!("listener {wss} 127.0.0.1\nprotocol websockets\ncertfile {chain}\nkeyfile {key}\n");
    let mut server = run(around, program, &settings, &[loopback(tcp), loopback(ws), loopback(wss)])?;
    server.tcp = Some(loopback(tcp));
    server.ws = Some(loopback(ws));
    server.wss = Some(loopback(wss));
    Ok(server)
}

/// mosquitto as the broker behind nginx: one plain websockets listener, whose port is returned, beside TCP.
pub(super) fn start_behind(around: &Surroundings<'_>) -> anyhow::Result<(Server, u16)> {
    let [tcp, websockets] = [free_port()?, free_port()?];
    let settings = common(tcp) + &format!("listener {websockets} 127.0.0.1\nprotocol websockets\n");
    Ok((run(around, "mosquitto", &settings, &[loopback(tcp), loopback(websockets)])?, websockets))
}

/// Queues are unlimited so that no row measures drops, and Nagle's algorithm is off so that the paced rows do not measure it.
fn common(tcp: u16) -> String {
    format!(
        "user root\nallow_anonymous true\npersistence false\nlog_type error\nlog_dest stderr\n\
         max_queued_messages 0\nset_tcp_nodelay true\nlistener {tcp} 127.0.0.1\n"
    )
}

fn run(around: &Surroundings<'_>, program: &str, settings: &str, listeners: &[SocketAddr]) -> anyhow::Result<Server> {
    let program = around.programs.find(program).with_context(|| format!("{program} is not installed"))?;
    let file = around.folder.join("mosquitto.conf");
    fs::write(&file, settings)?;
    let log = around.folder.join("mosquitto.log");
    let mut command = Command::new(program);
    command.arg("-c").arg(file);
    let mut server = Server::new(spawn(command, &log)?);
    for &address in listeners {
        await_listening(&mut server.children[0], address, &log)?;
    }
    Ok(server)
}
