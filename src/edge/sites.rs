//! The routes of all listeners together: built, shown, and replaced while requests are under way.
//!
//! A request is answered to its end by the routes it came to; the next one on its connection finds those that are shown by then.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::config::{EdgeConfig, ListenerConfig, RouteConfig};
use super::http::{Kept, Site};
use crate::fault::Fault;

/// The routes that a listener shows at present.
pub(crate) type SharedSite = Arc<ArcSwap<Site>>;

/// The routes that listeners show, to be replaced while they run.
#[derive(Clone)]
pub struct ListenerSites(Arc<Vec<Showing>>);

struct Showing {
    listener: ListenerConfig,
    site: SharedSite,
}

/// What listeners are to show from now on, built and sound.
pub struct NewSites(Vec<(SharedSite, Arc<Site>)>);

impl NewSites {
    /// Has every request that comes from now on find it.
    pub fn show(self) {
        for (shared, site) in self.0 {
            shared.store(site);
        }
    }
}

impl ListenerSites {
    /// # Errors
    /// Every fault in every route.
    pub(crate) fn new(config: &EdgeConfig) -> Result<Self, Vec<Fault>> {
        let sites = build(config, &Kept::default())?;
        let showing = sites
            .into_iter()
            .zip(&config.listeners)
            .map(|(site, listener)| Showing { listener: listener.clone(), site: Arc::new(ArcSwap::new(site)) });
        Ok(Self(Arc::new(showing.collect())))
    }

    /// What the listener that stands at `index` shows.
    pub(crate) fn of(&self, index: usize) -> Option<SharedSite> {
        self.0.get(index).map(|showing| Arc::clone(&showing.site))
    }

    /// Builds the routes as `config` now has them, and reads what they name. When that is shown, requests find it; no connection is
    /// touched, and those to servers behind are kept wherever they would be opened the same way.
    ///
    /// Listeners are known by scheme and address; those of `config` that do not run, and those that run and are not in it, are left alone.
    ///
    /// # Errors
    /// Every fault.
    pub fn read_again(&self, config: &EdgeConfig) -> Result<NewSites, Vec<Fault>> {
        let mut sites: Vec<_> = build(config, &self.kept())?.into_iter().map(Some).collect();
        let mut renewed = Vec::new();
        for showing in self.0.iter() {
            let is_same = |(listener, site): &(&ListenerConfig, &mut Option<Arc<Site>>)| {
                let then = &showing.listener;
                site.is_some() && (listener.scheme, listener.address) == (then.scheme, then.address)
            };
            let found = config.listeners.iter().zip(&mut sites).find(is_same);
            renewed.extend(found.and_then(|(_, site)| Some((Arc::clone(&showing.site), site.take()?))));
        }
        Ok(NewSites(renewed))
    }

    /// The servers behind all routes at present.
    fn kept(&self) -> Kept {
        let mut sites: Vec<Arc<Site>> = Vec::new();
        for site in self.0.iter().map(|showing| showing.site.load_full()) {
            if !sites.iter().any(|known| Arc::ptr_eq(known, &site)) {
                sites.push(site);
            }
        }
        Kept::new(sites.iter().flat_map(|site| site.servers()))
    }
}

/// Builds the routes that each listener shows, in their order, as [`ListenerSites::new`] does.
///
/// # Errors
/// Every fault in every route.
pub(crate) fn build(config: &EdgeConfig, kept: &Kept) -> Result<Vec<Arc<Site>>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut keep = |found: Vec<Fault>| faults.extend(found);
    let site = |routes: &[RouteConfig], key: &str| {
        Site::new(routes, &config.origins, config.tokens.as_ref(), key, kept).map(Arc::new)
    };
    let shared = site(&config.routes, "routes").map_err(&mut keep).ok();
    let mut sites = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let own = listener.routes.as_ref().map(|routes| site(routes, &format!("listen[{index}].routes")));
        let own = own.transpose().map_err(&mut keep).ok().flatten();
        sites.extend(own.or(shared.clone()));
    }
    if faults.is_empty() { Ok(sites) } else { Err(faults) }
}
