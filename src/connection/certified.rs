//! Connections whose clients have shown a certificate: they end when that is no longer accepted.
//!
//! A table beside the links, so that a connection without one has nothing of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Connections;
use super::core::Dismissal;
use super::link::Link;

/// What the certificate that a client has shown is still worth.
#[derive(Debug, Default)]
pub struct Standing {
    is_over: AtomicBool,
    ended: Notify,
}

impl Standing {
    /// The certificate is no longer accepted: whatever was opened with it is to end.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.ended.notify_waiters();
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Waits until it is over.
    pub async fn ended(&self) {
        let ended = self.ended.notified();
        if !self.is_over() {
            ended.await;
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Certified {
    /// By the key of the link.
    holders: Mutex<HashMap<u32, Holder, RandomState>>,
}

#[derive(Debug)]
struct Holder {
    link: Weak<Link>,
    standing: Arc<Standing>,
}

impl Certified {
    pub(super) fn enter(&self, key: u32, link: &Arc<Link>, standing: Arc<Standing>) {
        let holder = Holder { link: Arc::downgrade(link), standing: Arc::clone(&standing) };
        self.holders.lock().insert(key, holder);
        // Whoever ends standings may have been here before.
        if standing.is_over() {
            link.dismiss(Dismissal::for_certificate());
        }
    }

    pub(super) fn leave(&self, key: u32) {
        let mut holders = self.holders.lock();
        if holders.remove(&key).is_some() && holders.is_empty() {
            holders.shrink_to_fit();
        }
    }
}

impl Connections {
    /// Tells every client whose certificate's standing is over, and closes its connection. Its session stays as its expiry says.
    pub fn dismiss_uncertified(&self) {
        let over: Vec<_> = {
            let holders = self.shared.certified.holders.lock();
            holders
                .values()
                .filter(|holder| holder.standing.is_over())
                .map(|holder| Weak::clone(&holder.link))
                .collect()
        };
        over.iter().filter_map(Weak::upgrade).for_each(|link| link.dismiss(Dismissal::for_certificate()));
    }
}
