//! One Network Connection: what lives as long as the socket, and no longer.
//!
//! The edge hands in an [`Accepted`] transport whose handshakes are over; from there the connection reads, decodes, judges, hands to
//! the engine, and carries what the engine has for its client back out. One state machine serves every dialect.
//!
//! ```text
//!  socket ─▶ transport ─▶ inbound (frames, dialect) ─▶ driver ─▶ core (state, gate) ─▶ engine
//!    ▲                                                                                   │
//!    └── transport ◀── outbox ◀── wire (spelling) ◀── link ◀────── Outlet::deliver ◀─────┘
//! ```
//!
//! | file | |
//! |---|---|
//! | [`core`] | the state machine, without IO; Reason Codes and verdicts |
//! | `task`, `driver` | the loop, and what it does with what the core answers |
//! | `inbound` | bytes → packets |
//! | `wire`, `aliases`, `outbox` | packets → bytes that wait |
//! | `link`, `transport` | the connection as other threads see it; reading and writing without waiting |
//! | `gather` | receivers of many publishers, sent to once for all of them |
//! | `pacemaker` | every deadline |
//! | `renewal` | a token of a client that is in, while somebody is asked about it |
//! | `logins`, [`penalty`], [`sampling`] | what failed logins cost, and the line in the log for each |
//! | [`roster`] | who is connected, under which Client Identifier, and how many of one user |
//! | `certified` | those whose clients have shown a certificate, and end with it |
//! | `farewell` | the goodbye of a stopping server |
//! | [`forecast`] | who would lose what by another policy |
//! | `review` | replacing the policy, and judging again what the old one had granted |
//! | [`response_information`] | where a client's Response Topics should begin |
//! | [`accepted`], [`admission`], [`address`] | what the edge hands over, and the bounds on who has proven nothing, all together and by address |
//!
//! Not here: Session State (`engine`), what bytes mean (`dialect`, `mqtt::codec`), who may do what (`policy`).
//!
//! Invariants: an idle connection owns no buffer; a link's lock is never held while the engine is called; a round flushes each outlet
//! once or leaves it to `gather`, after the engine's locks are released.

pub mod accepted;
pub mod address;
pub mod admission;
mod aliases;
mod certified;
pub mod config;
pub mod core;
pub mod counters;
mod driver;
mod farewell;
mod forecast;
mod gather;
mod inbound;
mod link;
mod links;
mod logins;
mod outbox;
mod pacemaker;
pub mod penalty;
mod renewal;
pub mod response_information;
mod review;
pub mod roster;
pub mod sampling;
mod task;
mod transport;
mod wire;

pub use accepted::{Accepted, ClientCertificate, Multiplexed, Protocol, Stream, TlsStream, Token};
pub use address::{AddressKey, Share, Shares};
pub use admission::{Handshake, Handshakes, Place};
pub use certified::Standing;
pub use config::{ConnectionConfig, Revoked};
pub use core::{Dismissal, Envelopes, Environment, Policies};
pub use counters::ConnectionCounters;
pub use farewell::Farewell;
pub use forecast::{Forecast, ForecastPage, SubscriptionForecast, WillForecast};
pub use gather::thread_sleeps;
pub use pacemaker::TICK;
pub use penalty::PenaltyConfig;
pub use response_information::ResponseInformation;
pub use review::Reviewed;
pub use roster::{DuplicateClientId, Roster, RosterLimits};

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::auth::Authenticator;
use crate::engine::message::{Message, Round};
use crate::mqtt::{ClientId, ReasonCode};
use certified::Certified;
use links::Links;
use logins::Logins;
use pacemaker::Pacemaker;

/// All connections of the process, and what they share.
#[derive(Clone, Debug)]
pub struct Connections {
    /// As at the start. Of what came later, only the configuration is another.
    shared: Arc<Shared>,
    /// What those who come now get.
    current: Arc<ArcSwap<Shared>>,
}

/// What every connection's task and link holds.
///
/// A reload that brings another configuration makes a new one, which shares all but that with the one before: each connection keeps the
/// settings that it began with.
#[derive(Clone, Debug)]
struct Shared {
    environment: Environment,
    /// Replaced as a whole by a reload; a login ends with the one it began with.
    authenticator: Arc<ArcSwap<Authenticator>>,
    pacemaker: Arc<Pacemaker>,
    links: Arc<Links>,
    certified: Arc<Certified>,
    logins: Arc<Logins>,
    /// Held by the review that runs.
    reviewing: Arc<tokio::sync::Mutex<()>>,
}

impl Connections {
    #[must_use]
    pub fn new(environment: Environment, authenticator: Arc<ArcSwap<Authenticator>>, now: Instant) -> Self {
        let pacemaker = Arc::new(Pacemaker::new(now));
        let (penalty, counters) = (environment.config.penalty.clone(), Arc::clone(&environment.counters));
        let logins = Arc::new(Logins::new(penalty, counters, now));
        let shared = Arc::new(Shared {
            environment,
            authenticator,
            pacemaker,
            links: Arc::default(),
            certified: Arc::default(),
            logins,
            reviewing: Arc::default(),
        });
        Self { current: Arc::new(ArcSwap::new(Arc::clone(&shared))), shared }
    }

    /// Has `config` hold for connections that come from now on, and for logins of all. What the engine and the memory of envelopes were
    /// made with stays as it is.
    pub fn configure(&self, config: ConnectionConfig) {
        self.shared.logins.set_penalty(config.penalty.clone());
        let environment = Environment { config, ..self.shared.environment.clone() };
        self.current.store(Arc::new(Shared { environment, ..Shared::clone(&self.shared) }));
    }

    /// Takes over a transport: spawns its task and returns at once.
    pub fn serve(&self, accepted: Accepted) {
        tokio::spawn(task::Task::new(&self.current.load(), accepted, Instant::now()));
    }

    /// Acts on every deadline that has come: call it each [`TICK`].
    pub fn tick(&self, now: Instant) {
        self.shared.pacemaker.tick(now, &self.shared.links);
        self.shared.logins.settle(now);
        let mut round = Round::default();
        self.shared.environment.engine.tick(now, &mut round);
        driver::flush(&mut round);
    }

    /// Publishes messages of the server's own; see [`Engine::announce`](crate::engine::Engine::announce).
    pub fn announce(&self, now: Instant, messages: impl IntoIterator<Item = Message>) {
        let mut round = Round::default();
        for message in messages {
            self.shared.environment.engine.announce(now, &Arc::new(message), &mut round);
        }
        driver::flush(&mut round);
    }

    /// Tells the client of this Client Identifier `reason` and closes its connection: for an operator, 0x98 Administrative action.
    ///
    /// Its session stays as its expiry says. `false`: it is not connected.
    pub fn dismiss(&self, client_id: &ClientId, reason: ReasonCode) -> bool {
        self.shared.environment.engine.dismiss(client_id, reason)
    }

    /// Cuts the connection for which most waits that its client does not read. `false`: everybody reads.
    pub fn cut_largest_reader(&self) -> bool {
        let links = self.shared.links.all().into_iter().filter_map(|link| link.upgrade());
        let readers = links.map(|link| (link.unread_bytes(), link)).filter(|(bytes, _)| *bytes > 0);
        let largest = readers.max_by_key(|(bytes, _)| *bytes);
        if let Some((_, link)) = &largest {
            link.cut_for_memory();
        }
        largest.is_some()
    }

    /// Connections that have not come to their end.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.shared.environment.counters.open.load(Ordering::Relaxed)
    }

    /// Who says who is there, at present.
    #[must_use]
    pub fn authenticator(&self) -> Arc<Authenticator> {
        self.shared.authenticator.load_full()
    }

    /// Has `authenticator` answer from the next login on. Who is in stays in.
    pub fn replace_authenticator(&self, authenticator: Arc<Authenticator>) {
        self.shared.authenticator.store(authenticator);
    }

    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.shared.environment
    }
}

#[cfg(test)]
mod tests;
