//! rumqttd: TCP, websockets and TLS websockets listeners, with its own example's figures where it asks for some.

use std::{fs, process::Command};

use anyhow::Context;

use super::{Server, Surroundings, await_listening, free_port, loopback, spawn};

pub(super) fn start(around: &Surroundings<'_>) -> anyhow::Result<Server> {
    let program = around.programs.find("rumqttd").context("rumqttd is not installed")?;
    let [tcp, ws, wss] = [free_port()?, free_port()?, free_port()?];
    let file = around.folder.join("rumqttd.toml");
    let tls = format!(
        "[ws.2.tls]\ncertpath = \"{}\"\nkeypath = \"{}\"\n",
        around.certificate.chain.display(),
        around.certificate.key.display()
    );
    let mut settings = format!(
        "id = 0\n[router]\nid = 0\nmax_connections = {}\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n",
        around.descriptors_max
    );
    for (table, port, tls) in [("v4.1", tcp, ""), ("ws.1", ws, ""), ("ws.2", wss, tls.as_str())] {
        settings += &format!(
            "[{table}]\nname = \"{table}\"\nlisten = \"127.0.0.1:{port}\"\nnext_connection_delay_ms = 0\n{tls}\
             [{table}.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 2097152\n\
             max_inflight_count = 500\ndynamic_filters = true\n"
        );
    }
    fs::write(&file, settings)?;
    let log = around.folder.join("rumqttd.log");
    let mut command = Command::new(program);
    command.arg("--config").arg(file);
    let mut server = Server::new(spawn(command, &log)?);
    for port in [tcp, ws, wss] {
        await_listening(&mut server.children[0], loopback(port), &log)?;
    }
    server.tcp = Some(loopback(tcp));
    server.ws = Some(loopback(ws));
    server.wss = Some(loopback(wss));
    Ok(server)
}
