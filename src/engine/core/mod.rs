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
