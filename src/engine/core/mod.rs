//! The parts of the engine: plain synchronous types, each the owner of one piece of Session State or of the routing table.
//!
//! ```text
//! subscriptions ─ subscribers             who wants what                   directory   all sessions, and when they are due
//! router ─ remembered                     from one message to all of them  session     one of them
//! retained                                the last message of a topic      outgoing    its way out: inflight, queue, backlog
//! ```

pub(crate) mod directory;
pub(crate) mod flow;
pub(crate) mod identifiers;
pub(crate) mod inflight;
pub(crate) mod outgoing;
pub(crate) mod queue;
pub(crate) mod remembered;
pub(crate) mod retained;
pub(crate) mod router;
pub(crate) mod session;
pub(crate) mod subscribers;
pub(crate) mod subscriptions;

use hashbrown::HashTable;

/// Entries for which a table keeps its memory however empty it is: few in trials, which have no crowds.
const KEPT_MAX: usize = if cfg!(any(test, feature = "model")) { 8 } else { 1024 };

/// Gives back the memory of a table that a crowd has left: one that is seven eighths empty.
///
/// What it then has room for is twice what is in it, so that as many must come as there are, or three quarters go, before it changes its size again.
fn shrink<T>(table: &mut HashTable<T>, hash_of: impl Fn(&T) -> u64) {
    if table.capacity() > KEPT_MAX.max(8 * table.len()) {
        table.shrink_to(2 * table.len(), hash_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_no_more_than_it_needs() {
        let hash_of = |&number: &u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut table = HashTable::new();
        for number in 0..10_000_u64 {
            table.insert_unique(hash_of(&number), number, hash_of);
        }
        for number in 0..10_000_u64 {
            table.find_entry(hash_of(&number), |&found| found == number).unwrap().remove();
            shrink(&mut table, hash_of);
            assert!(table.capacity() <= KEPT_MAX.max(8 * table.len()), "{} for {}", table.capacity(), table.len());
        }
    }
}
