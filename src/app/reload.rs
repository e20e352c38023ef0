//! Reload: the same sources once more, under running connections.
//!
//! ```text
//!  SIGHUP ─────────┐
//!  a folder stirs ─┼─▶ read config ─▶ read policy, run its tests ─▶ ⎫ any fault: nothing changes, loudly
//!  admin API ──────┘           read passwords, keys, TLS, routes ─▶ ⎭ none: swap all of it ─▶ judge who is there anew
//! ```
//!
//! One reload at a time, by one task. Invariants: what is read in one reload is taken together or not at all; no socket is touched; what
//! a reload cannot change is named.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::files::Files;
use super::watch::Watch;
use super::{Built, Ending, load_policy, overload, read_admin_token, unix_now_s};
use crate::admin::{AdminToken, Outcome, ReloadRequest, Reloaded, Secret};
use crate::auth::Authenticator;
use crate::config::{self, Changes, Config, Loaded, Request};
use crate::connection::{ConnectionConfig, Connections};
use crate::edge::{AcmeConfig, ListenerCertificates, ListenerSites, NewSites, Renewal, Terms};
use crate::fault::{Fault, Faults};
use crate::load::Limits;
use crate::policy::Policy;
use crate::telemetry::ReloadCounters;
use crate::telemetry::log::Level;
use crate::unhurried;

/// Carries out reloads.
pub(super) struct Reloader {
    request: Request,
    /// What was taken last, with what needs a restart to hold.
    running: Arc<Loaded>,
    at_start: Arc<Loaded>,
    /// What was taken last of those that name the sockets as they are: what others can reach is judged by it as well.
    bound: Arc<Loaded>,
    /// As they were before they were last read, whether that was taken or not.
    files: Files,
    /// As they were before they were last read and taken.
    taken_files: Files,
    /// Those of `files` that the policy at present was made of.
    policy_files: Vec<PathBuf>,
    connections: Connections,
    shown: Shown,
    /// What an authority is to issue.
    acme: watch::Sender<Option<AcmeConfig>>,
    admin_token: Arc<AdminToken>,
    log_level: Level,
    counters: Arc<ReloadCounters>,
    /// `None`: switched off, or the system has none.
    watch: Option<Watch>,
    /// Keeps the keys of the authenticator at present up to date.
    key_watcher: JoinHandle<()>,
}

/// What the edge's listeners show, and what those who come are held to: each of it is replaced without them.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) certificates: ListenerCertificates,
    pub(super) sites: ListenerSites,
    /// What those who come are held to.
    pub(super) terms: Terms,
    /// From where on there is too much to do.
    pub(super) load_limits: watch::Sender<Limits>,
    /// How long the end of the process may take.
    pub(super) ending: watch::Sender<Ending>,
}

/// Everything that a reload has read, sound as a whole.
struct Fresh {
    loaded: Loaded,
    policy: Policy,
    policy_files: Vec<PathBuf>,
    authenticator: Authenticator,
    admin_token: Option<Secret>,
    certificates: Renewal,
    sites: NewSites,
}

impl Reloader {
    /// `built` is what was made of `running`, and `shown` what its listeners show.
    pub(super) fn new(
        request: Request,
        running: Loaded,
        built: Built,
        shown: Shown,
        acme: watch::Sender<Option<AcmeConfig>>,
        log_level: Level,
        counters: Arc<ReloadCounters>,
    ) -> Self {
        // What was read once must be there: without it the built-in default would hold, which lets in more.
        let request = Request { file: running.file.clone().or(request.file), ..request };
        let key_watcher = watch_keys(built.connections.authenticator());
        counters.reload_taken_at_s.store(unix_now_s(), Ordering::Relaxed);
        let running = Arc::new(running);
        let mut reloader = Self {
            request,
            bound: Arc::clone(&running),
            at_start: Arc::clone(&running),
            running,
            taken_files: built.files.clone(),
            files: built.files,
            policy_files: built.policy_files,
            connections: built.connections,
            shown,
            acme,
            admin_token: built.admin_token,
            log_level,
            counters,
            watch: None,
            key_watcher,
        };
        reloader.set_up_watch();
        reloader
    }

    /// Reloads whenever something asks for it, for ever.
    pub(super) async fn run(
        mut self,
        mut hangup: Signal,
        mut requests: mpsc::Receiver<ReloadRequest>,
        mut issued: mpsc::Receiver<()>,
    ) {
        // What changed while everything was built has stirred no folder that was watched.
        if self.watch.is_some() {
            self.look().await;
        }
        loop {
            tokio::select! {
                Some(()) = hangup.recv() => drop(self.reload("SIGHUP").await),
                Some(request) = requests.recv() => {
                    let outcome = self.reload("admin API").await;
                    // Whoever asked may have gone; it is done all the same.
                    let _ = request.answer.send(outcome);
                }
                Some(()) = issued.recv() => self.show_issued().await,
                () = settled(self.watch.as_mut()) => self.look().await,
            }
        }
    }

    /// Shows the certificate that an authority has issued, whatever has become of other files since they were taken.
    async fn show_issued(&self) {
        let (running, certificates) = (Arc::clone(&self.running), self.shown.certificates.clone());
        let reading = tokio::task::spawn_blocking(move || certificates.read_again(&running.config.edge));
        match reading.await {
            Ok(Ok(renewal)) => {
                let listeners_changed = renewal.show();
                tracing::debug!(listeners_changed, "certificate of the authority");
                self.check_guests(listeners_changed).await;
            }
            Ok(Err(faults)) => {
                let faults = Faults(faults).to_string();
                tracing::error!(%faults, "The authority's certificate is not shown: all stays as it was");
            }
            Err(panic) => tracing::error!(%panic, "The authority's certificate is not shown"),
        }
    }

    /// Ends the connections whose clients' certificates what is shown now no longer accepts.
    async fn check_guests(&self, listeners_changed: usize) {
        if listeners_changed == 0 {
            return;
        }
        let certificates = self.shown.certificates.clone();
        let checking = tokio::task::spawn_blocking(move || certificates.check_guests());
        match checking.await {
            Ok(0) => {}
            Ok(connections_ended) => {
                self.connections.dismiss_uncertified();
                tracing::info!(connections_ended, "Client certificates are no longer accepted");
            }
            Err(panic) => tracing::error!(%panic, "Client certificates of open connections are not checked"),
        }
    }

    /// Reloads if a file holds something else than when it was last read.
    async fn look(&mut self) {
        count(&self.counters.reload_looks);
        let files = self.files.clone();
        let Ok(has_changed) = tokio::task::spawn_blocking(move || files.as_they_are() != files).await else { return };
        if has_changed {
            let _ = self.reload("changed files").await;
        } else {
            // A folder may have been replaced by one that holds the same.
            self.follow();
        }
    }

    async fn reload(&mut self, by: &'static str) -> Outcome {
        let outcome = match self.read().await {
            Ok(fresh) => Ok(self.take(*fresh).await),
            Err(faults) => Err(faults),
        };
        self.tell(by, &outcome);
        self.follow();
        outcome
    }

    /// Reads everything, off the event loop, and notes what the files held.
    async fn read(&mut self) -> Result<Box<Fresh>, Vec<Fault>> {
        let (request, reached) = (self.request.clone(), [Arc::clone(&self.bound), Arc::clone(&self.running)]);
        let (authenticator, taken) = (self.connections.authenticator(), self.taken_files.clone());
        let shown = self.shown.clone();
        let reading = unhurried::done(move || {
            let files = RefCell::new(taken.as_they_are());
            (read(request, &reached, &authenticator, &shown, &files).map(Box::new), files.into_inner())
        });
        match reading.await {
            Ok((fresh, files)) => {
                self.files = files;
                fresh
            }
            Err(error) => {
                let allowed = "this is a fault of the program, unless the system has no thread left: please report it";
                Err(vec![Fault::new("", "", format!("reading ended early: {error}"), allowed)])
            }
        }
    }

    /// Has what was read take the place of what there is.
    async fn take(&mut self, fresh: Fresh) -> Reloaded {
        let Fresh { loaded, policy, policy_files, authenticator, admin_token, certificates, sites } = fresh;
        let mut reloaded = self.changed(&loaded, &policy_files);
        self.admin_token.set(admin_token);
        self.log_level.set(loaded.config.log.level);
        // First who somebody is, then what they may do: whoever comes in between is judged anew with the others.
        let authenticator = Arc::new(authenticator);
        self.connections.replace_authenticator(Arc::clone(&authenticator));
        let listeners_changed = certificates.show();
        sites.show();
        self.shown.terms.replace(&loaded.config.edge);
        self.shown.load_limits.send_replace(overload::limits(loaded.config.load));
        self.shown.ending.send_replace(Ending::of(&loaded.config));
        self.connections.configure(self.settings(&loaded.config));
        self.acme.send_if_modified(|wanted| {
            let was = std::mem::replace(wanted, loaded.config.edge.acme().cloned());
            was != *wanted
        });
        tracing::debug!(listeners_changed, "certificates");
        self.check_guests(listeners_changed).await;
        std::mem::replace(&mut self.key_watcher, watch_keys(authenticator)).abort();
        if policy_files != self.policy_files || reloaded.has_other_policy {
            let reviewed = self.connections.replace_policy(policy).await;
            reloaded.outcome.subscriptions_revoked = reviewed.subscriptions_revoked;
        }
        let watched_as = self.running.config.reload;
        self.files
            .retain(|path| Files::named_by(&loaded).contains(&path) || policy_files.iter().any(|file| file == path));
        self.running = Arc::new(loaded);
        let is_of_sockets = |key: &String| key.starts_with("listen") || key.starts_with("admin.listen");
        if !reloaded.outcome.needs_restart.iter().any(is_of_sockets) {
            self.bound = Arc::clone(&self.running);
        }
        self.policy_files = policy_files;
        self.taken_files = self.files.clone();
        if self.running.config.reload != watched_as {
            self.set_up_watch();
        }
        reloaded.outcome
    }

    /// Settings of connections, where those that the engine was made with stay.
    fn settings(&self, config: &Config) -> ConnectionConfig {
        let at_start = &self.connections.environment().config;
        ConnectionConfig {
            receive_maximum: at_start.receive_maximum,
            session_expiry_max: at_start.session_expiry_max,
            ..config.connection.clone()
        }
    }

    /// What differs from what was taken last, and what differs from what was there at the start and cannot be taken.
    fn changed(&self, loaded: &Loaded, policy_files: &[PathBuf]) -> Changed {
        let taken = Changes::between(&self.running, loaded).taken;
        // Until there is one.
        let needs_restart = Changes::between(&self.at_start, loaded).needs_restart;
        let differing = self.files.differing(&self.taken_files);
        let has_other_policy = differing.iter().any(|&path| policy_files.iter().any(|file| file == path));
        let files = differing.into_iter().map(|path| path.display().to_string()).collect();
        Changed { has_other_policy, outcome: Reloaded { keys: taken, files, needs_restart, subscriptions_revoked: 0 } }
    }

    /// Tells everybody but whoever asked what came of a reload.
    fn tell(&self, by: &'static str, outcome: &Outcome) {
        match outcome {
            Ok(reloaded) => {
                count(&self.counters.reloads);
                self.counters.reload_taken_at_s.store(unix_now_s(), Ordering::Relaxed);
                let revoked = reloaded.subscriptions_revoked;
                tracing::info!(by, changed = %reloaded, subscriptions_revoked = revoked, "Reloaded");
                if !reloaded.needs_restart.is_empty() {
                    let keys = reloaded.needs_restart.join(", ");
                    tracing::warn!(keys, "Changed, and needs a restart to hold");
                }
            }
            Err(faults) => {
                count(&self.counters.reloads_failed);
                let faults = Faults(faults.clone()).to_string();
                tracing::error!(by, %faults, "Nothing reloaded: all stays as it was");
            }
        }
    }

    /// Begins to watch, or ends it, as the configuration says.
    fn set_up_watch(&mut self) {
        let config = self.running.config.reload;
        let watch = config.watch.then(|| Watch::new(config.settle)).transpose();
        self.watch = watch.unwrap_or_else(|error| {
            tracing::warn!(%error, "Changes of files are not noticed; SIGHUP has them read");
            None
        });
        self.follow();
    }

    /// Watches where the files lie now.
    fn follow(&mut self) {
        let Some(watch) = &mut self.watch else {
            self.counters.reload_folders_watched.store(0, Ordering::Relaxed);
            return;
        };
        let (count, failure) = watch.follow(self.files.paths());
        self.counters.reload_folders_watched.store(count as u64, Ordering::Relaxed);
        if let Some(error) = failure {
            tracing::warn!(%error, "Changes of some files are not noticed; SIGHUP has them read");
        }
    }
}

struct Changed {
    has_other_policy: bool,
    outcome: Reloaded,
}

impl Drop for Reloader {
    fn drop(&mut self) {
        self.key_watcher.abort();
    }
}

/// Reads what `request` names, and everything that it names in turn; every file is noted before it is read.
fn read(
    request: Request,
    reached: &[Arc<Loaded>],
    authenticator: &Authenticator,
    shown: &Shown,
    files: &RefCell<Files>,
) -> Result<Fresh, Vec<Fault>> {
    let (loaded, mut faults) = config::inspect(request);
    files.borrow_mut().note_all_of(&loaded);
    let policy = read_policy(&loaded.config, files);
    let authenticator = authenticator.successor(loaded.config.auth.clone());
    let admin_token = read_admin_token(&loaded.config.admin);
    let certificates = shown.certificates.read_again(&loaded.config.edge);
    let sites = shown.sites.read_again(&loaded.config.edge);
    match (policy, authenticator, admin_token, certificates, sites) {
        (Ok((policy, policy_files)), Ok(authenticator), Ok(admin_token), Ok(certificates), Ok(sites))
            if faults.is_empty() =>
        {
            let exposed = reached.iter().map(|reached| loaded.exposure_of(reached)).find(|faults| !faults.is_empty());
            let Some(exposed) = exposed else {
                return Ok(Fresh { loaded, policy, policy_files, authenticator, admin_token, certificates, sites });
            };
            Err(exposed)
        }
        (policy, authenticator, admin_token, certificates, sites) => {
            let found = [policy.err(), authenticator.err(), admin_token.err(), certificates.err(), sites.err()]
                .into_iter()
                .flatten()
                .flatten();
            faults.extend(loaded.placed(found.collect()));
            Err(faults)
        }
    }
}

/// The policy, and the files that it is made of.
pub(super) fn read_policy(config: &Config, files: &RefCell<Files>) -> Result<(Policy, Vec<PathBuf>), Vec<Fault>> {
    let read = RefCell::new(Vec::new());
    let policy = load_policy(config, &|path| {
        files.borrow_mut().note(path);
        read.borrow_mut().push(path.to_owned());
    })?;
    Ok((policy, read.into_inner()))
}

/// Waits for folders to settle; for ever where none are watched.
async fn settled(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.settled().await,
        None => std::future::pending().await,
    }
}

fn watch_keys(authenticator: Arc<Authenticator>) -> JoinHandle<()> {
    tokio::spawn(async move { authenticator.watch().await })
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
