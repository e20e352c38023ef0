//! Where all measurements take place: who takes part, and a server that is started afresh for each.

use std::{path::Path, sync::Arc};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use rustls::ClientConfig;

use crate::{
    Common, certificate,
    server::{Peer, Programs, Server, Surroundings},
    upstream,
};

pub(crate) struct Arena {
    /// Those that can be started, with their versions.
    pub(crate) peers: Vec<(Peer, String)>,
    pub(crate) rounds: Option<u32>,
    pub(crate) quick: bool,
    /// To keep the result though it is not of everything.
    pub(crate) keep: bool,
    pub(crate) is_everybody: bool,
    pub(crate) machine: Option<String>,
    /// What this process and, as they inherit it, each of the servers may have open.
    pub(crate) descriptors_max: u64,
    programs: Programs,
    hybrid: bool,
}

/// A server that runs, and what its clients need.
pub(crate) struct Stage<'a> {
    /// Its configuration is here.
    pub(crate) folder: &'a Path,
    pub(crate) server: &'a Server,
    pub(crate) tls: Arc<ClientConfig>,
    /// Shorter and smaller, to see that everything works; the figures mean little.
    pub(crate) quick: bool,
}

impl Arena {
    pub(crate) fn new(common: &Common) -> anyhow::Result<Self> {
        let descriptors_max =
            rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
        let programs = Programs { tidegate: common.tidegate.clone(), given: common.program.clone() };
        let asked = if common.peers.is_empty() { Peer::value_variants() } else { &common.peers };
        let mut peers = Vec::new();
        for &peer in asked {
            match peer.version(&programs) {
                Some(version) => peers.push((peer, version)),
                None => eprintln!("{} is not installed and is left out", peer.name()),
            }
        }
        ensure!(!peers.is_empty(), "none of the peers is installed");
        Ok(Self {
            peers,
            rounds: common.rounds,
            quick: common.quick,
            keep: common.keep,
            is_everybody: common.peers.is_empty(),
            machine: common.machine.clone(),
            descriptors_max,
            programs,
            hybrid: common.hybrid,
        })
    }

    /// Starts `peer` for this one measurement; `tidegate_settings` are lines for Tidegate's configuration.
    pub(crate) fn with_server<T>(
        &self,
        peer: Peer,
        tidegate_settings: &str,
        measure: impl FnOnce(&Stage<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let folder = tempfile::tempdir()?;
        let certificate = certificate::write(folder.path())?;
        let around = Surroundings {
            folder: folder.path(),
            certificate: &certificate,
            descriptors_max: self.descriptors_max,
            programs: &self.programs,
            tidegate_settings,
            upstream: upstream::start()?,
        };
        let server = peer.start(&around)?;
        measure(&Stage {
            folder: folder.path(),
            server: &server,
            tls: certificate::client_config(self.hybrid)?,
            quick: self.quick,
        })
    }
}
