//! The composition root: build → run → drain. The only file that knows everyone.
//!
//! Start-up is all or nothing: whatever can be wrong is found before the first connection is accepted. Shutdown is a state: stop
//! accepting, tell every client, wait until they have heard it or a deadline has passed, exit. Before it, a successor may have taken
//! the listening sockets over ([`handover`]).

mod files;
mod handover;
mod overload;
mod reload;
mod watch;

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::admin::{Admin, AdminConfig, AdminToken, Api, DrainRequest, Phase, Readiness, Secret};
use crate::auth::Authenticator;
use crate::config::{Config, Loaded, Request};
use crate::connection::{self, Connections, Envelopes, Environment, Policies, TICK};
use crate::edge::{Drain, Edge, EdgeCounters, Handoff, Inherited, RouteAction, Scheme};
use crate::engine::{Engine, Message};
use crate::fault::{Fault, Faults};
use crate::load::{Account, Load};
use crate::mqtt::{QoS, TopicName};
use crate::policy::envelope::SubjectOf;
use crate::policy::{self, Policy};
use crate::telemetry::sys_topics::{Snapshot, SysTopics};
use crate::telemetry::{Metrics, ReloadCounters, catalogue, log, metrics::Exposition};
use files::Files;
use handover::Handover;
use reload::{Reloader, Shown, read_policy};

/// Runs the server until SIGTERM or SIGINT. What `request` names is `loaded`, and is read again at each reload.
///
/// # Errors
/// [`Faults`] in what the operator wrote; anything else is the machine's.
pub fn run(loaded: Loaded, request: Request) -> anyhow::Result<()> {
    let log_level = log::init(loaded.config.log).context("log")?;
    raise_file_limit();
    let inherited = Inherited::from_environment();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(connection::thread_sleeps)
        .build()
        .context("no runtime")?;
    let result = runtime.block_on(serve(loaded, request, log_level, &inherited));
    // Whoever has not closed by now is cut.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Everything that would keep the server from starting with `config`, short of taking its addresses.
#[must_use]
pub fn check(config: &Config) -> Vec<Fault> {
    let policy = load_policy(config, &|_| {}).map(drop);
    let authenticator = Authenticator::new(config.auth.clone()).map(drop);
    let edge = Edge::check(&config.edge);
    let token = read_admin_token(&config.admin).map(drop);
    [policy, authenticator, edge, token].into_iter().filter_map(Result::err).flatten().collect()
}

async fn serve(loaded: Loaded, request: Request, log_level: log::Level, inherited: &Inherited) -> anyhow::Result<()> {
    // Before anything takes time: until somebody listens for it, it ends the process.
    let hangup = signal(SignalKind::hangup())?;
    let config = loaded.config.clone();
    let built = build(&loaded).map_err(Faults)?;
    let connections = built.connections.clone();
    let handoff: Handoff = {
        let connections = connections.clone();
        Arc::new(move |accepted| connections.serve(accepted))
    };
    let edge_counters = Arc::new(EdgeCounters::default());
    let load = Arc::new(Load::new(Arc::clone(connections.environment().engine.memory())));
    let edge = Edge::bind(config.edge.clone(), inherited, handoff, Arc::clone(&edge_counters)).map_err(Faults)?;
    let edge = edge.under(Arc::clone(&load));
    let readiness = Readiness::default();
    let reload_counters = Arc::new(ReloadCounters::default());
    let metrics = metrics(&connections, Arc::clone(&load), Arc::clone(&edge_counters), Arc::clone(&reload_counters));
    let metrics = Exposition::new(metrics);
    let (reloads, reload_requests) = mpsc::channel(RELOADS_WAITING_MAX);
    let (drains, drain_requests) = mpsc::channel(1);
    let api = Api::new(connections.clone(), reloads, drains, Arc::clone(&built.admin_token));
    let admin =
        Admin::bind(&config.admin, inherited, metrics, readiness.clone(), api).map_err(|fault| Faults(vec![fault]))?;
    for address in inherited.close_rest() {
        tracing::warn!(%address, "A socket of LISTEN_FDS has no listener in the configuration; closed");
    }
    let sockets = edge.sockets().and_then(|mut sockets| {
        sockets.extend(admin.as_ref().map(Admin::socket).transpose()?);
        Ok(sockets)
    });
    let handover = sockets.and_then(Handover::new).context("the listening sockets cannot be handed on")?;
    let (ending, ending_replaced) = tokio::sync::watch::channel(Ending::of(&config));
    let mut stop = Stop::new(drain_requests, ending_replaced)?;
    let mut hand_over = signal(SignalKind::user_defined2())?;

    let announcement = announcement(&config, &edge, admin.as_ref());
    let ticker = tokio::spawn(tick(connections.clone()));
    let (wanted, acme_wanted) = tokio::sync::watch::channel(config.edge.acme().cloned());
    let (issued, certificates_issued) = mpsc::channel(1);
    let acme = tokio::spawn(edge.acme().run(acme_wanted, issued));
    let (load_limits, limits_replaced) = tokio::sync::watch::channel(overload::limits(config.load));
    let shown =
        Shown { certificates: edge.certificates(), sites: edge.sites(), terms: edge.terms(), load_limits, ending };
    let reloader = Reloader::new(request, loaded, built, shown, wanted, log_level, reload_counters);
    let reloader = tokio::spawn(reloader.run(hangup, reload_requests, certificates_issued));
    let watching = tokio::spawn(overload::watch(load, limits_replaced, connections.clone(), readiness.clone()));
    let sys_topics = tell_sys_topics(connections.clone(), edge_counters, config.sys_interval);
    let (close_admin, admin_closed) = oneshot::channel::<()>();
    let admin = admin.map(|admin| tokio::spawn(admin.run(async { drop(admin_closed.await) })));
    let (end_edge, edge_ended) = oneshot::channel();
    // A sender that is gone has stopped.
    let edge = tokio::spawn(edge.run(async { edge_ended.await.unwrap_or(Drain::Stopping) }));
    readiness.set(Phase::Ready);
    announce(&announcement);
    handover::notify(&[NotifyState::Ready]);

    let end = serve_on(&mut stop, &mut hand_over, &handover).await;
    // While this process has the sockets, too, connections would wait in their backlog for nobody.
    drop(handover);
    readiness.set(Phase::Draining);
    let _ = end_edge.send(end);
    let times = stop.begin();
    tokio::select! {
        () = drain(&connections, edge, times, end) => {}
        // Whoever signals twice means at once.
        signal = stop.signalled() => tracing::info!(signal, "Stopping at once"),
    }
    ticker.abort();
    watching.abort();
    reloader.abort();
    acme.abort();
    if let Some(sys_topics) = sys_topics {
        sys_topics.abort();
    }
    drop(close_admin);
    if let Some(admin) = admin {
        // Whoever asked for this is to have the answer.
        let _ = tokio::time::timeout(ADMIN_PATIENCE, admin).await;
    }
    Ok(())
}

/// Reloads that may be asked for while one is under way; each reads everything, so that more would be for nothing.
const RELOADS_WAITING_MAX: usize = 4;

/// For answers of the admin listener that are under way at the end.
const ADMIN_PATIENCE: Duration = Duration::from_millis(500);

/// What stops the server: signals, and whoever asks the admin API to.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    requests: mpsc::Receiver<DrainRequest>,
    /// Whoever is to be told that it has begun.
    asker: Option<oneshot::Sender<Duration>>,
    /// The longest time that goodbyes are spread over, where whoever asked has named one.
    window: Option<Duration>,
    ending: tokio::sync::watch::Receiver<Ending>,
}

/// How long the end of the process may take; a reload replaces it until the end has begun.
#[derive(Clone, Copy, Debug)]
struct Ending {
    drain_window: Duration,
    drain_timeout: Duration,
    handover_timeout: Duration,
}

impl Ending {
    fn of(config: &Config) -> Self {
        let Config { drain_window, drain_timeout, handover_timeout, .. } = *config;
        Self { drain_window, drain_timeout, handover_timeout }
    }
}

impl Stop {
    fn new(requests: mpsc::Receiver<DrainRequest>, ending: tokio::sync::watch::Receiver<Ending>) -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, requests, asker: None, window: None, ending })
    }

    /// Completes when there is one.
    async fn told(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            Some(request) = self.requests.recv() => {
                self.window = request.window;
                self.asker = Some(request.answer);
                "admin API"
            }
        }
    }

    /// From here on nobody can ask for it again, and whoever did sees that the server is not ready; how long goodbyes may be spread
    /// over, and how long all of it may take.
    fn begin(&mut self) -> (Duration, Duration) {
        self.requests.close();
        let Ending { drain_window, drain_timeout, .. } = *self.ending.borrow();
        // What is left for those who are told last must be worth something.
        let window = self.window.unwrap_or(drain_window).min(drain_timeout / 2);
        if let Some(asker) = self.asker.take() {
            // They may have gone; it is done all the same.
            let _ = asker.send(window);
        }
        (window, drain_timeout)
    }

    /// Completes at the next signal.
    async fn signalled(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Serves until it is time to stop, and hands over if asked to.
async fn serve_on(stop: &mut Stop, hand_over: &mut Signal, handover: &Handover) -> Drain {
    loop {
        tokio::select! {
            by = stop.told() => {
                tracing::info!(by, "Shutting down");
                return Drain::Stopping;
            }
            _ = hand_over.recv() => {}
        }
        let timeout = stop.ending.borrow().handover_timeout;
        // Whoever says stop meanwhile means the one that is to come as well.
        let outcome = tokio::select! {
            by = stop.told() => {
                tracing::info!(by, "Shutting down, and the successor with it");
                return Drain::Stopping;
            }
            outcome = handover.run(timeout) => outcome,
        };
        match outcome {
            Ok(()) => {
                tracing::info!("Shutting down, as the successor serves");
                return Drain::HandingOver;
            }
            Err(error) => tracing::error!(error = format!("{error:#}"), "Not handed over; this process serves on"),
        }
    }
}

fn metrics(
    connections: &Connections,
    load: Arc<Load>,
    edge: Arc<EdgeCounters>,
    reload: Arc<ReloadCounters>,
) -> Metrics {
    let environment = connections.environment();
    let mut metrics = Metrics::default();
    catalogue::process(&mut metrics);
    catalogue::load(&mut metrics, load);
    catalogue::edge(&mut metrics, edge);
    catalogue::connection(&mut metrics, Arc::clone(&environment.counters));
    catalogue::auth(&mut metrics, connections.authenticator().counters());
    catalogue::engine(&mut metrics, Arc::clone(&environment.engine));
    catalogue::reload(&mut metrics, reload);
    metrics
}

/// What is built before anything listens, and the files that it was made of.
struct Built {
    connections: Connections,
    files: Files,
    policy_files: Vec<PathBuf>,
    admin_token: Arc<AdminToken>,
}

fn build(loaded: &Loaded) -> Result<Built, Vec<Fault>> {
    let config = &loaded.config;
    let files = RefCell::new(Files::default());
    files.borrow_mut().note_all_of(loaded);
    let policy = read_policy(config, &files);
    let authenticator = Authenticator::new(config.auth.clone());
    let token = read_admin_token(&config.admin);
    let ((policy, policy_files), authenticator, token) = match (policy, authenticator, token) {
        (Ok(policy), Ok(authenticator), Ok(token)) => (policy, authenticator, token),
        (policy, authenticator, token) => {
            return Err([policy.err(), authenticator.err(), token.err()].into_iter().flatten().flatten().collect());
        }
    };
    let admin_token = Arc::new(AdminToken::default());
    admin_token.set(token);
    let authenticator = Arc::new(ArcSwap::from_pointee(authenticator));
    let memory = Account::new(overload::limits(config.load).memory_max);
    let environment = Environment {
        engine: Arc::new(Engine::new(config.engine.clone(), ahash::RandomState::new()).with_memory(Arc::new(memory))),
        policy: Policies::new(policy),
        config: config.connection.clone(),
        counters: Default::default(),
        roster: Arc::default(),
        envelopes: Arc::new(Envelopes::new(
            config.connection.envelopes_remembered_max,
            unix_now_s,
            subjects(&authenticator),
        )),
        random,
    };
    let connections = Connections::new(environment, authenticator, Instant::now());
    Ok(Built { connections, files: files.into_inner(), policy_files, admin_token })
}

/// The token that the admin API asks for, if any.
fn read_admin_token(config: &AdminConfig) -> Result<Option<Secret>, Vec<Fault>> {
    config.token_file.as_deref().map(Secret::read).transpose().map_err(|fault| vec![fault])
}

/// Verifies the JSON Web Tokens of envelopes as those of connections, with the keys that are there.
fn subjects(authenticator: &Arc<ArcSwap<Authenticator>>) -> Box<SubjectOf> {
    let authenticator = Arc::clone(authenticator);
    Box::new(move |token| {
        let authenticator = authenticator.load();
        let tokens = authenticator.tokens()?;
        let answer = tokens.verify(token.as_bytes(), None);
        tokens.count(answer.as_ref().map_err(|rejected| *rejected));
        Some(answer.ok()?.username)
    })
}

/// The policy, which must pass its own tests before it judges anybody. Without a file everything is allowed; the configuration
/// grants that to loopback listeners only. `note` is told of each file before it is read.
fn load_policy(config: &Config, note: &dyn Fn(&Path)) -> Result<Policy, Vec<Fault>> {
    let Some(path) = &config.policy else { return Ok(Policy::allow_all()) };
    let policy = policy::load::policy_noting(path, note)?;
    let mut faults: Vec<Fault> = policy.run_tests().into_iter().map(|failure| failure.fault).collect();
    if config.auth.jwt.is_none() {
        faults.extend(policy.faults_without_jwt());
    }
    if faults.is_empty() { Ok(policy) } else { Err(faults) }
}

/// Drives every deadline of connections and sessions.
async fn tick(connections: Connections) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        connections.tick(Instant::now());
    }
}

/// Keeps the `$SYS` topics up to date. They are there when this returns, before anybody can ask.
fn tell_sys_topics(connections: Connections, edge: Arc<EdgeCounters>, interval: Duration) -> Option<JoinHandle<()>> {
    if interval.is_zero() {
        return None;
    }
    let mut topics = SysTopics::new(Instant::now());
    let mut tell = move || {
        let now = Instant::now();
        let values = topics.update(now, &snapshot(&connections, &edge));
        connections.announce(now, values.iter().filter_map(|(topic, value)| sys_message(topic, value)));
    };
    tell();
    Some(tokio::spawn(async move {
        let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            tell();
        }
    }))
}

/// At QoS 0, unlike mosquitto's: such a message never waits in the session of a client that is away.
fn sys_message(topic: &str, value: &str) -> Option<Message> {
    let topic = TopicName::parse(topic).ok()?;
    Some(Message::new(&topic, &[], value.as_bytes(), QoS::AtMostOnce, true))
}

fn snapshot(connections: &Connections, edge: &EdgeCounters) -> Snapshot {
    let environment = connections.environment();
    let (connection, engine) = (&environment.counters, environment.engine.counters());
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let publishes_sent = read(&engine.deliveries) + read(&engine.redeliveries);
    Snapshot {
        sessions: read(&engine.sessions),
        sessions_connected: read(&engine.sessions_connected),
        sessions_expired: read(&engine.sessions_expired),
        subscriptions: read(&engine.subscriptions),
        shared_subscriptions: read(&engine.shared_subscriptions),
        retained_messages: read(&engine.retained_messages),
        packets_received: read(&connection.packets_received),
        packets_sent: read(&connection.answers_sent) + publishes_sent,
        publishes_received: read(&connection.publishes_received),
        publishes_sent,
        publishes_dropped: read(&engine.dropped_outbox_full)
            + read(&engine.dropped_queue_full_qos_0)
            + read(&engine.dropped_queue_full)
            + read(&engine.dropped_conflated)
            + read(&engine.dropped_memory),
        publish_bytes_received: read(&connection.publish_bytes_received),
        publish_bytes_sent: read(&engine.delivered_bytes),
        bytes_received: read(&connection.received_bytes),
        bytes_sent: read(&connection.sent_bytes),
        sockets: read(&edge.connections_accepted),
        connects_received: read(&connection.connects_received),
    }
}

/// Waits until the last client has heard that the server stops and the last HTTP exchange is over, or the time is up.
async fn drain(connections: &Connections, edge: JoinHandle<()>, (window, timeout): (Duration, Duration), end: Drain) {
    let deadline = Instant::now() + timeout;
    let mut interval = tokio::time::interval(TICK);
    let mut farewell = connections.begin_farewell(Instant::now(), window, end == Drain::HandingOver);
    while (connections.count() > 0 || !edge.is_finished()) && Instant::now() < deadline {
        farewell.tell(Instant::now());
        interval.tick().await;
    }
    tracing::info!(connections_cut = connections.count(), "Drained");
}

fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading; that is no reason not to serve.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What listens where, and what to open or to paste.
fn announcement(config: &Config, edge: &Edge, admin: Option<&Admin>) -> String {
    let addresses = edge.local_addresses();
    let mut text = String::new();
    for (listener, address) in &addresses {
        text += &format!("listening  {}://{address}\n", listener.scheme.as_str());
    }
    if let Some(admin) = admin {
        text += &format!("listening  http://{} (admin)\n", admin.local_address());
    }
    let has_demo = |listener| config.edge.routes_of(listener).iter().any(|route| route.action == RouteAction::Demo);
    if let Some((listener, address)) =
        addresses.iter().find(|(listener, _)| listener.scheme.is_http() && has_demo(listener))
    {
        text += &format!("open       {}://{address}/  (the demo: two windows, one tide)\n", listener.scheme.as_str());
    }
    if let Some(ca) = edge.development_ca() {
        text += &format!("trust      {}  (the development certificate's authority)\n", ca.display());
    }
    if let Some((_, address)) = addresses.iter().find(|(listener, _)| listener.scheme == Scheme::Mqtt) {
        let (host, port) = (address.ip(), address.port());
        text += &format!("watch      mosquitto_sub -h {host} -p {port} -t 'demo/#' -v\n");
        text += &format!("say        mosquitto_pub -h {host} -p {port} -t demo/chat -m 'Hello from the shore'\n");
    }
    text + "ready\n"
}

/// One file descriptor a connection: takes as many as the system lets this process have.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}

/// The clock of the world, which timestamps of others are compared with.
fn unix_now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// For Client Identifiers of the server's making: nobody can guess another's.
fn random() -> u128 {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_ne_bytes(bytes),
        // A kernel without entropy is one that has not booted; the hasher's own seed is still unlike any other.
        Err(_) => {
            let state = ahash::RandomState::new();
            u128::from(state.hash_one(0)) << 64 | u128::from(state.hash_one(1))
        }
    }
}
