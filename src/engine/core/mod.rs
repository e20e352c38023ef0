//! The parts of the engine: plain synchronous types, each the owner of one piece of Session State or of the routing table.

pub(crate) mod session;
