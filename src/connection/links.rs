//! The register of open links, for whoever must reach them all.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::link::Link;

/// Where a link lies in the register; another's once it has left.
pub(super) type LinkKey = u32;

/// Every open link, in no order. Bounded by the edge's `connections_max`.
#[derive(Debug, Default)]
pub(super) struct Links {
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    links: Vec<Option<Weak<Link>>>,
    free: Vec<LinkKey>,
    /// Those who entered after [`Links::close`] and have not been taken yet; `None`: nothing is closing.
    late: Option<Vec<Weak<Link>>>,
}

impl Links {
    /// Registers `link`; the key takes it out again.
    pub(super) fn enter(&self, link: &Arc<Link>) -> LinkKey {
        let mut slots = self.slots.lock();
        let entry = Some(Arc::downgrade(link));
        if let Some(late) = &mut slots.late {
            late.push(Arc::downgrade(link));
        }
        if let Some(key) = slots.free.pop() {
            slots.links[key as usize] = entry;
            return key;
        }
        slots.links.push(entry);
        // As many links as u32 can count would need more sockets than a machine has.
        (slots.links.len() - 1) as LinkKey
    }

    pub(super) fn leave(&self, key: LinkKey) {
        let mut slots = self.slots.lock();
        slots.links[key as usize] = None;
        slots.free.push(key);
        if slots.free.len() == slots.links.len() {
            // All have gone: what the most there were at once needed goes with the last.
            (slots.links, slots.free) = (Vec::new(), Vec::new());
        }
    }

    /// Those of `keys` that are open, each with its key.
    pub(super) fn find(&self, keys: &[LinkKey]) -> Vec<(LinkKey, Arc<Link>)> {
        let slots = self.slots.lock();
        let link_of = |key: LinkKey| slots.links.get(key as usize)?.as_ref()?.upgrade();
        keys.iter().filter_map(|&key| Some((key, link_of(key)?))).collect()
    }

    /// All that are open.
    pub(super) fn all(&self) -> Vec<Weak<Link>> {
        self.slots.lock().links.iter().flatten().cloned().collect()
    }

    /// All that are open. Who enters from now on is late.
    pub(super) fn close(&self) -> Vec<Weak<Link>> {
        let mut slots = self.slots.lock();
        slots.late = Some(Vec::new());
        slots.links.iter().flatten().cloned().collect()
    }

    /// Those who entered after [`Self::close`], each once.
    pub(super) fn take_late(&self) -> Vec<Weak<Link>> {
        self.slots.lock().late.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
