//! What the machine can: an epoll loop on one thread with TLS and WebSocket frames, which is no broker.
//!
//! It believes whatever the generator says (one packet a frame, exact topics, no wildcards, nothing retained, no limits, no policy, no
//! acknowledgement awaited), so that what it costs is reading, encrypting and writing. Servers that do more cannot be expected to cost
//! less, but by the number of their writes: hence two kinds, one that writes each message and one that gathers.

mod client;

use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::ValueEnum;
use client::Client;
use mio::{Events, Interest, Poll, Token, net::TcpListener};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::wire;

/// When what is appended for a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Writes {
    /// With a write for each message.
    Single,
    /// Once all events of a wake-up are handled.
    Batched,
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long, value_enum)]
    writes: Writes,
    #[arg(long)]
    cert: PathBuf,
    #[arg(long)]
    key: PathBuf,
}

const SCHEMES: [&str; 3] = ["mqtt", "http", "https"];

/// Serves until it is killed. Says where it listens as Tidegate does.
pub(crate) fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listeners = Vec::new();
    for (at, scheme) in SCHEMES.into_iter().enumerate() {
        let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        poll.registry().register(&mut listener, Token(at), Interest::READABLE)?;
        println!("listening  {scheme}://{}", listener.local_addr()?);
        listeners.push(listener);
    }
    println!("ready");
    let mut house = House {
        tls: tls_config(arguments)?,
        writes: arguments.writes,
        clients: Vec::new(),
        free: Vec::new(),
        subscribers: HashMap::new(),
        to_flush: Vec::new(),
        scratch: vec![0; 128 * 1024].into_boxed_slice(),
    };
    let mut events = Events::with_capacity(4096);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match (listeners.get(event.token().0), event.token().0) {
                (Some(listener), at) => house.accept_all(&poll, listener, SCHEMES[at])?,
                (None, token) => house.serve(token - SCHEMES.len()),
            }
        }
        house.flush();
    }
}

fn tls_config(arguments: &Arguments) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(&arguments.cert)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&arguments.key).context("the key")?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

struct House {
    tls: Arc<ServerConfig>,
    writes: Writes,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    /// Who hears a topic, each with the QoS it asked for.
    subscribers: HashMap<Vec<u8>, Vec<(usize, u8)>>,
    to_flush: Vec<usize>,
    scratch: Box<[u8]>,
}

impl House {
    fn accept_all(&mut self, poll: &Poll, listener: &TcpListener, scheme: &str) -> anyhow::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(SCHEMES.len() + at), interest)?;
            let tls = match scheme {
                "https" => Some(Box::new(ServerConnection::new(Arc::clone(&self.tls))?)),
                _ => None,
            };
            self.clients[at] = Some(Client::new(stream, tls, scheme != "mqtt"));
        }
    }

    /// Reads all that client `at` has sent and writes what it is owed; forgets it if it has gone.
    fn serve(&mut self, at: usize) {
        // It is out of its place meanwhile, so that others can be written to.
        let Some(mut client) = self.clients[at].take() else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = client.read(&mut scratch, |client, packet| self.handle(at, client, packet));
        self.scratch = scratch;
        if outcome.and_then(|()| client.flush()).is_ok() {
            self.clients[at] = Some(client);
            return;
        }
        self.free.push(at);
        for topic in client.topics {
            if let Some(subscribers) = self.subscribers.get_mut(&topic) {
                subscribers.retain(|&(subscriber, _)| subscriber != at);
            }
        }
    }

    fn handle(&mut self, at: usize, client: &mut Client, packet: &wire::Packet<'_>) {
        match packet.first >> 4 {
            1 => client.append(&[0x20, 2, 0, 0], &[]),
            3 => self.publish(at, client, packet),
            8 => {
                let [high, low, .., qos] = *packet.body else { return };
                let filter = packet.body[4..packet.body.len() - 1].to_vec();
                client.topics.push(filter.clone());
                self.subscribers.entry(filter).or_default().push((at, qos));
                client.append(&[0x90, 3, high, low, qos], &[]);
            }
            _ => {}
        }
    }

    fn publish(&mut self, at: usize, client: &mut Client, packet: &wire::Packet<'_>) {
        let Some(delivery) = wire::delivery(packet) else { return };
        let topic_len = usize::from(u16::from_be_bytes([packet.body[0], packet.body[1]]));
        let topic = &packet.body[2..2 + topic_len];
        let mut packets = [Vec::new(), Vec::new()];
        wire::publish_head(topic, None, delivery.payload.len(), &mut packets[0]);
        wire::publish_head(topic, Some(0), delivery.payload.len(), &mut packets[1]);
        for &(subscriber, qos) in self.subscribers.get(topic).into_iter().flatten() {
            let acknowledged = delivery.packet_id.is_some() && qos > 0;
            let head = &mut packets[usize::from(acknowledged)];
            let receiver = match &mut self.clients[subscriber] {
                _ if subscriber == at => &mut *client,
                Some(other) => other,
                None => continue,
            };
            if acknowledged {
                let id_at = head.len() - 2;
                head[id_at..].copy_from_slice(&receiver.next_packet_id().to_be_bytes());
            }
            receiver.append(head, delivery.payload);
            match self.writes {
                // Whom it cannot be written to now is served again when that changes; who has gone, too.
                Writes::Single => drop(receiver.flush()),
                Writes::Batched => self.to_flush.push(subscriber),
            }
        }
        if let Some(id) = delivery.packet_id {
            let mut acknowledgement = Vec::new();
            wire::puback(id, &mut acknowledgement);
            client.append(&acknowledgement, &[]);
        }
    }

    fn flush(&mut self) {
        for at in self.to_flush.drain(..) {
            if let Some(client) = &mut self.clients[at] {
                drop(client.flush());
            }
        }
    }
}
