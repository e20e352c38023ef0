//! The register of open links, for whoever must reach them all.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::link::Link;
use crate::mqtt::ReasonCode;

/// Every open link, in no order. Bounded by the edge's `connections_max`.
#[derive(Debug, Default)]
pub(super) struct Links {
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    links: Vec<Option<Weak<Link>>>,
    free: Vec<u32>,
}

impl Links {
    /// Registers `link`; the key takes it out again.
    pub(super) fn enter(&self, link: &Arc<Link>) -> u32 {
        let mut slots = self.slots.lock();
        let entry = Some(Arc::downgrade(link));
        if let Some(key) = slots.free.pop() {
            slots.links[key as usize] = entry;
            return key;
        }
        slots.links.push(entry);
        // As many links as u32 can count would need more sockets than a machine has.
        (slots.links.len() - 1) as u32
    }

    pub(super) fn leave(&self, key: u32) {
        let mut slots = self.slots.lock();
        slots.links[key as usize] = None;
        slots.free.push(key);
    }

    pub(super) fn dismiss_all(&self, reason: ReasonCode) {
        let links: Vec<Weak<Link>> = self.slots.lock().links.iter().flatten().cloned().collect();
        links.iter().filter_map(Weak::upgrade).for_each(|link| link.dismiss(reason));
    }
}
