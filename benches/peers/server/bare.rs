//! The bench's own bare server, as a process of its own so that its CPU time is its own.

use std::process::Command;

use clap::ValueEnum;

use super::{Server, Surroundings, tidegate::start_announcing};
use crate::bare::Writes;

pub(super) fn start(around: &Surroundings<'_>, writes: Writes) -> anyhow::Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    let writes = writes.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    command.args(["bare", "--writes", &writes, "--cert"]).arg(&around.certificate.chain);
    command.arg("--key").arg(&around.certificate.key);
    let mut server = start_announcing(command, &around.folder.join("bare.log"))?;
    server.json_wss = None;
    server.https = None;
    server.has_wildcards = false;
    Ok(server)
}
