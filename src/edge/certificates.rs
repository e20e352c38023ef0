//! The certificates of all listeners together: read, given out, and renewed while connections go on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::config::{CertificateSource, EdgeConfig, ListenerConfig, TlsConfig};
use super::tls::{Material, Shared, Terms};
use super::{EdgeCounters, acme};
use crate::fault::Fault;

/// What every listener shows, read from files; nothing is shown yet.
pub(crate) struct Loaded {
    /// `None`: no listener needs it.
    shared: Option<Material>,
    /// Of each listener, in their order, that has its own.
    own: Vec<Option<Material>>,
}

impl Loaded {
    /// Reads everything. `makes`: a development certificate that is not there is made; otherwise none is looked at.
    ///
    /// # Errors
    /// Every fault of every file, each once.
    pub(crate) fn read(config: &EdgeConfig, makes: bool, now: SystemTime) -> Result<Self, Vec<Fault>> {
        let mut faults: Vec<Fault> = Vec::new();
        let mut load = |tls: &TlsConfig, key: &str| {
            if !makes && matches!(tls.certificates, CertificateSource::Development { .. }) {
                // Its authorities of clients are real all the same.
                let clients = tls.clients.as_ref()?;
                faults.extend(Material::check_clients(clients, key, now));
                return None;
            }
            Material::load(tls, key, now).map_err(|found| faults.extend(found)).ok()
        };
        let shares = |listener: &ListenerConfig| listener.scheme.is_tls() && listener.tls.is_none();
        // Files that are named must be sound even while no listener shows them.
        let is_named = !matches!(config.tls.certificates, CertificateSource::Development { .. });
        let is_needed = config.listeners.iter().any(shares) || is_named;
        let shared = if is_needed { load(&config.tls, "tls") } else { None };
        let own = config.listeners.iter().enumerate().map(|(index, listener)| {
            let own = listener.tls.as_ref().filter(|_| listener.scheme.is_tls())?;
            load(own, &format!("listen[{index}].tls"))
        });
        let own = own.collect();
        faults.extend(config.acme().map(acme::faults).unwrap_or_default());
        if faults.is_empty() { Ok(Self { shared, own }) } else { Err(each_once(faults)) }
    }

    pub(crate) fn development_ca(&self) -> Option<PathBuf> {
        self.all().find_map(|material| material.development_ca.clone())
    }

    /// What works and should not stay so.
    pub(crate) fn into_warnings(self) -> Vec<Fault> {
        let all = self.shared.into_iter().chain(self.own.into_iter().flatten());
        each_once(all.flat_map(|material| material.warnings).collect())
    }

    fn all(&self) -> impl Iterator<Item = &Material> {
        self.shared.iter().chain(self.own.iter().flatten())
    }

    fn of(&self, index: usize) -> Option<&Material> {
        self.own.get(index).and_then(Option::as_ref).or(self.shared.as_ref())
    }

    /// Tells what should not stay so, and when the first certificate and the first revocation list expire.
    fn tell(&self, counters: &EdgeCounters) {
        for warning in each_once(self.all().flat_map(|material| material.warnings.clone()).collect()) {
            tracing::error!("{warning}");
        }
        let soonest = self.all().filter_map(Material::not_after_s).min();
        counters.certificate_not_after_s.store(soonest.unwrap_or(0), Ordering::Relaxed);
        let next_update = self.all().filter_map(Material::crl_next_update_s).min();
        counters.crl_next_update_s.store(next_update.unwrap_or(0), Ordering::Relaxed);
    }
}

/// Files that several listeners name are at fault once.
fn each_once(faults: Vec<Fault>) -> Vec<Fault> {
    let mut kept: Vec<Fault> = Vec::new();
    for fault in faults {
        if !kept
            .iter()
            .any(|other| !fault.origin.is_empty() && other.origin == fault.origin && other.found == fault.found)
        {
            kept.push(fault);
        }
    }
    kept
}

/// The certificates that listeners show, to be renewed while they run.
#[derive(Clone)]
pub struct ListenerCertificates(Arc<Vec<Showing>>, Arc<EdgeCounters>);

struct Showing {
    listener: ListenerConfig,
    /// `None`: it speaks no TLS.
    terms: Option<Shared>,
}

/// What listeners are to show from now on, read and sound.
pub struct Renewal {
    loaded: Loaded,
    terms: Vec<(Shared, Terms)>,
    counters: Arc<EdgeCounters>,
}

impl Renewal {
    /// Has every handshake that begins from now on use it; how many listeners' are others than before.
    pub fn show(self) -> usize {
        self.loaded.tell(&self.counters);
        let mut changed_count = 0;
        for (shared, terms) in self.terms {
            changed_count += usize::from(!shared.load().is_same(&terms));
            shared.store(Arc::new(terms));
        }
        changed_count
    }
}

impl ListenerCertificates {
    pub(crate) fn new(config: &EdgeConfig, loaded: &Loaded, counters: Arc<EdgeCounters>) -> Result<Self, Fault> {
        let showing = config.listeners.iter().enumerate().map(|(index, listener)| {
            let terms = loaded.of(index).map(|material| material.terms(listener, None)).transpose()?.flatten();
            let terms = terms.map(|terms| Arc::new(ArcSwap::from_pointee(terms)));
            Ok(Showing { listener: listener.clone(), terms })
        });
        let showing = showing.collect::<Result<Vec<_>, Fault>>()?;
        loaded.tell(&counters);
        Ok(Self(Arc::new(showing), counters))
    }

    /// Looks at the certificates that clients of open connections have shown, by what listeners show now; takes some 100 µs for each. The
    /// standing of those that are no longer accepted is over from then on. Returns how many.
    #[must_use]
    pub fn check_guests(&self) -> usize {
        let ended_count = self.0.iter().filter_map(|showing| Some(showing.terms.as_ref()?.load().check_guests())).sum();
        self.1.client_certificates_revoked.fetch_add(ended_count as u64, Ordering::Relaxed);
        ended_count
    }

    /// What the listener that stands at `index` shows.
    pub(crate) fn of(&self, index: usize) -> Option<Shared> {
        self.0.get(index)?.terms.clone()
    }

    /// Reads certificates, authorities, revocation lists and OCSP responses again, as `config` now names them. When that is shown, handshakes use
    /// it; no connection is touched, and sessions are resumed as before unless what they stand for has changed.
    ///
    /// Listeners are known by scheme and address; those of `config` that do not run, and those that run and are not in it, are left alone.
    ///
    /// # Errors
    /// Every fault.
    pub fn read_again(&self, config: &EdgeConfig) -> Result<Renewal, Vec<Fault>> {
        let loaded = Loaded::read(config, true, SystemTime::now())?;
        let mut taken = vec![false; config.listeners.len()];
        let mut renewed = Vec::new();
        for showing in self.0.iter() {
            let Some(shared) = &showing.terms else { continue };
            let is_same = |(index, listener): &(usize, &ListenerConfig)| {
                let (now, then) = (*listener, &showing.listener);
                !taken[*index] && (now.scheme, now.address) == (then.scheme, then.address)
            };
            let Some((index, _)) = config.listeners.iter().enumerate().find(is_same) else { continue };
            taken[index] = true;
            let Some(material) = loaded.of(index) else { continue };
            let terms = material.terms(&showing.listener, Some(&shared.load())).map_err(|fault| vec![fault])?;
            renewed.extend(terms.map(|terms| (Arc::clone(shared), terms)));
        }
        Ok(Renewal { loaded, terms: renewed, counters: Arc::clone(&self.1) })
    }
}
